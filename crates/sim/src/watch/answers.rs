//! Every request gets exactly one final answer (RFC 3261 §17.2): never two different ones, never none.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::{Input, Output};
use signalling::message::{Limits, Message, Method};

use super::{Report, since};
use crate::world::World;

/// An INVITE may ring as long as the engine lets it (`invite_timeout`, 3 min), and is cleared for as long as Timer F.
const INVITE_WITHIN: Duration = Duration::from_secs(230);
/// INFO waits for the other party's answer (Timer F, 32 s).
const OTHERS_WITHIN: Duration = Duration::from_secs(45);
/// Longer than any transaction remembers its answer (Timer J and H, 32 s; Timer D).
const FORGET_AFTER: Duration = Duration::from_secs(300);
/// For so long an answer to anything but INVITE is remembered (Timer J): a repetition that the network kept for longer is
/// a new request.
const REMEMBERED: Duration = Duration::from_secs(32);

/// One request is told by where it came from, its branch and its method (RFC 3261 §17.2.3).
type Key = (SocketAddr, String, String);

#[derive(Debug, Default)]
pub(super) struct Answers {
    asked: BTreeMap<Key, Asked>,
    /// Whose INVITE was refused as a stranger's: no state is kept of that.
    strangers: BTreeSet<SocketAddr>,
    /// How often the directory was read.
    reloads: u64,
}

#[derive(Debug)]
struct Asked {
    at: Instant,
    line: String,
    finals: Option<Bytes>,
    /// When that left first.
    answered_at: Instant,
    /// Readings of the directory before that.
    reloads: u64,
}

impl Answers {
    /// A request arrived.
    pub(super) fn input(&mut self, now: Instant, input: &Input) {
        self.reloads += u64::from(matches!(input, Input::Reload(_)));
        let Input::Sip { flow, data } = input else { return };
        if data.starts_with(b"SIP/2.0") {
            return;
        }
        let Ok(message) = Message::parse(data.clone(), &Limits::default()) else { return };
        if message.method() == Method::Ack {
            return;
        }
        let line = format!("{} {} CSeq {}", message.method().as_str(), message.call_id(), message.cseq().number);
        let key = (flow.remote, message.top_via().branch().to_owned(), message.method().as_str().to_owned());
        self.asked.entry(key).or_insert(Asked { at: now, line, finals: None, answered_at: now, reloads: 0 });
    }

    /// A final answer leaves.
    pub(super) fn output(&mut self, world: &World, output: &Output, report: &mut Report<'_>) {
        if let Output::Log { message, .. } = output {
            self.strangers.extend(stranger(message));
        }
        let Output::Transmit { flow, data } = output else { return };
        if !data.starts_with(b"SIP/2.0") {
            return;
        }
        let Ok(answer) = Message::parse(data.clone(), &Limits::default()) else {
            report.broken("what the engine sends is SIP", String::from_utf8_lossy(data));
            return;
        };
        report.met("answer", format!("{} to {}", answer.status(), answer.cseq().method.as_str()));
        if answer.status() < 200 {
            return;
        }
        let key = (flow.remote, answer.top_via().branch().to_owned(), answer.cseq().method.as_str().to_owned());
        let Some(asked) = self.asked.get_mut(&key) else {
            report.broken("an answer belongs to a request", format!("{} to nothing: {key:?}", answer.status()));
            return;
        };
        match &asked.finals {
            None => {
                asked.finals = Some(data.clone());
                (asked.answered_at, asked.reloads) = (world.now, self.reloads);
            }
            Some(first) if first == data => {}
            // above `max_transactions` a CANCEL keeps no state: its INVITE may have come or be forgotten when it comes again
            Some(first) if asked.line.starts_with("CANCEL") && world.limits.stateless => {
                report.met("overload", format!("CANCEL {} and then {}", first_line(first), answer.status()));
            }
            // nor does a 503: the same request is new when it comes again
            Some(first) if world.limits.stateless && first.starts_with(b"SIP/2.0 503 ") => {
                report.met("overload", "refused without state, taken when it came again");
                asked.finals = Some(data.clone());
            }
            // nor does the refusal of a stranger, nor the challenge to one, whose nonce is new each time
            Some(first) if is_refusal(first) && self.strangers.contains(&flow.remote) => {
                report.met("stranger", "refused without state, known when its request came again");
                asked.finals = Some(data.clone());
            }
            Some(first) if first.starts_with(b"SIP/2.0 401 ") && self.reloads > asked.reloads => {
                report.met("stranger", "challenged without state, known by a new directory");
                asked.finals = Some(data.clone());
            }
            Some(first) if first.starts_with(b"SIP/2.0 401 ") && answer.status() >= 300 => {
                report.met("stranger", "challenged without state");
            }
            Some(first) if asked.is_remembered(world.now) => report.broken(
                "one final answer per request",
                format!("{}: {} and then {}", asked.line, first_line(first), first_line(data)),
            ),
            Some(_) => {}
        }
    }

    /// Whoever asked has waited long enough.
    pub(super) fn step(&mut self, world: &World, report: &mut Report<'_>) {
        for ((source, _, method), asked) in &self.asked {
            let within = if method == "INVITE" { INVITE_WITHIN } else { OTHERS_WITHIN };
            if asked.finals.is_none() && since(world.now, asked.at) > within {
                report.broken("every request gets a final answer", format!("{} from {source}: none", asked.line));
            }
        }
        self.asked.retain(|_, asked| {
            since(world.now, asked.at) <= FORGET_AFTER
                && !(asked.finals.is_none() && since(world.now, asked.at) > INVITE_WITHIN)
        });
    }
}

impl Asked {
    fn is_remembered(&self, now: Instant) -> bool {
        if self.line.starts_with("INVITE") {
            since(now, self.at) < FORGET_AFTER
        } else {
            since(now, self.answered_at) < REMEMBERED
        }
    }
}

/// Who is told of as a stranger that called.
fn stranger(log: &str) -> Option<SocketAddr> {
    log.strip_prefix("refused INVITE from ")?.strip_suffix(": unknown source")?.parse().ok()
}

/// What strangers are answered: 403, and 481 to a CANCEL.
fn is_refusal(answer: &Bytes) -> bool {
    [&b"SIP/2.0 403 "[..], b"SIP/2.0 481 "].iter().any(|refusal| answer.starts_with(refusal))
}

fn first_line(data: &Bytes) -> String {
    String::from_utf8_lossy(data).lines().next().unwrap_or_default().to_owned()
}
