//! Request and listening state machines, limits, reasons.
