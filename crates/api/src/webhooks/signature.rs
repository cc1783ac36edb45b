//! Signatures as Standard Webhooks wants them: HMAC-SHA256 over `id.timestamp.body`. The URL is not signed.

use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Marks a secret, for people and for scanners of secrets.
const PREFIX: &str = "whsec_";
/// Bytes of a secret; the standard wants 24 to 64.
const SECRET_BYTES: usize = 32;

/// A new secret: `whsec_` and base64. `None`: the system has no randomness.
pub(crate) fn new_secret() -> Option<String> {
    let mut bytes = [0; SECRET_BYTES];
    rand::fill(&mut bytes).ok()?;
    Some(format!("{PREFIX}{}", STANDARD.encode(bytes)))
}

/// The value of `webhook-signature`: one signature for each live secret, newest first.
pub(crate) fn sign<'a>(secrets: impl Iterator<Item = &'a str>, id: &str, seconds: i64, body: &str) -> String {
    let content = format!("{id}.{seconds}.{body}");
    let each = secrets.filter_map(|secret| {
        let key = STANDARD.decode(secret.strip_prefix(PREFIX)?).ok()?;
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), content.as_bytes());
        Some(format!("v1,{}", STANDARD.encode(tag)))
    });
    each.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the standard's own text and libraries.
    #[test]
    fn the_standards_example_comes_out() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let signature =
            sign([secret].into_iter(), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn both_secrets_sign_and_no_secret_comes_twice() {
        let (one, two) = (new_secret().unwrap(), new_secret().unwrap());
        assert_ne!(one, two);
        assert_eq!(one.len(), PREFIX.len() + 44);
        let both = sign([one.as_str(), &two].into_iter(), "msg_1", 5, "{}");
        let alone = |secret: &str| sign([secret].into_iter(), "msg_1", 5, "{}");
        assert_eq!(both, format!("{} {}", alone(&one), alone(&two)));
    }
}
