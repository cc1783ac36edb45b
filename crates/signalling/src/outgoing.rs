//! A single-leg UAC call: the listener's.
