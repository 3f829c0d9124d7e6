//! What stores, leases and settles.

use std::time::Duration;

use bytes::Bytes;
use myelin_store::{ConsumerConfig, ConsumerInfo, Delivered, Name, Outcome, Stored, StreamConfig, StreamInfo, Unsettled};

use super::attached::Attached;
use super::error::{ConsumeError, PublishDurableError, StreamError};
use super::jetstream::JetStream;
use super::local::Local;
use super::reason::DeadReason;
use super::verbs::Receipt;
use crate::wire::{Filter, Subject};

/// A message on its way into a stream.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) subject: Subject,
    pub(crate) id: Option<Box<str>>,
    pub(crate) headers: Bytes,
    pub(crate) payload: Bytes,
    pub(crate) ttl: Option<Duration>,
    pub(crate) delay: Option<Duration>,
    pub(crate) expected_last: Option<u64>,
    /// Everything up to there was moved, where what has to go for this one becomes a dead letter first.
    pub(crate) may_evict_to: u64,
}

/// What an engine did with a message.
#[derive(Debug)]
pub(crate) enum Placed {
    /// It is stored.
    Stored(Receipt),
    /// Everything in this stream up to there would go for it, and is to become dead letters first.
    MustMove { stream: Name, to: u64 },
}

/// How a delivery ended without an ack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure<'a> {
    pub(crate) sequence: u64,
    pub(crate) delivery: u32,
    pub(crate) outcome: Outcome,
    pub(crate) error: &'a str,
    pub(crate) delay: Option<Duration>,
}

/// The engine of streams, chosen at run time from a closed set.
#[derive(Debug)]
pub(crate) enum Streams {
    /// A store in this process.
    Local(Local),
    /// A sidecar behind our connection.
    Attached(Attached),
    /// A NATS server behind our connection.
    JetStream(JetStream),
}

impl Streams {
    /// A worker is gone: what it had comes again at once, if that can be noted without waiting.
    pub(crate) fn release(&self, stream: &Name, consumer: &Name, sequence: u64, delivery: u32) {
        match self {
            Self::Local(engine) => engine.release(stream, consumer, sequence, delivery),
            Self::Attached(engine) => engine.release(stream, consumer, sequence, delivery),
            Self::JetStream(engine) => engine.release(stream, consumer, sequence, delivery),
        }
    }

    /// Waits until the deliveries of a consumer would be counted after a crash, where it is this process that counts them.
    pub(crate) async fn noted(&self, stream: &Name, consumer: &Name) -> Result<(), ConsumeError> {
        match self {
            Self::Local(engine) => engine.noted(stream, consumer).await,
            Self::Attached(_) | Self::JetStream(_) => Ok(()),
        }
    }

    /// How much is in each stream, as far as that is known in this process.
    pub(crate) fn infos(&self) -> Vec<StreamInfo> {
        match self {
            Self::Local(engine) => engine.infos(),
            Self::Attached(_) | Self::JetStream(_) => Vec::new(),
        }
    }

    /// What each stream stores.
    pub(crate) fn subjects(&self) -> Vec<(Name, Vec<Filter>)> {
        match self {
            Self::Local(engine) => engine.subjects(),
            Self::Attached(_) | Self::JetStream(_) => Vec::new(),
        }
    }

    /// A letter was written that was not there before.
    pub(crate) fn count_letter(&self, reason: DeadReason) {
        if let Self::Local(engine) = self {
            engine.count_letter(reason);
        }
    }

    /// How many letters this process has written since its start.
    pub(crate) fn letters(&self) -> Vec<(DeadReason, u64)> {
        match self {
            Self::Local(engine) => engine.letters(),
            Self::Attached(_) | Self::JetStream(_) => Vec::new(),
        }
    }

    /// Streams whose expired messages become dead letters, as far as this process may have to move them.
    pub(crate) async fn swept(&self) -> Result<Vec<StreamConfig>, StreamError> {
        match self {
            Self::Local(engine) => Ok(engine.swept()),
            Self::Attached(_) => Ok(Vec::new()),
            Self::JetStream(engine) => Box::pin(engine.swept()).await,
        }
    }

    /// Messages that expired and that no worker has.
    pub(crate) async fn expired(&self, stream: &Name, max: usize) -> Result<Vec<Unsettled>, StreamError> {
        match self {
            Self::Local(engine) => engine.expired(stream, max),
            Self::Attached(_) => Ok(Vec::new()),
            Self::JetStream(engine) => Box::pin(engine.expired(stream, max)).await,
        }
    }

    /// Lets go of messages that expired.
    pub(crate) async fn expire(&self, stream: &Name, sequences: &[u64]) -> Result<(), StreamError> {
        match self {
            Self::Local(engine) => engine.expire(stream, sequences).await,
            Self::Attached(_) => Ok(()),
            Self::JetStream(engine) => Box::pin(engine.expire(stream, sequences)).await,
        }
    }

    /// Up to `max` messages between two sequences, with those who have not settled them.
    pub(crate) fn unsettled(&self, stream: &Name, from: u64, to: u64, max: usize) -> Result<Vec<Unsettled>, StreamError> {
        match self {
            Self::Local(engine) => engine.unsettled(stream, from, to, max),
            Self::Attached(_) | Self::JetStream(_) => Ok(Vec::new()),
        }
    }

    /// Whether storing a message on this subject may do anything else than store it. Behind a connection to NATS whoever is subscribed hears it as
    /// well, also if no stream takes it.
    pub(crate) async fn may_take(&self, subject: &Subject) -> Result<bool, StreamError> {
        match self {
            Self::Local(_) | Self::Attached(_) => Ok(true),
            Self::JetStream(engine) => Box::pin(engine.takes(subject)).await,
        }
    }

    /// Other subjects are stored than before: whoever captures plain publishes captures these from now on.
    pub(crate) async fn tell_server(&self) {
        let Self::Local(engine) = self else { return };
        if let Some(serving) = engine.server() {
            serving.follow().await;
        }
    }

    /// Writes and syncs what is there. Blocks for as long as the disk takes.
    pub(crate) fn close(&self) {
        match self {
            Self::Local(engine) => engine.close(),
            Self::Attached(_) | Self::JetStream(_) => {}
        }
    }
}

/// What an engine does. What it returned `Ok` for is as safe as the stream promises. It counts deliveries and knows nothing of dead letters.
pub(crate) trait StreamEngine {
    /// Makes a stream, or changes one of the same name.
    async fn put_stream(&self, config: &StreamConfig) -> Result<StreamInfo, StreamError>;

    async fn delete_stream(&self, stream: &Name) -> Result<bool, StreamError>;

    async fn stream(&self, stream: &Name) -> Result<StreamInfo, StreamError>;

    async fn streams(&self) -> Result<Vec<StreamInfo>, StreamError>;

    /// Stores a message in the stream that takes its subject, once per id.
    async fn store(&self, record: &Record) -> Result<Placed, PublishDurableError>;

    async fn get(&self, stream: &Name, sequence: u64) -> Result<Option<Stored>, StreamError>;

    /// Up to `max` sequences from `from` on, in order.
    async fn sequences(&self, stream: &Name, from: u64, max: usize, filter: Option<&Filter>) -> Result<Vec<u64>, StreamError>;

    async fn remove(&self, stream: &Name, sequence: u64) -> Result<bool, StreamError>;

    async fn purge(&self, stream: &Name, filter: Option<&Filter>) -> Result<u64, StreamError>;

    async fn put_consumer(&self, stream: &Name, config: &ConsumerConfig) -> Result<ConsumerInfo, StreamError>;

    async fn consumer(&self, stream: &Name, consumer: &Name) -> Result<ConsumerConfig, StreamError>;

    async fn consumer_info(&self, stream: &Name, consumer: &Name) -> Result<ConsumerInfo, StreamError>;

    async fn delete_consumer(&self, stream: &Name, consumer: &Name) -> Result<bool, StreamError>;

    /// Messages for a worker: at least one, or none when `wait` is over.
    async fn lease(&self, stream: &Name, consumer: &Name, max: usize, wait: Duration) -> Result<Vec<Delivered>, ConsumeError>;

    /// Settles a message; `false` if it was settled before.
    async fn ack(&self, stream: &Name, consumer: &Name, sequence: u64, delivery: u32) -> Result<bool, ConsumeError>;

    /// Ends a delivery; `false` if it had ended before.
    async fn fail(&self, stream: &Name, consumer: &Name, failure: Failure<'_>) -> Result<bool, ConsumeError>;

    /// Gives a worker `ack_wait` once more; `false` if its delivery had ended before.
    async fn extend(&self, stream: &Name, consumer: &Name, sequence: u64, delivery: u32) -> Result<bool, ConsumeError>;
}

/// Forwards to the engine in use.
///
/// The future of a request over a connection is several times as large as that of the store. Boxed, it makes nobody pay for it who has a store: of
/// those there may be thousands at a time, each moved and allocated whole.
macro_rules! forward {
    ($self:ident, $method:ident($($argument:expr),*)) => {
        match $self {
            Self::Local(engine) => engine.$method($($argument),*).await,
            Self::Attached(engine) => Box::pin(engine.$method($($argument),*)).await,
            Self::JetStream(engine) => Box::pin(engine.$method($($argument),*)).await,
        }
    };
}

impl StreamEngine for Streams {
    async fn put_stream(&self, config: &StreamConfig) -> Result<StreamInfo, StreamError> {
        forward!(self, put_stream(config))
    }

    async fn delete_stream(&self, stream: &Name) -> Result<bool, StreamError> {
        forward!(self, delete_stream(stream))
    }

    async fn stream(&self, stream: &Name) -> Result<StreamInfo, StreamError> {
        forward!(self, stream(stream))
    }

    async fn streams(&self) -> Result<Vec<StreamInfo>, StreamError> {
        forward!(self, streams())
    }

    async fn store(&self, record: &Record) -> Result<Placed, PublishDurableError> {
        forward!(self, store(record))
    }

    async fn get(&self, stream: &Name, sequence: u64) -> Result<Option<Stored>, StreamError> {
        forward!(self, get(stream, sequence))
    }

    async fn sequences(&self, stream: &Name, from: u64, max: usize, filter: Option<&Filter>) -> Result<Vec<u64>, StreamError> {
        forward!(self, sequences(stream, from, max, filter))
    }

    async fn remove(&self, stream: &Name, sequence: u64) -> Result<bool, StreamError> {
        forward!(self, remove(stream, sequence))
    }

    async fn purge(&self, stream: &Name, filter: Option<&Filter>) -> Result<u64, StreamError> {
        forward!(self, purge(stream, filter))
    }

    async fn put_consumer(&self, stream: &Name, config: &ConsumerConfig) -> Result<ConsumerInfo, StreamError> {
        forward!(self, put_consumer(stream, config))
    }

    async fn consumer(&self, stream: &Name, consumer: &Name) -> Result<ConsumerConfig, StreamError> {
        forward!(self, consumer(stream, consumer))
    }

    async fn consumer_info(&self, stream: &Name, consumer: &Name) -> Result<ConsumerInfo, StreamError> {
        forward!(self, consumer_info(stream, consumer))
    }

    async fn delete_consumer(&self, stream: &Name, consumer: &Name) -> Result<bool, StreamError> {
        forward!(self, delete_consumer(stream, consumer))
    }

    async fn lease(&self, stream: &Name, consumer: &Name, max: usize, wait: Duration) -> Result<Vec<Delivered>, ConsumeError> {
        forward!(self, lease(stream, consumer, max, wait))
    }

    async fn ack(&self, stream: &Name, consumer: &Name, sequence: u64, delivery: u32) -> Result<bool, ConsumeError> {
        forward!(self, ack(stream, consumer, sequence, delivery))
    }

    async fn fail(&self, stream: &Name, consumer: &Name, failure: Failure<'_>) -> Result<bool, ConsumeError> {
        forward!(self, fail(stream, consumer, failure))
    }

    async fn extend(&self, stream: &Name, consumer: &Name, sequence: u64, delivery: u32) -> Result<bool, ConsumeError> {
        forward!(self, extend(stream, consumer, sequence, delivery))
    }
}
