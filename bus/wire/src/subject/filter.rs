//! Patterns of subjects.

use std::sync::Arc;

use super::{Subject, SubjectError, check_characters, tokens_with_offsets, utf8};
use crate::limits::SUBJECT_BYTES_MAX;

/// A pattern of subjects, with or without wildcards: 1 to 255 bytes. Cloning counts a reference.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Filter(pub(super) Arc<str>);

impl Filter {
    /// Checks and takes a filter.
    ///
    /// # Errors
    /// See [`SubjectError`].
    pub fn new(name: &str) -> Result<Self, SubjectError> {
        check_characters(name, SUBJECT_BYTES_MAX)?;
        for (offset, token) in tokens_with_offsets(name) {
            if token.is_empty() {
                return Err(SubjectError::EmptyToken { name: name.into(), offset });
            }
            if token == ">" && offset + 1 < name.len() {
                return Err(SubjectError::TailNotLast { name: name.into(), offset });
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
