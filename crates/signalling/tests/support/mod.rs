//! Scripted phones around a [`Signalling`], with a simulated clock and a network that may lose what a story says.
//! The engine's part is played by a small one that connects by user name.
#![allow(clippy::unwrap_used, reason = "a story that cannot go on fails")]
#![allow(unreachable_pub, reason = "it is a module of each story's own crate")]
#![allow(dead_code, reason = "each story uses its own part of the support")]
#![allow(clippy::disallowed_methods, reason = "the simulated clock starts somewhere")]

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use signalling::digest::{self, Credentials};
use signalling::message::{HeaderName, Limits, Message, Method};
use signalling::peers::{Account, FixedContact, PeerId, Peers, Srtp, Trunk, TrunkId};
use signalling::sdp::{Direction, Payload};
use signalling::transport::{Flow, Transport};
use signalling::{
    Command, Destination, Event, Input, LegId, MediaAddress, NewLeg, Output, PlanId, Reason, Session, Settings,
    Signalling, TransferId,
};

pub const US: &str = "192.0.2.1:5060";

/// A phone's address and user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phone {
    pub user: &'static str,
    pub addr: &'static str,
}

/// The trunk: calls with number +47….
pub const TRUNK: Phone = Phone { user: "+4755512345", addr: "10.0.0.9:5060" };
pub const ANNA: Phone = Phone { user: "anna", addr: "10.0.1.1:5060" };
pub const BO: Phone = Phone { user: "bo", addr: "10.0.1.2:5060" };
pub const SUE: Phone = Phone { user: "sue", addr: "10.0.2.1:5060" };
pub const REX: Phone = Phone { user: "rex", addr: "10.0.3.1:5080" };
pub const STRANGER: Phone = Phone { user: "mallory", addr: "203.0.113.66:5060" };

pub struct Net {
    pub core: Signalling,
    pub now: Instant,
    pub events: Vec<Event>,
    /// Says which messages are lost, either way.
    pub lose: Box<dyn FnMut(&Message) -> bool>,
    /// The small engine answers `Offered` and `Referred`.
    pub auto: bool,
    /// It answers plans with this at once; `None`: never.
    pub media_ok: Option<bool>,
    /// What has to be kept is kept at once.
    pub keeps: bool,
    /// Peers that speak over a connection.
    pub streams: HashSet<SocketAddr>,
    pub connects: Vec<Flow>,
    pub closes: Vec<Flow>,
    /// What was sent over connections.
    pub sent: Vec<(Flow, Vec<u8>)>,
    inboxes: HashMap<SocketAddr, VecDeque<Message>>,
    /// Media is reached by IPv6, too.
    pub dual_stack: bool,
    serial: u32,
    media_port: u16,
}

impl Net {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::for_domain("medlytt.test");
        change(&mut settings);
        let mut net = Self {
            core: Signalling::new(settings, [42; 32]),
            now: Instant::now(),
            events: Vec::new(),
            lose: Box::new(|_| false),
            auto: true,
            media_ok: Some(true),
            keeps: true,
            streams: HashSet::new(),
            connects: Vec::new(),
            closes: Vec::new(),
            sent: Vec::new(),
            inboxes: HashMap::new(),
            dual_stack: false,
            serial: 0,
            media_port: 20_000,
        };
        net.run(Input::Command(Command::Peers(Arc::new(peers()))));
        net
    }

    pub fn run(&mut self, input: Input) {
        let mut outputs = Vec::new();
        self.core.drive(self.now, input, &mut outputs);
        for output in outputs {
            match output {
                Output::Transmit { flow, data } => {
                    if flow.transport == Transport::Tcp {
                        self.sent.push((flow, data.to_vec()));
                        if data.as_ref() == b"\r\n" {
                            continue;
                        }
                    }
                    let Ok(message) = Message::parse(data.clone(), &Limits::default()) else {
                        // An answer to a broken request repeats what is broken in it.
                        assert!(data.starts_with(b"SIP/2.0 400 "), "what we send is SIP");
                        continue;
                    };
                    if !(self.lose)(&message) {
                        self.inboxes.entry(flow.remote).or_default().push_back(message);
                    }
                }
                Output::Connect { flow } => self.connects.push(flow),
                Output::Close { flow } => {
                    self.streams.remove(&flow.remote);
                    self.closes.push(flow);
                }
                Output::Event(event) => self.event(event),
            }
        }
    }

    fn event(&mut self, event: Event) {
        self.events.push(event);
        let order = match self.events.last().expect("just pushed") {
            Event::Offered { leg, target, replaces, from_user, .. } if self.auto => {
                let (leg, target, replaces, from_user) = (*leg, target.user_decoded(), *replaces, from_user.clone());
                Some(match replaces {
                    Some(old) => Command::Replace { new: leg, old, media: self.media() },
                    None => Command::Connect {
                        caller: leg,
                        caller_media: self.media(),
                        callee: self.new_leg(&target, &from_user),
                    },
                })
            }
            Event::MediaPlanned { plan: Some(plan), .. } => {
                let plan = *plan;
                if let Some(ok) = self.media_ok {
                    self.run(Input::MediaDone { plan, ok });
                }
                None
            }
            Event::Referred { transfer, target, replaces, .. } if self.auto => {
                let (transfer, target, replaces) = (*transfer, target.user_decoded(), *replaces);
                let target = replaces.is_none().then(|| self.new_leg(&target, "transferred"));
                Some(Command::AcceptTransfer { transfer, target })
            }
            Event::Record { leg, .. } if self.keeps => Some(Command::Recorded { leg: *leg }),
            Event::Registered { receipt: Some(receipt), .. } if self.keeps => {
                Some(Command::RegistrationKept { receipt: *receipt })
            }
            _ => None,
        };
        if let Some(order) = order {
            self.run(Input::Command(order));
        }
    }

    /// An address by IPv4, and by IPv6 where the story says so.
    pub fn media(&mut self) -> MediaAddress {
        self.media_port += 2;
        let v4 = SocketAddr::from(([192, 0, 2, 1], self.media_port));
        let v6 = SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), self.media_port));
        MediaAddress::new(v4, self.dual_stack.then_some(v6))
    }

    pub fn new_leg(&mut self, user: &str, from_user: &str) -> NewLeg {
        let destination = match user {
            "anna" => Destination::Account(PeerId(1)),
            "bo" => Destination::Account(PeerId(2)),
            "sue" => Destination::Account(PeerId(3)),
            "rex" => Destination::Account(PeerId(4)),
            number => Destination::Trunk(TrunkId(0), number.to_owned()),
        };
        NewLeg {
            leg: self.core.new_leg(),
            destination,
            from_user: from_user.to_owned(),
            from_display: "Caller \"X\"".into(),
            identity: false,
            media: self.media(),
            headers: vec![("X-Queue".into(), "Support".into())],
            ring_timeout: None,
        }
    }

    /// Calls sue as a listener.
    pub fn listen(&mut self) -> LegId {
        self.listen_with(|_| {})
    }

    pub fn listen_with(&mut self, change: impl FnOnce(&mut NewLeg)) -> LegId {
        let mut leg = self.new_leg("sue", "+4721000000");
        leg.identity = true;
        leg.ring_timeout = Some(Duration::from_secs(30));
        change(&mut leg);
        let id = leg.leg;
        let codecs = vec![codec(0, "PCMU"), codec(8, "PCMA")];
        self.run(Input::Command(Command::Call { leg, codecs, direction: Direction::SendOnly, encrypted: false }));
        id
    }

    pub fn order(&mut self, command: Command) {
        self.run(Input::Command(command));
    }

    pub fn end(&mut self, leg: LegId, cause: u16) {
        self.order(Command::End { leg, reason: Reason { cause, text: "Test \"over\"".into() } });
    }

    pub fn send(&mut self, from: Phone, text: String) {
        let message = Message::parse(text.clone().into(), &Limits::default());
        if message.is_ok_and(|message| (self.lose)(&message)) {
            return;
        }
        self.send_raw(from, text.into_bytes());
    }

    pub fn send_raw(&mut self, from: Phone, data: Vec<u8>) {
        let data = data.into();
        if self.streams.contains(&from.addr.parse().unwrap()) {
            return self.run(Input::Bytes { flow: tcp(from), data });
        }
        self.run(Input::Datagram { flow: Flow { transport: Transport::Udp, ..tcp(from) }, data });
    }

    /// A phone's connection stands; it speaks over it from now on.
    pub fn open(&mut self, phone: Phone) {
        self.streams.insert(phone.addr.parse().unwrap());
        self.run(Input::FlowOpened { flow: tcp(phone) });
    }

    /// A phone's connection is gone.
    pub fn cut(&mut self, phone: Phone) {
        self.streams.remove(&phone.addr.parse().unwrap());
        self.run(Input::FlowClosed { flow: tcp(phone) });
    }

    /// Bytes over a phone's connection.
    pub fn bytes(&mut self, phone: Phone, data: impl Into<Vec<u8>>) {
        self.run(Input::Bytes { flow: tcp(phone), data: data.into().into() });
    }

    /// Lets time pass, waking the core whenever it asks for it.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.core.wake_at().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.run(Input::Timeout);
        }
        self.now = end;
        self.run(Input::Timeout);
    }

    /// Lets time pass until something comes for a phone, 10 s at most.
    pub fn wait_for(&mut self, phone: Phone) {
        for _ in 0..1000 {
            if self.inboxes.get(&phone.addr.parse().unwrap()).is_some_and(|inbox| !inbox.is_empty()) {
                return;
            }
            self.pass(Duration::from_millis(10));
        }
    }

    pub fn seconds(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    /// The next message for a phone, 100 Trying left out.
    pub fn next(&mut self, phone: Phone) -> Option<Message> {
        let inbox = self.inboxes.get_mut(&phone.addr.parse().unwrap())?;
        loop {
            let message = inbox.pop_front()?;
            if message.status() != 100 {
                return Some(message);
            }
        }
    }

    /// The next message for a phone must be this request or response.
    #[track_caller]
    pub fn expect(&mut self, phone: Phone, what: &str) -> Message {
        let message = self.next(phone).unwrap_or_else(|| panic!("{} waits for {what} and gets nothing", phone.user));
        let got =
            if message.is_request() { message.method().as_str().to_owned() } else { message.status().to_string() };
        assert_eq!(got, what, "{} got\n{}", phone.user, String::from_utf8_lossy(message.bytes()));
        message
    }

    /// Nothing (more) has come for a phone.
    #[track_caller]
    pub fn nothing(&mut self, phone: Phone) {
        if let Some(message) = self.next(phone) {
            panic!("{} got\n{}", phone.user, String::from_utf8_lossy(message.bytes()));
        }
    }

    /// Throws away what is in a phone's inbox.
    pub fn flush(&mut self, phone: Phone) {
        self.inboxes.remove(&phone.addr.parse().unwrap());
    }

    pub fn branch(&mut self) -> String {
        self.serial += 1;
        format!("z9hG4bKtest{}", self.serial)
    }

    pub fn serial(&mut self) -> u32 {
        self.serial += 1;
        self.serial
    }

    /// The last session that was planned for a leg.
    #[track_caller]
    pub fn session(&self, leg: LegId) -> Session {
        let planned = self.events.iter().rev().find_map(|event| match event {
            Event::MediaPlanned { leg: of, session, .. } if *of == leg => Some(session.clone()),
            _ => None,
        });
        planned.unwrap_or_else(|| panic!("nothing was planned for {leg:?}"))
    }

    pub fn plan(&self) -> Option<PlanId> {
        self.events.iter().rev().find_map(|event| match event {
            Event::MediaPlanned { plan, .. } => *plan,
            _ => None,
        })
    }

    /// Legs in the order in which they were offered or made known.
    pub fn offered(&self) -> Vec<LegId> {
        self.events
            .iter()
            .filter_map(|event| if let Event::Offered { leg, .. } = event { Some(*leg) } else { None })
            .collect()
    }

    pub fn answered(&self) -> Vec<LegId> {
        self.events
            .iter()
            .filter_map(|event| if let Event::Answered { leg } = event { Some(*leg) } else { None })
            .collect()
    }

    pub fn ended(&self) -> Vec<(LegId, signalling::End)> {
        let ended =
            |event: &Event| if let Event::Ended { leg, end } = event { Some((*leg, end.clone())) } else { None };
        self.events.iter().filter_map(ended).collect()
    }

    #[track_caller]
    pub fn end_of(&self, leg: LegId) -> signalling::End {
        let ends: Vec<_> = self.ended().into_iter().filter(|(of, _)| *of == leg).collect();
        assert_eq!(ends.len(), 1, "{leg:?} ended {} times", ends.len());
        ends.into_iter().next().unwrap().1
    }

    pub fn transfer(&self) -> Option<TransferId> {
        self.events
            .iter()
            .find_map(|event| if let Event::Referred { transfer, .. } = event { Some(*transfer) } else { None })
    }

    /// Every table is empty once the transactions have run out, and every leg has ended exactly once.
    #[track_caller]
    pub fn assert_clean(&mut self) {
        self.seconds(200);
        let sizes = self.core.sizes();
        assert_eq!((sizes.legs, sizes.transactions, sizes.transfers), (0, 0, 0), "something leaks");
        let mut ended: Vec<LegId> = self.ended().into_iter().map(|(leg, _)| leg).collect();
        let all = ended.len();
        ended.sort();
        ended.dedup();
        assert_eq!(ended.len(), all, "a leg ended twice");
    }

    pub fn counter(&self, name: &str) -> u64 {
        self.core.counters().values.get(name).copied().unwrap_or_default()
    }
}

pub fn codec(pt: u8, name: &str) -> Payload {
    Payload { pt, name: name.into(), clock: 8000, channels: 1, fmtp: String::new() }
}

/// The connection of a phone.
pub fn tcp(phone: Phone) -> Flow {
    Flow { transport: Transport::Tcp, local: US.parse().unwrap(), remote: phone.addr.parse().unwrap() }
}

/// REGISTER, once without and, if it is challenged, once with credentials.
pub fn register(net: &mut Net, phone: Phone, user: &str, password: &str, expires: u32) -> Message {
    let serial = net.serial();
    let aor = format!("<sip:{user}@medlytt.test>");
    let mut extra = format!("Expires: {expires}\r\n");
    for cseq in 1..=2 {
        let text = request_text(
            net,
            phone,
            "REGISTER",
            "sip:medlytt.test",
            &format!("{aor};tag=r{serial}"),
            &aor,
            &format!("reg{serial}"),
            cseq,
            &extra,
            None,
        );
        net.send(phone, text);
        let answer = net.next(phone).expect("an answer to REGISTER");
        if answer.status() != 401 || cseq == 2 {
            return answer;
        }
        let challenges: Vec<&str> = answer.headers(&HeaderName::WwwAuthenticate).collect();
        let credentials = Credentials { user, password };
        let value = digest_answer(&challenges, &credentials, &Method::Register, "sip:medlytt.test");
        extra.push_str(&format!("Authorization: {value}\r\n"));
    }
    unreachable!()
}

pub fn digest_answer(challenges: &[&str], credentials: &Credentials<'_>, method: &Method, uri: &str) -> String {
    digest::answer(challenges.iter().copied(), credentials, method.as_str(), uri, &[], "cnonce", 1)
        .expect("a challenge that can be answered")
}

/// A core whose trunk has this policy, and its phones that.
pub fn secured(trunk: Srtp, phones: Srtp) -> Net {
    secured_with(trunk, phones, |_| {})
}

pub fn secured_with(trunk: Srtp, phones: Srtp, change: impl FnOnce(&mut Settings)) -> Net {
    let mut net = Net::with(change);
    let mut table = peers();
    table.trunks[0].srtp = trunk;
    table.accounts.iter_mut().for_each(|account| account.srtp = phones);
    net.order(Command::Peers(Arc::new(table)));
    net
}

pub fn peers() -> Peers {
    let account = |id, phone: Phone, password: Option<&str>, may_transfer| Account {
        id: PeerId(id),
        user: phone.user.into(),
        contact: password.is_none().then(|| FixedContact {
            uri: format!("sip:{}@{}", phone.user, phone.addr),
            addr: phone.addr.parse().unwrap(),
        }),
        password: password.map(str::to_owned),
        nat: false,
        srtp: Srtp::Off,
        may_transfer,
    };
    Peers {
        accounts: vec![
            account(1, ANNA, None, true),
            account(2, BO, None, true),
            account(3, SUE, None, false),
            account(4, REX, Some("secret"), true),
        ],
        trunks: vec![Trunk {
            name: "platform".into(),
            host: TRUNK.addr.into(),
            next_hop: TRUNK.addr.parse().unwrap(),
            allow: vec![("10.0.0.9".parse().unwrap(), 32)],
            nat: false,
            srtp: Srtp::Off,
        }],
        routes: vec![],
    }
}

/// A description with these payload types.
pub fn sdp(port: u16, payloads: &str, direction: &str) -> String {
    sdp_at("10.9.9.9", port, payloads, direction)
}

pub fn sdp_at(ip: &str, port: u16, payloads: &str, direction: &str) -> String {
    let events = if payloads.contains("101") { "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n" } else { "" };
    format!(
        "v=0\r\no=- 7 7 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP {payloads}\r\n{events}a={direction}\r\n"
    )
}

/// The line of a body that begins so.
pub fn line(message: &Message, start: &str) -> String {
    let body = message.body();
    let text = String::from_utf8_lossy(&body).into_owned();
    text.lines().find(|line| line.starts_with(start)).unwrap_or_default().to_owned()
}

/// Direction that a message's description shows.
pub fn direction(message: &Message) -> &'static str {
    let body = message.body();
    let text = String::from_utf8_lossy(&body).into_owned();
    ["sendonly", "recvonly", "inactive"]
        .into_iter()
        .find(|direction| text.contains(&format!("a={direction}\r\n")))
        .unwrap_or("sendrecv")
}

pub fn header<'a>(message: &'a Message, name: &str) -> &'a str {
    let name = HeaderName::new(name);
    message.header(&name).map(|value| value as &str).unwrap_or_default()
}

/// One dialog of a phone.
#[derive(Clone, Debug)]
pub struct Call {
    pub phone: Phone,
    pub call_id: String,
    pub local: String,
    pub remote: String,
    pub target: String,
    pub cseq: u32,
    /// The INVITE: sent, or received.
    pub invite: Message,
    pub tag: String,
}

impl Call {
    /// Sends an INVITE.
    pub fn out(net: &mut Net, phone: Phone, user: &str, body: Option<String>) -> Call {
        Self::out_with(net, phone, user, body, "")
    }

    pub fn out_with(net: &mut Net, phone: Phone, user: &str, body: Option<String>, extra: &str) -> Call {
        let serial = net.serial();
        let local = format!("<sip:{}@medlytt.test>;tag=t{serial}", phone.user);
        let remote = format!("<sip:{user}@medlytt.test>");
        let call_id = format!("call{serial}@{}", phone.user);
        let target = format!("sip:{user}@192.0.2.1");
        let text = request_text(net, phone, "INVITE", &target, &local, &remote, &call_id, 1, extra, body.as_deref());
        let invite = Message::parse(text.clone().into(), &Limits::default()).expect("the story writes SIP");
        net.send(phone, text);
        Call { phone, call_id, local, remote, target, cseq: 1, invite, tag: format!("t{serial}") }
    }

    /// Takes the INVITE that has come.
    #[track_caller]
    pub fn incoming(net: &mut Net, phone: Phone) -> Call {
        let invite = net.expect(phone, "INVITE");
        let serial = net.serial();
        let target = invite.contact().expect("Contact").uri.to_owned();
        let tag = format!("t{serial}");
        Call {
            phone,
            call_id: invite.call_id().into(),
            local: format!("{};tag={tag}", header(&invite, "To")),
            remote: header(&invite, "From").into(),
            target,
            cseq: 0,
            invite,
            tag,
        }
    }

    pub fn ring(&self, net: &mut Net, status: u16, body: Option<String>) {
        let text = response_text(&self.invite, status, &self.tag, self.phone, "", body.as_deref());
        net.send(self.phone, text);
    }

    /// 200 to the INVITE. The ACK is not looked at.
    pub fn answer(&self, net: &mut Net, body: Option<String>) {
        self.ring(net, 200, body);
    }

    pub fn reject(&self, net: &mut Net, status: u16, extra: &str) {
        let text = response_text(&self.invite, status, &self.tag, self.phone, extra, None);
        net.send(self.phone, text);
    }

    /// Takes the 200 of the INVITE sent, and acknowledges it.
    #[track_caller]
    pub fn established(&mut self, net: &mut Net) -> Message {
        let ok = net.expect(self.phone, "200");
        self.take_ok(&ok);
        self.ack(net, self.cseq, None);
        ok
    }

    pub fn take_ok(&mut self, ok: &Message) {
        self.remote = header(ok, "To").into();
        self.target = ok.contact().expect("Contact in 200").uri.to_owned();
    }

    pub fn ack(&self, net: &mut Net, cseq: u32, body: Option<String>) {
        let text = request_text(
            net,
            self.phone,
            "ACK",
            &self.target,
            &self.local,
            &self.remote,
            &self.call_id,
            cseq,
            "",
            body.as_deref(),
        );
        net.send(self.phone, text);
    }

    pub fn cancel(&self, net: &mut Net) {
        let via = header(&self.invite, "Via");
        let text = format!(
            "CANCEL {} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 CANCEL\r\nContent-Length: 0\r\n\r\n",
            self.invite.request_uri(),
            header(&self.invite, "From"),
            header(&self.invite, "To"),
            self.call_id,
        );
        net.send(self.phone, text);
    }

    /// A request inside the dialog.
    pub fn request(&mut self, net: &mut Net, method: &str, extra: &str, body: Option<String>) {
        self.cseq += 1;
        let text = request_text(
            net,
            self.phone,
            method,
            &self.target,
            &self.local,
            &self.remote,
            &self.call_id,
            self.cseq,
            extra,
            body.as_deref(),
        );
        net.send(self.phone, text);
    }

    pub fn reinvite(&mut self, net: &mut Net, body: Option<String>) {
        self.request(net, "INVITE", "", body);
    }

    /// BYE and its 200.
    #[track_caller]
    pub fn bye(&mut self, net: &mut Net) {
        self.request(net, "BYE", "", None);
        net.expect(self.phone, "200");
    }

    /// BYE while a re-INVITE of ours waits: both get their answer.
    #[track_caller]
    pub fn bye_with_pending(&mut self, net: &mut Net) {
        self.request(net, "BYE", "", None);
        let answers = [net.next(self.phone), net.next(self.phone)].map(|answer| answer.map(|answer| answer.status()));
        assert!(answers.contains(&Some(200)) && answers.contains(&Some(487)), "{answers:?}");
    }

    /// A provisional answer to a re-INVITE.
    pub fn ring_to(&self, net: &mut Net, request: &Message, status: u16) {
        self.reply(net, request, status, None);
    }

    /// Cancels the last request sent.
    pub fn cancel_last(&self, net: &mut Net) {
        let branch = format!("z9hG4bKtest{}", net.serial);
        let text = format!(
            "CANCEL {} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch={branch};rport\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} CANCEL\r\nContent-Length: 0\r\n\r\n",
            self.target, self.phone.addr, self.local, self.remote, self.call_id, self.cseq,
        );
        net.send(self.phone, text);
    }

    /// Takes a BYE and answers it.
    #[track_caller]
    pub fn byed(&self, net: &mut Net) -> Message {
        let bye = net.expect(self.phone, "BYE");
        self.reply(net, &bye, 200, None);
        bye
    }

    pub fn reply(&self, net: &mut Net, request: &Message, status: u16, body: Option<String>) {
        self.reply_with(net, request, status, "", body);
    }

    pub fn reply_with(&self, net: &mut Net, request: &Message, status: u16, extra: &str, body: Option<String>) {
        let text = response_text(request, status, &self.tag, self.phone, extra, body.as_deref());
        net.send(self.phone, text);
    }

    /// Takes a re-INVITE, answers it so, and takes the ACK.
    #[track_caller]
    pub fn reinvited(&self, net: &mut Net, body: String) -> Message {
        let invite = net.expect(self.phone, "INVITE");
        assert_eq!(invite.call_id(), self.call_id);
        self.reply(net, &invite, 200, Some(body));
        net.expect(self.phone, "ACK");
        invite
    }

    /// Takes a NOTIFY, answers it, gives its fragment and state.
    #[track_caller]
    pub fn notified(&self, net: &mut Net) -> (String, String) {
        let notify = net.expect(self.phone, "NOTIFY");
        self.reply(net, &notify, 200, None);
        assert_eq!(header(&notify, "Content-Type"), "message/sipfrag;version=2.0");
        let body = String::from_utf8_lossy(&notify.body()).trim().to_owned();
        (body, header(&notify, "Subscription-State").split(';').next().unwrap_or_default().to_owned())
    }

    pub fn replaces(&self) -> String {
        let tag = |value: &str| value.split(";tag=").nth(1).unwrap_or_default().to_owned();
        format!("{};to-tag={};from-tag={}", self.call_id, tag(&self.remote), tag(&self.local))
    }
}

#[allow(clippy::too_many_arguments, reason = "a request has as many parts")]
pub fn request_text(
    net: &mut Net,
    phone: Phone,
    method: &str,
    uri: &str,
    from: &str,
    to: &str,
    call_id: &str,
    cseq: u32,
    extra: &str,
    body: Option<&str>,
) -> String {
    let branch = net.branch();
    let content =
        if body.is_some() && !extra.contains("Content-Type") { "Content-Type: application/sdp\r\n" } else { "" };
    let body = body.unwrap_or_default();
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch={branch};rport\r\nMax-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\n\
         Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\nContact: <sip:{}@{}>\r\nAllow: INVITE, ACK, BYE, UPDATE\r\n{extra}{content}Content-Length: {}\r\n\r\n{body}",
        phone.addr,
        phone.user,
        phone.addr,
        body.len(),
    )
}

pub fn response_text(
    request: &Message,
    status: u16,
    tag: &str,
    phone: Phone,
    extra: &str,
    body: Option<&str>,
) -> String {
    let mut text = format!("SIP/2.0 {status} Whatever\r\n");
    for via in request.headers(&HeaderName::Via) {
        text.push_str(&format!("Via: {via}\r\n"));
    }
    let to = header(request, "To");
    let tagged = if request.to_tag().is_empty() && status > 100 { format!("{to};tag={tag}") } else { to.to_owned() };
    text.push_str(&format!(
        "From: {}\r\nTo: {tagged}\r\nCall-ID: {}\r\nCSeq: {}\r\n{extra}",
        header(request, "From"),
        request.call_id(),
        header(request, "CSeq")
    ));
    if matches!(request.method(), Method::Invite | Method::Update) && status < 300 {
        text.push_str(&format!("Contact: <sip:{}@{}>\r\nAllow: INVITE, ACK, BYE, UPDATE\r\n", phone.user, phone.addr));
    }
    let content = if body.is_some() { "Content-Type: application/sdp\r\n" } else { "" };
    let body = body.unwrap_or_default();
    text.push_str(&format!("{content}Content-Length: {}\r\n\r\n{body}", body.len()));
    text
}

/// A call from the trunk to anna that is up: the caller's dialog, anna's, and the two legs.
#[track_caller]
pub fn call_up(net: &mut Net) -> (Call, Call, LegId, LegId) {
    call_between(net, TRUNK, ANNA)
}

#[track_caller]
pub fn call_between(net: &mut Net, from: Phone, to: Phone) -> (Call, Call, LegId, LegId) {
    let answered = net.answered().len();
    let mut caller = Call::out(net, from, to.user, Some(sdp(4000, "0 8 101", "sendrecv")));
    let mut callee = Call::incoming(net, to);
    callee.ring(net, 180, None);
    net.expect(from, "180");
    callee.answer(net, Some(sdp(5000, "0 101", "sendrecv")));
    net.expect(to, "ACK");
    caller.established(net);
    callee.cseq = 100;
    let legs = net.answered();
    (caller, callee, legs[answered + 1], legs[answered])
}
