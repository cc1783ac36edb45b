//! Non-INVITE server transaction (RFC 3261 §17.2.2, RFC 4320).

use bytes::Bytes;

use super::timer::Timer;
use super::turn::Turn;
use super::{Happening, ServerId};
use crate::message::Message;

/// A request that came and is neither INVITE nor ACK.
#[derive(Debug)]
pub(super) enum ServerNonInvite {
    /// Not answered yet.
    Trying { request: Message },
    /// Answered provisionally.
    Proceeding { request: Message, last: Bytes },
    /// Answered.
    Completed { response: Bytes, status: u16 },
}

impl ServerNonInvite {
    /// Tells the user.
    pub(super) fn start(turn: &mut Turn<'_>, request: Message) -> Self {
        turn.start(Timer::Unanswered, turn.timing.patience()); // RFC 4320 §4.1
        turn.tell(Happening::Request { id: ServerId(turn.id), flow: turn.flow, message: request.clone() });
        Self::Trying { request }
    }

    /// Answers a request of which the user need not know.
    pub(super) fn answered(turn: &mut Turn<'_>, response: &Message) -> Self {
        completed(turn, response)
    }

    /// The request, until its final answer has gone.
    pub(super) fn request(&self) -> Option<&Message> {
        match self {
            Self::Trying { request } | Self::Proceeding { request, .. } => Some(request),
            Self::Completed { .. } => None,
        }
    }

    /// Status of the final answer.
    pub(super) fn final_status(&self) -> Option<u16> {
        match self {
            Self::Completed { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The request came again.
    pub(super) fn repeated(self, turn: &mut Turn<'_>) -> Self {
        match &self {
            Self::Trying { .. } => {}                                      // §17.2.2
            Self::Proceeding { last, .. } => turn.send_again(last),        // §17.2.2
            Self::Completed { response, .. } => turn.send_again(response), // §17.2.2
        }
        self
    }

    /// The user answers.
    pub(super) fn respond(self, turn: &mut Turn<'_>, response: &Message) -> Self {
        match (self, response.status() / 100) {
            (Self::Trying { request } | Self::Proceeding { request, .. }, 1) => proceeding(turn, request, response), // §17.2.2
            (Self::Trying { .. } | Self::Proceeding { .. }, _) => completed(turn, response), // §17.2.2
            (state @ Self::Completed { .. }, _) => late(turn, state),                        // §17.2.2
        }
    }

    /// A timer is due.
    pub(super) fn fire(self, turn: &mut Turn<'_>, timer: Timer) -> Option<Self> {
        match (self, timer) {
            (Self::Trying { .. } | Self::Proceeding { .. }, Timer::Unanswered) => unanswered(turn), // RFC 4320 §4.1
            (Self::Completed { .. }, Timer::J) => None,                                             // §17.2.2
            (state, _) => Some(state),
        }
    }
}

fn proceeding(turn: &mut Turn<'_>, request: Message, response: &Message) -> ServerNonInvite {
    turn.send(response.bytes());
    ServerNonInvite::Proceeding { request, last: response.bytes().clone() }
}

fn completed(turn: &mut Turn<'_>, response: &Message) -> ServerNonInvite {
    turn.send(response.bytes());
    turn.stop_all();
    turn.absorb(Timer::J, turn.timing.patience());
    ServerNonInvite::Completed { response: response.bytes().clone(), status: response.status() }
}

fn late(turn: &mut Turn<'_>, state: ServerNonInvite) -> ServerNonInvite {
    turn.count("responses_late");
    state
}

/// The client has stopped listening, so that an answer would only be a stray (RFC 4320 §4.2 forbids 408).
fn unanswered(turn: &mut Turn<'_>) -> Option<ServerNonInvite> {
    turn.count("requests_unanswered");
    None
}
