//! What every [`Io`] must do, asked of each.

mod addresses;
mod lives;
mod load;
mod random;
mod turns;

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use crate::uring::Sizes;
use crate::{Io, Key, Options, Received, Uring};

pub(crate) const OPTIONS: Options = Options { receive_buffer: 256 * 1024, tos: 0xb8, dual_stack: false };
/// Nothing takes that long.
const LIMIT: Duration = Duration::from_secs(20);

/// Makes each a test of every implementation; one that this system does not have says so.
macro_rules! suites {
    ($($module:ident :: $test:ident),* $(,)?) => {
        mod epoll {
            $(
                #[test]
                fn $test() {
                    super::$module::$test::<crate::Epoll>();
                }
            )*
        }

        mod uring {
            $(
                #[test]
                fn $test() {
                    super::if_available(None, super::$module::$test::<crate::Uring>);
                }
            )*
        }

        /// A ring that is always short of something: requests, completions, buffers.
        mod tight_uring {
            $(
                #[test]
                fn $test() {
                    super::if_available(Some(super::TIGHT), super::$module::$test::<crate::Uring>);
                }
            )*
        }
    };
}

suites![
    turns::what_is_sent_arrives_and_a_wake_ends_a_wait,
    turns::a_wake_comes_from_another_thread_and_is_not_lost,
    turns::a_wait_ends_when_its_time_is_over,
    turns::a_datagram_that_is_too_long_is_dropped_and_counted,
    turns::what_waits_for_the_end_of_a_turn_leaves_in_order,
    turns::drained_datagrams_are_gone,
    turns::an_icmp_error_swallows_nothing,
    turns::a_refused_datagram_is_counted_and_the_socket_goes_on,
    turns::a_turn_may_be_left_before_its_end,
    turns::who_comes_next_can_be_told_ahead,
    addresses::ipv6_comes_and_goes,
    addresses::a_dual_stack_socket_speaks_plain_ipv4_and_ipv6,
    addresses::an_ipv6_socket_is_deaf_to_ipv4_unless_asked,
    addresses::connecting_to_nobody_keeps_the_port,
    addresses::a_connected_socket_hears_its_peer_alone,
    addresses::what_was_sent_to_the_old_peer_goes_there,
    addresses::what_waited_before_a_connection_keeps_its_source,
    addresses::a_connection_that_cannot_be_leaves_the_socket_open_to_all,
    addresses::packets_are_marked_for_expedited_forwarding,
    lives::a_key_in_use_is_refused,
    lives::a_closed_sockets_key_and_address_are_free_at_once,
    lives::an_io_that_is_dropped_frees_its_addresses,
    lives::a_socket_moves_with_what_waits_in_it,
    lives::a_socket_moves_between_epoll_and_io_uring,
    lives::two_thousand_sockets_come_and_go,
    load::each_of_many_sockets_gets_its_own,
    load::a_flood_on_one_socket_does_not_keep_another_waiting,
    load::more_than_all_buffers_hold_is_received,
    load::sockets_come_and_go_under_fire,
    load::fifty_copies_from_fifty_sockets_and_fifty_from_one,
    random::random_lives_agree_with_a_model,
];

const TIGHT: Sizes = Sizes { requests: 4, completions: 8, buffers: 8 };

thread_local! {
    static SIZES: Cell<Option<Sizes>> = const { Cell::new(None) };
}

/// What rings of this test hold, if not the usual.
pub(crate) fn sizes() -> Option<Sizes> {
    SIZES.get()
}

fn if_available(sizes: Option<Sizes>, test: fn()) {
    if let Err(why) = Uring::probe() {
        eprintln!("NOT TESTED: io_uring is not available here: {why}");
        return;
    }
    SIZES.set(sizes);
    test();
}

/// An address of loopback that is this test's alone, and a port that is free there: tests that run beside it must not
/// take ports that it has let go, nor hear what it sends to nobody.
fn any() -> SocketAddr {
    static TESTS: AtomicU8 = AtomicU8::new(1);
    thread_local! {
        static TEST: u8 = TESTS.fetch_add(1, Ordering::Relaxed);
    }
    let [_, _, high, low] = std::process::id().to_be_bytes();
    (Ipv4Addr::new(127, high, low, TEST.with(|test| *test)), 0).into()
}

/// A socket on loopback.
fn bind<I: Io>(io: &mut I, key: Key) -> SocketAddr {
    io.bind(key, any(), &OPTIONS).unwrap()
}

/// Takes datagrams, turn after turn, until there are `count`; fails when they do not come.
fn take<I: Io>(io: &mut I, count: usize) -> Vec<(Key, SocketAddr, Vec<u8>)> {
    let (mut taken, mut buffer, start) = (Vec::new(), [0; 2048], Instant::now());
    while taken.len() < count {
        assert!(start.elapsed() < LIMIT, "{} of {count} came", taken.len());
        io.wait(Duration::from_millis(100)).unwrap();
        while let Some(Received { key, from, length }) = io.receive(&mut buffer) {
            taken.push((key, from, buffer[..length].to_vec()));
        }
    }
    assert_eq!(taken.len(), count);
    taken
}

/// Nothing more is there.
fn nothing<I: Io>(io: &mut I) {
    for _ in 0..2 {
        io.wait(Duration::ZERO).unwrap();
        assert_eq!(io.receive(&mut [0; 2048]), None);
    }
}
