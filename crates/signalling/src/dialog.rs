//! Dialogs (RFC 3261 §12): ids, route set, remote target, CSeq both ways.

use crate::message::{Message, Method};
use crate::transport::Flow;

/// What names a dialog.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct DialogId {
    pub call_id: String,
    pub local_tag: String,
    pub remote_tag: String,
}

/// Early, confirmed or terminated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum DialogState {
    Early,
    Confirmed,
    Terminated,
}

/// How our requests look: host for Via and Contact, user agent.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Local {
    /// `host:port` in Via and Contact for the flow in use.
    pub sent_by: String,
    pub user_agent: String,
    /// User part of our Contact.
    pub contact_user: String,
}

/// One dialog.
#[derive(Clone, Debug)]
pub struct Dialog {}

/// A request that does not belong where it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfOrder;

impl Dialog {
    /// Ours as UAS: from the INVITE and the tag we give it.
    pub fn uas(_invite: &Message, _local_tag: &str, _local: Local, _flow: Flow) -> Self {
        todo!()
    }
    /// Ours as UAC: from the INVITE we sent and a 1xx with a tag or a 2xx.
    pub fn uac(_invite: &Message, _response: &Message, _local: Local, _flow: Flow) -> Self {
        todo!()
    }
    /// Its id.
    pub fn id(&self) -> &DialogId {
        todo!()
    }
    /// Its state.
    pub fn state(&self) -> DialogState {
        todo!()
    }
    /// A 2xx came or went.
    pub fn confirm(&mut self) {
        todo!()
    }
    /// BYE came or went.
    pub fn terminate(&mut self) {
        todo!()
    }
    /// Where requests of this dialog are sent: first Route or remote target if it is an IP literal and the peer is a
    /// trunk (`by_target`), else the flow it came from. Follows target refreshes and a changed source.
    pub fn flow(&self, _by_target: bool) -> Flow {
        todo!()
    }
    /// The flow changed (registration moved, request came from elsewhere).
    pub fn set_flow(&mut self, _flow: Flow) {
        todo!()
    }
    /// A request inside the dialog with the next CSeq; the caller adds headers and body through the returned builder.
    pub fn request(&mut self, _method: &Method, _branch: &str) -> crate::message::RequestBuilder {
        todo!()
    }
    /// The ACK of a 2xx to the INVITE with this CSeq number (RFC 3261 §13.2.2.4).
    pub fn ack(&self, _cseq: u32, _branch: &str, _body: Option<bytes::Bytes>) -> Message {
        todo!()
    }
    /// Checks an incoming request's CSeq and takes its Contact where the method refreshes the target.
    ///
    /// # Errors
    /// [`OutOfOrder`]: CSeq is not higher than the last one (answer 500, RFC 3261 §12.2.2).
    pub fn receive(&mut self, _request: &Message) -> Result<(), OutOfOrder> {
        todo!()
    }
    /// Takes Contact (and in an early dialog the route set) from a 2xx to our INVITE, re-INVITE or UPDATE.
    pub fn receive_response(&mut self, _response: &Message) {
        todo!()
    }
    /// CSeq number of our last request.
    pub fn local_cseq(&self) -> u32 {
        todo!()
    }
}
