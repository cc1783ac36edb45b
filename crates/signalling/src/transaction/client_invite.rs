//! INVITE client transaction (RFC 3261 §17.1.1, RFC 6026 §7.2).

use std::time::Duration;

use bytes::Bytes;

use super::timer::Timer;
use super::turn::Turn;
use super::{ClientId, Happening};
use crate::message::{HeaderName, Message, Method, RequestBuilder};

/// An INVITE of ours.
#[derive(Debug)]
pub(super) struct ClientInvite {
    request: Message,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing came yet; with a CANCEL that has to wait for the first provisional answer (RFC 3261 §9.1).
    Calling { interval: Duration, cancel: Option<Message> },
    /// A provisional answer came.
    Proceeding,
    /// The CANCEL has gone.
    Cancelling,
    /// A 2xx came: further ones belong to the user too (forks, repetitions).
    Accepted,
    /// A 3xx–6xx came and was acknowledged.
    Completed { ack: Bytes },
}

impl ClientInvite {
    /// Sends the INVITE.
    pub(super) fn start(turn: &mut Turn<'_>, request: Message) -> Self {
        turn.send(request.bytes());
        turn.start(Timer::A, turn.timing.t1); // §17.1.1.2
        turn.start(Timer::B, turn.timing.patience()); // §17.1.1.2
        Self { request, state: State::Calling { interval: turn.timing.t1, cancel: None } }
    }

    /// Sends the CANCEL of an INVITE that another process has sent.
    pub(super) fn cancel_orphan(turn: &mut Turn<'_>, request: Message, reason: &str) -> Self {
        let machine = Self { request, state: State::Proceeding };
        let cancel = machine.cancel_request(Some(reason));
        machine.cancel(turn, cancel) // §9.1
    }

    /// The INVITE as it was sent.
    pub(super) fn request(&self) -> &Message {
        &self.request
    }

    /// Takes a response that matches.
    pub(super) fn receive(self, turn: &mut Turn<'_>, response: Message) -> Self {
        use State::{Accepted, Calling, Cancelling, Completed, Proceeding};
        let Self { request, state } = self;
        let state = match (state, response.status() / 100) {
            (Calling { cancel, .. }, 1) => provisional(turn, response, cancel), // §17.1.1.2, §9.1
            (state @ (Proceeding | Cancelling), 1) => told(turn, response, state), // §17.1.1.2
            (Calling { .. } | Proceeding | Cancelling, 2) => accepted(turn, response), // RFC 6026 §7.2
            (Calling { .. } | Proceeding | Cancelling, _) => completed(turn, &request, response), // §17.1.1.2
            (Accepted, 2) => told(turn, response, Accepted),                    // RFC 6026 §7.2
            (Accepted, _) => Accepted,                                          // RFC 6026 §7.2
            (Completed { ack }, 3..) => acknowledged_again(turn, ack),          // §17.1.1.2
            (Completed { ack }, 2) => late_fork(turn, response, ack),           // §13.2.2.4: every 2xx gets its ACK
            (state @ Completed { .. }, _) => state,                             // §17.1.1.2
        };
        Self { request, state }
    }

    /// The user wants it cancelled; `cancel` is from [`Self::cancel_request`].
    pub(super) fn cancel(self, turn: &mut Turn<'_>, cancel: Message) -> Self {
        use State::{Calling, Proceeding};
        let Self { request, state } = self;
        let state = match state {
            Calling { interval, .. } => Calling { interval, cancel: Some(cancel) }, // §9.1
            Proceeding => cancelling(turn, cancel),                                 // §9.1
            state => state,                                                         // §9.1: answered, or sent already
        };
        Self { request, state }
    }

    /// A timer is due.
    pub(super) fn fire(self, turn: &mut Turn<'_>, timer: Timer) -> Option<Self> {
        use State::Calling;
        let Self { request, state } = self;
        let state = match (state, timer) {
            (Calling { interval, cancel }, Timer::A) => repeated(turn, &request, interval, cancel), // §17.1.1.2
            (Calling { .. }, Timer::B) => return timed_out(turn),                                   // §17.1.1.2
            (State::Cancelling, Timer::Cancelled) => return timed_out(turn),                        // §9.1
            (State::Completed { .. }, Timer::D) => return None,                                     // §17.1.1.2
            (State::Accepted, Timer::M) => return None,                                             // RFC 6026 §7.2
            (state, _) => state,
        };
        Some(Self { request, state })
    }

    /// What it sent did not leave (RFC 3261 §17.1.4). One that waits for the phone to be picked up has sent nothing.
    pub(super) fn send_failed(self, turn: &mut Turn<'_>) -> Option<Self> {
        match self.state {
            State::Calling { .. } | State::Cancelling => timed_out(turn),
            _ => Some(self),
        }
    }

    /// The CANCEL of this INVITE (RFC 3261 §9.1).
    pub(super) fn cancel_request(&self, reason: Option<&str>) -> Message {
        let to = self.request.header(&HeaderName::To).unwrap_or_default();
        let cancel = hop_request(&self.request, &Method::Cancel, to);
        match reason {
            Some(reason) => cancel.header(HeaderName::Reason, reason).finish(),
            None => cancel.finish(),
        }
    }
}

fn provisional(turn: &mut Turn<'_>, response: Message, cancel: Option<Message>) -> State {
    turn.stop_all();
    let state = told(turn, response, State::Proceeding);
    match cancel {
        Some(cancel) => cancelling(turn, cancel),
        None => state,
    }
}

/// The user hears of everything but 100.
fn told(turn: &mut Turn<'_>, response: Message, state: State) -> State {
    if response.status() > 100 {
        turn.tell(Happening::Response { id: ClientId(turn.id), flow: turn.flow, message: response });
    }
    state
}

fn cancelling(turn: &mut Turn<'_>, cancel: Message) -> State {
    turn.cancel = Some(cancel);
    turn.start(Timer::Cancelled, turn.timing.patience());
    State::Cancelling
}

fn accepted(turn: &mut Turn<'_>, response: Message) -> State {
    turn.stop_all();
    turn.start(Timer::M, turn.timing.patience());
    told(turn, response, State::Accepted)
}

fn completed(turn: &mut Turn<'_>, request: &Message, response: Message) -> State {
    // The To is the response's: its tag names the branch that refused (§17.1.1.3).
    let to = response.header(&HeaderName::To).unwrap_or_default();
    let ack = hop_request(request, &Method::Ack, to).finish().bytes().clone();
    turn.send(&ack);
    turn.stop_all();
    turn.start(Timer::D, turn.timing.timer_d());
    told(turn, response, State::Completed { ack })
}

fn acknowledged_again(turn: &mut Turn<'_>, ack: Bytes) -> State {
    turn.count("retransmissions_received");
    turn.send_again(&ack);
    State::Completed { ack }
}

/// A fork that answered after another one had made the proxy give up: the user acknowledges it and hangs up.
fn late_fork(turn: &mut Turn<'_>, response: Message, ack: Bytes) -> State {
    turn.tell(Happening::StrayOk { flow: turn.flow, message: response });
    State::Completed { ack }
}

fn repeated(turn: &mut Turn<'_>, request: &Message, interval: Duration, cancel: Option<Message>) -> State {
    turn.send_again(request.bytes());
    let interval = interval.saturating_mul(2);
    turn.start(Timer::A, interval);
    State::Calling { interval, cancel }
}

fn timed_out(turn: &mut Turn<'_>) -> Option<ClientInvite> {
    turn.count("transactions_timed_out");
    turn.tell(Happening::TimedOut { id: ClientId(turn.id) });
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
