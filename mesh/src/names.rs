//! Names: namespaces, keys and prefixes of keys.
//!
//! A Redis key of ours is `my:{<namespace>}:<kind>:<key>`. A namespace has neither `{`, `}` nor `:` in it and is not empty. Therefore what stands
//! in braces is the whole namespace, which is the hash tag that puts all its keys into one slot; and the first two colons behind the brace end the
//! kind, whatever the key contains. Two different names never make one Redis key. On disk the parts are separated by a zero byte, which is in
//! neither.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::limits;

/// Whose memory it is: a fleet, an agent, a purpose. All keys of one namespace lie together (in one slot of a Redis Cluster), so that several of
/// them can be worked on at once.
///
/// 1 to 128 bytes of `A-Z a-z 0-9 . _ -`. Dots are for people: `fleet.agent` is not part of `fleet`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(Arc<str>);

/// The name of an entry or a window in its namespace. An entry and a window may have the same key and do not meet.
///
/// 1 to 512 bytes of UTF-8 without control characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<str>);

/// The beginning of keys; may be empty, which is all of them. Otherwise as a [`Key`].
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Prefix(Arc<str>);

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing is no name.
    #[error("a {what} is not empty")]
    Empty {
        /// `namespace` or `key`.
        what: &'static str,
    },
    /// It is too long.
    #[error("{what} of {size} bytes is longer than {max}")]
    TooLong {
        /// `namespace`, `key` or `prefix`.
        what: &'static str,
        /// Bytes that it has.
        size: usize,
        /// Bytes that it may have.
        max: usize,
    },
    /// A character that must not be in it.
    #[error("{what} with {character:?} at byte {at}")]
    Character {
        /// `namespace`, `key` or `prefix`.
        what: &'static str,
        /// The first that is wrong.
        character: char,
        /// Where it stands.
        at: usize,
    },
}

impl NameError {
    /// Whether the same text may be a name later: never.
    pub fn is_retryable(&self) -> bool {
        false
    }

    /// Whether something happened all the same: never.
    pub fn may_have_happened(&self) -> bool {
        false
    }
}

impl Namespace {
    /// Takes a text that is one.
    ///
    /// # Errors
    /// When it is empty, longer than 128 bytes, or has another character than `A-Z a-z 0-9 . _ -`.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let is_fine = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-');
        checked("namespace", text, limits::NAMESPACE_BYTES_MAX, is_fine).map(Self)
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Key {
    /// Takes a text that is one.
    ///
    /// # Errors
    /// When it is empty, longer than 512 bytes, or has a control character.
    pub fn new(text: &str) -> Result<Self, NameError> {
        checked("key", text, limits::KEY_BYTES_MAX, |character| !character.is_control()).map(Self)
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Prefix {
    /// Takes a text with which keys may begin.
    ///
    /// # Errors
    /// When it is longer than 512 bytes, or has a control character.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        checked("prefix", text, limits::KEY_BYTES_MAX, |character| !character.is_control()).map(Self)
    }

    /// The beginning of every key.
    pub fn all() -> Self {
        Self::default()
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a key begins so.
    pub fn matches(&self, key: &Key) -> bool {
        key.0.starts_with(&*self.0)
    }
}

fn checked(what: &'static str, text: &str, max: usize, is_fine: impl Fn(char) -> bool) -> Result<Arc<str>, NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { what });
    }
    if text.len() > max {
        return Err(NameError::TooLong { what, size: text.len(), max });
    }
    match text.char_indices().find(|(_, character)| !is_fine(*character)) {
        Some((at, character)) => Err(NameError::Character { what, character, at }),
        None => Ok(text.into()),
    }
}

macro_rules! text {
    ($($name:ident)+) => {
        $(
            impl fmt::Debug for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    fmt::Debug::fmt(&self.0, f)
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(&self.0)
                }
            }

            impl FromStr for $name {
                type Err = NameError;

                fn from_str(text: &str) -> Result<Self, NameError> {
                    Self::new(text)
                }
            }
        )+
    };
}

text!(Namespace Key Prefix);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_cannot_break_out_of_its_braces() {
        for text in ["a}b", "a{b", "a:b", "a b", "a/b", "ä", "a\0"] {
            assert!(matches!(Namespace::new(text), Err(NameError::Character { .. })), "{text:?}");
        }
        assert!(Namespace::new("fleet-1.agent_2").is_ok());
    }

    #[test]
    fn names_have_a_shortest_and_a_longest_length() {
        assert!(matches!(Namespace::new(""), Err(NameError::Empty { .. })));
        assert!(matches!(Key::new(""), Err(NameError::Empty { .. })));
        assert!(Prefix::new("").is_ok());
        assert!(Key::new(&"k".repeat(512)).is_ok());
        assert_eq!(Key::new(&"k".repeat(513)), Err(NameError::TooLong { what: "key", size: 513, max: 512 }));
        assert!(matches!(Namespace::new(&"n".repeat(129)), Err(NameError::TooLong { .. })));
    }

    #[test]
    fn a_key_is_text_without_control_characters() {
        assert!(Key::new("lock:/src/a b/{ü}*[?]").is_ok());
        for text in ["a\nb", "a\0b", "\u{7f}", "\u{85}"] {
            assert!(matches!(Key::new(text), Err(NameError::Character { .. })), "{text:?}");
        }
    }

    #[test]
    fn a_prefix_matches_by_bytes() {
        let key = Key::new("a*b").unwrap();
        assert!(Prefix::all().matches(&key));
        assert!(Prefix::new("a*").unwrap().matches(&key));
        assert!(!Prefix::new("*").unwrap().matches(&key));
    }
}
