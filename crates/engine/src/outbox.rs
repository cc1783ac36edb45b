//! Collects what one input leads to and hands it out in the order that readers rely on: media and transmits first,
//! then whole resources, what must be stored, events and last the answers.

use std::collections::BTreeSet;

use crate::call::CallKey;
use crate::interface::{Event, Output, PersistId, Problem, Reply, ReplyId, View};
use crate::persist::Change;

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
        self.direct.push(Output::Log { level, message, ids });
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
