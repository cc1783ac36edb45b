//! The claim of one of N.

use std::sync::Barrier;

use engine::persist::Change;
use engine::view::RequestState;

use super::{Fixture, listening, request};
use crate::Claim;

pub(crate) fn claims_never_exceed_n<F: Fixture>() {
    let fixture = F::new();
    let store = fixture.store();
    assert_eq!(store.claim("req_1", "lst_1").unwrap(), Claim::NoRequest);
    store.apply(&[Change::Request(request("req_1", "anna"))]).unwrap();
    assert_eq!(store.claim("req_1", "lst_1").unwrap(), Claim::Granted);
    assert_eq!(store.claim("req_1", "lst_1").unwrap(), Claim::Granted, "it has it already");
    assert_eq!(store.claim("req_1", "lst_2").unwrap(), Claim::Granted);
    assert_eq!(store.claim("req_1", "lst_3").unwrap(), Claim::Full);
    store.unclaim("lst_1").unwrap();
    assert_eq!(store.claim("req_1", "lst_3").unwrap(), Claim::Granted);
    assert_eq!(store.claim("req_1", "lst_1").unwrap(), Claim::Full);
}

pub(crate) fn a_heard_claim_counts_and_stays<F: Fixture>() {
    let fixture = F::new();
    let store = fixture.store();
    store.apply(&[Change::Request(request("req_1", "anna"))]).unwrap();
    store.claim("req_1", "lst_1").unwrap();
    store.claim("req_1", "lst_2").unwrap();
    // Two nodes count at once, each from what it knew: the second's record says 1 again.
    let mut heard = request("req_1", "anna");
    heard.view.calls.used = 1;
    store.apply(&[Change::Heard(listening("lst_1", "anna"), heard.clone())]).unwrap();
    store.apply(&[Change::Heard(listening("lst_2", "anna"), heard)]).unwrap();
    store.unclaim("lst_1").unwrap();
    assert_eq!(store.claim("req_1", "lst_3").unwrap(), Claim::Full);
}

pub(crate) fn a_count_without_claims_counts<F: Fixture>() {
    let fixture = F::new();
    let store = fixture.store();
    let mut used = request("req_1", "anna");
    used.view.calls.used = 1;
    store.apply(&[Change::Request(used)]).unwrap();
    assert_eq!(store.claim("req_1", "lst_1").unwrap(), Claim::Granted);
    assert_eq!(store.claim("req_1", "lst_2").unwrap(), Claim::Full);
    let mut unlimited = request("req_2", "anna");
    unlimited.view.calls.limit = None;
    store.apply(&[Change::Request(unlimited)]).unwrap();
    for n in 0..9 {
        assert_eq!(store.claim("req_2", &format!("lst_2{n}")).unwrap(), Claim::Granted);
    }
}

pub(crate) fn the_end_of_a_request_takes_its_claims<F: Fixture>() {
    let fixture = F::new();
    let store = fixture.store();
    store.apply(&[Change::Request(request("req_1", "anna"))]).unwrap();
    store.claim("req_1", "lst_1").unwrap();
    let mut over = request("req_1", "anna");
    over.view.state = RequestState::Deleted;
    store.apply(&[Change::Request(over)]).unwrap();
    assert_eq!(store.claim("req_1", "lst_2").unwrap(), Claim::NoRequest);
    store.apply(&[Change::Request(request("req_1", "anna"))]).unwrap();
    assert_eq!(store.claim("req_1", "lst_2").unwrap(), Claim::Granted);
    assert_eq!(store.claim("req_1", "lst_3").unwrap(), Claim::Granted);
}

pub(crate) fn a_restart_gives_open_claims_back<F: Fixture>() {
    let mut fixture = F::new();
    let mut used = request("req_1", "anna");
    used.view.calls.used = 1;
    fixture.store().apply(&[Change::Heard(listening("lst_1", "anna"), used)]).unwrap();
    assert_eq!(fixture.store().claim("req_1", "lst_2").unwrap(), Claim::Granted);
    fixture.reopen();
    let store = fixture.store();
    assert_eq!(store.claim("req_1", "lst_3").unwrap(), Claim::Full, "its process may live");
    store.restore().unwrap();
    assert_eq!(store.claim("req_1", "lst_3").unwrap(), Claim::Granted);
    assert_eq!(store.claim("req_1", "lst_4").unwrap(), Claim::Full, "what was heard stays counted");
}

/// Two callers, for SQLite two connections, race for the last of N, many times.
pub(crate) fn two_race_for_the_last_of_n<F: Fixture>() {
    const ROUNDS: usize = 100;
    let fixture = F::new();
    let (one, other) = fixture.two();
    for round in 0..ROUNDS {
        let id = format!("req_{round}");
        let mut last = request(&id, "anna");
        last.view.calls.used = 1;
        one.apply(&[Change::Request(last)]).unwrap();
        let start = Barrier::new(2);
        let race = |store: &dyn crate::Store, who: &str| {
            start.wait();
            store.claim(&id, &format!("lst_{round}_{who}")).unwrap()
        };
        let (first, second) = std::thread::scope(|scope| {
            let first = scope.spawn(|| race(&*one, "one"));
            let second = scope.spawn(|| race(&*other, "other"));
            (first.join().unwrap(), second.join().unwrap())
        });
        let won = [first, second].iter().filter(|claim| **claim == Claim::Granted).count();
        assert_eq!(won, 1, "round {round}: {first:?}, {second:?}");
    }
}
