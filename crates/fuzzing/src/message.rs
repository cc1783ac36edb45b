//! Datagrams for the SIP core. Several stand in one input, with a line `%%` between them.
//!
//! The parser: what it takes it gives back byte for byte, within its limits, and an edit touches nothing else. The
//! core: never more than one final answer to a datagram; to a stranger one answer that is hardly larger than what it
//! sent, to nobody else, and never again; and when everybody is silent nothing is left.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use signalling::message::{HeaderName, Limits, Message, ResponseBuilder};
use signalling::peers::{Account, FixedContact, PeerId, Peers, Srtp, Trunk, TrunkId};
use signalling::transport::{Flow, Transport};
use signalling::{Command, Destination, Event, Input, LegId, NewLeg, Output, Settings, Signalling};

/// Between two datagrams of one input.
pub const SEPARATOR: &[u8] = b"\r\n%%\r\n";
/// What an answer may have beyond its request: Server, Allow, a tag, a phrase.
const ANSWER_EXTRA: usize = 1_024;
/// Datagrams of an input that are looked at.
const DATAGRAMS_MAX: usize = 32;

const US: &str = "198.51.100.1:5060";
const TRUNK: &str = "198.51.100.9:5060";
const PHONE: &str = "198.51.100.7:5060";
const STRANGER: &str = "203.0.113.66:5060";
const SOURCES: [&str; 3] = [STRANGER, TRUNK, PHONE];

/// See the module.
pub fn body(data: &[u8]) {
    let datagrams: Vec<&[u8]> = split(data);
    for datagram in &datagrams {
        parser(datagram);
    }
    for first in 0..SOURCES.len() {
        let mut core = Core::new();
        for (at, datagram) in datagrams.iter().enumerate() {
            let source = SOURCES.get((first + at) % SOURCES.len()).copied().unwrap_or(STRANGER);
            core.receive(source, datagram);
        }
        core.fall_silent();
    }
}

/// The datagrams of an input.
fn split(data: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut rest = data;
    while let Some(at) = rest.windows(SEPARATOR.len()).position(|window| window == SEPARATOR) {
        let (one, others) = rest.split_at(at);
        found.push(one);
        rest = others.get(SEPARATOR.len()..).unwrap_or_default();
    }
    found.push(rest);
    found.truncate(DATAGRAMS_MAX);
    found
}

fn parser(data: &[u8]) {
    let limits = Limits::default();
    let raw = Bytes::copy_from_slice(data);
    if let Some(broken) = Message::parse_lenient(&raw, &limits) {
        read_everything(&broken);
        let answer = ResponseBuilder::new(&broken, 400, None, Some("tag")).finish();
        assert!(answer.bytes().len() <= data.len() + ANSWER_EXTRA, "an answer is no larger than what it answers");
    }
    let Ok(message) = Message::parse(raw, &limits) else { return };
    let start = data.windows(message.bytes().len()).position(|window| window == message.bytes());
    assert!(start.is_some(), "what was parsed is what came");
    assert!(message.lines().count() <= limits.headers && message.bytes().len() <= limits.bytes);
    let again = Message::parse(message.bytes().clone(), &limits).expect("it was parsed once");
    assert_eq!(again.bytes(), message.bytes());
    assert_eq!(again.lines().collect::<Vec<_>>(), message.lines().collect::<Vec<_>>());
    assert_eq!(message.edit().finish().body(), message.body(), "no edit, no change");
    only_one_line_changes(&message);
    read_everything(&message);
}

/// Setting a header leaves every other line and the body byte for byte.
fn only_one_line_changes(message: &Message) {
    let name = HeaderName::new("X-Fuzz");
    if message.header(&name).is_some() || message.lines().count() >= Limits::default().headers - 2 {
        return;
    }
    let edited = message.edit().set(name.clone(), "1").finish();
    let others = |message: &Message| {
        let written = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let added = ["x-fuzz", "content-length", "l"];
        let stays = |(name, _): &(String, String)| !added.contains(&name.to_ascii_lowercase().as_str());
        message.lines().map(written).filter(stays).collect::<Vec<_>>()
    };
    assert_eq!(others(&edited), others(message));
    assert_eq!((edited.body(), edited.header(&name)), (message.body(), Some("1")));
}

fn read_everything(message: &Message) {
    let _ = (message.method(), message.status(), message.reason(), message.request_uri(), message.max_forwards());
    let _ = (message.from_tag(), message.to_tag(), message.call_id(), message.cseq(), message.content_type());
    let _ = message.top_via().branch();
    let contact = message.contact().and_then(|contact| contact.parsed_uri());
    let uris = [message.from().ok(), message.to().ok()].into_iter().flatten().filter_map(|party| party.parsed_uri());
    for uri in uris.chain(contact) {
        let _ = (uri.user_decoded(), uri.host(), uri.socket_addr(), uri.param("lr"), uri.embedded_header("replaces"));
        assert!(!uri.without_headers().as_str().is_empty());
    }
    for name in [HeaderName::Via, HeaderName::Route, HeaderName::Require] {
        assert!(message.values(&name).all(|value| value == value.trim_ascii() && !value.is_empty()));
    }
}

struct Core {
    signalling: Signalling,
    now: Instant,
    /// Whom it may send to: the configured, and who sent the last datagram.
    known: BTreeSet<SocketAddr>,
    live: BTreeSet<LegId>,
}

impl Core {
    fn new() -> Self {
        let mut signalling = Signalling::new(Settings::for_domain("medlytt.test"), [3; 32]);
        let now = Instant::now();
        let peers = Input::Command(Command::Peers(Arc::new(peers())));
        signalling.drive(now, peers, &mut Vec::new());
        Self { signalling, now, known: [addr(TRUNK), addr(PHONE)].into(), live: BTreeSet::new() }
    }

    fn receive(&mut self, source: &str, data: &[u8]) {
        let flow = Flow { transport: Transport::Udp, local: addr(US), remote: addr(source) };
        let sent = self.run(Input::Datagram { flow, data: Bytes::copy_from_slice(data) });
        // A CANCEL or BYE answers the INVITE that waits, too: one final answer to each request.
        let finals: Vec<_> =
            sent.iter().filter(|(to, data)| *to == addr(source) && is_final(data)).map(asked).collect();
        assert_eq!(finals.iter().collect::<BTreeSet<_>>().len(), finals.len(), "two final answers to one request");
        if source == STRANGER {
            assert!(sent.len() <= 1, "a stranger gets one answer at most");
            assert!(sent.iter().all(|(to, answer)| *to == addr(STRANGER) && answer.len() <= data.len() + ANSWER_EXTRA));
        }
        self.now += Duration::from_millis(7);
    }

    fn run(&mut self, input: Input) -> Vec<(SocketAddr, Bytes)> {
        let mut outputs = Vec::new();
        self.signalling.drive(self.now, input, &mut outputs);
        let mut sent = Vec::new();
        for output in outputs {
            match output {
                Output::Transmit { flow, data } => {
                    assert!(
                        self.known.contains(&flow.remote) || flow.remote == addr(STRANGER),
                        "sent to {}",
                        flow.remote
                    );
                    sent.push((flow.remote, data));
                }
                Output::Event(event) => sent.extend(self.event(event)),
                Output::Connect { .. } | Output::Close { .. } => panic!("this core has no connections"),
            }
        }
        sent
    }

    fn event(&mut self, event: Event) -> Vec<(SocketAddr, Bytes)> {
        match event {
            Event::Offered { leg, target, replaces, .. } => {
                self.live.insert(leg);
                let media = "198.51.100.1:20000".parse().expect("an address");
                let order = match replaces {
                    Some(old) => Command::Replace { new: leg, old, media },
                    None => {
                        let callee = self.new_leg(&target.user_decoded());
                        Command::Connect { caller: leg, caller_media: media, callee }
                    }
                };
                self.run(Input::Command(order))
            }
            Event::MediaPlanned { plan: Some(plan), .. } => self.run(Input::MediaDone { plan, ok: true }),
            Event::Referred { transfer, target, .. } => {
                let target = Some(self.new_leg(&target.user_decoded()));
                self.run(Input::Command(Command::AcceptTransfer { transfer, target }))
            }
            Event::Ended { leg, .. } => {
                assert!(self.live.remove(&leg), "a leg ended twice");
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn new_leg(&mut self, user: &str) -> NewLeg {
        let leg = self.signalling.new_leg();
        self.live.insert(leg);
        let destination = match user {
            "anna" => Destination::Account(PeerId(1)),
            number => Destination::Trunk(TrunkId(0), number.to_owned()),
        };
        NewLeg {
            leg,
            destination,
            from_user: user.to_owned(),
            from_display: user.to_owned(),
            identity: true,
            media: "198.51.100.1:20002".parse().expect("an address"),
            headers: Vec::new(),
            ring_timeout: None,
        }
    }

    /// Everybody stops talking: what rings is given up, every transaction runs out, and a stranger hears no more.
    fn fall_silent(&mut self) {
        for _ in 0..10_000 {
            let Some(at) = self.signalling.wake_at() else { break };
            self.now = at.max(self.now);
            let sent = self.run(Input::Timeout);
            assert!(sent.iter().all(|(to, _)| *to != addr(STRANGER)), "a stranger hears nothing unasked");
            if self.signalling.sizes().transactions == 0 {
                break;
            }
        }
        assert_eq!(self.signalling.sizes().transactions, 0, "a transaction never ends");
    }
}

fn is_final(data: &[u8]) -> bool {
    data.starts_with(b"SIP/2.0 ") && data.get(8) != Some(&b'1')
}

/// Which request a response is for.
fn asked((_, data): &(SocketAddr, Bytes)) -> (String, String, u32) {
    let Ok(response) = Message::parse(data.clone(), &Limits::default()) else { return Default::default() };
    let cseq = response.cseq();
    (response.top_via().branch().to_owned(), cseq.method.as_str().to_owned(), cseq.number)
}

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn peers() -> Peers {
    let account = |id, user: &str, contact: Option<&str>, password: Option<&str>| Account {
        id: PeerId(id),
        user: user.into(),
        contact: contact.map(|at| FixedContact { uri: format!("sip:{user}@{at}"), addr: addr(at) }),
        password: password.map(str::to_owned),
        nat: false,
        srtp: Srtp::Off,
        may_transfer: true,
    };
    let trunk = Trunk {
        name: "platform".into(),
        host: TRUNK.into(),
        next_hop: addr(TRUNK),
        allow: vec![(addr(TRUNK).ip(), 32)],
        nat: false,
        srtp: Srtp::Off,
    };
    Peers {
        accounts: vec![account(1, "anna", Some(PHONE), None), account(2, "bo", None, Some("secret"))],
        trunks: vec![trunk],
        routes: Vec::new(),
    }
}
