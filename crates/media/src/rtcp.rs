//! RTCP: walk and validity of compound packets (RFC 3550 A.2), and those of our own: SR + SDES, with BYE at the end.

use crate::jitter::SenderClock;
use crate::rtp::MAX_PACKET;

const SR: u8 = 200;
const RR: u8 = 201;
const SDES: u8 = 202;
const BYE: u8 = 203;
const APP: u8 = 204;
const XR: u8 = 207;

/// One packet of a compound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// What it is.
    pub kind: Kind,
    /// Reports, chunks or sources in it; the subtype of an APP.
    pub count: u8,
    /// After the first four bytes, padding included.
    pub body: &'a [u8],
}

/// Kinds of RTCP packets (RFC 3550 §12.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sender report.
    SenderReport,
    /// Receiver report.
    ReceiverReport,
    /// Source description.
    SourceDescription,
    /// A source leaves.
    Bye,
    /// Defined by the application.
    App,
    /// Feedback, extended reports and whatever else (RFC 4585, 3611).
    Other(u8),
}

/// One report block (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The source that is reported on.
    pub ssrc: u32,
    /// Lost since the report before, in 1/256.
    pub fraction_lost: u8,
    /// Lost since the start; negative with duplicates.
    pub lost: i32,
    /// Highest sequence number received, with its cycles.
    pub highest: u32,
    /// Interarrival jitter, in time-stamp units.
    pub jitter: u32,
    /// The middle of the NTP time of the last sender report that came there (LSR); 0: none did.
    pub last_report: u32,
    /// Since then, in 1/65536 s (DLSR).
    pub held: u32,
}

/// The packets of a compound, if it is a valid one: SR or RR first, version 2 throughout, padding on the last only,
/// lengths that add up, and everything in it that its counts promise.
#[must_use]
pub fn compound(data: &[u8]) -> Option<Compound<'_>> {
    let mut walk = Compound { rest: data };
    if data.len() > MAX_PACKET || !matches!(data, [first, SR | RR, ..] if first & 0x20 == 0) {
        return None;
    }
    while !walk.rest.is_empty() {
        let padded = walk.rest.first()? & 0x20 != 0;
        let packet = walk.next()?;
        let mut body = packet.body;
        if padded {
            let padding = usize::from(*body.last()?);
            if !walk.rest.is_empty() || padding == 0 || padding % 4 != 0 {
                return None;
            }
            body = body.get(..body.len().checked_sub(padding)?)?;
        }
        if !is_complete(packet.kind, packet.count, body) {
            return None;
        }
    }
    Some(Compound { rest: data })
}

/// Walks a compound.
#[derive(Clone, Debug)]
pub struct Compound<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Compound<'a> {
    type Item = Packet<'a>;
    fn next(&mut self) -> Option<Packet<'a>> {
        let (&[first, kind, l0, l1], after) = self.rest.split_first_chunk::<4>()?;
        let (body, rest) = after.split_at_checked(usize::from(u16::from_be_bytes([l0, l1])) * 4)?;
        if first >> 6 != 2 {
            return None;
        }
        self.rest = rest;
        let kind = match kind {
            SR => Kind::SenderReport,
            RR => Kind::ReceiverReport,
            SDES => Kind::SourceDescription,
            BYE => Kind::Bye,
            APP => Kind::App,
            other => Kind::Other(other),
        };
        Some(Packet { kind, count: first & 0x1f, body })
    }
}

impl Packet<'_> {
    /// What an SR says of its sender's clock.
    #[must_use]
    pub fn clock(&self) -> Option<SenderClock> {
        let (&[s0, s1, s2, s3, n0, n1, n2, n3, n4, n5, n6, n7, t0, t1, t2, t3], _) = self.body.split_first_chunk()?;
        (self.kind == Kind::SenderReport).then_some(SenderClock {
            ssrc: u32::from_be_bytes([s0, s1, s2, s3]),
            ntp: u64::from_be_bytes([n0, n1, n2, n3, n4, n5, n6, n7]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
        })
    }

    /// The report blocks of an SR or RR.
    pub fn reports(&self) -> impl Iterator<Item = Report> {
        let start = match self.kind {
            Kind::SenderReport => 24,
            Kind::ReceiverReport => 4,
            _ => usize::MAX,
        };
        let blocks = self.body.get(start..).unwrap_or_default();
        blocks.as_chunks::<24>().0.iter().take(usize::from(self.count)).map(|block| {
            let word = |at: usize| block.get(at..at + 4).and_then(|w| w.try_into().ok()).map_or(0, u32::from_be_bytes);
            let lost = word(4);
            Report {
                ssrc: word(0),
                fraction_lost: (lost >> 24) as u8,
                lost: ((lost << 8) as i32) >> 8,
                highest: word(8),
                jitter: word(12),
                last_report: word(16),
                held: word(20),
            }
        })
    }
}

/// What our own sender reports say (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport {
    /// Our source.
    pub ssrc: u32,
    /// 32.32 seconds. Without a wall clock: time elapsed, which §6.4.1 allows.
    pub ntp: u64,
    /// The same instant on the RTP clock.
    pub timestamp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Bytes of payload sent.
    pub octets: u32,
}

/// Our name in SDES: 96 random bits as hexadecimal digits (RFC 7022 §4.2).
pub type Cname = [u8; 24];

/// Length of [`sender_report`].
pub const REPORT: usize = 28 + 36;

/// SR and SDES CNAME in one compound.
#[must_use]
pub fn sender_report(report: &SenderReport, cname: &Cname) -> [u8; REPORT] {
    let mut out = [0; REPORT];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        for (to, from) in out.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
        at += bytes.len();
    };
    put(&[0x80, SR, 0, 6]);
    put(&report.ssrc.to_be_bytes());
    put(&report.ntp.to_be_bytes());
    put(&report.timestamp.to_be_bytes());
    put(&report.packets.to_be_bytes());
    put(&report.octets.to_be_bytes());
    // One chunk: SSRC, item 1 (CNAME), its length, the name, and two zero bytes to end and align it (§6.5).
    put(&[0x81, SDES, 0, 8]);
    put(&report.ssrc.to_be_bytes());
    put(&[1, cname.len() as u8]);
    put(cname);
    out
}

/// The same with a BYE behind it (RFC 3550 §6.6).
#[must_use]
pub fn farewell(report: &SenderReport, cname: &Cname) -> [u8; REPORT + 8] {
    let mut out = [0; REPORT + 8];
    let bye = [0x81, BYE, 0, 1].into_iter().chain(report.ssrc.to_be_bytes());
    for (to, from) in out.iter_mut().zip(sender_report(report, cname).into_iter().chain(bye)) {
        *to = from;
    }
    out
}

/// Whether a packet (without padding) holds what its count promises.
fn is_complete(kind: Kind, count: u8, body: &[u8]) -> bool {
    let count = usize::from(count);
    match kind {
        Kind::SenderReport => body.len() >= 24 + 24 * count,
        Kind::ReceiverReport => body.len() >= 4 + 24 * count,
        Kind::Bye => body.len() >= 4 * count,
        Kind::App => body.len() >= 8,
        Kind::SourceDescription => (0..count).try_fold(body, |rest, _| after_chunk(rest)).is_some(),
        Kind::Other(XR) => body.get(4..).and_then(after_blocks).is_some(),
        Kind::Other(_) => true,
    }
}

/// Walks the blocks of an extended report: each says in words how much follows its first (RFC 3611 §3).
fn after_blocks(mut blocks: &[u8]) -> Option<()> {
    while !blocks.is_empty() {
        let (&[_, _, l0, l1], rest) = blocks.split_first_chunk::<4>()?;
        blocks = rest.get(usize::from(u16::from_be_bytes([l0, l1])) * 4..)?;
    }
    Some(())
}

/// What follows an SDES chunk: SSRC, items, at least one zero byte up to the next word (RFC 3550 §6.5).
fn after_chunk(chunk: &[u8]) -> Option<&[u8]> {
    let mut at = 4;
    while *chunk.get(at)? != 0 {
        at += 2 + usize::from(*chunk.get(at + 1)?);
    }
    chunk.get((at / 4 + 1) * 4..)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORTED: SenderReport =
        SenderReport { ssrc: 0x0102_0304, ntp: 5 << 32 | 1 << 31, timestamp: 40_000, packets: 250, octets: 40_000 };
    const NAME: Cname = *b"0123456789abcdef01234567";

    fn kinds(data: &[u8]) -> Option<Vec<Kind>> {
        compound(data).map(|packets| packets.map(|packet| packet.kind).collect())
    }

    #[test]
    fn our_own_compounds_are_valid() {
        assert_eq!(kinds(&sender_report(&REPORTED, &NAME)), Some(vec![Kind::SenderReport, Kind::SourceDescription]));
        let bye = farewell(&REPORTED, &NAME);
        assert_eq!(kinds(&bye), Some(vec![Kind::SenderReport, Kind::SourceDescription, Kind::Bye]));
        assert!(bye.windows(24).any(|window| window == NAME));
        assert_eq!(bye[REPORT + 4..], REPORTED.ssrc.to_be_bytes());
        assert_eq!(bye[16..20], 40_000u32.to_be_bytes());
        let clocks: Vec<_> = compound(&bye).into_iter().flatten().filter_map(|packet| packet.clock()).collect();
        let SenderReport { ssrc, ntp, timestamp, .. } = REPORTED;
        assert_eq!(clocks, [SenderClock { ssrc, ntp, timestamp }]);
    }

    #[test]
    fn report_blocks_are_read() {
        let mut rr = vec![0x81, RR, 0, 7, 0, 0, 0, 9];
        rr.extend([0, 0, 0, 7, 64, 0xff, 0xff, 0xfe, 0, 1, 0, 5, 0, 0, 0, 80, 0, 5, 128, 0, 0, 1, 0, 0]);
        let packet = compound(&rr).and_then(|mut packets| packets.next()).expect("a valid RR");
        let (last_report, held) = (0x0005_8000, 0x0001_0000);
        let report = Report { ssrc: 7, fraction_lost: 64, lost: -2, highest: 0x1_0005, jitter: 80, last_report, held };
        assert_eq!(packet.reports().collect::<Vec<_>>(), [report]);
    }

    #[test]
    fn what_does_not_add_up_is_no_compound() {
        let sr = &sender_report(&REPORTED, &NAME)[..28];
        assert!(compound(sr).is_some());
        assert!(compound(&[]).is_none());
        assert!(compound(&sr[..27]).is_none(), "cut");
        assert!(
            compound(&[0x80, SR, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]).is_none(),
            "SR without its sender part"
        );
        assert!(compound(&[0x9f, RR, 0, 1, 0, 0, 0, 1]).is_none(), "31 reports promised, none there");
        assert!(compound(&[0x80, SR, 0xff, 0xff, 0, 0, 0, 1]).is_none(), "length beyond the datagram");
        assert!(compound(&[0x00, RR, 0, 1, 0, 0, 0, 1]).is_none(), "version 0");
        assert!(compound(&[0x80, APP, 0, 2, 0, 0, 0, 1, b'N', b'A', b'M', b'E']).is_none(), "neither SR nor RR first");
        assert!(compound(&[0xa0, RR, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4]).is_none(), "padding on the first");
        let rr = [0x80, RR, 0, 1, 0, 0, 0, 1];
        let with = |more: &[u8]| compound(&[&rr, more].concat()).is_some();
        assert!(with(&[0x81, BYE, 0, 1, 0, 0, 0, 1]));
        assert!(!with(&[0x82, BYE, 0, 1, 0, 0, 0, 1]), "two sources promised");
        assert!(with(&[0xa1, BYE, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4]), "padding on the last");
        assert!(!with(&[0xa1, BYE, 0, 2, 0, 0, 0, 1, 0, 0, 0, 12]), "more padding than packet");
        assert!(!with(&[0x81, SDES, 0, 2, 0, 0, 0, 1, 1, 200, 65, 0]), "item beyond the packet");
        assert!(!with(&[0x81, SDES, 0, 2, 0, 0, 0, 1, 1, 2, 65, 66]), "no end of the chunk");
        assert!(with(&[0x81, SDES, 0, 2, 0, 0, 0, 1, 1, 1, 65, 0]));
        assert!(with(&[0x80, 207, 0, 1, 0, 0, 0, 1]), "extended report");
        assert!(compound(&vec![0x80; MAX_PACKET + 4]).is_none());
    }
}
