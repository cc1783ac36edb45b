//! The WebRTC stack: `str0m`, sans-IO. Why this one: docs/decisions/0012-browser-leg.md.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::change::SdpOffer;
use str0m::crypto::dtls::DtlsCert;
use str0m::crypto::{CryptoProvider, from_feature_flags};
use str0m::media::{Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{Extension, RtpWrite};
use str0m::{Candidate, Event, Input, Output, RtcConfig};

use super::offer::Offer;
use super::{Happening, Packet, Peer, Refusal, Report};

/// What browsers report is looked at so often.
const STATS_INTERVAL: Duration = Duration::from_secs(5);
/// The extension that [`super::offer`] lets through; its number is the browser's.
const MID_NUMBER: u8 = 1;

/// What all legs of a shard show as theirs in DTLS. Made when the first of them begins.
#[derive(Clone)]
pub(crate) struct Certificate {
    provider: Arc<CryptoProvider>,
    certificate: DtlsCert,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Certificate")
    }
}

impl Certificate {
    /// A new one, with a key of its own.
    pub(crate) fn new() -> Option<Self> {
        let provider = Arc::new(from_feature_flags());
        let certificate = provider.dtls_provider.generate_certificate()?;
        Some(Self { provider, certificate })
    }
}

/// One browser's connection.
pub(crate) struct Rtc {
    rtc: Box<str0m::Rtc>,
    /// Time as it was told last: it never goes back.
    now: Instant,
    tracks: Vec<Mid>,
    /// The library panicked: nothing is asked of it any more.
    is_broken: bool,
}

impl std::fmt::Debug for Rtc {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Rtc").field("tracks", &self.tracks.len()).finish_non_exhaustive()
    }
}

impl Rtc {
    /// Nothing is negotiated yet.
    pub(crate) fn new(now: Instant, certificate: &Certificate, candidates: &[SocketAddr]) -> Self {
        let mut rtc = RtcConfig::new()
            .set_crypto_provider(Arc::clone(&certificate.provider))
            .set_dtls_cert(certificate.certificate.clone())
            .set_ice_lite(true)
            .set_rtp_mode(true)
            .set_stats_interval(Some(STATS_INTERVAL))
            // nothing is sent twice
            .set_send_buffer_audio(1)
            .clear_extension_map()
            .set_extension(MID_NUMBER, Extension::RtpMid)
            .clear_codecs()
            .enable_opus(true, false)
            .enable_pcmu(true, false)
            .build(now);
        for candidate in candidates {
            if let Ok(candidate) = Candidate::host(*candidate, Protocol::Udp) {
                rtc.add_local_candidate(candidate);
            }
        }
        Self { rtc: Box::new(rtc), now, tracks: Vec::new(), is_broken: false }
    }

    /// Datagrams and offers come from anybody: should one make the library panic, this leg is over and the shard lives on.
    fn guarded<T>(&mut self, ask: impl FnOnce(&mut str0m::Rtc) -> T) -> Option<T> {
        if self.is_broken {
            return None;
        }
        let answer = catch_unwind(AssertUnwindSafe(|| ask(&mut self.rtc))).ok();
        self.is_broken = answer.is_none();
        answer
    }

    fn pass(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }
}

impl Peer for Rtc {
    fn accept(&mut self, now: Instant, offer: &Offer) -> Result<String, Refusal> {
        self.pass(now);
        self.tracks = offer.tracks().map(|track| Mid::from(track.mid.as_str())).collect();
        let offer = SdpOffer::from_sdp_string(&offer.shown()).map_err(|_| Refusal::Stack)?;
        let answer = self.guarded(|rtc| rtc.sdp_api().accept_offer(offer)).ok_or(Refusal::Stack)?;
        Ok(answer.map_err(|_| Refusal::Stack)?.to_sdp_string())
    }

    fn receive(&mut self, now: Instant, source: SocketAddr, at: SocketAddr, data: &[u8]) -> bool {
        let now = self.pass(now);
        // An error says that this datagram was wrong (a forged alert, say), not that the browser is gone.
        let receive = |rtc: &mut str0m::Rtc| {
            let received = Receive::new(Protocol::Udp, source, at, data).ok()?;
            rtc.handle_input(Input::Receive(now, received)).ok()
        };
        self.guarded(receive).flatten().is_some()
    }

    fn write(&mut self, track: usize, packet: Packet) {
        let Some(mid) = self.tracks.get(track).copied() else { return };
        let Packet { payload_type, sequence, timestamp, marker, payload } = packet;
        let (payload_type, now) = (Pt::from(payload_type), self.now);
        let packet = RtpWrite::new(payload_type, sequence.into(), timestamp, now, payload).marker(marker);
        self.guarded(|rtc| {
            if let Some(stream) = rtc.direct_api().stream_tx_by_mid(mid, None) {
                stream.write_rtp(packet);
            }
        });
    }

    fn wake(&mut self, now: Instant) {
        let now = self.pass(now);
        // What fails shows in what it says next.
        self.guarded(|rtc| rtc.handle_input(Input::Timeout(now)).ok());
    }

    fn close(&mut self) {
        // No DTLS yet: nobody to say it to.
        self.guarded(|rtc| rtc.close().ok());
    }

    fn next(&mut self) -> Happening {
        loop {
            let Some(output) = self.guarded(str0m::Rtc::poll_output) else { return Happening::Failed };
            let event = match output {
                Ok(Output::Timeout(_)) if !self.rtc.is_alive() => return Happening::Failed,
                Ok(Output::Timeout(at)) => return Happening::Until(at),
                Ok(Output::Transmit(transmit)) => {
                    return Happening::Send(transmit.destination, transmit.contents.into());
                }
                Ok(Output::Event(event)) => event,
                Err(_) if !self.rtc.is_alive() => return Happening::Failed,
                Err(_) => return Happening::Until(self.now + STATS_INTERVAL),
            };
            match event {
                Event::Connected => return Happening::Connected,
                Event::Closed => return Happening::Closed,
                Event::MediaEgressStats(stats) => {
                    let Some(track) = self.tracks.iter().position(|mid| *mid == stats.mid) else { continue };
                    let report = Report {
                        lost: stats.loss,
                        jitter: stats.remote.map(|remote| remote.jitter),
                        round_trip_ms: stats.rtt.map(|rtt| rtt.as_secs_f32() * 1e3),
                    };
                    return Happening::Report(track, report);
                }
                _ => {}
            }
        }
    }
}
