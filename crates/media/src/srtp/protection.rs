//! A leg's keys in both directions, and how they are replaced.

use std::time::{Duration, Instant};

use super::{Inbound, Opened, Outbound, Refused, SrtpKeys, Unsent};
use crate::interface::Kind;
use crate::rtp::MAX_PACKET;
use crate::shard::Fetch;

/// Packets under the remote party's key before this one are taken for so long: they were under way when it changed.
pub const REKEY_OVERLAP: Duration = Duration::from_secs(1);

/// What encrypts a leg.
#[derive(Debug)]
pub struct Protection {
    keys: SrtpKeys,
    inbound: Inbound,
    outbound: Outbound,
    /// The key before, and until when.
    retired: Option<Box<(Inbound, Instant)>>,
}

impl Protection {
    /// `None`: the library refuses a key.
    #[must_use]
    pub fn new(keys: SrtpKeys) -> Option<Self> {
        let (inbound, outbound) = (Inbound::new(&keys.theirs)?, Outbound::new(&keys.ours)?);
        Some(Self { keys, inbound, outbound, retired: None })
    }

    /// Keys of a new description. Those that are the same go on as if nothing had been said; ours changes at once,
    /// theirs with an overlap. `None`: the library refuses a key; nothing has changed.
    pub fn describe(&mut self, now: Instant, keys: SrtpKeys) -> Option<()> {
        let inbound = if keys.theirs == self.keys.theirs { None } else { Some(self.inbound.rekeyed(&keys.theirs)?) };
        if keys.ours != self.keys.ours {
            self.outbound = self.outbound.rekeyed(&keys.ours)?;
        }
        if let Some(inbound) = inbound {
            let before = std::mem::replace(&mut self.inbound, inbound);
            self.retired = Some(Box::new((before, now + REKEY_OVERLAP)));
        }
        self.keys = keys;
        Some(())
    }

    /// A packet of the remote party: authenticated and decrypted in place.
    ///
    /// # Errors
    /// If it is not authentic or not new. What is left of it says nothing.
    pub fn open(&mut self, now: Instant, kind: Kind, packet: &mut [u8]) -> Result<Opened, Refused> {
        self.retire(now);
        let Some(retired) = &mut self.retired else { return self.inbound.open(kind, packet) };
        // An attempt that fails may leave nothing of the packet.
        let mut copy = [0; MAX_PACKET];
        let copy = copy.get_mut(..packet.len()).ok_or(Refused::Malformed)?;
        copy.copy_from_slice(packet);
        let opened = self.inbound.open(kind, packet);
        if !matches!(opened, Err(Refused::Unauthentic | Refused::Unknown)) {
            return opened;
        }
        packet.copy_from_slice(copy);
        match retired.0.open(kind, packet) {
            Err(Refused::Unauthentic | Refused::Unknown | Refused::Malformed) => opened,
            of_before => of_before,
        }
    }

    /// A packet to the remote party in the first `length` bytes: encrypted in place. The new length.
    ///
    /// # Errors
    /// See [`Unsent`].
    pub fn seal(&mut self, kind: Kind, buffer: &mut [u8], length: usize) -> Result<usize, Unsent> {
        match kind {
            Kind::Rtp => self.outbound.rtp(buffer, length),
            Kind::Rtcp => self.outbound.rtcp(buffer, length),
        }
    }

    /// What the next SRTP packet of the remote party needs; then, once that is near, the rest of it.
    #[inline]
    pub(crate) fn inbound_ahead(&self, fetch: &mut impl Fetch) {
        self.inbound.ahead(fetch);
        fetch.fetch(&self.retired, size_of_val(&self.retired));
    }

    #[inline]
    pub(crate) fn inbound_near(&self, fetch: &mut impl Fetch) {
        self.inbound.near(fetch);
    }

    /// The same of the next RTP packet to it.
    #[inline]
    pub(crate) fn outbound_ahead(&self, fetch: &mut impl Fetch) {
        self.outbound.ahead(fetch);
    }

    #[inline]
    pub(crate) fn outbound_near(&self, fetch: &mut impl Fetch) {
        self.outbound.near(fetch);
    }

    /// Wipes the key before this one when its time is over.
    pub fn retire(&mut self, now: Instant) {
        if self.retired.as_ref().is_some_and(|retired| now >= retired.1) {
            self.retired = None;
        }
    }
}

impl Inbound {
    fn open(&mut self, kind: Kind, packet: &mut [u8]) -> Result<Opened, Refused> {
        match kind {
            Kind::Rtp => self.rtp(packet),
            Kind::Rtcp => self.rtcp(packet),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::{Key, OVERHEAD, Suite};

    fn keys(ours: u8, theirs: u8) -> SrtpKeys {
        let key = |byte| Key::new(Suite::AeadAes128Gcm, &[byte; 28]).expect("of its length");
        SrtpKeys { ours: key(ours), theirs: key(theirs) }
    }

    fn pair(now: Instant) -> (Protection, Protection, Instant) {
        (Protection::new(keys(1, 2)).expect("keys"), Protection::new(keys(2, 1)).expect("keys"), now)
    }

    fn sealed(from: &mut Protection, sequence: u16) -> Vec<u8> {
        let mut buffer = vec![0; 172 + OVERHEAD];
        buffer[..12].copy_from_slice(&crate::rtp::header(false, 0, sequence, 0, 7));
        let length = from.seal(Kind::Rtp, &mut buffer, 172).expect("sealed");
        buffer.truncate(length);
        buffer
    }

    #[allow(clippy::disallowed_methods)]
    fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn the_same_keys_again_change_nothing() {
        let (mut a, mut b, now) = pair(now());
        let packet = sealed(&mut a, 65_535);
        assert!(b.open(now, Kind::Rtp, &mut packet.clone()).is_ok());
        a.describe(now, keys(1, 2)).expect("keys");
        b.describe(now, keys(2, 1)).expect("keys");
        assert_eq!(b.open(now, Kind::Rtp, &mut packet.clone()), Err(Refused::Replayed));
        assert!(b.open(now, Kind::Rtp, &mut sealed(&mut a, 0)).is_ok(), "the roll-over counter went on");
        assert!(b.retired.is_none());
    }

    #[test]
    fn packets_under_the_key_before_are_taken_for_a_second() {
        let (mut a, mut b, start) = pair(now());
        assert!(b.open(start, Kind::Rtp, &mut sealed(&mut a, 65_533)).is_ok());
        let under_way: Vec<_> = [65_534, 65_535].map(|sequence| sealed(&mut a, sequence)).into();
        a.describe(start, keys(3, 2)).expect("keys");
        b.describe(start, keys(2, 3)).expect("keys");
        let soon = start + REKEY_OVERLAP / 2;
        assert!(b.open(soon, Kind::Rtp, &mut sealed(&mut a, 0)).is_ok(), "the counter goes on under the new key");
        assert!(b.open(soon, Kind::Rtp, &mut under_way[1].clone()).is_ok());
        assert_eq!(b.open(soon, Kind::Rtp, &mut under_way[1].clone()), Err(Refused::Replayed));
        let late = start + REKEY_OVERLAP;
        assert_eq!(b.open(late, Kind::Rtp, &mut under_way[0].clone()), Err(Refused::Unauthentic));
        assert!(b.retired.is_none(), "wiped");
        assert!(b.open(late, Kind::Rtp, &mut sealed(&mut a, 1)).is_ok());
    }

    #[test]
    fn a_counter_that_began_anew_with_the_key_is_taken_too() {
        let (mut a, mut b, now) = pair(now());
        for sequence in [65_535, 0] {
            assert!(b.open(now, Kind::Rtp, &mut sealed(&mut a, sequence)).is_ok());
        }
        b.describe(now, keys(2, 3)).expect("keys");
        let mut other = Protection::new(keys(3, 2)).expect("keys");
        assert!(b.open(now, Kind::Rtp, &mut sealed(&mut other, 1)).is_ok());
    }

    #[test]
    fn an_encrypted_leg_is_small_too() {
        assert!(size_of::<Protection>() <= 1_536, "{} bytes", size_of::<Protection>());
    }

    #[test]
    fn nothing_shows_keys() {
        let shown = format!("{:?}", Protection::new(keys(0xab, 0xcd)));
        assert!(
            !shown.contains("171") && !shown.contains("205") && !shown.to_lowercase().contains("ab, ab"),
            "{shown}"
        );
    }
}
