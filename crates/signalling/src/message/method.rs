//! Methods (RFC 3261 §7.1 and the registry); unknown ones are kept so that they can be answered 405 or 501.

/// A method.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Method {
    Invite,
    Ack,
    Bye,
    Cancel,
    Options,
    Register,
    Prack,
    Update,
    Info,
    Refer,
    Notify,
    Subscribe,
    Message,
    Publish,
    /// A token that is none of the above, as written (methods are case-sensitive).
    Other(String),
}

impl Method {
    /// As on the wire.
    pub fn as_str(&self) -> &str {
        todo!()
    }
}
