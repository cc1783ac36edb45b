//! The phone itself: what comes in is given to the part that knows it, and time to all of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use signalling::message::{Limits, Message, Method};

use crate::call::{Call, OnMedia};
use crate::client::ClientTransaction;
use crate::interface::{CallId, Event, Habits, Input, Kind, Logged, OnCall, Output, Policy, Settings, State};
use crate::rtp::Packet;
use crate::server::{Seen, Unacknowledged};
use crate::session::Session;
use crate::sound::Mouth;
use crate::srtp::{Vault, is_rtcp};

/// Calls that are kept for looking at, the ended ones included.
const MAX_CALLS: usize = 1_000;
/// Messages that are kept for looking at.
const MAX_LOG: usize = 20_000;

/// A SIP phone. See [`crate`].
#[derive(Debug)]
pub struct Phone {
    pub(crate) settings: Settings,
    pub(crate) rng: StdRng,
    pub(crate) calls: BTreeMap<CallId, Call>,
    pub(crate) next_call: u32,
    pub(crate) clients: Vec<ClientTransaction>,
    pub(crate) seen: BTreeMap<(String, String), Seen>,
    pub(crate) unacknowledged: Vec<Unacknowledged>,
    pub(crate) registration: Registration,
    pub(crate) log: Vec<Logged>,
}

/// What the phone knows of its registration.
#[derive(Debug, Default)]
pub(crate) struct Registration {
    pub(crate) sip_call_id: String,
    pub(crate) tag: String,
    pub(crate) cseq: u32,
    pub(crate) expires: u32,
    pub(crate) refresh_at: Option<Instant>,
    pub(crate) status: Option<u16>,
}

impl Phone {
    /// A phone without calls. `seed` feeds tags, branches and SSRCs.
    #[must_use]
    pub fn new(settings: Settings, seed: [u8; 32]) -> Self {
        Self {
            settings,
            rng: StdRng::from_seed(seed),
            calls: BTreeMap::new(),
            next_call: 1,
            clients: Vec::new(),
            seen: BTreeMap::new(),
            unacknowledged: Vec::new(),
            registration: Registration::default(),
            log: Vec::new(),
        }
    }

    /// Takes one input and appends what follows from it.
    pub fn drive(&mut self, now: Instant, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Sip { from, data } => self.on_sip(now, from, data, out),
            Input::Media { call, kind, from, data } => self.on_media(now, call, kind, from, &data),
            Input::MediaOpened { call, rtp } => self.on_media_opened(now, call, rtp, out),
            Input::Timeout => {}
        }
        self.on_time(now, out);
    }

    /// When to call with [`Input::Timeout`]; `None`: nothing is due.
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        let calls = self.calls.values().filter(|c| c.state != State::Ended);
        calls
            .flat_map(|c| [c.answer_at, c.bye_at, c.retry_change_at, c.mouth.next_at, c.mouth.report_at])
            .chain(self.clients.iter().flat_map(|t| [t.next_at, t.deadline]))
            .chain(self.unacknowledged.iter().map(|u| Some(u.next_at)))
            .chain([self.registration.refresh_at])
            .flatten()
            .min()
    }

    /// Who it is.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What it does by itself, to be changed.
    pub fn habits_mut(&mut self) -> &mut Habits {
        &mut self.settings.habits
    }

    /// A call by its id.
    #[must_use]
    pub fn call(&self, call: CallId) -> Option<&Call> {
        self.calls.get(&call)
    }

    /// Every call that it knows, oldest first.
    pub fn calls(&self) -> impl DoubleEndedIterator<Item = &Call> {
        self.calls.values()
    }

    /// The registrar's last final word.
    #[must_use]
    pub fn registered(&self) -> Option<u16> {
        self.registration.status
    }

    /// Every message that went or came, up to a limit.
    #[must_use]
    pub fn log(&self) -> &[Logged] {
        &self.log
    }

    /// Transactions and messages that still wait for something; 0 when all is quiet.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.clients.iter().filter(|t| !t.done).count() + self.unacknowledged.len()
    }

    /// What still waits, in words: the first lines of requests without a final answer and of answers without an ACK.
    #[must_use]
    pub fn pending_lines(&self) -> Vec<String> {
        let first = |bytes: &Bytes| {
            let text = String::from_utf8_lossy(bytes);
            let call_id = text.lines().find(|l| l.starts_with("Call-ID")).unwrap_or_default().to_owned();
            format!("{} {call_id}", text.lines().next().unwrap_or_default())
        };
        let requests = self.clients.iter().filter(|t| !t.done).map(|t| first(&t.bytes));
        requests.chain(self.unacknowledged.iter().map(|u| first(&u.bytes))).collect()
    }

    fn on_sip(&mut self, now: Instant, from: SocketAddr, data: Bytes, out: &mut Vec<Output>) {
        let Ok(message) = Message::parse(data, &Limits::default()) else {
            return;
        };
        self.note(now, false, &message);
        if !self.settings.habits.alive {
            return;
        }
        if message.is_request() {
            self.on_request(now, from, &message, out);
        } else {
            self.on_response(now, &message, out);
        }
    }

    fn on_media(&mut self, now: Instant, id: CallId, kind: Kind, from: SocketAddr, data: &Bytes) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let kind = if call.session.mux() && is_rtcp(data) { Kind::Rtcp } else { kind };
        let Some(data) = call.session.vault.open(now, kind, data) else {
            return;
        };
        if kind == Kind::Rtcp {
            call.ears.rtcp.push(data);
            return;
        }
        let Some(packet) = Packet::parse(&data) else {
            return;
        };
        call.ears.hear(now, from, &packet, Some(101));
        if self.settings.habits.conference
            && let Some(codec) = crate::g711::Codec::of(packet.payload_type)
        {
            for other in self.calls.values_mut().filter(|c| c.id != id && c.state == State::Up) {
                other.mouth.overhear(id, packet.payload.iter().map(|b| codec.decode(*b)));
            }
        }
    }

    fn on_media_opened(&mut self, now: Instant, id: CallId, rtp: SocketAddr, out: &mut Vec<Output>) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.session.local = Some(rtp);
        match call.on_media.take() {
            Some(OnMedia::Invite) => self.send_invite(now, id, out),
            Some(OnMedia::Ring) => self.ring(now, id, out),
            Some(OnMedia::Answer) => self.answer(now, id, out),
            Some(OnMedia::Reinvite) => {
                self.send_change(now, id, crate::requests::Change::Reinvite { offer: true }, out);
            }
            None => {}
        }
    }

    /// Everything that is due.
    fn on_time(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.client_timers(now, out);
        self.server_timers(now, out);
        if self.registration.refresh_at.is_some_and(|at| at <= now) {
            let expires = self.registration.expires;
            self.register(now, expires, out);
        }
        let ids: Vec<CallId> = self.calls.values().filter(|c| c.state != State::Ended).map(|c| c.id).collect();
        for id in ids {
            self.call_timers(now, id, out);
            self.speak(now, id, out);
        }
    }

    fn call_timers(&mut self, now: Instant, id: CallId, out: &mut Vec<Output>) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let due = |at: &mut Option<Instant>| at.take_if(|at| *at <= now).is_some();
        let (answer, bye, retry) = (due(&mut call.answer_at), due(&mut call.bye_at), due(&mut call.retry_change_at));
        if answer {
            match self.settings.habits.on_call.clone() {
                OnCall::Reject { status } => self.reject(now, id, status, out),
                OnCall::Redirect { to } => self.redirect(now, id, &to, out),
                _ => self.answer(now, id, out),
            }
        }
        if bye {
            self.bye(now, id, out);
        }
        if retry {
            self.send_change(now, id, crate::requests::Change::Reinvite { offer: true }, out);
        }
    }

    fn speak(&mut self, now: Instant, id: CallId, out: &mut Vec<Output>) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let habits = &self.settings.habits;
        let open = call.state == State::Up || call.answered || (habits.early_media && call.state == State::Incoming);
        let target = call.session.remote_rtp.filter(|_| open && call.session.local.is_some());
        let (Some(to), true) = (target, habits.keep_sending || call.session.may_send()) else {
            call.mouth.rest();
            return;
        };
        let codec = call.session.codec.unwrap_or(crate::g711::Codec::Pcmu);
        if call.mouth.next_at.is_none_or(|at| at <= now) {
            for data in call.mouth.frames(now, codec) {
                if let Some(data) = call.session.vault.seal(now, Kind::Rtp, data) {
                    out.push(Output::Media { call: id, kind: Kind::Rtp, to, data: data.into() });
                }
            }
        }
        if habits.rtcp
            && let Some(data) = call.mouth.report(now, &self.settings.user)
        {
            let mux = call.session.mux();
            let (kind, port) = if mux { (Kind::Rtp, to.port()) } else { (Kind::Rtcp, to.port().saturating_add(1)) };
            if let Some(data) = call.session.vault.seal(now, Kind::Rtcp, data) {
                out.push(Output::Media { call: id, kind, to: SocketAddr::new(to.ip(), port), data: data.into() });
            }
        }
        if !habits.rtcp {
            // switched off meanwhile: what was due is not any more
            call.mouth.report_at = None;
        }
        if !habits.conference {
            call.mouth.forget_others();
        }
    }

    /// A new call, without dialog yet.
    pub(crate) fn new_call(&mut self, outgoing: bool, sip_call_id: String) -> CallId {
        let id = CallId(self.next_call);
        self.next_call += 1;
        if self.calls.len() >= MAX_CALLS
            && let Some(oldest) = self.calls.values().find(|c| c.state == State::Ended).map(|c| c.id)
        {
            self.calls.remove(&oldest);
        }
        let mouth = Mouth::new(self.settings.voice, self.rng.random(), self.rng.random(), self.rng.random());
        let local_tag = self.token();
        let wish = if outgoing { signalling::sdp::Direction::SendRecv } else { self.settings.habits.answer_direction };
        let session_id = u64::from(self.rng.random::<u32>());
        // A phone without encryption draws as it would without this.
        let seed = if self.settings.srtp.policy == Policy::Off { [0; 32] } else { self.rng.random() };
        let vault = Vault::new(self.settings.srtp.clone(), seed);
        let mut session = Session::new(self.settings.codecs.clone(), wish, session_id, vault);
        session.video = self.settings.habits.video;
        let call = Call {
            id,
            outgoing,
            state: if outgoing { State::Calling } else { State::Incoming },
            sip_call_id,
            local_tag,
            remote_tag: String::new(),
            local: format!("<sip:{}@{}>", self.settings.user, self.settings.domain),
            remote: String::new(),
            target: String::new(),
            routes: Vec::new(),
            cseq: u32::from(self.rng.random::<u16>()) + 1,
            remote_cseq: 0,
            dial: None,
            invite: None,
            invite_source: None,
            inviting: None,
            cancelling: false,
            changing: None,
            answered: false,
            on_media: None,
            answer_at: None,
            bye_at: None,
            retry_change_at: None,
            acks: Vec::new(),
            session,
            mouth,
            ears: crate::ears::Ears::default(),
            ringing: Vec::new(),
            status: None,
            answers: Vec::new(),
            sipfrags: Vec::new(),
            received: Vec::new(),
            bye: None,
            ended_at: None,
            up_at: None,
        };
        self.calls.insert(id, call);
        id
    }

    pub(crate) fn change(&mut self, now: Instant, id: CallId, state: State, out: &mut Vec<Output>) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if call.state == state || call.state == State::Ended {
            return;
        }
        call.state = state;
        match state {
            State::Up => call.up_at = Some(now),
            State::Ended => {
                call.ended_at = Some(now);
                call.mouth.rest();
                out.push(Output::CloseMedia { call: id });
                // The dialog is gone, and with it whoever would answer a re-INVITE (the first INVITE has a CANCEL for that).
                let (never_up, deadline) = (call.up_at.is_none(), now + self.settings.t1 * 64);
                if never_up {
                    // ended by a BYE in the early dialog: whoever would answer the INVITE may be gone too
                    let open = self.clients.iter_mut().filter(|t| t.request.call == Some(id) && !t.done);
                    open.for_each(|t| t.deadline = t.deadline.or(Some(deadline)));
                } else {
                    self.clients.retain(|t| t.request.call != Some(id) || t.done || t.request.method != Method::Invite);
                }
            }
            _ => {}
        }
        out.push(Output::Event(Event::Changed { call: id, state }));
    }

    pub(crate) fn transmit(&mut self, now: Instant, to: SocketAddr, message: &Message, out: &mut Vec<Output>) {
        self.note(now, true, message);
        out.push(Output::Sip { to, data: message.bytes().clone() });
    }

    pub(crate) fn token(&mut self) -> String {
        format!("{:012x}", self.rng.random::<u64>() & 0xffff_ffff_ffff)
    }

    pub(crate) fn branch(&mut self) -> String {
        format!("z9hG4bK{:016x}", self.rng.random::<u64>())
    }

    /// Contact of this phone.
    pub(crate) fn contact(&self) -> String {
        format!("<sip:{}@{}>", self.settings.user, self.settings.local)
    }

    pub(crate) fn t1(&self) -> Duration {
        self.settings.t1
    }

    fn note(&mut self, at: Instant, sent: bool, message: &Message) {
        if self.log.len() < MAX_LOG {
            self.log.push(Logged { at, sent, message: message.clone() });
        }
    }
}
