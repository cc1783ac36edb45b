//! What a person does with a call that comes in: letting it ring, answering, refusing.

use std::time::Instant;

use signalling::message::HeaderName;

use crate::call::OnMedia;
use crate::interface::{CallId, Event, OnCall, Output, State};
use crate::server::Reply;
use crate::ua::Phone;

impl Phone {
    /// The habit decides what becomes of a new call.
    pub(crate) fn on_new_call(&mut self, now: Instant, id: CallId, out: &mut Vec<Output>) {
        out.push(Output::Event(Event::Incoming { call: id }));
        let early = self.settings.habits.early_media;
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        match self.settings.habits.on_call {
            OnCall::Answer { after } => call.answer_at = Some(now + after),
            OnCall::Reject { .. } | OnCall::Redirect { .. } => call.answer_at = Some(now),
            OnCall::Ring | OnCall::Wait | OnCall::Ignore => {}
        }
        let rings = matches!(self.settings.habits.on_call, OnCall::Answer { .. } | OnCall::Ring);
        if rings && early {
            call.on_media = Some(OnMedia::Ring);
            out.push(Output::OpenMedia { call: id });
        } else if rings {
            self.ring(now, id, out);
        }
    }

    /// 180, or 183 with a session description for a phone with early media.
    pub fn ring(&mut self, now: Instant, id: CallId, out: &mut Vec<Output>) {
        let early = self.settings.habits.early_media;
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if call.state != State::Incoming || call.answered {
            return;
        }
        let offer = call.invite.as_ref().map(signalling::message::Message::body).filter(|b| !b.is_empty());
        let body = offer.filter(|_| early && call.session.local.is_some()).and_then(|o| call.session.answer(&o).ok());
        let status = if body.is_some() { 183 } else { 180 };
        self.respond_to_invite(now, id, status, Reply { body, contact: true, ..Reply::default() }, out);
    }

    /// Answers: at once if the media sockets are there, else as soon as they are.
    pub fn answer(&mut self, now: Instant, id: CallId, out: &mut Vec<Output>) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if call.state != State::Incoming || call.answered {
            return;
        }
        if call.session.local.is_none() {
            call.on_media = Some(OnMedia::Answer);
            out.push(Output::OpenMedia { call: id });
            return;
        }
        let offer = call.invite.as_ref().map(signalling::message::Message::body).filter(|b| !b.is_empty());
        let body = match offer {
            Some(offer) => call.session.answer(&offer),
            None => Ok(call.session.offer()),
        };
        match body {
            Ok(body) => {
                call.answered = true;
                self.respond_to_invite(
                    now,
                    id,
                    200,
                    Reply { body: Some(body), contact: true, ..Reply::default() },
                    out,
                );
            }
            Err(_) => self.reject(now, id, 488, out),
        }
    }

    /// Refuses with any final status.
    pub fn reject(&mut self, now: Instant, id: CallId, status: u16, out: &mut Vec<Output>) {
        if self.calls.get(&id).is_some_and(|c| c.state == State::Incoming && !c.answered) {
            self.respond_to_invite(now, id, status, Reply::default(), out);
            self.change(now, id, State::Ended, out);
        }
    }

    /// Refuses with 302 and another address.
    pub fn redirect(&mut self, now: Instant, id: CallId, to: &str, out: &mut Vec<Output>) {
        if self.calls.get(&id).is_some_and(|c| c.state == State::Incoming && !c.answered) {
            let reply = Reply { headers: vec![(HeaderName::Contact, format!("<{to}>"))], ..Reply::default() };
            self.respond_to_invite(now, id, 302, reply, out);
            self.change(now, id, State::Ended, out);
        }
    }

    fn respond_to_invite(&mut self, now: Instant, id: CallId, status: u16, reply: Reply, out: &mut Vec<Output>) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        if let (Some(invite), Some(source)) = (call.invite.clone(), call.invite_source) {
            let tag = call.local_tag.clone();
            self.respond(now, &invite, source, status, &tag, reply, out);
        }
    }
}
