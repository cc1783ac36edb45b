//! INFO between the two parties (RFC 6086): passed on as it came.

use super::{kept_headers, with_headers};
use crate::interface::{Event, LegId};
use crate::leg::{Kind, Purpose, Timer};
use crate::message::{HeaderName, Message, Method};
use crate::transaction::{ClientId, ServerId};
use crate::ua::{PASSED_WAITS, Ua};

impl Ua {
    /// An INFO came on a leg. A listener's is told to the engine, for its keys, and goes nowhere.
    pub(crate) fn info(&mut self, id: LegId, server: ServerId, info: &Message) {
        let Some(leg) = self.leg(id) else { return };
        let is_listener = matches!(leg.kind, Kind::Listener { .. });
        let body = info.body();
        self.emit(Event::Info { leg: id, content_type: info.content_type(), body: body.clone() });
        if is_listener {
            self.count("listener_infos");
            return self.answer(server, 200, None, |response| response);
        }
        let peer = self.peer_of(id).filter(|peer| self.leg(*peer).is_some_and(|leg| leg.is_confirmed()));
        let Some(peer) = peer else { return self.answer(server, 200, None, |response| response) };
        let package = info.header(&HeaderName::Other("info-package".into()));
        let content_type = info.header(&HeaderName::ContentType).unwrap_or("application/octet-stream");
        let sent = self.request_in(peer, &Method::Info, Purpose::Info { leg: peer, server }, |request| {
            let request =
                package.into_iter().fold(request, |request, package| request.raw_header("Info-Package", package));
            if body.is_empty() { request } else { request.body(content_type, body) }
        });
        match sent {
            Some(client) => {
                let at = self.now() + self.settings.t1 * PASSED_WAITS;
                self.set_timer(at, Timer::Passed(client));
            }
            None => self.info_answered(server, None),
        }
    }

    /// The other party is silent on an INFO or UPDATE: who asked is told while it still listens.
    pub(crate) fn passed_overdue(&mut self, client: ClientId) {
        match self.clients.get(&client).cloned() {
            Some(Purpose::Info { leg, server }) => {
                self.close_request(client);
                self.info_answered(server, None);
                self.settle(leg);
            }
            Some(Purpose::Change { leg, from, server }) => self.change_answered(client, leg, from, server, None),
            _ => {}
        }
    }

    /// The other party's answer; `None`: none came.
    pub(crate) fn info_answered(&mut self, server: ServerId, response: Option<&Message>) {
        match response {
            Some(response) => {
                let kept = kept_headers(response);
                self.answer(server, response.status(), None, |answer| with_headers(answer, kept));
            }
            // RFC 4320 §4.2 forbids 408
            None => self.answer(server, 504, None, |response| response),
        }
    }
}
