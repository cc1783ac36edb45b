//! Request and listening state machines, limits, reasons.
//!
//! A *request* is an order; an interaction that matches it gets a *listening*; an *ear* is the listener's leg. One ear
//! carries the listenings of one listener on one agent: those of several requests and of several interactions.

mod ear;
mod listening;
mod matching;
mod order;
mod request;

use media::{BatchId, Taps};
use signalling::peers::PeerId;
use signalling::{LegId, Session};

use crate::interaction::InteractionKey;
use crate::persist::RequestRecord;
use crate::store::After;
use crate::view::{ListeningView, RequestState, RequestView, Warning};

/// An ear while the process lives; also the media plane's listener id.
pub(crate) type EarKey = u64;

/// Batches of ears are told from media plans by this bit.
const EAR_BATCH: u64 = 1 << 63;

/// The ear that a batch opens, if it is one's.
pub(crate) fn ear_of(batch: BatchId) -> Option<EarKey> {
    (batch.0 & EAR_BATCH != 0).then_some(batch.0 & !EAR_BATCH)
}

/// An active request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) record: RequestRecord,
    /// Heard calls that the store has not confirmed yet; not shown as used.
    pub(crate) unstored: u32,
    /// Ended listenings that may yet count: their ears' last figures are out. Each holds one of N, and the request ends
    /// after them.
    pub(crate) unsettled: u32,
    /// How it ends when those are in: its state, who ended it, who waits for that.
    pub(crate) finishing: Option<(RequestState, String, Option<After>)>,
    pub(crate) suspended: bool,
    /// Interactions that began before this number count whatever their direction.
    pub(crate) ordered: u64,
    /// The store has it; before, it only bars the way for others.
    pub(crate) stored: bool,
    /// It is being ended; nothing new begins.
    pub(crate) ending: bool,
    /// Open listenings.
    pub(crate) open: Vec<String>,
    /// For the answer to the order.
    pub(crate) warnings: Vec<Warning>,
}

impl Request {
    pub(crate) fn view(&self) -> RequestView {
        let mut view = self.record.view.clone();
        view.calls.used = view.calls.used.saturating_sub(self.unstored);
        view
    }
}

/// An open listening.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) view: ListeningView,
    pub(crate) interaction: InteractionKey,
    pub(crate) phase: ListeningPhase,
    /// Times that the listener was busy.
    pub(crate) busy: u32,
}

/// Where a listening stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListeningPhase {
    /// The store is asked; nobody is called before it answers.
    Recording,
    /// Until a busy listener is tried again.
    Retrying,
    /// Until the listener is free or a slot comes back.
    Blocked,
    /// On this ear, which rings or is up.
    OnEar(EarKey),
}

impl ListeningPhase {
    /// It holds one of the request's N.
    pub(crate) fn reserves(self) -> bool {
        matches!(self, Self::Recording | Self::OnEar(_))
    }
}

/// A listener's phone: equal means the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// An agent's or user's.
    Account(PeerId),
    /// Behind the trunk.
    Number(String),
}

/// A listener's leg.
#[derive(Debug)]
pub(crate) struct Ear {
    pub(crate) agent: String,
    pub(crate) target: Target,
    pub(crate) leg: LegId,
    pub(crate) state: EarState,
    pub(crate) session: Option<Session>,
    /// It was offered SRTP alone.
    pub(crate) encrypted: bool,
    pub(crate) listenings: Vec<String>,
    /// Whose interaction it hears now.
    pub(crate) hears: Option<InteractionKey>,
    /// As last told to media.
    pub(crate) taps: Option<Taps>,
    pub(crate) shielded: bool,
    pub(crate) heard_ms: u64,
}

/// An ear that media is closing: what it heard since the last report belongs to these ended listenings.
#[derive(Debug)]
pub(crate) struct ClosedEar {
    pub(crate) hears: Option<InteractionKey>,
    pub(crate) heard_ms: u64,
    pub(crate) listenings: Vec<ListeningView>,
}

/// How far a listener's leg is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EarState {
    /// INVITE sent.
    Calling,
    /// The phone said that it rings.
    Ringing,
    /// 200 came.
    Answered,
    /// The first packet left.
    Live,
    /// CANCEL or BYE sent; signalling has it until it is gone.
    Ending,
}

impl EarState {
    pub(crate) fn is_up(self) -> bool {
        matches!(self, Self::Answered | Self::Live)
    }
}
