//! `medlytt demo --once`: what a stranger runs first.

use std::process::Command;

use medlytt_stories::rig::engine::folder;

#[test]
fn the_demo_tells_its_story_and_is_heard() {
    let binary = std::env::var("MEDLYTT_BIN").expect("MEDLYTT_BIN names the binary: run `cargo xtask test`");
    let folder = folder("demo");
    let wav = folder.join("listener.wav");
    let output = Command::new(binary)
        .args(["demo", "--once", "--listen", "127.0.0.1:0", "--wav"])
        .arg(&wav)
        .current_dir(&folder)
        .output()
        .expect("the binary starts");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("agent-transferred"), "{told}");
    let length = std::fs::metadata(&wav).expect("it wrote what the listener heard").len();
    assert!(length > 5 * 16_000, "more than five seconds were recorded: {length} bytes");
    let _ = std::fs::remove_dir_all(folder);
}
