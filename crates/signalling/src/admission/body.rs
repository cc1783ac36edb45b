//! Which bodies of INVITE and UPDATE are taken (RFC 3261 §8.2.3, RFC 5621 for multipart).

use bytes::Bytes;

use crate::message::{HeaderName, Message};
use crate::peers::Srtp;
use crate::sdp::{Sdp, SdpError};
use crate::session::keys;
use crate::ua::SDP;

/// Parts of a multipart body that are looked at. A multipart within a multipart is not looked into.
const PARTS_MAX: usize = 32;
/// Characters of a boundary (RFC 2046 §5.1.1).
const BOUNDARY_MAX: usize = 70;

/// Why a body is refused.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) status: u16,
    pub(crate) phrase: Option<&'static str>,
    pub(crate) header: Option<(HeaderName, String)>,
}

/// The session description of a message: its body, or the part of a multipart body that is one.
///
/// # Errors
/// 415 for other types and encodings, 400 for a broken description, 488 for one without audio that we can relay.
pub(crate) fn session_body(message: &Message) -> Result<Option<Sdp>, Fault> {
    let body = message.body();
    if body.is_empty() {
        return Ok(None);
    }
    let encoding = message.header(&HeaderName::ContentEncoding).unwrap_or("identity");
    if !encoding.trim().eq_ignore_ascii_case("identity") {
        return Err(Fault { status: 415, phrase: None, header: Some((HeaderName::AcceptEncoding, "identity".into())) });
    }
    let text = match message.content_type().as_str() {
        "" | SDP => Some(body),
        kind if kind.starts_with("multipart/") => {
            message.header(&HeaderName::ContentType).and_then(|value| sdp_part(value, &body))
        }
        _ => None,
    };
    let Some(text) = text else {
        return Err(Fault { status: 415, phrase: None, header: Some((HeaderName::Accept, SDP.into())) });
    };
    match Sdp::parse(&text) {
        Ok(sdp) => Ok(Some(sdp)),
        Err(SdpError::Malformed(what)) => Err(Fault { status: 400, phrase: Some(what), header: None }),
        Err(SdpError::NotAcceptable(what)) => Err(not_acceptable(what)),
    }
}

/// A call's first offer has audio: a stream with port 0 is none (RFC 3264 §5.1).
///
/// # Errors
/// 488 where it has not.
pub(crate) fn with_audio(offer: Option<Sdp>) -> Result<Option<Sdp>, Fault> {
    match offer {
        Some(offer) if offer.rejected() => Err(not_acceptable("audio has port 0")),
        offer => Ok(offer),
    }
}

/// A call's first offer is as the policy of its caller has it.
///
/// # Errors
/// 488 where it is not.
pub(crate) fn admitted(offer: Option<Sdp>, policy: Srtp) -> Result<Option<Sdp>, Fault> {
    offer.map(|offer| keys::admit(policy, false, offer)).transpose().map_err(not_acceptable)
}

pub(crate) fn not_acceptable(what: &str) -> Fault {
    Fault { status: 488, phrase: None, header: Some((HeaderName::Warning, format!("304 medlytt \"{what}\""))) }
}

/// The first part of type application/sdp of a multipart body (RFC 2046 §5.1).
fn sdp_part(content_type: &str, body: &Bytes) -> Option<Bytes> {
    let (_, rest) = content_type.split_once("boundary=")?;
    let boundary = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?,
        None => rest.split(';').next()?.trim(),
    };
    if boundary.is_empty() || boundary.len() > BOUNDARY_MAX {
        return None;
    }
    let delimiter = format!("--{boundary}");
    let starts: Vec<usize> = memchr::memmem::find_iter(body, delimiter.as_bytes()).take(PARTS_MAX + 1).collect();
    starts.windows(2).find_map(|pair| {
        let &[start, end] = pair else { return None };
        let from = start.checked_add(delimiter.len())?;
        let part = body.get(from..end)?;
        let head_end = memchr::memmem::find(part, b"\r\n\r\n")?;
        let head = std::str::from_utf8(part.get(..head_end)?).ok()?;
        let is_sdp = head.lines().any(|line| {
            line.split_once(':').is_some_and(|(name, value)| {
                let kind = value.split(';').next().unwrap_or_default().trim();
                matches!(name.trim().to_ascii_lowercase().as_str(), "content-type" | "c")
                    && kind.eq_ignore_ascii_case(SDP)
            })
        });
        is_sdp.then(|| body.slice(from + head_end + 4..end))
    })
}
