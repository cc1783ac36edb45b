//! Somebody we do not know: one answer, and nothing kept of it, so that a flood of them neither fills a table nor is
//! repeated to whoever's address they wrote (RFC 3261 §8.2.7, §26.3.2.4).

use std::time::{Duration, Instant};

use super::{Unservable, unservable};
use crate::interface::Event;
use crate::message::{HeaderName, Message, Method};
use crate::transaction::ServerId;
use crate::transport::{Flow, unmapped};
use crate::ua::Ua;

/// Refusals for who somebody is that the engine hears of in a second; more are counted as `denials_untold`.
pub(crate) const DENIALS_TOLD_PER_SECOND: u32 = 50;

/// Characters of a method, which may be any token, that are told.
const METHOD_SHOWN_MAX: usize = 32;

/// How many denials were told in this second.
#[derive(Debug, Default)]
pub(crate) struct DenialMeter {
    since: Option<Instant>,
    told: u32,
}

impl DenialMeter {
    fn may_tell(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= Duration::from_secs(1)) {
            *self = Self { since: Some(now), told: 0 };
        }
        self.told += 1;
        self.told <= DENIALS_TOLD_PER_SECOND
    }
}

impl Ua {
    /// An INVITE of a stranger is refused without a transaction: no 100, no repetition, no state. So is a CANCEL for
    /// somebody else's INVITE. True: it is done with.
    pub(crate) fn turn_away(&mut self, flow: Flow, message: &Message) -> bool {
        let method = message.method();
        if !message.is_request() || !matches!(method, Method::Invite | Method::Cancel) || self.door.knows(flow, message)
        {
            return false;
        }
        if method == Method::Cancel {
            return self.refuse_cancel(flow, message);
        }
        let inside = !message.to_tag().is_empty();
        if inside && self.by_dialog(message.call_id(), message.to_tag(), message.from_tag()).is_some() {
            return false;
        }
        let request = message.with_source(flow.remote);
        if self.transactions.is_repeated(&request) {
            return false;
        }
        self.count("strangers_turned_away");
        let (status, unsupported) = match unservable(&request) {
            _ if inside => (481, None),
            None => (403, None),
            Some(Unservable::Extension(unknown)) => (420, Some(unknown)),
            Some(Unservable::Scheme) => (416, None),
            Some(Unservable::Hops) => (483, None),
        };
        if status == 403 {
            self.count("requests_denied");
            self.tell_denied(flow, &request, "unknown source");
        }
        self.count_refusal(status);
        let server = self.settings.user_agent.clone();
        self.transactions.answer_once(flow, &request, status, &mut self.steps, |response| {
            let response = response.header(HeaderName::Server, &server);
            unsupported.iter().fold(response, |response, unknown| response.header(HeaderName::Unsupported, unknown))
        });
        true
    }

    /// Branches are not secrets: they stand in every message on the way (RFC 3261 §22.1).
    fn refuse_cancel(&mut self, flow: Flow, cancel: &Message) -> bool {
        let cancel = cancel.with_source(flow.remote);
        let own = self.transactions.cancels_its_own(flow, &cancel);
        if !own {
            self.count("cancels_stray");
            self.transactions.answer_once(flow, &cancel, 481, &mut self.steps, |response| response);
        }
        !own
    }

    /// What a stranger asked otherwise was answered; if it asks again it is answered again. A phone that has just
    /// registered is no stranger any more.
    pub(crate) fn forget_stranger(&mut self, server: ServerId, flow: Flow, request: &Message) {
        // a party of a dialog is none, wherever it speaks from: its CSeq is kept, and so is what it was answered
        let party = self.by_dialog(request.call_id(), request.to_tag(), request.from_tag());
        if !self.door.knows(flow, request) && !party.is_some_and(|leg| self.is_its_flow(leg, flow)) {
            let now = self.now();
            let keeps_ok = request.method() != Method::Options;
            self.transactions.forget_answered(now, server, keeps_ok, &mut self.steps);
        }
    }

    /// For the audit trail and the log, which a flood must not fill.
    pub(crate) fn tell_denied(&mut self, flow: Flow, request: &Message, why: &'static str) {
        let now = self.now();
        if !self.door.denials.may_tell(now) {
            return self.count("denials_untold");
        }
        let method = request.method().as_str().chars().take(METHOD_SHOWN_MAX).collect();
        self.emit(Event::Denied { source: unmapped(flow.remote), method, why });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "the simulated clock starts somewhere")]
    fn a_second_has_so_many_and_no_more() {
        let (mut meter, now) = (DenialMeter::default(), Instant::now());
        let told = |meter: &mut DenialMeter, at| (0..1000).filter(|_| meter.may_tell(at)).count();
        assert_eq!(told(&mut meter, now), 50);
        assert_eq!(told(&mut meter, now + Duration::from_millis(999)), 0);
        assert_eq!(told(&mut meter, now + Duration::from_millis(1000)), 50);
    }
}
