//! The audit trail: one entry for whatever is ordered, changed, denied or heard (API.md has the closed list).
//!
//! An entry of an order or a change is written together with it, so that neither exists without the other. What
//! strangers can repeat at will is folded: the first of a kind is written at once, the rest of its minute as one count.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::engine::Core;
use crate::interface::{Deed, Note, NoteKind};
use crate::persist::{AuditEntry, Change};
use crate::timers::Timer;
use crate::view::{Layout, ListenerKind, ListenerRef, ListeningView, RequestView};

/// Denials and sign-ins are folded over so long.
const FOLD: Duration = Duration::from_secs(60);
/// Sources of one action that get entries of their own within that time; the rest shares one.
const FOLDED_SOURCES: usize = 100;
/// Stands for all sources above [`FOLDED_SOURCES`].
const OTHERS: &str = "others";

/// Every action that the trail knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub(crate) enum Action {
    RequestCreated,
    RequestChanged,
    RequestResumed,
    RequestDeleted,
    RequestSuspended,
    RequestEnded,
    AgentPut,
    AgentDeleted,
    ListeningStarted,
    ListeningLive,
    ListeningChanged,
    ListeningHungUp,
    ListeningEnded,
    ShieldOn,
    ShieldOff,
    Denied,
    SignedIn,
    SignInFailed,
    ConfigReloaded,
    EngineStarted,
    EngineDraining,
    EngineStopped,
    TokenCreated,
    TokenRevoked,
    SignedOut,
    WebhookCreated,
    WebhookChanged,
    WebhookDeleted,
    WebhookPaused,
}

/// The closed list of actions, as they stand in the trail.
pub const ACTIONS: [&str; 29] = [
    "request.created",
    "request.changed",
    "request.resumed",
    "request.deleted",
    "request.suspended",
    "request.ended",
    "agent.put",
    "agent.deleted",
    "listening.started",
    "listening.live",
    "listening.changed",
    "listening.hung-up",
    "listening.ended",
    "shield.on",
    "shield.off",
    "denied",
    "signed-in",
    "sign-in-failed",
    "config.reloaded",
    "engine.started",
    "engine.draining",
    "engine.stopped",
    "token.created",
    "token.revoked",
    "signed-out",
    "webhook.created",
    "webhook.changed",
    "webhook.deleted",
    "webhook.paused",
];

impl Action {
    pub(crate) fn as_str(self) -> &'static str {
        // the list has the order of the variants; a test holds them together
        ACTIONS.get(self as usize).copied().unwrap_or_default()
    }
}

/// Who acts where nobody does.
pub(crate) const ENGINE: &str = "engine";

/// What was folded within this minute, by action, actor and code.
pub(crate) type Folded = BTreeMap<(Action, String, String), Repeats>;

/// Repetitions of one kind that are not written yet.
#[derive(Debug)]
pub(crate) struct Repeats {
    entry: AuditEntry,
    count: u64,
}

impl Core {
    /// An entry about nothing in particular yet.
    pub(crate) fn entry(&self, actor: &str, action: Action) -> AuditEntry {
        AuditEntry {
            at: self.now.wall,
            actor: actor.to_owned(),
            action: action.as_str().to_owned(),
            target: None,
            agent: None,
            details: Map::new(),
        }
    }

    /// Of a request.
    pub(crate) fn request_entry(&self, actor: &str, action: Action, request: &RequestView) -> AuditEntry {
        let entry = self.entry(actor, action).on(&request.id).of_agent(&request.agent.id);
        match action {
            Action::RequestCreated | Action::RequestChanged => {
                let directions = (action == Action::RequestCreated).then_some(&request.directions);
                entry
                    .with("listener", listener(&request.listener))
                    .with("calls", request.calls.limit)
                    .with("until", request.until)
                    .with("directions", directions)
                    .with("layout", Some(request.layout).filter(|layout| *layout != Layout::Mono))
                    .with("confirm", Some(true).filter(|_| request.confirm))
            }
            Action::RequestSuspended => entry.with("reason", request.reason),
            Action::RequestEnded => entry.with("state", request.state).with("used", request.calls.used),
            _ => entry,
        }
    }

    /// Of a listening; whoever ordered it acts.
    pub(crate) fn listening_entry(&self, action: Action, listening: &ListeningView) -> AuditEntry {
        let entry = self
            .entry(&listening.ordered_by, action)
            .on(&listening.id)
            .of_agent(&listening.agent.id)
            .with("request", &listening.request)
            .with("call", &listening.call)
            .with("listener", listener(&listening.listener))
            .with("caller_number", listening.caller_number.as_ref());
        match action {
            Action::ListeningEnded => entry
                .with("reason", listening.end_reason)
                .with("heard_ms", listening.heard_ms)
                .with("counted", listening.counted),
            _ => entry,
        }
    }

    /// An entry that nobody waits for.
    pub(crate) fn audit(&mut self, entry: AuditEntry) {
        self.persist(Change::Audit(entry), Vec::new());
    }

    /// Somebody may not do this over the API; 403.
    pub(crate) fn audit_denial(&mut self, actor: &str, code: &str, target: Option<String>) {
        let mut entry = self.entry(actor, Action::Denied).with("code", code);
        entry.target = target;
        self.fold(Action::Denied, code.to_owned(), entry, 1);
    }

    /// A stranger, or a phone with a wrong password; by address, because ports are free.
    pub(crate) fn audit_stranger(&mut self, source: IpAddr, method: &str, why: &'static str) {
        let method: String = method.chars().filter(|c| c.is_ascii_graphic()).take(32).collect();
        let entry = self.entry(&format!("sip:{source}"), Action::Denied).with("code", why).with("method", method);
        self.fold(Action::Denied, why.to_owned(), entry, 1);
    }

    /// What the API noticed by itself.
    pub(crate) fn note(&mut self, note: Note) {
        let Note { at, actor, kind, count } = note;
        let (action, code) = match &kind {
            NoteKind::SignedIn { .. } => (Action::SignedIn, String::new()),
            NoteKind::SignInFailed => (Action::SignInFailed, String::new()),
            NoteKind::Denied { code, .. } => (Action::Denied, code.clone()),
            NoteKind::Did { deed, target, details } => return self.deed(at, &actor, *deed, target, details),
        };
        let entry = AuditEntry { at, ..self.entry(&actor, action) };
        let entry = match kind {
            NoteKind::SignedIn { source } => entry.with("source", source),
            NoteKind::SignInFailed => entry,
            NoteKind::Denied { code, what } => entry.with("code", code).with("what", what),
            NoteKind::Did { .. } => entry,
        };
        self.fold(action, code, entry, count);
    }

    /// Never folded: whoever does it is signed in, and each has its own target.
    fn deed(&mut self, at: Timestamp, actor: &str, deed: Deed, target: &str, details: &[(String, String)]) {
        let action = match deed {
            Deed::TokenCreated => Action::TokenCreated,
            Deed::TokenRevoked => Action::TokenRevoked,
            Deed::SignedOut => Action::SignedOut,
            Deed::WebhookCreated => Action::WebhookCreated,
            Deed::WebhookChanged => Action::WebhookChanged,
            Deed::WebhookDeleted => Action::WebhookDeleted,
            Deed::WebhookPaused => Action::WebhookPaused,
        };
        let entry = AuditEntry { at, ..self.entry(actor, action) }.on(target);
        self.audit(details.iter().fold(entry, |entry, (name, value)| entry.with(name, value)));
    }

    /// The first of a kind is written at once, the others are counted until [`Core::unfold`].
    fn fold(&mut self, action: Action, code: String, mut entry: AuditEntry, count: u64) {
        let mut key = (action, entry.actor.clone(), code);
        if let Some(repeats) = self.folded.get_mut(&key) {
            repeats.add(entry, count);
            self.counters.count("audit_entries_folded");
            return;
        }
        if self.folded.keys().filter(|(other, ..)| *other == action).count() >= FOLDED_SOURCES {
            self.counters.count("audit_entries_folded");
            key = (action, OTHERS.to_owned(), String::new());
            entry = self.entry(OTHERS, action);
            match self.folded.get_mut(&key) {
                Some(repeats) => repeats.add(entry, count),
                None => drop(self.folded.insert(key, Repeats { entry, count })),
            }
            return;
        }
        if self.folded.is_empty() {
            let at = self.after(FOLD);
            self.timers.set(Timer::Unfold, at);
        }
        self.folded.insert(key, Repeats { entry: entry.clone(), count: 0 });
        let entry = if count > 1 { entry.with("count", count) } else { entry };
        self.audit(entry);
    }

    /// The minute is over: what came again is written with its count.
    pub(crate) fn unfold(&mut self) {
        for (_, Repeats { entry, count }) in std::mem::take(&mut self.folded) {
            if count > 0 {
                self.audit(entry.with("count", count));
            }
        }
    }
}

impl Repeats {
    fn add(&mut self, entry: AuditEntry, count: u64) {
        self.count = self.count.saturating_add(count);
        self.entry.at = entry.at;
        if self.entry.target != entry.target {
            self.entry.target = None; // several
        }
    }
}

impl AuditEntry {
    fn on(mut self, target: &str) -> Self {
        self.target = Some(target.to_owned());
        self
    }

    fn of_agent(mut self, agent: &str) -> Self {
        self.agent = Some(agent.to_owned());
        self
    }

    /// The thing that it was done to, and the agent that it concerns.
    pub(crate) fn about(mut self, target: &str, agent: Option<&str>) -> Self {
        self.agent = agent.map(str::to_owned);
        self.on(target)
    }

    /// One more detail; what is `null` is left out.
    pub(crate) fn with(mut self, name: &str, value: impl Serialize) -> Self {
        match serde_json::to_value(value) {
            Ok(Value::Null) | Err(_) => {}
            Ok(value) => drop(self.details.insert(name.to_owned(), value)),
        }
        self
    }
}

/// `page:ID`, `user:ID`, `agent:ID` or the number.
fn listener(listener: &ListenerRef) -> Option<String> {
    match listener {
        ListenerRef { kind: ListenerKind::Page, user: Some(id), .. } => Some(format!("page:{id}")),
        ListenerRef { user: Some(id), .. } => Some(format!("user:{id}")),
        ListenerRef { agent: Some(id), .. } => Some(format!("agent:{id}")),
        ListenerRef { number, .. } => number.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_its_name() {
        let pairs = [
            (Action::RequestCreated, "request.created"),
            (Action::RequestChanged, "request.changed"),
            (Action::RequestResumed, "request.resumed"),
            (Action::RequestDeleted, "request.deleted"),
            (Action::RequestSuspended, "request.suspended"),
            (Action::RequestEnded, "request.ended"),
            (Action::AgentPut, "agent.put"),
            (Action::AgentDeleted, "agent.deleted"),
            (Action::ListeningStarted, "listening.started"),
            (Action::ListeningLive, "listening.live"),
            (Action::ListeningChanged, "listening.changed"),
            (Action::ListeningHungUp, "listening.hung-up"),
            (Action::ListeningEnded, "listening.ended"),
            (Action::ShieldOn, "shield.on"),
            (Action::ShieldOff, "shield.off"),
            (Action::Denied, "denied"),
            (Action::SignedIn, "signed-in"),
            (Action::SignInFailed, "sign-in-failed"),
            (Action::ConfigReloaded, "config.reloaded"),
            (Action::EngineStarted, "engine.started"),
            (Action::EngineDraining, "engine.draining"),
            (Action::EngineStopped, "engine.stopped"),
            (Action::TokenCreated, "token.created"),
            (Action::TokenRevoked, "token.revoked"),
            (Action::SignedOut, "signed-out"),
            (Action::WebhookCreated, "webhook.created"),
            (Action::WebhookChanged, "webhook.changed"),
            (Action::WebhookDeleted, "webhook.deleted"),
            (Action::WebhookPaused, "webhook.paused"),
        ];
        assert_eq!(pairs.map(|(action, _)| action.as_str()), pairs.map(|(_, name)| name));
        assert_eq!(pairs.map(|(_, name)| name), ACTIONS);
    }

    #[test]
    fn the_list_is_documented() {
        let page = include_str!("../../../docs/API.md");
        for action in ACTIONS {
            assert!(page.contains(&format!("`{action}`")), "{action} is not in API.md");
        }
    }
}
