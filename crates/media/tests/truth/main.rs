//! Truth: what a listener hears of synthetic speech, measured. `MEDLYTT_LONG=1` runs the long forms (an hour of drift).
#![allow(unreachable_pub)] // a test binary has no outside
#![allow(clippy::disallowed_methods)] // the scene's origin is any instant; after that, time is told
#![allow(clippy::needless_range_loop)] // signals are read at several places at once

mod delay;
mod drift;
mod fidelity;
mod joins;
mod measure;
mod scene;
mod speech;

/// The long form of a test is wanted.
fn is_long() -> bool {
    std::env::var_os("MEDLYTT_LONG").is_some()
}
