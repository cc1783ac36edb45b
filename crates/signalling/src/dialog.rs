//! Dialogs (RFC 3261 §12): ids, route set, remote target, CSeq both ways.

use bytes::Bytes;

use crate::message::{HeaderName, Message, Method, NameAddr, RequestBuilder, Uri};
use crate::transport::{Flow, unmapped};

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

impl Local {
    /// Our Contact, as a header value.
    #[must_use]
    pub fn contact(&self) -> String {
        match self.contact_user.as_str() {
            "" => format!("<sip:{}>", self.sent_by),
            user => format!("<sip:{user}@{}>", self.sent_by),
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
    route_set: Vec<String>,
    /// URI of the remote Contact; without a usable one the URI of the remote party.
    remote_target: String,
    /// Our From, tag included: the text of the forming request.
    local_party: String,
    /// Our To, tag included.
    remote_party: String,
    local_cseq: u32,
    remote_cseq: Option<u32>,
}

/// A request that does not belong where it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfOrder;

impl Dialog {
    /// Ours as UAS: from the INVITE and the tag we give it (RFC 3261 §12.1.1).
    pub fn uas(invite: &Message, local_tag: &str, local: Local, flow: Flow) -> Self {
        let remote_party = invite.header(&HeaderName::From).unwrap_or_default();
        Self {
            id: DialogId { call_id: invite.call_id().into(), local_tag: local_tag.into(), remote_tag: invite.from_tag().into() },
            state: DialogState::Early,
            local,
            flow,
            route_set: invite.values(&HeaderName::RecordRoute).map(str::to_owned).collect(),
            remote_target: contact_uri(invite).unwrap_or_else(|| party_uri(remote_party)),
            local_party: with_tag(invite.header(&HeaderName::To).unwrap_or_default(), invite.to_tag(), local_tag),
            remote_party: remote_party.into(),
            local_cseq: 0,
            remote_cseq: Some(invite.cseq().number),
        }
    }
    /// Ours as UAC: from the INVITE we sent and a 1xx with a tag or a 2xx (RFC 3261 §12.1.2). Each To tag is a dialog of
    /// its own where the INVITE forked.
    pub fn uac(invite: &Message, response: &Message, local: Local, flow: Flow) -> Self {
        let to = invite.header(&HeaderName::To).unwrap_or_default();
        Self {
            id: DialogId { call_id: invite.call_id().into(), local_tag: invite.from_tag().into(), remote_tag: response.to_tag().into() },
            state: if response.status() < 200 { DialogState::Early } else { DialogState::Confirmed },
            local,
            flow,
            route_set: reversed_record_route(response),
            remote_target: contact_uri(response).unwrap_or_else(|| party_uri(to)),
            local_party: invite.header(&HeaderName::From).unwrap_or_default().into(),
            remote_party: with_tag(to, invite.to_tag(), response.to_tag()),
            local_cseq: invite.cseq().number,
            remote_cseq: None,
        }
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
        let next_hop = self.route_set.first().map_or_else(|| self.remote_target.clone(), |route| party_uri(route));
        match Uri::parse(&next_hop).filter(|_| by_target).and_then(|uri| udp_addr(&uri)) {
            Some(remote) if remote.is_ipv4() == unmapped(self.flow.remote).is_ipv4() => self.flow_to(remote),
            _ => self.flow,
        }
    }
    /// The flow changed (registration moved, request came from elsewhere).
    pub fn set_flow(&mut self, flow: Flow) {
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

/// CSeq numbers stay below 2^31 (RFC 3261 §8.1.1.5).
const CSEQ_MAX: u32 = (1 << 31) - 1;

impl Dialog {
    /// RFC 3261 §12.2, RFC 3311 §5.1: only INVITE and UPDATE move the target of an INVITE dialog.
    fn refresh_target(&mut self, message: &Message, method: &Method) {
        if matches!(method, Method::Invite | Method::Update)
            && let Some(target) = contact_uri(message)
        {
            self.remote_target = target;
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
            Some(first) => (as_request_uri(first), self.route_set.get(1..).unwrap_or_default(), Some(format!("<{}>", self.remote_target))),
            None => (as_request_uri(&self.remote_target), self.route_set.as_slice(), None),
        };
        let via = format!("SIP/2.0/{} {};branch={branch};rport", self.flow.transport.as_str(), self.local.sent_by);
        let mut request =
            RequestBuilder::new(method, &request_uri).header(HeaderName::Via, &via).header(HeaderName::MaxForwards, "70");
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
        match self.local.user_agent.as_str() {
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

/// A UAC's route set is the Record-Route from the last line to the first (RFC 3261 §12.1.2).
fn reversed_record_route(response: &Message) -> Vec<String> {
    let mut route_set: Vec<String> = response.values(&HeaderName::RecordRoute).map(str::to_owned).collect();
    route_set.reverse();
    route_set
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

/// Where a URI leads over UDP without asking DNS.
fn udp_addr(uri: &Uri) -> Option<std::net::SocketAddr> {
    let over_udp = uri.param("transport").is_none_or(|transport| transport.eq_ignore_ascii_case("udp"));
    uri.socket_addr().map(unmapped).filter(|addr| uri.scheme() == "sip" && over_udp && addr.port() != 0 && !addr.ip().is_unspecified())
}
