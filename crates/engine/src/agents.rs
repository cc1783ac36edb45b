//! Agents that the API puts into the directory, one or many, and takes away; and who is told.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::audit::Action;
use crate::commands::TEXT_MAX;
use crate::directory::{Directory, MAX_AGENTS, Srtp, contact_addr};
use crate::engine::Core;
use crate::interface::{AgentChange, Event, Problem, Reply, ReplyId};
use crate::persist::{AgentRecord, Change};
use crate::store::After;
use crate::terms::{Precondition, Terms};
use crate::view::{AgentStatus, AgentView, EventBody, EventName};

/// No agent's id: `POST /v1/agents/bulk` is this.
const RESERVED: &str = "bulk";
/// Skills of one agent at most.
const SKILLS_MAX: usize = 100;

impl Core {
    /// `PUT /v1/agents/{id}`.
    pub(crate) fn put_agent(
        &mut self,
        reply: ReplyId,
        actor: &str,
        id: &str,
        change: AgentChange,
        terms: &Terms,
    ) -> Result<Option<Reply>, Problem> {
        self.may_keep_directory(actor)?;
        let record = Batch::of(&self.directory).judge(id, change)?;
        terms.expect.judge(self.agent_view(id).map(|agent| agent.etag()))?;
        let is_new = !self.directory.agents.contains_key(id);
        let changes = self.take_agents(actor, vec![record]);
        let view = self.agent_view(id).ok_or_else(Problem::agent_not_found)?;
        self.persist_all(changes, vec![After::Reply(reply, Reply::Agent(view, is_new), "store-unavailable")]);
        Ok(None)
    }

    /// `POST /v1/agents/bulk`: one write for all; what changes nothing is not written.
    pub(crate) fn put_agents(
        &mut self,
        reply: ReplyId,
        actor: &str,
        agents: Vec<(String, AgentChange)>,
        dry_run: bool,
    ) -> Result<Option<Reply>, Problem> {
        self.may_keep_directory(actor)?;
        let mut batch = Batch::of(&self.directory);
        let mut results = Vec::with_capacity(agents.len());
        for (id, change) in agents {
            let is_new = !self.directory.agents.contains_key(&id);
            let result = batch.judge(&id, change).map(|_| is_new);
            results.push((id, result));
        }
        let records: Vec<AgentRecord> = batch.changed();
        let answer = Reply::Agents(results);
        if dry_run || records.is_empty() {
            return Ok(Some(answer));
        }
        self.out.log("info", format!("{} agents put", records.len()), vec![("user", actor.to_owned())]);
        let changes = self.take_agents(actor, records);
        self.persist_all(changes, vec![After::Reply(reply, answer, "store-unavailable")]);
        Ok(None)
    }

    /// `DELETE /v1/agents/{id}`.
    pub(crate) fn delete_agent(
        &mut self,
        reply: ReplyId,
        actor: &str,
        id: &str,
        terms: &Terms,
    ) -> Result<Option<Reply>, Problem> {
        self.may_keep_directory(actor)?;
        let current = self.agent_view(id).ok_or_else(Problem::agent_not_found)?;
        terms.expect.judge(Some(current.etag()))?;
        if !self.directory.remove_agent(id) {
            return Err(Problem::agent_not_found());
        }
        self.peers_changed = true;
        self.out.agents.insert(id.to_owned());
        self.tell_agent(EventName::AgentRemoved, current);
        self.end_requests_of(id);
        self.judge_rights();
        self.mark_consulted(id);
        let entry = self.entry(actor, Action::AgentDeleted).about(id, Some(id));
        self.persist_all(
            vec![Change::AgentRemoved(id.to_owned()), Change::Audit(entry)],
            vec![After::Reply(reply, Reply::Nothing, "store-unavailable")],
        );
        Ok(None)
    }

    /// `PUT /v1/agents/{id}/status`.
    pub(crate) fn put_status(
        &mut self,
        actor: &str,
        id: &str,
        status: AgentStatus,
        terms: &Terms,
    ) -> Result<Reply, Problem> {
        self.may_keep_directory(actor)?;
        if matches!(status, AgentStatus::Connecting | AgentStatus::Connected | AgentStatus::Unknown) {
            return Err(Problem::invalid(
                "status",
                "the platform may set ready, pause, wrap-up, busy, no-answer and logged-off",
            ));
        }
        let current = self.agent_view(id).ok_or_else(Problem::agent_not_found)?;
        if terms.expect != Precondition::None {
            terms.expect.judge(Some(current.etag()))?;
        }
        let agent = self.directory.agents.get_mut(id).ok_or_else(Problem::agent_not_found)?;
        agent.platform = Some(status);
        self.judge_status(id);
        let view = self.agent_view(id).ok_or_else(Problem::agent_not_found)?;
        Ok(Reply::Agent(view, false))
    }

    /// The agent's reachability changed.
    pub(crate) fn tell_updated(&mut self, id: &str) {
        if let Some(view) = self.agent_view(id) {
            self.tell_agent(EventName::AgentUpdated, view);
        }
    }

    /// What a reload changed in the directory.
    pub(crate) fn tell_reload(&mut self, before: Vec<AgentView>) {
        let mut old: BTreeMap<String, AgentView> = before.into_iter().map(|agent| (agent.id.clone(), agent)).collect();
        for id in self.directory.agents.keys().cloned().collect::<Vec<_>>() {
            self.tell_changed(&id, old.remove(&id));
        }
        for agent in old.into_values() {
            self.tell_agent(EventName::AgentRemoved, agent);
        }
    }

    /// Puts judged agents and returns what is to be kept of it.
    fn take_agents(&mut self, actor: &str, records: Vec<AgentRecord>) -> Vec<Change> {
        let before: Vec<_> = records.iter().map(|record| (record.id.clone(), self.agent_view(&record.id))).collect();
        self.directory.put_agents(records.clone(), self.now.wall);
        self.peers_changed = true;
        for (id, old) in before.clone() {
            self.out.agents.insert(id.clone());
            self.dirty_desks.insert(id.clone());
            self.tell_changed(&id, old);
        }
        self.judge_rights();
        let mut changes = Vec::with_capacity(2 * records.len());
        for (record, (id, old)) in records.into_iter().zip(before) {
            self.mark_consulted(&id);
            let entry = self
                .entry(actor, Action::AgentPut)
                .about(&id, Some(&id))
                .with("new", old.is_none())
                .with("name", &record.name)
                .with("number", &record.number)
                .with("group", record.group.as_ref())
                .with("skills", &record.skills)
                .with("monitorable", record.monitorable)
                .with("contact", record.contact.as_ref())
                .with("srtp", record.srtp.as_ref());
            changes.extend([Change::Agent(record), Change::Audit(entry)]);
        }
        changes
    }

    /// One who loses sight of an agent because it is in another group now is told that it is gone.
    fn tell_changed(&mut self, id: &str, old: Option<AgentView>) {
        let Some(new) = self.agent_view(id) else { return };
        if old.as_ref() == Some(&new) {
            return;
        }
        if let Some(old) = old.filter(|old| old.group != new.group) {
            self.tell_agent(EventName::AgentRemoved, old);
        }
        self.tell_agent(EventName::AgentUpdated, new);
    }

    fn tell_agent(&mut self, name: EventName, agent: AgentView) {
        self.out.events.push(Event { name, at: self.now.wall, body: EventBody::Agent(agent) });
    }

    /// Everybody who talks to this agent now may hear or not hear it from now on.
    fn mark_consulted(&mut self, id: &str) {
        let calls: Vec<_> =
            self.desks.get(id).map(|desk| desk.calls.iter().map(|entry| entry.call).collect()).unwrap_or_default();
        for call in calls {
            self.mark_desks(call);
        }
    }
}

/// Agents as they will be, judged one after the other.
struct Batch<'a> {
    directory: &'a Directory,
    /// In the order in which they were put.
    put: Vec<AgentRecord>,
    named: HashSet<String>,
    /// Whose a number is.
    numbers: HashMap<String, String>,
    /// Agents that there are then.
    agents: usize,
}

impl<'a> Batch<'a> {
    fn of(directory: &'a Directory) -> Self {
        let seeds = directory.agents.values().map(|agent| &agent.seed);
        let numbers = seeds.map(|seed| (seed.number.clone(), seed.id.clone())).collect();
        Self { directory, put: Vec::new(), named: HashSet::new(), numbers, agents: directory.agents.len() }
    }

    /// Those of which something is different.
    fn changed(self) -> Vec<AgentRecord> {
        let Self { directory, put, .. } = self;
        put.into_iter().filter(|record| directory.as_record(&record.id).as_ref() != Some(record)).collect()
    }

    /// The agent as it will be, or what is wrong with it.
    fn judge(&mut self, id: &str, change: AgentChange) -> Result<AgentRecord, Problem> {
        let old = self.directory.as_record(id);
        if !fits(id) || id.chars().any(|c| !(c.is_ascii_alphanumeric() || "-_.~+*".contains(c))) {
            return Err(Problem::invalid("id", "an id has letters, digits and -_.~+* only, 128 at most"));
        }
        if id == RESERVED {
            return Err(Problem::invalid("id", "this id is a path of the API"));
        }
        if self.named.contains(id) {
            return Err(Problem::invalid("id", "this agent is named twice"));
        }
        let is_new = old.is_none();
        if is_new && self.agents >= MAX_AGENTS {
            return Err(Problem::new(409, "limit-reached", format!("there are {MAX_AGENTS} agents already")));
        }
        let record = merge(id, old, change)?;
        if self.numbers.get(&record.number).is_some_and(|owner| owner != id) {
            return Err(Problem::invalid("number", "another agent has this number"));
        }
        let before = self.directory.agents.get(id).map(|agent| &agent.seed.number);
        if let Some(number) = before.filter(|number| self.numbers.get(*number).is_some_and(|owner| owner == id)) {
            self.numbers.remove(number);
        }
        self.numbers.insert(record.number.clone(), id.to_owned());
        self.named.insert(id.to_owned());
        self.agents += usize::from(is_new);
        self.put.push(record.clone());
        Ok(record)
    }
}

/// What is left out stays; a new agent needs name and number.
fn merge(id: &str, old: Option<AgentRecord>, change: AgentChange) -> Result<AgentRecord, Problem> {
    let (is_new, old) = (old.is_none(), old.unwrap_or_else(|| blank(id)));
    let missing = |field| Problem::invalid(field, format!("a new agent needs a {field}"));
    let name = change.name.or_else(|| (!is_new).then_some(old.name)).ok_or_else(|| missing("name"))?;
    let number = change.number.or_else(|| (!is_new).then_some(old.number)).ok_or_else(|| missing("number"))?;
    let (group, skills) = (change.group.or(old.group), change.skills.unwrap_or(old.skills));
    for (field, text) in [("name", Some(&name)), ("number", Some(&number)), ("group", group.as_ref())] {
        if text.is_some_and(|text| !fits(text)) {
            return Err(Problem::invalid(field, "must have 1 to 128 characters"));
        }
    }
    if skills.len() > SKILLS_MAX || skills.iter().any(|skill| !fits(skill)) {
        return Err(Problem::invalid("skills", "at most 100 skills of 1 to 128 characters"));
    }
    if let Some(contact) = change.contact.as_deref().filter(|contact| contact_addr(contact).is_none()) {
        return Err(Problem::invalid("contact", format!("{contact:?} is not sip:user@IP:port")));
    }
    if change.srtp.as_deref().is_some_and(|srtp| Srtp::of_name(srtp).is_none()) {
        return Err(Problem::invalid("srtp", "must be off, offer or require"));
    }
    Ok(AgentRecord {
        id: id.to_owned(),
        name,
        number,
        group,
        skills,
        monitorable: change.monitorable.unwrap_or(old.monitorable),
        contact: change.contact.or(old.contact),
        srtp: change.srtp.or(old.srtp),
    })
}

fn blank(id: &str) -> AgentRecord {
    AgentRecord {
        id: id.to_owned(),
        name: String::new(),
        number: String::new(),
        group: None,
        skills: Vec::new(),
        monitorable: true,
        contact: None,
        srtp: None,
    }
}

fn fits(text: &str) -> bool {
    !text.is_empty() && text.len() <= TEXT_MAX && !text.chars().any(char::is_control)
}
