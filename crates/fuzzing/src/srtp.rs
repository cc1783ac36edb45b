//! SRTP: only what was sealed with the key opens, once and whole; anything else is refused and changes nothing.
//!
//! An input is a byte that chooses suite and kind, then packets: a byte that says what happens to it, a length in two
//! bytes, the packet.

use media::srtp::{Inbound, Key, OVERHEAD, Opened, Outbound, Refused, Suite};
use media::{Kind, SrtpKeys};

use crate::packets;

const SUITES: [Suite; 6] = [
    Suite::AesCm128HmacSha1_80,
    Suite::AesCm128HmacSha1_32,
    Suite::AesCm256HmacSha1_80,
    Suite::AesCm256HmacSha1_32,
    Suite::AeadAes128Gcm,
    Suite::AeadAes256Gcm,
];
/// Packets of an input that are looked at.
const PACKETS_MAX: usize = 64;

/// Both ends of one direction.
struct Ends {
    outbound: Outbound,
    inbound: Inbound,
    keys: SrtpKeys,
    is_rtcp: bool,
}

/// Any bytes.
pub fn body(data: &[u8]) {
    let Some((choice, mut rest)) = data.split_first() else { return };
    let mut ends = Ends::new(SUITES[usize::from(choice >> 1) % SUITES.len()], choice & 1 == 1);
    for _ in 0..PACKETS_MAX {
        let [control, high, low, after @ ..] = rest else { break };
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (packet, others) = after.split_at(length);
        rest = others;
        if control & 1 == 0 { ends.forged(packet) } else { ends.sealed(packet, *control) }
    }
}

impl Ends {
    fn new(suite: Suite, is_rtcp: bool) -> Self {
        let material = [9; 46];
        let key = Key::new(suite, &material[..suite.key_length() + suite.salt_length()]).expect("of its length");
        let (outbound, inbound) = (Outbound::new(&key).expect("a key"), Inbound::new(&key).expect("a key"));
        Self { outbound, inbound, keys: SrtpKeys { ours: key.clone(), theirs: key }, is_rtcp }
    }

    fn open(&mut self, packet: &mut [u8]) -> Result<Opened, Refused> {
        if self.is_rtcp { self.inbound.rtcp(packet) } else { self.inbound.rtp(packet) }
    }

    fn refuses(&mut self, packet: &[u8]) {
        let before = format!("{:?}", self.inbound);
        let refused = self.open(&mut packet.to_vec());
        assert!(refused.is_err(), "it was never sealed");
        // The order of sources is by use; what is known of them is not touched.
        if refused != Err(Refused::Unauthentic) && refused != Err(Refused::Replayed) {
            assert_eq!(format!("{:?}", self.inbound), before);
        }
    }

    /// Bytes as they are.
    fn forged(&mut self, packet: &[u8]) {
        self.refuses(packet);
        packets::reaches_nobody(packet, if self.is_rtcp { Kind::Rtcp } else { Kind::Rtp }, &self.keys);
    }

    /// The same, sealed; then with a bit that is not, as it is, and once more.
    fn sealed(&mut self, plain: &[u8], control: u8) {
        let mut buffer = [plain, &[0; OVERHEAD]].concat();
        let outbound = &mut self.outbound;
        let sealed =
            if self.is_rtcp { outbound.rtcp(&mut buffer, plain.len()) } else { outbound.rtp(&mut buffer, plain.len()) };
        let Ok(length) = sealed else { return };
        buffer.truncate(length);
        let mut flipped = buffer.clone();
        flipped[usize::from(control >> 4) * (length - 1) / 15] ^= 1 << (control >> 1 & 7);
        self.refuses(&flipped);
        let mut packet = buffer.clone();
        if let Ok(opened) = self.open(&mut packet) {
            assert_eq!(&packet[..opened.length], plain);
        }
        self.refuses(&buffer);
    }
}
