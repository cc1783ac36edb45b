//! Walking a list page by page while everything moves: what was there all the time is seen once, nothing twice.

use std::collections::{BTreeMap, BTreeSet};

use engine::View;
use engine::persist::{Change, RequestRecord};
use engine::view::{CallState, ListeningState, RequestState, Role};
use store::Store;

use crate::stage::{Stage, agent, call, listening, monitoring, user};

/// A small generator (xorshift), so that a failing seed can be run again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Where a thing of a list is: only live, live and stored, only stored.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Live,
    Both,
    Stored,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Requests,
    Listenings,
    Calls,
}

impl Kind {
    fn path(self) -> &'static str {
        match self {
            Self::Requests => "/v1/requests?",
            Self::Listenings => "/v1/listenings?",
            Self::Calls => "/v1/calls?ended=true&",
        }
    }

    fn show(self, stage: &Stage, id: &str) {
        stage.api.view(match self {
            Self::Requests => View::Request(monitoring(id, "sue", RequestState::Waiting)),
            Self::Listenings => View::Listening(listening(id, "sue", ListeningState::Ended)),
            Self::Calls => View::Call(call(id, Some("anna"), CallState::Ended)),
        });
    }

    fn store(self, stage: &Stage, id: &str) {
        let change = match self {
            Self::Requests => {
                let view = monitoring(id, "sue", RequestState::Deleted);
                Change::Request(RequestRecord { view, failures_in_a_row: 0 })
            }
            Self::Listenings => Change::Listening(listening(id, "sue", ListeningState::Ended)),
            Self::Calls => Change::Call(call(id, Some("anna"), CallState::Ended)),
        };
        stage.store.apply(&[change]).unwrap();
    }

    fn hide(self, stage: &Stage, id: &str) {
        let id = id.to_owned();
        stage.api.view(match self {
            Self::Requests => View::RequestRemoved(id),
            Self::Listenings => View::ListeningRemoved(id),
            Self::Calls => View::CallRemoved(id),
        });
    }
}

/// Things come (newest last, as ids grow) and go from live to stored.
fn live_a_little(stage: &Stage, kind: Kind, dice: &mut Dice, places: &mut BTreeMap<String, Place>, next: &mut u32) {
    for _ in 0..dice.below(6) {
        if dice.one_in(3) {
            let id = format!("id_{:05}", *next);
            *next += 1;
            kind.show(stage, &id);
            places.insert(id, Place::Live);
            continue;
        }
        let movable: Vec<String> =
            places.iter().filter(|(_, p)| **p != Place::Stored).map(|(id, _)| id.clone()).collect();
        let Some(id) = movable.get(dice.below(movable.len().max(1) as u64) as usize) else { continue };
        let place = places[id];
        // the store first, then out of the read model: as the engine does it
        if place == Place::Live {
            kind.store(stage, id);
            places.insert(id.clone(), Place::Both);
        } else {
            kind.hide(stage, id);
            places.insert(id.clone(), Place::Stored);
        }
    }
}

#[tokio::test]
async fn merged_lists_show_everything_once_while_everything_moves() {
    for seed in 1..=60_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let kind = [Kind::Requests, Kind::Listenings, Kind::Calls][dice.below(3) as usize];
        let stage = Stage::new();
        let (mut places, mut next) = (BTreeMap::new(), 0);
        for _ in 0..dice.below(40) {
            live_a_little(&stage, kind, &mut dice, &mut places, &mut next);
        }
        let at_start: BTreeSet<String> = places.keys().cloned().collect();
        let limit = 1 + dice.below(7);
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        for round in 0.. {
            assert!(round < 2_000, "seed {seed}: no end");
            let page = stage.get("ada", &format!("{}limit={limit}&cursor={cursor}", kind.path())).await;
            let ids = page.ids();
            assert!(ids.len() as u64 <= limit);
            assert!(ids.is_sorted_by(|a, b| a > b), "seed {seed}: {ids:?}");
            seen.extend(ids);
            match page.json()["next_cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
            live_a_little(&stage, kind, &mut dice, &mut places, &mut next);
        }
        let unique: BTreeSet<String> = seen.iter().cloned().collect();
        assert_eq!(unique.len(), seen.len(), "seed {seed} {kind:?}: something twice");
        assert!(unique.is_superset(&at_start), "seed {seed} {kind:?}: missed {:?}", at_start.difference(&unique));
    }
}

#[tokio::test]
async fn directory_lists_show_everything_once_while_people_come_and_go() {
    for seed in 1..=60_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let stage = Stage::new();
        let users = dice.one_in(2);
        let names = ["Anna", "anna", "Bo", "Ærlig", "bo", "Anna Berg"];
        let mut here: BTreeSet<String> = BTreeSet::new();
        let (mut next, mut ever) = (0, BTreeSet::new());
        let mut come_and_go = |dice: &mut Dice, here: &mut BTreeSet<String>, stay: bool| {
            for _ in 0..dice.below(8) {
                if !stay && dice.one_in(3) && !here.is_empty() {
                    let id = here.iter().nth(dice.below(here.len() as u64) as usize).cloned().unwrap();
                    stage.api.view(if users { View::UserRemoved(id.clone()) } else { View::AgentRemoved(id.clone()) });
                    here.remove(&id);
                    continue;
                }
                let id = format!("x{:03}", dice.below(900) + next % 2);
                next += 1;
                if !ever.insert(id.clone()) {
                    continue; // back under a new name is another place in the list
                }
                here.insert(id.clone());
                let name = names[dice.below(names.len() as u64) as usize];
                stage.api.view(if users {
                    View::User(engine::view::UserView { name: name.to_owned(), ..user(&id, Role::Supervisor, None) })
                } else {
                    View::Agent(agent(&id, name, "1", None))
                });
            }
        };
        for _ in 0..6 {
            come_and_go(&mut dice, &mut here, true);
        }
        let (mut stayed, limit) = (here.clone(), 1 + dice.below(5));
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        let path = if users { "/v1/users" } else { "/v1/agents" };
        loop {
            let page = stage.get("ada", &format!("{path}?limit={limit}&cursor={cursor}")).await;
            seen.extend(page.ids());
            match page.json()["next_cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
            let before = here.clone();
            come_and_go(&mut dice, &mut here, false);
            for gone in before.difference(&here) {
                stayed.remove(gone);
            }
        }
        let mine: Vec<String> = seen.into_iter().filter(|id| id.starts_with('x')).collect();
        let unique: BTreeSet<String> = mine.iter().cloned().collect();
        assert_eq!(unique.len(), mine.len(), "seed {seed}: somebody twice");
        assert!(unique.is_superset(&stayed), "seed {seed}: missed {:?}", stayed.difference(&unique));
    }
}
