//! Schemathesis over the engine's own OpenAPI document: whatever it makes of it, right and wrong, gets an answer that the
//! document describes, never a fault of ours; and every refusal has a code that docs/API.md names under its status.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use medlytt_stories::rig::engine::{Setup, TOKEN, folder, until};
use medlytt_stories::rig::scene::Scene;
use medlytt_stories::rig::script;

/// Always the same cases, so that a failure stays.
const SEED: &str = "6";
/// Of one operation, by default; `MEDLYTT_EXAMPLES` has more.
const EXAMPLES: &str = "25";
/// The whole run: what is not reached by then is left out, and said.
const LONGEST_SECONDS: &str = "90";
/// Streams without an end, which stories of their own read.
const STREAMS: &str = "/v1/events$|/levels$";
/// A case that is refused for what it says though its form is right (a time in the past) is no fault.
const NOT_ASKED: &str = "positive_data_acceptance";
/// What is deleted stays in the archive, `deleted` (SEMANTICS).
const KEPT: &str = "/v1/requests/{id}";
/// A bulk answers for each agent by itself; of a fragment, what is none of ICE's is skipped (RFC 8840), and 204 is the answer.
const LENIENT: [&str; 2] = ["/v1/agents/bulk", "/v1/listenings/{id}/whep/{session}"];
/// Refusals that have nothing to do with the operation: `default` in the document.
const AT_ANY: [u64; 6] = [400, 404, 405, 408, 421, 429];

#[test]
fn every_answer_is_one_that_the_document_describes() {
    let scene = Scene::new("schemathesis", &Setup { api: "rate = 100000\nburst = 100000\n", ..Setup::default() });
    let folder = folder("schemathesis-report");
    let call = scene.monitored_call();
    let (calls, listenings) = (scene.engine.get("/v1/calls"), scene.engine.get("/v1/listenings"));
    let id = |list: &Value| list["items"][0]["id"].as_str().expect("there is one").to_owned();
    let ids = [("requests", call.request.clone()), ("calls", id(&calls)), ("listenings", id(&listenings))];
    std::fs::write(folder.join("schemathesis.toml"), known(&ids)).expect("the folder can be written");
    let examples = std::env::var("MEDLYTT_EXAMPLES").unwrap_or_else(|_| EXAMPLES.to_owned());
    let said = script::python("schemathesis")
        .current_dir(&folder)
        .env("PYTHONPATH", script::clients())
        .env("SCHEMATHESIS_HOOKS", "schemathesis_hooks")
        .args(["run", &format!("http://{}/openapi.json", scene.engine.api)])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}"), "--seed", SEED, "--no-color"])
        .args(["--max-examples", &examples, "--max-time", LONGEST_SECONDS, "--request-timeout", "10"])
        .args(["--exclude-path-regex", STREAMS, "--exclude-checks", NOT_ASKED, "--continue-on-failure"])
        .args(["--report", "har", "--report-har-path", "answers.har"])
        .output()
        .expect("it starts");
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    println!("{}", text.lines().rev().find(|line| line.contains(" in ")).unwrap_or("schemathesis said nothing"));
    assert!(said.status.success(), "{text}\n{}", String::from_utf8_lossy(&said.stderr));
    let document = scene.engine.get("/openapi.json");
    assert_answers_are_documented(&folder.join("answers.har"), &document);
    // Still itself, after all that.
    until("it is ready", Duration::from_secs(5), || scene.readiness().0 == 200);
    assert!(!scene.engine.log().contains("panicked"), "a panic in the log");
    let _ = std::fs::remove_dir_all(folder);
}

/// Objects that are there, so that not all of it ends at 404; and where a check does not fit what the API promises.
fn known(ids: &[(&str, String)]) -> String {
    let each = |(kind, id): &(&str, String)| {
        format!(
            "[[operations]]\ninclude-path-regex = \"^/v1/{kind}/\\\\{{id\\\\}}\"\nparameters = {{ id = \"{id}\" }}\n\n"
        )
    };
    let without = |path: &str, check: &str| {
        format!("[[operations]]\ninclude-path = \"{path}\"\n[operations.checks]\n{check}.enabled = false\n\n")
    };
    let lenient = LENIENT.map(|path| without(path, "negative_data_rejection"));
    ids.iter().map(each).chain(lenient).chain([without(KEPT, "use_after_free")]).collect()
}

/// Each answer's status stands at its operation, or is one that any request may get; and every refusal is a problem whose code
/// stands in the table of docs/API.md beside its status.
fn assert_answers_are_documented(har: &Path, document: &Value) {
    let codes = documented();
    let har: Value = serde_json::from_slice(&std::fs::read(har).expect("a report")).expect("JSON");
    let entries = har["log"]["entries"].as_array().expect("entries");
    assert!(entries.len() > 500, "only {} answers", entries.len());
    let (mut statuses, mut wrong) = (BTreeMap::<u64, usize>::new(), BTreeSet::new());
    for entry in entries {
        let status = entry["response"]["status"].as_u64().expect("a status");
        *statuses.entry(status).or_default() += 1;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (method, url) = (text(&entry["request"]["method"]), text(&entry["request"]["url"]));
        let path = url.splitn(4, '/').nth(3).and_then(|rest| rest.split('?').next()).unwrap_or_default();
        if let Some(responses) = operation(document, &method, path)
            && responses.get(status.to_string()).is_none()
            && !AT_ANY.contains(&status)
        {
            wrong.insert(format!("{status} is not documented at {method} /{path}"));
        }
        if status < 400 || method == "HEAD" {
            continue;
        }
        let problem: Value = serde_json::from_str(&text(&entry["response"]["content"]["text"])).unwrap_or_default();
        let code = text(&problem["code"]);
        if !codes.contains(&(status, code.clone())) || problem["status"] != status {
            wrong.insert(format!("{status} {code}: not in docs/API.md: {method} {url}"));
        }
    }
    println!("{} answers by status: {statuses:?}", entries.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The responses of an operation; `None` where the document has none for this method and path.
fn operation<'a>(document: &'a Value, method: &str, path: &str) -> Option<&'a Value> {
    let segments: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let parts: Vec<&str> = template.trim_start_matches('/').split('/').collect();
        parts.len() == segments.len()
            && parts.iter().zip(&segments).all(|(part, segment)| part.starts_with('{') || part == segment)
    };
    let paths = document["paths"].as_object().expect("paths");
    // what is written out goes before what fits
    let exact = paths.iter().find(|(template, _)| template.trim_start_matches('/') == path);
    let (_, item) = exact.or_else(|| paths.iter().find(|(template, _)| fits(template)))?;
    item[method.to_lowercase()].get("responses")
}

/// (status, code) of the table. A row of several statuses has its codes in the same order.
fn documented() -> BTreeSet<(u64, String)> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/API.md")).expect("API.md");
    let table = text.split("| status | code |").nth(1).expect("the table of codes");
    let mut found = BTreeSet::new();
    for row in table.lines().skip(1).take_while(|line| line.starts_with('|') || line.is_empty()) {
        let mut cells = row.trim_matches('|').split('|');
        let (Some(left), Some(right)) = (cells.next(), cells.next()) else { continue };
        let statuses: Vec<u64> = left.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
        let codes = right.split('`').skip(1).step_by(2).filter(|word| word.contains(|c: char| c.is_ascii_lowercase()));
        for (n, code) in codes.enumerate() {
            let status = if statuses.len() > 1 { statuses.get(n) } else { statuses.first() };
            found.extend(status.map(|status| (*status, code.to_owned())));
        }
    }
    found
}
