//! Stories at the door: who may come in, and what is answered before a call is touched.

mod support;

use signalling::Event;
use signalling::digest::Credentials;
use signalling::message::{HeaderName, Limits, Method};
use support::*;

fn outside(net: &mut Net, phone: Phone, method: &str, uri: &str, extra: &str) {
    let serial = net.serial();
    let (from, to) = (format!("<sip:{}@medlytt.test>;tag=t{serial}", phone.user), format!("<{uri}>"));
    let text = request_text(net, phone, method, uri, &from, &to, &format!("out{serial}"), 1, extra, None);
    net.send(phone, text);
}

fn denied(net: &Net) -> usize {
    net.events.iter().filter(|event| matches!(event, Event::Denied { .. })).count()
}

#[test]
fn a_stranger_is_refused_and_reported() {
    let mut net = Net::new();
    outside(&mut net, STRANGER, "INVITE", "sip:anna@192.0.2.1", "");
    net.expect(STRANGER, "403");
    assert!(net.events.iter().any(
        |event| matches!(event, Event::Denied { source, method, .. } if source.to_string() == STRANGER.addr && method == "INVITE")
    ));
    assert!(net.offered().is_empty());
    net.nothing(ANNA);
    // But anybody may ask what we are.
    outside(&mut net, STRANGER, "OPTIONS", "sip:192.0.2.1", "");
    let ok = net.expect(STRANGER, "200");
    assert_eq!((header(&ok, "Supported"), header(&ok, "Accept")), ("replaces", "application/sdp"));
    assert!(header(&ok, "Allow").contains("REFER"));
    net.assert_clean();
}

#[test]
fn a_stranger_cannot_speak_in_a_dialog() {
    let mut net = Net::new();
    let (mut caller, agent, ..) = call_up(&mut net);
    let mut stolen = caller.clone();
    stolen.phone = STRANGER;
    stolen.request(&mut net, "BYE", "", None);
    net.expect(STRANGER, "403");
    net.nothing(ANNA);
    assert_eq!(denied(&net), 1);
    caller.bye(&mut net);
    agent.byed(&mut net);
    net.assert_clean();
}

#[test]
fn requests_that_cannot_be_served() {
    let mut net = Net::new();
    for (method, uri, extra, status) in [
        ("INVITE", "mailto:anna@192.0.2.1", "", "416"),
        ("INVITE", "sips:anna@192.0.2.1", "", "416"),
        ("INVITE", "sip:anna@192.0.2.1", "Require: 100rel, replaces\r\n", "420"),
        ("INVITE", "sip:anna@192.0.2.1", "Max-Forwards: 0\r\n", "483"),
        ("OPTIONS", "sip:192.0.2.1", "Max-Forwards: 0\r\n", "200"),
        ("OPTIONS", "novel:192.0.2.1", "", "416"),
        ("SUBSCRIBE", "sip:anna@192.0.2.1", "Event: presence\r\n", "405"),
        ("MESSAGE", "sip:anna@192.0.2.1", "", "405"),
        ("PUBLISH", "sip:anna@192.0.2.1", "", "405"),
        ("NEWMETHOD", "sip:anna@192.0.2.1", "", "501"),
        ("BYE", "sip:anna@192.0.2.1", "", "481"),
        ("UPDATE", "sip:anna@192.0.2.1", "", "481"),
        ("INFO", "sip:anna@192.0.2.1", "", "481"),
        ("REFER", "sip:anna@192.0.2.1", "Refer-To: <sip:bo@medlytt.test>\r\n", "481"),
        ("NOTIFY", "sip:anna@192.0.2.1", "Event: refer\r\n", "481"),
        ("NOTIFY", "sip:anna@192.0.2.1", "Event: message-summary\r\n", "489"),
        ("CANCEL", "sip:anna@192.0.2.1", "", "481"),
    ] {
        let serial = net.serial();
        let (from, to) = (format!("<sip:{}@x>;tag=t{serial}", TRUNK.user), format!("<{uri}>"));
        let mut text = request_text(&mut net, TRUNK, method, uri, &from, &to, &format!("out{serial}"), 1, extra, None);
        if extra.contains("Max-Forwards") {
            text = text.replacen("Max-Forwards: 70\r\n", "", 1);
        }
        net.send(TRUNK, text);
        let answer = net.next(TRUNK).unwrap_or_else(|| panic!("{method} {uri} {extra} is not answered"));
        assert_eq!(answer.status().to_string(), status, "{method} {uri} {extra}");
        match status {
            "405" | "501" => assert!(header(&answer, "Allow").starts_with("INVITE")),
            "420" => assert_eq!(header(&answer, "Unsupported"), "100rel"),
            _ => {}
        }
    }
    net.assert_clean();
}

#[test]
fn in_a_dialog_that_does_not_exist() {
    let mut net = Net::new();
    for method in ["INVITE", "BYE", "INFO", "UPDATE", "REFER", "NOTIFY", "OPTIONS", "PRACK", "MESSAGE"] {
        let text = request_text(
            &mut net,
            TRUNK,
            method,
            "sip:x@192.0.2.1",
            "<sip:a@x>;tag=1",
            "<sip:b@x>;tag=2",
            &format!("no{method}"),
            5,
            "",
            None,
        );
        net.send(TRUNK, text);
        net.expect(TRUNK, "481");
    }
    let text = request_text(
        &mut net,
        TRUNK,
        "ACK",
        "sip:x@192.0.2.1",
        "<sip:a@x>;tag=1",
        "<sip:b@x>;tag=2",
        "noack",
        5,
        "",
        None,
    );
    net.send(TRUNK, text);
    net.nothing(TRUNK);
    assert_eq!(net.counter("acks_stray"), 1);
    net.assert_clean();
}

#[test]
fn bodies_that_are_no_description_of_ours() {
    let body = sdp(4000, "0", "sendrecv");
    for (extra, body, status) in [
        ("Content-Type: text/plain\r\n", "hello".to_owned(), "415"),
        ("Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n", body.clone(), "415"),
        ("Content-Type: application/sdp\r\n", "v=0\r\nnonsense".into(), "400"),
        ("Content-Type: application/sdp\r\n", body.replace("m=audio", "m=video"), "488"),
        ("Content-Type: application/sdp\r\n", body.replace("m=audio 4000", "m=audio 0"), "488"),
    ] {
        let mut net = Net::new();
        Call::out_with(&mut net, TRUNK, "anna", Some(body), extra);
        let answer = net.expect(TRUNK, status);
        if status == "415" {
            assert!(!header(&answer, "Accept").is_empty() || !header(&answer, "Accept-Encoding").is_empty());
        }
        assert!(net.offered().is_empty());
        net.assert_clean();
    }
    let mut net = Net::new();
    let parts = format!(
        "--b\r\nContent-Type: text/plain\r\n\r\nhi\r\n--b\r\nContent-Type: application/sdp\r\n\r\n{body}\r\n--b--\r\n"
    );
    Call::out_with(&mut net, TRUNK, "anna", Some(parts), "Content-Type: multipart/mixed;boundary=b\r\n");
    let callee = Call::incoming(&mut net, ANNA);
    assert_eq!(header(&callee.invite, "Content-Type"), "application/sdp");
}

#[test]
fn broken_messages_are_answered_where_they_can_be() {
    let mut net = Net::new();
    let good = request_text(
        &mut net,
        TRUNK,
        "INVITE",
        "sip:anna@192.0.2.1",
        "<sip:a@x>;tag=1",
        "<sip:anna@x>",
        "broken",
        1,
        "",
        None,
    );
    for (text, status) in [
        (good.replace("SIP/2.0\r\nVia", "SIP/3.0\r\nVia"), Some("505")),
        (good.replace("CSeq: 1 INVITE", "CSeq: 1 BYE"), Some("400")),
        (good.replace("CSeq: 1 INVITE", "CSeq: x INVITE"), None),
        ("hello".to_owned(), None),
        ("\r\n\r\n".to_owned(), None),
    ] {
        net.send_raw(TRUNK, text.clone().into_bytes());
        match status {
            Some(status) => {
                let answer = net.expect(TRUNK, status);
                assert_eq!(answer.call_id(), "broken");
            }
            None => drop(net.next(TRUNK)),
        }
    }
    net.nothing(TRUNK);
    assert_eq!(net.counter("keep_alives"), 1);
    assert!(net.counter("datagrams_not_sip") >= 1);
    net.assert_clean();
}

#[test]
fn an_invented_2xx_gets_nothing_from_us() {
    let mut net = Net::new();
    let text = |branch: &str| {
        format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{branch}\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@x>;tag=2\r\n\
             Call-ID: invented\r\nCSeq: 1 INVITE\r\nContact: <sip:b@203.0.113.99>\r\nContent-Length: 0\r\n\r\n"
        )
    };
    net.send(STRANGER, text("a"));
    net.nothing(STRANGER);
    assert_eq!(net.counter("stray_ok_dropped"), 1);
    // From who we may have called it could be a call that we forgot: it is ended.
    net.send(TRUNK, text("b"));
    net.expect(TRUNK, "ACK");
    net.expect(TRUNK, "BYE");
    net.assert_clean();
}

#[test]
fn a_2xx_to_somebody_elses_invite_gets_nothing_from_us() {
    let mut net = Net::new();
    for (serial, via) in ["198.51.100.20:5060", "192.0.2.1:5099", "pbx.example"].into_iter().enumerate() {
        let text = format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP {via};branch=z9hG4bKelse{serial}\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@x>;tag=2\r\n\
             Call-ID: elsewhere{serial}\r\nCSeq: 1 INVITE\r\nContact: <sip:b@10.0.0.9>\r\nContent-Length: 0\r\n\r\n"
        );
        net.send(TRUNK, text);
        net.nothing(TRUNK);
    }
    assert_eq!((net.counter("responses_misdirected"), net.counter("stray_ok")), (3, 0));
    net.assert_clean();
}

#[test]
fn a_merged_request_is_refused() {
    let mut net = Net::new();
    let mut call = Call::out(&mut net, TRUNK, "anna", Some(sdp(4000, "0", "sendrecv")));
    let again = String::from_utf8_lossy(call.invite.bytes()).replace("branch=z9hG4bK", "branch=z9hG4bKother");
    net.send(TRUNK, again);
    net.expect(TRUNK, "482");
    let callee = Call::incoming(&mut net, ANNA);
    callee.answer(&mut net, Some(sdp(5000, "0", "sendrecv")));
    call.established(&mut net);
    call.bye(&mut net);
    net.expect(ANNA, "ACK");
    callee.byed(&mut net);
    net.assert_clean();
}

#[test]
fn no_room_for_more_legs() {
    let mut net = Net::with(|settings| settings.max_legs = 2);
    let (mut caller, agent, ..) = call_up(&mut net);
    Call::out(&mut net, BO, "sue", Some(sdp(4000, "0", "sendrecv")));
    assert!(!header(&net.expect(BO, "503"), "Retry-After").is_empty());
    assert_eq!(net.counter("legs_refused"), 1);
    caller.bye(&mut net);
    agent.byed(&mut net);
    net.assert_clean();
}

#[test]
fn there_is_always_room_for_a_bye() {
    let mut net = Net::with(|settings| settings.max_transactions = 4);
    let (mut caller, agent, ..) = call_up(&mut net);
    net.seconds(40); // what the call left is forgotten
    for _ in 0..8 {
        caller.request(&mut net, "INFO", "", None); // nobody answers: the table fills
    }
    while net.next(TRUNK).is_some() {}
    while net.next(ANNA).is_some() {}
    assert!(net.counter("transactions_refused") > 0, "the table is full");
    caller.bye(&mut net);
    agent.byed(&mut net);
    net.assert_clean();
}

#[test]
fn a_phone_registers_calls_and_is_called() {
    let mut net = Net::new();
    let ok = register(&mut net, REX, "rex", "secret", 300);
    assert_eq!(ok.status(), 200);
    assert!(header(&ok, "Contact").contains("expires=300"));
    assert!(net.events.iter().any(|event| matches!(event, Event::Registered { bindings, .. } if bindings.len() == 1)));
    assert!(net.core.reachable(signalling::peers::PeerId(4)));
    // Called by the flow of its registration.
    let mut caller = Call::out(&mut net, TRUNK, "rex", Some(sdp(4000, "0", "sendrecv")));
    let callee = Call::incoming(&mut net, REX);
    assert_eq!(callee.invite.request_uri(), format!("sip:rex@{}", REX.addr));
    callee.answer(&mut net, Some(sdp(5000, "0", "sendrecv")));
    caller.established(&mut net);
    net.expect(REX, "ACK");
    caller.bye(&mut net);
    callee.byed(&mut net);
    // Its own calls are challenged.
    Call::out(&mut net, REX, "anna", Some(sdp(4000, "0", "sendrecv")));
    let challenge = net.expect(REX, "407");
    let challenges: Vec<&str> = challenge.headers(&HeaderName::ProxyAuthenticate).collect();
    let credentials = Credentials { user: "rex", password: "secret" };
    let value = digest_answer(&challenges, &credentials, &Method::Invite, "sip:anna@192.0.2.1");
    Call::out_with(
        &mut net,
        REX,
        "anna",
        Some(sdp(4000, "0", "sendrecv")),
        &format!("Proxy-Authorization: {value}\r\n"),
    );
    let callee = Call::incoming(&mut net, ANNA);
    callee.reject(&mut net, 486, "");
    net.expect(REX, "486");
    net.flush(ANNA);
    // The registration runs out.
    net.seconds(301);
    assert!(net.events.iter().any(|event| matches!(event, Event::Registered { bindings, .. } if bindings.is_empty())));
    assert!(!net.core.reachable(signalling::peers::PeerId(4)));
    net.assert_clean();
}

#[test]
fn nobody_learns_who_exists() {
    let mut net = Net::new();
    for user in ["rex", "anna", "nobody"] {
        let answer = register(&mut net, STRANGER, user, "wrong", 300);
        assert_eq!(answer.status(), 403, "{user}");
    }
    assert_eq!(denied(&net), 3);
    assert_eq!(net.counter("challenges"), 3);
    // A phone with a fixed contact may register from there, without a password.
    assert_eq!(register(&mut net, ANNA, "anna", "", 300).status(), 200);
    assert_eq!(register(&mut net, REX, "rex", "secret", 5).status(), 423);
    net.assert_clean();
}

#[test]
fn another_users_password_opens_nothing() {
    let mut net = Net::new();
    assert_eq!(register(&mut net, REX, "rex", "secret", 300).status(), 200);
    Call::out(&mut net, REX, "anna", Some(sdp(4000, "0", "sendrecv")));
    let challenge = net.expect(REX, "407");
    let challenges: Vec<&str> = challenge.headers(&HeaderName::ProxyAuthenticate).collect();
    let credentials = Credentials { user: "anna", password: "secret" };
    let value = digest_answer(&challenges, &credentials, &Method::Invite, "sip:anna@192.0.2.1");
    Call::out_with(
        &mut net,
        REX,
        "anna",
        Some(sdp(4000, "0", "sendrecv")),
        &format!("Proxy-Authorization: {value}\r\n"),
    );
    net.expect(REX, "403");
    assert!(net.offered().is_empty());
}

#[test]
fn parse_limits_answer_513() {
    let mut net = Net::new();
    let many = "X-A: b\r\n".repeat(Limits::default().headers + 1);
    let text = request_text(
        &mut net,
        TRUNK,
        "OPTIONS",
        "sip:192.0.2.1",
        "<sip:a@x>;tag=1",
        "<sip:b@x>",
        "big",
        1,
        &many,
        None,
    );
    net.send_raw(TRUNK, text.into_bytes());
    net.expect(TRUNK, "513");
}

#[test]
fn a_stranger_that_asks_again_gets_the_same_answer() {
    let mut net = Net::new();
    for method in ["INVITE", "OPTIONS", "BYE", "MESSAGE", "SUBSCRIBE", "NEW"] {
        let (uri, from, to) = ("sip:anna@192.0.2.1", "<sip:m@x>;tag=1", "<sip:anna@192.0.2.1>");
        let text = request_text(&mut net, STRANGER, method, uri, from, to, &format!("again-{method}"), 1, "", None);
        net.send(STRANGER, text.clone());
        let first = net.next(STRANGER).unwrap();
        net.send(STRANGER, text);
        // RFC 3261 §8.2.7: the To tag too
        assert_eq!(net.next(STRANGER).unwrap().bytes(), first.bytes(), "{method}");
    }
}

#[test]
fn a_flood_of_strangers_leaves_nothing_behind() {
    let mut net = Net::new();
    for n in 0..2000 {
        let method = ["INVITE", "OPTIONS", "BYE", "MESSAGE", "REGISTER", "SUBSCRIBE", "NEW"][n % 7];
        outside(&mut net, STRANGER, method, "sip:anna@192.0.2.1", "");
        let answer = net.next(STRANGER).unwrap();
        assert!(answer.status() >= 200, "no 100 for a stranger");
        net.nothing(STRANGER);
        assert_eq!(net.core.sizes().transactions, 0, "{method}");
    }
    assert_eq!(denied(&net), 50, "told to the engine within a second");
    assert!(net.counter("denials_untold") > 200 && net.counter("strangers_turned_away") > 280);
    // Nothing is repeated to an address that somebody may have forged.
    net.seconds(40);
    net.nothing(STRANGER);
    // Its ACK is ignored, and the same INVITE gets the same answer.
    let text =
        request_text(&mut net, STRANGER, "INVITE", "sip:a@b", "<sip:m@x>;tag=1", "<sip:a@b>", "again", 1, "", None);
    net.send(STRANGER, text.clone());
    let first = net.expect(STRANGER, "403");
    net.send(STRANGER, text.clone());
    assert_eq!(net.expect(STRANGER, "403").bytes(), first.bytes());
    let ack = text.replace("INVITE", "ACK").replace("To: <sip:a@b>", &format!("To: {}", header(&first, "To")));
    net.send(STRANGER, ack);
    net.nothing(STRANGER);
    assert_eq!(net.counter("acks_stray"), 0);
    net.assert_clean();
}

#[test]
fn an_invite_whose_answer_nobody_could_read_is_refused() {
    let mut net = Net::new();
    for (accept, called) in [
        ("text/plain", false),
        ("", false),
        ("text/plain, application/sdp", true),
        ("application/*;q=0.3", true),
        ("*/*", true),
    ] {
        let body = Some(sdp(4000, "0", "sendrecv"));
        let mut call = Call::out_with(&mut net, TRUNK, "anna", body, &format!("Accept: {accept}\r\n"));
        if called {
            net.expect(ANNA, "INVITE");
            call.cancel(&mut net);
            net.expect(TRUNK, "200");
            net.expect(TRUNK, "487");
            call.ack(&mut net, 1, None);
            net.flush(ANNA);
            call.cseq += 1;
        } else {
            net.expect(TRUNK, "406");
            net.nothing(ANNA);
        }
    }
    assert_eq!(net.counter("refused_406_not_acceptable"), 2);
}

#[test]
fn a_stranger_who_read_the_branch_cancels_nothing() {
    let mut net = Net::new();
    let call = Call::out(&mut net, TRUNK, "anna", Some(sdp(4000, "0", "sendrecv")));
    net.expect(ANNA, "INVITE");
    let stranger = Call { phone: STRANGER, ..call.clone() };
    stranger.cancel(&mut net);
    net.expect(STRANGER, "481");
    net.nothing(TRUNK);
    net.nothing(ANNA);
    call.cancel(&mut net);
    net.expect(TRUNK, "200");
    net.expect(TRUNK, "487");
}

#[test]
fn what_the_network_wrote_makes_no_line_and_moves_no_cursor() {
    let mut net = Net::new();
    let (from, to) = ("\"x\u{1b}[2J\u{7}\u{85} <y>\" <sip:+47@x>;tag=1", "<sip:anna@medlytt.test>");
    let body = sdp(4000, "0", "sendrecv");
    let extra = "User-Agent: a\u{1b}]0;b\u{7}\r\nSubject: c\u{8}d\r\n";
    let text = request_text(&mut net, TRUNK, "INVITE", "sip:anna@medlytt.test", from, to, "esc", 1, extra, Some(&body));
    net.send(TRUNK, text);
    let invite = Call::incoming(&mut net, ANNA).invite;
    let head = invite.lines().map(|(_, value)| value.to_owned()).collect::<Vec<_>>().concat();
    assert!(!head.chars().any(char::is_control), "{head:?}");
    // And what is longer than a screen is cut.
    let long = format!("\"{}\" <sip:+47@x>;tag=2", "n".repeat(5_000));
    let text = request_text(&mut net, TRUNK, "INVITE", "sip:bo@medlytt.test", &long, to, "long", 1, "", Some(&body));
    net.send(TRUNK, text);
    assert!(header(&Call::incoming(&mut net, BO).invite, "From").len() < 400);
}
