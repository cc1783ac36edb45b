use super::crypto::{Key, Suite};
use super::*;

/// Plain RTP, two ports.
static PLAIN: Protection = Protection { secure: false, feedback: None, crypto: Vec::new(), mux: false };

fn parse(text: &str) -> Result<Sdp, SdpError> {
    Sdp::parse(&Bytes::copy_from_slice(text.as_bytes()))
}
/// A description with these lines behind t=.
fn with(lines: &str) -> String {
    format!("v=0\r\no=ann 7 8 IN IP4 198.51.100.1\r\ns=call\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n{lines}")
}
fn rewritten(text: &str, direction: Direction, only: Option<&[u8]>) -> String {
    let to = Rewrite {
        media: "203.0.113.5:30000".parse().unwrap(),
        session_id: 11,
        version: 2,
        direction,
        only,
        places: None,
        protection: &PLAIN,
    };
    String::from_utf8(parse(text).unwrap().rewrite(&to).to_vec()).unwrap()
}

#[test]
fn what_a_phone_offers() {
    let sdp = parse(&with("m=audio 49170 RTP/AVP 8 0 111 101 18\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendonly\r\n")).unwrap();
    assert_eq!(sdp.rtp(), Some("192.0.2.1:49170".parse().unwrap()));
    assert_eq!(sdp.rtcp(), Some("192.0.2.1:49171".parse().unwrap()));
    assert_eq!(
        (sdp.direction(), sdp.telephone_event(), sdp.rejected(), sdp.null_address()),
        (Direction::SendOnly, Some(101), false, false)
    );
    let names: Vec<_> = sdp
        .payloads()
        .iter()
        .map(|payload| (payload.pt, payload.name.as_str(), payload.clock, payload.channels))
        .collect();
    assert_eq!(names, [(8, "PCMA", 8000, 1), (0, "PCMU", 8000, 1), (111, "opus", 48000, 2), (18, "G729", 8000, 1)]);
    assert_eq!(sdp.payloads()[2].fmtp, "useinbandfec=1");
}

#[test]
fn levels_of_address_and_direction() {
    let sdp = parse(&with("a=recvonly\r\nm=video 4000 RTP/AVP 96\r\na=inactive\r\nm=audio 0 RTP/AVP 0\r\nm=audio 5000/2 RTP/AVPF 0\r\nc=IN IP6 2001:db8::5\r\na=rtcp:5007 IN IP6 2001:db8::6\r\n")).unwrap();
    assert_eq!(sdp.rtp(), Some("[2001:db8::5]:5000".parse().unwrap()));
    assert_eq!(sdp.rtcp(), Some("[2001:db8::6]:5007".parse().unwrap()));
    assert_eq!(sdp.direction(), Direction::RecvOnly);
    let held = parse(&with("m=audio 5000 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n")).unwrap();
    assert!(held.null_address() && held.rtp().is_none() && held.rtcp().is_none());
    let named = parse(&with("m=audio 5000 RTP/AVP 0\r\nc=IN IP4 media.example.com\r\n")).unwrap();
    assert_eq!((named.rtp(), named.null_address()), (None, false));
    let refused = parse("v=0\r\nm=audio 0 RTP/AVP 0\r\n").unwrap();
    assert!(refused.rejected() && refused.rtp().is_none());
    assert_eq!(parse(&with("m=audio 65535 RTP/AVP 0\r\n")).unwrap().rtcp(), None);
}

#[test]
fn telephone_event_runs_on_the_voices_clock() {
    let sdp = parse(&with("m=audio 5000 RTP/AVP 111 101 102\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\na=rtpmap:102 Telephone-Event/48000\r\n")).unwrap();
    assert_eq!((sdp.telephone_event(), sdp.payloads().len()), (Some(102), 1));
}

#[test]
fn tolerated_forms() {
    let audio = "m=audio 5000 RTP/AVP 0\n";
    for text in [
        with(audio).replace("\r\n", "\n"),
        with(audio).replace("\r\n", "\r").replace('\n', "\r"),
        with(audio).trim_end().to_owned(),
        with(audio).replace("s=call\r\n", "").replace("t=0 0\r\n", ""),
        with(audio).replace("o=ann 7 8 IN IP4 198.51.100.1\r\n", ""),
        with(audio) + "\r\n\r\n",
        with(audio) + "a=ptime:-5\r\na=fmtp:0\r\na=rtpmap:99 broken\r\na=x\r\na=\r\n",
        format!("v=0\nc=IN IP4 1.2.3.4\ns=-\no=x\n{audio}"),
    ] {
        assert!(parse(&text).is_ok_and(|sdp| sdp.rtp().is_some()), "{text}");
    }
}

#[test]
fn refused_as_broken() {
    let long = format!("m=audio 5000 RTP/AVP{}\r\n", " 0".repeat(129));
    for lines in [
        "m=audio 65536 RTP/AVP 0\r\n",
        "m=audio abc RTP/AVP 0\r\n",
        "m=audio +5 RTP/AVP 0\r\n",
        "m=audio 40000/65535 RTP/AVP 0\r\n",
        "m=audio 40000/0 RTP/AVP 0\r\n",
        "m=audio 5000 RTP/AVP\r\n",
        "m=audio 5000\r\n",
        "m=\r\n",
        "m=audio 5000 RTP/AVP abc\r\n",
        "m=audio 5000 RTP/AVP 128\r\n",
        "m=audio 5000 RTP/AVP 96\r\na=rtpmap:96 x/0\r\n",
        "m=audio 5000 RTP/AVP 96\r\na=rtpmap:96 x\r\n",
        "m=audio 5000 RTP/AVP 0\r\nc=IN IP4 999.1.1.1\r\n",
        "m=audio 5000 RTP/AVP 0\r\nc=IN IP4 0x7f000001\r\n",
        "m=audio 5000 RTP/AVP 0\r\nc=IN IP4 127.1\r\n",
        "m=audio 5000 RTP/AVP 0\r\nc=IN IP4 ::1\r\n",
        "m=audio 5000 RTP/AVP 0\r\nc=IN IP6 127.0.0.1\r\n",
        "m=audio 5000 RTP/AVP 0\r\nc=IN IP4 \r\n",
        "m=audio 5000 RTP/AVP 0\r\nc=\r\n",
        "m=audio 5000 RTP/AVP 0\r\na=rtcp:x\r\n",
        "m=audio 5000 RTP/AVP 0\r\nbroken\r\n",
        "m=audio 5000 RTP/AVP 0\r\na=x\0y\r\n",
        &long,
        &"a=x\r\n".repeat(2_000),
        &"m=audio 0 RTP/AVP 0\r\n".repeat(40),
    ] {
        assert!(matches!(parse(&with(lines)), Err(SdpError::Malformed(_))), "{lines:?}");
    }
    for text in ["", "\r\n\r\n", "{\"v\":0}", "o=x\r\nv=0\r\n", "v=1\r\n", "v=0\r\nm=audio 5000 RTP/AVP 0\r\n"] {
        assert!(matches!(parse(text), Err(SdpError::Malformed(_))), "{text:?}");
    }
}

#[test]
fn refused_as_not_acceptable() {
    for lines in [
        "",
        "m=video 5000 RTP/AVP 96\r\n",
        "m=image 5000 udptl t38\r\n",
        "m=audio 5000 UDP/TLS/RTP/SAVP 0\r\n",
        "m=audio 5000 TCP/RTP/AVP 0\r\n",
        "m=audio 5000 UDP/TLS/RTP/SAVPF 0\r\n",
        "m=audio 5000 RTP/AVP 0\r\nc=IN IP4 255.255.255.255\r\n",
        "m=audio 5000 RTP/AVP 0\r\nc=IN IP4 224.2.1.1/127\r\n",
        "m=audio 5000 RTP/AVP 0\r\nc=IN IP4 169.254.169.254\r\n",
        "m=audio 5000 RTP/AVP 0\r\nc=IN IP6 fe80::1\r\n",
        "m=audio 5000 RTP/AVP 0\r\na=rtcp:9 IN IP4 224.0.0.1\r\n",
    ] {
        assert!(matches!(parse(&with(lines)), Err(SdpError::NotAcceptable(_))), "{lines:?}");
    }
}

#[test]
fn rewriting_keeps_the_rest() {
    let text = with("a=group:BUNDLE 0 1\r\na=sendrecv\r\na=ice-lite\r\nb=AS:64\r\nk=clear:secret\r\nm=video 40002 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\nm=audio 40000/1 RTP/AVP 0  8 101\r\ni= odd  spaces\r\nc=IN IP4 192.0.2.9\r\na=rtcp:40001\r\na=rtcp-mux\r\na=candidate:1 1 UDP 1 192.0.2.1 9 typ host\r\na=ice-ufrag:x\r\na=fingerprint:sha-256 00\r\na=setup:active\r\na=crypto:1 X inline:k\r\na=rtpmap:101 telephone-event/8000\n a".trim_end_matches("\n a"));
    let text = text + "\na=ssrc:1 cname:x\r\na=sendonly\r\na=sendrecv\r\na=X-mine: 1\r\nm=audio 7 RTP/AVP 0\r\na=x\r\n";
    assert_eq!(
        rewritten(&text, Direction::Inactive, None),
        "v=0\r\no=ann 11 2 IN IP4 203.0.113.5\r\ns=call\r\nc=IN IP4 203.0.113.5\r\nt=0 0\r\nb=AS:64\r\nm=video 0 RTP/AVP 96\r\nm=audio 30000 RTP/AVP 0 8 101\r\ni= odd  spaces\r\nc=IN IP4 203.0.113.5\r\na=rtcp:30001 IN IP4 203.0.113.5\r\na=rtpmap:101 telephone-event/8000\na=ssrc:1 cname:x\r\na=inactive\r\na=X-mine: 1\r\nm=audio 0 RTP/AVP 0\r\n"
    );
}

#[test]
fn rewriting_to_some_payloads() {
    let text = with(
        "m=audio 40000 RTP/AVPF 96 0 97\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 x=1\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:* ccm\r\na=rtpmap:97 telephone-event/8000\r\n",
    );
    let some = rewritten(&text, Direction::SendRecv, Some(&[97, 0]));
    assert!(
        some.ends_with(
            "m=audio 30000 RTP/AVPF 0 97\r\na=rtcp-fb:* ccm\r\na=rtpmap:97 telephone-event/8000\r\na=sendrecv\r\n"
        ),
        "{some}"
    );
    let none = rewritten(&text, Direction::SendRecv, Some(&[8]));
    assert!(parse(&none).unwrap().rejected() && none.contains("m=audio 0 RTP/AVPF 96 0 97\r\n"), "{none}");
    let refused = rewritten(&with("m=audio 0 RTP/AVP 0\r\n"), Direction::SendRecv, None);
    assert!(parse(&refused).unwrap().rejected());
}

#[test]
fn rewriting_across_families_and_gaps() {
    let text = "v=0\nm=image 9 udptl t38\nm=audio 40000 RTP/AVP 0\nc=IN IP4 192.0.2.1";
    let to = Rewrite {
        media: "[2001:db8::7]:4000".parse().unwrap(),
        session_id: 1,
        version: 1,
        direction: Direction::RecvOnly,
        only: None,
        places: None,
        protection: &PLAIN,
    };
    let out = parse(text).unwrap().rewrite(&to);
    assert_eq!(
        std::str::from_utf8(&out).unwrap(),
        "v=0\no=- 1 1 IN IP6 2001:db8::7\r\nm=image 0 udptl t38\r\nc=IN IP6 2001:db8::7\r\nm=audio 4000 RTP/AVP 0\r\nc=IN IP6 2001:db8::7\r\na=recvonly\r\n"
    );
    assert_eq!(Sdp::parse(&out).unwrap().rtp(), Some(to.media));
}

#[test]
fn composing() {
    let payloads = [
        Payload { pt: 8, name: "PCMA".into(), clock: 8000, channels: 1, fmtp: String::new() },
        Payload { pt: 96, name: "opus".into(), clock: 48000, channels: 2, fmtp: "useinbandfec=1\r\na=evil".into() },
        Payload { pt: 102, name: "telephone-event".into(), clock: 48000, channels: 1, fmtp: "0-16".into() },
        Payload { pt: 101, name: "telephone-event".into(), clock: 8000, channels: 1, fmtp: "0-16".into() },
    ];
    let text = compose("192.0.2.3:6000".parse().unwrap(), 5, 1, &payloads, Direction::SendOnly, &PLAIN);
    let sdp = Sdp::parse(&text).unwrap();
    assert_eq!(
        (sdp.rtp(), sdp.direction(), sdp.telephone_event()),
        (Some("192.0.2.3:6000".parse().unwrap()), Direction::SendOnly, Some(101))
    );
    assert_eq!(sdp.payloads()[0], payloads[0]);
    assert_eq!((sdp.payloads()[1].channels, sdp.payloads()[1].fmtp.as_str()), (2, "useinbandfec=1  a=evil"));
}

#[test]
fn mutations_never_panic() {
    let text = with(
        "a=sendonly\r\nm=audio 40000/1 RTP/AVP 0 96\r\nc=IN IP6 2001:db8::1/3\r\na=rtcp:40001 IN IP4 192.0.2.1\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 x=1\r\nm=video 1 RTP/AVP 31\r\n",
    );
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut roll = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    let pieces: [&[u8]; 12] =
        [b"\r", b"\n", b"=", b"\0", b":", b"/", b" ", b"\xff", b"m=", b"c=", b"999999999999", b"a=sendrecv\n"];
    let mut parsed = 0;
    for _ in 0..6_000 {
        let mut raw = text.clone().into_bytes();
        for _ in 0..=roll(3) {
            let at = roll(raw.len());
            match roll(3) {
                0 if roll(4) == 0 => raw.truncate(at),
                1 => drop(raw.drain(at..(at + roll(6)).min(raw.len()))),
                _ => drop(raw.splice(at..at, pieces[roll(pieces.len())].iter().copied())),
            }
        }
        let Ok(sdp) = Sdp::parse(&Bytes::from(raw)) else { continue };
        parsed += 1;
        let to = Rewrite {
            media: "203.0.113.5:30000".parse().unwrap(),
            session_id: 1,
            version: 1,
            direction: sdp.direction().reversed(),
            only: (parsed % 2 == 0).then_some(&[0_u8][..]),
            places: None,
            protection: &PLAIN,
        };
        let again = Sdp::parse(&sdp.rewrite(&to)).unwrap();
        assert_eq!(again.direction(), to.direction);
        assert!(again.rejected() || again.rtp() == Some(to.media));
    }
    assert!(parsed > 1_000);
}

#[test]
fn an_origin_among_the_streams_is_none() {
    let text = "v=0\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\no=spy 1 1 IN IP4 10.0.0.9\r\n";
    let sdp = Sdp::parse(&Bytes::from_static(text.as_bytes())).unwrap();
    let media = "192.0.2.1:20000".parse().unwrap();
    let to = Rewrite {
        media,
        session_id: 1,
        version: 2,
        direction: Direction::SendRecv,
        only: None,
        places: None,
        protection: &PLAIN,
    };
    let out = String::from_utf8(sdp.rewrite(&to).to_vec()).unwrap();
    assert!(out.starts_with("v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\n"), "{out}");
    assert_eq!(out.matches("o=").count(), 1, "{out}");
}

/// 30 bytes as base64.
const K: &str = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkw";

#[test]
fn what_an_encrypted_phone_offers() {
    let lines = format!(
        "a=crypto:9 AEAD_AES_128_GCM inline:AAAA\r\nm=audio 5000 RTP/SAVPF 0\r\na=crypto:1 NULL_HMAC_SHA1_80 inline:{K}\r\na=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:{K}|2^31\r\na=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:{K}\r\na=rtcp-mux\r\n"
    );
    let sdp = parse(&with(&lines)).unwrap();
    assert!(sdp.secure() && sdp.feedback() && sdp.mux() && sdp.names_crypto());
    let tags: Vec<_> = sdp.crypto().iter().map(|line| (line.tag, line.key.suite())).collect();
    assert_eq!(tags, [(2, Suite::AesCm128HmacSha1_32)], "of two with one tag the first; none of the session's");
    assert!(!format!("{sdp:?}").contains("MTIz"), "keys are never shown");
    let mux_only = parse(&with("m=audio 5000 RTP/AVP 0\r\na=rtcp-mux-only\r\n")).unwrap();
    assert!(mux_only.mux() && !mux_only.secure() && !mux_only.names_crypto());
}

#[test]
fn of_two_audio_streams_the_one_that_is_wanted() {
    let both = with(&format!(
        "m=audio 5000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{K}\r\nm=audio 5002 RTP/AVP 8\r\n"
    ));
    let sdp = parse(&both).unwrap();
    assert!(sdp.secure() && sdp.crypto().len() == 1);
    let plain = sdp.with_profile(false).unwrap();
    assert_eq!((plain.secure(), plain.rtp().unwrap().port(), plain.payloads()[0].pt), (false, 5002, 8));
    assert!(plain.with_profile(true).is_some_and(|sdp| sdp.secure()));
    assert!(parse(&with("m=audio 5000 RTP/AVP 0\r\n")).unwrap().with_profile(true).is_none());
}

#[test]
fn protection_is_the_legs_own() {
    let text = with(&format!(
        "m=audio 40000 RTP/SAVPF 0\r\na=rtcp:40001\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{K}\r\na=rtcp-mux\r\n"
    ));
    let sdp = parse(&text).unwrap();
    let write = |protection: &Protection| {
        let to = Rewrite {
            media: "203.0.113.5:30000".parse().unwrap(),
            session_id: 1,
            version: 1,
            direction: Direction::SendRecv,
            only: None,
            protection,
            places: None,
        };
        String::from_utf8(sdp.rewrite(&to).to_vec()).unwrap()
    };
    let plain = write(&PLAIN);
    assert!(
        plain.ends_with("m=audio 30000 RTP/AVPF 0\r\na=rtcp:30001 IN IP4 203.0.113.5\r\na=sendrecv\r\n"),
        "{plain}"
    );
    let key = Key::new(Suite::AesCm128HmacSha1_80, &[0; 30]).unwrap();
    let ours = Protection { secure: true, feedback: Some(false), crypto: vec![Crypto { tag: 3, key }], mux: true };
    let secure = write(&ours);
    let zeros = "A".repeat(40);
    assert!(
        secure.ends_with(&format!(
            "m=audio 30000 RTP/SAVP 0\r\na=sendrecv\r\na=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:{zeros}\r\na=rtcp-mux\r\n"
        )),
        "{secure}"
    );
    assert_eq!(parse(&secure).unwrap().crypto(), ours.crypto);
    let composed = compose("192.0.2.3:6000".parse().unwrap(), 5, 1, sdp.payloads(), Direction::SendOnly, &ours);
    let composed = Sdp::parse(&composed).unwrap();
    assert!(composed.secure() && composed.mux() && composed.crypto() == ours.crypto);
}
