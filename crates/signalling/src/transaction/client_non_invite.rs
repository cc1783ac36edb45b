//! Non-INVITE client transaction (RFC 3261 §17.1.2).

use std::time::Duration;

use super::client_invite::failure;
use super::timer::Timer;
use super::turn::Turn;
use super::{ClientId, Happening};
use crate::message::Message;

/// A request of ours that is no INVITE.
#[derive(Debug)]
pub(super) struct ClientNonInvite {
    request: Message,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing came yet.
    Trying { interval: Duration },
    /// A provisional answer came.
    Proceeding,
    /// The final answer came.
    Completed,
}

impl ClientNonInvite {
    /// Sends the request.
    pub(super) fn start(turn: &mut Turn<'_>, request: Message) -> Self {
        turn.send(request.bytes());
        turn.repeat(Timer::E, turn.timing.t1); // §17.1.2.2
        turn.start(Timer::F, turn.timing.patience()); // §17.1.2.2
        Self { request, state: State::Trying { interval: turn.timing.t1 } }
    }

    /// The request as it was sent.
    pub(super) fn request(&self) -> &Message {
        &self.request
    }

    /// Takes a response that matches.
    pub(super) fn receive(self, turn: &mut Turn<'_>, response: Message) -> Self {
        use State::{Completed, Proceeding, Trying};
        let state = match (self.state, response.status() / 100) {
            (Trying { .. } | Proceeding, 1) => told(turn, response, Proceeding), // §17.1.2.2; E goes on, next at T2
            (Trying { .. } | Proceeding, _) => completed(turn, response),        // §17.1.2.2
            (Completed, _) => Completed,                                         // §17.1.2.2: absorbed
        };
        Self { state, ..self }
    }

    /// A timer is due.
    pub(super) fn fire(self, turn: &mut Turn<'_>, timer: Timer) -> Option<Self> {
        use State::{Completed, Proceeding, Trying};
        let state = match (self.state, timer) {
            (Trying { interval }, Timer::E) => repeated(turn, &self.request, turn.timing.backoff(interval)), // §17.1.2.2
            (Proceeding, Timer::E) => repeated_slowly(turn, &self.request), // §17.1.2.2
            (Trying { .. } | Proceeding, Timer::F) => return timed_out(turn), // §17.1.2.2
            (Completed, Timer::K) => return None,                           // §17.1.2.2
            (state, _) => state,
        };
        Some(Self { state, ..self })
    }

    /// What it sent did not leave (RFC 3261 §17.1.4).
    pub(super) fn send_failed(self, turn: &mut Turn<'_>) -> Option<Self> {
        match self.state {
            State::Trying { .. } | State::Proceeding => timed_out(turn),
            State::Completed => Some(self),
        }
    }

    /// Its connection has failed: as if this had been answered (RFC 3261 §8.1.3.1), unless the answer has come already.
    pub(super) fn connection_failed(self, turn: &mut Turn<'_>, status: u16) -> Option<Self> {
        if matches!(self.state, State::Completed) {
            return Some(self);
        }
        turn.count("transactions_unsent");
        let message = failure(&self.request, status);
        turn.tell(Happening::Response { id: ClientId(turn.id), flow: turn.flow, message });
        None
    }

    /// Nothing of it has left; it is sent by another way now.
    pub(super) fn sent_otherwise(self, turn: &mut Turn<'_>, request: Message) -> Self {
        turn.stop_all();
        Self::start(turn, request)
    }
}

/// The user hears of everything but 100.
fn told(turn: &mut Turn<'_>, response: Message, state: State) -> State {
    if response.status() > 100 {
        turn.tell(Happening::Response { id: ClientId(turn.id), flow: turn.flow, message: response });
    }
    state
}

fn completed(turn: &mut Turn<'_>, response: Message) -> State {
    turn.stop_all();
    turn.absorb(Timer::K, turn.timing.t4);
    told(turn, response, State::Completed)
}

fn repeated(turn: &mut Turn<'_>, request: &Message, interval: Duration) -> State {
    turn.send_again(request.bytes());
    turn.start(Timer::E, interval);
    State::Trying { interval }
}

fn repeated_slowly(turn: &mut Turn<'_>, request: &Message) -> State {
    turn.send_again(request.bytes());
    turn.start(Timer::E, turn.timing.t2);
    State::Proceeding
}

fn timed_out(turn: &mut Turn<'_>) -> Option<ClientNonInvite> {
    turn.count("transactions_timed_out");
    turn.tell(Happening::TimedOut { id: ClientId(turn.id) });
    None
}
