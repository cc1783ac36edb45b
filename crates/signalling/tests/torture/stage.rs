//! One core with a trunk, a phone and a platform that connects whatever is offered, and what it sends in return.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use signalling::message::{Limits, Message};
use signalling::peers::{Account, FixedContact, PeerId, Peers, Srtp, Trunk, TrunkId};
use signalling::transport::{Flow, Transport};
use signalling::{Command, Destination, Event, Input, MediaAddress, NewLeg, Output, Settings, Signalling};

/// The trunk: may call whom it likes.
pub(crate) const TRUNK: &str = "198.51.100.9:5060";
/// A host whose phones need no password.
pub(crate) const PHONES: &str = "198.51.100.7:5060";
/// The trunk's other foot.
pub(crate) const TRUNK_V6: &str = "[2001:db8::9:1]:5060";
/// A phone's host with an IPv6 address.
pub(crate) const PHONES_V6: &str = "[2001:db8::1]:5060";
/// Nobody that we know.
pub(crate) const STRANGER: &str = "203.0.113.66:5060";

const OURS: &str = "198.51.100.1:5060";
const OURS_V6: &str = "[2001:db8::10]:5060";

/// Users without a password.
const USERS: [&str; 3] = ["user", "watson", "null-\0-null"];

pub(crate) struct Stage {
    core: Signalling,
    now: Instant,
    /// Everything that was sent, and to whom.
    pub(crate) sent: Vec<(SocketAddr, Bytes)>,
}

impl Stage {
    #[allow(clippy::disallowed_methods, reason = "the simulated clock starts somewhere")]
    pub(crate) fn new(phones: &str) -> Self {
        let mut core = Signalling::new(Settings::for_domain("example.com"), [7; 32]);
        let now = Instant::now();
        core.drive(now, Input::Command(Command::Peers(Arc::new(peers(phones)))), &mut Vec::new());
        Self { core, now, sent: Vec::new() }
    }

    /// One datagram, and everything that follows from it at once.
    pub(crate) fn receive(&mut self, from: &str, data: &[u8]) {
        let remote: SocketAddr = from.parse().unwrap();
        let local = if remote.is_ipv4() { OURS } else { OURS_V6 }.parse().unwrap();
        let flow = Flow { transport: Transport::Udp, local, remote };
        self.run(Input::Datagram { flow, data: Bytes::copy_from_slice(data) });
    }

    fn run(&mut self, input: Input) {
        let mut outputs = Vec::new();
        self.core.drive(self.now, input, &mut outputs);
        for output in outputs {
            match output {
                Output::Transmit { flow, data } => self.sent.push((flow.remote, data)),
                Output::Event(Event::Offered { leg, target, .. }) => {
                    let callee = NewLeg {
                        leg: self.core.new_leg(),
                        destination: Destination::Trunk(TrunkId(0), target.user_decoded()),
                        from_user: "caller".into(),
                        from_display: String::new(),
                        identity: false,
                        media: "198.51.100.1:20002".parse().unwrap(),
                        headers: Vec::new(),
                        ring_timeout: None,
                    };
                    let v6 = "[2001:db8::1]:20000".parse().unwrap();
                    let caller_media = MediaAddress::new("198.51.100.1:20000".parse().unwrap(), Some(v6));
                    self.run(Input::Command(Command::Connect { caller: leg, caller_media, callee }));
                }
                Output::Event(Event::Registered { receipt: Some(receipt), .. }) => {
                    self.run(Input::Command(Command::RegistrationKept { receipt }));
                }
                Output::Event(_) | Output::Connect { .. } | Output::Close { .. } => {}
            }
        }
    }

    /// Status of every final response that went out.
    pub(crate) fn finals(&self) -> Vec<u16> {
        let status = |data: &Bytes| data.strip_prefix(b"SIP/2.0 ").and_then(|rest| rest.get(..3)).map(<[u8]>::to_vec);
        let statuses = self.sent.iter().filter_map(|(_, data)| String::from_utf8(status(data)?).ok()?.parse().ok());
        statuses.filter(|status| *status >= 200).collect()
    }

    /// The last response, if it can be read.
    pub(crate) fn answer(&self) -> Message {
        let (_, data) = self.sent.last().expect("something was sent");
        Message::parse_lenient(data, &Limits::default())
            .or_else(|| Message::parse(data.clone(), &Limits::default()).ok())
            .unwrap_or_else(|| panic!("not to be read: {}", String::from_utf8_lossy(data)))
    }

    /// The INVITE that went on to the next hop.
    pub(crate) fn forwarded(&self) -> Option<Message> {
        let invite = self.sent.iter().find(|(_, data)| data.starts_with(b"INVITE "))?;
        Some(Message::parse(invite.1.clone(), &Limits::default()).expect("what we send is SIP"))
    }
}

fn peers(phones: &str) -> Peers {
    let account = |(id, user): (u32, &str)| Account {
        id: PeerId(id),
        user: user.into(),
        contact: Some(FixedContact { uri: format!("sip:{user}@{phones}"), addr: phones.parse().unwrap() }),
        password: None,
        nat: false,
        srtp: Srtp::Off,
        may_transfer: true,
    };
    let mut accounts: Vec<Account> = (0..).zip(USERS).map(account).collect();
    accounts.push(Account {
        id: PeerId(50),
        user: "j.user".into(),
        contact: None,
        password: Some("secret".into()),
        nat: false,
        srtp: Srtp::Off,
        may_transfer: true,
    });
    let trunk = Trunk {
        name: "platform".into(),
        host: TRUNK.into(),
        next_hop: TRUNK.parse().unwrap(),
        allow: vec![("198.51.100.9".parse().unwrap(), 32), ("2001:db8::9:1".parse().unwrap(), 128)],
        nat: false,
        srtp: Srtp::Off,
    };
    Peers { accounts, trunks: vec![trunk], routes: Vec::new() }
}
