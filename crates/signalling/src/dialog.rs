//! Dialogs (RFC 3261 §12): ids, route set, remote target, CSeq both ways.

use std::sync::Arc;

use bytes::Bytes;

use crate::interface::{DialogCopy, DialogStage};
use crate::message::{HeaderName, Message, Method, NameAddr, RequestBuilder, Uri};
use crate::transport::{Flow, Transport, unmapped, via};

/// What names a dialog.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct DialogId {
    pub call_id: Arc<str>,
    pub local_tag: Arc<str>,
    pub remote_tag: Box<str>,
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
    /// Of the flow in use.
    pub transport: Transport,
    /// `host:port` in Via and Contact for the flow in use.
    pub sent_by: Box<str>,
    pub user_agent: Arc<str>,
    /// User part of our Contact.
    pub contact_user: Box<str>,
}

impl Local {
    /// Our Contact, as a header value.
    #[must_use]
    pub fn contact(&self) -> String {
        // Without the parameter it would be UDP (RFC 3263 §4.1).
        let param = match self.transport {
            Transport::Udp => "",
            Transport::Tcp => ";transport=tcp",
        };
        match &*self.contact_user {
            "" => format!("<sip:{}{param}>", self.sent_by),
            user => format!("<sip:{user}@{}{param}>", self.sent_by),
        }
    }
}

/// One dialog.
#[derive(Clone, Debug)]
pub struct Dialog {
    id: DialogId,
    state: DialogState,
    local: Local,
    flow: Flow,
    /// Next hop first (RFC 3261 §12.1).
    route_set: Box<[String]>,
    /// URI of the remote Contact; without a usable one the URI of the remote party.
    remote_target: Box<str>,
    /// Our From, tag included: the text of the forming request.
    local_party: Box<str>,
    /// Our To, tag included.
    remote_party: Box<str>,
    local_cseq: u32,
    remote_cseq: Option<u32>,
    /// The flow or the remote target is another since [`Self::take_moved`].
    moved: bool,
}

/// A request that does not belong where it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfOrder;

impl Dialog {
    /// Ours as UAS: from the INVITE, whose Call-ID this is, and the tag we give it (RFC 3261 §12.1.1).
    pub fn uas(invite: &Message, call_id: Arc<str>, local_tag: Arc<str>, local: Local, flow: Flow) -> Self {
        let remote_party = invite.header(&HeaderName::From).unwrap_or_default();
        Self {
            id: DialogId { call_id, local_tag: local_tag.clone(), remote_tag: invite.from_tag().into() },
            state: DialogState::Early,
            local,
            flow,
            route_set: invite.values(&HeaderName::RecordRoute).map(str::to_owned).collect(),
            remote_target: contact_uri(invite).unwrap_or_else(|| party_uri(remote_party)).into(),
            local_party: with_tag(invite.header(&HeaderName::To).unwrap_or_default(), invite.to_tag(), &local_tag)
                .into(),
            remote_party: remote_party.into(),
            local_cseq: 0,
            remote_cseq: Some(invite.cseq().number),
            moved: false,
        }
    }
    /// Ours as UAC: from the INVITE we sent and a 1xx with a tag or a 2xx (RFC 3261 §12.1.2). Each To tag is a dialog of
    /// its own where the INVITE forked.
    pub fn uac(invite: &Message, response: &Message, local: Local, flow: Flow) -> Self {
        let to = invite.header(&HeaderName::To).unwrap_or_default();
        Self {
            id: DialogId {
                call_id: invite.call_id().into(),
                local_tag: invite.from_tag().into(),
                remote_tag: response.to_tag().into(),
            },
            state: if response.status() < 200 { DialogState::Early } else { DialogState::Confirmed },
            local,
            flow,
            route_set: reversed_record_route(response),
            remote_target: contact_uri(response).unwrap_or_else(|| party_uri(to)).into(),
            local_party: invite.header(&HeaderName::From).unwrap_or_default().into(),
            remote_party: with_tag(to, invite.to_tag(), response.to_tag()).into(),
            local_cseq: invite.cseq().number,
            remote_cseq: None,
            moved: false,
        }
    }
    /// One of a process that is gone, to be ended.
    pub fn restored(copy: &DialogCopy, remote_tag: &str, local: Local) -> Self {
        Self {
            id: DialogId {
                call_id: copy.call_id.as_str().into(),
                local_tag: copy.local_tag.as_str().into(),
                remote_tag: remote_tag.into(),
            },
            state: DialogState::Confirmed,
            local,
            flow: copy.flow,
            route_set: copy.route.clone().into(),
            remote_target: copy.target.as_str().into(),
            local_party: with_tag(&copy.local, "", &copy.local_tag).into(),
            remote_party: with_tag(&copy.remote, "", remote_tag).into(),
            local_cseq: copy.cseq.saturating_add(CSEQ_JUMP).min(CSEQ_MAX),
            remote_cseq: None,
            moved: false,
        }
    }
    /// The same with texts that others have too in their memory, where they are the same.
    #[must_use]
    pub fn sharing(mut self, call_id: &Arc<str>, local_tag: &Arc<str>) -> Self {
        for (own, other) in [(&mut self.id.call_id, call_id), (&mut self.id.local_tag, local_tag)] {
            if own == other {
                *own = other.clone();
            }
        }
        self
    }
    /// What it takes to end it in another process, by this flow.
    pub fn copy(&self, flow: Flow) -> DialogCopy {
        DialogCopy {
            stage: DialogStage::Confirmed { remote_tag: (*self.id.remote_tag).to_owned() },
            call_id: (*self.id.call_id).to_owned(),
            local_tag: (*self.id.local_tag).to_owned(),
            local: without_tag(&self.local_party),
            remote: without_tag(&self.remote_party),
            target: (*self.remote_target).to_owned(),
            route: self.route_set.to_vec(),
            cseq: self.local_cseq,
            flow,
        }
    }
    /// Whether the flow or the remote target has moved since this was asked last.
    pub fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }
    /// Its id.
    pub fn id(&self) -> &DialogId {
        &self.id
    }
    /// Its state.
    pub fn state(&self) -> DialogState {
        self.state
    }
    /// A 2xx came or went.
    pub fn confirm(&mut self) {
        if self.state == DialogState::Early {
            self.state = DialogState::Confirmed;
        }
    }
    /// BYE came or went.
    pub fn terminate(&mut self) {
        self.state = DialogState::Terminated;
    }
    /// Where requests of this dialog are sent: first Route or remote target if it is an IP literal and the peer is a
    /// trunk (`by_target`), else the flow it came from. Follows target refreshes and a changed source.
    pub fn flow(&self, by_target: bool) -> Flow {
        let next_hop =
            self.route_set.first().map_or_else(|| (*self.remote_target).to_owned(), |route| party_uri(route));
        let target = Uri::parse(&next_hop).filter(|_| by_target).and_then(|uri| target(&uri, self.flow.transport));
        match target {
            Some((transport, remote)) if remote.is_ipv4() == unmapped(self.flow.remote).is_ipv4() => {
                Flow { transport, ..self.flow_to(remote) }
            }
            _ => self.flow,
        }
    }
    /// The flow changed (registration moved, request came from elsewhere).
    pub fn set_flow(&mut self, flow: Flow) {
        self.moved |= self.flow != flow;
        self.flow = flow;
    }
    /// How our requests look from now on (another local address).
    pub fn set_local(&mut self, local: Local) {
        self.local = local;
    }
    /// How our requests look.
    pub fn local(&self) -> &Local {
        &self.local
    }
    /// The URI that our requests are for (RFC 3261 §12.1).
    pub fn remote_target(&self) -> &str {
        &self.remote_target
    }
    /// From of our requests, tag included.
    pub fn local_party(&self) -> &str {
        &self.local_party
    }
    /// To of our requests, tag included.
    pub fn remote_party(&self) -> &str {
        &self.remote_party
    }
    /// A request inside the dialog with the next CSeq; the caller adds headers and body through the returned builder.
    pub fn request(&mut self, method: &Method, branch: &str) -> RequestBuilder {
        self.local_cseq = self.local_cseq.saturating_add(1).min(CSEQ_MAX);
        self.numbered(method, self.local_cseq, branch)
    }
    /// The ACK of a 2xx to the INVITE with this CSeq number (RFC 3261 §13.2.2.4).
    pub fn ack(&self, cseq: u32, branch: &str, body: Option<Bytes>) -> Message {
        let ack = self.numbered(&Method::Ack, cseq, branch);
        match body {
            Some(body) => ack.body("application/sdp", body).finish(),
            None => ack.finish(),
        }
    }
    /// Checks an incoming request's CSeq and takes its Contact where the method refreshes the target. ACK has its INVITE's
    /// number and is never out of order.
    ///
    /// # Errors
    /// [`OutOfOrder`]: CSeq is not higher than the last one (answer 500, RFC 3261 §12.2.2).
    pub fn receive(&mut self, request: &Message) -> Result<(), OutOfOrder> {
        let cseq = request.cseq();
        if matches!(cseq.method, Method::Ack | Method::Cancel) {
            return Ok(());
        }
        if self.remote_cseq.is_some_and(|last| cseq.number <= last) {
            return Err(OutOfOrder);
        }
        self.remote_cseq = Some(cseq.number);
        self.refresh_target(request, &cseq.method);
        Ok(())
    }
    /// Takes Contact (and in an early dialog the route set) from a 2xx to our INVITE, re-INVITE or UPDATE.
    pub fn receive_response(&mut self, response: &Message) {
        if response.status() / 100 != 2 {
            return;
        }
        let method = response.method();
        if self.state == DialogState::Early && method == Method::Invite {
            self.route_set = reversed_record_route(response); // RFC 3261 §13.2.2.4
        }
        self.refresh_target(response, &method);
    }
    /// CSeq number of our last request.
    pub fn local_cseq(&self) -> u32 {
        self.local_cseq
    }
}

/// What a process used after its copy was kept (re-INVITEs, OPTIONS), at most.
const CSEQ_JUMP: u32 = 10_000;

/// CSeq numbers stay below 2^31 (RFC 3261 §8.1.1.5).
const CSEQ_MAX: u32 = (1 << 31) - 1;

impl Dialog {
    /// RFC 3261 §12.2, RFC 3311 §5.1: only INVITE and UPDATE move the target of an INVITE dialog.
    fn refresh_target(&mut self, message: &Message, method: &Method) {
        if matches!(method, Method::Invite | Method::Update)
            && let Some(target) = contact_uri(message)
        {
            self.moved |= *self.remote_target != *target;
            self.remote_target = target.into();
        }
    }

    fn flow_to(&self, remote: std::net::SocketAddr) -> Flow {
        // A dual-stack socket goes on seeing IPv4 in its IPv6 form.
        match (self.flow.local, remote) {
            (std::net::SocketAddr::V6(_), std::net::SocketAddr::V4(v4)) => {
                Flow { remote: (v4.ip().to_ipv6_mapped(), v4.port()).into(), ..self.flow }
            }
            _ => Flow { remote, ..self.flow },
        }
    }

    /// RFC 3261 §12.2.1.1: loose routing, or strict where the first route has no `lr`.
    fn numbered(&self, method: &Method, cseq: u32, branch: &str) -> RequestBuilder {
        let strict = self.route_set.first().map(|route| party_uri(route)).filter(|uri| !is_loose(uri));
        let (request_uri, routes, last) = match &strict {
            Some(first) => (
                as_request_uri(first),
                self.route_set.get(1..).unwrap_or_default(),
                Some(format!("<{}>", self.remote_target)),
            ),
            None => (as_request_uri(&self.remote_target), &*self.route_set, None),
        };
        let via = via(self.local.transport, &self.local.sent_by, branch);
        let mut request = RequestBuilder::new(method, &request_uri)
            .header(HeaderName::Via, &via)
            .header(HeaderName::MaxForwards, "70");
        for route in routes.iter().chain(&last) {
            request = request.header(HeaderName::Route, route);
        }
        request = request
            .header(HeaderName::From, &self.local_party)
            .header(HeaderName::To, &self.remote_party)
            .header(HeaderName::CallId, &self.id.call_id)
            .header(HeaderName::CSeq, &format!("{cseq} {}", method.as_str()));
        if *method != Method::Bye {
            request = request.header(HeaderName::Contact, &self.local.contact()); // not in BYE: RFC 3261 table 2
        }
        match &*self.local.user_agent {
            "" => request,
            name => request.header(HeaderName::UserAgent, name),
        }
    }
}

/// The remote party's Contact, if it is a URI that a request can be sent to.
fn contact_uri(message: &Message) -> Option<String> {
    let uri = message.contact()?.parsed_uri()?;
    (matches!(uri.scheme(), "sip" | "sips") && !uri.host().is_empty()).then(|| uri.as_str().to_owned())
}

/// The URI in a From, To or Route value.
fn party_uri(value: &str) -> String {
    NameAddr::parse(value).map_or_else(|| value.to_owned(), |party| party.uri.to_owned())
}

/// The value with this tag; one that has a tag already stays as it is.
fn with_tag(value: &str, present: &str, tag: &str) -> String {
    if present.is_empty() && !tag.is_empty() { format!("{value};tag={tag}") } else { value.to_owned() }
}

/// A From or To value without its tag.
pub(crate) fn without_tag(value: &str) -> String {
    let params = value.rfind('>').map_or(0, |at| at + 1);
    let (party, params) = value.split_at(if params == 0 { value.find(';').unwrap_or(value.len()) } else { params });
    let kept = params.split(';').filter(|param| !param.trim_start().to_ascii_lowercase().starts_with("tag="));
    format!("{party}{}", kept.collect::<Vec<_>>().join(";"))
}

/// A UAC's route set is the Record-Route from the last line to the first (RFC 3261 §12.1.2).
fn reversed_record_route(response: &Message) -> Box<[String]> {
    let mut route_set: Vec<String> = response.values(&HeaderName::RecordRoute).map(str::to_owned).collect();
    route_set.reverse();
    route_set.into()
}

fn is_loose(uri: &str) -> bool {
    // What cannot be read is not put into the Request-URI.
    Uri::parse(uri).is_none_or(|uri| uri.param("lr").is_some())
}

/// What a Request-URI may not have is taken away: headers, and the `method` parameter (RFC 3261 §19.1.1).
fn as_request_uri(uri: &str) -> String {
    let uri = uri.split_once('?').map_or(uri, |(uri, _)| uri);
    let (start, params) = uri.split_at(uri.find('@').map_or(0, |at| at + 1));
    let kept = params.split(';').filter(|param| !param.to_ascii_lowercase().starts_with("method="));
    format!("{start}{}", kept.collect::<Vec<_>>().join(";"))
}

/// Where a URI leads without asking DNS, and how. One that names no transport leads by the one in use: a peer that
/// speaks TCP and leaves the parameter out seldom means to be called back by UDP.
fn target(uri: &Uri, in_use: Transport) -> Option<(Transport, std::net::SocketAddr)> {
    let transport = uri.param("transport").map_or(Some(in_use), Transport::of_name)?;
    uri.socket_addr()
        .map(unmapped)
        .filter(|addr| uri.scheme() == "sip" && addr.port() != 0 && !addr.ip().is_unspecified())
        .map(|addr| (transport, addr))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Limits, ResponseBuilder};
    use crate::transport::Transport;

    fn parse(text: &str) -> Message {
        Message::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).expect("a good message")
    }

    fn flow() -> Flow {
        Flow {
            transport: Transport::Udp,
            local: "10.0.0.1:5060".parse().unwrap(),
            remote: "203.0.113.9:40123".parse().unwrap(),
        }
    }

    fn local() -> Local {
        Local {
            transport: Transport::Udp,
            sent_by: "10.0.0.1:5060".into(),
            user_agent: "Medlytt".into(),
            contact_user: "m".into(),
        }
    }

    /// An INVITE, or another request in its dialog, with further header lines.
    fn request(method: &str, cseq: u32, lines: &str) -> Message {
        parse(&format!(
            "{method} sip:bob@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
             From: \"Alice, A.\" <sip:alice@10.0.0.2;x=%41>;tag=alice\r\nTo: <sip:bob@10.0.0.1>\r\nCall-ID: c1\r\nCSeq: {cseq} {method}\r\n\
             {lines}Content-Length: 0\r\n\r\n"
        ))
    }

    fn as_uas(lines: &str) -> Dialog {
        Dialog::uas(&request("INVITE", 10, lines), "c1".into(), "bob".into(), local(), flow())
    }

    /// The answer that a peer gives to our INVITE (`request` read from the other side).
    fn response(status: u16, tag: &str, lines: &str) -> Message {
        let invite = request("INVITE", 10, "");
        let text = String::from_utf8(ResponseBuilder::new(&invite, status, None, Some(tag)).finish().bytes().to_vec())
            .unwrap();
        parse(&text.replacen("Content-Length", &format!("{lines}Content-Length"), 1))
    }

    fn as_uac(status: u16, tag: &str, lines: &str) -> Dialog {
        Dialog::uac(&request("INVITE", 10, ""), &response(status, tag, lines), local(), flow())
    }

    fn routes(message: &Message) -> Vec<&str> {
        message.values(&HeaderName::Route).collect()
    }

    const RECORD_ROUTE: &str =
        "Record-Route: <sip:p2.example.com;lr>, <sip:10.0.0.5:5070;lr>\r\nRecord-Route: <sip:p0.example.com;lr>\r\n";
    const CONTACT: &str = "Contact: <sip:peer@192.0.2.4:5080>\r\n";

    #[test]
    fn as_uas_requests_go_back_along_the_record_route_in_order() {
        let mut dialog = as_uas(&format!("{RECORD_ROUTE}{CONTACT}"));
        assert_eq!(
            dialog.id(),
            &DialogId { call_id: "c1".into(), local_tag: "bob".into(), remote_tag: "alice".into() }
        );
        let bye = dialog.request(&Method::Bye, "z9hG4bKx").finish();
        assert_eq!(bye.request_uri(), "sip:peer@192.0.2.4:5080");
        assert_eq!(routes(&bye), ["<sip:p2.example.com;lr>", "<sip:10.0.0.5:5070;lr>", "<sip:p0.example.com;lr>"]);
        assert_eq!(bye.header(&HeaderName::From), Some("<sip:bob@10.0.0.1>;tag=bob"));
        assert_eq!(
            bye.header(&HeaderName::To),
            Some("\"Alice, A.\" <sip:alice@10.0.0.2;x=%41>;tag=alice"),
            "kept as it came"
        );
        assert_eq!(bye.header(&HeaderName::CSeq), Some("1 BYE"));
        assert_eq!(bye.header(&HeaderName::Via), Some("SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKx;rport"));
        assert_eq!((bye.header(&HeaderName::MaxForwards), bye.header(&HeaderName::Contact)), (Some("70"), None));
    }

    #[test]
    fn as_uac_the_record_route_is_reversed_and_the_cseq_counts_on() {
        let mut dialog = as_uac(200, "bob", &format!("{RECORD_ROUTE}{CONTACT}"));
        assert_eq!((dialog.state(), dialog.local_cseq()), (DialogState::Confirmed, 10));
        let invite = dialog.request(&Method::Invite, "z9hG4bKx").finish();
        assert_eq!(routes(&invite), ["<sip:p0.example.com;lr>", "<sip:10.0.0.5:5070;lr>", "<sip:p2.example.com;lr>"]);
        assert_eq!(invite.header(&HeaderName::From), Some("\"Alice, A.\" <sip:alice@10.0.0.2;x=%41>;tag=alice"));
        assert_eq!(invite.header(&HeaderName::To), Some("<sip:bob@10.0.0.1>;tag=bob"));
        assert_eq!(invite.header(&HeaderName::CSeq), Some("11 INVITE"));
        assert_eq!(invite.header(&HeaderName::Contact), Some("<sip:m@10.0.0.1:5060>"));
        assert_eq!(invite.header(&HeaderName::UserAgent), Some("Medlytt"));
        assert_eq!(dialog.local_cseq(), 11);
    }

    #[test]
    fn the_ack_of_a_2xx_has_the_route_set_and_the_invites_number() {
        let mut dialog = as_uac(200, "bob", &format!("{RECORD_ROUTE}{CONTACT}"));
        dialog.request(&Method::Info, "z9hG4bKi");
        let ack = dialog.ack(10, "z9hG4bKa", Some(Bytes::from_static(b"v=0\r\n")));
        assert_eq!((ack.method(), ack.request_uri()), (Method::Ack, "sip:peer@192.0.2.4:5080"));
        assert_eq!((ack.header(&HeaderName::CSeq), routes(&ack).len()), (Some("10 ACK"), 3));
        assert_eq!((ack.content_type().as_str(), ack.body().as_ref()), ("application/sdp", b"v=0\r\n".as_slice()));
        assert_eq!(dialog.ack(10, "z9hG4bKa", None).body().len(), 0);
        assert_eq!(dialog.local_cseq(), 11, "ACK does not count");
    }

    #[test]
    fn a_strict_router_gets_itself_as_request_uri_and_the_target_last() {
        let strict = "Record-Route: <sip:strict.example.com;method=INVITE;maddr=10.0.0.7?Subject=x>, <sip:loose.example.com;lr>\r\n";
        let mut dialog = as_uas(&format!("{strict}{CONTACT}"));
        let bye = dialog.request(&Method::Bye, "z9hG4bKx").finish();
        assert_eq!(bye.request_uri(), "sip:strict.example.com;maddr=10.0.0.7");
        assert_eq!(routes(&bye), ["<sip:loose.example.com;lr>", "<sip:peer@192.0.2.4:5080>"]);
    }

    #[test]
    fn forks_of_one_invite_are_dialogs_of_their_own() {
        let one = as_uac(180, "one", "Contact: <sip:one@192.0.2.1>\r\n");
        let two = as_uac(180, "two", "Contact: <sip:two@192.0.2.2>\r\n");
        assert_ne!(one.id(), two.id());
        assert_eq!((one.state(), two.remote_target()), (DialogState::Early, "sip:two@192.0.2.2"));
    }

    #[test]
    fn the_2xx_to_an_early_dialog_gives_the_route_set_and_target_anew() {
        let mut dialog = as_uac(183, "bob", &format!("{RECORD_ROUTE}{CONTACT}"));
        dialog.receive_response(&response(180, "bob", "Contact: <sip:early@192.0.2.9>\r\n"));
        assert_eq!(dialog.remote_target(), "sip:peer@192.0.2.4:5080", "provisional answers move nothing");
        dialog.receive_response(&response(
            200,
            "bob",
            "Record-Route: <sip:new.example.com;lr>\r\nContact: <sip:now@192.0.2.5>\r\n",
        ));
        dialog.confirm();
        dialog.receive_response(&response(200, "bob", &format!("{RECORD_ROUTE}{CONTACT}")));
        let info = dialog.request(&Method::Info, "z9hG4bKx").finish();
        assert_eq!(routes(&info), ["<sip:new.example.com;lr>"], "once confirmed the route set stays");
        assert_eq!(info.request_uri(), "sip:peer@192.0.2.4:5080", "but the target follows");
    }

    #[test]
    fn only_invite_and_update_move_the_target() {
        let mut dialog = as_uas(CONTACT);
        let moved = "Contact: <sip:moved@192.0.2.77>\r\n";
        dialog.receive(&request("INFO", 11, moved)).unwrap();
        dialog.receive(&request("REFER", 12, moved)).unwrap();
        assert_eq!(dialog.remote_target(), "sip:peer@192.0.2.4:5080");
        dialog.receive(&request("UPDATE", 13, "")).unwrap();
        assert_eq!(dialog.remote_target(), "sip:peer@192.0.2.4:5080", "none stands in it");
        dialog.receive(&request("INVITE", 14, moved)).unwrap();
        assert_eq!(dialog.remote_target(), "sip:moved@192.0.2.77");
    }

    #[test]
    fn requests_must_count_up_but_an_ack_has_its_invites_number() {
        let mut dialog = as_uas(CONTACT);
        assert_eq!(dialog.receive(&request("BYE", 9, "")), Err(OutOfOrder));
        assert_eq!(dialog.receive(&request("INFO", 10, "")), Err(OutOfOrder));
        assert_eq!(dialog.receive(&request("INFO", 15, "")), Ok(()), "gaps are good");
        assert_eq!(dialog.receive(&request("ACK", 10, "")), Ok(()));
        assert_eq!(dialog.receive(&request("UPDATE", 14, "")), Err(OutOfOrder));
        assert_eq!(dialog.receive(&request("BYE", 16, "")), Ok(()));
        let mut ours = as_uac(200, "bob", CONTACT);
        assert_eq!(ours.receive(&request("BYE", 1, "")), Ok(()), "the peer's numbers are its own");
    }

    #[test]
    fn states_go_only_forwards() {
        let mut dialog = as_uas(CONTACT);
        assert_eq!(dialog.state(), DialogState::Early);
        dialog.confirm();
        assert_eq!(dialog.state(), DialogState::Confirmed);
        dialog.terminate();
        dialog.confirm();
        assert_eq!(dialog.state(), DialogState::Terminated);
    }

    #[test]
    fn without_a_usable_contact_the_party_and_its_flow_are_used() {
        for contact in ["", "Contact: <tel:+4912345>\r\n", "Contact: nonsense\r\n"] {
            let mut dialog = as_uas(contact);
            assert_eq!(
                dialog.request(&Method::Bye, "z9hG4bKx").finish().request_uri(),
                "sip:alice@10.0.0.2;x=%41",
                "{contact}"
            );
        }
        assert_eq!(as_uac(200, "bob", "").remote_target(), "sip:bob@10.0.0.1");
    }

    #[test]
    fn a_trunk_is_reached_at_its_target_and_a_phone_by_its_flow() {
        let remote = |lines: &str, by_target| as_uas(lines).flow(by_target).remote.to_string();
        assert_eq!(remote(CONTACT, false), "203.0.113.9:40123");
        assert_eq!(remote(CONTACT, true), "192.0.2.4:5080");
        assert_eq!(remote("Contact: <sip:peer@192.0.2.4>\r\n", true), "192.0.2.4:5060");
        let routed = format!("Record-Route: <sip:10.0.0.5:5070;lr>\r\n{CONTACT}");
        assert_eq!(remote(&routed, true), "10.0.0.5:5070", "the first route goes before the target");
        let by_flow = [
            "Contact: <sip:peer@trunk.example.com>\r\n",
            "Contact: <sip:peer@192.0.2.4;transport=sctp>\r\n",
            "Contact: <sips:peer@192.0.2.4>\r\n",
            "Contact: <sip:peer@0.0.0.0:5060>\r\n",
            "Contact: <sip:peer@192.0.2.4:0>\r\n",
            "Contact: <sip:peer@[2001:db8::1]>\r\n",
        ];
        for contact in by_flow {
            assert_eq!(remote(contact, true), "203.0.113.9:40123", "{contact}");
        }
        let over = |contact: &str| as_uas(contact).flow(true).transport;
        assert_eq!(over("Contact: <sip:peer@192.0.2.4;transport=TCP>\r\n"), Transport::Tcp);
        assert_eq!(over("Contact: <sip:peer@192.0.2.4>\r\n"), Transport::Udp, "the one in use");
        let named_route = format!("Record-Route: <sip:p.example.com;lr>\r\n{CONTACT}");
        assert_eq!(remote(&named_route, true), "203.0.113.9:40123", "the target must not be called past its proxy");
    }

    #[test]
    fn the_flow_follows_a_changed_source_and_a_moved_target() {
        let mut dialog = as_uas(CONTACT);
        let moved = Flow { remote: "203.0.113.9:50000".parse().unwrap(), ..flow() };
        dialog.set_flow(moved);
        assert_eq!(dialog.flow(false), moved);
        dialog.receive(&request("INVITE", 11, "Contact: <sip:peer@192.0.2.8:5099>\r\n")).unwrap();
        assert_eq!(dialog.flow(true).remote.to_string(), "192.0.2.8:5099");
    }

    #[test]
    fn a_dual_stack_socket_keeps_its_view_of_ipv4() {
        let dual = Flow {
            local: "[::]:5060".parse().unwrap(),
            remote: "[::ffff:203.0.113.9]:5060".parse().unwrap(),
            ..flow()
        };
        let dialog = Dialog::uas(&request("INVITE", 1, CONTACT), "c1".into(), "bob".into(), local(), dual);
        assert_eq!(dialog.flow(true).remote.to_string(), "[::ffff:192.0.2.4]:5080");
    }
}
