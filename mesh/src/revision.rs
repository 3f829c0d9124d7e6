//! Revisions.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which write an entry is from. Each write of the mesh has one of its own, never used before and never again, in no order.
///
/// It is not a counter: a counter is handed out twice when a replica takes over that had not seen the last writes, and a compare-and-set would then
/// take one content for another. Text form: 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Revision([u8; Self::BYTES]);

/// Makes revisions for one handle.
#[derive(Debug)]
pub(crate) struct Revisions {
    /// Random, so that those of different processes do not meet.
    first: u128,
    count: AtomicU64,
}

/// A text is not 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a revision is 32 hexadecimal digits")]
pub struct RevisionParseError;

/// Odd, so that multiplying by it modulo 2^128 takes no two counts to one; large, so that nobody reads an order out of revisions.
const STEP: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

impl Revision {
    pub(crate) const BYTES: usize = 16;

    pub(crate) const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl Revisions {
    pub(crate) fn new() -> Self {
        // Where the system has no randomness, the generator that is seeded from addresses and the clock has to do: a token is no secret.
        let mut seed = [0; 16];
        let first = match getrandom::fill(&mut seed) {
            Ok(()) => u128::from_be_bytes(seed),
            Err(_) => fastrand::u128(..),
        };
        Self { first, count: AtomicU64::new(0) }
    }

    /// One that nobody had before.
    pub(crate) fn next(&self) -> Revision {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        Revision(self.first.wrapping_add(u128::from(count).wrapping_mul(STEP)).to_be_bytes())
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Revision {
    type Err = RevisionParseError;

    fn from_str(text: &str) -> Result<Self, RevisionParseError> {
        if text.len() != 2 * Self::BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(RevisionParseError);
        }
        u128::from_str_radix(text, 16).map(|token| Self(token.to_be_bytes())).map_err(|_| RevisionParseError)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_revision_comes_twice() {
        let (first, second) = (Revisions::new(), Revisions::new());
        let all: HashSet<_> = (0..10_000).flat_map(|_| [first.next(), second.next()]).collect();
        assert_eq!(all.len(), 20_000);
    }

    #[test]
    fn the_text_of_a_revision_is_read_again() {
        let revision = Revision::from_bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        assert_eq!(revision.to_string(), "000102030405060708090a0b0c0d0eff");
        assert_eq!(revision.to_string().parse(), Ok(revision));
        for text in ["", "00", "000102030405060708090a0b0c0d0efg", "+00102030405060708090a0b0c0d0eff"] {
            assert_eq!(text.parse::<Revision>(), Err(RevisionParseError), "{text:?}");
        }
    }
}
