//! A session changes: re-INVITE and UPDATE pass from one leg to the other and their answers back
//! (RFC 3261 §14, RFC 3311, RFC 6337).

use rand::RngExt;

use super::{kept_headers, passed_status, with_headers};
use crate::interface::{EndedBy, LegId, Reason};
use crate::leg::{Kind, Purpose, State};
use crate::message::{HeaderName, Message, Method};
use crate::sdp::{Direction, Sdp};
use crate::session::offer_answer::{effective, legal_answer, served};
use crate::session::update::{NotNow, may_change};
use crate::transaction::{ClientId, ServerId};
use crate::ua::{Release, Source, Ua};

impl Ua {
    /// A re-INVITE or UPDATE has come on a leg.
    pub(crate) fn change_asked(&mut self, id: LegId, server: ServerId, request: &Message) {
        let method = request.method();
        let offer = match crate::admission::session_body(request) {
            Ok(offer) => offer,
            Err(fault) => return self.refuse_fault(server, &fault),
        };
        let Some(leg) = self.leg(id) else { return };
        if leg.dialog.is_none() {
            return self.refuse_for_now(server, NotNow::Unfinished); // an early dialog of an INVITE of ours
        }
        if offer.is_none() && method == Method::Update {
            return self.answer_on(id, server, 200, None, None); // a target refresh, nothing more
        }
        let Some(leg) = self.leg(id) else { return };
        if !leg.is_confirmed() {
            return self.refuse_for_now(server, NotNow::Unfinished);
        }
        if let Err(why) = may_change(leg.open()) {
            return self.refuse_for_now(server, why);
        }
        let offer = match offer.map(|offer| self.admit_offer(id, offer)).transpose() {
            Ok(offer) => offer,
            Err(what) => return self.refuse_fault(server, &crate::admission::not_acceptable(what)),
        };
        // A newer INVITE says that the 2xx of the last one has come; its ACK was lost or is late.
        self.stop_repeating(id);
        match self.peer_of(id) {
            None => self.change_alone(id, server, offer),
            Some(peer) => self.change_peer(id, peer, server, &method, offer),
        }
    }

    /// The change passes to the other leg.
    fn change_peer(&mut self, id: LegId, peer: LegId, server: ServerId, method: &Method, offer: Option<Sdp>) {
        let Some(other) = self.leg(peer).filter(|leg| leg.is_settled()) else {
            return self.refuse_for_now(server, NotNow::Pending);
        };
        let passed = if *method == Method::Update && other.allows_update { Method::Update } else { Method::Invite };
        self.begin_change(id, peer, server, &passed, offer);
    }

    /// Sends `from`'s offer (or the wish for one) on to `to`; the answer goes to `server`.
    pub(crate) fn begin_change(
        &mut self,
        from: LegId,
        to: LegId,
        server: ServerId,
        method: &Method,
        offer: Option<Sdp>,
    ) {
        let served = |offer: &Sdp| self.leg(from).is_some_and(|leg| leg.descriptions.serves(offer));
        let body = match &offer {
            None => None,
            Some(offer) if !served(offer) => return self.refuse(server, 488),
            Some(offer) => {
                let body = self.offer_on(to, from, Source::Offer(offer));
                if body.is_none() {
                    return self.refuse(server, 500);
                }
                body
            }
        };
        self.servers.insert(server, from);
        if let Some(leg) = self.leg_mut(from) {
            leg.inbound = Some(server);
            if let Some(offer) = offer {
                leg.descriptions.receive_offer(offer);
            }
        }
        self.change(to, method, body, Purpose::Change { leg: to, from, server });
    }

    /// The other leg's answer to a change, or none (`None`: it never came).
    pub(crate) fn change_answered(
        &mut self,
        client: ClientId,
        id: LegId,
        from: LegId,
        server: ServerId,
        response: Option<&Message>,
    ) {
        if response.is_some_and(|response| response.status() < 200) {
            return;
        }
        self.close_request(client);
        match response {
            Some(ok) if ok.status() < 300 => self.change_accepted(id, from, server, ok),
            refusal => self.change_refused(id, from, server, refusal),
        }
        self.settle(id);
    }

    fn change_accepted(&mut self, id: LegId, from: LegId, server: ServerId, ok: &Message) {
        let invite = ok.method() == Method::Invite;
        let cseq = ok.cseq().number;
        let Some(leg) = self.leg_mut(id) else { return };
        if let Some(dialog) = &mut leg.dialog {
            dialog.receive_response(ok);
        }
        let asked = leg.descriptions.local_offer().is_some();
        let late = !asked && invite;
        let waits = self.leg(from).is_some_and(|leg| leg.inbound == Some(server) || is_proceeding(&leg.state, server));
        let described = self.answer_of(id, ok);
        if late && waits && self.leg(id).is_some_and(|leg| leg.is_confirmed()) {
            return self.late_change_offered(id, from, server, cseq, described);
        }
        if invite {
            self.acknowledge(id, cseq, None);
        }
        if !waits {
            return self.drop_offer(id); // who asked is gone; the leg itself is being ended too
        }
        let answer = described.filter(|answer| self.reads(id, answer));
        let written = answer.as_ref().and_then(|answer| self.write_answer_for(from, id, answer));
        let (Some(answer), Some((body, told))) = (answer, written) else {
            self.count("answers_unusable");
            self.drop_offer(id);
            return self.refuse_change(from, server, 488, Vec::new());
        };
        self.agree_both(id, answer, from, told);
        self.plan_media(id, None);
        if self.leg(from).is_some_and(|leg| is_proceeding(&leg.state, server)) {
            self.clear_inbound(from);
            return self.answer_when_planned(from, server, body); // INVITE with Replaces
        }
        self.plan_media(from, None);
        self.clear_inbound(from);
        self.answer_on(from, server, 200, None, Some(body));
    }

    /// A re-INVITE without an offer was answered with one: it goes back, its answer comes in the ACK.
    fn late_change_offered(&mut self, id: LegId, from: LegId, server: ServerId, cseq: u32, offer: Option<Sdp>) {
        let offer = offer.and_then(|offer| self.admit_offer(id, offer).ok());
        let body = offer.as_ref().and_then(|offer| self.offer_on(from, id, Source::Offer(offer)));
        let (Some(offer), Some(body)) = (offer, body) else {
            self.acknowledge(id, cseq, None);
            return self.refuse_change(from, server, 488, Vec::new());
        };
        if let Some(leg) = self.leg_mut(id) {
            leg.descriptions.receive_offer(offer);
            leg.ack_owed = Some(cseq);
        }
        self.clear_inbound(from);
        if self.leg(from).is_some_and(|leg| is_proceeding(&leg.state, server)) {
            return self.answer_caller(from, server, body); // INVITE with Replaces
        }
        self.answer_on(from, server, 200, None, Some(body));
    }

    fn change_refused(&mut self, id: LegId, from: LegId, server: ServerId, refusal: Option<&Message>) {
        self.drop_offer(id);
        let status = refusal.map_or(408, Message::status);
        let kept = refusal.map(kept_headers).unwrap_or_default();
        let update = self.transactions.server_request(server).is_some_and(|asked| asked.method() == Method::Update);
        // RFC 4320 §4.2 forbids 408 to what is no INVITE
        let passed = if refusal.is_none() && update { 504 } else { passed_status(status) };
        self.refuse_change(from, server, passed, kept);
        // RFC 3261 §12.2.1.2, §14.1: the dialog is gone on the other side.
        if matches!(status, 408 | 481) {
            let text = if refusal.is_some() { "Call does not exist there" } else { "No answer" };
            let mut release = Release::ours(&Reason { cause: status, text: text.into() });
            if refusal.is_none() {
                release.end.by = EndedBy::Timeout;
            }
            self.clear_call(id, &release);
        }
    }

    /// The change that a leg asked for is refused; what was agreed before stands. An INVITE with Replaces fails with it.
    fn refuse_change(&mut self, from: LegId, server: ServerId, status: u16, kept: Vec<(HeaderName, String)>) {
        if self.leg(from).is_some_and(|leg| is_proceeding(&leg.state, server)) {
            self.unlink(from);
            let mut release = Release::ours(&Reason { cause: status, text: "Refused by the other party".into() });
            release.kept = kept;
            return self.release(from, &release);
        }
        if self.leg(from).is_some_and(|leg| leg.inbound == Some(server)) {
            self.clear_inbound(from);
            self.drop_offer(from);
            self.answer(server, status, None, |response| with_headers(response, kept));
        }
    }

    /// The CANCEL of a re-INVITE: 487, and the one that it was passed on as is cancelled too.
    pub(crate) fn change_cancelled(&mut self, id: LegId, server: ServerId) {
        if self.leg(id).is_none_or(|leg| leg.inbound != Some(server)) {
            return;
        }
        self.clear_inbound(id);
        self.drop_offer(id);
        self.answer(server, 487, None, |response| response);
        let passed = self
            .clients
            .iter()
            .find(|(_, purpose)| matches!(purpose, Purpose::Change { server: of, .. } if *of == server));
        if let Some(client) = passed.map(|(client, _)| *client) {
            self.cancel_change(client);
        }
    }

    fn clear_inbound(&mut self, id: LegId) -> Option<ServerId> {
        self.leg_mut(id)?.inbound.take()
    }

    fn drop_offer(&mut self, id: LegId) {
        if let Some(leg) = self.leg_mut(id) {
            leg.descriptions.drop_offer();
        }
    }

    /// 491, or 500 with a Retry-After (RFC 3261 §14.2).
    fn refuse_for_now(&mut self, server: ServerId, why: NotNow) {
        self.count(if why == NotNow::Pending { "changes_pending" } else { "changes_unfinished" });
        let seconds = self.random.random_range(0..=10u32).to_string();
        match why {
            NotNow::Pending => self.answer(server, 491, None, |response| response),
            NotNow::Unfinished => {
                self.answer(server, 500, None, |response| response.header(HeaderName::RetryAfter, &seconds))
            }
        }
    }
}

/// A leg without a peer: a listener, or one that waits for the outcome of a transfer.
impl Ua {
    fn change_alone(&mut self, id: LegId, server: ServerId, offer: Option<Sdp>) {
        let Some(offer) = offer else { return self.offer_alone(id, server) };
        let Some(leg) = self.leg_mut(id) else { return };
        let Some((direction, only)) = alone(&leg.kind, &offer) else {
            return self.answer(server, 488, None, |response| response);
        };
        leg.descriptions.receive_offer(offer.clone());
        let Some(body) = leg.descriptions.answer_alone(&offer, direction, &only) else {
            return self.answer(server, 488, None, |response| response);
        };
        self.plan_media(id, None);
        self.answer_on(id, server, 200, None, Some(body));
    }

    /// A re-INVITE without an offer: ours is what stands.
    fn offer_alone(&mut self, id: LegId, server: ServerId) {
        let Some(leg) = self.leg_mut(id) else { return };
        let body = match leg.kind.clone() {
            Kind::Listener { codecs, direction } => leg.descriptions.offer_codecs(&codecs, direction),
            _ => leg.descriptions.offer_again(),
        };
        match body {
            Some(body) => self.answer_on(id, server, 200, None, Some(body)),
            None => self.answer(server, 500, None, |response| response),
        }
    }

    /// The answer to our own late offer.
    pub(super) fn take_late_answer(&mut self, id: LegId, ack: &Message) {
        let answer = self.answer_of(id, ack).filter(|answer| self.reads(id, answer));
        let Some(leg) = self.leg_mut(id) else { return };
        match answer {
            Some(answer) => {
                leg.descriptions.agree_as_offerer(answer);
                self.plan_media(id, None);
            }
            None => leg.descriptions.drop_offer(),
        }
    }
}

/// How an offer is answered without another party: a listener gets what it may hear, another leg waits in silence.
fn alone(kind: &Kind, offer: &Sdp) -> Option<(Direction, Vec<u8>)> {
    match kind {
        Kind::Listener { codecs, direction } => {
            let only = served(offer, codecs)?;
            Some((legal_answer(*direction, effective(offer)), only))
        }
        _ => Some((Direction::Inactive, offer.formats().to_vec())),
    }
}

fn is_proceeding(state: &State, server: ServerId) -> bool {
    matches!(state, State::Proceeding(waiting) if *waiting == server)
}
