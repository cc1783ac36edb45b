//! By which flow a message goes, and what the end of one means: connections that are opened on demand and used both ways,
//! large messages that leave UDP, legs and registrations whose connection is gone (RFC 3261 §18, RFC 5923).

use std::net::SocketAddr;

use bytes::Bytes;

use super::Ua;
use crate::interface::{Event, LegId, Origin, Output};
use crate::message::{HeaderName, Limits, Message};
use crate::transaction::ClientId;
use crate::transport::connections::Overdue;
use crate::transport::{Flow, Transport, unmapped, via};

/// Larger requests do not go by UDP where the path's MTU is not known (RFC 3261 §18.1.1).
const LARGE: usize = 1300;

/// A request that would have gone by UDP, as it would have looked.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    flow: Flow,
    message: Message,
}

/// Connections come and go.
impl Ua {
    pub(crate) fn flow_opened(&mut self, flow: Flow) {
        let now = self.now();
        match self.connections.opened(now, flow) {
            Ok(()) => self.count("connections_opened"),
            Err(limit) => {
                self.count(limit);
                self.outputs.push(Output::Close { flow });
            }
        }
    }

    /// We end a connection: what is on its way to the peer still goes.
    pub(crate) fn close_flow(&mut self, flow: Flow, why: &'static str) {
        if self.connections.has(flow) {
            self.count(why);
            self.outputs.push(Output::Close { flow });
            self.flow_gone(flow);
        }
    }

    /// A connection is gone, or did not come about: so are the registrations that were reached by it, and whoever waits
    /// for an answer on it waits no longer. Legs stay, until their party speaks or registers from elsewhere.
    pub(crate) fn flow_gone(&mut self, flow: Flow) {
        let now = self.now();
        let Some(never_stood) = self.connections.remove(now, flow) else { return };
        self.count(if never_stood { "connects_failed" } else { "connections_closed" });
        for peer in self.door.registrar.forget_flow(flow) {
            let bindings = self.door.registrar.bindings(peer).count();
            self.count("bindings_lost");
            self.emit(Event::Registered { peer, bindings });
        }
        for client in self.transactions.clients_on(flow) {
            if let Some(datagram) = self.switched.remove(&client) {
                self.connections.distrust(now, flow);
                self.fall_back(client, datagram);
            }
        }
        let (status, patient) = (self.failure_of(flow), self.may_connect(flow.remote));
        self.transactions.connection_failed(now, flow, status, patient, &mut self.steps);
    }

    /// Connections whose time is up.
    pub(crate) fn flow_timers(&mut self) {
        let now = self.now();
        while let Some((flow, why)) = self.connections.overdue(now) {
            match why {
                Overdue::Connect => self.close_flow(flow, "connects_timed_out"),
                Overdue::Message => self.close_flow(flow, "connections_closed_slow"),
                Overdue::Idle if self.is_needed(flow) => self.connections.touch(now, flow),
                Overdue::Idle => self.close_flow(flow, "connections_closed_idle"),
            }
        }
    }

    /// Somebody is reached by it: a phone that registered, or a party of a call.
    fn is_needed(&self, flow: Flow) -> bool {
        !self.door.registrar.accounts_of_flow(flow).is_empty()
            || !self.transactions.clients_on(flow).is_empty()
            || self.legs.values().any(|leg| leg.spoken_flow() == flow)
    }

    /// A trunk may let us use the connection that it opened for requests to its sent-by (RFC 5923 §5). Only to a trunk's own
    /// address, so that nobody draws to himself what is for others.
    pub(crate) fn announced(&mut self, flow: Flow, request: &Message) {
        if !flow.transport.is_stream() || !request.is_request() {
            return;
        }
        let via = request.top_via();
        let Some(trunk) = self.door.index.trunk_of(flow.remote.ip()).and_then(|trunk| self.door.index.trunk(trunk))
        else {
            return;
        };
        let source = unmapped(flow.remote).ip();
        let named = via.host.trim_matches(['[', ']']);
        let is_its_name = named.parse() == Ok(source)
            || (trunk.host_name().eq_ignore_ascii_case(via.host) && unmapped(trunk.next_hop).ip() == source);
        if via.params.value("alias").is_some() && is_its_name {
            let alias = SocketAddr::new(source, via.port.unwrap_or(5060));
            self.connections.announce(flow, alias);
        }
    }
}

/// The way out.
impl Ua {
    /// Sends bytes. A response whose connection is gone goes by another one to where its request came from
    /// (RFC 3261 §18.2.2), if that is somebody we may connect to.
    pub(crate) fn transmit(&mut self, flow: Flow, data: Bytes) {
        if !flow.transport.is_stream() {
            return self.outputs.push(Output::Transmit { flow, data });
        }
        let there = if self.connections.has(flow) { Some(flow) } else { self.way_back(flow, &data) };
        match there {
            Some(flow) => {
                let now = self.now();
                self.connections.touch(now, flow);
                self.outputs.push(Output::Transmit { flow, data });
            }
            None => self.count("messages_undeliverable"),
        }
    }

    fn way_back(&mut self, flow: Flow, data: &Bytes) -> Option<Flow> {
        let response = Message::parse(data.clone(), &Limits::default()).ok().filter(|message| !message.is_request())?;
        let port = response.top_via().port.unwrap_or(5060);
        let there = self.aliased(Flow { remote: SocketAddr::new(flow.remote.ip(), port), ..flow });
        self.reach(there, false).then(|| self.count("responses_by_another_connection"))?;
        Some(there)
    }

    /// Makes sure that there is a connection or will be one; false: there is none to be had.
    pub(crate) fn reach(&mut self, flow: Flow, or_datagram: bool) -> bool {
        if !flow.transport.is_stream() || self.connections.has(flow) {
            return true;
        }
        if !self.may_connect(flow.remote) {
            self.count("connects_forbidden");
            return false;
        }
        let now = self.now();
        match self.connections.connect(now, flow, or_datagram) {
            Ok(true) => {
                self.count("connects");
                self.outputs.push(Output::Connect { flow });
                true
            }
            Ok(false) => true,
            Err(why) => {
                self.count(why);
                false
            }
        }
    }

    /// Whom we open connections to: trunks and fixed contacts. A registered phone opens its own, and nobody else makes
    /// us connect to anything.
    fn may_connect(&self, remote: SocketAddr) -> bool {
        let index = &self.door.index;
        let is_next_hop = || index.peers().trunks.iter().any(|trunk| unmapped(trunk.next_hop) == unmapped(remote));
        remote.port() != 0
            && (index.trunk_of(remote.ip()).is_some() || index.accounts_at(remote).next().is_some() || is_next_hop())
    }

    /// The connection that stands for this one: itself, else one that the peer opened and announced.
    pub(crate) fn aliased(&self, flow: Flow) -> Flow {
        if !flow.transport.is_stream() || self.connections.has(flow) {
            return flow;
        }
        self.connections.alias(flow).filter(|alias| self.connections.is_open(*alias)).unwrap_or(flow)
    }

    /// What a failed connection is worth as an answer.
    pub(crate) fn failure_of(&self, flow: Flow) -> u16 {
        if self.door.index.trunk_of(flow.remote.ip()).is_some() { 503 } else { 480 }
    }

    /// The flow that a leg's requests use now. The connection that its messages come by is used as long as it stands;
    /// after that a trunk or fixed contact is connected to, and a phone has to come back.
    pub(crate) fn way(&self, id: LegId) -> Option<Flow> {
        let leg = self.leg(id)?;
        let (target, spoken) = (leg.flow(), leg.spoken_flow());
        let same_host = unmapped(target.remote).ip() == unmapped(spoken.remote).ip();
        if spoken.transport.is_stream() && target.transport.is_stream() && same_host && self.connections.has(spoken) {
            return Some(spoken);
        }
        if target.transport != spoken.transport {
            // A Contact may name another transport; one that we do not listen on is not taken up.
            let there = self.door.flow_to(target.remote, target.transport);
            return Some(there.map_or(spoken, |there| self.aliased(there)));
        }
        if !target.transport.is_stream() || target != spoken {
            return Some(self.aliased(target));
        }
        let known = match leg.party.origin {
            Origin::Trunk(trunk) => self.door.index.trunk(trunk).map(|trunk| (trunk.next_hop, trunk.transport())),
            Origin::Account(peer) => {
                let contact = self.door.index.account(peer).and_then(|account| account.contact.as_ref());
                contact.map(|contact| (contact.addr, contact.transport()))
            }
        };
        let there = known.and_then(|(remote, transport)| self.door.flow_to(remote, transport));
        Some(self.aliased(there.unwrap_or(spoken)))
    }
}

/// RFC 3261 §18.1.1.
impl Ua {
    /// A request that is too large for UDP, as it goes by a connection; `None`: it stays where it is. Registered phones keep
    /// their flow, whatever the size: behind NAT there is no other.
    pub(crate) fn too_large(&self, flow: Flow, message: &Message) -> Option<(Flow, Message)> {
        if flow.transport != Transport::Udp || message.bytes().len() <= LARGE || !self.takes_streams(flow.remote) {
            return None;
        }
        let there = self.aliased(self.door.flow_to(flow.remote, Transport::Tcp)?);
        if !self.connections.has(there) && self.connections.prefers_datagrams(self.now(), there) {
            return None;
        }
        let local = self.local(there, "");
        let via = via(there.transport, &local.sent_by, message.top_via().branch());
        Some((there, message.edit().set(HeaderName::Via, &via).finish()))
    }

    /// Who may be connected to, and is not configured with `transport=udp`.
    fn takes_streams(&self, remote: SocketAddr) -> bool {
        let index = &self.door.index;
        if let Some(account) = index.accounts_at(remote).next() {
            return account.contact.as_ref().is_some_and(|contact| contact.named_transport() != Some(Transport::Udp));
        }
        let trunk = index.trunk_of(remote.ip()).and_then(|trunk| index.trunk(trunk));
        trunk.is_some_and(|trunk| trunk.named_transport() != Some(Transport::Udp))
    }

    /// Keeps what a request would have been by UDP, until it is answered.
    pub(crate) fn switched(&mut self, client: ClientId, flow: Flow, message: Message) {
        self.count("requests_switched");
        self.switched.insert(client, Datagram { flow, message });
    }

    /// There was no connection to be had for a large request: by UDP then, rather than not at all.
    fn fall_back(&mut self, client: ClientId, datagram: Datagram) {
        self.count("requests_switched_back");
        let now = self.now();
        self.transactions.send_otherwise(now, client, datagram.flow, datagram.message, &mut self.steps);
    }
}
