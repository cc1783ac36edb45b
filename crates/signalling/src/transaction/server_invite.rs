//! INVITE server transaction (RFC 3261 §17.2.1, RFC 6026 §7.1).

use std::time::Duration;

use bytes::Bytes;

use super::timer::{Deadlines, RINGING, Timer};
use super::turn::Turn;
use super::{Happening, ServerId};
use crate::message::{Message, ResponseBuilder};

/// An INVITE that came.
#[derive(Debug)]
pub(super) enum ServerInvite {
    /// Not answered yet; `last` is the latest provisional answer.
    Proceeding { request: Message, last: Bytes },
    /// As before, and its CANCEL has come: the user is about to answer 487.
    Cancelled { request: Message, last: Bytes },
    /// Answered 2xx, which is repeated until its ACK (RFC 3261 §13.3.1.4).
    Accepted { request: Message, response: Bytes, interval: Duration },
    /// The 2xx was acknowledged; repeated INVITEs are still absorbed.
    Acknowledged,
    /// Answered 3xx–6xx, which is repeated until its ACK.
    Completed { response: Message, interval: Duration },
    /// That ACK has come; repeated ones are absorbed.
    Confirmed,
}

impl ServerInvite {
    /// Answers 100 and tells the user.
    pub(super) fn start(turn: &mut Turn<'_>, request: Message) -> Self {
        let last = ResponseBuilder::new(&request, 100, None, None).finish().bytes().clone();
        turn.send(&last); // §17.2.1
        turn.tell(Happening::Request { id: ServerId(turn.id), flow: turn.flow, message: request.clone() });
        Self::Proceeding { request, last }
    }

    /// The INVITE, until a 3xx–6xx went or the 2xx was acknowledged.
    pub(super) fn request(&self) -> Option<&Message> {
        match self {
            Self::Proceeding { request, .. } | Self::Cancelled { request, .. } | Self::Accepted { request, .. } => {
                Some(request)
            }
            _ => None,
        }
    }

    /// The final answer, if it is a 3xx–6xx whose ACK has not come.
    pub(super) fn refusal(&self) -> Option<&Message> {
        match self {
            Self::Completed { response, .. } => Some(response),
            _ => None,
        }
    }

    /// The INVITE came again.
    pub(super) fn repeated(self, turn: &mut Turn<'_>) -> Self {
        match &self {
            Self::Proceeding { last, .. } | Self::Cancelled { last, .. } => turn.send_again(last), // §17.2.1
            Self::Completed { response, .. } => turn.send_again(response.bytes()),                 // §17.2.1
            Self::Accepted { .. } | Self::Acknowledged => {} // RFC 6026 §7.1: absorbed, Timer Ok repeats the 2xx
            Self::Confirmed => {}                            // §17.2.1
        }
        self
    }

    /// The user answers.
    pub(super) fn respond(self, turn: &mut Turn<'_>, response: Message) -> Self {
        match (self, response.status() / 100) {
            (Self::Proceeding { request, .. }, 1) => Self::Proceeding { request, last: provisional(turn, &response) }, // §17.2.1
            (Self::Cancelled { request, .. }, 1) => Self::Cancelled { request, last: provisional(turn, &response) }, // §17.2.1
            (Self::Proceeding { request, .. } | Self::Cancelled { request, .. }, 2) => {
                accepted(turn, request, &response)
            } // RFC 6026 §7.1
            (Self::Proceeding { .. } | Self::Cancelled { .. }, _) => completed(turn, response), // §17.2.1
            (state, _) => late(turn, state),
        }
    }

    /// An ACK came that matches.
    pub(super) fn ack(self, turn: &mut Turn<'_>, ack: Message) -> Self {
        match self {
            Self::Completed { .. } => confirmed(turn), // §17.2.1
            Self::Accepted { .. } | Self::Acknowledged => acknowledging(turn, ack, self), // RFC 6026 §7.1
            Self::Confirmed | Self::Proceeding { .. } | Self::Cancelled { .. } => self, // §17.2.1
        }
    }

    /// Its CANCEL came (RFC 3261 §9.2).
    pub(super) fn cancel(self, turn: &mut Turn<'_>, cancel: Message) -> Self {
        match self {
            Self::Proceeding { request, last } => {
                turn.tell(Happening::Cancelled { id: ServerId(turn.id), cancel });
                Self::Cancelled { request, last }
            }
            state => state, // a second CANCEL, or the answer was faster: no effect
        }
    }

    /// The ACK of the 2xx has come: Timer L goes on alone (RFC 6026 §7.1).
    pub(super) fn acknowledged(self, deadlines: &mut Deadlines) -> Self {
        match self {
            Self::Accepted { .. } => {
                deadlines.stop(Timer::Ok);
                Self::Acknowledged
            }
            state => state,
        }
    }

    /// A timer is due.
    pub(super) fn fire(self, turn: &mut Turn<'_>, timer: Timer) -> Option<Self> {
        match (self, timer) {
            (Self::Proceeding { request, last }, Timer::Ringing) => {
                Some(Self::Proceeding { request, last: ringing_again(turn, last) })
            } // §13.3.1.1
            (Self::Accepted { request, response, interval }, Timer::Ok) => {
                Some(accepted_again(turn, request, response, interval))
            } // §13.3.1.4
            (Self::Completed { response, interval }, Timer::G) => Some(completed_again(turn, response, interval)), // §17.2.1
            (Self::Accepted { .. }, Timer::L) => no_ack(turn), // §13.3.1.4
            (Self::Acknowledged, Timer::L) => None,            // RFC 6026 §7.1
            (Self::Completed { .. }, Timer::H) => unconfirmed(turn), // §17.2.1
            (Self::Confirmed, Timer::I) => None,               // §17.2.1
            (state, _) => Some(state),
        }
    }
}

fn provisional(turn: &mut Turn<'_>, response: &Message) -> Bytes {
    turn.send(response.bytes());
    if response.status() > 100 {
        turn.start(Timer::Ringing, RINGING);
    }
    response.bytes().clone()
}

fn ringing_again(turn: &mut Turn<'_>, last: Bytes) -> Bytes {
    turn.send(&last);
    turn.start(Timer::Ringing, RINGING);
    last
}

fn accepted(turn: &mut Turn<'_>, request: Message, response: &Message) -> ServerInvite {
    turn.send(response.bytes());
    turn.stop_all();
    turn.start(Timer::Ok, turn.timing.t1);
    turn.start(Timer::L, turn.timing.patience());
    ServerInvite::Accepted { request, response: response.bytes().clone(), interval: turn.timing.t1 }
}

fn accepted_again(turn: &mut Turn<'_>, request: Message, response: Bytes, interval: Duration) -> ServerInvite {
    turn.send_again(&response);
    let interval = turn.timing.backoff(interval);
    turn.start(Timer::Ok, interval);
    ServerInvite::Accepted { request, response, interval }
}

fn completed(turn: &mut Turn<'_>, response: Message) -> ServerInvite {
    turn.send(response.bytes());
    turn.stop_all();
    turn.repeat(Timer::G, turn.timing.t1);
    turn.start(Timer::H, turn.timing.patience());
    ServerInvite::Completed { response, interval: turn.timing.t1 }
}

fn completed_again(turn: &mut Turn<'_>, response: Message, interval: Duration) -> ServerInvite {
    turn.send_again(response.bytes());
    let interval = turn.timing.backoff(interval);
    turn.start(Timer::G, interval);
    ServerInvite::Completed { response, interval }
}

fn confirmed(turn: &mut Turn<'_>) -> ServerInvite {
    turn.stop_all();
    turn.absorb(Timer::I, turn.timing.t4);
    ServerInvite::Confirmed
}

/// The user finds the dialog and says [`super::Transactions::acknowledged`].
fn acknowledging(turn: &mut Turn<'_>, ack: Message, state: ServerInvite) -> ServerInvite {
    turn.tell(Happening::Ack { flow: turn.flow, message: ack });
    state
}

fn late(turn: &mut Turn<'_>, state: ServerInvite) -> ServerInvite {
    turn.count("responses_late");
    state
}

fn no_ack(turn: &mut Turn<'_>) -> Option<ServerInvite> {
    turn.count("acks_missing");
    turn.tell(Happening::NoAck { id: ServerId(turn.id) });
    None
}

fn unconfirmed(turn: &mut Turn<'_>) -> Option<ServerInvite> {
    turn.count("acks_missing");
    None
}
