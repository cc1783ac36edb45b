//! What a listener sends comes out nowhere: its leg has no method to receive.
use media::listener::ListenerLeg;

fn whisper(leg: &mut ListenerLeg, data: &[u8]) {
    leg.receive(data);
}

fn main() {}
