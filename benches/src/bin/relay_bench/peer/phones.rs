//! SIP phones of the bench's own, on a thread of theirs: a trunk that calls, agents and listeners that answer. Three UDP
//! sockets for all of them, and no code of the engine's.

use std::collections::{HashMap, VecDeque};
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};

use super::rtpengine::key;
use super::sdp::{self, Crypto};
use crate::generator::{Suite, wall_clock};

/// Calls that are set up at once.
const WINDOW: usize = 24;
/// An INVITE without an answer is sent again.
const AGAIN: Duration = Duration::from_millis(500);
/// A call that the engine has no room for at the moment (503) is made anew so often.
const ATTEMPTS: u32 = 20;

/// Users of the three kinds.
pub(super) const AGENT: char = 'a';
pub(super) const LISTENER: char = 'l';

/// See [the module](self). They hang nothing up: they end with the bench.
#[derive(Debug)]
pub(super) struct Phones {
    pub(super) trunk: SocketAddr,
    pub(super) agents: SocketAddr,
    pub(super) listeners: SocketAddr,
    book: Arc<Mutex<Book>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// An INVITE that is not answered yet.
#[derive(Debug)]
struct Attempt {
    number: u32,
    due: Instant,
}

/// Who has which call.
#[derive(Debug, Default)]
struct Book {
    engine: Option<SocketAddr>,
    /// Where each leg (two for each call) is, and where listeners are.
    legs: Vec<SocketAddrV4>,
    listener: Option<SocketAddrV4>,
    is_secure: bool,
    /// The relay's descriptions for each leg.
    told: Vec<Option<String>>,
    /// Calls that the trunk is making.
    calling: HashMap<usize, Attempt>,
    next: usize,
    failed: Vec<String>,
    /// What was answered, by Call-ID, for requests that come twice.
    answered: HashMap<String, String>,
    /// Listeners' calls that are up.
    hearing: usize,
    /// The relay's addresses for them and when they answered, the last one first.
    relay_of_listeners: VecDeque<(SocketAddr, u64)>,
}

impl Phones {
    pub(super) fn start() -> Result<Self, String> {
        let sockets = ["127.0.0.10", "127.0.0.11", "127.0.0.9"].map(socket);
        let [trunk, agents, listeners] = sockets;
        let sockets = [trunk?, agents?, listeners?];
        let at = |n: usize| sockets[n].local_addr().map_err(|error| error.to_string());
        let (trunk, agents, listeners) = (at(0)?, at(1)?, at(2)?);
        let (book, stop) = (Arc::<Mutex<Book>>::default(), Arc::<AtomicBool>::default());
        let thread = {
            let (book, stop) = (Arc::clone(&book), Arc::clone(&stop));
            std::thread::spawn(move || run(&sockets, &book, &stop))
        };
        Ok(Self { trunk, agents, listeners, book, stop, thread: Some(thread) })
    }

    /// Calls as many agents as there are pairs of legs; what the relay said to each leg.
    pub(super) fn call(
        &self,
        engine: SocketAddr,
        legs: Vec<SocketAddrV4>,
        listener: SocketAddrV4,
        is_secure: bool,
    ) -> Result<Vec<String>, String> {
        let calls = legs.len() / 2;
        {
            let mut book = self.book();
            book.told = vec![None; legs.len()];
            (book.engine, book.legs, book.listener, book.is_secure) = (Some(engine), legs, Some(listener), is_secure);
        }
        let limit = Instant::now() + Duration::from_secs(20) + Duration::from_millis(20) * calls as u32;
        loop {
            std::thread::sleep(Duration::from_millis(20));
            let mut book = self.book();
            if let Some(failed) = book.failed.first() {
                return Err(format!("{} calls failed, the first with {failed}", book.failed.len()));
            }
            if book.told.iter().all(Option::is_some) {
                return Ok(book.told.drain(..).flatten().collect());
            }
            if Instant::now() > limit {
                let up = book.told.iter().flatten().count() / 2;
                return Err(format!("{up} of {calls} calls were up in time"));
            }
        }
    }

    /// How many listeners' calls are up.
    pub(super) fn hearing(&self) -> usize {
        self.book().hearing
    }

    /// The relay's addresses for the listeners that hear now, the last one first, and when each answered.
    pub(super) fn relay_of_listeners(&self) -> Vec<(SocketAddr, u64)> {
        let book = self.book();
        book.relay_of_listeners.iter().take(book.hearing).copied().collect()
    }

    /// Where listeners that answer from now on want to be sent to.
    pub(super) fn listeners_at(&self, address: SocketAddrV4) {
        self.book().listener = Some(address);
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Phones {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn socket(ip: &str) -> Result<UdpSocket, String> {
    let bound = UdpSocket::bind((ip, 0)).and_then(|socket| {
        socket.set_nonblocking(true)?;
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &(4 << 20));
        Ok(socket)
    });
    bound.map_err(|error| error.to_string())
}

fn run(sockets: &[UdpSocket; 3], book: &Mutex<Book>, stop: &AtomicBool) {
    let mut buffer = [0; 8192];
    while !stop.load(Ordering::Relaxed) {
        let mut is_idle = true;
        for socket in sockets {
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                is_idle = false;
                let message = String::from_utf8_lossy(&buffer[..length]);
                let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(answer) = book.take(&message, socket) {
                    let _ = socket.send_to(answer.as_bytes(), from);
                }
            }
        }
        book.lock().unwrap_or_else(PoisonError::into_inner).call_more(&sockets[0]);
        if is_idle {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Book {
    fn call_more(&mut self, trunk: &UdpSocket) {
        let (Some(engine), Ok(at)) = (self.engine, trunk.local_addr()) else { return };
        while self.calling.len() < WINDOW && self.next < self.legs.len() / 2 {
            self.calling.insert(self.next, Attempt { number: 0, due: Instant::now() });
            self.next += 1;
        }
        for (call, attempt) in &mut self.calling {
            if attempt.due > Instant::now() {
                continue;
            }
            attempt.due = Instant::now() + AGAIN;
            let id = format!("{call}-{}", attempt.number);
            let crypto = Crypto { tag: 1, suite: Suite::Sha1_80, key: key(2 * call) };
            let body = sdp::describe(self.legs[2 * call], "sendrecv", self.is_secure.then_some(crypto));
            let text = format!(
                "INVITE sip:{AGENT}{call}@{engine} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK-bench-{id};rport\r\n\
                 From: <sip:+47{call}@{at}>;tag=t{call}\r\nTo: <sip:{AGENT}{call}@{engine}>\r\nCall-ID: {id}@{at}\r\n\
                 CSeq: 1 INVITE\r\nContact: <sip:trunk@{at}>\r\nMax-Forwards: 70\r\nContent-Type: application/sdp\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let _ = trunk.send_to(text.as_bytes(), engine);
        }
    }

    /// What is to be answered.
    fn take(&mut self, message: &str, socket: &UdpSocket) -> Option<String> {
        match message.split(' ').next()? {
            "SIP/2.0" => self.response(message, socket),
            "ACK" => None,
            "INVITE" => self.invited(message, socket),
            method => {
                if method == "BYE" && user(header(message, "To")).starts_with(LISTENER) {
                    self.hearing = self.hearing.saturating_sub(1);
                }
                Some(response(message, "200 OK", "", ""))
            }
        }
    }

    /// Of the trunk's INVITE.
    fn response(&mut self, message: &str, trunk: &UdpSocket) -> Option<String> {
        let status: u16 = message.get(8..11)?.parse().ok()?;
        if status < 200 || !header(message, "CSeq").ends_with("INVITE") {
            return None;
        }
        let id = header(message, "Call-ID").split('@').next()?;
        let (call, number) = id.split_once('-')?;
        let (call, number): (usize, u32) = (call.parse().ok()?, number.parse().ok()?);
        if self.calling.get(&call).is_some_and(|attempt| attempt.number == number) {
            self.calling.remove(&call);
            if status < 300 {
                self.told[2 * call] = Some(body(message).to_owned());
            } else if status == 503 && number < ATTEMPTS {
                self.calling.insert(call, Attempt { number: number + 1, due: Instant::now() + AGAIN });
            } else {
                self.failed.push(message.lines().next().unwrap_or_default().to_owned());
            }
        }
        let (engine, at) = (self.engine?, trunk.local_addr().ok()?);
        // A 2xx is acknowledged by a transaction of its own (RFC 3261 §13.2.2.4).
        let (uri, branch) = if status < 300 {
            (uri(header(message, "Contact")).to_owned(), format!("ack-{id}"))
        } else {
            (format!("sip:{AGENT}{call}@{engine}"), id.to_owned())
        };
        Some(format!(
            "ACK {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK-bench-{branch};rport\r\nFrom: {}\r\nTo: {}\r\n\
             Call-ID: {}\r\nCSeq: 1 ACK\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
            header(message, "From"),
            header(message, "To"),
            header(message, "Call-ID")
        ))
    }

    fn invited(&mut self, message: &str, socket: &UdpSocket) -> Option<String> {
        let id = header(message, "Call-ID").to_owned() + header(message, "CSeq");
        if let Some(answer) = self.answered.get(&id) {
            return Some(answer.clone());
        }
        let called = user(message.lines().next()?);
        let number: usize = called.get(1..)?.parse().ok()?;
        let body = if called.starts_with(LISTENER) {
            self.hearing += 1;
            sdp::addresses(body(message))
                .into_iter()
                .for_each(|at| self.relay_of_listeners.push_front((at, wall_clock())));
            sdp::describe(self.listener?, "recvonly", taken(message, usize::MAX / 2 - number))
        } else {
            *self.told.get_mut(2 * number + 1)? = Some(body(message).to_owned());
            sdp::describe(self.legs[2 * number + 1], "sendrecv", taken(message, 2 * number + 1))
        };
        let at = socket.local_addr().ok()?;
        let headers = format!("Contact: <sip:{called}@{at}>\r\nContent-Type: application/sdp\r\n");
        let answer = response(message, "200 OK", &headers, &body);
        self.answered.insert(id, answer.clone());
        Some(answer)
    }
}

fn response(request: &str, status: &str, headers: &str, body: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for line in request.lines().skip(1).take_while(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or_default();
        match name {
            "Via" | "From" | "Call-ID" | "CSeq" | "Record-Route" => text += &format!("{line}\r\n"),
            "To" if line.contains("tag=") => text += &format!("{line}\r\n"),
            "To" => text += &format!("{line};tag=bench\r\n"),
            _ => {}
        }
    }
    text + &format!("{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// The answer to the line of an offer that a phone takes, with a key of its own.
fn taken(message: &str, leg: usize) -> Option<Crypto> {
    Some(Crypto { key: key(leg), ..sdp::crypto(body(message), Suite::Sha1_80)? })
}

fn header<'a>(message: &'a str, name: &str) -> &'a str {
    let value = message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_default().trim()
}

fn body(message: &str) -> &str {
    message.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

fn uri(contact: &str) -> &str {
    contact.split_once('<').map_or(contact, |(_, rest)| rest.split('>').next().unwrap_or(rest))
}

/// The user of the first SIP URI.
fn user(text: &str) -> &str {
    text.split_once("sip:").map_or("", |(_, rest)| rest.split('@').next().unwrap_or_default())
}
