//! What must hold for any bytes whatsoever. Each target's body is a plain function here; `fuzz/` hands them to libFuzzer,
//! and `tests/corpus.rs` runs them on stable over a corpus and random mutations of it.
//!
//! ```
//! let (name, body) = fuzzing::TARGETS[0];
//! assert_eq!(name, "message");
//! body(b"OPTIONS sip:a SIP/2.0\r\n\r\n"); // panics where something does not hold
//! ```

// Simulated clocks start somewhere, and the store has a file.
#![allow(clippy::disallowed_methods)]

pub mod decoder;
pub mod engine_ops;
pub mod message;
pub mod packets;
pub mod sdp;
pub mod srtp;
pub mod store_record;
pub mod stream;

/// A body: panics where something does not hold.
pub type Body = fn(&[u8]);

/// Every target by its name, which is that of its folder in `corpus/` and of its file in `fuzz/fuzz_targets/`.
pub const TARGETS: [(&str, Body); 9] = [
    ("message", message::body),
    ("stream", stream::body),
    ("sdp", sdp::body),
    ("rtp", packets::rtp),
    ("rtcp", packets::rtcp),
    ("srtp", srtp::body),
    ("decoder", decoder::body),
    ("store_record", store_record::body),
    ("engine_ops", engine_ops::body),
];
