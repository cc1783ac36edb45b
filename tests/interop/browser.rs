//! A browser as listener: Chromium on the engine's page hears agent and caller, each on its side, through an ICE restart, and
//! is told why it ended.

use std::time::{Duration, Instant};

use medlytt_stories::rig::baresip::Baresip;
use medlytt_stories::rig::browser::{Browser, Heard};
use medlytt_stories::rig::engine::{Engine, TOKEN, folder, free_port, until};

use crate::phones::{anna, caller, parties};

const AGENT: u32 = 440;
const CALLER: u32 = 800;

/// The agent left, the caller right, neither on the other's side.
fn is_right(heard: &Heard) -> bool {
    let there = |side, hz| heard.share(side, hz) > 0.5;
    let absent = |side, hz| heard.share(side, hz) < 0.05;
    there("left", AGENT) && there("right", CALLER) && absent("left", CALLER) && absent("right", AGENT)
}

fn assert_mostly_right(browser: &Browser, from: Instant, what: &str) {
    let heard: Vec<&Heard> = browser.since(from).collect();
    let right = heard.iter().filter(|heard| is_right(heard)).count();
    assert!(heard.len() >= 5 && right * 10 >= heard.len() * 9, "{what}: {right} of {}: {heard:?}", heard.len());
}

fn hears_a_call(name: &str, query: &str, seconds: u32) {
    let (folder, port) = (folder(name), free_port("127.0.0.2"));
    let engine = Engine::start(name, &parties(port, ""));
    let agent = Baresip::start(&folder, &anna(&engine));
    let mut browser = Browser::listen(&format!("http://{}/{query}#{TOKEN}", engine.api), "anna", &[AGENT, CALLER]);
    browser.until("the order stands", Duration::from_secs(20), |b| b.said.iter().any(|s| s.starts_with("Waiting")));
    let call = caller(&folder, port, &engine, seconds * 1000);
    browser.until_live();
    browser.listen_for(Duration::from_secs(1));
    let settled = Instant::now();
    browser.listen_for(Duration::from_secs(u64::from(seconds) / 3));
    assert_mostly_right(&browser, settled, "both sides are heard");
    browser.tell("restart");
    browser.listen_for(Duration::from_secs(1));
    let restarted = Instant::now();
    browser.listen_for(Duration::from_secs(u64::from(seconds) / 3));
    assert_mostly_right(&browser, restarted, "both sides are heard after an ICE restart");
    assert_eq!(call.finish().0, 1, "the call went through: {}", agent.says());
    browser.until("the page says why it ended", Duration::from_secs(10), |b| {
        b.said.iter().any(|said| said.contains("call-ended"))
    });
    let ended = &engine.get("/v1/listenings")["items"][0];
    assert_eq!((ended["end_reason"].as_str(), ended["counted"].as_bool()), (Some("call-ended"), Some(true)), "{ended}");
    assert!(agent.heard().len() > 8000, "the agent heard its caller all the while");
    let _ = std::fs::remove_dir_all(folder);
}

#[test]
fn chromium_hears_both_sides_in_one_stereo_track_for_30_s() {
    hears_a_call("browser-stereo", "", 36);
}

#[test]
fn chromium_hears_both_sides_in_two_tracks() {
    hears_a_call("browser-two", "?tracks=2", 18);
}

#[test]
fn the_stop_button_hangs_up() {
    let (folder, port) = (folder("browser-stop"), free_port("127.0.0.2"));
    let engine = Engine::start("browser-stop", &parties(port, ""));
    let agent = Baresip::start(&folder, &anna(&engine));
    let mut browser = Browser::listen(&format!("http://{}/#{TOKEN}", engine.api), "anna", &[AGENT, CALLER]);
    browser.until("the order stands", Duration::from_secs(20), |b| b.said.iter().any(|s| s.starts_with("Waiting")));
    let call = caller(&folder, port, &engine, 10_000);
    browser.until_live();
    browser.tell("stop");
    until("the listening has ended", Duration::from_secs(5), || {
        engine.get("/v1/listenings")["items"][0]["end_reason"] == "listener-hung-up"
    });
    assert_eq!(call.finish().0, 1, "the call went on: {}", agent.says());
    let _ = std::fs::remove_dir_all(folder);
}
