//! Where one message ends and the next begins on a stream (RFC 3261 §18.3): headers up to the empty line, and then as
//! many bytes as Content-Length says. Where that is not certain the framing is lost, and so is the connection: what one
//! side takes for a body another could take for the next request.
//!
//! Lines end here where the parser of messages ends them. A message that was cut out here and that the parser reads as
//! shorter or longer is the caller's to refuse ([`crate::message::Message::bytes`] has another length).

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr2;

use crate::message::{Limits, ParseError};

/// An emptied buffer that has grown beyond this is given back.
const KEPT: usize = 16 * 1024;

/// What a stream is cut into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// CRLFCRLF between messages: to be answered with CRLF (RFC 5626 §4.4.1).
    Ping,
    /// One whole message: headers, and as many bytes of body as they announce. It may be broken in any other way.
    Message(Bytes),
    /// Nobody can say where the next message begins.
    Lost(Lost),
}

/// Why the framing was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// What is wrong, as the parser would have said it.
    pub error: ParseError,
    /// The headers as far as they came, for an answer.
    pub head: Bytes,
    /// Its counter.
    pub counter: &'static str,
}

/// One connection's incoming bytes.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: BytesMut,
    state: State,
    /// How much of CR LF CR LF stands before the next message.
    blank: u8,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Between messages.
    #[default]
    Between,
    /// In the headers: lines before `line` are whole, bytes before `seen` have no line end that is not known.
    Head {
        line: usize,
        seen: usize,
        crlf: Option<bool>,
    },
    /// The headers are whole; the message has so many bytes.
    Body {
        length: usize,
    },
    Lost,
}

impl Framer {
    /// Takes what has come.
    pub fn push(&mut self, data: &[u8]) {
        if !matches!(self.state, State::Lost) {
            self.buffer.extend_from_slice(data);
        }
    }

    /// The next piece that is whole. After [`Piece::Lost`] nothing follows.
    pub fn next(&mut self, limits: &Limits) -> Option<Piece> {
        if matches!(self.state, State::Between) {
            let pinged = self.skip_line_ends();
            if let Some(&first) = self.buffer.first() {
                self.blank = 0;
                self.state = State::Head { line: 0, seen: 0, crlf: None };
                if !first.is_ascii_graphic() {
                    // STUN and TLS begin like this; neither is spoken here.
                    return Some(self.lose(ParseError::NotSip, "stream_not_sip"));
                }
            } else if self.buffer.capacity() > KEPT {
                self.buffer = BytesMut::new();
            }
            if pinged {
                return Some(Piece::Ping);
            }
        }
        if let State::Head { line, seen, crlf } = self.state {
            match self.head(line, seen, crlf, limits) {
                Ok(Some(length)) => self.state = State::Body { length },
                Ok(None) => return None,
                Err((error, counter)) => return Some(self.lose(error, counter)),
            }
        }
        match self.state {
            State::Body { length } if self.buffer.len() >= length => Some(Piece::Message(self.cut(length))),
            _ => None,
        }
    }

    /// A message has begun and is not whole.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        matches!(self.state, State::Head { .. } | State::Body { .. })
    }

    /// Bytes that wait for the rest of their message.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}

impl Framer {
    /// Takes line ends away that stand between messages (RFC 3261 §7.5); true: there was a ping among them.
    fn skip_line_ends(&mut self) -> bool {
        let mut pinged = false;
        let mut skipped = 0;
        for &byte in self.buffer.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')) {
            skipped += 1;
            self.blank = match (self.blank, byte) {
                (0 | 2, b'\r') | (1 | 3, b'\n') => self.blank + 1,
                (_, b'\r') => 1,
                _ => 0,
            };
            if self.blank == 4 {
                (self.blank, pinged) = (0, true);
            }
        }
        self.buffer.advance(skipped);
        pinged
    }

    /// Goes on through the headers; with the empty line it gives the length of the whole message.
    fn head(
        &mut self,
        mut line: usize,
        mut seen: usize,
        mut crlf: Option<bool>,
        limits: &Limits,
    ) -> Result<Option<usize>, (ParseError, &'static str)> {
        loop {
            let rest = self.buffer.get(seen..).unwrap_or_default();
            let Some(offset) = memchr2(b'\r', b'\n', rest) else {
                seen = self.buffer.len();
                break;
            };
            let end = seen + offset;
            let next = match (self.buffer.get(end), self.buffer.get(end + 1)) {
                (Some(b'\n'), _) if crlf == Some(true) => {
                    return Err((ParseError::Malformed("lone LF among CRLF lines"), "stream_framing_line_end"));
                }
                (Some(b'\n'), _) => end + 1,
                (_, Some(b'\n')) => end + 2,
                (_, Some(_)) => {
                    return Err((ParseError::Malformed("lone CR in the header section"), "stream_framing_line_end"));
                }
                (_, None) => {
                    seen = end; // CR came, its LF has not
                    break;
                }
            };
            if crlf.is_none() {
                crlf = Some(next == end + 2);
                if !is_start_line(self.buffer.get(..end).unwrap_or_default()) {
                    return Err((ParseError::NotSip, "stream_not_sip"));
                }
            } else if end == line {
                return self.whole_length(next, limits).map(Some);
            }
            (line, seen) = (next, next);
        }
        // A single line is bounded by the whole: the parser is not asked before the headers have ended.
        if self.buffer.len() > limits.bytes {
            return Err((ParseError::TooLarge("header section too large"), "stream_framing_head_too_large"));
        }
        self.state = State::Head { line, seen, crlf };
        Ok(None)
    }

    /// Bytes of the message whose headers end at `head`.
    fn whole_length(&self, head: usize, limits: &Limits) -> Result<usize, (ParseError, &'static str)> {
        let body = content_length(self.buffer.get(..head).unwrap_or_default())?;
        match body.checked_add(head as u64).and_then(|length| usize::try_from(length).ok()) {
            Some(length) if length <= limits.bytes => Ok(length),
            _ => Err((ParseError::TooLarge("message too large"), "stream_framing_too_large")),
        }
    }

    /// A copy, so that what is kept of a message does not keep the whole buffer.
    fn cut(&mut self, length: usize) -> Bytes {
        let message = Bytes::copy_from_slice(self.buffer.get(..length).unwrap_or_default());
        self.buffer.advance(length.min(self.buffer.len()));
        self.state = State::Between;
        message
    }

    fn lose(&mut self, error: ParseError, counter: &'static str) -> Piece {
        self.state = State::Lost;
        let head = std::mem::take(&mut self.buffer).freeze();
        Piece::Lost(Lost { error, head, counter })
    }
}

/// `METHOD URI SIP/…` or `SIP/… STATUS`; what it says in detail is the parser's to judge.
fn is_start_line(line: &[u8]) -> bool {
    let is_sip = |word: &[u8]| word.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/"));
    let last = line.trim_ascii_end().rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    is_sip(line) || is_sip(last)
}

/// What the Content-Length headers of a whole header section say; all of them must say the same (RFC 3261 §18.3,
/// §20.14). A folded value is read as one.
fn content_length(head: &[u8]) -> Result<u64, (ParseError, &'static str)> {
    let mut said = None;
    let mut value: Option<Vec<u8>> = None;
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.first().is_some_and(|byte| is_white(*byte)) {
            if let Some(value) = &mut value {
                value.push(b' ');
                value.extend_from_slice(line.trim_ascii());
            }
            continue;
        }
        take(&mut said, value.take())?;
        value = length_value(line).map(<[u8]>::to_vec);
    }
    take(&mut said, value)?;
    said.ok_or((ParseError::Malformed("no Content-Length"), "stream_framing_length_missing"))
}

/// The value, if the line is a Content-Length header: white space may stand before the colon (RFC 3261 §25.1, HCOLON).
fn length_value(line: &[u8]) -> Option<&[u8]> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = line.split_at(colon);
    let name = name.get(..name.iter().rposition(|byte| !is_white(*byte))? + 1)?;
    let is_length = name.eq_ignore_ascii_case(b"Content-Length") || name.eq_ignore_ascii_case(b"l");
    is_length.then(|| value.get(1..).unwrap_or_default().trim_ascii())
}

fn take(said: &mut Option<u64>, value: Option<Vec<u8>>) -> Result<(), (ParseError, &'static str)> {
    let Some(value) = value else { return Ok(()) };
    let value = value.trim_ascii();
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err((ParseError::Malformed("Content-Length is no number"), "stream_framing_length_bad"));
    }
    // What does not fit is larger than any limit.
    let number = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok()).unwrap_or(u64::MAX);
    match said.replace(number) {
        Some(before) if before != number => {
            Err((ParseError::Malformed("Content-Lengths differ"), "stream_framing_lengths_differ"))
        }
        _ => Ok(()),
    }
}

fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[cfg(test)]
mod tests;
