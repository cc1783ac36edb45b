//! Whether a re-INVITE or UPDATE may be served now (RFC 3261 §14.2, RFC 3311 §5.2).

use super::Offer;

/// What is open on the leg that a re-INVITE or UPDATE came in on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Open<'a> {
    /// A re-INVITE or UPDATE of theirs has no final answer from us yet.
    pub(crate) theirs: bool,
    /// A re-INVITE or UPDATE of ours has no final answer yet.
    pub(crate) ours: bool,
    /// The offer/answer state.
    pub(crate) offer: &'a Offer,
}

/// Why not now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotNow {
    /// 491.
    Pending,
    /// 500 with a random Retry-After of 0 to 10 s.
    Unfinished,
}

/// Judges a request that carries an offer or asks for one.
pub(crate) fn may_change(open: Open<'_>) -> Result<(), NotNow> {
    match open {
        Open { theirs: true, .. } => Err(NotNow::Unfinished),
        Open { ours: true, .. } | Open { offer: Offer::Local(_), .. } => Err(NotNow::Pending),
        Open { offer: Offer::Remote(_), .. } => Err(NotNow::Unfinished),
        Open { offer: Offer::Stable, .. } => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp::Direction;
    use crate::session::offer_answer::Told;

    #[test]
    fn one_change_at_a_time() {
        let stable = Offer::Stable;
        let direction = Direction::SendRecv;
        let local =
            Offer::Local(Box::new(Told { direction, payloads: vec![0], lines: Vec::new(), audio_at: 0, from: None }));
        let open = |theirs, ours, offer| may_change(Open { theirs, ours, offer });
        assert_eq!(open(false, false, &stable), Ok(()));
        assert_eq!(open(true, false, &stable), Err(NotNow::Unfinished));
        assert_eq!(open(false, true, &stable), Err(NotNow::Pending));
        assert_eq!(open(false, false, &local), Err(NotNow::Pending));
    }
}
