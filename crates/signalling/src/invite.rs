//! How a leg begins: the INVITE that we send, and the leg that one of theirs makes.

use bytes::Bytes;

use crate::dialog::Dialog;
use crate::interface::{Destination, LegId, NewLeg, Origin};
use crate::leg::{Kind, Leg, Party, Purpose, State, Timer};
use crate::message::{HeaderName, Message, Method, RequestBuilder};
use crate::peers::Srtp;
use crate::sdp::Family;
use crate::session::Descriptions;
use crate::session::keys::Shield;
use crate::transaction::ServerId;
use crate::transport::{Flow, via};
use crate::ua::{ALLOW, SDP, SUPPORTED, Ua, quotable};
use rand::RngExt;

/// Max-Forwards of an INVITE that has no forerunner (RFC 3261 §8.1.1.6).
pub(crate) const MAX_FORWARDS: u32 = 70;

/// Where a call of ours goes.
#[derive(Debug)]
pub(crate) struct Route {
    flow: Flow,
    request_uri: String,
    /// URI of To.
    to: String,
    party: Party,
}

/// What an INVITE of ours carries besides what every one does.
#[derive(Debug)]
pub(crate) struct Extra {
    pub(crate) max_forwards: u32,
    pub(crate) headers: Vec<(HeaderName, String)>,
}

impl Default for Extra {
    fn default() -> Self {
        Self { max_forwards: MAX_FORWARDS, headers: Vec::new() }
    }
}

impl Ua {
    /// A leg that we are about to call, and the way to it. It is not in the table before [`Self::place`].
    ///
    /// # Errors
    /// The status to refuse with: 480 for an account that cannot be reached, 503 where there are too many legs.
    pub(crate) fn prepare(&mut self, new: &NewLeg, kind: Kind) -> Result<(Box<Leg>, Route), u16> {
        if self.legs.len() >= self.settings.max_legs {
            self.count("legs_refused");
            return Err(503);
        }
        let route = self.route(&new.destination).ok_or(480u16)?;
        let leg = self.fresh(new.leg, kind, State::Cancelling, route.party, route.flow);
        Ok((leg, route))
    }

    /// Sends the INVITE of a prepared leg. Without a body it asks for an offer.
    pub(crate) fn place(&mut self, leg: Box<Leg>, route: Route, new: &NewLeg, body: Option<Bytes>, extra: Extra) {
        let id = leg.id;
        self.write(leg, &route, new, body, extra);
        self.send_invite(id);
    }

    /// Puts a prepared leg into the table with its INVITE, which has not left.
    pub(crate) fn write(&mut self, mut leg: Box<Leg>, route: &Route, new: &NewLeg, body: Option<Bytes>, extra: Extra) {
        let branch = self.transactions.branch();
        leg.invite = Some(Box::new(self.build(&leg, route, new, &branch, body, extra)));
        leg.state = State::Prepared { rings: new.ring_timeout.unwrap_or(self.settings.invite_timeout) };
        self.insert(leg);
    }

    /// The INVITE of a leg leaves, once.
    pub(crate) fn send_invite(&mut self, id: LegId) {
        let now = self.now();
        let Some(leg) = self.leg_mut(id) else { return };
        let (State::Prepared { rings }, Some(invite)) = (&leg.state, leg.invite.clone()) else { return };
        let (ring_until, flow) = (now + *rings, leg.first_flow);
        leg.ring_until = Some(ring_until);
        self.set_timer(ring_until, Timer::Ring(id));
        let client = self.request(flow, *invite, Purpose::Invite(id));
        if let Some(leg) = self.leg_mut(id) {
            leg.state = State::Calling(client);
        }
    }

    /// The leg that an INVITE makes: an early dialog of ours as UAS.
    pub(crate) fn offered(&mut self, invite: &Message, flow: Flow, server: ServerId, party: Party) -> LegId {
        let id = self.new_leg();
        let mut leg = self.fresh(id, Kind::Caller, State::Offered(server), party, flow);
        let user = invite
            .to()
            .ok()
            .and_then(|to| to.parsed_uri())
            .map(|uri| escaped_user(&uri.user_decoded()))
            .unwrap_or_default();
        let local = self.local(flow, &user);
        leg.call_id = invite.call_id().into();
        leg.dialog = Some(Dialog::uas(invite, leg.call_id.clone(), leg.local_tag.clone(), local, flow));
        leg.allows_update = allows_update(invite);
        leg.invite = Some(Box::new(invite.clone()));
        self.insert(leg);
        self.servers.insert(server, id);
        id
    }

    /// Where a destination is reached now.
    pub(crate) fn route(&self, destination: &Destination) -> Option<Route> {
        match destination {
            Destination::Account(peer) => {
                let account = self.door.index.account(*peer)?;
                let (flow, request_uri) = match &account.contact {
                    Some(contact) => {
                        let flow = self.door.flow_to(contact.addr, contact.transport())?;
                        (self.aliased(flow), contact.uri.clone())
                    }
                    None => {
                        let binding = self.door.registrar.binding(*peer)?;
                        let dead = binding.flow.transport.is_stream() && !self.connections.has(binding.flow);
                        if dead {
                            return None; // SEMANTICS, "reaching a registered phone"
                        }
                        (binding.flow, binding.contact.as_str().to_owned())
                    }
                };
                let party = self.door.party(Origin::Account(*peer));
                Some(Route {
                    flow,
                    request_uri,
                    to: format!("sip:{}@{}", escaped_user(&account.user), self.settings.domain),
                    party,
                })
            }
            Destination::Trunk(trunk, user) => {
                let route = self.door.index.trunk(*trunk)?;
                let flow = self.aliased(self.door.flow_to(route.next_hop, route.transport())?);
                let user = escaped_user(user);
                Some(Route {
                    flow,
                    to: format!("sip:{user}@{}", route.host_port()),
                    request_uri: format!("sip:{user}@{}", route.host),
                    party: self.door.party(Origin::Trunk(*trunk)),
                })
            }
        }
    }

    fn fresh(&mut self, id: LegId, kind: Kind, state: State, party: Party, flow: Flow) -> Box<Leg> {
        let seed = if party.srtp == Srtp::Off { [0; 32] } else { self.random.random() };
        let shield = Shield::new(party.srtp, self.settings.rtcp_mux, seed);
        Box::new(Leg {
            id,
            kind,
            state,
            peer: None,
            party,
            first_flow: flow,
            call_id: self.token().into(),
            local_tag: self.token().into(),
            dialog: None,
            invite: None,
            descriptions: Descriptions::new(self.random.random(), Family::of(flow.remote.ip()), shield),
            early: Vec::new(),
            early_tag: Box::default(),
            ring_until: None,
            inbound: None,
            outbound: None,
            unacknowledged: None,
            ack_owed: None,
            ack_until: None,
            last_ack: None,
            bye_after_ack: None,
            open_requests: 0,
            refers: 0,
            transfer: None,
            allows_update: false,
            replacing: None,
        })
    }

    fn build(
        &self,
        leg: &Leg,
        route: &Route,
        new: &NewLeg,
        branch: &str,
        body: Option<Bytes>,
        extra: Extra,
    ) -> Message {
        let user = escaped_user(&new.from_user);
        let local = self.local(route.flow, &user);
        let party = name_addr(&new.from_display, &user, &self.settings.domain);
        let mut request = RequestBuilder::new(&Method::Invite, &route.request_uri)
            .header(HeaderName::Via, &via(local.transport, &local.sent_by, branch))
            .header(HeaderName::MaxForwards, &extra.max_forwards.to_string())
            .header(HeaderName::From, &format!("{party};tag={}", leg.local_tag))
            .header(HeaderName::To, &format!("<{}>", route.to))
            .header(HeaderName::CallId, &leg.call_id)
            .header(HeaderName::CSeq, "1 INVITE")
            .header(HeaderName::Contact, &local.contact())
            .header(HeaderName::Allow, ALLOW)
            .header(HeaderName::Supported, SUPPORTED)
            .header(HeaderName::UserAgent, &self.settings.user_agent);
        if new.identity {
            request = request.header(HeaderName::PAssertedIdentity, &party);
        }
        for (name, value) in extra.headers {
            request = request.header(name, &value);
        }
        for (name, value) in new.headers.iter().filter(|(name, _)| is_free(name)) {
            request = request.raw_header(name, value);
        }
        match body {
            Some(body) => request.body(SDP, body).finish(),
            None => request.finish(),
        }
    }
}

impl Ua {
    /// The dialog that a 1xx or 2xx to the leg's INVITE makes.
    pub(crate) fn dialog_of(&self, leg: &Leg, response: &Message, flow: Flow) -> Option<Dialog> {
        let invite = leg.invite.as_ref()?;
        let user = invite.from().ok()?.parsed_uri().map(|uri| uri.user().to_owned()).unwrap_or_default();
        let dialog = Dialog::uac(invite, response, self.local(flow, &user), flow);
        Some(dialog.sharing(&leg.call_id, &leg.local_tag))
    }
}

/// The remote party says that it takes UPDATE.
pub(crate) fn allows_update(message: &Message) -> bool {
    message.values(&HeaderName::Allow).any(|method| method.trim() == "UPDATE")
}

/// A user part that may stand in a URI (RFC 3261 §25.1): what is escaped already stays.
pub(crate) fn escaped_user(user: &str) -> String {
    let bytes = user.as_bytes();
    let mut text = String::with_capacity(user.len());
    for (at, &byte) in bytes.iter().enumerate() {
        let escape = byte == b'%' && bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        if escape || byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

fn name_addr(display: &str, user: &str, domain: &str) -> String {
    let separator = if user.is_empty() { "" } else { "@" };
    match quotable(display).trim() {
        "" => format!("<sip:{user}{separator}{domain}>"),
        display => format!("\"{display}\" <sip:{user}{separator}{domain}>"),
    }
}

/// Headers that the engine may add; what makes dialogs and sessions is ours alone.
fn is_free(name: &str) -> bool {
    matches!(
        HeaderName::new(name),
        HeaderName::Other(_) | HeaderName::Privacy | HeaderName::Reason | HeaderName::ReferredBy
    ) && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_escaped_once() {
        assert_eq!(escaped_user("+4755512345"), "+4755512345");
        assert_eq!(escaped_user("anna b@x"), "anna%20b%40x");
        assert_eq!(escaped_user("%41b"), "%41b");
        assert_eq!(escaped_user("50%"), "50%25");
    }

    #[test]
    fn display_names_cannot_break_out() {
        assert_eq!(name_addr("a\" <sip:x@y>\r\nVia: z", "u", "d"), "\"a' <sip:x@y>Via: z\" <sip:u@d>");
        assert_eq!(name_addr("", "u", "d"), "<sip:u@d>");
    }
}
