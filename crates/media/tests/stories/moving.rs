//! Streams and listeners that move to another shard: nobody notices but by a new clock that nobody sees.

use std::time::Duration;

use media::router::{MoveId, Take};
use media::{Command, Event, Kind, ListenerId, Parcel, Settings, Shard, StreamId};

use crate::world::*;

fn take(streams: &[StreamId], listeners: &[ListenerId]) -> Take {
    Take { id: MoveId(1), streams: streams.to_vec(), listeners: listeners.to_vec() }
}

impl World {
    /// Caller, agent and the first listener go to another shard, whose clock began so long ago or begins with them.
    fn moves(&mut self, clock_began: Option<Duration>) {
        let parcel = self.shard.take(&take(&[CALLER, AGENT], &[ListenerId(1)])).expect("they are there");
        assert_eq!(self.shard.sizes(), (0, 0));
        assert_eq!(self.shard.counters().commands_refused, 0);
        self.arrives(parcel, clock_began);
    }

    fn arrives(&mut self, parcel: Parcel, clock_began: Option<Duration>) {
        self.shard = Shard::new(Settings::default(), [9; 32]);
        let now = self.now();
        if let Some(began) = clock_began {
            self.shard.command(now - began, Command::Unbridge { stream: StreamId(99) }, &mut self.recorder);
        }
        self.shard.adopt(now, parcel);
    }

    /// Every packet to the listener follows the one before: sequence, clock and time.
    #[track_caller]
    fn assert_smooth(&self, n: u64) {
        let sent = self.sent(listener_port(n), Kind::Rtp);
        for pair in sent.windows(2) {
            let (before, after) = (header(&pair[0].data), header(&pair[1].data));
            assert_eq!(after.ssrc, before.ssrc);
            assert_eq!(after.sequence, before.sequence.wrapping_add(1));
            assert_eq!(after.timestamp, before.timestamp.wrapping_add(160));
            let gap = pair[1].at - pair[0].at;
            assert!((19..=21).contains(&gap.as_millis()), "{gap:?}");
        }
    }
}

#[test]
fn a_call_and_its_listener_go_on_as_if_nothing_had_happened() {
    let ms = Duration::from_millis;
    let clocks = [None, Some(ms(7)), Some(Duration::from_micros(3_141_592)), Some(ms(90_000))];
    for clock_began in clocks {
        for moment in [1_000, 1_007, 1_013] {
            let mut world = World::call();
            world.listener(1);
            world.run(moment);
            world.moves(clock_began);
            world.run(2_000);
            world.assert_smooth(1);
            let packets = world.sent(listener_port(1), Kind::Rtp).len() as u64;
            assert!(packets.abs_diff((moment + 2_000) / 20) <= 1, "{packets}");
            world.forget_sent();
            world.run(500);
            world.assert_hears(1, &[CALLER_HZ, AGENT_HZ]);
            let to_agent = world.sent(port(AGENT), Kind::Rtp);
            assert_eq!(to_agent.len(), 25, "the relay goes on");
            assert!(world.events().iter().filter(|event| matches!(event, Event::Live { .. })).count() == 1);
        }
    }
}

#[test]
fn no_frame_is_lost_to_the_listener_by_a_move() {
    let mut world = World::call();
    world.listener(1);
    world.run(1_000);
    world.forget_sent();
    world.moves(Some(Duration::from_millis(10)));
    world.run(200);
    for frame in world.heard(1).chunks(160) {
        assert!(level(frame, CALLER_HZ) > 6000.0 && level(frame, AGENT_HZ) > 6000.0, "a frame without both");
    }
    assert_eq!(world.shard.counters().frames_concealed, 0);
}

#[test]
fn its_reports_go_on_by_the_same_clock() {
    for clock_began in [None, Some(Duration::from_secs(77))] {
        let mut world = World::call();
        world.listener(1);
        world.run(12_000);
        world.moves(clock_began);
        world.run(20_000);
        let reports: Vec<(f64, u32)> = world
            .sent(listener_port(1), Kind::Rtcp)
            .iter()
            .map(|sent| {
                let word = |at: usize| u32::from_be_bytes(sent.data[at..at + 4].try_into().expect("four bytes"));
                (f64::from(word(8)) + f64::from(word(12)) / 4_294_967_296.0, word(16))
            })
            .collect();
        assert!(reports.len() >= 4, "{reports:?}");
        for pair in reports.windows(2) {
            let (seconds, samples) = (pair[1].0 - pair[0].0, pair[1].1.wrapping_sub(pair[0].1));
            assert!((seconds * 8000.0 - f64::from(samples)).abs() < 16.0, "{seconds} s, {samples} samples");
        }
    }
}

#[test]
fn a_move_that_takes_long_passes_on_the_clock() {
    let mut world = World::call();
    world.listener(1);
    world.run(1_000);
    let parcel = world.shard.take(&take(&[CALLER, AGENT], &[ListenerId(1)])).expect("they are there");
    world.shard = Shard::new(Settings::default(), [8; 32]);
    world.run(100);
    world.arrives(parcel, Some(Duration::from_millis(333)));
    world.run(500);
    let sent = world.sent(listener_port(1), Kind::Rtp);
    let (first, last) = (sent.first().expect("packets"), sent.last().expect("packets"));
    let samples = header(&last.data).timestamp.wrapping_sub(header(&first.data).timestamp);
    let passed = (last.at - first.at).as_micros() as i64 / 125;
    assert!((i64::from(samples) - passed).abs() <= 16, "{samples} samples in {passed}");
    assert!(sent.windows(2).all(|pair| (pair[1].at - pair[0].at).as_millis() >= 19), "no burst");
}

#[test]
fn figures_and_what_was_heard_go_along() {
    let mut world = World::call();
    world.listener(1);
    world.run(5_000);
    world.moves(None);
    world.run(1_000);
    world.ok(Command::Close { stream: CALLER });
    world.ok(Command::CloseListener { listener: ListenerId(1) });
    let packets = world.events().into_iter().find_map(|event| match event {
        Event::Closed { stream: CALLER, figures } => Some(figures.packets),
        _ => None,
    });
    assert_eq!(packets, Some(300));
    let heard = world.events().into_iter().find_map(|event| match event {
        Event::ListenerClosed { heard_ms, .. } => Some(*heard_ms),
        _ => None,
    });
    assert!(heard.is_some_and(|ms| (5_800..=6_000).contains(&ms)), "{heard:?}");
    assert_eq!(world.recorder.released, [port(CALLER), listener_port(1)]);
}

#[test]
fn who_stays_behind_is_parted_and_hears_silence() {
    let mut world = World::call();
    world.listener(1);
    world.listener(2);
    world.run(1_000);
    let parcel = world.shard.take(&take(&[AGENT], &[ListenerId(2)])).expect("they are there");
    assert_eq!(parcel.ports().collect::<Vec<_>>(), [port(AGENT), listener_port(2)]);
    assert_eq!(world.shard.sizes(), (1, 1));
    world.forget_sent();
    world.run(1_000);
    world.assert_hears(1, &[]);
    assert_eq!(world.sent(listener_port(1), Kind::Rtp).len(), 50);
    assert!(world.sent(port(AGENT), Kind::Rtp).is_empty() && world.sent(port(CALLER), Kind::Rtp).is_empty());
    let mut other = Shard::new(Settings::default(), [8; 32]);
    other.adopt(world.now(), parcel);
    assert_eq!(other.sizes(), (1, 1));
    assert!(world.shard.take(&take(&[AGENT], &[ListenerId(2)])).is_none(), "not here any more");
}

#[test]
fn a_shield_and_a_digit_go_along() {
    let mut world = World::call();
    world.listener(1);
    world.run(1_000);
    world.ok(Command::Shield { listener: ListenerId(1), on: true });
    world.moves(None);
    world.forget_sent();
    world.run(1_000);
    world.assert_hears(1, &[]);
}

#[test]
fn what_it_hears_of_the_call_its_figures_and_who_waits_for_keys_go_along() {
    let mut world = World::call();
    world.listener(1);
    let mix = media::Mix { layout: media::Layout::Agent, ..media::Mix::default() };
    world.ok(Command::Mix { listener: ListenerId(1), mix });
    world.ok(Command::WatchLevels { stream: AGENT, on: true });
    world.ok(Command::WatchPartyKeys { stream: AGENT, on: true });
    world.run(500);
    let next = world.voice(AGENT).sequence;
    world.voice(AGENT).lost = vec![next, next.wrapping_add(9)];
    world.run(1_000);
    world.moves(Some(Duration::from_millis(5_003)));
    world.forget_sent();
    world.recorder.events.clear();
    world.run(1_000);
    world.assert_hears(1, &[AGENT_HZ]);
    world.assert_smooth(1);
    assert!((49..=51).contains(&world.shard.counters().frames_encoded), "one kind, as before");
    assert!((9..=11).contains(&world.count(|event| matches!(event, Event::Levels { .. }))));
    world.from(AGENT, &rtp(101, 7, 5, 9, &[3, 10, 0, 160]));
    assert_eq!(world.count(|event| *event == Event::PartyKey { stream: AGENT, key: '3' }), 1);
    world.ok(Command::CloseListener { listener: ListenerId(1) });
    let lost = world.events().into_iter().find_map(|event| match event {
        Event::ListenerClosed { quality, .. } => Some((quality.lost, quality.first_audio_ms.is_some())),
        _ => None,
    });
    assert_eq!(lost, Some((2, true)));
}
