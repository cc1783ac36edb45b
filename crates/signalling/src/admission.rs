//! The door: who a request comes from, whether it may come in, and what is answered before any call is touched
//! (SEMANTICS, "Who may do what in SIP"; RFC 3261 §8.2).

mod authentication;
mod body;
mod stranger;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::interface::{BindingCopy, Event, LegId, Origin, Settings};
use crate::leg::{Kind, Leg, Party, State};
use crate::message::{HeaderName, Limits, Message, Method, NameAddr, ParseError, ReplacesHeader, ResponseBuilder, Uri};
use crate::peers::{PeerId, PeerIndex, Peers, Srtp};
use crate::registrar::Registrar;
use crate::transaction::ServerId;
use crate::transport::{Flow, Transport, unmapped};
use crate::ua::{ALLOW, SDP, SUPPORTED, Ua};

use authentication::Credentials;
pub(crate) use authentication::Guard;
use body::admitted;
pub(crate) use body::{Fault, not_acceptable, session_body};
use stranger::DenialMeter;

/// Seconds after which a call that found no room may be tried again.
const RETRY_AFTER: &str = "10";

/// Who may come in, and how they are known.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) index: PeerIndex,
    pub(crate) registrar: Registrar,
    pub(crate) guard: Guard,
    /// Where we take connections.
    listen: Vec<(Transport, SocketAddr)>,
    /// Our address that messages last came to, by family: what calls of our own start from.
    heard_v4: Option<SocketAddr>,
    heard_v6: Option<SocketAddr>,
    denials: DenialMeter,
}

/// A request that belongs to a leg.
#[derive(Debug)]
pub(crate) struct Inside {
    pub(crate) leg: LegId,
    pub(crate) method: Method,
}

impl Door {
    pub(crate) fn new(settings: &Settings, seed: [u8; 32]) -> Self {
        Self {
            index: PeerIndex::default(),
            registrar: Registrar::new(settings.registration_min, settings.registration_max),
            guard: Guard::new(&settings.domain, seed, &settings.digest),
            listen: settings.listen.clone(),
            heard_v4: None,
            heard_v6: None,
            denials: DenialMeter::default(),
        }
    }

    /// Replaces the table; accounts that are gone lose their registrations.
    pub(crate) fn set_peers(&mut self, peers: Arc<Peers>) {
        self.index = PeerIndex::new(&peers);
        let gone: Vec<PeerId> = self.registrar.accounts().filter(|peer| self.index.account(*peer).is_none()).collect();
        for peer in gone {
            self.registrar.forget(peer);
        }
    }

    /// Bindings of the process before; an account that is no more has none.
    pub(crate) fn restore(&mut self, now: Instant, peer: PeerId, bindings: Vec<BindingCopy>) {
        if self.index.account(peer).is_some() {
            self.registrar.restore(now, peer, bindings);
        }
    }

    pub(crate) fn heard_on(&mut self, flow: Flow) {
        if flow.transport.is_stream() {
            return; // it has another port
        }
        match unmapped(flow.remote) {
            SocketAddr::V4(_) => self.heard_v4 = Some(flow.local),
            SocketAddr::V6(_) => self.heard_v6 = Some(flow.local),
        }
    }

    /// The flow to an address that we may not have heard from yet: by its route, else by where we were heard last. Before
    /// anything was heard at all the wildcard address stands for our socket, and the shell knows which that is.
    /// `None`: we do not listen on that transport, and so nobody could answer there.
    pub(crate) fn flow_to(&self, remote: SocketAddr, transport: Transport) -> Option<Flow> {
        let (heard, wildcard) = match unmapped(remote) {
            SocketAddr::V4(_) => (self.heard_v4, SocketAddr::from(([0, 0, 0, 0], 5060))),
            SocketAddr::V6(_) => (self.heard_v6, SocketAddr::from(([0u16; 8], 5060))),
        };
        let local = self.index.route(remote.ip()).or(heard).unwrap_or(wildcard);
        let local = if transport.is_stream() { self.listening(transport, local.ip())? } else { local };
        Some(Flow { transport, local, remote })
    }

    /// Where we take connections, seen from a host that this address of ours leads to.
    fn listening(&self, transport: Transport, ip: IpAddr) -> Option<SocketAddr> {
        let family = |addr: &SocketAddr| addr.is_ipv4() == ip.is_ipv4();
        let all = || self.listen.iter().filter(|(of, addr)| *of == transport && family(addr)).map(|(_, addr)| *addr);
        let any = || all().find(|addr| addr.ip().is_unspecified()).map(|addr| SocketAddr::new(ip, addr.port()));
        all().find(|addr| addr.ip() == ip).or_else(any).or_else(|| all().next())
    }

    pub(crate) fn is_reachable(&self, peer: PeerId) -> bool {
        self.index
            .account(peer)
            .is_some_and(|account| account.contact.is_some() || self.registrar.binding(peer).is_some())
    }

    pub(crate) fn party(&self, origin: Origin) -> Party {
        let nobody = (false, Srtp::Off, false);
        let (nat, srtp, may_transfer) = match origin {
            Origin::Account(peer) => {
                let account = self.index.account(peer);
                account.map_or(nobody, |account| (account.nat, account.srtp, account.may_transfer))
            }
            Origin::Trunk(trunk) => self.index.trunk(trunk).map_or(nobody, |trunk| (trunk.nat, trunk.srtp, false)),
        };
        Party { origin, nat, srtp, may_transfer }
    }

    /// Whether it is somebody we know who sent this.
    fn knows(&self, flow: Flow, request: &Message) -> bool {
        self.who(flow, &from_user(request)).is_some()
    }

    /// Who speaks: a fixed contact's exact address, then a registered flow, then a trunk's network.
    pub(crate) fn who(&self, flow: Flow, from_user: &str) -> Option<Origin> {
        if let Some(account) = self.index.account_at(flow.remote, from_user) {
            return Some(Origin::Account(account.id));
        }
        if flow.transport.is_stream()
            && let Some(account) = self.index.account_on(flow.transport, flow.remote.ip(), from_user)
        {
            return Some(Origin::Account(account.id));
        }
        let registered = self.registrar.accounts_of_flow(flow);
        let named =
            registered.iter().find(|peer| self.index.account(**peer).is_some_and(|account| account.user == from_user));
        if let Some(peer) = named.or(registered.last()) {
            return Some(Origin::Account(*peer));
        }
        self.index.trunk_of(flow.remote.ip()).map(Origin::Trunk)
    }
}

/// Requests outside a dialog.
impl Ua {
    pub(crate) fn outside(&mut self, server: ServerId, flow: Flow, request: &Message) {
        let method = request.method();
        match &method {
            Method::Other(_) => return self.refuse_method(server, 501),
            Method::Subscribe | Method::Publish | Method::Message => return self.refuse_method(server, 405),
            Method::Bye | Method::Update | Method::Info | Method::Refer | Method::Prack => {
                return self.refuse(server, 481);
            }
            Method::Notify => {
                let ours = request
                    .header(&HeaderName::Event)
                    .is_some_and(|event| event.split(';').next().is_some_and(|e| e.trim() == "refer"));
                return self.refuse(server, if ours { 481 } else { 489 });
            }
            _ => {}
        }
        if !self.passes(server, request) {
            return;
        }
        match method {
            Method::Options => self.answer_options(server), // anybody may ask, and nothing is kept of it
            Method::Register => self.register(server, flow, request),
            Method::Invite => self.invited(server, flow, request),
            _ => self.refuse_method(server, 405),
        }
    }

    /// What every request must satisfy; false: it has been refused.
    fn passes(&mut self, server: ServerId, request: &Message) -> bool {
        match unservable(request) {
            None => return true,
            Some(Unservable::Scheme) => self.refuse(server, 416),
            Some(Unservable::Hops) => self.refuse(server, 483),
            Some(Unservable::Extension(unknown)) => self.refuse_extension(server, &unknown),
        }
        false
    }

    fn knows_what_is_required(&mut self, server: ServerId, request: &Message) -> bool {
        let Some(unknown) = unknown_extensions(request) else { return true };
        self.refuse_extension(server, &unknown);
        false
    }

    fn refuse_extension(&mut self, server: ServerId, unknown: &str) {
        self.count("refused_420_bad_extension");
        let tag = self.refusal_tag(server);
        self.answer(server, 420, Some(&tag), |response| response.header(HeaderName::Unsupported, unknown));
    }

    /// A new call, if its caller may make one.
    fn invited(&mut self, server: ServerId, flow: Flow, invite: &Message) {
        let Some(origin) = self.door.who(flow, &from_user(invite)) else {
            return self.deny(server, flow, invite, "unknown source");
        };
        if let Origin::Account(peer) = origin
            && !self.is_authentic(server, flow, invite, peer)
        {
            return;
        }
        if self.legs.len() >= self.settings.max_legs {
            self.count("legs_refused");
            let tag = self.refusal_tag(server);
            return self
                .answer(server, 503, Some(&tag), |response| response.header(HeaderName::RetryAfter, RETRY_AFTER));
        }
        let replaces = match self.replaced(invite, origin) {
            Ok(replaces) => replaces,
            Err(403) => return self.deny(server, flow, invite, "replaces a call of others"),
            Err(status) => return self.refuse(server, status),
        };
        if !takes_descriptions(invite) {
            return self.refuse(server, 406);
        }
        let party = self.door.party(origin);
        let offer = match session_body(invite).and_then(body::with_audio) {
            Ok(offer) => offer,
            Err(fault) => return self.refuse_fault(server, &fault),
        };
        let offer = match admitted(offer, party.srtp) {
            Ok(offer) => offer,
            Err(fault) => {
                self.count("srtp_offers_refused");
                return self.refuse_fault(server, &fault);
            }
        };
        let leg = self.offered(invite, flow, server, party);
        if let (Some(offer), Some(leg)) = (offer, self.leg_mut(leg)) {
            leg.descriptions.receive_offer(offer);
        }
        let (from_user, from_display) = shown_caller(invite, origin);
        let Some(target) = Uri::parse(request_uri(invite)) else { return };
        self.emit(Event::Offered { leg, origin, target, from_user, from_display, replaces, invite: invite.clone() });
    }

    /// The leg that Replaces names (RFC 3891 §3), or the status to refuse with. Early dialogs are never replaced here.
    fn replaced(&self, invite: &Message, origin: Origin) -> Result<Option<LegId>, u16> {
        let mut values = invite.headers(&HeaderName::Replaces);
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(400);
        }
        let named = ReplacesHeader::parse(value).ok_or(400u16)?;
        let leg = self.by_dialog(&named.call_id, &named.to_tag, &named.from_tag).ok_or(481u16)?;
        match leg.state {
            State::Leaving => return Err(603),
            State::Confirmed if named.early_only => return Err(486),
            State::Confirmed => {}
            _ => return Err(481),
        }
        let Some(peer) = leg.peer.filter(|_| !matches!(leg.kind, Kind::Listener { .. })) else { return Err(481) };
        let of_the_dialog =
            leg.party.origin == origin || self.leg(peer).is_some_and(|peer| peer.party.origin == origin);
        if of_the_dialog || matches!(origin, Origin::Trunk(_)) { Ok(Some(leg.id)) } else { Err(403) }
    }

    /// 403, and the engine hears of it.
    pub(crate) fn deny(&mut self, server: ServerId, flow: Flow, request: &Message, why: &'static str) {
        self.count("requests_denied");
        self.tell_denied(flow, request, why);
        self.refuse(server, 403);
    }

    /// 405 for a method that we know and 501 for one that we do not, each with Allow.
    fn refuse_method(&mut self, server: ServerId, status: u16) {
        self.count("methods_refused");
        let tag = self.refusal_tag(server);
        self.answer(server, status, Some(&tag), |response| response.header(HeaderName::Allow, ALLOW));
    }

    /// What we can do (RFC 3261 §11.2), told to anybody who asks.
    pub(crate) fn answer_options(&mut self, server: ServerId) {
        let tag = self.refusal_tag(server);
        self.answer(server, 200, Some(&tag), |response| {
            let response = response.header(HeaderName::Allow, ALLOW).header(HeaderName::Accept, SDP);
            response.header(HeaderName::Supported, SUPPORTED)
        });
    }

    /// A body that cannot be served.
    pub(crate) fn refuse_fault(&mut self, server: ServerId, fault: &Fault) {
        self.count("bodies_refused");
        let tag = self.refusal_tag(server);
        let Some(request) = self.transactions.server_request(server) else { return };
        let mut response = ResponseBuilder::new(request, fault.status, fault.phrase, Some(&tag));
        if let Some((name, value)) = &fault.header {
            response = response.header(name.clone(), value);
        }
        let message = response.header(HeaderName::Server, &self.settings.user_agent).finish();
        let now = self.now();
        self.transactions.respond(now, server, message, &mut self.steps);
    }
}

/// Requests inside a dialog.
impl Ua {
    /// The leg that a request belongs to, if it may be served there; else it has been answered.
    pub(crate) fn inside(&mut self, server: ServerId, flow: Flow, request: &Message) -> Option<Inside> {
        let method = request.method();
        let Some(leg) = self.by_dialog(request.call_id(), request.to_tag(), request.from_tag()) else {
            match method {
                Method::Other(_) => self.refuse_method(server, 501),
                _ => self.refuse(server, 481),
            }
            return None;
        };
        let id = leg.id;
        if !self.is_its_flow(leg, flow) {
            self.deny(server, flow, request, "dialog of others");
            return None;
        }
        if !self.is_in_order(id, request) {
            self.count("requests_out_of_order");
            self.answer(server, 500, None, |response| response); // RFC 3261 §12.2.2
            return None;
        }
        self.follow_flow(id, flow);
        self.note_moved(id);
        let leg = self.leg(id)?;
        if !leg.is_live() || (leg.dialog.is_none() && method != Method::Update) {
            // A BYE that crossed ours is as good as its answer.
            let status = if method == Method::Bye && matches!(leg.state, State::Leaving) { 200 } else { 481 };
            self.answer(server, status, None, |response| response);
            return None;
        }
        if !self.knows_what_is_required(server, request) {
            return None;
        }
        match method {
            Method::Invite | Method::Update | Method::Bye | Method::Info | Method::Refer | Method::Options => {
                Some(Inside { leg: id, method })
            }
            Method::Notify | Method::Prack => {
                self.answer(server, 481, None, |response| response);
                None
            }
            Method::Other(_) => {
                self.refuse_method(server, 501);
                None
            }
            _ => {
                self.refuse_method(server, 405);
                None
            }
        }
    }

    /// The leg that the ACK of a 2xx belongs to. ACK is never answered.
    pub(crate) fn ack_leg(&mut self, flow: Flow, ack: &Message) -> Option<LegId> {
        let leg = self
            .by_dialog(ack.call_id(), ack.to_tag(), ack.from_tag())
            .filter(|leg| self.is_its_flow(leg, flow))
            .map(|leg| leg.id);
        if leg.is_none() {
            self.count("acks_stray");
        }
        leg
    }

    /// Hands a message to the transactions.
    pub(crate) fn admit(&mut self, now: Instant, flow: Flow, message: Message) {
        let ends_a_leg = message.is_request()
            && message.method() == Method::Bye
            && self
                .by_dialog(message.call_id(), message.to_tag(), message.from_tag())
                .is_some_and(|leg| leg.is_live() && self.is_its_flow(leg, flow));
        match ends_a_leg {
            true => self.transactions.receive_end(now, flow, message, &mut self.steps),
            false => self.transactions.receive(now, flow, message, &mut self.steps),
        }
    }

    /// In a dialog its ids and its flow decide: the same host, or the same phone or trunk speaking from elsewhere.
    fn is_its_flow(&self, leg: &Leg, flow: Flow) -> bool {
        let from = flow.remote.ip().to_canonical();
        if leg.signalling().ip().to_canonical() == from || leg.flow().remote.ip().to_canonical() == from {
            return true;
        }
        let user = match leg.party.origin {
            Origin::Account(peer) => self.door.index.account(peer).map_or("", |account| account.user.as_str()),
            Origin::Trunk(_) => "",
        };
        self.door.who(flow, user) == Some(leg.party.origin)
    }

    fn is_in_order(&mut self, id: LegId, request: &Message) -> bool {
        match self.leg_mut(id).and_then(|leg| leg.dialog.as_mut()) {
            Some(dialog) => dialog.receive(request).is_ok(),
            None => true,
        }
    }

    /// A phone that speaks from elsewhere now is answered there from now on.
    fn follow_flow(&mut self, id: LegId, flow: Flow) {
        if let Some(leg) = self.leg_mut(id)
            && let Some(dialog) = &mut leg.dialog
            && dialog.flow(false) != flow
        {
            dialog.set_flow(flow);
            self.look_right(id, flow);
        }
    }
}

/// What is broken, and what is late.
impl Ua {
    /// Bytes that are no message: answered where they can be (RFC 3261 §8.2.6, §21.4.1, §21.5.6), else dropped.
    pub(crate) fn refuse_broken(&mut self, flow: Flow, data: &Bytes, error: &ParseError) {
        let (counter, status, phrase) = match error {
            ParseError::KeepAlive | ParseError::NotSip => return self.count("datagrams_not_sip"),
            ParseError::TooLarge(what) => ("messages_too_large", 513, Some(*what)),
            ParseError::Malformed(what) => ("messages_malformed", 400, Some(*what)),
            ParseError::UnknownMethod => ("methods_refused", 501, None),
            ParseError::Version => ("messages_of_other_version", 505, None),
        };
        self.count(counter);
        let request = Message::parse_lenient(data, &Limits::default()).filter(|message| message.is_request());
        let Some(request) = request.filter(|request| request.method() != Method::Ack) else { return };
        let request = request.with_source(flow.remote);
        let tag = self.token();
        let phrase = phrase.map(|phrase| format!("{} - {phrase}", crate::message::reason_phrase(status)));
        let mut response = ResponseBuilder::new(&request, status, phrase.as_deref(), Some(&tag))
            .header(HeaderName::Server, &self.settings.user_agent);
        if status == 501 {
            response = response.header(HeaderName::Allow, ALLOW);
        }
        self.transmit(flow, response.finish().bytes().clone());
    }

    /// Registrations that ran out.
    pub(crate) fn door_timers(&mut self) {
        let now: Instant = self.now();
        for peer in self.door.registrar.wake(now) {
            let bindings = self.door.registrar.copies(now, peer);
            self.emit(Event::Registered { peer, bindings, receipt: None });
        }
    }

    /// Whether an account's request outside a dialog carries its password; else it has been challenged or denied.
    fn is_authentic(&mut self, server: ServerId, flow: Flow, request: &Message, peer: PeerId) -> bool {
        let Some(account) = self.door.index.account(peer) else { return false };
        let (user, password) = (account.user.clone(), account.password.clone());
        let Some(password) = password else { return true };
        match self.credentials(request, &user, Some(&password)) {
            Credentials::Right => true,
            Credentials::Missing { stale } => {
                self.challenge(server, request, stale);
                false
            }
            Credentials::Wrong => {
                self.deny(server, flow, request, "wrong credentials");
                false
            }
        }
    }
}

/// User part of From: what tells the accounts of one address apart.
fn from_user(request: &Message) -> String {
    request.from().ok().and_then(|from| from.parsed_uri()).map(|uri| uri.user_decoded()).unwrap_or_default()
}

/// Why a request outside a dialog cannot be served, whoever sent it.
enum Unservable {
    /// Of its Request-URI (RFC 3261 §8.2.2.1).
    Scheme,
    /// It may go no further (RFC 3261 §16.3).
    Hops,
    /// It requires these, which we do not have (RFC 3261 §8.2.2.3).
    Extension(String),
}

fn unservable(request: &Message) -> Option<Unservable> {
    let uri = Uri::parse(request.request_uri());
    if !uri.is_some_and(|uri| matches!(uri.scheme(), "sip" | "tel")) {
        return Some(Unservable::Scheme);
    }
    let ends_here = matches!(request.method(), Method::Register | Method::Options);
    if request.max_forwards() == Some(0) && !ends_here {
        return Some(Unservable::Hops);
    }
    unknown_extensions(request).map(Unservable::Extension)
}

fn unknown_extensions(request: &Message) -> Option<String> {
    let options = request.values(&HeaderName::Require).map(str::trim);
    let unknown: Vec<&str> = options.filter(|option| !option.eq_ignore_ascii_case(SUPPORTED)).collect();
    (!unknown.is_empty()).then(|| unknown.join(", "))
}

/// Whether an answer's description may come back (RFC 3261 §20.1; without Accept it may).
fn takes_descriptions(invite: &Message) -> bool {
    let mut lines = invite.headers(&HeaderName::Accept).peekable();
    let taken = |range: &str| {
        let kind = range.split(';').next().unwrap_or_default().trim();
        [SDP, "application/*", "*/*"].iter().any(|kinds| kind.eq_ignore_ascii_case(kinds))
    };
    lines.peek().is_none() || invite.values(&HeaderName::Accept).any(taken)
}

/// The Request-URI text; it parsed when the request was admitted.
fn request_uri(invite: &Message) -> &str {
    invite.request_uri()
}

/// User part and display name of who calls: a trunk may assert another identity than From (RFC 3325 §9).
fn shown_caller(invite: &Message, origin: Origin) -> (String, String) {
    let asserted = match origin {
        Origin::Trunk(_) => invite.values(&HeaderName::PAssertedIdentity).find_map(NameAddr::parse),
        Origin::Account(_) => None,
    };
    let Some(caller) = asserted.or_else(|| invite.from().ok()) else { return (String::new(), String::new()) };
    (caller.parsed_uri().map(|uri| uri.user().to_owned()).unwrap_or_default(), caller.display.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_called_from_the_address_that_leads_to_it() {
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        let mut door = Door::new(&Settings::for_domain("medlytt.test"), [1; 32]);
        let peers = Peers { routes: vec![(addr("10.0.0.9:1").ip(), addr("10.0.0.1:5060"))], ..Peers::default() };
        door.set_peers(Arc::new(peers));
        let heard = Flow { transport: Transport::Udp, local: addr("127.0.0.1:5060"), remote: addr("127.0.0.3:5060") };
        door.heard_on(heard);
        let local = |remote: &str| door.flow_to(addr(remote), Transport::Udp).map(|flow| flow.local);
        assert_eq!(local("10.0.0.9:5070"), Some(addr("10.0.0.1:5060")));
        assert_eq!(
            local("10.0.0.8:5060"),
            Some(addr("127.0.0.1:5060")),
            "nobody said which, so the last that was heard on"
        );
    }
}
