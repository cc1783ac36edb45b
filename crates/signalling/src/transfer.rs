//! REFER, Replaces and the implicit subscription (RFC 3515, 3891, 5589): a transfer is carried out here, not passed on.
//!
//! Three legs matter: the *transferor* sent REFER, *kept* is the leg that was paired with it (the transferee), and
//! *target* is called, or is there already behind the transferor's *consultation* (attended transfer).

mod join;
mod subscription;

use std::collections::{BTreeMap, HashMap};

use crate::b2bua::{description, reason_text};
use crate::interface::{End, EndedBy, Event, LegId, NewLeg, Reason, TransferId};
use crate::invite::Extra;
use crate::leg::{Kind, State, Timer};
use crate::message::{HeaderName, Message, NameAddr, ReplacesHeader, Uri};
use crate::transaction::ServerId;
use crate::transport::Flow;
use crate::ua::{Release, Source, Ua};

use join::Joining;
use subscription::Subscription;

/// Every transfer that is not over.
#[derive(Debug, Default)]
pub(crate) struct Transfers {
    all: BTreeMap<TransferId, Transfer>,
    /// The legs that a transfer depends on.
    legs: HashMap<LegId, TransferId>,
    next: u64,
}

/// One REFER and what became of it.
#[derive(Debug)]
struct Transfer {
    transferor: LegId,
    kept: LegId,
    subscription: Option<Subscription>,
    referred_by: Option<String>,
    /// The consultation that Replaces names.
    consultation: Option<LegId>,
    /// A Replaces of a dialog that is not ours: the target knows it.
    foreign_replaces: Option<String>,
    stage: Stage,
}

/// How far it is.
#[derive(Debug)]
enum Stage {
    /// The engine decides.
    Referred { refer: ServerId, no_subscription: bool },
    /// The target is being called.
    Trying { target: LegId },
    /// The consulted party still rings; it is joined when it answers (RFC 5589 §7.6's semi-attended case).
    Waiting { target: LegId },
    /// The target has answered; the survivors' sessions are being made one.
    Joining(Joining),
    /// Joined; the transferor's legs have their time for BYE.
    Replaced { released: Vec<LegId> },
}

/// What REFER asks for.
struct Referral {
    target: Uri,
    replaces: Option<String>,
}

impl Transfers {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// A REFER came on a leg.
    pub(crate) fn refer(&mut self, ua: &mut Ua, id: LegId, server: ServerId, refer: &Message) {
        let Some(leg) = ua.leg(id) else { return };
        let kept = leg.peer.filter(|peer| ua.leg(*peer).is_some_and(|peer| peer.is_confirmed()));
        let Some(kept) = kept.filter(|_| leg.party.may_transfer && leg.is_confirmed()) else {
            ua.count("refers_declined");
            return ua.refuse(server, 603);
        };
        if self.legs.contains_key(&id) || self.legs.contains_key(&kept) {
            return ua.refuse(server, 491);
        }
        let Some(referral) = referral(refer) else { return ua.refuse(server, 400) };
        let replaced = referral.replaces.as_deref().map(|value| self.consultation(ua, id, value));
        let (consultation, unknown) = match replaced {
            None => (None, false),
            Some(Some(leg)) => (Some(leg), false),
            Some(None) => (None, true),
        };
        let transfer = TransferId(self.next + 1);
        self.next += 1;
        let no_subscription =
            refer.header(&HeaderName::Other("refer-sub".into())).is_some_and(|value| value.trim() == "false");
        if let Some(leg) = ua.leg_mut(id) {
            leg.transfer = Some(transfer);
            leg.refers += 1;
        }
        let event_id = ua.leg(id).filter(|leg| leg.refers > 1).map(|_| refer.cseq().number);
        self.legs.insert(id, transfer);
        self.legs.insert(kept, transfer);
        self.all.insert(
            transfer,
            Transfer {
                transferor: id,
                kept,
                subscription: (!no_subscription).then_some(Subscription { event_id }),
                referred_by: refer.header(&HeaderName::ReferredBy).map(str::to_owned),
                consultation,
                foreign_replaces: referral.replaces.filter(|_| unknown),
                stage: Stage::Referred { refer: server, no_subscription },
            },
        );
        let event = Event::Referred {
            transfer,
            leg: id,
            target: referral.target,
            replaces: consultation,
            replaces_unknown: unknown,
        };
        ua.emit(event);
    }

    /// The other leg of the transferor that a Replaces value names, as the transferor's phone knows its dialog.
    fn consultation(&self, ua: &Ua, transferor: LegId, value: &str) -> Option<LegId> {
        let named = ReplacesHeader::parse(value)?;
        let leg = ua.by_dialog(&named.call_id, &named.to_tag, &named.from_tag)?;
        let same_party = ua.leg(transferor).is_some_and(|other| other.party.origin == leg.party.origin);
        let free = leg.id != transferor && leg.is_live() && leg.peer.is_some() && !self.legs.contains_key(&leg.id);
        (same_party && free).then_some(leg.id)
    }

    /// The engine refuses.
    pub(crate) fn refuse(&mut self, ua: &mut Ua, id: TransferId, status: u16) {
        if let Some(Transfer { stage: Stage::Referred { refer, .. }, .. }) = self.all.get(&id) {
            ua.refuse(*refer, status);
            self.forget(ua, id);
        }
    }

    /// The engine accepts: 202, the first NOTIFY, and the target is called or joined.
    pub(crate) fn accept(&mut self, ua: &mut Ua, id: TransferId, target: Option<NewLeg>) {
        let accepted = match self.all.get(&id) {
            Some(Transfer { stage: Stage::Referred { refer, no_subscription }, .. }) => {
                Some((*refer, *no_subscription))
            }
            _ => None,
        };
        let Some((refer, no_subscription)) = accepted else {
            if let Some(new) = target {
                ua.unborn(new.leg, 487, "Transferor is gone");
            }
            return;
        };
        let contact = self
            .all
            .get(&id)
            .and_then(|transfer| ua.leg(transfer.transferor)?.dialog.as_ref().map(|dialog| dialog.local().contact()));
        ua.answer(refer, 202, None, |response| {
            let response =
                contact.iter().fold(response, |response, contact| response.header(HeaderName::Contact, contact));
            if no_subscription { response.raw_header("Refer-Sub", "false") } else { response }
        });
        self.notify(ua, id, 100, "Trying");
        match target {
            Some(new) => self.call_target(ua, id, new),
            None => self.join_consulted(ua, id),
        }
    }

    /// The target is offered the transferee's own description: its codecs, both ways.
    fn call_target(&mut self, ua: &mut Ua, id: TransferId, mut new: NewLeg) {
        new.ring_timeout = new.ring_timeout.or(Some(ua.settings.transfer_ring_timeout));
        let Some(transfer) = self.all.get_mut(&id) else { return };
        let (mut leg, route) = match ua.prepare(&new, Kind::Target(id)) {
            Ok(made) => made,
            Err(status) => {
                ua.unborn(new.leg, status, "Not reachable");
                return self.fail(ua, id, status, "");
            }
        };
        leg.descriptions.set_media(new.media);
        let Some(body) = ua.offer_to(&mut leg, transfer.kept, Source::Opened) else {
            ua.unborn(new.leg, 488, "No media");
            return self.fail(ua, id, 488, "Not Acceptable Here");
        };
        let mut headers = Vec::new();
        headers.extend(transfer.referred_by.clone().map(|value| (HeaderName::ReferredBy, value)));
        headers.extend(transfer.foreign_replaces.clone().map(|value| (HeaderName::Replaces, value)));
        transfer.stage = Stage::Trying { target: new.leg };
        self.legs.insert(new.leg, id);
        ua.place(leg, route, &new, Some(body), Extra { headers, ..Extra::default() });
    }

    /// Attended: the consulted party takes the transferor's place, now or when it answers.
    fn join_consulted(&mut self, ua: &mut Ua, id: TransferId) {
        let consultation = self
            .all
            .get(&id)
            .and_then(|transfer| transfer.consultation)
            .filter(|leg| ua.leg(*leg).is_some_and(|leg| leg.is_live()));
        let target = consultation.and_then(|leg| ua.peer_of(leg));
        let (Some(consultation), Some(target)) = (consultation, target) else {
            return self.fail(ua, id, 481, "Call/Transaction Does Not Exist");
        };
        self.legs.insert(consultation, id);
        self.legs.insert(target, id);
        if let Some(transfer) = self.all.get_mut(&id) {
            transfer.stage = Stage::Waiting { target };
        }
        self.join_waiting(ua, id);
    }

    /// Joins a consulted party that has answered.
    fn join_waiting(&mut self, ua: &mut Ua, id: TransferId) {
        let Some(Transfer { stage: Stage::Waiting { target }, consultation: Some(consultation), .. }) =
            self.all.get(&id)
        else {
            return;
        };
        let (target, both) = (*target, [*target, *consultation]);
        if both.iter().all(|leg| ua.leg(*leg).is_some_and(|leg| leg.is_confirmed())) {
            ua.emit(Event::TransferAnswered { transfer: id });
            self.begin_join(ua, id, target, true);
        }
    }

    /// Anything may have answered: semi-attended transfers look whether it was their party.
    pub(crate) fn look(&mut self, ua: &mut Ua) {
        let waiting: Vec<TransferId> = self
            .all
            .iter()
            .filter(|(_, transfer)| matches!(transfer.stage, Stage::Waiting { .. }))
            .map(|(id, _)| *id)
            .collect();
        for id in waiting {
            self.join_waiting(ua, id);
        }
    }
}

/// What the target says.
impl Transfers {
    pub(crate) fn target_rings(&mut self, ua: &mut Ua, id: TransferId, leg: LegId, response: &Message) {
        let status = response.status();
        if status <= 100 || status == 199 {
            return;
        }
        ua.emit(Event::Ringing { leg, status, early_media: description(response).is_some() });
        self.notify(ua, id, status, response.reason());
    }

    pub(crate) fn target_answers(&mut self, ua: &mut Ua, id: TransferId, leg: LegId, flow: Flow, ok: &Message) {
        if ua.confirm_uac(leg, flow, ok).is_none() {
            return;
        }
        ua.acknowledge(leg, ok.cseq().number, None);
        ua.emit(Event::Answered { leg });
        let kept = self.all.get(&id).map(|transfer| transfer.kept);
        let answer = ua.answer_of(leg, ok).filter(|answer| {
            let offered = kept.and_then(|kept| ua.leg(kept)?.descriptions.agreed().map(|agreed| agreed.remote));
            offered.is_some_and(|offered| crate::session::offer_answer::common(answer, &offered).is_some())
        });
        let Some(answer) = answer.filter(|answer| ua.reads(leg, answer)) else {
            ua.release(leg, &Release::ours(&Reason { cause: 488, text: "No codec in common".into() }));
            return self.fail(ua, id, 488, "Not Acceptable Here");
        };
        if let Some(target) = ua.leg_mut(leg) {
            target.descriptions.agree_as_offerer(answer);
        }
        ua.plan_media(leg, None);
        ua.emit(Event::TransferAnswered { transfer: id });
        self.begin_join(ua, id, leg, false);
    }

    /// A final refusal, or none came.
    pub(crate) fn target_refuses(&mut self, ua: &mut Ua, id: TransferId, leg: LegId, response: Option<&Message>) {
        let (status, phrase) =
            response.map_or((408, "Request Timeout"), |response| (response.status(), response.reason()));
        let end = match response {
            Some(response) => End { by: EndedBy::Remote, status: Some(status), text: reason_text(response) },
            None => End { by: EndedBy::Timeout, status: Some(408), text: "No answer".into() },
        };
        self.legs.remove(&leg);
        ua.stop_ringing(leg);
        ua.left(leg, end);
        self.fail(ua, id, status, phrase);
    }
}

/// What else happens to the legs.
impl Transfers {
    /// A BYE is about to end this leg: the transferor may leave at any time after its REFER was accepted, and who it
    /// leaves behind waits for the outcome.
    pub(crate) fn before_bye(&mut self, ua: &mut Ua, leg: LegId) {
        let Some(transfer) = self.legs.get(&leg).and_then(|id| self.all.get_mut(id)) else { return };
        if matches!(transfer.stage, Stage::Referred { .. }) {
            return;
        }
        let answered = ua.leg(leg).is_some_and(|leg| leg.is_confirmed());
        if leg == transfer.transferor || (Some(leg) == transfer.consultation && answered) {
            ua.unpair(leg);
        }
    }

    /// A leg is gone, however that came.
    pub(crate) fn leg_gone(&mut self, ua: &mut Ua, leg: LegId) {
        let Some(id) = self.legs.remove(&leg) else { return };
        let Some(transfer) = self.all.get_mut(&id) else { return };
        let (transferor, kept, consultation) = (transfer.transferor, transfer.kept, transfer.consultation);
        if leg == transferor {
            transfer.subscription = None;
        }
        match &mut transfer.stage {
            Stage::Replaced { released } => {
                released.retain(|other| *other != leg);
                if released.is_empty() {
                    self.forget(ua, id);
                }
            }
            Stage::Referred { refer, .. } => {
                ua.refuse(*refer, 481);
                self.forget(ua, id);
            }
            _ if leg == transferor => {}
            Stage::Joining(_) if Some(leg) == consultation => {}
            _ => self.fail(ua, id, if leg == kept { 487 } else { 480 }, "Party is gone"),
        }
    }

    /// The transferor had its time for BYE.
    pub(crate) fn release_transferor(&mut self, ua: &mut Ua, id: TransferId) {
        let Some(Transfer { stage: Stage::Replaced { released }, .. }) = self.all.get(&id) else { return };
        for leg in released.clone() {
            ua.release(leg, &Release::ours(&Reason { cause: 200, text: "Transferred".into() }));
        }
        self.forget(ua, id);
    }

    /// The transfer failed: the old pair stands if the transferor is still there, else the transferee is released.
    fn fail(&mut self, ua: &mut Ua, id: TransferId, status: u16, phrase: &str) {
        self.notify(ua, id, status, phrase);
        let Some(transfer) = self.all.get(&id) else { return };
        let (transferor, kept, called, consulted) =
            (transfer.transferor, transfer.kept, transfer.called(), transfer.consulted());
        let changed = transfer.changed_kept();
        self.forget(ua, id);
        ua.emit(Event::TransferFailed { transfer: id, status });
        let release = Release::ours(&Reason { cause: status, text: "Transfer failed".into() });
        if let Some(target) = called {
            ua.release(target, &release);
        }
        let transferor_up = ua.leg(transferor).is_some_and(|leg| leg.is_live());
        if !transferor_up {
            ua.release(kept, &release);
        } else if changed {
            self.restore(ua, id, kept, transferor);
        }
        // A consulted party whose consultation has left has nobody to talk to.
        if let Some(target) = consulted.filter(|target| ua.leg(*target).is_some_and(|leg| leg.peer.is_none())) {
            ua.release(target, &release);
        }
    }

    /// Forgets a transfer and lets its legs go.
    fn forget(&mut self, ua: &mut Ua, id: TransferId) {
        let Some(transfer) = self.all.remove(&id) else { return };
        self.legs.retain(|_, of| *of != id);
        if let Some(leg) = ua.leg_mut(transfer.transferor) {
            leg.transfer = None;
        }
    }
}

impl Transfer {
    /// The target, if we called it for this transfer and it is not joined.
    fn called(&self) -> Option<LegId> {
        match &self.stage {
            Stage::Trying { target } => Some(*target),
            Stage::Joining(joining) if self.consultation.is_none() => Some(joining.target),
            _ => None,
        }
    }

    /// The target, if it was there before the transfer.
    fn consulted(&self) -> Option<LegId> {
        match &self.stage {
            Stage::Waiting { target } => Some(*target),
            Stage::Joining(joining) if self.consultation.is_some() => Some(joining.target),
            _ => None,
        }
    }

    /// The transferee's session is no longer the one that it had with the transferor.
    fn changed_kept(&self) -> bool {
        matches!(&self.stage, Stage::Joining(joining) if joining.kept_changed)
    }
}

/// Refer-To, if there is exactly one that asks for an INVITE to a place that we can call.
fn referral(refer: &Message) -> Option<Referral> {
    let name = HeaderName::ReferTo;
    let mut values = refer.values(&name);
    let uri = NameAddr::parse(values.next()?)?.parsed_uri()?;
    let invite = uri.param("method").is_none_or(|method| method.eq_ignore_ascii_case("INVITE"));
    let callable = matches!(uri.scheme(), "sip" | "tel") && invite && values.next().is_none();
    callable.then(|| Referral { replaces: uri.embedded_header("Replaces"), target: uri.without_headers() })
}

/// The timers of this floor.
impl Transfers {
    pub(crate) fn timer(&mut self, ua: &mut Ua, timer: Timer) {
        match timer {
            Timer::TransferorBye(id) => self.release_transferor(ua, id),
            Timer::JoinRetry(id) => self.join_again(ua, id),
            Timer::Ring(_)
            | Timer::Change(_)
            | Timer::Passed(_)
            | Timer::Media(_)
            | Timer::Ack(_)
            | Timer::Receipt(_) => {}
        }
    }

    /// A target has rung long enough.
    pub(crate) fn target_rang_out(&mut self, ua: &mut Ua, id: TransferId, leg: LegId) {
        if ua.leg(leg).is_some_and(|leg| matches!(leg.state, State::Calling(_))) {
            self.legs.remove(&leg);
            ua.release(leg, &Release::ours(&Reason { cause: 408, text: "No answer".into() }));
            self.fail(ua, id, 408, "Request Timeout");
        }
    }
}
