//! The page for everybody: in four languages, on a phone, by keyboard alone, without motion, in forced colours.

use medlytt_stories::rig::office::{ANNA_HZ, CALLER_HZ, Office, sign_in};
use medlytt_stories::rig::page::{
    DESKTOP, Device, MOBILE, Person, button, css, dialog, heading, radio, region, role, text,
};
use std::time::Duration;

use super::listening::{answers_by_hand, hears, order};

const VIEWS: [&str; 6] = ["", "requests", "archive", "audit", "agents", "access"];

/// Everything that is written there, in attributes too, has words and no names of words.
fn has_words(person: &Person, state: &str) {
    let found = person.runs(
        "(() => {
            const texts = [document.body.innerText, document.title];
            for (const at of document.querySelectorAll('[aria-label], [title], [placeholder]')) {
                for (const name of ['aria-label', 'title', 'placeholder']) {
                    if (at.hasAttribute(name)) texts.push(at.getAttribute(name) || `${at.outerHTML.slice(0, 80)} has an empty ${name}`);
                }
            }
            for (const at of document.querySelectorAll('button, a, label, legend, h1, h2, h3, th, select > option')) {
                if (!(at.textContent.trim() || at.getAttribute('aria-label'))) texts.push(`${at.outerHTML.slice(0, 80)} has an empty text`);
            }
            return texts.flatMap((text) => text.match(/\\\\b(lis|a|c|s|l|act|err)[._][a-z][\\\\w.-]*|\\\\{\\\\w+\\\\}|undefined|NaN|.*has an empty.*/g) ?? []);
        })()"
        .replace("\\\\", "\\")
        .as_str(),
    );
    assert_eq!(found, serde_json::json!([]), "{state}");
}

#[test]
fn every_view_speaks_four_languages() {
    let office = Office::new("page-languages");
    let titles = [
        ("NO", "nb", "Medlytting"),
        ("DA", "da", "Medlyt"),
        ("SV", "sv", "Medlyssning"),
        ("EN", "en", "Silent monitoring"),
    ];
    let paal = office.person("paal");
    order(&paal, "Anna Berg");
    let mut headings = Vec::new();
    for (option, tag, title) in titles {
        paal.chooses(&css("select.lang"), option);
        paal.sees(&heading(title));
        assert_eq!(paal.runs("document.documentElement.lang"), tag);
        paal.clicks(&css("[data-agent=bo]"));
        paal.sees(&css("#oform"));
        has_words(&paal, &format!("the order form in {tag}"));
        paal.presses(&["Escape"]);
        for view in VIEWS {
            paal.goes(&format!("{}#/{view}", office.page()));
            paal.sees(&css("main h1"));
            paal.misses(&css(".wait"));
            has_words(&paal, &format!("/{view} in {tag}"));
            headings.push(paal.reads(&css("main h1")));
        }
        paal.goes(&format!("{}#/", office.page()));
    }
    headings.sort();
    headings.dedup();
    assert!(headings.len() >= 15, "headings differ from language to language: {headings:?}");
}

#[test]
fn a_browser_is_spoken_to_in_its_language() {
    let office = Office::new("page-language");
    let svea = Person::at(Device { language: "sv-SE", ..DESKTOP });
    svea.forgives("401");
    svea.goes(&office.page());
    svea.sees(&heading("Logga in"));
    assert_eq!(svea.runs("document.documentElement.lang"), "sv");
    has_words(&svea, "sign-in in sv");
}

#[test]
fn a_phone_has_a_sheet_for_orders_and_the_player_at_its_foot() {
    let office = Office::new("page-mobile");
    let paal = Person::at(MOBILE);
    paal.forgives("401");
    paal.goes(&office.page());
    sign_in(&paal, "paal");
    paal.sees(&heading("Silent monitoring"));
    answers_by_hand(&paal);
    paal.clicks(&button("Listen to Anna Berg"));
    let sheet = dialog("Order listening");
    paal.sees(&sheet);
    assert!(paal.focus().starts_with("input This browser"), "{}", paal.focus());
    for _ in 0..30 {
        paal.presses(&["Tab"]);
        assert!(!paal.focus().contains("Bo Dahl"), "the focus stays in the sheet");
    }
    paal.presses(&["Escape"]);
    paal.misses(&sheet);
    assert_eq!(paal.focus(), "button Listen to Anna Berg", "the focus goes back");
    order(&paal, "Anna Berg");
    paal.misses(&sheet);
    let (caller, _) = office.call_anna();
    paal.clicks(&button("Start listening").nth(0));
    hears(&paal, ANNA_HZ, CALLER_HZ, Duration::from_secs(1));
    let card = paal.runs("document.querySelector('#listen').getBoundingClientRect().top < document.querySelector('#req').getBoundingClientRect().top");
    assert_eq!(card, true, "what is heard comes first");
    assert!(!paal.has(&region("Listening")), "the card is on the screen: no second player");
    paal.runs("scrollTo(0, document.body.scrollHeight)");
    paal.sees(&button("Stop listening").within(&region("Listening")));
    assert!(paal.runs("document.documentElement.scrollWidth").as_u64() <= Some(390), "nothing goes sideways");
    office.hang_up(office.platform, caller);
    paal.misses(&region("Listening"));
}

#[test]
fn a_keyboard_is_enough_from_the_search_to_undo() {
    let office = Office::new("page-keyboard");
    let paal = Person::at(DESKTOP);
    paal.forgives("401");
    paal.goes(&office.page());
    paal.sees(&heading("Sign in"));
    paal.until("the first field has the focus", |p| p.focus() == "input User");
    paal.types("paal");
    paal.presses(&["Tab"]);
    paal.types("paal-secret");
    paal.presses(&["Enter"]);
    paal.sees(&button("Listen to Anna Berg"));
    paal.presses(&["Tab"]);
    assert_eq!(paal.focus(), "a Skip to agents");
    paal.presses(&["Enter"]);
    paal.until("the agents have the focus", |p| p.focus() == "h2 Agents");
    paal.presses(&["/"]);
    assert_eq!(paal.focus(), "input Search agent");
    paal.types("berg");
    paal.misses(&text("Bo Dahl"));
    paal.sees(&role("status", "").with("1 agent found"));
    paal.tabs_to("button Listen to Anna Berg");
    paal.presses(&["Enter"]);
    paal.until("the first choice has the focus", |p| p.focus().starts_with("input This browser"));
    paal.presses(&["ArrowDown"]);
    assert!(paal.is_ticked(&radio("My softphone")));
    paal.presses(&["ArrowUp", "Tab", "Tab"]);
    paal.tabs_to("button Order listening");
    paal.presses(&["Enter"]);
    paal.sees(&text("Request on Anna Berg saved."));
    assert!(paal.focus().contains("Anna Berg"), "the focus is where it was: {}", paal.focus());
    paal.runs("document.querySelector('#h-req').focus()");
    paal.tabs_to("button Delete request on Anna Berg");
    paal.presses(&["Enter"]);
    paal.sees(&text("Request on Anna Berg deleted."));
    paal.tabs_to("button Undo");
    paal.presses(&["Enter"]);
    paal.sees(&text("Request on Anna Berg is back."));
    let seen = paal.runs(
        "(() => { const at = document.querySelector('#q'); at.focus(); return getComputedStyle(at).outlineStyle !== 'none' || getComputedStyle(at).boxShadow !== 'none'; })()",
    );
    assert_eq!(seen, true, "where the focus is can be seen");
}

#[test]
fn without_motion_nothing_moves_and_forced_colours_show_everything() {
    let office = Office::new("page-motion");
    let paal = Person::at(Device { motion: "reduce", colours: "active", ..DESKTOP });
    paal.forgives("401");
    paal.goes(&office.page());
    sign_in(&paal, "paal");
    paal.sees(&heading("Silent monitoring"));
    answers_by_hand(&paal);
    order(&paal, "Anna Berg");
    office.call_anna();
    paal.sees(&button("Start listening"));
    let moving = "document.getAnimations().filter((a) => a.playState === 'running' && a.effect.getComputedTiming().duration > 10).length";
    assert_eq!(paal.runs(moving), 0, "it rings without motion");
    paal.shoots("ringing-forced");
    paal.clicks(&button("Start listening"));
    hears(&paal, ANNA_HZ, CALLER_HZ, Duration::from_secs(1));
    assert_eq!(paal.runs(moving), 0);
    paal.misses(&css("#toast.shown"));
    let widths =
        paal.runs("[...document.querySelectorAll('[role=meter] i')].map((i) => getComputedStyle(i).backgroundColor)");
    let widths: Vec<String> = serde_json::from_value(widths).unwrap();
    assert!(
        widths.len() == 2 && widths.iter().all(|c| c != "rgba(0, 0, 0, 0)"),
        "the meters are to be seen: {widths:?}"
    );
    paal.is_accessible("forced colours");
    paal.shoots("live-forced");
}
