//! What somebody on the wire gets to know: nothing of a leg that is encrypted.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use phone::{CallId, Policy};

use crate::people::{ALL_TONES, Leg};
use crate::world::World;

/// Packets that a tap keeps.
const MAX_TAPPED: usize = 20_000;

/// Packets of the legs that are tapped, both ways, as they were put on the wire.
pub(crate) type Taps = BTreeMap<(usize, CallId), Vec<Bytes>>;

impl World {
    /// Somebody reads a leg's packets from now on.
    pub fn tap(&mut self, leg: Leg) {
        self.taps.insert((leg.phone, leg.call), Vec::new());
    }

    /// How many packets were read on a leg, and which of the tones are in them if they are taken for plain ones.
    #[must_use]
    pub fn overheard(&self, leg: Leg) -> (usize, Vec<u16>) {
        let packets = self.taps.get(&(leg.phone, leg.call)).map_or(&[][..], Vec::as_slice);
        let mut voices: BTreeMap<u32, Vec<i16>> = BTreeMap::new();
        for packet in packets.iter().filter_map(|data| phone::rtp::Packet::parse(data)) {
            let codec = phone::Codec::of(packet.payload_type);
            let pcm = packet.payload.iter().filter_map(|byte| codec.map(|codec| codec.decode(*byte)));
            voices.entry(packet.ssrc).or_default().extend(pcm);
        }
        let hears = |hz: &u16| voices.values().any(|pcm| phone::ears::hears(pcm, f32::from(*hz)));
        (packets.len(), ALL_TONES.into_iter().filter(hears).collect())
    }

    /// Packets that encrypted legs did not take for authentic, at their phones.
    #[must_use]
    pub fn undecryptable(&self, leg: Leg) -> u64 {
        self.call(leg).session().undecryptable()
    }

    /// What comes may be encrypted, also before the phone knows that it is.
    pub(crate) fn may_be_encrypted(&self, index: usize) -> bool {
        self.phones[index].phone.settings().srtp.policy != Policy::Off
    }

    pub(crate) fn heard_count(&self, index: usize, call: CallId) -> u64 {
        self.phones[index].phone.call(call).map_or(0, |call| call.ears().count)
    }

    /// What a phone made of the packet that it got just now.
    pub(crate) fn note_decrypted(&mut self, index: usize, call: CallId) {
        let at = self.now - self.start;
        let Some(heard) = self.phones[index].phone.call(call).and_then(|call| call.ears().packets().next_back()) else {
            return;
        };
        let digit = heard.payload_type == 101
            && heard.payload.first().is_some_and(|digit| crate::checks::LISTENERS_DIGITS.contains(digit));
        assert!(!digit || self.watch.is_none(), "a listener's digit reached {}", self.phones[index].name);
        if let Some(received) = &mut self.received {
            received.entry((index, call)).or_default().push((at, heard.packet().write().into()));
        }
    }

    /// Every packet that is put on the wire to or from a phone's media socket.
    pub(crate) fn check_wire(&mut self, at: SocketAddr, data: &Bytes) {
        let at = self.untranslated(at);
        let Some(&(index, call, _)) = self.media_owners.get(&at) else {
            return;
        };
        if let Some(tap) = self.taps.get_mut(&(index, call)).filter(|tap| tap.len() < MAX_TAPPED) {
            tap.push(data.clone());
        }
        let slot = &self.phones[index];
        let Some(session) = slot.phone.call(call).map(phone::Call::session) else {
            return;
        };
        let requires = slot.phone.settings().srtp.policy == Policy::Require;
        if requires || (session.srtp().is_some() && !session.was_plain()) {
            assert!(!is_readable(data), "{}: plain media on an encrypted leg: {} bytes", slot.name, data.len());
        }
    }
}

/// By its size, as phones here make packets: 20 ms of G.711 or a telephone event with nothing behind it; or RTCP that
/// adds up.
fn is_readable(data: &[u8]) -> bool {
    match data {
        [first, kind, ..] if first >> 6 == 2 && (192..=223).contains(kind) => is_compound(data),
        [first, ..] if first >> 6 == 2 => [12 + 160, 12 + 4].contains(&data.len()),
        _ => false,
    }
}

/// Packet after packet of version 2 up to the end (RFC 3550 §6.1).
fn is_compound(mut rest: &[u8]) -> bool {
    while let [first, kind, high, low, ..] = rest {
        let length = 4 + 4 * usize::from(u16::from_be_bytes([*high, *low]));
        let Some(next) = rest.get(length..).filter(|_| first >> 6 == 2 && (192..=223).contains(kind)) else {
            return false;
        };
        rest = next;
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_is_known() {
        let plain = phone::rtp::Packet {
            payload_type: 0,
            marker: false,
            sequence: 1,
            timestamp: 1,
            ssrc: 1,
            payload: &[7; 160],
        };
        assert!(is_readable(&plain.write()));
        assert!(!is_readable(&[plain.write(), vec![0; 10]].concat()), "with a tag behind it");
        let report = phone::rtp::sender_report(1, 2, 3, 4, "anna");
        assert!(is_readable(&report));
        assert!(!is_readable(&[report, vec![0x80, 0, 0, 1], vec![0; 10]].concat()));
    }
}
