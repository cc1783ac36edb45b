use super::*;
use crate::codec::{FRAME, g711};
use crate::interface::{Codec, Layout, Mix};

const BOTH: Heard = Heard { up: true, down: true };

/// A desk with its shard around it.
#[derive(Default)]
struct Room {
    desk: Desk,
    scratch: Scratch,
    counters: Counters,
}

impl Room {
    fn tick(&mut self, agent: i16, caller: i16) {
        self.desk.mix((&level(agent), &level(caller)), BOTH, &mut self.scratch, &mut self.counters);
    }

    fn samples(&self, key: usize) -> Vec<i16> {
        let payload = self.desk.track(key).expect("a kind").payload;
        payload.iter().map(|byte| g711::ULAW[usize::from(*byte)]).collect()
    }
}

fn level(sample: i16) -> Pcm {
    let mut pcm = Pcm::default();
    pcm.samples_mut().fill(sample);
    pcm
}

fn ulaw(layout: Layout) -> Wanted {
    Wanted::new(Codec::Pcmu, Mix { layout, ..Mix::default() })
}

fn near(sample: i16, expected: i16) -> bool {
    (i32::from(sample) - i32::from(expected)).abs() <= 4 + i32::from(expected).abs() / 32
}

#[test]
fn fifty_that_want_the_same_cost_one_encoder() {
    let mut room = Room::default();
    let keys: Vec<_> = (0..50).filter_map(|_| room.desk.tune(ulaw(Layout::Mono), None)).collect();
    room.tick(1000, 24);
    room.tick(1000, 24);
    assert_eq!((keys.len(), room.desk.kinds(), room.counters.frames_encoded), (50, 1, 2));
    keys.iter().for_each(|key| room.desk.leave(*key));
    room.tick(1000, 24);
    assert_eq!((room.desk.kinds(), room.counters.frames_encoded), (0, 2), "nobody, nothing");
}

#[test]
fn who_joins_later_fades_in_and_then_shares() {
    let mut room = Room::default();
    let first = room.desk.tune(ulaw(Layout::Mono), None).expect("a kind");
    (0..3).for_each(|_| room.tick(8000, 0));
    room.desk.take_settled();
    let second = room.desk.tune(ulaw(Layout::Mono), None).expect("a kind");
    room.tick(8000, 0);
    let joined = room.samples(second);
    assert!(near(joined[0], 50) && near(joined[80], 4000) && near(joined[159], 8000), "{joined:?}");
    assert!(room.desk.take_settled());
    assert_eq!((room.desk.settle(first), room.desk.settle(second)), (first, first));
    assert_eq!(room.desk.kinds(), 1);
    room.desk.leave(first);
    room.tick(8000, 0);
    assert!(near(room.samples(first)[0], 8000), "the other has it still");
}

#[test]
fn another_mix_is_a_ramp_and_the_others_keep_theirs() {
    let mut room = Room::default();
    let mono = room.desk.tune(ulaw(Layout::Mono), None).expect("a kind");
    assert_eq!(room.desk.tune(ulaw(Layout::Mono), None), Some(mono));
    room.tick(2000, 6000);
    let agent = room.desk.tune(ulaw(Layout::Agent), Some(mono)).expect("a kind");
    assert_ne!(agent, mono);
    room.tick(2000, 6000);
    let turning = room.samples(agent);
    assert!(near(turning[0], 8000) && near(turning[159], 2000), "{turning:?}");
    assert!(turning.windows(2).all(|pair| pair[1] <= pair[0]), "no step");
    assert!(near(room.samples(mono)[80], 8000));
    // Alone on its kind, it turns where it is.
    assert_eq!(room.desk.tune(ulaw(Layout::Caller), Some(agent)), Some(agent));
    room.tick(2000, 6000);
    room.tick(2000, 6000);
    assert!(near(room.samples(agent)[0], 6000));
}

#[test]
fn a_lone_voice_at_full_scale_stays_byte_for_byte() {
    let mut room = Room::default();
    let key = room.desk.tune(ulaw(Layout::Mono), None).expect("a kind");
    room.tick(0, 0);
    let mut voice = Pcm::default();
    let bytes: Vec<u8> = (0..FRAME).map(|n| (n * 7 % 256) as u8).collect();
    voice.samples_mut().iter_mut().zip(&bytes).for_each(|(sample, byte)| *sample = g711::ULAW[usize::from(*byte)]);
    room.desk.mix((&voice, &level(0)), BOTH, &mut room.scratch, &mut room.counters);
    let same = |(a, b): (&u8, &u8)| a == b || (*a, *b) == (0xff, 0x7f); // linear samples have one zero
    assert!(room.desk.track(key).expect("a kind").payload.iter().zip(&bytes).all(same));
}

#[test]
fn is_heard_only_what_is_in_the_mix() {
    let mut room = Room::default();
    let keys = [Layout::Mono, Layout::Agent, Layout::Caller].map(|layout| room.desk.tune(ulaw(layout), None));
    let heard = Heard { up: true, down: false };
    room.desk.mix((&level(1), &level(0)), heard, &mut room.scratch, &mut room.counters);
    let is_heard = keys.map(|key| key.and_then(|key| room.desk.track(key)).map(|track| track.is_heard));
    assert_eq!(is_heard, [Some(true), Some(true), Some(false)]);
}

#[test]
fn what_cannot_be_told_apart_is_one_kind() {
    let quiet = |layout, agent_db, caller_db| {
        let mix = Mix { layout, agent_db, caller_db, ..Mix::default() };
        Wanted::new(Codec::Pcma, mix)
    };
    assert_eq!(quiet(Layout::Stereo, 1, 2), quiet(Layout::Mono, 1, 2), "one channel");
    assert_eq!(quiet(Layout::Agent, 1, 2), quiet(Layout::Agent, 1, 3));
    assert_ne!(quiet(Layout::Agent, 1, 2), quiet(Layout::Agent, 2, 2));
}
