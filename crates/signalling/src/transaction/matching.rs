//! Which transaction a message belongs to (RFC 3261 §17.1.3, §17.2.3), as text keys for a hash index.
//!
//! Fields are joined by NUL, which no header value can hold, so that two different messages never share a key.

use std::fmt::Write;

use crate::message::{HeaderName, Message, Method};

/// What a branch made by RFC 3261 starts with.
pub(super) const COOKIE: &str = "z9hG4bK";

/// Key of a client transaction: branch and CSeq method (RFC 3261 §17.1.3).
pub(super) fn client(key: &mut String, message: &Message, method: &Method) {
    key.clear();
    push(key, &["c", message.top_via().branch(), method.as_str()]);
}

/// Key of a server transaction: branch, sent-by and method, where ACK stands for its INVITE (RFC 3261 §17.2.3).
/// Without a branch of RFC 3261: what RFC 2543 compared.
pub(super) fn server(key: &mut String, request: &Message, method: &Method) {
    let method = if *method == Method::Ack { &Method::Invite } else { method };
    let via = request.top_via();
    let branch = via.branch();
    key.clear();
    if branch.len() > COOKIE.len() && branch.starts_with(COOKIE) {
        push(key, &["s", branch, method.as_str()]);
    } else {
        push(key, &["2", branch, method.as_str(), request.request_uri(), request.call_id(), request.from_tag()]);
        number(key, request.cseq().number);
    }
    push(key, &[via.host]);
    lower_case_end(key, via.host.len());
    number(key, u32::from(via.port.unwrap_or(5060)));
}

/// Key by which a request that came by two ways is known (RFC 3261 §8.2.2.2), and an INVITE by its CANCEL or ACK
/// where their Via is another one: Call-ID, From tag, CSeq. The method is the INVITE's for these two.
pub(super) fn call(key: &mut String, request: &Message, method: &Method) {
    let method = if matches!(method, Method::Ack | Method::Cancel) { &Method::Invite } else { method };
    key.clear();
    push(key, &["m", request.call_id(), request.from_tag(), method.as_str()]);
    number(key, request.cseq().number);
}

/// True where the topmost Via has the same branch of RFC 3261.
pub(super) fn same_branch(one: &Message, other: &Message) -> bool {
    let (one, other) = (one.top_via(), other.top_via());
    one.branch() == other.branch() && one.branch().len() > COOKIE.len() && one.branch().starts_with(COOKIE)
}

/// A response whose Via is not ours alone went astray (RFC 3261 §8.1.3.3).
pub(super) fn has_one_via(response: &Message) -> bool {
    response.values(&HeaderName::Via).nth(1).is_none()
}

fn push(key: &mut String, parts: &[&str]) {
    for part in parts {
        key.push('\0');
        key.push_str(part);
    }
}

fn number(key: &mut String, number: u32) {
    // Writing to a String cannot fail.
    let _ = write!(key, "\0{number}");
}

/// Host names are compared without case.
fn lower_case_end(key: &mut str, length: usize) {
    let start = key.len().saturating_sub(length);
    if let Some(host) = key.get_mut(start..) {
        host.make_ascii_lowercase();
    }
}
