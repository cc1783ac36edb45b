//! A pair of legs: what one leg's event means for the other (RFC 7092).

mod change;
mod clear;
mod info;

use bytes::Bytes;

use crate::interface::{Event, LegId, NewLeg, Reason};
use crate::invite::{Extra, MAX_FORWARDS, allows_update};
use crate::leg::{Kind, State, Timer};
use crate::message::{HeaderName, Message, ResponseBuilder};
use crate::sdp::{MediaAddress, Sdp};
use crate::session::offer_answer::Told;
use crate::transaction::ServerId;
use crate::transport::Flow;
use crate::ua::{Release, Source, Ua};

impl Ua {
    /// The engine's answer to an offered call: the other side is called and the two legs are paired.
    pub(crate) fn connect(&mut self, caller: LegId, media: MediaAddress, new: &NewLeg) {
        let Some(leg) = self.leg_mut(caller).filter(|leg| matches!(leg.state, State::Offered(_))) else {
            return self.unborn(new.leg, 487, "Caller is gone"); // cancelled while the engine decided
        };
        let State::Offered(server) = leg.state else { return };
        leg.state = State::Proceeding(server);
        leg.descriptions.set_media(media);
        if leg.descriptions.remote_offer().is_some_and(|offer| !leg.descriptions.serves(offer)) {
            self.unborn(new.leg, 488, "No media");
            return self.release(caller, &no_address());
        }
        let (mut callee, route) = match self.prepare(new, Kind::Callee) {
            Ok(made) => made,
            Err(status) => {
                self.unborn(new.leg, status, "Not reachable");
                return self.release(caller, &Release::ours(&Reason { cause: status, text: "Not reachable".into() }));
            }
        };
        callee.descriptions.set_media(new.media);
        let Some(leg) = self.leg(caller) else { return };
        let offer = leg.descriptions.remote_offer().cloned();
        let body = offer.and_then(|offer| self.offer_to(&mut callee, caller, Source::Offer(&offer)));
        let Some(leg) = self.leg(caller) else { return };
        let extra =
            Extra { max_forwards: leg.invite.as_deref().map_or(MAX_FORWARDS, max_forwards_left), ..Extra::default() };
        self.place(callee, route, new, body, extra);
        self.pair(caller, new.leg);
    }

    /// A provisional answer from the called leg (RFC 3261 §13.2.2.1). 199 tells of a fork that failed and stays here.
    pub(crate) fn callee_rings(&mut self, id: LegId, response: &Message) {
        let status = response.status();
        if status <= 100 || status == 199 {
            return;
        }
        let answer = self.answer_of(id, response);
        self.emit(Event::Ringing { leg: id, status, early_media: answer.is_some() });
        let Some((caller, server)) = self.waiting_caller(id) else { return };
        let body = answer.and_then(|answer| self.early_media(id, caller, &answer, response.to_tag()));
        let reason = response.reason().to_owned();
        self.answer_on(
            caller,
            server,
            status,
            Some(&reason).filter(|reason| !reason.is_empty()).map(String::as_str),
            body,
        );
    }

    /// A description in a provisional answer: both sides may hear each other before the call is answered.
    fn early_media(&mut self, id: LegId, caller: LegId, answer: &Sdp, tag: &str) -> Option<Bytes> {
        if !self.reads(id, answer) {
            return None; // the final answer may be another phone's
        }
        let (body, told) = self.write_answer_for(caller, id, answer)?;
        let leg = self.leg_mut(id)?;
        leg.remember_early(tag, answer.clone());
        let seen = leg.descriptions.local_offer().map(|offered| leg.descriptions.preview(answer, offered))?;
        self.plan_agreed(id, &seen, true, None);
        let caller_leg = self.leg(caller)?;
        let seen = caller_leg.descriptions.remote_offer().map(|offer| caller_leg.descriptions.preview(offer, &told))?;
        self.plan_agreed(caller, &seen, true, None);
        self.pair_streams(id, caller);
        Some(body)
    }

    /// The called leg answered: ACK, plans, and the caller's 2xx once media stands.
    pub(crate) fn callee_answers(&mut self, id: LegId, flow: Flow, ok: &Message) {
        let cseq = ok.cseq().number;
        if self.confirm_uac(id, flow, ok).is_none() {
            return;
        }
        self.emit(Event::Answered { leg: id });
        let answer = self.answer_of(id, ok).or_else(|| self.leg(id)?.early_answer(ok.to_tag()));
        if let Some(leg) = self.leg_mut(id) {
            leg.early = Vec::new();
        }
        let Some((caller, server)) = self.waiting_caller(id) else { return self.fail_answered(id, cseq) };
        let late = self.leg(caller).is_some_and(|leg| leg.descriptions.remote_offer().is_none());
        let Some(answer) = answer.filter(|answer| late || self.reads(id, answer)) else {
            return self.fail_answered(id, cseq);
        };
        if late {
            return self.pass_late_offer(id, cseq, caller, server, answer);
        }
        self.acknowledge(id, cseq, None);
        let Some((body, told)) = self.write_answer_for(caller, id, &answer) else {
            return self.fail_answered(id, cseq);
        };
        self.agree_both(id, answer, caller, told);
        self.plan_media(id, None);
        self.answer_when_planned(caller, server, body);
    }

    /// The dialog that a 2xx to our first INVITE makes.
    pub(crate) fn confirm_uac(&mut self, id: LegId, flow: Flow, ok: &Message) -> Option<()> {
        self.stop_ringing(id);
        let dialog = self.dialog_of(self.leg(id)?, ok, flow)?;
        let leg = self.leg_mut(id)?;
        leg.dialog = Some(dialog);
        leg.state = State::Confirmed;
        leg.allows_update = allows_update(ok);
        leg.invite = None;
        Some(())
    }

    /// The 2xx of this leg leaves when the shard has its plan, or never (RFC 3261 §13.3.1.4 lets it wait).
    pub(crate) fn answer_when_planned(&mut self, caller: LegId, server: ServerId, body: Bytes) {
        let plan = self.new_plan(caller);
        let deadline = self.now() + self.settings.media_deadline;
        if let Some(leg) = self.leg_mut(caller) {
            leg.state = State::Answering { server, plan, body };
        }
        self.set_timer(deadline, Timer::Media(caller));
        self.plan_media(caller, Some(plan));
    }

    /// The shard's answer.
    pub(crate) fn media_done(&mut self, plan: crate::interface::PlanId, ok: bool) {
        let Some(id) = self.plans.remove(&plan) else { return };
        if !ok {
            return self.media_failed(id);
        }
        let Some(leg) = self.leg_mut(id) else { return };
        match std::mem::replace(&mut leg.state, State::Confirmed) {
            State::Answering { server, plan: waited, body } if waited == plan => {
                self.answer_caller(id, server, body);
            }
            other => leg.state = other,
        }
    }

    /// No media for the call: 503 to who called, BYE to who answered.
    pub(crate) fn media_failed(&mut self, id: LegId) {
        if self.leg(id).is_some_and(|leg| matches!(leg.state, State::Answering { .. })) {
            self.count("media_plans_failed");
            self.clear_call(id, &Release::ours(&Reason { cause: 503, text: "No media".into() }));
        }
    }

    /// The 2xx to who called.
    pub(crate) fn answer_caller(&mut self, id: LegId, server: ServerId, body: Bytes) {
        if let Some(leg) = self.leg_mut(id) {
            leg.state = State::Confirmed;
            leg.invite = None;
            if let Some(dialog) = &mut leg.dialog {
                dialog.confirm();
            }
        }
        self.answer_on(id, server, 200, None, Some(body));
        self.emit(Event::Answered { leg: id });
        if let Some(old) = self.leg_mut(id).and_then(|leg| leg.replacing.take()) {
            self.take_place(id, old);
        }
    }

    /// The called leg's offer goes to the caller in the 2xx; the answer comes in the ACK (RFC 3261 §13.2.1).
    fn pass_late_offer(&mut self, id: LegId, cseq: u32, caller: LegId, server: ServerId, offer: Sdp) {
        let Some(offer) = self.admit_offer(id, offer).ok() else { return self.fail_answered(id, cseq) };
        let body = self.offer_on(caller, id, Source::Offer(&offer));
        let Some(body) = body else { return self.fail_answered(id, cseq) };
        if let Some(leg) = self.leg_mut(id) {
            leg.descriptions.receive_offer(offer);
            leg.ack_owed = Some(cseq);
        }
        self.answer_caller(caller, server, body);
    }

    /// What answered cannot be served: ACK, BYE, and 488 to who called.
    fn fail_answered(&mut self, id: LegId, cseq: u32) {
        self.count("answers_unusable");
        if self.leg(id).is_some_and(|leg| leg.last_ack.is_none()) {
            self.acknowledge(id, cseq, None);
        }
        self.clear_call(id, &Release::ours(&Reason { cause: 488, text: "No codec in common".into() }));
    }

    /// The called leg refused, or never answered (408).
    pub(crate) fn callee_refuses(&mut self, id: LegId, response: Option<&Message>) {
        let status = response.map_or(408, Message::status);
        let by =
            if response.is_some() { crate::interface::EndedBy::Remote } else { crate::interface::EndedBy::Timeout };
        let text = response.map(reason_text).unwrap_or_default();
        let caller = self.unpair(id);
        self.left(id, crate::interface::End { by, status: Some(status), text: text.clone() });
        let Some(caller) = caller else { return };
        let passed = passed_status(status);
        let mut release = Release::after_peer(format!("SIP;cause={passed}"), passed, &text);
        release.kept = response.map(kept_headers).unwrap_or_default();
        self.release(caller, &release);
    }

    /// An ACK of a 2xx of ours.
    pub(crate) fn acknowledged(&mut self, id: LegId, ack: &Message) {
        self.stop_repeating(id);
        let Some(leg) = self.leg_mut(id) else { return };
        if let Some(reason) = leg.bye_after_ack.take() {
            return self.send_bye(id, &reason);
        }
        let answer_due = leg.is_confirmed() && leg.outbound.is_none() && leg.descriptions.local_offer().is_some();
        if answer_due {
            self.pass_late_answer(id, ack);
        }
    }

    /// The answer in an ACK goes on in the ACK that the peer waits for.
    fn pass_late_answer(&mut self, id: LegId, ack: &Message) {
        if matches!(self.leg(id).map(|leg| &leg.kind), Some(Kind::Listener { .. })) || self.peer_of(id).is_none() {
            return self.take_late_answer(id, ack);
        }
        let Some(peer) = self.peer_of(id) else { return };
        let cseq = self.leg(peer).and_then(|leg| leg.ack_owed);
        let answer = self.answer_of(id, ack).filter(|answer| self.reads(id, answer));
        let (Some(answer), Some(cseq)) = (answer, cseq) else { return self.no_late_answer(id) };
        let Some((body, told)) = self.write_answer_for(peer, id, &answer) else { return self.no_late_answer(id) };
        self.acknowledge(peer, cseq, Some(body));
        self.agree_both(id, answer, peer, told);
        self.plan_media(peer, None);
        self.plan_media(id, None);
    }

    fn no_late_answer(&mut self, id: LegId) {
        self.count("late_answers_missing");
        self.clear_call(id, &Release::ours(&Reason { cause: 488, text: "No answer in the ACK".into() }));
    }

    /// A leg's answer can be taken for what it says of encryption.
    pub(crate) fn reads(&mut self, id: LegId, answer: &Sdp) -> bool {
        let reads = self.leg(id).is_none_or(|leg| leg.descriptions.reads(answer));
        if !reads {
            self.count("srtp_answers_refused");
        }
        reads
    }

    /// A leg's offer as it may be taken, by the policy of its party and what is in force there.
    ///
    /// # Errors
    /// What is missing.
    pub(crate) fn admit_offer(&mut self, id: LegId, offer: Sdp) -> Result<Sdp, &'static str> {
        let Some(leg) = self.leg(id) else { return Ok(offer) };
        let admitted = leg.descriptions.admit(offer);
        if admitted.is_err() {
            self.count("srtp_offers_refused");
        }
        admitted
    }

    /// `answerer` answered our offer with `answer`; `offerer`'s offer was answered with `told`.
    pub(crate) fn agree_both(&mut self, answerer: LegId, answer: Sdp, offerer: LegId, told: Told) {
        if let Some(leg) = self.leg_mut(answerer) {
            leg.descriptions.agree_as_offerer(answer);
        }
        if let Some(leg) = self.leg_mut(offerer) {
            leg.descriptions.agree_as_answerer(told);
        }
        self.pair_streams(answerer, offerer);
    }

    /// The caller's leg that waits for what this leg says.
    fn waiting_caller(&self, id: LegId) -> Option<(LegId, ServerId)> {
        let caller = self.peer_of(id)?;
        match self.leg(caller)?.state {
            State::Proceeding(server) => Some((caller, server)),
            _ => None,
        }
    }
}

/// Why a description in a family that we lack is refused (488).
pub(crate) fn no_address() -> Release {
    Release::ours(&Reason { cause: 488, text: "Address family is not available".into() })
}

/// The session description of a message, if it carries one that can be served.
pub(crate) fn description(message: &Message) -> Option<Sdp> {
    crate::admission::session_body(message).ok().flatten()
}

/// What is kept of a refusal on its way to who called.
pub(crate) fn kept_headers(response: &Message) -> Vec<(HeaderName, String)> {
    const KEPT: [HeaderName; 3] = [HeaderName::Warning, HeaderName::RetryAfter, HeaderName::Reason];
    KEPT.iter().flat_map(|name| response.headers(name).map(|value| (name.clone(), value.to_owned()))).collect()
}

/// The status that who called gets for the status that came: redirections are not followed and challenges are ours
/// alone, so neither is passed on.
pub(crate) fn passed_status(status: u16) -> u16 {
    match status {
        300..=399 | 401 | 407 | 481 | 487 => 480,
        status if (400..700).contains(&status) => status,
        _ => 500,
    }
}

/// The text of Reason, else the reason phrase.
pub(crate) fn reason_text(message: &Message) -> String {
    match message.header(&HeaderName::Reason) {
        Some(reason) => reason.to_owned(),
        None => message.reason().to_owned(),
    }
}

fn max_forwards_left(invite: &Message) -> u32 {
    invite.max_forwards().map_or(MAX_FORWARDS, |left| u32::from(left).saturating_sub(1))
}

/// Adds headers to an answer.
pub(crate) fn with_headers(response: ResponseBuilder, headers: Vec<(HeaderName, String)>) -> ResponseBuilder {
    headers.into_iter().fold(response, |response, (name, value)| response.header(name, &value))
}
