//! Orders over the control API, as the HTTP handlers would give them to the engine.

use std::time::Duration;

use engine::view::{CallDirection, CallView, EndReason, ListeningState, ListeningView, RequestState, RequestView};
use engine::{Command, Input, ListenerOrder, Order, Problem, Reply, ReplyId};
use jiff::{SignedDuration, Timestamp};

use crate::world::World;

/// A user's softphone listens.
#[must_use]
pub fn user(id: &str) -> ListenerOrder {
    ListenerOrder::User(id.into())
}

/// An agent's phone listens.
#[must_use]
pub fn agent(id: &str) -> ListenerOrder {
    ListenerOrder::Agent(id.into())
}

/// A number listens.
#[must_use]
pub fn number(number: &str) -> ListenerOrder {
    ListenerOrder::Number(number.into())
}

/// An order that is being written.
#[derive(Debug)]
pub struct Draft<'w> {
    world: &'w mut World,
    actor: String,
    order: Order,
    dry_run: bool,
}

impl Draft<'_> {
    /// Who orders; `admin` unless said.
    #[must_use]
    pub fn by(mut self, actor: &str) -> Self {
        self.actor = actor.into();
        self
    }
    /// N.
    #[must_use]
    pub fn calls(mut self, calls: i64) -> Self {
        self.order.calls = Some(calls);
        self
    }
    /// Ends so many seconds from now.
    #[must_use]
    pub fn until_in(mut self, seconds: i64) -> Self {
        let wall = self.world.wall();
        self.order.until = Some(wall.saturating_add(SignedDuration::from_secs(seconds)).expect("a time in range"));
        self
    }
    /// Which calls trigger.
    #[must_use]
    pub fn directions(mut self, directions: &[CallDirection]) -> Self {
        self.order.directions = Some(directions.to_vec());
        self
    }
    /// Any other field.
    #[must_use]
    pub fn change(mut self, change: impl FnOnce(&mut Order)) -> Self {
        change(&mut self.order);
        self
    }
    /// Only checks.
    #[must_use]
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }
    /// Sends it and waits for the answer.
    ///
    /// # Errors
    /// The problem that the API would show.
    #[track_caller]
    pub fn send(self) -> Result<RequestView, Problem> {
        let command = Command::Order { order: self.order, dry_run: self.dry_run };
        match self.world.command(&self.actor, command)? {
            Reply::Request(request) => Ok(request),
            other => panic!("an order was answered with {other:?}"),
        }
    }
    /// Sends it; it must be taken.
    #[track_caller]
    pub fn accepted(self) -> RequestView {
        self.send().unwrap_or_else(|p| panic!("the order was refused: {p:?}"))
    }
    /// Sends it; it must be refused with this status and code.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Problem {
        let problem = match self.send() {
            Ok(request) => panic!("the order was taken: {request:?}"),
            Err(problem) => problem,
        };
        assert_eq!((problem.status, problem.code), (status, code), "{problem:?}");
        problem
    }
}

impl World {
    /// Writes an order by `admin`.
    pub fn order(&mut self, agent: &str, listener: ListenerOrder) -> Draft<'_> {
        let order = Order { agent: agent.into(), listener: Some(listener), ..Order::default() };
        Draft { world: self, actor: "admin".into(), order, dry_run: false }
    }

    /// Gives a command and does not wait.
    pub fn ask(&mut self, actor: &str, command: Command) -> ReplyId {
        let reply = ReplyId(self.next_reply);
        self.next_reply += 1;
        self.drive_engine(Input::Command { reply, actor: actor.into(), command });
        reply
    }

    /// The answer to [`World::ask`], once: `None` while there is none.
    pub fn reply(&mut self, to: ReplyId) -> Option<Result<Reply, Problem>> {
        self.replies.remove(&to)
    }

    /// Gives a command and waits for its answer.
    ///
    /// # Errors
    /// The problem that the API would show.
    #[track_caller]
    pub fn command(&mut self, actor: &str, command: Command) -> Result<Reply, Problem> {
        let reply = self.ask(actor, command);
        self.until("the answer to a command", Duration::from_secs(10), |w| w.replies.contains_key(&reply));
        self.replies.remove(&reply).expect("it was just there")
    }

    /// `DELETE /v1/requests/{id}` by `admin`.
    #[track_caller]
    pub fn delete(&mut self, request: &str) {
        self.command("admin", Command::DeleteRequest { id: request.into() }).expect("it can be deleted");
    }

    /// The shield of a call, by `platform`.
    #[track_caller]
    pub fn shield(&mut self, call: &str, on: bool) -> CallView {
        match self.command("platform", Command::Shield { call: call.into(), on }) {
            Ok(Reply::Call(call)) => call,
            other => panic!("the shield was answered with {other:?}"),
        }
    }

    /// A request as it is shown now.
    #[track_caller]
    #[must_use]
    pub fn request(&self, id: &str) -> &RequestView {
        self.model.requests.get(id).unwrap_or_else(|| panic!("no request {id}"))
    }

    /// Waits until a request is in a state.
    #[track_caller]
    pub fn until_request(&mut self, id: &str, state: RequestState) -> RequestView {
        let reached = self.reaches(Duration::from_secs(10), |w| w.request(id).state == state);
        assert!(reached, "the request stayed {:?}, wanted {state:?}", self.request(id).state);
        self.request(id).clone()
    }

    /// Waits until so many calls are counted.
    #[track_caller]
    pub fn until_counted(&mut self, id: &str, used: u32) {
        let reached = self.reaches(Duration::from_secs(10), |w| w.request(id).calls.used == used);
        assert!(reached, "counted {} calls, wanted {used}", self.request(id).calls.used);
        // What is shown as counted is in the store by then or a moment later.
        self.until("the count is stored", Duration::from_secs(1), |w| {
            w.disk.requests.get(id).is_some_and(|r| r.view.calls.used == used)
        });
    }

    /// Every listening, oldest first.
    pub fn listenings(&self) -> impl DoubleEndedIterator<Item = &ListeningView> {
        self.model.listenings.values()
    }

    /// Listenings that are live.
    #[must_use]
    pub fn live(&self) -> Vec<&ListeningView> {
        self.listenings().filter(|l| l.state == ListeningState::Live).collect()
    }

    pub(crate) fn live_listenings(&self, state: ListeningState) -> usize {
        self.listenings().filter(|l| l.state == state).count()
    }

    /// Waits until a listening has ended, the newest one that did, for this reason.
    #[track_caller]
    pub fn until_ended_with(&mut self, reason: EndReason) -> ListeningView {
        self.until_ended_within(reason, Duration::from_secs(5))
    }

    /// The same, within a time.
    #[track_caller]
    pub fn until_ended_within(&mut self, reason: EndReason, time: Duration) -> ListeningView {
        let newest = |w: &Self| -> Option<ListeningView> {
            w.listenings()
                .filter(|l| l.state == ListeningState::Ended)
                .max_by_key(|l| (l.ended_at, l.id.clone()))
                .cloned()
        };
        let reached = self.reaches(time, |w| newest(w).is_some_and(|l| l.end_reason == Some(reason)));
        let all: Vec<_> = self.listenings().map(|l| (l.state, l.end_reason)).collect();
        assert!(reached, "no listening ended {reason:?} within {time:?}: {all:?}");
        newest(self).expect("it was just there")
    }

    /// The only call that is not over.
    #[track_caller]
    #[must_use]
    pub fn only_call(&self) -> &CallView {
        let live: Vec<&CallView> = self.model.calls.values().filter(|c| c.ended_at.is_none()).collect();
        assert_eq!(live.len(), 1, "calls that are not over");
        live[0]
    }

    /// So many seconds from now on the wall clock.
    #[must_use]
    pub fn in_seconds(&self, seconds: i64) -> Timestamp {
        self.wall().saturating_add(SignedDuration::from_secs(seconds)).expect("a time in range")
    }
}
