//! Requests that come in: server transactions (RFC 3261 §17.2) and what each method means to a phone.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use signalling::message::{HeaderName, Message, Method, ResponseBuilder};

use crate::call::Call;
use crate::client::ALLOW;
use crate::interface::{CallId, Event, OnCall, Output, State};
use crate::ua::Phone;

/// A request that was seen, and its last answer, for repetitions.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) answer: Option<Bytes>,
    pub(crate) forget_at: Instant,
}

/// A final answer to an INVITE that wants its ACK.
#[derive(Debug)]
pub(crate) struct Unacknowledged {
    pub(crate) call: Option<CallId>,
    sip_call_id: String,
    cseq: u32,
    to: SocketAddr,
    pub(crate) bytes: Bytes,
    interval: Duration,
    pub(crate) next_at: Instant,
    deadline: Instant,
    success: bool,
}

/// What an answer carries beside its status.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) body: Option<Bytes>,
    pub(crate) contact: bool,
    pub(crate) headers: Vec<(HeaderName, String)>,
}

const T2: Duration = Duration::from_secs(4);
/// How long a request is remembered (64 · T1).
const MEMORY: u32 = 64;

impl Phone {
    pub(crate) fn on_request(&mut self, now: Instant, from: SocketAddr, request: &Message, out: &mut Vec<Output>) {
        let method = request.method();
        if method == Method::Ack {
            self.on_ack(now, request, out);
            return;
        }
        if method == Method::Invite && self.settings.habits.on_call == OnCall::Ignore && request.to_tag().is_empty() {
            return;
        }
        let key = (request.top_via().branch().to_owned(), method.as_str().to_owned());
        if let Some(seen) = self.seen.get(&key) {
            if let Some(data) = seen.answer.clone() {
                out.push(Output::Sip { to: from, data });
            }
            return;
        }
        let forget_at = now + self.t1() * MEMORY;
        self.seen.insert(key, Seen { answer: None, forget_at });

        if method == Method::Cancel {
            self.on_cancel(now, from, request, out);
            return;
        }
        let call = self.calls.values().find(|c| is_in_dialog(c, request)).map(|c| c.id);
        if call.is_none() && !request.to_tag().is_empty() {
            self.respond(now, request, from, 481, "", Reply::default(), out);
            return;
        }
        if let Some(call) = call.and_then(|id| self.calls.get_mut(&id)) {
            let cseq = request.cseq().number;
            if cseq <= call.remote_cseq {
                // RFC 3261 §12.2.2: out of order.
                self.respond(now, request, from, 500, "", Reply::default(), out);
                return;
            }
            call.remote_cseq = cseq;
            call.keep(request);
        }
        match (method, call) {
            (Method::Invite, None) => self.on_invite(now, from, request, out),
            (Method::Invite, Some(id)) => self.on_reinvite(now, from, id, request, out),
            (Method::Update, Some(id)) => self.on_update(now, from, id, request, out),
            (Method::Bye, Some(id)) => self.on_bye(now, from, id, request, out),
            (Method::Notify, Some(id)) => self.on_notify(now, from, id, request, out),
            (Method::Refer, _) => self.respond(now, request, from, 603, "", Reply::default(), out),
            (Method::Bye | Method::Update | Method::Notify, None) => {
                self.respond(now, request, from, 481, "", Reply::default(), out);
            }
            (Method::Other(_) | Method::Subscribe | Method::Publish | Method::Register, _) => {
                self.respond(now, request, from, 501, "", Reply::default(), out);
            }
            _ => {
                let headers = vec![(HeaderName::Allow, ALLOW.to_owned())];
                self.respond(now, request, from, 200, "", Reply { headers, ..Reply::default() }, out);
            }
        }
    }

    fn on_invite(&mut self, now: Instant, from: SocketAddr, request: &Message, out: &mut Vec<Output>) {
        self.respond(now, request, from, 100, "", Reply::default(), out);
        let id = self.new_call(false, request.call_id().to_owned());
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.remote_tag = request.from_tag().to_owned();
        call.remote_cseq = request.cseq().number;
        call.remote = request.from().map(|f| format!("<{}>", f.uri)).unwrap_or_default();
        call.local = request.to().map(|t| format!("<{}>", t.uri)).unwrap_or_default();
        call.target = request.from().map(|f| f.uri.to_owned()).unwrap_or_default();
        call.learn_route(request);
        call.keep(request);
        call.invite = Some(request.clone());
        call.invite_source = Some(from);
        self.on_new_call(now, id, out);
    }

    fn on_reinvite(&mut self, now: Instant, from: SocketAddr, id: CallId, request: &Message, out: &mut Vec<Output>) {
        let refuse = self.settings.habits.refuse_changes;
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let tag = call.local_tag.clone();
        // RFC 3261 §14.2: our own INVITE is still unanswered.
        let refused = if call.changing.is_some() { Some(491) } else { refuse };
        if let Some(status) = refused {
            self.respond(now, request, from, status, &tag, Reply::default(), out);
            return;
        }
        call.learn_route(request);
        let body = match request.body() {
            offer if !offer.is_empty() => call.session.answer(&offer),
            _ => Ok(call.session.offer()),
        };
        match body {
            Ok(body) => self.respond(
                now,
                request,
                from,
                200,
                &tag,
                Reply { body: Some(body), contact: true, ..Reply::default() },
                out,
            ),
            Err(_) => self.respond(now, request, from, 488, &tag, Reply::default(), out),
        }
    }

    fn on_update(&mut self, now: Instant, from: SocketAddr, id: CallId, request: &Message, out: &mut Vec<Output>) {
        let refuse = self.settings.habits.refuse_changes;
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let tag = call.local_tag.clone();
        let offer = request.body();
        if call.changing.is_some() && !offer.is_empty() {
            self.respond(now, request, from, 491, &tag, Reply::default(), out);
            return;
        }
        if let Some(status) = refuse {
            self.respond(now, request, from, status, &tag, Reply::default(), out);
            return;
        }
        call.learn_route(request);
        let body = if offer.is_empty() { Ok(None) } else { call.session.answer(&offer).map(Some) };
        match body {
            Ok(body) => {
                self.respond(now, request, from, 200, &tag, Reply { body, contact: true, ..Reply::default() }, out)
            }
            Err(_) => self.respond(now, request, from, 488, &tag, Reply::default(), out),
        }
    }

    fn on_bye(&mut self, now: Instant, from: SocketAddr, id: CallId, request: &Message, out: &mut Vec<Output>) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.bye = Some(request.clone());
        }
        self.respond(now, request, from, 200, "", Reply::default(), out);
        self.change(now, id, State::Ended, out);
    }

    fn on_cancel(&mut self, now: Instant, from: SocketAddr, request: &Message, out: &mut Vec<Output>) {
        let branch = request.top_via().branch().to_owned();
        let call = self.calls.values().find(|c| {
            !c.outgoing
                && c.invite.as_ref().is_some_and(|i| i.top_via().branch() == branch && i.call_id() == request.call_id())
        });
        let Some((id, open)) = call.map(|c| (c.id, c.state == State::Incoming && !c.answered)) else {
            self.respond(now, request, from, 481, "", Reply::default(), out);
            return;
        };
        if let Some(call) = self.calls.get_mut(&id) {
            call.keep(request);
        }
        self.respond(now, request, from, 200, "", Reply::default(), out);
        if open {
            self.reject(now, id, 487, out);
        }
    }

    /// A NOTIFY of the implicit subscription tells how our REFER goes (RFC 3515 §2.4.4).
    fn on_notify(&mut self, now: Instant, from: SocketAddr, id: CallId, request: &Message, out: &mut Vec<Output>) {
        self.respond(now, request, from, 200, "", Reply::default(), out);
        let body = request.body();
        let status = std::str::from_utf8(&body)
            .ok()
            .and_then(|text| text.strip_prefix("SIP/2.0 "))
            .and_then(|rest| rest.get(..3))
            .and_then(|digits| digits.parse::<u16>().ok());
        let leaves = self.settings.habits.bye_after_transfer;
        if let (Some(status), Some(call)) = (status, self.calls.get_mut(&id)) {
            call.sipfrags.push(status);
            if (200..300).contains(&status) && leaves {
                call.bye_at = Some(now + Duration::from_millis(20));
            }
            out.push(Output::Event(Event::Transfer { call: id, status }));
        }
    }

    fn on_ack(&mut self, now: Instant, request: &Message, out: &mut Vec<Output>) {
        let cseq = request.cseq().number;
        self.unacknowledged.retain(|u| u.sip_call_id != request.call_id() || u.cseq != cseq);
        let Some(call) = self.calls.values_mut().find(|c| is_in_dialog(c, request)) else {
            return;
        };
        if !request.body().is_empty() {
            let _ = call.session.take(&request.body());
        }
        let id = call.id;
        if call.answered && call.state == State::Incoming {
            self.change(now, id, State::Up, out);
        }
    }

    /// Answers a request, remembers the answer for repetitions, and repeats a final one to an INVITE until its ACK.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn respond(
        &mut self,
        now: Instant,
        request: &Message,
        to: SocketAddr,
        status: u16,
        tag: &str,
        reply: Reply,
        out: &mut Vec<Output>,
    ) {
        let tag = if tag.is_empty() { self.token() } else { tag.to_owned() };
        let mut builder = ResponseBuilder::new(request, status, None, Some(&tag));
        if reply.contact {
            builder = builder.header(HeaderName::Contact, &self.contact()).header(HeaderName::Allow, ALLOW);
        }
        for (name, value) in reply.headers {
            builder = builder.header(name, &value);
        }
        let message = match reply.body {
            Some(body) => builder.body("application/sdp", body).finish(),
            None => builder.finish(),
        };
        self.transmit(now, to, &message, out);
        let bytes = message.bytes().clone();
        let key = (request.top_via().branch().to_owned(), request.method().as_str().to_owned());
        let t1 = self.t1();
        if let Some(seen) = self.seen.get_mut(&key) {
            seen.answer = Some(bytes.clone());
            seen.forget_at = now + t1 * MEMORY;
        }
        if request.method() == Method::Invite && status >= 200 {
            let call =
                self.calls.values().find(|c| c.sip_call_id == request.call_id() && c.local_tag == tag).map(|c| c.id);
            self.unacknowledged.push(Unacknowledged {
                call,
                sip_call_id: request.call_id().to_owned(),
                cseq: request.cseq().number,
                to,
                bytes,
                interval: t1,
                next_at: now + t1,
                deadline: now + t1 * MEMORY,
                success: status < 300,
            });
        }
    }

    /// Repeats final answers to INVITEs (timers G and H; RFC 3261 §13.3.1.4 for 2xx).
    pub(crate) fn server_timers(&mut self, now: Instant, out: &mut Vec<Output>) {
        let mut lost = Vec::new();
        for answer in &mut self.unacknowledged {
            if answer.next_at <= now {
                out.push(Output::Sip { to: answer.to, data: answer.bytes.clone() });
                answer.interval = (answer.interval * 2).min(T2);
                answer.next_at = now + answer.interval;
            }
            if answer.deadline <= now && answer.success {
                lost.extend(answer.call);
            }
        }
        self.unacknowledged.retain(|u| u.deadline > now);
        self.seen.retain(|_, s| s.forget_at > now);
        for id in lost {
            self.bye(now, id, out);
        }
    }
}

fn is_in_dialog(call: &Call, request: &Message) -> bool {
    call.sip_call_id == request.call_id() && !request.to_tag().is_empty() && call.local_tag == request.to_tag()
}
