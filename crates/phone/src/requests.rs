//! What a person does with a phone: registering, dialling, holding, transferring, hanging up.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::RngExt;
use signalling::message::{Message, Method};
use signalling::sdp::Direction;

use crate::call::{Call, OnMedia};
use crate::client::Request;
use crate::g711::Codec;
use crate::interface::{CallId, Dial, Kind, Output, State, Suite};
use crate::ua::Phone;
use crate::voice::Voice;

/// A change of a session that is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// RFC 3261 §14; without offer, the other side makes it.
    Reinvite { offer: bool },
    /// RFC 3311.
    Update,
}

impl Phone {
    /// Registers for so many seconds; 0: signs off. [`crate::Event::Registered`] follows. It refreshes by itself.
    pub fn register(&mut self, now: Instant, expires: u32, out: &mut Vec<Output>) {
        if self.registration.sip_call_id.is_empty() {
            self.registration.sip_call_id = self.token();
            self.registration.tag = self.token();
        }
        self.registration.cseq += 1;
        self.registration.expires = expires;
        self.registration.refresh_at = None;
        let aor = format!("<sip:{}@{}>", self.settings.user, self.settings.domain);
        let request = Request {
            method: Method::Register,
            uri: format!("sip:{}", self.settings.domain),
            call: None,
            from: format!("{aor};tag={}", self.registration.tag),
            to: aor,
            sip_call_id: self.registration.sip_call_id.clone(),
            cseq: self.registration.cseq,
            routes: Vec::new(),
            headers: vec![("Expires".into(), expires.to_string())],
            body: None,
        };
        self.send_request(now, self.settings.proxy, request, None, out);
    }

    /// Calls somebody. The INVITE follows when the shell has opened the media sockets.
    pub fn dial(&mut self, _now: Instant, dial: Dial, out: &mut Vec<Output>) -> CallId {
        let sip_call_id = format!("{}@{}", self.token(), self.settings.local.ip());
        let id = self.new_call(true, sip_call_id);
        let (user, domain) = (dial.from_user.as_ref().unwrap_or(&self.settings.user), &self.settings.domain);
        let display = if dial.from_display.is_empty() { &self.settings.display } else { &dial.from_display };
        let local = if display.is_empty() {
            format!("<sip:{user}@{domain}>")
        } else {
            format!("\"{display}\" <sip:{user}@{domain}>")
        };
        if let Some(call) = self.calls.get_mut(&id) {
            call.local = local;
            call.remote = format!("<{}>", dial.uri);
            call.target = dial.uri.clone();
            call.session.wish = dial.direction;
            call.dial = Some(dial);
            call.on_media = Some(OnMedia::Invite);
        }
        out.push(Output::OpenMedia { call: id });
        id
    }

    pub(crate) fn send_invite(&mut self, now: Instant, id: CallId, out: &mut Vec<Output>) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let Some(dial) = call.dial.clone() else {
            return;
        };
        if call.state == State::Ended {
            return;
        }
        call.cseq += 1;
        let offer = (!dial.late_offer).then(|| ("application/sdp".to_owned(), call.session.offer()));
        let mut request = call.request(Method::Invite, call.cseq, offer);
        request.headers.extend(dial.headers);
        if let Some(replaces) = dial.replaces {
            request.headers.push(("Replaces".into(), replaces));
            request.headers.push(("Require".into(), "replaces".into()));
        }
        let branch = self.send_request(now, self.settings.proxy, request, None, out);
        if let Some(call) = self.calls.get_mut(&id) {
            call.inviting = Some(branch);
        }
    }

    /// Puts the other side on hold. The CSeq number finds the answer.
    pub fn hold(&mut self, now: Instant, id: CallId, direction: Direction, out: &mut Vec<Output>) -> u32 {
        self.reinvite(now, id, direction, out)
    }

    /// Hold in the old way, c=0.0.0.0 (RFC 3264 §8.4).
    pub fn hold_with_null_address(&mut self, now: Instant, id: CallId, out: &mut Vec<Output>) -> u32 {
        if let Some(call) = self.calls.get_mut(&id) {
            call.session.null_address = true;
        }
        self.reinvite(now, id, Direction::SendRecv, out)
    }

    /// Ends every kind of hold.
    pub fn resume(&mut self, now: Instant, id: CallId, out: &mut Vec<Output>) -> u32 {
        if let Some(call) = self.calls.get_mut(&id) {
            call.session.null_address = false;
        }
        self.reinvite(now, id, Direction::SendRecv, out)
    }

    /// A re-INVITE that adds video to a call, or takes it away.
    pub fn show_video(&mut self, now: Instant, id: CallId, on: bool, out: &mut Vec<Output>) -> u32 {
        if let Some(call) = self.calls.get_mut(&id) {
            call.session.video = on;
        }
        self.send_change(now, id, Change::Reinvite { offer: true }, out)
    }

    /// A re-INVITE that offers this direction.
    pub fn reinvite(&mut self, now: Instant, id: CallId, direction: Direction, out: &mut Vec<Output>) -> u32 {
        if let Some(call) = self.calls.get_mut(&id) {
            call.session.wish = direction;
        }
        self.send_change(now, id, Change::Reinvite { offer: true }, out)
    }

    /// A re-INVITE without offer: the other side makes it, the ACK carries our answer.
    pub fn reinvite_late(&mut self, now: Instant, id: CallId, out: &mut Vec<Output>) -> u32 {
        self.send_change(now, id, Change::Reinvite { offer: false }, out)
    }

    /// An UPDATE that offers this direction (RFC 3311).
    pub fn update(&mut self, now: Instant, id: CallId, direction: Direction, out: &mut Vec<Output>) -> u32 {
        if let Some(call) = self.calls.get_mut(&id) {
            call.session.wish = direction;
        }
        self.send_change(now, id, Change::Update, out)
    }

    /// Offers other codecs from now on, by re-INVITE.
    pub fn change_codecs(&mut self, now: Instant, id: CallId, codecs: &[Codec], out: &mut Vec<Output>) -> u32 {
        if let Some(call) = self.calls.get_mut(&id) {
            call.session.codecs = codecs.to_vec();
        }
        self.send_change(now, id, Change::Reinvite { offer: true }, out)
    }

    /// Encrypts with other keys from the answer on, and with other suites if they are given, by re-INVITE.
    pub fn rekey(&mut self, now: Instant, id: CallId, suites: Option<&[Suite]>, out: &mut Vec<Output>) -> u32 {
        if let Some(call) = self.calls.get_mut(&id) {
            call.session.vault.renew(suites);
        }
        self.send_change(now, id, Change::Reinvite { offer: true }, out)
    }

    /// Moves the call's media to other sockets: a re-INVITE follows when they are open.
    pub fn move_media(&mut self, id: CallId, out: &mut Vec<Output>) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.on_media = Some(OnMedia::Reinvite);
            out.push(Output::OpenMedia { call: id });
        }
    }

    /// Another SSRC, sequence and clock from the next packet on.
    pub fn restart_stream(&mut self, id: CallId) {
        let (ssrc, sequence, timestamp) = (self.rng.random(), self.rng.random(), self.rng.random());
        if let Some(call) = self.calls.get_mut(&id) {
            call.mouth.restart(ssrc, sequence, timestamp);
        }
    }

    /// Sounds different from now on, in this call.
    pub fn say(&mut self, id: CallId, voice: Voice) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.mouth.say(voice);
        }
    }

    pub(crate) fn send_change(&mut self, now: Instant, id: CallId, change: Change, out: &mut Vec<Output>) -> u32 {
        let Some(call) = self.calls.get_mut(&id) else {
            return 0;
        };
        call.cseq += 1;
        let cseq = call.cseq;
        call.changing = Some(cseq);
        let offered = change != Change::Reinvite { offer: false };
        if let Some(dial) = &mut call.dial {
            dial.late_offer = !offered;
        } else if !offered {
            call.dial = Some(Dial::to("").late_offer());
        }
        let offer = offered.then(|| ("application/sdp".to_owned(), call.session.offer()));
        let method = if change == Change::Update { Method::Update } else { Method::Invite };
        let request = call.request(method, cseq, offer);
        let to = call.next_hop(self.settings.proxy);
        self.send_request(now, to, request, None, out);
        cseq
    }

    /// Blind transfer (RFC 3515): asks the other side to call `uri`.
    pub fn refer(&mut self, now: Instant, id: CallId, uri: &str, out: &mut Vec<Output>) -> u32 {
        self.send_refer(now, id, &format!("<{uri}>"), out)
    }

    /// Attended transfer (RFC 5589 §7): asks the other side to take the place of this phone in `consultation`.
    pub fn refer_replacing(
        &mut self,
        now: Instant,
        id: CallId,
        uri: &str,
        consultation: CallId,
        out: &mut Vec<Output>,
    ) -> u32 {
        let dialog = self.calls.get(&consultation).map(Call::replaces).unwrap_or_default();
        let escaped: String = dialog
            .bytes()
            .map(|b| match b {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(b).to_string(),
                other => format!("%{other:02X}"),
            })
            .collect();
        self.send_refer(now, id, &format!("<{uri}?Replaces={escaped}>"), out)
    }

    fn send_refer(&mut self, now: Instant, id: CallId, refer_to: &str, out: &mut Vec<Output>) -> u32 {
        let by = format!("<sip:{}@{}>", self.settings.user, self.settings.domain);
        self.send_in_dialog(now, id, Method::Refer, &[("Refer-To", refer_to), ("Referred-By", &by)], None, out)
    }

    /// An INFO inside the dialog (RFC 6086).
    pub fn send_info(
        &mut self,
        now: Instant,
        id: CallId,
        content_type: &str,
        body: &str,
        out: &mut Vec<Output>,
    ) -> u32 {
        let body = (content_type.to_owned(), Bytes::copy_from_slice(body.as_bytes()));
        self.send_in_dialog(now, id, Method::Info, &[], Some(body), out)
    }

    /// Any other request inside the dialog.
    pub fn send_in_dialog(
        &mut self,
        now: Instant,
        id: CallId,
        method: Method,
        headers: &[(&str, &str)],
        body: Option<(String, Bytes)>,
        out: &mut Vec<Output>,
    ) -> u32 {
        let Some(call) = self.calls.get_mut(&id) else {
            return 0;
        };
        call.cseq += 1;
        let cseq = call.cseq;
        let mut request = call.request(method, cseq, body);
        request.headers.extend(headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
        let to = call.next_hop(self.settings.proxy);
        self.send_request(now, to, request, None, out);
        cseq
    }

    /// Presses a key: RFC 4733 events in place of sound, for so long.
    pub fn press(&mut self, id: CallId, digit: u8, length: Duration) {
        if let Some(call) = self.calls.get_mut(&id) {
            let payload_type = call.session.remote.as_ref().and_then(|r| r.telephone_event()).unwrap_or(101);
            call.mouth.dial_digit(digit, length, payload_type);
        }
    }

    /// Sends any bytes from the call's media socket, whatever was negotiated.
    pub fn inject(&mut self, id: CallId, kind: Kind, data: Bytes, out: &mut Vec<Output>) {
        if let Some(mut to) = self.calls.get(&id).and_then(|c| c.session.remote_rtp) {
            let mux = self.calls.get(&id).is_some_and(|c| c.session.mux());
            if kind == Kind::Rtcp && !mux {
                to.set_port(to.port().saturating_add(1));
            }
            out.push(Output::Media { call: id, kind, to, data });
        }
    }

    /// Hangs up whatever state the call is in: CANCEL, BYE or a refusal.
    pub fn hang_up(&mut self, now: Instant, id: CallId, out: &mut Vec<Output>) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        match call.state {
            State::Up => self.bye(now, id, out),
            State::Incoming if call.answered => self.bye(now, id, out),
            State::Incoming => self.reject(now, id, 486, out),
            State::Calling | State::Ringing => self.cancel(now, id, out),
            State::Ended => {}
        }
    }

    pub(crate) fn bye(&mut self, now: Instant, id: CallId, out: &mut Vec<Output>) {
        self.send_in_dialog(now, id, Method::Bye, &[], None, out);
        // Over at once for this phone; the transaction goes on by itself.
        self.change(now, id, State::Ended, out);
    }

    /// CANCEL, or as soon as a provisional answer allows it (RFC 3261 §9.1).
    pub(crate) fn cancel(&mut self, now: Instant, id: CallId, out: &mut Vec<Output>) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.cancelling = true;
        let Some(branch) = call.inviting.clone() else {
            self.change(now, id, State::Ended, out);
            return;
        };
        if self.clients.iter().any(|t| t.branch == branch && t.provisional) {
            self.send_cancel(now, id, out);
        }
    }

    pub(crate) fn send_cancel(&mut self, now: Instant, id: CallId, out: &mut Vec<Output>) {
        let Some(branch) = self.calls.get(&id).and_then(|c| c.inviting.clone()) else {
            return;
        };
        if self.clients.iter().any(|t| t.branch == branch && t.request.method == Method::Cancel) {
            return;
        }
        let Some(invite) = self.clients.iter().find(|t| t.branch == branch) else {
            return;
        };
        let to = invite.to;
        let request =
            Request { method: Method::Cancel, headers: Vec::new(), body: None, call: None, ..invite.request.clone() };
        let message = self.build(&request, &branch, None);
        // Same branch as the INVITE (RFC 3261 §9.1).
        self.transmit(now, to, &message, out);
        // "If there is no final response for the original request in 64*T1 seconds […], the client SHOULD then consider
        // the original transaction cancelled" (RFC 3261 §9.1)
        let deadline = now + self.t1() * 64;
        if let Some(invite) = self.clients.iter_mut().find(|t| t.branch == branch) {
            invite.deadline = Some(deadline);
        }
        self.file(now, to, branch, request, &message, false);
    }
}

impl Call {
    /// A request inside this dialog.
    pub(crate) fn request(&self, method: Method, cseq: u32, body: Option<(String, Bytes)>) -> Request {
        let to = if self.remote_tag.is_empty() {
            self.remote.clone()
        } else {
            format!("{};tag={}", self.remote, self.remote_tag)
        };
        Request {
            method,
            uri: self.target.clone(),
            call: Some(self.id),
            from: format!("{};tag={}", self.local, self.local_tag),
            to,
            sip_call_id: self.sip_call_id.clone(),
            cseq,
            routes: self.routes.clone(),
            headers: Vec::new(),
            body,
        }
    }

    /// The response belongs to a request that we sent inside this dialog.
    pub(crate) fn is_dialog_of(&self, response: &Message) -> bool {
        self.sip_call_id == response.call_id() && self.local_tag == response.from_tag()
    }
}
