//! The four transaction machines (RFC 3261 §17, RFC 6026): retransmission, matching, timers.
//!
//! Each machine is a pure step from state to state in a file of its own; this file keeps them in one table, finds the
//! one that a message belongs to, and wakes them.

mod client_invite;
mod client_non_invite;
mod matching;
mod server_invite;
mod server_non_invite;
#[cfg(test)]
mod tests;
mod timer;
mod turn;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use slab::Slab;

use crate::message::{HeaderName, Message, Method, ResponseBuilder};
use crate::transport::Flow;
use client_invite::ClientInvite;
use client_non_invite::ClientNonInvite;
use server_invite::ServerInvite;
use server_non_invite::ServerNonInvite;
use timer::{Deadlines, Schedule};
use turn::Turn;

/// A client transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u64);

/// A server transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub u64);

/// What the layer tells its user.
#[derive(Debug)]
pub enum Happening {
    /// A new request, not ACK and not CANCEL. Retransmissions are absorbed. INVITE has been answered 100 by the layer.
    Request {
        #[allow(missing_docs)]
        id: ServerId,
        #[allow(missing_docs)]
        flow: Flow,
        #[allow(missing_docs)]
        message: Message,
    },
    /// An ACK that is not for a 3xx–6xx of ours: for a 2xx, by its dialog.
    Ack {
        #[allow(missing_docs)]
        flow: Flow,
        #[allow(missing_docs)]
        message: Message,
    },
    /// A CANCEL (already answered 200) for this INVITE that has no final answer yet; the user answers the INVITE 487.
    Cancelled {
        #[allow(missing_docs)]
        id: ServerId,
        #[allow(missing_docs)]
        cancel: Message,
    },
    /// A response: each provisional one above 100, the first final one; of an INVITE every 2xx, forked and repeated ones too.
    Response {
        #[allow(missing_docs)]
        id: ClientId,
        #[allow(missing_docs)]
        flow: Flow,
        #[allow(missing_docs)]
        message: Message,
    },
    /// A 2xx to an INVITE whose transaction is gone: the user sends its ACK again, or ACK and BYE for an unknown one.
    StrayOk {
        #[allow(missing_docs)]
        flow: Flow,
        #[allow(missing_docs)]
        message: Message,
    },
    /// Timer B or F, or the flow is dead: like 408 (or 503).
    TimedOut {
        #[allow(missing_docs)]
        id: ClientId,
    },
    /// Our 2xx to an INVITE was repeated for 64·T1 without [`Transactions::acknowledged`] (RFC 3261 §13.3.1.4).
    NoAck {
        #[allow(missing_docs)]
        id: ServerId,
    },
}

/// What a call into the layer leads to, in order.
#[derive(Debug)]
pub enum Step {
    /// Send these bytes.
    Transmit {
        #[allow(missing_docs)]
        flow: Flow,
        #[allow(missing_docs)]
        data: Bytes,
    },
    /// Tell the user.
    Happening(Happening),
}

/// T1, T2, T4 and the limit.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Timing {
    pub t1: Duration,
    pub t2: Duration,
    pub t4: Duration,
    /// New requests outside a dialog are answered 503 from this number on; those inside a dialog from a quarter more.
    pub max_transactions: usize,
}

/// Seconds after which a refused client may try again (RFC 3261 §21.5.4).
const RETRY_AFTER: &str = "5";
/// Low bits of an id: where its transaction is kept. The high bits number the transactions and are never used again.
const INDEX_BITS: u32 = 24;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;

/// Every transaction, and their timers.
#[derive(Debug)]
pub struct Transactions {
    timing: Timing,
    random: StdRng,
    entries: Slab<Entry>,
    born: u64,
    /// Matching key to id (RFC 3261 §17.1.3, §17.2.3).
    by_key: HashMap<Arc<str>, u64>,
    /// Call-ID, From tag and CSeq to the id of a server transaction: merged requests (RFC 3261 §8.2.2.2).
    by_call: HashMap<Arc<str>, u64>,
    /// Client transactions by the flow that they need.
    by_flow: BTreeSet<(Flow, u64)>,
    schedule: Schedule,
    counters: BTreeMap<&'static str, u64>,
    /// Makes the To tags of answers without a transaction ours.
    salt: u64,
    /// Keys are made here, so that a look-up allocates nothing.
    scratch: String,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    flow: Flow,
    key: Arc<str>,
    call: Option<Arc<str>>,
    deadlines: Deadlines,
    /// Taken out only while it takes a step.
    machine: Option<Machine>,
}

#[derive(Debug)]
enum Machine {
    ClientInvite(ClientInvite),
    ClientNonInvite(ClientNonInvite),
    /// The CANCEL of an INVITE of ours; nobody waits for its answer.
    Cancel(ClientNonInvite),
    ServerInvite(ServerInvite),
    ServerNonInvite(ServerNonInvite),
}

impl Transactions {
    /// Without transactions. `seed` feeds the branches.
    pub fn new(timing: Timing, seed: [u8; 32]) -> Self {
        let mut random = StdRng::from_seed(seed);
        let salt = random.random();
        Self {
            timing,
            random,
            entries: Slab::new(),
            born: 0,
            by_key: HashMap::new(),
            by_call: HashMap::new(),
            by_flow: BTreeSet::new(),
            schedule: Schedule::default(),
            counters: BTreeMap::new(),
            salt,
            scratch: String::new(),
        }
    }

    /// Takes one parsed message. Answers by itself: retransmissions, CANCEL (200 or 481), merged requests (482), too many (503).
    /// Requests are marked with their source (RFC 3261 §18.2.1, RFC 3581 §4) before anything else.
    pub fn receive(&mut self, now: Instant, flow: Flow, message: Message, steps: &mut Vec<Step>) {
        self.receive_within(now, flow, message, self.timing.max_transactions, steps);
    }

    /// The same for a BYE that ends one of our dialogs. There is always room for it, one a dialog: who was answered 503 hangs
    /// up all the same, and the call would be left with us.
    pub fn receive_end(&mut self, now: Instant, flow: Flow, bye: Message, steps: &mut Vec<Step>) {
        self.receive_within(now, flow, bye, usize::MAX, steps);
    }

    fn receive_within(&mut self, now: Instant, flow: Flow, message: Message, most: usize, steps: &mut Vec<Step>) {
        if !message.is_request() {
            return self.receive_response(now, flow, message, steps);
        }
        let message = message.with_source(flow.remote);
        match message.method() {
            Method::Ack => self.receive_ack(now, flow, message, steps),
            Method::Cancel => self.receive_cancel(now, flow, message, steps),
            method => self.receive_request(now, flow, message, &method, most, steps),
        }
    }

    /// A fresh branch, `z9hG4bK` included.
    pub fn branch(&mut self) -> String {
        let (high, low): (u64, u32) = (self.random.random(), self.random.random());
        format!("{}{high:016x}{low:08x}", matching::COOKIE)
    }

    /// Sends a request, whose topmost Via carries a branch from [`Self::branch`], in a new client transaction.
    pub fn request(&mut self, now: Instant, flow: Flow, message: Message, steps: &mut Vec<Step>) -> ClientId {
        let method = message.method();
        matching::client(&mut self.scratch, &message, &method);
        let id = self.insert(flow);
        self.by_flow.insert((flow, id));
        self.turn(now, id, None, steps, |_, turn| {
            Some(match method {
                Method::Invite => Machine::ClientInvite(ClientInvite::start(turn, message)),
                Method::Cancel => Machine::Cancel(ClientNonInvite::start(turn, message)),
                _ => Machine::ClientNonInvite(ClientNonInvite::start(turn, message)),
            })
        });
        ClientId(id)
    }

    /// Cancels an INVITE of a process that is gone: its transaction is there again, as [`Self::cancel`] leaves it.
    pub fn cancel_orphan(
        &mut self,
        now: Instant,
        flow: Flow,
        invite: Message,
        reason: &str,
        steps: &mut Vec<Step>,
    ) -> ClientId {
        matching::client(&mut self.scratch, &invite, &Method::Invite);
        let id = self.insert(flow);
        self.by_flow.insert((flow, id));
        self.turn(now, id, None, steps, |_, turn| {
            Some(Machine::ClientInvite(ClientInvite::cancel_orphan(turn, invite, reason)))
        });
        ClientId(id)
    }

    /// Sends a response. A 2xx to an INVITE is repeated until [`Self::acknowledged`].
    /// A second final answer, and one to a transaction that is gone, is dropped and counted.
    pub fn respond(&mut self, now: Instant, id: ServerId, message: Message, steps: &mut Vec<Step>) {
        let found = self.turn(now, id.0, None, steps, |machine, turn| {
            Some(match machine? {
                Machine::ServerInvite(machine) => Machine::ServerInvite(machine.respond(turn, message)),
                Machine::ServerNonInvite(machine) => Machine::ServerNonInvite(machine.respond(turn, &message)),
                machine => machine,
            })
        });
        if !found {
            self.count("responses_late");
        }
    }

    /// The ACK of a 2xx has come: stop repeating.
    pub fn acknowledged(&mut self, id: ServerId) {
        let Some(entry) = self.entries.get_mut(index(id.0)).filter(|entry| entry.id == id.0) else { return };
        let before = entry.deadlines.next();
        entry.machine = match entry.machine.take() {
            Some(Machine::ServerInvite(machine)) => {
                Some(Machine::ServerInvite(machine.acknowledged(&mut entry.deadlines)))
            }
            machine => machine,
        };
        self.schedule.moved(id.0, before, entry.deadlines.next());
    }

    /// Cancels an INVITE of ours (RFC 3261 §9.1): the CANCEL waits for the first provisional answer; `reason` is a Reason value.
    /// If a 2xx comes first or crosses it, the user gets that 2xx as ever. Without any final answer for 64·T1: [`Happening::TimedOut`].
    pub fn cancel(&mut self, now: Instant, id: ClientId, reason: Option<&str>, steps: &mut Vec<Step>) {
        self.turn(now, id.0, None, steps, |machine, turn| {
            Some(match machine? {
                Machine::ClientInvite(machine) => Machine::ClientInvite(machine.cancel(turn, reason)),
                machine => machine,
            })
        });
    }

    /// A transmit on this flow failed: its client transactions end as timed out, but for INVITEs that ring and are
    /// waiting without sending anything.
    pub fn send_failed(&mut self, now: Instant, flow: Flow, steps: &mut Vec<Step>) {
        let failed: Vec<u64> = self.by_flow.range((flow, 0)..=(flow, u64::MAX)).map(|(_, id)| *id).collect();
        for id in failed {
            self.turn(now, id, None, steps, |machine, turn| match machine? {
                Machine::ClientInvite(machine) => machine.send_failed(turn).map(Machine::ClientInvite),
                Machine::ClientNonInvite(machine) => machine.send_failed(turn).map(Machine::ClientNonInvite),
                Machine::Cancel(machine) => machine.send_failed(turn).map(Machine::Cancel),
                machine => Some(machine),
            });
        }
    }

    /// A connection is gone: its client transactions end as if they had been answered with `status` (RFC 3261 §8.1.3.1).
    /// An answer that the peer still owes would have to come by another connection; a phone has none to us, and who has
    /// one is `patient`: its INVITE that rings goes on.
    pub fn connection_failed(&mut self, now: Instant, flow: Flow, status: u16, patient: bool, steps: &mut Vec<Step>) {
        for ClientId(id) in self.clients_on(flow) {
            self.turn(now, id, None, steps, |machine, turn| match machine? {
                Machine::ClientInvite(machine) if patient && machine.rings() => Some(Machine::ClientInvite(machine)),
                Machine::ClientInvite(machine) => machine.connection_failed(turn, status).map(Machine::ClientInvite),
                Machine::ClientNonInvite(machine) => {
                    machine.connection_failed(turn, status).map(Machine::ClientNonInvite)
                }
                Machine::Cancel(machine) => machine.connection_failed(turn, status).map(Machine::Cancel),
                machine => Some(machine),
            });
        }
    }

    /// The client transactions that use a flow.
    pub fn clients_on(&self, flow: Flow) -> Vec<ClientId> {
        self.by_flow.range((flow, 0)..=(flow, u64::MAX)).map(|(_, id)| ClientId(*id)).collect()
    }

    /// A request that has not left goes by another flow now, as `message`: the same but for what shows the way, the branch
    /// included. One that was answered or repeated meanwhile is left alone.
    pub fn send_otherwise(&mut self, now: Instant, id: ClientId, flow: Flow, message: Message, steps: &mut Vec<Step>) {
        let Some(entry) = self.entries.get_mut(index(id.0)).filter(|entry| entry.id == id.0) else { return };
        self.by_flow.remove(&(entry.flow, id.0));
        entry.flow = flow;
        self.by_flow.insert((flow, id.0));
        self.turn(now, id.0, None, steps, |machine, turn| {
            Some(match machine? {
                Machine::ClientInvite(machine) => Machine::ClientInvite(machine.sent_otherwise(turn, message)),
                Machine::ClientNonInvite(machine) => Machine::ClientNonInvite(machine.sent_otherwise(turn, message)),
                machine => machine,
            })
        });
    }

    /// Runs every timer that is due.
    pub fn wake(&mut self, now: Instant, steps: &mut Vec<Step>) {
        while let Some(id) = self.schedule.first_due(now) {
            self.turn(now, id, None, steps, |machine, turn| {
                let Some(timer) = turn.deadlines.take_due(now) else { return machine };
                match machine? {
                    Machine::ClientInvite(machine) => machine.fire(turn, timer).map(Machine::ClientInvite),
                    Machine::ClientNonInvite(machine) => machine.fire(turn, timer).map(Machine::ClientNonInvite),
                    Machine::Cancel(machine) => machine.fire(turn, timer).map(Machine::Cancel),
                    Machine::ServerInvite(machine) => machine.fire(turn, timer).map(Machine::ServerInvite),
                    Machine::ServerNonInvite(machine) => machine.fire(turn, timer).map(Machine::ServerNonInvite),
                }
            });
        }
    }

    /// Does this request repeat one whose transaction is there?
    pub fn is_repeated(&mut self, request: &Message) -> bool {
        matching::server(&mut self.scratch, request, &request.method());
        self.by_key.contains_key(self.scratch.as_str())
    }

    /// Does the INVITE that this CANCEL names come from the same host (RFC 3261 §22.1: the hop that sent the one sends
    /// the other)?
    pub fn cancels_its_own(&mut self, flow: Flow, cancel: &Message) -> bool {
        matching::server(&mut self.scratch, cancel, &Method::Invite);
        let id = self.by_key.get(self.scratch.as_str()).copied().or_else(|| self.cancelled_call(flow, cancel));
        let entry = id.and_then(|id| self.entries.get(index(id)));
        entry.is_some_and(|entry| entry.flow.remote.ip().to_canonical() == flow.remote.ip().to_canonical())
    }

    /// Answers a request that never got a transaction, marked with its source: the same again if it comes again
    /// (RFC 3261 §8.2.7). Its ACK is ignored.
    pub fn answer_once(
        &self,
        flow: Flow,
        request: &Message,
        status: u16,
        steps: &mut Vec<Step>,
        add: impl FnOnce(ResponseBuilder) -> ResponseBuilder,
    ) {
        let response = add(ResponseBuilder::new(request, status, None, Some(&self.tag(request))));
        steps.push(Step::Transmit { flow, data: response.finish().bytes().clone() });
    }

    /// Gives up a transaction that is no INVITE's and has its final answer, if that is a refusal or needs no keeping:
    /// the request is answered anew if it comes again.
    pub fn forget_answered(&mut self, now: Instant, id: ServerId, keeps_ok: bool, steps: &mut Vec<Step>) {
        self.turn(now, id.0, None, steps, |machine, _| match machine? {
            Machine::ServerNonInvite(machine)
                if machine.final_status().is_some_and(|status| status >= 300 || !keeps_ok) =>
            {
                None
            }
            machine => Some(machine),
        });
    }

    /// When the next timer is due.
    pub fn wake_at(&self) -> Option<Instant> {
        self.schedule.next()
    }

    /// The request of a server transaction, until its final answer has gone (for a 2xx: until it was acknowledged).
    pub fn server_request(&self, id: ServerId) -> Option<&Message> {
        match self.machine(id.0)? {
            Machine::ServerInvite(machine) => machine.request(),
            Machine::ServerNonInvite(machine) => machine.request(),
            _ => None,
        }
    }

    /// The request of a client transaction that is still there, as it was sent; of an INVITE until its final answer, and
    /// of one that was cancelled also after a 2xx.
    pub fn client_request(&self, id: ClientId) -> Option<&Message> {
        match self.machine(id.0)? {
            Machine::ClientInvite(machine) => machine.request(),
            Machine::ClientNonInvite(machine) | Machine::Cancel(machine) => Some(machine.request()),
            _ => None,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when there is none: nothing leaked.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Named counters: retransmissions, strays, timeouts, refused.
    pub fn counters(&self) -> &BTreeMap<&'static str, u64> {
        &self.counters
    }
}

/// What comes in.
impl Transactions {
    fn receive_response(&mut self, now: Instant, flow: Flow, response: Message, steps: &mut Vec<Step>) {
        let method = response.method();
        matching::client(&mut self.scratch, &response, &method);
        let ours = matching::has_one_via(&response) && (100..700).contains(&response.status());
        match self.by_key.get(self.scratch.as_str()).copied().filter(|_| ours) {
            Some(id) => {
                self.turn(now, id, Some(flow), steps, |machine, turn| {
                    Some(match machine? {
                        Machine::ClientInvite(machine) => Machine::ClientInvite(machine.receive(turn, response)),
                        Machine::ClientNonInvite(machine) => Machine::ClientNonInvite(machine.receive(turn, response)),
                        Machine::Cancel(machine) => Machine::Cancel(machine.receive(turn, response)),
                        machine => machine,
                    })
                });
            }
            None if ours && method == Method::Invite && response.status() / 100 == 2 => {
                steps.push(Step::Happening(Happening::StrayOk { flow, message: response })); // RFC 3261 §13.2.2.4
            }
            None => self.count("responses_stray"),
        }
    }

    fn receive_request(
        &mut self,
        now: Instant,
        flow: Flow,
        request: Message,
        method: &Method,
        most: usize,
        steps: &mut Vec<Step>,
    ) {
        matching::server(&mut self.scratch, &request, method);
        if let Some(&id) = self.by_key.get(self.scratch.as_str()) {
            return self.receive_repeated(now, flow, id, steps);
        }
        let outside_dialog = request.to_tag().is_empty();
        if outside_dialog && self.is_merged(&request, method) {
            self.count("requests_merged");
            return self.answer(flow, &request, 482, steps); // RFC 3261 §8.2.2.2
        }
        let limit = if outside_dialog { most } else { most.saturating_add(most / 4) };
        if self.entries.len() >= limit.min(INDEX_MASK as usize) {
            self.count("transactions_refused");
            return self.answer(flow, &request, 503, steps);
        }
        matching::server(&mut self.scratch, &request, method);
        let id = self.insert(flow);
        if outside_dialog || *method == Method::Invite {
            matching::call(&mut self.scratch, &request, method);
            self.index_call(id);
        }
        let invite = *method == Method::Invite;
        self.turn(now, id, None, steps, |_, turn| {
            Some(match invite {
                true => Machine::ServerInvite(ServerInvite::start(turn, request)),
                false => Machine::ServerNonInvite(ServerNonInvite::start(turn, request)),
            })
        });
    }

    fn receive_repeated(&mut self, now: Instant, flow: Flow, id: u64, steps: &mut Vec<Step>) {
        self.count("retransmissions_received");
        self.turn(now, id, Some(flow), steps, |machine, turn| {
            Some(match machine? {
                Machine::ServerInvite(machine) => Machine::ServerInvite(machine.repeated(turn)),
                Machine::ServerNonInvite(machine) => Machine::ServerNonInvite(machine.repeated(turn)),
                machine => machine,
            })
        });
    }

    /// The ACK of a 3xx–6xx ends here; that of a 2xx goes to the user (RFC 3261 §17.2.3, RFC 6026 §7.1).
    fn receive_ack(&mut self, now: Instant, flow: Flow, ack: Message, steps: &mut Vec<Step>) {
        matching::server(&mut self.scratch, &ack, &Method::Ack);
        let id = self.by_key.get(self.scratch.as_str()).copied().or_else(|| self.refused_call(&ack));
        match id {
            Some(id) => {
                self.turn(now, id, Some(flow), steps, |machine, turn| {
                    Some(match machine? {
                        Machine::ServerInvite(machine) => Machine::ServerInvite(machine.ack(turn, ack)),
                        machine => machine,
                    })
                });
            }
            None if ack.to_tag() == self.tag(&ack) => {} // of an answer without a transaction
            None => steps.push(Step::Happening(Happening::Ack { flow, message: ack })),
        }
    }

    /// An INVITE whose 3xx–6xx this ACK acknowledges, though with another Via than the INVITE's.
    fn refused_call(&mut self, ack: &Message) -> Option<u64> {
        matching::call(&mut self.scratch, ack, &Method::Ack);
        let &id = self.by_call.get(self.scratch.as_str())?;
        let Machine::ServerInvite(machine) = self.machine(id)? else { return None };
        machine.refusal().filter(|refusal| refusal.to_tag() == ack.to_tag()).map(|_| id)
    }

    fn receive_cancel(&mut self, now: Instant, flow: Flow, cancel: Message, steps: &mut Vec<Step>) {
        matching::server(&mut self.scratch, &cancel, &Method::Invite);
        let id = self.by_key.get(self.scratch.as_str()).copied().or_else(|| self.cancelled_call(flow, &cancel));
        let Some(id) = id else {
            self.count("cancels_stray");
            return self.answer(flow, &cancel, 481, steps); // RFC 3261 §9.2
        };
        self.answer(flow, &cancel, 200, steps); // RFC 3261 §9.2
        self.turn(now, id, None, steps, |machine, turn| {
            Some(match machine? {
                Machine::ServerInvite(machine) => Machine::ServerInvite(machine.cancel(turn, cancel)),
                machine => machine,
            })
        });
    }

    /// The INVITE of a CANCEL whose sent-by is another (a proxy that changed its name): Call-ID, From tag and CSeq number
    /// must be the INVITE's, and so must the branch or the address that it came from.
    fn cancelled_call(&mut self, flow: Flow, cancel: &Message) -> Option<u64> {
        matching::call(&mut self.scratch, cancel, &Method::Cancel);
        let &id = self.by_call.get(self.scratch.as_str())?;
        let same_source = self.entries.get(index(id))?.flow.remote.ip() == flow.remote.ip();
        let Machine::ServerInvite(machine) = self.machine(id)? else { return None };
        let same_branch = machine.request().is_some_and(|invite| matching::same_branch(invite, cancel));
        (same_source || same_branch).then_some(id)
    }

    /// The same request came by another way (RFC 3261 §8.2.2.2). One that was challenged may come again with the same
    /// CSeq: some phones do not count it up for their credentials.
    fn is_merged(&mut self, request: &Message, method: &Method) -> bool {
        matching::call(&mut self.scratch, request, method);
        let Some(&id) = self.by_call.get(self.scratch.as_str()) else { return false };
        let status = match self.machine(id) {
            Some(Machine::ServerInvite(ServerInvite::Confirmed)) => return false,
            Some(Machine::ServerInvite(machine)) => machine.refusal().map(Message::status),
            Some(Machine::ServerNonInvite(machine)) => machine.final_status(),
            _ => None,
        };
        !matches!(status, Some(401 | 407))
    }

    /// Answers without a transaction: the same request gets the same answer again, tag included (RFC 3261 §8.2.7).
    fn answer(&self, flow: Flow, request: &Message, status: u16, steps: &mut Vec<Step>) {
        let tag = self.tag(request);
        let response = ResponseBuilder::new(request, status, None, Some(&tag));
        let response = if status == 503 { response.header(HeaderName::RetryAfter, RETRY_AFTER) } else { response };
        steps.push(Step::Transmit { flow, data: response.finish().bytes().clone() });
    }

    /// To tag of answers without a transaction, the same for the ACK.
    /// A To tag for a refusal: the same each time that the request comes, as it may be forgotten in between
    /// (RFC 3261 §8.2.7).
    pub fn refusal_tag(&self, id: ServerId) -> Option<String> {
        self.server_request(id).map(|request| self.tag(request))
    }

    fn tag(&self, request: &Message) -> String {
        let mut hasher = DefaultHasher::new();
        self.salt.hash(&mut hasher);
        (request.call_id(), request.from_tag(), request.cseq().number, request.top_via().branch()).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}

/// The table.
impl Transactions {
    /// Takes a place for a transaction whose key is in `scratch`.
    fn insert(&mut self, flow: Flow) -> u64 {
        let place = self.entries.vacant_entry();
        let id = (self.born << INDEX_BITS) | (place.key() as u64 & INDEX_MASK);
        self.born += 1;
        let key: Arc<str> = self.scratch.as_str().into();
        place.insert(Entry { id, flow, key: key.clone(), call: None, deadlines: Deadlines::default(), machine: None });
        self.by_key.insert(key, id);
        id
    }

    /// Makes a server transaction known by the call key in `scratch` too.
    fn index_call(&mut self, id: u64) {
        let key: Arc<str> = self.scratch.as_str().into();
        if let Some(entry) = self.entries.get_mut(index(id)) {
            entry.call = Some(key.clone());
            self.by_call.insert(key, id);
        }
    }

    /// Lets one transaction take a step: its timers are scheduled anew, and it goes when its machine has ended.
    /// False where there is none of that id. `flow`: where the message came from, if one did.
    fn turn(
        &mut self,
        now: Instant,
        id: u64,
        flow: Option<Flow>,
        steps: &mut Vec<Step>,
        step: impl FnOnce(Option<Machine>, &mut Turn<'_>) -> Option<Machine>,
    ) -> bool {
        let Some(entry) = self.entries.get_mut(index(id)).filter(|entry| entry.id == id) else { return false };
        let before = entry.deadlines.next();
        let machine = entry.machine.take();
        let mut turn = Turn {
            now,
            id,
            flow: flow.unwrap_or(entry.flow),
            quiet: matches!(machine, Some(Machine::Cancel(_))),
            reliable: entry.flow.transport.is_stream(),
            timing: self.timing,
            deadlines: &mut entry.deadlines,
            counters: &mut self.counters,
            steps,
            cancel: None,
        };
        entry.machine = step(machine, &mut turn);
        let (cancel, flow) = (turn.cancel.take(), entry.flow);
        let ended = entry.machine.is_none();
        let after = if ended { None } else { entry.deadlines.next() };
        self.schedule.moved(id, before, after);
        if ended {
            self.remove(id);
        }
        if let Some(cancel) = cancel {
            self.request(now, flow, cancel, steps);
        }
        true
    }

    fn remove(&mut self, id: u64) {
        let entry = self.entries.remove(index(id));
        if self.by_key.get(&entry.key) == Some(&id) {
            self.by_key.remove(&entry.key);
        }
        self.by_flow.remove(&(entry.flow, id));
        if let Some(call) = entry.call
            && self.by_call.get(&call) == Some(&id)
        {
            self.by_call.remove(&call);
        }
    }

    fn machine(&self, id: u64) -> Option<&Machine> {
        self.entries.get(index(id)).filter(|entry| entry.id == id)?.machine.as_ref()
    }

    fn count(&mut self, name: &'static str) {
        *self.counters.entry(name).or_default() += 1;
    }
}

fn index(id: u64) -> usize {
    (id & INDEX_MASK) as usize
}
