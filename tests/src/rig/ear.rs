//! A listener's phone of the tests' own: rings, answers `recvonly`, records what it hears. One SIP socket, any number of
//! calls, one RTP socket each.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::tone;

/// One call that came in.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Request-URI of the INVITE.
    pub uri: String,
    /// From header.
    pub from: String,
    /// Direction attribute of the offer.
    pub offered: String,
    /// Decoded audio, 8 kHz.
    pub samples: Vec<i16>,
    /// RTP packets.
    pub packets: usize,
    /// From our 200 OK to the first RTP packet.
    pub first_packet_after: Option<Duration>,
    /// Ended by BYE or CANCEL.
    pub ended: bool,
}

impl Heard {
    /// Whether a tone is in what was heard.
    pub fn hears(&self, hz: f64) -> bool {
        tone::share(&self.samples, hz, 8000.0) > 0.1
    }
}

struct Call {
    heard: Heard,
    rtp: UdpSocket,
    answered: Instant,
    ok: String,
}

/// The phone. It runs on a thread of its own until dropped.
pub struct Ear {
    pub address: SocketAddr,
    calls: Arc<Mutex<HashMap<String, Call>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ear {
    pub fn start(ip: &str) -> Self {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        let address = socket.local_addr().unwrap();
        let (calls, stop) = (Arc::new(Mutex::new(HashMap::new())), Arc::new(AtomicBool::new(false)));
        let thread = {
            let (calls, stop) = (calls.clone(), stop.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let mut buffer = [0; 4096];
                    if let Ok((length, source)) = socket.recv_from(&mut buffer) {
                        sip(&socket, source, &String::from_utf8_lossy(&buffer[..length]), &mut calls.lock().unwrap());
                    }
                    calls.lock().unwrap().values_mut().for_each(Call::listen);
                }
            })
        };
        Self { address, calls, stop, thread: Some(thread) }
    }

    /// Every call so far.
    pub fn calls(&self) -> Vec<Heard> {
        self.calls.lock().unwrap().values().map(|c| c.heard.clone()).collect()
    }

    /// How many of them have ended.
    pub fn ended(&self) -> usize {
        self.calls.lock().unwrap().values().filter(|c| c.heard.ended).count()
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Call {
    fn listen(&mut self) {
        let mut packet = [0; 2048];
        while let Ok(length) = self.rtp.recv(&mut packet) {
            if length < 12 || packet[0] >> 6 != 2 {
                continue;
            }
            self.heard.packets += 1;
            self.heard.first_packet_after.get_or_insert_with(|| self.answered.elapsed());
            let decode = if packet[1] & 0x7F == 8 { tone::from_alaw } else { tone::from_ulaw };
            self.heard.samples.extend(packet[12..length].iter().map(|b| decode(*b)));
        }
    }
}

fn header<'a>(message: &'a str, name: &str) -> &'a str {
    message.lines().find_map(|l| l.strip_prefix(name).and_then(|l| l.strip_prefix(':'))).unwrap_or("").trim()
}

fn response(request: &str, status: &str, extra: &str, body: &str) -> String {
    let mut out = format!("SIP/2.0 {status}\r\n");
    for line in request.lines().take_while(|l| !l.is_empty()) {
        let copied = ["Via:", "From:", "Call-ID:", "CSeq:"].iter().any(|n| line.starts_with(n));
        if copied || (line.starts_with("To:") && line.contains("tag=")) {
            out += &format!("{line}\r\n");
        } else if line.starts_with("To:") {
            out += &format!("{line};tag=ear\r\n");
        }
    }
    out + &format!("{extra}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn sip(socket: &UdpSocket, source: SocketAddr, message: &str, calls: &mut HashMap<String, Call>) {
    let id = header(message, "Call-ID").to_owned();
    let method = message.split(' ').next().unwrap_or("");
    let send = |text: &str| drop(socket.send_to(text.as_bytes(), source));
    match method {
        "INVITE" if calls.contains_key(&id) => send(&calls[&id].ok.clone()),
        "INVITE" => {
            let (call, ringing) = answer(socket, message);
            send(&ringing);
            send(&call.ok);
            calls.insert(id, call);
        }
        "BYE" | "CANCEL" => {
            send(&response(message, "200 OK", "", ""));
            if let Some(call) = calls.get_mut(&id) {
                call.heard.ended = true;
            }
        }
        "ACK" | "" => {}
        _ if message.starts_with("SIP/2.0") => {}
        _ => send(&response(message, "200 OK", "", "")),
    }
}

fn answer(socket: &UdpSocket, invite: &str) -> (Call, String) {
    let ip = socket.local_addr().unwrap().ip();
    let rtp = UdpSocket::bind((ip, 0)).unwrap();
    rtp.set_nonblocking(true).unwrap();
    let port = rtp.local_addr().unwrap().port();
    let pt = if invite
        .split("m=audio")
        .nth(1)
        .is_some_and(|m| m.lines().next().unwrap_or("").split(' ').any(|p| p == "8"))
    {
        8
    } else {
        0
    };
    let body = format!(
        "v=0\r\no=ear 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP {pt}\r\na=recvonly\r\n"
    );
    let contact = format!("Contact: <sip:ear@{}>\r\n", socket.local_addr().unwrap());
    let ok = response(invite, "200 OK", &format!("{contact}Content-Type: application/sdp\r\n"), &body);
    let offered = ["sendrecv", "sendonly", "recvonly", "inactive"]
        .into_iter()
        .find(|d| invite.contains(&format!("a={d}")))
        .unwrap_or("sendrecv");
    let heard = Heard {
        uri: invite.split(' ').nth(1).unwrap_or("").to_owned(),
        from: header(invite, "From").to_owned(),
        offered: offered.to_owned(),
        samples: Vec::new(),
        packets: 0,
        first_packet_after: None,
        ended: false,
    };
    (Call { heard, rtp, answered: Instant::now(), ok }, response(invite, "180 Ringing", &contact, ""))
}
