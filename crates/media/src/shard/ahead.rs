//! What a packet is going to touch. Where thousands of calls pass by, none of it is in the processor's caches, and waiting
//! for it is most of what a packet costs here; told a few packets ahead, it is there in time.

use super::{Owner, Shard};
use crate::interface::{Kind, Port};
use crate::relay::Stream;
use crate::route::Flags;

/// Brings memory near that is going to be read; nothing else changes by it.
pub trait Fetch {
    /// The first `bytes` of something.
    fn fetch<T: ?Sized>(&mut self, what: &T, bytes: usize);
    /// What sending by that socket takes.
    fn fetch_way_out(&mut self, port: Port, kind: Kind);
}

/// How near a packet is. Each step follows what the one before has fetched, so each is asked for some packets after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Whose port it is,
    Owner,
    /// that leg,
    Leg,
    /// where its packets go, and where its keys begin,
    Way,
    /// the rest of those and where the other leg's keys begin,
    Open,
    /// and the rest of these.
    Seal,
}

impl Shard {
    /// Fetches one step's part of what a packet on that port's RTP socket will need.
    #[inline]
    pub fn ahead(&self, port: Port, step: Step, fetch: &mut impl Fetch) {
        let place = usize::from(port.0 / 2);
        if step == Step::Owner {
            if let Some(owner) = self.ports.get(place) {
                fetch.fetch(owner, size_of::<Owner>());
            }
            return;
        }
        let Owner::Stream(handle) = self.owner(port) else { return };
        let Some(stream) = self.streams.get(handle.index()) else { return };
        match step {
            Step::Owner => {}
            Step::Leg => fetch.fetch(stream, size_of::<Stream>()),
            Step::Way => self.way(stream, fetch),
            Step::Open => self.open_and_seal(stream, fetch),
            Step::Seal => self.seal(stream, fetch),
        }
    }

    #[inline]
    fn way(&self, stream: &Stream, fetch: &mut impl Fetch) {
        fetch.fetch_way_out(stream.rtp.out, stream.rtp.out_kind);
        if let Some(protection) = &stream.protection {
            protection.inbound_ahead(fetch);
        }
        if let Some(partner) = self.partner_with_keys(stream) {
            fetch.fetch(&partner.protection, size_of_val(&partner.protection));
        }
    }

    #[inline]
    fn open_and_seal(&self, stream: &Stream, fetch: &mut impl Fetch) {
        if let Some(protection) = &stream.protection {
            protection.inbound_near(fetch);
        }
        if let Some(protection) = self.partner_with_keys(stream).and_then(|partner| partner.protection.as_ref()) {
            protection.outbound_ahead(fetch);
        }
    }

    #[inline]
    fn seal(&self, stream: &Stream, fetch: &mut impl Fetch) {
        if let Some(protection) = self.partner_with_keys(stream).and_then(|partner| partner.protection.as_ref()) {
            protection.outbound_near(fetch);
        }
    }

    #[inline]
    fn partner_with_keys(&self, stream: &Stream) -> Option<&Stream> {
        let partner = stream.partner.filter(|_| stream.rtp.flags.has(Flags::PROTECTED_OUT))?;
        self.streams.get(partner)
    }
}
