//! JSON bodies, strictly: size, type, UTF-8, no doubled keys; each field taken out by name and type, and nothing may be
//! left. So an error always names its field as a dotted path (`listener.user`).

use std::fmt;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use jiff::Timestamp;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::problem::Refusal;

/// A body at most.
pub(crate) const BODY_MAX: usize = 64 * 1024;
/// A string in a body at most, in characters.
const TEXT_MAX: usize = 256;
/// A password or a token at most, in bytes.
const SECRET_MAX: usize = 1024;
/// Entries of an array at most.
const ENTRIES_MAX: usize = 64;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// An object on its way to a type: fields are taken out until none may be left.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    map: Map<String, Value>,
    path: String,
}

/// A request's JSON object and the bytes that it came as.
#[derive(Debug)]
pub(crate) struct JsonBody {
    pub(crate) fields: Fields,
    pub(crate) bytes: Bytes,
}

/// As [`JsonBody`], but no body at all is an empty object.
#[derive(Debug)]
pub(crate) struct OptionalBody {
    pub(crate) fields: Fields,
    pub(crate) bytes: Bytes,
}

impl Fields {
    /// Parses a body.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let malformed = |detail: String| Refusal::new(StatusCode::BAD_REQUEST, "malformed-body", detail);
        let text = std::str::from_utf8(bytes).map_err(|_| malformed("The body is not UTF-8.".to_owned()))?;
        match serde_json::from_str(text)
            .map_err(|error| malformed(format!("The body is not JSON as it should be: {error}.")))?
        {
            Strict(Value::Object(map)) => Ok(Self { map, path: String::new() }),
            Strict(_) => Err(Refusal::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid-request",
                "The body must be a JSON object.",
            )),
        }
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        let path = self.path_to(name);
        self.take(name).map(|value| text(value, &path)).transpose()
    }

    /// A password or a token: any characters, and more of them.
    pub(crate) fn secret(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        let path = self.path_to(name);
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(secret)) if secret.len() <= SECRET_MAX => Ok(Some(secret)),
            Some(Value::String(_)) => Err(Refusal::invalid(path, format!("At most {SECRET_MAX} bytes."))),
            Some(_) => Err(Refusal::invalid(path, "Must be a string.")),
        }
    }

    pub(crate) fn required_text(&mut self, name: &str) -> Result<String, Refusal> {
        self.text(name)?.ok_or_else(|| Refusal::invalid(self.path_to(name), "This field is required."))
    }

    /// Any integer; those beyond 64 bits come as the largest, which no rule accepts.
    pub(crate) fn integer(&mut self, name: &str) -> Result<Option<i64>, Refusal> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Number(number)) if number.is_i64() || number.is_u64() => {
                Ok(Some(number.as_i64().unwrap_or(i64::MAX)))
            }
            Some(_) => Err(Refusal::invalid(self.path_to(name), "Must be an integer.")),
        }
    }

    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(Refusal::invalid(self.path_to(name), "Must be true or false.")),
        }
    }

    pub(crate) fn time(&mut self, name: &str) -> Result<Option<Timestamp>, Refusal> {
        let Some(value) = self.text(name)? else { return Ok(None) };
        let wrong = || Refusal::invalid(self.path_to(name), "Must be an RFC 3339 time, such as 2026-11-22T16:00:00Z.");
        parse_rfc3339(&value).map(Some).ok_or_else(wrong)
    }

    pub(crate) fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, Refusal> {
        let path = self.path_to(name);
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(entries)) if entries.len() > ENTRIES_MAX => {
                Err(Refusal::invalid(path, format!("At most {ENTRIES_MAX} entries.")))
            }
            Some(Value::Array(entries)) => entries
                .into_iter()
                .enumerate()
                .map(|(n, entry)| text(entry, &format!("{path}.{n}")))
                .collect::<Result<_, _>>()
                .map(Some),
            Some(_) => Err(Refusal::invalid(path, "Must be an array of strings.")),
        }
    }

    pub(crate) fn object(&mut self, name: &str) -> Result<Option<Self>, Refusal> {
        let path = self.path_to(name);
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Self { map, path })),
            Some(_) => Err(Refusal::invalid(path, "Must be an object.")),
        }
    }

    /// Nothing may be left.
    pub(crate) fn finish(self) -> Result<(), Refusal> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(name) => Err(Refusal::invalid(self.path_to(name), "Unknown field.")),
        }
    }

    pub(crate) fn path_to(&self, name: &str) -> String {
        // A stranger's key may be as long as the body.
        let name: String = name.chars().take(TEXT_MAX).collect();
        if self.path.is_empty() { name } else { format!("{}.{name}", self.path) }
    }

    /// `null` is as good as absent.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }
}

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        if !is_json(&request) {
            return Err(unsupported_media_type());
        }
        let bytes = read_body(request, state).await?;
        Ok(Self { fields: Fields::parse(&bytes)?, bytes })
    }
}

impl<S: Send + Sync> FromRequest<S> for OptionalBody {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let is_json = is_json(&request);
        let bytes = read_body(request, state).await?;
        if bytes.is_empty() {
            return Ok(Self { fields: Fields::default(), bytes });
        }
        if !is_json {
            return Err(unsupported_media_type());
        }
        Ok(Self { fields: Fields::parse(&bytes)?, bytes })
    }
}

/// A time of RFC 3339 section 5.6, any offset. (jiff reads more: no seconds, `[Europe/Oslo]`.)
pub(crate) fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let shape = text.as_bytes();
    let is = |at: usize, wanted: &[u8]| shape.get(at).is_some_and(|byte| wanted.contains(byte));
    let whole = is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":");
    let end = text.ends_with(['Z', 'z']) || shape.len() > 6 && is(shape.len() - 6, b"+-") && is(shape.len() - 3, b":");
    if whole && end && !text.contains('[') { text.to_ascii_uppercase().parse().ok() } else { None }
}

fn is_json(request: &Request) -> bool {
    is_of_type(request, "application/json")
}

/// Its one Content-Type is this one, whatever the parameters.
pub(crate) fn is_of_type(request: &Request, wanted: &str) -> bool {
    let mut values = request.headers().get_all(header::CONTENT_TYPE).iter();
    match (values.next().and_then(|value| value.to_str().ok()), values.next()) {
        (Some(value), None) => value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(wanted)),
        _ => false,
    }
}

fn unsupported_media_type() -> Refusal {
    Refusal::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
        "Send the body as `Content-Type: application/json`.",
    )
}

/// A body of any kind, within its limits of length and time.
pub(crate) async fn read_body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Refusal> {
    match tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, state)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(BytesRejection::FailedToBufferBody(rejection)))
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE =>
        {
            Err(Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body-too-large",
                format!("A body may have {BODY_MAX} bytes."),
            ))
        }
        Ok(Err(_)) => Err(Refusal::new(StatusCode::BAD_REQUEST, "malformed-body", "The body broke off.")),
        Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "request-timeout", "The body did not arrive in time.")),
    }
}

fn text(value: Value, path: &str) -> Result<String, Refusal> {
    match value {
        Value::String(text) if text.chars().any(char::is_control) => {
            Err(Refusal::invalid(path, "Control characters are not allowed."))
        }
        Value::String(text) if text.chars().count() > TEXT_MAX => {
            Err(Refusal::invalid(path, format!("At most {TEXT_MAX} characters.")))
        }
        Value::String(text) => Ok(text),
        _ => Err(Refusal::invalid(path, "Must be a string.")),
    }
}

/// A JSON value without doubled keys: two readers could take different ones for the order.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(value)) = entries.next_element()? {
            array.push(value);
        }
        Ok(Value::Array(array))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Strict(value))) = entries.next_entry::<String, Strict>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!(
                    "the key `{}` is there twice",
                    key.chars().take(TEXT_MAX).collect::<String>()
                )));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_rfc_3339() {
        for good in [
            "2026-11-22T16:00:00Z",
            "2026-11-22T16:00:00.123+01:00",
            "2026-11-22t16:00:00z",
            "2026-11-22 16:00:00-00:00",
            "2026-11-22T16:00:60Z",
        ] {
            assert!(parse_rfc3339(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "now",
            "2026-11-22",
            "2026-11-22T16:00Z",
            "2026-11-22T16:00:00",
            "20261122T160000Z",
            "2026-11-22T16:00:00+01:00[Europe/Oslo]",
            "2026-13-22T16:00:00Z",
            "2026-11-22T16:00:00+99:00",
            "æ026-11-22T16:00:00Z",
            "+002026-11-22T16:00:00Z",
        ] {
            assert!(parse_rfc3339(bad).is_none(), "{bad}");
        }
        assert_eq!(parse_rfc3339("2026-11-22T16:00:00+01:00"), parse_rfc3339("2026-11-22T15:00:00Z"));
    }

    #[test]
    fn doubled_keys_are_refused_at_any_depth() {
        for body in [r#"{"a":1,"a":2}"#, r#"{"a":{"b":1,"b":1}}"#, r#"{"a":[{"b":1,"\u0062":1}]}"#] {
            let refused = Fields::parse(body.as_bytes()).unwrap_err();
            assert_eq!((refused.status.as_u16(), refused.code), (400, "malformed-body"), "{body}");
            assert!(refused.detail.contains("twice"), "{}", refused.detail);
        }
    }

    #[test]
    fn a_deep_body_is_refused_without_a_deep_stack() {
        let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
        assert_eq!(Fields::parse(deep.as_bytes()).unwrap_err().code, "malformed-body");
    }
}
