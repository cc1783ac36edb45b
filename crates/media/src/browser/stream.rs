//! What a listener's leg sends by to a browser: negotiation, the time of its tracks, consent.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;

use super::offer::{Credentials, Format, Offer};
use super::{Browsers, Certificate, Happening, Packet, Peer, Refusal, Report, Rtc, answer};
use crate::losses::Losses;

/// Without an authentic check for so long, nothing is sent any more (RFC 7675 §5.1); nor does a leg wait longer to be set up.
const CONSENT: Duration = Duration::from_secs(30);
/// Things that one input may bring about; more would be the stack's fault, and must not hold up the shard.
const MAX_HAPPENINGS: usize = 256;

/// The stream to a browser.
#[derive(Debug)]
pub(crate) struct Stream {
    home: usize,
    candidates: Box<[SocketAddr]>,
    peer: Box<dyn Peer>,
    offer: Offer,
    tracks: Vec<Track>,
    state: State,
    /// The last authentic check; before the first, the beginning.
    checked_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connecting,
    Connected,
    Over,
}

/// One line of audio.
#[derive(Debug)]
struct Track {
    format: Format,
    payload_type: u8,
    sequence: u64,
    timestamp: u32,
    marker: bool,
    report: Option<Report>,
    losses: Losses,
}

/// What has become of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Packets go out from now on.
    Connected,
    /// It is over. True: the browser said so.
    Over(bool),
}

impl Stream {
    /// A stream that is not connected, and the answer.
    pub(crate) fn open(
        now: Instant,
        offer: &str,
        browsers: &Browsers,
        certificate: &Certificate,
        rng: &mut StdRng,
    ) -> Result<(Self, String), Refusal> {
        if browsers.candidates.is_empty() {
            return Err(Refusal::NoAddress);
        }
        let offer = Offer::parse(offer)?;
        let mut peer = Box::new(Rtc::new(now, certificate, &browsers.candidates));
        let answer = answer::complete(&offer, &peer.accept(now, &offer)?);
        let track = |track: &super::offer::Track| Track {
            format: track.format,
            payload_type: track.payload_type,
            // A receiver takes the roll-over counter for 0 (RFC 3711 §3.3.1): the first packets that it gets must not
            // be beyond a roll-over.
            sequence: u64::from(rng.random::<u16>() >> 1),
            timestamp: rng.random(),
            marker: true,
            report: None,
            losses: Losses::default(),
        };
        let tracks = offer.tracks().map(track).collect();
        let (home, candidates) = (browsers.home, browsers.candidates.clone().into());
        let stream = Self { home, candidates, peer, offer, tracks, state: State::Connecting, checked_at: now };
        Ok((stream, answer))
    }

    /// ICE restart: by a fragment with other credentials, or by an offer that has them. A fragment with those that hold
    /// brings candidates alone, of which we need none: its answer is empty.
    pub(crate) fn restart(&mut self, now: Instant, text: &str) -> Result<String, Refusal> {
        if self.state == State::Over {
            return Err(Refusal::Ended);
        }
        let is_offer = text.starts_with("v=0");
        let offer = if is_offer {
            Some(Offer::parse(text)?).filter(|offer| offer.is_again(&self.offer)).ok_or(Refusal::Changed)?
        } else {
            let credentials = Credentials::named_in(text)?;
            if credentials == self.offer.credentials {
                return Ok(String::new());
            }
            Offer { credentials, ..self.offer.clone() }
        };
        let answer = self.peer.accept(now, &offer)?;
        let answer = if is_offer { answer::complete(&offer, &answer) } else { answer::fragment(&answer) };
        self.offer = offer;
        Ok(answer)
    }

    /// The shard by whose socket it sends.
    pub(crate) fn home(&self) -> usize {
        self.home
    }

    /// Packets go out.
    pub(crate) fn is_connected(&self) -> bool {
        self.state == State::Connected
    }

    /// In what each track is heard.
    pub(crate) fn formats(&self) -> impl Iterator<Item = Format> {
        self.tracks.iter().map(|track| track.format)
    }

    /// A datagram that was let in. `is_check`: an authentic one. False: the stack found fault with it.
    pub(crate) fn receive(&mut self, now: Instant, source: SocketAddr, is_check: bool, data: &[u8]) -> bool {
        if is_check {
            self.checked_at = now;
        }
        let at = self.candidates.iter().find(|candidate| candidate.is_ipv4() == source.is_ipv4()).copied();
        at.is_some_and(|at| self.peer.receive(now, source, at, data))
    }

    /// `frames` of 20 ms have passed on a track since its last packet; this is the latest of them. [`Stream::wake`]
    /// sends it. False: there is nothing to send.
    pub(crate) fn write(&mut self, track: usize, frames: u32, payload: &[u8]) -> bool {
        let Some(kept) = self.tracks.get_mut(track) else { return false };
        let step: u32 = if kept.format == Format::Pcmu { 160 } else { 960 };
        kept.timestamp = kept.timestamp.wrapping_add(step.wrapping_mul(frames));
        // Missed ticks pass on the clock instead of going out in a burst.
        kept.marker |= frames > 1 || payload.is_empty();
        if payload.is_empty() {
            return false;
        }
        kept.sequence += 1;
        let Track { payload_type, sequence, timestamp, marker, .. } = *kept;
        kept.marker = false;
        self.peer.write(track, Packet { payload_type, sequence, timestamp, marker, payload: payload.into() });
        true
    }

    /// Time passes.
    pub(crate) fn wake(&mut self, now: Instant) {
        if self.state != State::Over {
            self.peer.wake(now);
        }
    }

    /// Everything that is to be sent leaves by `send`; returns what has become of the stream, and when it is to be woken.
    pub(crate) fn drain(
        &mut self,
        now: Instant,
        mut send: impl FnMut(SocketAddr, &[u8]),
    ) -> (Option<News>, Option<Instant>) {
        if self.state == State::Over {
            return (None, None);
        }
        let (mut news, mut until) = (None, now);
        for _ in 0..MAX_HAPPENINGS {
            match self.peer.next() {
                Happening::Send(to, data) => send(to, &data),
                Happening::Connected => {
                    self.state = State::Connected;
                    news = Some(News::Connected);
                }
                // its farewell still goes out
                Happening::Closed => news = Some(News::Over(true)),
                Happening::Failed => {
                    news = news.filter(|news| *news == News::Over(true)).or(Some(News::Over(false)));
                    break;
                }
                Happening::Report(track, report) => {
                    self.tracks.get_mut(track).into_iter().for_each(|track| track.note(report));
                }
                Happening::Until(at) => {
                    until = at;
                    break;
                }
            }
        }
        let expires = self.checked_at + CONSENT;
        if now >= expires && !matches!(news, Some(News::Over(_))) {
            news = Some(News::Over(false));
        }
        if let Some(News::Over(_)) = news {
            self.state = State::Over;
            return (news, None);
        }
        (news, Some(until.max(now).min(expires)))
    }

    /// Says goodbye: RTCP BYE and a DTLS alert, which [`Stream::drain`] sends.
    pub(crate) fn close(&mut self, now: Instant) {
        if self.state != State::Over {
            self.peer.close();
            self.peer.wake(now);
        }
    }

    /// On one of its tracks loss lasts.
    pub(crate) fn loses(&self) -> bool {
        self.tracks.iter().any(|track| track.losses.last())
    }

    /// What the browser reported last, of its worse track: fraction lost, jitter and round trip in milliseconds.
    pub(crate) fn report(&self) -> (Option<f32>, Option<f32>, Option<f32>) {
        let reports = || self.tracks.iter().filter_map(|track| Some((track, track.report?)));
        let worst = |values: &mut dyn Iterator<Item = f32>| values.reduce(f32::max);
        let per_ms = |format: Format| if format == Format::Pcmu { 8.0 } else { 48.0 };
        (
            worst(&mut reports().filter_map(|(_, report)| report.lost)),
            worst(&mut reports().filter_map(|(track, report)| Some(report.jitter? as f32 / per_ms(track.format)))),
            worst(&mut reports().filter_map(|(_, report)| report.round_trip_ms)),
        )
    }
}

impl Track {
    fn note(&mut self, report: Report) {
        report.lost.into_iter().for_each(|lost| self.losses.note(lost));
        self.report = Some(report);
    }
}
