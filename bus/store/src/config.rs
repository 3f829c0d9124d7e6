//! What a stream and a consumer are asked to do. The same description serves every engine.

use std::time::Duration;

use myelin_wire::{Filter, Subject};

use crate::stream::overlap;

/// Longest name of a stream or consumer, in bytes: it is a token of subjects beside others, and a directory.
pub const NAME_BYTES_MAX: usize = 64;

/// The name of a stream or a consumer: 1 to 64 letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

/// Why something is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no name: 1 to {NAME_BYTES_MAX} letters, digits, \"-\" and \"_\"")]
pub struct NameError {
    name: Box<str>,
}

impl Name {
    /// Checks a name.
    ///
    /// # Errors
    /// When it is empty, too long, or has other characters: it becomes part of subjects and of file names.
    pub fn new(name: &str) -> Result<Self, NameError> {
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_fine) {
            Ok(Self(name.into()))
        } else {
            Err(NameError { name: name.chars().take(NAME_BYTES_MAX + 1).collect() })
        }
    }

    /// A name for any text: other characters become `_`, and one that is too long ends in a number made of all of it. Different texts may get
    /// the same name.
    pub fn sanitized(text: &str) -> Self {
        let legal = |character: char| if character.is_ascii_alphanumeric() || "-_".contains(character) { character } else { '_' };
        let mut name: String = text.chars().map(legal).collect();
        if name.is_empty() {
            name.push('_');
        }
        if name.len() > NAME_BYTES_MAX {
            // Not to be guessed at, only to be the same for the same text at every start.
            let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
            name.truncate(NAME_BYTES_MAX - 9);
            name.push_str(&format!("-{:08x}", hash >> 32));
        }
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// When a stream lets go of a message, apart from its limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Retention {
    /// Not before a limit says so.
    #[default]
    Limits,
    /// When its one consumer is done with it.
    WorkQueue,
    /// When every consumer that wants it is done with it; at once if none does.
    Interest,
}

/// What happens to a message that would exceed a limit of count or bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnFull {
    /// It is refused.
    #[default]
    Reject,
    /// The oldest messages go, which is counted.
    DropOldest,
}

/// What an acknowledged message has survived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// A power cut: it was synced to the disk, together with others that came at the same time.
    #[default]
    Synced,
    /// The end of the process: the system has it and writes it when it likes.
    OsBuffered,
    /// Nothing: it is gone with the process.
    Memory,
}

/// A stream: which subjects it stores, how long, how safely.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamConfig {
    /// Its name.
    pub name: Name,
    /// What it stores: messages on subjects that match one of these. At least one.
    pub subjects: Vec<Filter>,
    /// When messages go; default: when a limit says so.
    pub retention: Retention,
    /// Most messages; default 1,048,576. Each costs about 150 bytes of memory.
    pub messages_max: u64,
    /// Most bytes of stored records; default 1 GiB.
    pub bytes_max: u64,
    /// Most bytes of one message's payload; default: as many as the bus carries.
    pub message_bytes_max: u64,
    /// Oldest message; default: any age.
    pub age_max: Option<Duration>,
    /// What happens to a message beyond these limits; default: it is refused.
    pub on_full: OnFull,
    /// For how long a message id is remembered; default 2 minutes.
    pub dedup_window: Duration,
    /// What an ack means; default: it survives a power cut.
    pub durability: Durability,
    /// Whether messages that expire unread become dead letters; default: they are counted and gone.
    pub dead_letter_expired: bool,
    /// Whether messages that have to go for newer ones, with [`OnFull::DropOldest`], become dead letters of every consumer that has not settled
    /// them; default: they are counted and gone. A publish that makes room then takes as long as these moves.
    pub dead_letter_evicted: bool,
}

/// A consumer: who has read what of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerConfig {
    /// Its name within the stream.
    pub name: Name,
    /// Which messages it gets; default: all.
    pub filter: Option<Filter>,
    /// Most messages that are delivered and neither acked nor terminated; default 1,024.
    pub in_flight_max: usize,
    /// How long a worker may be silent about a message; default 30 s. Then it is delivered again.
    pub ack_wait: Duration,
    /// Deliveries of one message before it is a dead letter; default 5. At least 1.
    pub deliveries_max: u32,
    /// Waits between deliveries; the last one repeats. Never makes the wait shorter than `ack_wait` while a worker is silent. Default: none.
    pub backoff: Vec<Duration>,
}

impl StreamConfig {
    /// A stream of these subjects, with the defaults above.
    pub fn new(name: Name, subjects: Vec<Filter>) -> Self {
        Self {
            name,
            subjects,
            retention: Retention::default(),
            messages_max: 1 << 20,
            bytes_max: 1 << 30,
            message_bytes_max: myelin_wire::limits::PAYLOAD_BYTES_CEILING as u64,
            age_max: None,
            on_full: OnFull::default(),
            dedup_window: Duration::from_secs(120),
            durability: Durability::default(),
            dead_letter_expired: false,
            dead_letter_evicted: false,
        }
    }

    /// Whether it stores messages on this subject.
    pub fn takes(&self, subject: &Subject) -> bool {
        self.subjects.iter().any(|filter| filter.matches(subject))
    }

    /// Whether some subject is stored by both.
    pub fn shares_subjects(&self, other: &Self) -> bool {
        let meets = |one: &Filter| other.subjects.iter().any(|two| overlap(one.as_str(), two.as_str()));
        self.subjects.iter().any(meets)
    }
}

impl ConsumerConfig {
    /// A consumer of everything, with the defaults above.
    pub fn new(name: Name) -> Self {
        Self {
            name,
            filter: None,
            in_flight_max: myelin_wire::limits::CONSUMER_INFLIGHT_MAX,
            ack_wait: Duration::from_secs(30),
            deliveries_max: 5,
            backoff: Vec::new(),
        }
    }

    /// Whether it gets messages on this subject.
    pub fn wants(&self, subject: &Subject) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.matches(subject))
    }

    /// The wait after this many deliveries.
    pub fn backoff_after(&self, deliveries: u32) -> Duration {
        let index = (deliveries as usize).saturating_sub(1).min(self.backoff.len().saturating_sub(1));
        self.backoff.get(index).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_subjects_and_paths() {
        for name in ["orders", "A-1_b", &"x".repeat(64)] {
            assert_eq!(Name::new(name).unwrap().as_str(), name);
        }
        for name in ["", "a.b", "a/b", "..", "a b", "ä", "*", &"x".repeat(65)] {
            assert!(Name::new(name).is_err(), "{name}");
        }
    }

    #[test]
    fn any_text_has_a_name() {
        for (text, name) in [("zmq.service.Greeter", "zmq_service_Greeter"), ("", "_"), ("a b/ä", "a_b__")] {
            assert_eq!(Name::sanitized(text).as_str(), name);
        }
        let long = [Name::sanitized(&"x".repeat(200)), Name::sanitized(&"x".repeat(201))];
        assert!(long.iter().all(|name| Name::new(name.as_str()).is_ok()) && long[0] != long[1], "{long:?}");
    }

    #[test]
    fn the_last_backoff_repeats() {
        let seconds = |n| Duration::from_secs(n);
        let mut config = ConsumerConfig::new(Name::new("c").unwrap());
        assert_eq!(config.backoff_after(1), Duration::ZERO);
        config.backoff = vec![seconds(1), seconds(5)];
        assert_eq!([1, 2, 3, 9].map(|n| config.backoff_after(n)), [seconds(1), seconds(5), seconds(5), seconds(5)]);
    }
}
