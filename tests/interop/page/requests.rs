//! Orders on the page: for whom one may, with a warning where it is due, changed, deleted and brought back, to their end.

use std::time::Duration;

use medlytt_stories::rig::engine::until;
use medlytt_stories::rig::office::{ANNA_HZ, CALLER_HZ, Office, asks};
use medlytt_stories::rig::page::{Person, Thing, button, combobox, css, radio, region, role, text, textbox};
use phone::{OnCall, State};
use serde_json::json;

use super::listening::{answers_by_hand, hears, order};

const SECOND: Duration = Duration::from_secs(1);

fn mine() -> Thing {
    region("Your requests")
}

fn opens(person: &Person, agent: &str) {
    person.clicks(&button(&format!("Listen to {agent}")));
    person.sees(&role("group", "Who listens?"));
}

fn active(office: &Office) -> Vec<serde_json::Value> {
    office.engine.client().all("/v1/requests?state=active")
}

#[test]
fn a_request_is_deleted_and_brought_back() {
    let office = Office::new("page-undo");
    let paal = office.person("paal");
    order(&paal, "Anna Berg");
    paal.sees(&text("/^2 calls until /").within(&mine()));
    let before = active(&office);
    paal.clicks(&button("Delete request on Anna Berg"));
    paal.sees(&text("Request on Anna Berg deleted."));
    paal.sees(&text("No requests yet"));
    until("nobody is monitored", 5 * SECOND, || active(&office).is_empty());
    paal.clicks(&button("Undo"));
    paal.sees(&text("Request on Anna Berg is back."));
    paal.sees(&text("/^2 calls until /").within(&mine()));
    let after = active(&office);
    assert_eq!(after.len(), 1);
    for field in ["agent", "listener", "until", "calls", "layout"] {
        assert_eq!(before[0][field], after[0][field], "{field}");
    }
}

#[test]
fn a_request_goes_when_its_time_is_over() {
    let office = Office::new("page-expiry");
    let paal = office.person("paal");
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3);
    let body = json!({"agent": "anna", "listener": {"page": true}, "until": until.to_string()});
    assert_eq!(asks(&paal, "POST", "/v1/requests", &body)["status"], 201);
    paal.sees(&text("/^All calls until /").within(&mine()));
    paal.misses(&text("/^All calls until /").within(&mine()));
    paal.sees(&role("status", "").with("The request on Anna Berg has ended: its time is over."));
}

#[test]
fn a_second_agent_for_the_same_listener_is_warned_of_with_a_way_out() {
    let office = Office::new("page-conflict");
    let paal = office.person("paal");
    order(&paal, "Anna Berg");
    opens(&paal, "Bo Dahl");
    let form = region("Order listening");
    paal.ticks(&radio("This browser"));
    paal.sees(&text("/My browser already listens to Anna Berg until/").within(&form));
    paal.sees(&text("If both agents are in a call at the same time, only the first one is heard.").within(&form));
    paal.clicks(&button("Send this one to a phone number"));
    paal.misses(&text("/already listens/"));
    assert_eq!(paal.focus(), "input Phone number of the listener");
    paal.types("+47 99 99 99 99");
    paal.sees(&css(".sum").with("/^\\+47 99 99 99 99 hears the next 2 calls of Bo Dahl, but not after/"));
    paal.clicks(&button("Order listening"));
    paal.sees(&text("Request on Bo Dahl saved."));
    assert_eq!(paal.counts(&role("listitem", "").within(&mine())), 2, "an admin has two");
    // two for the same listener all the same
    paal.clicks(&button("Delete request on Bo Dahl"));
    paal.sees(&text("Request on Bo Dahl deleted."));
    order(&paal, "Bo Dahl");
    assert_eq!(active(&office).len(), 2);
}

#[test]
fn a_supervisor_has_one_request_and_hears_of_it_before_the_order() {
    let office = Office::new("page-one");
    let sam = office.person("sam");
    order(&sam, "Anna Berg");
    assert!(!sam.has(&text("Cia Ek")), "another group's agents are not shown");
    opens(&sam, "Bo Dahl");
    let form = region("Order listening");
    // the browser logs the refusal of the rehearsal
    sam.forgives("409");
    sam.sees(&text("This cannot be ordered.").within(&form));
    sam.sees(&text("You have a request already, and your role has one at a time. Delete it first.").within(&form));
    sam.clicks(&button("Show the request"));
    assert!(sam.focus().contains("Anna Berg"), "{}", sam.focus());
    sam.forgives("403");
    sam.clicks(&button("Delete request on Anna Berg"));
    opens(&sam, "Bo Dahl");
    sam.ticks(&radio("A phone number"));
    sam.fills(&textbox("Phone number of the listener"), "+46 8 465 004 61");
    sam.sees(
        &text("You may not have this listener called. Choose another one, or ask an administrator.").within(&form),
    );
}

#[test]
fn calls_are_counted_down_to_the_end_of_the_request() {
    let office = Office::new("page-count");
    let paal = office.person("paal");
    answers_by_hand(&paal);
    order(&paal, "Anna Berg");
    for (left, after) in [("2 calls until", true), ("1 call until", false)] {
        paal.sees(&text(&format!("/^{left}/")).within(&mine()));
        let (caller, _) = office.call_anna();
        paal.clicks(&button("Start listening"));
        hears(&paal, ANNA_HZ, CALLER_HZ, SECOND);
        until("it counts", 10 * SECOND, || office.engine.get("/v1/listenings")["items"][0]["counted"] == true);
        if after {
            paal.sees(&text("1 of 2 heard").within(&mine()));
        }
        office.hang_up(office.platform, caller);
        paal.sees(&text("The call has ended.").within(&css("#lbody")));
        paal.clicks(&button("Close"));
    }
    paal.sees(&text("No requests yet"));
    paal.sees(&role("status", "").with("The request on Anna Berg is done: all its calls were heard."));
}

#[test]
fn a_phone_number_and_a_colleagues_softphone_listen() {
    let office = Office::new("page-phones");
    let paal = office.person("paal");
    office.call_anna();
    opens(&paal, "Anna Berg");
    paal.ticks(&radio("Another user’s softphone"));
    paal.chooses(&combobox("Choose a user"), "Sam Lind");
    paal.clicks(&button("Order listening"));
    let card = region("Listening by phone");
    paal.sees(&card);
    paal.sees(&text("The listener is silent. Nobody can hear the listener.").within(&card));
    paal.sees(&text("Sam Lind").within(&card));
    until("sam's phone hears", 5 * SECOND, || office.lines.call_in(office.sam, State::Up).is_some());
    paal.until("both are said to speak", |p| p.counts(&text("speaking").within(&card)) == 2);
    paal.chooses(&combobox("What is heard"), "Agent only");
    until("sam hears the agent alone", 5 * SECOND, || {
        office.engine.get("/v1/listenings")["items"][0]["layout"] == "agent"
    });
    paal.clicks(&button("Hang up the listener"));
    paal.sees(&region("Listening ended"));
    until("sam's phone is free", 5 * SECOND, || office.lines.live(office.sam).is_empty());

    // the same call, by the number of a phone outside
    opens_number(&office, &paal);
}

fn opens_number(office: &Office, paal: &Person) {
    paal.clicks(&button("Delete request on Anna Berg"));
    opens(paal, "Anna Berg");
    paal.ticks(&radio("A phone number"));
    paal.fills(&textbox("Phone number of the listener"), "12");
    paal.clicks(&button("Order listening"));
    paal.sees(&text("Write the number with country code, such as +46 8 465 004 61."));
    paal.fills(&textbox("Phone number of the listener"), "+47 99 99 99 99");
    paal.clicks(&button("Order listening"));
    paal.sees(&region("Listening by phone"));
    let outside = |p: &phone::Phone| {
        let invite =
            p.calls().filter(|call| !call.outgoing() && call.state() == State::Up).find_map(phone::Call::invite);
        invite.is_some_and(|invite| format!("{invite:?}").contains("+4799999999"))
    };
    until("the number hears", 5 * SECOND, || office.lines.look(office.platform, outside));
}

#[test]
fn a_listener_out_of_reach_suspends_the_request_until_it_is_armed_again() {
    let office = Office::new("page-suspended");
    let paal = office.person("paal");
    office.lines.act(office.sam, |phone, _, _| phone.habits_mut().on_call = OnCall::Reject { status: 480 });
    opens(&paal, "Anna Berg");
    paal.ticks(&radio("Another user’s softphone"));
    paal.chooses(&combobox("Choose a user"), "Sam Lind");
    paal.clicks(&button("Order listening"));
    for _ in 0..3 {
        let (caller, anna) = office.call_anna();
        paal.sees(&text("The listener’s phone could not be reached.").within(&css("#lbody")));
        office.hang_up(office.platform, caller);
        until("the call is over", 5 * SECOND, || !office.lines.live(office.anna).contains(&anna));
        paal.clicks(&button("Close").within(&css("#listen")));
    }
    paal.sees(&text("Suspended").within(&mine()));
    paal.sees(&text("/^Three calls in a row did not reach the listener/").within(&mine()));
    paal.clicks(&button("Arm again: request on Anna Berg"));
    paal.sees(&text("Waiting for a call").within(&mine()));
}

#[test]
fn a_request_is_changed_and_whoever_comes_second_sees_what_the_first_did() {
    let office = Office::new("page-change");
    let paal = office.person("paal");
    order(&paal, "Anna Berg");
    let edit = role("form", "Change the request on Anna Berg");
    paal.clicks(&button("Change request on Anna Berg"));
    paal.fills(&textbox("Number of calls").within(&edit), "5");
    paal.clicks(&button("Save").within(&edit));
    paal.sees(&text("/^5 calls until /").within(&mine()));

    paal.clicks(&button("Change request on Anna Berg"));
    paal.sees(&edit);
    paal.until("the form knows the present version", |p| {
        p.runs("performance.getEntriesByType('resource').filter((e) => /v1.requests.req_/.test(e.name)).length > 2")
            == true
    });
    let id = active(&office)[0]["id"].as_str().unwrap().to_owned();
    let answer = office.engine.client().send("PATCH", &format!("/v1/requests/{id}"), None, Some(&json!({"calls": 7})));
    assert_eq!(answer.unwrap().status, 200);
    paal.fills(&textbox("Number of calls").within(&edit), "9");
    paal.forgives("412");
    paal.clicks(&button("Save").within(&edit));
    paal.sees(&text("/^The request was changed meanwhile/"));
    assert_eq!(paal.value(&textbox("Number of calls").within(&edit)), "7");
    paal.clicks(&button("Cancel").within(&edit));
    paal.sees(&text("/^7 calls until /").within(&mine()));
}
