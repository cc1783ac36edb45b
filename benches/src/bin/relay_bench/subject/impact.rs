//! What the two parties of a call notice of being listened to: whether a byte is altered, and how far apart their packets
//! arrive, with 0, 1 and 50 listeners that join, flood the relay and leave, again and again while it is measured.

use std::time::Duration;

use super::Stage;
use crate::generator::Measured;
use crate::peer::{Capacity, Name};
use crate::results::{Results, details};
use crate::setting::Setting;

const COLUMNS: &[&str] =
    &["lost", "altered", "spacing p1 ms", "spacing p50 ms", "spacing p99 ms", "delay p50 µs", "delay p99 µs"];
const LISTENERS: [usize; 3] = [0, 1, 50];
/// Listeners stay, and stay away, for so long.
const STAY: Duration = Duration::from_millis(700);
const AWAY: Duration = Duration::from_millis(300);

pub(crate) fn run(setting: &Setting, peers: &[Name]) -> Result<(), String> {
    let mut results = Results::new("impact", COLUMNS)?;
    for _ in 0..setting.repeat {
        for name in peers.iter().filter(|name| !matches!(name, Name::Bare | Name::BareRing | Name::Direct)) {
            for listeners in LISTENERS {
                let mut stage = Stage::new(*name, setting, Capacity { calls: 1, listeners })?;
                let measured = stage.listened_to(setting, listeners)?;
                let ms = |share| measured.spacing.quantile(share).as_secs_f64() * 1e3;
                let us = |share| measured.delay.quantile(share).as_secs_f64() * 1e6;
                let lost = measured.sent.saturating_sub(measured.received) as f64;
                let figures = [lost, measured.altered as f64, ms(0.01), ms(0.5), ms(0.99), us(0.5), us(0.99)];
                results.add(
                    stage.peer.name(),
                    &format!("1 call, {listeners} listeners"),
                    &figures,
                    &details(&measured),
                );
            }
        }
    }
    results.print();
    Ok(())
}

impl Stage {
    fn listened_to(&mut self, setting: &Setting, listeners: usize) -> Result<Measured, String> {
        let Self { peer, calls, generator } = self;
        let (generator, pid) = (&*generator, peer.pid());
        std::thread::scope(|scope| {
            let measuring = scope.spawn(|| generator.run(setting, &calls.legs, pid));
            while listeners > 0 && !measuring.is_finished() {
                let heard = peer.listen(&vec![0; listeners])?;
                generator.flood(&heard.relay, STAY);
                peer.leave()?;
                std::thread::sleep(AWAY);
            }
            measuring.join().map_err(|_| "the generator has panicked".to_owned())
        })
    }
}
