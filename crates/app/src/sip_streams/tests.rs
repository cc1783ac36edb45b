use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream as Peer};

use super::*;

const LIMIT: Duration = Duration::from_secs(10);

struct Bench {
    runtime: tokio::runtime::Runtime,
    streams: SipStreams,
}

impl Bench {
    fn new(connections_max: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listeners = bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let streams = runtime.block_on(async { SipStreams::new(listeners, connections_max).unwrap() });
        Self { runtime, streams }
    }

    fn addr(&self) -> SocketAddr {
        self.streams.bound()[0]
    }

    fn peer(&self) -> Peer {
        let peer = Peer::connect(self.addr()).unwrap();
        peer.set_read_timeout(Some(LIMIT)).unwrap();
        peer
    }

    /// The next thing that the engine would hear.
    fn hear(&mut self) -> Heard {
        let mut heard = Vec::new();
        let streams = &mut self.streams;
        self.runtime.block_on(async {
            tokio::time::timeout(LIMIT, streams.readable()).await.expect("something is heard");
            let told = streams.first.take().unwrap();
            streams.hear(told, &mut |one| heard.push(one));
        });
        heard.pop().expect("it is for the engine")
    }

    fn connect(&mut self, flow: Flow) -> bool {
        let _inside = self.runtime.enter();
        self.streams.connect(flow)
    }

    fn opened(&mut self) -> Flow {
        match self.hear() {
            Heard::Opened(flow) => flow,
            other => panic!("{other:?}"),
        }
    }

    /// Lets the connections go on until `check` says that it is enough.
    fn until(&mut self, what: &str, mut check: impl FnMut(&mut SipStreams) -> bool) {
        let streams = &mut self.streams;
        self.runtime.block_on(async {
            let waiting = async {
                while !check(streams) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(LIMIT, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
        });
    }
}

#[test]
fn bytes_come_and_go_and_the_last_answer_arrives() {
    let mut bench = Bench::new(10);
    let mut peer = bench.peer();
    let flow = bench.opened();
    assert_eq!((flow.local, flow.remote), (bench.addr(), peer.local_addr().unwrap()));
    peer.write_all(b"hello").unwrap();
    assert_eq!(bench.hear(), Heard::Bytes(flow, Bytes::from_static(b"hello")));
    // More comes than is read; what is sent before the end arrives all the same.
    peer.write_all(&[b'x'; 100_000]).unwrap();
    assert!(bench.streams.send(flow, Bytes::from_static(b"no")));
    bench.streams.close(flow);
    assert!(!bench.streams.send(flow, Bytes::from_static(b"later")));
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        peer.read_to_string(&mut text).map(|_| text)
    });
    bench.until("the peer sees the end", |_| reader.is_finished());
    assert_eq!(reader.join().unwrap().unwrap(), "no");
    bench.until("the socket is gone", |streams| streams.figures().open == 0);
}

#[test]
fn the_end_of_a_peer_is_heard_once() {
    let mut bench = Bench::new(10);
    for reset in [false, true] {
        let peer = bench.peer();
        let flow = bench.opened();
        if reset {
            SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
        }
        drop(peer);
        assert_eq!(bench.hear(), Heard::Closed(flow));
        bench.streams.forget_ended();
        assert!(!bench.streams.send(flow, Bytes::from_static(b"x")));
    }
    bench.until("every socket is gone", |streams| streams.figures().open == 0);
    assert!(bench.streams.writers.is_empty());
}

#[test]
fn who_only_stops_speaking_still_gets_the_answer() {
    let mut bench = Bench::new(10);
    let mut peer = bench.peer();
    let flow = bench.opened();
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(bench.hear(), Heard::Closed(flow));
    assert!(bench.streams.send(flow, Bytes::from_static(b"answer")));
    bench.streams.forget_ended();
    bench.until("it was sent", |streams| streams.figures().open == 0);
    let mut text = String::new();
    peer.read_to_string(&mut text).unwrap();
    assert_eq!(text, "answer");
}

#[test]
fn a_connection_is_opened_and_carries_what_waited() {
    let mut bench = Bench::new(10);
    let there = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let flow = Flow { transport: Transport::Tcp, local: bench.addr(), remote: there.local_addr().unwrap() };
    assert!(bench.connect(flow));
    assert!(bench.streams.send(flow, Bytes::from_static(b"waited")));
    assert_eq!(bench.hear(), Heard::Opened(flow));
    let (mut peer, from) = there.accept().unwrap();
    assert_eq!(from.ip(), flow.local.ip());
    bench.until("it was sent", |streams| streams.figures().bytes_sent == 6);
    let mut buffer = [0; 6];
    peer.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"waited");
    peer.write_all(b"back").unwrap();
    assert_eq!(bench.hear(), Heard::Bytes(flow, Bytes::from_static(b"back")));
}

#[test]
fn a_connection_that_is_refused_is_told() {
    let mut bench = Bench::new(10);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let flow = Flow { transport: Transport::Tcp, local: bench.addr(), remote: nobody };
    assert!(bench.connect(flow));
    assert_eq!(bench.hear(), Heard::Closed(flow));
    bench.streams.forget_ended();
    assert_eq!(bench.streams.figures().open, 0);
}

#[test]
fn the_last_words_of_the_process_leave() {
    let mut bench = Bench::new(10);
    let mut peer = bench.peer();
    let flow = bench.opened();
    assert!(bench.streams.send(flow, Bytes::from_static(b"BYE")));
    let Bench { runtime, streams } = bench;
    runtime.block_on(streams.flush(LIMIT));
    drop((streams, runtime));
    let mut text = String::new();
    peer.read_to_string(&mut text).unwrap();
    assert_eq!(text, "BYE");
}

#[test]
fn who_never_reads_is_given_up() {
    let mut bench = Bench::new(10);
    let peer = bench.peer();
    let flow = bench.opened();
    let message = Bytes::from(vec![b'm'; 1000]);
    let mut taken = 0;
    bench.until("the queue is full", |streams| {
        while streams.send(flow, message.clone()) {
            taken += 1;
            if taken % 100 == 0 {
                return false; // the connection has its turn
            }
        }
        true
    });
    assert!(taken < 10_000, "what waits has an end: {taken}");
    assert_eq!(bench.streams.figures().queues_full, 1);
    bench.until("its socket is gone at once", |streams| streams.figures().open == 0);
    drop(peer);
}

#[test]
fn above_the_hard_limit_nobody_is_heard() {
    let mut bench = Bench::new(0);
    let peers: Vec<Peer> = (0..SPARE_SOCKETS + 3).map(|_| bench.peer()).collect();
    for _ in 0..SPARE_SOCKETS {
        bench.opened();
    }
    bench.until("three are refused", |streams| streams.figures().accepts_refused == 3);
    let flow = Flow { transport: Transport::Tcp, local: bench.addr(), remote: "127.0.0.1:9".parse().unwrap() };
    assert!(!bench.connect(flow), "and nobody is connected to");
    drop(peers);
}

#[test]
fn a_busy_engine_slows_its_peers_down() {
    let mut bench = Bench::new(10);
    let peer = bench.peer();
    let flow = bench.opened();
    peer.set_nonblocking(true).unwrap();
    let mut written = 0;
    let (data, mut stalls) = ([b'x'; 16 * 1024], 0);
    bench.until("the peer has to wait", |_| {
        match (&peer).write(&data) {
            Ok(length) => {
                written += length;
                stalls = 0;
            }
            Err(_) => stalls += 1,
        }
        stalls > 20
    });
    assert!(written < 32 * 1024 * 1024, "{written}");
    let mut read = 0;
    bench.until("all of it comes", |streams| {
        streams.receive(|heard| match heard {
            Heard::Bytes(from, data) if from == flow => read += data.len(),
            other => panic!("{other:?}"),
        });
        read == written
    });
}
