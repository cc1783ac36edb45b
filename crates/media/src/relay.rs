//! Relay: leg ↔ leg, any codec, bytes unchanged. Who may send to a leg's port, and where its packets go.
//!
//! Nothing here knows of listeners: [`crate::fork`] is fed after the relay has its output.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::interface::{Codec, Port, Remote, StreamId};
use crate::reception::Reception;
use crate::rtp::{COMFORT_NOISE, Packet};

/// Source check and destination of one socket (SEMANTICS, NAT).
///
/// Without a latch only the signalled address is accepted. With one, the first valid packet from the latch's IP (any
/// port) or from the signalled address decides: from then on its source is the only one accepted, and the destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Where packets go.
    to: Option<SocketAddr>,
    /// Described last; a hold without an address leaves it.
    signalled: Option<SocketAddr>,
    /// Where the latch fell last, and so far for this signalled address.
    latched: Option<SocketAddr>,
    accepts: Accepts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Accepts {
    #[default]
    Nobody,
    Only(SocketAddr),
    First {
        ip: IpAddr,
        signalled: Option<SocketAddr>,
    },
}

impl Source {
    /// A new description; a latch is armed again. Until it falls, packets go on to where they went, if the signalled
    /// address is the old one.
    pub fn describe(&mut self, signalled: Option<SocketAddr>, latch: Option<IpAddr>) {
        let signalled = signalled.filter(is_sendable);
        let has_moved = signalled.is_some() && signalled != self.signalled;
        self.latched = self.latched.filter(|latched| latch == Some(latched.ip()) && !has_moved);
        self.signalled = signalled.or(self.signalled);
        self.to = signalled.map(|signalled| self.latched.unwrap_or(signalled));
        self.accepts = match (latch, signalled) {
            (Some(ip), signalled) => Accepts::First { ip, signalled },
            (None, Some(signalled)) => Accepts::Only(signalled),
            // Held with 0.0.0.0: it does not say where it sends from, so what was true goes on.
            (None, None) => self.accepts,
        };
    }

    /// Whether a valid packet from there is accepted; it may latch.
    pub fn accept(&mut self, from: SocketAddr) -> bool {
        match self.accepts {
            Accepts::Nobody => false,
            Accepts::Only(only) => only == from,
            Accepts::First { ip, signalled } => {
                let accepted = from.ip() == ip || signalled == Some(from);
                if accepted && is_sendable(&from) {
                    self.accepts = Accepts::Only(from);
                    self.latched = Some(from);
                    self.to = self.to.map(|_| from);
                }
                accepted
            }
        }
    }

    /// Where to send; `None`: nowhere.
    #[must_use]
    pub fn to(&self) -> Option<SocketAddr> {
        self.to
    }
}

/// A unicast address with a port: nothing is ever sent to 0.0.0.0, a group or everybody.
#[must_use]
pub fn is_sendable(to: &SocketAddr) -> bool {
    let ip = to.ip().to_canonical();
    let is_broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    to.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
}

/// One leg's media.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: StreamId,
    pub(crate) port: Port,
    pub(crate) remote: Remote,
    pub(crate) is_described: bool,
    pub(crate) rtp: Source,
    pub(crate) rtcp: Source,
    /// Slab index of the other leg.
    pub(crate) partner: Option<usize>,
    /// Slab index of the tap on this leg.
    pub(crate) tap: Option<usize>,
    pub(crate) reception: Reception,
    pub(crate) watch: Watch,
}

/// What the time-outs look at.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Last packet of either kind, description or bridge.
    pub(crate) alive: Instant,
    /// Last RTP packet, description or bridge.
    pub(crate) heard: Instant,
    /// Last RTP packet.
    pub(crate) rtp: Option<Instant>,
    pub(crate) dead_told: bool,
    pub(crate) one_way_told: bool,
    pub(crate) packets_told: u64,
}

/// What a payload is to a tap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sound {
    Coded(Codec),
    Event,
    Noise,
    Unknown,
}

impl Stream {
    pub(crate) fn new(now: Instant, id: StreamId, port: Port) -> Self {
        Self {
            id,
            port,
            remote: undescribed(),
            is_described: false,
            rtp: Source::default(),
            rtcp: Source::default(),
            partner: None,
            tap: None,
            reception: Reception::default(),
            watch: Watch { alive: now, heard: now, rtp: None, dead_told: false, one_way_told: false, packets_told: 0 },
        }
    }

    pub(crate) fn describe(&mut self, now: Instant, remote: Remote) {
        self.rtp.describe(remote.rtp, remote.latch);
        self.rtcp.describe(remote.rtcp, remote.latch);
        self.remote = remote;
        self.is_described = true;
        self.watch.patience(now);
    }

    /// An accepted RTP packet; true for the first of all.
    pub(crate) fn note_rtp(&mut self, now: Instant, packet: &Packet<'_>) -> bool {
        self.reception.note(now, packet, &self.remote);
        self.watch.alive = now;
        self.watch.heard = now;
        self.watch.dead_told = false;
        self.watch.one_way_told = false;
        self.watch.rtp.replace(now).is_none()
    }

    pub(crate) fn note_rtcp(&mut self, now: Instant) {
        self.watch.alive = now;
        self.watch.dead_told = false;
    }

    /// What a payload type that this leg sends is. Types are those of either description: the relay changes none.
    pub(crate) fn sound(&self, partner: Option<&Remote>, payload_type: u8) -> Sound {
        let described = || [Some(&self.remote), partner].into_iter().flatten();
        if described().any(|remote| remote.telephone_event == Some(payload_type)) {
            return Sound::Event;
        }
        let listed = described().flat_map(|remote| &remote.decodable).find(|(known, _)| *known == payload_type);
        match listed.map(|(_, codec)| *codec).or_else(|| Codec::of_static_type(payload_type)) {
            Some(codec) => Sound::Coded(codec),
            None if payload_type == COMFORT_NOISE => Sound::Noise,
            None => Sound::Unknown,
        }
    }
}

impl Watch {
    /// Something changed by signalling: every time-out begins anew.
    pub(crate) fn patience(&mut self, now: Instant) {
        self.alive = now;
        self.heard = now;
        self.dead_told = false;
    }
}

/// Before its first description, a leg is open in both directions and has no address.
pub(crate) fn undescribed() -> Remote {
    Remote {
        rtp: None,
        rtcp: None,
        sends: true,
        receives: true,
        decodable: Vec::new(),
        telephone_event: None,
        latch: None,
        mux: false,
        keys: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_is_small() {
        assert!(size_of::<Stream>() <= 656, "{} bytes", size_of::<Stream>());
    }

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn without_a_latch_only_the_signalled_address_is_accepted() {
        let mut source = Source::default();
        assert!(!source.accept(addr("10.0.0.1:4000")));
        source.describe(Some(addr("10.0.0.1:4000")), None);
        assert!(source.accept(addr("10.0.0.1:4000")));
        assert!(!source.accept(addr("10.0.0.1:4002")));
        assert!(!source.accept(addr("10.0.0.2:4000")));
        assert_eq!(source.to(), Some(addr("10.0.0.1:4000")));
    }

    #[test]
    fn a_latch_falls_once_and_is_armed_again_by_a_description() {
        let ip = Some(addr("198.51.100.7:0").ip());
        let mut source = Source::default();
        source.describe(Some(addr("192.168.1.5:4000")), ip);
        assert_eq!(source.to(), Some(addr("192.168.1.5:4000")));
        assert!(!source.accept(addr("203.0.113.9:4000")));
        assert!(source.accept(addr("198.51.100.7:31000")));
        assert_eq!(source.to(), Some(addr("198.51.100.7:31000")));
        assert!(!source.accept(addr("198.51.100.7:31002")), "only once");
        assert!(!source.accept(addr("192.168.1.5:4000")), "nor the signalled one any more");
        source.describe(Some(addr("192.168.1.5:4000")), ip);
        assert_eq!(source.to(), Some(addr("198.51.100.7:31000")), "until then, where it was");
        assert!(source.accept(addr("198.51.100.7:31002")));
        assert_eq!(source.to(), Some(addr("198.51.100.7:31002")));
        source.describe(Some(addr("192.168.1.6:4000")), ip);
        assert_eq!(source.to(), Some(addr("192.168.1.6:4000")), "somewhere else by signalling");
        assert!(source.accept(addr("192.168.1.6:4000")));
    }

    #[test]
    fn held_without_an_address_nothing_is_sent_and_the_source_stays() {
        let mut source = Source::default();
        source.describe(Some(addr("10.0.0.1:4000")), None);
        source.describe(None, None);
        assert_eq!(source.to(), None);
        assert!(source.accept(addr("10.0.0.1:4000")));
        let mut natted = Source::default();
        natted.describe(None, Some(addr("10.0.0.1:0").ip()));
        assert!(natted.accept(addr("10.0.0.1:5000")));
        assert_eq!(natted.to(), None, "a latch gives no leave to send");
    }

    #[test]
    fn a_latch_outlives_a_hold_without_an_address() {
        let ip = Some(addr("198.51.100.7:0").ip());
        let mut source = Source::default();
        source.describe(Some(addr("192.168.1.5:4000")), ip);
        assert!(source.accept(addr("198.51.100.7:31000")));
        source.describe(None, ip);
        assert_eq!(source.to(), None);
        source.describe(Some(addr("192.168.1.5:4000")), ip);
        assert_eq!(source.to(), Some(addr("198.51.100.7:31000")));
    }

    #[test]
    fn nothing_is_sent_to_nowhere_or_everybody() {
        for bad in [
            "0.0.0.0:4000",
            "255.255.255.255:4000",
            "224.0.0.1:4000",
            "10.0.0.1:0",
            "[::]:4000",
            "[ff02::1]:4000",
            "[::ffff:0.0.0.0]:4000",
        ] {
            assert!(!is_sendable(&addr(bad)), "{bad}");
            let mut source = Source::default();
            source.describe(Some(addr(bad)), None);
            assert_eq!(source.to(), None, "{bad}");
        }
        assert!(is_sendable(&addr("127.0.0.1:4000")) && is_sendable(&addr("[::1]:4000")));
    }
}
