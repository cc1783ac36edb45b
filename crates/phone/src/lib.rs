//! A SIP phone with a voice and ears, sans-IO: the demo's parties and the simulator's.
//!
//! Read this first. [`Phone::drive`] takes one [`Input`]; what a person does with a phone (dial, answer, hold, transfer)
//! are methods of [`Phone`]. Both append what follows to the outputs. It reads messages with `signalling::message` but
//! has transactions and dialogs of its own, so that it is a peer of the engine and not its mirror.
//!
//! ```
//! use std::time::Instant;
//! use phone::{Dial, Output, Phone, Settings, State, Voice};
//!
//! # #[allow(clippy::disallowed_methods)]
//! let now = Instant::now();
//! let mut anna = Phone::new(Settings {
//!     voice: Voice::Tone(440.0),
//!     ..Settings::new("anna", "pbx.example", "192.0.2.7:5060".parse().unwrap(), "192.0.2.1:5060".parse().unwrap())
//! }, [7; 32]);
//! let mut out = Vec::new();
//! let call = anna.dial(now, Dial::to("sip:1002@pbx.example"), &mut out);
//! // The shell is asked for a pair of media sockets; the INVITE follows when it has told their address.
//! assert!(matches!(out[..], [Output::OpenMedia { .. }]));
//! assert_eq!(anna.call(call).unwrap().state(), State::Calling);
//! ```

pub mod ears;
pub mod g711;
pub mod rtp;
pub mod voice;

mod answering;
mod call;
mod client;
mod digest;
mod interface;
mod requests;
mod server;
mod session;
mod sound;
mod srtp;
mod ua;

pub use call::{Answered, Call};
pub use ears::{Ears, Heard};
pub use g711::Codec;
pub use interface::*;
pub use session::Session;
pub use ua::Phone;
pub use voice::Voice;
