//! P5, P6 and P7: durable streams against JetStream, and `nats`: the bus over NATS against the client it is made of. Both sides get the same payload, the same window and a fresh stream per cell, and what was
//! acknowledged is counted again afterwards.
//!
//! The path of a run: here (which cells) → [`stage`] (what they run on) → [`ours`] and [`jetstream`] (one side each) → the scenario's report.

mod added;
mod disk;
mod jetstream;
mod ours;
mod publish;
mod pull;
mod seen;
mod server;
mod stage;

use std::time::Duration;

pub(super) use self::added::run as run_added;
pub(super) use self::publish::{Syncing, run as run_publish};
pub(super) use self::pull::run as run_pull;
use crate::failure::Outcome;

/// Bytes of a payload.
const PAYLOAD_BYTES: usize = 256;

/// When publishing ends.
#[derive(Debug, Clone, Copy)]
enum Until {
    /// No more is published after this long; what is outstanding then is waited for.
    Elapsed(Duration),
    Count(u64),
}

/// How messages are pulled.
#[derive(Debug, Clone, Copy)]
struct Pull {
    /// Messages that are there, numbered from zero.
    messages: u64,
    /// Asked for at a time.
    batch: usize,
    /// Delivered and not settled, at most.
    in_flight: usize,
    ack: Ack,
}

/// How a message is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ack {
    /// Sent and forgotten, which only JetStream has.
    Sent,
    /// The answer is waited for: a double ack, in JetStream's words.
    Confirmed,
}

/// What a cell did.
#[derive(Debug, Clone, Copy)]
struct Done {
    messages: u64,
    took: Duration,
}

impl Done {
    fn per_second(self) -> f64 {
        self.messages as f64 / self.took.as_secs_f64()
    }
}

/// One side of the comparison. Streams are named by the caller and exist for one cell.
#[derive(Debug)]
enum Side {
    Ours(ours::Ours),
    JetStream(Box<jetstream::JetStream>),
}

impl Side {
    async fn make(&self, stream: &str) -> Outcome<()> {
        match self {
            Self::Ours(side) => side.make(stream).await,
            Self::JetStream(side) => side.make(stream).await,
        }
    }

    async fn publish(&self, stream: &str, window: usize, until: Until) -> Outcome<Done> {
        match self {
            Self::Ours(side) => side.publish(stream, window, until).await,
            Self::JetStream(side) => side.publish(stream, window, until).await,
        }
    }

    async fn pull(&self, stream: &str, pull: Pull) -> Outcome<Done> {
        match self {
            Self::Ours(side) => side.pull(stream, pull).await,
            Self::JetStream(side) => side.pull(stream, pull).await,
        }
    }

    /// Messages in the stream.
    async fn messages(&self, stream: &str) -> Outcome<u64> {
        match self {
            Self::Ours(side) => side.messages(stream).await,
            Self::JetStream(side) => side.messages(stream).await,
        }
    }

    async fn remove(&self, stream: &str) -> Outcome<()> {
        match self {
            Self::Ours(side) => side.remove(stream).await,
            Self::JetStream(side) => side.remove(stream).await,
        }
    }
}
