//! One leg's media: what the relay needs for each packet, and apart from it what is needed now and then.
//!
//! Nothing here knows of listeners: [`crate::fork`] is fed after the relay has its output.

use std::net::SocketAddr;
use std::time::Instant;

use crate::interface::{Codec, Kind, Port, Remote, Sink, StreamId};
use crate::reception::Reception;
use crate::route::{Flags, Route};
use crate::rtp::COMFORT_NOISE;
use crate::source::{Admission, OwnMedia, Source};
use crate::srtp::{Protection, SrtpKeys};
use crate::telephone_event::Presses;

/// One leg's media. What each packet touches stands here, in the slab itself.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: StreamId,
    pub(crate) port: Port,
    /// What happens to its RTP,
    pub(crate) rtp: Route,
    /// and to its RTCP.
    pub(crate) rtcp: Route,
    pub(crate) payloads: Payloads,
    pub(crate) last: Last,
    pub(crate) reception: Reception,
    /// Packets, when they were told last.
    pub(crate) packets_told: u64,
    /// Slab index of the other leg.
    pub(crate) partner: Option<usize>,
    /// Slab index of the tap on this leg.
    pub(crate) tap: Option<usize>,
    /// The leg is encrypted.
    pub(crate) protection: Option<Box<Protection>>,
    pub(crate) cold: Box<Cold>,
}

/// What no relayed packet looks at.
#[derive(Debug)]
pub(crate) struct Cold {
    pub(crate) is_described: bool,
    /// By negotiation, it sends
    pub(crate) sends: bool,
    /// and receives.
    pub(crate) receives: bool,
    pub(crate) mux: bool,
    decodable: Vec<(u8, Codec)>,
    rtp: Source,
    rtcp: Source,
    pub(crate) watch: Watch,
    /// Its party's keys are told.
    pub(crate) keys: Option<Box<Presses>>,
    /// How loud both its directions are is told while it is tapped.
    pub(crate) watches_levels: bool,
}

/// Payload types as a leg described them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Payloads {
    /// Those whose clock is that of the codecs that the fork reads, one bit a type.
    narrow: u128,
    telephone_event: Option<u8>,
}

/// When packets that were accepted came last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Last {
    pub(crate) rtp: Option<Instant>,
    pub(crate) rtcp: Option<Instant>,
}

/// What the time-outs look at beside the last packets.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Something changed by signalling: every time-out begins anew.
    patience: Instant,
    /// Told as dead when this was the last sign of life.
    pub(crate) dead_told: Option<Instant>,
    /// Told as silent when this was its last RTP packet, if any.
    pub(crate) one_way_told: Option<Option<Instant>>,
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
            rtp: Route::unknown(port, Kind::Rtp),
            rtcp: Route::unknown(port, Kind::Rtcp),
            payloads: Payloads::default(),
            last: Last::default(),
            reception: Reception::default(),
            packets_told: 0,
            partner: None,
            tap: None,
            protection: None,
            cold: Box::new(Cold::new(now)),
        }
    }

    /// `None`: the keys are refused, and nothing has changed.
    pub(crate) fn describe(&mut self, now: Instant, mut remote: Remote, own: &OwnMedia) -> Option<()> {
        describe_keys(&mut self.protection, now, remote.keys.take())?;
        let cold = &mut *self.cold;
        cold.rtp.describe(remote.rtp, remote.latch, own);
        if remote.mux {
            cold.rtcp.shut();
        } else {
            cold.rtcp.describe(remote.rtcp, remote.latch, own);
        }
        self.payloads = Payloads::new(&remote);
        cold.is_described = true;
        (cold.sends, cold.receives, cold.mux) = (remote.sends, remote.receives, remote.mux);
        cold.decodable = remote.decodable;
        cold.watch.patience(now);
        Some(())
    }

    /// What a packet from there is on one of the two sockets.
    pub(crate) fn admits(&self, socket: Kind, from: SocketAddr) -> Admission {
        self.cold.source(socket).admits(from)
    }

    /// A valid packet came from where one may latch.
    pub(crate) fn latch(&mut self, socket: Kind, from: SocketAddr) {
        self.cold.source_mut(socket).latch(from);
    }

    /// What happens to packets of a kind, with this other leg.
    pub(crate) fn route(&self, kind: Kind, partner: Option<&Self>) -> Route {
        let cold = &*self.cold;
        let socket = cold.socket(kind);
        let mut route = Route::unknown(self.port, socket);
        let only = cold.source(socket).only();
        route.from = only.unwrap_or(route.from);
        route.flags = Flags::LEARNED.when(only.is_some())
            | Flags::PROTECTED_IN.when(self.protection.is_some())
            | Flags::MUXED.when(cold.mux)
            | Flags::TAPPED.when(self.tap.is_some() || cold.keys.is_some());
        let Some(partner) = partner else { return route };
        (route.out, route.out_kind) = (partner.port, partner.cold.socket(kind));
        let source = partner.cold.source(route.out_kind);
        route.to = source.to().unwrap_or(route.to);
        route.flags = route.flags
            | Flags::TARGETED.when(source.to().is_some())
            | Flags::REFUSED.when(source.is_refused())
            | Flags::PROTECTED_OUT.when(partner.protection.is_some())
            | Flags::TAPPED.when(partner.tap.is_some());
        route
    }

    /// What a payload type that this leg sends is. Types are those of either description: the relay changes none.
    pub(crate) fn sound(&self, partner: Option<&Self>, payload_type: u8) -> Sound {
        let described = || [Some(self), partner].into_iter().flatten();
        if described().any(|leg| leg.payloads.is_event(payload_type)) {
            return Sound::Event;
        }
        let listed = described().flat_map(|leg| &leg.cold.decodable).find(|(known, _)| *known == payload_type);
        match listed.map(|(_, codec)| *codec).or_else(|| Codec::of_static_type(payload_type)) {
            Some(codec) => Sound::Coded(codec),
            None if payload_type == COMFORT_NOISE => Sound::Noise,
            None => Sound::Unknown,
        }
    }

    /// Last RTP packet, description or bridge.
    pub(crate) fn heard(&self) -> Instant {
        self.last.rtp.map_or(self.cold.watch.patience, |at| at.max(self.cold.watch.patience))
    }

    /// The same, or RTCP.
    pub(crate) fn alive(&self) -> Instant {
        self.last.rtcp.map_or(self.heard(), |at| at.max(self.heard()))
    }

    /// Its end was told, and it gave no sign of life since.
    pub(crate) fn is_told_dead(&self) -> bool {
        self.cold.watch.dead_told == Some(self.alive())
    }
}

/// Keys as they were described: new ones, the same again, or none, and then the leg is plain. `None`: they are refused,
/// and nothing has changed.
pub(crate) fn describe_keys(
    protection: &mut Option<Box<Protection>>,
    now: Instant,
    keys: Option<Box<SrtpKeys>>,
) -> Option<()> {
    match (&mut *protection, keys) {
        (_, None) => *protection = None,
        (Some(protection), Some(keys)) => protection.describe(now, *keys)?,
        (None, Some(keys)) => *protection = Some(Box::new(Protection::new(*keys)?)),
    }
    Some(())
}

impl Cold {
    fn new(now: Instant) -> Self {
        Self {
            is_described: false,
            // Before its first description, a leg is open in both directions and has no address.
            sends: true,
            receives: true,
            mux: false,
            decodable: Vec::new(),
            rtp: Source::default(),
            rtcp: Source::default(),
            watch: Watch { patience: now, dead_told: None, one_way_told: None },
            keys: None,
            watches_levels: false,
        }
    }

    /// The socket that packets of a kind come and go on (RFC 5761).
    fn socket(&self, kind: Kind) -> Kind {
        if self.mux { Kind::Rtp } else { kind }
    }

    fn source(&self, socket: Kind) -> &Source {
        match socket {
            Kind::Rtp => &self.rtp,
            Kind::Rtcp => &self.rtcp,
        }
    }

    fn source_mut(&mut self, socket: Kind) -> &mut Source {
        match socket {
            Kind::Rtp => &mut self.rtp,
            Kind::Rtcp => &mut self.rtcp,
        }
    }

    /// Tells the shell whom a socket accepts, where that has changed.
    pub(crate) fn tell(&mut self, port: Port, socket: Kind, sink: &mut impl Sink) {
        if let Some(only) = self.source_mut(socket).news(true) {
            sink.connect(port, socket, only);
        }
    }
}

impl Payloads {
    pub(crate) fn new(remote: &Remote) -> Self {
        let bits = remote.decodable.iter().map(|(payload_type, _)| 1 << (payload_type & 0x7f));
        Self { narrow: bits.fold(0, |all: u128, bit: u128| all | bit), telephone_event: remote.telephone_event }
    }

    /// It is an event of RFC 4733.
    pub(crate) fn is_event(&self, payload_type: u8) -> bool {
        self.telephone_event == Some(payload_type)
    }

    /// It was described as one of the codecs that the fork reads.
    pub(crate) fn is_decodable(&self, payload_type: u8) -> bool {
        self.narrow >> (payload_type & 0x7f) & 1 == 1
    }
}

impl Watch {
    /// Something changed by signalling: every time-out begins anew.
    pub(crate) fn patience(&mut self, now: Instant) {
        self.patience = now;
        self.dead_told = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_is_small() {
        assert!(size_of::<Stream>() <= 384, "{} bytes for each packet", size_of::<Stream>());
        assert!(size_of::<Cold>() <= 320, "{} bytes beside", size_of::<Cold>());
    }
}
