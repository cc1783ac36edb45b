//! Answers to idempotency keys, registrations, dialogs, and what is forgotten.

use engine::persist::{AnswerRecord, BindingRecord, Change, DialogRecord, DialogState};
use jiff::{Timestamp, ToSpan};

use super::{Fixture, call, request};
use crate::Retention;

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + seconds.seconds()
}

fn answer(user: &str, key: &str, seconds: i64) -> AnswerRecord {
    AnswerRecord {
        user: user.to_owned(),
        key: key.to_owned(),
        asked: "00ff".to_owned(),
        at: at(seconds),
        request: request("req_1", "anna").view,
        status: 201,
    }
}

fn binding(contact: &str) -> BindingRecord {
    BindingRecord {
        contact: contact.to_owned(),
        transport: "udp".to_owned(),
        local: "127.0.0.1:5060".parse().unwrap(),
        remote: "[::1]:5062".parse().unwrap(),
        expires_at: at(60),
        instance: None,
        call_id: "a\"b".to_owned(),
        cseq: u32::MAX,
    }
}

fn dialog(key: &str, state: DialogState) -> DialogRecord {
    DialogRecord {
        key: key.to_owned(),
        state,
        call_id: "c".to_owned(),
        local_tag: "l".to_owned(),
        local: "<sip:a@b>".to_owned(),
        remote: "\"Æ\" <sip:b@c>".to_owned(),
        remote_tag: String::new(),
        target: "sip:b@192.0.2.1".to_owned(),
        route: vec!["<sip:p;lr>".to_owned()],
        cseq: 1,
        branch: "z9hG4bK1".to_owned(),
        transport: "udp".to_owned(),
        local_addr: "127.0.0.1:5060".parse().unwrap(),
        remote_addr: "127.0.0.1:5061".parse().unwrap(),
        call: None,
    }
}

pub(crate) fn keeps_documents_by_kind_and_id<F: Fixture>() {
    let mut fixture = F::new();
    let put = |kind: &str, id: &str, doc: Option<&str>| Change::Document {
        kind: kind.to_owned(),
        id: id.to_owned(),
        doc: doc.map(str::to_owned),
    };
    let first = [put("token", "b", Some("1")), put("token", "a", Some("2")), put("webhook", "a", Some("3"))];
    fixture.store().apply(&first).unwrap();
    fixture.store().apply(&[put("token", "b", Some("4")), put("webhook", "a", None), put("none", "a", None)]).unwrap();
    fixture.reopen();
    let pairs = [("a".to_owned(), "2".to_owned()), ("b".to_owned(), "4".to_owned())];
    assert_eq!(fixture.store().documents("token").unwrap(), pairs);
    assert_eq!(fixture.store().documents("webhook").unwrap(), []);
}

pub(crate) fn keeps_answers_by_user_and_key<F: Fixture>() {
    let mut fixture = F::new();
    let again = answer("paal", "k1", 5);
    fixture.store().apply(&[Change::Answer(answer("paal", "k1", 1)), Change::Answer(answer("sue", "k1", 2))]).unwrap();
    fixture.store().apply(&[Change::Answer(again.clone())]).unwrap();
    fixture.reopen();
    let store = fixture.store();
    assert_eq!(store.answer("paal", "k1").unwrap(), Some(again));
    assert_eq!(store.answer("sue", "k1").unwrap(), Some(answer("sue", "k1", 2)));
    assert_eq!(store.answer("paal", "k2").unwrap(), None);
    assert_eq!(store.answer("paalk", "1").unwrap(), None);
}

pub(crate) fn restores_registrations<F: Fixture>() {
    let mut fixture = F::new();
    let put = |user: &str, bindings: &[BindingRecord]| Change::Registrations {
        user: user.to_owned(),
        bindings: bindings.to_vec(),
    };
    let (old, new) = (binding("sip:old@192.0.2.1"), binding("sip:new@192.0.2.1"));
    fixture.store().apply(&[put("1001", std::slice::from_ref(&old)), put("1002", std::slice::from_ref(&old))]).unwrap();
    fixture.store().apply(&[put("1001", &[old.clone(), new.clone()]), put("1002", &[]), put("1003", &[])]).unwrap();
    fixture.reopen();
    assert_eq!(fixture.store().restore().unwrap().registrations, [("1001".to_owned(), vec![old, new])]);
}

pub(crate) fn restores_open_dialogs<F: Fixture>() {
    let mut fixture = F::new();
    let calling = dialog("lst_1", DialogState::Calling);
    let confirmed = DialogRecord { remote_tag: "r".to_owned(), ..dialog("lst_1", DialogState::Confirmed) };
    let other = dialog("call_1/agent", DialogState::Calling);
    fixture.store().apply(&[Change::Dialog(calling), Change::Dialog(other.clone())]).unwrap();
    fixture.store().apply(&[Change::Dialog(confirmed.clone()), Change::DialogEnded("lst_9".to_owned())]).unwrap();
    fixture.reopen();
    assert_eq!(fixture.store().restore().unwrap().dialogs, [other, confirmed]);
    fixture.store().apply(&[Change::DialogEnded("lst_1".to_owned())]).unwrap();
    assert_eq!(fixture.store().restore().unwrap().dialogs.len(), 1);
}

pub(crate) fn forgets_what_is_old<F: Fixture>() {
    let fixture = F::new();
    let store = fixture.store();
    for n in 0..5 {
        let mut ended = call(&format!("call_{n}"), "anna");
        ended.ended_at = Some(at(n));
        store.apply(&[Change::Call(ended), Change::Answer(answer("paal", &n.to_string(), n))]).unwrap();
    }
    let mut never = call("call_9", "anna");
    (never.started_at, never.ended_at) = (at(1), None);
    store.apply(&[Change::Call(never)]).unwrap();
    let left = || store.calls(&crate::CallQuery::default()).unwrap().items.len();
    let nothing = Retention { calls_before: None, answers_before: at(0) };
    assert_eq!(store.forget(&nothing, 10).unwrap(), 0);
    let limits = Retention { calls_before: Some(at(3)), answers_before: at(2) };
    assert_eq!(store.forget(&limits, 1).unwrap(), 2, "one of each");
    assert!(
        store.call("call_0").unwrap().is_none() && store.answer("paal", "0").unwrap().is_none(),
        "the oldest first"
    );
    assert_eq!(store.forget(&limits, 10).unwrap(), 4);
    assert_eq!(left(), 2);
    assert!(store.call("call_3").unwrap().is_some() && store.call("call_9").unwrap().is_none());
    assert!(store.answer("paal", "1").unwrap().is_none() && store.answer("paal", "2").unwrap().is_some());
    assert_eq!(store.forget(&limits, 10).unwrap(), 0);
}
