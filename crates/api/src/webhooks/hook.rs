//! A webhook: what is kept of it, what is shown of it, and which events it wants.

use engine::view::{EventBody, EventName, Role, UserView};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use crate::model::Model;
use crate::paging::Resource;

/// As it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Hook {
    pub(crate) id: String,
    /// It acts with this user's rights.
    pub(crate) owner: String,
    pub(crate) url: Url,
    /// Empty: all.
    pub(crate) events: Vec<EventName>,
    /// With `groups`: whose events. Both empty: everybody's.
    pub(crate) agents: Vec<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) active: bool,
    pub(crate) paused: Option<Paused>,
    pub(crate) secret: String,
    /// The one before, as long as it signs too.
    pub(crate) old_secret: Option<OldSecret>,
    pub(crate) created_at: Timestamp,
    pub(crate) changed_at: Timestamp,
}

/// Why nothing is sent, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Paused {
    /// `gone` (410), `failing` (a delivery failed for 24 h), `too-many-pending`, `owner-gone`.
    pub(crate) reason: PauseReason,
    /// Since.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) at: Timestamp,
}

/// Why a webhook was paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PauseReason {
    /// The endpoint answered 410.
    Gone,
    /// A delivery could not be made for 24 h.
    Failing,
    /// More waits for the endpoint than is kept.
    TooManyPending,
    /// Its owner is gone, or may have no webhooks any more.
    OwnerGone,
}

impl PauseReason {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Failing => "failing",
            Self::TooManyPending => "too-many-pending",
            Self::OwnerGone => "owner-gone",
        }
    }
}

/// A secret that was replaced.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OldSecret {
    pub(crate) secret: String,
    pub(crate) until: Timestamp,
}

/// A webhook as it is shown: without its secrets.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct WebhookView {
    /// `whk_…`.
    pub(crate) id: String,
    /// User id; it sees what this user may see.
    owner: String,
    /// Where events are POSTed to.
    url: String,
    /// Which events; empty: all. `resync` always comes.
    #[schema(value_type = Vec<EventName>)]
    events: Vec<EventName>,
    /// Events of these agents, and of those in `groups`; both empty: of everybody.
    agents: Vec<String>,
    /// User groups.
    groups: Vec<String>,
    /// Whether events are sent.
    active: bool,
    /// Why it was paused, if it was.
    paused: Option<Paused>,
    /// Until then the secret before the last signs, too.
    #[schema(value_type = Option<String>, format = DateTime)]
    old_secret_until: Option<Timestamp>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    changed_at: Timestamp,
}

/// A webhook with its new secret, which is shown this once.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct WebhookSecretView {
    #[serde(flatten)]
    webhook: WebhookView,
    /// `whsec_…`: the key of the signatures, in base64.
    secret: String,
}

impl Resource for WebhookView {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Hook {
    pub(crate) fn view(&self) -> WebhookView {
        WebhookView {
            id: self.id.clone(),
            owner: self.owner.clone(),
            url: self.url.to_string(),
            events: self.events.clone(),
            agents: self.agents.clone(),
            groups: self.groups.clone(),
            active: self.active,
            paused: self.paused.clone(),
            old_secret_until: self.old_secret.as_ref().map(|old| old.until),
            created_at: self.created_at,
            changed_at: self.changed_at,
        }
    }

    pub(crate) fn view_with_secret(&self) -> WebhookSecretView {
        WebhookSecretView { webhook: self.view(), secret: self.secret.clone() }
    }

    /// The secrets that sign now, newest first.
    pub(crate) fn secrets(&self, now: Timestamp) -> impl Iterator<Item = &str> {
        let old = self.old_secret.as_ref().filter(|old| old.until > now).map(|old| old.secret.as_str());
        std::iter::once(self.secret.as_str()).chain(old)
    }

    /// Its host: as much of the URL as may stand in a log or the trail.
    pub(crate) fn host(&self) -> String {
        self.url.host_str().unwrap_or_default().to_owned()
    }

    /// Whether an event passes its filters; rights are another matter.
    pub(crate) fn wants(&self, model: &Model, name: EventName, body: &EventBody) -> bool {
        if !self.events.is_empty() && !self.events.contains(&name) {
            return false;
        }
        if self.agents.is_empty() && self.groups.is_empty() {
            return true;
        }
        let (id, group) = match body {
            EventBody::Agent(agent) => (Some(&agent.id), agent.group.clone()),
            EventBody::Call(call) => (call.agent.as_ref(), None),
            EventBody::Request(request) => (Some(&request.agent.id), None),
            EventBody::Listening(listening) => (Some(&listening.agent.id), None),
            EventBody::Webhook(_) => return false,
        };
        let Some(id) = id else { return false };
        let group = || group.or_else(|| model.agent(id)?.group.clone());
        self.agents.contains(id) || !self.groups.is_empty() && group().is_some_and(|group| self.groups.contains(&group))
    }
}

/// Who may have webhooks.
pub(crate) fn may_have(user: &UserView) -> bool {
    matches!(user.role, Role::Admin | Role::Integrator)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn hook(id: &str, owner: &str) -> Hook {
        Hook {
            id: id.to_owned(),
            owner: owner.to_owned(),
            url: "https://192.0.2.1/hook".parse().unwrap(),
            events: Vec::new(),
            agents: Vec::new(),
            groups: Vec::new(),
            active: true,
            paused: None,
            secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
            old_secret: None,
            created_at: Timestamp::UNIX_EPOCH,
            changed_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_old_secret_signs_until_its_time() {
        let until: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let mut hook = hook("whk_1", "ada");
        hook.old_secret = Some(OldSecret { secret: "whsec_b2xk".to_owned(), until });
        let before = until - jiff::SignedDuration::from_secs(1);
        assert_eq!(hook.secrets(before).count(), 2);
        assert_eq!(hook.secrets(before).next(), Some(hook.secret.as_str()));
        assert_eq!(hook.secrets(until).collect::<Vec<_>>(), [hook.secret.as_str()]);
        let shown = serde_json::to_string(&hook.view()).unwrap();
        assert!(!shown.contains("whsec_"), "{shown}");
    }
}
