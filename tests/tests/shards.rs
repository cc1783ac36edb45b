//! Calls and listeners on several media shards: what comes together moves, and nobody notices.

use std::time::Duration;

use engine::view::EndReason;
use phone::{Dial, State};
use signalling::sdp::Direction;
use sim::{Leg, World, user};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn two_shards(w: impl FnOnce(&mut sim::Setup)) -> World {
    World::with(|setup| {
        setup.shards = 2;
        w(setup);
    })
}

/// New calls begin on the other shard for as long as this takes.
fn elsewhere<T>(w: &mut World, late: usize, what: impl FnOnce(&mut World) -> T) -> T {
    w.media_lag(late, 25 * MS);
    w.run_for(SECOND);
    let done = what(w);
    w.media_lag(late, Duration::ZERO);
    w.run_for(SECOND);
    done
}

/// Anna, who is listened to, consults Bo on the other shard.
fn consults(w: &mut World) -> (Leg, Leg, Leg, Leg, Leg) {
    let (out, inn) = w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    w.hears_exactly(ear, &[440, 800]);
    assert_eq!(w.shard_sizes(), [(2, 1), (0, 0)]);
    w.hold(inn, Direction::SendOnly);
    let (consult, colleague) = elsewhere(w, 0, |w| w.connect("anna", Dial::to("sip:1002@medlytt.test"), "bo"));
    (out, inn, ear, consult, colleague)
}

#[test]
fn a_listener_follows_a_consultation_to_another_shard_and_back() {
    let mut w = two_shards(|_| ());
    let start = w.now();
    let (out, inn, ear, consult, colleague) = consults(&mut w);
    assert_eq!(w.shard_sizes(), [(2, 0), (2, 1)]);
    w.everyone_hears(&[(ear, &[440, 620]), (consult, &[620]), (colleague, &[440])]);
    w.hold(consult, Direction::SendOnly);
    w.resume(inn);
    w.everyone_hears(&[(ear, &[440, 800]), (out, &[440]), (inn, &[800])]);
    assert_eq!(w.shard_sizes(), [(2, 1), (2, 0)]);
    w.is_one_stream(ear, start);
    assert_eq!((w.router().listener_moves, w.router().stream_moves), (2, 0));
    w.hang_up(colleague);
    w.hang_up(out);
    w.until_ended_with(EndReason::CallEnded);
}

#[test]
fn an_attended_transfer_joins_calls_of_two_shards_with_listeners_on_both() {
    let mut w = two_shards(|_| ());
    let start = w.now();
    let (out, inn) = w.call_agent();
    let (_, annas_ear) = w.listen("anna", "sue");
    // Bo has a caller and a listener of his own on the other shard, and takes Anna's consultation there
    let (own_out, own_inn) = w.call_number("1002", "bo");
    let (_, bos_ear) = w.listen("bo", "sam");
    w.everyone_hears(&[(annas_ear, &[440, 800]), (bos_ear, &[620, 800])]);
    assert_eq!(w.shard_sizes(), [(2, 1), (2, 1)]);
    w.hold(inn, Direction::SendOnly);
    w.hold(own_inn, Direction::SendOnly);
    let (consult, colleague) = elsewhere(&mut w, 0, |w| w.connect("anna", Dial::to("sip:1002@medlytt.test"), "bo"));
    w.everyone_hears(&[(annas_ear, &[440, 620]), (bos_ear, &[440, 620])]);
    assert_eq!(w.shard_sizes(), [(2, 0), (4, 2)]);
    assert_eq!(w.refer_replacing(inn, "1002", consult), 202);
    w.until_ended(annas_ear);
    w.until_ended_with(EndReason::AgentTransferred);
    w.until_ended(inn);
    w.everyone_hears(&[(out, &[620]), (colleague, &[800])]);
    // the surviving call is on the older call's shard, and Bo's listener with it; Bo's own caller stayed
    assert_eq!(w.shard_sizes(), [(2, 1), (2, 0)]);
    assert_eq!(w.router().stream_moves, 1);
    // Bo's interaction with the transferred caller is another one, to which the order has its own listening
    w.everyone_hears(&[(bos_ear, &[620, 800])]);
    w.is_one_stream(bos_ear, start);
    w.hold(colleague, Direction::SendOnly);
    w.resume(own_inn);
    w.everyone_hears(&[(own_out, &[620]), (own_inn, &[800]), (bos_ear, &[620, 800])]);
    assert_eq!(w.shard_sizes(), [(2, 0), (2, 1)]);
}

#[test]
fn a_call_may_end_while_it_moves() {
    let mut w = two_shards(|setup| setup.shard_delay = 30 * MS);
    let (out, inn, ear, consult, colleague) = consults(&mut w);
    assert_eq!(w.refer_replacing(inn, "1002", consult), 202);
    w.until("streams move", 3 * SECOND, |w| w.router().stream_moves > 0);
    assert!(w.router().waiting > 0, "the bridge waits");
    w.hang_up(out);
    w.hang_up(colleague);
    for leg in [out, inn, ear, consult, colleague] {
        w.until_ended(leg);
    }
    w.run_for(SECOND);
    assert_eq!(w.shard_sizes(), [(0, 0), (0, 0)]);
    assert!(w.listenings().all(|listening| listening.ended_at.is_some()));
}

#[test]
fn a_shield_that_closes_while_a_listener_moves_is_closed_where_it_comes_to() {
    let mut w = two_shards(|setup| setup.shard_delay = 30 * MS);
    let (_, inn, ear, consult, _) = consults(&mut w);
    w.hears_exactly(ear, &[440, 620]);
    let moved = w.router().listener_moves;
    // with both held the ear goes back to the first
    w.act(consult, |phone, now, call, out| phone.hold(now, call, Direction::SendOnly, out));
    w.until("the listener moves", SECOND, |w| w.router().listener_moves > moved);
    assert!(w.router().waiting > 0, "its focus waits");
    let call = w.model.calls.values().find(|call| call.caller_number.as_deref() == Some(sim::CALLER)).expect("a call");
    let call = call.id.clone();
    w.shield(&call, true);
    // as long as any order takes to the media plane
    w.run_for(40 * MS);
    let from = w.now();
    w.resume(inn);
    w.run_for(2 * SECOND);
    assert_eq!(w.heard_since(ear, from), Vec::<u16>::new(), "not a word of it");
    w.is_one_stream(ear, from);
    w.shield(&call, false);
    w.hears_exactly(ear, &[440, 800]);
}

#[test]
fn a_call_whose_ports_are_of_two_shards_is_answered_in_time_and_heard() {
    for listeners in [false, true] {
        let mut w = two_shards(|setup| setup.ports_ready = 1);
        let (out, inn) = w.call_agent();
        assert_eq!(w.router().stream_moves, 1);
        w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
        if listeners {
            let (_, ear) = w.listen("anna", "sue");
            w.hears_exactly(ear, &[440, 800]);
        }
        assert_eq!(w.shard_sizes().iter().filter(|sizes| sizes.0 == 2).count(), 1);
    }
}

#[test]
fn callers_are_refused_while_every_shard_is_late_and_listeners_wait() {
    let mut w = two_shards(|_| ());
    let (out, inn) = w.call_agent();
    w.media_lag(0, 25 * MS);
    w.media_lag(1, 21 * MS);
    w.run_for(SECOND);
    let refused = w.dial("trunk", World::inbound("1002"));
    w.until_ended(refused);
    assert_eq!(w.call(refused).status(), Some(503));
    w.order("anna", user("sue")).calls(1).accepted();
    w.no_call("sue", 2 * SECOND);
    w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
    w.media_lag(0, MS);
    let ear = w.answered("sue");
    w.hears_exactly(ear, &[440, 800]);
    assert_eq!(w.state(inn), State::Up);
    let counters = w.counters();
    assert_eq!((counters["calls_refused_load"], counters["forks_refused_load"]), (1, 1));
}
