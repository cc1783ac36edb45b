//! The supervisor's page in Debian's Chromium, against the real binary with real calls.

mod admin;
mod listening;
mod load;
mod looks;
mod lost;
mod people;
mod requests;
