//! How media threads wait for packets: what is configured, and what this machine lets us have.

use std::io;

use udp::{Epoll, Io as _, Uring};

/// `[media] io`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IoChoice {
    /// io_uring where a trial on loopback shows that it works, else epoll.
    Auto,
    /// This one or none.
    Only(IoKind),
}

/// How a thread waits for packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IoKind {
    Epoll,
    IoUring,
}

impl IoChoice {
    /// Starts something on sockets of the chosen kind. Where the choice is ours and io_uring is not to be had (an old
    /// kernel, a container's filter, a limit), it is epoll, and the log says why. `kind` is what the last one got: the
    /// others need not try again.
    pub(crate) fn start<T>(
        self,
        last: Option<IoKind>,
        start: impl Fn(IoKind) -> io::Result<T>,
    ) -> io::Result<(IoKind, T)> {
        let kind = match (self, last) {
            (Self::Only(kind), _) | (Self::Auto, Some(kind)) => kind,
            (Self::Auto, None) => tried(Uring::probe()),
        };
        match start(kind) {
            Err(error) if self == Self::Auto && kind == IoKind::IoUring => {
                fall_back(&error);
                Ok((IoKind::Epoll, start(IoKind::Epoll)?))
            }
            started => Ok((kind, started?)),
        }
    }
}

impl IoKind {
    /// What logs and `GET /v1/status` call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Epoll => Epoll::NAME,
            Self::IoUring => Uring::NAME,
        }
    }
}

fn tried(probe: Result<(), udp::Unavailable>) -> IoKind {
    match probe {
        Ok(()) => IoKind::IoUring,
        Err(why) => {
            fall_back(&why);
            IoKind::Epoll
        }
    }
}

fn fall_back(why: &dyn std::fmt::Display) {
    tracing::info!(%why, "io_uring is not to be had: media threads use epoll, which does the same for a little more");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A system that has epoll alone.
    fn epoll_alone(kind: IoKind) -> io::Result<IoKind> {
        if kind == IoKind::IoUring { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(kind) }
    }

    #[test]
    fn auto_is_epoll_where_io_uring_is_not_to_be_had() {
        let auto = IoChoice::Auto;
        assert_eq!(auto.start(Some(IoKind::IoUring), epoll_alone).unwrap(), (IoKind::Epoll, IoKind::Epoll));
        assert_eq!(auto.start(None, epoll_alone).unwrap(), (IoKind::Epoll, IoKind::Epoll));
        assert_eq!(auto.start(Some(IoKind::Epoll), Ok).unwrap(), (IoKind::Epoll, IoKind::Epoll));
        assert_eq!(tried(Err(udp::Unavailable::Deaf)), IoKind::Epoll);
        assert!(auto.start(None, |_| Err::<(), _>(io::ErrorKind::OutOfMemory.into())).is_err());
    }

    #[test]
    fn auto_is_io_uring_where_it_works() {
        let works = udp::Uring::probe().inspect_err(|error| println!("no io_uring here: {error}")).is_ok();
        let (kind, _) = IoChoice::Auto.start(None, Ok).unwrap();
        assert_eq!(kind == IoKind::IoUring, works);
    }

    #[test]
    fn who_names_one_gets_that_or_nothing() {
        assert!(IoChoice::Only(IoKind::IoUring).start(None, epoll_alone).is_err());
        assert_eq!(IoChoice::Only(IoKind::Epoll).start(None, epoll_alone).unwrap().0, IoKind::Epoll);
    }
}
