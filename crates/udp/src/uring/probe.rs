//! Whether this kernel can, and if not, why.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use io_uring::register::Probe;
use io_uring::{IoUring, opcode};

use super::{Sizes, Uring};
use crate::{Io, Options};

/// How long the test on loopback may last.
const LIMIT: Duration = Duration::from_secs(1);

/// Why io_uring is not to be had.
#[derive(Debug)]
#[non_exhaustive]
pub enum Unavailable {
    /// The administrator has switched it off: the value of `kernel.io_uring_disabled`.
    Disabled(u8),
    /// Something forbids it: mostly the seccomp filter of a container.
    Forbidden(io::Error),
    /// The kernel has it not, or not as much of it: Linux 6.1 is needed.
    TooOld(&'static str),
    /// The system had not enough of something.
    Failed(&'static str, io::Error),
    /// A datagram sent on loopback did not come back.
    Deaf,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled(value) => write!(f, "switched off (kernel.io_uring_disabled = {value})"),
            Self::Forbidden(error) => write!(f, "forbidden, probably by a seccomp filter ({error})"),
            Self::TooOld(what) => write!(f, "Linux 6.1 is needed (this kernel lacks {what})"),
            Self::Failed(what, error) => write!(f, "{what}: {error}"),
            Self::Deaf => write!(f, "a datagram that was sent on loopback did not come back"),
        }
    }
}

impl std::error::Error for Unavailable {}

impl Unavailable {
    /// It was this that failed.
    pub(super) fn of(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| match error.raw_os_error() {
            Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP) => Self::TooOld(what),
            Some(libc::EPERM | libc::EACCES) => match disabled() {
                Some(value) if value > 0 => Self::Disabled(value),
                _ => Self::Forbidden(error),
            },
            _ => Self::Failed(what, error),
        }
    }
}

/// A ring of the kind that sockets need.
pub(super) fn ring(sizes: Sizes) -> Result<IoUring, Unavailable> {
    let ring = IoUring::builder()
        .setup_cqsize(sizes.completions)
        .setup_submit_all()
        // Completions are made while we wait, not whenever a packet comes (6.1): nothing interrupts a turn.
        .setup_single_issuer()
        .setup_defer_taskrun()
        .build(sizes.requests)
        .map_err(Unavailable::of("deferred task work"))?;
    let has = ring.params();
    if !(has.is_feature_nodrop() && has.is_feature_ext_arg() && has.is_feature_skip_cqe_on_success()) {
        return Err(Unavailable::TooOld("completions that are not dropped, or timeouts"));
    }
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(Unavailable::of("the list of operations"))?;
    let needed = [opcode::RecvMsgMulti::CODE, opcode::Send::CODE, opcode::AsyncCancel2::CODE, opcode::PollAdd::CODE];
    if needed.iter().any(|&code| !probe.is_supported(code)) {
        return Err(Unavailable::TooOld("an operation"));
    }
    Ok(ring)
}

/// Sends to and fro on loopback: some filters and emulations let a ring be made that then does nothing.
pub(super) fn self_test(mut io: Uring) -> Result<(), Unavailable> {
    const PING: &[u8] = b"ping";
    let options = Options { receive_buffer: 4096, tos: 0, dual_stack: false };
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut bind = |key| io.bind(key, any, &options).map_err(Unavailable::of("sockets"));
    let (a, b) = (bind(0)?, bind(1)?);
    io.connect(1, Some(a)).map_err(Unavailable::of("sockets"))?;
    // Once to an address that is named, once to the peer.
    io.send(0, b, PING);
    io.send(1, a, PING);
    let (start, mut heard, mut buffer) = (Instant::now(), [false; 2], [0; 16]);
    while heard != [true; 2] {
        let left = LIMIT.checked_sub(start.elapsed()).ok_or(Unavailable::Deaf)?;
        io.wait(left).map_err(Unavailable::of("waiting"))?;
        while let Some(received) = io.receive(&mut buffer) {
            let from = if received.key == 0 { b } else { a };
            heard[received.key as usize & 1] |= received.from == from && &buffer[..received.length] == PING;
        }
        let counters = io.counters();
        if counters.send_failed > 0 || counters.receive_failed > 0 {
            return Err(Unavailable::TooOld("sends with an address, or receives that stay armed"));
        }
    }
    Ok(())
}

fn disabled() -> Option<u8> {
    std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_of_a_container_is_named_as_the_reason() {
        // A thread of its own, for there is no way back.
        std::thread::spawn(|| {
            forbid(libc::SYS_io_uring_setup as u32);
            let why = Uring::probe().unwrap_err();
            assert!(why.to_string().contains("seccomp") || matches!(why, Unavailable::Disabled(_)), "{why}");
            assert_eq!(Uring::new().unwrap_err().to_string(), why.to_string());
        })
        .join()
        .unwrap();
    }

    #[test]
    fn each_reason_says_what_to_look_at() {
        let of = |code| Unavailable::of("it")(io::Error::from_raw_os_error(code)).to_string();
        assert_eq!(of(libc::EINVAL), "Linux 6.1 is needed (this kernel lacks it)");
        assert_eq!(of(libc::ENOSYS), of(libc::EINVAL));
        assert!(of(libc::ENOMEM).starts_with("it: "));
        assert_eq!(Unavailable::Disabled(2).to_string(), "switched off (kernel.io_uring_disabled = 2)");
    }

    /// Makes this thread's calls of one number fail with EPERM, as Docker's filter does.
    fn forbid(number: u32) {
        let statement = |code: u32, k: u32, jt, jf| libc::sock_filter { code: code as u16, jt, jf, k };
        let mut filter = [
            statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
            statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number, 0, 1),
            statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32, 0, 0),
            statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0),
        ];
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        // SAFETY: both calls concern this thread alone; the program outlives the second, which copies it.
        unsafe {
            assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
            let filter = libc::SECCOMP_MODE_FILTER;
            assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, filter, &raw const program), 0);
        }
    }
}
