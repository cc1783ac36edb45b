//! What can happen in a life. Whom it hits is settled when it happens, so that a plan with parts left out still makes sense.

use std::time::Duration;

use engine::ListenerOrder;
use engine::view::{AgentStatus, CallDirection};
use phone::{Codec, OnCall};
use signalling::sdp::Direction;

/// Which one of those that there are: the first, the last, or any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The oldest.
    First,
    /// The newest.
    Last,
    /// By this number, modulo how many there are.
    Any(u32),
}

/// A name of the cast.
pub(crate) type Name = &'static str;

/// One thing that happens.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // the names say it
pub enum Action {
    Wait(Duration),
    Dial {
        from: Name,
        to: Name,
        late: bool,
        private: bool,
        shared: bool,
    },
    /// By hand, or refused with this status.
    Answer {
        who: Name,
        status: Option<u16>,
    },
    HangUp {
        who: Name,
        which: Which,
    },
    HangUpAny {
        which: Which,
    },
    /// Both ends of what looks like one call at the same moment.
    HangUpBoth {
        who: Name,
    },
    Hold {
        who: Name,
        which: Which,
        way: Direction,
        null: bool,
    },
    Resume {
        who: Name,
        which: Which,
    },
    Codecs {
        who: Name,
        which: Which,
        codec: Codec,
    },
    Move {
        who: Name,
        which: Which,
    },
    Update {
        who: Name,
        which: Which,
        way: Direction,
    },
    Late {
        who: Name,
        which: Which,
    },
    Restart {
        who: Name,
        which: Which,
    },
    Press {
        who: Name,
        which: Which,
    },
    Info {
        who: Name,
        which: Which,
    },
    Refer {
        who: Name,
        which: Which,
        to: Name,
        bye: bool,
    },
    ReferReplacing {
        who: Name,
        which: Which,
        bye: bool,
    },
    /// A stray REFER of a listener.
    Replace {
        from: Name,
        victim: Name,
        which: Which,
    },
    Habits {
        who: Name,
        on_call: OnCall,
        early: bool,
        leaves: bool,
        refuse: Option<u16>,
        rtcp: bool,
        mixes: bool,
    },
    Order {
        actor: Name,
        agent: Name,
        listener: ListenerOrder,
        calls: Option<i64>,
        seconds: Option<i64>,
        directions: Option<Vec<CallDirection>>,
    },
    Patch {
        actor: Name,
        which: Which,
        calls: Option<i64>,
        seconds: Option<i64>,
    },
    ResumeRequest {
        actor: Name,
        which: Which,
    },
    Delete {
        actor: Name,
        which: Which,
    },
    HangUpListening {
        actor: Name,
        which: Which,
    },
    Shield {
        which: Which,
        on: bool,
    },
    /// By page of `admin`, or with a key to be pressed.
    OrderSpecial {
        agent: Name,
        listener: ListenerOrder,
        confirm: bool,
    },
    /// One after the other.
    Keys {
        who: Name,
        which: Which,
        keys: Name,
    },
    /// An agent's INFO.
    ShieldInfo {
        who: Name,
        which: Which,
        on: bool,
    },
    /// A page's player offers: to one that rings, or in place of the player before.
    Play {
        which: Which,
    },
    /// A player hangs up, or begins its ICE anew.
    StopPlaying {
        which: Which,
        again: bool,
    },
    /// Another layout, gain or levelling.
    Mix {
        which: Which,
        turn: u32,
    },
    Monitorable {
        agent: Name,
        on: bool,
    },
    PutAgent {
        agent: Name,
    },
    DeleteAgent {
        agent: Name,
    },
    Status {
        agent: Name,
        status: AgentStatus,
    },
    Register {
        who: Name,
        seconds: u32,
    },
    Reload {
        variant: u32,
    },
    Settings {
        variant: u32,
    },
    Network {
        bad: u32,
        lasts: Duration,
    },
    Isolate {
        who: Name,
        lasts: Duration,
    },
    Die {
        who: Name,
        lasts: Duration,
    },
    CutMedia {
        who: Name,
    },
    DiskFull {
        lasts: Duration,
    },
    DiskSlow {
        delay: Duration,
    },
    StoreQueueFull {
        lasts: Duration,
    },
    MediaSlow {
        to: Duration,
        from: Duration,
    },
    JumpWall {
        seconds: i64,
    },
    Listeners,
    Kill,
    Drain,
    Stop,
}
