//! Where the page is used: the platform, agents with phones, people with accounts, and the engine between them.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use phone::{CallId, Dial, Settings, State, Voice};
use serde_json::{Value, json};
use signalling::sdp::Direction;

use super::engine::{Engine, Setup, free_port, until};
use super::lines::{Jack, Lines};
use super::page::{DESKTOP, Device, Person, button, heading, textbox};

/// What they say.
pub const CALLER_HZ: u32 = 800;
pub const ANNA_HZ: u32 = 440;
pub const BO_HZ: u32 = 620;
/// Everybody's.
pub const PASSWORD: &str = "paal-secret";
const PASSWORD_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$50bMJt9HpqZdrWVetJtHdw$fB5xnfAgfxKLE2ghuzf7mO5+hNmGqmuMYuzXcpL3t7Y";
const PATIENCE: Duration = Duration::from_secs(5);

/// Everybody. Agents are `anna` (1001) and `bo` (1002) of Support and `cia` (1003) of Sales; people are the admin `paal`, the
/// supervisor `sam`, each with a softphone, and `ida`, an integrator.
pub struct Office {
    pub engine: Engine,
    pub lines: Lines,
    pub platform: usize,
    pub anna: usize,
    pub bo: usize,
    /// The softphones of `paal` and `sam`.
    pub paal: usize,
    pub sam: usize,
    /// Where browsers get their sound.
    pub sound: SocketAddr,
}

impl Office {
    pub fn new(name: &str) -> Self {
        Self::with(name, "", "")
    }

    /// With further lines of `[monitoring]`, and further parties.
    pub fn with(name: &str, monitoring: &str, parties: &str) -> Self {
        let [platform, anna, bo, paal, sam] =
            ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6"].map(Jack::new);
        // a phone that is there, and answers nothing
        let nobody = UdpSocket::bind(("127.0.0.7", 0)).unwrap();
        let agent = |id: &str, name: &str, number: u32, group: &str, at: &str| {
            format!(
                "[[agent]]\nid = \"{id}\"\nname = \"{name}\"\nnumber = \"{number}\"\ncontact = \"sip:{id}@{at}\"\ngroup = \"{group}\"\n\
                 skills = [\"{group}\", \"Norwegian\"]\n\n"
            )
        };
        let user = |id: &str, name: &str, role: &str, more: &str| {
            format!(
                "[[user]]\nid = \"{id}\"\nname = \"{name}\"\nrole = \"{role}\"\npassword_hash = \"{PASSWORD_HASH}\"\n{more}\n"
            )
        };
        let softphone =
            |id: &str, jack: &Jack| format!("softphone = \"{id}\"\ncontact = \"sip:{id}@{}\"\n", jack.address);
        let parties = [
            format!(
                "[[trunk]]\nname = \"platform\"\nuri = \"sip:{}\"\nallow = [\"127.0.0.2/32\"]\n\n",
                platform.address
            ),
            agent("anna", "Anna Berg", 1001, "Support", &anna.address.to_string()),
            agent("bo", "Bo Dahl", 1002, "Support", &bo.address.to_string()),
            agent("cia", "Cia Ek", 1003, "Sales", &nobody.local_addr().unwrap().to_string()),
            user("paal", "Paal Kongshaug", "admin", &softphone("paal", &paal)),
            user(
                "sam",
                "Sam Lind",
                "supervisor",
                &format!("groups = [\"Support\"]\nlistener_numbers = [\"+47\"]\n{}", softphone("sam", &sam)),
            ),
            user("ida", "Ida Moe", "integrator", ""),
            parties.to_owned(),
        ]
        .concat();
        let sound = SocketAddr::from(([127, 0, 0, 1], free_port("127.0.0.1")));
        // A browser on the same two processors: how late the media thread may be is other tests' matter.
        let media = format!("browser_port = {}\nshards = 1\nfork_lag = \"1s\"\ncall_lag = \"1s\"\n", sound.port());
        let setup =
            Setup { parties: &parties, monitoring, media: &media, media_ports: Some(2_000), ..Setup::default() };
        let engine = Engine::set_up(name, &setup);
        let lines = Lines::default();
        let proxy = engine.sip.parse().unwrap();
        let plug = |user: &str, jack: Jack, voice| {
            let settings = Settings { voice, ..Settings::new(user, "medlytt.test", jack.address, proxy) };
            lines.plug(jack, settings)
        };
        let tone = |hz: u32| Voice::Tone(hz as f32);
        let platform = plug("platform", platform, tone(CALLER_HZ));
        let (anna, bo) = (plug("anna", anna, tone(ANNA_HZ)), plug("bo", bo, tone(BO_HZ)));
        let [paal, sam] = [plug("paal", paal, Voice::Silent), plug("sam", sam, Voice::Silent)];
        for listener in [paal, sam] {
            lines.act(listener, |phone, _, _| phone.habits_mut().answer_direction = Direction::RecvOnly);
        }
        Self { engine, lines, platform, anna, bo, paal, sam, sound }
    }

    /// Where the page is.
    pub fn page(&self) -> String {
        format!("http://{}/", self.engine.api)
    }

    /// Somebody who has signed in by password and sees the supervisor's page live.
    pub fn person(&self, user: &str) -> Person {
        self.person_at(user, DESKTOP)
    }

    /// The same at another device.
    pub fn person_at(&self, user: &str, device: Device) -> Person {
        let person = Person::at(device);
        person.goes(&self.page());
        sign_in(&person, user);
        person.sees(&heading("Silent monitoring"));
        person
    }

    /// The platform calls that number; both sides are up.
    pub fn call(&self, number: &str, agent: usize) -> (CallId, CallId) {
        let before = self.lines.look(agent, |phone| phone.calls().count());
        let dial = Dial::to(&format!("sip:{number}@medlytt.test")).from("+4755512345").header("X-Queue", "Support");
        let caller = self.lines.act(self.platform, |phone, now, out| phone.dial(now, dial, out));
        self.until_up(self.platform, caller);
        until("the agent has a new call", PATIENCE, || self.lines.look(agent, |p| p.calls().count()) > before);
        let answered = self.lines.look(agent, |phone| phone.calls().next_back().unwrap().id());
        self.until_up(agent, answered);
        (caller, answered)
    }

    /// The platform calls anna.
    pub fn call_anna(&self) -> (CallId, CallId) {
        self.call("1001", self.anna)
    }

    pub fn until_up(&self, line: usize, call: CallId) {
        until("the call is up", PATIENCE, || {
            self.lines.look(line, |phone| phone.call(call).is_some_and(|c| c.state() == State::Up))
        });
    }

    pub fn hang_up(&self, line: usize, call: CallId) {
        self.lines.act(line, |phone, now, out| phone.hang_up(now, call, out));
    }

    /// Anna has her caller wait and asks bo; gives her consultation.
    pub fn consult(&self, call: CallId) -> CallId {
        self.lines.act(self.anna, |phone, now, out| phone.hold(now, call, Direction::SendOnly, out));
        let dial = Dial::to("sip:1002@medlytt.test");
        let asks = self.lines.act(self.anna, |phone, now, out| phone.dial(now, dial, out));
        self.until_up(self.anna, asks);
        asks
    }

    /// Anna joins her caller and bo, and leaves.
    pub fn transfer(&self, call: CallId, consultation: CallId) {
        self.lines.act(self.anna, |phone, now, out| {
            phone.refer_replacing(now, call, "sip:1002@medlytt.test", consultation, out);
        });
    }

    /// An order of the admin's by the API, for so many seconds.
    pub fn order_for(&self, agent: &str, listener: &Value, calls: Option<u32>, seconds: i64) -> Value {
        let until = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
        let mut body = json!({"agent": agent, "listener": listener, "until": until.to_string()});
        if let Some(calls) = calls {
            body["calls"] = json!(calls);
        }
        let answer = self.engine.client().post("/v1/requests", &body);
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.body
    }
}

/// What a person's browser does by itself with its session: a request that the page has no button for.
pub fn asks(person: &Person, method: &str, path: &str, body: &Value) -> Value {
    person.runs(&format!(
        "(async () => {{
            const {{ csrf }} = await (await fetch('/v1/session')).json();
            const headers = {{ 'X-CSRF-Token': csrf, 'Content-Type': 'application/json' }};
            const answer = await fetch('{path}', {{ method: '{method}', headers, body: '{method}' === 'GET' ? undefined : JSON.stringify({body}) }});
            return {{ status: answer.status, body: await answer.json().catch(() => null) }};
        }})()"
    ))
}

/// Signs in at the form that is there.
pub fn sign_in(person: &Person, user: &str) {
    person.fills(&textbox("User"), user);
    person.fills(&textbox("Password"), PASSWORD);
    person.clicks(&button("Sign in"));
}
