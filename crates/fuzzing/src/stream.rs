//! Streams of SIP. However the bytes are cut into segments, the same messages come out; nothing of them is lost, made up
//! or counted twice; and where the parser sees another end than the framing did, the connection ends, so that no request
//! is smuggled in a body. The first byte says how the rest is cut.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use signalling::message::{Limits, Message};
use signalling::transport::framing::{Framer, Piece};
use signalling::transport::{Flow, Transport};
use signalling::{Input, Output, Settings, Signalling};

/// See the module.
pub fn body(data: &[u8]) {
    let Some((cut, stream)) = data.split_first() else { return };
    let whole = pieces([stream]);
    let segments: Vec<&[u8]> = segments(*cut, stream);
    assert_eq!(pieces(segments.iter().copied()), whole, "it does not matter where a stream is cut");
    nothing_is_made_up(stream, &whole);
    connection(&segments, &whole);
}

fn segments(cut: u8, stream: &[u8]) -> Vec<&[u8]> {
    match cut % 4 {
        0 => stream.chunks(1).collect(),
        1 => stream.chunks(usize::from(cut) + 1).collect(),
        // An uneven cut, and the rest in two.
        _ => {
            let (first, rest) = stream.split_at(usize::from(cut).min(stream.len()));
            let (second, third) = rest.split_at(rest.len() / 2);
            vec![first, second, third]
        }
    }
}

fn pieces<'a>(segments: impl IntoIterator<Item = &'a [u8]>) -> Vec<Piece> {
    let (limits, mut framer, mut found) = (Limits::default(), Framer::default(), Vec::new());
    for segment in segments {
        framer.push(segment);
        while let Some(piece) = framer.next(&limits) {
            found.push(piece);
        }
        assert!(framer.len() <= limits.bytes + segment.len(), "a connection holds one message");
    }
    // An answer has what had come of the headers by then.
    for piece in &mut found {
        if let Piece::Lost(lost) = piece {
            lost.head = Bytes::new();
        }
    }
    // How many pings a run of line ends is, or whether it is one, depends on when it is looked at.
    found.retain(|piece| *piece != Piece::Ping);
    found
}

/// The messages stand in the stream in this order, with nothing but line ends between them.
fn nothing_is_made_up(stream: &[u8], pieces: &[Piece]) {
    let mut rest = stream;
    for (at, piece) in pieces.iter().enumerate() {
        let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        match piece {
            Piece::Ping => {}
            Piece::Message(message) => {
                assert!(message.len() <= Limits::default().bytes);
                rest = rest.get(blank..).and_then(|rest| rest.strip_prefix(&message[..])).expect("it stands there");
            }
            Piece::Lost(_) => assert_eq!(at + 1, pieces.len(), "nothing follows what cannot be framed"),
        }
    }
}

/// The same through a core: a whole message gets one final answer at most, a lost framing ends the connection.
fn connection(segments: &[&[u8]], whole: &[Piece]) {
    let (local, remote) = (addr("198.51.100.1:5060"), addr("203.0.113.66:40000"));
    let flow = Flow { transport: Transport::Tcp, local, remote };
    let mut settings = Settings::for_domain("medlytt.test");
    settings.listen = vec![(Transport::Tcp, local)];
    let mut core = Signalling::new(settings, [4; 32]);
    let now = Instant::now();
    let mut outputs = Vec::new();
    core.drive(now, Input::FlowOpened { flow }, &mut outputs);
    for segment in segments {
        core.drive(now, Input::Bytes { flow, data: Bytes::copy_from_slice(segment) }, &mut outputs);
    }
    let closed = outputs.iter().any(|output| matches!(output, Output::Close { flow: of } if *of == flow));
    let lost = whole.iter().any(|piece| matches!(piece, Piece::Lost(_)));
    let disputed = whole.iter().any(|piece| matches!(piece, Piece::Message(data) if is_disputed(data)));
    assert!(closed || !(lost || disputed), "a connection whose framing is lost is closed");
    let messages = whole.iter().filter(|piece| matches!(piece, Piece::Message(_) | Piece::Lost(_))).count();
    let mut finals = 0;
    for output in &outputs {
        if let Output::Transmit { flow: to, data } = output {
            assert_eq!(*to, flow, "a stranger's stream makes us speak to nobody else");
            finals += usize::from(data.starts_with(b"SIP/2.0 ") && data.get(8) != Some(&b'1'));
        }
    }
    assert!(finals <= messages, "{finals} final answers to {messages} messages");
    // Everything that waits runs out.
    let mut at = now;
    for _ in 0..1_000 {
        let Some(next) = core.wake_at() else { break };
        at = at.max(next) + Duration::from_millis(1);
        core.drive(at, Input::Timeout, &mut Vec::new());
    }
    let sizes = core.sizes();
    assert_eq!((sizes.transactions, sizes.connections), (0, 0), "an idle stranger is hung up on");
}

/// The parser reads another length than the framing, so nobody knows what follows.
fn is_disputed(data: &Bytes) -> bool {
    Message::parse(data.clone(), &Limits::default()).is_ok_and(|message| message.bytes().len() != data.len())
}

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}
