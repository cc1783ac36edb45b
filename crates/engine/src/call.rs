//! Ids, metadata and record of a call across legs and transfers (pairing itself is signalling's).

use std::net::IpAddr;

use jiff::Timestamp;
use media::{Codec, Figures, Remote, StreamId};
use signalling::{EndedBy, LegId, MediaAddress, Session, TransferId};

use crate::codecs::{self, decodable};
use crate::directory::Party;
use crate::interaction::InteractionKey;
use crate::protection;
use crate::view::{CallDirection, CallEnd, CallState, CallView, LegView};

/// A call while the process lives.
pub(crate) type CallKey = u64;

/// What the INVITE's configured headers said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub(crate) queue: Option<String>,
    pub(crate) access_number: Option<String>,
    pub(crate) interaction: Option<String>,
    pub(crate) do_not_monitor: bool,
}

/// One call; it keeps its id through transfers.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: String,
    /// Where its streams began in the media plane.
    pub(crate) shard: usize,
    /// Shown id of the interaction that it belongs to.
    pub(crate) interaction: String,
    /// The agent whom it is shown with: the called one where both parties are agents.
    pub(crate) agent: Option<String>,
    pub(crate) direction: CallDirection,
    pub(crate) caller_number: Option<String>,
    pub(crate) called_number: Option<String>,
    pub(crate) metadata: Metadata,
    pub(crate) state: CallState,
    pub(crate) held: bool,
    pub(crate) shielded: bool,
    /// Grows whenever somebody closes the shield; an older order to open it is void.
    pub(crate) shield_turn: u64,
    pub(crate) started_at: Timestamp,
    pub(crate) answered_at: Option<Timestamp>,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) listenings: Vec<String>,
    pub(crate) records: Vec<LegRecord>,
    /// The two paired legs: caller's side, called side.
    pub(crate) sides: [Option<LegId>; 2],
    /// Every leg that signalling still has.
    pub(crate) legs: Vec<LegId>,
    /// Interactions of agents that this call is part of.
    pub(crate) interactions: Vec<InteractionKey>,
    pub(crate) transfer: Option<Transfer>,
    /// The cause where the engine itself ended it (`rtp-timeout`, `engine-stopped`).
    pub(crate) forced: Option<&'static str>,
    pub(crate) ends: Vec<LegEnd>,
    /// Cause and who, as they were shown when it ended: what its last legs do afterwards changes nothing.
    pub(crate) verdict: Option<(String, String)>,
}

/// A REFER that was accepted and has no outcome yet.
#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    pub(crate) id: TransferId,
    /// The transferor's leg.
    pub(crate) transferor: LegId,
    /// The leg that we call for it (blind).
    pub(crate) target: Option<LegId>,
}

/// One leg of a call that signalling has.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) call: CallKey,
    pub(crate) party: Party,
    pub(crate) stream: StreamId,
    pub(crate) answered: bool,
    pub(crate) rang: bool,
    /// What its party described last.
    pub(crate) session: Option<Described>,
    /// Addresses of its other streams.
    pub(crate) others: Vec<MediaAddress>,
}

/// What is kept of a leg's session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Described {
    pub(crate) sends: bool,
    pub(crate) receives: bool,
    pub(crate) encrypted: bool,
    /// It names a codec, and the first cannot be decoded.
    pub(crate) opaque: bool,
    /// That first one, where it can be.
    pub(crate) codec: Option<Codec>,
}

impl Described {
    pub(crate) fn of(session: &Session) -> Self {
        Self {
            sends: session.sends,
            receives: session.receives,
            encrypted: session.keys.is_some(),
            opaque: codecs::is_undecodable(session),
            codec: codecs::voice(session).and_then(decodable),
        }
    }
}

impl Leg {
    /// This party holds the other: it has answered and does not receive.
    pub(crate) fn holds(&self) -> bool {
        self.answered && self.session.as_ref().is_some_and(|session| !session.receives)
    }
}

/// What the record keeps of a leg.
#[derive(Clone, Debug)]
pub(crate) struct LegRecord {
    pub(crate) stream: StreamId,
    /// The stream is still open in the media plane.
    pub(crate) open: bool,
    pub(crate) role: Role,
    pub(crate) sip_call_id: String,
    pub(crate) codec: Option<String>,
    /// What encrypted it last.
    pub(crate) srtp: Option<&'static str>,
    pub(crate) figures: Figures,
    /// It should send and does not, while the other does.
    pub(crate) silent: bool,
}

/// Part of a leg in its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Caller,
    Agent,
    Callee,
}

impl Role {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Agent => "agent",
            Self::Callee => "callee",
        }
    }

    /// Of a called leg.
    pub(crate) fn of_callee(party: &Party) -> Self {
        if party.agent().is_some() { Self::Agent } else { Self::Callee }
    }
}

/// How a leg ended.
#[derive(Clone, Debug)]
pub(crate) struct LegEnd {
    /// `caller`, `agent` or `callee`.
    pub(crate) by: &'static str,
    pub(crate) called: bool,
    pub(crate) rang: bool,
    pub(crate) end: signalling::End,
}

impl Call {
    pub(crate) fn view(&self) -> CallView {
        CallView {
            id: self.id.clone(),
            interaction: self.interaction.clone(),
            agent: self.agent.clone(),
            direction: self.direction,
            caller_number: self.caller_number.clone(),
            called_number: self.called_number.clone(),
            access_number: self.metadata.access_number.clone(),
            queue: self.metadata.queue.clone(),
            state: self.state,
            held: self.held,
            shielded: self.shielded,
            started_at: self.started_at,
            answered_at: self.answered_at,
            ended_at: self.ended_at,
            end: (self.state == CallState::Ended).then(|| self.end()),
            listenings: self.listenings.clone(),
            legs: self.records.iter().map(LegRecord::view).collect(),
        }
    }

    /// The paired leg beside this one.
    pub(crate) fn peer_of(&self, leg: LegId) -> Option<LegId> {
        match self.sides {
            [Some(a), b] if a == leg => b,
            [a, Some(b)] if b == leg => a,
            _ => None,
        }
    }

    pub(crate) fn side_of(&self, leg: LegId) -> Option<usize> {
        self.sides.iter().position(|side| *side == Some(leg))
    }

    pub(crate) fn record_mut(&mut self, stream: StreamId) -> Option<&mut LegRecord> {
        self.records.iter_mut().find(|record| record.stream == stream)
    }

    /// How it ended; the called party's status may come later than the rest.
    fn end(&self) -> CallEnd {
        let end = self.judge_end();
        match &self.verdict {
            Some((cause, by)) => CallEnd { cause: cause.clone(), by: by.clone(), ..end },
            None => end,
        }
    }

    /// From how its legs ended: what a party did says more than what we did after it.
    pub(crate) fn judge_end(&self) -> CallEnd {
        let of = |by| self.ends.iter().find(|e| e.end.by == by);
        let Some(first) = of(EndedBy::Remote).or_else(|| of(EndedBy::Timeout)).or_else(|| of(EndedBy::Local)) else {
            let cause = self.forced.unwrap_or(if self.answered_at.is_some() { "answered" } else { "failed" });
            return CallEnd { cause: cause.to_owned(), by: "engine".to_owned(), sip_status: None };
        };
        let by = match first.end.by {
            _ if self.forced.is_some() => "engine",
            EndedBy::Remote => first.by,
            EndedBy::Timeout => "network",
            EndedBy::Local => "engine",
        };
        let answered = self.answered_at.is_some();
        let sip_status = if answered { None } else { self.ends.iter().filter(|e| e.called).find_map(|e| e.end.status) };
        let cause = match (self.forced, sip_status) {
            (Some(forced), _) => forced,
            _ if answered => "answered",
            _ if first.end.by == EndedBy::Remote && !first.called => "cancelled",
            (None, Some(486 | 600)) => "busy",
            (None, Some(603 | 403 | 433)) => "refused",
            (None, Some(408 | 480 | 487)) if first.rang => "no-answer",
            _ if first.end.by != EndedBy::Remote && first.rang => "no-answer",
            _ => "failed",
        };
        CallEnd { cause: cause.to_owned(), by: by.to_owned(), sip_status }
    }
}

impl LegRecord {
    fn view(&self) -> LegView {
        LegView {
            role: self.role.as_str().to_owned(),
            sip_call_id: self.sip_call_id.clone(),
            codec: self.codec.clone(),
            srtp: self.srtp.map(str::to_owned),
            packets: self.figures.packets,
            lost: self.figures.lost,
            jitter_ms: self.figures.jitter_ms,
            silent: self.silent,
        }
    }
}

/// What media must know of a session.
pub(crate) fn remote(session: &Session) -> Remote {
    Remote {
        rtp: session.rtp,
        rtcp: session.rtcp,
        sends: session.sends,
        receives: session.receives,
        decodable: session.payloads.iter().filter_map(|payload| Some((payload.pt, decodable(payload)?))).collect(),
        telephone_event: session.telephone_event,
        latch: latch(session),
        mux: session.mux,
        keys: protection::keys(session),
    }
}

/// Whom a leg's streams may latch to.
pub(crate) fn latch(session: &Session) -> Option<IpAddr> {
    session.nat.then(|| session.signalling.ip().to_canonical())
}
