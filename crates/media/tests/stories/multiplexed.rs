//! RTCP on the RTP port (RFC 5761): of both legs, of one, of a listener.

use media::{Command, Kind, ListenerId, StreamId};

use crate::relaying::RR;
use crate::world::*;

fn rtcp_phone(stream: StreamId) -> std::net::SocketAddr {
    let rtp = phone(stream);
    std::net::SocketAddr::new(rtp.ip(), rtp.port() + 1)
}

fn muxed(world: &mut World, stream: StreamId) {
    world.describe(stream, |remote| (remote.mux, remote.rtcp) = (true, remote.rtp));
}

/// The one packet that was sent: out of which socket, where to.
#[track_caller]
fn only(world: &mut World, data: &[u8]) -> (media::Port, Kind, std::net::SocketAddr) {
    let sent = std::mem::take(&mut world.recorder.sent);
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!(sent[0].data, data);
    (sent[0].port, sent[0].kind, sent[0].to)
}

#[test]
fn both_legs_share_their_ports() {
    let mut world = World::call();
    world.voices.clear();
    muxed(&mut world, CALLER);
    muxed(&mut world, AGENT);
    for (from, to) in [(CALLER, AGENT), (AGENT, CALLER)] {
        let voice = rtp(0, 1, 160, 7, &[1; 160]);
        world.from(from, &voice);
        assert_eq!(only(&mut world, &voice), (port(to), Kind::Rtp, phone(to)));
        world.from(from, &RR);
        assert_eq!(only(&mut world, &RR), (port(to), Kind::Rtp, phone(to)));
    }
    assert_eq!((world.shard.counters().relayed_rtp, world.shard.counters().relayed_rtcp), (2, 2));
    world.packet(port(CALLER), Kind::Rtcp, rtcp_phone(CALLER), &RR);
    world.from(CALLER, &RR[..7]);
    world.packet(port(CALLER), Kind::Rtp, addr("203.0.113.9:4000"), &RR);
    assert!(world.recorder.sent.is_empty(), "the other socket is for nothing, and the source rule is RTP's");
    assert_eq!((world.shard.counters().rtcp_foreign, world.shard.counters().rtcp_malformed), (2, 1));
}

#[test]
fn one_leg_shares_and_the_other_does_not() {
    for (shared, apart) in [(CALLER, AGENT), (AGENT, CALLER)] {
        let mut world = World::call();
        world.voices.clear();
        muxed(&mut world, shared);
        world.from(shared, &RR);
        assert_eq!(only(&mut world, &RR), (port(apart), Kind::Rtcp, rtcp_phone(apart)));
        world.packet(port(apart), Kind::Rtcp, rtcp_phone(apart), &RR);
        assert_eq!(only(&mut world, &RR), (port(shared), Kind::Rtp, phone(shared)));
        world.from(apart, &RR);
        assert!(world.recorder.sent.is_empty());
        assert_eq!(world.shard.counters().rtcp_on_rtp_port, 1);
        // A change of mind by signalling.
        world.describe(shared, |_| {});
        world.packet(port(shared), Kind::Rtcp, rtcp_phone(shared), &RR);
        assert_eq!(only(&mut world, &RR), (port(apart), Kind::Rtcp, rtcp_phone(apart)));
    }
}

#[test]
fn either_kind_latches_the_one_socket() {
    let mut world = World::call();
    world.voices.clear();
    let public = addr("198.51.100.7:0").ip();
    world.describe(CALLER, |remote| (remote.mux, remote.rtcp, remote.latch) = (true, remote.rtp, Some(public)));
    world.packet(port(CALLER), Kind::Rtp, addr("198.51.100.7:31000"), &RR);
    world.forget_sent();
    let voice = rtp(0, 1, 160, 7, &[1; 160]);
    world.packet(port(CALLER), Kind::Rtp, addr("198.51.100.7:31002"), &voice);
    assert!(world.recorder.sent.is_empty(), "once, and by the report");
    world.packet(port(AGENT), Kind::Rtcp, rtcp_phone(AGENT), &RR);
    assert_eq!(only(&mut world, &RR), (port(CALLER), Kind::Rtp, addr("198.51.100.7:31000")));
    assert!(world.recorder.sources.contains(&(port(CALLER), Kind::Rtp, Some(addr("198.51.100.7:31000")))));
}

#[test]
fn reports_are_never_heard() {
    let mut world = World::call();
    muxed(&mut world, CALLER);
    world.listener(1);
    world.run(1000);
    world.forget_sent();
    for _ in 0..50 {
        world.run(20);
        world.from(CALLER, &RR);
    }
    world.assert_hears(1, &[CALLER_HZ, AGENT_HZ]);
    assert_eq!(world.shard.counters().tap_undecodable, 0);
}

#[test]
fn a_listener_shares_its_port_too() {
    let mut world = World::call();
    let listener = ListenerId(1);
    world.ok(Command::OpenListener { listener, port: listener_port(1) });
    world.focus(1, Some(AGENT));
    let mut remote = listener_remote(1);
    (remote.mux, remote.rtcp) = (true, remote.rtp);
    world.ok(Command::Listen { listener, remote });
    world.run(20_000);
    let is_report = |sent: &&Sent| sent.port == listener_port(1) && media::rtcp::compound(&sent.data).is_some();
    let reports: Vec<_> = world.recorder.sent.iter().filter(is_report).collect();
    assert!((2..=8).contains(&reports.len()), "{}", reports.len());
    assert!(reports.iter().all(|sent| sent.kind == Kind::Rtp && sent.to == ear(1)));
    world.packet(listener_port(1), Kind::Rtp, ear(1), &RR);
    assert_eq!(world.shard.counters().listener_rtcp_received, 1);
    assert_eq!(world.shard.counters().listener_rtp_dropped, 0);
    world.forget_sent();
    world.ok(Command::CloseListener { listener });
    let bye = world.recorder.sent.last().expect("a goodbye");
    assert_eq!((bye.kind, bye.to), (Kind::Rtp, ear(1)));
    let kinds: Vec<_> = media::rtcp::compound(&bye.data).expect("a compound").map(|packet| packet.kind).collect();
    assert_eq!(kinds.last(), Some(&media::rtcp::Kind::Bye));
}
