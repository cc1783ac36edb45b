//! An INVITE with SDP: parsed and printed by our message layer and by `rsip` 0.4, in one run.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use signalling::message::{HeaderName, Limits, Message, RequestBuilder};

const INVITE: &str = "INVITE sip:1001@medlytt.test SIP/2.0\r\n\
Via: SIP/2.0/UDP 10.0.0.10:5060;branch=z9hG4bK776asdhds;rport\r\n\
Via: SIP/2.0/UDP sbc.example.com:5060;branch=z9hG4bKnashds8;received=192.0.2.1\r\n\
Record-Route: <sip:10.0.0.10;lr>\r\n\
Max-Forwards: 69\r\n\
From: \"Kari Nordmann\" <sip:+4755512345@10.0.0.10>;tag=1928301774\r\n\
To: <sip:1001@medlytt.test>\r\n\
Call-ID: a84b4c76e66710@10.0.0.10\r\n\
CSeq: 314159 INVITE\r\n\
Contact: <sip:+4755512345@10.0.0.10:5060>\r\n\
Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, REFER, NOTIFY, UPDATE, INFO\r\n\
Supported: replaces, timer\r\n\
User-Agent: platform/7.1\r\n\
X-Queue: Support\r\n\
X-Access-Number: +4721000001\r\n\
Content-Type: application/sdp\r\n\
Content-Length: 237\r\n\r\n\
v=0\r\no=platform 2890844526 2890844526 IN IP4 10.0.0.10\r\ns=-\r\nc=IN IP4 10.0.0.10\r\nt=0 0\r\n\
m=audio 49172 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
a=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n";

fn message(c: &mut Criterion) {
    let text = {
        let (head, body) = INVITE.split_once("\r\n\r\n").expect("the message has a body");
        let head = head.replace("Content-Length: 237", &format!("Content-Length: {}", body.len()));
        format!("{head}\r\n\r\n{body}")
    };
    let raw = Bytes::from(text.clone());
    let limits = Limits::default();
    let mut group = c.benchmark_group("invite_with_sdp");
    group.throughput(Throughput::Elements(1));
    group.bench_function("ours_parse", |b| {
        b.iter(|| Message::parse(black_box(raw.clone()), &limits).expect("a valid message"));
    });
    group.bench_function("rsip_parse", |b| {
        b.iter(|| rsip::SipMessage::try_from(black_box(raw.as_ref())).expect("a valid message"));
    });
    // Printing alone, the same lines. Ours puts the message together from its values, as the engine does, and looks
    // through each for control characters; theirs stands ready and is only written.
    let parsed = Message::parse(raw.clone(), &limits).expect("a valid message");
    let values: Vec<&str> = parsed.lines().map(|(_, value)| value).collect();
    let (method, body) = (parsed.method(), parsed.body());
    group.bench_function("ours_print", |b| {
        let value = |place: usize| black_box(values[place]);
        b.iter(|| {
            RequestBuilder::new(&method, black_box(parsed.request_uri()))
                .header(HeaderName::Via, value(0))
                .header(HeaderName::Via, value(1))
                .header(HeaderName::RecordRoute, value(2))
                .header(HeaderName::MaxForwards, value(3))
                .header(HeaderName::From, value(4))
                .header(HeaderName::To, value(5))
                .header(HeaderName::CallId, value(6))
                .header(HeaderName::CSeq, value(7))
                .header(HeaderName::Contact, value(8))
                .header(HeaderName::Allow, value(9))
                .header(HeaderName::Supported, value(10))
                .header(HeaderName::UserAgent, value(11))
                .raw_header("X-Queue", value(12))
                .raw_header("X-Access-Number", value(13))
                .body(value(14), body.clone())
                .finish()
        });
    });
    let theirs = rsip::Request::try_from(raw.as_ref()).expect("a valid message");
    group.bench_function("rsip_print", |b| {
        b.iter(|| Bytes::from(black_box(&theirs).to_string()));
    });
    // From the wire and back to it, as a relay would do it.
    group.bench_function("ours_parse_print", |b| {
        b.iter(|| Message::parse(black_box(raw.clone()), &limits).expect("a valid message").bytes().clone());
    });
    group.bench_function("rsip_parse_print", |b| {
        b.iter(|| {
            let message = rsip::SipMessage::try_from(black_box(raw.as_ref())).expect("a valid message");
            Bytes::from(message.to_string())
        });
    });
    group.bench_function("ours_parse_read_edit_print", |b| {
        b.iter(|| {
            let message = Message::parse(black_box(raw.clone()), &limits).expect("a valid message");
            let tag = message.from_tag().len() + message.call_id().len() + message.top_via().branch().len();
            let edited = message.edit().set(HeaderName::MaxForwards, "68").finish();
            black_box((tag, edited.bytes().len()))
        });
    });
    group.bench_function("rsip_parse_read_edit_print", |b| {
        use rsip::prelude::*;
        b.iter(|| {
            let mut message = rsip::Request::try_from(black_box(raw.as_ref())).expect("a valid message");
            let tag = message.from_header().expect("From").tag().expect("parsed").map_or(0, |t| t.to_string().len())
                + message.call_id_header().expect("Call-ID").value().len()
                + message
                    .via_header()
                    .expect("Via")
                    .typed()
                    .expect("parsed")
                    .branch()
                    .map_or(0, |b| b.to_string().len());
            *message.max_forwards_header_mut().expect("Max-Forwards") = rsip::headers::MaxForwards::from(68);
            black_box((tag, message.to_string().len()))
        });
    });
    group.finish();
}

criterion_group!(benches, message);
criterion_main!(benches);
