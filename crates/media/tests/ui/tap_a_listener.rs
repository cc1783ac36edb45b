//! A listener cannot be what another one hears.
use media::{ListenerId, Taps};

fn main() {
    let _ = Taps { agent: ListenerId(2) };
}
