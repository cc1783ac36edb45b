//! What the clients asked for, what was acknowledged, and what nobody can know because no answer came.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::{Value, json};

/// One order, from before it was sent.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) agent: String,
    pub(super) listener: usize,
    pub(super) calls: Option<u64>,
    /// No two orders or changes ever name the same time: it tells whose a request is.
    pub(super) until: Timestamp,
    pub(super) key: Option<String>,
    /// As it was first answered.
    pub(super) answer: Option<Value>,
    pub(super) deleted: bool,
    /// A change that was sent and not answered.
    pub(super) doubt: Option<Doubt>,
    /// Most of N that an answer said were used.
    pub(super) used: u64,
    /// The listener's calls that can belong to it: after this one of its phone, and up to the other.
    pub(super) calls_after: u32,
    pub(super) calls_until: Option<u32>,
    /// It was looked at after a restart and can change no more.
    pub(super) settled: bool,
}

/// See [`Order::doubt`].
#[derive(Clone, Debug)]
pub(super) enum Doubt {
    Calls(u64),
    Until(Timestamp),
    Delete,
}

impl Order {
    pub(super) fn id(&self) -> Option<&str> {
        self.answer.as_ref().and_then(|answer| answer["id"].as_str())
    }

    /// The body that was sent; the same bytes each time.
    pub(super) fn body(&self, user: &str) -> Value {
        let mut body =
            json!({"agent": self.agent, "listener": {"user": user}, "until": self.first_until().to_string()});
        if let Some(calls) = self.first_calls() {
            body["calls"] = calls.into();
        }
        body
    }

    fn first_until(&self) -> Timestamp {
        self.answer.as_ref().map_or(self.until, |answer| time(&answer["until"]))
    }

    fn first_calls(&self) -> Option<u64> {
        self.answer.as_ref().map_or(self.calls, |answer| answer["calls"]["limit"].as_u64())
    }
}

/// An agent that the directory was told of.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// Its name, if it is there.
    pub(super) acknowledged: Option<String>,
    /// What it may be instead.
    pub(super) doubt: Option<Option<String>>,
}

/// Everything that the clients know.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) orders: Vec<Order>,
    pub(super) directory: HashMap<String, Entry>,
    started: Timestamp,
    untils: i64,
    keys: u64,
    /// Answers that no client should ever get.
    pub(super) surprises: Vec<String>,
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            orders: Vec::new(),
            directory: HashMap::new(),
            started: Timestamp::now(),
            untils: 0,
            keys: 0,
            surprises: Vec::new(),
        }
    }

    /// A time that nobody else names: an hour from now, or within two seconds.
    pub(super) fn until(&mut self, soon_ms: Option<i64>) -> Timestamp {
        self.untils += 1;
        // Milliseconds tell them apart: an hour ahead they are this counter, soon they are odd nanoseconds.
        match soon_ms {
            None => self.started + jiff::SignedDuration::from_millis(3_600_000 + self.untils * 1000),
            Some(ms) => {
                let at = Timestamp::now() + jiff::SignedDuration::from_millis(ms);
                let whole = Timestamp::from_millisecond(at.as_millisecond()).expect("a time of now");
                whole + jiff::SignedDuration::from_micros(self.untils % 1000)
            }
        }
    }

    pub(super) fn key(&mut self) -> String {
        self.keys += 1;
        format!("key-{}-{}", self.started.as_millisecond(), self.keys)
    }
}

/// A time of an answer.
pub(super) fn time(value: &Value) -> Timestamp {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("a time: {value}"))
}
