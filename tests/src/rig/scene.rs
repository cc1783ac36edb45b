//! The scene that most trouble is made in: the platform, two agents, a listener, and a call that is listened to.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use phone::{CallId, Dial, OnCall, Settings, State, Voice};
use serde_json::{Value, json};
use signalling::sdp::Direction;

use super::engine::{Engine, Setup, until};
use super::lines::{Jack, Lines};

/// What they say.
pub const CALLER_HZ: f32 = 800.0;
pub const AGENT_HZ: f32 = 440.0;
const PATIENCE: Duration = Duration::from_secs(5);

/// Everybody, with the engine between them.
pub struct Scene {
    pub engine: Engine,
    pub lines: Lines,
    pub platform: usize,
    pub agent: usize,
    pub listener: usize,
}

/// A call that is up, and who hears it.
pub struct Monitored {
    pub caller: CallId,
    pub agent: CallId,
    pub listener: CallId,
    /// Its order.
    pub request: String,
}

/// How a stretch of a call sounded to one of its parties.
#[derive(Clone, Copy, Debug)]
pub struct Quality {
    pub packets: usize,
    /// Sequence numbers that never came.
    pub lost: usize,
    /// Longest time between two packets, and the 99th percentile.
    pub longest_gap: Duration,
    pub p99_gap: Duration,
}

impl Scene {
    /// `setup.parties` come on top of agent `anna` (1001) and user `sam`, both with fixed contacts.
    pub fn new(name: &str, setup: &Setup<'_>) -> Self {
        let [platform, agent, listener] = ["127.0.0.2", "127.0.0.3", "127.0.0.4"].map(Jack::new);
        let parties = format!(
            "[[trunk]]\nname = \"platform\"\nuri = \"sip:{}\"\nallow = [\"127.0.0.2/32\"]\n\n\
             [[agent]]\nid = \"anna\"\nname = \"Anna Berg\"\nnumber = \"1001\"\ncontact = \"sip:anna@{}\"\n{}\n\
             [[user]]\nid = \"sam\"\nname = \"Sam\"\nrole = \"supervisor\"\nsoftphone = \"sam\"\ncontact = \"sip:sam@{}\"\n\n{}",
            platform.address, agent.address, setup.anna, listener.address, setup.parties
        );
        let engine = Engine::set_up(name, &Setup { parties: &parties, media_ports: Some(2_000), ..setup.clone() });
        let lines = Lines::default();
        let proxy = engine.sip.parse().unwrap();
        let plug = |user: &str, jack: Jack, voice| {
            let settings = Settings { voice, ..Settings::new(user, "medlytt.test", jack.address, proxy) };
            lines.plug(jack, settings)
        };
        let platform = plug("platform", platform, Voice::Tone(CALLER_HZ));
        let agent = plug("anna", agent, Voice::Tone(AGENT_HZ));
        let listener = plug("sam", listener, Voice::Silent);
        lines.act(listener, |phone, _, _| phone.habits_mut().answer_direction = Direction::RecvOnly);
        Self { engine, lines, platform, agent, listener }
    }

    /// The platform calls anna, who answers.
    pub fn call(&self) -> (CallId, CallId) {
        let before = self.lines.look(self.agent, |phone| phone.calls().count());
        let dial = Dial::to("sip:1001@medlytt.test").from("+4755512345");
        let caller = self.lines.act(self.platform, |phone, now, out| phone.dial(now, dial, out));
        let up = |line, call| self.lines.look(line, |phone| phone.call(call).is_some_and(|c| c.state() == State::Up));
        until("the call is up", PATIENCE, || up(self.platform, caller));
        until("the agent has a new call", PATIENCE, || self.lines.look(self.agent, |p| p.calls().count()) > before);
        let agent = self.lines.look(self.agent, |phone| phone.calls().next_back().unwrap().id());
        until("the agent's side is up", PATIENCE, || up(self.agent, agent));
        (caller, agent)
    }

    /// An order for sam, and a call that sam hears.
    pub fn monitored_call(&self) -> Monitored {
        let request = self.engine.order("anna", &json!({"user": "sam"}));
        let (caller, agent) = self.call();
        until("the listener is in the call", PATIENCE, || self.lines.call_in(self.listener, State::Up).is_some());
        let listener = self.lines.call_in(self.listener, State::Up).unwrap();
        until("the listener hears something", PATIENCE, || {
            self.lines.look(self.listener, |phone| phone.call(listener).unwrap().ears().count > 10)
        });
        Monitored { caller, agent, listener, request: request["id"].as_str().unwrap().to_owned() }
    }

    /// The engine's media addresses of a call: RTP and RTCP of both legs and of the listener's.
    pub fn media_addresses(&self, call: &Monitored) -> Vec<SocketAddr> {
        let of = |line: usize, id: CallId| {
            let rtp = self.lines.look(line, |phone| phone.call(id).unwrap().session().remote_rtp()).unwrap();
            [rtp, SocketAddr::new(rtp.ip(), rtp.port() + 1)]
        };
        [of(self.platform, call.caller), of(self.agent, call.agent), of(self.listener, call.listener)].concat()
    }

    /// Everybody heard whom they should from `from` to `to`; gives what it was like for caller, agent and listener.
    pub fn assert_heard(&self, call: &Monitored, from: Instant, to: Instant) -> [Quality; 3] {
        let parties = [
            ("caller", self.platform, call.caller, &[AGENT_HZ][..]),
            ("agent", self.agent, call.agent, &[CALLER_HZ][..]),
            ("listener", self.listener, call.listener, &[AGENT_HZ, CALLER_HZ][..]),
        ];
        parties.map(|(who, line, id, tones)| {
            self.lines.look(line, |phone| {
                let ears = phone.call(id).unwrap().ears();
                for hz in tones {
                    assert!(ears.hears(*hz, from, to), "the {who} hears {hz} Hz: {:?}", Quality::of(ears, from, to));
                }
                Quality::of(ears, from, to)
            })
        })
    }

    /// Hangs up at the caller and waits until everybody knows.
    pub fn hang_up(&self, call: &Monitored) {
        self.lines.act(self.platform, |phone, now, out| phone.hang_up(now, call.caller, out));
        for (who, line, id) in [("agent", self.agent, call.agent), ("listener", self.listener, call.listener)] {
            until(&format!("the {who} got BYE"), PATIENCE, || {
                self.lines.look(line, |phone| phone.call(id).unwrap().state() == State::Ended)
            });
        }
    }

    /// Whom calls ring, or who refuses them.
    pub fn agent_does(&self, on_call: OnCall) {
        self.lines.act(self.agent, |phone, _, _| phone.habits_mut().on_call = on_call);
    }

    /// `GET /readyz`: status and body.
    pub fn readiness(&self) -> (u16, Value) {
        let answer = self.engine.client().get("/readyz");
        (answer.status, answer.body)
    }
}

impl Quality {
    fn of(ears: &phone::Ears, from: Instant, to: Instant) -> Self {
        let packets: Vec<_> = ears.between(from, to).collect();
        let mut gaps: Vec<Duration> = packets.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
        gaps.sort();
        let span = match (packets.first(), packets.last()) {
            (Some(first), Some(last)) => usize::from(last.sequence.wrapping_sub(first.sequence)) + 1,
            _ => 0,
        };
        Self {
            packets: packets.len(),
            lost: span.saturating_sub(packets.len()),
            longest_gap: gaps.last().copied().unwrap_or(Duration::MAX),
            p99_gap: gaps.get(gaps.len() * 99 / 100).copied().unwrap_or(Duration::MAX),
        }
    }
}
