//! Bindings (RFC 3261 §10): who is registered, and by which flow they are reached.
//!
//! A pure table: the REGISTER has been authenticated and its account found before it comes here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::message::{HeaderName, Message, NameAddr, Uri};
use crate::peers::PeerId;
use crate::transport::{Flow, unmapped};

/// Bindings that one account may have; a further one takes the place of the oldest
/// (a phone that was restarted must not be locked out by what it left behind).
pub const BINDINGS_MAX: usize = 8;
/// Contacts that one REGISTER may carry; above: 400.
pub const CONTACTS_MAX: usize = 16;

/// One Contact of an account and the way to it.
#[derive(Clone, Debug)]
pub struct Binding {
    /// The Contact's URI, for the Request-URI.
    pub contact: Uri,
    /// Where its REGISTER came from: requests go there, not to the Contact (SEMANTICS, "reaching a registered phone").
    pub flow: Flow,
    /// When it ends.
    pub expires_at: Instant,
    /// `+sip.instance` (RFC 5626 §4.1) as written: the phone itself, whatever its address.
    pub instance: Option<String>,
    call_id: String,
    cseq: u32,
    /// Grows with every change: the newest binding has the highest.
    serial: u64,
}

/// One binding of an account (RFC 3261 §10), for another process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingCopy {
    /// The Contact's URI.
    pub contact: String,
    /// Where its REGISTER came from.
    pub flow: Flow,
    /// How long it still lasts.
    pub lasts: Duration,
    /// `+sip.instance` as written.
    pub instance: Option<String>,
    /// Call-ID of its REGISTERs.
    pub call_id: String,
    /// CSeq of the last one.
    pub cseq: u32,
}

/// What became of a REGISTER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registered {
    /// 200 with one Contact line for each value.
    Accepted {
        /// Contact values of every binding, newest first, each with its remaining `expires` in seconds.
        contacts: Vec<String>,
        /// A binding was added, refreshed or removed; false for a mere query.
        changed: bool,
    },
    /// 423 with this `Min-Expires` in seconds.
    TooBrief(u32),
    /// 500: older than what is known by this Call-ID (RFC 3261 §10.3, step 7).
    OutOfOrder,
    /// 400, with this phrase.
    Malformed(&'static str),
}

/// Every account's bindings.
#[derive(Debug)]
pub struct Registrar {
    shortest: Duration,
    longest: Duration,
    /// Oldest first.
    bindings: BTreeMap<PeerId, Vec<Binding>>,
    /// Source address to the accounts that registered from there, the newest last.
    by_source: HashMap<SocketAddr, SmallVec<[PeerId; 1]>>,
    expiry: BTreeSet<(Instant, PeerId, u64)>,
    serial: u64,
    evicted: u64,
}

/// What a REGISTER asks for one Contact.
struct Wish<'a> {
    uri: Uri,
    instance: Option<&'a str>,
    /// Zero: away with it.
    lasts: Duration,
}

impl Registrar {
    /// Without bindings. A shorter registration than `shortest` is refused (423), a longer one than `longest` is cut.
    #[must_use]
    pub fn new(shortest: Duration, longest: Duration) -> Self {
        Self {
            shortest,
            longest,
            bindings: BTreeMap::new(),
            by_source: HashMap::new(),
            expiry: BTreeSet::new(),
            serial: 0,
            evicted: 0,
        }
    }

    /// Takes the REGISTER of an account, all of it or nothing (RFC 3261 §10.3).
    pub fn register(&mut self, now: Instant, peer: PeerId, flow: Flow, request: &Message) -> Registered {
        let values: SmallVec<[&str; 2]> = request.values(&HeaderName::Contact).take(CONTACTS_MAX + 1).collect();
        if values.len() > CONTACTS_MAX {
            return Registered::Malformed("Too Many Contacts");
        }
        let changed = !values.is_empty();
        let outcome = if values.iter().any(|value| value.trim() == "*") {
            self.remove_all(peer, request, values.len())
        } else {
            self.update(now, peer, flow, request, &values)
        };
        match outcome {
            Ok(()) => Registered::Accepted { contacts: self.contacts(now, peer), changed },
            Err(refused) => refused,
        }
    }

    /// The binding by which an account is reached: the newest.
    #[must_use]
    pub fn binding(&self, peer: PeerId) -> Option<&Binding> {
        self.bindings.get(&peer)?.last()
    }

    /// Every binding of an account, newest first.
    pub fn bindings(&self, peer: PeerId) -> impl Iterator<Item = &Binding> {
        self.bindings.get(&peer).into_iter().flatten().rev()
    }

    /// The account that registered from this source address, the latest one where several did.
    #[must_use]
    pub fn account_of_flow(&self, flow: Flow) -> Option<PeerId> {
        self.accounts_of_flow(flow).last().copied()
    }

    /// Every account that registered from this source address, the latest last.
    #[must_use]
    pub fn accounts_of_flow(&self, flow: Flow) -> &[PeerId] {
        self.by_source.get(&unmapped(flow.remote)).map(SmallVec::as_slice).unwrap_or_default()
    }

    /// Every binding of an account for another process, oldest first.
    #[must_use]
    pub fn copies(&self, now: Instant, peer: PeerId) -> Vec<BindingCopy> {
        let copy = |binding: &Binding| BindingCopy {
            contact: binding.contact.as_str().to_owned(),
            flow: binding.flow,
            lasts: binding.expires_at.saturating_duration_since(now),
            instance: binding.instance.clone(),
            call_id: binding.call_id.clone(),
            cseq: binding.cseq,
        };
        self.bindings.get(&peer).into_iter().flatten().map(copy).collect()
    }

    /// Takes an account's bindings of another process, oldest first, in place of those that it has. One that cannot be
    /// read or lasts no more is left out, and none lasts longer than a new one could.
    pub fn restore(&mut self, now: Instant, peer: PeerId, copies: Vec<BindingCopy>) {
        self.remove(peer, |_| true);
        for copy in copies.into_iter().filter(|copy| !copy.lasts.is_zero()) {
            let Some(contact) = Uri::parse(&copy.contact) else { continue };
            self.add(
                peer,
                Binding {
                    contact,
                    flow: copy.flow,
                    expires_at: now + copy.lasts.min(self.longest),
                    instance: copy.instance,
                    call_id: copy.call_id,
                    cseq: copy.cseq,
                    serial: 0,
                },
            );
        }
    }

    /// Removes what has expired and tells whose (each account once, in order of their ids).
    pub fn wake(&mut self, now: Instant) -> Vec<PeerId> {
        let mut changed = Vec::new();
        while let Some(&(at, peer, serial)) = self.expiry.first().filter(|(at, ..)| *at <= now) {
            self.expiry.remove(&(at, peer, serial));
            self.remove(peer, |binding| binding.serial == serial);
            changed.push(peer);
        }
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    /// When the first binding expires.
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        self.expiry.first().map(|(at, ..)| *at)
    }

    /// Removes an account's bindings (it was deleted, or its flow is dead); true if there were any.
    pub fn forget(&mut self, peer: PeerId) -> bool {
        self.remove(peer, |_| true)
    }

    /// Accounts that are registered now.
    pub fn accounts(&self) -> impl Iterator<Item = PeerId> {
        self.bindings.keys().copied()
    }

    /// How many bindings there are in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.expiry.len()
    }

    /// True where nobody is registered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.expiry.is_empty()
    }

    /// How many bindings had to go because their account had [`BINDINGS_MAX`].
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }
}

impl Registrar {
    /// `Contact: *` with `Expires: 0` (RFC 3261 §10.2.2, §10.3 step 6).
    fn remove_all(&mut self, peer: PeerId, request: &Message, values: usize) -> Result<(), Registered> {
        if values != 1 || expires_header(request) != Some(Duration::ZERO) {
            return Err(Registered::Malformed("Bad Contact Wildcard"));
        }
        self.in_order(peer, request, |_| true)?;
        self.remove(peer, |_| true);
        Ok(())
    }

    /// Adds, refreshes and removes (RFC 3261 §10.3 step 7).
    fn update(
        &mut self,
        now: Instant,
        peer: PeerId,
        flow: Flow,
        request: &Message,
        values: &[&str],
    ) -> Result<(), Registered> {
        let wishes: SmallVec<[Wish<'_>; 2]> =
            values.iter().map(|value| self.wish(value, request)).collect::<Result<_, _>>()?;
        for wish in &wishes {
            self.in_order(peer, request, |binding| wish.means(binding))?;
        }
        for wish in wishes {
            self.remove(peer, |binding| wish.means(binding));
            if !wish.lasts.is_zero() {
                self.insert(now, peer, flow, request, wish);
            }
        }
        Ok(())
    }

    /// Reads one Contact value and judges how long it is to last.
    fn wish<'a>(&self, value: &'a str, request: &Message) -> Result<Wish<'a>, Registered> {
        let contact = NameAddr::parse(value).ok_or(Registered::Malformed("Bad Contact"))?;
        let uri = contact.parsed_uri().filter(|uri| matches!(uri.scheme(), "sip" | "sips") && !uri.host().is_empty());
        let uri = uri.ok_or(Registered::Malformed("Bad Contact"))?;
        let asked = contact
            .params
            .value("expires")
            .and_then(seconds)
            .or_else(|| expires_header(request))
            .unwrap_or(self.longest);
        if !asked.is_zero() && asked < self.shortest {
            let shortest = self.shortest.as_secs() + u64::from(self.shortest.subsec_nanos() > 0);
            return Err(Registered::TooBrief(u32::try_from(shortest).unwrap_or(u32::MAX)));
        }
        let instance = contact.params.value("+sip.instance").filter(|instance| !instance.is_empty());
        Ok(Wish { uri, instance, lasts: asked.min(self.longest) })
    }

    /// A REGISTER of the same Call-ID must have a higher CSeq than the binding that it is about.
    fn in_order(&self, peer: PeerId, request: &Message, about: impl Fn(&Binding) -> bool) -> Result<(), Registered> {
        let (call_id, cseq) = (request.call_id(), request.cseq().number);
        match self.bindings(peer).any(|binding| about(binding) && binding.call_id == call_id && cseq <= binding.cseq) {
            true => Err(Registered::OutOfOrder),
            false => Ok(()),
        }
    }

    fn insert(&mut self, now: Instant, peer: PeerId, flow: Flow, request: &Message, wish: Wish<'_>) {
        self.add(
            peer,
            Binding {
                contact: wish.uri,
                flow,
                expires_at: now + wish.lasts,
                instance: wish.instance.map(str::to_owned),
                call_id: request.call_id().to_owned(),
                cseq: request.cseq().number,
                serial: 0,
            },
        );
    }

    /// Adds a binding as the newest.
    fn add(&mut self, peer: PeerId, binding: Binding) {
        if let Some(oldest) =
            self.bindings.get(&peer).filter(|all| all.len() >= BINDINGS_MAX).and_then(|all| all.first())
        {
            let oldest = oldest.serial;
            self.evicted += 1;
            self.remove(peer, |binding| binding.serial == oldest);
        }
        self.serial += 1;
        let binding = Binding { serial: self.serial, ..binding };
        self.expiry.insert((binding.expires_at, peer, binding.serial));
        let accounts = self.by_source.entry(unmapped(binding.flow.remote)).or_default();
        accounts.retain(|account| *account != peer);
        accounts.push(peer);
        self.bindings.entry(peer).or_default().push(binding);
    }

    /// Takes bindings out of every table; true if there were any.
    fn remove(&mut self, peer: PeerId, which: impl Fn(&Binding) -> bool) -> bool {
        let Some(all) = self.bindings.get_mut(&peer) else { return false };
        let (gone, kept): (Vec<Binding>, Vec<Binding>) = std::mem::take(all).into_iter().partition(which);
        for binding in &gone {
            self.expiry.remove(&(binding.expires_at, peer, binding.serial));
            let source = unmapped(binding.flow.remote);
            if kept.iter().any(|other| unmapped(other.flow.remote) == source) {
                continue;
            }
            if let Some(accounts) = self.by_source.get_mut(&source) {
                accounts.retain(|account| *account != peer);
                if accounts.is_empty() {
                    self.by_source.remove(&source);
                }
            }
        }
        *all = kept;
        if all.is_empty() {
            self.bindings.remove(&peer);
        }
        !gone.is_empty()
    }

    /// Contact values of the answer (RFC 3261 §10.3 step 8).
    fn contacts(&self, now: Instant, peer: PeerId) -> Vec<String> {
        let value = |binding: &Binding| {
            let left = binding.expires_at.saturating_duration_since(now).as_secs();
            match &binding.instance {
                Some(instance) => {
                    format!("<{}>;expires={left};+sip.instance=\"{}\"", binding.contact.as_str(), unquoted(instance))
                }
                None => format!("<{}>;expires={left}", binding.contact.as_str()),
            }
        };
        self.bindings(peer).map(value).collect()
    }
}

impl Wish<'_> {
    /// The wish is about this binding: the same phone, or the same Contact.
    fn means(&self, binding: &Binding) -> bool {
        match (self.instance, &binding.instance) {
            (Some(instance), Some(known)) => unquoted(instance) == unquoted(known),
            _ => same_contact(&self.uri, &binding.contact),
        }
    }
}

/// As far as RFC 3261 §19.1.4 matters for Contacts: user with case, host without, port, transport.
fn same_contact(one: &Uri, other: &Uri) -> bool {
    one.scheme() == other.scheme()
        && one.user_decoded() == other.user_decoded()
        && one.host().eq_ignore_ascii_case(other.host())
        && one.port().unwrap_or(5060) == other.port().unwrap_or(5060)
        && transport(one).eq_ignore_ascii_case(transport(other))
}

fn transport(uri: &Uri) -> &str {
    uri.param("transport").unwrap_or("udp")
}

fn unquoted(value: &str) -> &str {
    value.trim().trim_matches('"')
}

fn expires_header(request: &Message) -> Option<Duration> {
    request.header(&HeaderName::Expires).and_then(seconds)
}

/// Delta-seconds; more than 2^32 is as good as for ever, anything else is as if it were not there (RFC 3261 §10.2.1.1).
fn seconds(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| Duration::from_secs(u64::from(text.parse::<u32>().unwrap_or(u32::MAX))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Limits;
    use crate::transport::Transport;

    #[expect(clippy::disallowed_methods, reason = "an Instant can be had in no other way, and tests only add to it")]
    fn start() -> Instant {
        Instant::now()
    }

    const ANNA: PeerId = PeerId(1);
    const BEN: PeerId = PeerId(2);

    fn registrar() -> Registrar {
        Registrar::new(Duration::from_secs(60), Duration::from_secs(3600))
    }

    fn flow(remote: &str) -> Flow {
        Flow { transport: Transport::Udp, local: "10.0.0.1:5060".parse().unwrap(), remote: remote.parse().unwrap() }
    }

    fn register(call_id: &str, cseq: u32, lines: &str) -> Message {
        let text = format!(
            "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK{cseq}\r\nMax-Forwards: 70\r\nFrom: <sip:anna@example.com>;tag=a\r\n\
             To: <sip:anna@example.com>\r\nCall-ID: {call_id}\r\nCSeq: {cseq} REGISTER\r\n{lines}Content-Length: 0\r\n\r\n"
        );
        Message::parse(text.into_bytes().into(), &Limits::default()).expect("a good message")
    }

    fn accepted(contacts: &[&str]) -> Registered {
        Registered::Accepted { contacts: contacts.iter().map(|contact| (*contact).to_owned()).collect(), changed: true }
    }

    fn after(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_phone_registers_refreshes_and_leaves() {
        let (t, here) = (start(), flow("203.0.113.5:40000"));
        let mut table = registrar();
        let contact = "Contact: <sip:anna@192.168.1.5:5060>;expires=120\r\n";
        assert_eq!(
            table.register(t, ANNA, here, &register("c", 1, contact)),
            accepted(&["<sip:anna@192.168.1.5:5060>;expires=120"])
        );
        assert_eq!(table.binding(ANNA).unwrap().flow, here);
        assert_eq!(table.binding(ANNA).unwrap().contact.user(), "anna");
        assert_eq!((table.account_of_flow(here), table.wake_at()), (Some(ANNA), Some(t + after(120))));
        table.register(t + after(100), ANNA, here, &register("c", 2, contact));
        assert_eq!((table.len(), table.wake_at()), (1, Some(t + after(220))));
        assert_eq!(table.wake(t + after(219)), []);
        let leave = register("c", 3, "Contact: <sip:anna@192.168.1.5:5060>;expires=0\r\n");
        assert_eq!(table.register(t + after(219), ANNA, here, &leave), accepted(&[]));
        assert!(
            table.is_empty()
                && table.binding(ANNA).is_none()
                && table.account_of_flow(here).is_none()
                && table.wake_at().is_none()
        );
    }

    #[test]
    fn a_binding_that_is_not_refreshed_expires_and_its_account_is_named() {
        let t = start();
        let mut table = registrar();
        table.register(t, BEN, flow("203.0.113.6:1"), &register("b", 1, "Contact: <sip:ben@h>;expires=90\r\n"));
        table.register(
            t,
            ANNA,
            flow("203.0.113.5:1"),
            &register("a", 1, "Contact: <sip:anna@h>;expires=90, <sip:anna@i>;expires=90\r\n"),
        );
        assert_eq!(table.wake(t + after(90)), [ANNA, BEN]);
        assert_eq!((table.len(), table.by_source.len(), table.bindings.len()), (0, 0, 0));
        assert_eq!(table.wake(t + after(91)), []);
    }

    #[test]
    fn how_long_it_lasts_comes_from_contact_then_expires_then_the_configuration() {
        let (t, here) = (start(), flow("203.0.113.5:1"));
        let lasts = |lines: &str| {
            let mut table = registrar();
            table.register(t, ANNA, here, &register("c", 1, lines));
            table.binding(ANNA).map(|binding| (binding.expires_at - t).as_secs())
        };
        assert_eq!(lasts("Expires: 500\r\nContact: <sip:a@h>;expires=300\r\n"), Some(300));
        assert_eq!(lasts("Expires: 500\r\nContact: <sip:a@h>\r\n"), Some(500));
        assert_eq!(lasts("Contact: <sip:a@h>\r\n"), Some(3600));
        assert_eq!(lasts("Contact: <sip:a@h>;expires=7200\r\n"), Some(3600), "cut");
        assert_eq!(lasts("Contact: <sip:a@h>;expires=99999999999999999999\r\n"), Some(3600));
        assert_eq!(lasts("Contact: <sip:a@h>;expires=soon\r\n"), Some(3600), "as if it were not there");
        assert_eq!(lasts("Contact: <sip:a@h>;expires=60\r\n"), Some(60));
        assert_eq!(lasts("Contact: <sip:a@h>;expires=0\r\n"), None);
    }

    #[test]
    fn too_brief_is_refused_with_the_shortest_and_nothing_of_it_is_taken() {
        let (t, here) = (start(), flow("203.0.113.5:1"));
        let mut table = registrar();
        let lines = "Contact: <sip:a@h>;expires=600, <sip:b@h>;expires=59\r\n";
        assert_eq!(table.register(t, ANNA, here, &register("c", 1, lines)), Registered::TooBrief(60));
        assert!(table.is_empty(), "all of it or nothing");
    }

    #[test]
    fn a_query_lists_what_is_left_newest_first() {
        let (t, here) = (start(), flow("203.0.113.5:1"));
        let mut table = registrar();
        table.register(t, ANNA, here, &register("c", 1, "Contact: <sip:a@h>;expires=100\r\n"));
        table.register(t + after(10), ANNA, here, &register("d", 1, "Contact: \"Desk\" <sip:a@i>;expires=100\r\n"));
        let listed = table.register(t + after(40), ANNA, here, &register("e", 1, ""));
        let contacts = vec!["<sip:a@i>;expires=70".to_owned(), "<sip:a@h>;expires=60".to_owned()];
        assert_eq!(listed, Registered::Accepted { contacts, changed: false });
        assert_eq!(table.binding(ANNA).unwrap().contact.host(), "i", "reached by the newest");
        let nobody = table.register(t, BEN, here, &register("f", 1, ""));
        assert_eq!(nobody, Registered::Accepted { contacts: vec![], changed: false });
    }

    #[test]
    fn the_wildcard_removes_all_but_only_with_expires_0_and_alone() {
        let (t, here) = (start(), flow("203.0.113.5:1"));
        let mut table = registrar();
        table.register(t, ANNA, here, &register("c", 1, "Contact: <sip:a@h>, <sip:a@i>\r\n"));
        table.register(t, BEN, here, &register("b", 1, "Contact: <sip:b@h>\r\n"));
        for lines in ["Contact: *\r\n", "Contact: *\r\nExpires: 60\r\n", "Contact: *, <sip:a@h>\r\nExpires: 0\r\n"] {
            assert_eq!(
                table.register(t, ANNA, here, &register("c", 2, lines)),
                Registered::Malformed("Bad Contact Wildcard")
            );
        }
        assert_eq!(
            table.register(t, ANNA, here, &register("c", 1, "Contact: *\r\nExpires: 0\r\n")),
            Registered::OutOfOrder
        );
        assert_eq!(table.len(), 3);
        assert_eq!(table.register(t, ANNA, here, &register("c", 2, "Contact: *\r\nExpires: 0\r\n")), accepted(&[]));
        assert_eq!((table.len(), table.account_of_flow(here)), (1, Some(BEN)));
    }

    #[test]
    fn an_older_register_of_the_same_call_id_changes_nothing() {
        let (t, here) = (start(), flow("203.0.113.5:1"));
        let mut table = registrar();
        table.register(t, ANNA, here, &register("c", 5, "Contact: <sip:a@h>;expires=100\r\n"));
        for (cseq, lines) in [(5, "Contact: <sip:a@h>;expires=200\r\n"), (4, "Contact: <sip:a@h>;expires=0\r\n")] {
            assert_eq!(table.register(t, ANNA, here, &register("c", cseq, lines)), Registered::OutOfOrder);
        }
        assert_eq!(table.wake_at(), Some(t + after(100)));
        table.register(t, ANNA, here, &register("restarted", 1, "Contact: <sip:a@h>;expires=200\r\n"));
        assert_eq!(table.wake_at(), Some(t + after(200)), "another Call-ID begins anew");
    }

    #[test]
    fn the_same_phone_at_a_new_address_takes_its_own_place() {
        let (t, old, new) = (start(), flow("203.0.113.5:1"), flow("203.0.113.5:2"));
        let mut table = registrar();
        let instance = "+sip.instance=\"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>\"";
        table.register(
            t,
            ANNA,
            old,
            &register("c", 1, &format!("Contact: <sip:a@192.168.1.5>;{instance};expires=100\r\n")),
        );
        let answer = table.register(
            t,
            ANNA,
            new,
            &register("d", 1, &format!("Contact: <sip:a@192.168.1.9>;{instance};expires=100\r\n")),
        );
        assert_eq!(answer, accepted(&[&format!("<sip:a@192.168.1.9>;expires=100;{instance}")]));
        assert_eq!((table.account_of_flow(old), table.account_of_flow(new), table.len()), (None, Some(ANNA), 1));
    }

    #[test]
    fn contacts_are_the_same_with_another_case_of_host_or_the_default_port_written() {
        let (t, here) = (start(), flow("203.0.113.5:1"));
        let mut table = registrar();
        table.register(t, ANNA, here, &register("c", 1, "Contact: <sip:anna@Host.example>\r\n"));
        table.register(t, ANNA, here, &register("c", 2, "Contact: <sip:%61nna@host.EXAMPLE:5060;transport=UDP>\r\n"));
        assert_eq!(table.len(), 1);
        table.register(t, ANNA, here, &register("c", 3, "Contact: <sip:Anna@host.example>\r\n"));
        table.register(t, ANNA, here, &register("c", 4, "Contact: <sip:anna@host.example:5062>\r\n"));
        table.register(t, ANNA, here, &register("c", 5, "Contact: <sip:anna@host.example;transport=tcp>\r\n"));
        assert_eq!(table.len(), 4);
    }

    #[test]
    fn the_ninth_binding_takes_the_place_of_the_oldest() {
        let t = start();
        let mut table = registrar();
        for n in 1..=9 {
            let here = flow(&format!("203.0.113.5:{n}"));
            table.register(t, ANNA, here, &register(&format!("c{n}"), 1, &format!("Contact: <sip:a@h:{n}>\r\n")));
        }
        assert_eq!((table.len(), table.evicted(), table.by_source.len()), (BINDINGS_MAX, 1, BINDINGS_MAX));
        assert_eq!(table.account_of_flow(flow("203.0.113.5:1")), None);
        assert_eq!(
            table.bindings(ANNA).map(|binding| binding.contact.port().unwrap()).collect::<Vec<_>>(),
            [9, 8, 7, 6, 5, 4, 3, 2]
        );
    }

    #[test]
    fn bad_contacts_are_refused() {
        let (t, here) = (start(), flow("203.0.113.5:1"));
        let mut table = registrar();
        for lines in ["Contact: <tel:+491234>\r\n", "Contact: <sip:a@h>, <nonsense\r\n", "Contact: <http://h/>\r\n"] {
            assert_eq!(
                table.register(t, ANNA, here, &register("c", 1, lines)),
                Registered::Malformed("Bad Contact"),
                "{lines}"
            );
        }
        let many: String = (0..=CONTACTS_MAX).map(|n| format!("Contact: <sip:a@h:{}>\r\n", 1000 + n)).collect();
        assert_eq!(table.register(t, ANNA, here, &register("c", 1, &many)), Registered::Malformed("Too Many Contacts"));
        assert!(table.is_empty());
    }

    #[test]
    fn several_accounts_at_one_source_are_all_known_the_latest_last() {
        let (t, host) = (start(), flow("127.0.0.1:5070"));
        let mut table = registrar();
        table.register(t, ANNA, host, &register("a", 1, "Contact: <sip:anna@127.0.0.1:5070>\r\n"));
        table.register(t, BEN, host, &register("b", 1, "Contact: <sip:ben@127.0.0.1:5070>\r\n"));
        assert_eq!(table.accounts_of_flow(host), [ANNA, BEN]);
        table.register(t, ANNA, host, &register("a", 2, "Contact: <sip:anna@127.0.0.1:5070>\r\n"));
        assert_eq!(table.accounts_of_flow(host), [BEN, ANNA]);
        table.register(t, ANNA, host, &register("a", 3, "Contact: <sip:anna2@127.0.0.1:5070>\r\n"));
        assert_eq!(table.accounts_of_flow(host), [BEN, ANNA], "two bindings, one account");
        table.register(t, ANNA, host, &register("a", 4, "Contact: <sip:anna2@127.0.0.1:5070>;expires=0\r\n"));
        assert_eq!(table.accounts_of_flow(host), [BEN, ANNA], "one of them is left");
        assert_eq!(table.account_of_flow(flow("[::ffff:127.0.0.1]:5070")), Some(ANNA), "a dual-stack socket's view");
        assert!(table.forget(ANNA) && !table.forget(ANNA));
        assert_eq!(table.accounts_of_flow(host), [BEN]);
        assert_eq!(table.accounts().collect::<Vec<_>>(), [BEN]);
    }
}
