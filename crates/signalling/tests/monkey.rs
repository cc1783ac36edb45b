//! Phones that do anything at any time: whatever they do, every leg ends exactly once, nothing is told of a leg that has
//! ended, and nothing is left behind. A failure names its seed.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use signalling::message::{Message, Method};
use signalling::{Command, Event, Input, LegId};
use support::*;

const PHONES: [Phone; 4] = [TRUNK, ANNA, BO, SUE];
const STATUSES: [u16; 9] = [180, 183, 302, 408, 481, 486, 488, 491, 603];

/// Runs; each takes some milliseconds.
const SEEDS: u64 = 200;

struct Monkey {
    net: Net,
    random: StdRng,
    calls: Vec<Call>,
    live: BTreeSet<LegId>,
    ended: BTreeSet<LegId>,
    seen: usize,
}

impl Monkey {
    /// Every second run begins with a call that is up and a consultation beside it.
    fn new(seed: u64) -> Self {
        let (mut net, mut calls) = (Net::new(), Vec::new());
        if seed % 2 == 1 {
            let (caller, agent, ..) = call_up(&mut net);
            let (consultation, colleague, ..) = call_between(&mut net, ANNA, BO);
            calls = vec![caller, agent, consultation, colleague];
        }
        net.auto = false;
        net.media_ok = None;
        let (live, seen) = (net.answered().into_iter().collect(), net.events.len());
        Self { net, random: StdRng::seed_from_u64(seed), calls, live, ended: BTreeSet::new(), seen }
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.random.random_range(0..of.len())]
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    fn body(&mut self) -> Option<String> {
        let (payloads, direction) = (
            self.pick(&["0 8 101", "0 8 101", "0", "0 101", "8", "8 0 101", "18"]),
            self.pick(&["sendrecv", "sendrecv", "sendonly", "recvonly", "inactive"]),
        );
        let ip = self.pick(&["10.9.9.9", "10.9.9.9", "0.0.0.0"]);
        let port = self.random.random_range(1000..2000) * 2;
        let others = self.pick(&[
            "",
            "",
            "m=video 4002 RTP/AVP 96\r\n",
            "m=video 0 RTP/AVP 96\r\n",
            "m=video 4002 RTP/AVP 96\r\na=sendonly\r\nm=text 4004 RTP/AVP 98\r\n",
            "m=audio 4006 RTP/AVP 0 8\r\nm=image 4008 udptl t38\r\n",
        ]);
        if self.chance(50) {
            let media = self.net.media();
            self.net.core.spare_media().push(media);
        }
        self.chance(90).then(|| sdp_at(ip, port, payloads, direction) + others)
    }

    fn step(&mut self) {
        match self.random.random_range(0..100) {
            0..4 => self.call(),
            4..5 => {
                let leg = self.net.listen();
                self.live.insert(leg);
            }
            5..70 => self.read(),
            70..80 => self.speak(),
            80..82 => self.cancel(),
            82..84 => self.order(),
            84..88 => self.refer(),
            _ => {
                let milliseconds = self.pick(&[1, 1, 1, 1, 1, 1, 20, 500, 2000, 2000, 2000, 35_000]);
                self.net.pass(Duration::from_millis(milliseconds));
            }
        }
        self.look();
    }

    fn call(&mut self) {
        let (from, to) = (self.pick(&PHONES), self.pick(&[TRUNK, ANNA, BO, SUE, REX]));
        let extra = match self.calls.len() {
            0 => String::new(),
            calls if self.chance(40) => {
                let recent = self.random.random_range(calls.saturating_sub(6)..calls);
                format!("Replaces: {}\r\n", self.calls[recent].replaces())
            }
            _ => String::new(),
        };
        let body = self.body();
        let call = Call::out_with(&mut self.net, from, to.user, body, &extra);
        self.calls.push(call);
    }

    /// One phone reads one message and answers it, or does not.
    fn read(&mut self) {
        let phone = self.pick(&PHONES);
        let Some(message) = self.net.next(phone) else { return };
        if self.chance(4) {
            return; // lost
        }
        if message.is_request() { self.answer(phone, &message) } else { self.take(&message) }
    }

    fn answer(&mut self, phone: Phone, request: &Message) {
        if request.method() == Method::Ack {
            return;
        }
        let (refusal, body) = (self.pick(&STATUSES), self.body());
        let mut status = if self.chance(85) { 200 } else { refusal };
        let known = self.calls.iter().find(|call| call.call_id == request.call_id() && call.phone == phone).cloned();
        let call = known.unwrap_or_else(|| {
            let serial = self.net.serial();
            let call = Call {
                phone,
                call_id: request.call_id().into(),
                local: format!("{};tag=m{serial}", header(request, "To")),
                remote: header(request, "From").into(),
                target: request.contact().map(|contact| contact.uri.to_owned()).unwrap_or_default(),
                cseq: 50,
                invite: request.clone(),
                tag: format!("m{serial}"),
            };
            self.calls.push(call.clone());
            call
        });
        let body = match request.method() {
            Method::Invite | Method::Update => body,
            _ => {
                status = if status < 200 { 200 } else { status };
                None
            }
        };
        call.reply(&mut self.net, request, status, body);
    }

    fn take(&mut self, response: &Message) {
        let Some(call) = self.calls.iter_mut().find(|call| call.call_id == response.call_id()) else { return };
        if response.method() != Method::Invite || response.status() < 200 {
            if !response.to_tag().is_empty() && response.method() == Method::Invite {
                call.remote = header(response, "To").into();
            }
            return;
        }
        if response.status() < 300 {
            call.take_ok(response);
        }
        let call = call.clone();
        let late = if response.cseq().number == 1 { call.invite.body().is_empty() } else { self.chance(15) };
        let body = if late { self.body() } else { None };
        if self.chance(97) {
            call.ack(&mut self.net, response.cseq().number, body);
        }
    }

    fn speak(&mut self) {
        if self.calls.is_empty() {
            return;
        }
        let recent = self.calls.len().saturating_sub(6);
        let (at, body) = (self.random.random_range(recent..self.calls.len()), self.body());
        let method = self
            .pick(&["INVITE", "INVITE", "INVITE", "UPDATE", "UPDATE", "BYE", "INFO", "OPTIONS", "NOTIFY", "MESSAGE"]);
        let body = body.filter(|_| matches!(method, "INVITE" | "UPDATE"));
        self.calls[at].request(&mut self.net, method, "", body);
    }

    fn cancel(&mut self) {
        if let Some(call) = self.calls.last().cloned() {
            if self.chance(50) { call.cancel(&mut self.net) } else { call.cancel_last(&mut self.net) }
        }
    }

    fn refer(&mut self) {
        let recent = self.calls.len().saturating_sub(8);
        let agents: Vec<usize> =
            (recent..self.calls.len()).filter(|at| [ANNA, BO].contains(&self.calls[*at].phone)).collect();
        let Some(&at) = agents.get(self.random.random_range(0..agents.len().max(1))) else { return };
        let named = self.pick(&agents);
        let other = self.calls[named].replaces().replace(';', "%3B").replace('=', "%3D").replace('@', "%40");
        let replaces = if self.chance(50) { format!("?Replaces={other}") } else { String::new() };
        self.calls[at].request(&mut self.net, "REFER", &format!("Refer-To: <sip:bo@medlytt.test{replaces}>\r\n"), None);
    }

    fn order(&mut self) {
        let live: Vec<LegId> = self.live.iter().copied().collect();
        if let Some(&leg) = live.get(self.random.random_range(0..live.len().max(1))) {
            if self.chance(50) { self.net.end(leg, 480) } else { self.net.order(Command::Probe { leg }) }
        }
    }

    /// The engine's part, and what must be true of what it is told.
    fn look(&mut self) {
        while let Some(event) = self.net.events.get(self.seen) {
            self.seen += 1;
            let event = format!("{event:?}");
            let order = match &self.net.events[self.seen - 1] {
                Event::Offered { leg, target, replaces, .. } => {
                    let (leg, target, replaces) = (*leg, target.user_decoded(), *replaces);
                    assert!(self.live.insert(leg));
                    self.decide(leg, &target, replaces)
                }
                Event::Ended { leg, .. } => {
                    assert!(self.ended.insert(*leg), "ended twice: {event}");
                    self.live.remove(leg);
                    None
                }
                Event::MediaPlanned { leg, plan, .. } => {
                    assert!(!self.ended.contains(leg), "told of an ended leg: {event}");
                    let plan = *plan;
                    plan.filter(|_| self.random.random_range(0..100) < 80)
                        .map(|plan| Input::MediaDone { plan, ok: self.random.random_range(0..100) < 90 })
                }
                Event::Ringing { leg, .. }
                | Event::Answered { leg }
                | Event::Probed { leg, .. }
                | Event::Info { leg, .. } => {
                    assert!(!self.ended.contains(leg), "told of an ended leg: {event}");
                    None
                }
                Event::Referred { transfer, leg, target, replaces, .. } => {
                    assert!(!self.ended.contains(leg), "told of an ended leg: {event}");
                    let (transfer, target, replaces) = (*transfer, target.user_decoded(), *replaces);
                    Some(Input::Command(if self.chance(80) {
                        let target = replaces.is_none().then(|| self.net.new_leg(&target, "x"));
                        self.live.extend(target.iter().map(|new| new.leg));
                        Command::AcceptTransfer { transfer, target }
                    } else {
                        Command::RefuseTransfer { transfer, status: 603 }
                    }))
                }
                Event::TransferJoined { kept, target, released, .. } => {
                    let all = [*kept, *target].into_iter().chain(released.iter().copied());
                    assert!(all.into_iter().all(|leg| !self.ended.contains(&leg)), "told of an ended leg: {event}");
                    None
                }
                Event::Replaced { old, new, peer } => {
                    assert!(
                        [new, peer].into_iter().all(|leg| !self.ended.contains(leg)),
                        "told of an ended leg: {old:?} {event}"
                    );
                    None
                }
                _ => None,
            };
            if let Some(order) = order {
                self.net.run(order);
            }
        }
    }

    fn decide(&mut self, leg: LegId, target: &str, replaces: Option<LegId>) -> Option<Input> {
        let media = self.net.media();
        let command = match replaces {
            Some(old) => Command::Replace { new: leg, old, media },
            None if self.chance(10) => {
                self.live.remove(&leg);
                self.ended.insert(leg);
                Command::Refuse { leg, status: 404, retry_after: None }
            }
            None => {
                let callee = self.net.new_leg(target, "x");
                self.live.insert(callee.leg);
                Command::Connect { caller: leg, caller_media: media, callee }
            }
        };
        Some(Input::Command(command))
    }

    fn finish(mut self, met: &mut BTreeMap<String, usize>) {
        for leg in self.live.clone() {
            self.net.end(leg, 500);
            self.look();
        }
        self.net.seconds(400);
        self.look();
        let sizes = self.net.core.sizes();
        assert_eq!(
            (sizes.legs, sizes.transactions, sizes.transfers),
            (0, 0, 0),
            "something leaks: {:#?}",
            self.net.core
        );
        assert!(self.live.is_empty(), "never ended: {:?}", self.live);
        let inside = format!("{:?}", self.net.core);
        for table in ["clients: {}", "servers: {}", "plans: {}", "tags: {}", "gone: []"] {
            assert!(inside.contains(table), "left behind, not {table}");
        }
        for event in &self.net.events {
            let name = format!("{event:?}").split([' ', '{', '(']).next().unwrap_or_default().to_owned();
            *met.entry(name).or_default() += 1;
        }
    }
}

#[test]
fn whatever_phones_do() {
    let mut met = BTreeMap::new();
    for seed in 0..SEEDS {
        let run = std::panic::AssertUnwindSafe(|| {
            let mut monkey = Monkey::new(seed);
            for _ in 0..300 {
                monkey.step();
            }
            monkey.finish(&mut met);
        });
        assert!(std::panic::catch_unwind(run).is_ok(), "seed {seed}");
    }
    let wanted = [
        "Answered",
        "Ended",
        "Info",
        "MediaPlanned",
        "Offered",
        "Probed",
        "Referred",
        "Replaced",
        "Ringing",
        "TransferAnswered",
        "TransferFailed",
        "TransferJoined",
    ];
    for name in wanted {
        assert!(met.contains_key(name), "no run met {name}: {met:?}");
    }
}
