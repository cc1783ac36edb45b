//! Digest authentication (RFC 7616, RFC 8760): as server for phones, as client for crate `phone`.
