//! Every state has a wake-up time or is idle, and waking up gets the engine on.

use std::time::{Duration, Instant};

use engine::Input;
use engine::view::ListeningState;

use super::Report;
use crate::world::World;

/// Wake-ups in a row that may leave the next one at or before the present.
const MAX_IDLE_WAKES: u32 = 3;
/// Wake-ups in one simulated second, far above what calls of a swarm's size need.
const MAX_WAKES_PER_SECOND: u32 = 2_000;

#[derive(Debug, Default)]
pub(super) struct Wakes {
    woken: bool,
    idle: u32,
    second: Option<(Instant, u32)>,
}

impl Wakes {
    pub(super) fn input(&mut self, world: &World, input: &Input, report: &mut Report<'_>) {
        self.woken = matches!(input, Input::Timeout);
        if !self.woken {
            return;
        }
        let (began, count) = self.second.get_or_insert((world.now, 0));
        if world.now.saturating_duration_since(*began) >= Duration::from_secs(1) {
            (*began, *count) = (world.now, 0);
        }
        *count += 1;
        report.must(*count != MAX_WAKES_PER_SECOND, "the engine does not spin", || {
            format!("{MAX_WAKES_PER_SECOND} wake-ups in a second")
        });
    }

    pub(super) fn driven(&mut self, world: &World, report: &mut Report<'_>) {
        let wake_at = world.engine_wakes_at();
        if std::mem::take(&mut self.woken) {
            let idle = wake_at.is_some_and(|at| at <= world.now);
            self.idle = if idle { self.idle + 1 } else { 0 };
            report.must(self.idle <= MAX_IDLE_WAKES, "waking up gets the engine on", || {
                format!("{} wake-ups in a row changed nothing", self.idle)
            });
        }
        if wake_at.is_some() {
            return;
        }
        let sizes = world.sizes();
        let waits = [
            ("transactions", sizes.signalling.transactions),
            ("media plans", sizes.signalling.plans),
            ("requests", world.model.requests.values().filter(|r| r.state.is_active()).count()),
            ("ringing listeners", world.live_listenings(ListeningState::Ringing)),
            ("transfers", sizes.signalling.transfers),
            ("ears without their last figures", sizes.closed_ears),
        ];
        for (what, number) in waits {
            report.must(number == 0, "what waits has a wake-up time", || format!("{number} {what} and no wake-up"));
        }
    }
}
