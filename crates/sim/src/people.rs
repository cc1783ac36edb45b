//! What people do and hear.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use engine::view::RequestView;
use phone::{Answered, Call, Codec, Dial, Event, Habits, Input, Kind, OnCall, Output, Phone, State};
use signalling::sdp::Direction;

use crate::cast::{ACCESS_NUMBER, CALLER, DOMAIN};
use crate::world::{Slot, World};

/// One phone's end of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Leg {
    pub(crate) phone: usize,
    pub(crate) call: phone::CallId,
}

/// Everybody's tone: anna, bo, the trunk's side, cia, and the listeners, whom nobody may ever hear.
pub const ALL_TONES: [u16; 5] = [440, 620, 800, 1050, 1500];

/// What a story waits for at most, unless it says otherwise.
const PATIENCE: Duration = Duration::from_secs(5);
/// Before listening closely: what is under way arrives.
const SETTLE: Duration = Duration::from_millis(200);
/// How long one listens to be sure.
const LISTEN: Duration = Duration::from_millis(500);

impl World {
    /// One more phone in the world.
    pub fn add_phone(&mut self, settings: phone::Settings) {
        let name = settings.user.clone();
        self.add_phone_as(&name, settings);
    }

    /// One more phone, under another name than its SIP user (a person's second device).
    pub fn add_phone_as(&mut self, name: &str, settings: phone::Settings) {
        let index = self.phones.len();
        let mut seed = [0xa5; 32];
        seed[..8].copy_from_slice(&(index as u64).to_le_bytes());
        let owned = self.sip_owners.insert(settings.local, index);
        assert!(owned.is_none(), "two phones at {}", settings.local);
        let next_port = 30_000 + index as u16 * 1_000;
        self.phones.push(Slot {
            name: name.to_owned(),
            phone: Phone::new(settings, seed),
            next_port,
            told: Default::default(),
        });
    }

    #[track_caller]
    pub(crate) fn index(&self, name: &str) -> usize {
        self.phones.iter().position(|s| s.name == name).unwrap_or_else(|| panic!("no phone '{name}'"))
    }

    /// A phone, for looking at.
    #[track_caller]
    #[must_use]
    pub fn phone(&self, name: &str) -> &Phone {
        &self.phones[self.index(name)].phone
    }

    /// A call, for looking at.
    ///
    /// # Panics
    /// If the phone has forgotten it.
    #[track_caller]
    #[must_use]
    pub fn call(&self, leg: Leg) -> &Call {
        self.phones[leg.phone].phone.call(leg.call).expect("the phone knows the call")
    }

    /// Where a call is.
    #[track_caller]
    #[must_use]
    pub fn state(&self, leg: Leg) -> State {
        self.call(leg).state()
    }

    /// Changes what a phone does by itself.
    #[track_caller]
    pub fn habits(&mut self, name: &str, change: impl FnOnce(&mut Habits)) {
        let index = self.index(name);
        change(self.phones[index].phone.habits_mut());
        self.drive_phone(index, Input::Timeout);
    }

    /// What a phone does with calls that come in from now on.
    #[track_caller]
    pub fn on_call(&mut self, name: &str, what: OnCall) {
        self.habits(name, |h| h.on_call = what);
    }

    /// Anything that a person can do with a phone.
    pub fn act<T>(
        &mut self,
        leg: Leg,
        what: impl FnOnce(&mut Phone, std::time::Instant, phone::CallId, &mut Vec<Output>) -> T,
    ) -> T {
        let mut out = Vec::new();
        let now = self.now;
        let result = what(&mut self.phones[leg.phone].phone, now, leg.call, &mut out);
        self.take_phone_outputs(leg.phone, out);
        self.drive_phone(leg.phone, Input::Timeout);
        result
    }

    /// Registers and waits for the answer, which must be 200.
    #[track_caller]
    pub fn register(&mut self, name: &str) {
        let status = self.try_register(name, 3600);
        assert_eq!(status, 200, "{name} could not register");
    }

    /// Registers for so long (0: signs off) and waits for the final answer's status.
    #[track_caller]
    pub fn try_register(&mut self, name: &str, expires: u32) -> u16 {
        let index = self.index(name);
        let mut out = Vec::new();
        let now = self.now;
        self.phones[index].phone.register(now, expires, &mut out);
        self.take_phone_outputs(index, out);
        self.until("the registrar's answer", Duration::from_secs(33), |w| w.phones[index].phone.pending() == 0);
        self.phones[index].phone.registered().unwrap_or(0)
    }

    // Calls --------------------------------------------------------------------------------------------------

    /// Somebody dials.
    #[track_caller]
    pub fn dial(&mut self, name: &str, dial: Dial) -> Leg {
        let phone = self.index(name);
        let mut out = Vec::new();
        let now = self.now;
        let private = dial.headers.iter().any(|(name, value)| name == "X-Do-Not-Monitor" && value == "1");
        let call = self.phones[phone].phone.dial(now, dial, &mut out);
        if private && let Some(call) = self.phones[phone].phone.call(call) {
            self.private.insert(call.sip_call_id().to_owned());
        }
        self.take_phone_outputs(phone, out);
        Leg { phone, call }
    }

    /// What the platform dials for a caller: number, queue and access number are in the INVITE.
    #[must_use]
    pub fn inbound(number: &str) -> Dial {
        Dial::to(&format!("sip:{number}@{DOMAIN}"))
            .from(CALLER)
            .header("X-Queue", "Support")
            .header("X-Access-Number", "+4721000001")
    }

    /// A colleague dials a number.
    #[track_caller]
    pub fn dial_number(&mut self, name: &str, number: &str) -> Leg {
        self.dial(name, Dial::to(&format!("sip:{number}@{DOMAIN}")))
    }

    /// The caller reaches Anna; both ends are up.
    #[track_caller]
    pub fn call_agent(&mut self) -> (Leg, Leg) {
        self.call_number("1001", "anna")
    }

    /// The caller reaches an agent by number; both ends are up.
    #[track_caller]
    pub fn call_number(&mut self, number: &str, phone: &str) -> (Leg, Leg) {
        self.connect("trunk", Self::inbound(number), phone)
    }

    /// Somebody dials, somebody answers; both ends are up.
    #[track_caller]
    pub fn connect(&mut self, from: &str, dial: Dial, to: &str) -> (Leg, Leg) {
        let out = self.dial(from, dial);
        let inn = self.next_call(to);
        self.until_up(out);
        self.until_up(inn);
        (out, inn)
    }

    /// The next call that comes in on a phone.
    #[track_caller]
    pub fn next_call(&mut self, name: &str) -> Leg {
        self.next_call_within(name, PATIENCE)
    }

    /// The next call that comes in on a phone, within a time.
    #[track_caller]
    pub fn next_call_within(&mut self, name: &str, time: Duration) -> Leg {
        let phone = self.index(name);
        let found = self.reaches(time, |w| w.untold(phone).is_some());
        assert!(found, "{name}: no call came in within {time:?}");
        let call = self.untold(phone).expect("it was just there");
        self.phones[phone].told.insert(call);
        Leg { phone, call }
    }

    /// The next call that comes in on a phone, answered.
    #[track_caller]
    pub fn answered(&mut self, name: &str) -> Leg {
        let leg = self.next_call(name);
        self.until_up(leg);
        leg
    }

    /// Nobody calls a phone for so long.
    #[track_caller]
    pub fn no_call(&mut self, name: &str, time: Duration) {
        let phone = self.index(name);
        let came = self.reaches(time, |w| w.untold(phone).is_some());
        assert!(!came, "{name}: an unexpected call came in");
    }

    fn untold(&self, phone: usize) -> Option<phone::CallId> {
        let slot = &self.phones[phone];
        slot.phone.calls().find(|c| !c.outgoing() && !slot.told.contains(&c.id())).map(Call::id)
    }

    /// A phone's calls that are not over, oldest first.
    #[track_caller]
    #[must_use]
    pub fn legs(&self, name: &str) -> Vec<Leg> {
        let phone = self.index(name);
        let open = self.phones[phone].phone.calls().filter(|c| c.state() != State::Ended);
        open.map(|c| Leg { phone, call: c.id() }).collect()
    }

    /// The other calls of the same phone that are not over.
    #[must_use]
    pub fn legs_beside(&self, leg: Leg) -> Vec<Leg> {
        let open = self.phones[leg.phone].phone.calls().filter(|c| c.state() != State::Ended && c.id() != leg.call);
        open.map(|c| Leg { phone: leg.phone, call: c.id() }).collect()
    }

    /// A call is up.
    #[track_caller]
    pub fn until_up(&mut self, leg: Leg) {
        self.until_state(leg, State::Up, PATIENCE);
    }

    /// A call is over.
    #[track_caller]
    pub fn until_ended(&mut self, leg: Leg) {
        self.until_state(leg, State::Ended, PATIENCE);
    }

    /// A call gets into a state within a time.
    #[track_caller]
    pub fn until_state(&mut self, leg: Leg, state: State, time: Duration) {
        let reached = self.reaches(time, |w| w.state(leg) == state);
        let call = self.call(leg);
        assert!(
            reached,
            "{}: the call stayed {:?} (status {:?}), wanted {state:?} within {time:?}",
            self.phones[leg.phone].name,
            call.state(),
            call.status()
        );
    }

    /// An order by `admin` is carried out: the request, and the listener's answered leg.
    #[track_caller]
    pub fn listen(&mut self, agent: &str, listener: &str) -> (RequestView, Leg) {
        let request = self.order(agent, crate::user(listener)).calls(5).accepted();
        let ear = self.answered(listener);
        (request, ear)
    }

    /// Answers by hand.
    pub fn answer(&mut self, leg: Leg) {
        self.act(leg, |p, now, call, out| p.answer(now, call, out));
    }

    /// Refuses by hand.
    pub fn reject(&mut self, leg: Leg, status: u16) {
        self.act(leg, |p, now, call, out| p.reject(now, call, status, out));
    }

    /// Hangs up: BYE, CANCEL or refusal.
    pub fn hang_up(&mut self, leg: Leg) {
        self.act(leg, |p, now, call, out| p.hang_up(now, call, out));
    }

    /// Waits for the final answer to a request inside a dialog.
    #[track_caller]
    pub fn answer_to(&mut self, leg: Leg, cseq: u32) -> Answered {
        let found = self.reaches(Duration::from_secs(40), |w| {
            w.call(leg).answer_to(cseq).is_some_and(|a| a.status != 401 && a.status != 407)
        });
        assert!(found, "no final answer to request {cseq}");
        self.call(leg).answer_to(cseq).expect("it was just there").clone()
    }

    /// Holds with a direction; must be accepted.
    #[track_caller]
    pub fn hold(&mut self, leg: Leg, direction: Direction) {
        let cseq = self.act(leg, |p, now, call, out| p.hold(now, call, direction, out));
        match self.answer_to(leg, cseq).status {
            // on a bad network an ACK of the other side may be open: the phone tries again by itself (RFC 3261 §14.1)
            491 => {
                let held = self.reaches(Duration::from_secs(33), |w| w.model.calls.values().any(|call| call.held));
                assert!(held, "hold {direction:?} after 491");
            }
            status => assert_eq!(status, 200, "hold {direction:?}"),
        }
    }

    /// Holds with c=0.0.0.0; must be accepted.
    #[track_caller]
    pub fn hold_with_null_address(&mut self, leg: Leg) {
        let cseq = self.act(leg, |p, now, call, out| p.hold_with_null_address(now, call, out));
        assert_eq!(self.answer_to(leg, cseq).status, 200, "hold with 0.0.0.0");
    }

    /// Takes back from hold; must be accepted.
    #[track_caller]
    pub fn resume(&mut self, leg: Leg) {
        let cseq = self.act(leg, |p, now, call, out| p.resume(now, call, out));
        assert_eq!(self.answer_to(leg, cseq).status, 200, "resume");
    }

    /// Speaks another codec from now on; must be accepted.
    #[track_caller]
    pub fn change_codec(&mut self, leg: Leg, codec: Codec) {
        let cseq = self.act(leg, |p, now, call, out| p.change_codecs(now, call, &[codec], out));
        assert_eq!(self.answer_to(leg, cseq).status, 200, "change of codec");
    }

    /// Blind transfer to a number; gives the status of the REFER.
    #[track_caller]
    pub fn refer(&mut self, leg: Leg, number: &str) -> u16 {
        let uri = format!("sip:{number}@{DOMAIN}");
        let cseq = self.act(leg, |p, now, call, out| p.refer(now, call, &uri, out));
        self.answer_to(leg, cseq).status
    }

    /// Attended transfer into a consultation of the same phone; gives the status of the REFER.
    #[track_caller]
    pub fn refer_replacing(&mut self, leg: Leg, number: &str, consultation: Leg) -> u16 {
        assert_eq!(leg.phone, consultation.phone, "both calls are the transferor's");
        let uri = format!("sip:{number}@{DOMAIN}");
        let cseq = self.act(leg, |p, now, call, out| p.refer_replacing(now, call, &uri, consultation.call, out));
        self.answer_to(leg, cseq).status
    }

    // Ears ---------------------------------------------------------------------------------------------------

    /// Which of the tones a party hears from now on.
    pub fn hears(&mut self, leg: Leg) -> Vec<u16> {
        self.run_for(SETTLE);
        let from = self.now;
        self.run_for(LISTEN);
        self.heard_since(leg, from)
    }

    /// Which of the tones a party has heard since a moment.
    #[must_use]
    pub fn heard_since(&self, leg: Leg, from: std::time::Instant) -> Vec<u16> {
        let pcm = self.call(leg).ears().pcm(from, self.now);
        ALL_TONES.into_iter().filter(|hz| phone::ears::hears(&pcm, f32::from(*hz))).collect()
    }

    /// A party hears these tones and no others.
    #[track_caller]
    pub fn hears_exactly(&mut self, leg: Leg, expected: &[u16]) {
        self.everyone_hears(&[(leg, expected)]);
    }

    /// Each party hears its tones and no others, at the same time.
    #[track_caller]
    pub fn everyone_hears(&mut self, expected: &[(Leg, &[u16])]) {
        self.run_for(SETTLE);
        let from = self.now;
        self.run_for(LISTEN);
        for (leg, tones) in expected {
            let heard = self.heard_since(*leg, from);
            let call = self.call(*leg);
            let packets = call.ears().between(from, self.now).count();
            assert_eq!(
                heard,
                *tones,
                "{} ({:?}, {packets} packets) hears the left, should hear the right",
                self.phones[leg.phone].name,
                call.state()
            );
        }
    }

    /// A party gets no packet for half a second.
    #[track_caller]
    pub fn gets_nothing(&mut self, leg: Leg) {
        self.run_for(SETTLE);
        let before = self.call(leg).ears().count;
        self.run_for(LISTEN);
        assert_eq!(self.call(leg).ears().count, before, "packets came");
    }

    /// What a phone sends as media no longer arrives anywhere (its network is gone one way).
    #[track_caller]
    pub fn cut_media(&mut self, name: &str) {
        let index = self.index(name);
        self.cut.insert(index);
    }

    /// A router changes the source port of what a phone sends as media by `shift`, and back for what comes (NAT).
    #[track_caller]
    pub fn translate_media(&mut self, name: &str, shift: u16) {
        let index = self.index(name);
        self.translated.insert(index, shift);
    }

    /// The person's phone mixes its calls: what one party says is in what the others get.
    pub(crate) fn mixes(&self, name: &str) -> bool {
        self.phones.iter().any(|s| s.name == name && s.phone.settings().habits.conference)
    }

    // The wires to the phones --------------------------------------------------------------------------------

    pub(crate) fn drive_phone(&mut self, index: usize, input: Input) {
        let mut out = Vec::new();
        let now = self.now;
        self.phones[index].phone.drive(now, input, &mut out);
        self.take_phone_outputs(index, out);
    }

    pub(crate) fn take_phone_outputs(&mut self, index: usize, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Sip { .. } | Output::Media { .. } if self.isolated.contains(&index) => {}
                Output::Sip { to, data } => {
                    let from = self.phones[index].phone.settings().local;
                    self.send_sip(from, to, data);
                }
                Output::Media { call, kind, to, data } => self.send_from_phone(index, call, kind, to, data),
                Output::OpenMedia { call } => self.open_media(index, call),
                Output::CloseMedia { call } => self.media_owners.retain(|_, (i, c, _)| (*i, *c) != (index, call)),
                Output::Event(Event::Incoming { call }) => self.note_listener(index, call),
                Output::Event(_) => {}
            }
        }
    }

    fn open_media(&mut self, index: usize, call: phone::CallId) {
        self.media_owners.retain(|_, (i, c, _)| (*i, *c) != (index, call));
        let slot = &mut self.phones[index];
        let port = slot.next_port;
        slot.next_port += 2;
        let rtp = SocketAddr::new(slot.phone.settings().local.ip(), port);
        self.media_owners.insert(rtp, (index, call, Kind::Rtp));
        self.media_owners.insert(SocketAddr::new(rtp.ip(), port + 1), (index, call, Kind::Rtcp));
        self.drive_phone(index, Input::MediaOpened { call, rtp });
    }

    /// A call from the access number is a listening.
    fn note_listener(&mut self, index: usize, call: phone::CallId) {
        let invite = self.phones[index].phone.call(call).and_then(Call::invite);
        if invite.and_then(|m| m.from().ok()).is_some_and(|f| f.uri.contains(ACCESS_NUMBER)) {
            self.listener_calls.insert((index, call));
        }
    }

    fn send_from_phone(&mut self, index: usize, call: phone::CallId, kind: Kind, to: SocketAddr, data: Bytes) {
        if self.cut.contains(&index) {
            return;
        }
        let Some(mut from) = self.phones[index].phone.call(call).and_then(|c| c.session().local_rtp()) else {
            return;
        };
        if kind == Kind::Rtcp {
            from.set_port(from.port() + 1);
        }
        if let Some(shift) = self.translated.get(&index) {
            from.set_port(from.port() + shift);
        }
        if self.listener_calls.contains(&(index, call))
            && let Some(packet) = phone::rtp::Packet::parse(&data)
        {
            self.listener_ssrcs.insert(packet.ssrc);
        }
        self.send_media(from, to, data);
    }

    /// The address behind a router that something for `to` is really for.
    pub(crate) fn untranslated(&self, to: SocketAddr) -> SocketAddr {
        let behind = |shift: &u16| Some(SocketAddr::new(to.ip(), to.port().checked_sub(*shift)?));
        let inside = self.translated.iter().find_map(|(index, shift)| {
            let inside = behind(shift)?;
            self.media_owners.get(&inside).filter(|(i, ..)| i == index).map(|_| inside)
        });
        inside.unwrap_or(to)
    }

    pub(crate) fn deliver_to_phone(&mut self, from: SocketAddr, to: SocketAddr, data: Bytes) {
        let to = self.untranslated(to);
        if let Some(&index) = self.sip_owners.get(&to) {
            if self.isolated.contains(&index) {
                return;
            }
            self.check_sip(from, index, &data);
            self.drive_phone(index, Input::Sip { from, data });
        } else if let Some(&(index, call, kind)) = self.media_owners.get(&to) {
            if self.isolated.contains(&index) {
                return;
            }
            let encrypted = self.may_be_encrypted(index);
            self.check_media(to, kind, &data, encrypted);
            let at = self.now - self.start;
            if let (Kind::Rtp, false, Some(received)) = (kind, encrypted, &mut self.received) {
                received.entry((index, call)).or_default().push((at, data.clone()));
            }
            let before = self.heard_count(index, call);
            self.drive_phone(index, Input::Media { call, kind, from, data });
            if encrypted && self.heard_count(index, call) > before {
                self.note_decrypted(index, call);
            }
        } else if let Some(heard) = self.heard_at.get_mut(&to) {
            heard.push((from, data));
        } else {
            self.undelivered += 1;
        }
    }
}
