//! RTPBleed and injected media over real sockets: strangers send 1,000 packets a second before, during and after a call.
//! They get no byte, nobody hears them, and the call does not notice.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use medlytt_stories::rig::engine::{Engine, Setup};
use medlytt_stories::rig::scene::{Monitored, Scene};
use medlytt_stories::rig::strangers::{STRANGER_HZ, Strangers};

const PER_SECOND: u64 = 1_000;
/// Long enough for the kernel to deliver what somebody might have sent.
const SETTLE: Duration = Duration::from_millis(300);

/// Somebody else's hosts, and the parties' own hosts by ports that no signalling named.
fn everywhere() -> Strangers {
    let host = |last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
    Strangers::on(&[9, 10, 2, 3, 4, 1].map(host))
}

/// Every media port of the engine.
fn all_ports(engine: &Engine) -> Vec<SocketAddr> {
    let config = std::fs::read_to_string(engine.folder.join("medlytt.toml")).expect("its configuration");
    let range = config.lines().find_map(|line| line.strip_prefix("ports = \"")).expect("a range of ports");
    let (first, last) = range.trim_end_matches('"').split_once('-').expect("first and last");
    let (first, last): (u16, u16) = (first.parse().expect("a port"), last.parse().expect("a port"));
    (first..=last).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect()
}

fn ssrcs(scene: &Scene, call: &Monitored) -> [u32; 2] {
    let of = |line, id| scene.lines.look(line, |phone| phone.call(id).expect("it is there").ssrc());
    [of(scene.platform, call.caller), of(scene.agent, call.agent)]
}

/// Nobody hears the strangers, and each party's packets are those of the other party alone.
fn assert_not_heard(scene: &Scene, call: &Monitored, from: Instant, to: Instant) {
    let [caller, agent] = ssrcs(scene, call);
    let parties = [
        ("caller", scene.platform, call.caller, Some(agent)),
        ("agent", scene.agent, call.agent, Some(caller)),
        ("listener", scene.listener, call.listener, None),
    ];
    for (who, line, id, ssrc) in parties {
        scene.lines.look(line, |phone| {
            let ears = phone.call(id).expect("it is there").ears();
            assert!(!ears.hears(STRANGER_HZ as f32, from, to), "the {who} hears a stranger");
            let foreign = ears.between(from, to).filter(|heard| ssrc.is_some_and(|ssrc| heard.ssrc != ssrc)).count();
            assert_eq!(foreign, 0, "the {who} got packets of somebody else");
            for pair in ears.between(from, to).collect::<Vec<_>>().windows(2) {
                let step = pair[1].sequence.wrapping_sub(pair[0].sequence);
                assert!((1..100).contains(&step), "the {who} got a packet that does not follow: {step}");
            }
        });
    }
}

fn strangers_are_kept_out(name: &str, anna: &str) {
    let scene = Scene::new(name, &Setup { anna, ..Setup::default() });
    let mut strangers = everywhere();
    let everything = all_ports(&scene.engine);
    let mut sent = strangers.send(&everything, &[1, 2], PER_SECOND, Duration::from_secs(1));
    assert_eq!(strangers.received(), 0, "before any call");

    let call = scene.monitored_call();
    let targets = scene.media_addresses(&call);
    let from = Instant::now();
    sent += strangers.send(&targets, &ssrcs(&scene, &call), PER_SECOND, Duration::from_secs(3));
    let to = Instant::now();
    for (who, quality) in ["caller", "agent", "listener"].into_iter().zip(scene.assert_heard(&call, from, to)) {
        println!("  {who}: {quality:?}");
        assert!(quality.lost * 100 <= quality.packets, "the {who} lost packets: {quality:?}");
        assert!(quality.packets >= 140, "the {who}'s voice has holes: {quality:?}");
    }
    assert_not_heard(&scene, &call, from, to);
    assert_eq!(strangers.received(), 0, "during the call");

    scene.hang_up(&call);
    sent += strangers.send(&targets, &[1, 2], PER_SECOND, Duration::from_secs(1));
    std::thread::sleep(SETTLE);
    assert_eq!(strangers.received(), 0, "after the call");
    println!("{sent} packets of strangers, none answered, none heard");
    assert!(!scene.engine.log().contains("panicked"), "a panic in the log");
}

#[test]
fn strangers_get_no_byte_and_are_not_heard() {
    strangers_are_kept_out("no-way-in", "");
}

/// A phone behind NAT: its media latched to where it came from first; neither its host's other ports nor other hosts
/// move it.
#[test]
fn strangers_do_not_move_a_latch() {
    strangers_are_kept_out("no-way-in-nat", "nat = true\n");
}
