//! Numbers in log lines: all but the last three digits are masked.

use std::fmt::{self, Write};

/// Shows a number or SIP user with all but its last three characters masked.
#[derive(Debug)]
pub(crate) struct Masked<'a>(pub(crate) &'a str);

impl fmt::Display for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown_from = self.0.chars().count().saturating_sub(3);
        for (i, c) in self.0.chars().take(64).enumerate() {
            f.write_char(if i < shown_from && c != '+' { '*' } else { c })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_three_are_shown() {
        assert_eq!(Masked("+4755512345").to_string(), "+*******345");
        assert_eq!(Masked("12").to_string(), "12");
        assert_eq!(Masked("").to_string(), "");
    }
}
