//! The engine's process dies and another one takes its place: phones, network and disk stay.

use std::time::Duration;

use engine::{Engine, Input};

use crate::plant::Plant;
use crate::world::{Happening, World};

impl World {
    /// kill -9: the engine and its media plane are gone, with everything that was under way inside. What they sent is
    /// on the wire; what was not on disk is lost. Until [`World::launch`] nobody answers.
    pub fn kill(&mut self) {
        self.down = true;
        self.queue.retain(|what| matches!(what, Happening::Datagram { .. }));
        self.replies.clear();
    }

    /// The next process, with what the disk has. Its read model begins empty, as the API's does; what the one before
    /// showed goes to [`World::past`].
    pub fn launch(&mut self) {
        self.lives += 1;
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.setup.seed.to_le_bytes());
        seed[8..16].copy_from_slice(&self.lives.to_le_bytes());
        let mut outputs = Vec::new();
        let restored = self.disk.restored();
        let (settings, directory) = (self.setup.settings.clone(), self.setup.directory.clone());
        let now = self.clocks();
        let engine = Engine::new(now, settings, directory, restored, seed, &mut outputs);
        let next_port = std::mem::take(&mut self.plant.next_port);
        self.plant =
            Plant::new(engine, Plant::shards(self.setup.shards, &self.setup.media, seed), self.setup.ports_ready);
        self.plant.next_port = next_port;
        self.past.push(std::mem::take(&mut self.model));
        self.drained = false;
        self.down = false;
        self.take_engine_outputs(outputs);
        self.drive_engine(Input::Timeout);
    }

    /// [`World::kill`], some time without an engine, and [`World::launch`].
    pub fn kill_and_restart(&mut self, down: Duration) {
        self.kill();
        self.run_for(down);
        self.launch();
    }

    /// No phone is in a call or about to be.
    #[must_use]
    pub fn everybody_is_idle(&self) -> bool {
        self.busy_phones().is_empty()
    }

    /// Who is in a call or about to be, and how far.
    #[must_use]
    pub fn busy_phones(&self) -> Vec<(String, phone::State)> {
        let of = |slot: &crate::world::Slot| {
            let open = slot.phone.calls().map(phone::Call::state).filter(|state| *state != phone::State::Ended);
            open.map(|state| (slot.name.clone(), state)).collect::<Vec<_>>()
        };
        self.phones.iter().flat_map(of).collect()
    }

    /// Inputs that engines have had so far: between any two of them a process can die.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }
}
