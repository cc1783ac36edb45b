//! Header names: the known ones as an enum, any other in lower case (RFC 3261 §7.3, compact forms §7.3.3).

/// Number that a header line's name has in the index; [`OTHER`] for names not known here.
pub(super) type NameId = u8;

/// A name that is not in the table.
pub(super) const OTHER: NameId = u8::MAX;

macro_rules! names {
    ($($variant:ident $long:literal $compact:literal)*) => {
        /// A known header name, or any other (compared without case; compact forms included).
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum HeaderName {
            $($variant,)*
            /// Lower case.
            Other(String),
        }

        #[allow(clippy::upper_case_acronyms)]
        enum Number { $($variant,)* End }

        const LONG: [&str; Number::End as usize] = [$($long,)*];
        const COMPACT: [u8; Number::End as usize] = [$($compact,)*];

        impl HeaderName {
            /// Number in the table; a known name hidden in `Other` is found too.
            pub(super) fn id(&self) -> NameId {
                match self {
                    $(Self::$variant => Number::$variant as NameId,)*
                    Self::Other(name) => id_of(name.as_bytes()),
                }
            }
            fn known(id: NameId) -> Option<Self> {
                $(if id == Number::$variant as NameId { return Some(Self::$variant); })*
                None
            }
        }

        /// Numbers that the scanner looks for.
        #[allow(missing_docs, non_upper_case_globals, dead_code)]
        pub(super) mod id {
            $(pub(in super::super) const $variant: super::NameId = super::Number::$variant as super::NameId;)*
        }
    };
}

names! {
    Via "Via" b'v'
    From "From" b'f'
    To "To" b't'
    CallId "Call-ID" b'i'
    CSeq "CSeq" 0
    Contact "Contact" b'm'
    ContentLength "Content-Length" b'l'
    ContentType "Content-Type" b'c'
    MaxForwards "Max-Forwards" 0
    Route "Route" 0
    RecordRoute "Record-Route" 0
    Expires "Expires" 0
    MinExpires "Min-Expires" 0
    Require "Require" 0
    ProxyRequire "Proxy-Require" 0
    Supported "Supported" b'k'
    Unsupported "Unsupported" 0
    Allow "Allow" 0
    Accept "Accept" 0
    AcceptEncoding "Accept-Encoding" 0
    ContentEncoding "Content-Encoding" b'e'
    Authorization "Authorization" 0
    ProxyAuthorization "Proxy-Authorization" 0
    WwwAuthenticate "WWW-Authenticate" 0
    ProxyAuthenticate "Proxy-Authenticate" 0
    Reason "Reason" 0
    ReferTo "Refer-To" b'r'
    ReferredBy "Referred-By" b'b'
    Replaces "Replaces" 0
    Event "Event" b'o'
    SubscriptionState "Subscription-State" 0
    PAssertedIdentity "P-Asserted-Identity" 0
    Privacy "Privacy" 0
    UserAgent "User-Agent" 0
    Server "Server" 0
    RetryAfter "Retry-After" 0
    Warning "Warning" 0
    RSeq "RSeq" 0
    RAck "RAck" 0
    Path "Path" 0
    SessionExpires "Session-Expires" b'x'
    MinSe "Min-SE" 0
    Timestamp "Timestamp" 0
}

/// Compact forms of headers that signalling itself does not read (IANA registry of SIP header fields).
const OTHER_COMPACT: [(u8, &str); 7] = [
    (b's', "subject"),
    (b'u', "allow-events"),
    (b'a', "accept-contact"),
    (b'j', "reject-contact"),
    (b'd', "request-disposition"),
    (b'y', "identity"),
    (b'n', "identity-info"),
];

impl HeaderName {
    /// From what stands in a message or in the configuration.
    pub fn new(text: &str) -> Self {
        let text = text.trim();
        Self::known(id_of(text.as_bytes())).unwrap_or_else(|| {
            Self::Other(long_form(text.as_bytes()).map_or_else(|| text.to_ascii_lowercase(), str::to_owned))
        })
    }
    /// Long form as written by us (`Call-ID`).
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(name) => name,
            known => LONG.get(usize::from(known.id())).copied().unwrap_or_default(),
        }
    }
    /// Number and long form.
    #[inline]
    pub(super) fn id_and_text(&self) -> (NameId, &str) {
        let id = self.id();
        match self {
            Self::Other(name) => (id, name),
            _ => (id, LONG.get(usize::from(id)).copied().unwrap_or_default()),
        }
    }
}

/// Are these the same name, given that neither is in the table?
pub(super) fn same_other(written: &[u8], wanted: &[u8]) -> bool {
    let long = |name| long_form(name).map_or(name, str::as_bytes);
    long(written).eq_ignore_ascii_case(long(wanted))
}

fn long_form(name: &[u8]) -> Option<&'static str> {
    let [letter] = name else { return None };
    OTHER_COMPACT.iter().find(|(compact, _)| *compact == letter.to_ascii_lowercase()).map(|(_, long)| *long)
}

/// Number of a name as written, long or compact.
pub(super) fn id_of(name: &[u8]) -> NameId {
    if let [letter] = name {
        return BY_LETTER.get(usize::from(letter.to_ascii_lowercase())).copied().unwrap_or(OTHER);
    }
    let Some(&id) = place_of(name).and_then(|place| BY_PLACE.get(place)) else { return OTHER };
    match LONG.get(usize::from(id)) {
        Some(long) if same_bytes(long.as_bytes(), name) || long.as_bytes().eq_ignore_ascii_case(name) => id,
        _ => OTHER,
    }
}

/// Equality by overlapping words from both ends: names are too short for a call to pay.
fn same_bytes(one: &[u8], other: &[u8]) -> bool {
    fn ends<const N: usize>(one: &[u8], other: &[u8]) -> bool {
        one.first_chunk::<N>() == other.first_chunk() && one.last_chunk::<N>() == other.last_chunk()
    }
    one.len() == other.len()
        && match one.len() {
            2..=4 => ends::<2>(one, other),
            5..=8 => ends::<4>(one, other),
            9..=16 => ends::<8>(one, other),
            _ => one == other,
        }
}

const PLACES: usize = 128;
/// Numbers by [`place_of`] the name: no two known names share one, so that one comparison decides.
static BY_PLACE: [NameId; PLACES] = by_place();
static BY_LETTER: [NameId; 128] = by_letter();

/// By length, first and last letter; the factors were found by trying.
const fn place_of(name: &[u8]) -> Option<usize> {
    let ([first, ..], [.., last]) = (name, name) else { return None };
    let (first, last) = (first.to_ascii_lowercase() as usize, last.to_ascii_lowercase() as usize);
    Some((22 * first + 5 * last + name.len()) % PLACES)
}

const fn by_place() -> [NameId; PLACES] {
    let mut table = [OTHER; PLACES];
    let mut id = 0;
    while id < LONG.len() {
        let Some(place) = place_of(LONG[id].as_bytes()) else { panic!("a name without letters") };
        assert!(table[place] == OTHER, "two names in one place: place_of needs other factors");
        table[place] = id as NameId;
        id += 1;
    }
    table
}

const fn by_letter() -> [NameId; 128] {
    let mut table = [OTHER; 128];
    let mut id = 0;
    while id < COMPACT.len() {
        if COMPACT[id] != 0 {
            table[COMPACT[id] as usize] = id as NameId;
        }
        id += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_in_compact_form() {
        assert_eq!(HeaderName::new("cAlL-iD"), HeaderName::CallId);
        assert_eq!(HeaderName::new("i"), HeaderName::CallId);
        assert_eq!(HeaderName::new("V"), HeaderName::Via);
        assert_eq!(HeaderName::new("r"), HeaderName::ReferTo);
        assert_eq!(HeaderName::new("s"), HeaderName::Other("subject".into()));
        assert_eq!(HeaderName::new("X-Agent"), HeaderName::Other("x-agent".into()));
        assert_eq!(HeaderName::Other("From".into()).id(), id::From);
    }

    #[test]
    fn a_name_with_one_other_byte_is_another() {
        for long in LONG {
            for place in 0..long.len() {
                let mut name = long.as_bytes().to_vec();
                name[place] = b'!';
                assert_eq!(id_of(&name), OTHER, "{long} at {place}");
            }
        }
    }

    #[test]
    fn every_known_name_finds_itself() {
        for long in LONG {
            let name = HeaderName::new(long);
            assert!(!matches!(name, HeaderName::Other(_)), "{long}");
            assert_eq!(name.as_str(), long);
        }
    }
}
