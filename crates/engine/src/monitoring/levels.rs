//! How loud both sides are, for pages that look (SEMANTICS, What a listener gets). Never stored.

use std::collections::{BTreeMap, BTreeSet};

use media::{Level, Levels, StreamId};

use crate::engine::Core;
use crate::interface::{Output, Problem, Reply};
use crate::monitoring::ListeningPhase;
use crate::view::ListeningState;

/// Nothing is heard.
const SILENCE: Level = Level { below_full_db: 127, speaks: false };

/// Who looks, and which streams media measures for them.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    /// Listenings.
    listenings: BTreeSet<String>,
    /// Listenings by the stream that their ear is on.
    streams: BTreeMap<StreamId, Vec<String>>,
}

impl Watched {
    pub(crate) fn len(&self) -> usize {
        self.listenings.len() + self.streams.len()
    }
}

impl Core {
    /// Somebody looks at a listening's levels, or the last one does no more.
    pub(crate) fn watch_levels(&mut self, actor: &str, id: &str, on: bool) -> Result<Option<Reply>, Problem> {
        if on {
            self.own_listening(actor, id)?;
            self.watched.listenings.insert(id.to_owned());
        } else {
            self.watched.listenings.remove(id);
        }
        self.levels_changed = true;
        Ok(Some(Reply::Nothing))
    }

    /// Media measures what the watched ears are on, and nothing else.
    pub(crate) fn judge_levels(&mut self) {
        if !std::mem::take(&mut self.levels_changed) || self.watched.len() == 0 {
            return;
        }
        let mut streams: BTreeMap<StreamId, Vec<String>> = BTreeMap::new();
        let listenings = &self.listenings;
        self.watched.listenings.retain(|id| listenings.contains_key(id));
        for id in self.watched.listenings.clone() {
            match self.heard_stream(&id) {
                Some(stream) => streams.entry(stream).or_default().push(id),
                None => self.level(id, SILENCE, SILENCE),
            }
        }
        let before = std::mem::replace(&mut self.watched.streams, streams);
        let open = |stream: &StreamId| self.streams.contains_key(stream);
        let off = before.keys().filter(|stream| !self.watched.streams.contains_key(stream) && open(stream));
        let on = self.watched.streams.keys().filter(|stream| !before.contains_key(stream));
        let told = off.map(|stream| (*stream, false)).chain(on.map(|stream| (*stream, true)));
        for (stream, on) in told.collect::<Vec<_>>() {
            self.out.media(media::Command::WatchLevels { stream, on });
        }
    }

    /// The stream that a live listening hears now.
    fn heard_stream(&self, id: &str) -> Option<StreamId> {
        let listening = self.listenings.get(id).filter(|listening| listening.view.state == ListeningState::Live)?;
        let ListeningPhase::OnEar(ear) = listening.phase else { return None };
        let ear = self.ears.get(&ear).filter(|ear| ear.hears == Some(listening.interaction))?;
        Some(ear.taps?.agent)
    }

    /// A tenth of a second's levels, as each listener hears them: shielded is silence.
    pub(crate) fn levels(&mut self, levels: Vec<Levels>) {
        for Levels { stream, up, down } in levels {
            for id in self.watched.streams.get(&stream).cloned().unwrap_or_default() {
                let shielded = self.listenings.get(&id).is_some_and(|listening| listening.view.shielded);
                let (agent, caller) = if shielded { (SILENCE, SILENCE) } else { self.gated(stream, up, down) };
                self.level(id, agent, caller);
            }
        }
    }

    /// The taps are gated by the agent's direction, and so is what is shown of them.
    fn gated(&self, stream: StreamId, up: Level, down: Level) -> (Level, Level) {
        let sides = self.streams.get(&stream).and_then(|call| self.calls.get(call)).map(|call| call.sides);
        let mut legs = sides.into_iter().flatten().flatten().filter_map(|leg| self.legs.get(&leg));
        let session = legs.find(|leg| leg.stream == stream).and_then(|leg| leg.session);
        let (sends, receives) = session.map_or((true, true), |session| (session.sends, session.receives));
        (if sends { up } else { SILENCE }, if receives { down } else { SILENCE })
    }

    fn level(&mut self, listening: String, agent: Level, caller: Level) {
        self.out.direct.push(Output::Levels { listening, agent, caller });
    }
}
