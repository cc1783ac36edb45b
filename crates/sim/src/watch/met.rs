//! Which states, transitions and endings a life has met: what a swarm reaches must be known, or it proves nothing.

use std::collections::BTreeMap;

use engine::view::EventBody;
use engine::{Event, Output};

use super::Report;

/// How often each was met, by kind and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Met(BTreeMap<(&'static str, String), u64>);

impl Met {
    pub(crate) fn met(&mut self, kind: &'static str, name: String) {
        *self.0.entry((kind, name)).or_default() += 1;
    }

    pub(crate) fn add(&mut self, kind: &'static str, name: &str, times: u64) {
        if times > 0 {
            *self.0.entry((kind, name.to_owned())).or_default() += times;
        }
    }

    /// Another life's beside this one's.
    pub fn merge(&mut self, other: &Self) {
        for (key, times) in &other.0 {
            *self.0.entry(key.clone()).or_default() += times;
        }
    }

    /// How often this was met.
    #[must_use]
    pub fn times(&self, kind: &str, name: &str) -> u64 {
        self.0.iter().find(|((k, n), _)| *k == kind && n == name).map_or(0, |(_, times)| *times)
    }

    /// A table for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut last = "";
        for ((kind, name), times) in &self.0 {
            if *kind != last {
                text += &format!("{kind}\n");
                last = kind;
            }
            text += &format!("{times:>12}  {name}\n");
        }
        text
    }
}

pub(super) fn output(output: &Output, report: &mut Report<'_>) {
    if let Output::Event(event) = output {
        report.met("event", format!("{:?}", event.name));
        if let EventBody::Agent(agent) = &event.body {
            report.met("status", format!("{:?}", agent.status));
        }
    }
}

/// One event as a line of history.
pub(super) fn event_line(event: &Event) -> String {
    match &event.body {
        EventBody::Agent(a) => format!("event {:?} {} {:?}", event.name, a.id, a.status),
        EventBody::Webhook(w) => format!("event {:?} {} {}", event.name, w.id, w.reason),
        EventBody::Call(c) => {
            format!("event {:?} {} {:?} agent {:?} held {} {:?}", event.name, c.id, c.state, c.agent, c.held, c.end)
        }
        EventBody::Request(r) => {
            format!("event {:?} {} {:?} {}/{:?}", event.name, r.id, r.state, r.calls.used, r.calls.limit)
        }
        EventBody::Listening(l) => format!(
            "event {:?} {} of {} {:?} {:?} {:?} heard {}",
            event.name, l.id, l.request, l.state, l.focus, l.end_reason, l.heard_ms
        ),
    }
}
