//! Answering a challenge (RFC 7616 §3.4).

use super::{Algorithm, Fields, Quality, Question, meant, quotable};

/// Who logs in.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// Digest username.
    pub user: &'a str,
    /// In clear.
    pub password: &'a str,
}

impl std::fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Value of Authorization (or Proxy-Authorization) for the strongest algorithm known among the WWW-Authenticate (or
/// Proxy-Authenticate) values; `None` where none of them can be answered. `cnonce` comes from the caller's seeded
/// source, `nc` counts the requests sent with that nonce, from 1. `body` matters only where auth-int alone is offered.
pub fn answer<'a>(
    challenges: impl IntoIterator<Item = &'a str>,
    who: &Credentials<'_>,
    method: &str,
    uri: &str,
    body: &[u8],
    cnonce: &str,
    nc: u32,
) -> Option<String> {
    let known = |value| {
        let fields = Fields::parse(value)?;
        let algorithm = Algorithm::new(fields.value("algorithm"))?;
        Some((algorithm, fields))
    };
    // The server's order decides among equals (RFC 7616 §3.7).
    let (algorithm, fields) =
        challenges.into_iter().filter_map(known).reduce(|best, next| if next.0 > best.0 { next } else { best })?;
    let (realm, nonce) = (fields.value("realm")?, fields.value("nonce")?);
    let (nc, user, cnonce, quoted_uri) = (format!("{nc:08x}"), quotable(who.user), quotable(cnonce), quotable(uri));
    let offers = |wanted: &str, offered: &str| offered.split(',').any(|qop| qop.trim().eq_ignore_ascii_case(wanted));
    let quality = match fields.value("qop").map(meant) {
        None => None,
        Some(offered) if offers("auth", &offered) => Some(Quality { nc: &nc, cnonce: &cnonce, body: None }),
        Some(offered) if offers("auth-int", &offered) => Some(Quality { nc: &nc, cnonce: &cnonce, body: Some(body) }),
        Some(_) => return None,
    };
    let qop = quality.as_ref().map(|quality| if quality.body.is_some() { "auth-int" } else { "auth" });
    let response =
        Question { algorithm, username: &user, realm, password: who.password, method, uri, nonce, quality }.response();
    let mut value = format!(
        "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{quoted_uri}\", response=\"{response}\""
    );
    if fields.value("algorithm").is_some() {
        value.push_str(", algorithm=");
        value.push_str(algorithm.as_str());
    }
    if let Some(qop) = qop {
        value.push_str(&format!(", qop={qop}, nc={nc}, cnonce=\"{cnonce}\""));
    }
    if let Some(opaque) = fields.value("opaque") {
        value.push_str(&format!(", opaque=\"{opaque}\""));
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MUFASA: Credentials<'_> = Credentials { user: "Mufasa", password: "Circle of Life" };
    const NONCE: &str = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
    const CNONCE: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";

    fn challenge(algorithm: &str) -> String {
        format!(
            "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, nonce=\"{NONCE}\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        )
    }

    #[test]
    fn the_strongest_known_algorithm_is_answered() {
        let challenges = [challenge("MD5"), challenge("SHA-256"), challenge("SHA-3"), "Basic realm=x".to_owned()];
        let value =
            answer(challenges.iter().map(String::as_str), &MUFASA, "GET", "/dir/index.html", b"", CNONCE, 1).unwrap();
        for part in [
            "response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\"",
            "algorithm=SHA-256",
            "qop=auth,",
            "nc=00000001",
            "username=\"Mufasa\"",
            "opaque=\"FQhe/",
        ] {
            assert!(value.contains(part), "{part} in {value}");
        }
        let md5 = answer([challenge("md5").as_str()], &MUFASA, "GET", "/dir/index.html", b"", CNONCE, 1).unwrap();
        assert!(md5.contains("8ca523f5e9506fed4657c9700eebdbec"), "{md5}");
    }

    #[test]
    fn old_challenges_and_unknown_ones() {
        let old = answer(
            ["Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\""],
            &Credentials { user: "Mufasa", password: "CircleOfLife" },
            "GET",
            "/dir/index.html",
            b"",
            "x",
            1,
        )
        .unwrap();
        assert!(
            old.contains("1949323746fe6a43ef61f9606e7febea") && !old.contains("qop") && !old.contains("algorithm"),
            "{old}"
        );
        for unknown in [
            "Basic realm=\"x\"",
            "Digest realm=\"x\"",
            "Digest realm=\"x\",nonce=\"n\",algorithm=X",
            "Digest realm=\"x\",nonce=\"n\",qop=\"other\"",
        ] {
            assert_eq!(answer([unknown], &MUFASA, "GET", "/", b"", "x", 1), None, "{unknown}");
        }
        assert!(
            answer(["Digest realm=\"x\",nonce=\"n\",qop=\"auth-int\""], &MUFASA, "GET", "/", b"body", "x", 1)
                .unwrap()
                .contains("qop=auth-int")
        );
    }
}
