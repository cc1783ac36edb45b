//! Looks at the datagrams that come next, and has fetched what they will need: `media::Shard` names it, `udp` fetches it.

use media::{Fetch, Kind, Port, Shard, Step};
use udp::Io;

use super::browser_sockets::BROWSERS;
use super::sockets::{Sockets, key};

/// The steps, and how many datagrams before its own turn each is asked for. Two of them take as long as memory does.
const STEPS: [(Step, usize); 5] = [(Step::Owner, 9), (Step::Leg, 7), (Step::Way, 5), (Step::Open, 3), (Step::Seal, 1)];

/// Before the first of a turn: what the steps would have done by now.
pub(super) fn first<I: Io>(shard: &Shard, sockets: &Sockets<I>) {
    for (step, before) in STEPS {
        (0..before).for_each(|n| look(shard, sockets, step, n));
    }
}

/// Before each.
#[inline]
pub(super) fn next<I: Io>(shard: &Shard, sockets: &Sockets<I>) {
    STEPS.iter().for_each(|(step, before)| look(shard, sockets, *step, *before));
}

#[inline]
fn look<I: Io>(shard: &Shard, sockets: &Sockets<I>, step: Step, n: usize) {
    // RTCP is rare, and so are browsers.
    let is_rtp = |socket: &u32| socket.is_multiple_of(2) && *socket != BROWSERS;
    let Some(socket) = sockets.io.ahead(n).filter(is_rtp) else { return };
    let Ok(port) = u16::try_from(socket).map(Port) else { return };
    shard.ahead(port, step, &mut Near(sockets));
    if step == Step::Owner {
        sockets.fetch_pair(port);
    }
}

struct Near<'a, I>(&'a Sockets<I>);

impl<I: Io> Fetch for Near<'_, I> {
    fn fetch<T: ?Sized>(&mut self, what: &T, bytes: usize) {
        udp::prefetch(what, bytes);
    }

    fn fetch_way_out(&mut self, port: Port, kind: Kind) {
        self.0.io.prepare(key(port, kind));
    }
}
