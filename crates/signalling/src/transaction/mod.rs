//! The four transaction machines (RFC 3261 §17, RFC 6026): retransmission, matching, timers.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::message::Message;
use crate::transport::Flow;

/// A client transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u64);

/// A server transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub u64);

/// What the layer tells its user.
#[derive(Debug)]
pub enum Happening {
    /// A new request, not ACK and not CANCEL. Retransmissions are absorbed. INVITE has been answered 100 by the layer.
    Request { #[allow(missing_docs)] id: ServerId, #[allow(missing_docs)] flow: Flow, #[allow(missing_docs)] message: Message },
    /// An ACK that matches no transaction: for a 2xx, by its dialog.
    Ack { #[allow(missing_docs)] flow: Flow, #[allow(missing_docs)] message: Message },
    /// A CANCEL (already answered 200) for this INVITE that has no final answer yet; the user answers the INVITE 487.
    Cancelled { #[allow(missing_docs)] id: ServerId, #[allow(missing_docs)] cancel: Message },
    /// A response: each provisional one above 100, the first final one; of an INVITE every 2xx, forked and repeated ones too.
    Response { #[allow(missing_docs)] id: ClientId, #[allow(missing_docs)] flow: Flow, #[allow(missing_docs)] message: Message },
    /// A 2xx to an INVITE whose transaction is gone: the user sends its ACK again, or ACK and BYE for an unknown one.
    StrayOk { #[allow(missing_docs)] flow: Flow, #[allow(missing_docs)] message: Message },
    /// Timer B or F, or the flow is dead: like 408 (or 503).
    TimedOut { #[allow(missing_docs)] id: ClientId },
    /// Our 2xx to an INVITE was repeated for 64·T1 without [`Transactions::acknowledged`] (RFC 3261 §13.3.1.4).
    NoAck { #[allow(missing_docs)] id: ServerId },
}

/// What a call into the layer leads to, in order.
#[derive(Debug)]
pub enum Step {
    /// Send these bytes.
    Transmit { #[allow(missing_docs)] flow: Flow, #[allow(missing_docs)] data: Bytes },
    /// Tell the user.
    Happening(Happening),
}

/// T1, T2, T4 and the limit.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Timing {
    pub t1: Duration,
    pub t2: Duration,
    pub t4: Duration,
    pub max_transactions: usize,
}

/// Every transaction, and their timers.
#[derive(Debug)]
pub struct Transactions {}

impl Transactions {
    /// Without transactions. `seed` feeds the branches.
    pub fn new(_timing: Timing, _seed: [u8; 32]) -> Self {
        todo!()
    }
    /// Takes one parsed message. Answers by itself: retransmissions, CANCEL (200 or 481), merged requests (482), too many (503).
    pub fn receive(&mut self, _now: Instant, _flow: Flow, _message: Message, _steps: &mut Vec<Step>) {
        todo!()
    }
    /// A fresh branch, `z9hG4bK` included.
    pub fn branch(&mut self) -> String {
        todo!()
    }
    /// Sends a request, whose topmost Via carries a branch from [`Self::branch`], in a new client transaction.
    pub fn request(&mut self, _now: Instant, _flow: Flow, _message: Message, _steps: &mut Vec<Step>) -> ClientId {
        todo!()
    }
    /// Sends a response. A 2xx to an INVITE is repeated until [`Self::acknowledged`].
    pub fn respond(&mut self, _now: Instant, _id: ServerId, _message: Message, _steps: &mut Vec<Step>) {
        todo!()
    }
    /// The ACK of a 2xx has come: stop repeating.
    pub fn acknowledged(&mut self, _id: ServerId) {
        todo!()
    }
    /// Cancels an INVITE of ours (RFC 3261 §9.1): the CANCEL waits for the first provisional answer; `reason` is a Reason value.
    pub fn cancel(&mut self, _now: Instant, _id: ClientId, _reason: Option<&str>, _steps: &mut Vec<Step>) {
        todo!()
    }
    /// A transmit on this flow failed: its client transactions end as timed out.
    pub fn send_failed(&mut self, _now: Instant, _flow: Flow, _steps: &mut Vec<Step>) {
        todo!()
    }
    /// Runs every timer that is due.
    pub fn wake(&mut self, _now: Instant, _steps: &mut Vec<Step>) {
        todo!()
    }
    /// When the next timer is due.
    pub fn wake_at(&self) -> Option<Instant> {
        todo!()
    }
    /// The request of a server transaction that is still there.
    pub fn server_request(&self, _id: ServerId) -> Option<&Message> {
        todo!()
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        todo!()
    }
    /// Named counters: retransmissions, strays, timeouts, refused.
    pub fn counters(&self) -> &std::collections::BTreeMap<&'static str, u64> {
        todo!()
    }
}
