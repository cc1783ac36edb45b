//! A listener's leg: how it is called and who is on it; then `answer` (what comes of it), `desk` (what it hears) and `end`.

mod answer;
mod desk;
mod end;

use media::{BatchId, ListenerId};
use signalling::sdp::Direction;
use signalling::{Command, Destination, NewLeg};

use crate::audit::Action;
use crate::call::Described;
use crate::codecs;
use crate::engine::Core;
use crate::monitoring::{EAR_BATCH, Ear, EarKey, EarState, Line, Listening, ListeningPhase, Phone, Target};
use crate::persist::Change;
use crate::placement::Ready;
use crate::timers::Timer;
use crate::view::{EventName, ListeningState};

/// Signalling gives up on its own a little after the engine should have.
const RING_BACKSTOP: std::time::Duration = std::time::Duration::from_secs(10);

impl Core {
    /// Prepares the INVITE: `a=sendonly`, From the access number (SEMANTICS, Calling the listener). Who has to press a key
    /// must be able to send one: `sendrecv`.
    pub(crate) fn call_listener(
        &mut self,
        id: &str,
        agent: &str,
        target: Target,
        destination: Destination,
        sendrecv: bool,
        encrypted: bool,
    ) {
        let shard = self.shard_of_listening(id);
        let Some(Ready { port, addr: media }) = self.take_port(shard) else { return };
        let Some(view) = self.listenings.get(id).map(|listening| &listening.view) else { return };
        let (mix, layout) = (codecs::mix(view), view.layout);
        let confirms = self.requests.get(&view.request).is_some_and(|request| request.record.view.confirm);
        let key = self.ids.next();
        let leg = self.sip_leg();
        self.out.media(media::Command::OpenListener { listener: ListenerId(key), port });
        self.out.media(media::Command::Mix { listener: ListenerId(key), mix });
        self.out.media(media::Command::Done(BatchId(EAR_BATCH | key)));
        let line = Line::Phone(Phone { leg, session: None, encrypted, unconfirmed: confirms, first_packet: false });
        self.new_ear(key, agent, shard, target, line, mix);
        self.ear_legs.insert(leg, key);
        let name = self.directory.agents.get(agent).map_or(agent, |agent| &agent.seed.name);
        let new = NewLeg {
            leg,
            destination,
            from_user: self.settings.access_number.clone().unwrap_or_default(),
            from_display: self.settings.listener_display.replace("{agent}", name),
            identity: true,
            media,
            headers: Vec::new(),
            ring_timeout: Some(self.settings.ring_timeout + RING_BACKSTOP),
        };
        let of_call = self.described_of_listening(id).and_then(|session| session.codec);
        let codecs = codecs::offered(of_call, layout, confirms);
        let direction = if sendrecv || confirms { Direction::SendRecv } else { Direction::SendOnly };
        self.counters.count("listeners_called");
        self.sip(Command::Call { leg: new, codecs, direction, encrypted });
        let at = self.after(self.settings.ring_timeout);
        self.timers.set(Timer::Ring(key), at);
        self.join_ear(id, key);
    }

    /// A listener's leg that nobody is on yet.
    pub(crate) fn new_ear(
        &mut self,
        key: EarKey,
        agent: &str,
        shard: usize,
        target: Target,
        line: Line,
        mix: media::Mix,
    ) {
        let state = if matches!(line, Line::Page(_)) { EarState::Ringing } else { EarState::Calling };
        let ear = Ear {
            agent: agent.to_owned(),
            shard,
            target,
            line,
            state,
            listenings: Vec::new(),
            hears: None,
            taps: None,
            shielded: false,
            mix,
            heard_ms: 0,
        };
        self.ears.insert(key, ear);
        self.shards.listener_came(shard);
        self.desks.entry(agent.to_owned()).or_default().ears.push(key);
    }

    /// What the agent's leg agreed on in the call that a listening is for.
    pub(crate) fn described_of_listening(&self, id: &str) -> Option<Described> {
        let interaction = self.interactions.get(&self.listenings.get(id)?.interaction)?;
        let leg = self.leg_of(&interaction.agent, interaction.primary)?;
        self.legs.get(&leg)?.session
    }

    /// One leg serves every request of the same listener on the same agent.
    pub(crate) fn join_ear(&mut self, id: &str, key: EarKey) {
        let (Some(ear), Some(listening)) = (self.ears.get_mut(&key), self.listenings.get_mut(id)) else { return };
        ear.listenings.push(id.to_owned());
        let (agent, state, mix) = (ear.agent.clone(), ear.state, ear.mix);
        listening.phase = ListeningPhase::OnEar(key);
        listening.view.state = ListeningState::Ringing;
        listening.view.ringing_at.get_or_insert(self.now.wall);
        listening.mixed(mix);
        self.dirty_desks.insert(agent);
        self.listening_event(EventName::ListeningRinging, id);
        match state {
            EarState::Confirming => self.confirming(id),
            EarState::Answered | EarState::Live => self.reached(id),
            EarState::Calling | EarState::Ringing | EarState::Ending => {}
        }
        let live = state == EarState::Live;
        if live {
            self.live(id);
        }
        let request = self.listenings.get(id).map(|listening| listening.view.request.clone());
        let phone = self.ears.get(&key).and_then(Ear::phone);
        let recorded = phone.is_none_or(|phone| self.is_recorded(phone.leg));
        match request {
            // a new ear's record comes with those of its listenings
            Some(request) if !recorded => self.judge_request(&request),
            _ => self.store_and_judge(id, live.then_some(Action::ListeningLive)),
        }
    }

    pub(crate) fn store_and_judge(&mut self, id: &str, action: Option<Action>) {
        let Some(view) = self.listenings.get(id).map(|listening| listening.view.clone()) else { return };
        let request = view.request.clone();
        let entry = action.map(|action| Change::Audit(self.listening_entry(action, &view)));
        let changes = std::iter::once(Change::Listening(view)).chain(entry).collect();
        self.persist_all(changes, Vec::new());
        self.judge_request(&request);
    }

    /// Rights are judged anew whenever this ear is about to hear something. True: some listening on it has ended.
    pub(crate) fn judge_rights_on(&mut self, key: EarKey) -> bool {
        let mut ended = false;
        for id in self.ears.get(&key).map(|ear| ear.listenings.clone()).unwrap_or_default() {
            ended |= self.ended_for_rights(&id);
        }
        ended
    }
}

impl Listening {
    /// It is on an ear that is mixed so.
    pub(crate) fn mixed(&mut self, mix: media::Mix) {
        (self.view.layout, self.view.gains, self.view.level_matching) = codecs::unmix(mix);
    }
}
