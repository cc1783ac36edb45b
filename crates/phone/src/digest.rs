//! Digest access authentication, the client's side (RFC 3261 §22, RFC 7616, RFC 8760).

use md5::Md5;
use sha2::{Digest as _, Sha256};

/// Who answers, for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Credentials<'a> {
    pub user: &'a str,
    pub password: &'a str,
    pub method: &'a str,
    pub uri: &'a str,
    pub cnonce: &'a str,
}

/// The value of (Proxy-)Authorization that answers a challenge; `None` for one that is no digest known here.
pub(crate) fn answer(challenge: &str, who: &Credentials<'_>) -> Option<String> {
    let params = challenge.trim_start().strip_prefix("Digest")?;
    let realm = param(params, "realm")?;
    let nonce = param(params, "nonce")?;
    let algorithm = param(params, "algorithm").unwrap_or_else(|| "MD5".into());
    let hash: fn(&str) -> String = if algorithm.eq_ignore_ascii_case("SHA-256") {
        |text| hex(&Sha256::digest(text.as_bytes()))
    } else if algorithm.eq_ignore_ascii_case("MD5") {
        |text| hex(&Md5::digest(text.as_bytes()))
    } else {
        return None;
    };
    let Credentials { user, password, method, uri, cnonce } = who;
    let ha1 = hash(&format!("{user}:{realm}:{password}"));
    let ha2 = hash(&format!("{method}:{uri}"));
    let mut out =
        format!(r#"Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", algorithm={algorithm}"#);
    if param(params, "qop").is_some_and(|qop| qop.split(',').any(|q| q.trim() == "auth")) {
        let response = hash(&format!("{ha1}:{nonce}:00000001:{cnonce}:auth:{ha2}"));
        out += &format!(r#", qop=auth, nc=00000001, cnonce="{cnonce}", response="{response}""#);
    } else {
        out += &format!(r#", response="{}""#, hash(&format!("{ha1}:{nonce}:{ha2}")));
    }
    if let Some(opaque) = param(params, "opaque") {
        out += &format!(r#", opaque="{opaque}""#);
    }
    Some(out)
}

/// The value of one parameter of a challenge, quotes taken away.
fn param(params: &str, name: &str) -> Option<String> {
    let mut rest = params;
    loop {
        rest = rest.trim_start_matches([' ', ',', '\t']);
        let (key, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value.trim().to_owned());
        }
        rest = next;
        if rest.is_empty() {
            return None;
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7616 §3.9.1, both algorithms.
    #[test]
    fn the_example_of_rfc_7616() {
        let who = Credentials {
            user: "Mufasa",
            password: "Circle of Life",
            method: "GET",
            uri: "/dir/index.html",
            cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        };
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let challenge = format!(
                r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#
            );
            let answer = answer(&challenge, &who).expect("it is a digest");
            assert!(answer.contains(response), "{answer}");
        }
        assert!(super::answer("Digest realm=\"x\", nonce=\"y\", algorithm=SHA-512", &who).is_none());
        assert!(super::answer("Basic realm=\"x\"", &who).is_none());
    }
}
