//! How calls change hands: REFER (blind and attended) and INVITE with Replaces, judged by parties.

use signalling::{Command, LegId, NewLeg, Origin, TransferId};

use crate::call::{CallKey, Role, Transfer};
use crate::directory::Party;
use crate::engine::Core;
use crate::legs::Offer;
use crate::pii::Masked;
use crate::view::{CallDirection, CallState, EndReason, EventName};

impl Core {
    /// A REFER came. Only an agent may, and the target is routed with that agent's rights (SEMANTICS, Who may do what).
    pub(crate) fn referred(
        &mut self,
        transfer: TransferId,
        leg_id: LegId,
        target: &str,
        raw: &str,
        replaces: Option<LegId>,
    ) {
        let refusal = match self.judge_transfer(leg_id, replaces) {
            Err(status) => Some(status),
            Ok(()) => match replaces {
                Some(other) => self.transfer_attended(transfer, leg_id, other),
                None => self.transfer_blind(transfer, leg_id, target, raw),
            },
        };
        if let Some(status) = refusal {
            self.counters.count("transfers_refused");
            self.out.log("info", format!("refused a transfer to {}: {status}", Masked(target)), self.leg_ids(leg_id));
            self.sip(Command::RefuseTransfer { transfer, status });
        }
    }

    fn judge_transfer(&self, leg_id: LegId, replaces: Option<LegId>) -> Result<(), u16> {
        let leg = self.legs.get(&leg_id).ok_or(603_u16)?;
        let agent = leg.party.agent().ok_or(603_u16)?;
        let call = self.calls.get(&leg.call).ok_or(481_u16)?;
        if call.state != CallState::Up || call.side_of(leg_id).is_none() {
            return Err(603);
        }
        if call.transfer.is_some() {
            return Err(491);
        }
        match replaces.map(|other| self.legs.get(&other)) {
            None => Ok(()),
            // the dialog to be replaced must be the transferor's own, in another call
            Some(Some(other)) if other.party.agent() == Some(agent) && other.call != leg.call => Ok(()),
            Some(Some(_)) => Err(403),
            Some(None) => Err(481),
        }
    }

    fn transfer_blind(&mut self, transfer: TransferId, leg_id: LegId, target: &str, raw: &str) -> Option<u16> {
        let leg = self.legs.get(&leg_id)?;
        let (key, transferor) = (leg.call, leg.party.clone());
        let (party, destination) = match self.route(&transferor, target, raw) {
            Ok(found) => found,
            Err(status) => return Some(status),
        };
        let kept = self
            .calls
            .get(&key)
            .and_then(|call| call.peer_of(leg_id))
            .and_then(|kept| self.legs.get(&kept))
            .map(|leg| leg.party.clone());
        let Some((stream, media)) = self.open_stream(key, self.shard_of(key)) else { return Some(503) };
        // the target sees whom it will talk to
        let (from_user, from_display) = self.shown_as(kept.as_ref().unwrap_or(&transferor), "");
        let headers = match (&party, self.calls.get(&key)) {
            (Party::Agent(_) | Party::User(_), Some(call)) => self.passed_headers(&call.metadata),
            _ => Vec::new(),
        };
        let target_leg = self.new_leg();
        self.add_leg(key, target_leg, party.clone(), stream, Role::of_callee(&party));
        let new = NewLeg {
            leg: target_leg,
            destination,
            from_user,
            from_display,
            identity: false,
            media,
            headers,
            ring_timeout: None,
        };
        self.accept_transfer(transfer, leg_id, Some(new))
    }

    /// Both of the transferor's legs may end before the outcome: each of its calls knows of the transfer.
    fn transfer_attended(&mut self, transfer: TransferId, leg_id: LegId, other: LegId) -> Option<u16> {
        let other_call = self.legs.get(&other)?.call;
        let refusal = self.accept_transfer(transfer, leg_id, None);
        if let Some(call) = self.calls.get_mut(&other_call) {
            call.transfer = Some(Transfer { id: transfer, transferor: other, target: None });
            self.transfers.entry(transfer).or_default().push(other_call);
        }
        refusal
    }

    fn accept_transfer(&mut self, transfer: TransferId, leg_id: LegId, target: Option<NewLeg>) -> Option<u16> {
        let key = self.legs.get(&leg_id)?.call;
        let call = self.calls.get_mut(&key)?;
        call.transfer =
            Some(Transfer { id: transfer, transferor: leg_id, target: target.as_ref().map(|target| target.leg) });
        self.transfers.entry(transfer).or_default().push(key);
        self.counters.count("transfers_accepted");
        self.sip(Command::AcceptTransfer { transfer, target });
        self.call_event(EventName::CallTransferring, key);
        None
    }

    /// The surviving legs are joined: the transferor has left its interaction.
    pub(crate) fn transfer_joined(&mut self, transfer: TransferId, kept: LegId, target: LegId, released: &[LegId]) {
        let mut touched = self.transfers.remove(&transfer).unwrap_or_default();
        let Some(kept_call) = self.legs.get(&kept).map(|leg| leg.call) else { return };
        let Some(target_call) = self.legs.get(&target).map(|leg| leg.call) else { return };
        touched.extend([kept_call, target_call]);
        for key in touched {
            if let Some(call) = self.calls.get_mut(&key)
                && call.transfer.as_ref().is_some_and(|pending| pending.id == transfer)
            {
                call.transfer = None;
            }
        }
        // where two calls become one, the older keeps its id: it is the customer's
        let survivor = kept_call.min(target_call);
        let absorbed = if kept_call == target_call { None } else { Some(kept_call.max(target_call)) };
        let mut leaving = self.transferors([Some(survivor), absorbed], released);
        for (leg, agent) in [Some(survivor), absorbed].into_iter().flatten().flat_map(|key| self.agents_on(key)) {
            if leg != kept && leg != target {
                leaving.push(agent);
            }
        }
        leaving.sort();
        leaving.dedup();
        for key in [Some(survivor), absorbed].into_iter().flatten() {
            for agent in &leaving {
                self.agent_leaves(agent, key, EndReason::AgentTransferred);
            }
        }
        if let Some(absorbed) = absorbed {
            let (moved, stayed) = if kept_call == absorbed { (kept, target) } else { (target, kept) };
            let private = self.calls.get(&absorbed).is_some_and(|call| call.metadata.do_not_monitor);
            self.keep_private(survivor, private);
            self.move_leg(moved, survivor, absorbed);
            self.absorb(absorbed, moved);
            self.pair(survivor, stayed, moved);
            self.bridge(kept, target);
            self.join(survivor, moved);
        } else {
            self.pair(survivor, kept, target);
            self.bridge(kept, target);
            self.join(survivor, target);
        }
        self.counters.count("transfers_done");
        self.log_call(survivor);
        self.call_event(EventName::CallTransferred, survivor);
        if let Some(absorbed) = absorbed {
            self.settle_call(absorbed);
        }
    }

    /// Agents whose legs are released, or who left already while the transfer was pending.
    fn transferors(&self, calls: [Option<CallKey>; 2], released: &[LegId]) -> Vec<String> {
        let mut agents: Vec<String> =
            released.iter().filter_map(|leg| self.legs.get(leg)?.party.agent().map(str::to_owned)).collect();
        let interactions =
            calls.into_iter().flatten().filter_map(|key| self.calls.get(&key)).flat_map(|call| &call.interactions);
        agents.extend(
            interactions
                .filter_map(|key| self.interactions.get(key))
                .filter(|interaction| interaction.lingering)
                .map(|i| i.agent.clone()),
        );
        agents
    }

    /// A leg leaves one call for another.
    fn move_leg(&mut self, leg_id: LegId, to: CallKey, from: CallKey) {
        let Some(leg) = self.legs.get_mut(&leg_id) else { return };
        leg.call = to;
        let stream = leg.stream;
        if let Some(agent) = leg.party.agent().map(str::to_owned) {
            self.agent_leaves(&agent, from, EndReason::AgentTransferred);
        }
        self.streams.insert(stream, to);
        let mut record = None;
        if let Some(call) = self.calls.get_mut(&from) {
            call.legs.retain(|other| *other != leg_id);
            record = call.record_mut(stream).cloned();
            if let Some(record) = call.record_mut(stream) {
                record.open = false;
            }
        }
        if let Some(call) = self.calls.get_mut(&to) {
            call.legs.push(leg_id);
            call.records.extend(record);
        }
    }

    /// The call whose surviving leg went elsewhere is over; its other leg gets its BYE.
    /// Whoever said that their call is not to be monitored said it for every call that it becomes part of: who listens to
    /// that one listens no more.
    fn keep_private(&mut self, key: CallKey, says_so: bool) {
        let Some(call) = self.calls.get_mut(&key).filter(|call| says_so && !call.metadata.do_not_monitor) else {
            return;
        };
        call.metadata.do_not_monitor = true;
        let on_it = call.interactions.iter().filter_map(|interaction| self.interactions.get(interaction));
        let primary = on_it.filter(|interaction| interaction.primary == key);
        let listenings: Vec<String> = primary.flat_map(|interaction| &interaction.listenings).cloned().collect();
        for listening in listenings {
            self.end_listening(&listening, EndReason::PolicyDenied);
        }
        self.mark_desks(key);
    }

    fn absorb(&mut self, key: CallKey, moved: LegId) {
        if let Some(call) = self.calls.get_mut(&key) {
            if let Some(side) = call.side_of(moved) {
                call.sides[side] = None;
            }
            call.transfer = None;
        }
        self.call_over(key, None);
    }

    /// Two legs are the call's pair from now on, the first on the side that it had.
    fn pair(&mut self, key: CallKey, stayed: LegId, other: LegId) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        call.sides =
            if call.side_of(stayed) == Some(1) { [Some(other), Some(stayed)] } else { [Some(stayed), Some(other)] };
        for leg in [stayed, other] {
            if let Some(leg) = self.legs.get_mut(&leg) {
                leg.answered = true;
            }
        }
    }

    fn bridge(&mut self, a: LegId, b: LegId) {
        let stream = |leg: LegId| self.legs.get(&leg).map(|leg| leg.stream);
        if let (Some(a), Some(b)) = (stream(a), stream(b)) {
            self.out.media(media::Command::Bridge { a, b });
        }
    }

    /// After a change of parties: whose call it is now, and a new interaction for an agent who came new to it.
    fn join(&mut self, key: CallKey, newcomer: LegId) {
        let agents = self.agents_on(key);
        let new_agent = agents.iter().find(|(leg, _)| *leg == newcomer).map(|(_, agent)| agent.clone());
        let interaction = self.ids.ulid("int", self.now.wall);
        let others_outside = self.calls.get(&key).is_some_and(|call| {
            call.sides
                .iter()
                .flatten()
                .any(|leg| self.legs.get(leg).is_some_and(|leg| matches!(leg.party, Party::Outside { .. })))
        });
        if let Some(call) = self.calls.get_mut(&key) {
            // who left by the transfer did not end the call
            call.ends.clear();
            call.agent = new_agent.clone().or_else(|| agents.first().map(|(_, agent)| agent.clone()));
            if new_agent.is_some() {
                call.direction = if others_outside { CallDirection::Inbound } else { CallDirection::Internal };
                call.interaction = interaction;
                call.shielded = false;
            }
        }
        self.judge_held(key);
        if let Some(agent) = new_agent {
            self.desk_takes_over(&agent, key, newcomer);
        }
        self.mark_desks(key);
        self.out.calls.insert(key);
    }

    pub(crate) fn transfer_failed(&mut self, transfer: TransferId, status: u16) {
        let Some(keys) = self.transfers.remove(&transfer) else { return };
        self.counters.count("transfers_failed");
        for key in keys {
            let Some(call) = self.calls.get_mut(&key) else { continue };
            call.transfer = None;
            let (id, interactions) = (call.id.clone(), call.interactions.clone());
            let gone = call.state == CallState::Up && call.sides.iter().any(Option::is_none);
            self.out.log("info", format!("transfer failed: {status}"), vec![("call", id)]);
            self.out.calls.insert(key);
            if gone {
                // the transferor is gone: the caller is being released
                for interaction in interactions {
                    self.call_leaves(interaction, key, EndReason::CallEnded);
                }
                self.call_over(key, None);
            }
            self.mark_desks(key);
        }
    }

    /// An INVITE with Replaces: only from a trunk or a party of that dialog (SEMANTICS, Who may do what).
    pub(crate) fn offered_replacement(&mut self, offer: Offer, old: LegId) {
        let Some(key) = self.legs.get(&old).map(|leg| leg.call) else {
            self.refuse(offer.leg, 481, "replaces_unknown");
            return;
        };
        let Some(party) = self.caller(&offer) else {
            self.refuse(offer.leg, 403, "calls_refused_stranger");
            return;
        };
        let own = self.calls.get(&key).is_some_and(|call| {
            call.side_of(old).is_some()
                && call.sides.iter().flatten().any(|leg| self.legs.get(leg).is_some_and(|leg| leg.party == party))
        });
        if !own && !matches!(offer.origin, Origin::Trunk(_)) {
            self.out.log(
                "warn",
                "refused an INVITE with Replaces from a stranger to that call".into(),
                self.leg_ids(old),
            );
            self.refuse(offer.leg, 403, "replaces_refused");
            return;
        }
        let Some((stream, media)) = self.open_stream(key, self.shard_of(key)) else {
            self.refuse(offer.leg, 503, "calls_refused_no_port");
            return;
        };
        let role = match self.calls.get(&key).and_then(|call| call.side_of(old)) {
            Some(0) => Role::Caller,
            _ => Role::of_callee(&party),
        };
        self.keep_private(key, offer.metadata.do_not_monitor);
        self.add_leg(key, offer.leg, party, stream, role);
        self.sip(Command::Replace { new: offer.leg, old, media });
    }

    /// The new leg has the old one's place. The same agent on another device: the tap moves with it.
    pub(crate) fn replaced(&mut self, old: LegId, new: LegId, peer: LegId) {
        let (Some(old_leg), Some(new_leg)) = (self.legs.get(&old), self.legs.get(&new)) else { return };
        let (key, left, came) = (old_leg.call, old_leg.party.clone(), new_leg.party.clone());
        self.bridge(new, peer);
        let left_for_good = left.agent().filter(|agent| came.agent() != Some(agent));
        if let Some(agent) = left_for_good {
            self.agent_leaves(agent, key, EndReason::AgentTransferred);
        }
        if let Some(call) = self.calls.get_mut(&key) {
            if let Some(side) = call.side_of(old) {
                call.sides[side] = Some(new);
            }
            if let Some(leg) = self.legs.get_mut(&new) {
                leg.answered = true;
            }
        }
        if left != came {
            self.join(key, new);
            self.call_event(EventName::CallTransferred, key);
        }
        self.judge_held(key);
        self.log_call(key);
        self.mark_desks(key);
    }

    pub(crate) fn leg_ids(&self, leg: LegId) -> Vec<(&'static str, String)> {
        self.legs
            .get(&leg)
            .and_then(|leg| self.calls.get(&leg.call))
            .map(|call| vec![("call", call.id.clone())])
            .unwrap_or_default()
    }
}
