//! A call's legs from INVITE to BYE: who is called, ports and bridges, ringing, answer, hold, end.

use media::{BatchId, Figures, StreamId};
use signalling::message::{HeaderName, Message, Uri};
use signalling::peers::TrunkId;
use signalling::{Destination, End, LegId, MediaAddress, NewLeg, Origin, PlanId, Session};

use crate::call::{Call, CallKey, Described, Leg, LegEnd, LegRecord, Metadata, Role, remote};
use crate::directory::Party;
use crate::engine::{Closing, Core};
use crate::interaction::Desk;
use crate::pii::Masked;
use crate::placement::{NoPlace, Ready};
use crate::store::After;
use crate::timers::Timer;
use crate::view::{CallDirection, CallState, EndReason, EventName};

/// How long a call's record waits for the figures of its streams.
const FIGURES_WAIT: std::time::Duration = std::time::Duration::from_secs(1);

/// While every media shard is late, callers are told to try again after so many seconds.
const LOAD_RETRY_AFTER: u32 = 5;

/// Longest metadata value that is kept.
const METADATA_MAX: usize = 256;

/// An INVITE that asks for a new call, read.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) leg: LegId,
    pub(crate) origin: Origin,
    /// User part of the Request-URI, decoded and as written.
    pub(crate) target: String,
    pub(crate) target_raw: String,
    /// User part of To, decoded.
    pub(crate) to_user: Option<String>,
    pub(crate) from_user: String,
    pub(crate) from_display: String,
    pub(crate) replaces: Option<LegId>,
    pub(crate) metadata: Metadata,
}

impl Core {
    /// Reads what the engine needs of an INVITE.
    #[allow(clippy::too_many_arguments)] // one for each field of the event
    pub(crate) fn read_offer(
        &self,
        leg: LegId,
        origin: Origin,
        target: &Uri,
        from_user: String,
        from_display: String,
        replaces: Option<LegId>,
        invite: &Message,
    ) -> Offer {
        let header = |name: &Option<String>| {
            let value = invite.header(&HeaderName::new(name.as_deref()?))?.trim();
            let fit = !value.is_empty() && value.len() <= METADATA_MAX && !value.chars().any(char::is_control);
            fit.then(|| value.to_owned())
        };
        let settings = &self.settings;
        let do_not_monitor =
            settings.header_do_not_monitor.as_ref().and_then(|name| invite.header(&HeaderName::new(name)));
        let metadata = Metadata {
            queue: header(&settings.header_queue),
            access_number: header(&settings.header_access_number),
            interaction: header(&settings.header_interaction),
            do_not_monitor: do_not_monitor.is_some_and(says_yes),
        };
        let to_user = invite
            .to()
            .ok()
            .and_then(|to| to.parsed_uri())
            .map(|uri| uri.user_decoded())
            .filter(|user| !user.is_empty());
        Offer {
            leg,
            origin,
            target: target.user_decoded(),
            target_raw: target.user().to_owned(),
            to_user,
            from_user,
            from_display,
            replaces,
            metadata,
        }
    }

    /// A new call, or an INVITE with Replaces.
    pub(crate) fn offered(&mut self, offer: Offer) {
        self.offered_leg(offer.leg);
        if let Some(old) = offer.replaces {
            self.offered_replacement(offer, old);
            return;
        }
        if self.closing != Closing::Open {
            self.refuse(offer.leg, 503, "calls_refused_draining");
            return;
        }
        let Some(caller) = self.caller(&offer) else {
            self.refuse(offer.leg, 403, "calls_refused_stranger");
            return;
        };
        let (callee, destination) = match self.route(&caller, &offer.target, &offer.target_raw) {
            Ok(found) => found,
            Err(status) => {
                self.out.log(
                    "info",
                    format!("refused a call from {} to {}: {status}", Masked(&offer.from_user), Masked(&offer.target)),
                    Vec::new(),
                );
                self.refuse(
                    offer.leg,
                    status,
                    if status == 404 { "calls_refused_unknown" } else { "calls_refused_unreachable" },
                );
                return;
            }
        };
        match self.place_call(&caller, &callee) {
            Ok(shard) => self.connect(offer, caller, callee, destination, shard),
            Err(NoPlace::Ports) => {
                self.out.log("warn", "refused a call: no media port is ready".into(), Vec::new());
                self.refuse(offer.leg, 503, "calls_refused_no_port");
            }
            // the log has said so when it began
            Err(NoPlace::Load) => self.refuse_for(offer.leg, 503, "calls_refused_load", Some(LOAD_RETRY_AFTER)),
        }
    }

    /// Who calls.
    pub(crate) fn caller(&self, offer: &Offer) -> Option<Party> {
        match offer.origin {
            Origin::Account(peer) => self.directory.party_of(peer),
            Origin::Trunk(trunk) => Some(Party::Outside { trunk, number: offer.from_user.clone() }),
        }
    }

    /// Where a dialled user part leads, with the rights of who dialled it (API.md, Configuration).
    pub(crate) fn route(&self, caller: &Party, dialled: &str, raw: &str) -> Result<(Party, Destination), u16> {
        if dialled.is_empty() {
            return Err(404);
        }
        if let Some(party) = self.directory.look_up(dialled) {
            let peer = self.directory.peer_of(&party).ok_or(480_u16)?;
            if self.directory.peer_of(caller) == Some(peer) {
                return Err(486); // one's own number
            }
            return Ok((party, Destination::Account(peer)));
        }
        match caller {
            Party::Outside { .. } => Err(404),
            Party::Agent(_) | Party::User(_) if self.directory.trunks.is_empty() => Err(404),
            Party::Agent(_) | Party::User(_) => {
                let trunk = TrunkId(0);
                Ok((Party::Outside { trunk, number: dialled.to_owned() }, Destination::Trunk(trunk, raw.to_owned())))
            }
        }
    }

    /// Number and display name under which a party is shown to another.
    pub(crate) fn shown_as(&self, party: &Party, display: &str) -> (String, String) {
        let or = |name: &str| if display.is_empty() { name.to_owned() } else { display.to_owned() };
        match party {
            Party::Agent(id) => match self.directory.agents.get(id) {
                Some(agent) if !agent.seed.number.is_empty() => (agent.seed.number.clone(), or(&agent.seed.name)),
                Some(agent) => (id.clone(), or(&agent.seed.name)),
                None => (id.clone(), display.to_owned()),
            },
            Party::User(id) => match self.directory.users.get(id) {
                Some(user) => (user.seed.softphone.clone().unwrap_or_else(|| id.clone()), or(&user.seed.name)),
                None => (id.clone(), display.to_owned()),
            },
            Party::Outside { number, .. } => (number.clone(), display.to_owned()),
        }
    }

    /// Where a call begins. What signalling has at hand for other streams is given back first where ports are short.
    fn place_call(&mut self, caller: &Party, callee: &Party) -> Result<usize, NoPlace> {
        let (wanted, limits) = (self.shards_of(&[caller, callee]), self.media_limits());
        match self.shards.place_call(&wanted, limits) {
            Err(NoPlace::Ports) if self.recall() => self.shards.place_call(&wanted, limits),
            placed => placed,
        }
    }

    /// Where agents have calls or listeners already, the first one's first: consultations, transfers and listeners stay
    /// together.
    fn shards_of(&self, parties: &[&Party]) -> Vec<usize> {
        let desks = parties.iter().filter_map(|party| self.desks.get(party.agent()?));
        let calls = |desk: &Desk| desk.calls.iter().map(|on| self.shard_of(on.call)).collect::<Vec<_>>();
        let ears = |desk: &Desk| desk.ears.iter().filter_map(|ear| Some(self.ears.get(ear)?.shard)).collect::<Vec<_>>();
        desks.flat_map(|desk| [calls(desk), ears(desk)].concat()).collect()
    }

    /// The media shard that a call is on.
    pub(crate) fn shard_of(&self, call: CallKey) -> usize {
        self.calls.get(&call).map_or(0, |call| call.shard)
    }

    /// Takes a port for a leg, on that shard if it has one ready; `None` when there is none.
    pub(crate) fn open_stream(&mut self, call: CallKey, shard: usize) -> Option<(StreamId, MediaAddress)> {
        let Ready { port, addr } = self.take_port(shard)?;
        let stream = StreamId(self.ids.next());
        self.streams.insert(stream, call);
        self.out.media(media::Command::Open { stream, port });
        Some((stream, addr))
    }

    /// Adds a leg that signalling has to a call.
    pub(crate) fn add_leg(&mut self, key: CallKey, leg: LegId, party: Party, stream: StreamId, role: Role) {
        self.watch_party(stream, party.agent().is_some());
        self.legs.insert(
            leg,
            Box::new(Leg { call: key, party, stream, answered: false, rang: false, session: None, others: Vec::new() }),
        );
        if let Some(call) = self.calls.get_mut(&key) {
            call.legs.push(leg);
            call.records.push(LegRecord {
                stream,
                open: true,
                role,
                sip_call_id: String::new(),
                codec: None,
                srtp: None,
                figures: Figures::default(),
                silent: false,
            });
        }
    }

    fn connect(&mut self, offer: Offer, caller: Party, callee: Party, destination: Destination, shard: usize) {
        let key = self.ids.next();
        let (Some((caller_stream, caller_media)), Some((callee_stream, callee_media))) =
            (self.open_stream(key, shard), self.open_stream(key, shard))
        else {
            return; // two were ready
        };
        self.out.media(media::Command::Bridge { a: caller_stream, b: callee_stream });
        let callee_leg = self.new_leg();
        let (from_user, from_display) = self.shown_as(&caller, &offer.from_display);
        let headers =
            if matches!(callee, Party::Outside { .. }) { Vec::new() } else { self.passed_headers(&offer.metadata) };
        let id = self.start_call(key, shard, &offer, &caller, &callee, &from_user);
        self.add_leg(key, offer.leg, caller.clone(), caller_stream, Role::Caller);
        self.add_leg(key, callee_leg, callee.clone(), callee_stream, Role::of_callee(&callee));
        if let Some(call) = self.calls.get_mut(&key) {
            call.sides = [Some(offer.leg), Some(callee_leg)];
        }
        self.out.log(
            "info",
            format!("call from {} to {} started", Masked(&from_user), Masked(&offer.target)),
            vec![("call", id)],
        );
        let callee_leg = NewLeg {
            leg: callee_leg,
            destination,
            from_user,
            from_display,
            identity: false,
            media: callee_media,
            headers,
            ring_timeout: None,
        };
        self.sip(signalling::Command::Connect { caller: offer.leg, caller_media, callee: callee_leg });
        self.call_event(EventName::CallStarted, key);
        if let Some(agent) = caller.agent() {
            self.desk_dials(agent, key);
        }
        if let Some(agent) = callee.agent() {
            self.desk_rings(agent, key);
        }
    }

    /// Makes the call's entry.
    fn start_call(
        &mut self,
        key: CallKey,
        shard: usize,
        offer: &Offer,
        caller: &Party,
        callee: &Party,
        from_user: &str,
    ) -> String {
        let id = self.ids.ulid("call", self.now.wall);
        let mut metadata = offer.metadata.clone();
        let from_trunk = matches!(caller, Party::Outside { .. });
        if from_trunk && metadata.access_number.is_none() {
            metadata.access_number = offer.to_user.clone().or_else(|| Some(offer.target.clone()));
        }
        let interaction = metadata.interaction.clone().unwrap_or_else(|| self.ids.ulid("int", self.now.wall));
        let call = Call {
            id: id.clone(),
            shard,
            interaction,
            agent: callee.agent().or(caller.agent()).map(str::to_owned),
            direction: match (caller, callee) {
                (Party::Outside { .. }, _) => CallDirection::Inbound,
                (_, Party::Outside { .. }) => CallDirection::Outbound,
                _ => CallDirection::Internal,
            },
            caller_number: Some(from_user.to_owned()).filter(|user| !user.is_empty()),
            called_number: Some(offer.target.clone()),
            metadata,
            state: CallState::Ringing,
            held: false,
            shielded: false,
            shield_turn: 0,
            started_at: self.now.wall,
            answered_at: None,
            ended_at: None,
            listenings: Vec::new(),
            records: Vec::with_capacity(2),
            sides: [None, None],
            legs: Vec::with_capacity(2),
            interactions: Vec::new(),
            transfer: None,
            forced: None,
            ends: Vec::new(),
            verdict: None,
        };
        self.calls.insert(key, Box::new(call));
        self.shards.call_began(shard);
        self.call_ids.insert(id.clone(), key);
        self.counters.count("calls_started");
        id
    }

    /// The configured metadata headers as they came, for phones here; nothing else passes.
    pub(crate) fn passed_headers(&self, metadata: &Metadata) -> Vec<(String, String)> {
        let settings = &self.settings;
        [
            (&settings.header_queue, &metadata.queue),
            (&settings.header_access_number, &metadata.access_number),
            (&settings.header_interaction, &metadata.interaction),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.clone()?, value.clone()?)))
        .collect()
    }

    pub(crate) fn ringing(&mut self, leg: LegId) {
        if let Some(ear) = self.ear_legs.get(&leg).copied() {
            self.ear_rings(ear);
            self.log_moved(leg);
        } else if let Some(leg) = self.legs.get_mut(&leg) {
            leg.rang = true;
        }
    }

    /// Tells media what a leg's party described; the 2xx that depends on it waits for media's word.
    pub(crate) fn media_planned(&mut self, leg_id: LegId, session: Session, plan: Option<PlanId>) {
        if let Some(ear) = self.ear_legs.get(&leg_id).copied() {
            self.ear_planned(ear, session);
        } else if let Some(leg) = self.legs.get_mut(&leg_id) {
            let (key, stream) = (leg.call, leg.stream);
            let remote = remote(&session);
            let codec = session.payloads.first().map(|payload| payload.name.clone());
            let srtp = session.keys.as_ref().map(|keys| keys.suite().name());
            let encrypts = srtp.is_some() && leg.session.is_none_or(|session| !session.encrypted);
            leg.session = Some(Described::of(&session));
            if encrypts {
                self.hush_plain_ears(key);
            }
            if self.streams.contains_key(&stream) {
                self.out.media(media::Command::Describe { stream, remote });
            }
            if let Some(record) = self.calls.get_mut(&key).and_then(|call| call.record_mut(stream)) {
                if codec.is_some() {
                    record.codec = codec;
                }
                record.srtp = srtp;
                self.out.calls.insert(key);
            }
            self.others_planned(&session);
            self.judge_held(key);
            self.mark_desks(key);
        }
        if let Some(plan) = plan {
            self.out.media(media::Command::Done(BatchId(plan.0)));
        }
    }

    /// Whether the agent holds the other party; tells where it changed.
    pub(crate) fn judge_held(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let agent = call.agent.as_deref();
        let held = call
            .sides
            .iter()
            .flatten()
            .filter_map(|leg| self.legs.get(leg))
            .any(|leg| leg.party.agent() == agent && agent.is_some() && leg.holds());
        if call.held != held {
            call.held = held;
            self.call_event(if held { EventName::CallHeld } else { EventName::CallResumed }, key);
        }
    }

    pub(crate) fn leg_answered(&mut self, leg_id: LegId) {
        if let Some(ear) = self.ear_legs.get(&leg_id).copied() {
            self.ear_answered(ear);
            return;
        }
        let Some(leg) = self.legs.get_mut(&leg_id) else { return };
        leg.answered = true;
        let key = leg.call;
        let Some(call) = self.calls.get_mut(&key) else { return };
        let both =
            call.sides.iter().all(|side| side.and_then(|leg| self.legs.get(&leg)).is_some_and(|leg| leg.answered));
        if both && call.state == CallState::Ringing {
            call.state = CallState::Up;
            call.answered_at = Some(self.now.wall);
            self.counters.count("calls_answered");
            self.call_event(EventName::CallAnswered, key);
            for (leg, agent) in self.agents_on(key) {
                self.desk_answers(&agent, key, leg);
            }
            self.judge_held(key);
            self.log_call(key);
        }
        self.mark_desks(key);
    }

    /// The agents on a call's two sides, the caller's side first.
    pub(crate) fn agents_on(&self, key: CallKey) -> Vec<(LegId, String)> {
        let sides = self.calls.get(&key).map(|call| call.sides).unwrap_or_default();
        sides
            .into_iter()
            .flatten()
            .filter_map(|leg| Some((leg, self.legs.get(&leg)?.party.agent()?.to_owned())))
            .collect()
    }

    pub(crate) fn mark_desks(&mut self, key: CallKey) {
        for (_, agent) in self.agents_on(key) {
            self.dirty_desks.insert(agent);
        }
    }

    pub(crate) fn leg_ended(&mut self, leg_id: LegId, end: End) {
        if let Some(ear) = self.ear_legs.remove(&leg_id) {
            self.ear_ended(ear, &end);
            return;
        }
        let Some(leg) = self.legs.remove(&leg_id) else { return };
        let key = leg.call;
        self.forget_keys(leg_id);
        self.close_stream(leg.stream);
        self.close_others(leg.others);
        let Some(call) = self.calls.get_mut(&key) else { return };
        call.legs.retain(|other| *other != leg_id);
        let side = call.side_of(leg_id);
        if side.is_some() || call.state == CallState::Ended {
            let role = call.record_mut(leg.stream).map_or(Role::Callee, |record| record.role);
            let of_agent = leg.party.agent().is_some_and(|id| call.agent.as_deref() == Some(id));
            let by = if of_agent { "agent" } else { role.as_str() };
            call.ends.push(LegEnd { by, called: role != Role::Caller, rang: leg.rang, end });
        }
        if let Some(side) = side {
            let lingers = call.state == CallState::Up
                && call.transfer.as_ref().is_some_and(|transfer| transfer.transferor == leg_id);
            if lingers {
                call.sides[side] = None;
                if let Some(agent) = leg.party.agent() {
                    self.linger(agent, key);
                }
            } else {
                self.call_over(key, leg.party.agent());
            }
        }
        self.settle_call(key);
    }

    /// The first party left for good: everybody's interaction with it is over, whatever else signalling has to do.
    pub(crate) fn call_over(&mut self, key: CallKey, left: Option<&str>) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        if call.state == CallState::Ended {
            return;
        }
        call.state = CallState::Ended;
        call.ended_at = Some(self.now.wall);
        call.held = false;
        let end = call.judge_end();
        call.verdict = Some((end.cause, end.by));
        if let Some(transfer) = call.transfer.take() {
            self.transfers.remove(&transfer.id);
            if let Some(leg) = transfer.target.filter(|target| self.legs.contains_key(target)) {
                self.sip(signalling::Command::End {
                    leg,
                    reason: signalling::Reason { cause: 487, text: "The call is over".into() },
                });
            }
        }
        let mut agents: Vec<String> = self.agents_on(key).into_iter().map(|(_, agent)| agent).collect();
        agents.extend(left.map(str::to_owned));
        let Some(call) = self.calls.get_mut(&key) else { return };
        call.sides = [None, None];
        // a stream may have moved to another call with its leg
        let streams: Vec<StreamId> = call
            .records
            .iter()
            .map(|record| record.stream)
            .filter(|stream| self.streams.get(stream) == Some(&key))
            .collect();
        let legs = call.legs.clone();
        for interaction in call.interactions.clone() {
            self.call_leaves(interaction, key, EndReason::CallEnded);
        }
        for agent in agents {
            self.desk_leaves(&agent, key);
        }
        for stream in streams {
            self.close_stream(stream);
        }
        for leg in legs {
            let others = self.legs.get_mut(&leg).map(|leg| std::mem::take(&mut leg.others));
            self.close_others(others.unwrap_or_default());
        }
        self.out.calls.insert(key);
    }

    pub(crate) fn close_stream(&mut self, stream: StreamId) {
        let Some(key) = self.streams.get(&stream).copied() else { return };
        let Some(record) = self.calls.get_mut(&key).and_then(|call| call.record_mut(stream)) else { return };
        if record.open {
            // `streams` keeps it until the figures are in
            record.open = false;
            self.out.media(media::Command::Close { stream });
        }
    }

    pub(crate) fn figures(&mut self, stream: StreamId, figures: Figures) {
        let Some(key) = self.streams.get(&stream).copied() else { return };
        if let Some(record) = self.calls.get_mut(&key).and_then(|call| call.record_mut(stream)) {
            // it sends again
            record.silent &= figures.packets == record.figures.packets;
            record.figures = figures;
            self.out.calls.insert(key);
        }
    }

    pub(crate) fn stream_closed(&mut self, stream: StreamId, figures: Figures) {
        self.figures(stream, figures);
        if let Some(key) = self.streams.remove(&stream) {
            self.settle_call(key);
        }
    }

    /// Writes the record once every leg is gone and every figure is in.
    pub(crate) fn settle_call(&mut self, key: CallKey) {
        let Some(call) = self.calls.get(&key) else { return };
        if !call.legs.is_empty() {
            return;
        }
        if call.state != CallState::Ended {
            self.call_over(key, None);
        }
        let Some(call) = self.calls.get(&key) else { return };
        if call.records.iter().any(|record| self.streams.get(&record.stream) == Some(&key)) {
            if !self.timers.is_set(&Timer::Record(key)) {
                let at = self.after(FIGURES_WAIT);
                self.timers.set(Timer::Record(key), at);
            }
            return;
        }
        self.record_call(key);
    }

    /// The record goes to the store and the call leaves the engine.
    pub(crate) fn record_call(&mut self, key: CallKey) {
        self.timers.cancel(&Timer::Record(key));
        self.call_event(EventName::CallEnded, key);
        let Some(call) = self.calls.remove(&key) else { return };
        self.shards.call_ended(call.shard);
        self.call_ids.remove(&call.id);
        for record in &call.records {
            if self.streams.get(&record.stream) == Some(&key) {
                self.streams.remove(&record.stream);
            }
        }
        let view = call.view();
        let end = view.end.clone();
        self.out.views.push(crate::interface::View::Call(view.clone()));
        let (cause, by) = end.map(|end| (end.cause, end.by)).unwrap_or_default();
        self.counters.count(if call.answered_at.is_some() { "calls_ended" } else { "calls_failed" });
        self.out.log("info", format!("call ended: {cause} by {by}"), vec![("call", call.id.clone())]);
        self.persist(crate::persist::Change::Call(view), vec![After::Call(call.id)]);
        self.log_recorded(key);
    }

    /// A party sends nothing while the other does: the event's call says which leg that is.
    pub(crate) fn one_way(&mut self, stream: StreamId) {
        let Some(key) = self.streams.get(&stream).copied() else { return };
        let Some(record) = self.calls.get_mut(&key).and_then(|call| call.record_mut(stream)) else { return };
        record.silent = true;
        let role = record.role.as_str();
        self.counters.count("calls_one_way");
        let ids = self.calls.get(&key).map(|call| vec![("call", call.id.clone())]).unwrap_or_default();
        self.out.log("warn", format!("one-way audio: the {role} sends nothing"), ids);
        self.call_event(EventName::AudioOneWay, key);
    }

    pub(crate) fn rtp_timeout(&mut self, stream: StreamId) {
        if let Some(call) = self.streams.get(&stream).copied() {
            self.counters.count("calls_rtp_timeout");
            self.force_end(call, "rtp-timeout", "RTP timeout", 408);
        }
    }
}

/// A header that switches something on: any value but `0`, `false` and `no`.
fn says_yes(value: &str) -> bool {
    !["0", "false", "no"].iter().any(|no| value.trim().eq_ignore_ascii_case(no))
}
