//! What a person loses: the line to the engine, the engine, the session, the right to be here. What was heard and typed stays.

use std::time::Duration;

use medlytt_stories::rig::cable::Cable;
use medlytt_stories::rig::engine::TOKEN;
use medlytt_stories::rig::office::{ANNA_HZ, CALLER_HZ, Office, PASSWORD, sign_in};
use medlytt_stories::rig::page::{
    DESKTOP, Person, Thing, button, css, dialog, heading, link, radio, role, row, text, textbox,
};
use serde_json::json;

use super::listening::{hears, listening};

const SECOND: Duration = Duration::from_secs(1);

/// What a browser logs of requests that fail.
fn forgives_the_network(person: &Person) {
    for error in ["net::ERR_", "401"] {
        person.forgives(error);
    }
}

/// Whatever this is on is not loaded again.
fn marks(person: &Person) {
    person.runs("globalThis.mark = 'here'");
}

fn is_as_it_was(person: &Person) -> bool {
    person.runs("globalThis.mark") == "here"
}

fn status(office: &Office, agent: &str, status: &str) {
    let path = format!("/v1/agents/{agent}/status");
    let answer = office.engine.client().send("PUT", &path, None, Some(&json!({"status": status})));
    assert!(answer.expect("the engine answers").status < 300);
}

fn stale() -> Thing {
    text("/^As of \\d\\d:\\d\\d:\\d\\d$/")
}

#[test]
fn without_a_line_the_lists_are_stamped_the_sound_goes_on_and_nothing_is_lost() {
    let office = Office::new("page-lost");
    let cable = Cable::to(&office.engine.api);
    let paal = Person::at(DESKTOP);
    paal.goes(&format!("http://{}/", cable.address));
    sign_in(&paal, "paal");
    listening(&office, &paal);
    status(&office, "bo", "ready");
    paal.sees(&row("/^Bo Dahl.*Ready/"));
    marks(&paal);
    forgives_the_network(&paal);

    cable.pull();
    paal.sees(&text("No contact with the engine."));
    paal.sees(&text("/The lists show what was known at \\d\\d:\\d\\d:\\d\\d\\. Trying/"));
    assert_eq!(paal.counts(&stale()), 2, "agents and requests say as of when: {}", paal.outline());
    paal.sees(&role("status", "").with("Not live"));
    status(&office, "bo", "pause");
    hears(&paal, ANNA_HZ, CALLER_HZ, 2 * SECOND);
    assert!(paal.has(&row("/^Bo Dahl.*Ready/")), "what was known is still shown");
    paal.shoots("lost");
    paal.is_accessible("lost");

    paal.clicks(&button("Try now"));
    paal.sees(&css("#banner"));
    cable.put_in();
    paal.misses(&css("#banner"));
    paal.sees(&row("/^Bo Dahl.*Paused/"));
    assert_eq!(paal.counts(&stale()), 0);
    paal.sees(&role("status", "").with("Live again. The lists are up to date."));
    hears(&paal, ANNA_HZ, CALLER_HZ, SECOND);
    assert!(is_as_it_was(&paal), "the page was not loaded again");
}

#[test]
fn an_engine_that_starts_again_is_found_and_signs_nobody_out() {
    let mut office = Office::new("page-restart");
    let paal = office.person("paal");
    paal.clicks(&button("Listen to Anna Berg"));
    paal.ticks(&radio("A phone number"));
    paal.fills(&textbox("Phone number of the listener"), "+47 99 99 99 99");
    marks(&paal);
    forgives_the_network(&paal);
    office.engine.kill();
    paal.sees(&text("No contact with the engine."));
    office.engine.start_again();
    paal.misses(&css("#banner"));
    assert!(is_as_it_was(&paal), "the page was not loaded again");
    assert_eq!(paal.value(&textbox("Phone number of the listener")), "+47 99 99 99 99", "what was typed is kept");
    paal.clicks(&button("Order listening"));
    paal.sees(&text("Request on Anna Berg saved."));
}

#[test]
fn a_session_that_ends_leaves_what_was_typed_and_heard() {
    let office = Office::new("page-session");
    let paal = office.person("paal");
    listening(&office, &paal);
    paal.clicks(&button("Listen to Bo Dahl"));
    paal.ticks(&radio("A phone number"));
    paal.fills(&textbox("Phone number of the listener"), "+47 99 99 99 99");
    marks(&paal);
    paal.forgives("401");
    let ended = office.engine.client().send("DELETE", "/v1/sessions?user=paal", None, None);
    assert_eq!(ended.unwrap().status, 204);
    let over = dialog("Your session has ended");
    paal.sees(&over);
    paal.is_accessible("session expired");
    paal.shoots("expired");
    assert_eq!(paal.value(&textbox("User").within(&over)), "paal");
    paal.fills(&textbox("Password").within(&over), "wrong");
    paal.clicks(&button("Sign in").within(&over));
    paal.sees(&text("The user or the password is not right.").within(&over));
    paal.fills(&textbox("Password").within(&over), PASSWORD);
    paal.clicks(&button("Sign in").within(&over));
    paal.misses(&over);
    assert!(is_as_it_was(&paal));
    assert_eq!(paal.value(&textbox("Phone number of the listener")), "+47 99 99 99 99");
    paal.clicks(&button("Order listening"));
    paal.sees(&text("Request on Bo Dahl saved."));
    hears(&paal, ANNA_HZ, CALLER_HZ, SECOND);
}

#[test]
fn signed_out_everywhere_is_signed_out_in_the_other_browser_too() {
    let office = Office::new("page-everywhere");
    let (here, there) = (office.person("paal"), office.person("paal"));
    there.forgives("401");
    here.forgives("401");
    here.clicks(&button("/Paal Kongshaug/"));
    here.clicks(&button("Sign out everywhere"));
    here.sees(&heading("Sign in"));
    assert!(!here.has(&text("Anna Berg")), "nothing of the last person stays");
    there.sees(&dialog("Your session has ended"));
}

#[test]
fn who_has_no_right_is_told_and_a_token_signs_in_and_leaves_the_address() {
    let office = Office::new("page-rights");
    let ida = office.person("ida");
    ida.sees(&text("This account is for programs"));
    ida.sees(&text("Anna Berg"));
    assert!(!ida.has(&button("Listen to Anna Berg")));
    ida.goes(&format!("{}#/archive", office.page()));
    ida.sees(&text("Your role does not have this view"));
    ida.is_accessible("no right");
    ida.shoots("no-right");
    ida.clicks(&link("To silent monitoring"));
    ida.sees(&heading("Silent monitoring"));

    let sam = Person::at(DESKTOP);
    sam.goes(&office.page());
    sam.forgives("401");
    sam.clicks(&button("Sign in"));
    sam.sees(&text("Write your user."));
    assert_eq!(sam.focus(), "input User");
    sam.fills(&textbox("User"), "sam");
    sam.fills(&textbox("Password"), "not it");
    sam.clicks(&button("Sign in"));
    sam.sees(&text("The user or the password is not right."));
    sam.is_accessible("wrong password");
    sam.forgives("429");
    for _ in 0..12 {
        if sam.has(&text("/^Too many tries/")) {
            break;
        }
        sam.fills(&textbox("Password"), "not it");
        sam.clicks(&button("Sign in"));
        sam.sees(&css(".note.bad"));
    }
    sam.sees(&text("/^Too many tries. Try again in \\d+ seconds?\\.$/"));

    let admin = Person::at(DESKTOP);
    admin.goes(&format!("{}#{TOKEN}", office.page()));
    admin.sees(&heading("Silent monitoring"));
    let address = admin.does("address", json!({}));
    assert!(!address.as_str().unwrap().contains(TOKEN), "{address}");
}
