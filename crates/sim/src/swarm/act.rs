//! Carries out actions: whom each hits is settled by who there is at that moment.

use std::time::Duration;

use engine::view::RequestState;
use engine::{AgentChange, Command, Input, ListenerOrder, Order};
use jiff::SignedDuration;
use phone::{Dial, OnCall, State, Voice};

use super::action::{Action, Name, Which};
use super::config::quality;
use super::listening;
use crate::cast::{ALL, DOMAIN, Setup};
use crate::people::Leg;
use crate::watch::Watch;
use crate::world::{Limits, World};

const SHORTLY: Duration = Duration::from_millis(120);
/// Without an engine.
const DOWN: Duration = Duration::from_millis(700);

/// What ends by itself after a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passing {
    BadNetwork,
    Isolated(Name),
    Dead(Name),
    DiskFull,
    StoreQueueFull,
}

impl Which {
    pub(super) fn of<T: Clone>(self, all: &[T]) -> Option<T> {
        let last = all.len().checked_sub(1)?;
        let index = match self {
            Self::First => 0,
            Self::Last => last,
            Self::Any(number) => number as usize % all.len(),
        };
        all.get(index).cloned()
    }
}

impl super::life::Stage {
    /// Does it, and lets time go by where the action says so.
    pub(crate) fn act(&mut self, action: &Action) {
        match action {
            Action::Wait(time) => self.wait(*time),
            Action::Listeners => self.order_listeners(),
            Action::Network { bad, lasts } => {
                let (sip, rtp) = quality(*bad);
                self.w.network(sip, rtp);
                self.passes(Passing::BadNetwork, *lasts);
            }
            Action::Isolate { who, lasts } => {
                let index = self.w.index(who);
                self.w.isolated.insert(index);
                self.passes(Passing::Isolated(who), *lasts);
            }
            Action::Die { who, lasts } => {
                self.w.habits(who, |h| h.alive = false);
                self.passes(Passing::Dead(who), *lasts);
            }
            Action::CutMedia { who } => self.w.cut_media(who),
            Action::DiskFull { lasts } => {
                self.w.disk.full = true;
                self.passes(Passing::DiskFull, *lasts);
            }
            Action::StoreQueueFull { lasts } => {
                self.w.disk.queue_full = true;
                self.passes(Passing::StoreQueueFull, *lasts);
            }
            Action::DiskSlow { delay } => {
                self.w.disk.delay = *delay;
                self.w.store_delay_most = self.w.store_delay_most.max(*delay);
            }
            Action::MediaSlow { to, from } => (self.w.shard_delay, self.w.event_delay) = (*to, *from),
            Action::JumpWall { seconds } => self.w.jump_wall(SignedDuration::from_secs(*seconds)),
            Action::Reload { variant } => self.reload(*variant),
            Action::Settings { variant } => self.settings(*variant),
            Action::Kill => self.kill(),
            Action::Drain => {
                self.ending = true;
                self.w.drain();
            }
            Action::Stop => {
                self.ending = true;
                self.w.stop();
            }
            Action::Keys { who, which, keys } => self.press(who, *which, keys),
            Action::Play { which } => self.play(*which),
            Action::StopPlaying { which, again } => self.stop_playing(*which, *again),
            action if listening::order(&mut self.w, action) => {}
            action if order(&mut self.w, action) => {}
            action => person(&mut self.w, action),
        }
    }

    /// kill -9 and another process: what was acknowledged is there, and nothing else.
    fn kill(&mut self) {
        if self.ending {
            return;
        }
        self.w.kill();
        if let Some(watch) = &mut self.w.watch {
            watch.killed();
            watch.met.met("process", "killed and begun again".into());
        }
        self.wait(DOWN);
        self.w.limits = Limits::of(&self.plan.config.settings);
        self.w.launch();
        self.set_ports();
        self.w.watched(Watch::restarted);
    }

    /// Eight listeners at most for the first agent, as the life is lived with.
    fn order_listeners(&mut self) {
        for index in 0..self.listeners {
            let order = Order {
                agent: ["anna", "bo", "cia"][(self.plan.seed % 3) as usize].into(),
                listener: Some(ListenerOrder::User(format!("l{index}"))),
                calls: Some(900),
                directions: Some(vec![
                    engine::view::CallDirection::Inbound,
                    engine::view::CallDirection::Outbound,
                    engine::view::CallDirection::Internal,
                ]),
                ..Order::default()
            };
            self.w.ask("admin", Command::Order { order, dry_run: false });
        }
    }

    fn reload(&mut self, variant: u32) {
        let mut seed = Setup::default().directory;
        self.plan.config.directory(&mut seed);
        match variant % 5 {
            0 => seed.users.retain(|user| user.id != "sam"),
            1 => {
                let sue = seed.users.iter_mut().find(|user| user.id == "sue");
                sue.into_iter().for_each(|user| user.groups = Some(vec!["Sales".into()]));
            }
            2 => seed.agents.retain(|agent| agent.id != "cia"),
            3 => seed.trunks.clear(),
            _ => {}
        }
        self.w.drive_engine(Input::Reload(seed));
    }

    fn settings(&mut self, variant: u32) {
        let mut settings = self.plan.config.settings.clone();
        match variant % 5 {
            0 => settings.max_listeners_per_agent = 1,
            1 => settings.max_active_requests_supervisor = Some(1),
            2 => settings.access_number = None,
            3 => settings.min_heard = Duration::from_millis(500),
            _ => {}
        }
        self.w.limits = Limits::of(&settings);
        self.w.ring_timeout_most = self.w.ring_timeout_most.max(settings.ring_timeout);
        self.w.drive_engine(Input::Settings(Box::new(settings)));
    }
}

/// Commands over the API; false if it is none.
fn order(w: &mut World, action: &Action) -> bool {
    let until = |w: &World, seconds: Option<i64>| seconds.map(|seconds| w.in_seconds(seconds));
    let (actor, command) = match action {
        Action::Order { actor, agent, listener, calls, seconds, directions } => {
            let order = Order {
                agent: (*agent).into(),
                listener: Some(listener.clone()),
                calls: *calls,
                until: until(w, *seconds),
                directions: directions.clone(),
                // every third has two channels where its phone does, without a draw of its own: old seeds stay what they are
                layout: (*calls == Some(3)).then(|| "stereo".to_owned()),
                ..Order::default()
            };
            (*actor, Some(Command::Order { order, dry_run: false }))
        }
        Action::Patch { actor, which, calls, seconds } => {
            let until = until(w, *seconds);
            (*actor, request(w, *which).map(|id| Command::ChangeRequest { id, calls: *calls, until }))
        }
        Action::ResumeRequest { actor, which } => {
            let suspended = requests(w, |state| state == RequestState::Suspended);
            let id = which.of(&suspended).or_else(|| request(w, *which));
            (*actor, id.map(|id| Command::ResumeRequest { id }))
        }
        Action::Delete { actor, which } => (*actor, request(w, *which).map(|id| Command::DeleteRequest { id })),
        Action::HangUpListening { actor, which } => {
            let open: Vec<String> = w.listenings().filter(|l| l.ended_at.is_none()).map(|l| l.id.clone()).collect();
            (*actor, which.of(&open).map(|listening| Command::HangUp { listening }))
        }
        Action::Shield { which, on } => {
            let live: Vec<String> =
                w.model.calls.values().filter(|c| c.ended_at.is_none()).map(|c| c.id.clone()).collect();
            ("platform", which.of(&live).map(|call| Command::Shield { call, on: *on }))
        }
        Action::Monitorable { agent, on } => {
            let change = AgentChange { monitorable: Some(*on), ..AgentChange::default() };
            ("platform", Some(Command::PutAgent { id: (*agent).into(), agent: change }))
        }
        Action::PutAgent { agent } => {
            let number = if *agent == "anna" { "1001" } else { "1009" };
            let change = AgentChange {
                name: (*agent != "anna").then(|| "Dan Dahl".into()),
                number: Some(number.into()),
                group: Some("Sales".into()),
                contact: (*agent != "anna").then(|| "sip:dan@127.0.0.3:5070".into()),
                ..AgentChange::default()
            };
            ("platform", Some(Command::PutAgent { id: (*agent).into(), agent: change }))
        }
        Action::DeleteAgent { agent } => ("platform", Some(Command::DeleteAgent { id: (*agent).into() })),
        Action::Status { agent, status } => {
            ("platform", Some(Command::PutStatus { id: (*agent).into(), status: *status }))
        }
        _ => return false,
    };
    if let Some(command) = command {
        w.ask(actor, command);
    }
    true
}

fn requests(w: &World, so: impl Fn(RequestState) -> bool) -> Vec<String> {
    w.model.requests.values().filter(|r| so(r.state)).map(|r| r.id.clone()).collect()
}

/// An active request; now and then one that is over.
fn request(w: &World, which: Which) -> Option<String> {
    if let Which::Any(number) = which
        && number % 16 == 0
    {
        return which.of(&requests(w, |_| true));
    }
    which.of(&requests(w, RequestState::is_active))
}

/// What somebody does with a phone.
fn person(w: &mut World, action: &Action) {
    match action {
        Action::Dial { from, to, late, private, shared } => dial(w, from, to, *late, *private, *shared),
        Action::Answer { who, status } => {
            let Some(leg) = find(w, who, Which::Last, |state| state == State::Incoming) else { return };
            match status {
                Some(status) => w.reject(leg, *status),
                None => w.answer(leg),
            }
        }
        Action::HangUp { who, which } => {
            if let Some(leg) = find(w, who, *which, |_| true) {
                w.hang_up(leg);
            }
        }
        Action::HangUpAny { which } => {
            let all: Vec<Leg> = ALL.iter().flat_map(|name| w.legs(name)).collect();
            if let Some(leg) = which.of(&all) {
                w.hang_up(leg);
            }
        }
        Action::HangUpBoth { who } => {
            let legs = [find(w, who, Which::Last, |_| true), find(w, "trunk", Which::Last, |_| true)];
            legs.into_iter().flatten().for_each(|leg| w.hang_up(leg));
        }
        Action::Habits { who, on_call, early, leaves, refuse, rtcp, mixes } => {
            let on_call: OnCall = on_call.clone();
            w.habits(who, |h| {
                (h.on_call, h.early_media, h.bye_after_transfer) = (on_call, *early, *leaves);
                (h.refuse_changes, h.rtcp, h.conference) = (*refuse, *rtcp, *mixes);
            });
        }
        Action::Register { who, seconds } => {
            let (index, now) = (w.index(who), w.now);
            let mut out = Vec::new();
            w.phones[index].phone.register(now, *seconds, &mut out);
            w.take_phone_outputs(index, out);
        }
        Action::Replace { from, victim, which } => {
            if let Some(leg) = find(w, victim, *which, |state| state == State::Up) {
                let dialog = w.call(leg).replaces();
                w.dial(from, Dial::to(&format!("sip:1001@{DOMAIN}")).replacing(&dialog));
            }
        }
        other => in_dialog(w, other),
    }
}

/// What somebody does with a call that is up.
fn in_dialog(w: &mut World, action: &Action) {
    let (who, which) = match action {
        Action::Hold { who, which, .. }
        | Action::Resume { who, which }
        | Action::Codecs { who, which, .. }
        | Action::Move { who, which }
        | Action::Update { who, which, .. }
        | Action::Late { who, which }
        | Action::Restart { who, which }
        | Action::Press { who, which }
        | Action::Info { who, which }
        | Action::ShieldInfo { who, which, .. }
        | Action::Refer { who, which, .. }
        | Action::ReferReplacing { who, which, .. } => (*who, *which),
        _ => return,
    };
    let Some(leg) = find(w, who, which, |state| state == State::Up) else { return };
    let listens = w.listener_calls.contains(&(leg.phone, leg.call));
    let others = w.legs_beside(leg);
    match action {
        Action::Hold { null: true, .. } => {
            w.act(leg, |p, now, call, out| p.hold_with_null_address(now, call, out));
        }
        Action::Hold { way, .. } => {
            w.act(leg, |p, now, call, out| p.hold(now, call, *way, out));
        }
        Action::Resume { .. } => {
            w.act(leg, |p, now, call, out| p.resume(now, call, out));
        }
        Action::Codecs { codec, .. } => {
            let codecs = [*codec, phone::Codec::Pcmu];
            w.act(leg, |p, now, call, out| p.change_codecs(now, call, &codecs, out));
        }
        Action::Move { .. } => w.act(leg, |p, _, call, out| p.move_media(call, out)),
        Action::Update { way, .. } => {
            w.act(leg, |p, now, call, out| p.update(now, call, *way, out));
        }
        Action::Late { .. } => {
            w.act(leg, |p, now, call, out| p.reinvite_late(now, call, out));
        }
        Action::Restart { .. } => w.act(leg, |p, _, call, _| p.restart_stream(call)),
        Action::Press { .. } => {
            // a listener's digit is told from all others
            let digit = if listens { 9 } else { 3 };
            w.act(leg, |p, _, call, _| {
                p.press(call, digit, SHORTLY);
                if !listens {
                    p.say(call, Voice::Tone(700.0));
                }
            });
        }
        Action::Info { .. } => {
            let body = if listens { crate::checks::LISTENERS_WORD } else { "Signal=3" };
            w.act(leg, |p, now, call, out| p.send_info(now, call, "application/dtmf-relay", body, out));
        }
        Action::ShieldInfo { on, .. } => {
            let body = if *on { "on" } else { "off" };
            w.act(leg, |p, now, call, out| p.send_info(now, call, listening::SHIELD_INFO, body, out));
        }
        Action::Refer { to, bye, .. } => {
            let uri = format!("sip:{to}@{DOMAIN}");
            w.act(leg, |p, now, call, out| p.refer(now, call, &uri, out));
            if *bye {
                w.hang_up(leg);
            }
        }
        Action::ReferReplacing { bye, .. } => {
            let Some(other) = Which::Last.of(&others) else { return };
            let consultation = w.call(other).id();
            let uri = format!("sip:1002@{DOMAIN}");
            w.act(leg, |p, now, call, out| p.refer_replacing(now, call, &uri, consultation, out));
            if *bye {
                w.hang_up(leg);
            }
        }
        _ => {}
    }
}

fn dial(w: &mut World, from: &str, to: &str, late: bool, private: bool, shared: bool) {
    // nobody starts a sixth call
    if w.legs(from).len() > 4 {
        return;
    }
    let mut dial = if from == "trunk" { World::inbound(to) } else { Dial::to(&format!("sip:{to}@{DOMAIN}")) };
    if late {
        dial = dial.late_offer();
    }
    if private {
        dial = dial.header("X-Do-Not-Monitor", "1");
    }
    if shared {
        dial = dial.header("X-Interaction-Id", "shared");
    }
    w.dial(from, dial);
}

pub(super) fn find(w: &World, who: &str, which: Which, so: impl Fn(State) -> bool) -> Option<Leg> {
    let legs: Vec<Leg> = w.legs(who).into_iter().filter(|leg| so(w.state(*leg))).collect();
    which.of(&legs)
}
