//! Listeners that want different things of one call: codecs, layouts, gains; shared where they want the same.

use media::codec::{Decoder, MAX_DECODED};
use media::{Codec, Command, Kind, Layout, ListenerId, ListenerRemote, Mix};

use crate::world::*;

const CODECS: [Codec; 5] = [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus, Codec::OpusStereo];

/// A listener in a codec, with its ear on the agent.
fn listener(world: &mut World, n: u64, codec: Codec) {
    let listener = ListenerId(n);
    let payload_type = codec.static_type().unwrap_or(111);
    world.ok(Command::OpenListener { listener, port: listener_port(n) });
    world.focus(n, Some(AGENT));
    let remote = ListenerRemote { codec, payload_type, ..listener_remote(n) };
    world.ok(Command::Listen { listener, remote });
}

fn mix(world: &mut World, n: u64, mix: Mix) {
    world.ok(Command::Mix { listener: ListenerId(n), mix });
}

fn layout(layout: Layout) -> Mix {
    Mix { layout, ..Mix::default() }
}

/// What a listener's phone plays of what came since the last `forget_sent`: one channel.
struct Phone {
    n: u64,
    decoder: Decoder,
}

impl Phone {
    fn new(n: u64, codec: Codec) -> Self {
        Self { n, decoder: Decoder::new(codec).expect("a codec that is read") }
    }

    fn play(&mut self, world: &mut World) -> Vec<i16> {
        let mut played = Vec::new();
        for sent in world.sent(listener_port(self.n), Kind::Rtp) {
            let mut frame = [0; MAX_DECODED];
            let length = self.decoder.decode(&sent.data[12..], &mut frame).expect("a payload");
            assert_eq!(length, self.decoder.codec().rate().frame(), "20 ms");
            played.extend_from_slice(&frame[..length]);
        }
        world.forget_sent();
        played
    }

    /// The amplitudes of the caller's tone and the agent's.
    fn hears(&mut self, world: &mut World) -> (f64, f64) {
        let hertz = f64::from(self.decoder.codec().rate().hertz());
        let played = self.play(world);
        (amplitude(&played, hertz, CALLER_HZ), amplitude(&played, hertz, AGENT_HZ))
    }
}

/// Of a tone, over whole tenths of a second.
fn amplitude(samples: &[i16], hertz: f64, hz: f64) -> f64 {
    let windows = samples.chunks_exact((hertz / 10.0) as usize);
    let count = windows.len().max(1) as f64;
    let power = windows.map(|window| {
        let part = |f: fn(f64) -> f64| -> f64 {
            let wave = |(n, s): (usize, &i16)| f64::from(*s) * f(std::f64::consts::TAU * hz * n as f64 / hertz);
            window.iter().enumerate().map(wave).sum::<f64>() * 2.0 / window.len() as f64
        };
        part(f64::sin).powi(2) + part(f64::cos).powi(2)
    });
    (power.sum::<f64>() / count).sqrt()
}

fn is_loud(amplitude: f64) -> bool {
    (7_000.0..9_000.0).contains(&amplitude)
}

fn is_quiet(amplitude: f64) -> bool {
    amplitude < 200.0
}

#[test]
fn every_codec_hears_both_at_its_own_clock() {
    for (n, codec) in CODECS.into_iter().enumerate() {
        let n = n as u64 + 1;
        let mut world = World::call();
        listener(&mut world, n, codec);
        let mut phone = Phone::new(n, codec);
        world.run(500);
        phone.play(&mut world);
        world.run(500);
        let clocks: Vec<u32> =
            world.sent(listener_port(n), Kind::Rtp).iter().map(|sent| header(&sent.data).timestamp).collect();
        assert!(clocks.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == codec.clock() / 50), "{codec:?}");
        let (caller, agent) = phone.hears(&mut world);
        assert!(is_loud(caller) && is_loud(agent), "{codec:?}: {caller} {agent}");
    }
}

#[test]
fn what_cannot_be_written_is_refused() {
    let mut world = World::call();
    let listener = ListenerId(1);
    world.ok(Command::OpenListener { listener, port: listener_port(1) });
    let remote = ListenerRemote { codec: Codec::G729, payload_type: 18, ..listener_remote(1) };
    world.order(Command::Listen { listener, remote });
    assert_eq!(world.shard.counters().commands_refused, 1);
    world.run(100);
    assert!(world.sent(listener_port(1), Kind::Rtp).is_empty());
}

#[test]
fn layouts_are_of_sides() {
    for codec in CODECS {
        let mut world = World::call();
        listener(&mut world, 1, codec);
        let mut phone = Phone::new(1, codec);
        for (wanted, has_caller, has_agent) in
            [(Layout::Agent, false, true), (Layout::Caller, true, false), (Layout::Mono, true, true)]
        {
            mix(&mut world, 1, layout(wanted));
            world.run(200);
            phone.play(&mut world);
            world.run(400);
            let (caller, agent) = phone.hears(&mut world);
            let is_right = |has, amplitude| if has { is_loud(amplitude) } else { is_quiet(amplitude) };
            assert!(is_right(has_caller, caller), "{codec:?} {wanted:?}: caller {caller}");
            assert!(is_right(has_agent, agent), "{codec:?} {wanted:?}: agent {agent}");
        }
    }
}

/// Both channels of what came since the last `forget_sent`.
fn channels(world: &mut World, decoder: &mut ropus::Decoder) -> [Vec<i16>; 2] {
    let mut channels = [Vec::new(), Vec::new()];
    for sent in world.sent(listener_port(1), Kind::Rtp) {
        let mut frame = [0; 1_920];
        let length = decoder.decode(&sent.data[12..], &mut frame, ropus::DecodeMode::Normal).expect("Opus");
        assert_eq!(length, 960);
        for [left, right] in frame.as_chunks::<2>().0 {
            channels[0].push(*left);
            channels[1].push(*right);
        }
    }
    world.forget_sent();
    channels
}

#[test]
fn in_stereo_the_agent_is_left_and_the_caller_right() {
    let mut world = World::call();
    listener(&mut world, 1, Codec::OpusStereo);
    mix(&mut world, 1, layout(Layout::Stereo));
    let mut decoder = ropus::Decoder::new(48_000, ropus::Channels::Stereo).expect("a decoder");
    world.run(500);
    channels(&mut world, &mut decoder);
    world.run(500);
    let [left, right] = channels(&mut world, &mut decoder);
    let of = |samples: &[i16]| (amplitude(samples, 48_000.0, AGENT_HZ), amplitude(samples, 48_000.0, CALLER_HZ));
    let ((agent, crosstalk), (leak, caller)) = (of(&left), of(&right));
    assert!(is_loud(agent) && is_quiet(crosstalk), "left: {agent} {crosstalk}");
    assert!(is_loud(caller) && is_quiet(leak), "right: {caller} {leak}");
    // One channel again, in both.
    mix(&mut world, 1, Mix::default());
    world.run(100);
    channels(&mut world, &mut decoder);
    world.run(300);
    for channel in channels(&mut world, &mut decoder) {
        let (agent, caller) = of(&channel);
        assert!(is_loud(agent) && is_loud(caller), "{agent} {caller}");
    }
}

#[test]
fn gains_are_in_decibels_of_each_side() {
    let mut world = World::call();
    listener(&mut world, 1, Codec::G722);
    mix(&mut world, 1, Mix { agent_db: -20, caller_db: 6, ..Mix::default() });
    let mut phone = Phone::new(1, Codec::G722);
    world.run(500);
    phone.play(&mut world);
    world.run(500);
    let (caller, agent) = phone.hears(&mut world);
    assert!((caller / 8_000.0 - 1.995).abs() < 0.03, "{caller}");
    assert!((agent / 8_000.0 - 0.1).abs() < 0.02, "{agent}");
}

#[test]
fn levelled_sides_are_as_loud_as_each_other() {
    let mut world = World::call();
    world.voice(CALLER).amplitude = 600.0;
    world.voice(AGENT).amplitude = 9_000.0;
    listener(&mut world, 1, Codec::Pcma);
    listener(&mut world, 2, Codec::Pcma);
    mix(&mut world, 1, Mix { is_levelled: true, ..Mix::default() });
    // Words and pauses.
    for n in 0..40 {
        world.voices.iter_mut().for_each(|voice| voice.talks = n % 2 == 0);
        world.run(400);
    }
    world.voices.iter_mut().for_each(|voice| voice.talks = true);
    world.run(200);
    world.forget_sent();
    world.run(300);
    let mut levelled = Phone::new(1, Codec::Pcma);
    let played: Vec<_> = world.sent(listener_port(2), Kind::Rtp).into_iter().cloned().collect();
    let (caller, agent) = levelled.hears(&mut world);
    let apart = 20.0 * (agent / caller).log10();
    assert!(apart.abs() < 6.0, "{agent} and {caller}: {apart} dB apart instead of 23");
    world.recorder.sent = played;
    let (caller, agent) = Phone::new(2, Codec::Pcma).hears(&mut world);
    assert!((agent / caller - 15.0).abs() < 1.0, "who did not ask for it hears them as they are: {agent} {caller}");
}

#[test]
fn fifty_listeners_are_encoded_once() {
    for codec in CODECS {
        let mut world = World::call();
        for n in 1..=50 {
            listener(&mut world, n, codec);
            world.run(7);
        }
        world.run(1_000);
        let before = world.shard.counters();
        world.forget_sent();
        world.run(1_000);
        let after = world.shard.counters();
        assert_eq!(after.frames_encoded - before.frames_encoded, 50, "{codec:?}");
        assert_eq!(after.listener_packets_sent - before.listener_packets_sent, 50 * 50);
        let of = |n| world.sent(listener_port(n), Kind::Rtp);
        for (one, other) in of(1).iter().zip(of(50)) {
            assert_eq!(one.data[12..], other.data[12..], "the same payload");
            assert_ne!(one.data[8..12], other.data[8..12], "under another source");
        }
    }
}

#[test]
fn each_codec_and_mix_is_one_more_and_goes_with_its_last_listener() {
    let mut world = World::call();
    let encoded = |world: &mut World| {
        let before = world.shard.counters().frames_encoded;
        world.run(1_000);
        world.shard.counters().frames_encoded - before
    };
    for (n, codec) in (1..).zip(CODECS) {
        listener(&mut world, n, codec);
    }
    world.run(500);
    assert_eq!(encoded(&mut world), 5 * 50);
    mix(&mut world, 1, layout(Layout::Stereo));
    mix(&mut world, 4, layout(Layout::Stereo));
    assert_eq!(encoded(&mut world), 5 * 50, "stereo is mono where there is one channel");
    listener(&mut world, 6, Codec::Pcmu);
    world.run(500);
    assert_eq!(encoded(&mut world), 5 * 50);
    mix(&mut world, 6, layout(Layout::Agent));
    world.run(500);
    assert_eq!(encoded(&mut world), 6 * 50);
    mix(&mut world, 6, Mix::default());
    world.run(500);
    assert_eq!(encoded(&mut world), 5 * 50, "and back");
    for n in 1..=6 {
        world.ok(Command::CloseListener { listener: ListenerId(n) });
    }
    assert_eq!(encoded(&mut world), 0);
}

/// The greatest step between neighbouring samples that a tone of 440 Hz and one of 1 kHz do not have: a click.
fn roughest(samples: &[i16], hertz: f64) -> f64 {
    // Second differences: of a tone of amplitude a at most a·ω².
    let second = |w: &[i16]| (f64::from(w[0]) - 2.0 * f64::from(w[1]) + f64::from(w[2])).abs();
    let allowed: f64 =
        [CALLER_HZ, AGENT_HZ].iter().map(|hz| 8_000.0 * (std::f64::consts::TAU * hz / hertz).powi(2)).sum();
    samples.windows(3).map(second).fold(0.0, f64::max) / allowed
}

#[test]
fn turning_to_another_mix_is_no_click_and_keeps_the_stream() {
    for codec in [Codec::Pcma, Codec::G722, Codec::Opus, Codec::OpusStereo] {
        let hertz = f64::from(codec.rate().hertz());
        for others in [0, 1] {
            let mut world = World::call();
            listener(&mut world, 1, codec);
            if others > 0 {
                listener(&mut world, 2, codec);
            }
            let mut phone = Phone::new(1, codec);
            world.run(1_000);
            phone.play(&mut world);
            world.run(200);
            let usual = roughest(&phone.play(&mut world), hertz);
            for wanted in [Layout::Agent, Layout::Caller, Layout::Stereo, Layout::Mono] {
                mix(&mut world, 1, Mix { layout: wanted, agent_db: -6, ..Mix::default() });
                world.run(400);
                let sent = world.sent(listener_port(1), Kind::Rtp);
                assert!(sent.windows(2).all(|pair| {
                    let (a, b) = (header(&pair[0].data), header(&pair[1].data));
                    b.sequence == a.sequence.wrapping_add(1) && b.ssrc == a.ssrc && !b.marker
                }));
                let rough = roughest(&phone.play(&mut world), hertz);
                println!("{codec:?} {wanted:?}, {others} others: {rough:.2}, usually {usual:.2}");
                assert!(
                    rough < usual.max(1.0) * 1.3,
                    "{codec:?} {wanted:?}, {others} others: {rough}, usually {usual}"
                );
            }
        }
    }
}

#[test]
fn another_codec_keeps_source_and_sequence() {
    let mut world = World::call();
    listener(&mut world, 1, Codec::Pcmu);
    world.run(500);
    let before = header(&world.sent(listener_port(1), Kind::Rtp).last().expect("a packet").data).to_owned();
    let (ssrc, sequence, timestamp) = (before.ssrc, before.sequence, before.timestamp);
    let remote = ListenerRemote { codec: Codec::Opus, payload_type: 111, ..listener_remote(1) };
    world.forget_sent();
    world.ok(Command::Listen { listener: ListenerId(1), remote });
    world.run(400);
    let sent: Vec<_> = world.sent(listener_port(1), Kind::Rtp).into_iter().cloned().collect();
    let first = header(&sent[0].data);
    assert_eq!((first.ssrc, first.sequence, first.payload_type), (ssrc, sequence.wrapping_add(1), 111));
    assert!(first.marker, "another clock begins");
    assert_eq!(first.timestamp, timestamp.wrapping_add(160));
    assert_eq!(header(&sent[1].data).timestamp, first.timestamp.wrapping_add(960));
    let mut phone = Phone::new(1, Codec::Opus);
    let (caller, agent) = phone.hears(&mut world);
    assert!(is_loud(caller) && is_loud(agent), "{caller} {agent}");
}

/// A call that a listener heard for so long, and from which it was then shielded: the shielded packets, and what its phone
/// plays from the first of them on. `after`: how loud the call is from the shield on.
fn shielded(codec: Codec, talk_ms: u64, after: f64) -> (Vec<Vec<u8>>, Vec<i16>) {
    let mut world = World::call();
    // Nearly full scale, so that what is left of it would be heard.
    world.voices.iter_mut().for_each(|voice| voice.amplitude = 14_000.0);
    listener(&mut world, 1, codec);
    listener(&mut world, 2, codec);
    let mut phone = Phone::new(1, codec);
    world.run(talk_ms);
    phone.play(&mut world);
    world.ok(Command::Shield { listener: ListenerId(1), on: true });
    world.voices.iter_mut().for_each(|voice| voice.amplitude = after);
    world.run(2_000);
    let packets: Vec<_> = world.sent(listener_port(1), Kind::Rtp).iter().map(|sent| sent.data[12..].to_vec()).collect();
    assert_eq!(packets.len(), 100, "from the next tick on");
    (packets, phone.play(&mut world))
}

#[test]
fn the_shield_is_silence_within_a_tick_in_every_codec() {
    let peak = |samples: &[i16]| samples.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0);
    for codec in CODECS {
        for talk_ms in [1_000, 1_007, 260, 45] {
            let (packets, played) = shielded(codec, talk_ms, 14_000.0);
            assert!(packets == shielded(codec, talk_ms, 900.0).0, "{codec:?}: nothing of the call is in them");
            let is_constant = packets[1..].iter().all(|payload| *payload == packets[1]);
            assert!(is_constant || codec == Codec::G722, "{codec:?}: after the first, silence is one payload");
            // It fades out, and the band filters of G.722 hold another 1.4 ms.
            let frame = codec.rate().frame();
            let faded = frame / 4 + if codec == Codec::G722 { 24 } else { 0 };
            for (from, most) in [(faded, 500), (frame, 40)] {
                assert!(peak(&played[from..]) <= most, "{codec:?}: {} from sample {from} on", peak(&played[from..]));
            }
        }
    }
}

#[test]
fn what_ends_in_one_codec_is_not_sent_in_another() {
    let mut world = World::call();
    listener(&mut world, 1, Codec::G722);
    world.run(500);
    world.ok(Command::Shield { listener: ListenerId(1), on: true });
    world.run(40);
    world.forget_sent();
    let remote = ListenerRemote { codec: Codec::Pcmu, payload_type: 0, ..listener_remote(1) };
    world.ok(Command::Listen { listener: ListenerId(1), remote });
    world.run(200);
    let sent = world.sent(listener_port(1), Kind::Rtp);
    assert_eq!(sent.len(), 10);
    sent.iter().for_each(|sent| assert_eq!(sent.data[12..], [0xff; 160], "silence"));
}

#[test]
fn after_the_shield_both_are_heard_again() {
    for codec in CODECS {
        let mut world = World::call();
        listener(&mut world, 1, codec);
        let mut phone = Phone::new(1, codec);
        for _ in 0..3 {
            world.run(200);
            world.ok(Command::Shield { listener: ListenerId(1), on: true });
            world.run(100);
            world.ok(Command::Shield { listener: ListenerId(1), on: false });
        }
        world.run(200);
        phone.play(&mut world);
        world.run(400);
        let (caller, agent) = phone.hears(&mut world);
        assert!(is_loud(caller) && is_loud(agent), "{codec:?}: {caller} {agent}");
    }
}
