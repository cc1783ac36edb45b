//! What goes in and out of the crate: the types that `engine` works with.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::message::Message;
use crate::message::uri::Uri;
use crate::peers::{PeerId, Peers, TrunkId};
pub use crate::registrar::BindingCopy;
pub use crate::sdp::crypto::{Key, SessionKeys, Suite};
use crate::sdp::{Direction, Payload};
pub use crate::sdp::{Family, MediaAddress};
use crate::transport::{ConnectionLimits, Flow, Transport};

/// Streams of a call that are relayed besides its audio stream, if the engine has addresses to spare; more are refused.
pub const OTHER_STREAMS_MAX: usize = 3;

/// One INVITE dialog usage (RFC 3261 §12): what a call has two of, and a listening one.
///
/// Ids are never used again. Those of legs that we call come from [`crate::Signalling::new_leg`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegId(pub u64);

/// One REFER and what became of it (RFC 3515).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransferId(pub u64);

/// One media plan that must be in place before the 2xx that depends on it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlanId(pub u64);

/// One REGISTER whose 200 waits until what it changed is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReceiptId(pub u64);

/// One dialog of a process that is gone; the engine's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrphanId(pub u64);

/// How the core is set up; durations have the defaults of RFC 3261 and SEMANTICS.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Digest realm and registrar domain.
    pub domain: String,
    /// Host that Via and Contact show instead of the flow's local address (behind NAT).
    pub advertised: Option<String>,
    /// Digest algorithms that challenges offer, best first (RFC 8760). MD5 alone by default: many phones, libre 1.x
    /// among them, give up at a challenge they do not know instead of taking the next.
    pub digest: Vec<crate::digest::Algorithm>,
    /// `User-Agent` and `Server`.
    pub user_agent: String,
    /// T1, RFC 3261 §17.1.1.1: 500 ms.
    pub t1: Duration,
    /// T2: 4 s.
    pub t2: Duration,
    /// T4: 5 s.
    pub t4: Duration,
    /// How long a registration lasts at most, and at least (423 below).
    pub registration_max: Duration,
    /// Shortest registration that is accepted.
    pub registration_min: Duration,
    /// How long the 2xx waits for the media plan before the call is refused with 503.
    pub media_deadline: Duration,
    /// How long the ACK of a listener's 2xx waits for [`Command::Recorded`]; then it leaves without: 300 ms.
    pub record_deadline: Duration,
    /// How long the 200 to a REGISTER waits for [`Command::RegistrationKept`]; then it leaves without: 500 ms.
    pub registration_deadline: Duration,
    /// After the final NOTIFY, how long the transferor has to send its BYE before we do.
    pub transferor_bye_wait: Duration,
    /// How long an INVITE to a transfer target may ring.
    pub transfer_ring_timeout: Duration,
    /// How long an INVITE of a call may go without a final answer (Timer C, RFC 3261 §16.6): 3 min.
    pub invite_timeout: Duration,
    /// Where connections are taken (each transport that has such, with the bound port); a transport that is not here is
    /// not used for what we begin ourselves, either.
    pub listen: Vec<(Transport, SocketAddr)>,
    /// What connections may take.
    pub connections: ConnectionLimits,
    /// Offers of ours name rtcp-mux (RFC 5761). Theirs are taken with it always.
    pub rtcp_mux: bool,
    /// Calls (pairs of legs) at most; above: 503.
    pub max_legs: usize,
    /// Transactions at most; above, requests are answered 503.
    pub max_transactions: usize,
}

impl Settings {
    /// The defaults for a domain: timers of RFC 3261 (§17.1.1.1, §16.6) and of SEMANTICS, limits for one node.
    #[must_use]
    pub fn for_domain(domain: &str) -> Self {
        Self {
            domain: domain.to_owned(),
            advertised: None,
            digest: vec![crate::digest::Algorithm::Md5],
            user_agent: "Medlytt".to_owned(),
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            registration_max: Duration::from_secs(3600),
            registration_min: Duration::from_secs(60),
            media_deadline: Duration::from_secs(2),
            record_deadline: Duration::from_millis(300),
            registration_deadline: Duration::from_millis(500),
            transferor_bye_wait: Duration::from_secs(2),
            transfer_ring_timeout: Duration::from_secs(60),
            invite_timeout: Duration::from_secs(180),
            listen: Vec::new(),
            connections: ConnectionLimits::default(),
            rtcp_mux: false,
            max_legs: 10_000,
            max_transactions: 100_000,
        }
    }
}

/// What can happen to the core. Each comes with `now` in [`crate::Signalling::drive`].
#[derive(Debug)]
pub enum Input {
    /// One UDP datagram.
    Datagram {
        /// Where it came in and from whom.
        flow: Flow,
        /// The whole datagram.
        data: Bytes,
    },
    /// A connection stands: one that came in, or one that [`Output::Connect`] asked for.
    FlowOpened {
        /// Its name from now on.
        flow: Flow,
    },
    /// What has come over a connection: any number of bytes, cut anywhere.
    Bytes {
        /// Which connection.
        flow: Flow,
        /// As much as the shell read at once.
        data: Bytes,
    },
    /// A connection is gone: closed or broken by the peer, not to be had, or too much waits to be sent on it. One that
    /// [`Output::Close`] ended is not told.
    FlowClosed {
        /// Which connection.
        flow: Flow,
    },
    /// A transmit could not be sent (ICMP, closed flow).
    SendFailed {
        /// The flow it was for.
        flow: Flow,
    },
    /// The wake-up time has come (or any time; spurious ones are harmless).
    Timeout,
    /// The media plan stands (or could not be made).
    MediaDone {
        /// From [`Event::MediaPlanned`].
        plan: PlanId,
        /// False: the shard was full or the ports were gone; the call is refused with 503.
        ok: bool,
    },
    /// An order of the engine.
    Command(Command),
}

/// Orders of the engine.
#[derive(Debug)]
pub enum Command {
    /// Who may talk to us; replaces the whole table. Calls that are up stay.
    Peers(Arc<Peers>),
    /// Answers [`Event::Offered`]: call the other side and pair the two legs.
    Connect {
        /// The leg that was offered.
        caller: LegId,
        /// Our RTP address towards the caller.
        caller_media: MediaAddress,
        /// The leg to be made.
        callee: NewLeg,
    },
    /// Answers [`Event::Offered`] for an INVITE with Replaces: the new leg takes the place of `old` beside its peer.
    Replace {
        /// The leg that was offered.
        new: LegId,
        /// The leg to be released (BYE with a Reason).
        old: LegId,
        /// Our RTP address towards the new leg.
        media: MediaAddress,
    },
    /// Refuses [`Event::Offered`] with a final status.
    Refuse {
        /// The leg that was offered; it is gone afterwards, without an [`Event::Ended`].
        leg: LegId,
        /// 4xx–6xx.
        status: u16,
        /// `Retry-After` in seconds.
        retry_after: Option<u32>,
    },
    /// A single-leg call of ours: the listener's. Its offer is made from `codecs`; a `telephone-event` among them is
    /// offered as such. What it answers, it never sends: its [`Session::sends`] is false.
    Call {
        /// The leg to be made.
        leg: NewLeg,
        /// What is offered, best first.
        codecs: Vec<Payload>,
        /// `sendonly`, or `sendrecv` where configured (SEMANTICS, principle 3).
        direction: Direction,
        /// It hears what is encrypted elsewhere: it is offered no plain RTP, whatever its policy.
        encrypted: bool,
    },
    /// Answers [`Event::Record`]: it is kept, so the INVITE or the ACK may leave.
    Recorded {
        /// The leg.
        leg: LegId,
    },
    /// Answers [`Event::Registered`] that has a receipt: it is kept, so the 200 may leave.
    RegistrationKept {
        /// From the event.
        receipt: ReceiptId,
    },
    /// Bindings that an account had in the process before; no [`Event::Registered`] follows.
    RestoreBindings {
        /// The account; one that the table of peers does not have keeps nothing.
        peer: PeerId,
        /// Oldest first.
        bindings: Vec<BindingCopy>,
    },
    /// Ends what a process that is gone left behind: BYE, or CANCEL and, where the 2xx comes all the same, ACK and BYE.
    /// [`Event::OrphanEnded`] follows when its answer came, or none for long enough.
    EndOrphan {
        /// The engine's number for it.
        orphan: OrphanId,
        /// As it was kept.
        dialog: Box<DialogCopy>,
        /// For Reason (RFC 3326).
        reason: Reason,
    },
    /// Ends a leg with what its state asks for: CANCEL, BYE or a final response. [`Event::Ended`] follows.
    /// Its peer, if it is paired, is ended too.
    End {
        /// The leg.
        leg: LegId,
        /// For Reason (RFC 3326) and, where it has not been answered, the final response.
        reason: Reason,
    },
    /// Answers [`Event::Referred`]: 202, and the transfer goes its way.
    AcceptTransfer {
        /// The transfer.
        transfer: TransferId,
        /// Whom to call; `None` where Replaces named a leg of ours, which is joined as it is.
        target: Option<NewLeg>,
    },
    /// Answers [`Event::Referred`] with a final status (403, 404, 603 …).
    RefuseTransfer {
        /// The transfer; it is gone afterwards.
        transfer: TransferId,
        /// 4xx–6xx.
        status: u16,
    },
    /// Sends OPTIONS inside the dialog; [`Event::Probed`] follows.
    Probe {
        /// The leg.
        leg: LegId,
    },
}

/// What the engine decides about a leg that we call.
#[derive(Clone, Debug)]
pub struct NewLeg {
    /// From [`crate::Signalling::new_leg`].
    pub leg: LegId,
    /// Whom.
    pub destination: Destination,
    /// Who is shown as calling: user part and display name of From (and P-Asserted-Identity with `identity`).
    pub from_user: String,
    /// Display name; empty: none.
    pub from_display: String,
    /// Adds P-Asserted-Identity with the same user (the listener's call).
    pub identity: bool,
    /// Our RTP address towards this leg.
    pub media: MediaAddress,
    /// Further header lines, whole (`X-Queue: Support`), copied as they are; never Via, From, To, Contact and the like.
    pub headers: Vec<(String, String)>,
    /// How long it may ring before CANCEL; `None`: [`Settings::invite_timeout`].
    pub ring_timeout: Option<Duration>,
}

/// Where a call of ours goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The phone of an agent or user: its fixed contact, or the flow of its registration. None: 480.
    Account(PeerId),
    /// Through a trunk, with this user part in the Request-URI.
    Trunk(TrunkId, String),
}

/// Where a request came from, by SEMANTICS "Who may do what in SIP".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The phone of an agent or user (fixed contact, or authenticated registration).
    Account(PeerId),
    /// A trunk's network.
    Trunk(TrunkId),
}

/// Why we end a leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// SIP status for `Reason: SIP;cause=…` and for the final response of a leg that was not answered.
    pub cause: u16,
    /// Text in quotes.
    pub text: String,
}

/// Everything the core wants done.
#[derive(Debug)]
pub enum Output {
    /// Send these bytes.
    Transmit {
        /// By this flow.
        flow: Flow,
        /// One whole message.
        data: Bytes,
    },
    /// Open a connection to the flow's remote address. What is sent on it meanwhile waits;
    /// [`Input::FlowOpened`] or [`Input::FlowClosed`] answers.
    Connect {
        /// Its name.
        flow: Flow,
    },
    /// Close a connection when what was sent on it before has gone. Nothing is heard of it afterwards.
    Close {
        /// Which.
        flow: Flow,
    },
    /// Something the engine must know or decide.
    Event(Event),
}

/// What happened, for the engine.
#[derive(Debug)]
pub enum Event {
    /// A new call: answer with `Connect`, `Replace` or `Refuse`.
    Offered {
        /// The caller's leg.
        leg: LegId,
        /// Who calls.
        origin: Origin,
        /// The Request-URI.
        target: Uri,
        /// User part of P-Asserted-Identity (trunk only) or From, as it came.
        from_user: String,
        /// Display name, or empty.
        from_display: String,
        /// The leg that Replaces names (RFC 3891), if it is one of ours. One that matches nothing is answered 481 here.
        replaces: Option<LegId>,
        /// The INVITE itself, for metadata headers.
        invite: Message,
    },
    /// A provisional answer above 100 came from a leg that we called.
    Ringing {
        /// The called leg.
        leg: LegId,
        /// 180–199.
        status: u16,
        /// It carried a session description.
        early_media: bool,
    },
    /// Both session descriptions of a leg are known, or changed: what the media plane must do.
    /// With `plan`, the 2xx towards the caller waits for [`Input::MediaDone`].
    MediaPlanned {
        /// The leg.
        leg: LegId,
        /// Its session as the remote party described it.
        session: Session,
        /// To be acknowledged.
        plan: Option<PlanId>,
    },
    /// A stream besides a leg's audio stream has one of [`Signalling::spare_media`], until the leg is over.
    MediaTaken {
        /// The leg; the engine knows it.
        leg: LegId,
        /// Which.
        media: MediaAddress,
    },
    /// These streams belong together: packets of each go out by the other. Replaces what either was paired with.
    StreamsPaired {
        /// By our addresses.
        pairs: Vec<(MediaAddress, MediaAddress)>,
    },
    /// A leg was answered: 2xx received (called leg) or sent (calling leg).
    Answered {
        /// The leg.
        leg: LegId,
    },
    /// What has to be kept before a listener's leg goes on: answered with [`Command::Recorded`]. Its INVITE waits for as
    /// long as that takes, its ACK for [`Settings::record_deadline`].
    Record {
        /// The leg.
        leg: LegId,
        /// What it takes to end it from now on.
        dialog: DialogCopy,
    },
    /// What [`crate::Signalling::dialog`] says of a leg has changed: its remote target or its flow moved.
    Moved {
        /// The leg.
        leg: LegId,
    },
    /// Nothing is open on a leg any more that had its [`Event::Ended`]: its BYE or CANCEL came through, or was given up.
    Gone {
        /// The leg.
        leg: LegId,
    },
    /// Nothing is open any more on what [`Command::EndOrphan`] ended.
    OrphanEnded {
        /// Which.
        orphan: OrphanId,
    },
    /// A leg is over. Only [`Event::Gone`] follows; refused ones have none of the two.
    Ended {
        /// The leg.
        leg: LegId,
        /// How.
        end: End,
    },
    /// A REFER came on an agent's leg (RFC 3515): answer with `AcceptTransfer` or `RefuseTransfer`.
    /// From a single-leg call (a listener) it is answered 603 here and never shown.
    Referred {
        /// The new transfer.
        transfer: TransferId,
        /// The transferor's leg.
        leg: LegId,
        /// Refer-To without its headers.
        target: Uri,
        /// The other leg of the transferor that Replaces names. One that matches nothing of ours is `None` with `replaces_unknown`.
        replaces: Option<LegId>,
        /// Refer-To had a Replaces that names no dialog of ours.
        replaces_unknown: bool,
    },
    /// The target answered, and the survivors are being joined.
    TransferAnswered {
        /// The transfer.
        transfer: TransferId,
    },
    /// The surviving legs are joined; the transferor's legs are being released (each gets its [`Event::Ended`]).
    TransferJoined {
        /// The transfer.
        transfer: TransferId,
        /// The transferee (the leg that was paired with the transferor's).
        kept: LegId,
        /// The target's leg, now paired with `kept`.
        target: LegId,
        /// The transferor's legs.
        released: Vec<LegId>,
    },
    /// The transfer failed; the old pair stands if the transferor's leg is still up, else the transferee is released.
    TransferFailed {
        /// The transfer.
        transfer: TransferId,
        /// The target's final status, 408 where none came.
        status: u16,
    },
    /// An INVITE with Replaces took a leg's place; `old` gets its [`Event::Ended`].
    Replaced {
        /// The leg that left.
        old: LegId,
        /// The leg in its place.
        new: LegId,
        /// The peer of both.
        peer: LegId,
    },
    /// INFO on a paired leg passes to the other, a listener's goes nowhere; either may hold keys.
    Info {
        /// The leg it came from.
        leg: LegId,
        /// Content-Type.
        content_type: String,
        /// Body.
        body: Bytes,
    },
    /// Answer to [`Command::Probe`].
    Probed {
        /// The leg.
        leg: LegId,
        /// Any final response came, but 408 and 481.
        alive: bool,
    },
    /// A phone registered, refreshed or left.
    Registered {
        /// The account.
        peer: PeerId,
        /// Bindings that it has now, oldest first; none: not registered.
        bindings: Vec<BindingCopy>,
        /// The 200 waits for [`Command::RegistrationKept`]; `None`: nobody waits.
        receipt: Option<ReceiptId>,
    },
    /// Somebody was refused for who they are (403, failed digest): for the audit trail and the log.
    Denied {
        /// Source address.
        source: SocketAddr,
        /// What they tried.
        method: String,
        /// Why, in words without personal data.
        why: &'static str,
    },
}

/// What it takes to end a dialog, in another process if need be (RFC 3261 §12, §9.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialogCopy {
    /// Where it stands.
    pub stage: DialogStage,
    /// Call-ID.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// Our URI with display name, without the tag.
    pub local: String,
    /// Their URI with display name, without the tag.
    pub remote: String,
    /// Request-URI: their Contact, or whom the INVITE was for.
    pub target: String,
    /// Route set, first hop first.
    pub route: Vec<String>,
    /// CSeq that we used last.
    pub cseq: u32,
    /// Which way it goes.
    pub flow: Flow,
}

/// See [`DialogCopy`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialogStage {
    /// Our INVITE has no final answer: CANCEL, and BYE if it was answered.
    Calling {
        /// Branch of the INVITE.
        branch: String,
        /// Their tag in a provisional answer, empty without: most phones answer with the same.
        early_tag: String,
    },
    /// Answered: BYE.
    Confirmed {
        /// Their tag.
        remote_tag: String,
    },
}

/// How a leg ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Who ended it.
    pub by: EndedBy,
    /// Final status of an INVITE that failed; `None` for a leg that was answered. 487 where a ring time ran out and we
    /// cancelled (`by` is [`EndedBy::Local`]), 488 where the answer had no codec of ours (`by` is [`EndedBy::Remote`]).
    pub status: Option<u16>,
    /// Reason header of a BYE or CANCEL that came, or our own text.
    pub text: String,
}

/// Who ended a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// BYE or CANCEL from the remote party, or its final answer.
    Remote,
    /// We, on the engine's order or because its peer left.
    Local,
    /// Nobody answered: a transaction timed out, or its 2xx was never acknowledged.
    Timeout,
}

/// A leg's negotiated session, seen from the remote party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Where the remote party wants RTP; `None`: held with c=0.0.0.0, port 0, or not known yet.
    pub rtp: Option<SocketAddr>,
    /// Where it wants RTCP (a=rtcp, else port + 1).
    pub rtcp: Option<SocketAddr>,
    /// Signalling source IP of the leg, for NAT latching.
    pub signalling: SocketAddr,
    /// The remote party sends (its direction is sendrecv or sendonly, and the other side agreed).
    pub sends: bool,
    /// The remote party receives (sendrecv or recvonly, and not c=0.0.0.0).
    pub receives: bool,
    /// Payload types in the remote party's description, best first, restricted to the answer once there is one.
    pub payloads: Vec<Payload>,
    /// RFC 4733 telephone-event payload type.
    pub telephone_event: Option<u8>,
    /// Only early media so far: no final answer.
    pub early: bool,
    /// Latch to the signalling source (`nat = true` of the peer).
    pub nat: bool,
    /// RTCP shares RTP's port, both ways (RFC 5761).
    pub mux: bool,
    /// What encrypts the leg (RFC 4568); `None`: it is plain.
    pub keys: Option<Box<SessionKeys>>,
    /// Every other stream that has an address of its own.
    pub others: Vec<OtherStream>,
}

/// A stream besides the audio stream: video, text, a second audio stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherStream {
    /// Our address, from [`Event::MediaTaken`].
    pub media: MediaAddress,
    /// Where the remote party wants RTP; `None`: nowhere.
    pub rtp: Option<SocketAddr>,
    /// Where it wants RTCP.
    pub rtcp: Option<SocketAddr>,
    /// The remote party sends, and we said that we receive.
    pub sends: bool,
    /// The remote party receives, and we said that we send.
    pub receives: bool,
}

impl OtherStream {
    /// Refused, or taken back.
    pub(crate) fn unused(media: MediaAddress) -> Self {
        Self { media, rtp: None, rtcp: None, sends: false, receives: false }
    }
}

/// Why something that came in was dropped or refused; one counter each, shown in `/metrics`.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Named counters with their values, stable order.
    pub values: std::collections::BTreeMap<&'static str, u64>,
}

impl Counters {
    /// Adds one.
    pub fn count(&mut self, name: &'static str) {
        *self.values.entry(name).or_default() += 1;
    }
}

/// The whole signalling core. See [`crate`].
#[derive(Debug)]
pub struct Signalling {
    pub(crate) core: crate::core::Core,
}

impl Signalling {
    /// A core without calls. `seed` feeds every tag, branch and nonce.
    #[must_use]
    pub fn new(settings: Settings, seed: [u8; 32]) -> Self {
        Self { core: crate::core::Core::new(settings, seed) }
    }

    /// A leg id for [`NewLeg`].
    pub fn new_leg(&mut self) -> LegId {
        self.core.new_leg()
    }

    /// Takes one input and appends what follows from it.
    pub fn drive(&mut self, now: Instant, input: Input, outputs: &mut Vec<Output>) {
        self.core.drive(now, input, outputs);
    }

    /// When to call with [`Input::Timeout`]; `None`: nothing is due.
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        self.core.wake_at()
    }

    /// What was dropped, refused, retransmitted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        self.core.counters()
    }

    /// How many legs and transactions there are: both 0 when every call is over (nothing leaks).
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        self.core.sizes()
    }

    /// A leg's SIP Call-ID, for records and logs.
    #[must_use]
    pub fn sip_call_id(&self, leg: LegId) -> Option<&str> {
        self.core.sip_call_id(leg)
    }

    /// Addresses that signalling may give to streams besides the audio stream, each told by [`Event::MediaTaken`]. The
    /// engine adds to them and takes out of them as it likes; while there is none, further streams are refused.
    pub fn spare_media(&mut self) -> &mut Vec<MediaAddress> {
        self.core.spare_media()
    }

    /// What it takes to end a leg's dialog; `None` where it has none that needs ending.
    #[must_use]
    pub fn dialog(&self, leg: LegId) -> Option<DialogCopy> {
        self.core.dialog(leg)
    }

    /// Whether an account can be reached now: fixed contact, or registered.
    #[must_use]
    pub fn reachable(&self, peer: PeerId) -> bool {
        self.core.reachable(peer)
    }
}

/// Table sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Legs.
    pub legs: usize,
    /// Transactions.
    pub transactions: usize,
    /// Transfers.
    pub transfers: usize,
    /// Registered bindings.
    pub bindings: usize,
    /// Connections, those that are being opened included.
    pub connections: usize,
    /// Media plans that are not answered.
    pub plans: usize,
    /// What transactions and dialogs' tags are told apart by.
    pub indexes: usize,
    /// Timers of legs, those included that find nothing to do when they are due.
    pub timers: usize,
}
