//! A page in a browser, as far as a listener's leg sees it: full ICE, DTLS client, receives. By `str0m`, whose other
//! side of ICE and DTLS shares little with the one that is tested; real browsers are tried against the binary.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpPacket;
use str0m::{Candidate, Event, Input, Output, RtcConfig};

/// What the page wants to hear its lines in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    Opus,
    OpusStereo,
    Pcmu,
}

pub struct Page {
    pub rtc: str0m::Rtc,
    pub address: SocketAddr,
    pub wants: Wants,
    mids: Vec<Mid>,
    pending: Option<SdpPendingOffer>,
    /// Whole packets, by line.
    pub heard: BTreeMap<usize, Vec<RtpPacket>>,
    pub is_connected: bool,
    pub is_closed: bool,
    /// What it sends now.
    pub out: Vec<(SocketAddr, Vec<u8>)>,
    /// What it sent last of DTLS and SRTCP, for who wants to send it again.
    pub sent: Vec<Vec<u8>>,
    wake_at: Instant,
}

impl Page {
    pub fn new(now: Instant, address: SocketAddr, wants: Wants) -> Self {
        let config = RtcConfig::new().set_rtp_mode(true).clear_codecs();
        let config = config.enable_opus(wants != Wants::Pcmu, false).enable_pcmu(wants == Wants::Pcmu, false);
        let mut rtc = config.build(now);
        rtc.add_local_candidate(Candidate::host(address, Protocol::Udp).expect("a candidate"));
        Self {
            rtc,
            address,
            wants,
            mids: Vec::new(),
            pending: None,
            heard: BTreeMap::new(),
            is_connected: false,
            is_closed: false,
            out: Vec::new(),
            sent: Vec::new(),
            wake_at: now,
        }
    }

    /// An offer for so many lines of audio.
    pub fn offer(&mut self, lines: usize) -> String {
        let mut api = self.rtc.sdp_api();
        let audio = |_| api.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
        self.mids = (0..lines).map(audio).collect();
        let (offer, pending) = api.apply().expect("an offer");
        self.pending = Some(pending);
        self.shown(offer.to_sdp_string())
    }

    /// The same lines with other credentials.
    pub fn restart(&mut self) -> String {
        let mut api = self.rtc.sdp_api();
        api.ice_restart(true);
        let (offer, pending) = api.apply().expect("an offer");
        self.pending = Some(pending);
        self.shown(offer.to_sdp_string())
    }

    fn shown(&self, offer: String) -> String {
        match self.wants {
            Wants::OpusStereo => offer.replace("useinbandfec=1", "useinbandfec=1;stereo=1"),
            _ => offer,
        }
    }

    pub fn answer(&mut self, answer: &str) {
        let answer = SdpAnswer::from_sdp_string(answer).expect("an answer");
        let pending = self.pending.take().expect("an offer is pending");
        self.rtc.sdp_api().accept_answer(pending, answer).expect("a fitting answer");
    }

    /// The answer to a restart's fragment: as the whole answer would be that it stands for.
    pub fn answer_fragment(&mut self, fragment: &str, before: &str) {
        let named = |text: &str, name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned).expect("it is named")
        };
        let (mut whole, names) = (before.to_owned(), ["a=ice-ufrag:", "a=ice-pwd:"]);
        for name in names {
            whole = whole.replace(&named(before, name), &named(fragment, name));
        }
        self.answer(&whole);
    }

    /// Its network changes: what it sends comes from there, and what is sent to where it was is lost.
    pub fn moves_to(&mut self, address: SocketAddr) {
        let before = Candidate::host(self.address, Protocol::Udp).expect("a candidate");
        self.rtc.direct_api().invalidate_candidate(&before);
        self.rtc.add_local_candidate(Candidate::host(address, Protocol::Udp).expect("a candidate"));
        self.address = address;
    }

    pub fn receive(&mut self, now: Instant, source: SocketAddr, data: &[u8]) {
        let Ok(received) = Receive::new(Protocol::Udp, source, self.address, data) else { return };
        let _ = self.rtc.handle_input(Input::Receive(now, received));
        self.drain(now);
    }

    pub fn wake(&mut self, now: Instant) {
        if self.wake_at <= now {
            let _ = self.rtc.handle_input(Input::Timeout(now));
        }
        self.drain(now);
    }

    pub fn close(&mut self, now: Instant) {
        self.rtc.close().expect("it closes");
        self.drain(now);
    }

    fn drain(&mut self, now: Instant) {
        loop {
            match self.rtc.poll_output().expect("the page's side goes on") {
                Output::Timeout(at) => {
                    self.wake_at = at.max(now);
                    return;
                }
                Output::Transmit(transmit) => {
                    let data: Vec<u8> = transmit.contents.into();
                    if data[0] >= 20 {
                        self.sent.push(data.clone());
                    }
                    self.out.push((transmit.destination, data));
                }
                Output::Event(Event::Connected) => self.is_connected = true,
                Output::Event(Event::Closed) => self.is_closed = true,
                Output::Event(Event::RtpPacket(packet)) => {
                    let mid = packet.header.ext_vals.mid;
                    let by_ssrc = |mid: &Mid| {
                        let ssrc = packet.header.ssrc;
                        self.rtc.direct_api().stream_rx_by_mid(*mid, None).is_some_and(|rx| rx.ssrc() == ssrc)
                    };
                    let line = match mid {
                        Some(mid) => self.mids.iter().position(|known| *known == mid),
                        None => self.mids.clone().iter().position(by_ssrc),
                    };
                    self.heard.entry(line.expect("of a known line")).or_default().push(packet);
                }
                Output::Event(_) => {}
            }
        }
    }
}
