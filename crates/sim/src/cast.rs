//! Who is in a story unless it says otherwise: the same people as in the examinations against the real binary.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use engine::directory::{AgentSeed, PhoneSeed, Seed, Srtp, TrunkSeed, UserSeed};
use engine::view::Role;
use phone::Voice;
use signalling::sdp::Direction;

use crate::network::Quality;

/// Bound pairs of sockets of each shard, unless a world says otherwise.
const READY: usize = 16;

/// What listeners' phones show.
pub const ACCESS_NUMBER: &str = "+4721000000";
/// Who calls in.
pub const CALLER: &str = "+4755512345";
/// Registrar domain.
pub const DOMAIN: &str = "medlytt.test";

/// Every phone of the cast.
pub(crate) const ALL: [&str; 7] = ["trunk", "anna", "bo", "cia", "admin", "sue", "sam"];

pub(crate) const ENGINE: SocketAddr = at(1, 5060);
/// Its address for phones that have IPv6 alone.
pub const ENGINE_V6: SocketAddr = at_v6(1, 5060);

/// The engine's host, in either family.
pub(crate) fn is_engine(ip: IpAddr) -> bool {
    ip == ENGINE.ip() || ip == ENGINE_V6.ip()
}

/// Host `n` of the simulated IPv6 network.
#[must_use]
pub const fn at_v6(host: u16, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host)), port)
}

/// Host `n` of the simulated loopback network.
pub(crate) const fn at(host: u8, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, host)), port)
}

/// What a world begins with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Engine.
    pub settings: engine::Settings,
    /// Agents, users, trunks.
    pub directory: Seed,
    /// What the store kept of an earlier life.
    pub restored: engine::persist::Restored,
    /// Media plane, each shard of it.
    pub media: media::Settings,
    /// Media shards.
    pub shards: usize,
    /// Bound pairs of sockets of each shard that the engine is kept supplied with. With one, a call's two are of two
    /// shards.
    pub ports_ready: usize,
    /// How SIP is carried.
    pub sip: Quality,
    /// How RTP and RTCP are carried.
    pub rtp: Quality,
    /// From a change to its acknowledgement.
    pub store_delay: Duration,
    /// From a media command or event to its arrival.
    pub shard_delay: Duration,
    /// Feeds every random decision.
    pub seed: u64,
    /// Phones: name, address, how they sound.
    pub phones: Vec<phone::Settings>,
    /// Checkers look at everything; `true`: with a readable history.
    pub watch: Option<bool>,
    /// The engine's media ports have an address in IPv6, too.
    pub dual_stack: bool,
    /// Phones that register when the world begins.
    pub registering: Vec<String>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            settings: settings(),
            directory: directory(),
            restored: engine::persist::Restored::default(),
            media: media::Settings::default(),
            shards: 1,
            ports_ready: READY,
            sip: Quality::default(),
            rtp: Quality::default(),
            store_delay: Duration::from_millis(2),
            shard_delay: Duration::from_micros(100),
            seed: 1,
            phones: phones(),
            watch: None,
            dual_stack: false,
            registering: vec!["anna".into(), "sue".into()],
        }
    }
}

impl Setup {
    /// The agent of that id, to be changed.
    ///
    /// # Panics
    /// If there is none.
    pub fn agent(&mut self, id: &str) -> &mut AgentSeed {
        self.directory.agents.iter_mut().find(|a| a.id == id).expect("the cast has this agent")
    }
    /// The user of that id, to be changed.
    ///
    /// # Panics
    /// If there is none.
    pub fn user(&mut self, id: &str) -> &mut UserSeed {
        self.directory.users.iter_mut().find(|u| u.id == id).expect("the cast has this user")
    }
    /// The phone of that name, to be changed.
    ///
    /// # Panics
    /// If there is none.
    pub fn phone(&mut self, user: &str) -> &mut phone::Settings {
        self.phones.iter_mut().find(|p| p.user == user).expect("the cast has this phone")
    }
}

fn phones() -> Vec<phone::Settings> {
    let phone = |user: &str, address: SocketAddr, hz: f32| phone::Settings {
        voice: Voice::Tone(hz),
        ..phone::Settings::new(user, DOMAIN, address, ENGINE)
    };
    let listener = |user: &str, port: u16| {
        let mut settings = phone(user, at(4, port), 1500.0);
        settings.habits.answer_direction = Direction::RecvOnly;
        settings
    };
    let password = |mut settings: phone::Settings, password: &str| {
        settings.password = Some(password.into());
        settings
    };
    vec![
        phone("trunk", at(2, 5060), 800.0),
        password(phone("anna", at(3, 5060), 440.0), "anna-secret"),
        phone("bo", at(3, 5062), 620.0),
        phone("cia", at(3, 5064), 1050.0),
        listener("admin", 5060),
        password(listener("sue", 5062), "sue-secret"),
        listener("sam", 5064),
    ]
}

fn directory() -> Seed {
    let contact = |user: &str, address: SocketAddr| PhoneSeed {
        contact: Some((format!("sip:{user}@{address}"), address)),
        ..PhoneSeed::default()
    };
    let password = |password: &str| PhoneSeed { password: Some(password.into()), ..PhoneSeed::default() };
    let agent = |id: &str, name: &str, number: &str, phone: PhoneSeed, group: &str, skills: &[&str]| AgentSeed {
        id: id.into(),
        name: name.into(),
        number: number.into(),
        phone,
        group: Some(group.into()),
        skills: skills.iter().map(|s| (*s).to_owned()).collect(),
        monitorable: true,
    };
    let user = |id: &str, name: &str, role: Role, groups: Option<&[&str]>, phone: PhoneSeed| UserSeed {
        id: id.into(),
        name: name.into(),
        role,
        groups: groups.map(|g| g.iter().map(|s| (*s).to_owned()).collect()),
        listener_numbers: Vec::new(),
        softphone: (role != Role::Integrator).then(|| id.to_owned()),
        phone,
        offer_sendrecv: false,
    };
    Seed {
        agents: vec![
            agent("anna", "Anna Berg", "1001", password("anna-secret"), "Support", &["Norwegian", "Sales"]),
            agent("bo", "Bo Lie", "1002", contact("bo", at(3, 5062)), "Support", &[]),
            agent("cia", "Cia Holm", "1003", contact("cia", at(3, 5064)), "Sales", &[]),
        ],
        users: vec![
            user("admin", "Ada Admin", Role::Admin, None, contact("admin", at(4, 5060))),
            user("sue", "Sue Supervisor", Role::Supervisor, Some(&["Support"]), password("sue-secret")),
            user("sam", "Sam Supervisor", Role::Supervisor, Some(&["Support", "Sales"]), contact("sam", at(4, 5064))),
            user("platform", "The platform", Role::Integrator, None, PhoneSeed::default()),
        ],
        trunks: vec![TrunkSeed {
            name: "platform".into(),
            host: at(2, 5060).to_string(),
            next_hop: at(2, 5060),
            allow: vec![(at(2, 0).ip(), 32)],
            nat: false,
            srtp: Srtp::Off,
            offer_sendrecv: false,
        }],
        ..Seed::default()
    }
}

/// The defaults of SEMANTICS.md, with an access number and the headers of API.md.
fn settings() -> engine::Settings {
    let defaults = engine::Settings::new(signalling::Settings::for_domain(DOMAIN));
    let header = |name: &str| Some(name.to_owned());
    engine::Settings {
        access_number: Some(ACCESS_NUMBER.into()),
        header_queue: header("X-Queue"),
        header_access_number: header("X-Access-Number"),
        header_interaction: header("X-Interaction-Id"),
        header_do_not_monitor: header("X-Do-Not-Monitor"),
        ..defaults
    }
}
