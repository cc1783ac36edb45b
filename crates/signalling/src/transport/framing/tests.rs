use super::*;
use crate::message::Message;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

fn limits() -> Limits {
    Limits::default()
}

fn options(extra: &str, body: &str) -> String {
    format!(
        "OPTIONS sip:x@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.9:5060;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
         To: <sip:x@192.0.2.1>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n{extra}\r\n{body}"
    )
}

/// Everything that comes of these segments.
fn pieces<'a>(segments: impl IntoIterator<Item = &'a [u8]>) -> Vec<Piece> {
    let (mut framer, mut all) = (Framer::default(), Vec::new());
    for segment in segments {
        framer.push(segment);
        while let Some(piece) = framer.next(&limits()) {
            all.push(piece);
        }
    }
    all
}

fn whole(text: &str) -> Vec<Piece> {
    pieces([text.as_bytes()])
}

fn lost(text: &str) -> (ParseError, &'static str) {
    match whole(text).pop() {
        Some(Piece::Lost(lost)) => (lost.error, lost.counter),
        other => panic!("{text:?} gave {other:?}"),
    }
}

#[test]
fn three_messages_in_one_segment() {
    let messages = [
        options("Content-Length: 0\r\n", ""),
        options("l: 5\r\n", "hello"),
        options("Content-Length : 2\r\nContent-Length:\r\n 2\r\n", "ab"),
    ];
    let expected: Vec<Piece> = messages.iter().map(|text| Piece::Message(text.clone().into())).collect();
    assert_eq!(whole(&messages.concat()), expected);
}

#[test]
fn pings_are_told_and_line_ends_skipped() {
    let message = options("Content-Length: 0\r\n", "");
    let one = Piece::Message(message.clone().into());
    assert_eq!(whole("\r\n\r\n"), [Piece::Ping]);
    assert_eq!(whole("\r\n"), []);
    assert_eq!(pieces(["\r".as_bytes(), b"\n\r", b"\n"]), [Piece::Ping]);
    assert_eq!(whole(&format!("\r\n\r\n{message}\r\n\r\n")), [Piece::Ping, one.clone(), Piece::Ping]);
    assert_eq!(whole(&format!("\n\n\r\n{message}")), std::slice::from_ref(&one));
    assert_eq!(whole(&"\r\n".repeat(1000)), [Piece::Ping], "many at once are answered once");
}

#[test]
fn what_loses_the_framing() {
    let lengths = |lines: &str| lost(&options(lines, "0123456789"));
    assert_eq!(lengths("").1, "stream_framing_length_missing");
    assert_eq!(lengths("Content-Length: 5\r\nContent-Length : 6\r\n").1, "stream_framing_lengths_differ");
    assert_eq!(lengths("Content-Length: 5\r\nL: 6\r\n").1, "stream_framing_lengths_differ");
    for bad in ["+5", "-1", "0x5", "5, 5", "5 5", "", "five", "5\r\n 5", "5;q=1", "\u{665}"] {
        assert_eq!(lengths(&format!("Content-Length: {bad}\r\n")).1, "stream_framing_length_bad", "{bad}");
    }
    for huge in ["1073741824", "18446744073709551615", "99999999999999999999999", "65535"] {
        let (error, counter) = lengths(&format!("Content-Length: {huge}\r\n"));
        assert_eq!((error, counter), (ParseError::TooLarge("message too large"), "stream_framing_too_large"));
    }
    assert_eq!(lost("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n").0, ParseError::NotSip);
    assert_eq!(lost("GET / HTTP/1.1\r\n").1, "stream_not_sip");
    assert_eq!(lost("\u{16}\u{3}\u{1}").1, "stream_not_sip");
    assert_eq!(lost(&options("X: a\nContent-Length: 0\r\n", "")).1, "stream_framing_line_end");
    assert_eq!(lost(&options("X: a\rContent-Length: 0\r\n", "")).1, "stream_framing_line_end");
    let endless = format!("OPTIONS sip:x SIP/2.0\r\nSubject: {}", "a".repeat(70_000));
    assert_eq!(lost(&endless).1, "stream_framing_head_too_large");
}

#[test]
fn an_unfinished_message_is_held_and_bounded() {
    let mut framer = Framer::default();
    framer.push(b"OPTIONS sip:x SIP/2.0\r\nSubject: ");
    assert_eq!(framer.next(&limits()), None);
    assert!(framer.is_partial());
    let mut lost = None;
    for _ in 0..1024 {
        framer.push(&[b'a'; 1024]);
        assert!(framer.len() <= limits().bytes + 1024);
        lost = lost.or_else(|| framer.next(&limits()));
    }
    assert!(matches!(lost, Some(Piece::Lost(_))));
    assert!(framer.is_empty() && !framer.is_partial(), "after the end nothing is kept");
}

#[test]
fn a_message_in_single_bytes_is_scanned_once() {
    // 60,000 segments; were each to look at everything before it, this would take minutes.
    let text = options(&format!("{}Content-Length: 3\r\n", "Subject: 0123456789\r\n".repeat(2800)), "abc");
    assert_eq!(pieces(text.as_bytes().chunks(1)), [Piece::Message(text.clone().into())]);
}

/// Pieces of which streams are drawn: good ones, broken ones, and what looks like a line end or a length.
const SCRAPS: &[&str] = &[
    "OPTIONS sip:x@192.0.2.1 SIP/2.0\r\n",
    "INVITE sip:x SIP/2.0\n",
    "SIP/2.0 200 OK\r\n",
    "Via: SIP/2.0/TCP 192.0.2.9:5060;branch=z9hG4bK1\r\n",
    "From: <sip:a@b>;tag=1\r\nTo: <sip:x@y>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n",
    "v: SIP/2.0/TCP h\nf: <sip:a@b>;tag=1\nt: <sip:x@y>\ni: c\nCSeq: 1 INVITE\n",
    "Content-Length: 0\r\n",
    "Content-Length : 4\r\n",
    "l: 4\n",
    "L:\r\n\t4\r\n",
    "Content-Length: 40\r\n",
    "Content-Length\r\n: 3\r\n",
    "Content-Length: 4\r\n 4\r\n",
    " Content-Length: 7\r\n",
    "X-Content-Length: 9\r\n",
    "Subject: a\r\n \r\n b\r\n",
    "\r\n",
    "\n",
    "\r",
    "body",
    "\r\n\r\n",
    "\u{0}",
    ": 1\r\n",
];

fn drawn(random: &mut StdRng) -> Vec<u8> {
    let mut stream = Vec::new();
    for _ in 0..random.random_range(1..4) {
        if random.random_bool(0.5) {
            stream.extend_from_slice(options("Content-Length: 4\r\n", "body").as_bytes());
            continue;
        }
        for _ in 0..random.random_range(1..12) {
            stream.extend_from_slice(SCRAPS[random.random_range(0..SCRAPS.len())].as_bytes());
        }
    }
    stream
}

#[test]
fn any_split_of_a_stream_gives_the_same_messages() {
    let mut random = StdRng::seed_from_u64(7);
    for _ in 0..3_000 {
        let stream = drawn(&mut random);
        let messages = |pieces: Vec<Piece>| -> Vec<Piece> {
            // How many pings are told depends on the segments, and what of a lost stream came with it.
            let kept = pieces.into_iter().filter(|piece| *piece != Piece::Ping);
            kept.map(|piece| match piece {
                Piece::Lost(lost) => Piece::Lost(Lost { head: Bytes::new(), ..lost }),
                piece => piece,
            })
            .collect()
        };
        let at_once = messages(pieces([stream.as_slice()]));
        let mut rest = stream.as_slice();
        let mut segments = Vec::new();
        while !rest.is_empty() {
            let (segment, after) = rest.split_at(random.random_range(1..=rest.len()));
            segments.push(segment);
            rest = after;
        }
        let text = String::from_utf8_lossy(&stream);
        assert_eq!(messages(pieces(segments)), at_once, "{text:?}");
        assert_eq!(messages(pieces(stream.chunks(1))), at_once, "{text:?}");
    }
}

#[test]
fn what_is_cut_out_is_what_the_parser_reads() {
    let mut random = StdRng::seed_from_u64(8);
    let mut read = 0;
    for _ in 0..20_000 {
        let stream = drawn(&mut random);
        for piece in pieces([stream.as_slice()]) {
            let Piece::Message(bytes) = piece else { continue };
            let Ok(message) = Message::parse(bytes.clone(), &limits()) else { continue };
            read += 1;
            assert_eq!(message.bytes(), &bytes, "the parser sees another end: {:?}", String::from_utf8_lossy(&stream));
        }
    }
    assert!(read > 5_000, "{read}");
}
