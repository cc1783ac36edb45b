//! The disk fills, refuses, or loses the store's file while the engine runs: calls go on, orders are refused and say why,
//! and it recovers by itself.

use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use medlytt_stories::rig::disk::{Disk, Kind};
use medlytt_stories::rig::engine::{Setup, folder, until};
use medlytt_stories::rig::scene::{Monitored, Scene};

const PATIENCE: Duration = Duration::from_secs(5);
/// Orders that a full disk may still take: they fit into what the store's files have already.
const LAST_ORDERS: usize = 2_000;

fn order(scene: &Scene) -> (u16, Value) {
    let body = json!({"agent": "bo", "listener": {"number": "+4799999999"}, "calls": 1});
    let answer = scene.engine.client().post("/v1/requests", &body);
    (answer.status, answer.body)
}

fn scene(name: &str, store: &std::path::Path) -> Scene {
    let parties = "[[agent]]\nid = \"bo\"\nname = \"Bo Lie\"\nnumber = \"1002\"\ncontact = \"sip:bo@127.0.0.3:9\"\n";
    Scene::new(name, &Setup { parties, store: Some(store), ..Setup::default() })
}

/// Nobody in the call notices anything, for so long.
fn assert_call_goes_on(scene: &Scene, call: &Monitored, length: Duration) {
    let from = Instant::now();
    std::thread::sleep(length);
    for quality in scene.assert_heard(call, from, Instant::now()) {
        assert!(quality.lost == 0 && quality.longest_gap < Duration::from_millis(200), "{quality:?}");
    }
}

fn without_a_disk(name: &str, kind: Kind) {
    let folder = folder(name);
    let Some(disk) = Disk::new(kind, &folder) else {
        println!(
            "NOT RUN: {kind:?} needs root and the right to mount a tmpfs; {:?} is run in its place",
            Kind::Refusing
        );
        return;
    };
    let mut scene = scene(name, &disk.folder);
    let pid = scene.engine.pid();
    let call = scene.monitored_call();
    let mut taken: Vec<Value> = vec![order(&scene).1];
    disk.take_away(pid);

    let refusal = (0..LAST_ORDERS).find_map(|_| match order(&scene) {
        (201, body) => {
            taken.push(body);
            None
        }
        refusal => Some(refusal),
    });
    let (status, problem) = refusal.expect("an order is refused");
    assert_eq!((status, problem["code"].as_str()), (503, Some("audit-unavailable")), "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 10), "it says why: {problem}");
    until("readyz says why not", PATIENCE, || {
        let (status, body) = scene.readiness();
        let says_why = status == 503 && body.to_string().contains("store");
        if says_why {
            println!("{kind:?}: readyz {body}");
        }
        says_why
    });
    assert_call_goes_on(&scene, &call, Duration::from_millis(600));
    scene.hang_up(&call);
    // Another call is made and heard by its parties; nobody listens.
    let listened = scene.lines.look(scene.listener, |phone| phone.calls().count());
    let (caller, _) = scene.call();
    std::thread::sleep(Duration::from_millis(500));
    scene.lines.act(scene.platform, |phone, now, out| phone.hang_up(now, caller, out));
    assert_eq!(
        scene.lines.look(scene.listener, |p| p.calls().count()),
        listened,
        "no listening starts without a record"
    );
    println!("{kind:?}: {} more orders were taken; then {problem}", taken.len() - 1);

    disk.give_back(pid);
    until("it is ready again, without a restart", PATIENCE, || scene.readiness().0 == 200);
    let (status, last) = order(&scene);
    assert_eq!(status, 201, "{last}");
    taken.push(last);
    scene.engine.kill();
    scene.engine.start_again();
    let there = |id: &Value| scene.engine.client().get(&format!("/v1/requests/{}", id.as_str().expect("an id"))).status;
    for request in taken.iter().map(|request| &request["id"]).chain([&json!(call.request)]) {
        assert_eq!(there(request), 200, "an order that was acknowledged: {request}");
    }
    assert!(!scene.engine.log().contains("panicked"), "a panic in the log");
    let _ = std::fs::remove_dir_all(&folder);
}

#[test]
fn a_full_disk_costs_orders_and_no_call() {
    without_a_disk("disk-full", Kind::Full);
}

#[test]
fn a_disk_that_refuses_every_write_costs_orders_and_no_call() {
    without_a_disk("disk-refusing", Kind::Refusing);
}

/// Orders are answered or refused, and calls go on, whatever became of the file.
fn after(scene: &mut Scene, what: &str, call: &Monitored) -> Vec<Value> {
    let mut taken = Vec::new();
    for _ in 0..20 {
        match order(scene) {
            (201, body) => taken.push(body),
            (status, body) => assert_eq!(
                (status, body["code"].as_str()),
                (503, Some("audit-unavailable")),
                "an order after {what}: {body}"
            ),
        }
    }
    let list = scene.engine.client().get("/v1/requests");
    assert!(matches!(list.status, 200 | 503), "{list:?}");
    assert_call_goes_on(scene, call, Duration::from_millis(400));
    scene.hang_up(call);
    assert!(scene.engine.is_alive());
    let (status, ready) = scene.readiness();
    println!("{what}: {} of 20 orders were taken, list {}, readyz {status} {ready}", taken.len(), list.status);
    assert!(!scene.engine.log().contains("panicked"), "a panic in the log");
    taken
}

/// Overwrites all but the first 100 bytes of a file.
fn spoil(path: &std::path::Path) {
    let file = std::fs::File::options().write(true).open(path).expect("the file is there");
    let length = file.metadata().expect("it has a length").len();
    file.write_all_at(&vec![0xA5; length.saturating_sub(100) as usize], 100).expect("it can be written");
}

#[test]
fn a_store_that_is_spoilt_while_it_runs_costs_no_call() {
    let folder = folder("disk-spoilt");
    let mut scene = scene("disk-spoilt", &folder);
    let (status, first) = order(&scene);
    assert_eq!(status, 201, "{first}");
    let files = ["medlytt.db", "medlytt.db-wal"].map(|name| folder.join(name));
    let call = scene.monitored_call();
    let good = files.clone().map(|file| std::fs::read(file).expect("it can be read"));
    files.iter().for_each(|file| spoil(file));
    let taken = after(&mut scene, "the file was overwritten", &call);
    assert_eq!(taken, [] as [Value; 0], "nothing is acknowledged into a damaged file");
    let (_, problem) = order(&scene);
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("the file is damaged")), "{problem}");
    until("readyz says so", PATIENCE, || {
        let (status, body) = scene.readiness();
        status == 503 && body.to_string().contains("the file is damaged")
    });

    for (file, good) in files.iter().zip(good) {
        std::fs::write(file, good).expect("it can be written");
    }
    until("it is ready again, without a restart", PATIENCE, || scene.readiness().0 == 200);
    let (status, last) = order(&scene);
    assert_eq!(status, 201, "{last}");
    scene.engine.kill();
    scene.engine.start_again();
    assert_there(&scene, &[first, last]);
}

#[test]
fn a_store_that_was_spoilt_does_not_start_empty() {
    let folder = folder("disk-spoilt-start");
    let mut scene = scene("disk-spoilt-start", &folder);
    order(&scene);
    scene.engine.kill();
    for name in ["medlytt.db", "medlytt.db-wal"] {
        spoil(&folder.join(name));
    }
    let words = scene.engine.try_to_start().expect_err("it begins with nothing where there was something");
    assert!(words.contains("medlytt.db"), "it names the file: {words}");
}

/// A damaged page of the log is nothing that an order would come upon.
#[test]
fn damage_in_the_middle_of_the_log_is_found_by_looking() {
    let folder = folder("disk-log");
    let scene = scene("disk-log", &folder);
    order(&scene);
    let log = std::fs::File::options().write(true).open(folder.join("medlytt.db-wal")).expect("it is there");
    // The second frame: the file may be longer than the log, whose later rounds begin at its front.
    let (header, frame) = (32, 24 + 4096);
    log.write_all_at(&[0xA5; 16], header + frame + frame / 2).expect("it can be written");
    until("readyz says so", PATIENCE, || scene.readiness().1.to_string().contains("the file is damaged"));
    let (status, problem) = order(&scene);
    assert_eq!((status, problem["code"].as_str()), (503, Some("audit-unavailable")), "{problem}");
}

fn assert_there(scene: &Scene, requests: &[Value]) {
    for request in requests {
        let path = format!("/v1/requests/{}", request["id"].as_str().expect("an id"));
        assert_eq!(scene.engine.client().get(&path).status, 200, "acknowledged and lost: {request}");
    }
}

#[test]
fn a_store_that_is_deleted_while_it_runs_costs_no_call() {
    let folder = folder("disk-deleted");
    let mut scene = scene("disk-deleted", &folder);
    let call = scene.monitored_call();
    for name in ["medlytt.db", "medlytt.db-wal", "medlytt.db-shm"] {
        std::fs::remove_file(folder.join(name)).expect("it was there");
    }
    let taken = after(&mut scene, "the file was deleted", &call);
    assert_eq!(taken, [] as [Value; 0], "nothing is acknowledged into a file that nobody will find");
    until("readyz says so", PATIENCE, || scene.readiness().0 == 503);
}
