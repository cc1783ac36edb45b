//! Joining the survivors of a transfer: they are re-INVITEd in turn until each sends what the other reads.

use super::{Stage, Transfer, Transfers};
use crate::interface::{Event, LegId, Reason, TransferId};
use crate::leg::Leg;
use crate::leg::{Kind, Purpose, Timer};
use crate::message::{Message, Method};
use crate::session::Agreed;
use crate::session::glare;
use crate::transaction::ClientId;
use crate::ua::{Release, Source, Ua, linked};

/// re-INVITEs that one join may need: each answer can only narrow what is left, so two each are the rule.
const ROUNDS_MAX: u8 = 6;
/// How often a join waits because one of them is being changed by somebody else.
const WAITS_MAX: u8 = 8;

/// A join under way.
#[derive(Debug)]
pub(super) struct Joining {
    pub(super) target: LegId,
    /// The transferee's session has been changed.
    pub(super) kept_changed: bool,
    /// Who is offered the other's description next.
    next: LegId,
    /// The next offer opens every stream both ways: they may have been held.
    opens: bool,
    rounds: u8,
    waits: u8,
}

impl Transfers {
    /// The target has answered: the transferee hears of it first.
    pub(super) fn begin_join(&mut self, ua: &mut Ua, id: TransferId, target: LegId, opens: bool) {
        let Some(transfer) = self.all.get_mut(&id) else { return };
        let next = transfer.kept;
        transfer.stage = Stage::Joining(Joining { target, kept_changed: false, next, opens, rounds: 0, waits: 0 });
        self.join_on(ua, id);
    }

    pub(super) fn join_again(&mut self, ua: &mut Ua, id: TransferId) {
        if matches!(self.all.get(&id), Some(Transfer { stage: Stage::Joining(_), .. })) {
            self.join_on(ua, id);
        }
    }

    /// The next step: done, or a re-INVITE, or a pause.
    fn join_on(&mut self, ua: &mut Ua, id: TransferId) {
        let Some(transfer) = self.all.get_mut(&id) else { return };
        let kept = transfer.kept;
        let Stage::Joining(joining) = &mut transfer.stage else { return };
        if fits(ua, kept, joining.target) {
            return self.joined(ua, id);
        }
        if joining.rounds == ROUNDS_MAX {
            return self.fail(ua, id, 488, "Not Acceptable Here");
        }
        let next = joining.next;
        let other = if next == kept { joining.target } else { kept };
        if !ua.leg(next).is_some_and(|leg| leg.is_settled()) {
            return self.pause(ua, id, next);
        }
        joining.rounds += 1;
        let source = if joining.opens { Source::Opened } else { Source::Agreed };
        let body = ua.offer_on(next, other, source);
        if body.is_none() {
            return self.fail(ua, id, 488, "Not Acceptable Here");
        }
        ua.change(next, &Method::Invite, body, Purpose::Join { leg: next, transfer: id });
    }

    /// Somebody else is changing that leg: RFC 3261 §14.1's pause.
    fn pause(&mut self, ua: &mut Ua, id: TransferId, leg: LegId) {
        let Some(Transfer { stage: Stage::Joining(joining), .. }) = self.all.get_mut(&id) else { return };
        if joining.waits == WAITS_MAX {
            return self.fail(ua, id, 491, "Request Pending");
        }
        joining.waits += 1;
        let made_call_id = ua.leg(leg).is_some_and(|leg| leg.is_uac());
        let at = ua.now() + glare::retry_after(made_call_id, &mut ua.random);
        ua.set_timer(at, Timer::JoinRetry(id));
    }

    /// The answer to a joining re-INVITE; `None`: it never came.
    pub(crate) fn join_answered(
        &mut self,
        ua: &mut Ua,
        client: ClientId,
        leg: LegId,
        id: TransferId,
        response: Option<&Message>,
    ) {
        if response.is_some_and(|response| response.status() < 200) {
            return;
        }
        ua.close_request(client);
        let status = response.map_or(408, Message::status);
        match response {
            Some(ok) if status < 300 => self.join_accepted(ua, leg, id, ok),
            _ => self.join_refused(ua, leg, id, status),
        }
        ua.settle(leg);
    }

    fn join_accepted(&mut self, ua: &mut Ua, leg: LegId, id: TransferId, ok: &Message) {
        if let Some(dialog) = ua.leg_mut(leg).and_then(|leg| leg.dialog.as_mut()) {
            dialog.receive_response(ok);
        }
        ua.acknowledge(leg, ok.cseq().number, None);
        let answer = ua.answer_of(leg, ok).filter(|answer| !answer.rejected() && ua.reads(leg, answer));
        let Some(answer) = answer else {
            drop_offer(ua, leg);
            return self.fail(ua, id, 488, "Not Acceptable Here");
        };
        if let Some(leg) = ua.leg_mut(leg) {
            leg.descriptions.agree_as_offerer(answer);
        }
        ua.plan_media(leg, None);
        let Some(transfer) = self.all.get_mut(&id) else { return };
        let kept = transfer.kept;
        let Stage::Joining(joining) = &mut transfer.stage else { return };
        joining.kept_changed |= leg == kept;
        joining.next = if leg == kept { joining.target } else { kept };
        joining.opens = false;
        self.join_on(ua, id);
    }

    fn join_refused(&mut self, ua: &mut Ua, leg: LegId, id: TransferId, status: u16) {
        drop_offer(ua, leg);
        match status {
            491 => self.pause(ua, id, leg),
            408 | 481 => {
                // Its dialog is gone (RFC 3261 §14.1); the transfer hears of it as of any leg that leaves.
                ua.clear_call(leg, &Release::ours(&Reason { cause: status, text: "Call does not exist there".into() }));
            }
            _ => self.fail(ua, id, status, ""),
        }
    }

    /// The survivors are a pair; the transferor is told and has its time for BYE.
    fn joined(&mut self, ua: &mut Ua, id: TransferId) {
        let Some(transfer) = self.all.get(&id) else { return };
        let Stage::Joining(Joining { target, .. }) = transfer.stage else { return };
        let (kept, leaving) = (transfer.kept, [Some(transfer.transferor), transfer.consultation]);
        let released: Vec<LegId> =
            leaving.into_iter().flatten().filter(|leg| ua.leg(*leg).is_some_and(|leg| leg.is_live())).collect();
        for leg in &released {
            ua.unpair(*leg);
        }
        ua.pair(kept, target);
        if let Some(leg) = ua.leg_mut(target).filter(|leg| matches!(leg.kind, Kind::Target(_))) {
            leg.kind = Kind::Callee;
        }
        ua.plan_media(kept, None);
        ua.plan_media(target, None);
        ua.emit(Event::TransferJoined { transfer: id, kept, target, released: released.clone() });
        ua.pair_streams(kept, target);
        self.notify(ua, id, 200, "OK");
        self.legs.remove(&kept);
        self.legs.remove(&target);
        if released.is_empty() {
            return self.forget(ua, id);
        }
        if let Some(transfer) = self.all.get_mut(&id) {
            transfer.stage = Stage::Replaced { released };
        }
        let at = ua.now() + ua.settings.transferor_bye_wait;
        ua.set_timer(at, Timer::TransferorBye(id));
    }

    /// The transferee is given back the session that it had with the transferor.
    pub(super) fn restore(&mut self, ua: &mut Ua, id: TransferId, kept: LegId, transferor: LegId) {
        if fits(ua, kept, transferor) || !ua.leg(kept).is_some_and(|leg| leg.is_settled()) {
            return;
        }
        let body = ua.offer_on(kept, transferor, Source::Agreed);
        if body.is_some() {
            ua.change(kept, &Method::Invite, body, Purpose::Join { leg: kept, transfer: id });
        }
    }
}

/// Each sends what the other reads, and where one sends the other receives.
fn fits(ua: &Ua, one: LegId, other: LegId) -> bool {
    let (Some(a), Some(b)) = (ua.leg(one), ua.leg(other)) else { return false };
    let (Some(one), Some(other)) = (a.descriptions.agreed(), b.descriptions.agreed()) else { return false };
    let types = |payloads: Vec<crate::sdp::Payload>| {
        let mut types: Vec<(u8, String, u32)> = payloads
            .into_iter()
            .map(|payload| (payload.pt, payload.name.to_ascii_lowercase(), payload.clock))
            .collect();
        types.sort();
        types
    };
    one.sends() == other.receives()
        && one.receives() == other.sends()
        && one.telephone_event() == other.telephone_event()
        && types(one.payloads()) == types(other.payloads())
        && others_fit((a, &one), (b, &other))
}

/// Each other stream of one is one of the other's, in the same directions, or neither has any.
fn others_fit(one: (&Leg, &Agreed), other: (&Leg, &Agreed)) -> bool {
    let (mine, theirs) = (one.1.live_others(), other.1.live_others());
    let links = linked(one.0, other.0);
    mine.len() == theirs.len()
        && mine.iter().all(|(place, sends, receives)| {
            let partner = links.iter().find(|(own, _)| own == place).map(|(_, theirs)| *theirs);
            theirs.iter().any(|their| partner == Some(their.0) && *sends == their.2 && *receives == their.1)
        })
}

fn drop_offer(ua: &mut Ua, leg: LegId) {
    if let Some(leg) = ua.leg_mut(leg) {
        leg.descriptions.drop_offer();
    }
}
