//! docs/integrating.md works as it stands: its blocks of one language, put together from top to bottom, against a running engine.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use medlytt_stories::rig::engine::{Engine, Setup, folder, free_port};
use medlytt_stories::rig::script;

/// The platform's token and the supervisor's, whose hashes the users have.
const TOKENS: [(&str, &str); 2] = [("MEDLYTT_TOKEN", "vector-integrator"), ("SUPERVISOR_TOKEN", "vector-sup1")];
const USERS: &str = r#"
[[user]]
id = "crm"
name = "CRM"
role = "integrator"
token_hash = "sha256:50eb8fad453d5c9b641a57c2d52298ca57a9815588cdc77ba2bd1a69987f5bc4"

[[user]]
id = "mette"
name = "Mette Lund"
role = "supervisor"
groups = ["Support"]
softphone = "mette"
contact = "sip:mette@127.0.0.4:9"
token_hash = "sha256:514f4afbe24c6b98f6b98202ca5c13cbdea71e8cd34174fe13838fee5780d5d8"

[webhooks]
allow_http = true
allow = ["127.0.0.0/8"]
"#;

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/integrating.md");
    std::fs::read_to_string(path).expect("docs/integrating.md")
}

/// The page's blocks in one language as one program.
fn program(language: &str) -> String {
    let (page, fence) = (page(), format!("```{language}\n"));
    let blocks = page.split(&fence).skip(1).map(|rest| rest.split("```").next().expect("a block ends"));
    let program = blocks.fold(String::new(), |mut whole, block| {
        let _ = writeln!(whole, "{block}");
        whole
    });
    assert!(program.lines().count() > 20, "the page has no program in {language}");
    program
}

/// Runs it beside an engine of its own, looks at what it left there and gives what it said.
fn run(language: &str, port: u16, command: &mut Command) -> String {
    let name = format!("integrating-{language}");
    let engine = Engine::set_up(&name, &Setup { parties: USERS, ..Setup::default() });
    let hook = format!("http://127.0.0.1:{port}/hook");
    command.envs(TOKENS).env("MEDLYTT_URL", format!("http://{}", engine.api)).env("HOOK_URL", hook);
    let said = script::run(language, command.env("PORT", port.to_string()));
    let kushen = engine.get("/v1/agents/kushen");
    assert_eq!((kushen["name"].as_str(), kushen["status"].as_str()), (Some("Henrik Kusoa"), Some("ready")), "{kushen}");
    for agent in ["cia", "ole"] {
        assert_eq!(engine.get(&format!("/v1/agents/{agent}"))["id"], agent);
    }
    let requests = &engine.get("/v1/requests")["items"];
    assert_eq!(requests.as_array().map(Vec::len), Some(1), "one order, sent once: {requests}");
    let request = &requests[0];
    assert_eq!((&request["state"], &request["calls"]["limit"]), (&"deleted".into(), &5.into()), "{request}");
    assert_eq!(engine.get("/v1/webhooks")["items"].as_array().map(Vec::len), Some(0), "the webhook was deleted");
    for word in ["request.created", "request.updated", "agent-not-found", "true"] {
        assert!(said.to_lowercase().contains(word), "{language} never said {word}: {said}");
    }
    assert!(!engine.log().contains("panicked"), "a panic in the log");
    said
}

/// An endpoint that takes every delivery.
fn receiver() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 65_536]);
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        }
    });
    port
}

#[test]
fn the_pages_shell_works() {
    let folder = folder("integrating-sh-program");
    std::fs::write(folder.join("page.sh"), program("sh")).expect("the folder can be written");
    run("sh", receiver(), Command::new("bash").current_dir(&folder).args(["-euo", "pipefail", "page.sh"]));
    let _ = std::fs::remove_dir_all(folder);
}

#[test]
fn the_pages_python_works() {
    let folder = folder("integrating-python-program");
    std::fs::write(folder.join("page.py"), program("python")).expect("the folder can be written");
    script::run("mypy", script::python("mypy").current_dir(&folder).arg("page.py"));
    let port = free_port("127.0.0.1");
    let said = run("python", port, script::python("python").current_dir(&folder).arg("page.py"));
    assert!(said.contains("agent.status pause"), "a signed delivery came: {said}");
    let _ = std::fs::remove_dir_all(folder);
}

#[test]
fn the_pages_typescript_works() {
    let folder = folder("integrating-ts-program");
    std::fs::write(folder.join("page.ts"), program("ts")).expect("the folder can be written");
    script::compile(&folder);
    let port = free_port("127.0.0.1");
    let said = run("ts", port, Command::new("node").current_dir(&folder).arg("page.js"));
    assert!(said.contains("agent.status pause"), "a signed delivery came: {said}");
    let _ = std::fs::remove_dir_all(folder);
}
