//! What admins have beyond the supervisor's page: the archive with its file, the audit trail, the directory, tokens.

use std::time::Duration;

use medlytt_stories::rig::office::{ANNA_HZ, CALLER_HZ, Office};
use medlytt_stories::rig::page::{Person, button, combobox, css, dialog, row, text, textbox};
use serde_json::json;

use super::listening::{answers_by_hand, hears, order};

fn goes(office: &Office, person: &Person, view: &str) {
    person.goes(&format!("{}#/{view}", office.page()));
    person.sees(&css("main h1"));
    person.misses(&css(".wait"));
}

#[test]
fn a_listening_is_found_in_the_archive_and_downloaded() {
    let office = Office::new("page-archive");
    let paal = office.person("paal");
    answers_by_hand(&paal);
    order(&paal, "Anna Berg");
    for _ in 0..2 {
        let (caller, _) = office.call_anna();
        paal.clicks(&button("Start listening"));
        hears(&paal, ANNA_HZ, CALLER_HZ, Duration::from_secs(1));
        office.hang_up(office.platform, caller);
        paal.sees(&text("The call has ended.").within(&css("#lbody")));
        paal.clicks(&button("Close"));
    }
    goes(&office, &paal, "archive");
    paal.sees(&text("2 rows shown"));
    assert_eq!(paal.counts(&row("/Anna Berg.*\\+4755512345.*The call ended/")), 2, "{}", paal.outline());
    paal.fills(&combobox("Listener"), "Sam Lind (sam)");
    paal.sees(&text("Nothing found"));
    paal.clicks(&button("Clear filters"));
    paal.fills(&combobox("Listener"), "Paal Kongshaug (paal)");
    paal.sees(&text("2 rows shown"));
    let (name, csv) = paal.downloads(&button("Download CSV"));
    assert!(name.starts_with("medlytt-archive-") && name.ends_with(".csv"), "{name}");
    let lines: Vec<&str> = csv.trim_start_matches('\u{feff}').lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), 3, "{csv}");
    for word in ["Anna Berg", "4755512345", "call-ended", "Paal Kongshaug"] {
        assert!(lines[1].contains(word), "{word}: {csv}");
    }
    paal.clicks(&button("/^Details: Anna Berg/").nth(0));
    paal.sees(&text("The listener answered"));
    paal.presses(&["Escape"]);
    goes(&office, &paal, "audit");
    paal.sees(&row("/^Listening began Paal Kongshaug/"));
    paal.chooses(&combobox("What"), "Signed in");
    paal.misses(&row("/^Listening began/"));
    paal.sees(&row("/^Signed in Paal Kongshaug/"));
    let (_, csv) = paal.downloads(&button("Download CSV"));
    assert!(csv.contains("signed-in") || csv.contains("Signed in"), "{csv}");
}

#[test]
fn the_directory_is_edited_by_two_at_a_time() {
    let office = Office::new("page-directory");
    let paal = office.person("paal");
    goes(&office, &paal, "agents");
    paal.clicks(&button("Add agent"));
    let add = css("dialog[open]");
    paal.fills(&textbox("/^Agent id/").within(&add), "dag");
    paal.fills(&textbox("/^Name/").within(&add), "Dag Dale");
    paal.fills(&textbox("/^Number/").within(&add), "1004");
    paal.forgives("404");
    paal.clicks(&button("Save").within(&add));
    paal.sees(&text("Dag Dale was saved."));
    paal.sees(&row("/^Dag Dale dag 1004/"));

    paal.clicks(&button("Change Dag Dale"));
    paal.sees(&textbox("/^Name/").within(&add));
    paal.until("the form is filled", |p| p.value(&textbox("/^Name/").within(&add)) == "Dag Dale");
    let other = office.engine.client().send(
        "PUT",
        "/v1/agents/dag",
        None,
        Some(&json!({"name": "Dag Dale", "number": "1005"})),
    );
    assert!(other.unwrap().status < 300);
    paal.fills(&textbox("/^Name/").within(&add), "Dag Dahle");
    paal.forgives("412");
    paal.clicks(&button("Save").within(&add));
    paal.sees(&text("Somebody else changed this agent meanwhile:"));
    paal.sees(&text("Number: was “1004”, is now “1005”"));
    paal.is_accessible("an agent that somebody else changed");
    paal.clicks(&button("Take over the changes"));
    paal.until("the form has what the other wrote", |p| p.value(&textbox("/^Number/").within(&add)) == "1005");
    paal.fills(&textbox("/^Name/").within(&add), "Dag Dahle");
    paal.clicks(&button("Save").within(&add));
    paal.sees(&text("Dag Dahle was saved."));
    let agent = office.engine.get("/v1/agents/dag");
    assert_eq!((agent["name"].as_str(), agent["number"].as_str()), (Some("Dag Dahle"), Some("1005")));

    paal.clicks(&button("Delete Dag Dahle"));
    paal.clicks(&button("Delete").within(&css("dialog[open]")));
    paal.misses(&row("/^Dag Dahle/"));
    assert_eq!(office.engine.client().get("/v1/agents/dag").status, 404);
}

#[test]
fn a_token_is_made_shown_once_and_revoked() {
    let office = Office::new("page-tokens");
    let paal = office.person("paal");
    goes(&office, &paal, "access");
    paal.clicks(&button("New token"));
    let open = css("dialog[open]");
    paal.fills(&textbox("/^Name/").within(&open), "Shift planner");
    paal.clicks(&button("Make token").within(&open));
    paal.sees(&dialog("Token Shift planner"));
    let token = paal.value(&textbox("Token").within(&open));
    assert!(token.starts_with("mdl_"), "{token}");
    let who = || {
        let url = format!("http://{}/v1/me", office.engine.api);
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        agent.get(url).header("Authorization", format!("Bearer {token}")).call().unwrap().status().as_u16()
    };
    assert_eq!(who(), 200);
    paal.clicks(&button("I have kept it"));
    paal.misses(&open);
    assert!(!paal.outline().contains(&token), "it is shown once");
    paal.does("reload", json!({}));
    paal.sees(&row("/^Shift planner/"));
    assert!(!paal.runs("document.documentElement.outerHTML").as_str().unwrap().contains(&token));
    paal.clicks(&button("Revoke Shift planner"));
    paal.clicks(&button("Revoke").within(&open));
    paal.sees(&text("Shift planner was revoked."));
    paal.misses(&row("/^Shift planner/"));
    assert_eq!(who(), 401);
}

#[test]
fn all_requests_are_seen_live_and_deleted_with_a_way_back() {
    let office = Office::new("page-all");
    let paal = office.person("paal");
    goes(&office, &paal, "requests");
    paal.sees(&text("No active requests"));
    office.order_for("anna", &json!({"user": "sam"}), Some(3), 600);
    paal.sees(&row("/^Anna Berg Sam Lind.*0 of 3/"));
    paal.clicks(&button("Delete Anna Berg"));
    paal.sees(&text("The request on Anna Berg will be deleted in 10 seconds."));
    paal.clicks(&button("Undo").nth(0));
    paal.sees(&text("The request on Anna Berg stays."));
    let all = office.engine.client().all("/v1/requests?state=active");
    assert_eq!(all.len(), 1);
}
