//! A corpus of our own: messages, descriptions, packets and streams that a network may bring and that must change nothing.

/// What must come back.
#[derive(Clone, Copy, Debug)]
pub enum Expect {
    /// Nothing at all.
    Silence,
    /// A final answer, and one of these.
    Answer(&'static [u16]),
    /// Anything: only the engine's health decides.
    Anything,
}

/// One thing to send.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub bytes: Vec<u8>,
    pub expect: Expect,
}

fn case(name: &str, bytes: impl Into<Vec<u8>>, expect: Expect) -> Case {
    Case { name: name.to_owned(), bytes: bytes.into(), expect }
}

/// A request that is right. `port` is where answers go.
pub fn request(method: &str, id: &str, port: u16, extra: &str, body: &str) -> String {
    format!(
        "{method} sip:1001@medlytt.test SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2:{port};rport;branch=z9hG4bK{id}\r\nMax-Forwards: 70\r\n\
         From: <sip:+4755500000@127.0.0.2>;tag={id}\r\nTo: <sip:1001@medlytt.test>\r\nCall-ID: {id}\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:x@127.0.0.2:{port}>\r\n{extra}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// SIP over UDP. Each case has an id of its own, which its Call-ID begins with.
pub fn sip(port: u16) -> Vec<Case> {
    use Expect::{Answer, Anything, Silence};
    let ok = |id: &str| request("OPTIONS", id, port, "", "");
    let with = |id: &str, extra: &str| request("OPTIONS", id, port, extra, "");
    let change = |id: &str, from: &str, to: &str| ok(id).replacen(from, to, 1);
    let bad: Expect = Answer(&[400]);
    let long = |length: usize| "a".repeat(length);
    vec![
        case("reference", ok("h1"), Answer(&[200])),
        case("folded-header", change("h2", "Max-Forwards: 70", "Max-Forwards:\r\n  70"), Answer(&[200])),
        case(
            "compact-names",
            ok("h3").replace("From:", "f:").replace("To:", "t:").replace("Call-ID:", "i:"),
            Answer(&[200]),
        ),
        case("crlf-before", format!("\r\n\r\n{}", ok("h4")), Answer(&[200])),
        case("odd-case", ok("h5").replace("Via:", "vIA:").replace("CSeq:", "CSEQ:"), Answer(&[200])),
        case("space-before-colon", ok("h6").replace("CSeq:", "CSeq  :"), Answer(&[200])),
        case("version-7", change("h7", "SIP/2.0\r\nVia", "SIP/7.0\r\nVia"), Answer(&[505])),
        case("method-of-nobody", request("DANCE", "h8", port, "", ""), Answer(&[405, 501])),
        case("cseq-of-another-method", change("h9", "CSeq: 1 OPTIONS", "CSeq: 1 INVITE"), bad),
        case("cseq-too-large", change("h10", "CSeq: 1 ", "CSeq: 99999999999 "), bad),
        case("no-call-id", ok("h11").replace("Call-ID: h11\r\n", ""), Anything),
        case("no-from", change("h12", "From:", "X-From:"), Anything),
        case("no-to", change("h13", "To:", "X-To:"), Anything),
        case("two-from", with("h14", "From: <sip:y@127.0.0.2>;tag=2\r\n"), Anything),
        case("max-forwards-0", change("h15", "Max-Forwards: 70", "Max-Forwards: 0"), Answer(&[200, 483])),
        case("max-forwards-minus", change("h16", "Max-Forwards: 70", "Max-Forwards: -1"), Answer(&[200, 400])),
        case(
            "max-forwards-huge",
            change("h17", "Max-Forwards: 70", "Max-Forwards: 99999999999999999999"),
            Answer(&[200, 400]),
        ),
        case("length-minus", change("h18", "Content-Length: 0", "Content-Length: -5"), bad),
        case("length-beyond", change("h19", "Content-Length: 0", "Content-Length: 5000"), bad),
        case("length-hex", change("h20", "Content-Length: 0", "Content-Length: 0x10"), bad),
        case("length-twice", with("h21", "Content-Length: 12\r\n"), Anything),
        case("nul-in-value", with("h22", "Subject: a\0b\r\n"), Anything),
        case(
            "not-utf8",
            ok("h23")
                .replace("Max", "Subject: \u{fffd}\r\nMax")
                .into_bytes()
                .into_iter()
                .map(|b| if b == 0xEF { 0xFF } else { b })
                .collect::<Vec<_>>(),
            Anything,
        ),
        case("cr-alone", ok("h24").replace("\r\nTo", "\rTo"), Anything),
        case("open-quote", change("h25", "From: <", "From: \"never <"), bad),
        case("no-angle", change("h26", "<sip:1001@medlytt.test>", "<sip:1001@medlytt.test"), Anything),
        case("escape-of-nothing", change("h27", "sip:1001@", "sip:%zz1001@"), Anything),
        case(
            "tel-uri",
            change("h28", "OPTIONS sip:1001@medlytt.test", "OPTIONS tel:+4799999999"),
            Answer(&[200, 404, 416]),
        ),
        case("scheme-of-nobody", change("h29", "OPTIONS sip:", "OPTIONS gopher:"), Answer(&[200, 400, 416])),
        case("no-branch", change("h30", ";branch=z9hG4bKh30", ""), Anything),
        case("via-of-elsewhere", change("h31", "127.0.0.2:", "192.0.2.66:"), Anything),
        case("many-vias", with("h32", &"Via: SIP/2.0/UDP 127.0.0.2:9;branch=z9hG4bKx\r\n".repeat(80)), Anything),
        case("many-headers", with("h33", &"X: y\r\n".repeat(5_000)), Answer(&[513, 400])),
        case("long-header", with("h34", &format!("X: {}\r\n", long(20_000))), Answer(&[513, 400])),
        case("long-uri", change("h35", "sip:1001@", &format!("sip:{}@", long(10_000))), Anything),
        case("long-branch", change("h36", "z9hG4bKh36", &format!("z9hG4bK{}", long(4_000))), Anything),
        case("many-parameters", change("h37", ";tag=h37", &format!(";tag=h37{}", ";a=b".repeat(1_500))), Anything),
        case("deep-quotes", with("h38", &format!("Subject: \"{}\"\r\n", "\\\"".repeat(3_000))), Anything),
        case("requires-the-unknown", request("INVITE", "h39", port, "Require: flying\r\n", ""), Answer(&[420])),
        case(
            "bye-of-nothing",
            request("BYE", "h40", port, "", "").replace("test>\r\nCall", "test>;tag=no\r\nCall"),
            Answer(&[481]),
        ),
        case("cancel-of-nothing", request("CANCEL", "h41", port, "", ""), Answer(&[481])),
        case("ack-of-nothing", request("ACK", "h42", port, "", ""), Silence),
        case("update-of-nothing", request("UPDATE", "h43", port, "", ""), Answer(&[481])),
        case(
            "refer-from-outside",
            request("REFER", "h44", port, "Refer-To: <sip:1002@medlytt.test>\r\n", ""),
            Answer(&[403, 405, 481, 603]),
        ),
        case(
            "replaces-of-nothing",
            request("INVITE", "h45", port, "Replaces: no;to-tag=a;from-tag=b\r\n", ""),
            Answer(&[481]),
        ),
        case(
            "notify-of-nothing",
            request("NOTIFY", "h46", port, "Event: refer\r\nSubscription-State: active\r\n", ""),
            Answer(&[481]),
        ),
        case("publish", request("PUBLISH", "h47", port, "Event: presence\r\n", ""), Answer(&[405, 489, 501])),
        case(
            "stray-200",
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:1;branch=z9hG4bKh48\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: h48\r\nCSeq: 1 OPTIONS\r\n\r\n",
            Silence,
        ),
        case(
            "status-000",
            "SIP/2.0 000 No\r\nVia: SIP/2.0/UDP 127.0.0.1:1;branch=z9hG4bKh49\r\nCall-ID: h49\r\n\r\n",
            Silence,
        ),
        case("status-9999", "SIP/2.0 9999 No\r\nCall-ID: h50\r\n\r\n", Silence),
        case("start-line-alone", "OPTIONS sip:1001@medlytt.test SIP/2.0\r\n\r\n", Anything),
        case("http", "GET / HTTP/1.1\r\nHost: medlytt\r\n\r\n", Silence),
        case("one-byte", "x", Silence),
        case("keep-alive", "\r\n\r\n", Anything),
        case("nothing-but-spaces", " ".repeat(3_000), Silence),
        case("nothing-but-zeros", vec![0; 1_500], Silence),
        case("stun", vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], Silence),
        case("loop-of-routes", with("h51", &"Route: <sip:127.0.0.1;lr>\r\n".repeat(50)), Anything),
        case("register-of-a-stranger", request("REGISTER", "h52", port, "", ""), Answer(&[401, 403, 404, 405])),
        case(
            "star-contact",
            request("REGISTER", "h53", port, "Expires: 1\r\n", "").replacen(
                "<sip:x@127.0.0.2",
                "*, <sip:x@127.0.0.2",
                1,
            ),
            Answer(&[400, 401, 403, 404]),
        ),
        case(
            "log-injection",
            change("h54", "From: <sip:+4755500000@", "From: \"\u{1b}[2J\u{7}ERROR panicked\" <sip:%0d%0aX@"),
            Anything,
        ),
        case("cut-in-the-middle", ok("h55")[..180].to_owned(), Anything),
        case(
            "sixty-thousand-bytes",
            request("OPTIONS", "h56", port, "Content-Type: text/plain\r\n", &long(60_000)),
            Anything,
        ),
    ]
}

/// Descriptions, to be sent in an INVITE. Whoever is called refuses with 486: that is how a good one ends.
pub fn sdp() -> Vec<Case> {
    use Expect::{Answer, Anything};
    let head = "v=0\r\no=- 1 1 IN IP4 127.0.0.2\r\ns=-\r\nc=IN IP4 127.0.0.2\r\nt=0 0\r\n";
    let audio = "m=audio 40000 RTP/AVP 0 8\r\n";
    let (good, refused): (Expect, Expect) = (Answer(&[486]), Answer(&[400, 415, 488]));
    let after = |more: &str| format!("{head}{audio}{more}");
    vec![
        case("reference", after(""), good),
        case("bare-lf", after("").replace("\r\n", "\n"), good),
        case("static-types-only", format!("{head}m=audio 40000 RTP/AVP 8\r\n"), good),
        case("unknown-attributes", after("a=x-never-heard-of\r\na=foo:bar\r\n"), good),
        case("video-too", after("m=video 40002 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"), good),
        case("held", after("a=sendonly\r\n"), good),
        case("no-audio", format!("{head}m=video 40002 RTP/AVP 96\r\n"), refused),
        case("no-media", head, refused),
        case("port-0", format!("{head}m=audio 0 RTP/AVP 0\r\n"), Answer(&[486, 488])),
        case("port-70000", format!("{head}m=audio 70000 RTP/AVP 0\r\n"), refused),
        case("port-minus", format!("{head}m=audio -1 RTP/AVP 0\r\n"), refused),
        case("multicast", after("").replace("c=IN IP4 127.0.0.2", "c=IN IP4 239.1.2.3"), refused),
        case("address-999", after("").replace("c=IN IP4 127.0.0.2", "c=IN IP4 999.1.2.3"), refused),
        case("address-name", after("").replace("c=IN IP4 127.0.0.2", "c=IN IP4 evil.example"), Anything),
        case("link-local", after("").replace("c=IN IP4 127.0.0.2", "c=IN IP4 169.254.169.254"), refused),
        case("no-connection", after("").replace("c=IN IP4 127.0.0.2\r\n", ""), refused),
        case(
            "savp-only",
            format!("{head}m=audio 40000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA\r\n"),
            refused,
        ),
        case("no-version", after("").replacen("v=0\r\n", "", 1), refused),
        case("version-1", after("").replacen("v=0", "v=1", 1), Anything),
        case("short-origin", after("").replacen("o=- 1 1 IN IP4 127.0.0.2", "o=-", 1), Anything),
        case("payload-type-200", format!("{head}m=audio 40000 RTP/AVP 200 0\r\n"), Anything),
        case(
            "three-hundred-formats",
            format!("{head}m=audio 40000 RTP/AVP {}\r\n", "0 ".repeat(300).trim_end()),
            Anything,
        ),
        case("hundred-media-lines", format!("{head}{}", audio.repeat(100)), Anything),
        case("ten-thousand-attributes", after(&"a=x\r\n".repeat(10_000)), refused),
        case("long-line", after(&format!("a={}\r\n", "x".repeat(40_000))), refused),
        case("rtpmap-of-nothing", after("a=rtpmap:\r\na=rtpmap:0\r\na=rtpmap:0 /\r\na=fmtp:\r\n"), Anything),
        case("ptime-0", after("a=ptime:0\r\n"), Anything),
        case("nul", after("a=a\0b\r\n"), Anything),
        case("no-equals", after("nonsense\r\n"), Anything),
        case("session-name-of-a-script", after("").replacen("s=-", "s=<script>alert(1)</script>", 1), good),
        case("key", after("k=clear:secret\r\n"), good),
        case("empty", "", Anything),
    ]
}

/// What comes to a media port; none of it is right for the stream that runs there.
pub fn media() -> Vec<Case> {
    let rtp = |first: u8, second: u8, rest: usize| {
        let mut packet = vec![first, second, 0x12, 0x34, 0, 0, 0, 1, 0xDE, 0xAD, 0xBE, 0xEF];
        packet.extend(vec![0x55; rest]);
        packet
    };
    let rtcp = |first: u8, kind: u8, words: u16, rest: usize| {
        let mut packet = vec![first, kind];
        packet.extend(words.to_be_bytes());
        packet.extend(vec![0xA5; rest]);
        packet
    };
    let stun = |kind: u16, length: u16, rest: usize| {
        let mut packet = kind.to_be_bytes().to_vec();
        packet.extend(length.to_be_bytes());
        packet.extend([0x21, 0x12, 0xA4, 0x42]);
        packet.extend(vec![7; 12 + rest]);
        packet
    };
    [
        ("rtp-empty", Vec::new()),
        ("rtp-2-bytes", rtp(0x80, 0, 0)[..2].to_vec()),
        ("rtp-11-bytes", rtp(0x80, 0, 0)[..11].to_vec()),
        ("rtp-header-only", rtp(0x80, 0, 0)),
        ("rtp-version-0", rtp(0x00, 0, 160)),
        ("rtp-version-1", rtp(0x40, 0, 160)),
        ("rtp-version-3", rtp(0xC0, 0, 160)),
        ("rtp-15-csrcs-of-none", rtp(0x8F, 0, 8)),
        ("rtp-extension-beyond", {
            let mut packet = rtp(0x90, 0, 0);
            packet.extend([0xBE, 0xDE, 0xFF, 0xFF, 1, 2, 3]);
            packet
        }),
        ("rtp-padding-255", {
            let mut packet = rtp(0xA0, 0, 20);
            packet.push(255);
            packet
        }),
        ("rtp-padding-0", {
            let mut packet = rtp(0xA0, 0, 20);
            packet.push(0);
            packet
        }),
        ("rtp-type-127", rtp(0x80, 127, 160)),
        ("rtp-one-byte-of-sound", rtp(0x80, 0, 1)),
        ("rtp-1400-bytes", rtp(0x80, 0, 1_388)),
        ("rtp-9000-bytes", rtp(0x80, 0, 8_988)),
        ("rtp-digit-of-nobody", rtp(0x80, 101, 4)),
        ("rtcp-bye", rtcp(0x81, 203, 1, 4)),
        ("rtcp-bye-31", rtcp(0x9F, 203, 1, 4)),
        ("rtcp-length-beyond", rtcp(0x80, 200, 0xFFFF, 24)),
        ("rtcp-length-0", rtcp(0x80, 200, 0, 0)),
        ("rtcp-report-31-of-none", rtcp(0x9F, 201, 1, 4)),
        ("rtcp-sdes-unending", rtcp(0x81, 202, 2, 8)),
        ("rtcp-app", rtcp(0x80, 204, 2, 8)),
        ("rtcp-nack", rtcp(0x81, 205, 3, 12)),
        ("rtcp-remb", rtcp(0x8F, 206, 4, 16)),
        ("rtcp-hundred-in-one", rtcp(0x80, 201, 1, 4).repeat(100)),
        ("rtcp-padding", rtcp(0xA0, 201, 1, 4)),
        ("stun-binding", stun(1, 0, 0)),
        ("stun-length-lie", stun(1, 400, 8)),
        ("stun-length-odd", stun(1, 3, 3)),
        ("stun-success", stun(0x0101, 8, 8)),
        ("turn-channel", vec![0x40, 0, 0xFF, 0xFF, 1, 2]),
        ("dtls-hello", [&[22u8, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40][..], &[1; 40]].concat()),
        ("dtls-close", vec![21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0]),
        ("first-byte-4", vec![4; 60]),
        ("first-byte-255", vec![255; 60]),
        ("quic", vec![0xC3; 1_200]),
        ("sip", request("OPTIONS", "m1", 9, "", "").into_bytes()),
    ]
    .into_iter()
    .map(|(name, bytes)| case(name, bytes, Expect::Silence))
    .collect()
}
