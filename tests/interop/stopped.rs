//! The process is stopped for ten seconds and goes on: nobody is hung up, nobody hears old sound, nobody hears a burst.

use std::process::Command;
use std::time::{Duration, Instant};

use phone::{CallId, State};

use medlytt_stories::rig::engine::{Setup, until};
use medlytt_stories::rig::scene::Scene;

const STOPPED: Duration = Duration::from_secs(10);
/// Packets that anybody may get in the half second after it goes on: 25, and some that were on their way.
const HALF_A_SECOND: usize = 33;

fn signal(scene: &Scene, name: &str) {
    let pid = scene.engine.pid().to_string();
    assert!(Command::new("kill").args(["-s", name, &pid]).status().is_ok_and(|status| status.success()));
}

#[test]
fn a_stopped_process_goes_on_without_bursts_and_endings() {
    // The stop is longer than each of these.
    let setup = Setup {
        monitoring: "listener_lost_after = \"5s\"",
        // And this machine may be slow: whether calls are refused for that is not the question here.
        media: "rtp_timeout = \"6s\"\none_way_after = \"5s\"\nfork_lag = \"20s\"\ncall_lag = \"20s\"",
        ..Setup::default()
    };
    let scene = Scene::new("stopped", &setup);
    let call = scene.monitored_call();
    let parties = [(scene.platform, call.caller), (scene.agent, call.agent), (scene.listener, call.listener)];
    let count = |(line, id): (usize, CallId)| scene.lines.look(line, |phone| phone.call(id).unwrap().ears().count);
    std::thread::sleep(Duration::from_secs(1));

    signal(&scene, "STOP");
    std::thread::sleep(STOPPED);
    let before = parties.map(count);
    signal(&scene, "CONT");
    let went_on = Instant::now();
    std::thread::sleep(Duration::from_millis(500));
    let burst = parties.map(count);
    for (who, (before, after)) in ["caller", "agent", "listener"].iter().zip(before.into_iter().zip(burst)) {
        let (before, after) = (usize::try_from(before).unwrap(), usize::try_from(after).unwrap());
        assert!(after - before <= HALF_A_SECOND, "the {who} got a burst of {} packets", after - before);
        assert!(after > before, "the {who} hears nothing");
    }

    std::thread::sleep(Duration::from_secs(2));
    scene.assert_heard(&call, went_on + Duration::from_secs(1), Instant::now());
    for (line, id) in parties {
        assert_eq!(scene.lines.look(line, |phone| phone.call(id).unwrap().state()), State::Up);
    }
    assert_eq!(scene.engine.get("/v1/status")["gauges"]["listenings"], 1.0);
    until("what waited is counted", Duration::from_secs(5), || {
        scene.engine.figure("medlytt_media_datagrams_stale_total") > 0
    });
    assert!(scene.engine.figure("medlytt_stops_total") >= 1);
    assert_eq!(scene.engine.figure("medlytt_calls_rtp_timeout_total"), 0);
    // New calls are taken again.
    let again = scene.call();
    scene.lines.act(scene.platform, |phone, now, out| phone.hang_up(now, again.0, out));
    scene.hang_up(&call);
    assert!(!scene.engine.log().contains("panicked"), "a panic in the log");
}
