//! What every store must do, whatever it is made of.

use std::sync::Arc;

use engine::persist::{AgentRecord, Change, RequestRecord};
use engine::view::{
    AgentRef, CallCount, CallDirection, CallState, CallView, Focus, ListenerKind, ListenerRef, ListeningState,
    ListeningView, RequestState, RequestView,
};
use jiff::Timestamp;

use crate::{CallQuery, ListeningQuery, Page, RequestQuery, Store, StoreError};

/// A fresh store that a test can close and open again.
pub(crate) trait Fixture {
    fn new() -> Self;
    fn store(&self) -> Arc<dyn Store>;
    fn reopen(&mut self);
}

/// One test for each part of the suite.
macro_rules! suite {
    ($fixture:ty) => {
        $crate::conformance::suite!(@ $fixture;
            restores_what_is_active, survives_a_restart, the_last_one_wins, heard_is_one_change, agents_come_and_go,
            finds_listenings_by_every_filter, finds_listenings_by_time, finds_requests_by_every_filter,
            finds_calls_by_agent, lists_newest_first, pages_are_stable_under_inserts, pages_filtered_lists, refuses_strange_cursors
        );
    };
    (@ $fixture:ty; $($name:ident),*) => {
        $(#[test]
        fn $name() {
            $crate::conformance::$name::<$fixture>();
        })*
    };
}
pub(crate) use suite;

pub(crate) fn restores_what_is_active<F: Fixture>() {
    let fixture = F::new();
    let store = fixture.store();
    let mut ended = request("req_2", "anna");
    ended.view.state = RequestState::Fulfilled;
    let mut suspended = request("req_3", "anna");
    suspended.view.state = RequestState::Suspended;
    suspended.failures_in_a_row = 3;
    let mut over = listening("lst_2", "anna");
    over.state = ListeningState::Ended;
    let changes = [
        Change::Request(request("req_1", "anna")),
        Change::Request(ended),
        Change::Request(suspended.clone()),
        Change::Listening(listening("lst_1", "anna")),
        Change::Listening(over),
    ];
    store.apply(&changes).unwrap();
    let restored = store.restore().unwrap();
    assert_eq!(restored.requests, [request("req_1", "anna"), suspended]);
    assert_eq!(restored.listenings, [listening("lst_1", "anna")]);
    assert!(restored.agents.is_empty() && restored.agents_removed.is_empty());
}

pub(crate) fn survives_a_restart<F: Fixture>() {
    let mut fixture = F::new();
    let changes = [
        Change::Heard(listening("lst_1", "anna"), request("req_1", "anna")),
        Change::Call(call("call_1", "anna")),
        Change::Agent(agent("bo")),
        Change::AgentRemoved("cia".to_owned()),
    ];
    fixture.store().apply(&changes).unwrap();
    fixture.reopen();
    let store = fixture.store();
    assert_eq!(store.listening("lst_1").unwrap(), Some(listening("lst_1", "anna")));
    assert_eq!(store.request("req_1").unwrap(), Some(request("req_1", "anna").view));
    assert_eq!(store.call("call_1").unwrap(), Some(call("call_1", "anna")));
    let restored = store.restore().unwrap();
    assert_eq!(restored.requests, [request("req_1", "anna")]);
    assert_eq!(restored.agents, [agent("bo")]);
    assert_eq!(restored.agents_removed, ["cia"]);
}

pub(crate) fn the_last_one_wins<F: Fixture>() {
    let fixture = F::new();
    let store = fixture.store();
    let mut used = request("req_1", "anna");
    used.view.calls.used = 1;
    let mut fulfilled = used.clone();
    fulfilled.view.calls.used = 2;
    fulfilled.view.state = RequestState::Fulfilled;
    store.apply(&[Change::Request(request("req_1", "anna")), Change::Request(used)]).unwrap();
    store.apply(&[Change::Request(fulfilled.clone())]).unwrap();
    assert_eq!(store.request("req_1").unwrap(), Some(fulfilled.view.clone()));
    assert_eq!(store.requests(&RequestQuery::default()).unwrap().items, [fulfilled.view]);
    assert!(store.restore().unwrap().requests.is_empty());
    assert!(store.requests(&RequestQuery { active: Some(true), ..RequestQuery::default() }).unwrap().items.is_empty());
}

pub(crate) fn heard_is_one_change<F: Fixture>() {
    let fixture = F::new();
    let store = fixture.store();
    let mut counted = listening("lst_1", "anna");
    counted.counted = true;
    let mut used = request("req_1", "anna");
    used.view.calls.used = 1;
    store.apply(&[Change::Request(request("req_1", "anna")), Change::Listening(listening("lst_1", "anna"))]).unwrap();
    store.apply(&[Change::Heard(counted.clone(), used.clone())]).unwrap();
    assert_eq!(store.listening("lst_1").unwrap(), Some(counted));
    assert_eq!(store.request("req_1").unwrap(), Some(used.view));
}

pub(crate) fn agents_come_and_go<F: Fixture>() {
    let fixture = F::new();
    let store = fixture.store();
    let removed = Change::AgentRemoved("bo".to_owned());
    store.apply(&[Change::Agent(agent("bo")), removed.clone()]).unwrap();
    assert_eq!(store.restore().unwrap().agents_removed, ["bo"]);
    assert!(store.restore().unwrap().agents.is_empty());
    store.apply(&[Change::Agent(agent("bo"))]).unwrap();
    assert_eq!(store.restore().unwrap().agents, [agent("bo")]);
    assert!(store.restore().unwrap().agents_removed.is_empty());
}

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

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn listener(user: Option<&str>, agent: Option<&str>, number: Option<&str>) -> ListenerRef {
    let own = |text: Option<&str>| text.map(str::to_owned);
    ListenerRef {
        user: own(user),
        agent: own(agent),
        number: own(number),
        name: "Listener".to_owned(),
        kind: ListenerKind::Softphone,
    }
}

pub(crate) fn request(id: &str, agent: &str) -> RequestRecord {
    let view = RequestView {
        id: id.to_owned(),
        ordered_by: "paal".to_owned(),
        agent: AgentRef { id: agent.to_owned(), name: "Æsa Ødegård \"A\"".to_owned() },
        listener: listener(Some("paal"), None, None),
        calls: CallCount { limit: Some(2), used: 0 },
        until: Timestamp::UNIX_EPOCH,
        directions: vec![CallDirection::Inbound],
        layout: "mono".to_owned(),
        confirm: false,
        state: RequestState::Waiting,
        created_at: Timestamp::UNIX_EPOCH,
        ended_at: None,
        warnings: Vec::new(),
    };
    RequestRecord { view, failures_in_a_row: 0 }
}

pub(crate) fn listening(id: &str, agent: &str) -> ListeningView {
    ListeningView {
        id: id.to_owned(),
        request: "req_1".to_owned(),
        agent: AgentRef { id: agent.to_owned(), name: agent.to_owned() },
        listener: listener(Some("paal"), None, None),
        ordered_by: "paal".to_owned(),
        call: "call_1".to_owned(),
        caller_number: some("+4755512345"),
        access_number: None,
        queue: some("Support"),
        state: ListeningState::Waiting,
        ringing_at: None,
        answered_at: None,
        ended_at: None,
        heard_ms: 0,
        counted: false,
        end_reason: None,
        focus: Focus::Talk,
        shielded: false,
    }
}

pub(crate) fn call(id: &str, agent: &str) -> CallView {
    CallView {
        id: id.to_owned(),
        interaction: "int_1".to_owned(),
        agent: some(agent),
        direction: CallDirection::Inbound,
        caller_number: some("+4755512345"),
        called_number: some("1001"),
        access_number: None,
        queue: None,
        state: CallState::Ended,
        held: false,
        shielded: false,
        started_at: Timestamp::UNIX_EPOCH,
        answered_at: None,
        ended_at: None,
        end: None,
        listenings: Vec::new(),
        legs: Vec::new(),
    }
}

fn agent(id: &str) -> AgentRecord {
    AgentRecord {
        id: id.to_owned(),
        name: "Bo".to_owned(),
        number: "1002".to_owned(),
        group: some("Support"),
        skills: vec!["Sales".to_owned()],
        monitorable: true,
        contact: None,
    }
}
