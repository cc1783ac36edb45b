//! The terms of a command: only if the resource is still as the client saw it (RFC 9110 section 13.1.1), and the key
//! under which its answer is kept.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::interface::Problem;
use crate::view::{AgentView, RequestView};

/// What a client says besides the command itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// `If-Match`.
    pub expect: Precondition,
    /// `Idempotency-Key`.
    pub key: Option<Key>,
}

/// Which state of a resource a command is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// Whatever it is.
    #[default]
    None,
    /// `*`: whatever it is, as long as it is there.
    Any,
    /// One of these entity tags, quotes included. Weak ones never match.
    OneOf(Vec<String>),
}

/// An `Idempotency-Key` with what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key; the user is the command's actor.
    pub key: String,
    /// SHA-256 of what was asked, in hex.
    pub asked: String,
}

impl Precondition {
    /// Judged when the command is carried out: of two with the same tag the second finds it changed.
    ///
    /// # Errors
    /// 412 `precondition-failed`, with the tag as it is now.
    pub(crate) fn judge(&self, current: Option<String>) -> Result<(), Problem> {
        let holds = match (self, &current) {
            (Self::None, _) | (Self::Any, Some(_)) => true,
            (Self::Any | Self::OneOf(_), None) => false,
            (Self::OneOf(tags), Some(current)) => tags.contains(current),
        };
        if holds {
            return Ok(());
        }
        let detail = if current.is_some() { "it has changed; read it again" } else { "it is not there" };
        Err(Problem { etag: current, ..Problem::new(412, "precondition-failed", detail) })
    }
}

impl RequestView {
    /// Its entity tag: the same as long as nothing of it changes. Warnings are not of the request but of the order.
    #[must_use]
    pub fn etag(&self) -> String {
        if self.warnings.is_empty() {
            return etag(self);
        }
        etag(&Self { warnings: Vec::new(), ..self.clone() })
    }
}

impl AgentView {
    /// Its entity tag: the same as long as nothing of it changes, live status included.
    #[must_use]
    pub fn etag(&self) -> String {
        etag(self)
    }
}

/// A strong entity tag of a resource as it is shown, quotes included (RFC 9110 section 8.8.3).
#[must_use]
pub fn etag(resource: &impl Serialize) -> String {
    // what cannot be shown has no tag that anybody could send
    etag_of(&serde_json::to_vec(resource).unwrap_or_default())
}

/// The same of a resource as JSON.
#[must_use]
pub fn etag_of(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_strongly() {
        let now = || Some("\"a\"".to_owned());
        let one_of = |tags: &[&str]| Precondition::OneOf(tags.iter().map(|tag| (*tag).to_owned()).collect());
        assert!(Precondition::None.judge(now()).is_ok() && Precondition::None.judge(None).is_ok());
        assert!(Precondition::Any.judge(now()).is_ok());
        assert!(one_of(&["\"b\"", "\"a\""]).judge(now()).is_ok());
        for fails in [one_of(&["W/\"a\""]), one_of(&["\"b\""]), one_of(&["a"]), one_of(&[])] {
            let problem = fails.judge(now()).unwrap_err();
            assert_eq!((problem.status, problem.code, problem.etag), (412, "precondition-failed", now()));
        }
        assert_eq!(Precondition::Any.judge(None).unwrap_err().etag, None);
    }
}
