//! Scenes: what people usually do one after the other, so that deep states are met, and single acts in between.

use std::time::Duration;

use engine::ListenerOrder;
use engine::view::{AgentStatus, CallDirection};
use phone::{Codec, OnCall};
use rand::RngExt;
use rand::rngs::StdRng;
use signalling::sdp::Direction;

use super::action::{Action, Name, Which};
use super::config::one;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);
const AGENTS: [Name; 3] = ["anna", "bo", "cia"];
const LISTENERS: [Name; 3] = ["admin", "sue", "sam"];
const PHONES: [Name; 7] = ["trunk", "anna", "bo", "cia", "admin", "sue", "sam"];
const NUMBERS: [Name; 6] = ["1001", "1002", "1003", "1003", "9999", "+4799999999"];
const STATUSES: [u16; 10] = [302, 403, 404, 480, 486, 488, 500, 503, 600, 603];

type Actions = Vec<Action>;

/// A scene, or a few single acts, with anything in between.
pub(crate) fn wild(rng: &mut StdRng, to: &mut Actions) {
    match rng.random_range(0..14u8) {
        0 | 1 => heard_call(rng, to),
        2 => consultation(rng, to),
        3 => blind_transfer(rng, to),
        4 => listener_scene(rng, to),
        5 => waiting_listener(rng, to),
        6 => races(rng, to),
        _ => {
            for _ in 0..rng.random_range(1..4) {
                single(rng, to);
                pause(rng, to);
            }
        }
    }
}

/// What only the parties of calls do.
pub(crate) fn parties(rng: &mut StdRng, to: &mut Actions) {
    match rng.random_range(0..10u8) {
        0 | 1 => drop(call(rng, to)),
        2 => consultation(rng, to),
        3 => blind_transfer(rng, to),
        4 => races(rng, to),
        _ => {
            party_act(rng, to);
            pause(rng, to);
        }
    }
}

/// How a process ends, now and then.
pub(crate) fn ending(rng: &mut StdRng, to: &mut Actions) {
    match rng.random_range(0..10u8) {
        0 => to.push(Action::Drain),
        1 => to.push(Action::Stop),
        2 => to.extend([Action::Drain, Action::Wait(3 * S), Action::Stop]),
        _ => {}
    }
    if matches!(to.last(), Some(Action::Drain | Action::Stop)) {
        pause(rng, to);
        single(rng, to);
        to.push(Action::Dial { from: "trunk", to: "1001", late: false, private: false, shared: false });
        to.push(Action::Wait(2 * S));
    }
}

fn pause(rng: &mut StdRng, to: &mut Actions) {
    let ms = one(rng, &[0, 0, 1, 3, 10, 50, 200, 600, 1_500, 4_000]);
    to.push(Action::Wait(ms * MS));
}

fn which(rng: &mut StdRng) -> Which {
    match rng.random_range(0..4u8) {
        0 => Which::First,
        1 => Which::Last,
        _ => Which::Any(rng.random()),
    }
}

fn number_of(agent: Name) -> Name {
    match agent {
        "anna" => "1001",
        "bo" => "1002",
        _ => "1003",
    }
}

fn answering(who: Name, rng: &mut StdRng) -> Action {
    let on_call = OnCall::Answer { after: one(rng, &[0, 5, 50, 500, 2_000]) * MS };
    habits(who, on_call)
}

fn habits(who: Name, on_call: OnCall) -> Action {
    Action::Habits { who, on_call, early: false, leaves: true, refuse: None, rtcp: false, mixes: false }
}

fn dial(rng: &mut StdRng) -> Action {
    let from = one(rng, &["trunk", "trunk", "trunk", "anna", "bo", "cia"]);
    Action::Dial {
        from,
        to: one(rng, &NUMBERS),
        late: rng.random_bool(0.2),
        private: rng.random_bool(0.1),
        shared: rng.random_bool(0.2),
    }
}

fn call(rng: &mut StdRng, to: &mut Actions) -> Name {
    let agent = one(rng, &AGENTS);
    if rng.random_bool(0.7) {
        to.push(answering(agent, rng));
    }
    to.push(Action::Dial {
        from: "trunk",
        to: number_of(agent),
        late: rng.random_bool(0.15),
        private: rng.random_bool(0.05),
        shared: rng.random_bool(0.15),
    });
    pause(rng, to);
    agent
}

fn order(rng: &mut StdRng, agent: Name) -> Action {
    let listener = match rng.random_range(0..8u8) {
        0 => ListenerOrder::Agent(one(rng, &AGENTS).into()),
        1 => ListenerOrder::Number("+4788888888".into()),
        2 => ListenerOrder::Number(one(rng, &["1002", "1003"]).into()),
        3 if rng.random_bool(0.1) => ListenerOrder::Page,
        _ => ListenerOrder::User(one(rng, &LISTENERS).into()),
    };
    let all = vec![CallDirection::Inbound, CallDirection::Outbound, CallDirection::Internal];
    Action::Order {
        actor: one(rng, &["admin", "admin", "admin", "sue", "sam", "platform"]),
        agent,
        listener,
        calls: rng.random_bool(0.85).then(|| i64::from(rng.random_range(1..4))),
        seconds: if rng.random_bool(0.4) { Some(one(rng, &[-1, 1, 5, 30, 600])) } else { None },
        directions: rng.random_bool(0.5).then_some(all),
    }
}

/// An order and a call that is listened to for long enough.
fn heard_call(rng: &mut StdRng, to: &mut Actions) {
    let agent = call(rng, to);
    for listener in LISTENERS {
        if rng.random_bool(0.5) {
            to.push(answering(listener, rng));
        }
    }
    for _ in 0..rng.random_range(1..4) {
        to.push(order(rng, agent));
    }
    to.push(Action::Wait(one(rng, &[300, 1_000, 4_000, 6_000]) * MS));
    for _ in 0..rng.random_range(0..4) {
        let act = match rng.random_range(0..5u8) {
            0 => Action::Shield { which: which(rng), on: rng.random_bool(0.6) },
            1 => Action::Hold { who: agent, which: Which::Last, way: Direction::SendOnly, null: rng.random_bool(0.2) },
            2 => Action::Resume { who: agent, which: Which::First },
            3 => Action::Press { who: agent, which: Which::First },
            _ => order(rng, agent),
        };
        to.push(act);
        to.push(Action::Wait(one(rng, &[100, 800, 2_000]) * MS));
    }
}

/// The agent asks a colleague, and swaps, joins, or transfers.
fn consultation(rng: &mut StdRng, to: &mut Actions) {
    let agent = call(rng, to);
    to.push(Action::Wait(600 * MS));
    let colleague = one(rng, &AGENTS);
    if rng.random_bool(0.6) {
        to.push(answering(colleague, rng));
    }
    to.push(Action::Hold { who: agent, which: Which::First, way: Direction::SendOnly, null: rng.random_bool(0.2) });
    to.push(Action::Wait(one(rng, &[0, 100, 400]) * MS));
    let number = if rng.random_bool(0.2) { "+4799999999" } else { number_of(colleague) };
    to.push(Action::Dial { from: agent, to: number, late: false, private: false, shared: false });
    to.push(Action::Wait(one(rng, &[10, 200, 900, 1_500]) * MS));
    if rng.random_bool(0.5) {
        to.push(Action::Hold { who: agent, which: Which::Last, way: Direction::SendOnly, null: false });
        to.push(Action::Resume { who: agent, which: Which::First });
        to.push(Action::Wait(one(rng, &[100, 700]) * MS));
    }
    if rng.random_bool(0.2) {
        to.push(Action::Resume { who: agent, which: Which::Last });
        to.push(Action::Resume { who: agent, which: Which::First });
        to.push(Action::Wait(500 * MS));
    }
    match rng.random_range(0..6u8) {
        0 => to.push(Action::HangUp { who: agent, which: Which::Last }),
        1 => to.push(Action::HangUp { who: "trunk", which: Which::First }),
        _ => {
            if rng.random_bool(0.5) {
                to.push(Action::Hold { who: agent, which: Which::Last, way: Direction::SendOnly, null: false });
                pause(rng, to);
            }
            to.push(Action::ReferReplacing { who: agent, which: Which::First, bye: rng.random_bool(0.25) });
        }
    }
    to.push(Action::Wait(one(rng, &[5, 300, 1_500]) * MS));
}

fn blind_transfer(rng: &mut StdRng, to: &mut Actions) {
    let agent = call(rng, to);
    to.push(Action::Wait(600 * MS));
    let target = one(rng, &AGENTS);
    let on_call = match rng.random_range(0..6u8) {
        0 => OnCall::Ring,
        1 => OnCall::Reject { status: one(rng, &STATUSES) },
        2 => OnCall::Ignore,
        _ => OnCall::Answer { after: one(rng, &[0, 50, 800]) * MS },
    };
    to.push(habits(target, on_call));
    if rng.random_bool(0.4) {
        to.push(Action::Hold { who: agent, which: Which::Last, way: Direction::SendOnly, null: false });
        pause(rng, to);
    }
    let number = if rng.random_bool(0.15) { one(rng, &NUMBERS) } else { number_of(target) };
    to.push(Action::Refer { who: agent, which: Which::Last, to: number, bye: rng.random_bool(0.4) });
    to.push(Action::Wait(one(rng, &[5, 200, 1_500, 5_000]) * MS));
    match rng.random_range(0..6u8) {
        0 => to.push(Action::HangUp { who: agent, which: Which::Last }),
        1 => to.push(Action::HangUp { who: "trunk", which: Which::Last }),
        2 => to.push(Action::Answer { who: target, status: None }),
        3 => to.push(Action::Refer { who: agent, which: Which::Last, to: "1002", bye: false }),
        _ => {}
    }
    pause(rng, to);
}

/// A listener who does anything but answer, and then does other things.
fn listener_scene(rng: &mut StdRng, to: &mut Actions) {
    let agent = call(rng, to);
    to.push(Action::Wait(500 * MS));
    let who = one(rng, &LISTENERS);
    let on_call = match rng.random_range(0..9u8) {
        0 => OnCall::Ring,
        1 => OnCall::Wait,
        2 => OnCall::Ignore,
        3 => OnCall::Redirect { to: "sip:bo@medlytt.test".into() },
        4 => OnCall::Answer { after: 20 * MS },
        5 => OnCall::Reject { status: one(rng, &[486, 600]) },
        _ => OnCall::Reject { status: one(rng, &STATUSES) },
    };
    to.push(habits(who, on_call));
    let listener = ListenerOrder::User(who.into());
    to.push(Action::Order { actor: "admin", agent, listener, calls: Some(2), seconds: None, directions: None });
    to.push(Action::Wait(one(rng, &[100, 1_000, 5_000]) * MS));
    let act = match rng.random_range(0..9u8) {
        0 => Action::HangUp { who, which: Which::Last },
        1 => Action::Hold { who, which: Which::Last, way: Direction::SendOnly, null: rng.random_bool(0.3) },
        2 => Action::Refer { who, which: Which::Last, to: "1002", bye: false },
        3 => Action::Press { who, which: Which::Last },
        4 => Action::Info { who, which: Which::Last },
        5 => Action::Die { who, lasts: one(rng, &[2, 45]) * S },
        6 => Action::Answer { who, status: None },
        7 => Action::Monitorable { agent, on: false },
        _ => Action::HangUpListening { actor: "admin", which: which(rng) },
    };
    to.push(act);
    to.push(Action::Wait(one(rng, &[100, 2_000, 6_000]) * MS));
}

/// The same listener for two agents at once, and one who hears the next call only.
fn waiting_listener(rng: &mut StdRng, to: &mut Actions) {
    let who = one(rng, &LISTENERS);
    to.push(answering(who, rng));
    for _ in 0..2 {
        let agent = call(rng, to);
        let listener = ListenerOrder::User(who.into());
        let calls = i64::from(rng.random_range(1..3));
        to.push(Action::Order { actor: "admin", agent, listener, calls: Some(calls), seconds: None, directions: None });
        pause(rng, to);
    }
    to.push(Action::Wait(one(rng, &[1_000, 4_000]) * MS));
    to.push(Action::HangUp { who: if rng.random_bool(0.5) { who } else { "trunk" }, which: which(rng) });
    pause(rng, to);
}

/// Two things at the same moment.
fn races(rng: &mut StdRng, to: &mut Actions) {
    let agent = call(rng, to);
    let race = match rng.random_range(0..5u8) {
        0 => vec![Action::HangUpBoth { who: agent }],
        1 => vec![Action::Answer { who: agent, status: None }, Action::HangUp { who: "trunk", which: Which::Last }],
        2 => vec![Action::HangUp { who: "trunk", which: Which::Last }, Action::Answer { who: agent, status: None }],
        3 => vec![
            Action::Hold { who: agent, which: Which::Last, way: Direction::SendOnly, null: false },
            Action::Hold { who: "trunk", which: Which::Last, way: Direction::SendOnly, null: false },
        ],
        _ => vec![
            Action::Refer { who: agent, which: Which::Last, to: "1002", bye: true },
            Action::HangUp { who: "trunk", which: Which::Last },
        ],
    };
    to.extend(race);
    pause(rng, to);
}

fn single(rng: &mut StdRng, to: &mut Actions) {
    let act = match rng.random_range(0..26u8) {
        0..=8 => return party_act(rng, to),
        9..=12 => {
            let agent = one(rng, &["anna", "anna", "bo", "cia", "nobody"]);
            order(rng, agent)
        }
        13 | 14 => request_act(rng),
        15 => Action::HangUpListening { actor: one(rng, &["admin", "sue"]), which: which(rng) },
        16 => Action::Shield { which: which(rng), on: rng.random_bool(0.5) },
        17 | 18 => directory_act(rng),
        19 => Action::Register { who: one(rng, &PHONES), seconds: one(rng, &[0, 60, 3_600]) },
        20 => Action::Reload { variant: rng.random() },
        21 => Action::Settings { variant: rng.random() },
        22 | 23 => trouble(rng),
        24 if rng.random_bool(0.4) => Action::Kill,
        _ => Action::Habits {
            who: one(rng, &LISTENERS),
            on_call: on_call(rng),
            early: rng.random_bool(0.3),
            leaves: rng.random_bool(0.5),
            refuse: None,
            rtcp: rng.random_bool(0.3),
            mixes: false,
        },
    };
    to.push(act);
}

fn on_call(rng: &mut StdRng) -> OnCall {
    match rng.random_range(0..9u8) {
        0 => OnCall::Ring,
        1 => OnCall::Wait,
        2 => OnCall::Reject { status: one(rng, &STATUSES) },
        3 => OnCall::Ignore,
        4 => OnCall::Redirect { to: "sip:bo@medlytt.test".into() },
        _ => OnCall::Answer { after: one(rng, &[0, 5, 50, 500, 3_000]) * MS },
    }
}

fn request_act(rng: &mut StdRng) -> Action {
    let (actor, which) = (one(rng, &["admin", "admin", "sue"]), which(rng));
    match rng.random_range(0..4u8) {
        0 => Action::ResumeRequest { actor, which },
        1 => {
            let seconds = rng.random_bool(0.3).then(|| one(rng, &[1, 60]));
            Action::Patch { actor, which, calls: rng.random_bool(0.7).then(|| one(rng, &[0, 1, 2, 5])), seconds }
        }
        _ => Action::Delete { actor, which },
    }
}

fn directory_act(rng: &mut StdRng) -> Action {
    let agent = one(rng, &AGENTS);
    match rng.random_range(0..8u8) {
        0..=2 => Action::Monitorable { agent, on: rng.random_bool(0.7) },
        3 => Action::PutAgent { agent: one(rng, &["dan", "anna"]) },
        4 => Action::DeleteAgent { agent: one(rng, &["dan", "cia"]) },
        _ => {
            let all = [AgentStatus::Ready, AgentStatus::Pause, AgentStatus::WrapUp, AgentStatus::Busy];
            let more = [AgentStatus::NoAnswer, AgentStatus::LoggedOff];
            let status = if rng.random_bool(0.6) { one(rng, &all) } else { one(rng, &more) };
            Action::Status { agent, status }
        }
    }
}

/// Network, disk, media plane.
fn trouble(rng: &mut StdRng) -> Action {
    let lasts = one(rng, &[200, 1_000, 5_000]) * MS;
    match rng.random_range(0..11u8) {
        0 | 1 => Action::Network { bad: rng.random_range(0..4), lasts },
        2 => Action::Isolate { who: one(rng, &PHONES), lasts: one(rng, &[1, 6, 40]) * S },
        3 => Action::Die { who: one(rng, &PHONES), lasts: one(rng, &[1, 40]) * S },
        4 => Action::CutMedia { who: one(rng, &PHONES) },
        5 | 6 => Action::DiskFull { lasts },
        7 => Action::DiskSlow { delay: one(rng, &[2, 2, 300, 3_000]) * MS },
        8 => Action::StoreQueueFull { lasts },
        9 => Action::JumpWall { seconds: one(rng, &[-3_600, -5, 5, 3_600]) },
        _ => {
            Action::MediaSlow { to: one(rng, &[0, 0, 50, 1_000, 2_500]) * MS, from: one(rng, &[0, 0, 50, 1_000]) * MS }
        }
    }
}

fn party_act(rng: &mut StdRng, to: &mut Actions) {
    let who = one(rng, &["trunk", "anna", "anna", "bo", "cia"]);
    let which = which(rng);
    let way = one(rng, &[Direction::SendOnly, Direction::Inactive, Direction::RecvOnly, Direction::SendRecv]);
    let act = match rng.random_range(0..22u8) {
        0..=3 => dial(rng),
        4 => Action::Answer { who, status: rng.random_bool(0.4).then(|| one(rng, &STATUSES)) },
        5 => Action::HangUp { who, which },
        6 => Action::HangUpAny { which },
        7 => Action::HangUpBoth { who },
        8 | 9 => Action::Hold { who, which, way, null: rng.random_bool(0.2) },
        10 | 11 => Action::Resume { who, which },
        12 => Action::Codecs { who, which, codec: one(rng, &[Codec::Pcmu, Codec::Pcma, Codec::Pcma, Codec::G729]) },
        13 => Action::Move { who, which },
        14 => Action::Update { who, which, way },
        15 => Action::Late { who, which },
        16 => Action::Restart { who, which },
        17 => Action::Press { who, which },
        18 => Action::Info { who, which },
        19 => Action::Refer { who, which, to: one(rng, &NUMBERS), bye: rng.random_bool(0.3) },
        20 => Action::Replace { from: one(rng, &["trunk", "anna", "bo"]), victim: who, which },
        _ => Action::Habits {
            who,
            on_call: on_call(rng),
            early: rng.random_bool(0.3),
            leaves: rng.random_bool(0.5),
            refuse: rng.random_bool(0.15).then(|| one(rng, &[488, 500])),
            rtcp: rng.random_bool(0.3),
            mixes: rng.random_bool(0.2),
        },
    };
    to.push(act);
}
