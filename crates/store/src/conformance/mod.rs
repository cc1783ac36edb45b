//! What every store must do, whatever it is made of.

mod claims;
mod kept;
mod lists;
mod trail;

use std::sync::Arc;

use engine::persist::{AgentRecord, Change, RequestRecord};
use engine::view::{
    AgentRef, CallCount, CallDirection, CallState, CallView, Focus, ListenerKind, ListenerRef, ListeningState,
    ListeningView, RequestState, RequestView,
};
use jiff::Timestamp;

use crate::{RequestQuery, Store};

/// A fresh store that a test can close and open again.
pub(crate) trait Fixture {
    fn new() -> Self;
    fn store(&self) -> Arc<dyn Store>;
    fn reopen(&mut self);
    /// Two doors to the same data, as two nodes have them.
    fn two(&self) -> (Arc<dyn Store>, Arc<dyn Store>) {
        (self.store(), self.store())
    }
}

/// One test for each part of the suite.
macro_rules! suite {
    ($fixture:ty) => {
        $crate::conformance::suite!(@ $fixture;
            restores_what_is_active, survives_a_restart, the_last_one_wins, heard_is_one_change, agents_come_and_go,
            finds_listenings_by_every_filter, finds_listenings_by_time, finds_requests_by_every_filter,
            finds_calls_by_agent, lists_newest_first, pages_are_stable_under_inserts, pages_filtered_lists, refuses_strange_cursors,
            chains_the_audit_trail, finds_audit_entries_by_every_filter, pages_the_audit_trail,
            keeps_answers_by_user_and_key, keeps_documents_by_kind_and_id, restores_registrations, restores_open_dialogs, forgets_what_is_old,
            claims_never_exceed_n, a_heard_claim_counts_and_stays, a_count_without_claims_counts,
            the_end_of_a_request_takes_its_claims, a_restart_gives_open_claims_back, two_race_for_the_last_of_n
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

pub(crate) use claims::*;
pub(crate) use kept::*;
pub(crate) use lists::*;
pub(crate) use trail::*;

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
        layout: Default::default(),
        confirm: false,
        state: RequestState::Waiting,
        reason: None,
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
        layout: Default::default(),
        gains: Default::default(),
        level_matching: false,
        quality: None,
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
        srtp: Some("require".to_owned()),
    }
}
