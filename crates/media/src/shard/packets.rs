//! A datagram's way: whose port, what it is, from whom, and where to. No lock, no hash, no allocation.
//!
//! Order matters. What a packet is by its first bytes and whether its source may send cost a few comparisons and come
//! first; only then is it opened (if the leg is encrypted) and read; only a valid one is relayed, latched to, and heard.

use std::net::SocketAddr;
use std::time::Instant;

use super::seats::{Leg, Seat};
use super::{Owner, Shard};
use crate::guard;
use crate::interface::{Counters, Event, Kind, Port, Sink};
use crate::relay::Stream;
use crate::route::{Flags, Route};
use crate::rtp::{Demux, Packet, demux, event_ended};
use crate::source::{Admission, Endpoint, OwnMedia};

/// A packet that is about to be relayed.
struct Arrival<'a> {
    now: Instant,
    /// Slab index of the leg that it came from.
    key: usize,
    /// The socket that it came on.
    socket: Kind,
    source: SocketAddr,
    data: &'a mut [u8],
}

impl Shard {
    /// One datagram that arrived on a port's socket.
    pub fn datagram(
        &mut self,
        now: Instant,
        port: Port,
        kind: Kind,
        source: SocketAddr,
        data: &mut [u8],
        sink: &mut impl Sink,
    ) {
        match self.owner(port) {
            Owner::Stream(handle) => {
                let key = handle.index();
                if self.streams.get(key).is_some_and(|stream| handle.is_of(stream.id.0)) {
                    self.sort(Arrival { now, key, socket: kind, source, data }, sink);
                    return;
                }
            }
            Owner::Listener(handle) => {
                let seat = self.listeners.get_mut(handle.index()).filter(|seat| handle.is_of(seat.ear.id.0));
                if let Some(Seat { ear, leg: Leg::Rtp(leg), .. }) = seat {
                    match kind {
                        _ if self.settings.own.contains(&source) => leg.drop_own(&mut self.counters),
                        Kind::Rtp => leg.drop_rtp(now, source, data, &mut self.counters),
                        Kind::Rtcp => leg.drop_rtcp(now, source, data, &mut self.counters),
                    }
                    leg.tell_source(kind, sink);
                    if let Some(key) = leg.take_key() {
                        sink.event(Event::Key { listener: ear.id, key });
                    }
                    return;
                }
            }
            Owner::Nobody => {}
        }
        self.counters.unknown_port += 1;
    }

    /// By its first bytes, RTP and RTCP each go their way, if they come on the socket that is theirs.
    #[inline]
    fn sort(&mut self, arrival: Arrival<'_>, sink: &mut impl Sink) {
        let what = demux(arrival.data);
        match (what, arrival.socket) {
            (Demux::Rtp, Kind::Rtp) => self.rtp(arrival, sink),
            (Demux::Rtcp, _) => self.rtcp(arrival, sink),
            (what, socket) => {
                *unwanted(&mut self.counters, what, socket) += 1;
                if let Some(stream) = self.streams.get_mut(arrival.key) {
                    stream.reception.figures.malformed += u64::from(socket == Kind::Rtp);
                }
            }
        }
    }

    /// RTP: relay first, taps after.
    #[inline]
    fn rtp(&mut self, arrival: Arrival<'_>, sink: &mut impl Sink) {
        let Arrival { now, key, source, data, .. } = arrival;
        let Some(stream) = self.streams.get_mut(key) else { return };
        let admission = admission(stream, Kind::Rtp, stream.rtp.from, stream.rtp.flags, source, &self.settings.own);
        if admission == Admission::Foreign {
            let is_early = !stream.cold.is_described;
            stream.reception.figures.foreign += 1;
            *if is_early { &mut self.counters.media_early } else { &mut self.counters.rtp_foreign } += 1;
            return;
        }
        let Some(data) = open(stream, now, Kind::Rtp, data, &mut self.counters) else { return };
        let Some(packet) = Packet::parse(data).ok().filter(|packet| !is_cut_event(stream, packet)) else {
            self.counters.rtp_malformed += 1;
            stream.reception.figures.malformed += 1;
            return;
        };
        stream.reception.note(now, &packet, &stream.payloads);
        if stream.last.rtp.replace(now).is_none() {
            sink.event(Event::FirstPacket { stream: stream.id });
        }
        let flags = stream.rtp.flags;
        if flags.has(Flags::TARGETED) && !flags.has(Flags::PROTECTED_OUT) {
            let Route { out, out_kind, to, .. } = stream.rtp;
            sink.send(out, out_kind, to, data);
            self.counters.relayed_rtp += 1;
        } else if flags.has(Flags::TARGETED) {
            let is_sent = self.send_sealed(key, Kind::Rtp, data, sink);
            self.counters.relayed_rtp += u64::from(is_sent);
        } else {
            self.count_unsent(key, Kind::Rtp);
        }
        if flags.has(Flags::TAPPED) {
            self.feed(now, key, &packet, sink);
        }
        if admission == Admission::Learns {
            self.learn(key, Kind::Rtp, source, sink);
        }
    }

    /// RTCP: relayed unchanged if it is a valid compound.
    fn rtcp(&mut self, arrival: Arrival<'_>, sink: &mut impl Sink) {
        let Arrival { now, key, socket, source, data } = arrival;
        let Some(stream) = self.streams.get_mut(key) else { return };
        if stream.rtcp.kind != socket {
            // Without multiplexing agreed on, the RTP socket is for RTP; with it, the RTCP socket is for nothing.
            let is_on_rtp = socket == Kind::Rtp;
            *if is_on_rtp { &mut self.counters.rtcp_on_rtp_port } else { &mut self.counters.rtcp_foreign } += 1;
            return;
        }
        let admission = admission(stream, socket, stream.rtcp.from, stream.rtcp.flags, source, &self.settings.own);
        if admission == Admission::Foreign {
            let is_early = !stream.cold.is_described;
            *if is_early { &mut self.counters.media_early } else { &mut self.counters.rtcp_foreign } += 1;
            return;
        }
        let Some(data) = open(stream, now, Kind::Rtcp, data, &mut self.counters) else { return };
        if crate::rtcp::compound(data).is_none() {
            self.counters.rtcp_malformed += 1;
            return;
        }
        stream.last.rtcp = Some(now);
        let flags = stream.rtcp.flags;
        if flags.has(Flags::TARGETED) && !flags.has(Flags::PROTECTED_OUT) {
            let Route { out, out_kind, to, .. } = stream.rtcp;
            sink.send(out, out_kind, to, data);
            self.counters.relayed_rtcp += 1;
        } else if flags.has(Flags::TARGETED) {
            let is_sent = self.send_sealed(key, Kind::Rtcp, data, sink);
            self.counters.relayed_rtcp += u64::from(is_sent);
        } else {
            self.count_unsent(key, Kind::Rtcp);
        }
        if flags.has(Flags::TAPPED) {
            self.tell_clock(now, key, data);
        }
        if admission == Admission::Learns {
            self.learn(key, socket, source, sink);
        }
    }

    /// A valid packet to an encrypted leg, sealed in a buffer of the shard's own. True: it went.
    #[inline(never)]
    fn send_sealed(&mut self, key: usize, kind: Kind, data: &[u8], sink: &mut impl Sink) -> bool {
        let Some(stream) = self.streams.get(key) else { return false };
        let route = if kind == Kind::Rtp { stream.rtp } else { stream.rtcp };
        let partner = stream.partner.and_then(|partner| self.streams.get_mut(partner));
        let Some(protection) = partner.and_then(|partner| partner.protection.as_mut()) else { return false };
        let sealed = guard::protect(protection, kind, data, &mut self.sealing[..], &mut self.counters);
        let Some(sealed) = sealed else { return false };
        sink.send(route.out, route.out_kind, route.to, sealed);
        true
    }

    /// A valid packet that goes nowhere.
    #[cold]
    fn count_unsent(&mut self, key: usize, kind: Kind) {
        let Some(stream) = self.streams.get(key) else { return };
        let flags = if kind == Kind::Rtp { stream.rtp.flags } else { stream.rtcp.flags };
        let counters = &mut self.counters;
        *match (flags.has(Flags::REFUSED), kind) {
            (true, _) => &mut counters.media_target_refused,
            (false, Kind::Rtp) => &mut counters.rtp_unbridged,
            (false, Kind::Rtcp) => &mut counters.rtcp_unbridged,
        } += 1;
    }

    /// The first valid packet from where one may latch: from now on nobody else is heard, and packets go there.
    #[cold]
    fn learn(&mut self, key: usize, socket: Kind, source: SocketAddr, sink: &mut impl Sink) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.latch(socket, source);
        self.reroute_pair(key);
        self.tell_sources(key, sink);
    }

    /// An accepted packet goes to the tap on its own leg (what the agent sends) and on the leg that it was relayed to
    /// (what the agent hears); and the party's keys are told, if somebody waits for one.
    #[inline(never)]
    fn feed(&mut self, now: Instant, key: usize, packet: &Packet<'_>, sink: &mut impl Sink) {
        self.listen_for_keys(key, packet, sink);
        let Some(stream) = self.streams.get(key) else { return };
        let partner = stream.partner.and_then(|partner| self.streams.get(partner));
        let sound = stream.sound(partner, packet.payload_type);
        let is_sent = stream.rtp.flags.has(Flags::TARGETED);
        let heard_by = partner.filter(|_| is_sent).and_then(|partner| partner.tap);
        if let Some(tapped) = stream.tap.and_then(|tap| self.taps.get_mut(tap)) {
            tapped.tap.up.feed(now, packet, sound, &self.settings, &mut self.counters);
        }
        if let Some(tapped) = heard_by.and_then(|tap| self.taps.get_mut(tap)) {
            tapped.tap.down.feed(now, packet, sound, &self.settings, &mut self.counters);
        }
    }
}

impl Shard {
    /// A party's sender reports go where its packets do: they say how its sources lie to each other in time.
    #[inline(never)]
    fn tell_clock(&mut self, now: Instant, key: usize, data: &[u8]) {
        let Some(stream) = self.streams.get(key) else { return };
        let partner = stream.partner.and_then(|partner| self.streams.get(partner));
        let (own, heard_by) = (stream.tap, partner.and_then(|partner| partner.tap));
        for clock in crate::rtcp::compound(data).into_iter().flatten().filter_map(|packet| packet.clock()) {
            if let Some(tapped) = own.and_then(|tap| self.taps.get_mut(tap)) {
                tapped.tap.up.report(now, clock);
            }
            if let Some(tapped) = heard_by.and_then(|tap| self.taps.get_mut(tap)) {
                tapped.tap.down.report(now, clock);
            }
        }
    }

    fn listen_for_keys(&mut self, key: usize, packet: &Packet<'_>, sink: &mut impl Sink) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let Some(keys) = &mut stream.cold.keys else { return };
        if stream.payloads.is_event(packet.payload_type)
            && let Some(key) = keys.feed(packet.payload, packet.timestamp)
        {
            sink.event(Event::PartyKey { stream: stream.id, key });
        }
    }
}

/// What a packet's source is. The one comparison that nearly all need comes first.
#[inline]
fn admission(
    stream: &Stream,
    socket: Kind,
    only: Endpoint,
    flags: Flags,
    source: SocketAddr,
    own: &OwnMedia,
) -> Admission {
    if flags.has(Flags::LEARNED) {
        return if only == Endpoint::from(source) { Admission::Known } else { Admission::Foreign };
    }
    if own.contains(&source) { Admission::Foreign } else { stream.admits(socket, source) }
}

/// The packet as it was before it was encrypted, if it was.
#[inline]
fn open<'a>(
    stream: &mut Stream,
    now: Instant,
    kind: Kind,
    data: &'a mut [u8],
    counters: &mut Counters,
) -> Option<&'a [u8]> {
    let route = if kind == Kind::Rtp { &stream.rtp } else { &stream.rtcp };
    if !route.flags.has(Flags::PROTECTED_IN) {
        return Some(data);
    }
    let protection = stream.protection.as_mut()?;
    let length = guard::unprotect(protection, now, kind, data, counters)?;
    data.get(..length)
}

/// An event without its four bytes (RFC 4733 §2.3) is malformed.
#[inline]
fn is_cut_event(stream: &Stream, packet: &Packet<'_>) -> bool {
    stream.payloads.is_event(packet.payload_type) && event_ended(packet.payload).is_none()
}

/// Where a datagram is counted that is not for its socket.
#[cold]
fn unwanted(counters: &mut Counters, what: Demux, socket: Kind) -> &mut u64 {
    match what {
        Demux::Stun => &mut counters.media_stun,
        Demux::Dtls => &mut counters.media_dtls,
        Demux::Zrtp => &mut counters.media_zrtp,
        Demux::Turn => &mut counters.media_turn,
        Demux::Other => &mut counters.media_unknown,
        Demux::Rtp | Demux::Rtcp if socket == Kind::Rtcp => &mut counters.rtcp_malformed,
        Demux::Rtp | Demux::Rtcp => &mut counters.rtp_malformed,
    }
}
