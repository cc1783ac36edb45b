//! Who lives through the kills: the platform, agents and listeners on their phones, and the clients' knowledge.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use medlytt_stories::rig::client::Client;
use medlytt_stories::rig::engine::{Engine, Setup, until};
use medlytt_stories::rig::lines::{Jack, Lines};
use phone::{Habits, OnCall, Settings, Voice};
use rand::RngExt;
use rand::rngs::StdRng;
use signalling::sdp::Direction;

use super::load;
use super::model::Model;

pub(super) const AGENTS: usize = 8;
/// Half of the agents register, and these more come and go.
pub(super) const ROAMERS: usize = 3;
pub(super) const LISTENERS: usize = 9;
/// Heard audio that counts: as short as the media plane's reports allow, so that a round has many.
pub(super) const MIN_HEARD: Duration = Duration::from_secs(1);
const PASSWORD: &str = "durable";
const DOMAIN: &str = "medlytt.test";

/// An agent's or a listener's phone.
pub(super) struct Party {
    pub(super) user: String,
    pub(super) number: String,
    pub(super) line: usize,
    pub(super) registers: bool,
}

pub(super) struct House {
    pub(super) engine: Engine,
    pub(super) lines: Lines,
    pub(super) platform: usize,
    pub(super) agents: Vec<Party>,
    pub(super) roamers: Vec<Party>,
    pub(super) listeners: Vec<Party>,
    pub(super) model: Mutex<Model>,
}

impl House {
    pub(super) fn new(seed: u64) -> Self {
        let platform = Jack::new("127.0.0.2");
        let jacks = |ip: &str, count: usize| (0..count).map(|_| Jack::new(ip)).collect::<Vec<_>>();
        let (agents, roamers) = (jacks("127.0.0.3", AGENTS), jacks("127.0.0.3", ROAMERS));
        let listeners = jacks("127.0.0.4", LISTENERS);
        let mut parties = format!(
            "[[trunk]]\nname = \"platform\"\nuri = \"sip:{}\"\nallow = [\"127.0.0.2/32\"]\n\n",
            platform.address
        );
        let reach = |user: &str, n: usize, jack: &Jack| match n % 2 {
            0 => format!("password = \"{PASSWORD}\""),
            _ => format!("contact = \"sip:{user}@{}\"", jack.address),
        };
        for (n, jack) in agents.iter().enumerate() {
            let (user, number) = (format!("a{n}"), 1000 + n);
            let reach = reach(&user, n, jack);
            let _ =
                write!(parties, "[[agent]]\nid = \"{user}\"\nname = \"{user}\"\nnumber = \"{number}\"\n{reach}\n\n");
        }
        for n in 0..roamers.len() {
            let (user, number) = (format!("r{n}"), 1100 + n);
            let _ = write!(
                parties,
                "[[agent]]\nid = \"{user}\"\nname = \"{user}\"\nnumber = \"{number}\"\npassword = \"{PASSWORD}\"\n\n"
            );
        }
        for (n, jack) in listeners.iter().enumerate() {
            let user = format!("l{n}");
            let reach = reach(&user, n, jack);
            let _ = write!(
                parties,
                "[[user]]\nid = \"{user}\"\nname = \"{user}\"\nrole = \"supervisor\"\nsoftphone = \"{user}\"\n{reach}\n\n"
            );
        }
        let monitoring =
            format!("min_heard = \"{}ms\"\nbusy_retry = \"1s\"\nsuspend_after = 100\n", MIN_HEARD.as_millis());
        let setup = Setup { parties: &parties, monitoring: &monitoring, media_ports: Some(2_000), ..Setup::default() };
        let engine = Engine::set_up(&format!("durability-{seed}"), &setup);

        let lines = Lines::default();
        let proxy = engine.sip.parse().expect("an address");
        let plug = |user: &str, jack: Jack, hz: f32| {
            let mut settings = Settings::new(user, DOMAIN, jack.address, proxy);
            settings.voice = Voice::Tone(hz);
            settings.password = Some(PASSWORD.into());
            lines.plug(jack, settings)
        };
        let platform = plug("platform", platform, 800.0);
        let party = |prefix: &str, base: usize, n: usize, jack: Jack, registers: bool| {
            let user = format!("{prefix}{n}");
            let line = plug(&user, jack, 440.0);
            Party { user, number: (base + n).to_string(), line, registers }
        };
        let agents: Vec<_> =
            agents.into_iter().enumerate().map(|(n, jack)| party("a", 1000, n, jack, n % 2 == 0)).collect();
        let roamers: Vec<_> =
            roamers.into_iter().enumerate().map(|(n, jack)| party("r", 1100, n, jack, true)).collect();
        let listeners: Vec<_> =
            listeners.into_iter().enumerate().map(|(n, jack)| party("l", 0, n, jack, n % 2 == 0)).collect();
        for listener in &listeners {
            lines.act(listener.line, |phone, _, _| phone.habits_mut().answer_direction = Direction::RecvOnly);
        }
        for party in agents.iter().chain(&listeners).filter(|party| party.registers) {
            lines.register(party.line);
        }
        Self { engine, lines, platform, agents, roamers, listeners, model: Mutex::new(Model::new()) }
    }

    pub(super) fn client(&self) -> Client {
        self.engine.client()
    }

    /// Load until a random moment, at which the engine is killed. Gives that moment.
    pub(super) fn work(&mut self, rng: &mut StdRng) -> Instant {
        for party in self.agents.iter().chain(&self.listeners) {
            let on_call = match rng.random_range(0..12) {
                0 => OnCall::Ring,
                1 => OnCall::Reject { status: 486 },
                _ => OnCall::Answer { after: Duration::from_millis(rng.random_range(5..200)) },
            };
            self.lines.act(party.line, |phone, _, _| {
                let habits = phone.habits_mut();
                *habits = Habits { on_call, ..habits.clone() };
            });
        }
        let life = if rng.random_bool(0.3) { 2000..3200 } else { 200..1600 };
        let life = Duration::from_millis(rng.random_range(life));
        load::run(self, life, rng)
    }

    /// Everybody hangs up and most orders are taken back, so that the next round begins with room.
    pub(super) fn tidy(&mut self) {
        self.lines.hang_up_all();
        let client = self.client();
        let mut model = self.model.lock().expect("nobody panicked with it");
        for order in model.orders.iter_mut().filter(|order| !order.settled) {
            let Some(id) = order.id().map(str::to_owned) else { continue };
            let answer = client.send("DELETE", &format!("/v1/requests/{id}"), None, None).expect("an answer");
            assert!(matches!(answer.status, 204 | 404), "DELETE {id}: {answer:?}");
            order.deleted |= answer.status == 204;
            order.calls_until.get_or_insert(load::newest_call(&self.lines, self.listeners[order.listener].line));
        }
        drop(model);
        until("all calls are over", Duration::from_secs(5), || {
            self.client().get("/v1/calls").body["items"] == serde_json::json!([])
        });
    }

    /// The whole model once more.
    pub(super) fn farewell(&mut self) {
        let client = self.client();
        let model = self.model.lock().expect("nobody panicked with it");
        for order in &model.orders {
            let Some(id) = order.id() else { continue };
            let now = client.get(&format!("/v1/requests/{id}"));
            assert_eq!(now.status, 200, "an order of an earlier round is gone: {order:?}");
        }
    }
}
