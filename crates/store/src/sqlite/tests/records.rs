//! Records that are not what they should be.

use engine::persist::Change;
use engine::view::LegView;

use crate::conformance::{call, listening, request};
use crate::{CallQuery, RequestQuery, SqliteStore, Store, StoreError};

#[test]
fn one_record_that_cannot_be_read_stops_neither_start_nor_lists() {
    let store = SqliteStore::in_memory().unwrap();
    for n in 1..=3 {
        store
            .apply(&[
                Change::Request(request(&format!("req_{n}"), "anna")),
                Change::Listening(listening(&format!("lst_{n}"), "anna")),
                Change::Call(call(&format!("call_{n}"), "anna")),
            ])
            .unwrap();
    }
    for broken in ["'{'", "'null'", "x'00ff'", "42", "'{\"id\": 1}'"] {
        let before = store.unreadable();
        for table in ["request", "listening", "call"] {
            let id = match table {
                "request" => "req_2",
                "listening" => "lst_2",
                _ => "call_2",
            };
            store.writer().execute(&format!("UPDATE {table} SET doc = {broken} WHERE id = '{id}'"), []).unwrap();
        }
        let restored = store.restore().unwrap();
        assert_eq!(restored.requests, [request("req_1", "anna"), request("req_3", "anna")], "{broken}");
        assert_eq!(restored.listenings, [listening("lst_1", "anna"), listening("lst_3", "anna")], "{broken}");
        assert_eq!(store.unreadable(), before + 2, "{broken}");
        let calls = store.calls(&CallQuery { limit: 2, ..CallQuery::default() }).unwrap();
        assert_eq!(calls.items.iter().map(|call| call.id.as_str()).collect::<Vec<_>>(), ["call_3", "call_1"]);
        assert_eq!(calls.next_cursor, None);
        let first = store.requests(&RequestQuery { limit: 1, ..RequestQuery::default() }).unwrap();
        let next = RequestQuery { limit: 1, cursor: first.next_cursor, ..RequestQuery::default() };
        assert_eq!(store.requests(&next).unwrap().items[0].id, "req_1");
        assert!(matches!(store.request("req_2"), Err(StoreError::Corrupt(_))));
    }
    store.apply(&[Change::Request(request("req_2", "anna"))]).unwrap();
    assert_eq!(store.restore().unwrap().requests.len(), 3, "written anew it is back");
}

#[test]
fn a_corrupt_record_is_named() {
    let store = SqliteStore::in_memory().unwrap();
    store.writer().execute("INSERT INTO call (id, agent, doc) VALUES ('call_1', 'anna', '{')", []).unwrap();
    assert!(matches!(store.call("call_1"), Err(StoreError::Corrupt(what)) if what.starts_with("call_1")));
}

#[test]
fn jitter_that_is_no_number_does_not_spoil_its_record() {
    let store = SqliteStore::in_memory().unwrap();
    let mut odd = call("call_1", "anna");
    odd.legs.push(LegView {
        role: "agent".to_owned(),
        sip_call_id: "x".to_owned(),
        codec: None,
        srtp: None,
        packets: 0,
        lost: 0,
        jitter_ms: f32::NAN,
        silent: false,
    });
    store.apply(&[Change::Call(odd)]).unwrap();
    assert_eq!(store.call("call_1").unwrap().unwrap().legs[0].jitter_ms, 0.0);
}
