//! Who hears whom: taps only of the agent that was ordered, never of a call or person that may not be listened to, silence
//! under the shield and where nothing is tapped, and nobody who is held.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use engine::view::{Focus, ListeningState};
use engine::{Output, View};
use media::{Command, Kind, ListenerId, StreamId};
use phone::State;

use super::{Report, since};
use crate::people::Leg;
use crate::world::World;

/// After a hold: its answer, the media command and a tick.
const HOLD_IS_IN_PLACE: Duration = Duration::from_millis(400);
/// How long one listens to be sure.
const LISTEN: Duration = Duration::from_millis(200);
/// What the caller's phones sound like.
const CALLER_HZ: f32 = 800.0;

#[derive(Debug, Default)]
pub(super) struct Ears {
    /// Ports of calls' legs.
    streams: BTreeMap<StreamId, u16>,
    /// As the engine ordered.
    ordered: BTreeMap<ListenerId, Ear>,
    /// As the media plane was told so far.
    done: BTreeMap<ListenerId, Ear>,
    by_port: BTreeMap<u16, ListenerId>,
    /// Since when a listening is on hold.
    holds: BTreeMap<String, Instant>,
    dirty: bool,
}

#[derive(Clone, Debug, Default)]
struct Ear {
    port: u16,
    tapped: Option<StreamId>,
    shielded: bool,
    /// Nobody can tell on the wire what it gets.
    encrypted: bool,
    /// When its last packet left, there was something for it to hear.
    heard: bool,
}

impl Ears {
    pub(super) fn output(&mut self, output: &Output) {
        match output {
            Output::Media(command) => {
                if let Command::Open { stream, port } = command {
                    self.streams.insert(*stream, port.0);
                }
                if let Command::Close { stream } = command {
                    self.streams.remove(stream);
                }
                note(&mut self.ordered, command);
                self.dirty = true;
            }
            Output::View(View::Agent(_) | View::Call(_) | View::Listening(_)) => self.dirty = true,
            _ => {}
        }
    }

    pub(super) fn carried_out(&mut self, command: &Command) {
        note(&mut self.done, command);
        match command {
            Command::OpenListener { listener, port } => drop(self.by_port.insert(port.0, *listener)),
            Command::CloseListener { listener } => self.by_port.retain(|_, other| other != listener),
            _ => {}
        }
    }

    /// A listener's packet leaves the media plane.
    pub(super) fn sent(&mut self, port: u16, kind: Kind, data: &[u8], report: &mut Report<'_>) {
        let Some(ear) = self.by_port.get(&port).and_then(|listener| self.done.get_mut(listener)) else { return };
        if ear.encrypted {
            report.met("a listener gets", "what is encrypted");
            return;
        }
        // one who multiplexes gets its reports by the same socket (RFC 5761 §4)
        let is_report = kind == Kind::Rtcp || data.get(1).is_some_and(|second| (192..=223).contains(second));
        if is_report {
            return;
        }
        let hears = !ear.shielded && ear.tapped.is_some();
        // what it heard until now fades out, in 5 ms
        let fades = std::mem::replace(&mut ear.heard, hears) && !hears;
        let silent = data.get(if fades { 12 + 40 } else { 12 }..).is_some_and(|payload| {
            payload.iter().all(|byte| *byte == 0xff) || payload.iter().all(|byte| *byte == 0xd5)
        });
        report.met("a listener gets", if silent { "silence" } else { "sound" });
        report.must(silent || !ear.shielded, "silence under the shield", || format!("sound from port {port}"));
        report.must(silent || ear.tapped.is_some(), "silence where nothing is tapped", || {
            format!("sound from port {port}")
        });
    }

    /// What is tapped may be tapped.
    pub(super) fn driven(&mut self, world: &World, report: &mut Report<'_>) {
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        for ear in self.ordered.values() {
            let Some(port) = ear.tapped.and_then(|stream| self.streams.get(&stream)) else { continue };
            let Some(tapped) = leg_at(world, *port) else { continue };
            let name = &world.phones[tapped.phone].name;
            let Some(agent) = world.model.agents.get(name) else {
                report.broken("only an agent's leg is tapped", format!("{name} is tapped"));
                continue;
            };
            report.met("tap", "of an agent's leg");
            report.must(agent.monitorable, "an agent who is not monitorable is not tapped", || name.clone());
            if let Some(listener) = leg_at(world, ear.port) {
                let shown = invited_as(world, listener);
                report.must(
                    shown.is_none_or(|shown| shown.contains(&agent.name)),
                    "the ear is on the agent that it shows",
                    || format!("{name} is tapped for {:?}", invited_as(world, listener)),
                );
            }
            let sip_call_id = world.call(tapped).sip_call_id();
            let call = world
                .model
                .calls
                .values()
                .find(|c| c.ended_at.is_none() && c.legs.iter().any(|l| l.sip_call_id == sip_call_id));
            let Some(call) = call else { continue };
            report
                .must(!call.shielded || ear.shielded, "silence under the shield", || format!("{name} in {}", call.id));
            let private = call.legs.iter().find(|leg| world.private.contains(&leg.sip_call_id));
            report.must(private.is_none(), "a call that says do-not-monitor is not tapped", || {
                format!("{name} in {}", call.id)
            });
        }
        for listening in world.model.listenings.values().filter(|l| l.ended_at.is_none()) {
            // with another call there the ear may be on that one
            let alone = world.model.agents.get(&listening.agent.id).is_some_and(|agent| agent.calls.len() == 1);
            let holds = alone && listening.state == ListeningState::Live && listening.focus == Focus::Hold;
            if !holds {
                self.holds.remove(&listening.id);
            } else {
                // the media plane may hear of it late
                self.holds.entry(listening.id.clone()).or_insert(world.now + 2 * world.shard_delay + world.event_delay);
            }
        }
        self.holds.retain(|id, _| world.model.listenings.get(id).is_some_and(|l| l.ended_at.is_none()));
    }

    /// Whoever is on hold is not heard, even if its phone keeps sending.
    pub(super) fn step(&mut self, world: &World, report: &mut Report<'_>) {
        for (id, held_since) in &self.holds {
            if since(world.now, *held_since) < HOLD_IS_IN_PLACE + LISTEN {
                continue;
            }
            let Some(listening) = world.model.listenings.get(id) else { continue };
            if world.mixes(&listening.agent.id) {
                continue;
            }
            for leg in ears_of(world, &listening.agent.name) {
                let from = world.now.checked_sub(LISTEN).unwrap_or(world.now);
                let pcm = world.call(leg).ears().pcm(from, world.now);
                report.met("a held caller", "is listened for");
                report.must(!phone::ears::hears(&pcm, CALLER_HZ), "a held caller is not heard", || {
                    format!("{} hears the caller of {id}", world.phones[leg.phone].name)
                });
            }
        }
    }
}

fn note(ears: &mut BTreeMap<ListenerId, Ear>, command: &Command) {
    match command {
        Command::OpenListener { listener, port } => {
            ears.insert(*listener, Ear { port: port.0, ..Ear::default() });
        }
        Command::Focus { listener, taps } => {
            if let Some(ear) = ears.get_mut(listener) {
                ear.tapped = taps.map(|taps| taps.agent);
            }
        }
        Command::Listen { listener, remote } => {
            if let Some(ear) = ears.get_mut(listener) {
                ear.encrypted = remote.keys.is_some();
            }
        }
        Command::Shield { listener, on } => {
            if let Some(ear) = ears.get_mut(listener) {
                ear.shielded = *on;
            }
        }
        Command::CloseListener { listener } => drop(ears.remove(listener)),
        _ => {}
    }
}

/// The phone's leg that talks to a port of the engine.
fn leg_at(world: &World, port: u16) -> Option<Leg> {
    world.phones.iter().enumerate().find_map(|(phone, slot)| {
        let mut open = slot.phone.calls().filter(|c| c.state() != State::Ended);
        let call = open.find(|c| c.session().remote_rtp().is_some_and(|addr| addr.port() == port))?;
        Some(Leg { phone, call: call.id() })
    })
}

/// From of the INVITE that called a listener.
fn invited_as(world: &World, leg: Leg) -> Option<String> {
    let invite = world.call(leg).invite()?;
    let from = invite.lines().find(|(name, _)| name.eq_ignore_ascii_case("From")).map(|(_, value)| value.to_owned())?;
    from.contains(crate::cast::ACCESS_NUMBER).then_some(from)
}

/// Legs of listeners who were called for this agent.
fn ears_of(world: &World, agent_name: &str) -> Vec<Leg> {
    let up = world.phones.iter().enumerate().flat_map(|(phone, slot)| {
        slot.phone.calls().filter(|c| c.state() == State::Up).map(move |c| Leg { phone, call: c.id() })
    });
    up.filter(|leg| invited_as(world, *leg).is_some_and(|from| from.contains(agent_name))).collect()
}
