//! SEMANTICS, After a restart.

use signalling::{DialogCopy, OrphanId, ReceiptId};

use super::*;
use crate::persist::{BindingRecord, DialogRecord, DialogState};

/// What the store holds after a kill in the middle of a heard listening.
fn killed() -> Restored {
    let mut b = Bench::new();
    let id = b.order("anna", user("sue"), 3);
    b.call("1001");
    b.listens();
    b.heard(3_000);
    let mut restored = Restored::default();
    for change in &b.persisted {
        match change {
            Change::Request(request) if request.view.id == id => restored.requests = vec![request.clone()],
            Change::Listening(listening) => restored.listenings = vec![listening.clone()],
            Change::Heard(listening, request) => {
                restored.requests = vec![request.clone()];
                restored.listenings = vec![listening.clone()];
            }
            _ => {}
        }
    }
    restored
}

#[test]
fn orders_and_counts_are_as_they_were_and_open_listenings_are_closed() {
    let restored = killed();
    let id = restored.requests[0].view.id.clone();
    let mut b = Bench::with(settings(), seed(), restored);
    let request = b.request(&id);
    assert_eq!((request.state, request.calls), (RequestState::Waiting, CallCount { limit: Some(3), used: 1 }));
    assert_eq!(b.reasons(), vec![EndReason::EngineRestarted]);
    assert!(b.last_listening().counted && b.last_listening().ended_at.is_some());
    assert!(
        b.persisted
            .iter()
            .any(|c| matches!(c, Change::Listening(l) if l.end_reason == Some(EndReason::EngineRestarted)))
    );
    b.call("1001");
    b.listens();
    assert_eq!(b.request(&id).state, RequestState::Listening);
}

#[test]
fn requests_past_until_are_expired_and_full_ones_fulfilled() {
    let mut restored = killed();
    restored.listenings.clear();
    let mut late = restored.requests[0].clone();
    late.view.id = "req_late".into();
    late.view.until = "2026-11-22T11:00:00Z".parse().unwrap();
    let mut full = restored.requests[0].clone();
    full.view.id = "req_full".into();
    full.view.calls = CallCount { limit: Some(1), used: 1 };
    let mut suspended = restored.requests[0].clone();
    suspended.view.id = "req_suspended".into();
    suspended.view.state = RequestState::Suspended;
    restored.requests.extend([late, full, suspended]);
    let b = Bench::with(settings(), seed(), restored);
    assert_eq!(b.request("req_late").state, RequestState::Expired);
    assert_eq!(b.request("req_full").state, RequestState::Fulfilled);
    assert_eq!(b.request("req_suspended").state, RequestState::Suspended);
    assert!(b.removed.contains(&"req_late".to_owned()) && b.removed.contains(&"req_full".to_owned()));
}

#[test]
fn the_apis_agents_return() {
    let mut b = Bench::new();
    let agent = AgentChange {
        name: Some("Dag".into()),
        number: Some("1009".into()),
        contact: Some("sip:dag@127.0.0.1:6009".into()),
        ..AgentChange::default()
    };
    b.command("platform", Command::PutAgent { id: "dag".into(), agent }).unwrap();
    b.command("platform", Command::DeleteAgent { id: "bo".into() }).unwrap();
    let agents = b
        .persisted
        .iter()
        .filter_map(|c| if let Change::Agent(record) = c { Some(record.clone()) } else { None })
        .collect();
    let mut b =
        Bench::with(settings(), seed(), Restored { agents, agents_removed: vec!["bo".into()], ..Restored::default() });
    assert_eq!(b.agents.keys().map(String::as_str).collect::<Vec<_>>(), ["anna", "cia", "dag"]);
    assert!(b.agents["dag"].registered);
    assert!(b.trunk_calls("1009", &[]).is_some());
}

#[test]
fn what_the_store_refused_is_offered_again() {
    let mut b = Bench::new();
    let call = b.call("1001");
    b.store_up = false;
    b.bye(call.caller);
    assert!(b.removed.is_empty(), "it stays in the views");
    b.seconds(6);
    assert!(b.removed.is_empty());
    b.store_up = true;
    b.seconds(6);
    assert_eq!(b.removed.len(), 1);
    b.is_quiet();
}

#[test]
fn a_count_that_the_store_refused_is_shown_when_it_is_kept() {
    let mut b = Bench::new();
    let id = b.order("anna", user("sue"), 3);
    b.call("1001");
    b.listens();
    b.store_up = false;
    b.heard(3_000);
    let change = AgentChange { name: Some("Anna Dahl".into()), ..AgentChange::default() };
    let problem = b.command("platform", Command::PutAgent { id: "anna".into(), agent: change }).unwrap_err();
    assert_eq!((problem.status, problem.code), (503, "store-unavailable"));
    b.seconds(6);
    assert_eq!(b.request(&id).calls.used, 0);
    b.store_up = true;
    b.seconds(5);
    assert_eq!(b.request(&id).calls.used, 1);
    assert!(b.persisted.iter().any(|c| matches!(c, Change::Heard(l, r) if l.counted && r.view.calls.used == 1)));
    assert!(b.persisted.iter().any(|c| matches!(c, Change::Agent(r) if r.name == "Anna Dahl")));
}

/// What a store has after these writes: every request that counts has as many counted listenings.
fn counts_agree(b: &Bench) {
    let (mut used, mut counted) = (BTreeMap::new(), BTreeMap::new());
    for changes in &b.writes {
        for change in changes {
            if let Change::Request(r) | Change::Heard(_, r) = change {
                used.insert(r.view.id.clone(), r.view.calls.used);
            }
            if let Change::Listening(l) | Change::Heard(l, _) = change {
                counted.insert(l.id.clone(), (l.request.clone(), l.counted));
            }
        }
        for (id, used) in &used {
            let listenings = counted.values().filter(|(request, counted)| request == id && *counted).count();
            assert_eq!(listenings, *used as usize, "of {id}, after {changes:?}");
        }
    }
}

#[test]
fn a_heard_listening_that_the_store_refused_is_offered_with_its_request() {
    let mut b = Bench::new();
    b.order("anna", user("sue"), 3);
    let call = b.call("1001");
    b.listens();
    b.store_up = false;
    b.heard(3_000);
    b.store_up = true;
    b.seconds(6);
    counts_agree(&b);
    assert!(b.last_listening().counted);
    b.bye(call.caller);
    counts_agree(&b);
    b.is_quiet();
}

#[test]
fn nor_are_they_parted_when_it_ends_before_the_store_is_back() {
    for counted_late in [false, true] {
        let mut b = Bench::new();
        let id = b.order("anna", user("sue"), 3);
        let call = b.call("1001");
        b.listens();
        b.store_up = false;
        b.heard(2_500);
        b.heard_last = 3_000;
        if !counted_late {
            b.heard(3_000);
        }
        b.bye(call.caller);
        assert_eq!(b.request(&id).calls.used, 0, "not before it is stored");
        b.seconds(6);
        b.store_up = true;
        b.seconds(6);
        counts_agree(&b);
        assert_eq!(b.request(&id).calls.used, 1);
        let last = b.persisted.iter().rev().find_map(|change| match change {
            Change::Listening(l) | Change::Heard(l, _) => Some((l.counted, l.heard_ms, l.state)),
            _ => None,
        });
        assert_eq!(last, Some((true, 3_000, ListeningState::Ended)));
        b.is_quiet();
    }
}

#[test]
fn what_the_store_never_takes_is_bounded() {
    let mut b = Bench::with(Settings { max_ended_views: 2, ..settings() }, seed(), Restored::default());
    b.store_up = false;
    for _ in 0..5 {
        let call = b.call("1001");
        b.bye(call.caller);
    }
    assert_eq!((b.removed.len(), b.count("records_lost")), (3, 3));
}

/// What nobody waits for is written by then.
const BEHIND: Duration = Duration::from_millis(20);

/// Dialogs that the store has after everything that was written, by key.
fn dialogs(b: &Bench) -> BTreeMap<String, DialogRecord> {
    let mut dialogs = BTreeMap::new();
    for change in &b.persisted {
        match change {
            Change::Dialog(record) => drop(dialogs.insert(record.key.clone(), record.clone())),
            Change::DialogEnded(key) => drop(dialogs.remove(key)),
            _ => {}
        }
    }
    dialogs
}

fn orphans(b: &Bench) -> Vec<(OrphanId, DialogCopy)> {
    b.told(|command| match command {
        signalling::Command::EndOrphan { orphan, dialog, .. } => Some((*orphan, DialogCopy::clone(dialog))),
        _ => None,
    })
}

fn recorded(b: &Bench) -> Vec<LegId> {
    b.told(|command| if let signalling::Command::Recorded { leg } = command { Some(*leg) } else { None })
}

#[test]
fn the_listeners_dialog_and_listening_are_one_write_before_the_invite() {
    let mut b = Bench::new();
    b.order("anna", user("sue"), 3);
    b.hold_store = true;
    b.call("1001");
    b.answer_store(true); // the record of the listening
    assert!(!b.held_back.is_empty() && recorded(&b).is_empty());
    let leg = b.listener().leg;
    let both = b
        .held_back
        .iter()
        .find(|(_, changes)| changes.iter().any(|c| matches!(c, Change::Dialog(d) if d.key.starts_with("lst_"))));
    let (_, changes) = both.expect("it is asked for");
    let [.., Change::Listening(listening), Change::Dialog(dialog)] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!(listening.state, ListeningState::Ringing);
    assert_eq!((dialog.key.as_str(), dialog.state), (&*format!("{}/tag{}", listening.id, leg.0), DialogState::Calling));
    assert_eq!((dialog.transport.as_str(), dialog.branch.as_str()), ("udp", &*format!("z9hG4bK{}", leg.0)));
    b.answer_store(true);
    assert_eq!(recorded(&b), [leg]);
}

#[test]
fn without_that_record_nobody_is_called() {
    let mut b = Bench::new();
    b.order("anna", user("sue"), 3);
    b.hold_store = true;
    b.call("1001");
    b.answer_store(true);
    b.answer_store(false);
    b.hold_store = false;
    assert!(recorded(&b).is_empty());
    assert_eq!(b.reasons(), [EndReason::AuditUnavailable]);
    b.seconds(6);
    assert!(dialogs(&b).keys().all(|key| key.starts_with("call_")), "what was refused meanwhile is kept by now");
}

#[test]
fn a_busy_listener_has_a_record_for_each_invite() {
    let mut b = Bench::new();
    b.order("anna", user("sue"), 3);
    b.call("1001");
    let first = b.listener().leg;
    b.leaves(first, Some(486));
    b.wait(BEHIND);
    assert_eq!(dialogs(&b).len(), 2);
    b.seconds(16);
    let second = b.listener().leg;
    assert_ne!(first, second);
    assert_eq!(recorded(&b), [first, second]);
    assert_eq!(dialogs(&b).len(), 3);
}

#[test]
fn two_orders_on_one_ear_have_one_dialog() {
    let mut b = Bench::new();
    b.order("anna", user("sue"), 3);
    b.call("1001");
    b.order("anna", user("sue"), 3);
    assert_eq!((b.listeners().len(), recorded(&b).len(), dialogs(&b).len()), (1, 1, 3));
    let ringing = |c: &&Change| matches!(c, Change::Listening(l) if l.state == ListeningState::Ringing);
    assert_eq!(b.persisted.iter().filter(ringing).count(), 2, "the second comes without a new dialog");
}

#[test]
fn the_dialogs_of_a_call_are_written_when_it_is_up_and_go_with_its_record() {
    let mut b = Bench::new();
    b.writes.clear();
    let call = b.trunk_calls("1001", &[]).expect("the call goes through");
    b.wait(BEHIND);
    let [Change::Dialog(ringing)] = &b.writes[0][..] else { panic!("{:?}", b.writes) };
    let ringing = ringing.clone();
    assert_eq!((ringing.state, ringing.call.is_none()), (DialogState::Calling, true));
    b.answer(call);
    b.wait(BEHIND);
    let [Change::Dialog(caller), Change::Dialog(callee)] = &b.writes[1][..] else { panic!("{:?}", b.writes) };
    assert_eq!(
        (caller.state, callee.state, &callee.key),
        (DialogState::Confirmed, DialogState::Confirmed, &ringing.key)
    );
    let carried = caller.call.as_ref().expect("one of them carries the call");
    assert_eq!((carried.state, &carried.id), (CallState::Up, &b.last_call().id));
    assert!(callee.call.is_none());
    b.bye(call.caller);
    let [Change::Call(record), Change::DialogEnded(_), Change::DialogEnded(_)] = &b.writes[2][..] else {
        panic!("{:?}", b.writes)
    };
    assert_eq!(record.id, b.last_call().id);
    assert_eq!((b.writes.len(), dialogs(&b).len()), (3, 0));
    b.is_quiet();
}

#[test]
fn a_dialog_that_moved_is_written_anew() {
    let mut b = Bench::new();
    let call = b.call("1001");
    b.writes.clear();
    for leg in [call.callee, call.caller] {
        b.says(signalling::Event::Moved { leg });
    }
    b.wait(BEHIND);
    let carries: Vec<bool> =
        b.writes.iter().flatten().map(|c| matches!(c, Change::Dialog(record) if record.call.is_some())).collect();
    assert_eq!(carries, [false, true]);
    b.bye(call.caller);
    b.is_quiet();
}

#[test]
fn a_call_that_was_up_gets_its_record_from_the_next_process() {
    let mut b = Bench::new();
    b.order("anna", user("sue"), 3);
    b.call("1001");
    b.listens();
    let id = b.last_call().id.clone();
    let restored = Restored {
        dialogs: dialogs(&b).into_values().collect(),
        listenings: vec![b.last_listening().clone()],
        ..Restored::default()
    };
    assert_eq!(restored.dialogs.len(), 3);
    let mut b = Bench::with(settings(), seed(), restored);
    let record = b.calls.get(&id).expect("it is shown");
    assert_eq!(record.end.clone().map(|end| (end.cause, end.by)), Some(("engine-restarted".into(), "engine".into())));
    assert_eq!(record.listenings, [b.last_listening().id.clone()], "begun after the call was written");
    let whole = b.writes.iter().find(|changes| changes.iter().any(|c| matches!(c, Change::Call(_))));
    let carries_no_more =
        |c: &Change| matches!(c, Change::Dialog(record) if record.call.is_none() && record.key.starts_with(&id));
    assert!(whole.is_some_and(|changes| changes.iter().any(carries_no_more)), "and only once");
    let left = orphans(&b);
    assert_eq!(left.len(), 3);
    for (orphan, _) in left {
        let before = b.persisted.len();
        b.says(signalling::Event::OrphanEnded { orphan });
        b.wait(BEHIND);
        assert!(matches!(&b.persisted[before..], [Change::DialogEnded(_)]));
        b.says(signalling::Event::OrphanEnded { orphan });
    }
    assert_eq!(b.count("orphans_ended"), 3);
}

#[test]
fn a_full_house_is_ended_in_shares() {
    let dialog = |n: u32| DialogRecord {
        key: format!("call_x/{n}"),
        state: DialogState::Confirmed,
        call_id: n.to_string(),
        local_tag: "a".into(),
        local: "<sip:us@pbx.test>".into(),
        remote: "<sip:them@pbx.test>".into(),
        remote_tag: "b".into(),
        target: "sip:them@127.0.0.1:6000".into(),
        route: Vec::new(),
        cseq: 1,
        branch: String::new(),
        transport: if n == 0 { "pigeon".into() } else { "UDP".into() },
        local_addr: "127.0.0.1:5060".parse().unwrap(),
        remote_addr: "127.0.0.1:6000".parse().unwrap(),
        call: None,
    };
    let mut b =
        Bench::with(settings(), seed(), Restored { dialogs: (0..251).map(dialog).collect(), ..Restored::default() });
    assert_eq!((orphans(&b).len(), b.count("orphans_unreachable")), (100, 1));
    assert!(b.persisted.contains(&Change::DialogEnded("call_x/0".into())));
    b.wait(Duration::from_millis(20));
    assert_eq!(orphans(&b).len(), 200);
    b.wait(Duration::from_millis(20));
    assert_eq!(orphans(&b).len(), 250);
}

fn registrations(b: &Bench) -> BTreeMap<String, Vec<BindingRecord>> {
    let changes = b.persisted.iter();
    changes
        .filter_map(|c| {
            if let Change::Registrations { user, bindings } = c { Some((user.clone(), bindings.clone())) } else { None }
        })
        .collect()
}

fn kept(b: &Bench) -> Vec<ReceiptId> {
    b.told(
        |command| if let signalling::Command::RegistrationKept { receipt } = command { Some(*receipt) } else { None },
    )
}

#[test]
fn a_registration_is_acknowledged_when_the_store_has_it_or_refuses() {
    let mut b = Bench::new();
    let peer = b.peer("sue");
    b.hold_store = true;
    b.says(signalling::Event::Registered { peer, bindings: vec![binding(300)], receipt: Some(ReceiptId(1)) });
    assert!(kept(&b).is_empty());
    b.answer_store(true);
    assert_eq!(kept(&b), [ReceiptId(1)]);
    let record = &registrations(&b)["sue-phone"][0];
    assert_eq!((record.expires_at, record.cseq, &*record.call_id), (b.wall(300), 5, "reg"));
    b.says(signalling::Event::Registered { peer, bindings: vec![binding(600)], receipt: Some(ReceiptId(2)) });
    b.answer_store(false);
    assert_eq!((kept(&b).len(), b.count("registrations_unrecorded")), (2, 1));
    b.hold_store = false;
    b.seconds(6);
    assert_eq!(registrations(&b)["sue-phone"][0].expires_at, b.wall(600), "it is offered again");
}

#[test]
fn registrations_come_back_but_for_those_that_cannot() {
    let mut b = Bench::new();
    let peer = b.peer("sue");
    b.says(signalling::Event::Registered { peer, bindings: vec![binding(300)], receipt: None });
    let good = registrations(&b)["sue-phone"][0].clone();
    let over = BindingRecord { expires_at: b.wall(0), ..good.clone() };
    let wire = BindingRecord { transport: "wire".into(), ..good.clone() };
    let mut wall = seed();
    for user in &mut wall.users {
        user.phone.contact = None;
    }
    let stored = vec![
        ("sue-phone".to_owned(), vec![over.clone(), wire, good.clone()]),
        ("sam-phone".to_owned(), vec![over]),
        ("nobody".to_owned(), vec![good.clone()]),
        ("anna".to_owned(), vec![good]),
    ];
    let b = Bench::with(settings(), wall, Restored { registrations: stored, ..Restored::default() });
    assert!(b.users["sue"].registered && !b.users["sam"].registered);
    let written = registrations(&b);
    assert_eq!(written.keys().collect::<Vec<_>>(), ["nobody", "sam-phone", "sue-phone"], "anna's stay as they are");
    assert_eq!((written["nobody"].len(), written["sam-phone"].len(), written["sue-phone"].len()), (0, 0, 1));
    let back = b.told(|command| match command {
        signalling::Command::RestoreBindings { peer, bindings } => Some((*peer, bindings.clone())),
        _ => None,
    });
    assert_eq!(back, [(b.peer("sue"), vec![binding(300)]), (b.peer("anna"), vec![binding(300)])]);
    assert!(b.told(|c| Some(matches!(c, signalling::Command::Peers(_))))[0], "who they are is known first");
}

#[test]
fn the_registration_of_who_was_deleted_is_forgotten() {
    let mut b = Bench::new();
    let peer = b.peer("bo");
    b.says(signalling::Event::Registered { peer, bindings: vec![binding(300)], receipt: None });
    b.command("platform", Command::DeleteAgent { id: "bo".into() }).unwrap();
    b.wait(BEHIND);
    assert_eq!(registrations(&b)["bo"], []);
}
