//! Durable streams: messages that are kept until somebody is done with them, and dead letters for those that nobody could handle.
//!
//! An engine stores, leases and settles (`engine::StreamEngine`). What is above it is written once, for every engine: how often a message is
//! delivered, what becomes of it then, and that it is in one place at every moment of the move.
//!
//! The guarantee: a message whose publish was acknowledged is delivered at least once, or is a dead letter, or went by a limit that the
//! operator named.

mod api;
mod attached;
mod batch;
mod collector;
mod consumer;
mod dead;
mod engine;
mod error;
mod headers;
mod jetstream;
mod job;
mod letters;
mod local;
mod reason;
mod step;
mod storing;
mod sweeper;
mod verbs;

pub use myelin_store::{
    Attempt, ConsumerConfig, ConsumerInfo, Damage, Durability, NAME_BYTES_MAX, Name, NameError, OnFull, OpenError, Outcome, Retention,
    StreamConfig, StreamInfo,
};

pub(crate) use self::api::is_settlement;
pub use self::api::{StreamServer, StreamServerMetrics};
pub(crate) use self::attached::Attached;
pub use self::batch::{Batch, Lease};
pub use self::collector::StreamsCollector;
pub use self::consumer::Consumer;
pub use self::dead::{DEAD_LETTER_SUBJECTS, DEAD_LETTERS, Death};
pub(crate) use self::engine::Streams;
pub use self::error::{ConsumeError, PublishDurableError, StreamError};
pub(crate) use self::jetstream::JetStream;
pub use self::job::Job;
pub use self::letters::{
    DeadLetter, DeadLetters, Exports, Letter, LetterAttempt, LetterFilter, LetterPage, Letters, Replay, ReplayError, ReplayOptions,
    Replayed, Replays,
};
pub use self::local::{StoreConfig, StoreReport};
pub use self::reason::{DeadReason, Fault};
#[cfg(feature = "conformance")]
pub use self::step::Step;
#[cfg(feature = "conformance")]
pub(crate) use self::step::halt;
pub use self::verbs::{PublishOptions, Receipt};
