//! Every checker can fail: what the engine says is changed on its way, and the checker must see it.

use std::time::Duration;

use engine::persist::Change;
use engine::view::{EndReason, EventName, ListeningState};
use engine::{Command, Output, View};

use super::equal;
use super::plan::Plan;
use crate::people::Leg;
use crate::world::{Sabotage, World};
use crate::{agent, user};

const S: Duration = Duration::from_secs(1);

fn watched() -> World {
    let mut w = World::with(|setup| setup.watch = Some(false));
    w.leaves_open();
    w
}

/// Anna's call and a listener on it, watched.
fn listened_to() -> (World, Leg, Leg) {
    let mut w = watched();
    let (caller, agent) = w.call_agent();
    w.listen("anna", "admin");
    w.run_for(S);
    assert_eq!(broken(&w), [""; 0], "nothing is broken before somebody breaks it");
    (w, caller, agent)
}

fn broken(w: &World) -> Vec<&'static str> {
    w.watch.as_ref().map(|watch| watch.broken.iter().map(|b| b.rule).collect()).unwrap_or_default()
}

#[track_caller]
fn breaks(w: &World, rule: &str) {
    assert!(broken(w).contains(&rule), "wanted {rule}: {:?}", broken(w));
}

fn sabotage(w: &mut World, change: impl FnMut(&mut Vec<Output>) + 'static) {
    w.sabotage = Some(Sabotage(Box::new(change)));
}

fn look(w: &mut World) {
    w.watched(|watch, world| watch.step(world));
}

fn is_final(output: &Output, status: &[u8]) -> bool {
    matches!(output, Output::Transmit { data, .. } if data.starts_with(status))
}

#[test]
fn a_second_final_answer_is_seen() {
    let (mut w, caller, _) = listened_to();
    sabotage(&mut w, |outputs| {
        let ok = outputs.iter().find_map(|output| match output {
            Output::Transmit { flow, data } if data.starts_with(b"SIP/2.0 200") => Some((*flow, data.clone())),
            _ => None,
        });
        let Some((flow, data)) = ok else { return };
        let other = String::from_utf8_lossy(&data).replacen("200 OK", "500 No", 1);
        outputs.push(Output::Transmit { flow, data: other.into() });
    });
    w.hang_up(caller);
    w.run_for(S);
    breaks(&w, "one final answer per request");
}

#[test]
fn a_missing_final_answer_is_seen() {
    let (mut w, caller, _) = listened_to();
    sabotage(&mut w, |outputs| outputs.retain(|output| !is_final(output, b"SIP/2.0 200")));
    w.hang_up(caller);
    w.run_for(50 * S);
    look(&mut w);
    breaks(&w, "every request gets a final answer");
}

#[test]
fn an_end_told_twice_and_a_second_reason_are_seen() {
    let (mut w, caller, _) = listened_to();
    sabotage(&mut w, |outputs| {
        let end = outputs.iter().find_map(|output| match output {
            Output::Event(event) if event.name == EventName::ListeningEnded => Some(event.clone()),
            _ => None,
        });
        let other = outputs.iter().find_map(|output| match output {
            Output::View(View::Listening(view)) if view.state == ListeningState::Ended => Some(view.clone()),
            _ => None,
        });
        outputs.extend(end.map(Output::Event));
        outputs.extend(other.map(|mut view| {
            view.end_reason = Some(EndReason::Deleted);
            Output::View(View::Listening(view))
        }));
    });
    w.hang_up(caller);
    w.run_for(S);
    breaks(&w, "an event fits what it tells of");
    breaks(&w, "a listening has one reason");
}

#[test]
fn a_view_that_is_not_shown_is_seen() {
    let (mut w, caller, _) = listened_to();
    sabotage(&mut w, |outputs| outputs.retain(|output| !matches!(output, Output::View(View::Listening(_)))));
    w.hang_up(caller);
    w.run_for(S);
    breaks(&w, "views show the open listenings");
}

#[test]
fn what_is_left_is_seen() {
    let (mut w, caller, _) = listened_to();
    sabotage(&mut w, |outputs| {
        outputs.retain(|output| !matches!(output, Output::Media(media::Command::CloseListener { .. })));
    });
    w.hang_up(caller);
    w.run_for(100 * S);
    let left: Vec<&str> = w.what_is_left().into_iter().map(|(rule, _)| rule).collect();
    for rule in ["nothing is left in the engine", "nothing is left in the media plane", "every port comes back"] {
        assert!(left.contains(&rule), "wanted {rule}: {left:?}");
    }
}

#[test]
fn a_wake_up_that_changes_nothing_is_seen() {
    let (mut w, _, _) = listened_to();
    // time has passed and the engine was not told: its wake-up time stays in the past
    w.now += 100 * S;
    for _ in 0..5 {
        w.watched(|watch, world| {
            watch.input(world, &engine::Input::Timeout);
            watch.driven(world);
        });
    }
    breaks(&w, "waking up gets the engine on");
}

#[test]
fn a_shield_that_does_not_reach_the_media_plane_is_seen() {
    let (mut w, _, _) = listened_to();
    let call = w.only_call().id.clone();
    sabotage(&mut w, |outputs| {
        outputs.retain(|output| !matches!(output, Output::Media(media::Command::Shield { .. })));
    });
    w.ask("platform", Command::Shield { call, on: true });
    w.run_for(S);
    breaks(&w, "silence under the shield");
}

#[test]
fn a_held_caller_who_is_heard_is_seen() {
    let (mut w, _, agent) = listened_to();
    w.habits("trunk", |h| h.keep_sending = true);
    sabotage(&mut w, |outputs| {
        outputs.retain(|output| !matches!(output, Output::Media(media::Command::Describe { .. })));
    });
    w.hold(agent, signalling::sdp::Direction::SendOnly);
    for _ in 0..10 {
        w.run_for(S / 5);
        w.watched(|watch, world| watch.step(world));
    }
    breaks(&w, "a held caller is not heard");
}

#[test]
fn a_tap_on_an_agent_who_may_not_be_heard_is_seen() {
    let (mut w, _, _) = listened_to();
    sabotage(&mut w, |outputs| {
        for output in outputs {
            if let Output::View(View::Agent(agent)) = output {
                agent.monitorable = false;
            }
        }
    });
    w.ask("platform", Command::PutStatus { id: "anna".into(), status: engine::view::AgentStatus::Pause });
    w.hang_up(w.legs("trunk")[0]);
    w.call_agent();
    w.run_for(3 * S);
    breaks(&w, "an agent who is not monitorable is not tapped");
}

#[test]
fn a_call_that_says_do_not_monitor_and_is_tapped_is_seen() {
    let (mut w, caller, _) = listened_to();
    w.private.insert(w.call(caller).sip_call_id().to_owned());
    w.shield(&w.only_call().id.clone(), false);
    w.run_for(6 * S);
    breaks(&w, "a call that says do-not-monitor is not tapped");
}

#[test]
fn too_many_calls_and_listeners_are_seen() {
    let mut w = watched();
    w.limits.listeners = 0;
    sabotage(&mut w, |outputs| {
        for output in outputs {
            match output {
                Output::View(View::Request(request)) => request.calls.limit = Some(0),
                Output::Persist { changes, .. } => {
                    for change in changes {
                        if let Change::Heard(_, record) = change {
                            record.view.calls.limit = Some(0);
                        }
                    }
                }
                _ => {}
            }
        }
    });
    w.call_agent();
    w.order("anna", user("admin")).calls(1).accepted();
    w.run_for(6 * S);
    breaks(&w, "N is never overrun");
    breaks(&w, "N is never overrun in the store");
    breaks(&w, "max_listeners_per_agent");
}

#[test]
fn a_second_answer_and_one_order_too_many_are_seen() {
    let mut w = watched();
    w.limits.admin = Some(0);
    w.order("anna", agent("bo")).calls(1).accepted();
    breaks(&w, "active requests of a role");
    sabotage(&mut w, |outputs| outputs.retain(|output| !matches!(output, Output::Reply { .. })));
    w.ask("platform", Command::PutStatus { id: "bo".into(), status: engine::view::AgentStatus::Pause });
    w.run_for(5 * S);
    look(&mut w);
    breaks(&w, "a command is answered");
}

#[test]
fn an_order_lost_by_a_restart_and_a_phantom_are_seen() {
    let lost = |forget: bool| {
        let mut w = watched();
        w.order("anna", user("admin")).calls(1).accepted();
        w.kill();
        if let Some(watch) = &mut w.watch {
            watch.killed();
            if !forget {
                watch.orders = Default::default();
            }
        }
        if forget {
            w.disk.store = store::MemoryStore::new();
        }
        w.launch();
        w.watched(crate::watch::Watch::restarted);
        w
    };
    breaks(&lost(true), "an acknowledged order is there after a restart");
    breaks(&lost(false), "no phantom order is there after a restart");
}

#[test]
#[should_panic(expected = "a listener's packet reached")]
fn a_listeners_packet_at_a_party_is_seen() {
    let (mut w, caller, _) = listened_to();
    w.listener_ssrcs.insert(w.call(caller).ssrc());
    w.run_for(S);
}

#[test]
fn one_byte_more_or_later_is_seen() {
    let plan = Plan::of(5);
    let (without, mut with) = (plan.live_with(0, false), plan.live_with(1, false));
    let packets = with.received.iter_mut().find(|(_, packets)| !packets.is_empty()).expect("somebody hears something");
    packets.1[0].1 ^= 1;
    assert!(equal::difference(&without, &with, 1).is_some());
}

#[test]
fn the_same_seed_lives_the_same_life() {
    let plan = Plan::of(1);
    let (one, other) = (plan.live(true), plan.live(true));
    assert_eq!(one.history, other.history);
}
