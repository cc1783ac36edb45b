//! Agents, users, groups, rights, statuses.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use signalling::message::uri::Uri;
pub use signalling::peers::Srtp;
use signalling::peers::{Account, FixedContact, PeerId, Peers, Trunk, TrunkId};
use signalling::transport::Transport;

use crate::persist::AgentRecord;
use crate::view::{AgentStatus, Role, UserView};

/// The configuration's part of the directory.
#[derive(Clone, Debug, Default)]
pub struct Seed {
    /// `[[agent]]`.
    pub agents: Vec<AgentSeed>,
    /// `[[user]]`.
    pub users: Vec<UserSeed>,
    /// `[[trunk]]`.
    pub trunks: Vec<TrunkSeed>,
    /// Which SIP address of ours leads to a host above; the shell asked the system.
    pub routes: Vec<(IpAddr, SocketAddr)>,
}

/// A phone: fixed contact or registration.
#[derive(Clone, Debug, Default)]
pub struct PhoneSeed {
    /// Contact URI as configured and its address.
    pub contact: Option<(String, SocketAddr)>,
    /// Digest password.
    pub password: Option<String>,
    /// Latch media to the signalling source.
    pub nat: bool,
    /// Encrypted media.
    pub srtp: Srtp,
}

/// `[[agent]]`. Its SIP user is its id.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct AgentSeed {
    pub id: String,
    pub name: String,
    pub number: String,
    pub phone: PhoneSeed,
    pub group: Option<String>,
    pub skills: Vec<String>,
    pub monitorable: bool,
}

/// `[[user]]`, without API secrets (those are the API's).
#[derive(Clone, Debug)]
pub struct UserSeed {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Role.
    pub role: Role,
    /// Permitted groups; `None`: all.
    pub groups: Option<Vec<String>>,
    /// Prefixes of numbers that may be called as listener.
    pub listener_numbers: Vec<String>,
    /// SIP user of the softphone.
    pub softphone: Option<String>,
    /// How it is reached.
    pub phone: PhoneSeed,
    /// Offer `sendrecv` to the listener's phone (`listener_offer`).
    pub offer_sendrecv: bool,
}

/// `[[trunk]]`, resolved.
#[derive(Clone, Debug)]
pub struct TrunkSeed {
    /// Name.
    pub name: String,
    /// Host part for Request-URIs.
    pub host: String,
    /// Next hop.
    pub next_hop: SocketAddr,
    /// Source networks.
    pub allow: Vec<(IpAddr, u8)>,
    /// Latch media.
    pub nat: bool,
    /// Encrypted media.
    pub srtp: Srtp,
    /// Offer `sendrecv` to listeners behind this trunk.
    pub offer_sendrecv: bool,
}

/// Agents at most; the API cannot add more.
pub(crate) const MAX_AGENTS: usize = 100_000;

/// An agent with what the process knows of it.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) seed: AgentSeed,
    pub(crate) peer: PeerId,
    /// The platform's last word.
    pub(crate) platform: Option<AgentStatus>,
    /// Status as last shown, and since when.
    pub(crate) shown: AgentStatus,
    pub(crate) since: Timestamp,
}

/// A user; `peer` where it has a softphone.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) seed: UserSeed,
    pub(crate) peer: Option<PeerId>,
}

/// Who is at the far end of a leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Party {
    /// An agent's phone.
    Agent(String),
    /// A user's softphone.
    User(String),
    /// Somebody behind a trunk.
    Outside { trunk: TrunkId, number: String },
}

impl Party {
    pub(crate) fn agent(&self) -> Option<&str> {
        match self {
            Self::Agent(id) => Some(id),
            Self::User(_) | Self::Outside { .. } => None,
        }
    }
}

/// Whose phone a [`PeerId`] is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Agent(String),
    User(String),
}

/// Everybody who has a phone or a right here.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    pub(crate) agents: BTreeMap<String, Agent>,
    pub(crate) users: BTreeMap<String, User>,
    pub(crate) trunks: Vec<TrunkSeed>,
    routes: Vec<(IpAddr, SocketAddr)>,
    /// What the API put or took away, on top of the configuration.
    put: BTreeMap<String, AgentRecord>,
    removed: BTreeSet<String>,
    peers: BTreeMap<Owner, PeerId>,
    owners: HashMap<PeerId, Owner>,
    next_peer: u32,
    bindings: HashMap<PeerId, usize>,
    /// Ids, numbers and softphones as written.
    exact: HashMap<String, Owner>,
    /// Numbers without separators and plus.
    digits: HashMap<String, Owner>,
}

impl Directory {
    /// The configuration with the API's changes on top.
    pub(crate) fn new(seed: Seed, put: Vec<AgentRecord>, removed: Vec<String>, now: Timestamp) -> Self {
        let mut directory = Self {
            put: put.into_iter().map(|record| (record.id.clone(), record)).collect(),
            removed: removed.into_iter().collect(),
            ..Self::default()
        };
        directory.load(seed, now);
        directory
    }

    /// Takes a configuration anew; peer ids, statuses and the API's changes stay.
    pub(crate) fn load(&mut self, seed: Seed, now: Timestamp) {
        let mut old = std::mem::take(&mut self.agents);
        let mut seeds: BTreeMap<String, AgentSeed> = seed
            .agents
            .into_iter()
            .filter(|agent| !self.removed.contains(&agent.id))
            .map(|agent| (agent.id.clone(), agent))
            .collect();
        for (id, record) in &self.put {
            let phone = seeds.remove(id).map(|agent| agent.phone).unwrap_or_default();
            seeds.insert(id.clone(), overlay(record, phone));
        }
        for (id, seed) in seeds {
            let peer = self.peer(Owner::Agent(id.clone()));
            let agent = match old.remove(&id) {
                Some(agent) => Agent { seed, peer, ..agent },
                None => Agent { seed, peer, platform: None, shown: AgentStatus::Unknown, since: now },
            };
            self.agents.insert(id, agent);
        }
        for id in old.into_keys() {
            self.forget(&Owner::Agent(id));
        }
        let gone: Vec<String> = self.users.keys().cloned().collect();
        self.users.clear();
        for seed in seed.users {
            let peer = match &seed.softphone {
                // the agent's own phone under the user's name
                Some(softphone) if self.agents.contains_key(softphone) => {
                    self.agents.get(softphone).map(|agent| agent.peer)
                }
                Some(_) => Some(self.peer(Owner::User(seed.id.clone()))),
                None => None,
            };
            self.users.insert(seed.id.clone(), User { seed, peer });
        }
        for id in gone {
            if !self.users.contains_key(&id) {
                self.forget(&Owner::User(id));
            }
        }
        self.trunks = seed.trunks;
        self.routes = seed.routes;
        self.index();
    }

    /// Puts agents (the API's upsert).
    pub(crate) fn put_agents(&mut self, records: Vec<AgentRecord>, now: Timestamp) {
        for record in records {
            self.put_agent(record, now);
        }
        self.index();
    }

    fn put_agent(&mut self, record: AgentRecord, now: Timestamp) {
        let id = record.id.clone();
        self.removed.remove(&id);
        let phone = self.agents.get(&id).map(|agent| agent.seed.phone.clone()).unwrap_or_default();
        let seed = overlay(&record, phone);
        let peer = self.peer(Owner::Agent(id.clone()));
        self.put.insert(id.clone(), record);
        match self.agents.get_mut(&id) {
            Some(agent) => agent.seed = seed,
            None => {
                self.agents.insert(id, Agent { seed, peer, platform: None, shown: AgentStatus::Unknown, since: now });
            }
        }
    }

    /// An agent as it is now, as the API would have put it.
    pub(crate) fn as_record(&self, id: &str) -> Option<AgentRecord> {
        let seed = &self.agents.get(id)?.seed;
        Some(AgentRecord {
            id: seed.id.clone(),
            name: seed.name.clone(),
            number: seed.number.clone(),
            group: seed.group.clone(),
            skills: seed.skills.clone(),
            monitorable: seed.monitorable,
            contact: seed.phone.contact.as_ref().map(|(uri, _)| uri.clone()),
            srtp: self.put.get(id).and_then(|record| record.srtp.clone()),
        })
    }

    /// What the API put of an agent.
    pub(crate) fn record(&self, id: &str) -> Option<AgentRecord> {
        self.put.get(id).cloned()
    }

    /// Takes one agent away for good.
    pub(crate) fn remove_agent(&mut self, id: &str) -> bool {
        if self.agents.remove(id).is_none() {
            return false;
        }
        self.put.remove(id);
        self.removed.insert(id.to_owned());
        self.forget(&Owner::Agent(id.to_owned()));
        self.index();
        true
    }

    /// What signalling must know.
    pub(crate) fn peers(&self) -> Peers {
        let contact = |phone: &PhoneSeed| {
            phone.contact.as_ref().map(|(uri, addr)| FixedContact { uri: uri.clone(), addr: *addr })
        };
        let mut accounts: Vec<Account> = self
            .agents
            .values()
            .map(|agent| Account {
                id: agent.peer,
                user: agent.seed.id.clone(),
                contact: contact(&agent.seed.phone),
                password: agent.seed.phone.password.clone(),
                nat: agent.seed.phone.nat,
                srtp: agent.seed.phone.srtp,
                may_transfer: true,
            })
            .collect();
        accounts.extend(self.users.values().filter_map(|user| {
            let softphone = user.seed.softphone.clone()?;
            let id = user.peer.filter(|_| !self.agents.contains_key(&softphone))?;
            let phone = &user.seed.phone;
            Some(Account {
                id,
                user: softphone,
                contact: contact(phone),
                password: phone.password.clone(),
                nat: phone.nat,
                srtp: phone.srtp,
                may_transfer: false,
            })
        }));
        let trunks = self.trunks.iter().map(|t| Trunk {
            name: t.name.clone(),
            host: t.host.clone(),
            next_hop: t.next_hop,
            allow: t.allow.clone(),
            nat: t.nat,
            srtp: t.srtp,
        });
        Peers { accounts, trunks: trunks.collect(), routes: self.routes.clone() }
    }

    /// A phone registered or left. True if somebody's reachability may have changed.
    pub(crate) fn bound(&mut self, peer: PeerId, bindings: usize) -> bool {
        if !self.owners.contains_key(&peer) {
            return false;
        }
        let before = if bindings == 0 { self.bindings.remove(&peer) } else { self.bindings.insert(peer, bindings) };
        (before.unwrap_or(0) > 0) != (bindings > 0)
    }

    /// SIP user of a phone's account.
    pub(crate) fn sip_user(&self, peer: PeerId) -> Option<String> {
        match self.owners.get(&peer)? {
            Owner::Agent(id) => self.agents.contains_key(id).then(|| id.clone()),
            Owner::User(id) => {
                let softphone = self.users.get(id)?.seed.softphone.clone()?;
                (!self.agents.contains_key(&softphone)).then_some(softphone)
            }
        }
    }

    /// The phone of this SIP user.
    pub(crate) fn peer_of_sip_user(&self, user: &str) -> Option<PeerId> {
        match self.agents.get(user) {
            Some(agent) => Some(agent.peer),
            None => self
                .users
                .values()
                .find(|other| other.seed.softphone.as_deref() == Some(user))
                .and_then(|other| other.peer),
        }
    }

    /// The agents and users behind a phone, for their views.
    pub(crate) fn behind(&self, peer: PeerId) -> (Vec<String>, Vec<String>) {
        (
            self.agents.values().filter(|agent| agent.peer == peer).map(|agent| agent.seed.id.clone()).collect(),
            self.users.values().filter(|user| user.peer == Some(peer)).map(|user| user.seed.id.clone()).collect(),
        )
    }

    /// Fixed contact, or registered.
    pub(crate) fn reachable(&self, peer: PeerId) -> bool {
        let fixed = match self.owners.get(&peer) {
            Some(Owner::Agent(id)) => self.agents.get(id).is_some_and(|agent| agent.seed.phone.contact.is_some()),
            Some(Owner::User(id)) => self.users.get(id).is_some_and(|user| user.seed.phone.contact.is_some()),
            None => false,
        };
        fixed || self.bindings.get(&peer).is_some_and(|n| *n > 0)
    }

    /// Whose phone it is.
    pub(crate) fn party_of(&self, peer: PeerId) -> Option<Party> {
        self.owners.get(&peer).map(party)
    }

    /// The agent or user here that an id, number or softphone leads to: as written first, then by its digits.
    pub(crate) fn look_up(&self, dialled: &str) -> Option<Party> {
        self.exact.get(dialled).or_else(|| self.digits.get(&digits(dialled)?)).map(party)
    }

    pub(crate) fn peer_of(&self, party: &Party) -> Option<PeerId> {
        match party {
            Party::Agent(id) => self.agents.get(id).map(|agent| agent.peer),
            Party::User(id) => self.users.get(id).and_then(|user| user.peer),
            Party::Outside { .. } => None,
        }
    }

    /// Whether this user may listen to this agent at all (SEMANTICS, Ordering; API.md, Rights).
    pub(crate) fn may_monitor(&self, user: &str, agent: &str) -> bool {
        let (Some(user), Some(agent)) = (self.users.get(user), self.agents.get(agent)) else { return false };
        agent.seed.monitorable && may_see(&user.seed, &agent.seed)
    }

    pub(crate) fn user_view(&self, id: &str) -> Option<UserView> {
        let user = self.users.get(id)?;
        Some(UserView {
            id: user.seed.id.clone(),
            name: user.seed.name.clone(),
            role: user.seed.role,
            groups: user.seed.groups.clone(),
            softphone: user.seed.softphone.clone(),
            registered: user.peer.is_some_and(|peer| self.reachable(peer)),
        })
    }

    fn peer(&mut self, owner: Owner) -> PeerId {
        if let Some(peer) = self.peers.get(&owner) {
            return *peer;
        }
        self.next_peer += 1;
        let peer = PeerId(self.next_peer);
        self.owners.insert(peer, owner.clone());
        self.peers.insert(owner, peer);
        peer
    }

    fn forget(&mut self, owner: &Owner) {
        if let Some(peer) = self.peers.remove(owner) {
            self.owners.remove(&peer);
            self.bindings.remove(&peer);
        }
    }

    /// Ids win over numbers, agents over users: the first entry stays.
    fn index(&mut self) {
        self.exact.clear();
        self.digits.clear();
        for id in self.agents.keys() {
            self.exact.insert(id.clone(), Owner::Agent(id.clone()));
        }
        for agent in self.agents.values().filter(|agent| !agent.seed.number.is_empty()) {
            let owner = Owner::Agent(agent.seed.id.clone());
            self.exact.entry(agent.seed.number.clone()).or_insert_with(|| owner.clone());
            if let Some(digits) = digits(&agent.seed.number) {
                self.digits.entry(digits).or_insert(owner);
            }
        }
        for user in self.users.values() {
            let Some(softphone) = &user.seed.softphone else { continue };
            let owner = Owner::User(user.seed.id.clone());
            self.exact.entry(softphone.clone()).or_insert_with(|| owner.clone());
            self.exact.entry(user.seed.id.clone()).or_insert(owner);
        }
    }
}

/// A supervisor's groups; an admin sees all, an integrator listens to nobody.
pub(crate) fn may_see(user: &UserSeed, agent: &AgentSeed) -> bool {
    match user.role {
        Role::Admin => true,
        Role::Supervisor => {
            user.groups.as_ref().is_none_or(|groups| agent.group.as_ref().is_some_and(|group| groups.contains(group)))
        }
        Role::Integrator => false,
    }
}

/// The number without separators: an optional plus and digits; `None` for anything else.
pub(crate) fn plain_number(text: &str) -> Option<String> {
    let plain: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')' | '/')).collect();
    let number = plain.strip_prefix('+').unwrap_or(&plain);
    let good = !number.is_empty() && number.len() <= 20 && number.bytes().all(|b| b.is_ascii_digit());
    good.then_some(plain)
}

/// Address of a contact `sip:user@IP:port`, which may name a transport that is served.
pub(crate) fn contact_addr(uri: &str) -> Option<SocketAddr> {
    let uri = Uri::parse(uri)?;
    let served = uri.param("transport").is_none_or(|name| Transport::of_name(name).is_some());
    if uri.scheme() == "sip" && served { uri.socket_addr() } else { None }
}

fn digits(text: &str) -> Option<String> {
    plain_number(text).map(|number| number.trim_start_matches('+').to_owned())
}

fn party(owner: &Owner) -> Party {
    match owner {
        Owner::Agent(id) => Party::Agent(id.clone()),
        Owner::User(id) => Party::User(id.clone()),
    }
}

/// The API's record over the configuration's phone.
fn overlay(record: &AgentRecord, mut phone: PhoneSeed) -> AgentSeed {
    if let Some(uri) = &record.contact {
        phone.contact = contact_addr(uri).map(|addr| (uri.clone(), addr));
    }
    if let Some(srtp) = record.srtp.as_deref().and_then(Srtp::of_name) {
        phone.srtp = srtp;
    }
    AgentSeed {
        id: record.id.clone(),
        name: record.name.clone(),
        number: record.number.clone(),
        phone,
        group: record.group.clone(),
        skills: record.skills.clone(),
        monitorable: record.monitorable,
    }
}
