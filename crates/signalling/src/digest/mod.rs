//! Digest authentication (RFC 7616, RFC 8760): as server for phones ([`Challenger`]), as client for crate `phone` ([`answer`]).

mod client;
mod server;

use std::fmt::Write as _;

use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};

use crate::message::{syntax, unquote};

pub use client::{Credentials, answer};
pub use server::{Challenger, Refusal, Terms};

/// Parameters of one challenge or answer; more are Malformed.
const PARAMS_MAX: usize = 32;

/// A hash function that a challenge may name (RFC 8760 §2.1). The weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Algorithm {
    Md5,
    Sha256,
    Sha512_256,
}

impl Algorithm {
    /// From the `algorithm` parameter; none means MD5 (RFC 7616 §3.3).
    pub fn new(name: Option<&str>) -> Option<Self> {
        let Some(name) = name else { return Some(Self::Md5) };
        [Self::Md5, Self::Sha256, Self::Sha512_256]
            .into_iter()
            .find(|algorithm| name.eq_ignore_ascii_case(algorithm.as_str()))
    }
    /// As in a challenge.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512_256 => "SHA-512-256",
        }
    }
    /// Hex digest of the parts joined with colons.
    fn hash(self, parts: &[&[u8]]) -> String {
        match self {
            Self::Md5 => hex(&joined::<Md5>(parts)),
            Self::Sha256 => hex(&joined::<Sha256>(parts)),
            Self::Sha512_256 => hex(&joined::<Sha512_256>(parts)),
        }
    }
}

fn joined<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
    let mut digest = D::new();
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            digest.update(b":");
        }
        digest.update(part);
    }
    digest.finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// What a response is computed from (RFC 7616 §3.4.1).
struct Question<'a> {
    algorithm: Algorithm,
    username: &'a str,
    realm: &'a str,
    password: &'a str,
    method: &'a str,
    uri: &'a str,
    nonce: &'a str,
    /// `None`: as in RFC 2069, without qop.
    quality: Option<Quality<'a>>,
}

/// qop and what belongs to it.
struct Quality<'a> {
    nc: &'a str,
    cnonce: &'a str,
    /// For auth-int.
    body: Option<&'a [u8]>,
}

impl Question<'_> {
    fn response(&self) -> String {
        let hash = |parts: &[&[u8]]| self.algorithm.hash(parts);
        let secret = hash(&[self.username.as_bytes(), self.realm.as_bytes(), self.password.as_bytes()]);
        let body = self.quality.as_ref().and_then(|quality| quality.body);
        let request = match body {
            None => hash(&[self.method.as_bytes(), self.uri.as_bytes()]),
            Some(body) => hash(&[self.method.as_bytes(), self.uri.as_bytes(), hash(&[body]).as_bytes()]),
        };
        match &self.quality {
            None => hash(&[secret.as_bytes(), self.nonce.as_bytes(), request.as_bytes()]),
            Some(Quality { nc, cnonce, .. }) => {
                let qop: &[u8] = if body.is_some() { b"auth-int" } else { b"auth" };
                hash(&[
                    secret.as_bytes(),
                    self.nonce.as_bytes(),
                    nc.as_bytes(),
                    cnonce.as_bytes(),
                    qop,
                    request.as_bytes(),
                ])
            }
        }
    }
}

/// `Digest name=value, …`: the parameters of a challenge or an answer, without quotes but with backslashes, as they are hashed.
struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Fields<'a> {
    /// `None`: another scheme, a parameter twice, or too many of them.
    fn parse(value: &'a str) -> Option<Self> {
        let (scheme, rest) = syntax::trim(value).split_once([' ', '\t'])?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let mut fields = Vec::with_capacity(12);
        for piece in syntax::split(rest, b',') {
            let (name, value) = piece.split_once('=')?;
            let (name, value) = (syntax::trim(name), syntax::trim(value));
            let value = value.strip_prefix('"').map_or(Some(value), |rest| rest.strip_suffix('"'))?;
            if fields.len() >= PARAMS_MAX
                || fields.iter().any(|(other, _): &(&str, &str)| other.eq_ignore_ascii_case(name))
            {
                return None;
            }
            fields.push((name, value));
        }
        Some(Self(fields))
    }
    fn value(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }
}

/// A value as it is meant: backslashes taken away.
fn meant(value: &str) -> std::borrow::Cow<'_, str> {
    unquote(value)
}

/// A value between quotes; quotes and line ends cannot leave it.
fn quotable(value: &str) -> String {
    value
        .chars()
        .filter(|c| !c.is_control())
        .flat_map(|c| matches!(c, '"' | '\\').then_some('\\').into_iter().chain([c]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(algorithm: Algorithm) -> Question<'static> {
        Question {
            algorithm,
            username: "Mufasa",
            realm: "http-auth@example.org",
            password: "Circle of Life",
            method: "GET",
            uri: "/dir/index.html",
            nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            quality: Some(Quality {
                nc: "00000001",
                cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
                body: None,
            }),
        }
    }

    #[test]
    fn examples_of_rfc_7616_section_3_9_1() {
        assert_eq!(example(Algorithm::Md5).response(), "8ca523f5e9506fed4657c9700eebdbec");
        assert_eq!(
            example(Algorithm::Sha256).response(),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
    }

    #[test]
    fn example_of_rfc_2069_with_its_erratum() {
        let old = Question {
            realm: "testrealm@host.com",
            password: "CircleOfLife",
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            quality: None,
            ..example(Algorithm::Md5)
        };
        assert_eq!(old.response(), "1949323746fe6a43ef61f9606e7febea");
    }

    #[test]
    fn fields() {
        let fields = Fields::parse("digest realm=\"a, \\\"b\" ,nc=00000001,\tqop = auth ,,").unwrap();
        assert_eq!(
            (fields.value("Realm"), fields.value("nc"), fields.value("qop")),
            (Some("a, \\\"b"), Some("00000001"), Some("auth"))
        );
        assert_eq!(meant(fields.value("realm").unwrap()), "a, \"b");
        for broken in [
            "",
            "Digest",
            "Basic YWJj",
            "Digest a=1,a=2",
            "Digest a",
            "Digest a=\"x",
            &format!("Digest {}", (0..40).map(|n| format!("p{n}=1,")).collect::<String>()),
        ] {
            assert!(Fields::parse(broken).is_none(), "{broken}");
        }
    }
}
