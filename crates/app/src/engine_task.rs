//! The one task that owns the engine: everything that happens comes to it, and it does what the engine says.
//!
//! A turn takes what has come from every source, up to a share each, drives the engine with it, and then carries out all
//! outputs: first what the network waits for, then views, then answers, then events, so that whoever reads an answer or
//! an event finds the view as new.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{Api, CommandCall};
use engine::directory::Seed;
use engine::persist::Restored;
use engine::{Engine, Event, Input, Now, Output, PersistId, Problem, Reply, ReplyId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Sleep;

use crate::clock::Clock;
use crate::figures::{self, Sources};
use crate::media_plane::{FromThread, MediaPlane};
use crate::sip_sockets::SipSockets;
use crate::sip_streams::{Heard, SipStreams};

/// API commands, media events and store answers that one turn takes of each.
const PER_SOURCE: usize = 256;
/// Failed sends and refused changes that are told to the engine within one turn; the rest waits for the next.
const ROUNDS: usize = 8;
/// While channels are never empty, so often the runtime looks at its sockets and timers all the same.
const TURNS_IN_A_ROW: u64 = 4;
/// After a stop, how long the last messages may take.
const STOP_GRACE: Duration = Duration::from_millis(1500);
/// And how long what connections have not sent yet.
const LAST_BYTES: Duration = Duration::from_millis(500);
/// Status and figures go out so often.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);
/// While it is not ready, the status is looked at so often.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Far enough to be never.
const IDLE: Duration = Duration::from_secs(3600);

/// What the shell orders.
#[derive(Debug)]
pub(crate) enum Control {
    /// No new calls; stop when the last is over, or after this.
    Drain(Duration),
    /// End everything.
    Stop,
    /// The configuration was read again.
    Reload(Seed, Box<engine::Settings>),
}

/// What became of changes: their tokens, and why they are not on disk if they are not.
pub(crate) type Stored = (Vec<u64>, Result<(), String>);

/// Everything that comes to the task.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) commands: mpsc::Receiver<CommandCall>,
    pub(crate) media: mpsc::Receiver<FromThread>,
    pub(crate) stored: mpsc::Receiver<Stored>,
    pub(crate) control: mpsc::Receiver<Control>,
}

/// Where the task does what the engine says.
#[derive(Debug)]
pub(crate) struct Outside {
    pub(crate) clock: Clock,
    pub(crate) sip: SipSockets,
    pub(crate) streams: SipStreams,
    pub(crate) media: MediaPlane,
    pub(crate) writer: store::Writer,
    /// To ask whether it can be written when nothing else asks.
    pub(crate) store: Arc<dyn store::Store>,
    pub(crate) stored: mpsc::Sender<Stored>,
    pub(crate) api: Api,
    /// Fixed parts of the status; the rest is filled in.
    pub(crate) status: api::Status,
    /// Becomes true once everything stands.
    pub(crate) ready: watch::Sender<bool>,
}

/// What an engine begins with.
#[derive(Debug)]
pub(crate) struct Beginning {
    pub(crate) settings: engine::Settings,
    pub(crate) directory: Seed,
    pub(crate) restored: Restored,
    pub(crate) seed: [u8; 32],
}

/// Runs until everything is over.
pub(crate) async fn run(beginning: Beginning, mut inbox: Inbox, outside: Outside) {
    let clock = outside.clock.clone();
    let now = read_clocks(&clock);
    let mut outputs = Vec::new();
    let Beginning { settings, mut directory, restored, seed } = beginning;
    directory.routes = outside.sip.routes(&directory, outside.streams.bound());
    let engine = Engine::new(now, settings, directory, restored, seed, &mut outputs);
    let mut task = Task {
        engine,
        clock,
        outside,
        outputs,
        answers: HashMap::new(),
        next_reply: 0,
        pending: VecDeque::new(),
        media_waits: false,
        store_fault: None,
        try_store_at: now.mono,
        publish_at: now.mono,
        draining: false,
        stop_at: None,
        give_up_at: None,
        done: false,
        unanswered: 0,
    };
    task.carry_out(now);
    let mut alarm = Box::pin(tokio::time::sleep(IDLE));
    for turn in 1_u64.. {
        if task.done {
            break;
        }
        task.wait(&mut inbox, &mut alarm).await;
        task.turn(&mut inbox);
        if turn.is_multiple_of(TURNS_IN_A_ROW) {
            tokio::task::yield_now().await;
        }
    }
    task.outside.streams.flush(LAST_BYTES).await;
    task.publish(task.clock.now());
    // What still asks gets its 503 now; what still writes is written.
    drop(task.answers);
    drop(inbox);
    task.outside.writer.close();
}

fn read_clocks(clock: &Clock) -> Now {
    Now { mono: clock.now(), wall: jiff::Timestamp::now() }
}

struct Task {
    engine: Engine,
    /// Every instant here is one of this clock.
    clock: Clock,
    outside: Outside,
    outputs: Vec<Output>,
    answers: HashMap<ReplyId, oneshot::Sender<Result<Reply, Problem>>>,
    next_reply: u64,
    /// What carrying out led to, for the next round.
    pending: VecDeque<Input>,
    media_waits: bool,
    /// Why the last change was not written.
    store_fault: Option<String>,
    try_store_at: Instant,
    publish_at: Instant,
    draining: bool,
    stop_at: Option<Instant>,
    give_up_at: Option<Instant>,
    done: bool,
    /// Replies of the engine that nobody waited for.
    unanswered: u64,
}

impl Task {
    /// Until something has come or is due. What arrives on a channel is handled by the turn that follows.
    async fn wait(&mut self, inbox: &mut Inbox, alarm: &mut Pin<Box<Sleep>>) {
        if !self.pending.is_empty() {
            return;
        }
        let due_here = self.due();
        let due = tokio::time::Instant::from_std(self.clock.system(due_here));
        if alarm.deadline() != due {
            alarm.as_mut().reset(due);
        }
        let first = tokio::select! {
            () = self.outside.sip.readable() => None,
            () = self.outside.streams.readable() => None,
            Some(event) = inbox.media.recv() => Some(Arrived::Media(event)),
            Some(stored) = inbox.stored.recv() => Some(Arrived::Stored(stored)),
            Some(call) = inbox.commands.recv() => Some(Arrived::Command(call)),
            Some(control) = inbox.control.recv() => Some(Arrived::Control(control)),
            () = alarm.as_mut() => None,
        };
        // What waits was sent in time: it is heard before anything is over.
        self.clock.ran(due_here);
        if let Some(first) = first {
            self.arrived(read_clocks(&self.clock), first);
        }
    }

    fn due(&self) -> Instant {
        let retry = self.media_waits.then(|| self.clock.now() + Duration::from_millis(1));
        let due = [self.engine.wake_at(), self.stop_at, self.give_up_at, retry, Some(self.publish_at)];
        due.into_iter().flatten().min().unwrap_or(self.publish_at)
    }

    /// Takes what has come, then carries out what follows.
    fn turn(&mut self, inbox: &mut Inbox) {
        let now = read_clocks(&self.clock);
        while let Some(input) = self.pending.pop_front() {
            self.engine.drive(now, input, &mut self.outputs);
        }
        let (engine, outputs) = (&mut self.engine, &mut self.outputs);
        self.outside.sip.receive(now.mono, |flow, data| engine.drive(now, Input::Sip { flow, data }, outputs));
        self.outside.streams.receive(|heard| engine.drive(now, heard_input(heard), outputs));
        for _ in 0..PER_SOURCE {
            let Ok(event) = inbox.media.try_recv() else { break };
            self.arrived(now, Arrived::Media(event));
        }
        for _ in 0..PER_SOURCE {
            let Ok(stored) = inbox.stored.try_recv() else { break };
            self.arrived(now, Arrived::Stored(stored));
        }
        for _ in 0..PER_SOURCE {
            let Ok(call) = inbox.commands.try_recv() else { break };
            self.arrived(now, Arrived::Command(call));
        }
        while let Ok(control) = inbox.control.try_recv() {
            self.arrived(now, Arrived::Control(control));
        }
        self.hear_media(now);
        if self.engine.wake_at().is_some_and(|at| at <= now.mono) {
            self.drive(now, Input::Timeout);
        }
        if self.stop_at.is_some_and(|at| at <= now.mono) {
            tracing::warn!("the drain has taken too long: ending what is left");
            self.stop(now);
        }
        self.carry_out(now);
        self.outside.streams.forget_ended();
        if self.give_up_at.is_some_and(|at| at <= now.mono) {
            self.done = true;
        }
        if self.publish_at <= now.mono {
            self.publish(now.mono);
        }
    }

    fn arrived(&mut self, now: Now, arrived: Arrived) {
        match arrived {
            Arrived::Media(told) => self.outside.media.told(told),
            Arrived::Stored((tokens, result)) => {
                for token in tokens {
                    self.drive(now, Input::Persisted { persist: PersistId(token), result: result.clone() });
                }
                self.store_says(result.err());
            }
            Arrived::Command(CommandCall { actor, command, answer }) => {
                self.next_reply += 1;
                let reply = ReplyId(self.next_reply);
                self.answers.insert(reply, answer);
                self.drive(now, Input::Command { reply, actor, command });
            }
            Arrived::Control(control) => self.obey(now, control),
        }
    }

    /// What the media threads told, put in order.
    fn hear_media(&mut self, now: Now) {
        while let Some(event) = self.outside.media.event() {
            self.drive(now, Input::Media(event));
        }
    }

    fn obey(&mut self, now: Now, control: Control) {
        match control {
            Control::Drain(timeout) => {
                self.draining = true;
                self.stop_at = Some(now.mono + timeout);
                self.drive(now, Input::Drain);
                self.publish_at = now.mono;
            }
            Control::Stop => self.stop(now),
            Control::Reload(mut seed, settings) => {
                seed.routes = self.outside.sip.routes(&seed, self.outside.streams.bound());
                self.drive(now, Input::Settings(settings));
                self.drive(now, Input::Reload(seed));
            }
        }
    }

    fn stop(&mut self, now: Now) {
        self.draining = true;
        self.stop_at = None;
        self.give_up_at = Some(now.mono + STOP_GRACE);
        self.drive(now, Input::Stop);
    }

    fn drive(&mut self, now: Now, input: Input) {
        self.engine.drive(now, input, &mut self.outputs);
    }

    /// Does what the engine said, and tells it what failed, until nothing more follows.
    fn carry_out(&mut self, now: Now) {
        let mut last_words = LastWords::default();
        for round in 0.. {
            for output in std::mem::take(&mut self.outputs) {
                self.output(output, &mut last_words);
            }
            self.pending.extend(std::iter::from_fn(|| self.outside.media.event()).map(Input::Media));
            if self.pending.is_empty() || round == ROUNDS {
                break;
            }
            while let Some(input) = self.pending.pop_front() {
                self.drive(now, input);
            }
        }
        self.media_waits = self.outside.media.flush();
        for (reply, result) in last_words.replies {
            match self.answers.remove(&reply) {
                // Whoever asked may have gone.
                Some(answer) => drop(answer.send(result)),
                None => self.unanswered += 1,
            }
        }
        for event in last_words.events {
            self.outside.api.event(event);
        }
    }

    fn output(&mut self, output: Output, last_words: &mut LastWords) {
        match output {
            Output::Transmit { flow, data } if flow.transport.is_stream() => {
                if !self.outside.streams.send(flow, data) {
                    self.pending.push_back(Input::SipFlowClosed { flow });
                }
            }
            Output::Transmit { flow, data } => {
                if !self.outside.sip.send(flow, &data) {
                    self.pending.push_back(Input::SipSendFailed { flow });
                }
            }
            Output::Connect { flow } => {
                if !self.outside.streams.connect(flow) {
                    self.pending.push_back(Input::SipFlowClosed { flow });
                }
            }
            Output::Close { flow } => self.outside.streams.close(flow),
            Output::Media(command) => self.outside.media.send(command),
            Output::Persist { persist, changes } => {
                if let Err(full) = self.outside.writer.send(persist.0, changes) {
                    self.pending.push_back(Input::Persisted { persist, result: Err(full.to_string()) });
                    self.store_says(Some(full.to_string()));
                }
            }
            Output::View(view) => self.outside.api.view(view),
            Output::Reply { reply, result } => last_words.replies.push((reply, result)),
            Output::Event(event) => last_words.events.push(event),
            Output::Log { level, message, ids } => log(level, &message, &ids),
            Output::Levels { listening, agent, caller } => {
                let side = |level: media::Level| api::SideLevel {
                    db: -i16::from(level.below_full_db),
                    speaking: level.speaks,
                };
                let levels = api::LevelsView { agent: side(agent), caller: side(caller) };
                self.outside.api.levels(&listening, levels);
            }
            Output::Drained => self.done = true,
        }
    }

    /// Status and figures, once a second; and what the API noticed goes into the audit trail.
    fn publish(&mut self, now: Instant) {
        for note in self.outside.api.notes() {
            self.pending.push_back(Input::Note(note));
        }
        let sizes = self.engine.sizes();
        let mut status = self.outside.status.clone();
        status.draining = self.draining;
        if sizes.ports_ready == 0 {
            status.not_ready.push("no media port is ready".to_owned());
        }
        if sizes.shards_over_call_lag == sizes.shards {
            status.not_ready.push("the media plane is overloaded".to_owned());
        }
        if let Some(why) = &self.store_fault {
            status.not_ready.push(format!("the store cannot be written: {why}"));
        }
        if self.try_store_at <= now {
            self.try_store_at = now + PUBLISH_EVERY;
            self.try_store();
        }
        if self.draining {
            status.not_ready.push("draining".to_owned());
        }
        status.ready = status.not_ready.is_empty();
        self.publish_at = now + if status.ready || self.draining { PUBLISH_EVERY } else { LOOK_EVERY };
        self.outside.ready.send_if_modified(|ready| std::mem::replace(ready, status.ready) != status.ready);
        self.outside.api.status(status);
        let sources = Sources {
            sizes,
            engine: self.engine.counters(),
            media: self.outside.media.figures(),
            plane: self.outside.media.router_figures(),
            sip: self.outside.sip.counters,
            streams: self.outside.streams.figures(),
            store: self.outside.writer.figures(),
            store_unreadable: self.outside.store.unreadable(),
            unanswered: self.unanswered,
            stops: self.clock.stops(),
        };
        self.outside.api.figures(figures::figures(&sources));
    }
}

impl Task {
    /// Finds out whether the store is still whole and, while it fails, whether it can be written again: nobody else may be
    /// asking it to. On a thread that may wait for the disk.
    fn try_store(&self) {
        let (store, stored) = (Arc::clone(&self.outside.store), self.outside.stored.clone());
        let fails = self.store_fault.is_some();
        tokio::task::spawn_blocking(move || {
            if !fails {
                if let Err(error) = store.look() {
                    let _ = stored.try_send((Vec::new(), Err(error.reason())));
                }
                return;
            }
            // No room in the channel: answers are on their way that say the same.
            let _ = stored.try_send((Vec::new(), store.apply(&[]).map_err(|error| error.reason())));
        });
    }

    /// One line when it begins to fail, for another reason too, and one when it is over.
    fn store_says(&mut self, fault: Option<String>) {
        if fault != self.store_fault {
            match &fault {
                Some(why) => tracing::error!(%why, "the store cannot be written: orders get 503, calls go on"),
                None => tracing::info!("the store can be written again"),
            }
        }
        self.store_fault = fault;
    }
}

fn heard_input(heard: Heard) -> Input {
    match heard {
        Heard::Opened(flow) => Input::SipFlowOpened { flow },
        Heard::Bytes(flow, data) => Input::SipBytes { flow, data },
        Heard::Closed(flow) => Input::SipFlowClosed { flow },
    }
}

/// Something that came over a channel.
enum Arrived {
    Media(FromThread),
    Stored(Stored),
    Command(CommandCall),
    Control(Control),
}

/// What leaves after all views of a turn are in place.
#[derive(Default)]
struct LastWords {
    replies: Vec<(ReplyId, Result<Reply, Problem>)>,
    events: Vec<Event>,
}

/// One line, with the ids that people search for as fields of their own.
fn log(level: &str, message: &str, ids: &[(&'static str, String)]) {
    let id = |name: &str| ids.iter().find(|(key, _)| *key == name).map(|(_, id)| id.as_str());
    let known = ["call", "sip_call_id", "listening", "request", "agent"];
    let others = ids.iter().filter(|(key, _)| !known.contains(key)).map(|(key, id)| format!("{key}={id}"));
    let others: Vec<String> = others.collect();
    let others = (!others.is_empty()).then(|| others.join(" "));
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                call = id("call"),
                sip_call_id = id("sip_call_id"),
                listening = id("listening"),
                request = id("request"),
                agent = id("agent"),
                ids = others,
                "{message}"
            )
        };
    }
    match level {
        "error" => line!(error),
        "warn" => line!(warn),
        "debug" => line!(debug),
        _ => line!(info),
    }
}
