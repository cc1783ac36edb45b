//! Judging orders: every row of SEMANTICS, Ordering.

use std::time::Duration;

use jiff::Timestamp;
use signalling::Destination;
use signalling::message::Uri;
use signalling::peers::TrunkId;

use crate::audit::Action;
use crate::directory::{Party, PhoneSeed, User, may_see, plain_number};
use crate::engine::Core;
use crate::interface::{ListenerOrder, Order, Problem, Reply, ReplyId};
use crate::monitoring::mix::judge_layout;
use crate::monitoring::{Request, Target};
use crate::persist::{AnswerRecord, Change, RequestRecord};
use crate::pii::Masked;
use crate::store::After;
use crate::terms::{Key, Terms};
use crate::view::{CallCount, CallDirection, ListenerKind, ListenerRef, RequestState, RequestView, Role, Warning};

impl Core {
    /// `POST /v1/requests`.
    pub(crate) fn order(
        &mut self,
        reply: ReplyId,
        actor: &str,
        order: &Order,
        dry_run: bool,
        terms: Terms,
    ) -> Result<Option<Reply>, Problem> {
        let (view, warnings) = self.judge_order(actor, order)?;
        if dry_run {
            return Ok(Some(Reply::Request(RequestView { warnings, ..view })));
        }
        let id = view.id.clone();
        let agent = view.agent.id.clone();
        self.out.log(
            "info",
            format!("{actor} ordered a listening on {agent}"),
            vec![("request", id.clone()), ("agent", agent.clone()), ("user", actor.to_owned())],
        );
        let record = RequestRecord { view, failures_in_a_row: 0 };
        let request = Request {
            record: record.clone(),
            unstored: 0,
            unsettled: 0,
            finishing: None,
            suspended: false,
            ordered: 0,
            stored: false,
            ending: false,
            open: Vec::new(),
            warnings,
        };
        let entry = self.request_entry(actor, Action::RequestCreated, &record.view);
        let answer = RequestView { warnings: request.warnings.clone(), ..record.view.clone() };
        let mut changes = vec![Change::Request(record), Change::Audit(entry)];
        changes.extend(terms.key.map(|key| self.answer_record(actor, key, answer, 201)));
        self.requests.insert(id.clone(), request);
        self.requests_of.entry(agent).or_default().insert(id.clone());
        self.persist_all(changes, vec![After::Order(reply, id)]);
        Ok(None)
    }

    /// What is answered to a key, for whoever asks again.
    pub(crate) fn answer_record(&self, user: &str, key: Key, request: RequestView, status: u16) -> Change {
        let Key { key, asked } = key;
        Change::Answer(AnswerRecord { user: user.to_owned(), key, asked, at: self.now.wall, request, status })
    }

    fn judge_order(&mut self, actor: &str, order: &Order) -> Result<(RequestView, Vec<Warning>), Problem> {
        let role = self
            .role(actor)
            .filter(|role| *role != Role::Integrator)
            .ok_or_else(|| Problem::forbidden("only supervisors and admins may order listenings"))?;
        let layout = order.layout.as_deref().map(judge_layout).transpose()?.unwrap_or_default();
        let limit = judge_calls(order.calls, order.until.is_some())?;
        let until = self.judge_until_field(order.until)?;
        let directions = self.judge_directions(order)?;
        let ordered = order.listener.as_ref().ok_or_else(|| Problem::invalid("listener", "who shall listen?"))?;
        let number = match ordered {
            ListenerOrder::Number(number) => {
                let number = plain_number(number).or_else(|| self.address_here(number));
                Some(
                    number
                        .ok_or_else(|| Problem::invalid("listener", "a number is an optional + and up to 20 digits"))?,
                )
            }
            ListenerOrder::User(_) | ListenerOrder::Agent(_) | ListenerOrder::Page => None,
        };
        if *ordered == ListenerOrder::Page && order.confirm == Some(true) {
            return Err(Problem::invalid("confirm", "a page has no keys: whoever opens the player confirms"));
        }
        if !self.directory.agents.contains_key(&order.agent) {
            return Err(Problem::agent_not_found());
        }
        let (listener, party) = self.judge_listener(actor, ordered, number)?;
        let target = self
            .target(&listener)
            .ok_or_else(|| Problem::new(404, "listener-not-found", "this listener has no phone here"))?;
        if !self.directory.may_monitor(actor, &order.agent) {
            return Err(Problem::new(403, "agent-not-monitorable", "this agent may not be listened to, or not by you"));
        }
        let agent_phone = self.directory.agents.get(&order.agent).map(|agent| agent.peer);
        let own_phone = match &target {
            Target::Account(peer) => Some(*peer),
            Target::Page(user) => self.directory.peer_of(&Party::User(user.clone())),
            Target::Number(_) => None,
        };
        if own_phone.is_some() && own_phone == agent_phone {
            return Err(Problem {
                field: Some("listener"),
                ..Problem::new(422, "listener-is-agent", "the listener is the agent")
            });
        }
        self.judge_allowed(actor, &listener, party.as_ref())?;
        let shows_number = !matches!(target, Target::Page(_));
        if shows_number && self.settings.access_number.is_none() {
            return Err(Problem::new(
                409,
                "access-number-missing",
                "no access number is configured to show on the listener's phone",
            ));
        }
        self.judge_limits(actor, role)?;
        let warnings = self.judge_assigned(actor, &order.agent, &target)?;
        let view = RequestView {
            id: self.ids.ulid("req", self.now.wall),
            ordered_by: actor.to_owned(),
            agent: self.agent_ref(&order.agent),
            listener,
            calls: CallCount { limit, used: 0 },
            until,
            directions,
            layout,
            confirm: order.confirm.unwrap_or(self.settings.confirm_numbers && matches!(target, Target::Number(_))),
            state: RequestState::Waiting,
            reason: None,
            created_at: self.now.wall,
            ended_at: None,
            warnings: Vec::new(),
        };
        Ok((view, warnings))
    }

    /// `until` as it counts: given or by default.
    pub(crate) fn judge_until_field(&self, until: Option<Timestamp>) -> Result<Timestamp, Problem> {
        let after =
            |wait: Duration| self.now.wall.checked_add(wait).map_err(|_| Problem::invalid("until", "is out of range"));
        let Some(until) = until else { return after(self.settings.default_until) };
        if until <= self.now.wall {
            return Err(Problem::invalid("until", "lies in the past"));
        }
        if until > after(self.settings.max_until)? {
            return Err(Problem::invalid(
                "until",
                format!("lies more than {} days ahead", self.settings.max_until.as_secs() / 86_400),
            ));
        }
        Ok(until)
    }

    fn judge_directions(&self, order: &Order) -> Result<Vec<CallDirection>, Problem> {
        match &order.directions {
            None => Ok(self.settings.default_directions.clone()),
            Some(directions) if directions.is_empty() => Err(Problem::invalid("directions", "names no direction")),
            Some(directions) => {
                let mut unique = Vec::new();
                for direction in directions {
                    if !unique.contains(direction) {
                        unique.push(*direction);
                    }
                }
                Ok(unique)
            }
        }
    }

    /// The SIP user of somebody here whom an address leads to: its user alone, at our domain, or its phone's contact.
    fn address_here(&self, text: &str) -> Option<String> {
        if self.directory.look_up(text).is_some() {
            return Some(text.to_owned());
        }
        let uri = Uri::parse(text).filter(|uri| matches!(uri.scheme(), "sip" | "tel"))?;
        let user = uri.user_decoded();
        let ours = uri.scheme() == "tel" || uri.host().eq_ignore_ascii_case(&self.settings.signalling.domain);
        if ours && self.directory.look_up(&user).is_some() {
            return Some(user);
        }
        let addr = uri.socket_addr()?;
        let at = |phone: &PhoneSeed| {
            phone.contact.as_ref().is_some_and(|(contact, at)| {
                *at == addr && Uri::parse(contact).is_some_and(|contact| contact.user_decoded() == user)
            })
        };
        let agent =
            self.directory.agents.values().find(|agent| at(&agent.seed.phone)).map(|agent| agent.seed.id.clone());
        agent.or_else(|| {
            self.directory.users.values().find(|user| at(&user.seed.phone)).and_then(|user| user.seed.softphone.clone())
        })
    }

    /// Who it is, and which agent or user it leads to.
    fn judge_listener(
        &self,
        actor: &str,
        ordered: &ListenerOrder,
        number: Option<String>,
    ) -> Result<(ListenerRef, Option<Party>), Problem> {
        let not_found = || Problem::new(404, "listener-not-found", "there is no such listener");
        let blank =
            ListenerRef { user: None, agent: None, number: None, name: String::new(), kind: ListenerKind::Number };
        match ordered {
            ListenerOrder::User(id) => {
                let user = self.directory.users.get(id).ok_or_else(not_found)?;
                let listener = ListenerRef {
                    user: Some(id.clone()),
                    name: user.seed.name.clone(),
                    kind: ListenerKind::Softphone,
                    ..blank
                };
                Ok((listener, Some(Party::User(id.clone()))))
            }
            ListenerOrder::Agent(id) => {
                let agent = self.directory.agents.get(id).ok_or_else(not_found)?;
                let listener = ListenerRef {
                    agent: Some(id.clone()),
                    name: agent.seed.name.clone(),
                    kind: ListenerKind::Agent,
                    ..blank
                };
                Ok((listener, Some(Party::Agent(id.clone()))))
            }
            ListenerOrder::Number(_) => {
                let number = number.ok_or_else(not_found)?;
                let party = self.directory.look_up(&number);
                let name = match &party {
                    Some(Party::Agent(id)) => self.directory.agents.get(id).map(|agent| agent.seed.name.clone()),
                    Some(Party::User(id)) => self.directory.users.get(id).map(|user| user.seed.name.clone()),
                    _ => None,
                };
                let listener =
                    ListenerRef { name: name.unwrap_or_else(|| number.clone()), number: Some(number), ..blank };
                Ok((listener, party))
            }
            // the browser of whoever orders
            ListenerOrder::Page => {
                let user = self.directory.users.get(actor).ok_or_else(not_found)?;
                let listener = ListenerRef {
                    user: Some(actor.to_owned()),
                    name: user.seed.name.clone(),
                    kind: ListenerKind::Page,
                    ..blank
                };
                Ok((listener, Some(Party::User(actor.to_owned()))))
            }
        }
    }

    /// Whom one may call as listener: admins anyone, supervisors softphones, agents of their groups, allowed numbers.
    pub(crate) fn judge_allowed(
        &self,
        actor: &str,
        listener: &ListenerRef,
        party: Option<&Party>,
    ) -> Result<(), Problem> {
        let Some(User { seed: user, .. }) = self.directory.users.get(actor) else {
            return Err(Problem::forbidden("unknown user"));
        };
        let allowed = match (user.role, party) {
            (Role::Admin, _) | (Role::Supervisor, Some(Party::User(_))) => true,
            (Role::Supervisor, Some(Party::Agent(id))) => {
                self.directory.agents.get(id).is_some_and(|agent| may_see(user, &agent.seed))
            }
            (Role::Supervisor, _) => listener.number.as_ref().is_some_and(|number| {
                user.listener_numbers.iter().any(|prefix| !prefix.is_empty() && number.starts_with(prefix.as_str()))
            }),
            (Role::Integrator, _) => false,
        };
        if allowed {
            return Ok(());
        }
        Err(Problem {
            field: Some("listener"),
            ..Problem::new(403, "listener-not-allowed", "you may not have this listener called")
        })
    }

    fn judge_limits(&self, actor: &str, role: Role) -> Result<(), Problem> {
        let most = match role {
            Role::Admin => self.settings.max_active_requests_admin,
            Role::Supervisor => self.settings.max_active_requests_supervisor,
            Role::Integrator => Some(0),
        };
        let mut own =
            self.requests.values().filter(|request| request.record.view.ordered_by == actor && !request.ending);
        if let (Some(most), Some(first)) = (most, own.next())
            && 1 + own.count() >= most
        {
            let id = &first.record.view.id;
            return Err(Problem::new(
                409,
                "active-request-exists",
                format!("you may have {most} active at a time; {id} is"),
            )
            .related(id));
        }
        if self.requests.len() >= self.settings.max_requests {
            return Err(Problem::new(
                503,
                "limit-reached",
                format!("there are {} active requests already", self.settings.max_requests),
            ));
        }
        Ok(())
    }

    /// The same listener on a second agent: a warning, or a refusal where so configured.
    fn judge_assigned(&self, actor: &str, agent: &str, target: &Target) -> Result<Vec<Warning>, Problem> {
        let mut others =
            self.requests.values().filter(|request| !request.ending && request.record.view.agent.id != agent);
        let Some(other) = others.find(|request| self.target(&request.record.view.listener).as_ref() == Some(target))
        else {
            return Ok(Vec::new());
        };
        // whom others have listened to is not everybody's business
        let other =
            Some(&other.record.view).filter(|other| other.ordered_by == actor || self.role(actor) == Some(Role::Admin));
        let whom = other.map_or("another agent", |other| &other.agent.name);
        let message = format!("this listener already listens to {whom}");
        if self.settings.strict_listener {
            let problem = Problem::new(409, "listener-already-assigned", message);
            return Err(other.map_or(problem.clone(), |other| problem.related(&other.id)));
        }
        Ok(vec![Warning { code: "listener-already-assigned".to_owned(), message }])
    }

    /// Which phone or page a listener is.
    pub(crate) fn target(&self, listener: &ListenerRef) -> Option<Target> {
        if listener.kind == ListenerKind::Page {
            return listener.user.clone().map(Target::Page);
        }
        match self.way(listener)?.0 {
            Destination::Account(peer) => Some(Target::Account(peer)),
            Destination::Trunk(_, number) => Some(Target::Number(number)),
        }
    }

    /// How a listener's phone is reached, and whether it must be offered `sendrecv`; a page is not called.
    pub(crate) fn way(&self, listener: &ListenerRef) -> Option<(Destination, bool)> {
        let party = match listener {
            ListenerRef { kind: ListenerKind::Page, .. } => return None,
            ListenerRef { user: Some(id), .. } => Some(Party::User(id.clone())),
            ListenerRef { agent: Some(id), .. } => Some(Party::Agent(id.clone())),
            ListenerRef { number: Some(number), .. } => self.directory.look_up(number),
            _ => return None,
        };
        match party {
            Some(party) => {
                let sendrecv = match &party {
                    Party::User(id) => self.directory.users.get(id).is_some_and(|user| user.seed.offer_sendrecv),
                    Party::Agent(_) | Party::Outside { .. } => false,
                };
                Some((Destination::Account(self.directory.peer_of(&party)?), sendrecv))
            }
            None => {
                let (number, trunk) = (listener.number.as_ref()?, self.directory.trunks.first()?);
                Some((Destination::Trunk(TrunkId(0), number.clone()), trunk.offer_sendrecv))
            }
        }
    }

    /// A listener for log lines.
    pub(crate) fn listener_name(listener: &ListenerRef) -> String {
        match listener {
            ListenerRef { kind: ListenerKind::Page, user: Some(id), .. } => format!("page of {id}"),
            ListenerRef { user: Some(id), .. } => format!("user {id}"),
            ListenerRef { agent: Some(id), .. } => format!("agent {id}"),
            ListenerRef { number: Some(number), .. } => format!("number {}", Masked(number)),
            _ => "nobody".to_owned(),
        }
    }
}

/// N as a number of calls: 1 to 999, or none where `until` ends the request.
pub(crate) fn judge_calls(calls: Option<i64>, has_until: bool) -> Result<Option<u32>, Problem> {
    match calls {
        None if has_until => Ok(None),
        None => Err(Problem::invalid("calls", "give a number of calls, a time, or both")),
        Some(calls) => u32::try_from(calls)
            .ok()
            .filter(|calls| (1..=999).contains(calls))
            .map(Some)
            .ok_or_else(|| Problem::invalid("calls", "must be 1 to 999")),
    }
}
