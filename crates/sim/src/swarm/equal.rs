//! The same life with 0, 1 and 8 listeners: what each party receives is the same, byte for byte and moment for moment.

use engine::directory::{PhoneSeed, UserSeed};
use engine::view::Role;
use phone::Voice;
use signalling::sdp::Direction;

use super::life::Life;
use super::plan::Plan;
use crate::cast::{DOMAIN, ENGINE, Setup, at};
use crate::watch::Violation;

/// Listeners of the third life.
pub(crate) const MANY: usize = 8;

pub(crate) fn live(plan: &Plan, history: bool) -> Life {
    let mut without = plan.live_with(0, history);
    for listeners in [1, MANY] {
        if !without.broken.is_empty() {
            break;
        }
        let with = plan.live_with(listeners, history);
        without.met.merge(&with.met);
        without.lasted += with.lasted;
        if !with.broken.is_empty() {
            (without.broken, without.history) = (with.broken, with.history);
        } else if without.glare || with.glare {
            // both sides offered at once: how long the engine waits then is its own draw, and shifts what follows
            without.met.met("equal lives", "not compared: re-INVITEs met".into());
        } else if let Some(what) = difference(&without, &with, listeners) {
            without.broken.push(Violation {
                at: with.lasted,
                rule: "a call is not touched for a listener's sake",
                what,
            });
            without.history.extend(with.history);
        } else {
            without.met.met("equal lives", format!("compared with {listeners}"));
        }
    }
    without
}

pub(crate) fn difference(without: &Life, with: &Life, listeners: usize) -> Option<String> {
    if without.received.len() != with.received.len() {
        return Some(format!(
            "{} legs received something, {} with {listeners}",
            without.received.len(),
            with.received.len()
        ));
    }
    for ((leg, a), (other, b)) in without.received.iter().zip(&with.received) {
        if leg != other {
            return Some(format!("{leg} received something, with {listeners} {other}"));
        }
        let first = a.iter().zip(b).position(|(a, b)| a != b);
        let first = first.or((a.len() != b.len()).then(|| a.len().min(b.len())));
        if let Some(index) = first {
            let (a, b) = (a.get(index), b.get(index));
            return Some(format!("packet {index} of {leg}: {a:?}, with {listeners} listeners {b:?}"));
        }
    }
    None
}

/// Users with softphones who only listen.
pub(crate) fn add_listeners(setup: &mut Setup) {
    for index in 0..MANY {
        let id = format!("l{index}");
        let address = at(5, 5060 + 2 * index as u16);
        let mut settings = phone::Settings::new(&id, DOMAIN, address, ENGINE);
        settings.voice = Voice::Tone(1500.0);
        settings.habits.answer_direction = Direction::RecvOnly;
        setup.phones.push(settings);
        setup.directory.users.push(UserSeed {
            id: id.clone(),
            name: id.clone(),
            role: Role::Supervisor,
            groups: None,
            listener_numbers: Vec::new(),
            softphone: Some(id.clone()),
            phone: PhoneSeed { contact: Some((format!("sip:{id}@{address}"), address)), ..PhoneSeed::default() },
            offer_sendrecv: false,
        });
    }
}
