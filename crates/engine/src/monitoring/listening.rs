//! The listening machine: waiting → ringing → live → ended, with one reason out of SEMANTICS' closed list.

use std::time::Duration;

use crate::audit::{Action, ENGINE};
use crate::directory::{Party, plain_number};
use crate::engine::Core;
use crate::interaction::InteractionKey;
use crate::interface::{Event, View};
use crate::monitoring::{EarState, Listening, ListeningPhase, Target};
use crate::persist::Change;
use crate::store::After;
use crate::timers::Timer;
use crate::view::{EndReason, EventBody, EventName, Focus, Gains, ListeningQuality, ListeningState, ListeningView};

impl Core {
    /// An interaction matches a request: its listening begins with its record, or ends at once with a reason.
    pub(crate) fn begin_listening(&mut self, request_id: &str, key: InteractionKey) {
        let Some(interaction) = self.interactions.get_mut(&key) else { return };
        interaction.tried.push(request_id.to_owned());
        let (primary, shielded) = (interaction.primary, interaction.shielded);
        let (Some(call), Some(request)) = (self.calls.get_mut(&primary), self.requests.get(request_id)) else { return };
        let id = self.ids.ulid("lst", self.now.wall);
        call.listenings.push(id.clone());
        self.out.calls.insert(primary);
        let ordered = &request.record.view;
        let view = ListeningView {
            id: id.clone(),
            request: request_id.to_owned(),
            agent: ordered.agent.clone(),
            listener: ordered.listener.clone(),
            ordered_by: ordered.ordered_by.clone(),
            call: call.id.clone(),
            caller_number: call.caller_number.clone(),
            access_number: call.metadata.access_number.clone(),
            queue: call.metadata.queue.clone(),
            state: ListeningState::Waiting,
            ringing_at: None,
            answered_at: None,
            ended_at: None,
            heard_ms: 0,
            counted: false,
            end_reason: None,
            focus: Focus::Talk,
            shielded,
            layout: ordered.layout,
            gains: Gains::default(),
            level_matching: false,
            quality: None,
        };
        let refusal = self.refusal(key, &view);
        self.listenings
            .insert(id.clone(), Listening { view, interaction: key, phase: ListeningPhase::Recording, busy: 0 });
        if let Some(interaction) = self.interactions.get_mut(&key) {
            interaction.listenings.push(id.clone());
        }
        if let Some(request) = self.requests.get_mut(request_id) {
            request.open.push(id.clone());
        }
        if let Some(reason) = refusal {
            self.end_listening(&id, reason);
            return;
        }
        self.judge_focus(key);
        let Some(listening) = self.listenings.get(&id) else { return };
        let entry = self.listening_entry(Action::ListeningStarted, &listening.view);
        let changes = vec![Change::Listening(listening.view.clone()), Change::Audit(entry)];
        self.out.listenings.insert(id.clone());
        self.persist_all(changes, vec![After::Listening(id)]);
        self.judge_request(request_id);
    }

    /// Why this interaction is not for listening at all.
    fn refusal(&self, key: InteractionKey, listening: &ListeningView) -> Option<EndReason> {
        let interaction = self.interactions.get(&key)?;
        let call = self.calls.get(&interaction.primary)?;
        if call.metadata.do_not_monitor {
            return Some(EndReason::PolicyDenied);
        }
        if let Some(reason) = self.rights_lost(listening) {
            return Some(reason);
        }
        if self.is_unprotected(interaction, &listening.listener) {
            return Some(EndReason::PolicyDenied);
        }
        let leg = self.leg_of(&interaction.agent, interaction.primary).and_then(|leg| self.legs.get(&leg));
        leg.and_then(|leg| leg.session).filter(|session| session.opaque).map(|_| EndReason::CodecUnsupported)
    }

    /// The store has the listening's record: now the listener may be called. Without a record nobody listens.
    pub(crate) fn listening_stored(&mut self, id: &str, ok: bool) {
        if ok {
            self.ring(id);
        } else {
            self.counters.count("listenings_unavailable");
            self.end_listening(id, EndReason::AuditUnavailable);
        }
    }

    /// Calls the listener, or joins an ear that it has already.
    pub(crate) fn ring(&mut self, id: &str) {
        if self.ended_for_rights(id) {
            return;
        }
        let Some(listening) = self.listenings.get(id) else { return };
        let (request_id, key, agent) =
            (listening.view.request.clone(), listening.interaction, listening.view.agent.id.clone());
        if matches!(listening.phase, ListeningPhase::OnEar(_)) {
            return;
        }
        // one that is being recorded has its slot, unless N was lowered meanwhile
        let has_slot = match listening.phase {
            ListeningPhase::Recording => self.slots_taken(&request_id) <= self.slots(&request_id),
            _ => self.has_slot(&request_id),
        };
        if !has_slot {
            self.set_phase(id, ListeningPhase::Blocked);
            return;
        }
        let Some(target) = self.target(&listening.view.listener) else {
            self.end_listening(id, EndReason::ListenerUnreachable);
            return;
        };
        let way = self.way(&listening.view.listener);
        if self.is_party(key, &target) {
            self.end_listening(id, EndReason::ListenerInCall);
            return;
        }
        let Some(interaction) = self.interactions.get(&key) else { return };
        let encrypted = self.asks_for_encryption(interaction);
        if self.is_unprotected(interaction, &listening.view.listener) {
            return self.end_unprotected(id);
        }
        // it may have changed while the listener was waited for
        if self.described_of_listening(id).is_some_and(|session| session.opaque) {
            return self.end_listening(id, EndReason::CodecUnsupported);
        }
        let same =
            self.ears.iter().find(|(_, ear)| ear.target == target).map(|(ear, e)| (*ear, e.state, e.agent == agent));
        match same {
            Some((ear, state, true)) if state != EarState::Ending && encrypted && self.is_plain(ear) => {
                self.end_unprotected(id);
            }
            Some((ear, state, true)) if state != EarState::Ending => self.join_ear(id, ear),
            Some(_) => self.set_phase(id, ListeningPhase::Blocked),
            None => {
                let on_agent = self.desks.get(&agent).map_or(0, |desk| desk.ears.len());
                let has_port = way.is_none() || self.ports_left() > 0;
                if on_agent >= self.settings.max_listeners_per_agent || !has_port {
                    self.counters.count("listenings_limited");
                    self.end_listening(id, EndReason::LimitReached);
                    return;
                }
                if self.shards.refuses_forks(self.shard_of_listening(id), self.media_limits()) {
                    self.counters.count("forks_refused_load");
                    self.set_phase(id, ListeningPhase::Late);
                    return;
                }
                match way {
                    Some((to, sendrecv)) => self.call_listener(id, &agent, target, to, sendrecv, encrypted),
                    None => self.ring_page(id, &agent, target),
                }
            }
        }
    }

    /// The media shard of the call that it would begin to hear.
    pub(crate) fn shard_of_listening(&self, id: &str) -> usize {
        let listening = self.listenings.get(id);
        let interaction = listening.and_then(|listening| self.interactions.get(&listening.interaction));
        interaction.map_or(0, |interaction| self.shard_of(interaction.primary))
    }

    /// A media shard is so late from now on. Whoever could not be called before is called when it is in time.
    pub(crate) fn load(&mut self, shard: usize, lag: Duration) {
        let Some(before) = self.shards.told_lag(shard, lag) else { return };
        let limits = self.media_limits();
        let lag_ms = lag.as_millis();
        match (before > limits.call_lag, lag > limits.call_lag) {
            (false, true) => {
                self.out.log("warn", format!("media shard {shard} is {lag_ms} ms late: no new calls there"), Vec::new())
            }
            (true, false) => self.out.log("info", format!("media shard {shard} takes new calls again"), Vec::new()),
            _ => {}
        }
        if lag > limits.fork_lag {
            return;
        }
        let late = self.listenings.values().filter(|listening| listening.phase == ListeningPhase::Late);
        for id in late.map(|listening| listening.view.id.clone()).collect::<Vec<_>>() {
            if self.shard_of_listening(&id) == shard {
                self.ring(&id);
            }
        }
    }

    pub(crate) fn set_phase(&mut self, id: &str, phase: ListeningPhase) {
        let Some(listening) = self.listenings.get_mut(id) else { return };
        listening.phase = phase;
        if matches!(phase, ListeningPhase::Blocked | ListeningPhase::Retrying | ListeningPhase::Late) {
            listening.view.state = ListeningState::Waiting;
        }
        let request = listening.view.request.clone();
        self.out.listenings.insert(id.to_owned());
        self.judge_request(&request);
    }

    /// The listener's phone is one of those in this interaction.
    fn is_party(&self, key: InteractionKey, target: &Target) -> bool {
        let Some(interaction) = self.interactions.get(&key) else { return false };
        let sides =
            interaction.calls.iter().filter_map(|call| self.calls.get(call)).flat_map(|call| call.sides).flatten();
        // whoever looks at a page has the user's phone at hand, too
        let phone = match target {
            Target::Page(user) => self.directory.peer_of(&Party::User(user.clone())),
            Target::Account(peer) => Some(*peer),
            Target::Number(_) => None,
        };
        sides.filter_map(|leg| self.legs.get(&leg)).any(|leg| match (&leg.party, target) {
            (Party::Outside { number, .. }, Target::Number(listener)) => {
                plain_number(number).as_ref() == Some(listener)
            }
            (party, _) => phone.is_some() && self.directory.peer_of(party) == phone,
        })
    }

    /// A busy listener: tried again while the call lasts, so often.
    pub(crate) fn busy(&mut self, id: &str) {
        let Some(listening) = self.listenings.get_mut(id) else { return };
        listening.phase = ListeningPhase::Retrying; // off the ear
        listening.busy += 1;
        if listening.busy > self.settings.busy_retries {
            self.end_listening(id, EndReason::ListenerBusy);
            return;
        }
        let request = listening.view.request.clone();
        let at = self.after(self.settings.busy_retry);
        self.timers.set(Timer::BusyRetry(id.to_owned()), at);
        self.set_phase(id, ListeningPhase::Retrying);
        self.slot_returned(&request);
    }

    /// Heard so much more; counts once from `min_heard` on, stored at that moment.
    pub(crate) fn heard(&mut self, id: &str, more_ms: u64) {
        let Some(listening) = self.listenings.get_mut(id) else { return };
        listening.view.heard_ms = listening.view.heard_ms.saturating_add(more_ms);
        self.out.listenings.insert(id.to_owned());
        let enough = u128::from(listening.view.heard_ms) >= self.settings.min_heard.as_millis();
        if listening.view.counted || !enough {
            return;
        }
        listening.view.counted = true;
        let view = listening.view.clone();
        self.count_heard(view, Vec::new());
    }

    /// One more of the request's N: stored together with the listening.
    fn count_heard(&mut self, view: ListeningView, mut after: Vec<After>) {
        let Some(request) = self.requests.get_mut(&view.request) else { return };
        request.record.view.calls.used = request.record.view.calls.used.saturating_add(1);
        request.unstored += 1;
        let record = request.record.clone();
        self.counters.count("listenings_heard");
        after.push(After::Counted(view.request.clone()));
        self.persist(Change::Heard(view, record), after);
    }

    /// An ended listening's ear heard so much more at last: it may count only now, and else its slot is free.
    pub(crate) fn heard_last(&mut self, mut view: ListeningView, more_ms: u64, quality: Option<ListeningQuality>) {
        let request_id = view.request.clone();
        let unsettled = !view.counted;
        view.heard_ms = view.heard_ms.saturating_add(more_ms);
        view.counted |= u128::from(view.heard_ms) >= self.settings.min_heard.as_millis();
        let better_known = quality.is_some() && quality != view.quality;
        view.quality = quality.or(view.quality);
        if let Some(request) = self.requests.get_mut(&request_id).filter(|_| unsettled) {
            request.unsettled = request.unsettled.saturating_sub(1);
        }
        if more_ms > 0 || better_known || (unsettled && view.counted) {
            self.out.views.push(View::Listening(view.clone()));
            self.supersede(&view.id);
            let after = vec![After::Listened(view.id.clone())];
            if unsettled && view.counted {
                self.count_heard(view.clone(), after);
            } else {
                self.persist(Change::Listening(view.clone()), after);
            }
        }
        if unsettled {
            self.settled(&request_id, view.counted);
        }
    }

    /// It is known whether one more ended listening counts.
    fn settled(&mut self, request_id: &str, counted: bool) {
        let Some(request) = self.requests.get_mut(request_id).filter(|request| request.unsettled == 0) else {
            if !counted {
                self.slot_returned(request_id);
            }
            return;
        };
        if let Some((state, actor, reply)) = request.finishing.take() {
            return self.finish_request(request_id, state, &actor, reply);
        }
        if !counted {
            self.slot_returned(request_id);
        }
        self.judge_request(request_id);
    }

    /// Ends a listening: one reason, one event, one record. Its ear goes with the last of its listenings.
    pub(crate) fn end_listening(&mut self, id: &str, reason: EndReason) {
        self.end_listening_by(id, reason, Vec::new(), Vec::new());
    }

    /// The same, written together with what somebody did to it, and with what waits for that.
    pub(crate) fn end_listening_by(&mut self, id: &str, reason: EndReason, told: Vec<Change>, after: Vec<After>) {
        let Some(mut listening) = self.listenings.remove(id) else { return };
        self.timers.cancel(&Timer::BusyRetry(id.to_owned()));
        self.levels_changed = true;
        let waited = matches!(listening.phase, ListeningPhase::Retrying | ListeningPhase::Blocked)
            && !matches!(listening.view.state, ListeningState::Ended);
        // one who was waiting for a busy listener never got through
        let is_late = listening.phase == ListeningPhase::Late;
        let reason = match reason {
            EndReason::CallEnded | EndReason::AgentTransferred if is_late => EndReason::LimitReached,
            EndReason::CallEnded | EndReason::AgentTransferred if waited => EndReason::ListenerBusy,
            reason => reason,
        };
        if is_late && reason == EndReason::LimitReached {
            self.counters.count("listenings_limited");
        }
        listening.view.state = ListeningState::Ended;
        listening.view.end_reason = Some(reason);
        listening.view.ended_at = Some(self.now.wall);
        if let Some(interaction) = self.interactions.get_mut(&listening.interaction) {
            interaction.listenings.retain(|other| other != id);
        }
        let mut unsettled = false;
        if let ListeningPhase::OnEar(ear) = listening.phase {
            self.leave_ear(id, ear, reason);
            let closed = self.closed_ears.get_mut(&ear).filter(|closed| closed.hears == Some(listening.interaction));
            if let Some(closed) = closed {
                closed.listenings.push(listening.view.clone());
                unsettled = !listening.view.counted;
            }
        }
        let request_id = listening.view.request.clone();
        let counted = listening.view.counted;
        self.show_ended_listening(listening.view, told, after);
        if let Some(request) = self.requests.get_mut(&request_id) {
            request.open.retain(|other| other != id);
            request.unsettled += u32::from(unsettled);
        }
        self.count_failure(&request_id, reason);
        if !counted && !unsettled {
            self.slot_returned(&request_id);
        }
        self.judge_request(&request_id);
    }

    /// Says that a listening ended and has it kept.
    pub(crate) fn show_ended_listening(&mut self, view: ListeningView, told: Vec<Change>, mut after: Vec<After>) {
        let reason = view
            .end_reason
            .and_then(|reason| serde_json::to_value(reason).ok())
            .and_then(|reason| reason.as_str().map(str::to_owned))
            .unwrap_or_default();
        self.counters.count("listenings_ended");
        let ids = vec![("listening", view.id.clone()), ("request", view.request.clone()), ("call", view.call.clone())];
        self.out.log("info", format!("listening of {} ended: {reason}", Self::listener_name(&view.listener)), ids);
        self.out.events.push(Event {
            name: EventName::ListeningEnded,
            at: self.now.wall,
            body: EventBody::Listening(view.clone()),
        });
        let mut changes = vec![Change::Listening(view.clone())];
        changes.extend(told);
        changes.push(Change::Audit(self.listening_entry(Action::ListeningEnded, &view)));
        after.push(After::Listened(view.id.clone()));
        self.out.views.push(View::Listening(view));
        self.persist_all(changes, after);
    }

    /// Interactions in a row that failed to reach the listener suspend the request.
    fn count_failure(&mut self, id: &str, reason: EndReason) {
        use EndReason as R;
        let failed = matches!(
            reason,
            R::ListenerBusy
                | R::ListenerNoAnswer
                | R::ListenerUnreachable
                | R::ListenerDiverted
                | R::ListenerNotConfirmed
        );
        let Some(request) = self.requests.get_mut(id).filter(|request| failed && !request.ending) else { return };
        request.record.failures_in_a_row = request.record.failures_in_a_row.saturating_add(1);
        let suspend = request.record.failures_in_a_row >= self.settings.suspend_after && !request.suspended;
        request.suspended |= suspend;
        if suspend {
            request.record.view.reason = Some(crate::view::RequestReason::ListenerNotReached);
        }
        let mut record = request.record.clone();
        if suspend {
            record.view.state = crate::view::RequestState::Suspended;
            self.counters.count("requests_suspended");
            self.out.log(
                "warn",
                "request suspended: its listener could not be reached".into(),
                vec![("request", id.to_owned())],
            );
        }
        let entry = suspend.then(|| self.request_entry(ENGINE, Action::RequestSuspended, &record.view));
        let changes = std::iter::once(Change::Request(record)).chain(entry.map(Change::Audit)).collect();
        self.persist_all(changes, Vec::new());
    }

    pub(crate) fn listening_event(&mut self, name: EventName, id: &str) {
        self.out.listenings.insert(id.to_owned());
        if let Some(listening) = self.listenings.get(id) {
            self.out.events.push(Event { name, at: self.now.wall, body: EventBody::Listening(listening.view.clone()) });
        }
    }
}
