//! A pair of legs: what one leg's event means for the other (RFC 7092).
