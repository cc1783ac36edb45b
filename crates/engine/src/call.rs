//! Ids, metadata and record of a call across legs and transfers (pairing itself is signalling's).

use std::time::Instant;

use crate::directory::Seed;
use crate::interface::{Input, Now, Output, Settings, Sizes};
use crate::persist::Restored;

/// The engine's inside (placeholder until it stands).
#[derive(Debug)]
pub(crate) struct Core {}

impl Core {
    pub(crate) fn new(_now: Now, _settings: Settings, _directory: Seed, _restored: Restored, _seed: [u8; 32], _outputs: &mut Vec<Output>) -> Self {
        todo!()
    }
    pub(crate) fn drive(&mut self, _now: Now, _input: Input, _outputs: &mut Vec<Output>) {
        todo!()
    }
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        todo!()
    }
    pub(crate) fn sizes(&self) -> Sizes {
        todo!()
    }
    pub(crate) fn counters(&self) -> std::collections::BTreeMap<&'static str, u64> {
        todo!()
    }
}
