//! What the engine uses of signalling, so that its stories can be told with fed events.

use std::time::Instant;

use signalling::{Counters, DialogCopy, Input, LegId, MediaAddress, Output, Signalling, Sizes};

/// Signalling as the engine sees it.
pub(crate) trait Sip: std::fmt::Debug + Send {
    fn new_leg(&mut self) -> LegId;
    fn spare_media(&mut self) -> &mut Vec<MediaAddress>;
    fn drive(&mut self, now: Instant, input: Input, outputs: &mut Vec<Output>);
    fn wake_at(&self) -> Option<Instant>;
    fn counters(&self) -> &Counters;
    fn sizes(&self) -> Sizes;
    fn sip_call_id(&self, leg: LegId) -> Option<&str>;
    fn dialog(&self, leg: LegId) -> Option<DialogCopy>;
}

impl Sip for Signalling {
    fn new_leg(&mut self) -> LegId {
        Signalling::new_leg(self)
    }
    fn spare_media(&mut self) -> &mut Vec<MediaAddress> {
        Signalling::spare_media(self)
    }
    fn drive(&mut self, now: Instant, input: Input, outputs: &mut Vec<Output>) {
        Signalling::drive(self, now, input, outputs);
    }
    fn wake_at(&self) -> Option<Instant> {
        Signalling::wake_at(self)
    }
    fn counters(&self) -> &Counters {
        Signalling::counters(self)
    }
    fn sizes(&self) -> Sizes {
        Signalling::sizes(self)
    }
    fn sip_call_id(&self, leg: LegId) -> Option<&str> {
        Signalling::sip_call_id(self, leg)
    }
    fn dialog(&self, leg: LegId) -> Option<DialogCopy> {
        Signalling::dialog(self, leg)
    }
}
