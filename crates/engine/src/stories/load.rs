//! Several media shards: where calls and listeners begin, and what a late shard still takes.

use media::ports::Layout;

use super::*;

/// Two shards; the bench's ports go to them by turns.
fn two() -> Bench {
    let media_layout = Layout { first: 20_000, shards: 2 };
    Bench::with(Settings { media_layout, ..settings() }, seed(), Restored::default())
}

fn late(b: &mut Bench, shard: usize, lag_ms: u64) {
    let lag = Duration::from_millis(lag_ms);
    b.drive(Input::Media(media::Event::Load { shard, lag }));
}

/// The shard of the port with which a stream or listener was opened.
fn shard_of(b: &Bench, wanted: impl Fn(&media::Command) -> Option<Port>) -> usize {
    let port = b.media.iter().rev().find_map(wanted).expect("it was opened");
    b.core.settings.media_layout.shard_of(port)
}

fn shard_of_leg(b: &Bench, leg: LegId) -> usize {
    let of = b.stream(leg);
    shard_of(b, |command| match command {
        media::Command::Open { stream, port } if *stream == of => Some(*port),
        _ => None,
    })
}

fn shard_of_listener(b: &Bench) -> usize {
    shard_of(b, |command| match command {
        media::Command::OpenListener { port, .. } => Some(*port),
        _ => None,
    })
}

#[test]
fn calls_spread_and_what_an_agent_does_stays_together() {
    let mut b = two();
    b.order("anna", user("sue"), 9);
    let bos = b.call("1002");
    assert_eq!((shard_of_leg(&b, bos.caller), shard_of_leg(&b, bos.callee)), (0, 0));
    let annas = b.call("1001");
    assert_eq!((shard_of_leg(&b, annas.caller), shard_of_leg(&b, annas.callee)), (1, 1));
    b.listens();
    assert_eq!(shard_of_listener(&b), 1);
    b.hold(annas.callee);
    let consult = b.dial("anna", "1003");
    assert_eq!((shard_of_leg(&b, consult.caller), shard_of_leg(&b, consult.callee)), (1, 1), "though shard 0 has less");
    b.refer(annas.callee, "1002", None);
    let target = b.accepted().unwrap().unwrap();
    assert_eq!(shard_of_leg(&b, target.leg), 1);
    let sizes = b.core.sizes();
    assert_eq!((sizes.shards, sizes.shards_over_call_lag), (2, 0));
    for leg in [target.leg, consult.caller, annas.caller, bos.caller] {
        b.bye(leg);
    }
    b.is_quiet();
}

#[test]
fn a_call_goes_where_there_is_time_and_503_says_when_there_is_none() {
    let mut b = two();
    late(&mut b, 0, 25);
    let first = b.call("1001");
    let second = b.call("1002");
    assert_eq!((shard_of_leg(&b, first.caller), shard_of_leg(&b, second.caller)), (1, 1));
    late(&mut b, 1, 21);
    assert!(b.trunk_calls("1003", &[]).is_none());
    assert_eq!(b.refused(), Some((503, Some(5))));
    assert_eq!((b.count("calls_refused_load"), b.count("calls_refused_no_port")), (1, 0));
    assert_eq!(b.core.sizes().shards_over_call_lag, 2);
    b.hold(first.callee);
    b.resume(first.callee);
    assert_eq!(b.call_view(first).state, CallState::Up, "calls that are up go on");
    late(&mut b, 0, 1);
    assert!(b.trunk_calls("1003", &[]).is_some());
    assert_eq!(b.logs.iter().filter(|line| line.contains("no new calls")).count(), 2);
    assert_eq!(b.logs.iter().filter(|line| line.contains("takes new calls again")).count(), 1);
}

#[test]
fn a_listener_is_called_when_the_shard_is_in_time_again() {
    let mut b = two();
    let id = b.order("anna", user("sue"), 1);
    late(&mut b, 0, 6);
    late(&mut b, 1, 6);
    let call = b.call("1001");
    let shard = shard_of_leg(&b, call.callee);
    assert!(b.listeners().is_empty());
    assert_eq!((b.last_listening().state, b.count("forks_refused_load")), (ListeningState::Waiting, 1));
    assert_eq!(b.request(&id).state, RequestState::Waiting);
    late(&mut b, 1 - shard, 0);
    assert!(b.listeners().is_empty(), "another shard's time helps nobody here");
    late(&mut b, shard, 5);
    assert_eq!(b.listeners().len(), 1);
    b.listens();
    b.heard(3_000);
    late(&mut b, shard, 30);
    assert_eq!(b.last_listening().state, ListeningState::Live, "who listens goes on");
    b.bye(call.caller);
    assert_eq!(b.reasons(), vec![EndReason::CallEnded]);
    b.is_quiet();
}

#[test]
fn who_waited_for_a_late_shard_until_the_call_was_over_met_a_limit() {
    let mut b = Bench::new();
    b.order("anna", user("sue"), 9);
    late(&mut b, 0, 6);
    let call = b.call("1001");
    b.bye(call.caller);
    assert_eq!(b.reasons(), vec![EndReason::LimitReached]);
    assert_eq!(b.count("listenings_limited"), 1);
    assert!(b.listeners().is_empty());
    late(&mut b, 0, 0);
    assert!(b.listeners().is_empty());
    b.is_quiet();
}

#[test]
fn a_second_request_for_the_same_ear_needs_no_new_fork() {
    let mut b = Bench::new();
    b.order("anna", user("sue"), 9);
    let call = b.call("1001");
    b.listens();
    late(&mut b, 0, 10);
    b.order("anna", user("sue"), 9);
    assert_eq!((b.listeners().len(), b.count("forks_refused_load")), (1, 0));
    assert!(b.listenings.values().all(|listening| listening.state == ListeningState::Live));
    b.bye(call.caller);
    b.is_quiet();
}

#[test]
fn what_the_media_plane_was_set_up_with_stays_on_reload() {
    let mut b = two();
    let new = Settings { call_lag: Duration::from_secs(9), ..settings() };
    b.drive(Input::Settings(Box::new(new)));
    assert_eq!(b.core.settings.media_layout.shards, 2);
    assert_eq!(b.core.settings.call_lag, Duration::from_millis(20));
}
