//! Orders: each is answered once; N is never overrun, nor any other limit; what was acknowledged is there after a
//! restart, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use engine::persist::Change;
use engine::view::{EndReason, ListenerRef, ListeningState, ListeningView, RequestView, Role};
use engine::{Command, Input, Output, Problem, Reply, ReplyId, View};

use super::{Report, since};
use crate::world::World;

/// Beyond what the store takes.
const ANSWER_BEYOND: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(crate) struct Orders {
    /// Commands that have no answer yet.
    pending: BTreeMap<u64, Pending>,
    /// Requests that were acknowledged and whose end was not.
    acknowledged: BTreeSet<String>,
    /// Requests whose end was shown; the store may not have it yet.
    ended: BTreeSet<String>,
    /// Requests whose deletion was acknowledged.
    deleted: BTreeSet<String>,
    /// The engine was killed before it answered an order.
    unsure: bool,
    requests: BTreeMap<String, Counted>,
    /// Listenings as shown last: request, agent, target, state, counted.
    listenings: BTreeMap<String, Shown>,
    /// Requests and agents to be looked at when all views of an input are there.
    touched: BTreeSet<String>,
    rung: BTreeSet<String>,
}

#[derive(Debug)]
struct Pending {
    at: Instant,
    actor: String,
    command: Command,
    /// Active requests that the actor may have, as it was asked: a reload may lower that while the store writes.
    most: Option<usize>,
}

#[derive(Debug, Default)]
struct Counted {
    limit: Option<u32>,
    /// Counted before the process that is watched now.
    before: u32,
    /// More than the limit was under way when somebody lowered it.
    floor: u32,
}

#[derive(Debug)]
struct Shown {
    request: String,
    agent: String,
    target: String,
    state: ListeningState,
    counted: bool,
}

impl Shown {
    fn is_on_ear(&self) -> bool {
        matches!(self.state, ListeningState::Ringing | ListeningState::Live)
    }
}

impl Orders {
    pub(super) fn input(&mut self, world: &World, input: &Input) {
        let Input::Command { reply, actor, command } = input else { return };
        if let Command::ChangeRequest { id, calls: Some(_), .. } = command {
            let under_way = self.under_way(id);
            if let Some(request) = self.requests.get_mut(id) {
                request.floor = request.floor.max(under_way);
            }
        }
        let most = most_active(world, actor);
        let pending = Pending { at: world.now, actor: actor.clone(), command: command.clone(), most };
        self.pending.insert(reply.0, pending);
    }

    pub(super) fn output(&mut self, world: &World, output: &Output, report: &mut Report<'_>) {
        match output {
            Output::Reply { reply, result } => self.reply(world, *reply, result, report),
            Output::View(View::Request(view)) => self.request(view),
            Output::View(View::Listening(view)) => self.listening(world, view),
            Output::Persist { changes, .. } => {
                for change in changes {
                    if let Change::Request(record) | Change::Heard(_, record) = change {
                        self.stored(&record.view, report);
                    }
                }
            }
            _ => {}
        }
    }

    fn reply(&mut self, world: &World, reply: ReplyId, result: &Result<Reply, Problem>, report: &mut Report<'_>) {
        let Some(Pending { actor, command, most, .. }) = self.pending.remove(&reply.0) else {
            report.broken("a command has one answer", format!("{reply:?}: {result:?}"));
            return;
        };
        if let Err(problem) = result {
            report.met("refusal", format!("{} {}", problem.status, problem.code));
            return;
        }
        match (command, result) {
            (Command::Order { dry_run: false, .. }, Ok(Reply::Request(view))) => {
                report.met("order", "taken");
                self.acknowledged.insert(view.id.clone());
                role_limit(world, &actor, most, report);
            }
            (Command::DeleteRequest { id }, _) => {
                self.acknowledged.remove(&id);
                self.deleted.insert(id);
            }
            (command, _) => {
                let name = format!("{command:?}");
                report.met("command", name.split([' ', '{']).next().unwrap_or_default());
            }
        }
    }

    fn request(&mut self, view: &RequestView) {
        let fresh = !self.requests.contains_key(&view.id);
        let request = self.requests.entry(view.id.clone()).or_default();
        if fresh {
            request.before = view.calls.used;
        }
        request.limit = view.calls.limit;
        if !view.state.is_active() {
            self.acknowledged.remove(&view.id);
            self.ended.insert(view.id.clone());
        }
    }

    fn listening(&mut self, world: &World, view: &ListeningView) {
        let fresh = !self.listenings.contains_key(&view.id);
        if fresh && view.end_reason == Some(EndReason::EngineRestarted) {
            return; // what it counted stands in its request already
        }
        let shown = Shown {
            request: view.request.clone(),
            agent: view.agent.id.clone(),
            target: target(world, &view.listener),
            state: view.state,
            counted: view.counted,
        };
        let is_new = !self.targets(&view.agent.id).contains(shown.target.as_str());
        let was_on_ear = self.listenings.insert(view.id.clone(), shown).is_some_and(|before| before.is_on_ear());
        self.touched.insert(view.request.clone());
        if !was_on_ear && is_new && view.state == ListeningState::Ringing {
            self.rung.insert(view.agent.id.clone());
        }
    }

    /// All views of one input are there.
    pub(super) fn driven(&mut self, world: &World, report: &mut Report<'_>) {
        for id in std::mem::take(&mut self.touched) {
            let under_way = self.under_way(&id);
            if let Some(Counted { limit: Some(limit), floor, .. }) = self.requests.get(&id) {
                report.must(under_way <= (*limit).max(*floor), "N is never overrun", || {
                    format!("{id}: {under_way} heard or under way, N is {limit}")
                });
            }
        }
        for agent in std::mem::take(&mut self.rung) {
            self.listeners_of(world, &agent, report);
        }
    }

    fn listeners_of(&self, world: &World, agent: &str, report: &mut Report<'_>) {
        let targets = self.targets(agent);
        report.met("listeners on one agent", targets.len().to_string());
        report.must(targets.len() <= world.limits.listeners, "max_listeners_per_agent", || {
            format!("{agent} has {targets:?}, {} may be", world.limits.listeners)
        });
    }

    /// Phones that listen to an agent, or ring to.
    fn targets(&self, agent: &str) -> BTreeSet<&str> {
        self.listenings.values().filter(|l| l.agent == agent && l.is_on_ear()).map(|l| l.target.as_str()).collect()
    }

    /// Counted, and what may yet be counted.
    fn under_way(&self, request: &str) -> u32 {
        let before = self.requests.get(request).map_or(0, |request| request.before);
        let now = self.listenings.values().filter(|l| l.request == request && (l.counted || l.is_on_ear())).count();
        before + now as u32
    }

    /// What the store is asked to keep overruns N as little.
    fn stored(&self, view: &RequestView, report: &mut Report<'_>) {
        let floor = self.requests.get(&view.id).map_or(0, |request| request.floor);
        let fits = view.calls.limit.is_none_or(|limit| view.calls.used <= limit.max(floor));
        report.must(fits, "N is never overrun in the store", || format!("{view:?}"));
    }

    pub(super) fn step(&mut self, world: &World, report: &mut Report<'_>) {
        let within = world.store_delay_most + ANSWER_BEYOND;
        for pending in self.pending.values() {
            report.must(since(world.now, pending.at) <= within, "a command is answered", || {
                format!("{:?} of {} was not", pending.command, pending.actor)
            });
        }
        let late = |pending: &Pending| since(world.now, pending.at) > within;
        self.pending.retain(|_, pending| !late(pending));
    }

    /// The process is gone: what it had not answered may be kept or not.
    pub(super) fn killed(&mut self) {
        self.unsure = self.pending.values().any(|p| matches!(p.command, Command::Order { .. }));
        self.pending.clear();
        self.requests.clear();
        self.listenings.clear();
    }

    /// The next process has begun: what was acknowledged is there, and nothing else.
    pub(super) fn restarted(&mut self, world: &World, report: &mut Report<'_>) {
        let shown = &world.model.requests;
        for id in self.acknowledged.iter().filter(|id| !shown.contains_key(*id)) {
            report.broken("an acknowledged order is there after a restart", id.clone());
        }
        for id in shown.values().filter(|r| r.state.is_active()).map(|r| &r.id) {
            report.must(!self.deleted.contains(id), "what was deleted is not there after a restart", || id.clone());
            let known = self.acknowledged.contains(id) || self.ended.contains(id) || self.unsure;
            report.must(known, "no phantom order is there after a restart", || id.clone());
            self.acknowledged.insert(id.clone());
        }
        self.unsure = false;
    }
}

/// The same phone, however it was named.
fn target(world: &World, listener: &ListenerRef) -> String {
    let number = listener.number.as_ref();
    let agent = number.and_then(|n| world.model.agents.values().find(|a| a.number == *n || a.id == *n));
    match (listener, agent) {
        (_, Some(agent)) => format!("agent {}", agent.id),
        (ListenerRef { user: Some(id), .. }, _) => format!("user {id}"),
        (ListenerRef { agent: Some(id), .. }, _) => format!("agent {id}"),
        _ => format!("number {number:?}"),
    }
}

/// Active requests that a user may have by role (SEMANTICS, Ordering).
fn most_active(world: &World, actor: &str) -> Option<usize> {
    match world.model.users.get(actor)?.role {
        Role::Supervisor => world.limits.supervisor,
        Role::Admin => world.limits.admin,
        Role::Integrator => None,
    }
}

fn role_limit(world: &World, actor: &str, most: Option<usize>, report: &mut Report<'_>) {
    let active = world.model.requests.values().filter(|r| r.ordered_by == actor && r.state.is_active()).count();
    report.must(most.is_none_or(|most| active <= most), "active requests of a role", || {
        format!("{actor} has {active} of {most:?}")
    });
}
