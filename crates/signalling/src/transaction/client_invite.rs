//! INVITE client transaction (RFC 3261 §17.1.1, RFC 6026 §7.2).

use std::time::Duration;

use bytes::Bytes;

use super::timer::Timer;
use super::turn::Turn;
use super::{ClientId, Happening};
use crate::message::{HeaderName, Message, Method, RequestBuilder, ResponseBuilder};

/// An INVITE of ours.
#[derive(Debug)]
pub(super) enum ClientInvite {
    /// Nothing came yet; with a CANCEL that has to wait for the first provisional answer (RFC 3261 §9.1).
    Calling { request: Message, interval: Duration, cancel: Option<Message> },
    /// A provisional answer came.
    Proceeding { request: Message },
    /// The CANCEL has gone.
    Cancelling { request: Message },
    /// A 2xx came: further ones belong to the user too (forks, repetitions). Of the INVITE nothing is kept, unless it was
    /// cancelled: then the user has a call to end that it made.
    Accepted { cancelled: Option<Message> },
    /// A 3xx–6xx came and was acknowledged.
    Completed { ack: Bytes },
}

impl ClientInvite {
    /// Sends the INVITE.
    pub(super) fn start(turn: &mut Turn<'_>, request: Message) -> Self {
        turn.send(request.bytes());
        turn.repeat(Timer::A, turn.timing.t1); // §17.1.1.2
        turn.start(Timer::B, turn.timing.patience()); // §17.1.1.2
        Self::Calling { request, interval: turn.timing.t1, cancel: None }
    }

    /// Sends the CANCEL of an INVITE that another process has sent.
    pub(super) fn cancel_orphan(turn: &mut Turn<'_>, request: Message, reason: &str) -> Self {
        Self::Proceeding { request }.cancel(turn, Some(reason)) // §9.1
    }

    /// The INVITE as it was sent, while something may still be made of it.
    pub(super) fn request(&self) -> Option<&Message> {
        match self {
            Self::Calling { request, .. } | Self::Proceeding { request } | Self::Cancelling { request } => {
                Some(request)
            }
            Self::Accepted { cancelled } => cancelled.as_ref(),
            Self::Completed { .. } => None,
        }
    }

    /// Takes a response that matches.
    pub(super) fn receive(self, turn: &mut Turn<'_>, response: Message) -> Self {
        use ClientInvite::{Accepted, Calling, Cancelling, Completed, Proceeding};
        match (self, response.status() / 100) {
            (Calling { request, cancel, .. }, 1) => provisional(turn, response, request, cancel), // §17.1.1.2, §9.1
            (state @ (Proceeding { .. } | Cancelling { .. }), 1) => told(turn, response, state),  // §17.1.1.2
            (Calling { .. } | Proceeding { .. }, 2) => accepted(turn, response, None),            // RFC 6026 §7.2
            (Cancelling { request }, 2) => accepted(turn, response, Some(request)),               // RFC 6026 §7.2
            (Calling { request, .. } | Proceeding { request } | Cancelling { request }, _) => {
                completed(turn, &request, response)
            } // §17.1.1.2
            (state @ Accepted { .. }, 2) => told(turn, response, state),                          // RFC 6026 §7.2
            (state @ Accepted { .. }, _) => state,                                                // RFC 6026 §7.2
            (Completed { ack }, 3..) => acknowledged_again(turn, ack),                            // §17.1.1.2
            (Completed { ack }, 2) => late_fork(turn, response, ack), // §13.2.2.4: every 2xx gets its ACK
            (state @ Completed { .. }, _) => state,                   // §17.1.1.2
        }
    }

    /// The user wants it cancelled.
    pub(super) fn cancel(self, turn: &mut Turn<'_>, reason: Option<&str>) -> Self {
        match self {
            Self::Calling { request, interval, .. } => {
                let cancel = Some(cancel_of(&request, reason));
                Self::Calling { request, interval, cancel }
            } // §9.1
            Self::Proceeding { request } => {
                let cancel = cancel_of(&request, reason);
                cancelling(turn, request, cancel)
            } // §9.1
            state => state, // §9.1: answered, or sent already
        }
    }

    /// A timer is due.
    pub(super) fn fire(self, turn: &mut Turn<'_>, timer: Timer) -> Option<Self> {
        match (self, timer) {
            (Self::Calling { request, interval, cancel }, Timer::A) => Some(repeated(turn, request, interval, cancel)), // §17.1.1.2
            (Self::Calling { .. }, Timer::B) => timed_out(turn), // §17.1.1.2
            (Self::Cancelling { .. }, Timer::Cancelled) => timed_out(turn), // §9.1
            (Self::Completed { .. }, Timer::D) => None,          // §17.1.1.2
            (Self::Accepted { .. }, Timer::M) => None,           // RFC 6026 §7.2
            (state, _) => Some(state),
        }
    }

    /// What it sent did not leave (RFC 3261 §17.1.4). One that waits for the phone to be picked up has sent nothing.
    pub(super) fn send_failed(self, turn: &mut Turn<'_>) -> Option<Self> {
        match self {
            Self::Calling { .. } | Self::Cancelling { .. } => timed_out(turn),
            state => Some(state),
        }
    }

    /// It was answered provisionally and waits for somebody to pick up.
    pub(super) fn rings(&self) -> bool {
        matches!(self, Self::Proceeding { .. })
    }

    /// Its connection has failed: as if this had been answered (RFC 3261 §8.1.3.1), unless the answer has come already.
    pub(super) fn connection_failed(self, turn: &mut Turn<'_>, status: u16) -> Option<Self> {
        match self {
            Self::Calling { request, .. } | Self::Proceeding { request } | Self::Cancelling { request } => {
                failed(turn, &request, status)
            }
            state => Some(state),
        }
    }

    /// Nothing of it has left; it is sent by another way now, a CANCEL that waits included.
    pub(super) fn sent_otherwise(self, turn: &mut Turn<'_>, request: Message) -> Self {
        let Self::Calling { cancel, .. } = self else { return self };
        turn.stop_all();
        let started = Self::start(turn, request);
        match cancel {
            Some(cancel) => started.cancel(turn, cancel.header(&HeaderName::Reason)),
            None => started,
        }
    }
}

/// The CANCEL of an INVITE (RFC 3261 §9.1).
fn cancel_of(invite: &Message, reason: Option<&str>) -> Message {
    let to = invite.header(&HeaderName::To).unwrap_or_default();
    let cancel = hop_request(invite, &Method::Cancel, to);
    match reason {
        Some(reason) => cancel.header(HeaderName::Reason, reason).finish(),
        None => cancel.finish(),
    }
}

fn provisional(turn: &mut Turn<'_>, response: Message, request: Message, cancel: Option<Message>) -> ClientInvite {
    turn.stop_all();
    if response.status() > 100 {
        tell(turn, response);
    }
    match cancel {
        Some(cancel) => cancelling(turn, request, cancel),
        None => ClientInvite::Proceeding { request },
    }
}

/// The user hears of everything but 100.
fn told(turn: &mut Turn<'_>, response: Message, state: ClientInvite) -> ClientInvite {
    if response.status() > 100 {
        tell(turn, response);
    }
    state
}

fn tell(turn: &mut Turn<'_>, response: Message) {
    turn.tell(Happening::Response { id: ClientId(turn.id), flow: turn.flow, message: response });
}

fn cancelling(turn: &mut Turn<'_>, request: Message, cancel: Message) -> ClientInvite {
    turn.cancel = Some(cancel);
    turn.start(Timer::Cancelled, turn.timing.patience());
    ClientInvite::Cancelling { request }
}

fn accepted(turn: &mut Turn<'_>, response: Message, cancelled: Option<Message>) -> ClientInvite {
    turn.stop_all();
    turn.start(Timer::M, turn.timing.patience());
    told(turn, response, ClientInvite::Accepted { cancelled })
}

fn completed(turn: &mut Turn<'_>, request: &Message, response: Message) -> ClientInvite {
    // The To is the response's: its tag names the branch that refused (§17.1.1.3).
    let to = response.header(&HeaderName::To).unwrap_or_default();
    let ack = hop_request(request, &Method::Ack, to).finish().bytes().clone();
    turn.send(&ack);
    turn.stop_all();
    turn.absorb(Timer::D, turn.timing.timer_d());
    told(turn, response, ClientInvite::Completed { ack })
}

fn acknowledged_again(turn: &mut Turn<'_>, ack: Bytes) -> ClientInvite {
    turn.count("retransmissions_received");
    turn.send_again(&ack);
    ClientInvite::Completed { ack }
}

/// A fork that answered after another one had made the proxy give up: the user acknowledges it and hangs up.
fn late_fork(turn: &mut Turn<'_>, response: Message, ack: Bytes) -> ClientInvite {
    turn.tell(Happening::StrayOk { flow: turn.flow, message: response });
    ClientInvite::Completed { ack }
}

fn repeated(turn: &mut Turn<'_>, request: Message, interval: Duration, cancel: Option<Message>) -> ClientInvite {
    turn.send_again(request.bytes());
    let interval = interval.saturating_mul(2);
    turn.start(Timer::A, interval);
    ClientInvite::Calling { request, interval, cancel }
}

fn timed_out(turn: &mut Turn<'_>) -> Option<ClientInvite> {
    turn.count("transactions_timed_out");
    turn.tell(Happening::TimedOut { id: ClientId(turn.id) });
    None
}

/// What the user gets in the place of an answer when a connection fails (RFC 3261 §8.1.3.1).
pub(super) fn failure(request: &Message, status: u16) -> Message {
    ResponseBuilder::new(request, status, Some("Connection Failed"), None).finish()
}

fn failed(turn: &mut Turn<'_>, request: &Message, status: u16) -> Option<ClientInvite> {
    turn.count("transactions_unsent");
    turn.tell(Happening::Response { id: ClientId(turn.id), flow: turn.flow, message: failure(request, status) });
    None
}

/// ACK and CANCEL go the INVITE's way: same Request-URI, topmost Via, Route, From, Call-ID and CSeq number
/// (RFC 3261 §9.1, §17.1.1.3).
fn hop_request(invite: &Message, method: &Method, to: &str) -> RequestBuilder {
    let via = invite.values(&HeaderName::Via).next().unwrap_or_default();
    let mut request = RequestBuilder::new(method, invite.request_uri())
        .header(HeaderName::Via, via)
        .header(HeaderName::MaxForwards, "70");
    for route in invite.headers(&HeaderName::Route) {
        request = request.header(HeaderName::Route, route);
    }
    request
        .header(HeaderName::From, invite.header(&HeaderName::From).unwrap_or_default())
        .header(HeaderName::To, to)
        .header(HeaderName::CallId, invite.call_id())
        .header(HeaderName::CSeq, &format!("{} {}", invite.cseq().number, method.as_str()))
}
