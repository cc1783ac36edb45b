//! The load: calls come and go, three clients order, change and delete, one keeps the directory, phones register.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use medlytt_stories::rig::client::{Answer, Client};
use medlytt_stories::rig::lines::Lines;
use phone::{Call, Dial, State};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use super::house::House;
use super::model::{Doubt, Order};

const CLIENTS: usize = 3;
const DIRECTORY: usize = 12;
/// At the end one client orders and takes back without a pause, so that the kill finds orders without an answer.
const RUSH: Duration = Duration::from_millis(40);

/// Works for so long, then kills the engine while everybody is at it.
pub(super) fn run(house: &mut House, life: Duration, rng: &mut StdRng) -> Instant {
    let (stop, rush) = (AtomicBool::new(false), AtomicBool::new(false));
    let pid = house.engine.pid();
    let seeds: Vec<u64> = (0..CLIENTS + 2).map(|_| rng.random()).collect();
    let shared: &House = house;
    let killed = std::thread::scope(|scope| {
        for (n, seed) in seeds.iter().enumerate() {
            let (mut rng, stop, rush, client) = (StdRng::seed_from_u64(*seed), &stop, &rush, shared.client());
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    match n {
                        0 if rush.load(Ordering::Relaxed) => {
                            order_or_delete(shared, 0, &client, &mut rng);
                            continue;
                        }
                        n if n < CLIENTS => order_something(shared, n, &client, &mut rng),
                        CLIENTS => change_the_directory(shared, &client, &mut rng),
                        _ => phone_somebody(shared, &mut rng),
                    }
                    std::thread::sleep(Duration::from_millis(rng.random_range(1..20)));
                }
            });
        }
        std::thread::sleep(life);
        rush.store(true, Ordering::Relaxed);
        std::thread::sleep(RUSH);
        // Not after the threads have stopped: what is under way is what this is about.
        let at = Instant::now();
        let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
        assert!(killed.is_ok_and(|status| status.success()), "it could be killed");
        stop.store(true, Ordering::Relaxed);
        at
    });
    house.engine.kill();
    let model = house.model.get_mut().expect("nobody panicked with it");
    assert!(model.surprises.is_empty(), "answers that nobody should get: {:#?}", model.surprises);
    killed
}

/// The id of a phone's newest call; 0 if it has none.
pub(super) fn newest_call(lines: &Lines, line: usize) -> u32 {
    lines.look(line, |phone| phone.calls().next_back().map_or(0, |call| call.id().0))
}

/// One of a client's own listeners (every third is), and the order for it that is active.
fn own(house: &House, client_number: usize, rng: &mut StdRng) -> (usize, Option<usize>) {
    let listener = rng.random_range(0..house.listeners.len() / CLIENTS) * CLIENTS + client_number;
    let model = house.model.lock().expect("nobody panicked with it");
    (listener, model.orders.iter().rposition(|o| o.listener == listener && o.calls_until.is_none()))
}

/// One act of a client in a hurry.
fn order_or_delete(house: &House, client_number: usize, client: &Client, rng: &mut StdRng) {
    match own(house, client_number, rng) {
        (listener, None) => order(house, listener, client, rng),
        (_, Some(at)) => delete(house, at, client),
    }
}

/// One act of a client.
fn order_something(house: &House, client_number: usize, client: &Client, rng: &mut StdRng) {
    let (listener, active) = own(house, client_number, rng);
    match (active, rng.random_range(0..40)) {
        (None, _) => order(house, listener, client, rng),
        (Some(at), 0..=2) => change_calls(house, at, client, rng),
        (Some(at), 3..=4) => change_until(house, at, client),
        (Some(at), 5) => delete(house, at, client),
        (Some(at), _) => look(house, at, client),
    }
}

fn order(house: &House, listener: usize, client: &Client, rng: &mut StdRng) {
    let party = &house.listeners[listener];
    let (at, body, key) = {
        let mut model = house.model.lock().expect("nobody panicked with it");
        let soon = rng.random_bool(0.1).then(|| rng.random_range(300..1500));
        let (until, key) = (model.until(soon), rng.random_bool(0.5).then(|| model.key()));
        let order = Order {
            agent: house.agents[rng.random_range(0..house.agents.len())].user.clone(),
            listener,
            calls: rng.random_bool(0.7).then(|| rng.random_range(1..4)),
            until,
            key: key.clone(),
            answer: None,
            deleted: false,
            doubt: None,
            used: 0,
            calls_after: newest_call(&house.lines, party.line),
            calls_until: None,
            settled: false,
        };
        let body = order.body(&party.user);
        model.orders.push(order);
        (model.orders.len() - 1, body, key)
    };
    let answer = client.send("POST", "/v1/requests", key.as_deref(), Some(&body));
    settle(house, at, answer, &format!("POST {body}"), |order, answer| match answer.status {
        201 => order.answer = Some(answer.body.clone()),
        _ => order.calls_until = Some(order.calls_after),
    });
}

fn change_calls(house: &House, at: usize, client: &Client, rng: &mut StdRng) {
    let calls = rng.random_range(1..6);
    change(house, at, client, Doubt::Calls(calls), json!({ "calls": calls }));
}

fn change_until(house: &House, at: usize, client: &Client) {
    let until = house.model.lock().expect("nobody panicked with it").until(None);
    change(house, at, client, Doubt::Until(until), json!({"until": until.to_string()}));
}

fn change(house: &House, at: usize, client: &Client, doubt: Doubt, body: serde_json::Value) {
    let Some(id) = doubtful(house, at, doubt.clone()) else { return };
    let answer = client.send("PATCH", &format!("/v1/requests/{id}"), None, Some(&body));
    settle(house, at, answer, &format!("PATCH {id} {body}"), |order, answer| {
        order.doubt = None;
        if answer.status == 200 {
            match doubt {
                Doubt::Calls(calls) => order.calls = Some(calls),
                Doubt::Until(until) => order.until = until,
                Doubt::Delete => {}
            }
        }
    });
}

fn delete(house: &House, at: usize, client: &Client) {
    let Some(id) = doubtful(house, at, Doubt::Delete) else { return };
    let answer = client.send("DELETE", &format!("/v1/requests/{id}"), None, None);
    let newest = {
        let listener = house.model.lock().expect("nobody panicked with it").orders[at].listener;
        newest_call(&house.lines, house.listeners[listener].line)
    };
    settle(house, at, answer, &format!("DELETE {id}"), |order, answer| {
        order.doubt = None;
        order.deleted = answer.status == 204;
        order.calls_until = Some(newest);
    });
}

fn look(house: &House, at: usize, client: &Client) {
    let id = house.model.lock().expect("nobody panicked with it").orders[at].id().map(str::to_owned);
    let Some(id) = id else { return };
    let answer = client.send("GET", &format!("/v1/requests/{id}"), None, None);
    let party = house.model.lock().expect("nobody panicked with it").orders[at].listener;
    let newest = newest_call(&house.lines, house.listeners[party].line);
    settle(house, at, answer, &format!("GET {id}"), |order, answer| {
        order.used = order.used.max(answer.body["calls"]["used"].as_u64().unwrap_or(0));
        if matches!(answer.body["state"].as_str(), Some("fulfilled" | "expired")) {
            order.calls_until = Some(newest);
        }
    });
}

/// Notes what is about to be asked; `None`: there is nothing to change.
fn doubtful(house: &House, at: usize, doubt: Doubt) -> Option<String> {
    let mut model = house.model.lock().expect("nobody panicked with it");
    let order = &mut model.orders[at];
    let id = order.id()?.to_owned();
    order.doubt = Some(doubt);
    Some(id)
}

/// Takes an answer; without one the doubt stays.
fn settle(house: &House, at: usize, answer: Option<Answer>, asked: &str, take: impl FnOnce(&mut Order, &Answer)) {
    let Some(answer) = answer else { return };
    let mut model = house.model.lock().expect("nobody panicked with it");
    // 404 and 422: the request is over meanwhile, or more was heard than it is now to have.
    if !matches!(answer.status, 200 | 201 | 204 | 404 | 409 | 422) {
        model.surprises.push(format!("{asked}: {} {}", answer.status, answer.body));
    }
    if asked.starts_with("POST") && answer.status != 201 && answer.code() != "invalid-request" {
        model.surprises.push(format!("{asked}: {} {}", answer.status, answer.body));
    }
    take(&mut model.orders[at], &answer);
}

fn change_the_directory(house: &House, client: &Client, rng: &mut StdRng) {
    let id = format!("x{}", rng.random_range(0..DIRECTORY));
    let name = rng.random_bool(0.7).then(|| format!("{id} of {}", rng.random::<u32>()));
    let doubt = |name: &Option<String>| {
        let mut model = house.model.lock().expect("nobody panicked with it");
        model.directory.entry(id.clone()).or_default().doubt = Some(name.clone());
    };
    doubt(&name);
    let path = format!("/v1/agents/{id}");
    let answer = match &name {
        Some(name) => client.send("PUT", &path, None, Some(&json!({"name": name, "number": format!("2{}", &id[1..])}))),
        None => client.send("DELETE", &path, None, None),
    };
    let Some(answer) = answer else { return };
    let mut model = house.model.lock().expect("nobody panicked with it");
    if !matches!(answer.status, 200 | 201 | 204 | 404) {
        model.surprises.push(format!("{path} {name:?}: {} {}", answer.status, answer.body));
    }
    let entry = model.directory.entry(id).or_default();
    (entry.acknowledged, entry.doubt) = (name, None);
}

/// One act at a telephone.
fn phone_somebody(house: &House, rng: &mut StdRng) {
    let (lines, agent) = (&house.lines, &house.agents[rng.random_range(0..house.agents.len())]);
    match rng.random_range(0..40) {
        0..=11 if lines.live(agent.line).is_empty() && lines.live(house.platform).len() < 6 => {
            let dial = Dial::to(&format!("sip:{}@medlytt.test", agent.number)).from("+4755512345");
            lines.act(house.platform, |phone, _, out| phone.dial(Instant::now(), dial, out));
        }
        12..=13 => hang_up_one(lines, house.platform, rng),
        14 => hang_up_one(lines, agent.line, rng),
        15 => hang_up_one(lines, house.listeners[rng.random_range(0..house.listeners.len())].line, rng),
        16..=17 => {
            let roamer = &house.roamers[rng.random_range(0..house.roamers.len())];
            let expires = if rng.random_bool(0.7) { 3600 } else { 0 };
            lines.act(roamer.line, |phone, now, out| phone.register(now, expires, out));
        }
        _ => {}
    }
}

/// Hangs up a call that is not quite new; most are left until a listener has heard enough of them.
fn hang_up_one(lines: &Lines, line: usize, rng: &mut StdRng) {
    let age = Duration::from_millis(if rng.random_bool(0.3) { 250 } else { 1_600 });
    let old = |call: &&Call| call.state() == State::Up && call.up_at().is_some_and(|at| at.elapsed() > age);
    let calls: Vec<_> = lines.look(line, |phone| phone.calls().filter(old).map(Call::id).collect());
    if !calls.is_empty() {
        let call = calls[rng.random_range(0..calls.len())];
        lines.act(line, |phone, now, out| phone.hang_up(now, call, out));
    }
}
