//! Request and listening state machines, limits, reasons.
//!
//! A *request* is an order; an interaction that matches it gets a *listening*; an *ear* is the listener's leg. One ear
//! carries the listenings of one listener on one agent: those of several requests and of several interactions.

mod confirm;
mod ear;
mod levels;
mod listening;
mod matching;
mod mix;
mod order;
mod page;
mod quality;
mod request;
mod rights;

use std::time::Instant;

use media::{BatchId, ListenerId, Mix, Taps};
use signalling::peers::PeerId;
use signalling::{LegId, Session};

use crate::interaction::InteractionKey;
use crate::interface::ReplyId;
use crate::persist::RequestRecord;
use crate::store::After;
use crate::view::{ListeningView, RequestState, RequestView, Warning};

pub(crate) use levels::Watched;

/// An ear while the process lives; of a phone also the media plane's listener id. A page's players have ids of their own.
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
    /// Until the call's media shard is in time again.
    Late,
    /// On this ear, which rings or is up.
    OnEar(EarKey),
}

impl ListeningPhase {
    /// It holds one of the request's N.
    pub(crate) fn reserves(self) -> bool {
        matches!(self, Self::Recording | Self::OnEar(_))
    }
}

/// A listener's phone or page: equal means the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// An agent's or user's phone.
    Account(PeerId),
    /// Behind the trunk.
    Number(String),
    /// A user's browser.
    Page(String),
}

/// A listener's leg.
#[derive(Debug)]
pub(crate) struct Ear {
    pub(crate) agent: String,
    /// Where it is in the media plane: with what it hears.
    pub(crate) shard: usize,
    pub(crate) target: Target,
    pub(crate) line: Line,
    pub(crate) state: EarState,
    pub(crate) listenings: Vec<String>,
    /// Whose interaction it hears now.
    pub(crate) hears: Option<InteractionKey>,
    /// As last told to media.
    pub(crate) taps: Option<Taps>,
    pub(crate) shielded: bool,
    pub(crate) mix: Mix,
    /// As the media plane said last, of the listener that it has now.
    pub(crate) heard_ms: u64,
}

/// How an ear is reached.
#[derive(Debug)]
pub(crate) enum Line {
    /// By SIP.
    Phone(Phone),
    /// In a browser.
    Page(Page),
}

/// The leg to a listener's phone.
#[derive(Debug)]
pub(crate) struct Phone {
    pub(crate) leg: LegId,
    pub(crate) session: Option<Session>,
    /// It was offered SRTP alone.
    pub(crate) encrypted: bool,
    /// Whoever answers has to press a key, and has not.
    pub(crate) unconfirmed: bool,
    /// The first packet left, whoever hears it.
    pub(crate) first_packet: bool,
}

/// A user's browser, whichever of its tabs plays.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) rings_until: Instant,
    pub(crate) player: Option<Player>,
    /// The next one: its offer is at the media plane.
    pub(crate) coming: Option<Coming>,
}

/// A browser's leg that was answered.
#[derive(Debug)]
pub(crate) struct Player {
    pub(crate) listener: ListenerId,
    /// Last part of its `Location`.
    pub(crate) session: String,
    /// Waits for the answer to its ICE restart.
    pub(crate) restarts: Option<ReplyId>,
}

/// A browser's leg that has no answer yet.
#[derive(Debug)]
pub(crate) struct Coming {
    pub(crate) listener: ListenerId,
    pub(crate) session: String,
    pub(crate) reply: ReplyId,
}

impl Ear {
    pub(crate) fn phone(&self) -> Option<&Phone> {
        if let Line::Phone(phone) = &self.line { Some(phone) } else { None }
    }

    pub(crate) fn phone_mut(&mut self) -> Option<&mut Phone> {
        if let Line::Phone(phone) = &mut self.line { Some(phone) } else { None }
    }

    pub(crate) fn page(&self) -> Option<&Page> {
        if let Line::Page(page) = &self.line { Some(page) } else { None }
    }

    pub(crate) fn page_mut(&mut self) -> Option<&mut Page> {
        if let Line::Page(page) = &mut self.line { Some(page) } else { None }
    }

    /// Its listeners in the media plane: of a page none, one, or that and the next.
    pub(crate) fn listeners(&self, key: EarKey) -> Vec<ListenerId> {
        match &self.line {
            Line::Phone(_) => vec![ListenerId(key)],
            Line::Page(Page { player, coming, .. }) => {
                let player = player.as_ref().map(|player| player.listener);
                player.into_iter().chain(coming.as_ref().map(|coming| coming.listener)).collect()
            }
        }
    }

    /// Nothing is heard before its listener has pressed a key.
    pub(crate) fn is_unconfirmed(&self) -> bool {
        self.phone().is_some_and(|phone| phone.unconfirmed)
    }
}

/// An ear, or a player that another one replaced, that media is closing: what it heard since the last report belongs to
/// these ended listenings, or to the ear that goes on.
#[derive(Debug)]
pub(crate) struct ClosedEar {
    /// The media plane's listener.
    pub(crate) listener: ListenerId,
    pub(crate) hears: Option<InteractionKey>,
    pub(crate) heard_ms: u64,
    pub(crate) listenings: Vec<ListeningView>,
    pub(crate) heir: Option<EarKey>,
}

/// How far a listener's leg is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EarState {
    /// INVITE sent.
    Calling,
    /// The phone said that it rings; the page was told.
    Ringing,
    /// 200 came; the player has its answer.
    Answered,
    /// Whoever answered has to press a key.
    Confirming,
    /// The first packet left.
    Live,
    /// CANCEL or BYE sent; signalling has it until it is gone.
    Ending,
}

impl EarState {
    pub(crate) fn is_up(self) -> bool {
        matches!(self, Self::Answered | Self::Confirming | Self::Live)
    }
}
