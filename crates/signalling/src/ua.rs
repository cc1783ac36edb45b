//! The user agent that all legs share: its transactions, legs, timers and outputs, and how a leg sends, answers and ends.

mod copying;
mod describing;
mod ending;
mod flows;
mod sending;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use rand::{RngExt, SeedableRng, rngs::StdRng};

pub(crate) use describing::{Source, linked};
pub(crate) use ending::Release;
use flows::Datagram;

use crate::admission::Door;
use crate::dialog::{Dialog, Local};
use crate::interface::{Counters, Event, LegId, OrphanId, Output, PlanId, ReceiptId, Settings};
use crate::leg::{Leg, Purpose, Timer};
use crate::sdp::MediaAddress;
use crate::session::Agreed;
use crate::transaction::{ClientId, ServerId, Step, Timing, Transactions};
use crate::transport::connections::Connections;
use crate::transport::{Flow, sent_by};

/// Times T1: so long a request that is no INVITE waits for the other party's answer. Who sent it gives up after 64 (Timer F),
/// as we do: an answer then would come too late.
pub(crate) const PASSED_WAITS: u32 = 58;
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
    /// Of the settings, for the dialogs to share.
    user_agent: Arc<str>,
    pub(crate) door: Door,
    /// Boxed: a table has room for twice what is in it.
    pub(crate) legs: HashMap<LegId, Box<Leg>>,
    pub(crate) counters: Counters,
    pub(crate) transactions: Transactions,
    pub(crate) connections: Connections,
    pub(crate) random: StdRng,
    /// For streams besides the audio stream.
    pub(crate) spare_media: Vec<MediaAddress>,
    /// What the transactions want, until the core has carried it out.
    pub(crate) steps: Vec<Step>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) clients: HashMap<ClientId, Purpose>,
    /// Requests that left UDP for their size, as they would have gone by it.
    switched: HashMap<ClientId, Datagram>,
    /// INVITEs of theirs: whose leg.
    pub(crate) servers: HashMap<ServerId, LegId>,
    pub(crate) plans: HashMap<PlanId, LegId>,
    /// REGISTERs whose 200 waits for the store, with their Contact values.
    pub(crate) receipts: HashMap<ReceiptId, Receipt>,
    /// Cancelled INVITEs of a process that is gone that may have been answered and acknowledged there: what they would
    /// have become.
    pub(crate) orphans: HashMap<OrphanId, Dialog>,
    /// Legs that ended since the transfers looked last.
    pub(crate) gone: Vec<LegId>,
    /// BYEs under way that belong to no leg.
    stray_byes: usize,
    tags: HashMap<Arc<str>, LegId>,
    timers: BTreeSet<(Instant, Timer)>,
    now: Option<Instant>,
    next_leg: u64,
    next_plan: u64,
    next_receipt: u64,
}

/// What is answered once a registration is kept.
#[derive(Debug)]
pub(crate) struct Receipt {
    pub(crate) server: ServerId,
    pub(crate) contacts: Vec<String>,
    pub(crate) until: Instant,
}

impl Ua {
    pub(crate) fn new(settings: Settings, seed: [u8; 32]) -> Self {
        let mut random = StdRng::from_seed(seed);
        let timing =
            Timing { t1: settings.t1, t2: settings.t2, t4: settings.t4, max_transactions: settings.max_transactions };
        let transactions = Transactions::new(timing, random.random());
        let door = Door::new(&settings, random.random());
        let connections = Connections::new(settings.connections);
        Self {
            user_agent: settings.user_agent.as_str().into(),
            settings,
            door,
            legs: HashMap::new(),
            counters: Counters::default(),
            transactions,
            connections,
            random,
            spare_media: Vec::new(),
            steps: Vec::new(),
            outputs: Vec::new(),
            clients: HashMap::new(),
            switched: HashMap::new(),
            servers: HashMap::new(),
            plans: HashMap::new(),
            receipts: HashMap::new(),
            orphans: HashMap::new(),
            next_receipt: 1,
            gone: Vec::new(),
            stray_byes: 0,
            tags: HashMap::new(),
            timers: BTreeSet::new(),
            now: None,
            next_leg: 1,
            next_plan: 1,
        }
    }

    /// Entries of the tables beside the legs: 0 when nobody talks.
    pub(crate) fn indexes(&self) -> usize {
        self.clients.len() + self.servers.len() + self.gone.len() + self.stray_byes + self.tags.len()
    }

    pub(crate) fn timers(&self) -> usize {
        self.timers.len()
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

    pub(crate) fn new_receipt(&mut self) -> ReceiptId {
        let receipt = ReceiptId(self.next_receipt);
        self.next_receipt += 1;
        receipt
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
        self.legs.get(&id).map(|leg| &**leg)
    }

    pub(crate) fn leg_mut(&mut self, id: LegId) -> Option<&mut Leg> {
        self.legs.get_mut(&id).map(|leg| &mut **leg)
    }

    pub(crate) fn insert(&mut self, leg: Box<Leg>) {
        self.tags.insert(leg.local_tag.clone(), leg.id);
        self.legs.insert(leg.id, leg);
    }

    /// The leg whose tag of ours this is.
    pub(crate) fn by_tag(&self, local_tag: &str) -> Option<&Leg> {
        self.leg(*self.tags.get(local_tag)?)
    }

    /// The leg of this dialog, seen from us (RFC 3261 §12).
    pub(crate) fn by_dialog(&self, call_id: &str, local_tag: &str, remote_tag: &str) -> Option<&Leg> {
        self.by_tag(local_tag)
            .filter(|leg| &*leg.call_id == call_id && leg.remote_tag().is_none_or(|tag| tag == remote_tag))
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
            transport: flow.transport,
            sent_by: sent_by(self.settings.advertised.as_deref(), flow).into(),
            user_agent: self.user_agent.clone(),
            contact_user: contact_user.into(),
        }
    }

    /// Tells the engine what media has to do on a leg.
    pub(crate) fn plan_media(&mut self, id: LegId, plan: Option<PlanId>) {
        let Some(agreed) = self.leg(id).and_then(|leg| leg.descriptions.agreed()) else { return };
        self.plan_agreed(id, &agreed, false, plan);
    }

    /// The same with descriptions that are not in force (yet).
    pub(crate) fn plan_agreed(&mut self, id: LegId, agreed: &Agreed, early: bool, plan: Option<PlanId>) {
        let Some(leg) = self.leg(id).filter(|leg| leg.is_live()) else { return };
        let mut session = leg.descriptions.session(agreed, leg.signalling(), leg.party.nat, early);
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
        let tables = [self.transactions.wake_at(), self.door.registrar.wake_at(), self.connections.wake_at()];
        tables.into_iter().chain([own]).flatten().min()
    }

    /// The ACK of a listener's 2xx waits no more.
    pub(crate) fn stop_ack_wait(&mut self, id: LegId) {
        if let Some(at) = self.leg_mut(id).and_then(|leg| leg.ack_until.take()) {
            self.clear_timer(at, Timer::Ack(id));
        }
    }

    /// The INVITE of a leg has its final answer: it rings no more.
    pub(crate) fn stop_ringing(&mut self, id: LegId) {
        if let Some(at) = self.leg_mut(id).and_then(|leg| leg.ring_until.take()) {
            self.clear_timer(at, Timer::Ring(id));
        }
    }
}

/// Characters of a display name or a reason's text that are passed on.
const QUOTED_MAX: usize = 256;

/// Text that may stand between quotes.
pub(crate) fn quotable(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(QUOTED_MAX)
        .map(|c| if matches!(c, '"' | '\\') { '\'' } else { c })
        .collect()
}
