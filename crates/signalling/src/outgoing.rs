//! A single-leg call of ours: the listener's. It hears and is never heard (SEMANTICS, principle 3).

use crate::b2bua::{description, reason_text};
use crate::interface::{End, EndedBy, Event, LegId, NewLeg, Reason};
use crate::invite::Extra;
use crate::leg::{Kind, Purpose, Timer};
use crate::message::{Message, Method};
use crate::sdp::{Direction, Payload};
use crate::session::offer_answer::served;
use crate::transport::Flow;
use crate::ua::{Release, Ua};
use rand::RngExt;

impl Ua {
    /// Prepares the call of a listener; its INVITE leaves with [`Self::recorded`].
    pub(crate) fn call(&mut self, new: &NewLeg, codecs: Vec<Payload>, direction: Direction, encrypted: bool) {
        let kind = Kind::Listener { codecs: codecs.clone(), direction };
        let (mut leg, route) = match self.prepare(new, kind) {
            Ok(made) => made,
            Err(status) => return self.unborn(new.leg, status, "Not reachable"),
        };
        leg.descriptions.set_media(new.media);
        if encrypted {
            leg.descriptions.require_encryption(self.random.random());
        }
        let Some(body) = leg.descriptions.offer_codecs(&codecs, direction) else {
            return self.unborn(new.leg, 500, "No media address");
        };
        self.write(leg, &route, new, Some(body), Extra::default());
        self.ask_to_record(new.leg);
    }

    fn ask_to_record(&mut self, id: LegId) {
        if let Some(dialog) = self.dialog_copy(id) {
            self.emit(Event::Record { leg: id, dialog });
        }
    }

    /// It is kept how the leg is ended should we die: what waited for that goes on.
    pub(crate) fn recorded(&mut self, id: LegId) {
        self.send_invite(id);
        self.acknowledge_listener(id);
    }

    /// The store is slow: a listener is not kept waiting for it. Should we die now, its phone repeats its 2xx or is found
    /// by the INVITE's record.
    pub(crate) fn record_overdue(&mut self, id: LegId) {
        if self.leg(id).is_some_and(|leg| leg.ack_owed.is_some()) {
            self.count("acks_unrecorded");
            self.acknowledge_listener(id);
        }
    }

    fn acknowledge_listener(&mut self, id: LegId) {
        let Some(leg) = self.leg(id).filter(|leg| matches!(leg.kind, Kind::Listener { .. })) else { return };
        if let Some(cseq) = leg.ack_owed {
            self.acknowledge(id, cseq, None);
        }
    }

    pub(crate) fn listener_rings(&mut self, id: LegId, response: &Message) {
        if response.status() > 100 {
            if let Some(leg) = self.leg_mut(id) {
                leg.early_tag = response.to_tag().into();
            }
            let early_media = description(response).is_some();
            self.emit(Event::Ringing { leg: id, status: response.status(), early_media });
        }
    }

    /// The listener answered; the ACK waits until that is kept. Without a codec in common: ACK, BYE and 488.
    pub(crate) fn listener_answers(&mut self, id: LegId, flow: Flow, ok: &Message) {
        if self.confirm_uac(id, flow, ok).is_none() {
            return;
        }
        let until = self.now() + self.settings.record_deadline;
        let answer = self.answer_of(id, ok);
        let Some(leg) = self.leg_mut(id) else { return };
        leg.ack_owed = Some(ok.cseq().number);
        let Kind::Listener { codecs, .. } = &leg.kind else { return };
        let usable = answer
            .filter(|answer| !answer.rejected() && leg.descriptions.reads(answer) && served(answer, codecs).is_some());
        let Some(answer) = usable else {
            self.count("answers_unusable");
            let mut release = Release::ours(&Reason { cause: 488, text: "No codec in common".into() });
            release.end.by = EndedBy::Remote; // its final answer could not be used
            return self.release(id, &release);
        };
        leg.descriptions.agree_as_offerer(answer);
        leg.ack_until = Some(until);
        self.set_timer(until, Timer::Ack(id));
        self.ask_to_record(id);
        self.emit(Event::Answered { leg: id });
        self.plan_media(id, None);
    }

    /// A final refusal (a redirection is one: it is never followed), or none came.
    pub(crate) fn listener_refuses(&mut self, id: LegId, response: Option<&Message>) {
        let end = match response {
            Some(response) => End { by: EndedBy::Remote, status: Some(response.status()), text: reason_text(response) },
            None => End { by: EndedBy::Timeout, status: Some(408), text: "No answer".into() },
        };
        self.stop_ringing(id);
        self.left(id, end);
    }

    /// OPTIONS inside the dialog: is the phone still there?
    pub(crate) fn probe(&mut self, id: LegId) {
        let confirmed = self.leg(id).is_some_and(|leg| leg.is_confirmed());
        let sent = confirmed.then(|| self.request_in(id, &Method::Options, Purpose::Probe(id), |request| request));
        if sent.flatten().is_none() && self.leg(id).is_some() {
            self.emit(Event::Probed { leg: id, alive: false });
        }
    }

    /// The answer to [`Self::probe`]; `None`: none came.
    pub(crate) fn probed(&mut self, id: LegId, status: Option<u16>) {
        if self.leg(id).is_some_and(|leg| leg.is_live()) {
            let alive = status.is_some_and(|status| !matches!(status, 408 | 481));
            self.emit(Event::Probed { leg: id, alive });
        }
    }
}
