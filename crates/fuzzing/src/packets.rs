//! RTP and RTCP at a shard with a call and a listener: what a party sends from its own address passes unchanged or is
//! dropped; what the listener or anybody else sends reaches nobody, and nothing is ever sent to a stranger.
//!
//! An input is packets: a byte that says from whom and how much later, a length in two bytes, the packet.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::{
    Codec, Command, Event, Kind, ListenerId, ListenerRemote, Port, Remote, Settings, Shard, Sink, SrtpKeys, StreamId,
    Taps,
};

const CALLER: (StreamId, Port, &str) = (StreamId(1), Port(20_000), "192.0.2.1:4000");
const AGENT: (StreamId, Port, &str) = (StreamId(2), Port(20_002), "192.0.2.2:4000");
const LISTENER: (Port, &str) = (Port(20_100), "192.0.2.3:4000");
const STRANGER: &str = "203.0.113.66:4000";
/// Packets of an input that are looked at.
const PACKETS_MAX: usize = 64;

/// RTP sockets.
pub fn rtp(data: &[u8]) {
    run(data, Kind::Rtp);
}

/// RTCP sockets.
pub fn rtcp(data: &[u8]) {
    run(data, Kind::Rtcp);
}

#[derive(Default)]
struct Sent(Vec<(Port, Kind, SocketAddr, Vec<u8>)>);

impl Sink for Sent {
    fn send(&mut self, port: Port, kind: Kind, to: SocketAddr, data: &[u8]) {
        self.0.push((port, kind, to, data.to_vec()));
    }
    fn event(&mut self, _: Event) {}
    fn release(&mut self, _: Port) {
        panic!("nobody hung up");
    }
}

fn run(data: &[u8], kind: Kind) {
    let mut now = Instant::now();
    let mut shard = call(now);
    let mut rest = data;
    for _ in 0..PACKETS_MAX {
        let [control, high, low, after @ ..] = rest else { break };
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (packet, others) = after.split_at(length);
        rest = others;
        now += Duration::from_millis(u64::from(control >> 4) * 5);
        let mut sent = Sent::default();
        shard.wake(now, &mut sent);
        only_the_listener_is_served(&sent);
        one(&mut shard, now, kind, *control, packet);
    }
    // A second of silence: the listener's stream goes on.
    for _ in 0..50 {
        now += Duration::from_millis(20);
        let mut sent = Sent::default();
        shard.wake(now, &mut sent);
        only_the_listener_is_served(&sent);
    }
    assert_eq!(shard.sizes(), (2, 1), "packets end no call");
}

fn one(shard: &mut Shard, now: Instant, kind: Kind, control: u8, packet: &[u8]) {
    let (port, from, other) = match control & 3 {
        0 => (CALLER.1, CALLER.2, Some(AGENT)),
        1 => (AGENT.1, AGENT.2, Some(CALLER)),
        2 => (LISTENER.0, LISTENER.1, None),
        _ => ([CALLER.1, AGENT.1, LISTENER.0, Port(20_200)][usize::from(control >> 2 & 3)], STRANGER, None),
    };
    let mut sent = Sent::default();
    let mut buffer = packet.to_vec();
    shard.datagram(now, port, kind, on(from, kind), &mut buffer, &mut sent);
    let Some((_, out, to)) = other else {
        assert!(sent.0.is_empty(), "what a listener or a stranger sends reaches nobody");
        return;
    };
    assert!(sent.0.len() <= 1, "one packet in, one packet out");
    for (port, sent_kind, address, bytes) in &sent.0 {
        assert_eq!((*port, *sent_kind, *address), (out, kind, on(to, kind)));
        assert_eq!(bytes, packet, "a relay changes nothing");
        match kind {
            Kind::Rtp => assert!(media::rtp::Packet::parse(bytes).is_ok()),
            Kind::Rtcp => assert!(media::rtcp::compound(bytes).is_some()),
        }
    }
}

/// On its own beat the shard speaks to the listener alone, in whole packets.
fn only_the_listener_is_served(sent: &Sent) {
    for (port, kind, to, bytes) in &sent.0 {
        assert_eq!((*port, *to), (LISTENER.0, on(LISTENER.1, *kind)));
        match kind {
            Kind::Rtp => assert_eq!(media::rtp::Packet::parse(bytes).map(|packet| packet.payload.len()), Ok(160)),
            Kind::Rtcp => assert!(media::rtcp::compound(bytes).is_some()),
        }
    }
}

fn on(rtp: &str, kind: Kind) -> SocketAddr {
    let rtp: SocketAddr = rtp.parse().expect("an address");
    SocketAddr::new(rtp.ip(), rtp.port() + u16::from(kind == Kind::Rtcp))
}

/// What no key has sealed, on an encrypted leg from its party's own address: to nobody.
pub(crate) fn reaches_nobody(packet: &[u8], kind: Kind, keys: &SrtpKeys) {
    let now = Instant::now();
    let mut shard = call(now);
    let remote = Remote { keys: Some(Box::new(keys.clone())), ..remote(CALLER.2) };
    let mut sent = Sent::default();
    shard.command(now, Command::Describe { stream: CALLER.0, remote }, &mut sent);
    shard.datagram(now, CALLER.1, kind, on(CALLER.2, kind), &mut packet.to_vec(), &mut sent);
    assert!(sent.0.is_empty(), "nothing plain or forged is relayed");
    assert_eq!(shard.sizes(), (2, 1), "nor ends a call");
}

fn remote(phone: &str) -> Remote {
    Remote {
        rtp: Some(on(phone, Kind::Rtp)),
        rtcp: Some(on(phone, Kind::Rtcp)),
        sends: true,
        receives: true,
        decodable: vec![(0, Codec::Pcmu), (8, Codec::Pcma)],
        telephone_event: Some(101),
        latch: None,
        mux: false,
        keys: None,
    }
}

/// A call of two, and one who listens.
fn call(now: Instant) -> Shard {
    let mut shard = Shard::new(Settings::default(), [5; 32]);
    let mut sent = Sent::default();
    for (stream, port, phone) in [CALLER, AGENT] {
        let remote = remote(phone);
        shard.command(now, Command::Open { stream, port }, &mut sent);
        shard.command(now, Command::Describe { stream, remote }, &mut sent);
    }
    shard.command(now, Command::Bridge { a: CALLER.0, b: AGENT.0 }, &mut sent);
    let listener = ListenerId(1);
    let remote = ListenerRemote {
        rtp: Some(on(LISTENER.1, Kind::Rtp)),
        rtcp: Some(on(LISTENER.1, Kind::Rtcp)),
        codec: Codec::Pcmu,
        payload_type: 0,
        latch: None,
        mux: false,
        keys: None,
        telephone_event: None,
    };
    shard.command(now, Command::OpenListener { listener, port: LISTENER.0 }, &mut sent);
    shard.command(now, Command::Focus { listener, taps: Some(Taps { agent: AGENT.0 }) }, &mut sent);
    shard.command(now, Command::Listen { listener, remote }, &mut sent);
    shard
}
