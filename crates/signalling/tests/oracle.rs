//! The same messages through our parser and through rsip 0.4, an independent one. Where both take a message they must
//! agree on method, URI, status, every header and the body; and what is valid both must take. Where rsip is known to be
//! wrong stands in [`rsip_is_wrong`], by what the message is, not by what came of it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rsip::prelude::*;
use signalling::message::{Limits, Message, NameAddr, Uri};

const VALID: u32 = 4_000;
const MUTATED: u32 = 20_000;

#[test]
fn both_read_the_same_in_valid_messages() {
    let mut random = StdRng::seed_from_u64(4475);
    let mut compared = 0;
    for _ in 0..VALID {
        let text = valid(&mut random);
        let ours =
            Message::parse(text.clone().into(), &Limits::default()).unwrap_or_else(|error| panic!("{error:?}: {text}"));
        if rsip_is_wrong(text.as_bytes()) {
            continue;
        }
        let theirs = rsip::SipMessage::try_from(text.as_bytes()).unwrap_or_else(|error| panic!("{error:?}: {text}"));
        agree(&ours, &theirs, &text);
        compared += 1;
    }
    assert!(compared > VALID / 2, "{compared} of {VALID} were compared");
}

#[test]
fn where_both_take_a_broken_message_they_agree() {
    let mut random = StdRng::seed_from_u64(5118);
    let mut compared = 0;
    for _ in 0..MUTATED {
        let data = mutated(&mut random);
        let Ok(ours) = Message::parse(data.clone().into(), &Limits::default()) else { continue };
        if rsip_is_wrong(&data) {
            continue;
        }
        // It is stricter in places, never looser where it matters here.
        let Ok(theirs) = rsip::SipMessage::try_from(data.as_slice()) else { continue };
        agree(&ours, &theirs, &String::from_utf8_lossy(&data));
        compared += 1;
    }
    assert!(compared > MUTATED / 20, "{compared} of {MUTATED} were compared");
}

/// Where rsip 0.4 is not right, by what stands in the message.
fn rsip_is_wrong(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let start = head.lines().next().unwrap_or_default();
    let lines = || head.split("\r\n").skip(1);
    let name = |line: &str| line.split(':').next().unwrap_or_default().trim_end().to_owned();
    // Text before the start line, header sections that are not UTF-8, line ends other than CRLF: we are stricter or laxer
    // by RFC 3261 §7.5 and RFC 4475; rsip looks at none of it.
    let framing = !data.is_ascii() || text.starts_with(['\r', '\n']) || head.replace("\r\n", "").contains(['\r', '\n']);
    // IPv6 hosts: read as a domain up to the first colon, or refused.
    let ipv6 = text.contains('[');
    // Folded lines (RFC 3261 §7.3.1) become headers of their own, or end the message.
    let folded = lines().any(|line| line.starts_with([' ', '\t']));
    // White space before the colon (HCOLON, §25.1), tabs behind it, and at a value's end.
    let white = lines().any(|line| {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        name.ends_with([' ', '\t']) || value != value.trim_end() || value.trim_start_matches(' ').starts_with('\t')
    });
    // Compact names (§7.3.3) are `Other` there; ours are found by the long name.
    let compact = lines().any(|line| name(line).len() == 1);
    // Methods beyond its fourteen (§7.1: any token), any case taken for the same method.
    let methods = [
        "ACK",
        "BYE",
        "CANCEL",
        "INFO",
        "INVITE",
        "MESSAGE",
        "NOTIFY",
        "OPTIONS",
        "PRACK",
        "PUBLISH",
        "REFER",
        "REGISTER",
        "SUBSCRIBE",
        "UPDATE",
    ];
    let response = start.get(..4).is_some_and(|word| word.eq_ignore_ascii_case("SIP/"));
    let method = !response && !methods.contains(&start.split(' ').next().unwrap_or_default());
    // Request-URIs: schemes without `//`, embedded headers, parameters whose values are no tokens, ports, passwords.
    let uri = start.split(' ').nth(1).unwrap_or_default();
    let (scheme, rest) = uri.split_once(':').unwrap_or_default();
    let odd = |c: char| !(c.is_ascii_alphanumeric() || "-._~;=@:+".contains(c));
    let uri = !response
        && (!matches!(scheme, "sip" | "sips")
            || rest.contains(odd)
            || rest.matches('@').count() > 1
            || rest.matches(':').count() > 1
            || !is_plain(rest));
    // Version in another case; a phrase that is missing or odd; three digits are not checked.
    let version = !(start.ends_with(" SIP/2.0") && start.matches(' ').count() == 2 || start.starts_with("SIP/2.0 "))
        || (response && !plain_status(start));
    // Content-Length is not looked at at all: what follows the body belongs to it (§18.3).
    let length = lines().filter(|line| name(line).eq_ignore_ascii_case("content-length"));
    let length =
        length.filter_map(|line| line.split_once(':')).any(|(_, value)| value.trim() != body.len().to_string());
    framing || ipv6 || folded || white || compact || method || uri || version || length
}

/// `[user@]host[:port][;params]` with nothing missing in it. A dot in the user part ends rsip's search for the `@`, and
/// the user becomes part of the host.
fn is_plain(rest: &str) -> bool {
    let (address, params) = rest.split_once(';').unwrap_or((rest, "x"));
    let (user, host) = address.split_once('@').unwrap_or(("u", address));
    let (host, port) = host.split_once(':').unwrap_or((host, "1"));
    let word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-._~+".contains(c));
    let labels = !host.starts_with(['.', '-']) && !host.contains("..") && !host.contains(['~', '+', '_']);
    // Values that rsip knows are kept as what it knows: `transport=x` is an error, `ttl` and the like are renamed.
    let param = |param: &str| {
        let (name, value) = param.split_once('=').unwrap_or((param, "v"));
        let known = ["transport", "user", "method", "ttl", "maddr", "branch", "received", "tag", "expires", "q", "lr"];
        word(name) && word(value) && !known.iter().any(|known| name.eq_ignore_ascii_case(known))
    };
    word(user)
        && !user.contains('.')
        && word(host)
        && labels
        && port.parse::<u16>().is_ok_and(|number| number.to_string() == port)
        && params.split(';').all(param)
}

fn plain_status(start: &str) -> bool {
    let mut words = start.splitn(3, ' ').skip(1);
    let code = words.next().unwrap_or_default();
    code.len() == 3
        && code.bytes().all(|byte| byte.is_ascii_digit())
        && words.next().is_some_and(|phrase| !phrase.is_empty())
}

#[track_caller]
fn agree(ours: &Message, theirs: &rsip::SipMessage, text: &str) {
    match theirs {
        rsip::SipMessage::Request(request) => {
            assert_eq!(ours.method().as_str(), request.method.to_string(), "{text}");
            uris_agree(ours.request_uri(), &request.uri, text);
        }
        rsip::SipMessage::Response(response) => assert_eq!(ours.status(), response.status_code.code(), "{text}"),
    }
    assert_eq!(ours.body(), theirs.body().as_slice(), "{text}");
    let lines: Vec<(String, String)> = theirs
        .headers()
        .iter()
        .map(|header| {
            let line = header.to_string();
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        })
        .collect();
    let own: Vec<(String, String)> =
        ours.lines().map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    assert_eq!(own, lines, "{text}");
    typed_agree(ours, theirs, text);
}

fn typed_agree(ours: &Message, theirs: &rsip::SipMessage, text: &str) {
    assert_eq!(
        theirs.call_id_header().map(|id| id.value().trim().to_owned()).ok().as_deref(),
        Some(ours.call_id()),
        "{text}"
    );
    if let Ok(cseq) = theirs.cseq_header().unwrap().typed() {
        assert_eq!(
            (cseq.seq, cseq.method.to_string().as_str()),
            (ours.cseq().number, ours.cseq().method.as_str()),
            "{text}"
        );
    }
    let from = ours.from().unwrap();
    if let Ok(typed) = theirs.from_header().unwrap().typed() {
        address_agrees(&from, &typed.uri, text);
        let tag = typed.params.iter().find_map(|param| match param {
            rsip::Param::Tag(tag) => Some(tag.value().to_owned()),
            _ => None,
        });
        // Parameters end there at the first byte that is no token, white space included: what it finds must be ours too.
        let ours = from.tag().filter(|tag| tag.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert!(ours.is_none() || tag.is_none() || tag.as_deref() == ours, "{tag:?} {ours:?} {text}");
    }
}

/// Addresses whose URI is as plain as a Request-URI must be for a comparison. An angle bracket in a quoted display name,
/// or a quote with a backslash, is taken by rsip for the URI's or the name's end.
fn address_agrees(ours: &NameAddr<'_>, theirs: &rsip::Uri, text: &str) {
    let plain =
        ours.uri.split_once(':').is_some_and(|(scheme, rest)| matches!(scheme, "sip" | "sips") && is_plain(rest));
    if plain && !ours.display.contains(['<', '>', '"']) {
        uris_agree(ours.uri, theirs, text);
    }
}

fn uris_agree(ours: &str, theirs: &rsip::Uri, text: &str) {
    let ours = Uri::parse(ours).unwrap();
    assert_eq!(
        theirs.scheme.as_ref().map(|scheme| format!("{scheme:?}").to_ascii_lowercase()).as_deref(),
        Some(ours.scheme()),
        "{text}"
    );
    assert_eq!(theirs.user().unwrap_or_default(), ours.user(), "{text}");
    assert_eq!(theirs.host().to_string(), ours.host(), "{text}");
    assert_eq!(theirs.port().map(|port| *port.value()), ours.port(), "{text}");
}

/// A message that every parser should take.
fn valid(random: &mut StdRng) -> String {
    let mut pick = |of: &[&str]| of[random.random_range(0..of.len())].to_owned();
    let method =
        pick(&["INVITE", "OPTIONS", "BYE", "REGISTER", "REFER", "NOTIFY", "INFO", "UPDATE", "SUBSCRIBE", "MESSAGE"]);
    let user = || ["anna", "+4755512345", "a.b-c_d", "1001"];
    let host = ["medlytt.test", "192.0.2.9", "a-b.example.com", "pbx"];
    let uri = |pick: &mut dyn FnMut(&[&str]) -> String| {
        format!(
            "{}:{}@{}{}{}",
            pick(&["sip", "sips"]),
            pick(&user()),
            pick(&host),
            pick(&["", ":5060", ":65535"]),
            pick(&["", ";x=y", ";ob", ";a=b;c"])
        )
    };
    let start = match pick(&["request", "request", "response"]).as_str() {
        "request" => format!("{method} {} SIP/2.0", uri(&mut pick)),
        _ => format!(
            "SIP/2.0 {}",
            pick(&[
                "200 OK",
                "180 Ringing",
                "486 Busy Here",
                "503 Service Unavailable",
                "202 Accepted",
                "407 Proxy Authentication Required"
            ])
        ),
    };
    let display = pick(&["", "\"A, B\" ", "Anna ", "\"x <y> \\\"z\\\"\" "]);
    let body = pick(&["", "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n", "text without an end", "\r\n\r\nX: y\r\n"]);
    let mut text = format!(
        "{start}\r\nVia: SIP/2.0/UDP {}{};branch=z9hG4bK{}{}\r\n",
        pick(&host),
        pick(&["", ":5062"]),
        pick(&["a", "77x"]),
        pick(&["", ";rport", ";received=192.0.2.1"])
    );
    for _ in 0..pick(&["0", "1", "3"]).parse::<u8>().unwrap() {
        let (name, value) = (
            pick(&[
                "Via",
                "Record-Route",
                "Supported",
                "X-Queue",
                "User-Agent",
                "Allow",
                "Subject",
                "Contact",
                "expires",
            ]),
            pick(&[
                "SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKq",
                "<sip:p1;lr>",
                "a, b,c",
                "120",
                "\"q, <\" <sip:a@b>;x=1",
                "x:y;z=\"1\"",
            ]),
        );
        text += &format!("{name}:{}{value}\r\n", pick(&[" ", ""]));
    }
    text + &format!(
        "From: {display}<{}>;tag={}\r\nTo: <{}>{}\r\nCall-ID: {}\r\nCSeq: {} {method}\r\n{}Content-Length: {}\r\n\r\n{body}",
        uri(&mut pick),
        pick(&["1", "abc99"]),
        uri(&mut pick),
        pick(&["", ";tag=zz"]),
        pick(&["a@b", "1-2-3"]),
        pick(&["1", "2147483647", "007"]),
        pick(&["", "Max-Forwards: 70\r\n"]),
        body.len()
    )
}

fn mutated(random: &mut StdRng) -> Vec<u8> {
    let mut data = valid(random).into_bytes();
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..data.len());
        match random.random_range(0..5) {
            0 => data[at] = random.random_range(32..127),
            1 => data.insert(at, b" \t\r\n;,:<>\"=@?/%a0"[random.random_range(0..17)]),
            2 => drop(data.remove(at)),
            3 => data.extend_from_within(at..),
            _ => {
                let to = random.random_range(at..data.len());
                drop(data.drain(at..to.min(at + 12)));
            }
        }
    }
    data
}

#[test]
fn what_rsip_gets_wrong_we_get_right() {
    let parse = |text: &str| Message::parse(text.to_owned().into(), &Limits::default());
    let head = "Via: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: x\r\n";
    let brew = format!("BREW sip:a@b SIP/2.0\r\n{head}CSeq: 1 BREW\r\n\r\n");
    assert!(parse(&brew).is_ok() && rsip::SipMessage::try_from(brew.as_bytes()).is_err(), "unknown methods");
    let v6 = format!("OPTIONS sip:a@[2001:db8::1]:5062 SIP/2.0\r\n{head}CSeq: 1 OPTIONS\r\n\r\n");
    let uri = Uri::parse(parse(&v6).unwrap().request_uri()).unwrap();
    assert_eq!((uri.host(), uri.port()), ("[2001:db8::1]", Some(5062)));
    let theirs = rsip::Request::try_from(v6.as_bytes());
    assert!(theirs.is_err() || theirs.is_ok_and(|request| request.uri.host().to_string() != "[2001:db8::1]"), "IPv6");
    let compact = format!("OPTIONS sip:a@b SIP/2.0\r\n{head}CSeq: 1 OPTIONS\r\nm: <sip:z@y>\r\n\r\n");
    assert!(parse(&compact).unwrap().contact().is_some());
    let theirs = rsip::SipMessage::try_from(compact.as_bytes()).unwrap();
    assert!(theirs.contact_header().is_err(), "compact names");
    let long = format!("OPTIONS sip:a@b SIP/2.0\r\n{head}CSeq: 1 OPTIONS\r\nContent-Length: 1\r\n\r\nabc");
    assert_eq!(&parse(&long).unwrap().body()[..], b"a");
    assert_eq!(rsip::SipMessage::try_from(long.as_bytes()).unwrap().body(), b"abc", "Content-Length");
    let instance = format!(
        "REGISTER sip:b SIP/2.0\r\n{head}CSeq: 1 REGISTER\r\nContact: <sip:z@y>;+sip.instance=\"<urn:uuid:1>\"\r\n\r\n"
    );
    assert_eq!(parse(&instance).unwrap().contact().unwrap().params.value("+sip.instance"), Some("<urn:uuid:1>"));
}
