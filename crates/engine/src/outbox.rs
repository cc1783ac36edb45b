//! Collects what one input leads to and hands it out in the order that readers rely on: media and transmits first,
//! then whole resources, what must be stored, events and last the answers.

use std::collections::BTreeSet;

use crate::call::CallKey;
use crate::interface::{Event, Output, PersistId, Problem, Reply, ReplyId, View};
use crate::persist::Change;

/// Characters of a log line, and of an id in it, at most.
const LOG_LINE_MAX: usize = 512;

/// Output in the making. Resources are only marked; their views are made once, at the end of the input.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) direct: Vec<Output>,
    pub(crate) calls: BTreeSet<CallKey>,
    pub(crate) agents: BTreeSet<String>,
    pub(crate) users: BTreeSet<String>,
    pub(crate) requests: BTreeSet<String>,
    pub(crate) listenings: BTreeSet<String>,
    pub(crate) views: Vec<View>,
    pub(crate) persists: Vec<(PersistId, Vec<Change>)>,
    pub(crate) events: Vec<Event>,
    pub(crate) replies: Vec<(ReplyId, Result<Reply, Problem>)>,
    pub(crate) removed: Vec<View>,
    pub(crate) drained: bool,
}

impl Outbox {
    pub(crate) fn media(&mut self, command: media::Command) {
        self.direct.push(Output::Media(command));
    }

    pub(crate) fn log(&mut self, level: &'static str, message: String, ids: Vec<(&'static str, String)>) {
        let ids = ids.into_iter().map(|(name, id)| (name, one_line(id))).collect();
        self.direct.push(Output::Log { level, message: one_line(message), ids });
    }

    /// Empties everything but the marks, which the core has turned into views by now.
    pub(crate) fn hand_out(&mut self, outputs: &mut Vec<Output>) {
        outputs.append(&mut self.direct);
        outputs.extend(self.views.drain(..).map(Output::View));
        outputs.extend(self.persists.drain(..).map(|(persist, changes)| Output::Persist { persist, changes }));
        outputs.extend(self.events.drain(..).map(Output::Event));
        outputs.extend(self.removed.drain(..).map(Output::View));
        outputs.extend(self.replies.drain(..).map(|(reply, result)| Output::Reply { reply, result }));
        if std::mem::take(&mut self.drained) {
            outputs.push(Output::Drained);
        }
    }
}

/// What the network wrote stays on its line and moves no cursor: control characters, line separators and marks that turn
/// the direction of text are escaped, and what is too long is cut.
fn one_line(text: String) -> String {
    let is_plain = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.len() <= LOG_LINE_MAX && text.chars().all(is_plain) {
        return text;
    }
    let mut out = String::with_capacity(LOG_LINE_MAX);
    for c in text.chars().take(LOG_LINE_MAX) {
        if is_plain(c) { out.push(c) } else { out.extend(c.escape_unicode()) }
    }
    if text.chars().nth(LOG_LINE_MAX).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_network_wrote_makes_no_second_line() {
        let mut out = Outbox::default();
        let forged = "x\r\n2026 INFO forged\u{1b}[2J\u{85}\u{2028}\u{202e}\0";
        out.log("warn", forged.into(), vec![("agent", forged.into())]);
        out.log("warn", "y".repeat(100_000), Vec::new());
        let [Output::Log { message, ids, .. }, Output::Log { message: long, .. }] = &out.direct[..] else {
            panic!("two lines")
        };
        for text in [message, &ids[0].1] {
            assert_eq!(text, "x\\u{d}\\u{a}2026 INFO forged\\u{1b}[2J\\u{85}\\u{2028}\\u{202e}\\u{0}",);
        }
        assert_eq!(long.chars().count(), LOG_LINE_MAX + 1);
    }
}
