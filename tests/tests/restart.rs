//! SEMANTICS.md, "After a restart": the engine is killed, its phones, its network and its disk are not.

use std::time::Duration;

use engine::view::{CallState, EndReason, ListeningState, RequestState};
use engine::{Command, ListenerOrder, Order};
use phone::{OnCall, State};
use sim::{Leg, World, user};

const SECOND: Duration = Duration::from_secs(1);
/// A service manager starts the next process so soon.
const DOWN: Duration = Duration::from_millis(300);

/// Everybody is hung up within so long.
#[track_caller]
fn everybody_gets_free(w: &mut World, within: Duration) {
    let free = w.reaches(within, World::everybody_is_idle);
    assert!(free, "still busy: {:?}\n{}", w.busy_phones(), w.ladder());
}

#[test]
fn a_killed_engine_leaves_nobody_in_a_call() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    let (request, ear) = w.listen("anna", "sue");
    w.until_counted(&request.id, 1);
    let call = w.only_call().id.clone();
    w.kill_and_restart(DOWN);
    everybody_gets_free(&mut w, SECOND);
    for leg in [out, inn, ear] {
        assert_eq!(w.state(leg), State::Ended);
    }
    let again = w.request(&request.id);
    assert_eq!((again.state, again.calls.used), (RequestState::Waiting, 1));
    let listening = w.listenings().next().expect("it is told").clone();
    assert_eq!((listening.end_reason, listening.counted), (Some(EndReason::EngineRestarted), true));
    w.run_for(SECOND);
    let record = &w.disk.calls[&call];
    let end = record.end.as_ref().expect("it is over");
    assert_eq!((record.state, end.cause.as_str(), end.by.as_str()), (CallState::Ended, "engine-restarted", "engine"));
    assert!(record.answered_at.is_some() && record.listenings == [listening.id]);
    assert!(w.disk.dialogs.is_empty(), "done is done");
}

#[test]
fn phones_are_reached_without_registering_again() {
    let mut w = World::new();
    let (request, _) = {
        w.call_agent();
        w.listen("anna", "sue")
    };
    w.kill_and_restart(DOWN);
    everybody_gets_free(&mut w, SECOND);
    let registers = |w: &World| w.wire().iter().filter(|m| m.data.starts_with(b"REGISTER")).count();
    let before = registers(&w);
    assert!(w.model.agents["anna"].registered && w.model.users["sue"].registered);
    let (out, inn) = w.call_agent();
    let ear = w.answered("sue");
    w.everyone_hears(&[(out, &[440]), (inn, &[800]), (ear, &[440, 800])]);
    assert_eq!(w.request(&request.id).state, RequestState::Listening);
    assert_eq!(registers(&w), before);
    // and when they do, it is the same binding that goes on
    assert_eq!(w.try_register("anna", 3600), 200);
    assert_eq!(w.sizes().signalling.bindings, 2);
    assert_eq!(w.disk.registrations["anna"].len(), 1);
}

#[test]
fn a_registration_that_ran_out_meanwhile_is_none() {
    let mut w = World::new();
    assert_eq!(w.try_register("anna", 60), 200);
    w.kill();
    w.run_for(61 * SECOND);
    w.launch();
    w.run_for(SECOND);
    assert!(!w.model.agents["anna"].registered && w.model.users["sue"].registered);
    assert!(!w.disk.registrations.contains_key("anna"), "it is forgotten");
    let out = w.dial("trunk", World::inbound("1001"));
    w.until_ended(out);
    assert_eq!(w.call(out).status(), Some(480));
    assert_eq!(w.try_register("anna", 0), 200);
}

#[test]
fn a_phone_that_left_stays_away() {
    let mut w = World::new();
    assert_eq!(w.try_register("anna", 0), 200);
    w.kill_and_restart(DOWN);
    assert!(!w.model.agents["anna"].registered);
    assert_eq!(w.sizes().signalling.bindings, 1);
}

#[test]
fn an_account_that_is_no_more_is_forgotten() {
    let mut w = World::new();
    w.reload(|s| s.directory.agents.retain(|agent| agent.id != "anna"));
    w.run_for(SECOND);
    assert_eq!(w.disk.registrations.keys().collect::<Vec<_>>(), ["sue"]);
    w.kill_and_restart(DOWN);
    assert_eq!(w.sizes().signalling.bindings, 1);
}

#[test]
fn a_ringing_listener_is_cancelled() {
    let mut w = World::new();
    w.on_call("sue", OnCall::Ring);
    w.call_agent();
    w.order("anna", user("sue")).calls(1).accepted();
    let ear = w.next_call("sue");
    w.run_for(SECOND);
    w.kill_and_restart(DOWN);
    everybody_gets_free(&mut w, SECOND);
    assert_eq!(w.state(ear), State::Ended);
    let listening = w.listenings().next().expect("it is told");
    assert_eq!((listening.end_reason, listening.counted), (Some(EndReason::EngineRestarted), false));
}

#[test]
fn a_listener_who_answers_while_nobody_is_there_is_hung_up() {
    let mut w = World::new();
    w.on_call("sue", OnCall::Ring);
    w.call_agent();
    w.order("anna", user("sue")).calls(1).accepted();
    let ear = w.next_call("sue");
    w.run_for(SECOND);
    w.kill();
    w.answer(ear);
    w.run_for(DOWN);
    w.launch();
    everybody_gets_free(&mut w, 5 * SECOND);
}

#[test]
fn a_ringing_agent_is_cancelled() {
    let mut w = World::new();
    w.on_call("anna", OnCall::Ring);
    let out = w.dial("trunk", World::inbound("1001"));
    let inn = w.next_call("anna");
    w.run_for(SECOND);
    w.kill_and_restart(DOWN);
    w.until_ended(inn);
    // Nobody tells the caller, whose INVITE the dead engine had not answered: its phone gives up when its user does.
    w.hang_up(out);
    w.leaves_open();
}

#[test]
fn a_time_that_passed_meanwhile_has_passed() {
    let mut w = World::new();
    let request = w.order("anna", user("sue")).until_in(30).accepted();
    let other = w.order("bo", user("admin")).until_in(300).accepted();
    w.kill();
    w.run_for(31 * SECOND);
    w.launch();
    w.run_for(SECOND);
    assert_eq!(w.disk.requests[&request.id].view.state, RequestState::Expired);
    assert_eq!(w.request(&other.id).state, RequestState::Waiting);
    w.call_agent();
    w.no_call("sue", SECOND);
}

#[test]
fn a_clock_that_jumps_while_nobody_is_there_starts_and_ends_nothing_but_what_is_due() {
    let mut w = World::new();
    let request = w.order("anna", user("sue")).until_in(3600).accepted();
    w.kill();
    w.jump_wall(jiff::SignedDuration::from_secs(-600));
    w.launch();
    assert!(w.model.agents["anna"].registered);
    assert_eq!(w.request(&request.id).state, RequestState::Waiting);
    w.call_agent();
    let ear = w.answered("sue");
    w.hears_exactly(ear, &[440, 800]);
}

#[test]
fn a_clock_that_jumps_ends_no_registration() {
    let mut w = World::new();
    for hours in [3, -5] {
        w.jump_wall(jiff::SignedDuration::from_hours(hours));
        w.run_for(SECOND);
        assert!(w.model.agents["anna"].registered);
        let (out, inn) = w.call_agent();
        w.hang_up(out);
        w.until_ended(inn);
    }
}

#[test]
fn both_legs_that_are_left_after_a_transfer_are_hung_up() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    assert_eq!(w.refer(inn, "1002"), 202);
    let target = w.answered("bo");
    w.until_ended(inn);
    w.everyone_hears(&[(out, &[620]), (target, &[800])]);
    w.kill_and_restart(DOWN);
    everybody_gets_free(&mut w, SECOND);
    assert_eq!((w.state(out), w.state(target)), (State::Ended, State::Ended));
    w.run_for(SECOND);
    assert_eq!(w.disk.calls.len(), 1, "one call, one record");
}

#[test]
fn who_was_joined_by_an_attended_transfer_is_hung_up() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    w.hold(inn, signalling::sdp::Direction::SendOnly);
    let consultation = w.dial_number("anna", "1002");
    let colleague = w.answered("bo");
    w.run_for(SECOND);
    assert_eq!(w.refer_replacing(inn, "1002", consultation), 202);
    w.until_ended(inn);
    w.everyone_hears(&[(out, &[620]), (colleague, &[800])]);
    w.kill_and_restart(DOWN);
    everybody_gets_free(&mut w, SECOND);
    w.run_for(SECOND);
    let mut causes: Vec<_> = w.disk.calls.values().filter_map(|c| c.end.clone()).map(|end| end.cause).collect();
    causes.sort();
    assert_eq!(causes, ["answered", "engine-restarted"], "the absorbed one had ended by itself");
}

#[test]
fn who_dies_while_ending_the_dead_ones_calls_ends_them_the_next_time() {
    let mut w = World::new();
    w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    w.run_for(SECOND);
    w.habits("sue", |habits| habits.alive = false);
    w.kill_and_restart(DOWN);
    w.run_for(SECOND);
    assert_eq!(w.disk.dialogs.len(), 1, "hers has not answered");
    let calls = w.disk.calls.clone();
    w.kill_and_restart(DOWN);
    w.habits("sue", |habits| habits.alive = true);
    everybody_gets_free(&mut w, 5 * SECOND);
    assert_eq!(w.state(ear), State::Ended);
    assert_eq!(w.disk.calls, calls, "their records stay as they were");
}

#[test]
fn a_clean_stop_leaves_nothing_to_end() {
    let mut w = World::new();
    w.call_agent();
    w.listen("anna", "sue");
    w.run_for(SECOND);
    assert_eq!(w.disk.dialogs.len(), 3);
    w.stop();
    w.until("it is over", SECOND, World::drained);
    w.run_for(w.disk.delay);
    assert!(w.disk.dialogs.is_empty());
    everybody_gets_free(&mut w, SECOND);
}

#[test]
fn a_drain_waits_until_the_last_phone_has_answered() {
    let mut w = World::new();
    let (out, _inn) = w.call_agent();
    w.drain();
    w.run_for(SECOND);
    assert!(!w.drained());
    let late = w.dial("trunk", World::inbound("1002"));
    w.until_ended(late);
    assert_eq!(w.call(late).status(), Some(503));
    w.hang_up(out);
    w.until("it is over", SECOND, World::drained);
    w.run_for(w.disk.delay);
    assert!(w.disk.dialogs.is_empty() && w.everybody_is_idle());
}

#[test]
fn a_slow_store_keeps_no_phone_and_no_call_waiting() {
    let mut w = World::with(|s| s.registering.clear());
    w.disk.delay = 2 * SECOND;
    let asked = w.now();
    assert_eq!(w.try_register("anna", 3600), 200);
    assert_eq!(w.try_register("sue", 3600), 200);
    assert!(w.now() - asked < 2 * SECOND);
    assert_eq!(w.counters()["registrations_unrecorded"], 2);
    w.call_agent();
    w.order("anna", user("sue")).calls(1).send().expect("when it is written");
    let asked = w.now();
    let ear = w.next_call_within("sue", 10 * SECOND);
    assert!(w.now() - asked >= 4 * SECOND, "not before its own record and that of its dialog");
    w.until_up(ear);
    w.until("its ACK", SECOND, |w| w.counters().contains_key("acks_unrecorded"));
    w.hears_exactly(ear, &[440, 800]);
}

#[test]
fn an_answer_that_a_slow_store_never_kept_is_hung_up_all_the_same() {
    let mut w = World::new();
    w.on_call("sue", OnCall::Ring);
    w.call_agent();
    w.order("anna", user("sue")).calls(1).accepted();
    let ear = w.next_call("sue");
    w.run_for(SECOND);
    w.disk.delay = 10 * SECOND;
    w.answer(ear);
    w.until("its ACK", SECOND, |w| w.counters().contains_key("acks_unrecorded"));
    w.run_for(SECOND);
    w.disk.delay = SECOND / 100;
    w.kill_and_restart(DOWN);
    everybody_gets_free(&mut w, 33 * SECOND);
}

#[test]
fn without_a_store_phones_register_and_nobody_listens() {
    let mut w = World::with(|s| s.registering.clear());
    w.disk.full = true;
    assert_eq!((w.try_register("anna", 3600), w.try_register("sue", 3600)), (200, 200));
    assert_eq!(w.counters()["registrations_unrecorded"], 2);
    w.call_agent();
    w.disk.full = false;
    w.run_for(6 * SECOND);
    assert_eq!(w.disk.registrations.len(), 2, "they are offered again");
    assert_eq!(w.disk.dialogs.len(), 2);
    w.on_call("sue", OnCall::Ring);
    w.order("anna", user("sue")).calls(1).accepted();
    let ear = w.next_call("sue");
    w.disk.full = true;
    w.answer(ear);
    w.until_ended(ear);
    let listening = w.listenings().next().expect("it is told");
    assert_eq!(listening.end_reason, Some(EndReason::AuditUnavailable), "its answer is not kept");
    w.disk.full = false;
    w.run_for(6 * SECOND);
}

/// What becomes of a listening that the story has begun.
#[derive(Clone, Copy, Debug)]
enum Fate {
    ListenerHangsUp,
    CallerHangsUp,
    RequestDeleted,
    /// Busy, called again 15 s later, then lets it ring.
    BusyThenRings,
}

/// A listening from its order to its end, over a call that is up; killed at the engine's n-th input from the order on.
/// False: it never had so many.
fn killed_at(n: u64, fate: Fate, change: impl FnOnce(&mut sim::Setup)) -> bool {
    let mut w = World::with(change);
    // on a bad network an ACK may be lost more than once
    let out = w.dial("trunk", World::inbound("1001"));
    let inn = w.next_call_within("anna", 20 * SECOND);
    w.until_state(out, State::Up, 20 * SECOND);
    w.until_state(inn, State::Up, 20 * SECOND);
    w.until("the call is kept", 20 * SECOND, |w| {
        w.disk.dialogs.values().filter(|d| !d.remote_tag.is_empty()).count() == 2
    });
    w.run_for(SECOND);
    let busy = matches!(fate, Fate::BusyThenRings);
    w.on_call("sue", if busy { OnCall::Reject { status: 486 } } else { OnCall::Answer { after: SECOND / 5 } });
    let end = w.steps() + n;
    let dies = |w: &mut World, within: Duration| w.reaches(within, |w| w.steps() >= end);
    w.ask("admin", order());
    let mut dead = dies(&mut w, 6 * SECOND);
    if !dead {
        hits(&mut w, fate, out);
        dead = dies(&mut w, 12 * SECOND);
    }
    if !dead {
        return false;
    }
    let acknowledged: Vec<String> = w.model.requests.keys().cloned().collect();
    w.kill_and_restart(DOWN);
    w.run_for(40 * SECOND);
    assert!(w.everybody_is_idle(), "{fate:?} {n}: {:?}\n{}", w.busy_phones(), w.ladder());
    assert!(w.disk.dialogs.is_empty(), "{fate:?} {n}: {:?}", w.disk.dialogs);
    for id in acknowledged {
        assert!(w.disk.requests.contains_key(&id), "{fate:?} {n}: an acknowledged order is lost");
    }
    for listening in w.disk.listenings.values() {
        assert_eq!(listening.state, ListeningState::Ended, "{fate:?} {n}");
        let request = &w.disk.requests[&listening.request];
        assert_eq!(u32::from(listening.counted), request.view.calls.used, "{fate:?} {n}: the count is wrong");
    }
    true
}

fn order() -> Command {
    let listener: Option<ListenerOrder> = Some(user("sue"));
    Command::Order {
        order: Order { agent: "anna".into(), listener, calls: Some(5), ..Order::default() },
        dry_run: false,
    }
}

fn hits(w: &mut World, fate: Fate, out: Leg) {
    match fate {
        Fate::ListenerHangsUp => {
            if let Some(ear) = w.legs("sue").last().copied() {
                w.hang_up(ear);
            }
        }
        Fate::CallerHangsUp => w.hang_up(out),
        Fate::RequestDeleted => {
            if let Some(id) = w.model.requests.keys().next().cloned() {
                w.ask("admin", Command::DeleteRequest { id });
            }
        }
        Fate::BusyThenRings => w.on_call("sue", OnCall::Ring),
    }
}

#[track_caller]
fn killed_at_every_step(fate: Fate) {
    let steps = (1..500).take_while(|n| killed_at(*n, fate, |_| {})).count();
    assert!((20..499).contains(&steps), "{steps} steps");
}

#[test]
fn killed_at_any_step_until_the_listener_hangs_up() {
    killed_at_every_step(Fate::ListenerHangsUp);
}

#[test]
fn killed_at_any_step_until_the_caller_hangs_up() {
    killed_at_every_step(Fate::CallerHangsUp);
}

#[test]
fn killed_at_any_step_until_the_request_is_deleted() {
    killed_at_every_step(Fate::RequestDeleted);
}

#[test]
fn killed_at_any_step_while_a_busy_listener_is_called_again() {
    killed_at_every_step(Fate::BusyThenRings);
}

#[test]
fn killed_on_a_bad_network() {
    for n in 1..60 {
        killed_at(n, Fate::CallerHangsUp, |s| {
            s.sip.loss = 0.1;
            s.seed = n;
        });
    }
}
