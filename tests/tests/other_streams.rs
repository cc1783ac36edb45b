//! Video beside audio: relayed where it is configured, heard and seen by nobody else, and never what a call lives by.

use std::net::SocketAddr;
use std::time::Duration;

use phone::State;
use sim::{Leg, Setup, World};

const SECOND: Duration = Duration::from_secs(1);
const PHONES: [&str; 3] = ["trunk", "anna", "bo"];

fn world(relay: bool) -> World {
    World::with(|setup| {
        setup.settings.other_streams = relay;
        show_video(setup);
    })
}

fn show_video(setup: &mut Setup) {
    for name in PHONES {
        setup.phone(name).habits.video = true;
    }
}

/// A packet of video: payload type 96.
fn packet(sequence: u8, size: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 96, 0, sequence, 0, 0, 0, 1, 0, 0, 0, 77];
    packet.resize(size, sequence);
    packet
}

/// Sends one packet of video from a call; what comes at `at`, and from where.
fn shows(w: &mut World, from: Leg, at: SocketAddr, sequence: u8) -> Option<(SocketAddr, Vec<u8>)> {
    let (local, remote) = w.call(from).session().video().expect("its video");
    w.listen_at(at);
    let before = w.heard_at(at).len();
    w.send_packet(local, remote, packet(sequence, 1_400));
    w.run_for(SECOND / 10);
    w.heard_at(at).get(before).map(|(from, data)| (*from, data.to_vec()))
}

#[track_caller]
fn sees(w: &mut World, from: Leg, to: Leg, sequence: u8) {
    let (at, expected) = w.call(to).session().video().expect("video on the other side");
    let (source, data) = shows(w, from, at, sequence).expect("it arrives");
    assert_eq!((source, data), (expected, packet(sequence, 1_400)), "unchanged, from where it was described");
}

#[test]
fn video_passes_both_ways_unchanged_beside_audio() {
    let mut w = world(true);
    let (out, inn) = w.call_agent();
    sees(&mut w, out, inn, 1);
    sees(&mut w, inn, out, 2);
    w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
    w.hang_up(out);
    w.until_ended(inn);
}

#[test]
fn it_is_refused_unless_it_is_configured() {
    let mut w = world(false);
    let (out, inn) = w.call_agent();
    assert!([out, inn].into_iter().all(|leg| w.call(leg).session().video().is_none()));
    w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
    w.hang_up(out);
    w.until_ended(inn);
}

#[test]
fn video_comes_goes_and_comes_again() {
    let mut w = World::with(|setup| {
        setup.settings.other_streams = true;
        setup.phone("anna").habits.video = true;
    });
    let (out, inn) = w.call_agent();
    assert!(w.call(inn).session().video().is_none(), "the caller offered none");
    for (on, sequence) in [(true, 1), (false, 2), (true, 3)] {
        w.act(out, |phone, now, call, outputs| phone.show_video(now, call, on, outputs));
        w.run_for(SECOND);
        assert_eq!([out, inn].map(|leg| w.call(leg).session().video().is_some()), [on; 2]);
        if on {
            sees(&mut w, out, inn, sequence);
            sees(&mut w, inn, out, sequence);
        }
    }
    w.hang_up(inn);
    w.until_ended(out);
}

#[test]
fn a_transfer_takes_it_along() {
    let mut w = world(true);
    let (out, inn) = w.call_agent();
    sees(&mut w, out, inn, 1);
    assert_eq!(w.refer(inn, "1002"), 202);
    let target = w.answered("bo");
    w.until_ended(inn);
    sees(&mut w, out, target, 2);
    sees(&mut w, target, out, 3);
    w.hang_up(out);
    w.until_ended(target);
}

#[test]
fn a_call_ends_for_its_silent_audio_whatever_its_video_does() {
    let mut w = World::with(|setup| {
        setup.settings.other_streams = true;
        setup.media.rtp_timeout = 5 * SECOND;
        show_video(setup);
    });
    let (out, inn) = w.call_agent();
    let at = w.call(inn).session().video().expect("video").0;
    w.run_for(SECOND);
    w.cut_media("trunk");
    w.cut_media("anna");
    for sequence in 1..=60 {
        if w.state(out) != State::Up {
            break;
        }
        shows(&mut w, out, at, sequence);
    }
    w.run_for(SECOND);
    assert_ne!(w.state(out), State::Up);
}
