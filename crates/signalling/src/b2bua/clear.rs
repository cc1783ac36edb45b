//! A call ends: BYE, CANCEL, timeouts and the engine's order pass from one leg to the other; and a leg takes another's place.

use super::{no_address, reason_text};
use crate::interface::{End, EndedBy, Event, LegId, Reason};
use crate::leg::State;
use crate::message::{HeaderName, Message};
use crate::sdp::MediaAddress;
use crate::ua::{Release, Ua};

/// What a BYE of ours says when its forerunner said nothing (Q.850: normal call clearing).
const CLEARING: &str = "Q.850;cause=16;text=\"Normal call clearing\"";

impl Ua {
    /// A BYE came on a leg and has been answered: its peer gets one.
    pub(crate) fn hung_up(&mut self, id: LegId, bye: &Message) {
        let peer = self.unpair(id);
        let unanswered = self.leg(id).is_some_and(|leg| !leg.is_confirmed());
        if unanswered {
            self.answer_unanswered(id, 487);
        }
        self.left(id, End { by: EndedBy::Remote, status: unanswered.then_some(487), text: reason_text_of_bye(bye) });
        if let Some(peer) = peer {
            let reason = bye.header(&HeaderName::Reason).map_or_else(|| CLEARING.to_owned(), str::to_owned);
            self.release(peer, &Release::after_peer(reason, 487, "The other party hung up"));
        }
    }

    /// A CANCEL came for a leg that was not answered (RFC 3261 §9.2).
    pub(crate) fn cancelled(&mut self, id: LegId, cancel: &Message) {
        if !self
            .leg(id)
            .is_some_and(|leg| matches!(leg.state, State::Offered(_) | State::Proceeding(_) | State::Answering { .. }))
        {
            return;
        }
        let peer = self.unlink(id);
        self.answer_unanswered(id, 487);
        self.left(id, End { by: EndedBy::Remote, status: Some(487), text: reason_text_of_bye(cancel) });
        if let Some(peer) = peer {
            let ours = "SIP;cause=487;text=\"Caller hung up\"".to_owned();
            let reason = cancel.header(&HeaderName::Reason).map_or(ours, str::to_owned);
            self.release(peer, &Release::after_peer(reason, 487, "The caller hung up"));
        }
    }

    /// Ends a leg and its peer by a decision of ours.
    pub(crate) fn clear_call(&mut self, id: LegId, how: &Release) {
        let peer = self.unlink(id);
        self.release(id, how);
        if let Some(peer) = peer {
            let mut how = how.clone();
            how.end.by = EndedBy::Local;
            self.release(peer, &how);
        }
    }

    /// Our 2xx was never acknowledged (RFC 3261 §13.3.1.4): BYE to both.
    pub(crate) fn never_acknowledged(&mut self, id: LegId) {
        self.count("acks_missing");
        let Some(leg) = self.leg_mut(id) else { return };
        leg.unacknowledged = None;
        if let Some(reason) = leg.bye_after_ack.take() {
            return self.send_bye(id, &reason);
        }
        let mut release = Release::ours(&Reason { cause: 408, text: "No ACK".into() });
        release.end.by = EndedBy::Timeout;
        self.clear_call(id, &release);
    }

    /// An INVITE of ours got no final answer in time: CANCEL. The leg's end is ours and carries 487 for a listener that
    /// did not pick up; a caller gets 408.
    pub(crate) fn no_answer(&mut self, id: LegId) {
        let mut release = Release::ours(&Reason { cause: 408, text: "No answer".into() });
        release.end.status = Some(487);
        let caller = self.unlink(id);
        self.release(id, &release);
        if let Some(caller) = caller {
            release.end.status = Some(408);
            self.release(caller, &release);
        }
    }

    /// The engine refuses an offered call; it hears no more of it.
    pub(crate) fn refuse_offered(&mut self, id: LegId, status: u16, retry_after: Option<u32>) {
        let Some(leg) = self.leg(id) else { return };
        let State::Offered(server) = leg.state else { return };
        let tag = leg.local_tag.clone();
        let status = if (300..700).contains(&status) { status } else { 500 };
        self.answer(server, status, Some(&tag), |response| match retry_after {
            Some(seconds) => response.header(HeaderName::RetryAfter, &seconds.to_string()),
            None => response,
        });
        self.forget(id);
    }

    /// Takes a leg out of its pair. A leg that was about to replace another only lets go: the peer stays with who it has.
    pub(crate) fn unlink(&mut self, id: LegId) -> Option<LegId> {
        if self.leg(id).is_some_and(|leg| leg.replacing.is_some()) {
            let leg = self.leg_mut(id)?;
            leg.replacing = None;
            leg.peer = None;
            return None;
        }
        self.unpair(id)
    }

    fn answer_unanswered(&mut self, id: LegId, status: u16) {
        let Some(leg) = self.leg(id) else { return };
        if let State::Offered(server) | State::Proceeding(server) | State::Answering { server, .. } = leg.state {
            let tag = leg.local_tag.clone();
            self.answer(server, status, Some(&tag), |response| response);
        }
    }
}

/// INVITE with Replaces (RFC 3891).
impl Ua {
    /// The engine's order: the new leg's offer goes to the peer, and when that answered, the old leg goes.
    pub(crate) fn replace(&mut self, new: LegId, old: LegId, media: MediaAddress) {
        let Some(leg) = self.leg_mut(new) else { return };
        let State::Offered(server) = leg.state else { return };
        leg.descriptions.set_media(media);
        let offer = leg.descriptions.remote_offer().cloned();
        if offer.as_ref().is_some_and(|offer| !leg.descriptions.serves(offer)) {
            return self.release(new, &no_address());
        }
        let peer = self.leg(old).filter(|leg| leg.is_confirmed()).and_then(|leg| leg.peer);
        let Some(peer) = peer.filter(|peer| self.leg(*peer).is_some_and(|leg| leg.is_settled())) else {
            let status = if peer.is_some() { 491 } else { 481 };
            return self.release(new, &Release::ours(&Reason { cause: status, text: "No such call".into() }));
        };
        if let Some(leg) = self.leg_mut(new) {
            leg.state = State::Proceeding(server);
            leg.peer = Some(peer);
            leg.replacing = Some(old);
        }
        self.begin_change(new, peer, server, &crate::message::Method::Invite, offer);
    }

    /// The new leg is answered: it and the peer are a pair, and the old leg is released.
    pub(crate) fn take_place(&mut self, new: LegId, old: LegId) {
        let Some(peer) = self.peer_of(new) else { return };
        if !self.leg(peer).is_some_and(|leg| leg.is_live()) {
            return self
                .clear_call(new, &Release::ours(&Reason { cause: 480, text: "The other party hung up".into() }));
        }
        if self.peer_of(old) == Some(peer) {
            self.unpair(old);
        }
        self.pair(new, peer);
        self.emit(Event::Replaced { old, new, peer });
        self.pair_streams(new, peer);
        self.release(old, &Release::ours(&Reason { cause: 200, text: "Replaced".into() }));
    }
}

fn reason_text_of_bye(message: &Message) -> String {
    message.header(&HeaderName::Reason).map(|_| reason_text(message)).unwrap_or_default()
}
