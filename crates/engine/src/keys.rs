//! Keys that parties press, and what an agent's do: close and open the shield (SEMANTICS, While listening).

use std::time::{Duration, Instant};

use media::StreamId;
use signalling::LegId;

use crate::audit::Action;
use crate::call::CallKey;
use crate::engine::Core;
use crate::persist::Change;
use crate::store::After;
use crate::view::CallState;

/// Keys with a longer pause between them are not of one pattern.
const PAUSE: Duration = Duration::from_secs(4);
/// Keys of a leg that are remembered; no pattern is longer.
pub(crate) const PATTERN_MAX: usize = 16;
/// Longest body of an INFO that is looked at.
const BODY_MAX: usize = 1024;

/// What an agent has pressed of late.
#[derive(Debug)]
pub(crate) struct Pressed {
    keys: String,
    at: Instant,
}

impl Core {
    /// Keys do something in this configuration.
    fn reads_keys(&self) -> bool {
        self.settings.shield_on_keys.is_some() || self.settings.shield_off_keys.is_some()
    }

    /// An agent's leg has its stream: its keys are listened for, where they do something.
    pub(crate) fn watch_party(&mut self, stream: StreamId, is_agent: bool) {
        if is_agent && self.reads_keys() {
            self.out.media(media::Command::WatchPartyKeys { stream, on: true });
        }
    }

    /// A party pressed a key (RFC 4733).
    pub(crate) fn party_key(&mut self, stream: StreamId, key: char) {
        let Some(call) = self.streams.get(&stream).and_then(|call| self.calls.get(call)) else { return };
        let leg = call.legs.iter().copied().find(|leg| self.legs.get(leg).is_some_and(|leg| leg.stream == stream));
        if let Some(leg) = leg {
            self.leg_key(leg, key);
        }
    }

    /// An INFO came on a leg: the shield by name, or keys.
    pub(crate) fn informed(&mut self, leg: LegId, content_type: &str, body: &[u8]) {
        if let Some(ear) = self.ear_legs.get(&leg).copied() {
            return self.ear_info(ear, content_type, body);
        }
        let named = self.settings.shield_info.as_deref();
        if named.is_some_and(|named| media_type(content_type).eq_ignore_ascii_case(named)) {
            match word(body).as_deref() {
                Some("on") => self.agent_shields(leg, true, "info"),
                Some("off") => self.agent_shields(leg, false, "info"),
                _ => self.counters.count("shield_infos_unreadable"),
            }
        } else if let Some(key) = key_in(content_type, body) {
            self.leg_key(leg, key);
        }
    }

    fn leg_key(&mut self, leg: LegId, key: char) {
        if self.legs.get(&leg).is_none_or(|leg| leg.party.agent().is_none()) || !self.reads_keys() {
            return;
        }
        let now = self.now.mono;
        let pressed = self.pressed.entry(leg).or_insert_with(|| Pressed { keys: String::new(), at: now });
        if now.saturating_duration_since(pressed.at) > PAUSE {
            pressed.keys.clear();
        }
        pressed.at = now;
        pressed.keys.push(key);
        if pressed.keys.len() > PATTERN_MAX {
            pressed.keys.remove(0);
        }
        let is = |pattern: &Option<String>| pattern.as_ref().is_some_and(|pattern| pressed.keys.ends_with(pattern));
        let on = match (is(&self.settings.shield_on_keys), is(&self.settings.shield_off_keys)) {
            (true, _) => true,
            (false, true) => false,
            (false, false) => return,
        };
        pressed.keys.clear();
        self.agent_shields(leg, on, "keys");
    }

    /// The agent closes the shield of its call at once; it opens when that is recorded.
    fn agent_shields(&mut self, leg: LegId, on: bool, by: &'static str) {
        let Some((key, agent)) = self.legs.get(&leg).and_then(|leg| Some((leg.call, leg.party.agent()?.to_owned())))
        else {
            return;
        };
        let Some(call) = self.calls.get(&key).filter(|call| call.state != CallState::Ended) else { return };
        if call.shielded == on {
            return;
        }
        let (id, turn) = (call.id.clone(), call.shield_turn);
        let action = if on { Action::ShieldOn } else { Action::ShieldOff };
        let entry = self.entry(&format!("agent:{agent}"), action).about(&id, Some(&agent)).with("by", by);
        self.counters.count(if on { "shields_by_agent" } else { "unshields_by_agent" });
        self.out.log("info", format!("shield {} by {by}", if on { "on" } else { "off" }), vec![("call", id)]);
        if on {
            self.shield(key, true);
            self.persist(Change::Audit(entry), Vec::new());
        } else if !self.books.are_full() {
            self.persist(Change::Audit(entry), vec![After::Unshield(None, key, turn)]);
        }
    }

    pub(crate) fn forget_keys(&mut self, leg: LegId) {
        self.pressed.remove(&leg);
    }

    /// A shield that an agent wanted open stays closed: the trail cannot say so.
    pub(crate) fn unshield_refused(&mut self, key: CallKey) {
        let ids = self.calls.get(&key).map(|call| vec![("call", call.id.clone())]).unwrap_or_default();
        self.out.log("warn", "the shield stays on: that it was opened cannot be recorded".into(), ids);
    }
}

/// The key that an INFO holds: `application/dtmf-relay` has a line `Signal=5`, `application/dtmf` the key alone.
pub(crate) fn key_in(content_type: &str, body: &[u8]) -> Option<char> {
    let text = std::str::from_utf8(body.get(..body.len().min(BODY_MAX))?).ok()?;
    let signal = match media_type(content_type).to_ascii_lowercase().as_str() {
        "application/dtmf-relay" => text.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            name.trim().eq_ignore_ascii_case("signal").then_some(value)
        })?,
        "application/dtmf" => text,
        _ => return None,
    };
    key_of(signal.trim())
}

/// One key by its sign, or by its number of RFC 4733 §3.2.
fn key_of(signal: &str) -> Option<char> {
    match signal {
        "10" => return Some('*'),
        "11" => return Some('#'),
        _ => {}
    }
    let mut signs = signal.chars();
    let key = signs.next().filter(|_| signs.next().is_none())?.to_ascii_uppercase();
    matches!(key, '0'..='9' | '*' | '#' | 'A'..='D').then_some(key)
}

fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

fn word(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body.get(..body.len().min(BODY_MAX))?).ok()?;
    Some(text.trim().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_phones_write_them() {
        let relay = |body: &str| key_in("application/dtmf-relay", body.as_bytes());
        assert_eq!(relay("Signal=1\r\nDuration=160\r\n"), Some('1'));
        assert_eq!(relay("Duration=160\r\nsignal = #\r\n"), Some('#'));
        assert_eq!(relay("Signal=11\r\n"), Some('#'));
        assert_eq!(relay("Signal=12\r\n"), None);
        assert_eq!(relay("Signal=\r\n"), None);
        assert_eq!(relay("1"), None);
        assert_eq!(key_in("application/DTMF; charset=utf-8", b" * "), Some('*'));
        assert_eq!(key_in("application/dtmf", b"d"), Some('D'));
        assert_eq!(key_in("application/dtmf", b"\xff"), None);
        assert_eq!(key_in("text/plain", b"1"), None);
        assert_eq!(key_in("application/dtmf", &[b' '; 5000]), None);
    }
}
