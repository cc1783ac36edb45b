//! Anything that may happen to an engine, in any order: orders, calls, answers of phones, the store's and the media
//! plane's, time. Every order gets one reply, every listening ends once, and N is never overrun.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use arbitrary::{Result, Unstructured};
use engine::directory::{AgentSeed, PhoneSeed, Seed, Srtp, TrunkSeed, UserSeed};
use engine::view::{AgentStatus, EventBody, EventName, Role};
use engine::{
    AgentChange, Command, Engine, Input, ListenerOrder, Now, Order, Output, PersistId, ReplyId, Settings, View,
};
use media::Port;
use signalling::message::{HeaderName, Limits, Message, Method};
use signalling::transport::{Flow, Transport};

/// Steps of an input at most.
const STEPS_MAX: usize = 200;
const US: &str = "198.51.100.1:5060";
const TRUNK: &str = "198.51.100.9:5060";
const ANNA: &str = "198.51.100.7:5060";
const SUE: &str = "198.51.100.8:5060";
const AGENTS: [&str; 3] = ["anna", "bo", "nobody"];
const ACTORS: [&str; 4] = ["sue", "root", "robot", "nobody"];

/// See the module.
pub fn body(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let mut life = Life::new();
    for _ in 0..STEPS_MAX {
        if bytes.is_empty() || life.step(&mut bytes).is_err() {
            break;
        }
    }
    life.end();
}

struct Life {
    engine: Engine,
    now: Now,
    serial: u64,
    /// Commands that have no reply yet.
    asked: BTreeSet<u64>,
    waiting: VecDeque<PersistId>,
    batches: VecDeque<media::BatchId>,
    listeners: Vec<media::ListenerId>,
    streams: Vec<media::StreamId>,
    /// Requests of the engine that a phone may answer: to whom, and what.
    ringing: VecDeque<(SocketAddr, Message)>,
    /// Final answers to INVITEs of the trunk: dialogs that may be ended.
    answered: Vec<Message>,
    requests: BTreeMap<String, u32>,
    listenings: BTreeMap<String, bool>,
    counted: BTreeMap<String, String>,
    calls: Vec<String>,
}

impl Life {
    fn new() -> Self {
        let now = Now { mono: Instant::now(), wall: "2026-11-24T12:00:00Z".parse().expect("a time") };
        let mut settings = Settings::new(signalling::Settings::for_domain("medlytt.test"));
        settings.other_streams = true;
        settings.access_number = Some("+4721000000".into());
        let mut outputs = Vec::new();
        let engine = Engine::new(now, settings, directory(), Default::default(), [9; 32], &mut outputs);
        let mut life = Self {
            engine,
            now,
            serial: 0,
            asked: BTreeSet::new(),
            waiting: VecDeque::new(),
            batches: VecDeque::new(),
            listeners: Vec::new(),
            streams: Vec::new(),
            ringing: VecDeque::new(),
            answered: Vec::new(),
            requests: BTreeMap::new(),
            listenings: BTreeMap::new(),
            counted: BTreeMap::new(),
            calls: Vec::new(),
        };
        life.see(outputs);
        for port in 0..8 {
            life.port(port);
        }
        life
    }

    fn step(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        match bytes.int_in_range(0..=19u8)? {
            0..=3 => self.order(bytes)?,
            4 | 5 => self.call(bytes)?,
            6..=9 => self.answer(bytes)?,
            10 => self.hang_up(bytes)?,
            11..=14 => self.persisted(bytes)?,
            15 | 16 => self.media(bytes)?,
            17 => self.directory(bytes)?,
            18 => match bytes.int_in_range(0..=15u8)? {
                0 => self.drive(Input::Drain),
                1 => self.drive(Input::Reload(directory())),
                2 => self.drive(Input::Stop),
                _ => self.port(bytes.int_in_range(0..=4_000)?),
            },
            _ => self.pass(*bytes.choose(&[1, 20, 500, 3_000, 40_000, 3_600_000])?),
        }
        Ok(())
    }

    fn pass(&mut self, milliseconds: u64) {
        let time = Duration::from_millis(milliseconds);
        let end = Now { mono: self.now.mono + time, wall: self.now.wall + time };
        for _ in 0..1_000 {
            let Some(at) = self.engine.wake_at().filter(|at| *at < end.mono) else { break };
            let gone = at.saturating_duration_since(self.now.mono);
            self.now = Now { mono: self.now.mono + gone, wall: self.now.wall + gone };
            self.drive(Input::Timeout);
        }
        self.now = end;
        self.drive(Input::Timeout);
    }

    fn order(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let agent = (*bytes.choose(&AGENTS)?).to_owned();
        let id = self.some_id(bytes)?;
        let command = match bytes.int_in_range(0..=9u8)? {
            0..=4 => {
                let listener = match bytes.int_in_range(0..=5u8)? {
                    0 => None,
                    1..=3 => Some(ListenerOrder::User("sue".into())),
                    4 => Some(ListenerOrder::Number("+4799".into())),
                    _ => Some(ListenerOrder::Agent("bo".into())),
                };
                let calls = *bytes.choose(&[None, Some(1), Some(1), Some(2), Some(0), Some(i64::MAX), Some(-1)])?;
                Command::Order {
                    order: Order { agent, listener, calls, ..Order::default() },
                    dry_run: bytes.ratio(1, 8)?,
                }
            }
            5 => Command::ChangeRequest { id, calls: bytes.arbitrary()?, until: None },
            6 => Command::ResumeRequest { id },
            7 => Command::DeleteRequest { id },
            8 => Command::Shield { call: id, on: bytes.arbitrary()? },
            _ => Command::HangUp { listening: id },
        };
        let actor = *bytes.choose(&ACTORS)?;
        self.command(actor, command);
        Ok(())
    }

    fn directory(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let id = (*bytes.choose(&["anna", "bo", "new", ""])?).to_owned();
        let text = |bytes: &mut Unstructured<'_>| -> Result<Option<String>> { bytes.arbitrary() };
        let command = match bytes.int_in_range(0..=3u8)? {
            0 => Command::DeleteAgent { id },
            1 => Command::PutStatus { id, status: *bytes.choose(&[AgentStatus::Ready, AgentStatus::Pause])? },
            _ => {
                let agent = AgentChange {
                    name: text(bytes)?,
                    number: text(bytes)?,
                    contact: text(bytes)?,
                    srtp: bytes.choose(&[None, Some("offer"), Some("x")])?.map(str::to_owned),
                    monitorable: bytes.arbitrary()?,
                    ..AgentChange::default()
                };
                match bytes.ratio(1, 4)? {
                    true => {
                        Command::PutAgents { agents: vec![(id.clone(), agent.clone()), (id, agent)], dry_run: false }
                    }
                    false => Command::PutAgent { id, agent },
                }
            }
        };
        self.command("robot", command);
        Ok(())
    }

    fn command(&mut self, actor: &str, command: Command) {
        self.serial += 1;
        self.asked.insert(self.serial);
        self.drive(Input::Command { reply: ReplyId(self.serial), actor: actor.to_owned(), command });
    }

    /// An id of anything that there has been.
    fn some_id(&self, bytes: &mut Unstructured<'_>) -> Result<String> {
        let ids = self.requests.keys().chain(self.listenings.keys()).chain(&self.calls);
        let ids: Vec<&String> = ids.collect();
        Ok(if ids.is_empty() { String::new() } else { (*bytes.choose(&ids)?).clone() })
    }

    fn call(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        self.serial += 1;
        let (n, number) = (self.serial, *bytes.choose(&["1001", "1001", "1002", "+4721"])?);
        let body = description();
        self.sip(TRUNK, format!(
            "INVITE sip:{number}@medlytt.test SIP/2.0\r\nVia: SIP/2.0/UDP {TRUNK};branch=z9hG4bKc{n}\r\nMax-Forwards: 70\r\n\
             From: <sip:+4755@x>;tag=c{n}\r\nTo: <sip:{number}@medlytt.test>\r\nCall-ID: call{n}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:+4755@{TRUNK}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        Ok(())
    }

    fn answer(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        if self.ringing.is_empty() {
            return Ok(());
        }
        let at = bytes.choose_index(self.ringing.len())?;
        let status = *bytes.choose(&[200, 200, 200, 180, 486, 603, 404, 408])?;
        let Some((to, request)) = self.ringing.get(at).cloned() else { return Ok(()) };
        if status >= 200 {
            self.ringing.remove(at);
        }
        self.respond(to, &request, status);
        Ok(())
    }

    fn respond(&mut self, from: SocketAddr, request: &Message, status: u16) {
        let invite = request.method() == Method::Invite;
        let header = |name: HeaderName| request.header(&name).unwrap_or_default().to_owned();
        let to = header(HeaderName::To);
        let tag = if to.contains(";tag=") { String::new() } else { ";tag=phone".to_owned() };
        let body = if invite && status == 200 { description() } else { String::new() };
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        self.sip(
            &from.to_string(),
            format!(
                "SIP/2.0 {status} Fine\r\nVia: {}\r\nFrom: {}\r\nTo: {to}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
             Contact: <sip:phone@{from}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
                header(HeaderName::Via),
                header(HeaderName::From),
                request.call_id(),
                header(HeaderName::CSeq),
                body.len()
            ),
        );
    }

    /// The caller acknowledges, hangs up or holds.
    fn hang_up(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        if self.answered.is_empty() {
            return Ok(());
        }
        let ok = self.answered[bytes.choose_index(self.answered.len())?].clone();
        self.serial += 1;
        let (n, method) = (self.serial, *bytes.choose(&["ACK", "BYE"])?);
        let cseq = if method == "ACK" { 1 } else { n + 1 };
        let header = |name: HeaderName| ok.header(&name).unwrap_or_default().to_owned();
        self.sip(TRUNK, format!(
            "{method} sip:medlytt@{US} SIP/2.0\r\nVia: SIP/2.0/UDP {TRUNK};branch=z9hG4bKc{n}\r\nMax-Forwards: 70\r\nFrom: {}\r\n\
             To: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n",
            header(HeaderName::From), header(HeaderName::To), ok.call_id()
        ));
        Ok(())
    }

    fn sip(&mut self, from: &str, text: String) {
        let (local, remote) = (addr(US), addr(from));
        self.drive(Input::Sip { flow: Flow { transport: Transport::Udp, local, remote }, data: text.into() });
    }

    /// The store answers any of what it was asked, and sometimes that it could not.
    fn persisted(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        if !self.waiting.is_empty() {
            let at = bytes.choose_index(self.waiting.len())?;
            let ok = bytes.ratio(7, 8)?;
            if let Some(persist) = self.waiting.remove(at) {
                self.drive(stored(persist, ok));
            }
        }
        Ok(())
    }

    fn media(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let event = match bytes.int_in_range(0..=7u8)? {
            0..=2 => match self.batches.pop_front() {
                Some(batch) => media::Event::Done { batch, ok: bytes.ratio(15, 16)? },
                None => return Ok(()),
            },
            3 if !self.listeners.is_empty() => media::Event::Live { listener: *bytes.choose(&self.listeners)? },
            4 | 5 if !self.listeners.is_empty() => media::Event::Heard {
                listener: *bytes.choose(&self.listeners)?,
                heard_ms: *bytes.choose(&[0, 1_000, 3_000, 10_000, u64::MAX])?,
            },
            6 if !self.streams.is_empty() => media::Event::Dead { stream: *bytes.choose(&self.streams)? },
            7 if !self.listeners.is_empty() => {
                media::Event::ListenerSilent { listener: *bytes.choose(&self.listeners)? }
            }
            _ => return Ok(()),
        };
        self.drive(Input::Media(event));
        Ok(())
    }

    fn port(&mut self, n: u16) {
        let port = Port(20_000 + n * 2);
        let addr = SocketAddr::new(addr(US).ip(), port.0);
        self.drive(Input::Media(media::Event::PortReady { port, addr, addr6: None }));
    }

    fn drive(&mut self, input: Input) {
        let mut outputs = Vec::new();
        self.engine.drive(self.now, input, &mut outputs);
        self.see(outputs);
    }

    fn see(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Transmit { flow, data } => self.transmitted(flow.remote, &data),
                Output::Media(command) => self.ordered(&command),
                Output::Persist { persist, .. } => self.waiting.push_back(persist),
                Output::Reply { reply, .. } => assert!(self.asked.remove(&reply.0), "one reply to a command"),
                Output::View(view) => self.shown(view),
                Output::Event(event) => {
                    if let (EventName::ListeningEnded, EventBody::Listening(listening)) = (event.name, event.body) {
                        let ended = self.listenings.insert(listening.id, true);
                        assert_ne!(ended, Some(true), "a listening ended twice");
                    }
                }
                Output::Log { message, .. } => {
                    assert!(!message.chars().any(char::is_control), "a log line is one line: {message:?}");
                }
                _ => {}
            }
        }
    }

    fn transmitted(&mut self, to: SocketAddr, data: &bytes::Bytes) {
        let Ok(message) = Message::parse(data.clone(), &Limits::default()) else { return };
        if message.is_request() && message.method() != Method::Ack {
            self.ringing.push_back((to, message));
            if self.ringing.len() > 16 {
                self.ringing.pop_front();
            }
        } else if message.status() == 200 && message.method() == Method::Invite {
            self.answered.push(message);
        }
    }

    fn ordered(&mut self, command: &media::Command) {
        match command {
            media::Command::Done(batch) => self.batches.push_back(*batch),
            media::Command::OpenListener { listener, .. } => self.listeners.push(*listener),
            media::Command::Open { stream, .. } => self.streams.push(*stream),
            _ => {}
        }
    }

    fn shown(&mut self, view: View) {
        match view {
            View::Request(request) => {
                let limit = self.requests.entry(request.id.clone()).or_default();
                *limit = (*limit).max(request.calls.limit.unwrap_or(u32::MAX));
                assert!(request.calls.used <= *limit, "N is overrun: {request:?}");
            }
            View::Listening(listening) => {
                let ended = self.listenings.entry(listening.id.clone()).or_default();
                assert!(!*ended || listening.end_reason.is_some(), "what has ended stays ended");
                if listening.counted {
                    self.counted.insert(listening.id, listening.request.clone());
                    let used = self.counted.values().filter(|request| **request == listening.request).count();
                    let limit = self.requests.get(&listening.request).copied().unwrap_or(u32::MAX);
                    assert!(used <= limit as usize, "{} is heard {used} times of {limit}", listening.request);
                }
            }
            View::Call(call) if !self.calls.contains(&call.id) => self.calls.push(call.id),
            _ => {}
        }
    }

    /// The store answers everything: then everybody who asked has their answer.
    fn end(&mut self) {
        for _ in 0..10_000 {
            let Some(persist) = self.waiting.pop_front() else { break };
            self.drive(stored(persist, true));
        }
        assert!(self.asked.is_empty(), "commands without a reply: {:?}", self.asked);
        self.drive(Input::Stop);
    }
}

/// The store's answer.
fn stored(persist: PersistId, ok: bool) -> Input {
    Input::Persisted { persist, result: if ok { Ok(()) } else { Err("the disk is full".to_owned()) } }
}

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn description() -> String {
    "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 8\r\nm=video 4002 RTP/AVP 96\r\n".into()
}

fn directory() -> Seed {
    let at = |user: &str, place: &str| PhoneSeed {
        contact: Some((format!("sip:{user}@{place}"), addr(place))),
        ..PhoneSeed::default()
    };
    let agent = |id: &str, number: &str| AgentSeed {
        id: id.into(),
        name: id.to_uppercase(),
        number: number.into(),
        phone: at(id, ANNA),
        group: Some("support".into()),
        skills: Vec::new(),
        monitorable: true,
    };
    let user = |id: &str, role: Role, softphone: Option<&str>| UserSeed {
        id: id.into(),
        name: id.into(),
        role,
        groups: None,
        listener_numbers: vec!["+47".into()],
        softphone: softphone.map(str::to_owned),
        phone: softphone.map(|user| at(user, SUE)).unwrap_or_default(),
        offer_sendrecv: false,
    };
    Seed {
        agents: vec![agent("anna", "1001"), agent("bo", "1002")],
        users: vec![
            user("sue", Role::Supervisor, Some("sue")),
            user("root", Role::Admin, None),
            user("robot", Role::Integrator, None),
        ],
        trunks: vec![TrunkSeed {
            name: "platform".into(),
            host: TRUNK.into(),
            next_hop: addr(TRUNK),
            allow: vec![(addr(TRUNK).ip(), 32)],
            nat: false,
            srtp: Srtp::Off,
            offer_sendrecv: false,
        }],
        routes: Vec::new(),
    }
}
