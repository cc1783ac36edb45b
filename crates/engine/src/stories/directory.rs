//! Agents put and taken away, statuses, registrations, reload.

use super::*;

fn put(name: Option<&str>, number: Option<&str>) -> AgentChange {
    AgentChange { name: name.map(str::to_owned), number: number.map(str::to_owned), ..AgentChange::default() }
}

#[test]
fn the_platforms_last_word_returns_after_a_call() {
    let mut b = Bench::new();
    assert_eq!(b.agents["anna"].status, AgentStatus::Unknown);
    let status = |status| Command::PutStatus { id: "anna".into(), status };
    let Ok(Reply::Agent(view, false)) = b.command("platform", status(AgentStatus::Pause)) else { panic!() };
    assert_eq!(view.status, AgentStatus::Pause);
    let call = b.trunk_calls("1001", &[]).unwrap();
    assert_eq!(b.agents["anna"].status, AgentStatus::Connecting);
    b.answer(call);
    assert_eq!(b.agents["anna"].status, AgentStatus::Connected);
    b.command("platform", status(AgentStatus::WrapUp)).unwrap();
    assert_eq!(b.agents["anna"].status, AgentStatus::Connected);
    b.bye(call.caller);
    assert_eq!(b.agents["anna"].status, AgentStatus::WrapUp);
    for not_the_platforms in [AgentStatus::Connected, AgentStatus::Connecting, AgentStatus::Unknown] {
        let problem = b.command("platform", status(not_the_platforms)).unwrap_err();
        assert_eq!((problem.status, problem.code, problem.field), (422, "invalid-request", Some("status")));
    }
    assert_eq!(
        b.command("platform", Command::PutStatus { id: "nobody".into(), status: AgentStatus::Ready }).unwrap_err().code,
        "agent-not-found"
    );
    assert_eq!(b.command("sue", status(AgentStatus::Ready)).unwrap_err().code, "forbidden");
}

#[test]
fn an_agent_is_put_called_and_deleted() {
    let mut b = Bench::new();
    let change = AgentChange { contact: Some("sip:dag@127.0.0.1:6009".into()), ..put(Some("Dag Vik"), Some("1009")) };
    let Ok(Reply::Agent(view, true)) = b.command("platform", Command::PutAgent { id: "dag".into(), agent: change })
    else {
        panic!()
    };
    assert!(view.registered && view.monitorable);
    assert!(
        b.persisted.iter().any(|c| matches!(c, Change::Agent(record) if record.id == "dag" && record.number == "1009"))
    );
    let peers = b
        .wire
        .lock()
        .unwrap()
        .commands
        .iter()
        .rev()
        .find_map(|c| if let signalling::Command::Peers(p) = c { Some(p.clone()) } else { None })
        .unwrap();
    assert!(
        peers
            .accounts
            .iter()
            .any(|a| a.user == "dag" && a.may_transfer && a.contact.as_ref().unwrap().addr.port() == 6009)
    );
    let call = b.call("1009");
    b.bye(call.caller);
    b.command("admin", Command::DeleteAgent { id: "dag".into() }).unwrap();
    assert!(!b.agents.contains_key("dag"));
    assert!(b.trunk_calls("1009", &[]).is_none());
    assert_eq!(b.command("admin", Command::DeleteAgent { id: "dag".into() }).unwrap_err().code, "agent-not-found");
    b.is_quiet();
}

#[test]
fn bad_agents_are_refused_by_field() {
    let mut b = Bench::new();
    let mut field = |id: &str, change| {
        let problem = b.command("platform", Command::PutAgent { id: id.into(), agent: change }).unwrap_err();
        assert_eq!((problem.status, problem.code), (422, "invalid-request"));
        problem.field.unwrap()
    };
    assert_eq!(field("new", put(None, Some("1"))), "name");
    assert_eq!(field("new", put(Some("N"), None)), "number");
    assert_eq!(field("new", put(Some("N"), Some("1001"))), "number");
    assert_eq!(field("a b", put(Some("N"), Some("1"))), "id");
    assert_eq!(
        field("anna", AgentChange { contact: Some("sip:anna@host.example".into()), ..AgentChange::default() }),
        "contact"
    );
    assert_eq!(
        b.command("sue", Command::PutAgent { id: "anna".into(), agent: put(None, None) }).unwrap_err().code,
        "forbidden"
    );
}

#[test]
fn registrations_show_in_agents_and_users() {
    let mut seeds = seed();
    seeds.agents[0].phone = PhoneSeed { password: Some("x".into()), ..PhoneSeed::default() };
    let mut b = Bench::with(settings(), seeds.clone(), Restored::default());
    assert!(!b.agents["anna"].registered && b.agents["bo"].registered);
    let peer = b.peer("anna");
    b.says(signalling::Event::Registered { peer, bindings: vec![binding(300)], receipt: None });
    assert!(b.agents["anna"].registered);
    b.drive(Input::Reload(seeds));
    assert!(b.agents["anna"].registered, "a reload forgets no registration");
    assert_eq!(b.peer("anna"), peer);
    b.says(signalling::Event::Registered { peer, bindings: Vec::new(), receipt: None });
    assert!(!b.agents["anna"].registered);
}

#[test]
fn a_reload_takes_agents_and_users_away_but_keeps_what_the_api_put() {
    let mut b = Bench::new();
    b.command("platform", Command::PutAgent { id: "dag".into(), agent: put(Some("Dag"), Some("1009")) }).unwrap();
    b.command("platform", Command::PutAgent { id: "anna".into(), agent: put(Some("Anna Dahl"), None) }).unwrap();
    b.command("platform", Command::DeleteAgent { id: "bo".into() }).unwrap();
    let mut seeds = seed();
    seeds.agents.retain(|agent| agent.id != "cia");
    seeds.users.retain(|user| user.id != "sam");
    b.drive(Input::Reload(seeds));
    assert_eq!(b.agents.keys().map(String::as_str).collect::<Vec<_>>(), ["anna", "dag"]);
    assert_eq!(b.agents["anna"].name, "Anna Dahl");
    assert!(!b.users.contains_key("sam"));
}

#[test]
fn a_user_whose_softphone_is_the_agents_phone_has_no_account_of_its_own() {
    let mut seeds = seed();
    seeds.users[0].softphone = Some("anna".into());
    let mut b = Bench::with(settings(), seeds, Restored::default());
    let peers = b.core.directory.peers();
    assert_eq!(peers.accounts.iter().filter(|a| a.user == "anna").count(), 1);
    let problem = b.order_as("admin", order("anna", user("admin"), Some(1))).unwrap_err();
    assert_eq!((problem.status, problem.code), (422, "listener-is-agent"));
}
