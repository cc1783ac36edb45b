//! `PATCH /v1/listenings/{id}`: layout and gains of a listener's stream, at any time while it is wanted.

use crate::audit::Action;
use crate::codecs;
use crate::engine::Core;
use crate::interface::{MixChange, Problem, Reply, ReplyId};
use crate::monitoring::{EarKey, ListeningPhase};
use crate::persist::Change;
use crate::store::After;
use crate::terms::{Precondition, etag};
use crate::view::{EventName, Layout, ListeningView, Role};

/// Gains, in decibels.
const GAIN_DB: std::ops::RangeInclusive<i64> = -40..=20;

impl Core {
    /// The listening, if it is open and the actor's to see.
    pub(crate) fn own_listening(&self, actor: &str, id: &str) -> Result<&ListeningView, Problem> {
        let role = self
            .role(actor)
            .filter(|role| *role != Role::Integrator)
            .ok_or_else(|| Problem::forbidden("integrators have no listenings"))?;
        let listening = self.listenings.get(id).ok_or_else(Problem::listening_not_found)?;
        if role != Role::Admin && listening.view.ordered_by != actor {
            return Err(Problem::listening_not_found());
        }
        Ok(&listening.view)
    }

    pub(crate) fn change_listening(
        &mut self,
        reply: ReplyId,
        actor: &str,
        id: &str,
        change: &MixChange,
        expect: &Precondition,
    ) -> Result<Option<Reply>, Problem> {
        self.own_listening(actor, id)?;
        let change = Judged::of(change)?;
        expect.judge(Some(etag(self.own_listening(actor, id)?)))?;
        // one stream serves every listening on an ear
        let ear = self.listenings.get(id).and_then(|listening| match listening.phase {
            ListeningPhase::OnEar(ear) => Some(ear),
            _ => None,
        });
        let together = match ear {
            Some(ear) => self.ears.get(&ear).map(|ear| ear.listenings.clone()).unwrap_or_default(),
            None => vec![id.to_owned()],
        };
        let mut changes = Vec::new();
        for id in &together {
            let Some(listening) = self.listenings.get_mut(id) else { continue };
            change.apply(&mut listening.view);
            changes.push(Change::Listening(listening.view.clone()));
            self.listening_event(EventName::ListeningFocus, id);
        }
        let view = self.own_listening(actor, id)?.clone();
        if let Some(ear) = ear {
            self.mix(ear, codecs::mix(&view));
        }
        let entry = self
            .entry(actor, Action::ListeningChanged)
            .about(id, Some(&view.agent.id))
            .with("layout", change.layout)
            .with("agent_gain_db", change.agent_db)
            .with("caller_gain_db", change.caller_db)
            .with("level_matching", change.level_matching);
        changes.push(Change::Audit(entry));
        self.persist_all(changes, vec![After::Reply(reply, Reply::Listening(view), "store-unavailable")]);
        Ok(None)
    }

    /// How an ear's sides are put together from now on. Opus may change its channels with that.
    fn mix(&mut self, key: EarKey, mix: media::Mix) {
        let Some(ear) = self.ears.get_mut(&key) else { return };
        let before = std::mem::replace(&mut ear.mix, mix);
        if before == mix {
            return;
        }
        let session = ear.phone().filter(|_| ear.state.is_up()).and_then(|phone| phone.session.as_ref());
        let codec = |layout| session.and_then(|session| codecs::chosen(session, layout));
        let recoded = codec(before.layout) != codec(mix.layout);
        for listener in ear.listeners(key) {
            self.out.media(media::Command::Mix { listener, mix });
        }
        if recoded {
            self.listen(key);
        }
    }
}

/// A change that was found good.
struct Judged {
    layout: Option<Layout>,
    agent_db: Option<i8>,
    caller_db: Option<i8>,
    level_matching: Option<bool>,
}

impl Judged {
    fn of(change: &MixChange) -> Result<Self, Problem> {
        Ok(Self {
            layout: change.layout.as_deref().map(judge_layout).transpose()?,
            agent_db: judge_gain("agent_gain_db", change.agent_gain_db)?,
            caller_db: judge_gain("caller_gain_db", change.caller_gain_db)?,
            level_matching: change.level_matching,
        })
    }

    fn apply(&self, view: &mut ListeningView) {
        view.layout = self.layout.unwrap_or(view.layout);
        view.gains.agent_db = self.agent_db.unwrap_or(view.gains.agent_db);
        view.gains.caller_db = self.caller_db.unwrap_or(view.gains.caller_db);
        view.level_matching = self.level_matching.unwrap_or(view.level_matching);
    }
}

/// A layout by its name.
pub(crate) fn judge_layout(name: &str) -> Result<Layout, Problem> {
    Layout::of_name(name).ok_or_else(|| Problem::invalid("layout", "must be mono, stereo, agent or caller"))
}

fn judge_gain(field: &'static str, gain: Option<i64>) -> Result<Option<i8>, Problem> {
    let judge = |gain: i64| i8::try_from(gain).ok().filter(|_| GAIN_DB.contains(&gain));
    gain.map(|gain| judge(gain).ok_or_else(|| Problem::invalid(field, "must be -40 to 20 decibels"))).transpose()
}
