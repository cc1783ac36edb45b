//! What must be true after each restart.

use std::collections::{HashMap, HashSet};
use std::process::Command;
use std::time::{Duration, Instant};

use phone::{Call, CallId, Dial, State};
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::Value;
use signalling::message::Method;

use medlytt_stories::rig::engine::until;

use super::Tally;
use super::house::{House, MIN_HEARD, Party};
use super::model::{Doubt, Order, time};

/// Within this every leg that the dead engine left is ended.
const LET_GO: Duration = Duration::from_secs(5);
/// Calls' dialogs are written without waiting: one that is younger may be left to its phones.
const WRITTEN_BEHIND: Duration = Duration::from_millis(300);
/// How far a phone's count of packets may lie from the engine's.
const ABOUT: Duration = Duration::from_millis(80);
/// A listening that ended so long before the kill is counted for good.
const COUNTED_AFTER: Duration = Duration::from_millis(300);

/// Calls that the engine had to end, by line.
pub(super) struct LeftBehind {
    listeners: Vec<(usize, CallId)>,
    parties: Vec<(usize, CallId)>,
}

/// Who was in a call when it died.
pub(super) fn left_behind(house: &House, killed: Instant) -> LeftBehind {
    let live = |line: usize| house.lines.live(line).into_iter().map(move |call| (line, call));
    let up = |(line, id): &(usize, CallId)| {
        house.lines.look(*line, |phone| {
            phone.call(*id).is_some_and(|c| c.up_at().is_some_and(|at| at + WRITTEN_BEHIND < killed))
        })
    };
    let parties = house.agents.iter().map(|agent| agent.line).chain([house.platform]);
    LeftBehind {
        listeners: house.listeners.iter().flat_map(|listener| live(listener.line)).collect(),
        parties: parties.flat_map(live).filter(up).collect(),
    }
}

/// Acknowledged orders are there as they were left; the others are there or not, and a replay makes exactly one of each.
pub(super) fn orders(house: &mut House, killed: Instant, tally: &mut Tally) {
    let client = house.client();
    let mut model = house.model.lock().expect("nobody panicked with it");
    let known: HashMap<String, usize> =
        model.orders.iter().enumerate().filter_map(|(at, order)| Some((order.id()?.to_owned(), at))).collect();
    let mut mine: HashSet<String> = known.keys().cloned().collect();
    for order in model.orders.iter_mut().filter(|order| order.answer.is_none() && order.calls_until.is_none()) {
        tally.unanswered += 1;
        let body = order.body(&house.listeners[order.listener].user);
        let found = |until: jiff::Timestamp| {
            let all = client.all("/v1/requests");
            all.into_iter().filter(|request| time(&request["until"]) == until).collect::<Vec<_>>()
        };
        let before = found(order.until);
        assert!(before.len() <= 1, "one order made two requests: {before:#?}");
        if let Some(key) = &order.key
            && order.until > jiff::Timestamp::now() + jiff::SignedDuration::from_secs(10)
        {
            tally.replays += 1;
            let answer = client.send("POST", "/v1/requests", Some(key), Some(&body)).expect("an answer");
            assert_eq!(answer.status, 201, "replay of an order that had no answer: {answer:?}");
            assert_eq!(found(order.until).len(), 1, "exactly one request by {key}; before the replay {before:#?}");
            if let Some(before) = before.first() {
                assert_eq!(answer.body["id"], before["id"], "it was made before the kill and the replay gives another");
            }
            mine.extend(answer.body["id"].as_str().map(str::to_owned));
            order.answer = Some(answer.body);
        } else if let Some(request) = before.into_iter().next() {
            mine.extend(request["id"].as_str().map(str::to_owned));
            // What it was answered first is not known: it is not asked again.
            (order.answer, order.key) = (Some(request), None);
        } else {
            order.calls_until = Some(order.calls_after);
        }
    }
    let requests = client.all("/v1/requests");
    let listenings = client.all("/v1/listenings");
    let by_id: HashMap<&str, &Value> = requests.iter().filter_map(|r| Some((r["id"].as_str()?, r))).collect();
    for id in by_id.keys() {
        assert!(mine.contains(*id), "nobody ordered this: {}", by_id[id]);
    }
    for order in model.orders.iter_mut().filter(|order| !order.settled) {
        let Some(id) = order.id() else { continue };
        let request = by_id.get(id).unwrap_or_else(|| panic!("an acknowledged order is lost: {order:?}"));
        tally.orders += 1;
        stands_as_left(order, request);
        let counted =
            listenings.iter().filter(|l| l["request"] == request["id"] && l["counted"] == true).count() as u64;
        let used = request["calls"]["used"].as_u64().expect("a count");
        assert_eq!(counted, used, "listenings that counted, and the request's count: {request}");
        tally.counted += used;
        heard_is_counted(house, order, used, killed);
        if !matches!(request["state"].as_str(), Some("waiting" | "suspended")) {
            order.settled = true;
            order
                .calls_until
                .get_or_insert(super::load::newest_call(&house.lines, house.listeners[order.listener].line));
        }
        order.used = used;
    }
    // Some first answers again, of this round and of those before.
    let keyed = model.orders.iter().rev().filter(|order| order.key.is_some() && order.answer.is_some());
    for order in keyed.step_by(3).take(5) {
        tally.replays += 1;
        let body = order.body(&house.listeners[order.listener].user);
        let answer = client.send("POST", "/v1/requests", order.key.as_deref(), Some(&body)).expect("an answer");
        assert_eq!((answer.status, answer.replayed), (201, true), "replay of {order:?}: {answer:?}");
        assert_eq!(Some(&answer.body), order.answer.as_ref(), "the first answer again");
    }
}

/// A request whose `until` passes while the lists are read may stand in them as it was.
const EXPIRY_SEEN_WITHIN: jiff::SignedDuration = jiff::SignedDuration::from_millis(500);

fn stands_as_left(order: &mut Order, request: &Value) {
    let doubt = order.doubt.take();
    let (limit, end) = (request["calls"]["limit"].as_u64(), time(&request["until"]));
    match doubt {
        Some(Doubt::Calls(calls)) if limit == Some(calls) => order.calls = Some(calls),
        Some(Doubt::Until(until)) if end == until => order.until = until,
        Some(Doubt::Delete) if request["state"] == "deleted" => order.deleted = true,
        _ => {}
    }
    assert_eq!((limit, end), (order.calls, order.until), "N and until of {request}");
    let used = request["calls"]["used"].as_u64().expect("a count");
    assert!(used >= order.used, "{} were used before the kill: {request}", order.used);
    assert!(limit.is_none_or(|limit| used <= limit), "N is overrun: {request}");
    let state = request["state"].as_str().expect("a state");
    let may_be: &[&str] = if order.deleted {
        &["deleted", "fulfilled", "expired"] // 204 says that it is over, whichever way it ended first
    } else if limit == Some(used) {
        &["fulfilled", "expired"]
    } else if end + EXPIRY_SEEN_WITHIN <= jiff::Timestamp::now() {
        &["expired"]
    } else if end <= jiff::Timestamp::now() + EXPIRY_SEEN_WITHIN {
        &["waiting", "suspended", "expired"] // it passes while we look
    } else {
        &["waiting", "suspended"]
    };
    assert!(may_be.contains(&state), "state {state}, wanted one of {may_be:?}: {request}");
}

/// The count lies between what the phone surely heard and what it may have heard.
fn heard_is_counted(house: &House, order: &Order, used: u64, killed: Instant) {
    let line = house.listeners[order.listener].line;
    let (surely, perhaps) = house.lines.look(line, |phone| {
        let range = order.calls_after + 1..=order.calls_until.unwrap_or(u32::MAX);
        let calls: Vec<&Call> = phone.calls().filter(|call| range.contains(&call.id().0)).collect();
        let heard = |call: &Call| Duration::from_millis(20 * call.ears().count);
        let surely = |call: &&&Call| {
            heard(call) >= MIN_HEARD + ABOUT * 2 && call.ended_at().is_some_and(|at| at + COUNTED_AFTER < killed)
        };
        (calls.iter().filter(surely).count(), calls.iter().filter(|c| heard(c) + ABOUT >= MIN_HEARD).count())
    });
    let (surely, perhaps) = (surely as u64, perhaps as u64);
    assert!(used <= perhaps, "{used} were counted, its phone heard {perhaps}: {order:?}");
    assert!(
        used >= surely.min(order.calls.unwrap_or(u64::MAX)),
        "{used} were counted, its phone heard {surely}: {order:?}"
    );
}

/// The directory has what it was told last.
pub(super) fn directory(house: &mut House) {
    let client = house.client();
    let mut model = house.model.lock().expect("nobody panicked with it");
    for (id, entry) in &mut model.directory {
        let answer = client.get(&format!("/v1/agents/{id}"));
        let name = (answer.status == 200).then(|| answer.body["name"].as_str().unwrap_or_default().to_owned());
        if entry.doubt.take().is_some_and(|doubt| doubt == name) {
            entry.acknowledged.clone_from(&name);
        }
        assert_eq!(name, entry.acknowledged, "agent {id}: {}", answer.body);
    }
}

/// Phones that were told 200 are registered, and those that signed off are not.
pub(super) fn registrations(house: &House, tally: &mut Tally) {
    let client = house.client();
    for party in house.agents.iter().chain(&house.roamers).filter(|party| party.registers) {
        let Some(registered) = registered(house, party) else { continue };
        let agent = client.get(&format!("/v1/agents/{}", party.user)).body;
        assert_eq!(agent["registered"], registered, "{agent}");
        tally.registered += u64::from(registered);
    }
}

/// What the registrar said last; `None` where its answer to the last REGISTER did not come, or nobody ever asked.
fn registered(house: &House, party: &Party) -> Option<bool> {
    house.lines.look(party.line, |phone| {
        let is_register = |m: &signalling::message::Message| m.cseq().method == Method::Register;
        let log = || phone.log().iter().filter(|logged| is_register(&logged.message)).map(|logged| &logged.message);
        let Some(last) = log().filter(|m| m.is_request()).last() else { return Some(false) };
        let expires: u32 = last.header(&signalling::message::HeaderName::Expires)?.trim().parse().ok()?;
        let answered = log().any(|m| !m.is_request() && m.status() == 200 && m.cseq().number == last.cseq().number);
        answered.then_some(expires > 0)
    })
}

/// Nobody stays in a call with an engine that is gone.
pub(super) fn everybody_is_let_go(house: &House, left: &LeftBehind, tally: &mut Tally) {
    tally.listeners_up += left.listeners.len() as u64;
    tally.calls_up += left.parties.len() as u64;
    let end = Instant::now() + LET_GO;
    let live = |calls: &[(usize, CallId)]| -> Vec<String> {
        let look = |(line, id): &(usize, CallId)| {
            house.lines.look(*line, |phone| {
                let call = phone.call(*id).filter(|call| call.state() != State::Ended)?;
                let age = call.up_at().map(|at| at.elapsed());
                Some(format!("{} {:?} up for {age:?} {}", phone.settings().user, call.state(), call.sip_call_id()))
            })
        };
        calls.iter().filter_map(look).collect()
    };
    loop {
        let (listeners, parties) = (live(&left.listeners), live(&left.parties));
        if listeners.is_empty() && parties.is_empty() {
            break;
        }
        assert!(
            Instant::now() < end,
            "{} s after the restart these are still in calls of the dead engine: listeners {listeners:#?}, parties {parties:#?}",
            LET_GO.as_secs()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    house.lines.hang_up_all();
}

/// Every listening is over and says why; who was ringing or listening has one that says `engine-restarted`.
pub(super) fn listenings(house: &House, left: &LeftBehind) {
    let all = house.client().all("/v1/listenings");
    for listening in &all {
        assert!(listening["state"] == "ended" && listening["end_reason"].is_string(), "no call is up: {listening}");
    }
    for (line, id) in &left.listeners {
        let party = house.listeners.iter().find(|listener| listener.line == *line).expect("a listener's line");
        let restarted = |l: &&Value| l["listener"]["user"] == *party.user && l["end_reason"] == "engine-restarted";
        // The phone's call may have been ended by the engine's last act, whose message was still on its way.
        let ended_before = all.iter().any(|l| l["listener"]["user"] == *party.user);
        assert!(
            all.iter().any(|l| restarted(&l)) || ended_before,
            "{} was in call {id:?} and no listening tells of it",
            party.user
        );
    }
}

/// The trail is whole.
pub(super) fn audit_trail(house: &House) {
    let binary = std::env::var("MEDLYTT_BIN").expect("MEDLYTT_BIN names the binary");
    let output = Command::new(binary)
        .args(["audit", "verify", "--config"])
        .arg(house.engine.folder.join("medlytt.toml"))
        .output()
        .expect("the binary starts");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "audit verify: {told}{}", String::from_utf8_lossy(&output.stderr));
}

/// A phone that registered with the dead engine is called by the new one without having registered again.
pub(super) fn phones_are_reached(house: &House, rng: &mut StdRng) {
    let registers = |house: &House, line: usize| {
        let is = |m: &signalling::message::Message| m.is_request() && m.method() == Method::Register;
        house.lines.look(line, |phone| phone.log().iter().filter(|l| l.sent && is(&l.message)).count())
    };
    let there: Vec<&Party> = house
        .agents
        .iter()
        .chain(&house.roamers)
        .filter(|party| !party.registers || registered(house, party) == Some(true))
        .collect();
    for _ in 0..2 {
        let party = there[rng.random_range(0..there.len())];
        let before = (registers(house, party.line), super::load::newest_call(&house.lines, party.line));
        let dial = Dial::to(&format!("sip:{}@medlytt.test", party.number)).from("+4755512345");
        house.lines.act(house.platform, |phone, now, out| phone.dial(now, dial, out));
        until(&format!("{} is called", party.user), Duration::from_secs(3), || {
            super::load::newest_call(&house.lines, party.line) > before.1
        });
        assert_eq!(registers(house, party.line), before.0, "{} registered again", party.user);
        house.lines.hang_up_all();
    }
}
