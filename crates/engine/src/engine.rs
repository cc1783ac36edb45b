//! The core's entry: takes one input, lets signalling follow until it is dry, and hands out what came of it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use media::{ListenerId, StreamId};
use signalling::{Counters, DialogCopy, LegId, MediaAddress, PlanId, Signalling, TransferId};

use crate::audit::{Action, ENGINE, Folded};
use crate::call::{Call, CallKey, Leg};
use crate::dialog_log::DialogLog;
use crate::directory::{Directory, Seed};
use crate::ids::Ids;
use crate::interaction::{Desk, Interaction, InteractionKey};
use crate::interface::{Event, Input, Now, Output, Settings, Sizes, View};
use crate::keys::Pressed;
use crate::monitoring::{self, ClosedEar, Ear, EarKey, Listening, Request, Watched};
use crate::outbox::Outbox;
use crate::persist::Restored;
use crate::placement::{Limits, Ready, Shards};
use crate::restored::by_call;
use crate::sip::Sip;
use crate::store::Books;
use crate::timers::{Timer, Timers};
use crate::view::{CallState, EventBody, EventName};

/// New calls during a drain are told to try again after so many seconds.
const DRAIN_RETRY_AFTER: u32 = 30;

/// Everything the engine knows. Split by subject: `legs`, `transfer`, `interaction`, `monitoring`, `status`, `commands`.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) now: Now,
    pub(crate) settings: Settings,
    pub(crate) directory: Directory,
    pub(crate) ids: Ids,
    pub(crate) shards: Shards,
    /// Ports that signalling may give to other streams.
    pub(crate) lent: Vec<Ready>,
    /// Streams besides the audio streams of legs.
    pub(crate) others: HashMap<MediaAddress, StreamId>,
    /// Boxed, like legs: tables have room for more than what is in them.
    pub(crate) calls: BTreeMap<CallKey, Box<Call>>,
    pub(crate) call_ids: HashMap<String, CallKey>,
    pub(crate) legs: HashMap<LegId, Box<Leg>>,
    pub(crate) streams: HashMap<StreamId, CallKey>,
    pub(crate) transfers: HashMap<TransferId, Vec<CallKey>>,
    pub(crate) desks: BTreeMap<String, Desk>,
    pub(crate) interactions: BTreeMap<InteractionKey, Interaction>,
    pub(crate) requests: BTreeMap<String, Request>,
    pub(crate) requests_of: HashMap<String, BTreeSet<String>>,
    pub(crate) listenings: BTreeMap<String, Listening>,
    pub(crate) ears: BTreeMap<EarKey, Ear>,
    pub(crate) ear_legs: HashMap<LegId, EarKey>,
    /// Ears of pages by their players in the media plane.
    pub(crate) players: HashMap<ListenerId, EarKey>,
    /// Ears of pages that were hung up within this input.
    pub(crate) gone_pages: Vec<EarKey>,
    /// Levels that somebody looks at.
    pub(crate) watched: Watched,
    /// They must be judged again before the input is done.
    pub(crate) levels_changed: bool,
    /// Keys that agents pressed of late.
    pub(crate) pressed: HashMap<LegId, Pressed>,
    /// Ears whose last figures are not in.
    pub(crate) closed_ears: BTreeMap<EarKey, ClosedEar>,
    pub(crate) timers: Timers,
    pub(crate) books: Books,
    pub(crate) folded: Folded,
    pub(crate) log: DialogLog,
    pub(crate) counters: Counters,
    pub(crate) out: Outbox,
    /// Agents whose ears, focus and status must be judged again before the input is done.
    pub(crate) dirty_desks: BTreeSet<String>,
    pub(crate) peers_changed: bool,
    /// The timer for `until` must be set anew.
    pub(crate) until_changed: bool,
    pub(crate) closing: Closing,
    pub(crate) sip: Box<dyn Sip>,
    sip_inputs: VecDeque<signalling::Input>,
    sip_outputs: Vec<signalling::Output>,
    /// Legs whose Call-ID is not known yet.
    nameless: Vec<LegId>,
}

/// Whether the engine still takes calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closing {
    /// It does.
    Open,
    /// No new ones.
    Draining,
    /// No new ones, and those that are up are being ended.
    Stopping,
    /// The last one is over and the shell was told.
    Drained,
}

impl Core {
    pub(crate) fn new(
        now: Now,
        settings: Settings,
        seed: Seed,
        restored: Restored,
        random: [u8; 32],
        outputs: &mut Vec<Output>,
    ) -> Self {
        let sip = Box::new(Signalling::new(settings.signalling.clone(), random));
        Self::with_sip(now, settings, seed, restored, random, sip, outputs)
    }

    /// The same over any signalling.
    pub(crate) fn with_sip(
        now: Now,
        settings: Settings,
        seed: Seed,
        restored: Restored,
        mut random: [u8; 32],
        sip: Box<dyn Sip>,
        outputs: &mut Vec<Output>,
    ) -> Self {
        // signalling draws from the seed as it is
        random.iter_mut().for_each(|byte| *byte ^= 0x5a);
        let directory = Directory::new(seed, restored.agents, restored.agents_removed, now.wall);
        let shards = Shards::new(settings.media_layout);
        let mut core = Self {
            now,
            settings,
            directory,
            ids: Ids::new(random),
            shards,
            lent: Vec::new(),
            others: HashMap::new(),
            calls: BTreeMap::new(),
            call_ids: HashMap::new(),
            legs: HashMap::new(),
            streams: HashMap::new(),
            transfers: HashMap::new(),
            desks: BTreeMap::new(),
            interactions: BTreeMap::new(),
            requests: BTreeMap::new(),
            requests_of: HashMap::new(),
            listenings: BTreeMap::new(),
            ears: BTreeMap::new(),
            ear_legs: HashMap::new(),
            players: HashMap::new(),
            gone_pages: Vec::new(),
            watched: Watched::default(),
            levels_changed: false,
            pressed: HashMap::new(),
            closed_ears: BTreeMap::new(),
            timers: Timers::default(),
            books: Books::default(),
            folded: Folded::default(),
            log: DialogLog::default(),
            counters: Counters::default(),
            out: Outbox::default(),
            dirty_desks: BTreeSet::new(),
            peers_changed: true,
            until_changed: true,
            closing: Closing::Open,
            sip,
            sip_inputs: VecDeque::new(),
            sip_outputs: Vec::new(),
            nameless: Vec::new(),
        };
        if core.settings.access_number.is_none() {
            core.out.log(
                "warn",
                "no access number is configured: orders will be refused with access-number-missing".into(),
                Vec::new(),
            );
        }
        core.out.agents.extend(core.directory.agents.keys().cloned());
        core.out.users.extend(core.directory.users.keys().cloned());
        let started = core.entry(ENGINE, Action::EngineStarted).with("version", env!("CARGO_PKG_VERSION"));
        core.audit(started);
        let on_calls = by_call(&restored.listenings);
        core.restore_registrations(restored.registrations);
        core.restore(restored.requests, restored.listenings);
        core.restore_dialogs(restored.dialogs, &on_calls);
        core.log_now();
        core.settle();
        core.flush(outputs);
        core
    }

    pub(crate) fn drive(&mut self, now: Now, input: Input, outputs: &mut Vec<Output>) {
        self.now = now;
        match input {
            Input::Sip { flow, data } => self.sip_inputs.push_back(signalling::Input::Datagram { flow, data }),
            Input::SipFlowOpened { flow } => self.sip_inputs.push_back(signalling::Input::FlowOpened { flow }),
            Input::SipBytes { flow, data } => self.sip_inputs.push_back(signalling::Input::Bytes { flow, data }),
            Input::SipFlowClosed { flow } => self.sip_inputs.push_back(signalling::Input::FlowClosed { flow }),
            Input::SipSendFailed { flow } => self.sip_inputs.push_back(signalling::Input::SendFailed { flow }),
            Input::Media(event) => self.media(event),
            Input::Timeout => {
                self.sip_inputs.push_back(signalling::Input::Timeout);
                while let Some(timer) = self.timers.expired(now.mono) {
                    self.timer(timer);
                }
            }
            Input::Command { reply, actor, command } => self.command(reply, &actor, command),
            Input::Persisted { persist, result } => self.persisted(persist, result),
            Input::Reload(seed) => self.reload(seed),
            Input::Settings(settings) => self.set(*settings),
            Input::Note(note) => self.note(note),
            Input::Drain => self.drain(),
            Input::Stop => self.stop(),
        }
        self.settle();
        self.flush(outputs);
    }

    pub(crate) fn wake_at(&self) -> Option<Instant> {
        [self.timers.next(), self.sip.wake_at()].into_iter().flatten().min()
    }

    /// What the media plane was set up with stays.
    fn set(&mut self, settings: Settings) {
        let Settings { media_layout, fork_lag, call_lag, other_streams, .. } = self.settings;
        self.settings = Settings { media_layout, fork_lag, call_lag, other_streams, ..settings };
        // what a listener may hear may have changed
        self.dirty_desks.extend(self.desks.keys().cloned());
    }

    /// Limits of admission to the media plane.
    pub(crate) fn media_limits(&self) -> Limits {
        let Settings { fork_lag, call_lag, listener_weight, .. } = self.settings;
        Limits { fork_lag, call_lag, listener_weight }
    }

    pub(crate) fn sizes(&self) -> Sizes {
        let [shards, shards_over_fork_lag, shards_over_call_lag] = self.shards.counts(self.media_limits());
        Sizes {
            calls: self.calls.len(),
            interactions: self.interactions.len(),
            requests: self.requests.len(),
            listenings: self.listenings.len(),
            ports_ready: self.shards.ready() + self.lent.len(),
            shards,
            shards_over_fork_lag,
            shards_over_call_lag,
            desks: self.desks.len(),
            ears: self.ears.len(),
            closed_ears: self.closed_ears.len(),
            indexes: [
                self.call_ids.len(),
                self.legs.len(),
                self.streams.len(),
                self.others.len(),
                self.transfers.len(),
                self.ear_legs.len(),
                self.players.len(),
                self.pressed.len(),
                self.watched.len(),
                self.nameless.len(),
                self.shards.placed(),
            ]
            .into_iter()
            .sum(),
            timers: self.timers.len(),
            unsaved: self.books.len(),
            signalling: self.sip.sizes(),
        }
    }

    pub(crate) fn counters(&self) -> BTreeMap<&'static str, u64> {
        let mut all = self.sip.counters().values.clone();
        for (name, value) in &self.counters.values {
            *all.entry(name).or_default() += value;
        }
        all
    }

    /// An order to signalling; carried out before the input is done.
    pub(crate) fn sip(&mut self, command: signalling::Command) {
        self.sip_inputs.push_back(signalling::Input::Command(command));
    }

    pub(crate) fn new_leg(&mut self) -> LegId {
        let leg = self.sip.new_leg();
        self.nameless.push(leg);
        leg
    }

    /// What it takes to end a leg's dialog.
    pub(crate) fn dialog(&self, leg: LegId) -> Option<DialogCopy> {
        self.sip.dialog(leg)
    }

    /// A leg id for a leg that has no record of a call.
    pub(crate) fn sip_leg(&mut self) -> LegId {
        self.sip.new_leg()
    }

    pub(crate) fn offered_leg(&mut self, leg: LegId) {
        self.nameless.push(leg);
    }

    /// Refuses a leg that was offered, and says so.
    pub(crate) fn refuse(&mut self, leg: LegId, status: u16, why: &'static str) {
        self.refuse_for(leg, status, why, (status == 503).then_some(DRAIN_RETRY_AFTER));
    }

    /// The same, for so many seconds.
    pub(crate) fn refuse_for(&mut self, leg: LegId, status: u16, why: &'static str, retry_after: Option<u32>) {
        self.nameless.retain(|nameless| *nameless != leg);
        self.sip(signalling::Command::Refuse { leg, status, retry_after });
        self.counters.count(why);
    }

    pub(crate) fn call_event(&mut self, name: EventName, call: CallKey) {
        self.out.calls.insert(call);
        if let Some(call) = self.calls.get(&call) {
            self.out.events.push(Event { name, at: self.now.wall, body: EventBody::Call(call.view()) });
        }
    }

    pub(crate) fn after(&self, wait: Duration) -> Instant {
        self.now.mono + wait
    }

    /// Lets signalling follow and judges every touched agent, until nothing moves.
    pub(crate) fn settle(&mut self) {
        loop {
            if self.peers_changed {
                self.tell_peers();
            }
            while let Some(input) = self.sip_inputs.pop_front() {
                self.lend();
                let mut outputs = std::mem::take(&mut self.sip_outputs);
                self.sip.drive(self.now.mono, input, &mut outputs);
                for output in outputs.drain(..) {
                    match output {
                        signalling::Output::Transmit { flow, data } => {
                            self.out.direct.push(Output::Transmit { flow, data })
                        }
                        signalling::Output::Connect { flow } => self.out.direct.push(Output::Connect { flow }),
                        signalling::Output::Close { flow } => self.out.direct.push(Output::Close { flow }),
                        signalling::Output::Event(event) => self.signalled(event),
                    }
                }
                self.sip_outputs = outputs;
                self.name_legs();
            }
            self.forget_pages();
            let Some(agent) = self.dirty_desks.pop_first() else { break };
            self.judge_desk(&agent);
        }
        self.judge_levels();
        self.arm_until();
        if matches!(self.closing, Closing::Draining | Closing::Stopping)
            && self.calls.is_empty()
            && self.ears.is_empty()
            && self.closed_ears.is_empty()
            && self.log.is_empty()
        {
            if self.closing == Closing::Draining {
                self.stopped();
            }
            self.closing = Closing::Drained;
            self.out.drained = true;
        }
    }

    /// Records the Call-ID of legs as soon as signalling has one.
    fn name_legs(&mut self) {
        if self.nameless.is_empty() {
            return;
        }
        let nameless = std::mem::take(&mut self.nameless);
        for leg in nameless {
            let Some(known) = self.legs.get(&leg) else { continue };
            let Some(name) = self.sip.sip_call_id(leg).map(str::to_owned) else {
                self.nameless.push(leg);
                continue;
            };
            let (call, stream) = (known.call, known.stream);
            self.log_calling(leg);
            if let Some(record) = self.calls.get_mut(&call).and_then(|call| call.record_mut(stream)) {
                record.sip_call_id = name;
                self.out.calls.insert(call);
            }
        }
    }

    /// Turns marks into views and hands everything out.
    pub(crate) fn flush(&mut self, outputs: &mut Vec<Output>) {
        self.log_flush();
        for agent in std::mem::take(&mut self.out.agents) {
            let view = self.agent_view(&agent).map_or(View::AgentRemoved(agent), View::Agent);
            self.out.views.push(view);
        }
        for user in std::mem::take(&mut self.out.users) {
            let view = self.directory.user_view(&user).map_or(View::UserRemoved(user), View::User);
            self.out.views.push(view);
        }
        for call in std::mem::take(&mut self.out.calls) {
            // gone ones were shown when they ended
            let Some(call) = self.calls.get(&call) else { continue };
            self.out.views.push(View::Call(call.view()));
        }
        for request in std::mem::take(&mut self.out.requests) {
            let Some(request) = self.requests.get(&request).filter(|request| request.stored) else { continue };
            self.out.views.push(View::Request(request.view()));
        }
        for listening in std::mem::take(&mut self.out.listenings) {
            let Some(listening) = self.listenings.get(&listening) else { continue };
            self.out.views.push(View::Listening(listening.view.clone()));
        }
        self.out.hand_out(outputs);
    }

    fn signalled(&mut self, event: signalling::Event) {
        use signalling::Event as E;
        match event {
            E::Offered { leg, origin, target, from_user, from_display, replaces, invite } => {
                let offer = self.read_offer(leg, origin, &target, from_user, from_display, replaces, &invite);
                self.offered(offer);
            }
            E::Ringing { leg, early_media: _, status: _ } => self.ringing(leg),
            E::MediaPlanned { leg, session, plan } => self.media_planned(leg, session, plan),
            E::MediaTaken { leg, media } => self.media_taken(leg, media),
            E::StreamsPaired { pairs } => self.streams_paired(&pairs),
            E::Answered { leg } => self.leg_answered(leg),
            E::Ended { leg, end } => self.leg_ended(leg, end),
            // a Replaces that names no dialog of ours goes to the target, which knows it
            E::Referred { transfer, leg, target, replaces, replaces_unknown: _ } => {
                let (decoded, raw) = (target.user_decoded(), target.user().to_owned());
                self.referred(transfer, leg, &decoded, &raw, replaces);
            }
            E::TransferAnswered { transfer: _ } => {}
            E::Info { leg, content_type, body } => self.informed(leg, &content_type, &body),
            E::TransferJoined { transfer, kept, target, released } => {
                self.transfer_joined(transfer, kept, target, &released)
            }
            E::TransferFailed { transfer, status } => self.transfer_failed(transfer, status),
            E::Replaced { old, new, peer } => self.replaced(old, new, peer),
            E::Probed { leg, alive } => self.probed(leg, alive),
            E::Registered { peer, bindings, receipt } => self.registered(peer, &bindings, receipt),
            E::Record { leg, dialog } => self.record_listener(leg, dialog),
            E::Moved { leg } => self.log_moved(leg),
            E::Gone { leg } => self.log_gone(leg),
            E::OrphanEnded { orphan } => self.orphan_ended(orphan),
            E::Denied { source, method, why } => {
                self.counters.count("sip_denied");
                self.audit_stranger(source.ip(), &method, why);
                self.out.log("warn", format!("refused {method} from {source}: {why}"), Vec::new());
            }
        }
    }

    fn media(&mut self, event: media::Event) {
        use media::Event as E;
        match event {
            E::Load { shard, lag } => self.load(shard, lag),
            E::PortReady { port, addr, addr6 } => self.shards.add_ready(port, MediaAddress::new(addr, addr6)),
            E::Done { batch, ok } => match monitoring::ear_of(batch) {
                Some(ear) if !ok => self.ear_refused(ear),
                Some(_) => {}
                None => self.sip_inputs.push_back(signalling::Input::MediaDone { plan: PlanId(batch.0), ok }),
            },
            E::FirstPacket { stream: _ } => {}
            E::Dead { stream } => self.rtp_timeout(stream),
            E::OneWay { stream } => self.one_way(stream),
            E::Live { listener } => self.ear_live(self.ear_of_listener(listener)),
            E::Heard { listener, heard_ms } => self.ear_heard(self.ear_of_listener(listener), heard_ms),
            E::ListenerSilent { listener } => self.ear_silent(self.ear_of_listener(listener)),
            E::ListenerClosed { listener, heard_ms, dropped, quality } => {
                *self.counters.values.entry("listener_packets_dropped").or_default() += dropped;
                let quality = self.listener_figures(&quality);
                self.ear_closed(self.ear_of_listener(listener), heard_ms, quality);
            }
            E::ListenerProgress { listeners } => {
                for (listener, quality) in listeners {
                    self.listener_progress(listener, &quality);
                }
            }
            E::Key { listener, key } => self.ear_key(listener.0, key),
            E::PartyKey { stream, key } => self.party_key(stream, key),
            E::Levels { levels } => self.levels(levels),
            E::BrowserAnswer { listener, answer } => self.browser_answered(listener, answer),
            E::BrowserGone { listener, closed } => self.browser_gone(listener, closed),
            E::Closed { stream, figures } => self.stream_closed(stream, figures),
            E::Progress { streams } => {
                for (stream, figures) in streams {
                    self.figures(stream, figures);
                }
            }
        }
    }

    fn timer(&mut self, timer: Timer) {
        match timer {
            Timer::Ring(ear) => self.rang_out(ear),
            Timer::Confirm(ear) => self.unconfirmed(ear),
            Timer::Player(listener) => self.browser_overdue(listener),
            Timer::Return(ear) => self.page_not_back(ear),
            Timer::BusyRetry(listening) => self.ring(&listening),
            Timer::Linger(interaction) => self.lingered(interaction),
            Timer::Shield(interaction) => self.shield_timeout(interaction),
            Timer::Until => self.judge_until(),
            Timer::Record(call) => self.record_call(call),
            Timer::Figures(ear) => self.figures_lost(ear),
            Timer::Unsaved => self.save_again(),
            Timer::Unfold => self.unfold(),
            Timer::Orphans => self.end_orphans(),
            Timer::WriteBehind => self.log_now(),
        }
    }

    fn drain(&mut self) {
        if self.closing == Closing::Open {
            self.closing = Closing::Draining;
            let entry = self.entry(ENGINE, Action::EngineDraining).with("calls", self.calls.len());
            self.audit(entry);
            self.out.log("info", format!("draining: {} calls go on, no new ones", self.calls.len()), Vec::new());
        }
    }

    fn stop(&mut self) {
        if self.closing == Closing::Drained {
            return;
        }
        let again = std::mem::replace(&mut self.closing, Closing::Stopping) == Closing::Stopping;
        for listening in self.listenings.keys().cloned().collect::<Vec<_>>() {
            self.end_listening(&listening, crate::view::EndReason::EngineStopped);
        }
        for call in self.calls.keys().copied().collect::<Vec<_>>() {
            self.force_end(call, "engine-stopped", "Engine stopped", 503);
        }
        if !again {
            self.stopped();
        }
    }

    /// The last words of the trail.
    fn stopped(&mut self) {
        self.unfold();
        let entry = self.entry(ENGINE, Action::EngineStopped);
        self.audit(entry);
    }

    /// Ends a call on the engine's own account.
    pub(crate) fn force_end(&mut self, key: CallKey, cause: &'static str, text: &str, status: u16) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        if call.state == CallState::Ended {
            return;
        }
        call.forced = Some(cause);
        for leg in call.legs.clone() {
            self.sip(signalling::Command::End {
                leg,
                reason: signalling::Reason { cause: status, text: text.to_owned() },
            });
        }
    }
}
