//! What an agent says of itself once: its card.

use crate::wire::{AgentId, Subject};

/// Longest kind, capability, or name in the metadata: 255 bytes.
pub const CARD_NAME_BYTES_MAX: usize = 255;

/// Most capabilities of one card: 64.
pub const CARD_CAPABILITIES_MAX: usize = 64;

/// Most pairs in the metadata of one card: 64.
pub const CARD_METADATA_MAX: usize = 64;

/// Longest value in the metadata: 4 KiB.
pub const CARD_VALUE_BYTES_MAX: usize = 4 * 1024;

/// Most bytes of one card, all texts together: 16 KiB, so that any change fits into one message.
pub const CARD_BYTES_MAX: usize = 16 * 1024;

/// An agent's card: who it is, what it can do, and where it takes requests. What changes while it runs is not here but in
/// [`Axes`](super::Axes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentCard {
    pub(super) id: AgentId,
    pub(super) kind: Box<str>,
    pub(super) subject: Subject,
    pub(super) capabilities: Vec<Box<str>>,
    pub(super) limits: AgentLimits,
    pub(super) metadata: Vec<(Box<str>, Box<str>)>,
}

/// How much an agent takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentLimits {
    /// Requests that it works on at a time; not said by default.
    pub in_flight_max: Option<u32>,
    /// Bytes of the largest request that it takes; not said by default.
    pub payload_bytes_max: Option<u64>,
}

/// Why a card cannot be announced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CardError {
    /// A kind, a capability or a name in the metadata is empty, too long, or has control characters.
    #[error("{text:?} is no name: 1 to {CARD_NAME_BYTES_MAX} bytes without control characters")]
    Name {
        /// The text.
        text: Box<str>,
    },
    /// There are more capabilities than may be.
    #[error("{count} capabilities are more than {CARD_CAPABILITIES_MAX}")]
    Capabilities {
        /// How many.
        count: usize,
    },
    /// There are more pairs of metadata than may be, or one is too long.
    #[error(
        "metadata of {count} pairs, the longest value {bytes} bytes: more than {CARD_METADATA_MAX} pairs or {CARD_VALUE_BYTES_MAX} bytes"
    )]
    Metadata {
        /// How many pairs.
        count: usize,
        /// Bytes of the longest value.
        bytes: usize,
    },
    /// All of it together is too large.
    #[error("card of {bytes} bytes is larger than {CARD_BYTES_MAX}")]
    TooLarge {
        /// Bytes of all texts.
        bytes: usize,
    },
}

impl AgentCard {
    /// A card of kind `agent` without capabilities. Requests go to `agent.<id>`, the id as [one token](Subject::escape_token).
    pub fn new(id: AgentId) -> Self {
        let subject = format!("agent.{}", Subject::escape_token(id.as_str()));
        let subject = Subject::new(&subject).expect("a word and an escaped token are a subject");
        let (capabilities, metadata) = (Vec::new(), Vec::new());
        Self { id, kind: "agent".into(), subject, capabilities, limits: AgentLimits::default(), metadata }
    }

    /// Says what kind of agent it is; kinds are what figures are counted by.
    #[must_use]
    pub fn kind(mut self, kind: &str) -> Self {
        self.kind = kind.into();
        self
    }

    /// Says where it takes requests.
    #[must_use]
    pub fn subject(mut self, subject: Subject) -> Self {
        self.subject = subject;
        self
    }

    /// Adds something that it can do, as `tool:kubectl`. Saying it twice is saying it once.
    #[must_use]
    pub fn capability(mut self, capability: &str) -> Self {
        if !self.has(capability) {
            self.capabilities.push(capability.into());
        }
        self
    }

    /// Says how much it takes.
    #[must_use]
    pub fn limits(mut self, limits: AgentLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Adds a pair to the metadata; a name that is there already gets the new value.
    #[must_use]
    pub fn metadata(mut self, name: &str, value: &str) -> Self {
        match self.metadata.iter_mut().find(|(known, _)| **known == *name) {
            Some((_, known)) => *known = value.into(),
            None => self.metadata.push((name.into(), value.into())),
        }
        self
    }

    /// Who it is.
    pub fn id(&self) -> &AgentId {
        &self.id
    }

    /// What kind of agent it is.
    pub fn kind_of(&self) -> &str {
        &self.kind
    }

    /// Where it takes requests.
    pub fn requests_at(&self) -> &Subject {
        &self.subject
    }

    /// Whether it can do this.
    pub fn has(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|known| **known == *capability)
    }

    /// All that it can do, in the order in which it said so.
    pub fn capabilities(&self) -> impl Iterator<Item = &str> {
        self.capabilities.iter().map(|capability| &**capability)
    }

    /// How much it takes.
    pub fn limits_of(&self) -> AgentLimits {
        self.limits
    }

    /// Names and values, in the order in which they were said.
    pub fn metadata_of(&self) -> impl Iterator<Item = (&str, &str)> {
        self.metadata.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Bytes of all its texts.
    pub(super) fn len_bytes(&self) -> usize {
        let capabilities: usize = self.capabilities.iter().map(|capability| capability.len()).sum();
        let metadata: usize = self.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.id.as_str().len() + self.kind.len() + self.subject.as_str().len() + capabilities + metadata
    }

    /// Whether others can be told of it.
    pub(super) fn check(&self) -> Result<(), CardError> {
        let names = self.capabilities.iter().chain(self.metadata.iter().map(|(name, _)| name)).chain([&self.kind]);
        for name in names {
            if name.is_empty() || name.len() > CARD_NAME_BYTES_MAX || name.chars().any(char::is_control) {
                return Err(CardError::Name { text: name.clone() });
            }
        }
        let (count, longest) = (self.metadata.len(), self.metadata.iter().map(|(_, value)| value.len()).max().unwrap_or(0));
        if self.capabilities.len() > CARD_CAPABILITIES_MAX {
            return Err(CardError::Capabilities { count: self.capabilities.len() });
        }
        if count > CARD_METADATA_MAX || longest > CARD_VALUE_BYTES_MAX {
            return Err(CardError::Metadata { count, bytes: longest });
        }
        let bytes = self.len_bytes();
        if bytes > CARD_BYTES_MAX { Err(CardError::TooLarge { bytes }) } else { Ok(()) }
    }
}
