//! Who somebody is: REGISTER and the challenge (RFC 3261 §10.3, §22).

use std::time::Instant;

use super::Ua;
use crate::digest::{Algorithm, Challenger, Refusal, Terms};
use crate::interface::{Event, LegId, Origin, ReceiptId};
use crate::leg::{Leg, Timer};
use crate::message::{HeaderName, Message, Method};
use crate::peers::PeerId;
use crate::registrar::Registered;
use crate::transaction::ServerId;
use crate::transport::Flow;
use crate::ua::Receipt;

/// What a request's credentials are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    Right,
    /// None for our realm, or under a nonce that is no longer good.
    Missing {
        stale: bool,
    },
    Wrong,
}

/// Challenges, made when the first request comes: only then the time is known.
#[derive(Debug)]
pub(crate) struct Guard {
    realm: String,
    secret: [u8; 32],
    algorithms: Vec<Algorithm>,
    challenger: Option<Challenger>,
}

impl Guard {
    pub(crate) fn new(realm: &str, secret: [u8; 32], algorithms: &[Algorithm]) -> Self {
        Self { realm: realm.to_owned(), secret, algorithms: algorithms.to_vec(), challenger: None }
    }

    fn challenger(&mut self, now: Instant) -> &mut Challenger {
        self.challenger.get_or_insert_with(|| {
            let terms = Terms { algorithms: self.algorithms.clone(), ..Terms::default() };
            Challenger::new(&self.realm, self.secret, now, terms)
        })
    }
}

impl Ua {
    /// REGISTER. Whether an account exists cannot be found out without its password: everybody is challenged alike.
    pub(crate) fn register(&mut self, server: ServerId, flow: Flow, request: &Message) {
        let address = request.to().ok().and_then(|to| to.parsed_uri());
        // RFC 3261 §10.3 step 5: an address of record is a SIP or SIPS URI (RFC 4475 §3.3.4).
        let Some(address) = address.filter(|uri| matches!(uri.scheme(), "sip" | "sips")) else {
            let fault = super::Fault { status: 400, phrase: Some("To is no SIP address"), header: None };
            return self.refuse_fault(server, &fault);
        };
        let user = address.user_decoded();
        let account = self.door.index.account_of_user(&user);
        let (peer, password) =
            (account.map(|account| account.id), account.and_then(|account| account.password.clone()));
        let at_home =
            peer.is_some_and(|peer| self.door.index.accounts_at(flow.remote).any(|account| account.id == peer));
        if let Some(peer) = peer.filter(|_| at_home && password.is_none()) {
            return self.bind(server, flow, request, peer); // known by its address alone
        }
        match (self.credentials(request, &user, password.as_deref()), peer) {
            (Credentials::Right, Some(peer)) => self.bind(server, flow, request, peer),
            (Credentials::Missing { stale }, _) => self.challenge(server, request, stale),
            (Credentials::Right | Credentials::Wrong, _) => self.deny(server, flow, request, "wrong credentials"),
        }
    }

    fn bind(&mut self, server: ServerId, flow: Flow, request: &Message, peer: PeerId) {
        let now = self.now();
        let known = self.door.registrar.bindings(peer).any(|binding| binding.flow == flow);
        match self.door.registrar.register(now, peer, flow, request) {
            Registered::Accepted { contacts, changed } => {
                let moved = !known && self.door.registrar.bindings(peer).any(|binding| binding.flow == flow);
                if moved {
                    self.follow_registration(peer, flow);
                }
                if changed {
                    self.promise(server, peer, contacts);
                } else {
                    self.answer_registered(server, &contacts);
                }
            }
            Registered::TooBrief(seconds) => {
                let tag = self.refusal_tag(server);
                self.answer(server, 423, Some(&tag), |response| {
                    response.header(HeaderName::MinExpires, &seconds.to_string())
                });
            }
            Registered::OutOfOrder => self.refuse(server, 500),
            Registered::Malformed(what) => {
                let fault = super::Fault { status: 400, phrase: Some(what), header: None };
                self.refuse_fault(server, &fault);
            }
        }
    }

    /// A phone registered from elsewhere: calls of it whose old address nobody is registered from any more go on there,
    /// and their media may latch anew (SEMANTICS, NAT).
    fn follow_registration(&mut self, peer: PeerId, flow: Flow) {
        let stays = |leg: &Leg| {
            let spoken = leg.spoken_flow();
            let same = |flow: Flow| (flow.transport, flow.remote) == (spoken.transport, spoken.remote);
            self.door.registrar.bindings(peer).any(|binding| same(binding.flow))
        };
        let legs =
            self.legs.values().filter(|leg| leg.party.origin == Origin::Account(peer) && leg.is_live() && !stays(leg));
        let moved: Vec<LegId> = legs.map(|leg| leg.id).collect();
        for id in moved {
            if let Some(dialog) = self.leg_mut(id).and_then(|leg| leg.dialog.as_mut()) {
                dialog.set_flow(flow);
                self.note_moved(id);
                self.plan_media(id, None);
            }
        }
    }

    /// The phone is registered from now on, and told so once that is kept: what was acknowledged outlives us. Its
    /// repeated REGISTER meets the transaction, which is silent until then.
    fn promise(&mut self, server: ServerId, peer: PeerId, contacts: Vec<String>) {
        let (now, receipt) = (self.now(), self.new_receipt());
        let until = now + self.settings.registration_deadline;
        self.receipts.insert(receipt, Receipt { server, contacts, until });
        self.set_timer(until, Timer::Receipt(receipt));
        let bindings = self.door.registrar.copies(now, peer);
        self.emit(Event::Registered { peer, bindings, receipt: Some(receipt) });
    }

    pub(crate) fn registration_kept(&mut self, id: ReceiptId) {
        let Some(receipt) = self.receipts.remove(&id) else { return };
        self.clear_timer(receipt.until, Timer::Receipt(id));
        self.answer_registered(receipt.server, &receipt.contacts);
    }

    /// The store is slow or down: calls must go on, so the phone is registered all the same.
    pub(crate) fn registration_overdue(&mut self, id: ReceiptId) {
        self.count("registrations_unrecorded");
        self.registration_kept(id);
    }

    fn answer_registered(&mut self, server: ServerId, contacts: &[String]) {
        let tag = self.refusal_tag(server);
        self.answer(server, 200, Some(&tag), |response| {
            contacts.iter().fold(response, |response, contact| response.header(HeaderName::Contact, contact))
        });
    }

    /// Judges a request's credentials: the username must be the account's own. For an account without a password, and
    /// for one that does not exist, none are right.
    pub(super) fn credentials(&mut self, request: &Message, user: &str, password: Option<&str>) -> Credentials {
        let (now, method) = (self.now(), request.method());
        let name = if method == Method::Register { HeaderName::Authorization } else { HeaderName::ProxyAuthorization };
        let secret = |name: &str| password.filter(|_| name == user).map(str::to_owned);
        let verdict =
            self.door.guard.challenger(now).verify(now, &method, request.request_uri(), request.headers(&name), secret);
        match verdict {
            Ok(_) => Credentials::Right,
            Err(Refusal::Missing | Refusal::Malformed) => Credentials::Missing { stale: false },
            Err(Refusal::Stale) => Credentials::Missing { stale: true },
            Err(Refusal::Wrong) => Credentials::Wrong,
        }
    }

    /// 401 for REGISTER, 407 for everything else (RFC 3261 §22.2, §22.3: towards other methods we are a proxy).
    pub(super) fn challenge(&mut self, server: ServerId, request: &Message, stale: bool) {
        let (status, name) = match request.method() {
            Method::Register => (401, HeaderName::WwwAuthenticate),
            _ => (407, HeaderName::ProxyAuthenticate),
        };
        self.count("challenges");
        let (now, tag) = (self.now(), self.token());
        let challenges = self.door.guard.challenger(now).challenge(now, stale);
        self.answer(server, status, Some(&tag), |response| {
            challenges.iter().fold(response, |response, challenge| response.header(name.clone(), challenge))
        });
    }
}
