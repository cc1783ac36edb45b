//! Stories told with fed events: a bench that plays signalling, media and the store by their contracts.

mod audit;
mod calls;
mod confirm;
mod directory;
mod listener;
mod listening;
mod load;
mod matrix;
mod mix;
mod monkey;
mod ordering;
mod others;
mod page;
mod protection;
mod quality;
mod restart;
mod rights;
mod shield;
mod terms;
mod transfer;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use media::{Figures, ListenerId, Port, StreamId, Taps};
use signalling::message::{HeaderName, Message, Method, RequestBuilder, Uri};
use signalling::peers::{PeerId, TrunkId};
use signalling::sdp::Payload;
use signalling::{
    Counters, Destination, DialogCopy, DialogStage, End, EndedBy, LegId, MediaAddress, NewLeg, Origin, Session, Sizes,
    TransferId,
};

use crate::directory::{AgentSeed, PhoneSeed, Seed, Srtp, TrunkSeed, UserSeed};
use crate::engine::Core;
use crate::interface::*;
use crate::persist::{AuditEntry, Change, Restored};
use crate::sip::Sip;
use crate::view::*;

/// What signalling was told, and what it will say next.
#[derive(Debug, Default)]
struct Wire {
    commands: Vec<signalling::Command>,
    events: VecDeque<signalling::Event>,
    media_done: Vec<(u64, bool)>,
    pairs: BTreeMap<LegId, LegId>,
    alive: Vec<LegId>,
    answered: Vec<LegId>,
    next: u64,
}

#[derive(Debug)]
struct FakeSip(Arc<Mutex<Wire>>, Counters, Vec<MediaAddress>);

fn ended(leg: LegId, by: EndedBy, status: Option<u16>) -> signalling::Event {
    signalling::Event::Ended { leg, end: End { by, status, text: String::new() } }
}

impl Wire {
    fn dialog(&self, leg: LegId) -> Option<DialogCopy> {
        let stage = match (self.alive.contains(&leg), self.answered.contains(&leg)) {
            (true, true) => DialogStage::Confirmed { remote_tag: "theirs".into() },
            (true, false) if leg.0 >= 1000 => {
                DialogStage::Calling { branch: format!("z9hG4bK{}", leg.0), early_tag: String::new() }
            }
            _ => return None,
        };
        Some(DialogCopy {
            stage,
            call_id: "call-id@test".into(),
            local_tag: format!("tag{}", leg.0),
            local: "<sip:us@pbx.test>".into(),
            remote: "<sip:them@pbx.test>".into(),
            target: "sip:them@127.0.0.1:6000".into(),
            route: Vec::new(),
            cseq: 1,
            flow: flow("127.0.0.1:6000"),
        })
    }

    fn gone(&mut self, leg: LegId, by: EndedBy, status: Option<u16>) {
        if self.alive.contains(&leg) {
            self.alive.retain(|other| *other != leg);
            self.events.push_back(ended(leg, by, status));
        }
    }
}

impl Sip for FakeSip {
    fn new_leg(&mut self) -> LegId {
        let mut wire = self.0.lock().unwrap();
        wire.next += 1;
        LegId(1000 + wire.next)
    }
    fn spare_media(&mut self) -> &mut Vec<MediaAddress> {
        &mut self.2
    }
    fn drive(&mut self, _now: Instant, input: signalling::Input, outputs: &mut Vec<signalling::Output>) {
        let mut wire = self.0.lock().unwrap();
        match input {
            signalling::Input::Command(command) => {
                match &command {
                    signalling::Command::Connect { caller, callee, .. } => {
                        wire.alive.extend([*caller, callee.leg]);
                        let (a, b) = (*caller, callee.leg);
                        wire.pairs.insert(a, b);
                        wire.pairs.insert(b, a);
                    }
                    signalling::Command::Call { leg, .. } => {
                        wire.alive.push(leg.leg);
                        let dialog = wire.dialog(leg.leg);
                        let record = dialog.map(|dialog| signalling::Event::Record { leg: leg.leg, dialog });
                        wire.events.extend(record);
                    }
                    signalling::Command::AcceptTransfer { target: Some(leg), .. } => wire.alive.push(leg.leg),
                    signalling::Command::Replace { new, .. } => wire.alive.push(*new),
                    signalling::Command::End { leg, .. } => {
                        wire.gone(*leg, EndedBy::Local, None);
                        if let Some(peer) = wire.pairs.get(leg).copied() {
                            wire.gone(peer, EndedBy::Local, None);
                        }
                    }
                    _ => {}
                }
                wire.commands.push(command);
            }
            signalling::Input::MediaDone { plan, ok } => wire.media_done.push((plan.0, ok)),
            _ => {}
        }
        for event in std::mem::take(&mut wire.events) {
            if let signalling::Event::Answered { leg } = event {
                wire.answered.push(leg);
            }
            let gone = match event {
                signalling::Event::Ended { leg, .. } => Some(signalling::Event::Gone { leg }),
                _ => None,
            };
            outputs.extend([Some(event), gone].into_iter().flatten().map(signalling::Output::Event));
        }
    }
    fn wake_at(&self) -> Option<Instant> {
        None
    }
    fn counters(&self) -> &Counters {
        &self.1
    }
    fn sizes(&self) -> Sizes {
        let wire = self.0.lock().unwrap();
        Sizes { legs: wire.alive.len(), ..Sizes::default() }
    }
    fn sip_call_id(&self, leg: LegId) -> Option<&str> {
        let called = leg.0 < 1000 || self.0.lock().unwrap().alive.contains(&leg);
        called.then_some("call-id@test")
    }
    fn dialog(&self, leg: LegId) -> Option<DialogCopy> {
        self.0.lock().unwrap().dialog(leg)
    }
}

/// The engine on a bench.
pub(super) struct Bench {
    core: Core,
    wire: Arc<Mutex<Wire>>,
    pub(super) now: Now,
    pub(super) store_up: bool,
    /// Media answers a listener's first `Listen` with `Live`.
    pub(super) media_live: bool,
    pub(super) media_listeners_closed: bool,
    /// Media answers a player's offer at once.
    pub(super) media_answers: bool,
    /// What pages were told of levels.
    pub(super) levels: Vec<(String, media::Level, media::Level)>,
    /// How well listeners were served in the end.
    pub(super) quality_last: media::Quality,
    pub(super) media: Vec<media::Command>,
    pub(super) persisted: Vec<Change>,
    /// The same by write.
    pub(super) writes: Vec<Vec<Change>>,
    pub(super) held_back: Vec<(PersistId, Vec<Change>)>,
    pub(super) hold_store: bool,
    pub(super) agents: BTreeMap<String, AgentView>,
    pub(super) users: BTreeMap<String, UserView>,
    pub(super) calls: BTreeMap<String, CallView>,
    pub(super) requests: BTreeMap<String, RequestView>,
    pub(super) listenings: BTreeMap<String, ListeningView>,
    pub(super) removed: Vec<String>,
    pub(super) events: Vec<Event>,
    pub(super) replies: BTreeMap<u64, Result<Reply, Problem>>,
    pub(super) logs: Vec<String>,
    pub(super) drained: bool,
    /// What media says at the end that a listener heard in all.
    pub(super) heard_last: u64,
    pub(super) next_reply: u64,
    next_leg: u64,
    start: Timestamp,
    /// Ids in the order in which they came up: ULIDs of one millisecond have none.
    order_of_calls: Vec<String>,
    order_of_listenings: Vec<String>,
}

pub(super) fn settings() -> Settings {
    let signalling = signalling::Settings::for_domain("pbx.test");
    Settings {
        access_number: Some("+4721000000".into()),
        header_queue: Some("X-Queue".into()),
        header_access_number: Some("X-Access-Number".into()),
        header_interaction: Some("X-Interaction-Id".into()),
        header_do_not_monitor: Some("X-Do-Not-Monitor".into()),
        ..Settings::new(signalling)
    }
}

fn fixed(user: &str, port: u16) -> PhoneSeed {
    PhoneSeed {
        contact: Some((format!("sip:{user}@127.0.0.1:{port}"), SocketAddr::from(([127, 0, 0, 1], port)))),
        password: None,
        nat: false,
        srtp: Srtp::Off,
    }
}

pub(super) fn seed() -> Seed {
    let agent = |id: &str, name: &str, number: &str, group: &str, port| AgentSeed {
        id: id.into(),
        name: name.into(),
        number: number.into(),
        phone: fixed(id, port),
        group: Some(group.into()),
        skills: vec![],
        monitorable: true,
    };
    let user = |id: &str, role, groups: Option<&[&str]>, softphone: bool, port| UserSeed {
        id: id.into(),
        name: format!("Name of {id}"),
        role,
        groups: groups.map(|groups| groups.iter().map(|g| (*g).to_owned()).collect()),
        listener_numbers: vec!["+47".into()],
        softphone: softphone.then(|| format!("{id}-phone")),
        phone: fixed(id, port),
        offer_sendrecv: false,
    };
    Seed {
        agents: vec![
            agent("anna", "Anna Berg", "1001", "Support", 6001),
            agent("bo", "Bo Lie", "1002", "Support", 6002),
            agent("cia", "Cia Holm", "1003", "Sales", 6003),
        ],
        users: vec![
            user("admin", Role::Admin, None, true, 7001),
            user("sue", Role::Supervisor, Some(&["Support"]), true, 7002),
            user("sam", Role::Supervisor, Some(&["Support", "Sales"]), true, 7003),
            user("platform", Role::Integrator, None, false, 7004),
        ],
        trunks: vec![TrunkSeed {
            name: "platform".into(),
            host: "10.0.0.10:5060".into(),
            next_hop: "10.0.0.10:5060".parse().unwrap(),
            allow: vec![("10.0.0.0".parse().unwrap(), 24)],
            nat: false,
            srtp: Srtp::Off,
            offer_sendrecv: false,
        }],
        ..Seed::default()
    }
}

/// A session in which the remote party sends and receives so.
pub(super) fn session(sends: bool, receives: bool) -> Session {
    let addr: SocketAddr = "10.0.0.20:4000".parse().unwrap();
    Session {
        rtp: Some(addr),
        rtcp: None,
        signalling: addr,
        sends,
        receives,
        payloads: vec![payload(8, "PCMA", 8000)],
        telephone_event: None,
        early: false,
        nat: false,
        others: Vec::new(),
        mux: false,
        keys: None,
    }
}

/// A binding of a phone at 10.0.7.1 that lasts so many seconds.
pub(super) fn binding(seconds: u64) -> signalling::BindingCopy {
    signalling::BindingCopy {
        contact: "sip:phone@10.0.7.1:5060".into(),
        flow: flow("10.0.7.1:5060"),
        lasts: Duration::from_secs(seconds),
        instance: None,
        call_id: "reg".into(),
        cseq: 5,
    }
}

pub(super) fn flow(remote: &str) -> signalling::transport::Flow {
    let local = SocketAddr::from(([127, 0, 0, 1], 5060));
    signalling::transport::Flow {
        transport: signalling::transport::Transport::Udp,
        local,
        remote: remote.parse().unwrap(),
    }
}

pub(super) fn payload(pt: u8, name: &str, clock: u32) -> Payload {
    Payload { pt, name: name.into(), clock, channels: 1, fmtp: String::new() }
}

/// The two legs of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) caller: LegId,
    pub(super) callee: LegId,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(settings(), seed(), Restored::default())
    }

    #[allow(clippy::disallowed_methods)] // a test needs some instant to start from
    pub(super) fn with(settings: Settings, seed: Seed, restored: Restored) -> Self {
        let start: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let now = Now { mono: Instant::now(), wall: start };
        let wire = Arc::new(Mutex::new(Wire::default()));
        let mut outputs = Vec::new();
        let core = Core::with_sip(
            now,
            settings,
            seed,
            restored,
            [1; 32],
            Box::new(FakeSip(wire.clone(), Counters::default(), Vec::new())),
            &mut outputs,
        );
        let mut bench = Self {
            core,
            wire,
            now,
            store_up: true,
            media_live: true,
            media_listeners_closed: true,
            media_answers: true,
            levels: Vec::new(),
            quality_last: media::Quality::default(),
            media: Vec::new(),
            persisted: Vec::new(),
            writes: Vec::new(),
            held_back: Vec::new(),
            hold_store: false,
            agents: BTreeMap::new(),
            users: BTreeMap::new(),
            calls: BTreeMap::new(),
            requests: BTreeMap::new(),
            listenings: BTreeMap::new(),
            removed: Vec::new(),
            events: Vec::new(),
            replies: BTreeMap::new(),
            logs: Vec::new(),
            drained: false,
            heard_last: 0,
            next_reply: 0,
            next_leg: 0,
            start,
            order_of_calls: Vec::new(),
            order_of_listenings: Vec::new(),
        };
        bench.take(outputs);
        for n in 0..100 {
            bench.ports(20_000 + 2 * n);
        }
        bench
    }

    pub(super) fn ports(&mut self, port: u16) {
        self.drive(Input::Media(media::Event::PortReady {
            port: Port(port),
            addr: SocketAddr::from(([127, 0, 0, 1], port)),
            addr6: None,
        }));
    }

    pub(super) fn drive(&mut self, input: Input) {
        let mut outputs = Vec::new();
        self.core.drive(self.now, input, &mut outputs);
        self.take(outputs);
    }

    /// Applies outputs and plays the other parts until nothing moves.
    fn take(&mut self, outputs: Vec<Output>) {
        let mut outputs: VecDeque<Output> = outputs.into();
        while let Some(output) = outputs.pop_front() {
            let mut inputs = Vec::new();
            match output {
                Output::Media(command) => {
                    match &command {
                        media::Command::Done(batch) => {
                            inputs.push(Input::Media(media::Event::Done { batch: *batch, ok: true }))
                        }
                        media::Command::Close { stream } => {
                            let figures = Figures { packets: 500, ..Figures::default() };
                            inputs.push(Input::Media(media::Event::Closed { stream: *stream, figures }));
                        }
                        media::Command::CloseListener { listener } if self.media_listeners_closed => {
                            let heard_ms = self.heard_last;
                            inputs.push(Input::Media(media::Event::ListenerClosed {
                                listener: *listener,
                                heard_ms,
                                dropped: 3,
                                quality: self.quality_last,
                            }));
                        }
                        media::Command::OpenBrowser { listener, offer, .. } if self.media_answers => {
                            let answer = Ok(format!("answer to {offer}"));
                            inputs.push(Input::Media(media::Event::BrowserAnswer { listener: *listener, answer }));
                        }
                        media::Command::RestartBrowser { listener, fragment } if self.media_answers => {
                            let answer = Ok(format!("answer to {fragment}"));
                            inputs.push(Input::Media(media::Event::BrowserAnswer { listener: *listener, answer }));
                        }
                        media::Command::Listen { listener, .. } if self.media_live => {
                            inputs.push(Input::Media(media::Event::Live { listener: *listener }));
                        }
                        _ => {}
                    }
                    self.media.push(command);
                }
                Output::Persist { persist, changes } if self.hold_store => self.held_back.push((persist, changes)),
                Output::Persist { persist, changes } => {
                    if self.store_up {
                        self.writes.push(changes.clone());
                        self.persisted.extend(changes);
                    }
                    let result = if self.store_up { Ok(()) } else { Err("disk full".to_owned()) };
                    inputs.push(Input::Persisted { persist, result });
                }
                Output::Reply { reply, result } => {
                    self.replies.insert(reply.0, result);
                }
                Output::View(view) => self.view(view),
                Output::Levels { listening, agent, caller } => self.levels.push((listening, agent, caller)),
                Output::Event(event) => self.events.push(event),
                Output::Log { message, .. } => self.logs.push(message),
                Output::Drained => self.drained = true,
                Output::Transmit { .. } | Output::Connect { .. } | Output::Close { .. } => {}
            }
            for input in inputs {
                let mut more = Vec::new();
                self.core.drive(self.now, input, &mut more);
                outputs.extend(more);
            }
        }
    }

    fn view(&mut self, view: View) {
        match view {
            View::Agent(view) => drop(self.agents.insert(view.id.clone(), view)),
            View::AgentRemoved(id) => drop(self.agents.remove(&id)),
            View::User(view) => drop(self.users.insert(view.id.clone(), view)),
            View::UserRemoved(id) => drop(self.users.remove(&id)),
            View::Call(view) => {
                if self.calls.insert(view.id.clone(), view.clone()).is_none() {
                    self.order_of_calls.push(view.id);
                }
            }
            View::Request(view) => drop(self.requests.insert(view.id.clone(), view)),
            View::Listening(view) => {
                if self.listenings.insert(view.id.clone(), view.clone()).is_none() {
                    self.order_of_listenings.push(view.id);
                }
            }
            // kept here to be looked at
            View::CallRemoved(id) | View::RequestRemoved(id) | View::ListeningRemoved(id) => self.removed.push(id),
            View::Listener(_) => {}
        }
    }

    /// The store answers everything that it has held back so far.
    pub(super) fn answer_store(&mut self, ok: bool) {
        for (persist, changes) in std::mem::take(&mut self.held_back) {
            if ok {
                self.writes.push(changes.clone());
                self.persisted.extend(changes);
            }
            let result = if ok { Ok(()) } else { Err("the disk is full".to_owned()) };
            self.drive(Input::Persisted { persist, result });
        }
    }

    /// What signalling was told of one kind.
    pub(super) fn told<T>(&self, which: impl Fn(&signalling::Command) -> Option<T>) -> Vec<T> {
        self.wire.lock().unwrap().commands.iter().filter_map(which).collect()
    }

    /// Signalling says something.
    pub(super) fn says(&mut self, event: signalling::Event) {
        self.wire.lock().unwrap().events.push_back(event);
        self.drive(Input::Timeout);
    }

    pub(super) fn wait(&mut self, time: Duration) {
        let until = self.now.mono + time;
        while let Some(at) = self.core.wake_at().filter(|at| *at <= until) {
            let step = at.saturating_duration_since(self.now.mono);
            self.now = Now { mono: at.max(self.now.mono), wall: self.now.wall + step };
            self.drive(Input::Timeout);
        }
        let step = until.saturating_duration_since(self.now.mono);
        self.now = Now { mono: until, wall: self.now.wall + step };
        self.drive(Input::Timeout);
    }

    pub(super) fn seconds(&mut self, seconds: u64) {
        self.wait(Duration::from_secs(seconds));
    }

    pub(super) fn command(&mut self, actor: &str, command: Command) -> Result<Reply, Problem> {
        self.next_reply += 1;
        let reply = self.next_reply;
        self.drive(Input::Command { reply: ReplyId(reply), actor: actor.into(), command });
        self.replies.remove(&reply).expect("an answer")
    }

    pub(super) fn order_as(&mut self, actor: &str, order: Order) -> Result<RequestView, Problem> {
        match self.command(actor, Command::Order { order, dry_run: false })? {
            Reply::Request(view) => Ok(view),
            other => panic!("{other:?}"),
        }
    }

    /// The admin orders a listening on an agent; returns the request's id.
    pub(super) fn order(&mut self, agent: &str, listener: ListenerOrder, calls: i64) -> String {
        self.order_as("admin", order(agent, listener, Some(calls))).expect("a good order").id
    }

    fn peer(&self, user: &str) -> PeerId {
        let directory = &self.core.directory;
        directory
            .agents
            .get(user)
            .map(|a| a.peer)
            .or_else(|| directory.users.get(user).and_then(|u| u.peer))
            .expect("a phone")
    }

    fn invite(&self, to: &str, headers: &[(&str, &str)]) -> Message {
        let mut request = RequestBuilder::new(&Method::Invite, &format!("sip:{to}@pbx.test"))
            .header(HeaderName::Via, "SIP/2.0/UDP 10.0.0.10:5060;branch=z9hG4bK1")
            .header(HeaderName::From, "<sip:caller@10.0.0.10>;tag=1")
            .header(HeaderName::To, &format!("<sip:{to}@pbx.test>"))
            .header(HeaderName::CallId, "one@test")
            .header(HeaderName::CSeq, "1 INVITE");
        for (name, value) in headers {
            request = request.raw_header(name, value);
        }
        request.finish()
    }

    /// An INVITE comes; the last command says what became of it.
    pub(super) fn offer(
        &mut self,
        origin: Origin,
        from: &str,
        to: &str,
        headers: &[(&str, &str)],
        replaces: Option<LegId>,
    ) -> LegId {
        self.next_leg += 1;
        let leg = LegId(self.next_leg);
        let invite = self.invite(to, headers);
        let target = Uri::parse(&format!("sip:{to}@pbx.test")).unwrap();
        self.says(signalling::Event::Offered {
            leg,
            origin,
            target,
            from_user: from.into(),
            from_display: String::new(),
            replaces,
            invite,
        });
        leg
    }

    pub(super) fn trunk_calls(&mut self, to: &str, headers: &[(&str, &str)]) -> Option<Pair> {
        let caller = self.offer(Origin::Trunk(TrunkId(0)), "+4755512345", to, headers, None);
        self.connected(caller)
    }

    pub(super) fn phone_calls(&mut self, user: &str, to: &str) -> Option<Pair> {
        let peer = self.peer(user);
        let caller = self.offer(Origin::Account(peer), user, to, &[], None);
        self.connected(caller)
    }

    pub(super) fn connected(&self, leg: LegId) -> Option<Pair> {
        let wire = self.wire.lock().unwrap();
        wire.pairs.get(&leg).map(|callee| Pair { caller: leg, callee: *callee })
    }

    /// What signalling was told to call last.
    pub(super) fn last_connect(&self) -> NewLeg {
        let wire = self.wire.lock().unwrap();
        wire.commands
            .iter()
            .rev()
            .find_map(|c| if let signalling::Command::Connect { callee, .. } = c { Some(callee.clone()) } else { None })
            .expect("a call")
    }

    pub(super) fn refused(&self) -> Option<(u16, Option<u32>)> {
        let wire = self.wire.lock().unwrap();
        wire.commands.iter().rev().find_map(|c| {
            if let signalling::Command::Refuse { status, retry_after, .. } = c {
                Some((*status, *retry_after))
            } else {
                None
            }
        })
    }

    pub(super) fn transfer_refused(&self) -> Option<u16> {
        let wire = self.wire.lock().unwrap();
        wire.commands
            .iter()
            .rev()
            .find_map(|c| if let signalling::Command::RefuseTransfer { status, .. } = c { Some(*status) } else { None })
    }

    pub(super) fn ring(&mut self, leg: LegId) {
        self.says(signalling::Event::Ringing { leg, status: 180, early_media: false });
    }

    pub(super) fn planned(&mut self, leg: LegId, session: Session) {
        self.says(signalling::Event::MediaPlanned { leg, session, plan: None });
    }

    pub(super) fn answer(&mut self, call: Pair) {
        self.ring(call.callee);
        for leg in [call.callee, call.caller] {
            self.planned(leg, session(true, true));
            self.says(signalling::Event::Answered { leg });
        }
    }

    /// The platform calls an agent, who answers.
    pub(super) fn call(&mut self, to: &str) -> Pair {
        let call = self
            .trunk_calls(to, &[("X-Queue", "Support"), ("X-Access-Number", "+4721000001")])
            .expect("the call goes through");
        self.answer(call);
        call
    }

    /// A phone calls, and is answered.
    pub(super) fn dial(&mut self, user: &str, to: &str) -> Pair {
        let call = self.phone_calls(user, to).expect("the call goes through");
        self.answer(call);
        call
    }

    /// BYE, CANCEL or a final answer from the party of this leg; its peer is ended by us.
    pub(super) fn leaves(&mut self, leg: LegId, status: Option<u16>) {
        {
            let mut wire = self.wire.lock().unwrap();
            wire.gone(leg, EndedBy::Remote, status);
            if let Some(peer) = wire.pairs.get(&leg).copied() {
                wire.gone(peer, EndedBy::Local, None);
            }
        }
        self.drive(Input::Timeout);
    }

    pub(super) fn bye(&mut self, leg: LegId) {
        self.leaves(leg, None);
    }

    /// BYE from a transferor: its peer stays.
    pub(super) fn bye_alone(&mut self, leg: LegId) {
        self.wire.lock().unwrap().gone(leg, EndedBy::Remote, None);
        self.drive(Input::Timeout);
    }

    pub(super) fn hold(&mut self, leg: LegId) {
        self.planned(leg, session(true, false));
    }

    pub(super) fn resume(&mut self, leg: LegId) {
        self.planned(leg, session(true, true));
    }

    /// Every listener that was called, newest last.
    pub(super) fn listeners(&self) -> Vec<NewLeg> {
        let wire = self.wire.lock().unwrap();
        wire.commands
            .iter()
            .filter_map(|c| if let signalling::Command::Call { leg, .. } = c { Some(leg.clone()) } else { None })
            .collect()
    }

    pub(super) fn listener(&self) -> NewLeg {
        self.listeners().pop().expect("a listener was called")
    }

    /// The listener's phone rings and answers.
    pub(super) fn listens(&mut self) -> LegId {
        let leg = self.listener().leg;
        self.ring(leg);
        self.planned(leg, Session { sends: false, ..session(false, true) });
        self.says(signalling::Event::Answered { leg });
        leg
    }

    pub(super) fn ended_by_us(&self, leg: LegId) -> Option<signalling::Reason> {
        let wire = self.wire.lock().unwrap();
        wire.commands.iter().find_map(|c| match c {
            signalling::Command::End { leg: ended, reason } if *ended == leg => Some(reason.clone()),
            _ => None,
        })
    }

    pub(super) fn accepted(&self) -> Option<Option<NewLeg>> {
        let wire = self.wire.lock().unwrap();
        wire.commands.iter().rev().find_map(|c| {
            if let signalling::Command::AcceptTransfer { target, .. } = c { Some(target.clone()) } else { None }
        })
    }

    pub(super) fn refer(&mut self, leg: LegId, to: &str, replaces: Option<LegId>) -> TransferId {
        let transfer = TransferId(leg.0);
        let target = Uri::parse(&format!("sip:{to}@pbx.test")).unwrap();
        self.says(signalling::Event::Referred { transfer, leg, target, replaces, replaces_unknown: false });
        transfer
    }

    /// The survivors are joined; the released legs are gone.
    pub(super) fn joined(&mut self, transfer: TransferId, kept: LegId, target: LegId, released: &[LegId]) {
        {
            let mut wire = self.wire.lock().unwrap();
            for leg in released {
                wire.pairs.remove(leg);
            }
            wire.pairs.insert(kept, target);
            wire.pairs.insert(target, kept);
        }
        self.says(signalling::Event::TransferJoined { transfer, kept, target, released: released.to_vec() });
        for leg in released {
            self.wire.lock().unwrap().gone(*leg, EndedBy::Local, None);
        }
        self.drive(Input::Timeout);
    }

    /// The newest listener in the media plane, by SIP or in a browser.
    pub(super) fn media_listener(&self) -> ListenerId {
        self.media
            .iter()
            .rev()
            .find_map(|c| match c {
                media::Command::OpenListener { listener, .. } | media::Command::OpenBrowser { listener, .. } => {
                    Some(*listener)
                }
                _ => None,
            })
            .expect("a listener")
    }

    /// Media tells something of a listener.
    pub(super) fn media_says(&mut self, event: media::Event) {
        self.drive(Input::Media(event));
    }

    /// Was it closed in the media plane?
    pub(super) fn listener_closed(&self, of: ListenerId) -> bool {
        self.media.iter().any(|c| matches!(c, media::Command::CloseListener { listener } if *listener == of))
    }

    /// How the newest listener's sides are put together.
    pub(super) fn mixed(&self) -> media::Mix {
        let of = self.media_listener();
        let mixes = self.media.iter().rev();
        let mut mixes = mixes.filter_map(|c| match c {
            media::Command::Mix { listener, mix } if *listener == of => Some(*mix),
            _ => None,
        });
        mixes.next().expect("a mix")
    }

    /// The newest listener heard so much in all.
    pub(super) fn heard(&mut self, heard_ms: u64) {
        let listener = self.media_listener();
        self.drive(Input::Media(media::Event::Heard { listener, heard_ms }));
    }

    pub(super) fn silent(&mut self) {
        let listener = self.media_listener();
        self.drive(Input::Media(media::Event::ListenerSilent { listener }));
    }

    /// What the newest listener hears: the stream of the tapped leg.
    pub(super) fn hears(&self) -> Option<StreamId> {
        self.hears_of(self.media_listener())
    }

    pub(super) fn hears_of(&self, of: ListenerId) -> Option<StreamId> {
        self.media
            .iter()
            .rev()
            .find_map(|c| match c {
                media::Command::Focus { listener, taps } if *listener == of => Some(taps.map(|Taps { agent }| agent)),
                _ => None,
            })
            .flatten()
    }

    pub(super) fn shielded(&self) -> bool {
        let of = self.media_listener();
        self.media
            .iter()
            .rev()
            .find_map(|c| {
                if let media::Command::Shield { listener, on } = c { (*listener == of).then_some(*on) } else { None }
            })
            .unwrap_or(false)
    }

    pub(super) fn stream(&self, leg: LegId) -> StreamId {
        self.core.legs.get(&leg).expect("a live leg").stream
    }

    pub(super) fn call_view(&self, pair: Pair) -> CallView {
        let key =
            self.core.legs.get(&pair.caller).or_else(|| self.core.legs.get(&pair.callee)).expect("a live call").call;
        self.core.calls.get(&key).expect("a call").view()
    }

    /// The newest call's view, live or ended.
    pub(super) fn last_call(&self) -> &CallView {
        &self.calls[self.order_of_calls.last().expect("a call")]
    }

    pub(super) fn last_listening(&self) -> &ListeningView {
        &self.listenings[self.order_of_listenings.last().expect("a listening")]
    }

    pub(super) fn reasons(&self) -> Vec<EndReason> {
        self.order_of_listenings.iter().filter_map(|id| self.listenings[id].end_reason).collect()
    }

    pub(super) fn names(&self) -> Vec<EventName> {
        self.events.iter().map(|event| event.name).collect()
    }

    pub(super) fn request(&self, id: &str) -> &RequestView {
        self.requests.get(id).expect("a request")
    }

    pub(super) fn count(&self, name: &str) -> u64 {
        self.core.counters().get(name).copied().unwrap_or(0)
    }

    /// Nothing leaks: only requests may be left.
    pub(super) fn is_quiet(&self) {
        let sizes = self.core.sizes();
        assert_eq!((sizes.calls, sizes.interactions, sizes.listenings), (0, 0, 0), "{sizes:?}");
        assert_eq!(sizes.signalling.legs, 0, "legs are left");
        let core = &self.core;
        assert!(
            core.legs.is_empty()
                && core.streams.is_empty()
                && core.others.is_empty()
                && core.ears.is_empty()
                && core.ear_legs.is_empty()
                && core.closed_ears.is_empty()
                && core.players.is_empty()
                && core.gone_pages.is_empty()
                && core.pressed.is_empty(),
            "{:?} {:?} {:?}",
            core.legs,
            core.streams,
            core.ears
        );
        assert!(core.log.is_empty(), "the dialog log: {:?}", core.log);
        assert!(core.desks.is_empty() && core.transfers.is_empty() && core.call_ids.is_empty(), "{:?}", core.desks);
        let opened = self
            .media
            .iter()
            .filter(|c| {
                matches!(
                    c,
                    media::Command::Open { .. }
                        | media::Command::OpenListener { .. }
                        | media::Command::OpenBrowser { .. }
                )
            })
            .count();
        let closed = self
            .media
            .iter()
            .filter(|c| matches!(c, media::Command::Close { .. } | media::Command::CloseListener { .. }))
            .count();
        assert_eq!(opened, closed, "ports are left");
    }

    /// The audit trail as the store has it.
    pub(super) fn trail(&self) -> Vec<&AuditEntry> {
        self.persisted.iter().filter_map(|c| if let Change::Audit(entry) = c { Some(entry) } else { None }).collect()
    }

    /// Its entries of one action.
    pub(super) fn entries(&self, action: &str) -> Vec<&AuditEntry> {
        self.trail().into_iter().filter(|entry| entry.action == action).collect()
    }

    pub(super) fn wall(&self, seconds: i64) -> Timestamp {
        self.start + jiff::SignedDuration::from_secs(seconds)
    }
}

pub(super) fn order(agent: &str, listener: ListenerOrder, calls: Option<i64>) -> Order {
    Order { agent: agent.into(), listener: Some(listener), calls, ..Order::default() }
}

pub(super) fn user(id: &str) -> ListenerOrder {
    ListenerOrder::User(id.into())
}

pub(super) fn number(text: &str) -> ListenerOrder {
    ListenerOrder::Number(text.into())
}

pub(super) fn account(bench: &Bench, user: &str) -> Destination {
    Destination::Account(bench.peer(user))
}
