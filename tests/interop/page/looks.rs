//! Every state of the page: accessible as far as axe sees, and a picture of each in `tests/browser/pictures`, light and dark,
//! at 320 and 1440 px.

use medlytt_stories::rig::office::{ANNA_HZ, CALLER_HZ, Office};
use medlytt_stories::rig::page::{
    DESKTOP, Person, button, css, heading, radio, region, role, searchbox, text, textbox,
};
use serde_json::{Value, json};
use std::time::Duration;

use super::listening::{answers_by_hand, hears, order};

fn answers(person: &Person, glob: &str, status: u16, body: &Value) {
    person.does("answer", json!({"glob": glob, "status": status, "body": body}));
}

#[test]
fn signing_in_looks_right() {
    let office = Office::new("page-looks-in");
    let paal = Person::at(DESKTOP);
    paal.forgives("401");
    paal.goes(&office.page());
    paal.sees(&heading("Sign in"));
    paal.looks_right("sign-in");
    paal.clicks(&button("Sign in"));
    paal.sees(&text("Write your user."));
    paal.looks_right("sign-in-errors");
    paal.clicks(&button("Use a token instead"));
    paal.looks_right("sign-in-token");
}

#[test]
fn before_there_is_anything_it_looks_right() {
    let office = Office::new("page-looks-first");
    let paal = office.person("paal");
    paal.sees(&text("Anna Berg"));
    paal.looks_right("empty");

    paal.does("delay", json!({"glob": "**/v1/agents?*", "ms": 4000}));
    paal.does("reload", json!({}));
    paal.sees(&css(".ghost"));
    paal.is_accessible("loading");
    paal.shoots("loading-1440-light");
    paal.sees(&text("Anna Berg"));
    assert!(paal.figures()["shift"].as_f64() < Some(0.001), "loading moves nothing: {}", paal.figures());
    paal.does("answerNoMore", json!({}));

    answers(&paal, "**/v1/agents?*", 200, &json!({"items": [], "next_cursor": null}));
    paal.does("reload", json!({}));
    paal.sees(&text("No agents yet"));
    paal.looks_right("first-run");
    paal.does("answerNoMore", json!({}));

    paal.forgives("503");
    answers(
        &paal,
        "**/v1/agents?*",
        503,
        &json!({"code": "store-unavailable", "detail": "database or disk is full", "request_id": "r-17"}),
    );
    paal.does("reload", json!({}));
    paal.sees(&text("The lists could not be read"));
    paal.sees(&text("/Reference r-17/"));
    paal.looks_right("error");
    paal.does("answerNoMore", json!({}));
    paal.clicks(&button("Try now"));
    paal.sees(&text("Anna Berg"));
    paal.fills(&searchbox("Search agent"), "nobody of that name");
    paal.sees(&text("No agents match"));
    paal.looks_right("no-match");
}

#[test]
fn ordering_looks_right() {
    let office = Office::new("page-looks-order");
    let paal = office.person("paal");
    order(&paal, "Anna Berg");
    paal.misses(&text("Request on Anna Berg saved."));
    paal.looks_right("list");
    paal.clicks(&button("Listen to Bo Dahl"));
    paal.ticks(&radio("This browser"));
    paal.sees(&text("/already listens to Anna Berg/"));
    paal.looks_right("form-warning");
    paal.ticks(&radio("A phone number"));
    paal.fills(&textbox("Number of calls"), "0");
    paal.fills(&textbox("Until"), "25:00");
    paal.clicks(&css("#oform button[type=submit]"));
    paal.sees(&text("Write the time as 17:00."));
    paal.looks_right("form-errors");
    paal.presses(&["Escape"]);
    paal.clicks(&button("Change request on Anna Berg"));
    paal.sees(&role("form", "Change the request on Anna Berg"));
    paal.looks_right("change");
    paal.presses(&["Escape"]);
    paal.clicks(&button("/Paal Kongshaug/"));
    paal.sees(&button("Sign out everywhere"));
    paal.looks_right("menu");
}

#[test]
fn listening_looks_right() {
    let office = Office::new("page-looks-listen");
    let paal = office.person("paal");
    answers_by_hand(&paal);
    order(&paal, "Anna Berg");
    let (caller, anna) = office.call_anna();
    paal.sees(&region("Calling you"));
    paal.looks_right("ringing");
    paal.clicks(&button("Start listening").nth(0));
    hears(&paal, ANNA_HZ, CALLER_HZ, Duration::from_secs(3));
    paal.looks_right("live");
    paal.runs("document.querySelector('.quality').open = true");
    office.consult(anna);
    paal.sees(&text("Asking a colleague"));
    paal.looks_right("consultation");
    paal.clicks(&button("Listen to Bo Dahl"));
    paal.sees(&css("#oform"));
    paal.looks_right("live-ordering");
    paal.presses(&["Escape"]);
    office.hang_up(office.platform, caller);
    paal.sees(&region("Listening ended"));
    paal.looks_right("ended");
}

#[test]
fn what_admins_see_looks_right() {
    let office = Office::new("page-looks-admin");
    let paal = office.person("paal");
    answers_by_hand(&paal);
    order(&paal, "Anna Berg");
    let (caller, _) = office.call_anna();
    paal.clicks(&button("Start listening"));
    hears(&paal, ANNA_HZ, CALLER_HZ, Duration::from_secs(4));
    office.hang_up(office.platform, caller);
    paal.sees(&region("Listening ended"));
    for view in ["requests", "archive", "audit", "agents", "access"] {
        paal.goes(&format!("{}#/{view}", office.page()));
        paal.sees(&css("main table"));
        paal.misses(&css(".wait"));
        paal.looks_right(view);
    }
    paal.clicks(&button("New token"));
    paal.sees(&css("dialog[open]"));
    paal.looks_right("new-token");
    paal.presses(&["Escape"]);
    paal.goes(&format!("{}#/archive", office.page()));
    paal.clicks(&button("/^Details: Anna Berg/"));
    paal.sees(&text("What happened when"));
    paal.looks_right("archive-details");
    paal.presses(&["Escape"]);
    paal.goes(&format!("{}#/agents", office.page()));
    paal.clicks(&button("Change Anna Berg"));
    paal.sees(&textbox("Name"));
    paal.looks_right("edit-agent");
}
