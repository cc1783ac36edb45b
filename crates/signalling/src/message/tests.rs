use super::*;

fn parse(text: impl AsRef<[u8]>) -> Result<Message, ParseError> {
    Message::parse(Bytes::copy_from_slice(text.as_ref()), &Limits::default())
}
fn lenient(text: impl AsRef<[u8]>) -> Option<Message> {
    Message::parse_lenient(&Bytes::copy_from_slice(text.as_ref()), &Limits::default())
}

/// A request of these header lines besides the five that must be there.
fn request(start: &str, lines: &str, body: &str) -> String {
    format!(
        "{start}\r\nVia: SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bKnashds8\r\nMax-Forwards: 70\r\nFrom: \"Ann\" <sip:ann@a.example>;tag=a1\r\nTo: <sip:bob@b.example>\r\nCall-ID: 7a@a.example\r\nCSeq: 314 OPTIONS\r\n{lines}\r\n{body}"
    )
}
const OPTIONS: &str = "OPTIONS sip:bob@b.example SIP/2.0";

#[test]
fn a_plain_request() {
    let text = request(
        OPTIONS,
        "Contact: <sip:ann@192.0.2.9>;q=0.5, <sip:other@192.0.2.9>\r\nContent-Type: Application/SDP ;x=1\r\nContent-Length: 4\r\n",
        "v=0\nand more",
    );
    let message = parse(&text).unwrap();
    assert!(message.is_request());
    assert_eq!((message.method(), message.request_uri(), message.status()), (Method::Options, "sip:bob@b.example", 0));
    assert_eq!(message.from().unwrap().display, "Ann");
    assert_eq!((message.from_tag(), message.to_tag(), message.call_id()), ("a1", "", "7a@a.example"));
    assert_eq!(message.cseq(), CSeq { number: 314, method: Method::Options });
    assert_eq!(
        (message.top_via().host, message.top_via().port, message.top_via().branch()),
        ("192.0.2.9", Some(5062), "z9hG4bKnashds8")
    );
    assert_eq!(message.contact().unwrap().uri, "sip:ann@192.0.2.9");
    assert_eq!(message.values(&HeaderName::Contact).count(), 2);
    assert_eq!((message.content_type().as_str(), &message.body()[..]), ("application/sdp", &b"v=0\n"[..]));
    assert_eq!(message.max_forwards(), Some(70));
    assert!(message.bytes().ends_with(b"v=0\n"), "bytes behind the body do not belong to the message");
}

#[test]
fn odd_but_valid_white_space() {
    let text = "OPTIONS sip:b@c;unknown SIP/2.0\r\nTO :\r\n sip:b@c ;   tag    = 19n\r\nfrom   : \"J \\\\\\\"\"       <sip:j@e>\r\n  ;\r\n  tag = 98\r\nMaX-fOrWaRdS: 0068\r\nCall-ID: w@1\r\nContent-Length   : 4\r\ncseq: 0009\r\n\tOPTIONS\r\nVia  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=390\r\ns :\r\nNew:   one\r\n   two\r\nUnknown: ;;,,;;,;\r\nv:  SIP  / 2.0  / TCP     s.example   ;\r\n  branch  =   z9 ,\r\n SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n z0\r\nm:\"Q \\\"\\\"\" <sip:j@e> ; p =\r\n   n ;\r\n  s ; q = 0.33\r\n\r\nbodyrest";
    let message = parse(text).unwrap();
    assert_eq!((message.from_tag(), message.to_tag()), ("98", "19n"));
    assert_eq!(message.from().unwrap().display, "J \\\"");
    assert_eq!(
        (message.top_via().transport, message.top_via().host, message.top_via().branch()),
        ("UDP", "192.0.2.2", "390")
    );
    let hosts: Vec<_> = message.values(&HeaderName::Via).map(|via| Via::parse(via).unwrap().host).collect();
    assert_eq!(hosts, ["192.0.2.2", "s.example", "192.168.255.111"]);
    assert_eq!(message.header(&HeaderName::new("new")), Some("one two"));
    assert_eq!(message.header(&HeaderName::new("Subject")), Some(""));
    assert_eq!(message.contact().unwrap().params.value("p"), Some("n"));
    assert_eq!(&message.body()[..], b"body");
    assert_eq!(message.max_forwards(), Some(68));
    assert_eq!(message.edit().finish().bytes(), message.bytes());
}

#[test]
fn every_compact_form() {
    let text = "OPTIONS sip:b@c SIP/2.0\r\nv: SIP/2.0/UDP h\r\nf: sip:a@b\r\nt: sip:b@c\r\ni: 1\r\nCSeq: 1 OPTIONS\r\nm: <sip:a@h>\r\nk: timer\r\nc: text/plain\r\nx: 1800\r\nr: <sip:z@z>\r\nl: 2\r\n\r\nhi";
    let message = parse(text).unwrap();
    assert_eq!(message.header(&HeaderName::Supported), Some("timer"));
    assert_eq!(message.header(&HeaderName::new("Session-Expires")), Some("1800"));
    assert_eq!((message.content_type().as_str(), message.contact().unwrap().uri), ("text/plain", "sip:a@h"));
    assert_eq!(message.lines().map(|(name, _)| name).collect::<String>(), "vftiCSeqmkcxrl");
}

#[test]
fn methods_schemes_and_versions_that_we_do_not_know() {
    let odd = parse("!odd.Method0123*_+`%indeed'~ nobody+knows:x?y SIP/2.0\r\nVia: SIP/2.0/TCP h\r\nTo: \"B:\\\u{7} \\\0 \\\u{7f}\" <sip:1_u.URI~(x)&i'n+t$/c?,/;;*@e>\r\nFrom: t1~` t2'+_ t3*%!.- <sip:m@e>;p''~=\"п\";tag=_t\r\nCall-ID: w%ZK-!.*_+'@w`~)(><:\\/\"][?}{\r\nCSeq: 1 !odd.Method0123*_+`%indeed'~\r\nX-!.%*+_`'~:\u{feff}大停電\r\n\r\n").unwrap();
    assert_eq!(odd.method(), Method::Other("!odd.Method0123*_+`%indeed'~".into()));
    assert_eq!(Uri::parse(odd.request_uri()).unwrap().scheme(), "nobody+knows");
    assert!(odd.to().unwrap().display.contains('\0'), "a NUL cuts nothing");
    assert_eq!(odd.from().unwrap().display, "t1~` t2'+_ t3*%!.-");
    let seven = request("OPTIONS sip:a@b SIP/7.0", "", "");
    assert_eq!(parse(&seven).unwrap_err(), ParseError::Version);
    let answer = ResponseBuilder::new(&lenient(&seven).unwrap(), 505, None, Some("t")).finish();
    assert_eq!((answer.status(), answer.call_id(), answer.to_tag()), (505, "7a@a.example", "t"));
    assert!(lenient(seven.replace("Via: SIP/2.0", "Via: SIP/7.0")).is_some());
    assert!(parse(request("OPTIONS sip:a@b sip/2.0", "", "")).is_ok());
}

#[test]
fn ipv6_everywhere() {
    let text = "OPTIONS sip:[2001:db8::10]:5070 SIP/2.0\r\nVia: SIP/2.0/UDP [2001:db8::9:1]:6050;received=2001:db8::9:255;branch=z9hG4bKas3\r\nVia: SIP/2.0/UDP 192.0.2.1\r\nFrom: <sip:[2001:db8::1]>;tag=1\r\nTo: <sip:[::ffff:192.0.2.1]>\r\nCall-ID: x@[2001:db8::9:1]\r\nCSeq: 1 OPTIONS\r\nContact: \"C\" <sip:caller@[2001:db8::1]>\r\n\r\n";
    let message = parse(text).unwrap();
    assert_eq!((message.top_via().host, message.top_via().port), ("[2001:db8::9:1]", Some(6050)));
    assert_eq!(
        message.contact().unwrap().parsed_uri().unwrap().socket_addr(),
        Some("[2001:db8::1]:5060".parse().unwrap())
    );
    let noted = message.with_source("[2001:db8::9:255]:6051".parse().unwrap());
    assert_eq!(noted.top_via().params.text, ";branch=z9hG4bKas3;received=2001:db8::9:255");
}

#[test]
fn what_is_refused_and_how() {
    let broken = [
        (request("OPTIONS  sip:b@c SIP/2.0", "", ""), "Request-URI is broken"),
        (request("OPTIONS sip:b@c  SIP/2.0", "", ""), "Request-URI is broken"),
        (request("OPTIONS sip:b@c SIP/2.0  ", "", ""), "white space at the end of the request line"),
        (request("OPTIONS <sip:b@c> SIP/2.0", "", ""), "Request-URI is broken"),
        (request("OPTIONS sip:b@c; lr SIP/2.0", "", ""), "Request-URI is broken"),
        (request("OP(TIONS sip:b@c SIP/2.0", "", ""), "method is no token"),
        (request("BYE sip:b@c SIP/2.0", "", ""), "CSeq names another method"),
        (request(OPTIONS, "From: <sip:x@y>;tag=2\r\n", ""), "two From headers"),
        (request(OPTIONS, "t: <sip:x@y>\r\n", ""), "two To headers"),
        (request(OPTIONS, "i: x\r\n", ""), "two Call-ID headers"),
        (request(OPTIONS, "CSeq: 314 OPTIONS\r\n", ""), "two CSeq headers"),
        (request(OPTIONS, "Max-Forwards: 70\r\n", ""), "two Max-Forwards headers"),
        (request(OPTIONS, "", "").replace("70", "256"), "Max-Forwards is not 0 to 255"),
        (request(OPTIONS, "Content-Length: -999\r\n", "x"), "Content-Length is no number"),
        (request(OPTIONS, "Content-Length: 0x1\r\n", "x"), "Content-Length is no number"),
        (request(OPTIONS, "Content-Length: 99999999999999999999999\r\n", "x"), "Content-Length is no number"),
        (request(OPTIONS, "Content-Length: 2\r\n", "x"), "Content-Length is larger than the message"),
        (request(OPTIONS, "Content-Length: 1\r\nl: 0\r\n", "x"), "Content-Lengths differ"),
        (request(OPTIONS, ": empty\r\n", ""), "header line without a name and a colon"),
        (request(OPTIONS, "X y: z\r\n", ""), "header line without a name and a colon"),
        (request(OPTIONS, "no colon\r\n", ""), "header line without a name and a colon"),
        (request(OPTIONS, "X: y\nRoute: <sip:evil>\r\n", ""), "lone LF among CRLF lines"),
        (request(OPTIONS, "X: y\rRoute: <sip:evil>\r\n", ""), "lone CR in the header section"),
        (request(OPTIONS, "", "").replace("314", "2147483648"), "CSeq is broken"),
        (request(OPTIONS, "", "").replace("\"Ann\"", "\"Ann"), "From is broken"),
        (request(OPTIONS, "", "").trim_end().to_owned() + "\r\n", "header section does not end"),
        (request(OPTIONS, "", "").replace('\n', ""), "lone CR in the header section"),
    ];
    for (text, phrase) in broken {
        assert_eq!(parse(&text).unwrap_err(), ParseError::Malformed(phrase), "{text}");
        let answer = ResponseBuilder::new(&lenient(&text).expect(phrase), 400, Some(phrase), Some("t")).finish();
        let reparsed = parse(answer.bytes()).map(|answer| answer.status());
        let unreadable = ["CSeq is broken", "From is broken"].contains(&phrase);
        assert!(unreadable || reparsed == Ok(400), "{phrase}: {reparsed:?}");
    }
}

#[test]
fn what_cannot_be_answered() {
    for missing in ["Via:", "From:", "To:", "Call-ID:", "CSeq:"] {
        let text = request(OPTIONS, "", "").replace(missing, "X-Gone:");
        assert!(matches!(parse(&text), Err(ParseError::Malformed(_))), "{missing}");
        // What is missing is missing in the answer; without Via there is none.
        let answer = lenient(&text).map(|request| ResponseBuilder::new(&request, 400, None, Some("t")).finish());
        assert_eq!(answer.is_none(), missing == "Via:", "{missing}");
        let names = answer.iter().flat_map(Message::lines).map(|(name, _)| format!("{name}:")).collect::<Vec<_>>();
        assert!(!names.contains(&missing.to_owned()), "{missing}");
    }
    assert!(
        lenient(request("ACK sip:b@c SIP/2.0", "l: -1\r\n", "").replace("OPTIONS", "ACK")).is_none(),
        "an ACK is never answered"
    );
    let response = request("SIP/2.0 200 OK", "l: 9\r\n", "");
    assert!(parse(&response).is_err() && lenient(&response).is_none());
    for silent in ["", "\r\n", "\r\n\r\n", "\0", "\0\0\0\0", "\0\u{1}\0\0!\u{12}"] {
        assert_eq!(parse(silent).unwrap_err(), ParseError::KeepAlive, "{silent:?}");
    }
    for foreign in ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "hello", "x\r\n\r\n", "\u{7f}\u{7f}", "INVITE sip:x\r\n"] {
        assert_eq!(parse(foreign).unwrap_err(), ParseError::NotSip, "{foreign:?}");
        assert!(lenient(foreign).is_none());
    }
}

#[test]
fn responses() {
    let message = parse(request("SIP/2.0 183 = 2**3 * 5 но сто", "", "").replace("314 OPTIONS", "8 INVITE")).unwrap();
    assert_eq!(
        (message.status(), message.reason(), message.method(), message.request_uri()),
        (183, "= 2**3 * 5 но сто", Method::Invite, "")
    );
    assert_eq!(parse(request("SIP/2.0 200 ", "", "")).unwrap().reason(), "");
    for line in [
        "SIP/2.0 000 X",
        "SIP/2.0 99 X",
        "SIP/2.0 -1 X",
        "SIP/2.0 4294967301 X",
        "SIP/2.0 700 X",
        "SIP/2.0 ",
        "SIP/2.0 20x X",
        "SIP/2.0 200",
    ] {
        assert!(matches!(parse(request(line, "", "")), Err(ParseError::Malformed(_))), "{line}");
    }
    assert_eq!(parse(request("SIP/3.0 200 OK", "", "")).unwrap_err(), ParseError::Version);
}

#[test]
fn line_ends_and_leading_ones() {
    let lf = parse(request(OPTIONS, "X: y\r\n z\r\n", "a\r\nb").replace("\r\n", "\n")).unwrap();
    assert_eq!((lf.header(&HeaderName::new("x")), &lf.body()[..]), (Some("y z"), &b"a\nb"[..]));
    assert_eq!(
        parse(format!("\r\n\r\n{}", request(OPTIONS, "", ""))).unwrap().bytes(),
        request(OPTIONS, "", "").as_bytes()
    );
}

#[test]
fn binary_bodies_stay() {
    let mut raw = request(OPTIONS, "Content-Length: 6\r\n", "").into_bytes();
    raw.extend([0, 0xff, b'\r', b'\n', 0xfe, 0x80]);
    assert_eq!(
        &parse(&raw).unwrap().edit().set(HeaderName::CallId, "n").finish().body()[..],
        [0, 0xff, b'\r', b'\n', 0xfe, 0x80]
    );
    let header = [request(OPTIONS, "X: ", "").trim_end().as_bytes(), b"\xff\r\n\r\n"].concat();
    assert_eq!(parse(&header).unwrap_err(), ParseError::Malformed("header section is not UTF-8"));
    assert!(lenient(&header).is_some());
}

#[test]
fn limits() {
    let many = request(OPTIONS, &"R: x\r\n".repeat(300), "");
    assert_eq!(parse(&many).unwrap_err(), ParseError::TooLarge("too many header lines"));
    assert!(lenient(&many).is_some());
    let long = request(OPTIONS, &format!("R: {}\r\n", "x".repeat(9_000)), "");
    assert_eq!(parse(&long).unwrap_err(), ParseError::TooLarge("header line too long"));
    let loud = many.replace("\"Ann\"", &format!("\"{}\"", "x".repeat(9_000)));
    let answer = ResponseBuilder::new(&lenient(&loud).unwrap(), 513, None, None).finish();
    assert!(answer.bytes().len() < 600, "a long line is not copied into an answer");
    let big = request(OPTIONS, "", &"x".repeat(70_000));
    assert_eq!(parse(&big).unwrap_err(), ParseError::TooLarge("message too large"));
    assert_eq!(ResponseBuilder::new(&lenient(&big).unwrap(), 513, None, None).finish().status(), 513);
}

#[test]
fn the_source_is_noted_in_the_topmost_via() {
    let via = |via: &str, source: &str| {
        let message =
            parse(request(OPTIONS, "", "body").replace("SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bKnashds8", via))
                .unwrap();
        let noted = message.with_source(source.parse().unwrap());
        // The shifted index says the same as a fresh one.
        let fresh = parse(noted.bytes()).unwrap();
        assert_eq!(noted.lines().collect::<Vec<_>>(), fresh.lines().collect::<Vec<_>>());
        assert_eq!(
            (noted.body(), noted.call_id(), noted.edit().finish().bytes()),
            (fresh.body(), fresh.call_id(), noted.bytes())
        );
        noted.header(&HeaderName::Via).unwrap().to_owned()
    };
    assert_eq!(via("SIP/2.0/UDP 192.0.2.9;branch=1", "192.0.2.9:9"), "SIP/2.0/UDP 192.0.2.9;branch=1");
    assert_eq!(via("SIP/2.0/UDP 192.0.2.9;branch=1", "[::ffff:192.0.2.9]:9"), "SIP/2.0/UDP 192.0.2.9;branch=1");
    assert_eq!(
        via("SIP/2.0/UDP 192.0.2.9;rport;branch=1", "192.0.2.9:9"),
        "SIP/2.0/UDP 192.0.2.9;branch=1;received=192.0.2.9;rport=9"
    );
    assert_eq!(
        via("SIP/2.0/UDP pc.example;branch=1", "198.51.100.1:9"),
        "SIP/2.0/UDP pc.example;branch=1;received=198.51.100.1"
    );
    assert_eq!(
        via("SIP/2.0/UDP h;received=192.0.2.77;rport=7;branch=1, SIP/2.0/UDP o;received=1.1.1.1", "198.51.100.1:9"),
        "SIP/2.0/UDP h;branch=1;received=198.51.100.1;rport=9, SIP/2.0/UDP o;received=1.1.1.1"
    );
    assert_eq!(via("SIP/2.0/UDP h\r\n ;branch=1", "[2001:db8::1]:9"), "SIP/2.0/UDP h;branch=1;received=2001:db8::1");
}

/// A small generator, so that a failure comes with its seed.
struct Dice(u64);
impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below.max(1) as u64) as usize
    }
}

#[test]
fn mutated_messages_never_panic() {
    let seeds = [
        request(
            OPTIONS,
            "Contact: <sip:a@[::1]>;q=1\r\nm: \"x\\\"\" <sips:b@c:1?x=%41>\r\nX: y\r\n z\r\nReplaces: a;to-tag=1;from-tag=2\r\nContent-Length : 4\r\n",
            "v=0\r",
        ),
        request("SIP/2.0 200 OK", "Record-Route: <sip:p;lr>,<sip:q;lr>\r\nl: 0\r\n", ""),
    ];
    let pieces: [&[u8]; 18] = [
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n ",
        b"\0",
        b"\"",
        b"<",
        b">",
        b";",
        b",",
        b":",
        b"=",
        b"[",
        b"]",
        b"@",
        b"\xff",
        b"%",
        b"9999999999",
    ];
    for seed in 1..=4_000_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut raw = seeds[dice.roll(seeds.len())].clone().into_bytes();
        for _ in 0..=dice.roll(6) {
            let at = dice.roll(raw.len());
            match dice.roll(4) {
                0 => raw.truncate(at),
                1 => drop(raw.splice(at..at, pieces[dice.roll(pieces.len())].iter().copied())),
                2 => drop(raw.drain(at..(at + dice.roll(12)).min(raw.len()))),
                _ => raw.iter_mut().skip(at).take(1).for_each(|byte| *byte = pieces[seed as usize % 18][0]),
            }
        }
        let raw = Bytes::from(raw);
        if let Ok(message) = Message::parse(raw.clone(), &Limits::default()) {
            let answer = ResponseBuilder::new(&message, 200, None, Some("t")).finish();
            let read = parse(answer.bytes()).unwrap();
            assert_eq!(
                (read.call_id(), read.cseq(), read.from_tag()),
                (message.call_id(), message.cseq(), message.from_tag()),
                "seed {seed}"
            );
            assert!(!read.to_tag().is_empty() || message.to().unwrap().params.value("tag").is_some(), "seed {seed}");
        }
        for message in
            [Message::parse(raw.clone(), &Limits::default()).ok(), Message::parse_lenient(&raw, &Limits::default())]
                .into_iter()
                .flatten()
        {
            exercise(&message);
            exercise(&message.with_source("[2001:db8::1]:5060".parse().unwrap()));
            exercise(
                &message
                    .edit()
                    .set(HeaderName::Via, "SIP/2.0/UDP x")
                    .prepend(HeaderName::Route, "<sip:r>")
                    .request_uri("sip:x")
                    .body("a/b", Bytes::from_static(b"c"))
                    .finish(),
            );
            exercise(&ResponseBuilder::new(&message, 200, None, Some("t")).body("a/b", "c").finish());
        }
    }
}

fn exercise(message: &Message) {
    let _ = (
        message.method(),
        message.request_uri(),
        message.reason(),
        message.from_tag(),
        message.to_tag(),
        message.call_id(),
        message.cseq(),
    );
    let _ = (
        message.top_via().branch(),
        message
            .contact()
            .and_then(|contact| contact.parsed_uri())
            .map(|uri| (uri.user_decoded(), uri.without_headers(), uri.socket_addr(), uri.embedded_header("x"))),
    );
    for (name, value) in message.lines() {
        let _ = (
            NameAddr::parse(value),
            Via::parse(value),
            ReplacesHeader::parse(value),
            CSeq::parse(value),
            Uri::parse(value),
        );
        let _ = message.values(&HeaderName::new(name)).count();
    }
    let _ = (message.body(), message.content_type());
    assert_eq!(message.edit().finish().header(&HeaderName::CallId), message.header(&HeaderName::CallId));
}
