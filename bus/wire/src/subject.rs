//! Names that messages are published to, and patterns that subscriptions match them with. The rules are NATS's.
//!
//! A subject is a run of tokens separated by dots: `a.b.c`. In a filter, the token `*` stands for any one token, and `>`
//! as the last token for one or more. Inside a longer token (`a*`) both are ordinary characters.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use thiserror::Error;

use crate::limits::{QUEUE_GROUP_BYTES_MAX, SUBJECT_BYTES_MAX, TOKEN_BYTES_MAX};

/// A concrete subject, without wildcards: 1 to 255 bytes. Cloning counts a reference.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(Arc<str>);

/// A pattern of subjects, with or without wildcards: 1 to 255 bytes. Cloning counts a reference.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Filter(Arc<str>);

/// Name of a set of subscribers of which one gets each message. Cloning counts a reference.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueGroup(Arc<str>);

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

impl Subject {
    /// Checks and takes a concrete subject.
    ///
    /// # Errors
    /// See [`SubjectError`]; wildcards are refused.
    pub fn new(name: &str) -> Result<Self, SubjectError> {
        check_characters(name, SUBJECT_BYTES_MAX)?;
        for (offset, token) in tokens_with_offsets(name) {
            match token {
                "" => {
                    return Err(SubjectError::EmptyToken {
                        name: name.into(),
                        offset,
                    });
                }
                "*" | ">" => {
                    return Err(SubjectError::Wildcard {
                        name: name.into(),
                        offset,
                    });
                }
                _ => {}
            }
        }
        Ok(Self(name.into()))
    }

    /// As [`Subject::new`], for bytes from the wire.
    ///
    /// # Errors
    /// See [`SubjectError`].
    pub fn from_utf8(name: &[u8]) -> Result<Self, SubjectError> {
        Self::new(utf8(name)?)
    }

    /// Turns any name into one legal token that is stable and belongs to that name alone.
    ///
    /// ASCII letters, digits, `-`, `_` and `:` stay; every other byte becomes `%` and two hex digits; the empty name becomes
    /// `%`. What would exceed [`TOKEN_BYTES_MAX`] is cut and ends in `%~` and a 128-bit hash of the whole name: there,
    /// two names made to collide could share a token.
    ///
    /// ```
    /// use myelin_wire::Subject;
    /// assert_eq!(Subject::escape_token("TTS-Agent"), "TTS-Agent");
    /// assert_eq!(Subject::escape_token("a.b *"), "a%2Eb%20%2A");
    /// ```
    pub fn escape_token(name: &str) -> String {
        if name.is_empty() {
            return "%".into();
        }
        let mut token = String::with_capacity(name.len());
        // Bounds the work on a long name; three is the most that one byte can become.
        let mut keep = 0;
        for byte in name.bytes() {
            push_escaped(&mut token, byte);
            if token.len() <= TOKEN_BYTES_MAX - HASH_SUFFIX_LEN {
                keep = token.len();
            }
            if token.len() > TOKEN_BYTES_MAX {
                token.truncate(keep);
                token.push_str(&format!("%~{:032x}", fnv1a_128(name.as_bytes())));
                return token;
            }
        }
        token
    }

    /// The subject as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its tokens, at least one, none empty.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }
}

impl Filter {
    /// Checks and takes a filter.
    ///
    /// # Errors
    /// See [`SubjectError`].
    pub fn new(name: &str) -> Result<Self, SubjectError> {
        check_characters(name, SUBJECT_BYTES_MAX)?;
        for (offset, token) in tokens_with_offsets(name) {
            if token.is_empty() {
                return Err(SubjectError::EmptyToken {
                    name: name.into(),
                    offset,
                });
            }
            if token == ">" && offset + 1 < name.len() {
                return Err(SubjectError::TailNotLast {
                    name: name.into(),
                    offset,
                });
            }
        }
        Ok(Self(name.into()))
    }

    /// As [`Filter::new`], for bytes from the wire.
    ///
    /// # Errors
    /// See [`SubjectError`].
    pub fn from_utf8(name: &[u8]) -> Result<Self, SubjectError> {
        Self::new(utf8(name)?)
    }

    /// Whether a message published to `subject` belongs to this filter. Allocates nothing.
    ///
    /// ```
    /// use myelin_wire::{Filter, Subject};
    /// # fn main() -> Result<(), myelin_wire::SubjectError> {
    /// let filter = Filter::new("zmq.*.>")?;
    /// assert!(filter.matches(&Subject::new("zmq.topic.a.b")?));
    /// assert!(!filter.matches(&Subject::new("zmq.topic")?));
    /// # Ok(())
    /// # }
    /// ```
    pub fn matches(&self, subject: &Subject) -> bool {
        let mut subject = subject.tokens();
        for pattern in self.tokens() {
            let Some(token) = subject.next() else {
                return false;
            };
            match pattern {
                ">" => return true,
                "*" => {}
                literal if literal == token => {}
                _ => return false,
            }
        }
        subject.next().is_none()
    }

    /// The one subject that this filter matches, if it has no wildcard.
    pub fn as_subject(&self) -> Option<Subject> {
        let literal = self.tokens().all(|token| token != "*" && token != ">");
        literal.then(|| Subject(Arc::clone(&self.0)))
    }

    /// The filter as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its tokens, wildcards included; at least one, none empty.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }
}

/// Every subject is the filter that matches just itself.
impl From<Subject> for Filter {
    fn from(subject: Subject) -> Self {
        Self(subject.0)
    }
}

impl QueueGroup {
    /// Checks and takes a name: 1 to 255 bytes without white space or control characters.
    ///
    /// # Errors
    /// See [`SubjectError`].
    pub fn new(name: &str) -> Result<Self, SubjectError> {
        check_characters(name, QUEUE_GROUP_BYTES_MAX)?;
        Ok(Self(name.into()))
    }

    /// As [`QueueGroup::new`], for bytes from the wire.
    ///
    /// # Errors
    /// See [`SubjectError`].
    pub fn from_utf8(name: &[u8]) -> Result<Self, SubjectError> {
        Self::new(utf8(name)?)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the three names have in common, so that each can be parsed, printed and looked up by `&str`.
macro_rules! name {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = SubjectError;

            fn from_str(name: &str) -> Result<Self, SubjectError> {
                Self::new(name)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = SubjectError;

            fn try_from(name: &str) -> Result<Self, SubjectError> {
                Self::new(name)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(Subject);
name!(Filter);
name!(QueueGroup);

/// `%~` and 32 hex digits.
const HASH_SUFFIX_LEN: usize = 34;

fn check_characters(name: &str, max: usize) -> Result<(), SubjectError> {
    if name.is_empty() {
        return Err(SubjectError::Empty);
    }
    if name.len() > max {
        return Err(SubjectError::TooLong {
            len: name.len(),
            max,
        });
    }
    // Bytes suffice: in UTF-8 none of these occurs inside a longer character.
    match name.bytes().position(|byte| byte <= b' ' || byte == 0x7f) {
        Some(offset) => Err(SubjectError::Illegal {
            name: name.into(),
            offset,
        }),
        None => Ok(()),
    }
}

fn tokens_with_offsets(name: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut next = 0;
    name.split('.').map(move |token| {
        let offset = next;
        next += token.len() + 1;
        (offset, token)
    })
}

fn utf8(name: &[u8]) -> Result<&str, SubjectError> {
    str::from_utf8(name).map_err(|error| SubjectError::NotUtf8 {
        offset: error.valid_up_to(),
    })
}

fn push_escaped(token: &mut String, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':') {
        token.push(char::from(byte));
    } else {
        token.push('%');
        token.push(char::from(HEX[usize::from(byte >> 4)]));
        token.push(char::from(HEX[usize::from(byte & 15)]));
    }
}

/// FNV-1a over 128 bits: stable across versions and machines, which `std`'s hasher is not.
fn fnv1a_128(bytes: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(OFFSET, |hash, byte| {
        (hash ^ u128::from(*byte)).wrapping_mul(PRIME)
    })
}
