//! What else happens to listenings: orders by page and with a key, players, mixes, shields by agents. By the seed alone, and
//! put between what a life has already: what else a seed says stays as it was.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use engine::view::{ListenerKind, ListeningState};
use engine::{Command, ListenerOrder, MixChange, Order, Reply, ReplyId};
use phone::State;

use super::act::find;
use super::action::{Action, Name, Which};
use super::config::Config;
use crate::network::Fate;
use crate::world::World;

/// What says that an agent's INFO is about the shield.
pub(super) const SHIELD_INFO: &str = "application/x-shield";
/// A key is held so long, and the next one follows.
const KEY: Duration = Duration::from_millis(80);
/// A browser that never connects: there are none in this world.
const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:XsHM\r\na=ice-pwd:R0tgTcBkyTSaFo7S//WxYoFF\r\n\
    a=fingerprint:sha-256 FB:AD:06:F7:43:7E:1A:A1:A7:1B:8B:E7:20:21:AC:1A:8B:52:BB:E5:CB:A7:6D:35:A8:CB:81:D1:52:CB:CF:B0\r\n\
    a=setup:actpass\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n";
const FRAGMENT: &str = "a=ice-ufrag:Other\r\na=ice-pwd:R0tgTcBkyTSaFo7S//WxYoFE\r\n";
/// Beside the seed.
const LISTENING: u64 = 0x1157;

/// Half of all lives have some; in those, agents may shield by keys and INFO.
pub(super) fn enrich(seed: u64, config: &mut Config, actions: &mut Vec<Action>) {
    let mut fate = Fate::new(&[seed, LISTENING]);
    if fate.happens(0.5) {
        return;
    }
    config.settings.shield_on_keys = Some("*7".into());
    config.settings.shield_off_keys = Some("*8".into());
    config.settings.shield_info = Some(SHIELD_INFO.into());
    if fate.happens(0.7) {
        config.media.browsers.candidates = vec![SocketAddr::from((Ipv4Addr::new(127, 0, 0, 1), 40_000))];
        config.media.browsers.max_legs = 2;
    }
    for action in std::mem::take(actions) {
        actions.push(action);
        if fate.happens(0.25) {
            actions.push(act(&mut fate));
        }
    }
}

fn act(fate: &mut Fate) -> Action {
    let agent = one(fate, &["anna", "anna", "bo", "cia"]);
    let which = Which::Any(fate.next() as u32);
    match fate.next() % 14 {
        0 | 13 => Action::OrderSpecial { agent, listener: ListenerOrder::Page, confirm: false },
        1 | 2 => {
            let user = one(fate, &["sue", "sam", "admin"]);
            Action::OrderSpecial { agent, listener: ListenerOrder::User(user.into()), confirm: true }
        }
        3 | 4 => {
            Action::Keys { who: one(fate, &["sue", "sam", "admin"]), which, keys: one(fate, &["1", "1", "1", "2"]) }
        }
        5 | 6 => Action::Keys { who: agent, which, keys: one(fate, &["*7", "*8"]) },
        7 => Action::ShieldInfo { who: agent, which, on: fate.happens(0.5) },
        8 | 9 => Action::Play { which },
        10 => Action::StopPlaying { which, again: fate.happens(0.5) },
        _ => Action::Mix { which, turn: fate.next() as u32 },
    }
}

fn one(fate: &mut Fate, of: &[Name]) -> Name {
    of[fate.next() as usize % of.len()]
}

/// A player's offer, and what it was answered.
#[derive(Clone, Debug)]
pub(crate) struct Played {
    listening: String,
    user: String,
    reply: ReplyId,
}

/// Commands over the API; false if it is none of these.
pub(super) fn order(w: &mut World, action: &Action) -> bool {
    match action {
        Action::OrderSpecial { agent, listener, confirm } => {
            let order = Order {
                agent: (*agent).into(),
                listener: Some(listener.clone()),
                calls: Some(2),
                confirm: confirm.then_some(true),
                ..Order::default()
            };
            w.ask("admin", Command::Order { order, dry_run: false });
        }
        Action::Mix { which, turn } => {
            let open: Vec<String> = w.listenings().filter(|l| l.ended_at.is_none()).map(|l| l.id.clone()).collect();
            let Some(listening) = which.of(&open) else { return true };
            let layout = ["mono", "stereo", "agent", "caller"].get((turn % 5) as usize);
            let change = MixChange {
                layout: layout.map(|layout| (*layout).to_owned()),
                agent_gain_db: (turn & 8 != 0).then_some(i64::from(turn >> 8 & 15) - 8),
                caller_gain_db: (turn & 16 != 0).then_some(i64::from(turn >> 12 & 15) - 8),
                level_matching: (turn & 32 != 0).then_some(turn & 64 != 0),
            };
            w.ask("admin", Command::ChangeListening { listening, change });
        }
        _ => return false,
    }
    true
}

impl super::life::Stage {
    pub(super) fn press(&mut self, who: &str, which: Which, keys: &str) {
        let Some(leg) = find(&self.w, who, which, |state| state == State::Up) else { return };
        let listens = self.w.listener_calls.contains(&(leg.phone, leg.call));
        // an agent's begin with a star, a listener's do not: what it presses is told from all others
        if listens == keys.starts_with('*') {
            return;
        }
        for key in keys.bytes() {
            let digit = if key == b'*' { 10 } else { key - b'0' };
            self.w.act(leg, |p, _, call, _| p.press(call, digit, KEY));
            self.wait(3 * KEY);
        }
    }

    pub(super) fn play(&mut self, which: Which) {
        let of_page = |l: &&engine::view::ListeningView| {
            l.listener.kind == ListenerKind::Page && !matches!(l.state, ListeningState::Ended)
        };
        let open: Vec<_> =
            self.w.listenings().filter(of_page).map(|l| (l.id.clone(), l.listener.user.clone())).collect();
        let Some((listening, Some(user))) = which.of(&open) else { return };
        let reply = self.w.ask(&user, Command::Whep { listening: listening.clone(), offer: OFFER.into() });
        self.plays.push(Played { listening, user, reply });
    }

    pub(super) fn stop_playing(&mut self, which: Which, again: bool) {
        let Some(Played { listening, user, reply }) = which.of(&self.plays) else { return };
        let Some(Ok(Reply::Whep { session, .. })) = self.w.replies.get(&reply) else { return };
        let session = session.clone();
        let fragment = FRAGMENT.to_owned();
        self.w.ask(
            &user,
            if again {
                Command::WhepRestart { listening, session, fragment }
            } else {
                Command::WhepStop { listening, session }
            },
        );
    }
}
