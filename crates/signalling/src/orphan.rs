//! What a process that is gone left behind: its dialogs get BYE, its unanswered INVITEs CANCEL.

use crate::dialog::Dialog;
use crate::interface::{DialogCopy, DialogStage, Event, OrphanId, Reason};
use crate::leg::Purpose;
use crate::message::{HeaderName, Message, Method, RequestBuilder};
use crate::transaction::ClientId;
use crate::transport::Flow;
use crate::ua::{Release, Ua};

impl Ua {
    /// Ends one of them; [`Event::OrphanEnded`] follows.
    pub(crate) fn end_orphan(&mut self, orphan: OrphanId, copy: &DialogCopy, reason: &Reason) {
        self.count("orphans");
        let reason = Release::ours(reason).reason;
        match &copy.stage {
            DialogStage::Calling { branch } => self.cancel_orphan(orphan, copy, branch, &reason),
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
        let transport = copy.flow.transport.as_str();
        let mut invite = RequestBuilder::new(&Method::Invite, &copy.target)
            .header(HeaderName::Via, &format!("SIP/2.0/{transport} {};branch={branch};rport", local.sent_by))
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

    /// Its INVITE has a final answer, or none for long enough.
    pub(crate) fn orphan_answered(
        &mut self,
        client: ClientId,
        orphan: OrphanId,
        flow: Flow,
        response: Option<&Message>,
    ) {
        if response.is_some_and(|response| response.status() < 200) {
            return;
        }
        self.close_request(client);
        let invite = self.transactions.client_request(client).cloned();
        match (response.filter(|response| response.status() < 300), invite) {
            (Some(ok), Some(invite)) => {
                let dialog = Dialog::uac(&invite, ok, self.local(flow, ""), flow);
                let branch = self.transactions.branch();
                let ack = dialog.ack(ok.cseq().number, &branch, None);
                self.transmit(flow, ack.bytes().clone());
                self.bye_orphan(orphan, dialog, flow, "SIP;cause=487;text=\"Call is over\"");
            }
            _ => self.orphan_ended(orphan),
        }
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
