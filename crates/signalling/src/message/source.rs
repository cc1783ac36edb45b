//! Where a request came from, noted in its topmost Via (RFC 3261 §18.2.1, RFC 3581 §4).

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};

use super::scan::{NONE, Span};
use super::{Indexed, Message, Via, syntax, uri};

impl Message {
    /// The request with `received` in its topmost Via where sent-by does not name the source, and `received` and the
    /// port in `rport` where the client asked for that. What a sender wrote there itself is replaced, so that an
    /// answer goes back to where the request came from and to nobody else.
    pub fn with_source(&self, source: SocketAddr) -> Message {
        let place = usize::from(self.index().first.via);
        let Some(entry) = self.index().entries.get(place) else { return self.clone() };
        let line = self.index().value(&self.raw, entry);
        let (first, others) = syntax::split_at_top(line, b',');
        let Some(via) = Via::parse(first) else { return self.clone() };
        let asked = via.params.value("rport").is_some();
        let address = source.ip().to_canonical();
        let named = uri::ip_literal(via.host) == Some(address);
        if named && !asked && via.params.value("received").is_none() {
            return self.clone();
        }
        let mut value = without_source_params(first);
        // Writing to a String cannot fail.
        if !named || asked {
            let _ = write!(value, ";received={address}");
        }
        if asked {
            let _ = write!(value, ";rport={}", source.port());
        }
        if let Some(others) = others {
            value.push(',');
            value.push_str(others);
        }
        self.with_value(place, &value)
    }

    /// Replaces one header line's value and shifts the index behind it: no second scan.
    fn with_value(&self, place: usize, value: &str) -> Message {
        let Some(entry) = self.index().entries.get(place).copied() else { return self.clone() };
        let (from, to) = (entry.value.from as usize, entry.value.to as usize);
        let mut raw = BytesMut::with_capacity(self.raw.len() + value.len());
        raw.put_slice(self.raw.get(..from).unwrap_or_default());
        raw.put_slice(value.as_bytes());
        raw.put_slice(self.raw.get(to..).unwrap_or_default());
        let removed = entry.value.to - entry.value.from;
        let added = u32::try_from(value.len()).unwrap_or(u32::MAX);
        let shift = |at: u32| if at >= entry.value.to { at.saturating_sub(removed).saturating_add(added) } else { at };
        let moved = |span: Span| Span { from: shift(span.from), to: shift(span.to) };
        let mut index = self.index().clone();
        for (at, other) in index.entries.iter_mut().enumerate() {
            if at > place {
                (other.name, other.value) = (moved(other.name), moved(other.value));
            }
            if at >= place {
                other.end = shift(other.end);
            }
        }
        if let Some(changed) = index.entries.get_mut(place) {
            changed.value.to = shift(changed.value.to);
            changed.unfolded = NONE;
        }
        index.headers_end = shift(index.headers_end);
        index.body = moved(index.body);
        Message { raw: raw.freeze(), index: Indexed::Parsed(Arc::new(index)) }
    }
}

fn without_source_params(via: &str) -> String {
    let mut out = String::with_capacity(via.len() + 48);
    for (at, piece) in syntax::split(via, b';').enumerate() {
        let name = syntax::trim(piece.split('=').next().unwrap_or_default());
        if at > 0 && (name.eq_ignore_ascii_case("received") || name.eq_ignore_ascii_case("rport")) {
            continue;
        }
        if at > 0 {
            out.push(';');
        }
        out.push_str(piece);
    }
    out
}
