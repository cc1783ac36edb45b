//! Requests of the phone and what comes back: client transactions (RFC 3261 §17.1), ACK, digest, 491.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::RngExt;
use signalling::message::{HeaderName, Message, Method, RequestBuilder};

use crate::call::Answered;
use crate::digest::{self, Credentials};
use crate::interface::{CallId, Event, Output, State};
use crate::ua::Phone;

/// T2 (RFC 3261 §17.1.2.1).
const T2: Duration = Duration::from_secs(4);
/// Timers B, F and D, in T1 (64 · T1 = 32 s).
const PATIENCE: u32 = 64;

/// One request that was sent.
#[derive(Debug)]
pub(crate) struct ClientTransaction {
    pub(crate) branch: String,
    pub(crate) request: Request,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Bytes,
    /// ACK to a final answer above 299, for repeated ones.
    pub(crate) ack: Option<Bytes>,
    pub(crate) with_credentials: bool,
    pub(crate) interval: Duration,
    pub(crate) next_at: Option<Instant>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) provisional: bool,
    pub(crate) done: bool,
}

/// What a request is made of, so that it can be made again with credentials.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) uri: String,
    pub(crate) call: Option<CallId>,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) sip_call_id: String,
    pub(crate) cseq: u32,
    pub(crate) routes: Vec<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<(String, Bytes)>,
}

impl Phone {
    /// Sends a request in a transaction of its own; gives its branch.
    pub(crate) fn send_request(
        &mut self,
        now: Instant,
        to: SocketAddr,
        request: Request,
        credentials: Option<(HeaderName, String)>,
        out: &mut Vec<Output>,
    ) -> String {
        let branch = self.branch();
        let message = self.build(&request, &branch, credentials.as_ref());
        if request.method == Method::Invite
            && let Some(call) = request.call.and_then(|c| self.calls.get_mut(&c))
            && (call.invite.is_none() || call.state == State::Calling)
        {
            call.invite = Some(message.clone());
        }
        self.transmit(now, to, &message, out);
        self.file(now, to, branch.clone(), request, &message, credentials.is_some());
        branch
    }

    /// Remembers what was sent, to repeat it and to know its answer.
    pub(crate) fn file(
        &mut self,
        now: Instant,
        to: SocketAddr,
        branch: String,
        request: Request,
        message: &Message,
        with_credentials: bool,
    ) {
        let t1 = self.t1();
        self.clients.push(ClientTransaction {
            branch,
            request,
            to,
            bytes: message.bytes().clone(),
            ack: None,
            with_credentials,
            interval: t1,
            next_at: Some(now + t1),
            deadline: Some(now + t1 * PATIENCE),
            provisional: false,
            done: false,
        });
    }

    pub(crate) fn build(&self, request: &Request, branch: &str, credentials: Option<&(HeaderName, String)>) -> Message {
        let mut builder = RequestBuilder::new(&request.method, &request.uri)
            .header(HeaderName::Via, &format!("SIP/2.0/UDP {};branch={branch};rport", self.settings.local))
            .header(HeaderName::MaxForwards, "70")
            .header(HeaderName::From, &request.from)
            .header(HeaderName::To, &request.to)
            .header(HeaderName::CallId, &request.sip_call_id)
            .header(HeaderName::CSeq, &format!("{} {}", request.cseq, request.method.as_str()));
        for route in &request.routes {
            builder = builder.header(HeaderName::Route, route);
        }
        if !matches!(request.method, Method::Ack | Method::Cancel | Method::Bye) {
            builder = builder.header(HeaderName::Contact, &self.contact()).header(HeaderName::Allow, ALLOW);
            builder = builder.header(HeaderName::UserAgent, "medlytt-phone");
        }
        for (name, value) in &request.headers {
            builder = builder.header(HeaderName::new(name), value);
        }
        if let Some((name, value)) = credentials {
            builder = builder.header(name.clone(), value);
        }
        match &request.body {
            Some((content_type, body)) => builder.body(content_type, body.clone()).finish(),
            None => builder.finish(),
        }
    }

    /// A response came.
    pub(crate) fn on_response(&mut self, now: Instant, response: &Message, out: &mut Vec<Output>) {
        let method = response.method();
        let branch = response.top_via().branch().to_owned();
        let found = self.clients.iter().position(|t| t.branch == branch && t.request.method == method);
        let Some(transaction) = found.and_then(|i| self.clients.get_mut(i)) else {
            if method == Method::Invite && (200..300).contains(&response.status()) {
                self.acknowledge_again(now, response, out);
            }
            return;
        };
        let status = response.status();
        if transaction.done {
            if let Some(ack) = transaction.ack.clone() {
                out.push(Output::Sip { to: transaction.to, data: ack });
            } else if method == Method::Invite {
                self.acknowledge_again(now, response, out);
            }
            return;
        }
        if status < 200 {
            let is_first = !std::mem::replace(&mut transaction.provisional, true);
            if method == Method::Invite {
                transaction.next_at = None;
                if is_first {
                    // later ones leave what a CANCEL set
                    transaction.deadline = None;
                }
                self.on_provisional(now, &branch, response, out);
            } else {
                transaction.interval = T2;
            }
            return;
        }
        transaction.done = true;
        transaction.next_at = None;
        transaction.deadline = Some(now + self.settings.t1 * PATIENCE);
        let request = transaction.request.clone();
        let (to, with_credentials) = (transaction.to, transaction.with_credentials);
        if method == Method::Invite && status >= 300 {
            self.acknowledge_failure(now, &branch, to, response, out);
        }
        if matches!(status, 401 | 407)
            && !with_credentials
            && let Some(credentials) = self.credentials(&request, response)
        {
            self.send_again(now, to, request, credentials, out);
            return;
        }
        self.on_final(now, &request, response, out);
    }

    fn on_provisional(&mut self, now: Instant, branch: &str, response: &Message, out: &mut Vec<Output>) {
        let Some(call) = self.calls.values_mut().find(|c| c.inviting.as_deref() == Some(branch)) else {
            return;
        };
        let id = call.id;
        if call.cancelling {
            self.send_cancel(now, id, out);
            return;
        }
        if response.status() == 100 || call.up_at.is_some() {
            return;
        }
        call.ringing.push(response.status());
        if !response.to_tag().is_empty() {
            call.remote_tag = response.to_tag().to_owned();
            call.learn_route(response);
        }
        if !response.body().is_empty() && !call.dial.as_ref().is_some_and(|d| d.late_offer) {
            let _ = call.session.take(&response.body());
        }
        self.change(now, id, State::Ringing, out);
    }

    fn on_final(&mut self, now: Instant, request: &Request, response: &Message, out: &mut Vec<Output>) {
        let status = response.status();
        if request.method == Method::Register {
            self.registration.status = Some(status);
            let expires = self.registration.expires;
            let lasting = status == 200 && expires > 0;
            self.registration.refresh_at = lasting.then(|| now + Duration::from_secs(u64::from(expires) * 4 / 5));
            out.push(Output::Event(Event::Registered { status }));
            return;
        }
        let Some(id) = request.call else {
            return;
        };
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let initial = request.method == Method::Invite && call.up_at.is_none();
        if initial {
            self.on_invite_answered(now, id, request.cseq, response, out);
            return;
        }
        call.answers.push(Answered {
            cseq: request.cseq,
            method: request.method.clone(),
            status,
            message: Some(response.clone()),
        });
        match request.method {
            Method::Invite | Method::Update => self.on_change_answered(now, id, request, response, out),
            Method::Bye => self.change(now, id, State::Ended, out),
            _ => {}
        }
    }

    fn on_invite_answered(&mut self, now: Instant, id: CallId, cseq: u32, response: &Message, out: &mut Vec<Output>) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let status = response.status();
        call.inviting = None;
        call.status = Some(status);
        if status >= 300 {
            self.change(now, id, State::Ended, out);
            return;
        }
        call.remote_tag = response.to_tag().to_owned();
        call.learn_route(response);
        let cancelled = call.cancelling;
        self.change(now, id, State::Up, out);
        let accepted = self.acknowledge(now, id, cseq, response, out);
        if cancelled || !accepted {
            self.bye(now, id, out);
        }
    }

    fn on_change_answered(
        &mut self,
        now: Instant,
        id: CallId,
        request: &Request,
        response: &Message,
        out: &mut Vec<Output>,
    ) {
        let status = response.status();
        // RFC 3261 §14.1: the owner of the Call-ID waits longer, so that the two do not meet again.
        let wait = self.rng.random_range(0..190u64) * 10;
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.changing = None;
        match status {
            200..=299 if request.method == Method::Invite => {
                call.learn_route(response);
                self.acknowledge(now, id, request.cseq, response, out);
            }
            200..=299 => {
                call.learn_route(response);
                if !response.body().is_empty() {
                    let _ = call.session.take(&response.body());
                }
            }
            491 => {
                let wait = if call.outgoing { 2_100 + wait } else { wait };
                call.retry_change_at = Some(now + Duration::from_millis(wait));
            }
            408 | 481 => self.change(now, id, State::Ended, out),
            _ => {}
        }
    }

    /// ACK to a 2xx, with the answer if the 2xx carried the offer. False if its description cannot be taken.
    fn acknowledge(&mut self, now: Instant, id: CallId, cseq: u32, response: &Message, out: &mut Vec<Output>) -> bool {
        let Some(call) = self.calls.get_mut(&id) else {
            return false;
        };
        let body = response.body();
        let offered_late = call.dial.as_ref().is_some_and(|d| d.late_offer);
        let mut accepted = true;
        let mut answer = None;
        if offered_late {
            match call.session.answer(&body) {
                Ok(sdp) => answer = Some(("application/sdp".to_owned(), sdp)),
                Err(_) => accepted = false,
            }
        } else {
            accepted = call.session.take(&body).is_ok();
        }
        if let Some(dial) = &mut call.dial {
            dial.late_offer = false;
        }
        let request = call.request(Method::Ack, cseq, answer);
        let to = call.next_hop(self.settings.proxy);
        let branch = self.branch();
        let message = self.build(&request, &branch, None);
        self.transmit(now, to, &message, out);
        if let Some(call) = self.calls.get_mut(&id) {
            call.acks.push((cseq, to, message.bytes().clone()));
        }
        accepted
    }

    /// A repeated 2xx gets the same ACK; one of another branch of a fork gets an ACK and a BYE (RFC 3261 §13.2.2.4).
    fn acknowledge_again(&mut self, now: Instant, response: &Message, out: &mut Vec<Output>) {
        let cseq = response.cseq().number;
        let Some(call) = self.calls.values().find(|c| c.is_dialog_of(response)) else {
            return;
        };
        if call.remote_tag == response.to_tag() || !call.outgoing {
            if let Some((_, to, data)) = call.acks.iter().find(|(n, ..)| *n == cseq) {
                out.push(Output::Sip { to: *to, data: data.clone() });
            }
            return;
        }
        let to = response.to().map(|t| format!("<{}>;tag={}", t.uri, response.to_tag())).unwrap_or_default();
        let uri = response.contact().map_or_else(|| call.target.clone(), |c| c.uri.to_owned());
        let hop = call.next_hop(self.settings.proxy);
        for (method, cseq) in [(Method::Ack, cseq), (Method::Bye, cseq + 1)] {
            let Some(call) = self.calls.values().find(|c| c.sip_call_id == response.call_id()) else {
                return;
            };
            let request =
                Request { uri: uri.clone(), to: to.clone(), call: None, ..call.request(method.clone(), cseq, None) };
            if method == Method::Ack {
                let branch = self.branch();
                let message = self.build(&request, &branch, None);
                self.transmit(now, hop, &message, out);
            } else {
                self.send_request(now, hop, request, None, out);
            }
        }
    }

    /// ACK inside the transaction to a final answer above 299 (RFC 3261 §17.1.1.3).
    fn acknowledge_failure(
        &mut self,
        now: Instant,
        branch: &str,
        to: SocketAddr,
        response: &Message,
        out: &mut Vec<Output>,
    ) {
        let Some(index) = self.clients.iter().position(|t| t.branch == branch && t.request.method == Method::Invite)
        else {
            return;
        };
        let request = Request {
            method: Method::Ack,
            to: response.header(&HeaderName::To).unwrap_or_default().to_owned(),
            headers: Vec::new(),
            body: None,
            ..self.clients[index].request.clone()
        };
        let message = self.build(&request, branch, None);
        self.transmit(now, to, &message, out);
        self.clients[index].ack = Some(message.bytes().clone());
    }

    fn credentials(&mut self, request: &Request, response: &Message) -> Option<(HeaderName, String)> {
        let password = self.settings.password.clone()?;
        let (ask, reply) = if response.status() == 401 {
            (HeaderName::WwwAuthenticate, HeaderName::Authorization)
        } else {
            (HeaderName::ProxyAuthenticate, HeaderName::ProxyAuthorization)
        };
        let cnonce = self.token();
        let who = Credentials {
            user: &self.settings.user,
            password: &password,
            method: request.method.as_str(),
            uri: &request.uri,
            cnonce: &cnonce,
        };
        let value = response.headers(&ask).find_map(|challenge| digest::answer(challenge, &who))?;
        Some((reply, value))
    }

    fn send_again(
        &mut self,
        now: Instant,
        to: SocketAddr,
        mut request: Request,
        credentials: (HeaderName, String),
        out: &mut Vec<Output>,
    ) {
        request.cseq += 1;
        let id = request.call;
        let inviting = request.method == Method::Invite;
        if request.method == Method::Register {
            self.registration.cseq = request.cseq;
        }
        if let Some(call) = id.and_then(|id| self.calls.get_mut(&id)) {
            call.cseq = call.cseq.max(request.cseq);
            if let Some(pending) = &mut call.changing {
                *pending = request.cseq;
            }
        }
        let branch = self.send_request(now, to, request, Some(credentials), out);
        if inviting
            && let Some(call) = id.and_then(|id| self.calls.get_mut(&id))
            && call.up_at.is_none()
        {
            call.inviting = Some(branch);
        }
    }

    /// Repetitions and time-outs (timers A, B, E, F).
    pub(crate) fn client_timers(&mut self, now: Instant, out: &mut Vec<Output>) {
        let mut given_up = Vec::new();
        for transaction in &mut self.clients {
            if transaction.next_at.is_some_and(|at| at <= now) && !transaction.done {
                out.push(Output::Sip { to: transaction.to, data: transaction.bytes.clone() });
                transaction.interval *= 2;
                if transaction.request.method != Method::Invite {
                    transaction.interval = transaction.interval.min(T2);
                }
                transaction.next_at = Some(now + transaction.interval);
            }
            if transaction.deadline.is_some_and(|at| at <= now) && !transaction.done {
                given_up.push(transaction.request.clone());
            }
        }
        self.clients.retain(|t| t.deadline.is_none_or(|at| at > now));
        for request in given_up {
            self.on_silence(now, &request, out);
        }
    }

    fn on_silence(&mut self, now: Instant, request: &Request, out: &mut Vec<Output>) {
        if request.method == Method::Register {
            self.registration.status = Some(408);
            out.push(Output::Event(Event::Registered { status: 408 }));
        }
        let Some(call) = request.call.and_then(|id| self.calls.get_mut(&id)) else {
            return;
        };
        let id = call.id;
        if request.method == Method::Invite && call.up_at.is_none() {
            call.status = Some(408);
            call.inviting = None;
        } else {
            call.changing = None;
            call.answers.push(Answered {
                cseq: request.cseq,
                method: request.method.clone(),
                status: 408,
                message: None,
            });
        }
        if matches!(request.method, Method::Invite | Method::Bye) {
            self.change(now, id, State::Ended, out);
        }
    }
}

/// What the phone takes.
pub(crate) const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, REFER, NOTIFY, UPDATE, INFO, MESSAGE";
