//! Who may do what: every command by every role, on what is one's own and on what is somebody else's. Reading is the
//! API's: `crates/api/tests/api/matrix.rs`.

use super::*;

/// An admin; whose own things they are; who may monitor all and has nothing here; of another group; an integrator; nobody
/// (a user whom a reload took away).
const ROLES: [&str; 6] = ["admin", "sue", "all", "olga", "platform", "ghost"];

/// Sue's things, or Sam's: she may not see that agent.
struct Things {
    agent: &'static str,
    request: String,
    listening: String,
    call: String,
}

type Row = (&'static str, fn(&Things) -> Command, [&'static str; 6], [&'static str; 6]);

const ORDERER: [&str; 6] = ["ok", "ok", "request-not-found", "request-not-found", "forbidden", "forbidden"];
const ORDERER_FOREIGN: [&str; 6] =
    ["ok", "request-not-found", "request-not-found", "request-not-found", "forbidden", "forbidden"];
const LISTENS: [&str; 6] = ["ok", "ok", "listening-not-found", "listening-not-found", "forbidden", "forbidden"];
const LISTENS_FOREIGN: [&str; 6] =
    ["ok", "listening-not-found", "listening-not-found", "listening-not-found", "forbidden", "forbidden"];
const KEEPS: [&str; 6] = ["ok", "forbidden", "forbidden", "forbidden", "ok", "forbidden"];
/// Who sees everything hears not everything.
const PLAYS: [&str; 6] = ["forbidden", "ok", "listening-not-found", "listening-not-found", "forbidden", "forbidden"];
const PLAYS_NOT: [&str; 6] =
    ["forbidden", "not-found", "listening-not-found", "listening-not-found", "forbidden", "forbidden"];
const PLAYS_FOREIGN: [&str; 6] =
    ["forbidden", "listening-not-found", "listening-not-found", "listening-not-found", "forbidden", "forbidden"];

const ROWS: [Row; 17] = [
    (
        "Order",
        |t| Command::Order { order: order(t.agent, ListenerOrder::Page, Some(1)), dry_run: false },
        ["ok", "active-request-exists", "ok", "agent-not-monitorable", "forbidden", "forbidden"],
        ["ok", "agent-not-monitorable", "ok", "agent-not-monitorable", "forbidden", "forbidden"],
    ),
    (
        "Order dry_run",
        |t| Command::Order { order: order(t.agent, ListenerOrder::Page, Some(1)), dry_run: true },
        ["ok", "active-request-exists", "ok", "agent-not-monitorable", "forbidden", "forbidden"],
        ["ok", "agent-not-monitorable", "ok", "agent-not-monitorable", "forbidden", "forbidden"],
    ),
    (
        "ChangeRequest",
        |t| Command::ChangeRequest { id: t.request.clone(), calls: Some(9), until: None },
        ORDERER,
        ORDERER_FOREIGN,
    ),
    ("ResumeRequest", |t| Command::ResumeRequest { id: t.request.clone() }, ORDERER, ORDERER_FOREIGN),
    ("DeleteRequest", |t| Command::DeleteRequest { id: t.request.clone() }, ORDERER, ORDERER_FOREIGN),
    ("PutAgent", |t| Command::PutAgent { id: t.agent.into(), agent: AgentChange::default() }, KEEPS, KEEPS),
    (
        "PutAgents",
        |t| Command::PutAgents { agents: vec![(t.agent.into(), AgentChange::default())], dry_run: false },
        KEEPS,
        KEEPS,
    ),
    ("DeleteAgent", |t| Command::DeleteAgent { id: t.agent.into() }, KEEPS, KEEPS),
    ("PutStatus", |t| Command::PutStatus { id: t.agent.into(), status: AgentStatus::Pause }, KEEPS, KEEPS),
    ("Shield", |t| Command::Shield { call: t.call.clone(), on: true }, KEEPS, KEEPS),
    ("Shield off", |t| Command::Shield { call: t.call.clone(), on: false }, KEEPS, KEEPS),
    (
        "ChangeListening",
        |t| Command::ChangeListening {
            listening: t.listening.clone(),
            change: MixChange { level_matching: Some(true), ..MixChange::default() },
        },
        LISTENS,
        LISTENS_FOREIGN,
    ),
    ("WatchLevels", |t| Command::WatchLevels { listening: t.listening.clone(), on: true }, LISTENS, LISTENS_FOREIGN),
    ("HangUp", |t| Command::HangUp { listening: t.listening.clone() }, LISTENS, LISTENS_FOREIGN),
    ("Whep", |t| Command::Whep { listening: t.listening.clone(), offer: "offer".into() }, PLAYS, PLAYS_FOREIGN),
    (
        "WhepRestart",
        |t| Command::WhepRestart { listening: t.listening.clone(), session: "1".into(), fragment: "f".into() },
        PLAYS_NOT,
        PLAYS_FOREIGN,
    ),
    (
        "WhepStop",
        |t| Command::WhepStop { listening: t.listening.clone(), session: "1".into() },
        PLAYS_NOT,
        PLAYS_FOREIGN,
    ),
];

/// A new command does not compile before it is named here, and fails before it has a row.
fn name(command: &Command) -> &'static str {
    match command {
        Command::Under { command, .. } => name(command),
        Command::Order { .. } => "Order",
        Command::ChangeRequest { .. } => "ChangeRequest",
        Command::ResumeRequest { .. } => "ResumeRequest",
        Command::DeleteRequest { .. } => "DeleteRequest",
        Command::PutAgent { .. } => "PutAgent",
        Command::PutAgents { .. } => "PutAgents",
        Command::DeleteAgent { .. } => "DeleteAgent",
        Command::PutStatus { .. } => "PutStatus",
        Command::Shield { .. } => "Shield",
        Command::ChangeListening { .. } => "ChangeListening",
        Command::Whep { .. } => "Whep",
        Command::WhepRestart { .. } => "WhepRestart",
        Command::WhepStop { .. } => "WhepStop",
        Command::WatchLevels { .. } => "WatchLevels",
        Command::HangUp { .. } => "HangUp",
    }
}

/// Sue listens to Anna and Sam to Cia, each in a browser that rings.
fn world() -> (Bench, Things, Things) {
    let mut seeds = seed();
    let of = |id: &str, groups: Option<Vec<String>>| UserSeed { id: id.into(), groups, ..seeds.users[1].clone() };
    let more = [of("all", None), of("olga", Some(vec!["Elsewhere".into()])), of("ghost", None)];
    seeds.users.extend(more);
    let mut b = Bench::with(settings(), seeds.clone(), Restored::default());
    seeds.users.retain(|user| user.id != "ghost");
    b.drive(Input::Reload(seeds));
    let mut things = |user: &str, agent: &'static str, number: &str| {
        let request = b.order_as(user, order(agent, ListenerOrder::Page, Some(5))).unwrap().id;
        let call = b.call(number);
        let listening = b.listenings.values().find(|listening| listening.request == request).unwrap();
        assert_eq!(listening.state, ListeningState::Ringing);
        Things { agent, request, listening: listening.id.clone(), call: b.call_view(call).id }
    };
    let (own, foreign) = (things("sue", "anna", "1001"), things("sam", "cia", "1003"));
    (b, own, foreign)
}

#[test]
fn every_command_by_every_role_on_own_and_foreign_things() {
    let mut wrong = Vec::new();
    for (what, command, own, foreign) in ROWS {
        for (n, role) in ROLES.into_iter().enumerate() {
            for (is_own, wanted) in [(true, own[n]), (false, foreign[n])] {
                let (mut b, mine, theirs) = world();
                let asked = command(if is_own { &mine } else { &theirs });
                assert!(what.starts_with(name(&asked)), "{what}");
                let got = b.command(role, asked).map_or_else(|problem| problem.code, |_| "ok");
                if got != wanted {
                    wrong.push(format!("{what} by {role}, own {is_own}: {got}, not {wanted}"));
                }
                let denied = b.entries("denied").len();
                let is_denial = matches!(got, "forbidden" | "agent-not-monitorable" | "listener-not-allowed");
                assert_eq!(denied, usize::from(is_denial), "{what} by {role}: denials are in the trail");
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
