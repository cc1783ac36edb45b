//! Sockets and desks without a thread: the test is the clock.

use media::ports::PortNumbers;
use media::{Kind, Sink, StreamId};

use super::super::sockets::Sockets;
use super::*;

/// Each of these with every kind of sockets.
macro_rules! with_each_kind {
    ($($story:ident),* $(,)?) => {
        mod epoll {
            $(#[test] fn $story() { super::$story::<udp::Epoll>(); })*
        }
        mod io_uring {
            $(#[test] fn $story() { if super::has_io_uring() { super::$story::<udp::Uring>(); } })*
        }
    };
}

with_each_kind!(
    a_known_source_is_alone_with_the_socket_until_it_rests,
    a_socket_that_would_have_another_address_stays_unconnected,
    what_rests_is_given_up_when_descriptors_run_out,
    rtcp_sockets_that_mux_made_idle_are_given_up_and_come_back,
    a_pair_moves_to_another_thread_with_what_waits_in_it,
    what_waited_too_long_is_thrown_away,
    stopped_time_is_no_time,
);

fn sockets<I: Io>(ports: (u16, u16), room: Room, binding: Binding) -> Sockets<I> {
    let now = Instant::now();
    let numbers = PortNumbers::new(ports.0, ports.1, Duration::from_secs(5), [7; 32]);
    let mut sockets = Sockets::new(I::new().unwrap(), binding, BrowserSockets::default(), room, numbers, now);
    sockets.refill();
    sockets
}

impl<I: Io> Sockets<I> {
    /// The pairs that the engine was told of.
    fn told(&mut self) -> Vec<Port> {
        let ports = self.told.drain(..).map(|told| match told {
            FromShard::Event(Event::PortReady { port, .. }) => port,
            other => panic!("{other:?}"),
        });
        ports.collect()
    }

    /// What is heard within a moment: loopback delivers at once.
    fn heard(&mut self) -> Vec<SocketAddr> {
        let mut buffer = [0; 2048];
        self.io.wait(Duration::from_millis(20)).unwrap();
        std::iter::from_fn(|| self.receive(&mut buffer)).map(|received| received.from).collect()
    }

    fn later(&mut self, by: Duration) {
        self.now += by;
        self.refill();
    }
}

const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const ROOM: Room = Room { ready: 1, kept: 64, descriptors: 1000 };

fn a_known_source_is_alone_with_the_socket_until_it_rests<I: Io>() {
    let mut sockets = sockets::<I>(range(1), ROOM, binding(LOOPBACK));
    let port = sockets.told()[0];
    let addr = SocketAddr::new(LOOPBACK, port.0);
    let (known, stranger) = (phone(), phone());
    let known_addr = known.local_addr().unwrap();
    sockets.taken();
    stranger.send_to(b"early", addr).unwrap();
    assert_eq!(sockets.heard(), [stranger.local_addr().unwrap()], "while learning everybody is heard");
    sockets.connect(port, Kind::Rtp, Some(known_addr));
    stranger.send_to(b"injected", addr).unwrap();
    known.send_to(b"voice", addr).unwrap();
    assert_eq!(sockets.heard(), [known_addr]);
    sockets.connect(port, Kind::Rtp, None);
    stranger.send_to(b"new source", addr).unwrap();
    assert_eq!(sockets.heard(), [stranger.local_addr().unwrap()], "a new description learns anew");

    sockets.connect(port, Kind::Rtp, Some(known_addr));
    sockets.release(port);
    known.send_to(b"goes on", addr).unwrap();
    assert_eq!((sockets.heard(), sockets.counters().late), (vec![], 1));
    // It arrives after the last look and before the pair is given out.
    known.send_to(b"later still", addr).unwrap();
    sockets.later(Duration::from_secs(5));
    assert_eq!((sockets.told(), sockets.counters().late), (vec![port], 2));
    stranger.send_to(b"next call", addr).unwrap();
    assert_eq!(sockets.heard(), [stranger.local_addr().unwrap()], "the next call begins with learning");
    assert_eq!((sockets.counters().connected, sockets.counters().reused), (2, 1));
}

fn a_socket_that_would_have_another_address_stays_unconnected<I: Io>() {
    let any = IpAddr::from([0, 0, 0, 0]);
    let mut sockets = sockets::<I>(range(1), ROOM, Binding { own: vec![IpAddr::from([192, 0, 2, 7])], ..binding(any) });
    let port = sockets.told()[0];
    let (known, stranger) = (phone(), phone());
    sockets.connect(port, Kind::Rtp, Some(known.local_addr().unwrap()));
    stranger.send_to(b"heard", (LOOPBACK, port.0)).unwrap();
    assert_eq!(sockets.heard(), [stranger.local_addr().unwrap()]);
    assert_eq!((sockets.counters().connected, sockets.counters().connect_unfit), (0, 1));

    let mut never = self::sockets::<I>(range(1), ROOM, Binding { connect: false, ..binding(LOOPBACK) });
    let port = never.told()[0];
    never.connect(port, Kind::Rtp, Some(known.local_addr().unwrap()));
    stranger.send_to(b"heard", (LOOPBACK, port.0)).unwrap();
    assert_eq!(never.heard(), [stranger.local_addr().unwrap()]);
}

fn what_rests_is_given_up_when_descriptors_run_out<I: Io>() {
    let room = Room { ready: 3, kept: 64, descriptors: 5 };
    let mut sockets = sockets::<I>(range(8), room, binding(LOOPBACK));
    let first = sockets.told();
    assert_eq!(
        (first.len(), sockets.counters().no_descriptors, sockets.open()),
        (2, 1, 4),
        "four of five are two pairs"
    );
    sockets.later(Duration::from_secs(1));
    assert_eq!(sockets.told(), [], "there is no room yet");
    sockets.taken();
    sockets.release(first[0]);
    sockets.later(Duration::from_secs(1));
    let next = sockets.told();
    assert!(next.len() == 1 && next[0] != first[0], "another number, for the first one rests: {next:?}");
    UdpSocket::bind((LOOPBACK, first[0].0)).expect("it rests without its sockets");
    assert_eq!(sockets.open(), 4);
    sockets.later(Duration::from_secs(60));
    assert_eq!(sockets.counters().bound, 3, "nothing was bound and closed in vain");
}

fn rtcp_sockets_that_mux_made_idle_are_given_up_and_come_back<I: Io>() {
    let room = Room { ready: 1, kept: 64, descriptors: 3 };
    let mut sockets = sockets::<I>(range(4), room, binding(LOOPBACK));
    let port = sockets.told()[0];
    sockets.taken();
    sockets.muxed(port, true);
    sockets.later(Duration::from_secs(1));
    let other = sockets.told()[0];
    assert_eq!((sockets.counters().muxed_away, sockets.open()), (1, 3));
    let rtcp = SocketAddr::new(LOOPBACK, port.0 + 1);
    drop(UdpSocket::bind(rtcp).expect("the RTCP socket is closed"));
    sockets.taken();
    sockets.release(other);
    sockets.muxed(port, false);
    UdpSocket::bind(rtcp).expect_err("a description without rtcp-mux binds it again");
    phone().send_to(b"report", rtcp).unwrap();
    assert_eq!(sockets.heard().len(), 1);
    sockets.muxed(port, true);
    sockets.release(port);
    sockets.later(Duration::from_secs(5));
    assert_eq!(sockets.told().len(), 1, "and a pair is given out whole");
}

fn a_pair_moves_to_another_thread_with_what_waits_in_it<I: Io>() {
    let (layout, ports) = (Layout { first: 0, shards: 2 }, range(2));
    let layout = Layout { first: ports.0, ..layout };
    let of_shard = |shard| {
        let now = Instant::now();
        let numbers = PortNumbers::of_shard(layout, shard, ports.1, Duration::from_secs(5), [7; 32]);
        let mut sockets =
            Sockets::<I>::new(I::new().unwrap(), binding(LOOPBACK), BrowserSockets::default(), ROOM, numbers, now);
        sockets.refill();
        sockets
    };
    let (mut home, mut away) = (of_shard(0), of_shard(1));
    let port = home.told()[0];
    assert_eq!(away.told().len(), 1);
    home.taken();
    let addr = SocketAddr::new(LOOPBACK, port.0);
    let (known, stranger) = (phone(), phone());
    let known_addr = known.local_addr().unwrap();
    home.connect(port, Kind::Rtp, Some(known_addr));
    known.send_to(b"on its way", addr).unwrap();
    let packed = home.pack(port);
    assert_eq!((home.open(), home.heard()), (0, vec![]));
    away.unpack(packed);
    assert_eq!(away.heard(), [known_addr]);
    stranger.send_to(b"injected", addr).unwrap();
    known.send_to(b"goes on", addr).unwrap();
    assert_eq!(away.heard(), [known_addr], "it is still connected");

    away.release(port);
    let told: Vec<_> = away.told.drain(..).collect();
    assert!(matches!(told[..], [FromShard::Released(back)] if back == port), "{told:?}");
    drop(UdpSocket::bind(addr).expect("a guest's sockets are closed"));
    home.returned(port);
    home.later(Duration::from_secs(4));
    assert_eq!(home.told(), [], "it rests at home");
    home.later(Duration::from_secs(1));
    assert_eq!(home.told(), [port]);
}

fn desk<I: Io>(setup: Setup) -> (desk::Desk<I>, SyncSender<ToShard<Luggage>>, mpsc::Receiver<FromThread>) {
    let (commands, receiver) = sync_channel(16);
    let (sender, events) = mpsc::channel(64);
    (desk::Desk::new(I::new().unwrap(), setup, receiver, sender, Arc::default()), commands, events)
}

/// A desk with a call between two phones.
struct Call<I> {
    clock: Clock,
    desk: desk::Desk<I>,
    _commands: SyncSender<ToShard<Luggage>>,
    events: mpsc::Receiver<FromThread>,
    phones: [UdpSocket; 2],
    addrs: [SocketAddr; 2],
}

fn call<I: Io>() -> Call<I> {
    let setup = set_up(range(4), 2, Duration::ZERO);
    let clock = setup.clock.clone();
    let (mut desk, commands, mut events) = desk::<I>(setup);
    desk.turn().ok().unwrap();
    let mut ready = || match event(events.try_recv().unwrap()) {
        Event::PortReady { port, addr, .. } => (port, addr),
        other => panic!("{other:?}"),
    };
    let (a, b) = (ready(), ready());
    let phones = [phone(), phone()];
    let order = |command| commands.send(ToShard::Command(command)).unwrap();
    for (id, port, phone) in [(1, a.0, &phones[0]), (2, b.0, &phones[1])] {
        order(Command::Open { stream: StreamId(id), port });
        order(Command::Describe { stream: StreamId(id), remote: remote(phone) });
    }
    order(Command::Bridge { a: StreamId(1), b: StreamId(2) });
    Call { clock, desk, _commands: commands, events, phones, addrs: [a.1, b.1] }
}

fn what_waited_too_long_is_thrown_away<I: Io>() {
    let mut call = call::<I>();
    call.desk.turn().ok().unwrap();
    for sequence in 0..MANY {
        call.phones[0].send_to(&packet(sequence), call.addrs[0]).unwrap();
    }
    call.desk.stop_for(Duration::from_secs(10));
    // The engine's thread is the first to notice, and takes that time out of the clock.
    assert!(call.clock.ran(Instant::now()).is_some());
    call.desk.turn().ok().unwrap();
    let fresh = packet(MANY);
    call.phones[0].send_to(&fresh, call.addrs[0]).unwrap();
    call.desk.turn().ok().unwrap();
    // Some kinds send when they wait next.
    call.desk.turn().ok().unwrap();
    let mut buffer = [0; 2048];
    let (length, _) = call.phones[1].recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], fresh, "only what is fresh is heard");
    assert_eq!(call.desk.stale(), u64::from(MANY));
}

fn stopped_time_is_no_time<I: Io>() {
    let mut call = call::<I>();
    call.desk.turn().ok().unwrap();
    call.phones[0].send_to(&packet(1), call.addrs[0]).unwrap();
    call.desk.turn().ok().unwrap();
    call.desk.stop_for(Duration::from_secs(3600));
    call.desk.turn().ok().unwrap();
    for _ in 0..20 {
        call.desk.turn().ok().unwrap();
    }
    let ended =
        std::iter::from_fn(|| call.events.try_recv().ok()).map(event).find(|event| matches!(event, Event::Dead { .. }));
    assert_eq!(ended, None, "nobody was silent for an hour");
}
