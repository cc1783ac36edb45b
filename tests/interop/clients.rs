//! Clients that are generated from the OpenAPI document, one in TypeScript and one in Python, are type-checked and drive a
//! day of a platform with a real call: `tests/clients/story.{ts,py}`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use medlytt_stories::rig::engine::{Setup, TOKEN, folder, until};
use medlytt_stories::rig::scene::Scene;
use medlytt_stories::rig::script::{self, Script, clients};

const PATIENCE: Duration = Duration::from_secs(30);

/// What `medlytt openapi` prints.
fn document(folder: &Path) {
    let binary = std::env::var("MEDLYTT_BIN").expect("MEDLYTT_BIN names the binary: run `cargo xtask test`");
    let document = script::run("medlytt openapi", Command::new(binary).arg("openapi"));
    std::fs::write(folder.join("openapi.json"), document).expect("the folder can be written");
}

/// The platform calls when the story has ordered and hangs up when it has heard.
fn drive(name: &str, story: &mut Command) {
    let scene = Scene::new(&format!("{name}-engine"), &Setup::default());
    story.env("MEDLYTT_URL", format!("http://{}", scene.engine.api)).env("MEDLYTT_TOKEN", TOKEN);
    let mut story = Script::start(name, story);
    story.until_it_says("ordered", PATIENCE);
    let (caller, _) = scene.call();
    story.until_it_says("heard", PATIENCE);
    until("the call counts as heard", PATIENCE, || {
        scene.engine.get("/v1/listenings?live=true")["items"][0]["counted"] == true
    });
    scene.lines.act(scene.platform, |phone, now, out| phone.hang_up(now, caller, out));
    story.until_it_says("done", PATIENCE);
    story.finish(PATIENCE);
    assert!(!scene.engine.log().contains("panicked"), "a panic in the log");
}

#[test]
fn a_generated_typescript_client_drives_a_day() {
    let folder = folder("clients-ts");
    document(&folder);
    script::run(
        "openapi-typescript",
        script::npm("openapi-typescript").current_dir(&folder).args(["openapi.json", "--output", "api.d.ts"]),
    );
    std::fs::copy(clients().join("story.ts"), folder.join("story.ts")).expect("the folder can be written");
    script::compile(&folder);
    drive("clients-ts", Command::new("node").current_dir(&folder).arg("story.js"));
    let _ = std::fs::remove_dir_all(folder);
}

#[test]
fn a_generated_python_client_drives_a_day() {
    let folder = folder("clients-py");
    document(&folder);
    let mut generator = script::python("openapi-python-client");
    generator.current_dir(&folder).args(["generate", "--path", "openapi.json", "--meta", "none", "--output-path"]);
    script::run("openapi-python-client", generator.arg("medlytt_client"));
    std::fs::copy(clients().join("story.py"), folder.join("story.py")).expect("the folder can be written");
    script::run("mypy", script::python("mypy").current_dir(&folder).args(["--check-untyped-defs", "story.py"]));
    drive("clients-py", script::python("python").current_dir(&folder).arg("story.py"));
    let _ = std::fs::remove_dir_all(folder);
}
