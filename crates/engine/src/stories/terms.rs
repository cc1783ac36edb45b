//! If-Match and Idempotency-Key, as the engine carries them out.

use super::*;
use crate::{Key, Precondition, Terms};

fn under(expect: Precondition, key: Option<&str>, command: Command) -> Command {
    let key = key.map(|key| Key { key: key.into(), asked: "hash-of-body".into() });
    Command::Under { terms: Terms { expect, key }, command: Box::new(command) }
}

fn tag(tag: &str) -> Precondition {
    Precondition::OneOf(vec![tag.to_owned()])
}

fn change(id: &str, calls: i64) -> Command {
    Command::ChangeRequest { id: id.to_owned(), calls: Some(calls), until: None }
}

#[test]
fn of_two_writers_with_the_same_tag_one_wins() {
    let mut b = Bench::new();
    let id = b.order("anna", user("sue"), 3);
    let etag = b.request(&id).etag();
    b.hold_store = true;
    for n in [1, 2] {
        let command = under(tag(&etag), None, change(&id, 4 + n));
        b.drive(Input::Command { reply: ReplyId(n as u64), actor: "admin".into(), command });
    }
    let late = b.replies[&2].as_ref().unwrap_err();
    assert_eq!((late.status, late.code), (412, "precondition-failed"));
    assert_eq!(late.etag.as_deref(), Some(b.request(&id).etag().as_str()), "the tag as it is now");
    assert!(!b.replies.contains_key(&1), "the first waits for the store");
    let (persist, _) = b.held_back.remove(0);
    b.drive(Input::Persisted { persist, result: Ok(()) });
    assert!(matches!(&b.replies[&1], Ok(Reply::Request(view)) if view.calls.limit == Some(5)));
}

#[test]
fn the_tag_changes_with_the_request_and_with_nothing_else() {
    let mut b = Bench::new();
    b.order("cia", user("sue"), 3);
    let ordered = b.order_as("admin", order("anna", user("sue"), Some(3))).unwrap();
    assert_eq!(ordered.warnings.len(), 1);
    let id = ordered.id.clone();
    assert_eq!(ordered.etag(), b.request(&id).etag(), "warnings are the order's");
    let call = b.call("1002");
    b.seconds(100);
    b.bye(call.caller);
    assert_eq!(ordered.etag(), b.request(&id).etag(), "other people's calls");
    b.call("1001");
    assert_ne!(ordered.etag(), b.request(&id).etag(), "its state is calling");
}

#[test]
fn every_command_of_a_request_heeds_if_match() {
    let mut b = Bench::new();
    let id = b.order("anna", user("sue"), 3);
    let stale = || tag("\"stale\"");
    for command in
        [change(&id, 5), Command::ResumeRequest { id: id.clone() }, Command::DeleteRequest { id: id.clone() }]
    {
        let problem = b.command("admin", under(stale(), None, command)).unwrap_err();
        assert_eq!((problem.status, problem.code), (412, "precondition-failed"));
    }
    assert_eq!(b.command("sam", under(stale(), None, change(&id, 5))).unwrap_err().status, 404, "not one's own");
    assert_eq!(b.command("admin", under(stale(), None, change(&id, 0))).unwrap_err().status, 422);
    b.command("admin", under(Precondition::Any, None, change(&id, 5))).unwrap();
    let etag = b.request(&id).etag();
    b.command("admin", under(tag(&etag), None, Command::DeleteRequest { id })).unwrap();
}

#[test]
fn agents_heed_if_match() {
    let mut b = Bench::new();
    let put = |name: &str| Command::PutAgent {
        id: "anna".into(),
        agent: AgentChange { name: Some(name.into()), ..AgentChange::default() },
    };
    let etag = b.agents["anna"].etag();
    b.command("platform", under(tag(&etag), None, put("Anna Dahl"))).unwrap();
    let problem = b.command("platform", under(tag(&etag), None, put("Anna Vik"))).unwrap_err();
    assert_eq!((problem.status, problem.etag), (412, Some(b.agents["anna"].etag())));
    let delete = |id: &str| Command::DeleteAgent { id: id.into() };
    assert_eq!(b.command("platform", under(tag(&etag), None, delete("anna"))).unwrap_err().status, 412);
    assert_eq!(b.command("platform", under(Precondition::Any, None, delete("nobody"))).unwrap_err().status, 404);
    let agent = AgentChange { name: Some("Dag".into()), number: Some("1009".into()), ..AgentChange::default() };
    let new = Command::PutAgent { id: "dag".into(), agent };
    assert_eq!(b.command("platform", under(Precondition::Any, None, new)).unwrap_err().status, 412, "it is not there");
    let etag = b.agents["anna"].etag();
    b.command("platform", under(tag(&etag), None, delete("anna"))).unwrap();
}

#[test]
fn the_answer_to_a_key_is_written_with_what_it_did() {
    let mut b = Bench::new();
    b.order("cia", user("sue"), 1);
    b.hold_store = true;
    let command = Command::Order { order: order("anna", user("sue"), Some(2)), dry_run: false };
    let command = under(Precondition::None, Some("k1"), command);
    b.drive(Input::Command { reply: ReplyId(1), actor: "admin".into(), command });
    let (persist, changes) = b.held_back.remove(0);
    let [Change::Request(record), Change::Audit(_), Change::Answer(answer)] = &changes[..] else {
        panic!("{changes:?}")
    };
    assert_eq!((answer.user.as_str(), answer.key.as_str(), answer.asked.as_str()), ("admin", "k1", "hash-of-body"));
    assert_eq!((answer.status, &answer.request.id), (201, &record.view.id));
    b.drive(Input::Persisted { persist, result: Ok(()) });
    let Ok(Reply::Request(view)) = &b.replies[&1] else { panic!() };
    assert_eq!(*view, answer.request, "word for word, warnings included");
    assert_eq!(view.warnings.len(), 1);
    let id = view.id.clone();
    let command = under(Precondition::None, Some("k2"), Command::ResumeRequest { id });
    b.drive(Input::Command { reply: ReplyId(2), actor: "admin".into(), command });
    let (_, changes) = b.held_back.pop().unwrap();
    assert!(matches!(&changes[..], [_, _, Change::Answer(answer)] if answer.status == 200 && answer.key == "k2"));
}

#[test]
fn an_answer_that_was_not_given_is_not_kept() {
    let mut b = Bench::new();
    let id = b.order("anna", user("sue"), 3);
    b.store_up = false;
    let key = |command| under(Precondition::None, Some("k1"), command);
    b.command("admin", key(Command::Order { order: order("bo", user("sue"), Some(2)), dry_run: false })).unwrap_err();
    b.command("admin", key(Command::ResumeRequest { id })).unwrap_err();
    b.store_up = true;
    b.seconds(10);
    assert!(!b.persisted.iter().any(|c| matches!(c, Change::Answer(_))));
    assert_eq!(b.entries("request.resumed").len(), 1, "what is in force is told");
    let dry = Command::Order { order: order("bo", user("sue"), Some(2)), dry_run: true };
    b.command("admin", key(dry)).unwrap();
    assert!(!b.persisted.iter().any(|c| matches!(c, Change::Answer(_))));
}
