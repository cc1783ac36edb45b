//! Two layers with a bad network between them: what is lost, doubled and late must not be seen above.

use std::collections::HashSet;

use super::*;

const CALLS: u32 = 300;

/// A message under way, ordered by when it arrives.
type Packet = (Instant, u64, bool, Bytes);

struct Network {
    random: StdRng,
    loss: u32,
    packets: Vec<Packet>,
    sent: u64,
}

impl Network {
    /// Loses, doubles and delays.
    fn carry(&mut self, now: Instant, to_server: bool, data: &Bytes) {
        let copies = if self.chance(10) { 2 } else { 1 };
        for _ in 0..copies {
            if !self.chance(self.loss) {
                let delay = Duration::from_millis(u64::from(self.random.random::<u32>() % 300));
                self.sent += 1;
                self.packets.push((now + delay, self.sent, to_server, data.clone()));
            }
        }
    }
    fn chance(&mut self, percent: u32) -> bool {
        self.random.random::<u32>() % 100 < percent
    }
    fn next(&self) -> Option<Instant> {
        self.packets.iter().map(|packet| packet.0).min()
    }
    fn arrivals(&mut self, now: Instant) -> Vec<Packet> {
        let (mut due, later): (Vec<_>, Vec<_>) = self.packets.drain(..).partition(|packet| packet.0 <= now);
        self.packets = later;
        due.sort_by_key(|packet| (packet.0, packet.1));
        due
    }
}

/// What both users saw.
#[derive(Default)]
struct Seen {
    requests: Vec<String>,
    finals: HashSet<u64>,
    refusals: Vec<u64>,
    timeouts: Vec<u64>,
    acks: HashSet<String>,
    no_acks: usize,
}

struct World {
    network: Network,
    client: Transactions,
    server: Transactions,
    /// Call-ID of each INVITE that the server answered 2xx.
    open: HashMap<String, ServerId>,
    seen: Seen,
    now: Instant,
}

impl World {
    fn new(seed: u8, loss: u32) -> Self {
        let network = Network { random: StdRng::from_seed([seed; 32]), loss, packets: Vec::new(), sent: 0 };
        let layer = |seed| Transactions::new(timing(100_000), [seed; 32]);
        Self {
            network,
            client: layer(seed),
            server: layer(seed + 1),
            open: HashMap::new(),
            seen: Seen::default(),
            now: start(),
        }
    }

    fn call(&mut self, method: &Method, number: u32) -> ClientId {
        let branch = self.client.branch();
        let request = RequestBuilder::new(method, "sip:bob@10.0.0.2")
            .header(HeaderName::Via, &format!("SIP/2.0/UDP 10.0.0.1:5060;branch={branch}"))
            .header(HeaderName::From, "<sip:us@10.0.0.1>;tag=us")
            .header(HeaderName::To, "<sip:bob@10.0.0.2>")
            .header(HeaderName::CallId, &format!("call-{number}-{}", method.as_str()))
            .header(HeaderName::CSeq, &format!("1 {}", method.as_str()))
            .finish();
        let mut steps = Vec::new();
        let id = self.client.request(self.now, peer(), request, &mut steps);
        self.client_steps(steps);
        id
    }

    fn client_steps(&mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Transmit { data, .. } => self.network.carry(self.now, true, &data),
                Step::Happening(Happening::Response { id, message, .. }) => self.answered(id, &message),
                Step::Happening(Happening::StrayOk { message, .. }) => self.acknowledge(&message),
                Step::Happening(Happening::TimedOut { id }) => self.seen.timeouts.push(id.0),
                Step::Happening(other) => panic!("not for a client: {other:?}"),
            }
        }
    }

    fn answered(&mut self, id: ClientId, response: &Message) {
        match response.status() / 100 {
            1 => {}
            2 => {
                self.seen.finals.insert(id.0);
                if response.method() == Method::Invite {
                    self.acknowledge(response);
                }
            }
            _ => self.seen.refusals.push(id.0),
        }
    }

    /// The user's ACK of a 2xx, again for each repetition (RFC 3261 §13.2.2.4).
    fn acknowledge(&mut self, response: &Message) {
        let branch = self.client.branch();
        let ack = incoming("ACK", &branch).call(response.call_id()).to_tag("bob").message();
        self.network.carry(self.now, true, ack.bytes());
    }

    fn server_steps(&mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Transmit { data, .. } => self.network.carry(self.now, false, &data),
                Step::Happening(Happening::Request { id, message, .. }) => self.requested(id, &message),
                Step::Happening(Happening::Ack { message, .. }) => {
                    self.seen.acks.insert(message.call_id().to_owned());
                    if let Some(id) = self.open.get(message.call_id()) {
                        self.server.acknowledged(*id);
                    }
                }
                Step::Happening(Happening::NoAck { .. }) => self.seen.no_acks += 1,
                Step::Happening(other) => panic!("not for a server: {other:?}"),
            }
        }
    }

    /// Every third is refused.
    fn requested(&mut self, id: ServerId, request: &Message) {
        let refused = self.seen.requests.len() % 3 == 2;
        self.seen.requests.push(request.call_id().to_owned());
        let mut steps = Vec::new();
        if request.method() == Method::Invite {
            self.server.respond(self.now, id, answer(request, 180, "bob"), &mut steps);
        }
        self.server.respond(self.now, id, answer(request, if refused { 486 } else { 200 }, "bob"), &mut steps);
        if !refused && request.method() == Method::Invite {
            self.open.insert(request.call_id().to_owned(), id);
        }
        self.server_steps(steps);
    }

    /// Until nothing is under way and no timer runs.
    fn run(&mut self) {
        while let Some(next) =
            [self.network.next(), self.client.wake_at(), self.server.wake_at()].into_iter().flatten().min()
        {
            self.now = self.now.max(next);
            for (_, _, to_server, data) in self.network.arrivals(self.now) {
                let message = Message::parse(data, &Limits::default()).expect("we wrote it");
                let mut steps = Vec::new();
                if to_server {
                    self.server.receive(self.now, peer(), message, &mut steps);
                    self.server_steps(steps);
                } else {
                    self.client.receive(self.now, peer(), message, &mut steps);
                    self.client_steps(steps);
                }
            }
            let (mut client, mut server) = (Vec::new(), Vec::new());
            self.client.wake(self.now, &mut client);
            self.client_steps(client);
            self.server.wake(self.now, &mut server);
            self.server_steps(server);
        }
        assert_eq!((self.client.len(), self.server.len()), (0, 0), "nothing leaks");
    }
}

/// With 30 % loss each way everything still ends well, is told once, and nothing stays.
#[test]
fn loss_doubling_and_delay_are_not_seen_above() {
    for seed in 0..4 {
        let mut world = World::new(seed, 30);
        let mut ids = Vec::new();
        for number in 0..CALLS {
            ids.push(world.call(&Method::Invite, number).0);
            ids.push(world.call(&Method::Options, number).0);
        }
        world.run();
        let Seen { requests, finals, refusals, timeouts, acks, no_acks } = &world.seen;
        let told: HashSet<&String> = requests.iter().collect();
        assert_eq!((told.len(), requests.len()), (ids.len(), ids.len()), "each request reached its user once");
        let ended: HashSet<u64> = finals.iter().chain(refusals).chain(timeouts).copied().collect();
        assert_eq!(ended.len(), ids.len(), "each ended");
        assert_eq!(finals.len() + refusals.len() + timeouts.len(), ids.len(), "in one way");
        assert!(timeouts.len() <= 2, "{} timeouts: ten repetitions are rarely all lost", timeouts.len());
        assert_eq!(acks.len() + no_acks, world.open.len(), "each 2xx was acknowledged or given up");
        assert!(*no_acks <= 1);
    }
}

/// On a dead line everybody gives up, and nothing stays.
#[test]
fn on_a_dead_line_every_request_times_out_once() {
    let mut world = World::new(9, 100);
    let ids: HashSet<u64> = (0..CALLS)
        .map(|number| world.call(if number % 2 == 0 { &Method::Invite } else { &Method::Bye }, number).0)
        .collect();
    world.run();
    assert_eq!(world.seen.timeouts.len(), ids.len());
    assert_eq!(world.seen.timeouts.iter().copied().collect::<HashSet<_>>(), ids);
    assert!(world.seen.requests.is_empty());
}
