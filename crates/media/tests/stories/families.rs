//! IPv6, and IPv4 on one side only.

use std::net::SocketAddr;

use media::{Command, Kind, ListenerId};

use crate::relaying::RR;
use crate::world::*;

fn v6(stream: media::StreamId) -> SocketAddr {
    addr(&format!("[2001:db8::{}]:4000", stream.0))
}

fn moved(world: &mut World, stream: media::StreamId) {
    let rtp = v6(stream);
    world.describe(stream, |remote| {
        (remote.rtp, remote.rtcp) = (Some(rtp), Some(SocketAddr::new(rtp.ip(), 4001)));
    });
}

#[test]
fn media_passes_between_the_families_and_within_either() {
    for (caller_is_six, agent_is_six) in [(true, true), (true, false), (false, true)] {
        let mut world = World::call();
        world.voices.clear();
        let mut at = [phone(CALLER), phone(AGENT)];
        for (n, stream, is_six) in [(0, CALLER, caller_is_six), (1, AGENT, agent_is_six)] {
            if is_six {
                moved(&mut world, stream);
                at[n] = v6(stream);
            }
        }
        for (from, to) in [(0, 1), (1, 0)] {
            let streams = [CALLER, AGENT];
            let voice = rtp(0, 1, 160, 7, &[1; 160]);
            world.packet(port(streams[from]), Kind::Rtp, at[from], &voice);
            let rtcp = SocketAddr::new(at[from].ip(), 4001);
            world.packet(port(streams[from]), Kind::Rtcp, rtcp, &RR);
            let sent: Vec<_> = world.recorder.sent.drain(..).map(|sent| (sent.port, sent.to, sent.data)).collect();
            let back = SocketAddr::new(at[to].ip(), 4001);
            assert_eq!(sent, [(port(streams[to]), at[to], voice), (port(streams[to]), back, RR.to_vec())]);
        }
    }
}

#[test]
fn a_socket_of_both_families_shows_ipv4_in_its_own_way() {
    let mut world = World::call();
    world.voices.clear();
    let voice = rtp(0, 1, 160, 7, &[1; 160]);
    world.packet(port(CALLER), Kind::Rtp, addr("[::ffff:10.0.0.1]:4000"), &voice);
    assert_eq!(world.recorder.sent.len(), 1, "the same address");
    let public = addr("198.51.100.7:0").ip();
    world.describe(CALLER, |remote| remote.latch = Some(public));
    world.packet(port(CALLER), Kind::Rtp, addr("[::ffff:198.51.100.7]:31000"), &voice);
    world.forget_sent();
    world.from(AGENT, &voice);
    assert_eq!(world.recorder.sent[0].to, addr("198.51.100.7:31000"));
}

#[test]
fn a_phone_behind_an_ipv6_firewall_is_latched_and_a_listener_may_be_of_the_other_family() {
    let mut world = World::call();
    world.voice(CALLER).source = addr("[2001:db8::77]:31000");
    world.describe(CALLER, |remote| {
        (remote.rtp, remote.rtcp) = (Some(addr("[2001:db8::1]:4000")), Some(addr("[2001:db8::1]:4001")));
        remote.latch = Some(addr("[2001:db8::77]:0").ip());
    });
    let listener = ListenerId(1);
    world.ok(Command::OpenListener { listener, port: listener_port(1) });
    world.focus(1, Some(AGENT));
    let mut remote = listener_remote(1);
    (remote.rtp, remote.rtcp) = (Some(addr("[2001:db8::9]:6000")), Some(addr("[2001:db8::9]:6001")));
    world.ok(Command::Listen { listener, remote });
    world.run(2000);
    world.assert_hears(1, &[CALLER_HZ, AGENT_HZ]);
    let to_caller = world.sent(port(CALLER), Kind::Rtp);
    assert_eq!(to_caller.last().expect("packets").to, addr("[2001:db8::77]:31000"));
}
