//! Agents, users, groups, rights, statuses.

use std::net::{IpAddr, SocketAddr};

use crate::view::Role;

/// The configuration's part of the directory.
#[derive(Clone, Debug, Default)]
pub struct Seed {
    /// `[[agent]]`.
    pub agents: Vec<AgentSeed>,
    /// `[[user]]`.
    pub users: Vec<UserSeed>,
    /// `[[trunk]]`.
    pub trunks: Vec<TrunkSeed>,
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
    /// Offer `sendrecv` to listeners behind this trunk.
    pub offer_sendrecv: bool,
}
