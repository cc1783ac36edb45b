//! Random days at the contact centre: whatever happens, nothing leaks, nothing is counted twice, N is never overrun,
//! every listening ends once with one reason, and no listener hears what it may not.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

struct Monkey {
    b: Bench,
    rng: StdRng,
    /// Pairs that signalling has, answered or not.
    calls: Vec<(Pair, bool)>,
    transfers: Vec<(TransferId, Pair, Option<LegId>)>,
    orders: Vec<(String, i64)>,
    heard: BTreeMap<ListenerId, u64>,
}

const AGENTS: [(&str, &str); 3] = [("anna", "1001"), ("bo", "1002"), ("cia", "1003")];

impl Monkey {
    fn new(seed: u64) -> Self {
        let mut settings = settings();
        settings.max_listeners_per_agent = 3;
        settings.max_active_requests_supervisor = None;
        settings.media_layout.shards = 2;
        let b = Bench::with(settings, seed_with_mixed_rights(), Restored::default());
        Self {
            b,
            rng: StdRng::seed_from_u64(seed),
            calls: Vec::new(),
            transfers: Vec::new(),
            orders: Vec::new(),
            heard: BTreeMap::new(),
        }
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        if of.is_empty() { None } else { Some(of[self.rng.random_range(0..of.len())].clone()) }
    }

    fn alive(&self, leg: LegId) -> bool {
        self.b.wire.lock().unwrap().alive.contains(&leg)
    }

    fn tidy(&mut self) {
        let alive = self.b.wire.lock().unwrap().alive.clone();
        self.calls.retain(|(pair, _)| alive.contains(&pair.caller) && alive.contains(&pair.callee));
        self.transfers.retain(|(_, pair, _)| alive.contains(&pair.caller) || alive.contains(&pair.callee));
    }

    fn some_call(&mut self, answered: bool) -> Option<Pair> {
        let calls: Vec<Pair> = self.calls.iter().filter(|(_, up)| *up == answered).map(|(pair, _)| *pair).collect();
        self.pick(&calls)
    }

    fn some_leg(&mut self, pair: Pair) -> LegId {
        if self.rng.random_bool(0.5) { pair.caller } else { pair.callee }
    }

    /// Some listener's leg that is not over.
    fn some_ear(&mut self) -> Option<LegId> {
        let ears: Vec<LegId> = self.b.listeners().iter().map(|leg| leg.leg).filter(|leg| self.alive(*leg)).collect();
        self.pick(&ears)
    }

    fn step(&mut self) {
        match self.rng.random_range(0..25) {
            0..=2 => self.new_call(),
            3..=5 => self.answer(),
            6 | 7 => {
                if let Some(pair) = self.some_call(true) {
                    let leg = self.some_leg(pair);
                    let (sends, receives) = (self.rng.random_bool(0.7), self.rng.random_bool(0.5));
                    self.b.planned(leg, session(sends, receives));
                }
            }
            8 => {
                let answered = self.rng.random_bool(0.7);
                if let Some(pair) = self.some_call(answered) {
                    let leg = self.some_leg(pair);
                    let status = (!answered && leg == pair.callee).then_some(486);
                    self.b.leaves(leg, status);
                }
            }
            9 | 10 => self.order(),
            11 => {
                if let Some((id, _)) = self.pick(&self.orders.clone()) {
                    let _ = self.b.command("admin", Command::DeleteRequest { id });
                }
            }
            12 | 13 => self.ear(),
            14 | 15 => self.hear(),
            16 => self.refer(),
            17 | 18 => self.outcome(),
            19 => {
                let seconds = self.rng.random_range(0..40);
                self.b.seconds(seconds);
            }
            20 => self.b.store_up = self.rng.random_bool(0.8),
            21 => {
                let calls: Vec<String> = self.b.core.call_ids.keys().cloned().collect();
                let on = self.rng.random_bool(0.5);
                if let Some(call) = self.pick(&calls) {
                    let _ = self.b.command("admin", Command::Shield { call, on });
                }
            }
            22 => {
                let (agent, _) = self.pick(&AGENTS).unwrap();
                let monitorable = Some(self.rng.random_bool(0.7));
                let _ = self.b.command(
                    "platform",
                    Command::PutAgent {
                        id: agent.into(),
                        agent: AgentChange { monitorable, ..AgentChange::default() },
                    },
                );
            }
            23 => {
                let (shard, lag_ms) = (self.rng.random_range(0..2), self.pick(&[0, 0, 3, 6, 25]).unwrap());
                let lag = Duration::from_millis(lag_ms);
                self.b.drive(Input::Media(media::Event::Load { shard, lag }));
            }
            _ => self.replace(),
        }
        self.tidy();
        self.check();
    }

    fn new_call(&mut self) {
        if self.calls.len() > 12 {
            return;
        }
        let (agent, number) = self.pick(&AGENTS).unwrap();
        let pair = match self.rng.random_range(0..3) {
            0 => {
                let (_, to) = self.pick(&AGENTS).unwrap();
                self.b.phone_calls(agent, to)
            }
            1 => self.b.phone_calls(agent, "+4799999999"),
            _ => {
                let headers: &[(&str, &str)] =
                    if self.rng.random_bool(0.1) { &[("X-Do-Not-Monitor", "1")] } else { &[] };
                self.b.trunk_calls(number, headers)
            }
        };
        self.calls.extend(pair.map(|pair| (pair, false)));
    }

    fn answer(&mut self) {
        if let Some(pair) = self.some_call(false) {
            self.b.answer(pair);
            for (call, up) in &mut self.calls {
                *up |= *call == pair;
            }
        }
    }

    fn order(&mut self) {
        let (agent, _) = self.pick(&AGENTS).unwrap();
        let listener = self
            .pick(&[user("sue"), user("sam"), user("admin"), number("+4799999999"), ListenerOrder::Agent("cia".into())])
            .unwrap();
        let actor = self.pick(&["admin", "sue", "sam"]).unwrap();
        let calls = self.rng.random_range(1..4);
        let until = self.rng.random_bool(0.3).then(|| self.b.now.wall + jiff::SignedDuration::from_secs(60));
        let directions = self
            .rng
            .random_bool(0.3)
            .then(|| vec![CallDirection::Outbound, CallDirection::Internal, CallDirection::Inbound]);
        let order = Order { until, directions, ..order(agent, listener, Some(calls)) };
        if let Ok(request) = self.b.order_as(actor, order) {
            self.orders.push((request.id, calls));
        }
    }

    fn ear(&mut self) {
        let Some(leg) = self.some_ear() else { return };
        match self.rng.random_range(0..6) {
            0 if self.rng.random_bool(0.5) => self.b.ring(leg),
            1 if self.rng.random_bool(0.5) => self.b.leaves(leg, Some(486)),
            2 => self.b.leaves(leg, None),
            3 => self.b.says(signalling::Event::Probed { leg, alive: false }),
            _ => {
                self.b.planned(leg, session(false, true));
                self.b.says(signalling::Event::Answered { leg });
            }
        }
    }

    fn hear(&mut self) {
        let live: Vec<u64> = self
            .b
            .core
            .ears
            .iter()
            .filter(|(_, ear)| ear.state == crate::monitoring::EarState::Live && ear.taps.is_some())
            .map(|(key, _)| *key)
            .collect();
        let Some(key) = self.pick(&live) else { return };
        let heard = self.heard.entry(ListenerId(key)).or_default();
        *heard += self.rng.random_range(500..4_000);
        let heard_ms = *heard;
        self.b.drive(Input::Media(media::Event::Heard { listener: ListenerId(key), heard_ms }));
    }

    /// Some agent refers, to somebody or to its other call.
    fn refer(&mut self) {
        let Some(pair) = self.some_call(true) else { return };
        let agent = |b: &Bench, leg: LegId| b.core.legs.get(&leg).and_then(|leg| leg.party.agent().map(str::to_owned));
        let Some(leg) = [pair.callee, pair.caller].into_iter().find(|leg| agent(&self.b, *leg).is_some()) else {
            return;
        };
        // its consultation, if it has one; now and then somebody else's leg
        let mine = |other: &LegId| agent(&self.b, *other) == agent(&self.b, leg);
        let others: Vec<Pair> =
            self.calls.iter().filter(|(other, up)| *up && *other != pair).map(|(other, _)| *other).collect();
        let own = others.iter().find_map(|other| [other.caller, other.callee].into_iter().find(mine));
        let any = self.pick(&others).map(|other| other.caller);
        let replaces = if self.rng.random_bool(0.5) { own } else { any.filter(|_| self.rng.random_bool(0.1)) };
        let other =
            replaces.and_then(|leg| others.iter().find(|other| other.caller == leg || other.callee == leg).copied());
        let (_, to) = self.pick(&AGENTS).unwrap();
        let before = self.b.wire.lock().unwrap().commands.len();
        let transfer = self.b.refer(leg, to, replaces);
        let wire = self.b.wire.lock().unwrap();
        let accepted = wire.commands[before..].iter().find_map(|c| {
            if let signalling::Command::AcceptTransfer { target, .. } = c { Some(target.clone()) } else { None }
        });
        drop(wire);
        let Some(accepted) = accepted else { return };
        let transferor_first = Pair { caller: leg, callee: if leg == pair.caller { pair.callee } else { pair.caller } };
        self.transfers.push((transfer, transferor_first, accepted.map(|new| new.leg).or(replaces)));
        self.calls.retain(|(call, _)| *call != pair && Some(*call) != other);
        if self.rng.random_bool(0.4) {
            self.b.bye_alone(leg);
        }
    }

    /// A transfer is joined, fails, or the caller gives up.
    fn outcome(&mut self) {
        let Some((transfer, Pair { caller: transferor, callee: kept }, Some(target))) =
            self.pick(&self.transfers.clone())
        else {
            return;
        };
        self.transfers.retain(|(id, ..)| *id != transfer);
        let consultation = self.b.wire.lock().unwrap().pairs.get(&target).copied();
        let (survivor, released) = match consultation {
            Some(survivor) => (survivor, vec![transferor, target]),
            None => (target, vec![transferor]),
        };
        if !self.alive(kept) || !self.alive(survivor) {
            return self.fail(transfer, transferor, kept, &[survivor, target]);
        }
        match self.rng.random_range(0..4) {
            0 => self.fail(transfer, transferor, kept, &[survivor, target]),
            1 => {
                self.b.leaves(kept, None);
                self.fail(transfer, transferor, kept, &[survivor, target]);
            }
            _ => {
                self.b.planned(survivor, session(true, true));
                self.b.joined(transfer, kept, survivor, &released);
                self.calls.push((Pair { caller: kept, callee: survivor }, true));
            }
        }
    }

    fn fail(&mut self, transfer: TransferId, transferor: LegId, kept: LegId, others: &[LegId]) {
        self.b.says(signalling::Event::TransferFailed { transfer, status: 480 });
        for leg in others {
            self.b.bye_alone(*leg);
        }
        if self.alive(transferor) && self.alive(kept) {
            self.calls.push((Pair { caller: transferor, callee: kept }, true));
        } else {
            self.b.bye_alone(kept);
            self.b.bye_alone(transferor);
        }
    }

    fn replace(&mut self) {
        let Some(pair) = self.some_call(true) else { return };
        let old = self.some_leg(pair);
        let peer = if old == pair.caller { pair.callee } else { pair.caller };
        let new = self.b.offer(Origin::Trunk(TrunkId(0)), "+4788888888", "1001", &[], Some(old));
        if !self.alive(new) {
            return;
        }
        self.b.planned(new, session(true, true));
        {
            let mut wire = self.b.wire.lock().unwrap();
            wire.pairs.remove(&old);
            wire.pairs.insert(new, peer);
            wire.pairs.insert(peer, new);
        }
        self.b.says(signalling::Event::Replaced { old, new, peer });
        self.b.bye_alone(old);
        self.calls.retain(|(call, _)| *call != pair);
        self.calls.push((Pair { caller: new, callee: peer }, true));
    }

    /// What must hold at every moment.
    fn check(&self) {
        let b = &self.b;
        for (id, limit) in &self.orders {
            let Some(request) = b.requests.get(id) else { continue };
            assert!(i64::from(request.calls.used) <= *limit, "{request:?}");
        }
        for (key, ear) in &b.core.ears {
            let Some(taps) = ear.taps.filter(|_| ear.state != crate::monitoring::EarState::Ending) else { continue };
            // what is tapped is a live leg of this agent, in an interaction that this ear has a listening on
            let leg = b.core.legs.values().find(|leg| leg.stream == taps.agent).expect("a tapped leg is alive");
            assert_eq!(leg.party.agent(), Some(ear.agent.as_str()), "ear {key}");
            let call = &b.core.calls[&leg.call];
            assert!(!call.metadata.do_not_monitor, "a call that says no is tapped");
            let listens =
                ear.listenings.iter().any(|id| call.interactions.contains(&b.core.listenings[id].interaction));
            assert!(listens, "an ear hears an interaction that nobody listens to");
            assert!(b.core.directory.agents[&ear.agent].seed.monitorable);
        }
        let per_agent = |agent: &str| {
            b.core
                .ears
                .values()
                .filter(|ear| ear.agent == agent && ear.state != crate::monitoring::EarState::Ending)
                .count()
        };
        assert!(AGENTS.iter().all(|(agent, _)| per_agent(agent) <= 3));
    }

    fn finish(mut self) {
        self.b.store_up = true;
        let alive = self.b.wire.lock().unwrap().alive.clone();
        for leg in alive {
            self.b.bye_alone(leg);
        }
        let legs: Vec<LegId> = self.b.core.legs.keys().copied().collect();
        assert!(legs.is_empty(), "legs that signalling has not: {legs:?}");
        self.b.seconds(120);
        self.b.is_quiet();
        for (id, view) in &self.b.listenings {
            assert_eq!(view.state, ListeningState::Ended, "{view:?}");
            assert!(view.end_reason.is_some() && view.ended_at.is_some());
            let ends = self
                .b
                .events
                .iter()
                .filter(|e| {
                    e.name == EventName::ListeningEnded && matches!(&e.body, EventBody::Listening(l) if l.id == *id)
                })
                .count();
            assert_eq!(ends, 1, "one event");
            let kept = self
                .b
                .persisted
                .iter()
                .filter(|c| matches!(c, Change::Listening(l) if l.id == *id && l.state == ListeningState::Ended))
                .count();
            assert_eq!(kept, 1, "one record");
        }
        for (id, view) in &self.b.calls {
            assert_eq!(view.state, CallState::Ended, "{id}");
            let kept = self.b.persisted.iter().filter(|c| matches!(c, Change::Call(l) if l.id == *id)).count();
            assert_eq!(kept, 1, "one record of each call");
        }
        for agent in self.b.agents.values() {
            assert!(agent.calls.is_empty() && agent.status == AgentStatus::Unknown, "{agent:?}");
        }
        // what the store holds of a request's count is what was heard
        for (id, _) in &self.orders {
            let heard = self.b.listenings.values().filter(|l| l.request == *id && l.counted).count();
            let stored = self.b.persisted.iter().rev().find_map(|c| match c {
                Change::Request(r) | Change::Heard(_, r) if r.view.id == *id => Some(r.view.calls.used as usize),
                _ => None,
            });
            assert_eq!(stored, Some(heard), "{id}");
        }
    }
}

fn seed_with_mixed_rights() -> Seed {
    let mut seed = seed();
    seed.users[1].groups = Some(vec!["Support".into(), "Sales".into()]);
    seed
}

#[test]
fn random_days_leave_nothing_behind() {
    for seed in 0..80 {
        let mut monkey = Monkey::new(seed);
        for _ in 0..250 {
            monkey.step();
        }
        monkey.finish();
    }
}
