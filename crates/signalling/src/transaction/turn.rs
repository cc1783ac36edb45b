//! What one step of a machine may use: the time, its timers, and where its results go.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::timer::{Deadlines, Timer};
use super::{Happening, Step, Timing};
use crate::message::Message;
use crate::transport::Flow;

/// One step of one transaction.
pub(super) struct Turn<'a> {
    pub(super) now: Instant,
    /// Number of the transaction, whichever side it is.
    pub(super) id: u64,
    pub(super) flow: Flow,
    /// Nobody asked for this transaction (a CANCEL): its answers are not told.
    pub(super) quiet: bool,
    /// What is sent arrives or the connection fails: nothing is repeated, nothing repeated is awaited (RFC 3261 §17).
    pub(super) reliable: bool,
    pub(super) timing: Timing,
    pub(super) deadlines: &'a mut Deadlines,
    pub(super) counters: &'a mut BTreeMap<&'static str, u64>,
    pub(super) steps: &'a mut Vec<Step>,
    /// A CANCEL that is to be sent after this step, in a transaction of its own.
    pub(super) cancel: Option<Message>,
}

impl Turn<'_> {
    /// Sends one message on the transaction's flow.
    pub(super) fn send(&mut self, data: &Bytes) {
        self.steps.push(Step::Transmit { flow: self.flow, data: data.clone() });
    }
    /// Sends it again.
    pub(super) fn send_again(&mut self, data: &Bytes) {
        self.count("retransmissions_sent");
        self.send(data);
    }
    /// Tells the user, if there is one.
    pub(super) fn tell(&mut self, happening: Happening) {
        if !self.quiet {
            self.steps.push(Step::Happening(happening));
        }
    }
    /// Starts a timer.
    pub(super) fn start(&mut self, timer: Timer, after: Duration) {
        self.deadlines.start(timer, self.now + after);
    }
    /// Starts a timer that only repeats what may have been lost.
    pub(super) fn repeat(&mut self, timer: Timer, after: Duration) {
        if !self.reliable {
            self.start(timer, after);
        }
    }
    /// Starts a timer that only absorbs repetitions: without any it is due at once.
    pub(super) fn absorb(&mut self, timer: Timer, after: Duration) {
        self.start(timer, if self.reliable { Duration::ZERO } else { after });
    }
    /// Stops every timer: the state is left.
    pub(super) fn stop_all(&mut self) {
        self.deadlines.clear();
    }
    /// Counts something by name.
    pub(super) fn count(&mut self, name: &'static str) {
        *self.counters.entry(name).or_default() += 1;
    }
}
