//! A leg: one INVITE dialog usage with its offer/answer session, and what is open on it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::dialog::Dialog;
use crate::interface::{LegId, Origin, OrphanId, PlanId, ReceiptId, TransferId};
use crate::message::Message;
use crate::peers::Srtp;
use crate::sdp::{Direction, Payload, Sdp};
use crate::session::Descriptions;
use crate::session::update::Open;
use crate::transaction::{ClientId, ServerId};
use crate::transport::Flow;

/// Early dialogs of one INVITE of ours whose descriptions are kept; of more (a forking storm) only the newest count.
pub(crate) const EARLY_MAX: usize = 8;

/// One leg.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) id: LegId,
    pub(crate) kind: Kind,
    pub(crate) state: State,
    /// The party that it is paired with.
    pub(crate) peer: Option<LegId>,
    /// Who the remote party is.
    pub(crate) party: Party,
    /// Where the INVITE came from or went to; later the dialog knows better.
    pub(crate) first_flow: Flow,
    pub(crate) call_id: Arc<str>,
    /// Ours, unique among all legs: what incoming messages are found by.
    pub(crate) local_tag: Arc<str>,
    /// As UAS from the start, as UAC from the 2xx on.
    pub(crate) dialog: Option<Dialog>,
    /// The INVITE that made the leg, until it is answered.
    pub(crate) invite: Option<Box<Message>>,
    pub(crate) descriptions: Descriptions,
    /// Answers of early dialogs by their To tag, newest last.
    pub(crate) early: Vec<(String, Sdp)>,
    /// Of a listener that rings: its To tag, empty until then.
    pub(crate) early_tag: Box<str>,
    /// When an unanswered INVITE of ours is given up.
    pub(crate) ring_until: Option<Instant>,
    /// A re-INVITE or UPDATE of theirs that waits for our final answer.
    pub(crate) inbound: Option<ServerId>,
    /// A re-INVITE or UPDATE of ours that waits for theirs.
    pub(crate) outbound: Option<ClientId>,
    /// Our 2xx to this INVITE has not been acknowledged.
    pub(crate) unacknowledged: Option<ServerId>,
    /// Their 2xx to our INVITE with this CSeq waits for an ACK that carries the answer (late offer).
    pub(crate) ack_owed: Option<u32>,
    /// Until then the ACK of a listener's 2xx waits for the store.
    pub(crate) ack_until: Option<Instant>,
    /// For a repeated 2xx.
    pub(crate) last_ack: Option<Box<LastAck>>,
    /// The Reason of a BYE that may not leave before the ACK came (RFC 3261 §15).
    pub(crate) bye_after_ack: Option<Box<str>>,
    /// Client transactions of this leg that are not over.
    pub(crate) open_requests: u32,
    /// REFERs accepted so far: from the second on NOTIFY carries their id (RFC 3515 §2.4.6).
    pub(crate) refers: u32,
    /// The transfer that this leg asked for and that is pending.
    pub(crate) transfer: Option<TransferId>,
    /// The remote party's Allow has UPDATE (RFC 3311 §5.1).
    pub(crate) allows_update: bool,
    /// The leg whose place this one is to take (RFC 3891).
    pub(crate) replacing: Option<LegId>,
}

/// The ACK that we sent last, but for what its dialog has of it.
#[derive(Clone, Debug)]
pub(crate) struct LastAck {
    /// Of the INVITE.
    pub(crate) cseq: u32,
    pub(crate) flow: Flow,
    pub(crate) branch: Box<str>,
    /// The answer to a late offer.
    pub(crate) body: Option<Bytes>,
}

/// Who the remote party is and what follows from it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Party {
    pub(crate) origin: Origin,
    /// Media latches to the signalling source.
    pub(crate) nat: bool,
    pub(crate) srtp: Srtp,
    pub(crate) may_transfer: bool,
}

impl Party {
    /// Trunks are followed to their Contact or Record-Route, phones are reached where they speak from.
    pub(crate) fn by_target(self) -> bool {
        matches!(self.origin, Origin::Trunk(_))
    }
}

/// What a leg is for.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// It called us.
    Caller,
    /// We called it for its peer.
    Callee,
    /// A single-leg call of ours: it hears and is never heard.
    Listener {
        codecs: Vec<Payload>,
        /// What it was offered.
        direction: Direction,
    },
    /// The target of a transfer, until it is joined.
    Target(TransferId),
}

/// Where a leg stands.
#[derive(Debug)]
pub(crate) enum State {
    /// Its INVITE waits for the engine.
    Offered(ServerId),
    /// Its INVITE waits for the other side.
    Proceeding(ServerId),
    /// The 2xx with this body waits for the media plan.
    Answering { server: ServerId, plan: PlanId, body: Bytes },
    /// Our INVITE waits until it is kept whom to cancel; it may ring so long then.
    Prepared { rings: Duration },
    /// Our INVITE waits for a final answer.
    Calling(ClientId),
    /// Our INVITE is cancelled; whatever comes is ended. The engine has been told that the leg is gone.
    Cancelling,
    /// 2xx sent or received.
    Confirmed,
    /// BYE sent, or due after the ACK. The engine has been told that the leg is gone.
    Leaving,
}

impl Leg {
    /// The flow that the leg's requests use by its dialog; which connection stands for it now, [`crate::ua::Ua`] knows.
    pub(crate) fn flow(&self) -> Flow {
        self.dialog.as_ref().map_or(self.first_flow, |dialog| dialog.flow(self.party.by_target()))
    }

    /// The flow that the remote party's messages come by.
    pub(crate) fn spoken_flow(&self) -> Flow {
        self.dialog.as_ref().map_or(self.first_flow, |dialog| dialog.flow(false))
    }

    /// Where signalling of this leg comes from.
    pub(crate) fn signalling(&self) -> std::net::SocketAddr {
        self.spoken_flow().remote
    }

    pub(crate) fn is_confirmed(&self) -> bool {
        matches!(self.state, State::Confirmed)
    }

    /// The engine knows it as a leg: not on its way out.
    pub(crate) fn is_live(&self) -> bool {
        !matches!(self.state, State::Cancelling | State::Leaving)
    }

    /// We sent the INVITE that made it.
    pub(crate) fn is_uac(&self) -> bool {
        !matches!(self.kind, Kind::Caller)
    }

    /// The remote party's tag, once there is one.
    pub(crate) fn remote_tag(&self) -> Option<&str> {
        self.dialog.as_ref().map(|dialog| &*dialog.id().remote_tag)
    }

    /// What is open on it.
    pub(crate) fn open(&self) -> Open<'_> {
        Open {
            theirs: self.inbound.is_some(),
            ours: self.outbound.is_some() || self.ack_owed.is_some(),
            offer: self.descriptions.offer(),
        }
    }

    /// A re-INVITE or UPDATE can be sent on it now.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_confirmed() && self.unacknowledged.is_none() && crate::session::update::may_change(self.open()).is_ok()
    }

    /// Keeps what an early dialog answered.
    pub(crate) fn remember_early(&mut self, tag: &str, sdp: Sdp) {
        self.early.retain(|(known, _)| known != tag);
        if self.early.len() == EARLY_MAX {
            self.early.remove(0);
        }
        self.early.push((tag.to_owned(), sdp));
    }

    /// What the early dialog with this tag answered.
    pub(crate) fn early_answer(&self, tag: &str) -> Option<Sdp> {
        self.early.iter().find(|(known, _)| known == tag).map(|(_, sdp)| sdp.clone())
    }
}

/// What a client transaction of ours is for.
#[derive(Clone, Debug)]
pub(crate) enum Purpose {
    /// The INVITE that makes the leg.
    Invite(LegId),
    /// A re-INVITE or UPDATE passed on: the answer goes to `from`'s `server`.
    Change { leg: LegId, from: LegId, server: ServerId },
    /// A re-INVITE of our own that joins two legs after a transfer.
    Join { leg: LegId, transfer: TransferId },
    /// INFO passed on.
    Info { leg: LegId, server: ServerId },
    /// NOTIFY of a transfer.
    Notify { leg: LegId, transfer: TransferId },
    /// OPTIONS on the engine's order.
    Probe(LegId),
    /// BYE.
    Bye(LegId),
    /// BYE of a dialog that never became a leg (forked or late 2xx).
    StrayBye,
    /// The INVITE of a process that is gone, cancelled by us.
    OrphanInvite(OrphanId),
    /// BYE of a dialog of a process that is gone.
    OrphanBye(OrphanId),
}

impl Purpose {
    /// The leg whose dialog it is sent in.
    pub(crate) fn leg(&self) -> Option<LegId> {
        match *self {
            Self::Invite(leg) | Self::Probe(leg) | Self::Bye(leg) => Some(leg),
            Self::Change { leg, .. } | Self::Join { leg, .. } | Self::Info { leg, .. } | Self::Notify { leg, .. } => {
                Some(leg)
            }
            Self::StrayBye | Self::OrphanInvite(_) | Self::OrphanBye(_) => None,
        }
    }
}

/// What is waited for, besides transactions and registrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// An INVITE of ours has rung long enough.
    Ring(LegId),
    /// A re-INVITE of ours has waited for its final answer long enough.
    Change(ClientId),
    /// An INFO or UPDATE that was passed on has waited for its answer long enough.
    Passed(ClientId),
    /// A 2xx waited for its media plan long enough.
    Media(LegId),
    /// The ACK of a listener's 2xx has waited for the store long enough.
    Ack(LegId),
    /// The 200 to a REGISTER has waited for the store long enough.
    Receipt(ReceiptId),
    /// The transferor had its time for BYE.
    TransferorBye(TransferId),
    /// A joining re-INVITE met another one: try again.
    JoinRetry(TransferId),
}
