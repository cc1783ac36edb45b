//! Offer/answer, UPDATE and glare for one leg (RFC 3264, 3311, 6337).
