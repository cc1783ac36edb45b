//! A dialog as the log keeps it for the length of a call: one text in the place of eight.

use std::net::SocketAddr;

use signalling::transport::Transport;
use signalling::{DialogCopy, DialogStage};

use crate::persist::{DialogRecord, DialogState};

/// Texts that every record has.
const TEXTS: usize = 8;

/// See the module. The record's call is not part of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packed {
    /// Owner, Call-ID, local tag, local and remote party, remote tag, target, branch.
    text: Box<str>,
    /// Where each of them ends.
    ends: [u32; TEXTS],
    route: Box<[String]>,
    state: DialogState,
    cseq: u32,
    transport: Transport,
    local_addr: SocketAddr,
    remote_addr: SocketAddr,
}

impl Packed {
    /// `owner`: the call's or listening's id.
    pub(super) fn new(owner: &str, dialog: DialogCopy) -> Self {
        let (state, branch, remote_tag) = match &dialog.stage {
            DialogStage::Calling { branch, early_tag } => (DialogState::Calling, branch.as_str(), early_tag),
            DialogStage::Confirmed { remote_tag } => (DialogState::Confirmed, "", remote_tag),
        };
        let DialogCopy { call_id, local_tag, local, remote, target, .. } = &dialog;
        let texts = [owner, call_id, local_tag, local, remote, remote_tag, target, branch];
        let mut ends = [0; TEXTS];
        let mut end = 0;
        for (at, text) in ends.iter_mut().zip(texts) {
            end += text.len();
            *at = u32::try_from(end).unwrap_or(u32::MAX); // messages are far shorter
        }
        Self {
            text: texts.concat().into(),
            ends,
            route: dialog.route.into(),
            state,
            cseq: dialog.cseq,
            transport: dialog.flow.transport,
            local_addr: dialog.flow.local,
            remote_addr: dialog.flow.remote,
        }
    }

    pub(super) fn owner(&self) -> &str {
        self.texts()[0]
    }

    /// Unique: our tag is.
    pub(super) fn key(&self) -> String {
        let [owner, _, local_tag, ..] = self.texts();
        format!("{owner}/{local_tag}")
    }

    /// As it is written, without its call.
    pub(super) fn record(&self) -> DialogRecord {
        let [_, call_id, local_tag, local, remote, remote_tag, target, branch] = self.texts().map(str::to_owned);
        DialogRecord {
            key: self.key(),
            state: self.state,
            call_id,
            local_tag,
            local,
            remote,
            remote_tag,
            target,
            route: self.route.to_vec(),
            cseq: self.cseq,
            branch,
            transport: self.transport.name().to_owned(),
            local_addr: self.local_addr,
            remote_addr: self.remote_addr,
            call: None,
        }
    }

    fn texts(&self) -> [&str; TEXTS] {
        let mut from = 0;
        self.ends.map(|end| {
            let end = end as usize;
            self.text.get(std::mem::replace(&mut from, end)..end).unwrap_or_default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialog_log::dialog_of;
    use crate::stories::flow;

    #[test]
    fn what_is_packed_comes_out_as_it_was() {
        let called = DialogStage::Calling { branch: "z9hG4bKé".into(), early_tag: String::new() };
        for stage in [called, DialogStage::Confirmed { remote_tag: "their".into() }] {
            let dialog = DialogCopy {
                stage,
                call_id: "call@id".into(),
                local_tag: "our".into(),
                local: "\"Ånna\" <sip:us@pbx.test>".into(),
                remote: "<sip:them@pbx.test>".into(),
                target: "sip:them@127.0.0.1:6000".into(),
                route: vec!["<sip:proxy.test;lr>".into()],
                cseq: 7,
                flow: flow("127.0.0.1:6000"),
            };
            let packed = Packed::new("call_1", dialog.clone());
            assert_eq!((packed.owner(), packed.key().as_str()), ("call_1", "call_1/our"));
            assert_eq!(packed.record().key, "call_1/our");
            assert_eq!(dialog_of(packed.record()), Some(dialog));
        }
    }
}
