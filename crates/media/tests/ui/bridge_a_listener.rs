//! A listener cannot be bridged to a leg.
use media::{Command, ListenerId, StreamId};

fn main() {
    let _ = Command::Bridge { a: StreamId(1), b: ListenerId(2) };
}
