//! Collects problems, warnings and the known keys while a configuration is walked.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::report::{Place, Problem};

/// What a walk finds.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
    pub(super) keys: BTreeSet<String>,
}

/// [`Found`], shared by all parts of one walk.
#[derive(Debug, Default)]
pub(super) struct Listing {
    found: RefCell<Found>,
}

impl Listing {
    pub(super) fn problem(&self, place: &Place, key: &str, message: impl Into<String>) {
        self.found.borrow_mut().problems.push(problem(place, key, message.into()));
    }

    pub(super) fn warning(&self, place: &Place, key: &str, message: impl Into<String>) {
        self.found.borrow_mut().warnings.push(problem(place, key, message.into()));
    }

    pub(super) fn known(&self, key: String) {
        self.found.borrow_mut().keys.insert(key);
    }

    pub(super) fn into_inner(self) -> Found {
        self.found.into_inner()
    }
}

fn problem(place: &Place, key: &str, message: String) -> Problem {
    Problem { place: place.clone(), key: key.to_owned(), message }
}
