//! A corpus of our own against the real binary: each case gets what it must, and after each the engine answers at once. At the
//! end no memory, no descriptor and no call is missing, and the log is whole.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use phone::{Kind, OnCall};

use medlytt_stories::rig::engine::{Engine, Setup, until};
use medlytt_stories::rig::hostile::{self, Case, Expect};
use medlytt_stories::rig::noise::Noise;
use medlytt_stories::rig::scene::Scene;

/// The longest that an OPTIONS may wait for its answer, whatever came before it.
const PROBE: Duration = Duration::from_millis(500);
/// How much memory all of it may cost.
const MEMORY_KB: u64 = 32 * 1024;
/// How long a case may take to be answered; what is not answered by then is silence.
const ANSWER: Duration = Duration::from_millis(60);
/// Spoilt messages and packets on top of the corpus.
const MUTATIONS: usize = 1_500;
/// Descriptors that may come and go: connections of the API.
const SPARE_DESCRIPTORS: usize = 8;

/// Media sockets that are open: used ones stay bound for a while, within a limit of their own.
const MEDIA_SOCKETS: &str = "medlytt_media_sockets";

/// Open descriptors but for those sockets.
fn besides_media(engine: &Engine) -> usize {
    engine.descriptors().saturating_sub(usize::try_from(engine.figure(MEDIA_SOCKETS)).unwrap_or(usize::MAX))
}

/// What the engine was like before.
pub(super) struct Health {
    probe: UdpSocket,
    count: u32,
    pub(super) slowest: Duration,
    resident_kb: u64,
    descriptors: usize,
}

impl Health {
    pub(super) fn of(engine: &Engine) -> Self {
        let probe = UdpSocket::bind("127.0.0.9:0").expect("a loopback address");
        probe.set_read_timeout(Some(PROBE)).expect("a time");
        probe.connect(&engine.sip).expect("an address");
        until("the media sockets are counted", Duration::from_secs(5), || engine.figure(MEDIA_SOCKETS) > 0);
        let (resident_kb, descriptors) = (engine.resident_kb(), besides_media(engine));
        Self { probe, count: 0, slowest: Duration::ZERO, resident_kb, descriptors }
    }

    /// OPTIONS is answered.
    pub(super) fn assert_alive(&mut self, after: &str) {
        self.count += 1;
        let id = format!("probe{}", self.count);
        let port = self.probe.local_addr().expect("it is bound").port();
        let options = hostile::request("OPTIONS", &id, port, "", "").replace("127.0.0.2", "127.0.0.9");
        let sent = Instant::now();
        self.probe.send(options.as_bytes()).expect("it can be sent");
        let mut buffer = [0; 4096];
        loop {
            let length =
                self.probe.recv(&mut buffer).unwrap_or_else(|error| panic!("no answer after {after}: {error}"));
            if String::from_utf8_lossy(&buffer[..length]).contains(&id) {
                break;
            }
        }
        self.slowest = self.slowest.max(sent.elapsed());
        assert!(sent.elapsed() < PROBE, "{:?} after {after}", sent.elapsed());
    }

    /// Nothing leaked, and the log is what it should be.
    pub(super) fn assert_whole(&self, engine: &Engine) {
        let grown = engine.resident_kb().saturating_sub(self.resident_kb);
        println!("{} probes, the slowest {:?}; memory grew by {grown} kB", self.count, self.slowest);
        assert!(grown <= MEMORY_KB, "memory grew by {grown} kB");
        until("descriptors are back", Duration::from_secs(40), || {
            besides_media(engine) <= self.descriptors + SPARE_DESCRIPTORS
        });
        let log = engine.log();
        assert!(!log.contains("panicked at"), "a panic in the log");
        for line in log.lines() {
            assert!(line.starts_with('{') && line.ends_with('}'), "a log line of its own making: {line:?}");
            assert!(!line.chars().any(char::is_control), "a control character in the log: {line:?}");
        }
    }
}

/// The final answers and further messages that came back for one case.
fn answers(socket: &UdpSocket) -> Vec<u16> {
    let (mut statuses, mut buffer, end) = (Vec::new(), [0; 65_535], Instant::now() + ANSWER);
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        socket.set_read_timeout(Some(left)).expect("a time");
        let Ok(length) = socket.recv(&mut buffer) else { break };
        let text = String::from_utf8_lossy(&buffer[..length]);
        let status = text.strip_prefix("SIP/2.0 ").and_then(|t| t.get(..3)?.parse().ok()).unwrap_or(999);
        statuses.push(status);
        if status >= 200 {
            break;
        }
    }
    statuses
}

fn judge(class: &str, case: &Case, statuses: &[u16]) -> Option<String> {
    let last = statuses.iter().copied().find(|status| *status >= 200);
    let fits = match case.expect {
        Expect::Silence => statuses.is_empty(),
        Expect::Answer(allowed) => last.is_some_and(|status| allowed.contains(&status)),
        Expect::Anything => true,
    };
    (!fits).then(|| format!("{class} {}: {statuses:?}, wanted {:?}", case.name, case.expect))
}

#[test]
fn messages_and_descriptions_get_what_they_must() {
    let scene = Scene::new("hostile-sip", &Setup::default());
    scene.agent_does(OnCall::Reject { status: 486 });
    let mut health = Health::of(&scene.engine);
    let mut wrong = Vec::new();
    let socket = || {
        let socket = UdpSocket::bind("127.0.0.2:0").expect("a loopback address");
        socket.connect(&scene.engine.sip).expect("an address");
        let port = socket.local_addr().expect("it is bound").port();
        (socket, port)
    };
    let count = hostile::sip(0).len();
    for n in 0..count {
        // A socket each: nobody else's repeated answer is taken for this one's.
        let (socket, port) = socket();
        let case = hostile::sip(port).swap_remove(n);
        socket.send(&case.bytes).expect("it can be sent");
        wrong.extend(judge("sip", &case, &answers(&socket)));
        health.assert_alive(&case.name);
    }
    for (n, case) in hostile::sdp().into_iter().enumerate() {
        let (socket, port) = socket();
        let body = String::from_utf8(case.bytes.clone()).expect("text");
        let invite = hostile::request("INVITE", &format!("d{n}"), port, "Content-Type: application/sdp\r\n", &body);
        socket.send(invite.as_bytes()).expect("it can be sent");
        wrong.extend(judge("sdp", &case, &answers(&socket)));
        health.assert_alive(&case.name);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");

    let (mut noise, (known, _), stranger) =
        (Noise::new(3), socket(), UdpSocket::bind("127.0.0.9:0").expect("loopback"));
    for n in 0..MUTATIONS {
        let packet = if n % 8 == 0 { noise.bytes(1_400) } else { noise.spoilt_sip() };
        let sent = if n % 2 == 0 { known.send(&packet) } else { stranger.send_to(&packet, &scene.engine.sip) };
        sent.expect("it can be sent");
        if n % 50 == 0 {
            health.assert_alive(&format!("mutation {n}"));
        }
    }
    health.assert_alive("the mutations");
    scene.agent_does(OnCall::Answer { after: Duration::from_millis(20) });
    scene.call();
    scene.lines.hang_up_all();
    health.assert_whole(&scene.engine);
}

#[test]
fn packets_on_media_ports_change_nothing() {
    let scene = Scene::new("hostile-media", &Setup::default());
    let mut health = Health::of(&scene.engine);
    let call = scene.monitored_call();
    let ports = scene.media_addresses(&call);
    let stranger = UdpSocket::bind("127.0.0.9:0").expect("loopback");
    stranger.set_nonblocking(true).expect("a mode");
    let parties = [(scene.platform, call.caller), (scene.agent, call.agent), (scene.listener, call.listener)];
    let from = Instant::now();
    let mut noise = Noise::new(5);
    let mut cases = hostile::media();
    cases.extend((0..MUTATIONS / 3).map(|n| Case {
        name: format!("mutation {n}"),
        bytes: noise.media(),
        expect: Expect::Silence,
    }));
    for (n, case) in cases.iter().enumerate() {
        for port in &ports {
            let _ = stranger.send_to(&case.bytes, port);
        }
        // What the parties' own phones might send. Not their streams: those are right, and are what is listened to.
        for (line, id) in parties {
            let kind = if n % 2 == 0 { Kind::Rtcp } else { Kind::Rtp };
            let own_stream = case.bytes.first().is_some_and(|first| first >> 6 == 2) && kind == Kind::Rtp;
            if !own_stream {
                let data = bytes::Bytes::copy_from_slice(&case.bytes);
                scene.lines.act(line, |phone, _, out| phone.inject(id, kind, data, out));
            }
        }
        if n % 10 == 0 {
            health.assert_alive(&case.name);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let heard = scene.assert_heard(&call, from, Instant::now());
    for (who, quality) in ["caller", "agent", "listener"].into_iter().zip(heard) {
        println!("{who}: {quality:?}");
        assert!(quality.lost * 100 <= quality.packets, "the {who} lost packets: {quality:?}");
    }
    let mut buffer = [0; 2048];
    assert!(stranger.recv_from(&mut buffer).is_err(), "a stranger on a media port gets nothing back");
    scene.hang_up(&call);
    health.assert_whole(&scene.engine);
}
