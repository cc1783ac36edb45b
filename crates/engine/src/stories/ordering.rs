//! SEMANTICS, Ordering: every row, and who may do what with requests.

use super::*;

fn code(b: &mut Bench, actor: &str, order: Order) -> (u16, &'static str, Option<&'static str>) {
    let problem = b.order_as(actor, order).unwrap_err();
    (problem.status, problem.code, problem.field)
}

#[test]
fn an_order_during_a_call_rings_the_listener_at_once() {
    let mut b = Bench::new();
    b.call("1001");
    let request = b.order_as("admin", order("anna", user("sue"), Some(2))).unwrap();
    assert_eq!(
        (request.state, request.calls, request.ordered_by.as_str()),
        (RequestState::Waiting, CallCount { limit: Some(2), used: 0 }, "admin")
    );
    assert!(request.warnings.is_empty());
    let new = b.listener();
    assert_eq!(new.destination, account(&b, "sue"));
    assert_eq!(
        (new.from_user.as_str(), new.from_display.as_str(), new.identity),
        ("+4721000000", "Listen in: Anna Berg", true)
    );
    assert_eq!(b.request(&request.id).state, RequestState::Calling);
    b.listens();
    assert_eq!(b.request(&request.id).state, RequestState::Listening);
}

#[test]
fn an_order_before_the_call_waits_for_the_agents_answer() {
    let mut b = Bench::new();
    b.order("anna", user("sue"), 1);
    let call = b.trunk_calls("1001", &[]).unwrap();
    b.ring(call.callee);
    assert!(b.listeners().is_empty(), "only answered calls are forked");
    b.answer(call);
    assert_eq!(b.listeners().len(), 1);
}

#[test]
fn no_call_before_until_ends_expired_and_nobody_is_called() {
    let mut b = Bench::new();
    let until = Some(b.wall(2));
    let id = b.order_as("admin", Order { until, ..order("anna", user("sue"), None) }).unwrap().id;
    b.seconds(1);
    assert_eq!(b.request(&id).state, RequestState::Waiting);
    b.seconds(2);
    assert_eq!(b.request(&id).state, RequestState::Expired);
    assert!(b.removed.contains(&id) && b.names().contains(&EventName::RequestEnded));
    b.call("1001");
    assert!(b.listeners().is_empty());
}

#[test]
fn n_alone_gets_the_default_until() {
    let mut b = Bench::new();
    let request = b.order_as("admin", order("anna", user("sue"), Some(1))).unwrap();
    assert_eq!(request.until, b.wall(12 * 3600));
}

#[test]
fn bad_bodies_name_the_field() {
    let mut b = Bench::new();
    let good = || order("anna", user("sue"), Some(1));
    assert_eq!(code(&mut b, "admin", Order { calls: None, ..good() }), (422, "invalid-request", Some("calls")));
    for calls in [0, -1, 1000, i64::MAX] {
        assert_eq!(
            code(&mut b, "admin", Order { calls: Some(calls), ..good() }),
            (422, "invalid-request", Some("calls"))
        );
    }
    let (past, far) = (b.wall(-1), b.wall(31 * 86_400 + 60));
    assert_eq!(code(&mut b, "admin", Order { until: Some(past), ..good() }), (422, "invalid-request", Some("until")));
    assert_eq!(code(&mut b, "admin", Order { until: Some(far), ..good() }), (422, "invalid-request", Some("until")));
    assert_eq!(code(&mut b, "admin", Order { listener: None, ..good() }), (422, "invalid-request", Some("listener")));
    assert_eq!(
        code(&mut b, "admin", Order { directions: Some(vec![]), ..good() }),
        (422, "invalid-request", Some("directions"))
    );
    for bad in
        ["", "+", "call me", "sip:x@y", "sip:bo@elsewhere.test", "sip:bo@127.0.0.1:6001", "12345678901234567890123"]
    {
        assert_eq!(
            code(&mut b, "admin", order("anna", number(bad), Some(1))),
            (422, "invalid-request", Some("listener")),
            "{bad}"
        );
    }
}

#[test]
fn layouts_and_confirmation_are_taken_or_named() {
    let mut b = Bench::new();
    let good = || order("anna", user("sue"), Some(1));
    let invalid = |field| (422, "invalid-request", Some(field));
    assert_eq!(code(&mut b, "admin", Order { layout: Some("5.1".into()), ..good() }), invalid("layout"));
    let page = Order { listener: Some(ListenerOrder::Page), confirm: Some(true), ..good() };
    assert_eq!(code(&mut b, "admin", page), invalid("confirm"));
    for (name, layout) in
        [("mono", Layout::Mono), ("stereo", Layout::Stereo), ("agent", Layout::Agent), ("caller", Layout::Caller)]
    {
        let order = Order { layout: Some(name.into()), confirm: Some(true), ..good() };
        let view = b.order_as("admin", order).unwrap();
        assert_eq!((view.layout, view.confirm), (layout, true));
    }
    let view = b.order_as("admin", good()).unwrap();
    assert_eq!((view.layout, view.confirm), (Layout::Mono, false));
}

#[test]
fn unknown_agents_and_listeners_are_404() {
    let mut b = Bench::new();
    assert_eq!(code(&mut b, "admin", order("nobody", user("sue"), Some(1))).1, "agent-not-found");
    assert_eq!(code(&mut b, "admin", order("anna", user("nobody"), Some(1))), (404, "listener-not-found", None));
    assert_eq!(
        code(&mut b, "admin", order("anna", ListenerOrder::Agent("nobody".into()), Some(1))).1,
        "listener-not-found"
    );
    assert_eq!(
        code(&mut b, "admin", order("anna", user("platform"), Some(1))).1,
        "listener-not-found",
        "without a softphone"
    );
}

#[test]
fn the_listener_is_never_the_agent() {
    let mut b = Bench::new();
    let addresses = ["anna", "sip:anna@pbx.test", "sip:1001@pbx.test", "tel:1001", "sip:anna@127.0.0.1:6001"];
    for listener in [ListenerOrder::Agent("anna".into()), number("1001"), number("10 01"), number("+1001")]
        .into_iter()
        .chain(addresses.map(number))
    {
        assert_eq!(
            code(&mut b, "admin", order("anna", listener, Some(1))),
            (422, "listener-is-agent", Some("listener"))
        );
    }
}

#[test]
fn a_number_that_is_somebodys_here_rings_that_phone() {
    let mut b = Bench::new();
    b.call("1001");
    b.order("anna", number("1002"), 1);
    assert_eq!(b.listener().destination, account(&b, "bo"));
    b.order("anna", number("+47 99 99 99 99"), 1);
    assert_eq!(b.listener().destination, Destination::Trunk(TrunkId(0), "+4799999999".into()));
}

#[test]
fn whom_a_supervisor_may_call() {
    let mut b = Bench::new();
    for (listener, allowed) in [
        (user("sue"), true),
        (user("admin"), true),
        (ListenerOrder::Agent("bo".into()), true),
        (ListenerOrder::Agent("cia".into()), false),
        (number("1003"), false),
        (number("+4799999999"), true),
        (number("+4699999999"), false),
    ] {
        let result = b.order_as("sue", order("anna", listener.clone(), Some(1)));
        match result {
            Ok(request) => {
                assert!(allowed, "{listener:?}");
                b.command("sue", Command::DeleteRequest { id: request.id }).unwrap();
            }
            Err(problem) => assert_eq!(
                (allowed, problem.status, problem.code),
                (false, 403, "listener-not-allowed"),
                "{listener:?}"
            ),
        }
    }
}

#[test]
fn an_access_number_is_needed() {
    let mut b = Bench::with(Settings { access_number: None, ..settings() }, seed(), Restored::default());
    assert_eq!(code(&mut b, "admin", order("anna", user("sue"), Some(1))), (409, "access-number-missing", None));
    assert!(b.logs.iter().any(|line| line.contains("access number")));
}

#[test]
fn a_supervisor_has_one_active_request_an_admin_many() {
    let mut b = Bench::new();
    let first = b.order_as("sue", order("anna", user("sue"), Some(1))).unwrap();
    let problem = b.order_as("sue", order("bo", user("sue"), Some(1))).unwrap_err();
    assert_eq!(
        (problem.status, problem.code, problem.related.as_deref()),
        (409, "active-request-exists", Some(first.id.as_str()))
    );
    b.order("anna", user("admin"), 1);
    let second = b.order_as("admin", order("cia", user("admin"), Some(1))).unwrap();
    assert_eq!(second.warnings.iter().map(|w| w.code.as_str()).collect::<Vec<_>>(), ["listener-already-assigned"]);
    assert!(b.request(&second.id).warnings.is_empty(), "only in the answer");
    b.command("sue", Command::DeleteRequest { id: first.id }).unwrap();
    assert!(b.order_as("sue", order("bo", user("sue"), Some(1))).is_ok());
}

#[test]
fn strict_listeners_are_409_and_all_requests_have_a_limit() {
    let mut b =
        Bench::with(Settings { strict_listener: true, max_requests: 2, ..settings() }, seed(), Restored::default());
    let first = b.order("anna", user("admin"), 1);
    let problem = b.order_as("admin", order("cia", user("admin"), Some(1))).unwrap_err();
    assert_eq!((problem.status, problem.code, problem.related), (409, "listener-already-assigned", Some(first)));
    b.order("anna", user("sue"), 1);
    assert_eq!(code(&mut b, "admin", order("anna", user("sam"), Some(1))), (503, "limit-reached", None));
}

#[test]
fn whom_one_may_monitor() {
    let mut b = Bench::new();
    assert_eq!(code(&mut b, "sue", order("cia", user("sue"), Some(1))), (403, "agent-not-monitorable", None));
    let hidden = AgentChange { monitorable: Some(false), ..AgentChange::default() };
    b.command("platform", Command::PutAgent { id: "anna".into(), agent: hidden }).unwrap();
    assert_eq!(code(&mut b, "admin", order("anna", user("sue"), Some(1))), (403, "agent-not-monitorable", None));
    assert_eq!(code(&mut b, "platform", order("bo", user("sue"), Some(1))), (403, "forbidden", None));
    assert_eq!(code(&mut b, "stranger", order("bo", user("sue"), Some(1))), (403, "forbidden", None));
}

#[test]
fn a_dry_run_keeps_nothing() {
    let mut b = Bench::new();
    b.order("cia", user("sue"), 1);
    b.call("1001");
    let before = b.persisted.len();
    let Ok(Reply::Request(view)) =
        b.command("admin", Command::Order { order: order("anna", user("sue"), Some(1)), dry_run: true })
    else {
        panic!()
    };
    assert_eq!((view.state, view.warnings.len()), (RequestState::Waiting, 1));
    assert_eq!((b.requests.len(), b.persisted.len()), (1, before));
    assert!(b.listeners().is_empty());
    assert_eq!(
        b.command("admin", Command::Order { order: order("nobody", user("sue"), Some(1)), dry_run: true })
            .unwrap_err()
            .code,
        "agent-not-found"
    );
}

#[test]
fn an_order_that_cannot_be_recorded_is_not_taken_and_calls_go_on() {
    let mut b = Bench::new();
    let call = b.call("1001");
    b.store_up = false;
    assert_eq!(code(&mut b, "admin", order("anna", user("sue"), Some(1))), (503, "audit-unavailable", None));
    assert!(b.requests.is_empty() && b.listeners().is_empty());
    let refused = b.order_as("sue", order("anna", user("sue"), Some(1))).unwrap_err();
    assert!(refused.detail.ends_with(": disk full"), "{}", refused.detail);
    assert_eq!(b.call_view(call).state, CallState::Up);
    b.store_up = true;
    assert!(b.order_as("sue", order("anna", user("sue"), Some(1))).is_ok());
}

#[test]
fn the_answer_waits_for_the_store_and_so_does_the_listener() {
    let mut b = Bench::new();
    b.call("1001");
    b.hold_store = true;
    b.drive(Input::Command {
        reply: ReplyId(99),
        actor: "admin".into(),
        command: Command::Order { order: order("anna", user("sue"), Some(1)), dry_run: false },
    });
    assert!(b.replies.is_empty() && b.requests.is_empty());
    let (persist, _) = b.held_back.remove(0);
    b.drive(Input::Persisted { persist, result: Ok(()) });
    assert!(b.replies.contains_key(&99));
    assert!(b.listeners().is_empty(), "the listening has no record yet");
    let (persist, changes) = b.held_back.remove(0);
    assert!(matches!(changes[..], [Change::Listening(_), Change::Audit(_)]));
    b.drive(Input::Persisted { persist, result: Ok(()) });
    assert_eq!(b.listeners().len(), 1);
}

#[test]
fn which_calls_trigger() {
    let mut b = Bench::new();
    b.order("anna", user("sue"), 9);
    let call = b.dial("anna", "+4799999999");
    assert!(b.listeners().is_empty(), "outbound does not by default");
    b.order("anna", user("sam"), 9);
    assert_eq!(b.listeners().len(), 1, "a call in progress counts whatever its direction");
    b.bye(call.caller);
    b.order_as(
        "admin",
        Order {
            directions: Some(vec![CallDirection::Outbound, CallDirection::Internal]),
            ..order("bo", user("admin"), Some(9))
        },
    )
    .unwrap();
    let before = b.listeners().len();
    let call = b.dial("bo", "+4799999999");
    assert_eq!(b.listeners().len(), before + 1);
    b.bye(call.callee);
    let call = b.dial("cia", "1002");
    assert_eq!(b.listeners().len(), before + 2, "internal, on the called side");
    b.bye(call.callee);
    b.call("1002");
    assert_eq!(b.listeners().len(), before + 2, "inbound was not named");
}

#[test]
fn requests_are_changed_resumed_and_deleted_by_their_owner_or_an_admin() {
    let mut b = Bench::new();
    let id = b.order_as("sue", order("anna", user("sue"), Some(1))).unwrap().id;
    let change = |calls, until| Command::ChangeRequest { id: id.clone(), calls, until };
    let Ok(Reply::Request(view)) = b.command("sue", change(Some(5), None)) else { panic!() };
    assert_eq!(view.calls.limit, Some(5));
    let later = b.wall(600);
    let Ok(Reply::Request(view)) = b.command("admin", change(None, Some(later))) else { panic!() };
    assert_eq!((view.calls.limit, view.until), (Some(5), later));
    assert_eq!(b.command("sue", change(Some(0), None)).unwrap_err().field, Some("calls"));
    let past = b.wall(-1);
    assert_eq!(b.command("sue", change(None, Some(past))).unwrap_err().field, Some("until"));
    assert_eq!(b.command("sam", change(Some(2), None)).unwrap_err().code, "request-not-found");
    assert_eq!(b.command("sam", Command::DeleteRequest { id: id.clone() }).unwrap_err().status, 404);
    assert_eq!(b.command("platform", Command::DeleteRequest { id: id.clone() }).unwrap_err().code, "forbidden");
    b.command("sue", Command::DeleteRequest { id: id.clone() }).unwrap();
    assert_eq!(b.request(&id).state, RequestState::Deleted);
    assert_eq!(b.command("sue", Command::DeleteRequest { id }).unwrap_err().code, "request-not-found");
}

#[test]
fn a_paused_agents_request_stays_armed() {
    let mut b = Bench::new();
    let id = b.order("anna", user("sue"), 1);
    b.command("platform", Command::PutStatus { id: "anna".into(), status: AgentStatus::LoggedOff }).unwrap();
    assert_eq!(b.request(&id).state, RequestState::Waiting);
    b.call("1001");
    assert_eq!(b.listeners().len(), 1);
}

#[test]
fn n_lowered_while_listenings_are_recorded_is_not_overrun() {
    let mut b = Bench::new();
    let id = b.order("anna", user("sue"), 2);
    b.hold_store = true;
    let (one, other) = (b.call("1001"), b.call("1001"));
    let calls = Some(1);
    let command = Command::ChangeRequest { id, calls, until: None };
    b.drive(Input::Command { reply: ReplyId(99), actor: "admin".into(), command });
    b.hold_store = false;
    b.answer_store(true);
    let under_way = b.listenings.values().filter(|l| l.state == ListeningState::Ringing).count();
    assert_eq!(under_way, 1, "the other waits for a slot");
    b.bye(one.caller);
    b.bye(other.caller);
}

#[test]
fn whom_a_listener_has_already_is_told_only_to_who_may_see_that_request() {
    for strict_listener in [false, true] {
        let mut b = Bench::with(Settings { strict_listener, ..settings() }, seed(), Restored::default());
        let theirs = b.order("cia", user("sue"), 1);
        let mut words = |actor: &str| match b.order_as(actor, order("anna", user("sue"), Some(1))) {
            Ok(view) => (view.warnings[0].message.clone(), None),
            Err(problem) => (problem.detail, problem.related),
        };
        let (message, related) = words("sue");
        assert_eq!((message.as_str(), related), ("this listener already listens to another agent", None));
        let (message, related) = words("admin");
        assert!(message.contains("Cia"), "{message}");
        assert_eq!(related, strict_listener.then_some(theirs));
    }
}
