//! REFER, Replaces and the implicit subscription (RFC 3515, 3891, 5589); on top of everything, so the core's entry.

use std::time::Instant;

use crate::interface::{Counters, Input, LegId, Output, Settings, Sizes};
use crate::peers::PeerId;

/// The core's entry (placeholder until the upper floors stand).
#[derive(Debug)]
pub(crate) struct Core {}

impl Core {
    pub(crate) fn new(_settings: Settings, _seed: [u8; 32]) -> Self {
        todo!()
    }
    pub(crate) fn new_leg(&mut self) -> LegId {
        todo!()
    }
    pub(crate) fn drive(&mut self, _now: Instant, _input: Input, _outputs: &mut Vec<Output>) {
        todo!()
    }
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        todo!()
    }
    pub(crate) fn counters(&self) -> &Counters {
        todo!()
    }
    pub(crate) fn sizes(&self) -> Sizes {
        todo!()
    }
    pub(crate) fn sip_call_id(&self, _leg: LegId) -> Option<&str> {
        todo!()
    }
    pub(crate) fn reachable(&self, _peer: PeerId) -> bool {
        todo!()
    }
}
