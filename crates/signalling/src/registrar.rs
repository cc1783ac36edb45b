//! Bindings (RFC 3261 §10): who is registered, and by which flow they are reached.
