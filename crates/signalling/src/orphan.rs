//! What a process that is gone left behind: its dialogs get BYE, its unanswered INVITEs CANCEL.

use crate::dialog::Dialog;
use crate::interface::{DialogCopy, DialogStage, Event, OrphanId, Reason};
use crate::leg::Purpose;
use crate::message::{HeaderName, Message, Method, RequestBuilder};
use crate::transaction::ClientId;
use crate::transport::{Flow, via};
use crate::ua::{Release, Ua};

/// Reason of a BYE to who answered too late.
const OVER: &str = "SIP;cause=487;text=\"Call is over\"";

impl Ua {
    /// Ends one of them; [`Event::OrphanEnded`] follows.
    pub(crate) fn end_orphan(&mut self, orphan: OrphanId, copy: &DialogCopy, reason: &Reason) {
        self.count("orphans");
        let reason = Release::ours(reason).reason;
        match &copy.stage {
            DialogStage::Calling { branch, early_tag } => {
                if !early_tag.is_empty() {
                    let dialog = Dialog::restored(copy, early_tag, self.local(copy.flow, ""));
                    self.orphans.insert(orphan, dialog);
                }
                self.cancel_orphan(orphan, copy, branch, &reason);
            }
            DialogStage::Confirmed { remote_tag } => {
                let dialog = Dialog::restored(copy, remote_tag, self.local(copy.flow, ""));
                self.bye_orphan(orphan, dialog, copy.flow, &reason);
            }
        }
    }

    /// Its INVITE is under way again, cancelled: 487 gets its ACK, and a 2xx that crosses the CANCEL comes to
    /// [`Self::orphan_answered`].
    fn cancel_orphan(&mut self, orphan: OrphanId, copy: &DialogCopy, branch: &str, reason: &str) {
        let local = self.local(copy.flow, "");
        let mut invite = RequestBuilder::new(&Method::Invite, &copy.target)
            .header(HeaderName::Via, &via(copy.flow.transport, &local.sent_by, branch))
            .header(HeaderName::MaxForwards, "70");
        for route in &copy.route {
            invite = invite.header(HeaderName::Route, route);
        }
        let invite = invite
            .header(HeaderName::From, &format!("{};tag={}", copy.local, copy.local_tag))
            .header(HeaderName::To, &copy.remote)
            .header(HeaderName::CallId, &copy.call_id)
            .header(HeaderName::CSeq, &format!("{} INVITE", copy.cseq))
            .finish();
        let now = self.now();
        let client = self.transactions.cancel_orphan(now, copy.flow, invite, reason, &mut self.steps);
        self.clients.insert(client, Purpose::OrphanInvite(orphan));
    }

    /// Its INVITE has a final answer, or none for long enough (`None`).
    pub(crate) fn orphan_answered(&mut self, client: ClientId, orphan: OrphanId, response: Option<(Flow, &Message)>) {
        if response.is_some_and(|(_, response)| response.status() < 200) {
            return;
        }
        self.close_request(client);
        let never_told = self.orphans.remove(&orphan);
        match response {
            Some((flow, ok)) if ok.status() < 300 => self.orphan_confirmed(client, orphan, flow, ok),
            Some(_) => self.orphan_ended(orphan),
            // It had its answer before, and its ACK: the phone sits in a call that nobody kept.
            None => match never_told {
                Some(dialog) => {
                    let flow = dialog.flow(false);
                    self.bye_orphan(orphan, dialog, flow, OVER);
                }
                None => self.orphan_ended(orphan),
            },
        }
    }

    fn orphan_confirmed(&mut self, client: ClientId, orphan: OrphanId, flow: Flow, ok: &Message) {
        let Some(invite) = self.transactions.client_request(client) else { return self.orphan_ended(orphan) };
        let dialog = Dialog::uac(invite, ok, self.local(flow, ""), flow);
        let branch = self.transactions.branch();
        let ack = dialog.ack(ok.cseq().number, &branch, None);
        self.transmit(flow, ack.bytes().clone());
        self.bye_orphan(orphan, dialog, flow, OVER);
    }

    fn bye_orphan(&mut self, orphan: OrphanId, mut dialog: Dialog, flow: Flow, reason: &str) {
        let branch = self.transactions.branch();
        let bye = dialog.request(&Method::Bye, &branch).header(HeaderName::Reason, reason).finish();
        self.request(flow, bye, Purpose::OrphanBye(orphan));
    }

    pub(crate) fn orphan_ended(&mut self, orphan: OrphanId) {
        self.emit(Event::OrphanEnded { orphan });
    }
}
