//! Why a name is refused.

use thiserror::Error;

/// Why a string is not a subject, filter or queue group.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SubjectError {
    /// Nothing was given.
    #[error("empty name")]
    Empty,
    /// Longer than the limit.
    #[error("name of {len} bytes is longer than {max}")]
    TooLong {
        /// Bytes given.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A dot at the start, at the end, or after another.
    #[error("{name:?} has an empty token at byte {offset}")]
    EmptyToken {
        /// What was given.
        name: Box<str>,
        /// Where the token should start.
        offset: usize,
    },
    /// White space or a control character.
    #[error("{name:?} has white space or a control character at byte {offset}")]
    Illegal {
        /// What was given.
        name: Box<str>,
        /// Where the character is.
        offset: usize,
    },
    /// A wildcard in a subject that must be concrete.
    #[error("{name:?} has a wildcard at byte {offset}, and a message needs a concrete subject")]
    Wildcard {
        /// What was given.
        name: Box<str>,
        /// Where the wildcard is.
        offset: usize,
    },
    /// `>` before the last token of a filter.
    #[error("{name:?} has `>` at byte {offset}, before its last token")]
    TailNotLast {
        /// What was given.
        name: Box<str>,
        /// Where the wildcard is.
        offset: usize,
    },
    /// Bytes from the wire that are not UTF-8.
    #[error("name is not UTF-8 from byte {offset} on")]
    NotUtf8 {
        /// First byte that is not.
        offset: usize,
    },
}
