//! The top of the crate: every input comes in here, is given to the floor that knows it, and leaves nothing undone.

use std::time::Instant;

use bytes::Bytes;

use crate::admission::Inside;
use crate::interface::{Command, Counters, DialogCopy, Input, LegId, Output, Settings, Sizes};
use crate::leg::{Kind, Purpose, State, Timer};
use crate::message::{Limits, Message, Method, ParseError};
use crate::peers::PeerId;
use crate::transaction::{ClientId, Happening, ServerId, Step};
use crate::transfer::Transfers;
use crate::transport::Flow;
use crate::transport::framing::{Lost, Piece};
use crate::ua::{Release, Ua};

/// The whole core: the user agent, and the transfers above it.
#[derive(Debug)]
pub(crate) struct Core {
    ua: Ua,
    transfers: Transfers,
    limits: Limits,
    /// Room for the steps that are being carried out.
    spare: Vec<Step>,
}

impl Core {
    pub(crate) fn new(settings: Settings, seed: [u8; 32]) -> Self {
        Self {
            ua: Ua::new(settings, seed),
            transfers: Transfers::default(),
            limits: Limits::default(),
            spare: Vec::new(),
        }
    }

    pub(crate) fn new_leg(&mut self) -> LegId {
        self.ua.new_leg()
    }

    pub(crate) fn drive(&mut self, now: Instant, input: Input, outputs: &mut Vec<Output>) {
        self.ua.set_now(now);
        std::mem::swap(&mut self.ua.outputs, outputs);
        match input {
            Input::Datagram { flow, data } => self.datagram(now, flow, data),
            Input::SendFailed { flow } if flow.transport.is_stream() => self.ua.flow_gone(flow),
            Input::SendFailed { flow } => self.ua.transactions.send_failed(now, flow, &mut self.ua.steps),
            Input::FlowOpened { flow } => self.ua.flow_opened(flow),
            Input::Bytes { flow, data } => self.stream(now, flow, &data),
            Input::FlowClosed { flow } => self.ua.flow_gone(flow),
            Input::Timeout => {}
            Input::MediaDone { plan, ok } => self.ua.media_done(plan, ok),
            Input::Command(command) => self.command(command),
        }
        self.ua.transactions.wake(now, &mut self.ua.steps);
        self.ua.door_timers();
        self.ua.flow_timers();
        while let Some(timer) = self.ua.due_timer() {
            self.timer(timer);
        }
        self.drain();
        std::mem::swap(&mut self.ua.outputs, outputs);
    }

    pub(crate) fn wake_at(&self) -> Option<Instant> {
        self.ua.wake_at()
    }

    pub(crate) fn spare_media(&mut self) -> &mut Vec<crate::sdp::MediaAddress> {
        &mut self.ua.spare_media
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.ua.counters
    }

    pub(crate) fn sizes(&self) -> Sizes {
        Sizes {
            legs: self.ua.legs.len(),
            transactions: self.ua.transactions.len(),
            transfers: self.transfers.len(),
            bindings: self.ua.door.registrar.len(),
            connections: self.ua.connections.len(),
            plans: self.ua.plans.len(),
            indexes: self.ua.indexes(),
            timers: self.ua.timers(),
        }
    }

    pub(crate) fn sip_call_id(&self, leg: LegId) -> Option<&str> {
        self.ua.leg(leg).map(|leg| &*leg.call_id)
    }

    pub(crate) fn dialog(&self, leg: LegId) -> Option<DialogCopy> {
        self.ua.dialog_copy(leg)
    }

    pub(crate) fn reachable(&self, peer: PeerId) -> bool {
        self.ua.door.is_reachable(peer)
    }
}

/// What comes in.
impl Core {
    fn datagram(&mut self, now: Instant, flow: Flow, data: Bytes) {
        match Message::parse(data.clone(), &self.limits) {
            Ok(message) => {
                if self.ua.turn_away(flow, &message) {
                    return;
                }
                self.ua.door.heard_on(flow);
                self.ua.admit(now, flow, message);
            }
            Err(ParseError::KeepAlive) => self.ua.count("keep_alives"),
            Err(error) => self.ua.refuse_broken(flow, &data, &error),
        }
    }

    /// One piece after the other, each with all that follows from it, as if it had come alone.
    fn stream(&mut self, now: Instant, flow: Flow, data: &Bytes) {
        if !self.ua.connections.has(flow) {
            return; // it was closed meanwhile
        }
        if !self.ua.connections.receive(now, flow, data) {
            return self.ua.close_flow(flow, "connections_closed_full");
        }
        while let Some(piece) = self.ua.connections.next(now, flow) {
            match piece {
                Piece::Ping => {
                    self.ua.count("keep_alives");
                    self.ua.transmit(flow, Bytes::from_static(b"\r\n")); // RFC 5626 §4.4.1
                }
                Piece::Message(data) => self.streamed(now, flow, data),
                Piece::Lost(lost) => self.unframed(flow, &lost),
            }
            self.drain();
        }
    }

    /// One message out of a stream. A broken one is answered and the next one follows; but where the parser sees another
    /// end than the framing did, nobody knows what follows.
    fn streamed(&mut self, now: Instant, flow: Flow, data: Bytes) {
        match Message::parse(data.clone(), &self.limits) {
            Ok(message) if message.bytes().len() != data.len() => {
                let error = ParseError::Malformed("message ends elsewhere");
                self.unframed(flow, &Lost { error, head: data, counter: "stream_framing_disputed" });
            }
            Ok(message) => {
                if self.ua.turn_away(flow, &message) {
                    return;
                }
                self.ua.announced(flow, &message);
                self.ua.admit(now, flow, message);
            }
            Err(error) => self.ua.refuse_broken(flow, &data, &error),
        }
    }

    /// The framing is lost: the last answer, and the end.
    fn unframed(&mut self, flow: Flow, lost: &Lost) {
        self.ua.count(lost.counter);
        if lost.error != ParseError::NotSip {
            self.ua.refuse_broken(flow, &lost.head, &lost.error);
        }
        self.ua.close_flow(flow, "connections_closed_framing");
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Peers(peers) => self.ua.door.set_peers(peers),
            Command::Connect { caller, caller_media, callee } => self.ua.connect(caller, caller_media, &callee),
            Command::Replace { new, old, media } => self.ua.replace(new, old, media),
            Command::Refuse { leg, status, retry_after } => self.ua.refuse_offered(leg, status, retry_after),
            Command::Call { leg, codecs, direction, encrypted } => self.ua.call(&leg, codecs, direction, encrypted),
            Command::End { leg, reason } => self.ua.clear_call(leg, &Release::ours(&reason)),
            Command::AcceptTransfer { transfer, target } => self.transfers.accept(&mut self.ua, transfer, target),
            Command::RefuseTransfer { transfer, status } => self.transfers.refuse(&mut self.ua, transfer, status),
            Command::Probe { leg } => self.ua.probe(leg),
            Command::Recorded { leg } => self.ua.recorded(leg),
            Command::RegistrationKept { receipt } => self.ua.registration_kept(receipt),
            Command::RestoreBindings { peer, bindings } => {
                let now = self.ua.now();
                self.ua.door.restore(now, peer, bindings);
            }
            Command::EndOrphan { orphan, dialog, reason } => self.ua.end_orphan(orphan, &dialog, &reason),
        }
    }

    /// Carries out what the transactions want until nothing is left, and lets transfers see what became of their legs.
    fn drain(&mut self) {
        loop {
            let mut steps = std::mem::replace(&mut self.ua.steps, std::mem::take(&mut self.spare));
            for step in steps.drain(..) {
                match step {
                    Step::Transmit { flow, data } => self.ua.transmit(flow, data),
                    Step::Happening(happening) => self.happening(happening),
                }
            }
            self.spare = steps;
            for leg in std::mem::take(&mut self.ua.gone) {
                self.transfers.leg_gone(&mut self.ua, leg);
            }
            self.transfers.look(&mut self.ua);
            if self.ua.steps.is_empty() && self.ua.gone.is_empty() {
                break;
            }
        }
        let of_transactions = self.ua.transactions.counters().iter().map(|(name, value)| (*name, *value));
        self.ua.counters.values.extend(of_transactions);
    }

    fn timer(&mut self, timer: Timer) {
        match timer {
            Timer::Ring(leg) => self.rang_out(leg),
            Timer::Media(leg) => self.ua.media_failed(leg),
            Timer::Change(client) => self.ua.cancel_change(client),
            Timer::Passed(client) => self.ua.passed_overdue(client),
            Timer::Ack(leg) => self.ua.record_overdue(leg),
            Timer::Receipt(receipt) => self.ua.registration_overdue(receipt),
            other => self.transfers.timer(&mut self.ua, other),
        }
    }

    /// An INVITE of ours got no final answer in time (RFC 3261 §16.6, Timer C; or the listener's ring time).
    fn rang_out(&mut self, id: LegId) {
        let Some(leg) = self.ua.leg_mut(id).filter(|leg| matches!(leg.state, State::Calling(_))) else { return };
        leg.ring_until = None;
        match leg.kind {
            Kind::Target(transfer) => self.transfers.target_rang_out(&mut self.ua, transfer, id),
            _ => self.ua.no_answer(id),
        }
    }
}

/// What the transactions tell.
impl Core {
    fn happening(&mut self, happening: Happening) {
        match happening {
            Happening::Request { id, flow, message } => self.request(id, flow, &message),
            Happening::Ack { flow, message } => {
                if let Some(leg) = self.ua.ack_leg(flow, &message) {
                    self.ua.acknowledged(leg, &message);
                }
            }
            Happening::Cancelled { id, cancel } => {
                if let Some(leg) = self.ua.servers.get(&id).copied() {
                    self.ua.change_cancelled(leg, id);
                    self.ua.cancelled(leg, &cancel);
                }
            }
            Happening::Response { id, flow, message } => self.response(id, flow, &message),
            Happening::StrayOk { flow, message } => self.ua.stray_ok(flow, &message),
            Happening::TimedOut { id } => self.timed_out(id),
            Happening::NoAck { id } => {
                if let Some(leg) = self.ua.servers.remove(&id) {
                    self.ua.never_acknowledged(leg);
                    self.ua.settle(leg);
                }
            }
        }
    }

    fn request(&mut self, server: ServerId, flow: Flow, request: &Message) {
        if request.to_tag().is_empty() || request.method() == Method::Register {
            self.ua.outside(server, flow, request);
            return self.ua.forget_stranger(server, flow, request);
        }
        let Some(Inside { leg, method }) = self.ua.inside(server, flow, request) else {
            return self.ua.forget_stranger(server, flow, request);
        };
        match method {
            Method::Invite | Method::Update => self.ua.change_asked(leg, server, request),
            Method::Bye => {
                self.ua.answer(server, 200, None, |response| response);
                self.transfers.before_bye(&mut self.ua, leg);
                self.ua.hung_up(leg, request);
            }
            Method::Refer => self.transfers.refer(&mut self.ua, leg, server, request),
            Method::Info => self.ua.info(leg, server, request),
            _ => self.ua.answer_options(server),
        }
    }

    fn response(&mut self, client: ClientId, flow: Flow, response: &Message) {
        let Some(purpose) = self.ua.clients.get(&client).cloned() else {
            if response.method() == Method::Invite && response.status() / 100 == 2 {
                self.ua.repeated_ok(flow, response);
            }
            return;
        };
        match purpose {
            Purpose::Invite(leg) => self.invite_response(client, leg, flow, response),
            Purpose::Change { leg, from, server } => self.ua.change_answered(client, leg, from, server, Some(response)),
            Purpose::Join { leg, transfer } => {
                self.transfers.join_answered(&mut self.ua, client, leg, transfer, Some(response))
            }
            Purpose::OrphanInvite(orphan) => self.ua.orphan_answered(client, orphan, Some((flow, response))),
            _ if response.status() < 200 => {}
            other => self.finished(client, other, Some(response)),
        }
    }

    fn timed_out(&mut self, client: ClientId) {
        match self.ua.clients.get(&client).cloned() {
            None => {}
            Some(Purpose::Invite(leg)) => self.invite_failed(client, leg, None),
            Some(Purpose::Change { leg, from, server }) => self.ua.change_answered(client, leg, from, server, None),
            Some(Purpose::Join { leg, transfer }) => {
                self.transfers.join_answered(&mut self.ua, client, leg, transfer, None)
            }
            Some(Purpose::OrphanInvite(orphan)) => self.ua.orphan_answered(client, orphan, None),
            Some(other) => self.finished(client, other, None),
        }
    }

    /// A request that changes no session got its final answer, or none.
    fn finished(&mut self, client: ClientId, purpose: Purpose, response: Option<&Message>) {
        self.ua.close_request(client);
        let status = response.map(Message::status);
        match purpose {
            Purpose::Info { server, .. } => self.ua.info_answered(server, response),
            Purpose::Notify { transfer, .. } => self.transfers.notified(transfer, status),
            Purpose::Probe(leg) => self.ua.probed(leg, status),
            Purpose::OrphanBye(orphan) => self.ua.orphan_ended(orphan),
            _ => {}
        }
        if let Some(leg) = purpose.leg() {
            self.ua.settle(leg);
        }
    }

    fn invite_response(&mut self, client: ClientId, id: LegId, flow: Flow, response: &Message) {
        let Some(leg) = self.ua.leg(id) else { return };
        let kind = leg.kind.clone();
        let cancelling = matches!(leg.state, State::Cancelling);
        match response.status() {
            0..200 if cancelling => {}
            0..200 => match kind {
                Kind::Listener { .. } => self.ua.listener_rings(id, response),
                Kind::Target(transfer) => self.transfers.target_rings(&mut self.ua, transfer, id, response),
                Kind::Caller | Kind::Callee => self.ua.callee_rings(id, response),
            },
            200..300 if cancelling => {
                self.ua.close_request(client);
                self.ua.end_cancelled(id, flow, response); // it crossed our CANCEL
            }
            200..300 => {
                self.ua.close_request(client);
                match kind {
                    Kind::Listener { .. } => self.ua.listener_answers(id, flow, response),
                    Kind::Target(transfer) => self.transfers.target_answers(&mut self.ua, transfer, id, flow, response),
                    Kind::Caller | Kind::Callee => self.ua.callee_answers(id, flow, response),
                }
            }
            _ => self.invite_failed(client, id, Some(response)),
        }
    }

    fn invite_failed(&mut self, client: ClientId, id: LegId, response: Option<&Message>) {
        self.ua.close_request(client);
        let Some(leg) = self.ua.leg(id) else { return };
        match (&leg.state, &leg.kind) {
            (State::Cancelling, _) => self.ua.settle(id),
            (_, Kind::Listener { .. }) => self.ua.listener_refuses(id, response),
            (_, Kind::Target(transfer)) => {
                let transfer = *transfer;
                self.transfers.target_refuses(&mut self.ua, transfer, id, response);
            }
            (_, Kind::Caller | Kind::Callee) => self.ua.callee_refuses(id, response),
        }
    }
}
