//! Lists: filters, order, pages.

use engine::persist::Change;
use engine::view::{ListeningState, ListeningView, RequestState};
use jiff::Timestamp;

use super::{Fixture, call, listener, listening, request, some};
use crate::{CallQuery, ListeningQuery, Page, RequestQuery, StoreError};

pub(crate) fn finds_listenings_by_every_filter<F: Fixture>() {
    let fixture = F::new();
    let store = fixture.store();
    let mut by_number = listening("lst_2", "bo");
    by_number.listener = listener(None, None, Some("+4799999999"));
    by_number.caller_number = Some("+4622222222".to_owned());
    by_number.state = ListeningState::Ended;
    let mut by_agent = listening("lst_3", "anna");
    by_agent.listener = listener(None, Some("cia"), None);
    by_agent.ordered_by = "sue".to_owned();
    by_agent.caller_number = None;
    let all = [listening("lst_1", "anna"), by_number, by_agent];
    store.apply(&all.clone().map(Change::Listening)).unwrap();
    let base = ListeningQuery::default;
    let cases: [(ListeningQuery, &[&str]); 11] = [
        (base(), &["lst_3", "lst_2", "lst_1"]),
        (ListeningQuery { agent: some("anna"), ..base() }, &["lst_3", "lst_1"]),
        (ListeningQuery { listener: some("paal"), ..base() }, &["lst_1"]),
        (ListeningQuery { listener: some("+4799999999"), ..base() }, &["lst_2"]),
        (ListeningQuery { listener: some("cia"), ..base() }, &["lst_3"]),
        (ListeningQuery { ordered_by: some("sue"), ..base() }, &["lst_3"]),
        (ListeningQuery { caller: some("2222"), ..base() }, &["lst_2"]),
        (ListeningQuery { caller: some("%"), ..base() }, &[]),
        (ListeningQuery { state: Some(ListeningState::Ended), ..base() }, &["lst_2"]),
        (ListeningQuery { agent: some("anna"), ordered_by: some("paal"), ..base() }, &["lst_1"]),
        (ListeningQuery { agent: some("' OR 1 --"), ..base() }, &[]),
    ];
    for (query, wanted) in cases {
        assert_eq!(ids(&store.listenings(&query).unwrap()), wanted, "{query:?}");
        assert_eq!(
            all.iter().rev().filter(|l| query.matches(l)).map(|l| l.id.as_str()).collect::<Vec<_>>(),
            wanted,
            "{query:?}"
        );
    }
}

pub(crate) fn finds_listenings_by_time<F: Fixture>() {
    let fixture = F::new();
    let store = fixture.store();
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let mut answered = listening("lst_1", "anna");
    answered.ringing_at = Some(at("2026-01-01T09:59:00Z"));
    answered.answered_at = Some(at("2026-01-01T10:00:00Z"));
    let mut rang = listening("lst_2", "anna");
    rang.ringing_at = Some(at("2026-01-01T11:00:00Z"));
    let mut ended = listening("lst_3", "anna");
    ended.ended_at = Some(at("2026-01-01T12:00:00.000000001Z"));
    let waiting = listening("lst_4", "anna");
    let all = [answered, rang, ended, waiting];
    store.apply(&all.clone().map(Change::Listening)).unwrap();
    let cases: [(Option<&str>, Option<&str>, &[&str]); 7] = [
        (Some("2026-01-01T10:00:00Z"), None, &["lst_3", "lst_2", "lst_1"]),
        (Some("2026-01-01T10:00:00.000000001Z"), None, &["lst_3", "lst_2"]),
        (None, Some("2026-01-01T11:00:00Z"), &["lst_1"]),
        (Some("2026-01-01T11:00:00Z"), Some("2026-01-01T12:00:00.000000001Z"), &["lst_2"]),
        (Some("2026-01-01T12:00:00.000000001Z"), None, &["lst_3"]),
        (Some("-009999-01-02T01:59:59Z"), Some("9999-12-30T22:00:00Z"), &["lst_3", "lst_2", "lst_1"]),
        (Some("9999-12-30T22:00:00Z"), None, &[]),
    ];
    for (from, to, wanted) in cases {
        let query = ListeningQuery { from: from.map(at), to: to.map(at), ..ListeningQuery::default() };
        assert_eq!(ids(&store.listenings(&query).unwrap()), wanted, "{query:?}");
        assert_eq!(
            all.iter().rev().filter(|l| query.matches(l)).map(|l| l.id.as_str()).collect::<Vec<_>>(),
            wanted,
            "{query:?}"
        );
    }
}

pub(crate) fn finds_requests_by_every_filter<F: Fixture>() {
    let fixture = F::new();
    let store = fixture.store();
    let mut ended = request("req_2", "bo");
    ended.view.state = RequestState::Expired;
    let mut suspended = request("req_3", "anna");
    suspended.view.state = RequestState::Suspended;
    suspended.view.ordered_by = "sue".to_owned();
    store.apply(&[request("req_1", "anna"), ended, suspended].map(Change::Request)).unwrap();
    let base = RequestQuery::default;
    let cases: [(RequestQuery, &[&str]); 7] = [
        (base(), &["req_3", "req_2", "req_1"]),
        (RequestQuery { active: Some(true), ..base() }, &["req_3", "req_1"]),
        (RequestQuery { active: Some(false), ..base() }, &["req_2"]),
        (RequestQuery { state: Some(RequestState::Suspended), ..base() }, &["req_3"]),
        (RequestQuery { agent: some("anna"), ..base() }, &["req_3", "req_1"]),
        (RequestQuery { ordered_by: some("sue"), ..base() }, &["req_3"]),
        (RequestQuery { ordered_by: some("sue"), agent: some("bo"), ..base() }, &[]),
    ];
    for (query, wanted) in cases {
        let page = store.requests(&query).unwrap();
        assert_eq!(page.items.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), wanted, "{query:?}");
        assert!(page.items.iter().all(|r| query.matches(r)));
    }
}

pub(crate) fn finds_calls_by_agent<F: Fixture>() {
    let fixture = F::new();
    let store = fixture.store();
    let mut nobody = call("call_3", "anna");
    nobody.agent = None;
    store.apply(&[call("call_1", "anna"), call("call_2", "bo"), nobody].map(Change::Call)).unwrap();
    let find = |agent: Option<&str>, agents: Option<&[&str]>| {
        let agents = agents.map(|agents| agents.iter().map(|a| (*a).to_owned()).collect());
        let page = store.calls(&CallQuery { agent: agent.map(str::to_owned), agents, ..CallQuery::default() }).unwrap();
        page.items.into_iter().map(|c| c.id).collect::<Vec<_>>()
    };
    assert_eq!(find(None, None), ["call_3", "call_2", "call_1"]);
    assert_eq!(find(Some("bo"), None), ["call_2"]);
    assert_eq!(find(None, Some(&["anna", "bo", "quo\"te"])), ["call_2", "call_1"]);
    assert_eq!(find(Some("bo"), Some(&["anna"])), [""; 0]);
    assert_eq!(find(None, Some(&[])), [""; 0]);
}

pub(crate) fn lists_newest_first<F: Fixture>() {
    let fixture = F::new();
    let store = fixture.store();
    for id in ["call_2", "call_9", "call_1"] {
        store.apply(&[Change::Call(call(id, "anna"))]).unwrap();
    }
    let page = store.calls(&CallQuery::default()).unwrap();
    assert_eq!(page.items.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["call_9", "call_2", "call_1"]);
    assert_eq!(page.next_cursor, None);
}

pub(crate) fn pages_are_stable_under_inserts<F: Fixture>() {
    let fixture = F::new();
    let store = fixture.store();
    let put = |n: u32| store.apply(&[Change::Listening(listening(&format!("lst_{n:03}"), "anna"))]).unwrap();
    (0..10).for_each(put);
    let mut seen = Vec::new();
    let mut query = ListeningQuery { limit: 3, ..ListeningQuery::default() };
    let mut newer = 100;
    loop {
        let page = store.listenings(&query).unwrap();
        seen.extend(page.items.iter().map(|l| l.id.clone()));
        assert!(page.items.len() <= 3);
        put(newer);
        newer += 1;
        let Some(cursor) = page.next_cursor else { break };
        query.cursor = Some(cursor);
    }
    let wanted: Vec<_> = (0..10).rev().map(|n| format!("lst_{n:03}")).collect();
    assert_eq!(seen, wanted);
}

pub(crate) fn pages_filtered_lists<F: Fixture>() {
    let fixture = F::new();
    let store = fixture.store();
    for n in 0..9 {
        let who = if n % 2 == 0 { "anna" } else { "bo" };
        store.apply(&[Change::Request(request(&format!("req_{n}"), who))]).unwrap();
    }
    let mut query = RequestQuery { agent: some("bo"), limit: 2, ..RequestQuery::default() };
    let first = store.requests(&query).unwrap();
    assert_eq!(first.items.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), ["req_7", "req_5"]);
    query.cursor = first.next_cursor;
    let second = store.requests(&query).unwrap();
    assert_eq!(second.items.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), ["req_3", "req_1"]);
    assert_eq!(second.next_cursor, None, "a page that ends exactly with the list has no next one");
}

pub(crate) fn refuses_strange_cursors<F: Fixture>() {
    let fixture = F::new();
    let store = fixture.store();
    for cursor in ["", "x", "zz", "00ff", &crate::encode_cursor("calls", "call_1")] {
        let query = ListeningQuery { cursor: some(cursor), ..ListeningQuery::default() };
        assert!(matches!(store.listenings(&query), Err(StoreError::Cursor)), "{cursor}");
    }
}

fn ids(page: &Page<ListeningView>) -> Vec<&str> {
    page.items.iter().map(|l| l.id.as_str()).collect()
}
