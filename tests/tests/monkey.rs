//! People who do anything at any time, on good and bad networks: whatever happened, the checks at the end of a world hold
//! (no listener is heard, every listening ends once with its reason, every call has its record, nothing is left).
//!
//! `MONKEY=1000..2000 cargo test -p medlytt-stories --test monkey` runs other seeds; a failure names its seed.

use std::time::Duration;

use engine::Command;
use engine::view::AgentStatus;
use phone::{Codec, Dial, OnCall, State, Voice};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use signalling::sdp::Direction;
use sim::{Leg, Quality, World, agent, number, user};

const PHONES: [&str; 7] = ["trunk", "anna", "bo", "cia", "admin", "sue", "sam"];
const AGENTS: [&str; 3] = ["anna", "bo", "cia"];
const NUMBERS: [&str; 5] = ["1001", "1002", "1003", "9999", "+4799999999"];
const STATUSES: [u16; 8] = [302, 404, 480, 486, 488, 500, 600, 603];
const STEPS: usize = 60;
const MS: Duration = Duration::from_millis(1);

struct Monkey {
    w: World,
    rng: StdRng,
    requests: Vec<String>,
}

impl Monkey {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let bad = rng.random_bool(0.4);
        let sip = Quality { latency: 5 * MS, jitter: 60 * MS, loss: 0.1, duplicates: 0.1 };
        let rtp = Quality { latency: 5 * MS, jitter: 20 * MS, loss: 0.05, duplicates: 0.02 };
        let mut w = World::with(|s| {
            s.seed = seed;
            if rng.random_bool(0.3) {
                s.store_delay = 400 * MS;
            }
            if rng.random_bool(0.2) {
                s.settings.max_listeners_per_agent = 1;
            }
        });
        if bad {
            w.network(sip, rtp);
        }
        // Listeners' phones send at the top of their voices from the first moment on.
        for name in ["admin", "sue", "sam"] {
            w.habits(name, |h| h.keep_sending = true);
        }
        Self { w, rng, requests: Vec::new() }
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.rng.random_range(0..of.len())]
    }

    /// A call of any phone that is not over, if there is one.
    fn leg(&mut self, state: Option<State>) -> Option<Leg> {
        let legs: Vec<Leg> = PHONES
            .iter()
            .flat_map(|name| self.w.legs(name))
            .filter(|l| state.is_none_or(|s| self.w.state(*l) == s))
            .collect();
        (!legs.is_empty()).then(|| self.one(&legs))
    }

    fn step(&mut self) {
        match self.rng.random_range(0..30u8) {
            0..=4 => self.dial(),
            5 | 6 => self.habit(),
            7..=10 => self.order(),
            11 => self.change_request(),
            12 | 13 => self.hold(),
            14 | 15 => self.resume(),
            16 | 17 => self.refer(),
            18 | 19 => self.refer_replacing(),
            20..=22 => self.hang_up(),
            23 => self.by_hand(),
            24 => self.change_session(),
            25 => self.shield(),
            26 => self.status(),
            27 => self.replace(),
            28 => self.w.disk.full = self.rng.random_bool(0.3),
            _ => self.key(),
        }
        let pause = self.one(&[0, 1, 3, 10, 50, 200, 1_000, 4_000]);
        self.w.run_for(pause * MS);
    }

    fn dial(&mut self) {
        let from = self.one(&["trunk", "trunk", "trunk", "anna", "bo", "cia"]);
        let to = self.one(&NUMBERS);
        let dial = if from == "trunk" { World::inbound(to) } else { Dial::to(&format!("sip:{to}@medlytt.test")) };
        let dial = if self.rng.random_bool(0.2) { dial.late_offer() } else { dial };
        let dial = if self.rng.random_bool(0.1) { dial.header("X-Do-Not-Monitor", "1") } else { dial };
        let dial = if self.rng.random_bool(0.2) { dial.header("X-Interaction-Id", "shared") } else { dial };
        self.w.dial(from, dial);
    }

    fn habit(&mut self) {
        let name = self.one(&PHONES);
        let status = self.one(&STATUSES);
        let after = self.one(&[0, 5, 50, 500, 3_000]) * MS;
        let on_call = match self.rng.random_range(0..8u8) {
            0 => OnCall::Ring,
            1 => OnCall::Wait,
            2 => OnCall::Reject { status },
            3 => OnCall::Ignore,
            _ => OnCall::Answer { after },
        };
        let (early, leaves) = (self.rng.random_bool(0.3), self.rng.random_bool(0.5));
        let refuse = self.rng.random_bool(0.1).then_some(488);
        self.w.habits(name, |h| {
            h.on_call = on_call;
            h.early_media = early;
            h.bye_after_transfer = leaves;
            h.refuse_changes = refuse;
        });
    }

    fn order(&mut self) {
        let whom = self.one(&AGENTS);
        let listener = match self.rng.random_range(0..6u8) {
            0 => agent(self.one(&AGENTS)),
            1 => number("+4788888888"),
            2 => number("1002"),
            _ => user(self.one(&["admin", "sue", "sam"])),
        };
        let calls = self.rng.random_range(1..4);
        let seconds = self.one(&[1, 10, 600]);
        let draft = self.w.order(whom, listener).calls(calls);
        // Refusals are as good as orders here.
        if let Ok(request) = draft.until_in(seconds).send() {
            self.requests.push(request.id);
        }
    }

    fn change_request(&mut self) {
        if self.requests.is_empty() {
            return;
        }
        let index = self.rng.random_range(0..self.requests.len());
        let id = self.requests[index].clone();
        let command = match self.rng.random_range(0..4u8) {
            0 => Command::ResumeRequest { id },
            1 => Command::ChangeRequest { id, calls: Some(self.rng.random_range(1..5)), until: None },
            _ => Command::DeleteRequest { id },
        };
        let _ = self.w.command("admin", command);
    }

    fn hold(&mut self) {
        let way = self.one(&[Direction::SendOnly, Direction::Inactive, Direction::RecvOnly]);
        let null = self.rng.random_bool(0.2);
        if let Some(leg) = self.leg(Some(State::Up)) {
            self.w.act(leg, |p, now, call, out| match null {
                true => p.hold_with_null_address(now, call, out),
                false => p.hold(now, call, way, out),
            });
        }
    }

    fn resume(&mut self) {
        if let Some(leg) = self.leg(Some(State::Up)) {
            self.w.act(leg, |p, now, call, out| p.resume(now, call, out));
        }
    }

    fn change_session(&mut self) {
        let codec = self.one(&[Codec::Pcmu, Codec::Pcma, Codec::G729]);
        let kind = self.rng.random_range(0..4u8);
        if let Some(leg) = self.leg(Some(State::Up)) {
            self.w.act(leg, |p, now, call, out| match kind {
                0 => drop(p.change_codecs(now, call, &[codec, Codec::Pcmu], out)),
                1 => p.move_media(call, out),
                2 => drop(p.update(now, call, Direction::SendRecv, out)),
                _ => drop(p.reinvite_late(now, call, out)),
            });
        }
    }

    fn refer(&mut self) {
        let to = self.one(&NUMBERS);
        if let Some(leg) = self.leg(Some(State::Up)) {
            self.w.act(leg, |p, now, call, out| p.refer(now, call, &format!("sip:{to}@medlytt.test"), out));
        }
    }

    fn refer_replacing(&mut self) {
        let Some(leg) = self.leg(Some(State::Up)) else { return };
        let others: Vec<Leg> = self.w.legs_beside(leg);
        if others.is_empty() {
            return;
        }
        let other = self.one(&others);
        let other = self.w.call(other).id();
        self.w.act(leg, |p, now, call, out| p.refer_replacing(now, call, "sip:1002@medlytt.test", other, out));
    }

    /// An INVITE that takes the place of somebody's dialog, allowed or not.
    fn replace(&mut self) {
        let from = self.one(&["trunk", "anna", "bo"]);
        if let Some(leg) = self.leg(Some(State::Up)) {
            let dialog = self.w.call(leg).replaces();
            self.w.dial(from, Dial::to("sip:1001@medlytt.test").replacing(&dialog));
        }
    }

    fn hang_up(&mut self) {
        if let Some(leg) = self.leg(None) {
            self.w.hang_up(leg);
        }
    }

    fn by_hand(&mut self) {
        let status = self.one(&STATUSES);
        let answers = self.rng.random_bool(0.6);
        if let Some(leg) = self.leg(Some(State::Incoming)) {
            if answers {
                self.w.answer(leg);
            } else {
                self.w.reject(leg, status);
            }
        }
    }

    fn shield(&mut self) {
        let calls: Vec<String> = self.w.model.calls.keys().cloned().collect();
        if calls.is_empty() {
            return;
        }
        let call = calls[self.rng.random_range(0..calls.len())].clone();
        let on = self.rng.random_bool(0.5);
        let _ = self.w.command("platform", Command::Shield { call, on });
    }

    fn status(&mut self) {
        let id = self.one(&AGENTS).to_owned();
        let monitorable = self.rng.random_bool(0.7);
        let command = if self.rng.random_bool(0.5) {
            Command::PutStatus { id, status: AgentStatus::Ready }
        } else {
            let agent = engine::AgentChange { monitorable: Some(monitorable), ..engine::AgentChange::default() };
            Command::PutAgent { id, agent }
        };
        let _ = self.w.command("platform", command);
    }

    fn key(&mut self) {
        if let Some(leg) = self.leg(Some(State::Up)) {
            self.w.act(leg, |p, _, call, _| {
                p.press(call, 3, 100 * MS);
                p.say(call, Voice::Tone(700.0));
            });
        }
    }
}

#[test]
fn whatever_people_do_nothing_is_left_and_no_listener_is_heard() {
    let range = std::env::var("MONKEY").unwrap_or_else(|_| "0..24".into());
    let (from, to) = range.split_once("..").expect("MONKEY is FROM..TO");
    for seed in from.parse::<u64>().expect("a number")..to.parse().expect("a number") {
        // The last seed that is named is the one that failed.
        println!("seed {seed}");
        let mut monkey = Monkey::new(seed);
        for _ in 0..STEPS {
            monkey.step();
        }
        let Monkey { mut w, .. } = monkey;
        w.network(Quality::default(), Quality::default());
        w.finish();
    }
}
