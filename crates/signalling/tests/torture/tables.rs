//! What the RFCs say of each message, and what of it can be seen from outside.

use std::net::SocketAddr;

use signalling::message::{HeaderName, Message, Method, Uri};
use signalling::sdp::Sdp;

use crate::stage::{PHONES, PHONES_V6, STRANGER, Stage, TRUNK, TRUNK_V6};

/// What the parser makes of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sees {
    Message,
    Malformed,
    OtherVersion,
    UnknownMethod,
}

/// What the core does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// A call: it goes on to the next hop.
    Called,
    /// One final response.
    Answered(u16),
    /// Nothing at all is sent.
    Dropped,
}

pub(crate) struct Row {
    pub(crate) section: &'static str,
    pub(crate) file: &'static str,
    /// What the section asks for, in short.
    pub(crate) rfc: &'static str,
    pub(crate) from: &'static str,
    pub(crate) sees: Sees,
    pub(crate) outcome: Outcome,
    pub(crate) look: fn(&Stage, Option<&Message>),
}

const fn row(
    section: &'static str,
    file: &'static str,
    rfc: &'static str,
    from: &'static str,
    sees: Sees,
    outcome: Outcome,
    look: fn(&Stage, Option<&Message>),
) -> Row {
    Row { section, file, rfc, from, sees, outcome, look }
}

use Outcome::{Answered, Called, Dropped};
use Sees::{Malformed, OtherVersion};

fn nothing_more(_: &Stage, _: Option<&Message>) {}

#[rustfmt::skip]
pub(crate) const RFC_4475: [Row; 49] = [
    // Valid messages. wsinv and lwsruri carry a tag in To, so that without their dialog they are answered 481.
    row("3.1.1.1", "wsinv", "well formed", TRUNK, Sees::Message, Answered(481), wsinv),
    row("3.1.1.2", "intmeth", "well formed; an unknown method", TRUNK, Sees::Message, Answered(501), intmeth),
    row("3.1.1.3", "esc01", "well formed; escapes are not separators", TRUNK, Sees::Message, Called, esc01),
    row("3.1.1.4", "escnull", "%00 is a character like others", PHONES, Sees::Message, Answered(200), escnull),
    row("3.1.1.5", "esc02", "% in a method is no escape", TRUNK, Sees::Message, Answered(501), esc02),
    row("3.1.1.6", "lwsdisp", "no white space before < is needed", TRUNK, Sees::Message, Answered(200), lwsdisp),
    row("3.1.1.7", "longreq", "well formed", TRUNK, Sees::Message, Called, longreq),
    row("3.1.1.8", "dblreq", "what follows the body is ignored", PHONES_OF_J, Sees::Message, Answered(401), dblreq),
    row("3.1.1.9", "semiuri", "; belongs to the user part", TRUNK, Sees::Message, Answered(200), semiuri),
    row("3.1.1.10", "transports", "any transport in Via", TRUNK, Sees::Message, Answered(200), transports),
    row("3.1.1.11", "mpart01", "binary parts", TRUNK, Sees::Message, Answered(405), mpart01),
    row("3.1.1.12", "unreason", "UTF-8 in the reason phrase", TRUNK, Sees::Message, Dropped, unreason),
    row("3.1.1.13", "noreason", "no reason phrase", TRUNK, Sees::Message, Dropped, noreason),
    // Invalid messages.
    row("3.1.2.1", "badinv01", "400", TRUNK, Malformed, Answered(400), nothing_more),
    row("3.1.2.2", "clerr", "400 over UDP", TRUNK, Malformed, Answered(400), nothing_more),
    row("3.1.2.3", "ncl", "400", TRUNK, Malformed, Answered(400), nothing_more),
    row("3.1.2.4", "scalar02", "400", PHONES, Malformed, Answered(400), nothing_more),
    row("3.1.2.5", "scalarlg", "discarded", TRUNK, Malformed, Dropped, nothing_more),
    row("3.1.2.6", "quotbal", "400", TRUNK, Malformed, Answered(400), nothing_more),
    row("3.1.2.7", "ltgtruri", "400", TRUNK, Malformed, Answered(400), nothing_more),
    row("3.1.2.8", "lwsruri", "400", TRUNK, Malformed, Answered(400), nothing_more),
    row("3.1.2.9", "lwsstart", "400", TRUNK, Malformed, Answered(400), nothing_more),
    row("3.1.2.10", "trws", "400", TRUNK, Malformed, Answered(400), nothing_more),
    row("3.1.2.11", "escruri", "400, or the escaped headers are ignored", TRUNK, Sees::Message, Called, escruri),
    row("3.1.2.12", "baddate", "400, or the date is ignored", TRUNK, Sees::Message, Called, nothing_more),
    row("3.1.2.13", "regbadct", "400", PHONES, Sees::Message, Answered(400), nothing_more),
    row("3.1.2.14", "badaspec", "400, or the spaces are ignored", TRUNK, Sees::Message, Answered(200), badaspec),
    row("3.1.2.15", "baddn", "400, or they are inferred", TRUNK, Malformed, Answered(400), nothing_more),
    row("3.1.2.16", "badvers", "505", TRUNK, OtherVersion, Answered(505), nothing_more),
    row("3.1.2.17", "mismatch01", "400", TRUNK, Malformed, Answered(400), nothing_more),
    row("3.1.2.18", "mismatch02", "501 rather than 400", TRUNK, Sees::UnknownMethod, Answered(501), mismatch02),
    row("3.1.2.19", "bigcode", "discarded", TRUNK, Malformed, Dropped, nothing_more),
    // Transaction layer.
    row("3.2.1", "badbranch", "matched as RFC 2543 does", TRUNK, Sees::Message, Answered(200), nothing_more),
    // Application layer.
    row("3.3.1", "insuf", "400 if possible", TRUNK, Malformed, Answered(400), nothing_more),
    row("3.3.2", "unkscm", "416", TRUNK, Sees::Message, Answered(416), nothing_more),
    row("3.3.3", "novelsc", "416", TRUNK, Sees::Message, Answered(416), nothing_more),
    row("3.3.4", "unksm2", "a registrar answers 400", PHONES, Sees::Message, Answered(400), nothing_more),
    row("3.3.5", "bext01", "420 with Unsupported", TRUNK, Sees::Message, Answered(420), bext01),
    row("3.3.6", "invut", "415 with Accept", TRUNK, Sees::Message, Answered(415), invut),
    row("3.3.7", "regaut01", "401 with challenges", STRANGER, Sees::Message, Answered(401), regaut01),
    row("3.3.8", "multi01", "400", TRUNK, Malformed, Answered(400), nothing_more),
    row("3.3.9", "mcl01", "400", TRUNK, Malformed, Answered(400), nothing_more),
    row("3.3.10", "bcast", "never sent on to the second Via", TRUNK, Sees::Message, Dropped, nothing_more),
    row("3.3.11", "zeromf", "an endpoint answers it", TRUNK, Sees::Message, Answered(200), nothing_more),
    row("3.3.12", "cparam01", "unknownparam is Contact's", PHONES, Sees::Message, Answered(200), cparam01),
    row("3.3.13", "cparam02", "unknownparam is the URI's", PHONES, Sees::Message, Answered(200), cparam02),
    row("3.3.14", "regescrt", "the URI is kept with its escaped header", PHONES, Sees::Message, Answered(200), regescrt),
    row("3.3.15", "sdp01", "406", TRUNK, Sees::Message, Answered(406), nothing_more),
    // Backward compatibility.
    row("3.4.1", "inv2543", "served, over UDP", TRUNK, Sees::Message, Called, inv2543),
];

#[rustfmt::skip]
pub(crate) const RFC_5118: [Row; 12] = [
    row("4.1", "ipv6-good", "well formed", PHONES_V6, Sees::Message, Answered(200), ipv6_good),
    row("4.2", "ipv6-bad", "400: no brackets", PHONES_V6, Malformed, Answered(400), nothing_more),
    row("4.3", "port-ambiguous", "5070 belongs to the address", PHONES_V6, Sees::Message, Answered(200), port_ambiguous),
    row("4.4", "port-unambiguous", "5070 is the port", PHONES_V6, Sees::Message, Answered(200), port_unambiguous),
    row("4.5", "via-received-param-with-delim", "taken too", TRUNK_V6, Sees::Message, Answered(481), nothing_more),
    row("4.5", "via-received-param-no-delim", "well formed", TRUNK_V6, Sees::Message, Answered(200), nothing_more),
    // The next three are printed with a Content-Length that does not fit what is printed; ours have the right one.
    row("4.6", "ipv6-in-sdp", "no brackets in SDP", TRUNK_V6, Sees::Message, Called, ipv6_in_sdp),
    row("4.7", "mult-ip-in-header", "addresses of both families", TRUNK_V6, Sees::Message, Answered(481), nothing_more),
    row("4.8", "mult-ip-in-sdp", "each stream has its own", TRUNK_V6, Sees::Message, Called, mult_ip_in_sdp),
    row("4.9", "ipv4-mapped-ipv6", "well formed", TRUNK_V6, Sees::Message, Called, ipv4_mapped),
    row("4.10", "ipv6-bug-abnf-3-colons", "taken too: RFC 3261's grammar allowed it", TRUNK_V6, Sees::Message, Answered(200), nothing_more),
    row("4.10", "ipv6-correct-abnf-2-colons", "well formed", TRUNK_V6, Sees::Message, Answered(200), nothing_more),
];

/// `j.user` has a password: its REGISTER is challenged from anywhere.
const PHONES_OF_J: &str = PHONES;

fn read(message: Option<&Message>) -> &Message {
    message.expect("it was parsed")
}

fn value(message: &Message, name: &str) -> Option<String> {
    let name = HeaderName::new(name);
    message.header(&name).map(str::to_owned)
}

fn wsinv(_: &Stage, message: Option<&Message>) {
    let message = read(message);
    assert_eq!((message.to_tag(), message.from_tag()), ("1918181833n", "98asjd8"));
    assert_eq!(message.from().unwrap().display, "J Rosenberg \\\"");
    assert_eq!((message.max_forwards(), message.cseq().number), (Some(68), 9));
    assert_eq!(value(message, "Subject").as_deref(), Some(""));
    assert_eq!(value(message, "NewFangledHeader").as_deref(), Some("newfangled value continued newfangled value"));
    assert_eq!(message.values(&HeaderName::Via).count(), 3);
    assert_eq!((message.top_via().host, message.top_via().branch()), ("192.0.2.2", "390skdjuw"));
    let contact = message.contact().unwrap();
    assert_eq!(contact.display, "Quoted string \"\"");
    assert_eq!((contact.params.value("newparam"), contact.params.value("q")), (Some("newvalue"), Some("0.33")));
    assert_eq!(message.body().len(), 150);
}

fn intmeth(stage: &Stage, message: Option<&Message>) {
    let message = read(message);
    assert_eq!(message.method().as_str(), "!interesting-Method0123456789_*+`.%indeed'~");
    let uri = Uri::parse(message.request_uri()).unwrap();
    assert_eq!(uri.user(), "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*");
    assert_eq!(uri.host(), "example.com");
    assert_eq!(message.to().unwrap().display, "BEL:\u{7} NUL:\0 DEL:\u{7f}");
    assert_eq!(message.from().unwrap().params.value("fromParam''~+*_!.-%"), Some("работающий"));
    assert_eq!(message.call_id(), "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{");
    assert_eq!(value(message, "extensionHeader-!.%*+_`'~").as_deref(), Some("\u{feff}大停電"));
    allow_is_told(stage);
}

fn allow_is_told(stage: &Stage) {
    assert!(stage.answer().header(&HeaderName::Allow).is_some_and(|allow| allow.contains("INVITE")));
}

fn esc01(stage: &Stage, message: Option<&Message>) {
    let message = read(message);
    let uri = Uri::parse(message.request_uri()).unwrap();
    assert_eq!(
        (uri.scheme(), uri.user_decoded().as_str(), uri.host()),
        ("sip", "sips:user@example.com", "example.net")
    );
    assert_eq!(message.to().unwrap().parsed_uri().unwrap().user_decoded(), "user");
    assert_eq!(message.from().unwrap().parsed_uri().unwrap().user_decoded(), "I have spaces");
    // An escaped `lr` is no `lr` to whoever does not unescape; nobody is asked to route by a Contact.
    let invite = stage.forwarded().unwrap();
    assert!(
        invite.request_uri().contains('@') && !invite.request_uri().starts_with("sips:"),
        "{}",
        invite.request_uri()
    );
}

fn escnull(stage: &Stage, _: Option<&Message>) {
    let answer = stage.answer();
    let contacts: Vec<&str> = answer.values(&HeaderName::Contact).collect();
    assert_eq!(contacts.len(), 2, "%00 and %00%00 are two users: {contacts:?}");
}

fn esc02(stage: &Stage, message: Option<&Message>) {
    assert_eq!(read(message).method(), Method::Other("RE%47IST%45R".into()));
    assert_eq!(read(message).headers(&HeaderName::Contact).count(), 2, "C%6Fntact is another header");
    assert_eq!(read(message).to().unwrap().display, "%Z%45");
    allow_is_told(stage);
}

fn lwsdisp(_: &Stage, message: Option<&Message>) {
    let from = read(message).from().unwrap();
    assert_eq!((&*from.display, from.uri, from.tag()), ("caller", "sip:caller@example.com", Some("323")));
}

fn longreq(stage: &Stage, message: Option<&Message>) {
    let message = read(message);
    assert_eq!(message.values(&HeaderName::Via).count(), 34);
    assert_eq!(message.from_tag().len(), 155);
    assert_eq!(message.call_id().len(), "longreq.onelongcallid".len() + 20 * "really".len());
    let trying = &stage.sent.first().unwrap().1;
    assert!(
        trying.starts_with(b"SIP/2.0 100 ") && trying.windows(5).filter(|window| *window == b".exam").count() >= 34
    );
}

fn dblreq(stage: &Stage, message: Option<&Message>) {
    assert!(read(message).body().is_empty());
    assert_eq!(read(message).method(), Method::Register);
    assert_eq!(stage.sent.len(), 1, "the INVITE behind it was not looked at");
}

fn semiuri(_: &Stage, message: Option<&Message>) {
    let uri = Uri::parse(read(message).request_uri()).unwrap();
    assert_eq!((uri.user(), uri.user_decoded().as_str()), ("user;par=u%40example.net", "user;par=u@example.net"));
    assert_eq!(read(message).values(&HeaderName::Accept).count(), 6);
}

fn transports(_: &Stage, message: Option<&Message>) {
    let values: Vec<String> = read(message).values(&HeaderName::Via).map(str::to_owned).collect();
    let names: Vec<_> =
        values.iter().map(|via| signalling::message::Via::parse(via).unwrap().transport.to_owned()).collect();
    assert_eq!(names, ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]);
}

fn mpart01(stage: &Stage, message: Option<&Message>) {
    let body = read(message).body();
    assert_eq!((body.len(), body.iter().filter(|byte| **byte == 0).count() > 0), (553, true));
    assert!(body.ends_with(b"\r\n--7a9cbec02ceef655--\r\n"));
    allow_is_told(stage);
}

fn unreason(_: &Stage, message: Option<&Message>) {
    assert_eq!(read(message).status(), 200);
    assert_eq!(read(message).reason(), "= 2**3 * 5**2 но сто девяносто девять - простое");
}

fn noreason(_: &Stage, message: Option<&Message>) {
    assert_eq!((read(message).status(), read(message).reason()), (100, ""));
}

fn escruri(stage: &Stage, _: Option<&Message>) {
    let invite = stage.forwarded().unwrap();
    assert_eq!(invite.header(&HeaderName::Route), None);
    assert!(!invite.request_uri().contains('?'), "{}", invite.request_uri());
}

fn badaspec(_: &Stage, message: Option<&Message>) {
    assert_eq!(read(message).to().unwrap().uri, "sip:t.watson@example.org");
}

fn mismatch02(stage: &Stage, _: Option<&Message>) {
    allow_is_told(stage);
}

fn bext01(stage: &Stage, _: Option<&Message>) {
    let unsupported = value(&stage.answer(), "Unsupported");
    assert_eq!(unsupported.as_deref(), Some("nothingSupportsThis, nothingSupportsThisEither"));
}

fn invut(stage: &Stage, _: Option<&Message>) {
    assert_eq!(value(&stage.answer(), "Accept").as_deref(), Some("application/sdp"));
}

fn regaut01(stage: &Stage, _: Option<&Message>) {
    assert!(value(&stage.answer(), "WWW-Authenticate").unwrap().starts_with("Digest "));
}

fn cparam01(stage: &Stage, _: Option<&Message>) {
    let contact = value(&stage.answer(), "Contact").unwrap();
    assert!(contact.starts_with("<sip:+19725552222@gw1.example.net>;"), "{contact}");
}

fn cparam02(stage: &Stage, _: Option<&Message>) {
    let contact = value(&stage.answer(), "Contact").unwrap();
    assert!(contact.starts_with("<sip:+19725552222@gw1.example.net;unknownparam>;"), "{contact}");
}

fn regescrt(stage: &Stage, _: Option<&Message>) {
    let contact = value(&stage.answer(), "Contact").unwrap();
    assert!(contact.starts_with("<sip:user@example.com?Route=%3Csip:sip.example.com%3E>"), "{contact}");
}

fn inv2543(stage: &Stage, message: Option<&Message>) {
    assert_eq!((read(message).from_tag(), read(message).top_via().branch()), ("", ""));
    assert_eq!(read(message).body().len(), 105, "without a length the rest is the body");
    assert!(stage.forwarded().unwrap().request_uri().starts_with("sip:UserB@"));
}

fn ipv6_good(stage: &Stage, message: Option<&Message>) {
    assert_eq!(Uri::parse(read(message).request_uri()).unwrap().socket_addr(), "[2001:db8::10]:5060".parse().ok());
    assert!(value(&stage.answer(), "Contact").unwrap().starts_with("<sip:caller@[2001:db8::1]>"));
    assert_eq!(read(message).top_via().host, "[2001:db8::9:1]");
}

fn port_ambiguous(_: &Stage, message: Option<&Message>) {
    let uri = Uri::parse(read(message).request_uri()).unwrap();
    assert_eq!((uri.host(), uri.port()), ("[2001:db8::10:5070]", None));
}

fn port_unambiguous(_: &Stage, message: Option<&Message>) {
    let uri = Uri::parse(read(message).request_uri()).unwrap();
    assert_eq!((uri.host(), uri.port()), ("[2001:db8::10]", Some(5070)));
}

/// Where the caller wants its audio.
fn rtp(message: Option<&Message>) -> Option<SocketAddr> {
    Sdp::parse(&read(message).body()).unwrap().rtp()
}

fn ipv6_in_sdp(_: &Stage, message: Option<&Message>) {
    assert_eq!(rtp(message), "[2001:db8::20]:6000".parse().ok());
}

fn mult_ip_in_sdp(_: &Stage, message: Option<&Message>) {
    assert_eq!(rtp(message), "192.0.2.1:22334".parse().ok());
}

fn ipv4_mapped(_: &Stage, message: Option<&Message>) {
    assert_eq!((read(message).top_via().host, read(message).top_via().port), ("[::ffff:192.0.2.10]", Some(19823)));
    assert_eq!(rtp(message).unwrap().ip().to_canonical().to_string(), "192.0.2.2");
}
