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
    let over = |transport: &str| AgentChange {
        contact: Some(format!("sip:anna@10.0.0.1;transport={transport}")),
        ..AgentChange::default()
    };
    assert_eq!(field("anna", over("tls")), "contact");
    let taken = b.command("platform", Command::PutAgent { id: "anna".into(), agent: over("tcp") });
    assert!(taken.is_ok(), "{taken:?}");
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

fn many(agents: &[(&str, AgentChange)]) -> Command {
    let agents = agents.iter().map(|(id, change)| ((*id).to_owned(), change.clone())).collect();
    Command::PutAgents { agents, dry_run: false }
}

/// Of each, whether it is new, or the field that is wrong.
fn put_many(b: &mut Bench, command: Command) -> Vec<(String, Result<bool, &'static str>)> {
    let Ok(Reply::Agents(results)) = b.command("platform", command) else { panic!("no results") };
    results.into_iter().map(|(id, result)| (id, result.map_err(|p| p.field.unwrap_or(p.code)))).collect()
}

#[test]
fn many_agents_are_put_in_one_write_each_with_its_result() {
    let mut b = Bench::new();
    b.hold_store = true;
    let agents = [
        ("dag", put(Some("Dag"), Some("1009"))),
        ("anna", put(Some("Anna Dahl"), None)),
        ("bo", put(None, None)),
        ("eva", put(None, Some("1010"))),
        ("dag", put(Some("Twice"), None)),
        ("ida", put(Some("Ida"), Some("1009"))),
        ("a b", put(Some("x"), Some("1"))),
    ];
    b.drive(Input::Command { reply: ReplyId(77), actor: "platform".into(), command: many(&agents) });
    let writes = std::mem::take(&mut b.held_back);
    assert_eq!(writes.len(), 1, "one write");
    let (persist, changes) = &writes[0];
    let kinds: Vec<_> = changes
        .iter()
        .map(|c| match c {
            Change::Agent(record) => record.id.clone(),
            Change::Audit(entry) => format!("{} {}", entry.action, entry.target.as_deref().unwrap()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, ["dag", "agent.put dag", "anna", "agent.put anna"], "what changes nothing is not written");
    b.hold_store = false;
    b.drive(Input::Persisted { persist: *persist, result: Ok(()) });
    assert_eq!((b.agents["anna"].name.as_str(), b.agents["dag"].number.as_str()), ("Anna Dahl", "1009"));
    let again = put_many(&mut b, many(&agents));
    let wanted = [
        ("dag", Ok(false)),
        ("anna", Ok(false)),
        ("bo", Ok(false)),
        ("eva", Err("name")),
        ("dag", Err("id")),
        ("ida", Err("number")),
        ("a b", Err("id")),
    ];
    assert_eq!(again, wanted.map(|(id, result)| (id.to_owned(), result)));
    assert_eq!(b.entries("agent.put").len(), 0, "nothing is new, nothing is written");
    assert_eq!(b.command("sue", many(&agents)).unwrap_err().code, "forbidden");
}

#[test]
fn of_many_each_is_judged_as_if_those_before_were_done() {
    let mut b = Bench::new();
    let results = put_many(
        &mut b,
        many(&[
            ("anna", put(None, Some("1099"))),
            ("dag", put(Some("Dag"), Some("1001"))),
            ("bo", put(None, Some("1001"))),
        ]),
    );
    let results: Vec<_> = results.into_iter().map(|(_, result)| result).collect();
    assert_eq!(results, [Ok(false), Ok(true), Err("number")]);
    let Ok(Reply::Agents(dry)) = b.command(
        "platform",
        Command::PutAgents { agents: vec![("eva".into(), put(Some("E"), Some("7")))], dry_run: true },
    ) else {
        panic!()
    };
    assert_eq!(dry, [("eva".to_owned(), Ok(true))]);
    assert!(!b.agents.contains_key("eva"), "a dry run keeps nothing");
}

#[test]
fn what_the_store_refused_of_many_is_offered_again_each_with_its_entry() {
    let mut b = Bench::new();
    b.store_up = false;
    let agents = [("dag", put(Some("Dag"), Some("1009"))), ("anna", put(Some("Anna Dahl"), None))];
    assert_eq!(b.command("platform", many(&agents)).unwrap_err().code, "store-unavailable");
    b.store_up = true;
    b.seconds(6);
    for id in ["dag", "anna"] {
        let at = b.persisted.iter().rposition(|c| matches!(c, Change::Agent(r) if r.id == id)).expect("the record");
        assert!(matches!(&b.persisted[at + 1], Change::Audit(e) if e.target.as_deref() == Some(id)), "{id}");
    }
    assert_eq!(b.entries("agent.put").len(), 2);
}

/// Names of the directory's events, with whose group they tell.
fn told(b: &mut Bench) -> Vec<(EventName, String, Option<String>)> {
    let events = std::mem::take(&mut b.events);
    let told = events.into_iter().filter_map(|event| match event.body {
        EventBody::Agent(agent) => Some((event.name, agent.id, agent.group)),
        _ => None,
    });
    told.collect()
}

#[test]
fn whoever_shows_the_directory_is_told_of_every_change() {
    let mut b = Bench::new();
    told(&mut b);
    let group = |b: &Bench, id: &str| b.agents[id].group.clone();
    b.command("platform", Command::PutAgent { id: "dag".into(), agent: put(Some("Dag"), Some("1009")) }).unwrap();
    assert_eq!(told(&mut b), [(EventName::AgentUpdated, "dag".into(), None)]);
    let support = group(&b, "anna");
    b.command("platform", Command::PutAgent { id: "anna".into(), agent: put(Some("A"), None) }).unwrap();
    assert_eq!(told(&mut b), [(EventName::AgentUpdated, "anna".into(), support.clone())]);
    b.command("platform", Command::PutAgent { id: "anna".into(), agent: put(Some("A"), None) }).unwrap();
    assert_eq!(told(&mut b), [], "nothing changed");
    let moved = AgentChange { group: Some("Elsewhere".into()), ..AgentChange::default() };
    b.command("platform", Command::PutAgent { id: "anna".into(), agent: moved }).unwrap();
    assert_eq!(
        told(&mut b),
        [
            (EventName::AgentRemoved, "anna".into(), support),
            (EventName::AgentUpdated, "anna".into(), Some("Elsewhere".into()))
        ],
        "those who lose sight of it learn that it is gone"
    );
    b.command("platform", Command::DeleteAgent { id: "dag".into() }).unwrap();
    assert_eq!(told(&mut b), [(EventName::AgentRemoved, "dag".into(), None)]);
    let mut seeds = seed();
    seeds.agents.retain(|agent| agent.id != "cia");
    seeds.agents[1].skills = vec!["New".into()];
    let (bo, cia) = (group(&b, "bo"), group(&b, "cia"));
    b.drive(Input::Reload(seeds));
    assert_eq!(
        told(&mut b),
        [(EventName::AgentUpdated, "bo".into(), bo), (EventName::AgentRemoved, "cia".into(), cia)]
    );
}

#[test]
fn reachability_is_told_too() {
    let mut seeds = seed();
    seeds.agents[0].phone = PhoneSeed { password: Some("x".into()), ..PhoneSeed::default() };
    let mut b = Bench::with(settings(), seeds, Restored::default());
    told(&mut b);
    let peer = b.peer("anna");
    b.says(signalling::Event::Registered { peer, bindings: vec![binding(300)], receipt: None });
    assert_eq!(told(&mut b).len(), 1);
    b.says(signalling::Event::Registered { peer, bindings: vec![binding(300)], receipt: None });
    assert!(told(&mut b).is_empty(), "a refresh is no news");
}
