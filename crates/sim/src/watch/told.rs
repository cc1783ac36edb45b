//! What the engine tells the world of calls, requests and listenings: states in their order, one end with one reason,
//! events that agree with the views, and views that agree with what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use engine::persist::Change;
use engine::view::{
    CallState, CallView, EndReason, EventBody, EventName, ListenerKind, ListeningState, ListeningView, RequestState,
    RequestView,
};
use engine::{Event, Output, View};

use super::{Report, since};
use crate::world::World;

/// A phone that is called for a call rings at most so long: Timer C, its CANCEL and the last transaction.
const CALL_RINGS_AT_MOST: Duration = Duration::from_secs(260);
/// Beyond `ring_timeout`.
const LISTENER_RINGS_BEYOND: Duration = Duration::from_secs(3);
/// After its answer, until a page's player is connected: 10 s, and an answer of the media plane.
const PLAYER_CONNECTS: Duration = Duration::from_secs(15);
/// 10 s by default.
const CONFIRMS_AT_MOST: Duration = Duration::from_secs(11);

#[derive(Debug, Default)]
pub(super) struct Told {
    calls: BTreeMap<String, TheCall>,
    listenings: BTreeMap<String, TheListening>,
    requests: BTreeMap<String, TheRequest>,
    live_calls: BTreeSet<String>,
    open_listenings: BTreeSet<String>,
    active_requests: BTreeSet<String>,
    /// Resources that this input told events of, with the last state in them.
    events: BTreeMap<String, State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Call(CallState),
    Listening(ListeningState),
    Request(RequestState),
}

#[derive(Debug)]
struct TheCall {
    state: CallState,
    since: Instant,
    end: Option<engine::view::CallEnd>,
    answered_events: usize,
    ended_events: usize,
}

#[derive(Debug)]
struct TheListening {
    state: ListeningState,
    since: Instant,
    answered: bool,
    reason: Option<EndReason>,
    heard_ms: u64,
    ended_events: usize,
    /// Reasons that the archive was given.
    archived: BTreeSet<String>,
}

#[derive(Debug)]
struct TheRequest {
    state: RequestState,
    used: u32,
    ended_events: usize,
}

impl Told {
    pub(super) fn output(&mut self, world: &World, output: &Output, report: &mut Report<'_>) {
        match output {
            Output::View(View::Call(call)) => self.call(world.now, call, report),
            Output::View(View::Listening(listening)) => self.listening(world.now, listening, report),
            Output::View(View::Request(request)) => self.request(request, report),
            Output::View(View::CallRemoved(id)) => {
                report.must(!self.live_calls.contains(id), "only what ended is removed", || id.clone());
                report.must(world.disk.calls.contains_key(id), "what is removed is in the store", || id.clone());
            }
            Output::View(View::ListeningRemoved(id)) => {
                report.must(!self.open_listenings.contains(id), "only what ended is removed", || id.clone());
                report.must(world.disk.listenings.contains_key(id), "what is removed is in the store", || id.clone());
            }
            Output::View(View::RequestRemoved(id)) => {
                report.must(!self.active_requests.contains(id), "only what ended is removed", || id.clone());
                report.must(world.disk.requests.contains_key(id), "what is removed is in the store", || id.clone());
            }
            Output::Event(event) => self.event(event, report),
            Output::Persist { changes, .. } => changes.iter().for_each(|change| self.persist(change, report)),
            _ => {}
        }
    }

    fn call(&mut self, now: Instant, call: &CallView, report: &mut Report<'_>) {
        use CallState as S;
        let ended = call.state == S::Ended;
        report.must(
            ended == call.ended_at.is_some() && ended == call.end.is_some(),
            "an ended call has its end",
            || format!("{call:?}"),
        );
        if ended {
            self.live_calls.remove(&call.id)
        } else {
            self.live_calls.insert(call.id.clone())
        };
        let known = self.calls.entry(call.id.clone()).or_insert(TheCall {
            state: call.state,
            since: now,
            end: None,
            answered_events: 0,
            ended_events: 0,
        });
        let (from, to) = (known.state, call.state);
        if from != to {
            report.met("call", format!("{from:?} to {to:?}"));
            let legal = matches!((from, to), (S::Ringing, _) | (S::Up, S::Ended));
            report.must(legal, "states of a call in their order", || format!("{}: {from:?} to {to:?}", call.id));
            (known.state, known.since) = (to, now);
        }
        if let Some(end) = &call.end {
            report.met("call end", format!("{} by {}", end.cause, end.by));
            let first = known.end.get_or_insert_with(|| end.clone());
            // the status of the called party may come after the rest
            first.sip_status = first.sip_status.or(end.sip_status);
            report.must(first == end, "a call has one end", || format!("{}: {first:?}, {end:?}", call.id));
        }
    }

    fn listening(&mut self, now: Instant, view: &ListeningView, report: &mut Report<'_>) {
        use ListeningState as S;
        let ended = view.state == S::Ended;
        report.must(
            ended == view.end_reason.is_some() && ended == view.ended_at.is_some(),
            "an ended listening has its reason",
            || format!("{view:?}"),
        );
        if ended {
            self.open_listenings.remove(&view.id)
        } else {
            self.open_listenings.insert(view.id.clone())
        };
        let fresh = !self.listenings.contains_key(&view.id);
        let known = self.listenings.entry(view.id.clone()).or_insert(TheListening {
            state: view.state,
            since: now,
            answered: false,
            reason: None,
            heard_ms: 0,
            ended_events: 0,
            archived: BTreeSet::new(),
        });
        let (from, to) = (known.state, view.state);
        if fresh {
            report.met("listening", format!("new to {to:?}"));
        }
        known.answered = view.answered_at.is_some();
        report.met("focus", format!("{:?}{}", view.focus, if view.shielded { ", shielded" } else { "" }));
        if from != to {
            report.met("listening", format!("{from:?} to {to:?}"));
            let legal = matches!(
                (from, to),
                (S::Waiting, S::Ringing | S::Confirming | S::Live | S::Ended)
                    | (S::Ringing, S::Waiting | S::Confirming | S::Live | S::Ended)
                    | (S::Confirming, S::Live | S::Ended)
                    | (S::Live, S::Ended)
            );
            report.must(legal, "states of a listening in their order", || format!("{}: {from:?} to {to:?}", view.id));
            (known.state, known.since) = (to, now);
        }
        report
            .must(to != S::Confirming || view.heard_ms == 0, "nothing is heard before the key", || format!("{view:?}"));
        report.must(view.heard_ms >= known.heard_ms, "what was heard stays heard", || format!("{view:?}"));
        known.heard_ms = view.heard_ms;
        if let Some(reason) = view.end_reason {
            report.met("listening end", format!("{reason:?}"));
            let first = *known.reason.get_or_insert(reason);
            report
                .must(first == reason, "a listening has one reason", || format!("{}: {first:?}, {reason:?}", view.id));
        }
    }

    fn request(&mut self, view: &RequestView, report: &mut Report<'_>) {
        let active = view.state.is_active();
        if active {
            self.active_requests.insert(view.id.clone())
        } else {
            self.active_requests.remove(&view.id)
        };
        report.must(active == view.ended_at.is_none(), "an ended request has its time", || format!("{view:?}"));
        let fresh = !self.requests.contains_key(&view.id);
        let known = self.requests.entry(view.id.clone()).or_insert(TheRequest {
            state: view.state,
            used: view.calls.used,
            ended_events: 0,
        });
        let from = known.state;
        if fresh || from != view.state {
            report.met(
                "request",
                format!("{} to {:?}", if fresh { "new".into() } else { format!("{from:?}") }, view.state),
            );
            let legal = fresh || from.is_active();
            report.must(legal, "states of a request in their order", || {
                format!("{}: {from:?} to {:?}", view.id, view.state)
            });
        }
        report.must(view.calls.used >= known.used, "what was counted stays counted", || format!("{view:?}"));
        (known.state, known.used) = (view.state, view.calls.used);
    }

    fn event(&mut self, event: &Event, report: &mut Report<'_>) {
        use EventName as N;
        let once = |times: &mut usize| {
            *times += 1;
            *times == 1
        };
        match &event.body {
            EventBody::Call(call) => {
                self.events.insert(call.id.clone(), State::Call(call.state));
                let Some(known) = self.calls.get_mut(&call.id) else { return };
                let fits = match event.name {
                    N::CallEnded => call.state == CallState::Ended && once(&mut known.ended_events),
                    N::CallAnswered => call.state != CallState::Ringing && once(&mut known.answered_events),
                    N::CallStarted => call.state == CallState::Ringing,
                    _ => known.ended_events == 0,
                };
                report.must(fits, "an event fits what it tells of", || format!("{:?} of {call:?}", event.name));
            }
            EventBody::Listening(view) => {
                self.events.insert(view.id.clone(), State::Listening(view.state));
                let Some(known) = self.listenings.get_mut(&view.id) else { return };
                let fits = match event.name {
                    N::ListeningEnded => view.state == ListeningState::Ended && once(&mut known.ended_events),
                    N::ListeningLive => view.state == ListeningState::Live && known.ended_events == 0,
                    N::ListeningRinging => {
                        let rings = matches!(view.state, ListeningState::Ringing | ListeningState::Confirming);
                        rings && known.ended_events == 0
                    }
                    _ => known.ended_events == 0,
                };
                report.must(fits, "an event fits what it tells of", || format!("{:?} of {view:?}", event.name));
            }
            EventBody::Request(view) => {
                self.events.insert(view.id.clone(), State::Request(view.state));
                let Some(known) = self.requests.get_mut(&view.id) else { return };
                let fits = match event.name {
                    N::RequestEnded => !view.state.is_active() && once(&mut known.ended_events),
                    _ => view.state.is_active() && known.ended_events == 0,
                };
                report.must(fits, "an event fits what it tells of", || format!("{:?} of {view:?}", event.name));
            }
            // the API tells of webhooks
            EventBody::Agent(_) | EventBody::Webhook(_) => {}
        }
    }

    fn persist(&mut self, change: &Change, report: &mut Report<'_>) {
        let (Change::Listening(view) | Change::Heard(view, _)) = change else { return };
        let Some(reason) = view.end_reason else { return };
        let Some(known) = self.listenings.get_mut(&view.id) else {
            report.broken("what is kept is shown", format!("{view:?}"));
            return;
        };
        known.archived.insert(format!("{reason:?}"));
        report.must(known.archived.len() == 1, "a listening has one record", || {
            format!("{}: {:?}", view.id, known.archived)
        });
    }

    /// Views agree with what there is, and events with the views.
    pub(super) fn driven(&mut self, world: &World, report: &mut Report<'_>) {
        let sizes = world.sizes();
        report.must(self.open_listenings.len() == sizes.listenings, "views show the open listenings", || {
            format!("{:?} shown, {} there", self.open_listenings, sizes.listenings)
        });
        report.must(self.live_calls.len() <= sizes.calls, "views show the live calls", || {
            format!("{:?} shown, {} there", self.live_calls, sizes.calls)
        });
        report.must(self.active_requests.len() <= sizes.requests, "views show the active requests", || {
            format!("{:?} shown, {} there", self.active_requests, sizes.requests)
        });
        for (id, state) in std::mem::take(&mut self.events) {
            let shown = match state {
                State::Call(_) => world.model.calls.get(&id).map(|c| State::Call(c.state)),
                State::Listening(_) => world.model.listenings.get(&id).map(|l| State::Listening(l.state)),
                State::Request(_) => world.model.requests.get(&id).map(|r| State::Request(r.state)),
            };
            // a call is shown as ended when its parties part, and told when its figures are in
            let early = matches!((state, shown), (State::Call(_), Some(State::Call(CallState::Ended))));
            report.must(shown == Some(state) || early, "the last event agrees with the view", || {
                format!("{id}: told {state:?}, shown {shown:?}")
            });
        }
    }

    /// No state lasts longer than the timer that ends it.
    pub(super) fn step(&mut self, world: &World, report: &mut Report<'_>) {
        for id in &self.open_listenings {
            let Some(known) = self.listenings.get(id) else { continue };
            let rings = known.state == ListeningState::Ringing && !known.answered;
            let most = world.ring_timeout_most + LISTENER_RINGS_BEYOND;
            // a page that answered may take its time to connect
            let is_page = world.model.listenings.get(id).is_some_and(|l| l.listener.kind == ListenerKind::Page);
            let most = if is_page { most + PLAYER_CONNECTS } else { most };
            report.must(
                !rings || since(world.now, known.since) <= most,
                "a listener rings no longer than it may",
                || format!("{id} since {:?}", since(world.now, known.since)),
            );
        }
        for id in &self.open_listenings {
            let confirms = self.listenings.get(id).filter(|known| known.state == ListeningState::Confirming);
            let Some(known) = confirms else { continue };
            report.must(since(world.now, known.since) <= CONFIRMS_AT_MOST, "a listener confirms in time", || {
                format!("{id} since {:?}", since(world.now, known.since))
            });
        }
        for id in &self.live_calls {
            let Some(known) = self.calls.get(id).filter(|known| known.state == CallState::Ringing) else { continue };
            report.must(
                since(world.now, known.since) <= CALL_RINGS_AT_MOST,
                "a call rings no longer than it may",
                || format!("{id} since {:?}", since(world.now, known.since)),
            );
        }
    }

    /// Nobody talks any more: every end was told.
    pub(super) fn quiet(&self, report: &mut Report<'_>) {
        let untold = self.calls.iter().filter(|(_, c)| c.ended_events != 1).map(|(id, _)| id);
        let untold = untold.chain(self.listenings.iter().filter(|(_, l)| l.ended_events != 1).map(|(id, _)| id));
        let untold = untold.chain(self.requests.iter().filter(|(_, r)| r.ended_events != 1).map(|(id, _)| id));
        for id in untold {
            report.broken("every end is told", id.clone());
        }
    }

    /// The next process tells anew what is active; what the last one told of its end may not be in the store.
    pub(super) fn killed(&mut self) {
        *self = Self::default();
    }
}
