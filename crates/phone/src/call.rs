//! One call of a phone: dialog (RFC 3261 §12), session and what was heard.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use signalling::message::{HeaderName, Message, Method, Uri};

use crate::ears::Ears;
use crate::interface::{CallId, Dial, State};
use crate::session::Session;
use crate::sound::Mouth;

/// A final answer to a request that this phone sent inside the dialog.
#[derive(Clone, Debug)]
pub struct Answered {
    /// CSeq number of the request, as the method that sent it returned it.
    pub cseq: u32,
    /// Method.
    pub method: Method,
    /// Status.
    pub status: u16,
    /// The answer itself; `None` where none came in time (status 408).
    pub message: Option<Message>,
}

/// A call. Read by stories, changed only by [`crate::Phone`].
#[derive(Debug)]
pub struct Call {
    pub(crate) id: CallId,
    pub(crate) outgoing: bool,
    pub(crate) state: State,
    pub(crate) sip_call_id: String,
    pub(crate) local_tag: String,
    pub(crate) remote_tag: String,
    /// From in requests that we send, without tag.
    pub(crate) local: String,
    /// To in requests that we send, without tag.
    pub(crate) remote: String,
    pub(crate) target: String,
    pub(crate) routes: Vec<String>,
    pub(crate) cseq: u32,
    pub(crate) remote_cseq: u32,
    /// How it was dialled, while media sockets are awaited.
    pub(crate) dial: Option<Dial>,
    /// The INVITE that began it.
    pub(crate) invite: Option<Message>,
    pub(crate) invite_source: Option<SocketAddr>,
    /// Branch of our INVITE that has no final answer.
    pub(crate) inviting: Option<String>,
    pub(crate) cancelling: bool,
    /// CSeq and offer side of our own re-INVITE or UPDATE that has no final answer.
    pub(crate) changing: Option<u32>,
    /// We have answered the initial INVITE with a 2xx.
    pub(crate) answered: bool,
    /// Wanted as soon as media sockets are there.
    pub(crate) on_media: Option<OnMedia>,
    pub(crate) answer_at: Option<Instant>,
    pub(crate) bye_at: Option<Instant>,
    pub(crate) retry_change_at: Option<Instant>,
    /// ACKs to 2xx that we sent, for repeated 2xx.
    pub(crate) acks: Vec<(u32, SocketAddr, Bytes)>,
    pub(crate) session: Session,
    pub(crate) mouth: Mouth,
    pub(crate) ears: Ears,
    pub(crate) ringing: Vec<u16>,
    pub(crate) status: Option<u16>,
    pub(crate) answers: Vec<Answered>,
    pub(crate) sipfrags: Vec<u16>,
    pub(crate) received: Vec<Message>,
    pub(crate) bye: Option<Message>,
    pub(crate) ended_at: Option<Instant>,
    pub(crate) up_at: Option<Instant>,
}

/// What is to be done when the media sockets are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnMedia {
    Invite,
    Ring,
    Answer,
    Reinvite,
}

/// Requests of one call that are kept for looking at.
const MAX_RECEIVED: usize = 500;

impl Call {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> CallId {
        self.id
    }
    /// Where it is.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }
    /// This phone dialled it.
    #[must_use]
    pub fn outgoing(&self) -> bool {
        self.outgoing
    }
    /// The INVITE that began it.
    #[must_use]
    pub fn invite(&self) -> Option<&Message> {
        self.invite.as_ref()
    }
    /// Final status of our INVITE.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.status
    }
    /// Provisional statuses above 100 that came, in order.
    #[must_use]
    pub fn provisional(&self) -> &[u16] {
        &self.ringing
    }
    /// What was heard.
    #[must_use]
    pub fn ears(&self) -> &Ears {
        &self.ears
    }
    /// RTP packets sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.mouth.sent
    }
    /// Synchronisation source of what it sends.
    #[must_use]
    pub fn ssrc(&self) -> u32 {
        self.mouth.ssrc
    }
    /// The last description that the other side gave.
    #[must_use]
    pub fn remote_sdp(&self) -> Option<&signalling::sdp::Sdp> {
        self.session.remote.as_ref()
    }
    /// The session as negotiated.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }
    /// Final answers to our requests inside the dialog, in order of coming.
    #[must_use]
    pub fn answers(&self) -> &[Answered] {
        &self.answers
    }
    /// The answer to the request with this CSeq number.
    #[must_use]
    pub fn answer_to(&self, cseq: u32) -> Option<&Answered> {
        self.answers.iter().find(|a| a.cseq == cseq)
    }
    /// Statuses that NOTIFYs told of a transfer, in order (RFC 3515 §2.4.5).
    #[must_use]
    pub fn sipfrags(&self) -> &[u16] {
        &self.sipfrags
    }
    /// Requests that came inside the dialog, the first INVITE included.
    #[must_use]
    pub fn received(&self) -> &[Message] {
        &self.received
    }
    /// How many requests of that method came (repetitions not counted).
    #[must_use]
    pub fn received_count(&self, method: &Method) -> usize {
        self.received.iter().filter(|m| m.method() == *method).count()
    }
    /// The BYE that came.
    #[must_use]
    pub fn bye(&self) -> Option<&Message> {
        self.bye.as_ref()
    }
    /// Since when it is up.
    #[must_use]
    pub fn up_at(&self) -> Option<Instant> {
        self.up_at
    }
    /// When it ended.
    #[must_use]
    pub fn ended_at(&self) -> Option<Instant> {
        self.ended_at
    }
    /// A re-INVITE or UPDATE of ours has no final answer.
    #[must_use]
    pub fn is_changing(&self) -> bool {
        self.changing.is_some()
    }
    /// SIP Call-ID.
    #[must_use]
    pub fn sip_call_id(&self) -> &str {
        &self.sip_call_id
    }
    /// This dialog as the value of Replaces (RFC 3891 §3), seen by the other side: its tag is the to-tag.
    #[must_use]
    pub fn replaces(&self) -> String {
        format!("{};to-tag={};from-tag={}", self.sip_call_id, self.remote_tag, self.local_tag)
    }

    pub(crate) fn keep(&mut self, message: &Message) {
        if self.received.len() < MAX_RECEIVED {
            self.received.push(message.clone());
        }
    }

    /// Remote target and route set from a message that forms or refreshes the dialog (RFC 3261 §12.1, §12.2).
    pub(crate) fn learn_route(&mut self, message: &Message) {
        if let Some(contact) = message.contact() {
            self.target = contact.uri.to_owned();
        }
        // Fixed when the dialog is made; early ones may differ from the 2xx, which has the last word (§13.2.2.4).
        if self.up_at.is_none() {
            let mut routes: Vec<String> = message.values(&HeaderName::RecordRoute).map(str::to_owned).collect();
            if self.outgoing {
                routes.reverse();
            }
            self.routes = routes;
        }
    }

    /// Where a request inside the dialog goes: first route, else the target; loose routing (RFC 3261 §12.2.1.1).
    pub(crate) fn next_hop(&self, fallback: SocketAddr) -> SocketAddr {
        let first = self.routes.first().and_then(|r| {
            let uri = signalling::message::NameAddr::parse(r)?.uri.to_owned();
            Uri::parse(&uri)
        });
        first.or_else(|| Uri::parse(&self.target)).and_then(|uri| uri.socket_addr()).unwrap_or(fallback)
    }
}
