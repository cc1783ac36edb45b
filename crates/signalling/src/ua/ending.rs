//! How a leg ends: with what its state asks for, once, and nothing of it stays.

use crate::dialog::Dialog;
use crate::interface::{End, EndedBy, Event, LegId, Reason};
use crate::leg::{Purpose, State};
use crate::message::{HeaderName, Message, Method, RequestBuilder};
use crate::transport::Flow;

use super::{Ua, quotable};

/// BYEs for dialogs that are no legs, at once: a flood of invented 2xx stops here.
const STRAY_BYES_MAX: usize = 1_000;

/// How a leg is ended by us.
#[derive(Clone, Debug)]
pub(crate) struct Release {
    /// Reason header value of a BYE or CANCEL.
    pub(crate) reason: String,
    /// Final answer where its INVITE waits for one.
    pub(crate) status: u16,
    /// Headers of that answer, kept from the other leg's refusal.
    pub(crate) kept: Vec<(HeaderName, String)>,
    /// What the engine is told.
    pub(crate) end: End,
}

impl Release {
    /// By our own decision.
    pub(crate) fn ours(reason: &Reason) -> Self {
        let text = quotable(&reason.text);
        let status = if (300..700).contains(&reason.cause) { reason.cause } else { 480 };
        Self {
            reason: format!("SIP;cause={};text=\"{text}\"", reason.cause),
            status,
            kept: Vec::new(),
            end: End { by: EndedBy::Local, status: Some(status), text },
        }
    }

    /// Because its peer left with this Reason.
    pub(crate) fn after_peer(reason: String, status: u16, text: &str) -> Self {
        Self {
            reason,
            status,
            kept: Vec::new(),
            end: End { by: EndedBy::Local, status: Some(status), text: text.to_owned() },
        }
    }
}

impl Ua {
    /// Ends one leg with what its state asks for and tells the engine. Its peer is the caller's business.
    pub(crate) fn release(&mut self, id: LegId, how: &Release) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if !leg.is_live() {
            return;
        }
        let mut end = how.end.clone();
        match std::mem::replace(&mut leg.state, State::Leaving) {
            State::Offered(server) | State::Proceeding(server) | State::Answering { server, .. } => {
                let tag = leg.local_tag.clone();
                self.answer(server, how.status, Some(&tag), |response| {
                    let reason = (how.end.by == EndedBy::Local && how.kept.is_empty()).then_some(&how.reason);
                    let response =
                        how.kept.iter().fold(response, |response, (name, value)| response.header(name.clone(), value));
                    reason.into_iter().fold(response, |response, reason| response.header(HeaderName::Reason, reason))
                });
                end.status.get_or_insert(how.status);
            }
            State::Prepared { .. } => {} // nothing has been sent
            State::Calling(client) => {
                leg.state = State::Cancelling;
                let now = self.now();
                self.transactions.cancel(now, client, Some(&how.reason), &mut self.steps);
            }
            State::Confirmed => {
                if leg.descriptions.is_agreed() {
                    end.status = None; // its INVITE did not fail
                }
                self.hang_up(id, &how.reason);
            }
            State::Cancelling | State::Leaving => {}
        }
        self.told_gone(id, end);
    }

    /// The remote party ended the leg: nothing is sent but the answer to what it left open.
    pub(crate) fn left(&mut self, id: LegId, end: End) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if !leg.is_live() {
            return;
        }
        leg.state = State::Leaving;
        leg.bye_after_ack = None;
        self.end_changes(id);
        self.stop_repeating(id);
        self.told_gone(id, end);
    }

    /// Our 2xx need not be repeated: its ACK came, or something that says as much.
    pub(crate) fn stop_repeating(&mut self, id: LegId) {
        if let Some(server) = self.leg_mut(id).and_then(|leg| leg.unacknowledged.take()) {
            self.transactions.acknowledged(server);
            self.servers.remove(&server);
        }
    }

    /// Forgets a leg that nothing is open on any more.
    pub(crate) fn settle(&mut self, id: LegId) {
        self.note_moved(id);
        let Some(leg) = self.legs.get(&id) else { return };
        let over = !leg.is_live() && leg.open_requests == 0 && leg.bye_after_ack.is_none();
        if over && let Some(leg) = self.legs.remove(&id) {
            self.tags.remove(&leg.local_tag);
            for server in leg.unacknowledged.into_iter().chain(leg.inbound) {
                self.servers.remove(&server);
            }
            self.emit(Event::Gone { leg: id });
        }
    }

    /// Forgets a leg that the engine hears no more of.
    pub(crate) fn forget(&mut self, id: LegId) {
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.state = State::Leaving;
        }
        self.settle(id);
    }

    /// BYE, now or when the ACK has come (RFC 3261 §15: not before it).
    fn hang_up(&mut self, id: LegId, reason: &str) {
        self.end_changes(id);
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if leg.unacknowledged.is_some() {
            leg.bye_after_ack = Some(reason.into());
            return;
        }
        if let Some(cseq) = leg.ack_owed {
            self.acknowledge(id, cseq, None); // its answer never came; the BYE follows at once
        }
        self.send_bye(id, reason);
    }

    pub(crate) fn send_bye(&mut self, id: LegId, reason: &str) {
        self.request_in(id, &Method::Bye, Purpose::Bye(id), |request| request.header(HeaderName::Reason, reason));
        if let Some(dialog) = self.leg_mut(id).and_then(|leg| leg.dialog.as_mut()) {
            dialog.terminate();
        }
    }

    /// A re-INVITE of theirs that was not answered is answered 487 (RFC 3261 §15.1.2); one of ours is cancelled.
    fn end_changes(&mut self, id: LegId) {
        if let Some(server) = self.leg_mut(id).and_then(|leg| leg.inbound.take()) {
            self.answer(server, 487, None, |response| response);
        }
        if let Some(client) = self.leg(id).and_then(|leg| leg.outbound) {
            self.cancel_change(client);
        }
    }

    fn told_gone(&mut self, id: LegId, end: End) {
        self.stop_ringing(id);
        self.stop_ack_wait(id);
        self.plans.retain(|_, leg| *leg != id);
        self.emit(Event::Ended { leg: id, end });
        self.gone.push(id);
        self.settle(id);
    }

    /// A leg that never came to be: the engine still gets its end.
    pub(crate) fn unborn(&mut self, id: LegId, status: u16, text: &str) {
        self.emit(Event::Ended {
            leg: id,
            end: End { by: EndedBy::Local, status: Some(status), text: text.to_owned() },
        });
    }

    /// A 2xx that crossed our CANCEL.
    pub(crate) fn end_cancelled(&mut self, id: LegId, flow: Flow, ok: &Message) {
        let invite = self.leg(id).and_then(|leg| leg.invite.clone());
        self.end_stray(flow, ok, invite.as_deref());
        self.settle(id);
    }

    /// A 2xx to an INVITE that no transaction knows. One that we cannot have sent is dropped: its Via is not ours
    /// (RFC 3261 §18.1.2).
    pub(crate) fn stray_ok(&mut self, flow: Flow, ok: &Message) {
        let (via, ours) = (ok.top_via(), self.local(flow, "").sent_by);
        let theirs = format!("{}:{}", via.host, via.port.unwrap_or(5060));
        if !theirs.eq_ignore_ascii_case(&ours) {
            return self.count("responses_misdirected");
        }
        self.repeated_ok(flow, ok);
    }

    /// A 2xx to an INVITE that had one already: its ACK was lost, or the INVITE forked and another party answered too.
    pub(crate) fn repeated_ok(&mut self, flow: Flow, ok: &Message) {
        let leg = self.by_tag(ok.from_tag()).filter(|leg| &*leg.call_id == ok.call_id());
        match leg {
            Some(leg) if leg.remote_tag() == Some(ok.to_tag()) => {
                let number = ok.cseq().number;
                let last = leg.last_ack.as_ref().filter(|last| last.cseq == number);
                let (Some(last), Some(dialog)) = (last.cloned(), &leg.dialog) else { return };
                let ack = dialog.ack(number, &last.branch, last.body).bytes().clone();
                let gone = last.flow.transport.is_stream() && !self.connections.has(last.flow);
                self.transmit(if gone { flow } else { last.flow }, ack);
            }
            _ => self.end_stray(flow, ok, None),
        }
    }

    /// A 2xx that belongs to no leg, or to another branch of a forked INVITE: it is acknowledged and ended
    /// (RFC 3261 §13.2.2.4).
    pub(crate) fn end_stray(&mut self, flow: Flow, ok: &Message, invite: Option<&Message>) {
        self.count("stray_ok");
        // Nobody gets us to send what was not asked for: only who we may have called.
        if invite.is_none() && (self.door.who(flow, "").is_none() || self.stray_byes >= STRAY_BYES_MAX) {
            return self.count("stray_ok_dropped");
        }
        self.stray_byes += 1;
        let rebuilt;
        let invite = match invite {
            Some(invite) => invite,
            None => {
                rebuilt = as_invite(ok);
                &rebuilt
            }
        };
        let mut dialog = Dialog::uac(invite, ok, self.local(flow, ""), flow);
        let (ack, bye) = (self.transactions.branch(), self.transactions.branch());
        let ack = dialog.ack(ok.cseq().number, &ack, None);
        self.transmit(flow, ack.bytes().clone());
        let reason = "SIP;cause=487;text=\"Call is over\"";
        let bye = dialog.request(&Method::Bye, &bye).header(HeaderName::Reason, reason).finish();
        self.request(flow, bye, Purpose::StrayBye);
    }
}

/// Enough of the INVITE that a 2xx answers to make its dialog.
fn as_invite(ok: &Message) -> Message {
    let to = ok.header(&HeaderName::To).unwrap_or_default();
    let untagged = to.find(";tag=").map_or(to, |at| &to[..at]);
    RequestBuilder::new(&Method::Invite, "sip:invalid")
        .header(HeaderName::Via, "SIP/2.0/UDP invalid;branch=z9hG4bK")
        .header(HeaderName::From, ok.header(&HeaderName::From).unwrap_or_default())
        .header(HeaderName::To, untagged)
        .header(HeaderName::CallId, ok.call_id())
        .header(HeaderName::CSeq, &format!("{} INVITE", ok.cseq().number))
        .finish()
}
