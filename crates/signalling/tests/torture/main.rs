//! Every message of RFC 4475 and of RFC 5118, and that it is treated as its section says. The files beside this one are
//! written out of the RFCs in their own notation; `tables` says what must come of each.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod notation;
mod stage;
mod tables;

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use signalling::message::{HeaderName, Limits, Message, ParseError};

use stage::{PHONES, PHONES_V6, Stage, TRUNK};
use tables::{Outcome, Row, Sees};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture").join(name)
}

fn file(folder_name: &str, name: &str) -> Vec<u8> {
    let path = folder(folder_name).join(format!("{name}.txt"));
    notation::bytes(&fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

#[test]
fn every_message_of_rfc_4475_is_treated_as_it_says() {
    assert_eq!(tables::RFC_4475.len(), 49);
    all("rfc4475", &tables::RFC_4475);
}

#[test]
fn every_message_of_rfc_5118_is_treated_as_it_says() {
    assert_eq!(tables::RFC_5118.len(), 12);
    all("rfc5118", &tables::RFC_5118);
}

/// Every row's file, and no file without a row. All that is wrong is shown at once.
fn all(name: &str, rows: &[Row]) {
    let files = fs::read_dir(folder(name)).unwrap().count();
    assert_eq!(files, rows.len(), "every file of {name} has a row");
    let wrong: Vec<String> = rows.iter().filter_map(|row| check(name, row).err()).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn check(name: &str, row: &Row) -> Result<(), String> {
    let data = file(name, row.file);
    let says = |what: String| Err(format!("{name} §{} {}: {what} ({})", row.section, row.file, row.rfc));
    let parsed = Message::parse(Bytes::copy_from_slice(&data), &Limits::default());
    let error = parsed.as_ref().err();
    let expected = match row.sees {
        Sees::Message => error.is_none(),
        Sees::Malformed => matches!(error, Some(ParseError::Malformed(_))),
        Sees::UnknownMethod => error == Some(&ParseError::UnknownMethod),
        Sees::OtherVersion => matches!(error, Some(ParseError::Version)),
    };
    if !expected {
        return says(format!("parsed to {error:?}"));
    }
    let mut stage = Stage::new(if name == "rfc5118" { PHONES_V6 } else { PHONES });
    stage.receive(row.from, &data);
    let (finals, forwarded) = (stage.finals(), stage.forwarded());
    let right = match row.outcome {
        Outcome::Called => finals.is_empty() && forwarded.is_some(),
        Outcome::Answered(status) => finals == [status] && forwarded.is_none(),
        Outcome::Dropped => stage.sent.is_empty(),
    };
    if !right {
        return says(format!("answered {finals:?}, went on: {}", forwarded.is_some()));
    }
    // Whatever the message names, answers go to where it came from.
    let asked: Vec<_> = stage.sent.iter().filter(|(_, data)| data.starts_with(b"SIP/2.0")).collect();
    if let Some((to, _)) = asked.iter().find(|(to, _)| to.to_string() != row.from) {
        return says(format!("answered to {to}"));
    }
    if let Ok(message) = &parsed {
        bytes_stay(message, &data);
        if message.is_request() && !stage.sent.is_empty() {
            vias_come_back(message, &stage.answer());
        }
    }
    (row.look)(&stage, parsed.as_ref().ok());
    Ok(())
}

/// RFC 4475 §3.2.1: a branch that is nothing but the cookie tells no transactions apart.
#[test]
fn two_requests_with_the_bare_cookie_are_two_transactions() {
    let first = String::from_utf8(file("rfc4475", "badbranch")).unwrap();
    let mut stage = Stage::new(PHONES);
    stage.receive(TRUNK, first.as_bytes());
    stage.receive(TRUNK, first.replace("Call-ID: badbranch", "Call-ID: another").as_bytes());
    stage.receive(TRUNK, first.as_bytes());
    assert_eq!(stage.finals(), [200, 200, 200]);
    let call_ids: Vec<_> =
        stage.sent.iter().map(|(_, data)| String::from_utf8_lossy(data).contains("another")).collect();
    assert_eq!(call_ids, [false, true, false]);
    assert_eq!(stage.sent[0], stage.sent[2], "the third is a retransmission of the first");
}

/// What was parsed is what came, up to the end of its body.
fn bytes_stay(message: &Message, data: &[u8]) {
    assert!(data.starts_with(message.bytes()));
    let again = Message::parse(message.bytes().clone(), &Limits::default()).unwrap();
    assert_eq!(again.bytes(), message.bytes());
}

/// RFC 3261 §8.2.6.2: every Via of a request stands in its answer, in order.
fn vias_come_back(request: &Message, answer: &Message) {
    if answer.is_request() {
        return; // it went on
    }
    let vias = |message: &Message| {
        let hops = message.values(&HeaderName::Via).map(str::to_owned).collect::<Vec<_>>();
        hops.iter().map(|via| signalling::message::Via::parse(via).map(|via| via.host.to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(vias(request), vias(answer));
}
