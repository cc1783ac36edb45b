//! Who may talk to us: plain data, made by the engine from its directory.

use std::net::{IpAddr, SocketAddr};

/// An agent's phone or a user's softphone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u32);

/// A trunk: index into [`Peers::trunks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrunkId(pub u32);

/// The table.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    /// Phones, by their id.
    pub accounts: Vec<Account>,
    /// Trunks in configured order; [`TrunkId`] is the index.
    pub trunks: Vec<Trunk>,
}

/// A phone that may register or has a fixed contact.
#[derive(Clone, Debug)]
pub struct Account {
    /// Stable id while the process lives.
    pub id: PeerId,
    /// SIP user: user part of its address of record and digest username.
    pub user: String,
    /// Fixed address and user part of its Request-URI; `None`: it registers.
    pub contact: Option<FixedContact>,
    /// Digest secret; `None`: it is known by its fixed contact's address alone.
    pub password: Option<String>,
    /// Latch media to the signalling source.
    pub nat: bool,
    /// REFER is allowed (agents; a user's softphone only listens): else 603.
    pub may_transfer: bool,
}

/// A configured contact, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedContact {
    /// The URI as configured, for the Request-URI.
    pub uri: String,
    /// Where it lives.
    pub addr: SocketAddr,
}

/// Where calls come from and go to.
#[derive(Clone, Debug)]
pub struct Trunk {
    /// Its name.
    pub name: String,
    /// Host part of Request-URIs sent to it, as configured (`10.0.0.10:5060`).
    pub host: String,
    /// Next hop, resolved.
    pub next_hop: SocketAddr,
    /// Source networks: address and prefix length.
    pub allow: Vec<(IpAddr, u8)>,
    /// Latch media to the signalling source.
    pub nat: bool,
}
