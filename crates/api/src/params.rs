//! Query parameters, strictly: unknown, doubled and mistyped ones are refused by name. An empty value is no value.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use crate::json::parse_rfc3339;
use crate::problem::Refusal;

/// Items of a list where `limit` is not given.
pub(crate) const LIMIT_DEFAULT: usize = 50;
/// Items of a list at most.
pub(crate) const LIMIT_MAX: usize = 200;
/// Of a value that is wrong, so many characters are said again.
const NAME_MAX: usize = 64;
/// Parameters at most.
const PARAMETERS_MAX: usize = 32;

/// What is left of a query as its parameters are taken out one by one.
#[derive(Debug)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
}

/// Where a list begins and how long it is.
#[derive(Clone, Debug)]
pub(crate) struct PageParams {
    pub(crate) limit: usize,
    pub(crate) cursor: Option<String>,
}

impl Params {
    pub(crate) fn parse(query: &str) -> Result<Self, Refusal> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name).ok_or_else(|| Refusal::invalid("query", "A parameter's name is not UTF-8."))?;
            let value = decode(value).ok_or_else(|| Refusal::invalid(name.as_str(), "The value is not UTF-8."))?;
            if value.chars().any(char::is_control) {
                return Err(Refusal::invalid(name, "Control characters are not allowed."));
            }
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(Refusal::invalid(name, "This parameter is given twice."));
            }
            pairs.push((name, value));
            if pairs.len() > PARAMETERS_MAX {
                return Err(Refusal::invalid("query", format!("More than {PARAMETERS_MAX} parameters.")));
            }
        }
        Ok(Self { pairs })
    }

    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        let at = self.pairs.iter().position(|(other, _)| other == name)?;
        Some(self.pairs.swap_remove(at).1).filter(|value| !value.is_empty())
    }

    /// A number whose `+` was sent as it is: in a query that means a space.
    pub(crate) fn number(&mut self, name: &str) -> Option<String> {
        self.text(name).map(|value| value.strip_prefix(' ').map(|rest| format!("+{rest}")).unwrap_or(value))
    }

    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.text(name).as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(Refusal::invalid(name, "Must be `true` or `false`.")),
        }
    }

    pub(crate) fn time(&mut self, name: &str) -> Result<Option<Timestamp>, Refusal> {
        let Some(value) = self.text(name) else { return Ok(None) };
        // `+01:00` with its plus sent as it is.
        let value = match value.rsplit_once(' ') {
            Some((time, offset)) if time.contains(['T', 't']) => format!("{time}+{offset}"),
            _ => value,
        };
        parse_rfc3339(&value)
            .map(Some)
            .ok_or_else(|| Refusal::invalid(name, "Must be an RFC 3339 time, such as 2026-11-22T16:00:00Z."))
    }

    /// `limit` and `cursor`.
    pub(crate) fn page(&mut self) -> Result<PageParams, Refusal> {
        Ok(PageParams { limit: self.limit(LIMIT_DEFAULT, LIMIT_MAX)?, cursor: self.text("cursor") })
    }

    /// `limit`, from 1 to `most`.
    pub(crate) fn limit(&mut self, default: usize, most: usize) -> Result<usize, Refusal> {
        let Some(value) = self.text("limit") else { return Ok(default) };
        let limit = value.parse().ok().filter(|limit| (1..=most).contains(limit));
        limit.ok_or_else(|| Refusal::invalid("limit", format!("Must be a number from 1 to {most}.")))
    }

    /// Names of a closed list, with commas between them.
    pub(crate) fn names<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<Vec<T>>, Refusal> {
        let Some(value) = self.text(name) else { return Ok(None) };
        let wrong = |part: &str| {
            let part: String = part.chars().take(NAME_MAX).collect();
            Refusal::invalid(name, format!("`{part}` is not one of the values that this parameter may have."))
        };
        let each = value.split(',').map(|part| {
            let part = part.trim();
            serde_json::from_value(serde_json::Value::from(part)).map_err(|_| wrong(part))
        });
        each.collect::<Result<_, _>>().map(Some)
    }

    /// Nothing may be left.
    pub(crate) fn finish(self) -> Result<(), Refusal> {
        match self.pairs.into_iter().next() {
            None => Ok(()),
            Some((name, _)) => Err(Refusal::invalid(name, "Unknown query parameter.")),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        Self::parse(parts.uri.query().unwrap_or(""))
    }
}

/// `application/x-www-form-urlencoded`; `None` where it is not UTF-8. A stray `%` stands for itself.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match (byte, next_hex(rest.clone())) {
            (b'+', _) => bytes.push(b' '),
            (b'%', Some(decoded)) => {
                bytes.push(decoded);
                rest.nth(1);
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

/// The byte that the next two hex digits mean.
fn next_hex(mut ahead: std::str::Bytes<'_>) -> Option<u8> {
    let mut digit = || ahead.next().and_then(|c| char::from(c).to_digit(16));
    let (high, low) = (digit()?, digit()?);
    u8::try_from(high * 16 + low).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_taken_once() {
        let mut params = Params::parse("a=%C3%A6+b&n=+47&n2=%2B47&&e=&bad=100%&t=2026-11-22T16:00:00+01:00").unwrap();
        assert_eq!(params.text("a").as_deref(), Some("æ b"));
        assert_eq!(params.number("n").as_deref(), Some("+47"));
        assert_eq!(params.number("n2").as_deref(), Some("+47"));
        assert_eq!(params.text("e"), None, "empty is not given");
        assert_eq!(params.text("bad").as_deref(), Some("100%"));
        assert_eq!(params.time("t").unwrap(), Some("2026-11-22T15:00:00Z".parse().unwrap()));
        params.finish().unwrap();
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, field) in
            [("a=%ff", "a"), ("a=1&a=2", "a"), ("a=%0d%0ax", "a"), ("%ff=1", "query"), ("x1=x1=", "x1")]
        {
            let refused = Params::parse(query).and_then(Params::finish).unwrap_err();
            assert_eq!(refused.field.as_deref(), Some(field), "{query}");
        }
        let many = (0..40).map(|n| format!("p{n}=1")).collect::<Vec<_>>().join("&");
        assert_eq!(Params::parse(&many).unwrap_err().field.as_deref(), Some("query"));
    }
}
