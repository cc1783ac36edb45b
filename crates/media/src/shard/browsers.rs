//! Listeners in browsers: what comes for them at the door, what they negotiate, and when they want to be woken.

use std::net::SocketAddr;
use std::time::Instant;

use super::Shard;
use super::seats::{Leg, Seat};
use crate::browser::{Admitted, BrowserLeg, Certificate, Credentials, News, Note, Refusal, Secret, Stream};
use crate::interface::{Event, ListenerId, Sink};
use crate::listener::Ear;

impl Shard {
    /// One datagram that arrived on this shard's socket for browsers.
    pub fn browser_datagram(&mut self, now: Instant, source: SocketAddr, data: &[u8], sink: &mut impl Sink) {
        match self.door.admit(now, source, data, &mut self.counters) {
            Some(Admitted::Here(listener)) => self.browser_received(now, listener, source, data, sink),
            Some(Admitted::Away(listener)) => {
                sink.note(Note::Datagram { listener, source, data: data.to_vec() });
            }
            None => {}
        }
    }

    /// What another shard has to say about a browser's leg.
    pub fn note(&mut self, now: Instant, note: Note, sink: &mut impl Sink) {
        match note {
            Note::Datagram { listener, source, data } => self.browser_received(now, listener, source, &data, sink),
            Note::Renamed { listener, fragment, password } => self.door.rename(listener, &fragment, &password.0),
            Note::Left { listener } => self.door.leave(listener),
        }
    }

    pub(super) fn open_browser(
        &mut self,
        now: Instant,
        id: ListenerId,
        offer: &str,
        sink: &mut impl Sink,
    ) -> Option<()> {
        let opened = self.negotiate(now, id, offer);
        let is_open = opened.is_ok();
        if let Ok((stream, _)) = &opened {
            debug_assert_eq!(stream.home(), self.settings.browsers.home);
        }
        let answer = opened.map(|(stream, answer)| {
            let key = self.listeners.insert(Seat::new(Ear::new(id), Leg::Browser(Box::new(BrowserLeg::new(stream)))));
            self.listener_ids.insert(id, key);
            answer
        });
        self.counters.browser_refused += u64::from(!is_open);
        sink.event(Event::BrowserAnswer { listener: id, answer: answer.map_err(|refusal| refusal.words().to_owned()) });
        self.serve_browser(now, id, sink);
        is_open.then_some(())
    }

    fn negotiate(&mut self, now: Instant, id: ListenerId, offer: &str) -> Result<(Stream, String), Refusal> {
        let browsers = &self.settings.browsers;
        let is_full = self.listeners.len() >= self.settings.max_listeners || self.door.len() >= browsers.max_legs;
        if is_full || self.listener_ids.contains_key(&id) {
            return Err(if browsers.candidates.is_empty() { Refusal::NoAddress } else { Refusal::TooManyLegs });
        }
        if self.certificate.is_none() {
            self.certificate = Certificate::new();
        }
        let certificate = self.certificate.as_ref().ok_or(Refusal::Stack)?;
        let (stream, answer) = Stream::open(now, offer, browsers, certificate, &mut self.rng)?;
        let Credentials { fragment, password } = Credentials::named_in(&answer)?;
        self.door.name(id, &fragment, &password);
        Ok((stream, answer))
    }

    pub(super) fn restart_browser(
        &mut self,
        now: Instant,
        id: ListenerId,
        text: &str,
        sink: &mut impl Sink,
    ) -> Option<()> {
        let leg = self.browser(id);
        let answer = leg.map_or(Err(Refusal::Ended), |leg| leg.stream_mut().restart(now, text));
        self.counters.browser_refused += u64::from(answer.is_err());
        let is_answered = answer.is_ok();
        if let Ok(Credentials { fragment, password }) = answer.as_deref().map_err(|_| ()).and_then(|answer| {
            // an empty answer names none
            Credentials::named_in(answer).map_err(|_| ())
        }) {
            let is_home = self.browser(id).map(|leg| leg.stream_mut().home()) == Some(self.settings.browsers.home);
            if is_home {
                self.door.rename(id, &fragment, &password);
            } else {
                sink.note(Note::Renamed { listener: id, fragment, password: Secret(password) });
            }
        }
        sink.event(Event::BrowserAnswer { listener: id, answer: answer.map_err(|refusal| refusal.words().to_owned()) });
        self.serve_browser(now, id, sink);
        is_answered.then_some(())
    }

    /// Every leg whose time has come.
    pub(super) fn wake_browsers(&mut self, now: Instant, sink: &mut impl Sink) {
        while let Some(id) = self.deadlines.take_due(now) {
            if let Some(leg) = self.browser(id) {
                leg.stream_mut().wake(now);
            }
            self.serve_browser(now, id, sink);
        }
    }

    fn browser_received(
        &mut self,
        now: Instant,
        id: ListenerId,
        source: SocketAddr,
        data: &[u8],
        sink: &mut impl Sink,
    ) {
        let key = self.listener_ids.get(&id).copied();
        let Some(leg) = key.and_then(|key| self.listeners.get_mut(key)).and_then(|seat| seat.leg.browser()) else {
            self.counters.browser_unpassed += 1;
            return;
        };
        leg.receive(now, source, data, &mut self.counters);
        self.serve_browser(now, id, sink);
    }

    /// Sends what it wants to send, tells what has become of it, and notes when it is to be woken.
    fn serve_browser(&mut self, now: Instant, id: ListenerId, sink: &mut impl Sink) {
        let Some(key) = self.listener_ids.get(&id).copied() else { return };
        let Some(leg) = self.listeners.get_mut(key).and_then(|seat| seat.leg.browser()) else { return };
        let (news, until) = leg.serve(now, sink);
        match until {
            Some(until) => self.deadlines.set(id, until),
            None => self.deadlines.clear(id),
        }
        match news {
            Some(News::Connected) => {
                self.listeners.get_mut(key).into_iter().for_each(|seat| seat.ear.answered(now));
                self.seat(key);
                self.tune(key);
            }
            Some(News::Over(closed)) => {
                self.unseat(key);
                sink.event(Event::BrowserGone { listener: id, closed });
            }
            None => {}
        }
    }

    fn browser(&mut self, id: ListenerId) -> Option<&mut BrowserLeg> {
        let key = self.listener_ids.get(&id).copied()?;
        self.listeners.get_mut(key)?.leg.browser()
    }
}
