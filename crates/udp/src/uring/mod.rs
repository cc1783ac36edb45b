//! io_uring: receives that stay armed, buffers that the kernel picks from, and one entering a turn.

mod buffers;
mod outbox;
mod probe;
mod sockets;
mod tag;

use std::cell::UnsafeCell;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, opcode, squeue};

use self::buffers::{Buffers, GROUP};
use self::outbox::Outbox;
pub use self::probe::Unavailable;
use self::sockets::Sockets;
use self::tag::{Kind, Tag};
use crate::name::Name;
use crate::nap::LONGEST_WAIT;
use crate::socket::Bound;
use crate::{Counters, Detached, Io, Key, LONGEST, Options, Received, Waker};

/// How much a ring holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Requests that wait for the next entering.
    pub(crate) requests: u32,
    /// Completions: those of all buffers, and of a turn's failed sends. The kernel keeps what is beyond.
    pub(crate) completions: u32,
    /// Datagrams that the kernel may hand out before the first is read. A power of two.
    pub(crate) buffers: u16,
}

const SIZES: Sizes = Sizes { requests: 256, completions: 4096, buffers: 1024 };
/// Enterings that one request's end is waited for, and how long each.
const PATIENCE: usize = 500;
const MOMENT: Duration = Duration::from_millis(2);

/// What every receive asks for: the source, nothing else.
static SHAPE: Shape = Shape({
    // SAFETY: a header of zeroes is one without address, data and control.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_namelen = crate::name::BYTES as u32;
    UnsafeCell::new(header)
});

/// Memory that the kernel alone looks at.
struct Shape(UnsafeCell<libc::msghdr>);

// SAFETY: nobody in this process reads or writes it after it is made.
unsafe impl Sync for Shape {}

/// Sockets behind io_uring. Lives and dies on the thread that made it.
pub struct Uring {
    ring: IoUring,
    sockets: Sockets,
    outbox: Outbox,
    waker: Waker,
    /// The kernel knows the thread that enters, and refuses others.
    not_send: PhantomData<*mut ()>,
}

impl std::fmt::Debug for Uring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uring").field("sockets", &self.sockets).finish_non_exhaustive()
    }
}

impl Io for Uring {
    const NAME: &'static str = "io_uring";

    fn new() -> io::Result<Self> {
        #[cfg(test)]
        let sizes = crate::tests::sizes().unwrap_or(SIZES);
        #[cfg(not(test))]
        let sizes = SIZES;
        Self::open(sizes).map_err(io::Error::other)
    }

    fn bind(&mut self, key: Key, addr: SocketAddr, options: &Options) -> io::Result<SocketAddr> {
        self.sockets.free(key)?;
        let (bound, local) = Bound::open(addr, options)?;
        self.sockets.keep(key, bound);
        self.arm(key);
        Ok(local)
    }

    fn connect(&mut self, key: Key, to: Option<SocketAddr>) -> io::Result<SocketAddr> {
        // What is on its way to the old peer must not reach the new one.
        self.flush();
        self.sockets.bound_mut(key).ok_or(io::ErrorKind::NotFound)?.connect(to)
    }

    fn close(&mut self, key: Key) {
        self.disarm(key);
        self.sockets.forget(key);
        self.sockets.release(key);
    }

    fn detach(&mut self, key: Key) -> Option<Detached> {
        self.disarm(key);
        let waiting = self.sockets.take_waiting(key);
        let Bound { socket, peer, .. } = self.sockets.release(key)?;
        Some(Detached { socket, peer, waiting })
    }

    fn attach(&mut self, key: Key, socket: Detached) -> io::Result<()> {
        let Detached { socket, peer, waiting } = socket;
        self.sockets.free(key)?;
        self.sockets.keep(key, Bound::again(socket, peer)?);
        self.sockets.held.hold(key, waiting);
        self.arm(key);
        Ok(())
    }

    fn drain(&mut self, key: Key) -> usize {
        let Some(bound) = self.sockets.bound(key) else { return 0 };
        // First what the kernel has not handed out yet: what is under way then finds nothing more.
        let thrown = bound.drain();
        let _ = self.enter(0, Duration::ZERO);
        thrown + self.sockets.forget(key)
    }

    fn send(&mut self, key: Key, to: SocketAddr, data: &[u8]) {
        if !self.has_room(data) {
            self.flush();
        }
        if !self.has_room(data) {
            self.sockets.send_now(key, to, data);
            return;
        }
        let Some(bound) = self.sockets.bound(key) else { return };
        let fd = Fd(bound.socket.as_raw_fd());
        let name = if bound.peer == Some(to) { Name::EMPTY } else { Name::of(bound.spelled(to)) };
        let place = self.outbox.put(key, to, name, data);
        let Some((letter, data)) = self.outbox.letter(place) else { return };
        let mut send = opcode::Send::new(fd, data.as_ptr(), data.len() as u32).flags(libc::MSG_DONTWAIT);
        if letter.name.length() > 0 {
            send = send.dest_addr(letter.name.as_ptr().cast()).dest_addr_len(letter.name.length());
        }
        let tag = Tag::new(Kind::Send, self.outbox.batch(), place as u32);
        let entry = send.build().flags(squeue::Flags::SKIP_SUCCESS).user_data(tag.pack());
        // SAFETY: data and address stay where they are, in the outbox, until the kernel has taken the request; being
        // nonblocking it has then read them.
        unsafe { self.push(&entry) };
    }

    fn send_later(&mut self, key: Key, to: SocketAddr, data: &[u8]) {
        self.send(key, to, data);
    }

    fn flush(&mut self) {
        self.submit();
    }

    fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        for _ in 0..self.sockets.to_arm() {
            let Some(key) = self.sockets.next_to_arm() else { break };
            self.arm(key);
        }
        let idle = self.sockets.turn_is_over();
        self.enter(u32::from(idle), if idle { timeout } else { Duration::ZERO })
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Option<Received> {
        self.sockets.receive(buffer)
    }

    fn ahead(&self, n: usize) -> Option<Key> {
        self.sockets.ahead(n)
    }

    fn prepare(&self, key: Key) {
        self.sockets.prepare(key);
    }

    fn waker(&self) -> Waker {
        self.waker.clone()
    }

    fn counters(&self) -> Counters {
        self.sockets.counters
    }
}

impl Uring {
    /// Whether this kernel can, tried with two sockets on loopback; if not, why.
    ///
    /// # Errors
    /// It cannot: epoll does the same for a little more.
    pub fn probe() -> Result<(), Unavailable> {
        probe::self_test(Self::open(SIZES)?)
    }

    fn open(sizes: Sizes) -> Result<Self, Unavailable> {
        let ring = probe::ring(sizes)?;
        let buffers =
            Buffers::register(&ring.submitter(), sizes.buffers).map_err(Unavailable::of("provided buffers"))?;
        let waker = Waker::new().map_err(Unavailable::of("eventfd"))?;
        let (sockets, outbox) = (Sockets::new(buffers), Outbox::new());
        let mut uring = Self { ring, sockets, outbox, waker, not_send: PhantomData };
        uring.listen_for_wakes();
        Ok(uring)
    }

    /// One more datagram can wait for the next entering.
    fn has_room(&mut self, data: &[u8]) -> bool {
        data.len() <= LONGEST && !self.outbox.is_full() && !self.ring.submission().is_full()
    }

    /// Lets a socket's datagrams come, until the kernel says that it stopped.
    fn arm(&mut self, key: Key) {
        let Some((fd, tag)) = self.sockets.arm(key) else { return };
        let receive = opcode::RecvMsgMulti::new(Fd(fd), SHAPE.0.get(), GROUP).build();
        // SAFETY: the shape lives for ever, and the buffers until nothing is armed any more (see `drop`).
        if !unsafe { self.push(&receive.user_data(tag.pack())) } {
            self.sockets.not_armed(key);
        }
    }

    /// Afterwards nothing of this socket is under way, and nothing holds its file but us. Its sends have left.
    fn disarm(&mut self, key: Key) {
        self.flush();
        let Some(tag) = self.sockets.armed(key) else { return };
        self.cancel(CancelBuilder::user_data(tag.pack()));
        self.enter_until(|sockets| sockets.armed(key).is_none());
    }

    fn cancel(&mut self, which: CancelBuilder) {
        let tag = Tag::new(Kind::Cancel, 0, 0);
        let cancel = opcode::AsyncCancel2::new(which).build();
        // SAFETY: it points to nothing.
        unsafe { self.push(&cancel.flags(squeue::Flags::SKIP_SUCCESS).user_data(tag.pack())) };
    }

    fn listen_for_wakes(&mut self) {
        self.sockets.wakes = true;
        let poll = opcode::PollAdd::new(Fd(self.waker.as_fd().as_raw_fd()), libc::POLLIN as u32).multi(true).build();
        // SAFETY: it points to nothing.
        unsafe { self.push(&poll.user_data(Tag::new(Kind::Wake, 0, 0).pack())) };
    }

    /// Hands a request over with the next entering. False: the kernel takes none, for a long time.
    ///
    /// # Safety
    /// What it points to must stay until the kernel is done with it.
    unsafe fn push(&mut self, entry: &squeue::Entry) -> bool {
        for _ in 0..PATIENCE {
            // SAFETY: the caller's promise.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return true;
            }
            // Full: what waits goes first; what has completed makes room.
            let _ = self.enter(0, Duration::ZERO);
        }
        false
    }

    /// Submits, lets receives make their completions, waits for them, and takes in what has come.
    fn enter(&mut self, wanted: u32, timeout: Duration) -> io::Result<()> {
        let mut flags = EnterFlags::EXT_ARG | EnterFlags::GETEVENTS;
        if self.ring.params().is_feature_no_iowait() {
            // Armed receives are no disk that one waits for: else an idle thread shows as 100 % iowait (6.15).
            flags |= EnterFlags::NO_IOWAIT;
        }
        let timeout = Timespec::from(timeout.min(LONGEST_WAIT));
        let requests = self.ring.submission().len() as u32;
        let arguments = SubmitArgs::new().timespec(&timeout);
        // SAFETY: what the requests point to is promised by whoever pushed them; the arguments outlive the call, and
        // EXT_ARG says that they are there.
        let result = unsafe { self.ring.submitter().enter(requests, wanted, flags.bits(), Some(&arguments)) };
        self.take_in();
        match result.map_err(|error| error.raw_os_error()) {
            // The time is over; interrupted; the kernel is short of memory, or keeps completions that we just made
            // room for: what was not taken stays in the ring, for the next time.
            Ok(_) | Err(Some(libc::ETIME | libc::EINTR | libc::EAGAIN | libc::EBUSY)) => Ok(()),
            Err(code) => Err(code.map_or(io::ErrorKind::Other.into(), io::Error::from_raw_os_error)),
        }
    }

    /// Submits, and leaves receives alone: the turn shall not grow while it lasts. Nearly always the kernel takes all at
    /// once; where it is short of memory it is asked again, for a request must not outlive the socket that it names.
    fn submit(&mut self) {
        for _ in 0..PATIENCE {
            let requests = self.ring.submission().len() as u32;
            if requests == 0 {
                break;
            }
            // SAFETY: what the requests point to is promised by whoever pushed them; there are no arguments.
            let _ = unsafe { self.ring.submitter().enter::<libc::sigset_t>(requests, 0, 0, None) };
            self.take_in();
        }
    }

    fn take_in(&mut self) {
        for one in self.ring.completion() {
            self.sockets.complete(one.user_data(), one.result(), one.flags(), &self.outbox);
        }
        if self.ring.submission().is_empty() {
            self.sockets.batch_is_through(self.outbox.clear());
        }
        if std::mem::take(&mut self.sockets.woken) {
            self.waker.clear();
        }
        if !self.sockets.wakes && !self.sockets.ends {
            self.listen_for_wakes();
        }
    }

    fn enter_until(&mut self, done: impl Fn(&Sockets) -> bool) {
        for _ in 0..PATIENCE {
            if done(&self.sockets) {
                return;
            }
            let _ = self.enter(1, MOMENT);
        }
    }
}

impl Drop for Uring {
    /// The kernel lets go of sockets and buffers before they are gone: closing the ring alone would do so some time later.
    fn drop(&mut self) {
        self.flush();
        self.sockets.ends = true;
        self.cancel(CancelBuilder::any().all());
        self.enter_until(|sockets| sockets.in_flight() == 0);
        let _ = self.ring.submitter().unregister_buf_ring(GROUP);
        if self.sockets.in_flight() > 0 {
            self.sockets.leak();
        }
    }
}
