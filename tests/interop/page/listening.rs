//! From an order to the end of a listening, in the browser: it rings, both sides are heard apart, through holds, consultations
//! and changes of network, and its end is told in plain words.

use std::time::{Duration, Instant};

use medlytt_stories::rig::cable::SoundCable;
use medlytt_stories::rig::engine::until;
use medlytt_stories::rig::office::{ANNA_HZ, BO_HZ, CALLER_HZ, Office};
use medlytt_stories::rig::page::{
    Ears, Person, button, checkbox, combobox, css, link, radio, region, role, slider, text,
};

const HERTZ: [u32; 3] = [ANNA_HZ, CALLER_HZ, BO_HZ];
const SECOND: Duration = Duration::from_secs(1);

/// Each side has its tone, and none of the other's; 0 is silence.
fn is(ears: &Ears, agent: u32, caller: u32) -> bool {
    let right = |side: &str, hz: u32| match hz {
        0 => ears.power(side) < 1e-6,
        hz => HERTZ.iter().all(|other| match *other == hz {
            true => ears.share(side, hz) > 0.5,
            false => ears.share(side, *other) < 0.05,
        }),
    };
    right("agent", agent) && right("caller", caller)
}

/// It becomes so, and stays so for a while.
pub(super) fn hears(person: &Person, agent: u32, caller: u32, time: Duration) {
    let what = format!("the agent's side has {agent} Hz, the caller's {caller} Hz");
    person.until(&what, |p| is(&p.hears(&HERTZ), agent, caller));
    let end = Instant::now() + time;
    let (mut all, mut right, mut last) = (0, 0, None);
    while Instant::now() < end {
        let ears = person.hears(&HERTZ);
        (all, right) = (all + 1, right + usize::from(is(&ears, agent, caller)));
        last = Some(ears);
        std::thread::sleep(SECOND / 5);
    }
    // one may fall between two packets, whenever the machine was busy
    assert!(all - right <= 1 + all / 10, "{what}: {right} of {all} times: {last:?}");
}

/// As a person would, for this browser.
pub(super) fn order(person: &Person, agent: &str) {
    person.clicks(&button(&format!("Listen to {agent}")));
    person.ticks(&radio("This browser"));
    person.clicks(&button("Order listening"));
    person.sees(&text(&format!("Request on {agent} saved.")));
}

/// So that it rings, however short ago it was ordered.
pub(super) fn answers_by_hand(person: &Person) {
    person.sees(&css(".settings"));
    person.runs("document.querySelector('.settings').open = true");
    person.chooses(&combobox("Answer by itself"), "Never");
}

#[test]
fn a_call_is_heard_side_by_side_through_hold_and_consultation_until_the_agent_transfers_it() {
    let office = Office::new("page-story");
    let paal = office.person("paal");
    answers_by_hand(&paal);
    order(&paal, "Anna Berg");
    paal.sees(&text("Waiting for a call").within(&region("Your requests")));

    let (caller, anna) = office.call_anna();
    let card = region("Calling you");
    paal.sees(&card);
    paal.sees(&text("Anna Berg has a call. Answer to listen.").within(&card));
    paal.sees(&text("+4755512345").within(&card));
    paal.until("the window's title says that it rings", |p| {
        p.runs("document.title").as_str().unwrap().contains("Anna Berg")
    });
    paal.clicks(&button("Start listening"));

    let card = region("Listening now");
    paal.sees(&card);
    paal.sees(&text("Your microphone is off. Nobody can hear you.").within(&card));
    hears(&paal, ANNA_HZ, CALLER_HZ, 2 * SECOND);
    paal.sees(&text("Conversation").within(&card));
    paal.until("the card tells who calls, whom, for which queue", |p| {
        let facts = p.reads(&card);
        ["+4755512345", "1001", "Support"].iter().all(|fact| facts.contains(fact))
    });
    paal.until("both are said to speak", |p| p.counts(&text("speaking").within(&card)) == 2);

    let consultation = office.consult(anna);
    paal.sees(&text("Asking a colleague").within(&card));
    hears(&paal, ANNA_HZ, BO_HZ, 2 * SECOND);

    office.transfer(anna, consultation);
    let card = region("Listening ended");
    paal.sees(&card);
    paal.sees(&text("The agent transferred the caller. Listening ends with the agent’s part.").within(&card));
    assert!(office.lines.live(office.platform).contains(&caller), "the caller is with bo");
    until("nothing is heard any more", 5 * SECOND, || is(&paal.hears(&HERTZ), 0, 0));
    let ended = &office.engine.get("/v1/listenings")["items"][0];
    assert_eq!(
        (ended["end_reason"].as_str(), ended["counted"].as_bool()),
        (Some("agent-transferred"), Some(true)),
        "{ended}"
    );
    paal.clicks(&button("Close").within(&card));
    paal.sees(&text("Nothing to listen to yet"));
}

/// Anna is in a call that is heard in this browser.
pub(super) fn listening(office: &Office, person: &Person) -> (phone::CallId, phone::CallId) {
    let call = office.call_anna();
    order(person, "Anna Berg");
    person.sees(&region("Listening now"));
    hears(person, ANNA_HZ, CALLER_HZ, SECOND / 2);
    call
}

#[test]
fn the_sound_comes_back_after_a_change_of_network_and_goes_on_for_30_s() {
    let office = Office::new("page-network");
    let paal = office.person("paal");
    answers_by_hand(&paal);
    order(&paal, "Anna Berg");
    let cable = SoundCable::to(office.sound);
    paal.runs(&format!("ears.cables = {{ '{}': {} }}", office.sound.port(), cable.port));
    let (caller, _) = office.call_anna();
    paal.clicks(&button("Start listening"));
    paal.sees(&region("Listening now"));
    hears(&paal, ANNA_HZ, CALLER_HZ, 10 * SECOND);
    cable.pull();
    paal.sees_within(&region("Connecting again"), 20 * SECOND);
    paal.sees(&text("The connection is lost. Trying to bring the sound back.").within(&css("#lbody")));
    cable.put_in();
    paal.sees_within(&region("Listening now"), 20 * SECOND);
    hears(&paal, ANNA_HZ, CALLER_HZ, 20 * SECOND);
    assert_eq!(paal.figures()["connections"], 1, "an ICE restart was enough");
    paal.clicks(&text("/^Sound quality/"));
    paal.sees(&text("Round trip"));
    office.hang_up(office.platform, caller);
    paal.sees(&text("The call has ended.").within(&css("#lbody")));
    let ended = &office.engine.get("/v1/listenings")["items"][0];
    assert_eq!((ended["end_reason"].as_str(), ended["counted"].as_bool()), (Some("call-ended"), Some(true)), "{ended}");
}

#[test]
fn an_order_during_a_call_sounds_at_once_and_balance_volume_and_stop_do_what_they_say() {
    let office = Office::new("page-controls");
    let paal = office.person("paal");
    let (caller, _) = listening(&office, &paal);
    let plays = |what: &str, so: &dyn Fn(&Ears) -> bool| paal.until(what, |p| so(&p.hears(&HERTZ)));
    let both = |ears: &Ears, side: &str| ears.share(side, ANNA_HZ) > 0.2 && ears.share(side, CALLER_HZ) > 0.2;
    plays("both are in both ears", &|ears| both(ears, "left") && both(ears, "right"));
    let loud = paal.hears(&HERTZ).power("left");
    paal.ticks(&checkbox("Agent to the left, caller to the right"));
    plays("the agent is left, the caller right", &|ears| {
        ears.share("left", ANNA_HZ) > 0.6 && ears.share("right", CALLER_HZ) > 0.6
    });
    paal.unticks(&checkbox("Agent to the left, caller to the right"));
    paal.slides(&slider("Balance"), -10);
    paal.sees(&text("Agent only"));
    plays("the agent alone is heard", &|ears| {
        ears.share("left", ANNA_HZ) > 0.8 && ears.share("left", CALLER_HZ) < 0.05
    });
    paal.slides(&slider("Balance"), 10);
    plays("the caller alone is heard", &|ears| {
        ears.share("right", CALLER_HZ) > 0.8 && ears.share("right", ANNA_HZ) < 0.05
    });
    paal.slides(&slider("Balance"), 0);
    paal.slides(&slider("Volume"), 20);
    plays("it is quieter", &|ears| both(ears, "left") && ears.power("left") < loud / 4.0);
    paal.clicks(&button("Mute sound"));
    plays("nothing is heard", &|ears| ears.power("left") < 1e-7 && ears.power("right") < 1e-7);
    assert!(is(&paal.hears(&HERTZ), ANNA_HZ, CALLER_HZ), "the sound comes all the same");
    paal.clicks(&button("Turn sound on"));
    plays("it is heard again", &|ears| both(ears, "left"));

    paal.clicks(&button("Stop listening"));
    paal.sees(&text("You stopped listening. The request stays for the next call.").within(&css("#lbody")));
    until("the listening has ended", 5 * SECOND, || {
        office.engine.get("/v1/listenings")["items"][0]["end_reason"] == "listener-hung-up"
    });
    assert!(office.lines.live(office.platform).contains(&caller), "the call goes on");
    assert_eq!(paal.figures()["connections"], 1);
}

#[test]
fn a_shield_silences_the_browser() {
    let office = Office::new("page-shield");
    let paal = office.person("paal");
    listening(&office, &paal);
    paal.ticks(&role("switch", "Shield card data"));
    paal.sees(&text("Card data is being entered: silence for all listeners."));
    hears(&paal, 0, 0, SECOND);
    paal.unticks(&role("switch", "Shield card data"));
    hears(&paal, ANNA_HZ, CALLER_HZ, SECOND);
}

#[test]
fn a_page_that_is_loaded_again_offers_to_go_on() {
    let office = Office::new("page-reload");
    let paal = office.person("paal");
    listening(&office, &paal);
    paal.does("reload", serde_json::json!({}));
    paal.sees(&text("You were listening to Anna Berg. The call goes on.").within(&css("#lbody")));
    paal.clicks(&button("Go on listening"));
    paal.sees(&region("Listening now"));
    hears(&paal, ANNA_HZ, CALLER_HZ, SECOND);
    let all = office.engine.get("/v1/listenings");
    assert_eq!(all["items"].as_array().map(Vec::len), Some(1), "it is one listening: {all}");
}

#[test]
fn a_call_rings_in_every_view_and_can_be_skipped() {
    let office = Office::new("page-skip");
    let paal = office.person("paal");
    answers_by_hand(&paal);
    order(&paal, "Anna Berg");
    paal.clicks(&link("Archive"));
    paal.sees(&role("heading", "Archive"));
    let (caller, _) = office.call_anna();
    let mini = region("Listening");
    paal.clicks(&button("Start listening").within(&mini));
    paal.sees(&button("Stop listening").within(&mini));
    hears(&paal, ANNA_HZ, CALLER_HZ, SECOND);
    office.hang_up(office.platform, caller);
    paal.misses(&mini);
    paal.clicks(&link("Silent monitoring").nth(0));
    paal.sees(&text("The call has ended.").within(&css("#lbody")));

    office.call_anna();
    paal.clicks(&button("Skip this call"));
    paal.sees(&text("You skipped this call. The request stays for the next one.").within(&css("#lbody")));
    paal.sees(&text("Waiting for a call").within(&region("Your requests")));
}
