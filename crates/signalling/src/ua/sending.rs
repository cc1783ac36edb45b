//! How the user agent speaks: requests in and outside dialogs, ACKs, answers.

use bytes::Bytes;

use super::{ALLOW, PASSED_WAITS, SDP, SUPPORTED, Ua};
use crate::interface::LegId;
use crate::leg::{LastAck, Purpose, Timer};
use crate::message::{HeaderName, Message, Method, RequestBuilder, ResponseBuilder};
use crate::transaction::{ClientId, ServerId};
use crate::transport::Flow;

impl Ua {
    /// Sends a request in a client transaction of its own. One that can go by no connection fails at once, as one whose
    /// connection fails later does.
    pub(crate) fn request(&mut self, flow: Flow, message: Message, purpose: Purpose) -> ClientId {
        if let Some(leg) = purpose.leg().and_then(|leg| self.legs.get_mut(&leg)) {
            leg.open_requests += 1;
        }
        let now = self.now();
        if let Some((stream, large)) = self.too_large(flow, &message)
            && self.reach(stream, true)
        {
            let id = self.transactions.request(now, stream, large, &mut self.steps);
            self.switched(id, flow, message);
            self.clients.insert(id, purpose);
            return id;
        }
        let reached = self.reach(flow, false);
        let id = self.transactions.request(now, flow, message, &mut self.steps);
        self.clients.insert(id, purpose);
        if !reached {
            let (status, patient) = (self.failure_of(flow), self.may_connect(flow.remote));
            self.transactions.connection_failed(now, flow, status, patient, &mut self.steps);
        }
        id
    }

    /// A client transaction is over.
    pub(crate) fn close_request(&mut self, id: ClientId) -> Option<Purpose> {
        let purpose = self.clients.remove(&id)?;
        self.switched.remove(&id);
        if matches!(purpose, Purpose::StrayBye) {
            self.stray_byes = self.stray_byes.saturating_sub(1);
        }
        if let Some(leg) = purpose.leg().and_then(|leg| self.legs.get_mut(&leg)) {
            leg.open_requests = leg.open_requests.saturating_sub(1);
            if leg.outbound == Some(id) {
                leg.outbound = None;
            }
        }
        Some(purpose)
    }

    /// Sends a request inside a leg's dialog.
    pub(crate) fn request_in(
        &mut self,
        id: LegId,
        method: &Method,
        purpose: Purpose,
        add: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Option<ClientId> {
        let branch = self.transactions.branch();
        let flow = self.way(id)?;
        self.look_right(id, flow);
        let leg = self.legs.get_mut(&id)?;
        let message = add(leg.dialog.as_mut()?.request(method, &branch)).finish();
        Some(self.request(flow, message, purpose))
    }

    /// Sends an INVITE or UPDATE that changes a leg's session, with this description or (late offer) none.
    pub(crate) fn change(
        &mut self,
        id: LegId,
        method: &Method,
        body: Option<Bytes>,
        purpose: Purpose,
    ) -> Option<ClientId> {
        let client = self.request_in(id, method, purpose, |request| {
            let request = request.header(HeaderName::Allow, ALLOW).header(HeaderName::Supported, SUPPORTED);
            match body {
                Some(body) => request.body(SDP, body),
                None => request,
            }
        })?;
        self.leg_mut(id)?.outbound = Some(client);
        match method {
            Method::Update => self.set_timer(self.now() + self.settings.t1 * PASSED_WAITS, Timer::Passed(client)),
            _ => self.set_timer(self.now() + self.settings.invite_timeout, Timer::Change(client)),
        }
        Some(client)
    }

    /// Cancels a re-INVITE of ours that got no final answer: for too long (RFC 3261 §16.8 says so for proxies), or because
    /// its call is over. What is no INVITE, or answered, is left alone.
    pub(crate) fn cancel_change(&mut self, client: ClientId) {
        if self.clients.contains_key(&client) {
            let now = self.now();
            self.transactions.cancel(now, client, Some("SIP;cause=487"), &mut self.steps);
        }
    }

    /// Acknowledges a 2xx on a leg and keeps the ACK for when the 2xx comes again.
    pub(crate) fn acknowledge(&mut self, id: LegId, cseq: u32, answer: Option<Bytes>) {
        self.stop_ack_wait(id);
        let branch = self.transactions.branch();
        let Some(flow) = self.way(id) else { return };
        self.look_right(id, flow);
        let reached = self.reach(flow, false);
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(dialog) = &leg.dialog else { return };
        let ack = dialog.ack(cseq, &branch, answer.clone()).bytes().clone();
        leg.ack_owed = None;
        leg.last_ack = Some(Box::new(LastAck { cseq, flow, branch: branch.into(), body: answer }));
        if reached {
            self.transmit(flow, ack);
        }
    }

    /// Via and Contact of a leg show the transport that its messages go by now.
    pub(crate) fn look_right(&mut self, id: LegId, flow: Flow) {
        let Some(dialog) = self.leg(id).and_then(|leg| leg.dialog.as_ref()) else { return };
        if dialog.local().transport == flow.transport {
            return;
        }
        let local = self.local(flow, &dialog.local().contact_user.clone());
        if let Some(dialog) = self.leg_mut(id).and_then(|leg| leg.dialog.as_mut()) {
            dialog.set_local(local);
        }
    }

    /// Answers a request. `tag` is ours where the request has none.
    pub(crate) fn answer(
        &mut self,
        server: ServerId,
        status: u16,
        tag: Option<&str>,
        add: impl FnOnce(ResponseBuilder) -> ResponseBuilder,
    ) {
        if status >= 300 {
            self.servers.remove(&server);
        }
        let Some(request) = self.transactions.server_request(server) else { return };
        let response = add(ResponseBuilder::new(request, status, None, tag));
        let message = response.header(HeaderName::Server, &self.settings.user_agent).finish();
        let now = self.now();
        self.transactions.respond(now, server, message, &mut self.steps);
    }

    /// For an answer that makes no dialog.
    pub(crate) fn refusal_tag(&mut self, server: ServerId) -> String {
        self.transactions.refusal_tag(server).unwrap_or_else(|| self.token())
    }

    /// Refuses without anything to add, and counts it.
    pub(crate) fn refuse(&mut self, server: ServerId, status: u16) {
        self.count_refusal(status);
        let tag = self.refusal_tag(server);
        self.answer(server, status, Some(&tag), |response| response);
    }

    pub(crate) fn count_refusal(&mut self, status: u16) {
        self.count(refusal(status));
    }

    /// Answers with a Contact, Allow and Supported: the 2xx (and 18x) of INVITE and UPDATE on a leg.
    pub(crate) fn answer_on(
        &mut self,
        id: LegId,
        server: ServerId,
        status: u16,
        reason: Option<&str>,
        body: Option<Bytes>,
    ) {
        let Some(leg) = self.legs.get(&id) else { return };
        let Some(contact) = leg.dialog.as_ref().map(|dialog| dialog.local().contact()) else { return };
        let Some(request) = self.transactions.server_request(server) else { return };
        let mut response = ResponseBuilder::new(request, status, reason, Some(&leg.local_tag))
            .header(HeaderName::Contact, &contact)
            .header(HeaderName::Allow, ALLOW)
            .header(HeaderName::Supported, SUPPORTED)
            .header(HeaderName::Server, &self.settings.user_agent);
        if let Some(body) = body {
            response = response.body(SDP, body);
        }
        let invite_answered = status >= 200 && request.method() == Method::Invite;
        let now = self.now();
        self.transactions.respond(now, server, response.finish(), &mut self.steps);
        if status >= 200 {
            self.servers.remove(&server);
        }
        if invite_answered && let Some(leg) = self.legs.get_mut(&id) {
            leg.unacknowledged = Some(server);
            self.servers.insert(server, id);
        }
    }
}

/// The counter of a refusal of our own.
fn refusal(status: u16) -> &'static str {
    match status {
        400 => "refused_400_bad_request",
        403 => "refused_403_forbidden",
        406 => "refused_406_not_acceptable",
        416 => "refused_416_unsupported_scheme",
        420 => "refused_420_bad_extension",
        481 => "refused_481_no_such_call",
        483 => "refused_483_too_many_hops",
        486 => "refused_486_busy",
        489 => "refused_489_bad_event",
        491 => "refused_491_pending",
        500 => "refused_500_internal",
        603 => "refused_603_declined",
        _ => "refused_other",
    }
}
