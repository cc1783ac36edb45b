//! Dropping what a listener sent is all that can be done with it, and it yields nothing to relay.
use std::net::SocketAddr;
use std::time::Instant;

use media::Counters;
use media::listener::ListenerLeg;

fn whisper(leg: &mut ListenerLeg, now: Instant, source: SocketAddr, data: &mut [u8]) {
    let _audio: &[u8] = leg.drop_rtp(now, source, data, &mut Counters::default());
}

fn main() {}
