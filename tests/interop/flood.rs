//! 50,000 packets a second of garbage on the SIP port and on the call's own media ports, while the call is listened to.
//!
//! `MEDLYTT_SECONDS` makes it longer (`cargo xtask flood --seconds N`).

use std::time::{Duration, Instant};

use serde_json::json;

use medlytt_stories::rig::engine::Setup;
use medlytt_stories::rig::noise::Flood;
use medlytt_stories::rig::scene::Scene;

const PER_SECOND: u64 = 50_000;
/// Of the packets of a call, at most one in so many may be missing.
const LOST_ONE_IN: usize = 100;
/// Longest silence in a voice. The generator, the phones and the engine share the machine's cores.
const LONGEST_GAP: Duration = Duration::from_millis(150);
/// The drops that must be seen among the figures.
const COUNTERS: [&str; 14] = [
    "medlytt_datagrams_not_sip_total",
    "medlytt_messages_malformed_total",
    "medlytt_messages_too_large_total",
    "medlytt_messages_of_other_version_total",
    "medlytt_requests_denied_total",
    "medlytt_methods_refused_total",
    "medlytt_acks_stray_total",
    "medlytt_cancels_stray_total",
    "medlytt_responses_stray_total",
    "medlytt_rtp_foreign_total",
    "medlytt_rtp_not_rtp_total",
    "medlytt_rtcp_foreign_total",
    "medlytt_rtcp_malformed_total",
    "medlytt_listener_packets_dropped_total",
];

#[test]
fn a_flood_of_garbage_leaves_calls_unharmed() {
    let setting = |name, default| std::env::var(name).ok().and_then(|s| s.parse().ok()).unwrap_or(default);
    let (seconds, seed) = (setting("MEDLYTT_SECONDS", 3), setting("MEDLYTT_SEED", 7));
    let scene = Scene::new("flood", &Setup::default());
    let call = scene.monitored_call();
    let mut targets = vec![scene.engine.sip.parse().expect("an address")];
    targets.extend(scene.media_addresses(&call));
    let resident = scene.engine.resident_kb();
    let before: Vec<u64> = COUNTERS.iter().map(|name| scene.engine.figure(name)).collect();

    let flood = Flood::new(seed);
    let (from, length) = (Instant::now(), Duration::from_secs(seconds));
    let (sent, answered, new_call) = std::thread::scope(|scope| {
        let sending = scope.spawn(|| flood.send(&targets, PER_SECOND, length));
        std::thread::sleep(length / 3);
        let asked = Instant::now();
        let order = scene
            .engine
            .client()
            .post("/v1/requests", &json!({"agent": "anna", "listener": {"number": "+4799999999"}, "calls": 1}));
        assert_eq!(order.status, 201, "an order during the flood: {}", order.body);
        let answered = asked.elapsed();
        let asked = Instant::now();
        let (second, _) = scene.call();
        let new_call = asked.elapsed();
        scene.lines.act(scene.platform, |phone, now, out| phone.hang_up(now, second, out));
        (sending.join().expect("it sends"), answered, new_call)
    });
    let to = Instant::now();
    let heard = scene.assert_heard(&call, from, to);
    let drops: u64 = COUNTERS.iter().zip(&before).map(|(name, before)| scene.engine.figure(name) - before).sum();
    println!(
        "{sent} packets in {seconds} s, {drops} of them counted; order after {answered:?}, a call after {new_call:?}"
    );
    for (who, quality) in ["caller", "agent", "listener"].into_iter().zip(heard) {
        println!("  {who}: {quality:?}");
        assert!(quality.packets as u64 * 20 >= seconds * 1000 * 95 / 100, "the {who}'s voice has holes: {quality:?}");
        assert!(quality.lost * LOST_ONE_IN <= quality.packets, "the {who} lost packets: {quality:?}");
        assert!(quality.longest_gap <= LONGEST_GAP, "the {who} had a gap: {quality:?}");
    }
    assert!(sent >= PER_SECOND * seconds * 9 / 10, "the generator sent {sent} only");
    assert!(drops > sent / 10, "{drops} drops were counted");
    for (name, before) in COUNTERS.iter().zip(before) {
        println!("  {name} {}", scene.engine.figure(name) - before);
    }
    scene.hang_up(&call);
    let again = scene.call();
    scene.lines.act(scene.platform, |phone, now, out| phone.hang_up(now, again.0, out));
    let grown = scene.engine.resident_kb().saturating_sub(resident);
    assert!(grown <= 32 * 1024, "memory grew by {grown} kB");
    assert!(!scene.engine.log().contains("panicked"), "a panic in the log");
}
