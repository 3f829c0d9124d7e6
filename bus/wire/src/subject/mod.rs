//! Names that messages are published to, and patterns that subscriptions match them with. The rules are NATS's.
//!
//! A subject is a run of tokens separated by dots: `a.b.c`. In a filter, the token `*` stands for any one token, and `>`
//! as the last token for one or more. Inside a longer token (`a*`) both are ordinary characters.

mod error;
mod filter;
mod token;

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

pub use error::SubjectError;
pub use filter::Filter;

use crate::limits::{QUEUE_GROUP_BYTES_MAX, SUBJECT_BYTES_MAX};

/// A concrete subject, without wildcards: 1 to 255 bytes. Cloning counts a reference.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(Arc<str>);

/// Name of a set of subscribers of which one gets each message. Cloning counts a reference.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueGroup(Arc<str>);

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
                    return Err(SubjectError::EmptyToken { name: name.into(), offset });
                }
                "*" | ">" => {
                    return Err(SubjectError::Wildcard { name: name.into(), offset });
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
    /// `%`. What would exceed [`TOKEN_BYTES_MAX`](crate::limits::TOKEN_BYTES_MAX) is cut and ends in `%~` and a 128-bit hash of the whole name: there,
    /// two names made to collide could share a token.
    ///
    /// ```
    /// use myelin_wire::Subject;
    /// assert_eq!(Subject::escape_token("TTS-Agent"), "TTS-Agent");
    /// assert_eq!(Subject::escape_token("a.b *"), "a%2Eb%20%2A");
    /// ```
    pub fn escape_token(name: &str) -> String {
        token::escape(name)
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

fn check_characters(name: &str, max: usize) -> Result<(), SubjectError> {
    if name.is_empty() {
        return Err(SubjectError::Empty);
    }
    if name.len() > max {
        return Err(SubjectError::TooLong { len: name.len(), max });
    }
    // Bytes suffice: in UTF-8 none of these occurs inside a longer character.
    match name.bytes().position(|byte| byte <= b' ' || byte == 0x7f) {
        Some(offset) => Err(SubjectError::Illegal { name: name.into(), offset }),
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
    str::from_utf8(name).map_err(|error| SubjectError::NotUtf8 { offset: error.valid_up_to() })
}
