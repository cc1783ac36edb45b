//! The user agent that all legs share: its transactions, legs, timers and outputs, and how a leg sends, answers and ends.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use bytes::Bytes;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::admission::Door;
use crate::dialog::{Dialog, Local};
use crate::interface::{Counters, End, EndedBy, Event, LegId, Output, PlanId, Reason, Settings};
use crate::leg::{Leg, Purpose, State, Timer};
use crate::message::{HeaderName, Message, Method, RequestBuilder, ResponseBuilder};
use crate::session::Agreed;
use crate::transaction::{ClientId, ServerId, Step, Timing, Transactions};
use crate::transport::{Flow, sent_by};

/// What we serve; announced everywhere and never copied from another leg.
pub(crate) const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO, REFER, NOTIFY, REGISTER";
/// The extensions that we serve.
pub(crate) const SUPPORTED: &str = "replaces";
/// The one body type that a session is described with.
pub(crate) const SDP: &str = "application/sdp";

/// See the module.
#[derive(Debug)]
pub(crate) struct Ua {
    pub(crate) settings: Settings,
    pub(crate) door: Door,
    pub(crate) legs: HashMap<LegId, Leg>,
    pub(crate) counters: Counters,
    pub(crate) transactions: Transactions,
    pub(crate) random: StdRng,
    /// What the transactions want, until the core has carried it out.
    pub(crate) steps: Vec<Step>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) clients: HashMap<ClientId, Purpose>,
    /// INVITEs of theirs: whose leg.
    pub(crate) servers: HashMap<ServerId, LegId>,
    pub(crate) plans: HashMap<PlanId, LegId>,
    /// Legs that ended since the transfers looked last.
    pub(crate) gone: Vec<LegId>,
    tags: HashMap<String, LegId>,
    timers: BTreeSet<(Instant, Timer)>,
    now: Option<Instant>,
    next_leg: u64,
    next_plan: u64,
}

/// How a leg is ended by us.
#[derive(Clone, Debug)]
pub(crate) struct Release {
    /// Reason header value of a BYE or CANCEL.
    pub(crate) reason: String,
    /// Final answer where its INVITE waits for one.
    pub(crate) status: u16,
    /// Headers of that answer, kept from the other leg's refusal.
    pub(crate) kept: Vec<(HeaderName, String)>,
    /// What the engine is told.
    pub(crate) end: End,
}

impl Release {
    /// By our own decision.
    pub(crate) fn ours(reason: &Reason) -> Self {
        let text = quotable(&reason.text);
        let status = if (300..700).contains(&reason.cause) { reason.cause } else { 480 };
        Self {
            reason: format!("SIP;cause={};text=\"{text}\"", reason.cause),
            status,
            kept: Vec::new(),
            end: End { by: EndedBy::Local, status: Some(status), text },
        }
    }

    /// Because its peer left with this Reason.
    pub(crate) fn after_peer(reason: String, status: u16, text: &str) -> Self {
        Self { reason, status, kept: Vec::new(), end: End { by: EndedBy::Local, status: Some(status), text: text.to_owned() } }
    }
}

impl Ua {
    pub(crate) fn new(settings: Settings, seed: [u8; 32]) -> Self {
        let mut random = StdRng::from_seed(seed);
        let timing = Timing { t1: settings.t1, t2: settings.t2, t4: settings.t4, max_transactions: settings.max_transactions };
        let transactions = Transactions::new(timing, random.random());
        let door = Door::new(&settings, random.random());
        Self {
            settings,
            door,
            legs: HashMap::new(),
            counters: Counters::default(),
            transactions,
            random,
            steps: Vec::new(),
            outputs: Vec::new(),
            clients: HashMap::new(),
            servers: HashMap::new(),
            plans: HashMap::new(),
            gone: Vec::new(),
            tags: HashMap::new(),
            timers: BTreeSet::new(),
            now: None,
            next_leg: 1,
            next_plan: 1,
        }
    }

    pub(crate) fn set_now(&mut self, now: Instant) {
        self.now = Some(now);
    }

    pub(crate) fn now(&self) -> Instant {
        self.now.expect("every drive begins by setting it")
    }

    pub(crate) fn new_leg(&mut self) -> LegId {
        let id = LegId(self.next_leg);
        self.next_leg += 1;
        id
    }

    pub(crate) fn new_plan(&mut self, leg: LegId) -> PlanId {
        let plan = PlanId(self.next_plan);
        self.next_plan += 1;
        self.plans.insert(plan, leg);
        plan
    }

    /// 128 random bits as text: tags and Call-IDs.
    pub(crate) fn token(&mut self) -> String {
        format!("{:032x}", self.random.random::<u128>())
    }

    pub(crate) fn emit(&mut self, event: Event) {
        self.outputs.push(Output::Event(event));
    }

    pub(crate) fn count(&mut self, name: &'static str) {
        self.counters.count(name);
    }
}

/// Legs.
impl Ua {
    pub(crate) fn leg(&self, id: LegId) -> Option<&Leg> {
        self.legs.get(&id)
    }

    pub(crate) fn leg_mut(&mut self, id: LegId) -> Option<&mut Leg> {
        self.legs.get_mut(&id)
    }

    pub(crate) fn insert(&mut self, leg: Leg) {
        self.tags.insert(leg.local_tag.clone(), leg.id);
        self.legs.insert(leg.id, leg);
    }

    /// The leg whose tag of ours this is.
    pub(crate) fn by_tag(&self, local_tag: &str) -> Option<&Leg> {
        self.legs.get(self.tags.get(local_tag)?)
    }

    /// The leg of this dialog, seen from us (RFC 3261 §12).
    pub(crate) fn by_dialog(&self, call_id: &str, local_tag: &str, remote_tag: &str) -> Option<&Leg> {
        self.by_tag(local_tag).filter(|leg| leg.call_id == call_id && leg.remote_tag().is_none_or(|tag| tag == remote_tag))
    }

    /// A leg that has a dialog to talk in, with the leg that it is paired with.
    pub(crate) fn peer_of(&self, id: LegId) -> Option<LegId> {
        self.leg(id)?.peer
    }

    /// Two legs become each other's peers; who they were paired with is left alone.
    pub(crate) fn pair(&mut self, one: LegId, other: LegId) {
        for (leg, peer) in [(one, other), (other, one)] {
            if let Some(leg) = self.leg_mut(leg) {
                leg.peer = Some(peer);
            }
        }
    }

    /// The leg has no peer any more, nor has its peer, if that was it.
    pub(crate) fn unpair(&mut self, id: LegId) -> Option<LegId> {
        let peer = self.leg_mut(id)?.peer.take()?;
        if let Some(leg) = self.leg_mut(peer)
            && leg.peer == Some(id)
        {
            leg.peer = None;
        }
        Some(peer)
    }

    /// How our messages look on this flow.
    pub(crate) fn local(&self, flow: Flow, contact_user: &str) -> Local {
        Local {
            sent_by: sent_by(self.settings.advertised.as_deref(), flow),
            user_agent: self.settings.user_agent.clone(),
            contact_user: contact_user.to_owned(),
        }
    }

    /// Tells the engine what media has to do on a leg.
    pub(crate) fn plan_media(&mut self, id: LegId, plan: Option<PlanId>) {
        let Some(agreed) = self.leg(id).and_then(|leg| leg.descriptions.agreed()).cloned() else { return };
        self.plan_agreed(id, &agreed, false, plan);
    }

    /// The same with descriptions that are not in force (yet).
    pub(crate) fn plan_agreed(&mut self, id: LegId, agreed: &Agreed, early: bool, plan: Option<PlanId>) {
        let Some(leg) = self.leg(id) else { return };
        let mut session = agreed.session(leg.signalling(), leg.party.nat, early);
        if matches!(leg.kind, crate::leg::Kind::Listener { .. }) {
            session.sends = false; // whatever its phone says: a listener is never heard
        }
        self.emit(Event::MediaPlanned { leg: id, session, plan });
    }
}

/// Timers.
impl Ua {
    pub(crate) fn set_timer(&mut self, at: Instant, timer: Timer) {
        self.timers.insert((at, timer));
    }

    pub(crate) fn clear_timer(&mut self, at: Instant, timer: Timer) {
        self.timers.remove(&(at, timer));
    }

    pub(crate) fn due_timer(&mut self) -> Option<Timer> {
        let &(at, timer) = self.timers.first().filter(|(at, _)| *at <= self.now())?;
        self.timers.remove(&(at, timer));
        Some(timer)
    }

    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let own = self.timers.first().map(|(at, _)| *at);
        [own, self.transactions.wake_at(), self.door.registrar.wake_at()].into_iter().flatten().min()
    }

    /// The INVITE of a leg has its final answer: it rings no more.
    pub(crate) fn stop_ringing(&mut self, id: LegId) {
        if let Some(at) = self.leg_mut(id).and_then(|leg| leg.ring_until.take()) {
            self.clear_timer(at, Timer::Ring(id));
        }
    }
}

/// Sending.
impl Ua {
    /// Sends bytes that no transaction repeats: ACK, stateless answers.
    pub(crate) fn transmit(&mut self, flow: Flow, data: Bytes) {
        self.outputs.push(Output::Transmit { flow, data });
    }

    /// Sends a request in a client transaction of its own.
    pub(crate) fn request(&mut self, flow: Flow, message: Message, purpose: Purpose) -> ClientId {
        if let Some(leg) = purpose.leg().and_then(|leg| self.legs.get_mut(&leg)) {
            leg.open_requests += 1;
        }
        let now = self.now();
        let id = self.transactions.request(now, flow, message, &mut self.steps);
        self.clients.insert(id, purpose);
        id
    }

    /// A client transaction is over.
    pub(crate) fn close_request(&mut self, id: ClientId) -> Option<Purpose> {
        let purpose = self.clients.remove(&id)?;
        if let Some(leg) = purpose.leg().and_then(|leg| self.legs.get_mut(&leg)) {
            leg.open_requests = leg.open_requests.saturating_sub(1);
            if leg.outbound == Some(id) {
                leg.outbound = None;
            }
        }
        Some(purpose)
    }

    /// Sends a request inside a leg's dialog.
    pub(crate) fn request_in(
        &mut self,
        id: LegId,
        method: &Method,
        purpose: Purpose,
        add: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Option<ClientId> {
        let branch = self.transactions.branch();
        let leg = self.legs.get_mut(&id)?;
        let flow = leg.flow();
        let message = add(leg.dialog.as_mut()?.request(method, &branch)).finish();
        Some(self.request(flow, message, purpose))
    }

    /// Sends an INVITE or UPDATE that changes a leg's session, with this description or (late offer) none.
    pub(crate) fn change(&mut self, id: LegId, method: &Method, body: Option<Bytes>, purpose: Purpose) -> Option<ClientId> {
        let client = self.request_in(id, method, purpose, |request| {
            let request = request.header(HeaderName::Allow, ALLOW).header(HeaderName::Supported, SUPPORTED);
            match body {
                Some(body) => request.body(SDP, body),
                None => request,
            }
        })?;
        self.leg_mut(id)?.outbound = Some(client);
        Some(client)
    }

    /// Acknowledges a 2xx on a leg and keeps the ACK for when the 2xx comes again.
    pub(crate) fn acknowledge(&mut self, id: LegId, cseq: u32, answer: Option<Bytes>) {
        let branch = self.transactions.branch();
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let flow = leg.flow();
        let Some(dialog) = &leg.dialog else { return };
        let ack = dialog.ack(cseq, &branch, answer).bytes().clone();
        leg.ack_owed = None;
        leg.last_ack = Some((cseq, flow, ack.clone()));
        self.transmit(flow, ack);
    }

    /// Answers a request. `tag` is ours where the request has none.
    pub(crate) fn answer(
        &mut self,
        server: ServerId,
        status: u16,
        tag: Option<&str>,
        add: impl FnOnce(ResponseBuilder) -> ResponseBuilder,
    ) {
        let Some(request) = self.transactions.server_request(server) else { return };
        let response = add(ResponseBuilder::new(request, status, None, tag));
        let message = response.header(HeaderName::Server, &self.settings.user_agent).finish();
        let now = self.now();
        self.transactions.respond(now, server, message, &mut self.steps);
        if status >= 300 {
            self.servers.remove(&server);
        }
    }

    /// Answers without anything to add.
    pub(crate) fn refuse(&mut self, server: ServerId, status: u16) {
        let tag = self.token();
        self.answer(server, status, Some(&tag), |response| response);
    }

    /// Answers with a Contact, Allow and Supported: the 2xx (and 18x) of INVITE and UPDATE on a leg.
    pub(crate) fn answer_on(&mut self, id: LegId, server: ServerId, status: u16, reason: Option<&str>, body: Option<Bytes>) {
        let Some(leg) = self.legs.get(&id) else { return };
        let Some(contact) = leg.dialog.as_ref().map(|dialog| dialog.local().contact()) else { return };
        let Some(request) = self.transactions.server_request(server) else { return };
        let mut response = ResponseBuilder::new(request, status, reason, Some(&leg.local_tag))
            .header(HeaderName::Contact, &contact)
            .header(HeaderName::Allow, ALLOW)
            .header(HeaderName::Supported, SUPPORTED)
            .header(HeaderName::Server, &self.settings.user_agent);
        if let Some(body) = body {
            response = response.body(SDP, body);
        }
        let invite_answered = status >= 200 && request.method() == Method::Invite;
        let now = self.now();
        self.transactions.respond(now, server, response.finish(), &mut self.steps);
        if invite_answered && let Some(leg) = self.legs.get_mut(&id) {
            leg.unacknowledged = Some(server);
            self.servers.insert(server, id);
        }
    }
}

/// Ending.
impl Ua {
    /// Ends one leg with what its state asks for and tells the engine. Its peer is the caller's business.
    pub(crate) fn release(&mut self, id: LegId, how: &Release) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if !leg.is_live() {
            return;
        }
        let mut end = how.end.clone();
        match std::mem::replace(&mut leg.state, State::Leaving) {
            State::Offered(server) | State::Proceeding(server) | State::Answering { server, .. } => {
                let tag = leg.local_tag.clone();
                self.answer(server, how.status, Some(&tag), |response| {
                    let reason = (how.end.by == EndedBy::Local && how.kept.is_empty()).then_some(&how.reason);
                    let response = how.kept.iter().fold(response, |response, (name, value)| response.header(name.clone(), value));
                    reason.into_iter().fold(response, |response, reason| response.header(HeaderName::Reason, reason))
                });
                end.status.get_or_insert(how.status);
            }
            State::Calling(client) => {
                leg.state = State::Cancelling;
                let now = self.now();
                self.transactions.cancel(now, client, Some(&how.reason), &mut self.steps);
            }
            State::Confirmed => self.hang_up(id, &how.reason),
            State::Cancelling | State::Leaving => {}
        }
        self.told_gone(id, end);
    }

    /// The remote party ended the leg: nothing is sent but the answer to what it left open.
    pub(crate) fn left(&mut self, id: LegId, end: End) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if !leg.is_live() {
            return;
        }
        leg.state = State::Leaving;
        leg.bye_after_ack = None;
        self.answer_open_invite(id);
        if let Some(server) = self.leg_mut(id).and_then(|leg| leg.unacknowledged.take()) {
            self.transactions.acknowledged(server);
        }
        self.told_gone(id, end);
    }

    /// Forgets a leg that nothing is open on any more.
    pub(crate) fn settle(&mut self, id: LegId) {
        let Some(leg) = self.legs.get(&id) else { return };
        let over = !leg.is_live() && leg.open_requests == 0 && leg.bye_after_ack.is_none();
        if over && let Some(leg) = self.legs.remove(&id) {
            self.tags.remove(&leg.local_tag);
            for server in leg.unacknowledged.into_iter().chain(leg.inbound) {
                self.servers.remove(&server);
            }
        }
    }

    /// Forgets a leg that the engine hears no more of.
    pub(crate) fn forget(&mut self, id: LegId) {
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.state = State::Leaving;
        }
        self.settle(id);
    }

    /// BYE, now or when the ACK has come (RFC 3261 §15: not before it).
    fn hang_up(&mut self, id: LegId, reason: &str) {
        self.answer_open_invite(id);
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if leg.unacknowledged.is_some() {
            leg.bye_after_ack = Some(reason.to_owned());
            return;
        }
        if let Some(cseq) = leg.ack_owed {
            self.acknowledge(id, cseq, None); // its answer never came; the BYE follows at once
        }
        self.send_bye(id, reason);
    }

    pub(crate) fn send_bye(&mut self, id: LegId, reason: &str) {
        self.request_in(id, &Method::Bye, Purpose::Bye(id), |request| request.header(HeaderName::Reason, reason));
        if let Some(dialog) = self.leg_mut(id).and_then(|leg| leg.dialog.as_mut()) {
            dialog.terminate();
        }
    }

    /// A re-INVITE of theirs that was not answered is answered 487 (RFC 3261 §15.1.2).
    fn answer_open_invite(&mut self, id: LegId) {
        if let Some(server) = self.leg_mut(id).and_then(|leg| leg.inbound.take()) {
            self.answer(server, 487, None, |response| response);
        }
    }

    fn told_gone(&mut self, id: LegId, end: End) {
        self.stop_ringing(id);
        self.plans.retain(|_, leg| *leg != id);
        self.emit(Event::Ended { leg: id, end });
        self.gone.push(id);
        self.settle(id);
    }

    /// A leg that never came to be: the engine still gets its end.
    pub(crate) fn unborn(&mut self, id: LegId, status: u16, text: &str) {
        self.emit(Event::Ended { leg: id, end: End { by: EndedBy::Local, status: Some(status), text: text.to_owned() } });
    }

    /// A 2xx that crossed our CANCEL.
    pub(crate) fn end_cancelled(&mut self, id: LegId, flow: Flow, ok: &Message) {
        let invite = self.leg(id).and_then(|leg| leg.invite.clone());
        self.end_stray(flow, ok, invite.as_ref());
        self.settle(id);
    }

    /// A 2xx to an INVITE that had one already: its ACK was lost, or the INVITE forked and another party answered too.
    pub(crate) fn repeated_ok(&mut self, flow: Flow, ok: &Message) {
        let leg = self.by_tag(ok.from_tag()).filter(|leg| leg.call_id == ok.call_id());
        match leg {
            Some(leg) if leg.remote_tag() == Some(ok.to_tag()) => {
                let number = ok.cseq().number;
                if let Some((_, flow, ack)) = leg.last_ack.clone().filter(|(cseq, ..)| *cseq == number) {
                    self.transmit(flow, ack);
                }
            }
            _ => self.end_stray(flow, ok, None),
        }
    }

    /// A 2xx that belongs to no leg, or to another branch of a forked INVITE: it is acknowledged and ended
    /// (RFC 3261 §13.2.2.4).
    pub(crate) fn end_stray(&mut self, flow: Flow, ok: &Message, invite: Option<&Message>) {
        self.count("stray_ok");
        let rebuilt;
        let invite = match invite {
            Some(invite) => invite,
            None => {
                rebuilt = as_invite(ok);
                &rebuilt
            }
        };
        let mut dialog = Dialog::uac(invite, ok, self.local(flow, ""), flow);
        let (ack, bye) = (self.transactions.branch(), self.transactions.branch());
        let ack = dialog.ack(ok.cseq().number, &ack, None);
        self.transmit(flow, ack.bytes().clone());
        let reason = "SIP;cause=487;text=\"Call is over\"";
        let bye = dialog.request(&Method::Bye, &bye).header(HeaderName::Reason, reason).finish();
        self.request(flow, bye, Purpose::StrayBye);
    }
}

/// Enough of the INVITE that a 2xx answers to make its dialog.
fn as_invite(ok: &Message) -> Message {
    let to = ok.header(&HeaderName::To).unwrap_or_default();
    let untagged = to.find(";tag=").map_or(to, |at| &to[..at]);
    RequestBuilder::new(&Method::Invite, "sip:invalid")
        .header(HeaderName::Via, "SIP/2.0/UDP invalid;branch=z9hG4bK")
        .header(HeaderName::From, ok.header(&HeaderName::From).unwrap_or_default())
        .header(HeaderName::To, untagged)
        .header(HeaderName::CallId, ok.call_id())
        .header(HeaderName::CSeq, &format!("{} INVITE", ok.cseq().number))
        .finish()
}

/// Text that may stand between quotes.
pub(crate) fn quotable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).map(|c| if matches!(c, '"' | '\\') { '\'' } else { c }).collect()
}
