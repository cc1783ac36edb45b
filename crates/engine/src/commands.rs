//! Orders over the API, each judged by who asks; the answer leaves when the store has it.

use crate::audit::{Action, ENGINE};
use crate::call::CallKey;
use crate::engine::Core;
use crate::interface::{Command, Problem, Reply, ReplyId};
use crate::persist::Change;
use crate::store::{After, unwritten};
use crate::terms::Terms;
use crate::view::{AgentView, CallState, EndReason, Role};

/// Longest id, name, number or group that the API may put.
pub(crate) const TEXT_MAX: usize = 128;

impl Core {
    pub(crate) fn command(&mut self, reply: ReplyId, actor: &str, command: Command) {
        let (terms, command) = match command {
            Command::Under { terms, command } => (terms, *command),
            command => (Terms::default(), command),
        };
        let (told, target) = (told(&command), target(&command));
        let result = match command {
            // a shield closes whatever happens; a status is not in the trail
            Command::Shield { call, on: true } => self.shield_on(reply, actor, &call),
            Command::PutStatus { id, status } => self.put_status(actor, &id, status, &terms).map(Some),
            Command::WatchLevels { listening, on } => self.watch_levels(actor, &listening, on),
            _ if self.books.are_full() => Err(unwritten("audit-unavailable", "too much waits for it already")),
            Command::Order { order, dry_run } => self.order(reply, actor, &order, dry_run, terms),
            Command::ChangeRequest { id, calls, until } => {
                self.change_request(reply, actor, &id, calls, until, &terms.expect)
            }
            Command::ResumeRequest { id } => self.resume_request(reply, actor, &id, terms),
            Command::DeleteRequest { id } => self.delete_request(reply, actor, &id, &terms.expect),
            Command::PutAgent { id, agent } => self.put_agent(reply, actor, &id, agent, &terms),
            Command::PutAgents { agents, dry_run } => self.put_agents(reply, actor, agents, dry_run),
            Command::DeleteAgent { id } => self.delete_agent(reply, actor, &id, &terms),
            Command::Shield { call, on: false } => self.shield_off(reply, actor, &call),
            Command::HangUp { listening } => self.hang_up(reply, actor, &listening),
            Command::ChangeListening { listening, change } => {
                self.change_listening(reply, actor, &listening, &change, &terms.expect)
            }
            Command::Whep { listening, offer } => self.whep(reply, actor, &listening, offer),
            Command::WhepRestart { listening, session, fragment } => {
                self.whep_restart(reply, actor, &listening, &session, fragment)
            }
            Command::WhepStop { listening, session } => self.whep_stop(actor, &listening, &session),
            Command::Under { .. } => Err(Problem::new(422, "invalid-request", "terms under terms")),
        };
        if let (Ok(_), Some((what, key, id))) = (&result, told) {
            self.out.log("info", what.to_owned(), vec![("user", actor.to_owned()), (key, id)]);
        }
        match result {
            Ok(Some(answer)) => self.out.replies.push((reply, Ok(answer))),
            Ok(None) => {} // the store speaks first
            Err(problem) => {
                if problem.status == 403 {
                    self.counters.count("commands_denied");
                    self.audit_denial(actor, problem.code, target);
                    self.out.log("warn", format!("denied: {}", problem.code), vec![("user", actor.to_owned())]);
                }
                self.out.replies.push((reply, Err(problem)));
            }
        }
    }

    pub(crate) fn role(&self, actor: &str) -> Option<Role> {
        self.directory.users.get(actor).map(|user| user.seed.role)
    }

    pub(crate) fn may_keep_directory(&self, actor: &str) -> Result<(), Problem> {
        match self.role(actor) {
            Some(Role::Admin | Role::Integrator) => Ok(()),
            Some(Role::Supervisor) | None => Err(Problem::forbidden("only integrators and admins may do this")),
        }
    }

    fn shieldable(&self, actor: &str, call: &str) -> Result<CallKey, Problem> {
        self.may_keep_directory(actor)?;
        let key = *self.call_ids.get(call).ok_or_else(Problem::call_not_found)?;
        let live = self.calls.get(&key).is_some_and(|call| call.state != CallState::Ended);
        if live { Ok(key) } else { Err(Problem::call_not_found()) }
    }

    /// Silence comes at once, whether it can be recorded or not.
    fn shield_on(&mut self, reply: ReplyId, actor: &str, id: &str) -> Result<Option<Reply>, Problem> {
        let key = self.shieldable(actor, id)?;
        self.shield(key, true);
        let call = self.calls.get(&key).ok_or_else(Problem::call_not_found)?;
        let (view, agent) = (call.view(), call.agent.clone());
        let entry = self.entry(actor, Action::ShieldOn).about(id, agent.as_deref());
        let after = vec![After::Reply(reply, Reply::Call(view), "audit-unavailable")];
        self.persist(Change::Audit(entry), after);
        Ok(None)
    }

    /// Nobody hears more before it is recorded who wanted it.
    fn shield_off(&mut self, reply: ReplyId, actor: &str, id: &str) -> Result<Option<Reply>, Problem> {
        let key = self.shieldable(actor, id)?;
        let call = self.calls.get(&key).ok_or_else(Problem::call_not_found)?;
        let (turn, agent) = (call.shield_turn, call.agent.clone());
        let entry = self.entry(actor, Action::ShieldOff).about(id, agent.as_deref());
        self.persist(Change::Audit(entry), vec![After::Unshield(Some(reply), key, turn)]);
        Ok(None)
    }

    /// The store has it, or not: then the shield stays closed.
    pub(crate) fn unshield_stored(
        &mut self,
        reply: Option<ReplyId>,
        key: CallKey,
        turn: u64,
        stored: Result<(), &str>,
    ) {
        // one who closed it meanwhile wins
        if stored.is_ok() && self.calls.get(&key).is_some_and(|call| call.shield_turn == turn) {
            self.shield(key, false);
        }
        let Some(reply) = reply else {
            if stored.is_err() {
                self.unshield_refused(key);
            }
            return;
        };
        let result = match (stored, self.calls.get(&key)) {
            (Err(why), _) => Err(unwritten("audit-unavailable", why)),
            (Ok(()), Some(call)) => Ok(Reply::Call(call.view())),
            (Ok(()), None) => Err(Problem::call_not_found()),
        };
        self.out.replies.push((reply, result));
    }

    fn hang_up(&mut self, reply: ReplyId, actor: &str, id: &str) -> Result<Option<Reply>, Problem> {
        let agent = self.own_listening(actor, id)?.agent.id.clone();
        let entry = self.entry(actor, Action::ListeningHungUp).about(id, Some(&agent));
        let after = After::Reply(reply, Reply::Nothing, "store-unavailable");
        self.end_listening_by(id, EndReason::Deleted, vec![Change::Audit(entry)], vec![after]);
        Ok(None)
    }

    /// The configuration was read again.
    pub(crate) fn reload(&mut self, seed: crate::directory::Seed) {
        let before: Vec<AgentView> = self.directory.agents.keys().filter_map(|id| self.agent_view(id)).collect();
        self.out.agents.extend(self.directory.agents.keys().cloned());
        self.out.users.extend(self.directory.users.keys().cloned());
        self.directory.load(seed, self.now.wall);
        self.tell_reload(before);
        self.out.agents.extend(self.directory.agents.keys().cloned());
        self.out.users.extend(self.directory.users.keys().cloned());
        self.dirty_desks.extend(self.desks.keys().cloned());
        self.peers_changed = true;
        self.judge_rights();
        let entry = self
            .entry(ENGINE, Action::ConfigReloaded)
            .with("agents", self.directory.agents.len())
            .with("users", self.directory.users.len())
            .with("trunks", self.directory.trunks.len());
        self.audit(entry);
        self.out.log("info", "the directory was read again".into(), Vec::new());
    }
}

/// Who ended or silenced what stands in the log; the rest is seen in its resource or event.
fn told(command: &Command) -> Option<(&'static str, &'static str, String)> {
    let (what, key, id) = match command {
        Command::DeleteRequest { id } => ("request deleted", "request", id),
        Command::ResumeRequest { id } => ("request resumed", "request", id),
        Command::ChangeRequest { id, .. } => ("request changed", "request", id),
        Command::HangUp { listening } => ("listening hung up", "listening", listening),
        Command::ChangeListening { listening, .. } => ("listening changed", "listening", listening),
        Command::Whep { listening, .. } => ("player connects", "listening", listening),
        Command::WhepRestart { listening, .. } => ("player reconnects", "listening", listening),
        Command::WhepStop { listening, .. } => ("player hung up", "listening", listening),
        Command::Shield { call, on: true } => ("shield on", "call", call),
        Command::Shield { call, on: false } => ("shield off", "call", call),
        Command::DeleteAgent { id } => ("agent deleted", "agent", id),
        Command::PutAgent { id, .. } => ("agent put", "agent", id),
        Command::Order { .. }
        | Command::PutAgents { .. }
        | Command::PutStatus { .. }
        | Command::WatchLevels { .. }
        | Command::Under { .. } => return None,
    };
    Some((what, key, id.clone()))
}

/// What a command is about, for the record of its denial.
fn target(command: &Command) -> Option<String> {
    match command {
        Command::Order { order, .. } => Some(order.agent.chars().take(TEXT_MAX).collect()),
        Command::PutStatus { id, .. } => Some(id.clone()),
        Command::WatchLevels { listening, .. } => Some(listening.clone()),
        command => told(command).map(|(_, _, id)| id),
    }
}
