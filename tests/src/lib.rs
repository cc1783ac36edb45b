//! Helpers shared by the stories, the interop tests and the whole-process benches.

pub mod rig;
