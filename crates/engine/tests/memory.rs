//! What a call that is up costs in the engine, signalling included: bytes that live in the allocator, counted and not
//! timed. The calls are made as in life, by messages; store, media and phones are played by their contracts.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::directory::{AgentSeed, PhoneSeed, Seed, Srtp, TrunkSeed};
use engine::{Engine, Input, Now, Output, Settings};
use medlytt_engine as engine;
use signalling::message::{HeaderName, Limits, Message, Method};
use signalling::transport::{Flow, Transport};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Calls of the count.
const CALLS: usize = 1_000;
/// The C library's own word on each allocation, and what it rounds up to on average.
const OVERHEAD: usize = 16;
/// Bytes for each call while its transactions still wait for repetitions, tables included.
const AT_ONCE_MAX: usize = 9_400;
/// Bytes for each call after that.
const SETTLED_MAX: usize = 8_500;
/// 64 times T1, and some.
const TRANSACTIONS_OVER: Duration = Duration::from_secs(40);

/// The engine, with everybody that it talks to.
struct Life {
    engine: Engine,
    now: Now,
    outputs: Vec<Output>,
    inputs: VecDeque<Input>,
    up: usize,
}

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn flow(remote: SocketAddr) -> Flow {
    Flow { transport: Transport::Udp, local: addr("192.0.2.1:5060"), remote }
}

fn trunk() -> SocketAddr {
    addr("192.0.2.10:5060")
}

fn agent_at(n: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 3, 1], 10_000 + n as u16))
}

fn description(ip: &str, port: usize, codecs: &str) -> String {
    format!(
        "v=0\r\no=- {port} 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP {codecs} 101\r\n\
         a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n\
         a=ptime:20\r\na=maxptime:150\r\na=sendrecv\r\n"
    )
}

fn life() -> Life {
    let agent = |n: usize| AgentSeed {
        id: format!("a{n}"),
        name: format!("Agent {n}"),
        number: format!("{}", 10_000 + n),
        phone: PhoneSeed {
            contact: Some((format!("sip:a{n}@{}", agent_at(n)), agent_at(n))),
            password: None,
            nat: false,
            srtp: Srtp::Off,
        },
        group: None,
        skills: Vec::new(),
        monitorable: true,
    };
    let platform = TrunkSeed {
        name: "platform".into(),
        host: trunk().to_string(),
        next_hop: trunk(),
        allow: vec![(trunk().ip(), 32)],
        nat: false,
        srtp: Srtp::Off,
        offer_sendrecv: false,
    };
    let seed = Seed { agents: (0..CALLS).map(agent).collect(), trunks: vec![platform], ..Seed::default() };
    #[allow(clippy::disallowed_methods)] // a test needs some instant to start from
    let now = Now { mono: Instant::now(), wall: "2026-11-24T12:00:00Z".parse().expect("a time") };
    let settings = Settings::new(signalling::Settings::for_domain("pbx.test"));
    let mut outputs = Vec::new();
    let engine = Engine::new(now, settings, seed, engine::persist::Restored::default(), [7; 32], &mut outputs);
    let mut life = Life { engine, now, outputs, inputs: VecDeque::new(), up: 0 };
    life.follow();
    for n in 0..2 * CALLS {
        let port = 20_000 + 2 * n as u16;
        life.drive(Input::Media(media::Event::PortReady {
            port: media::Port(port),
            addr: SocketAddr::from(([192, 0, 2, 1], port)),
            addr6: None,
        }));
    }
    life
}

impl Life {
    fn drive(&mut self, input: Input) {
        self.inputs.push_back(input);
        self.follow();
    }

    /// Until nobody has anything to say.
    fn follow(&mut self) {
        loop {
            for output in std::mem::take(&mut self.outputs) {
                let answer = match output {
                    Output::Media(media::Command::Done(batch)) => {
                        Some(Input::Media(media::Event::Done { batch, ok: true }))
                    }
                    Output::Persist { persist, .. } => Some(Input::Persisted { persist, result: Ok(()) }),
                    Output::Transmit { flow, data } => self.hears(flow, data),
                    _ => None,
                };
                self.inputs.extend(answer);
            }
            let Some(input) = self.inputs.pop_front() else { break };
            self.engine.drive(self.now, input, &mut self.outputs);
        }
    }

    /// What a phone or the trunk says to a message: rings and answers, acknowledges.
    fn hears(&mut self, flow: Flow, data: Bytes) -> Option<Input> {
        let message = Message::parse(data, &Limits::default()).expect("a message");
        let text = match (message.is_request(), message.method(), message.status()) {
            (true, Method::Invite, _) => {
                self.inputs.push_back(self.answer(flow, &message, "180 Ringing", String::new()));
                let port = 30_000 + 2 * usize::from(flow.remote.port());
                return Some(self.answer(flow, &message, "200 OK", description("192.0.3.1", port, "8")));
            }
            (true, Method::Ack, _) => {
                self.up += 1;
                return None;
            }
            (false, Method::Invite, 200) => self.ack(&message),
            _ => return None,
        };
        Some(Input::Sip { flow, data: text.into() })
    }

    fn answer(&self, flow: Flow, invite: &Message, status: &str, body: String) -> Input {
        let header = |name| invite.header(&name).unwrap_or_default();
        let text = format!(
            "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag={}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
             Contact: <sip:phone@{}>\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, REFER, NOTIFY\r\n\
             Supported: replaces, timer\r\nUser-Agent: Deskphone 5.1\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{body}",
            header(HeaderName::Via),
            header(HeaderName::From),
            header(HeaderName::To),
            flow.remote.port(),
            header(HeaderName::CallId),
            header(HeaderName::CSeq),
            flow.remote,
            body.len()
        );
        Input::Sip { flow, data: text.into() }
    }

    fn ack(&self, ok: &Message) -> String {
        let header = |name| ok.header(&name).unwrap_or_default();
        let target = ok.contact().expect("a Contact").uri;
        format!(
            "ACK {target} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKack{}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\n\
             Call-ID: {}\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n",
            trunk(),
            header(HeaderName::CallId),
            header(HeaderName::From),
            header(HeaderName::To),
            header(HeaderName::CallId)
        )
    }

    /// The platform calls an agent.
    fn call(&mut self, n: usize) {
        let (at, body) = (trunk(), description("192.0.2.20", 30_000 + 2 * n, "8 0"));
        let text = format!(
            "INVITE sip:{}@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bKcall{n}\r\nMax-Forwards: 69\r\n\
             From: \"+4755512345\" <sip:+4755512345@{at}>;tag=platform{n}\r\nTo: <sip:{}@192.0.2.1>\r\n\
             Call-ID: {n}-4f7c9d1e@platform.test\r\nCSeq: 1 INVITE\r\nContact: <sip:platform@{at}>\r\n\
             Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE\r\nSupported: replaces, timer\r\n\
             User-Agent: Platform 3.2\r\nP-Asserted-Identity: <sip:+4755512345@{at}>\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            10_000 + n,
            10_000 + n,
            body.len()
        );
        self.drive(Input::Sip { flow: flow(at), data: text.into() });
        self.drive(Input::Timeout);
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now.mono + time;
        while let Some(at) = self.engine.wake_at().filter(|at| *at <= until) {
            self.now = Now { mono: at.max(self.now.mono), ..self.now };
            self.drive(Input::Timeout);
        }
        self.now = Now { mono: until, ..self.now };
        self.drive(Input::Timeout);
    }
}

/// Bytes that live, with what the allocator adds.
fn alive() -> usize {
    let heap = dhat::HeapStats::get();
    heap.curr_bytes + OVERHEAD * heap.curr_blocks
}

#[test]
fn a_call_that_is_up_keeps_little() {
    let mut life = life();
    let _profiler = dhat::Profiler::builder().testing().build();
    let idle = alive();
    for n in 0..CALLS {
        life.call(n);
    }
    assert_eq!(life.up, CALLS);
    let at_once = (alive() - idle) / CALLS;
    life.wait(TRANSACTIONS_OVER);
    assert_eq!(life.engine.sizes().signalling.transactions, 0);
    let settled = (alive() - idle) / CALLS;
    println!("bytes for each call: {at_once} at once, {settled} settled");
    assert!(at_once <= AT_ONCE_MAX, "{at_once} bytes for each call that was just made");
    assert!(settled <= SETTLED_MAX, "{settled} bytes for each call that is up");
}
