//! Who may send, who is sent to, and what the shell is told of it.

use media::{Command, Flags, Kind, Port, Route, Settings};

use crate::relaying::RR;
use crate::world::*;

fn routes(world: &World, kind: Kind) -> Vec<Route> {
    // Two a leg: RTP, then RTCP.
    let first = usize::from(kind == Kind::Rtcp);
    world.shard.routes().skip(first).step_by(2).collect()
}

#[test]
fn before_a_description_everything_is_early() {
    let mut world = World::empty();
    world.ok(Command::Open { stream: CALLER, port: port(CALLER) });
    world.from(CALLER, &rtp(0, 1, 1, 1, &[1; 160]));
    world.packet(port(CALLER), Kind::Rtcp, addr("10.0.0.1:4001"), &RR);
    let counted = world.shard.counters();
    assert_eq!((counted.media_early, counted.rtp_foreign, counted.rtcp_foreign), (2, 0, 0));
    world.ok(Command::Describe { stream: CALLER, remote: remote(CALLER) });
    world.from(CALLER, &rtp(0, 1, 1, 1, &[1; 160]));
    let counted = world.shard.counters();
    assert_eq!((counted.media_early, counted.rtp_unbridged), (2, 1));
}

#[test]
fn the_shell_is_told_of_the_one_source_when_there_is_one() {
    let mut world = World::empty();
    world.leg(CALLER);
    let (rtp_from, rtcp_from) = (Some(phone(CALLER)), Some(addr("10.0.0.1:4001")));
    let told = |world: &mut World| std::mem::take(&mut world.recorder.sources);
    let both = |rtp, rtcp| vec![(port(CALLER), Kind::Rtp, rtp), (port(CALLER), Kind::Rtcp, rtcp)];
    assert_eq!(told(&mut world), both(rtp_from, rtcp_from));
    world.describe(CALLER, |_| {});
    world.describe(CALLER, |remote| (remote.rtp, remote.rtcp) = (None, None));
    assert_eq!(told(&mut world), [], "nothing new, not by a hold either");
    let public = addr("198.51.100.7:0").ip();
    world.describe(CALLER, |remote| remote.latch = Some(public));
    assert_eq!(told(&mut world), both(None, None), "it learns");
    let voice = rtp(0, 1, 1, 1, &[1; 160]);
    world.packet(port(CALLER), Kind::Rtp, addr("203.0.113.9:31000"), &voice);
    assert_eq!(told(&mut world), []);
    world.packet(port(CALLER), Kind::Rtp, addr("198.51.100.7:31000"), &voice);
    assert_eq!(told(&mut world), [(port(CALLER), Kind::Rtp, Some(addr("198.51.100.7:31000")))]);
    world.describe(CALLER, |remote| (remote.mux, remote.rtcp) = (true, remote.rtp));
    assert_eq!(told(&mut world), [(port(CALLER), Kind::Rtp, rtp_from)], "the other socket is of no use");
}

#[test]
fn a_listeners_socket_has_one_source_when_it_has_sent() {
    let mut world = World::call();
    let listener = world.listener(1);
    world.recorder.sources.clear();
    let voice = rtp(0, 1, 1, 1, &[1; 160]);
    world.packet(listener_port(1), Kind::Rtp, addr("10.0.1.1:7000"), &voice);
    world.packet(listener_port(1), Kind::Rtp, addr("203.0.113.9:6000"), &voice);
    assert!(world.recorder.sources.is_empty(), "it may send from another port than it listens on");
    world.packet(listener_port(1), Kind::Rtp, ear(1), &voice);
    assert_eq!(world.recorder.sources, [(listener_port(1), Kind::Rtp, Some(ear(1)))]);
    world.ok(Command::Listen { listener, remote: listener_remote(1) });
    assert_eq!(world.recorder.sources[1..], [(listener_port(1), Kind::Rtp, None)], "described again: from anew");
}

#[test]
fn nothing_is_sent_to_the_relay_itself() {
    let mut settings = Settings::default();
    settings.own.addresses = vec![addr("10.0.0.1:0").ip()];
    let mut world = World::with(settings);
    world.set_up_call();
    world.voices.clear();
    let own = |port: Port| std::net::SocketAddr::new(addr("10.0.0.1:0").ip(), port.0);
    let voice = rtp(0, 1, 1, 1, &[1; 160]);
    for target in [own(port(CALLER)), own(port(AGENT)), own(Port(port(AGENT).0 + 1))] {
        world.describe(CALLER, |remote| (remote.rtp, remote.rtcp) = (Some(target), Some(target)));
        world.from(AGENT, &voice);
        world.packet(port(AGENT), Kind::Rtcp, addr("10.0.0.2:4001"), &RR);
    }
    assert!(world.recorder.sent.is_empty());
    assert_eq!(world.shard.counters().media_target_refused, 6);
    // A port of the same address that we have not is a phone's on this machine.
    let other = own(Port(29_998));
    world.describe(CALLER, |remote| remote.rtp = Some(other));
    world.from(AGENT, &voice);
    assert_eq!(world.recorder.sent.pop().map(|sent| sent.to), Some(other));
    // Nor does a latch fall there.
    world.describe(CALLER, |remote| remote.latch = Some(other.ip()));
    world.packet(port(CALLER), Kind::Rtp, own(port(AGENT)), &voice);
    assert!(world.recorder.sent.is_empty());
    world.packet(port(CALLER), Kind::Rtp, own(Port(31_000)), &voice);
    assert_eq!(world.recorder.sent.len(), 1);
}

#[test]
fn a_listener_is_never_sent_its_stream_back_into_the_relay() {
    let mut settings = Settings::default();
    settings.own.addresses = vec![ear(1).ip()];
    let mut world = World::with(settings);
    world.set_up_call();
    let listener = world.listener(1);
    let own = std::net::SocketAddr::new(ear(1).ip(), port(CALLER).0);
    let mut remote = listener_remote(1);
    (remote.rtp, remote.latch) = (Some(own), Some(own.ip()));
    world.ok(Command::Listen { listener, remote });
    world.packet(listener_port(1), Kind::Rtp, own, &rtp(0, 1, 1, 1, &[1; 160]));
    world.run(200);
    assert!(world.sent(listener_port(1), Kind::Rtp).is_empty());
}

#[test]
fn a_route_says_what_is_done_and_whether_the_kernel_could() {
    let mut world = World::empty();
    world.leg(CALLER);
    assert_eq!(routes(&world, Kind::Rtp)[0].flags, Flags::LEARNED);
    world.leg(AGENT);
    world.ok(Command::Bridge { a: CALLER, b: AGENT });
    for (kind, offset) in [(Kind::Rtp, 0), (Kind::Rtcp, 1)] {
        let [there, back] = routes(&world, kind)[..] else { panic!("two legs") };
        assert!(there.is_plain() && back.is_plain());
        assert_eq!((there.port, there.kind, there.out, there.out_kind), (port(CALLER), kind, port(AGENT), kind));
        assert_eq!(there.from.address(), std::net::SocketAddr::new(phone(CALLER).ip(), 4000 + offset));
        assert_eq!(
            (there.to, back.to.ip()),
            (std::net::SocketAddr::new(phone(AGENT).ip(), 4000 + offset), phone(CALLER).ip())
        );
    }
    let is_plain = |world: &World| world.shard.routes().all(|route| route.is_plain());
    world.listener(1);
    assert!(world.shard.routes().all(|route| route.flags.has(Flags::TAPPED)), "either leg, both ways");
    world.ok(Command::CloseListener { listener: media::ListenerId(1) });
    assert!(is_plain(&world));
    let public = addr("198.51.100.7:0").ip();
    world.describe(CALLER, |remote| remote.latch = Some(public));
    assert!(!is_plain(&world), "the first packet must be seen");
    let voice = rtp(0, 1, 1, 1, &[1; 160]);
    world.packet(port(CALLER), Kind::Rtp, addr("198.51.100.7:31000"), &voice);
    world.packet(port(CALLER), Kind::Rtcp, addr("198.51.100.7:31001"), &RR);
    assert!(is_plain(&world));
    assert_eq!(routes(&world, Kind::Rtp)[1].to, addr("198.51.100.7:31000"), "the other leg's follows");
    world.describe(AGENT, |remote| (remote.mux, remote.rtcp) = (true, remote.rtp));
    let [there, back] = routes(&world, Kind::Rtcp)[..] else { panic!("two legs") };
    assert_eq!((there.out_kind, back.kind), (Kind::Rtp, Kind::Rtp));
    assert!(there.is_plain() && !back.is_plain(), "what shares a port must be told apart");
    world.ok(Command::Close { stream: AGENT });
    assert_eq!(routes(&world, Kind::Rtp).len(), 1);
    assert!(!routes(&world, Kind::Rtp)[0].flags.has(Flags::TARGETED));
}
