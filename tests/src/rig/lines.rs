//! Phones of `crates/phone` on real sockets. One thread drives all of them: it reads every socket each millisecond.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use phone::{CallId, Input, Kind, Output, Phone, Settings, State};

use super::engine::until;

/// How often the sockets are read.
const TURN: Duration = Duration::from_millis(1);
/// Tries to find an even port whose next one is free.
const PORT_TRIES: usize = 200;

/// A phone's SIP socket, before the phone is there.
pub struct Jack {
    socket: UdpSocket,
    pub address: SocketAddr,
}

impl Jack {
    pub fn new(ip: &str) -> Self {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        Self { socket, address }
    }
}

struct Line {
    phone: Phone,
    sip: UdpSocket,
    media: HashMap<CallId, [UdpSocket; 2]>,
}

/// Every phone of a test.
pub struct Lines {
    lines: Arc<Mutex<Vec<Line>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Default for Lines {
    fn default() -> Self {
        let (lines, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let thread = {
            let (lines, stop) = (Arc::clone(&lines), Arc::clone(&stop));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    lock(&lines).iter_mut().for_each(Line::turn);
                    std::thread::sleep(TURN);
                }
            })
        };
        Self { lines, stop, thread: Some(thread) }
    }
}

impl Lines {
    /// Puts a phone on its socket; the number stands for it from now on.
    pub fn plug(&self, jack: Jack, settings: Settings) -> usize {
        let mut seed = [0; 32];
        seed[..2].copy_from_slice(&jack.address.port().to_le_bytes());
        let mut lines = lock(&self.lines);
        lines.push(Line { phone: Phone::new(settings, seed), sip: jack.socket, media: HashMap::new() });
        lines.len() - 1
    }

    /// Looks at a phone.
    pub fn look<T>(&self, line: usize, what: impl FnOnce(&Phone) -> T) -> T {
        what(&lock(&self.lines)[line].phone)
    }

    /// Does something with a phone.
    pub fn act<T>(&self, line: usize, what: impl FnOnce(&mut Phone, Instant, &mut Vec<Output>) -> T) -> T {
        let mut lines = lock(&self.lines);
        let line = &mut lines[line];
        let mut outputs = Vec::new();
        let result = what(&mut line.phone, Instant::now(), &mut outputs);
        line.carry_out(outputs);
        result
    }

    /// Registers and waits for the registrar's word.
    pub fn register(&self, line: usize) {
        self.act(line, |phone, now, out| phone.register(now, 3600, out));
        until("the phone is registered", Duration::from_secs(5), || self.look(line, Phone::registered) == Some(200));
    }

    /// Its newest call that is in this state.
    pub fn call_in(&self, line: usize, state: State) -> Option<CallId> {
        self.look(line, |phone| phone.calls().rev().find(|call| call.state() == state).map(phone::Call::id))
    }

    /// Its calls that are not over.
    pub fn live(&self, line: usize) -> Vec<CallId> {
        self.look(line, |phone| phone.calls().filter(|c| c.state() != State::Ended).map(phone::Call::id).collect())
    }

    /// Ends every call of every phone.
    pub fn hang_up_all(&self) {
        let lines = lock(&self.lines).len();
        for line in 0..lines {
            for call in self.live(line) {
                self.act(line, |phone, now, out| phone.hang_up(now, call, out));
            }
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(lines: &Mutex<Vec<Line>>) -> MutexGuard<'_, Vec<Line>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Line {
    fn turn(&mut self) {
        let mut buffer = [0; 4096];
        // An error is an ICMP answer to something that was sent: the next read gets what comes after it.
        while let Some((length, from)) = read(&self.sip, &mut buffer) {
            self.drive(Input::Sip { from, data: bytes::Bytes::copy_from_slice(&buffer[..length]) });
        }
        for call in self.media.keys().copied().collect::<Vec<_>>() {
            for (at, kind) in [Kind::Rtp, Kind::Rtcp].into_iter().enumerate() {
                while let Some((length, from)) =
                    self.media.get(&call).and_then(|sockets| read(&sockets[at], &mut buffer))
                {
                    let data = bytes::Bytes::copy_from_slice(&buffer[..length]);
                    self.drive(Input::Media { call, kind, from, data });
                }
            }
        }
        if self.phone.wake_at().is_some_and(|at| at <= Instant::now()) {
            self.drive(Input::Timeout);
        }
    }

    fn drive(&mut self, input: Input) {
        let mut outputs = Vec::new();
        self.phone.drive(Instant::now(), input, &mut outputs);
        self.carry_out(outputs);
    }

    fn carry_out(&mut self, outputs: Vec<Output>) {
        let mut due: VecDeque<Output> = outputs.into();
        while let Some(output) = due.pop_front() {
            match output {
                // A datagram that cannot be sent is a lost one: the phone repeats it.
                Output::Sip { to, data } => drop(self.sip.send_to(&data, to)),
                Output::Media { call, kind, to, data } => {
                    if let Some(sockets) = self.media.get(&call) {
                        let _ = sockets[usize::from(kind == Kind::Rtcp)].send_to(&data, to);
                    }
                }
                Output::OpenMedia { call } => {
                    let sockets = media_pair(self.sip.local_addr().unwrap().ip());
                    let rtp = sockets[0].local_addr().unwrap();
                    self.media.insert(call, sockets);
                    let mut outputs = Vec::new();
                    self.phone.drive(Instant::now(), Input::MediaOpened { call, rtp }, &mut outputs);
                    due.extend(outputs);
                }
                Output::CloseMedia { call } => drop(self.media.remove(&call)),
                Output::Event(_) => {}
            }
        }
    }
}

fn read(socket: &UdpSocket, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
    loop {
        match socket.recv_from(buffer) {
            Ok(got) => return Some(got),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
            Err(_) => return None,
        }
    }
}

/// An even port and the next one.
fn media_pair(ip: IpAddr) -> [UdpSocket; 2] {
    for _ in 0..PORT_TRIES {
        let rtp = UdpSocket::bind((ip, 0)).unwrap();
        let port = rtp.local_addr().unwrap().port();
        if port.is_multiple_of(2)
            && let Ok(rtcp) = UdpSocket::bind((ip, port + 1))
        {
            let sockets = [rtp, rtcp];
            sockets.iter().for_each(|socket| socket.set_nonblocking(true).unwrap());
            return sockets;
        }
    }
    panic!("no pair of media ports");
}
