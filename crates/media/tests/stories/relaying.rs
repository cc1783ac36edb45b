//! Packets between two legs: unchanged, from whom they should be, with and without listeners.

use media::{Codec, Command, Event, Kind, ListenerId, StreamId};

use crate::world::*;

#[test]
fn packets_pass_unchanged_both_ways() {
    let mut world = World::call();
    let opus = rtp(111, 7, 960, 5, &[1, 2, 3, 4, 5]);
    world.from(CALLER, &opus);
    let extended =
        [&[0xb1, 0x60 | 0x80, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 9, 9, 9, 9, 0xbe, 0xde, 0, 1, 1, 2, 3, 4, 77, 0, 2][..]]
            .concat();
    world.from(AGENT, &extended);
    let sent = &world.recorder.sent;
    assert_eq!((sent[0].port, sent[0].to, &sent[0].data), (port(AGENT), phone(AGENT), &opus));
    assert_eq!((sent[1].port, sent[1].to, &sent[1].data), (port(CALLER), phone(CALLER), &extended));
    assert_eq!(sent.len(), 2);
    assert_eq!(world.shard.counters().relayed_rtp, 2);
    assert_eq!(world.events(), [&Event::FirstPacket { stream: CALLER }, &Event::FirstPacket { stream: AGENT }]);
}

#[test]
fn what_the_parties_get_is_the_same_with_no_and_with_eight_listeners() {
    let story = |listeners: u64| {
        let mut world = World::call();
        world.run(200);
        for n in 1..=listeners {
            world.listener(n);
            world.run(7);
        }
        world.run(1000 - listeners * 7);
        world.describe(AGENT, |remote| remote.receives = false);
        for n in 1..=listeners {
            world.packet(listener_port(n), Kind::Rtp, ear(n), &rtp(0, 1, 1, 1, &[0; 160]));
            world.ok(Command::CloseListener { listener: ListenerId(n) });
        }
        world.run(300);
        let origin = world.origin;
        let to_parties = |sent: &Sent| sent.port == port(CALLER) || sent.port == port(AGENT);
        let relayed = world.recorder.sent.into_iter().filter(to_parties);
        relayed.map(|sent| (sent.at - origin, sent.port, sent.kind, sent.to, sent.data)).collect::<Vec<_>>()
    };
    let alone = story(0);
    assert!(alone.len() > 140);
    assert_eq!(alone, story(1));
    assert_eq!(alone, story(8));
}

#[test]
fn foreign_sources_are_refused_and_counted() {
    let mut world = World::call();
    let packet = rtp(0, 1, 1, 1, &[0; 160]);
    world.packet(port(CALLER), Kind::Rtp, addr("10.0.0.1:4002"), &packet);
    world.packet(port(CALLER), Kind::Rtp, addr("10.9.9.9:4000"), &packet);
    world.packet(port(CALLER), Kind::Rtp, phone(AGENT), &packet);
    world.packet(port(CALLER), Kind::Rtcp, phone(CALLER), &RR);
    assert!(world.recorder.sent.is_empty());
    assert_eq!((world.shard.counters().rtp_foreign, world.shard.counters().rtcp_foreign), (3, 1));
    world.ok(Command::Close { stream: CALLER });
    assert!(
        matches!(world.events()[..], [Event::Closed { figures, .. }] if figures.foreign == 3 && figures.packets == 0)
    );
}

#[test]
fn a_phone_behind_nat_is_latched_once_to_its_signalling_address() {
    let mut world = World::call();
    let public = addr("198.51.100.7:0").ip();
    world.describe(CALLER, |remote| remote.latch = Some(public));
    world.from(AGENT, &rtp(0, 1, 1, 1, &[1]));
    assert_eq!(world.recorder.sent[0].to, phone(CALLER), "until its first packet, where it said");
    let packet = rtp(0, 1, 1, 2, &[2]);
    let mut broken = packet.clone();
    broken[0] = 0x8f;
    world.packet(port(CALLER), Kind::Rtp, addr("203.0.113.5:31000"), &packet);
    world.packet(port(CALLER), Kind::Rtp, addr("198.51.100.7:666"), &broken);
    world.packet(port(CALLER), Kind::Rtp, addr("198.51.100.7:31000"), &packet);
    world.packet(port(CALLER), Kind::Rtp, addr("198.51.100.7:31002"), &packet);
    world.packet(port(CALLER), Kind::Rtcp, addr("198.51.100.7:40001"), &RR);
    world.forget_sent();
    world.from(AGENT, &rtp(0, 2, 161, 1, &[1]));
    world.packet(port(AGENT), Kind::Rtcp, addr("10.0.0.2:4001"), &RR);
    let to: Vec<_> = world.recorder.sent.iter().map(|sent| sent.to).collect();
    assert_eq!(to, [addr("198.51.100.7:31000"), addr("198.51.100.7:40001")], "RTP and RTCP latch apart");
    assert_eq!((world.shard.counters().rtp_foreign, world.shard.counters().rtp_malformed), (2, 1));
    world.describe(CALLER, |remote| remote.latch = Some(public));
    world.packet(port(CALLER), Kind::Rtp, addr("198.51.100.7:31002"), &packet);
    world.forget_sent();
    world.from(AGENT, &rtp(0, 3, 321, 1, &[1]));
    assert_eq!(world.recorder.sent[0].to, addr("198.51.100.7:31002"), "armed again");
}

#[test]
fn what_is_not_rtp_is_dropped_by_kind() {
    let mut world = World::call();
    let zrtp = b"\x10\0\0\x01ZRTP\0\0\0\0";
    let strays = [&[0x16, 0xfe, 0xfd][..], &[0, 1, 0, 0], zrtp, &[0x40, 0, 0, 1], &[0xff; 100], &[127; 172], &[]];
    for data in strays.into_iter().chain([&SR[..], &[0x80, 76, 0, 0]]) {
        world.from(CALLER, data);
        world.packet(port(CALLER), Kind::Rtp, addr("203.0.113.5:31000"), data);
    }
    let counted = world.shard.counters();
    assert_eq!((counted.media_dtls, counted.media_stun, counted.media_zrtp, counted.media_turn), (2, 2, 2, 2));
    assert_eq!((counted.media_unknown, counted.rtcp_on_rtp_port, counted.not_rtp()), (6, 4, 14));
    let good = rtp(0, 1, 1, 1, &[0; 4]);
    for cut in 2..12 {
        world.from(CALLER, &good[..cut]);
    }
    world.from(CALLER, &rtp(0, 1, 1, 1, &[0; 2048]));
    world.from(CALLER, &rtp(101, 1, 1, 1, &[5, 10]));
    world.packet(port(CALLER), Kind::Rtcp, addr("10.0.0.1:4001"), &SR[..20]);
    assert_eq!((world.shard.counters().rtp_malformed, world.shard.counters().rtcp_malformed), (12, 1));
    assert!(world.recorder.sent.is_empty());
    assert!(world.events().is_empty(), "no first packet yet");
}

#[test]
fn rtcp_passes_unchanged() {
    let mut world = World::call();
    world.packet(port(AGENT), Kind::Rtcp, addr("10.0.0.2:4001"), &SR);
    let sent = &world.recorder.sent[0];
    assert_eq!(
        (sent.port, sent.kind, sent.to, &sent.data[..]),
        (port(CALLER), Kind::Rtcp, addr("10.0.0.1:4001"), &SR[..])
    );
    assert_eq!(world.shard.counters().relayed_rtcp, 1);
}

#[test]
fn a_held_party_still_gets_media_unless_it_has_no_address() {
    let mut world = World::call();
    world.describe(CALLER, |remote| (remote.sends, remote.receives) = (false, false));
    world.from(AGENT, &rtp(0, 1, 1, 1, &[1]));
    world.from(CALLER, &rtp(0, 1, 1, 2, &[1]));
    assert_eq!(world.recorder.sent.len(), 2, "the relay is not gated");
    world.describe(CALLER, |remote| (remote.rtp, remote.rtcp) = (Some(addr("0.0.0.0:4000")), None));
    world.from(AGENT, &rtp(0, 2, 161, 1, &[1]));
    world.packet(port(AGENT), Kind::Rtcp, addr("10.0.0.2:4001"), &RR);
    assert_eq!(world.recorder.sent.len(), 2, "nothing is ever sent to 0.0.0.0");
    world.from(CALLER, &rtp(0, 2, 161, 2, &[1]));
    assert_eq!(world.recorder.sent.len(), 3, "what it sends from where it was still passes");
    assert_eq!((world.shard.counters().rtp_unbridged, world.shard.counters().rtcp_unbridged), (1, 1));
}

#[test]
fn a_new_bridge_replaces_both_old_ones() {
    let mut world = World::call();
    world.leg(COLLEAGUE);
    world.ok(Command::Bridge { a: AGENT, b: COLLEAGUE });
    let packet = rtp(0, 1, 1, 1, &[1]);
    world.from(CALLER, &packet);
    assert!(world.recorder.sent.is_empty());
    world.from(COLLEAGUE, &packet);
    assert_eq!(world.recorder.sent[0].port, port(AGENT));
    world.ok(Command::Unbridge { stream: COLLEAGUE });
    world.from(AGENT, &packet);
    world.from(COLLEAGUE, &packet);
    assert_eq!((world.recorder.sent.len(), world.shard.counters().rtp_unbridged), (1, 3));
}

#[test]
fn commands_that_cannot_be_carried_out_are_refused() {
    let mut world = World::call();
    let nobody = StreamId(99);
    let listener = ListenerId(1);
    for (count, command) in (1..).zip([
        Command::Open { stream: nobody, port: port(CALLER) },
        Command::Open { stream: nobody, port: media::Port(0) },
        Command::Open { stream: nobody, port: media::Port(4001) },
        Command::OpenListener { listener, port: port(AGENT) },
        Command::Describe { stream: nobody, remote: remote(nobody) },
        Command::Bridge { a: CALLER, b: nobody },
        Command::Bridge { a: CALLER, b: CALLER },
        Command::Unbridge { stream: nobody },
        Command::Close { stream: nobody },
        Command::Listen { listener, remote: listener_remote(1) },
        Command::Focus { listener, taps: None },
        Command::Shield { listener, on: true },
        Command::CloseListener { listener },
    ]) {
        let was_waited_for = count <= 7;
        assert_eq!(world.order(command.clone()), !was_waited_for, "{command:?}");
        assert_eq!(world.shard.counters().commands_refused, count, "{command:?}");
        assert!(world.recorder.released.is_empty(), "the port is another's, or no port at all");
    }
    assert!(!world.order(Command::Open { stream: CALLER, port: port(nobody) }), "ids are never used again");
    assert_eq!(world.recorder.released, [port(nobody)], "a port that nobody took is given back");
    world.from(CALLER, &rtp(0, 1, 1, 1, &[1]));
    assert_eq!(world.recorder.sent.len(), 1, "the call goes on");
}

#[test]
fn a_listener_that_was_refused_refuses_no_call() {
    let mut world = World::with(media::Settings { max_listeners: 0, ..Default::default() });
    let listener = ListenerId(1);
    assert!(!world.order(Command::OpenListener { listener, port: listener_port(1) }));
    let now = world.now();
    for command in [Command::Focus { listener, taps: None }, Command::CloseListener { listener }] {
        world.shard.command(now, command, &mut world.recorder);
    }
    world.ok(Command::Open { stream: CALLER, port: port(CALLER) });
}

#[test]
fn limits_hold() {
    let mut world = World::with(media::Settings { max_streams: 1, max_listeners: 1, ..Default::default() });
    world.leg(CALLER);
    assert!(!world.order(Command::Open { stream: AGENT, port: port(AGENT) }));
    world.ok(Command::OpenListener { listener: ListenerId(1), port: listener_port(1) });
    assert!(!world.order(Command::OpenListener { listener: ListenerId(2), port: listener_port(2) }));
    assert_eq!(world.recorder.released, [port(AGENT), listener_port(2)]);
    assert_eq!(world.shard.sizes(), (1, 1));
    world.ok(Command::Close { stream: CALLER });
    world.ok(Command::Open { stream: AGENT, port: port(AGENT) });
}

#[test]
fn a_port_can_serve_again_and_forgets_its_old_party() {
    let mut world = World::call();
    world.ok(Command::Close { stream: CALLER });
    world.from(CALLER, &rtp(0, 1, 1, 1, &[1]));
    assert_eq!(world.shard.counters().unknown_port, 1);
    world.ok(Command::Open { stream: COLLEAGUE, port: port(CALLER) });
    world.ok(Command::Describe { stream: COLLEAGUE, remote: remote(COLLEAGUE) });
    world.ok(Command::Bridge { a: COLLEAGUE, b: AGENT });
    world.from(CALLER, &rtp(0, 1, 1, 1, &[1]));
    assert_eq!((world.recorder.sent.len(), world.shard.counters().rtp_foreign), (0, 1));
}

#[test]
fn figures_tell_loss_and_jitter() {
    let mut world = World::call();
    world.voice(CALLER).lost = vec![65_510, 65_511, 3];
    world.run(2000);
    world.ok(Command::Close { stream: CALLER });
    let figures = world.events().into_iter().find_map(|event| match event {
        Event::Closed { stream: CALLER, figures } => Some(*figures),
        _ => None,
    });
    let figures = figures.expect("figures at the end");
    assert_eq!((figures.lost, figures.packets, figures.bytes, figures.payload_type), (3, 97, 97 * 160, Some(0)));
    assert!(figures.jitter_ms < 0.1);
    let progress = world.count(|event| matches!(event, Event::Progress { .. }));
    assert!(progress <= 2, "each stream every 5 s at most: {progress}");
    assert_eq!(Codec::Pcmu.silence(), 0xff);
}

/// An empty RR, and an SR with a BYE.
pub const RR: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 9];
const SR: [u8; 36] = {
    let mut sr = [0; 36];
    [sr[0], sr[1], sr[3], sr[28], sr[29], sr[31]] = [0x80, 200, 6, 0x81, 203, 1];
    sr
};
