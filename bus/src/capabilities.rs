//! What one engine does and another does not.

use crate::Bus;
use crate::engine::Engine;
use crate::streams::Streams;

/// In what buses differ. Whatever is not here is the same on every engine, and the behaviour suite (`conformance`) holds all of them to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Who keeps its streams.
    pub storage: Storage,
    /// Whether a subscriber with policy `block` that is full holds back who publishes. Over a connection it holds back its own connection only:
    /// past 65,536 messages the newest are dropped, and counted.
    pub block_holds_publisher: bool,
    /// Whether the end of a worker's connection gives back at once what it had. Elsewhere its `ack_wait` has to pass.
    pub worker_death_noticed_by_connection: bool,
    /// Whether a worker that is too late learns so (`ConsumeError::Stale`). Elsewhere its ack counts, and it is told nothing.
    pub stale_acks_told: bool,
    /// Whether a plain publish that its stream can never store (too large, or its options cannot be read) becomes a dead letter if nobody waits
    /// for its receipt. Elsewhere it is lost.
    pub plain_publishes_checked: bool,
    /// Whether the receipt that answers a plain request on a stream's subject names the stream. Elsewhere the NATS server answers by itself, and
    /// names it `MYELIN_<stream>`.
    pub receipts_name_the_stream: bool,
    /// Whether what has to make room for newer messages may become dead letters (`StreamConfig::dead_letter_evicted`). Elsewhere such a stream is
    /// refused: the server drops what has to go by itself, and tells nobody.
    pub evicted_dead_letters: bool,
    /// Whether a stream counts what left it by a limit, by its age, and by a delete.
    pub departures_counted: bool,
}

/// Who keeps the streams of a bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Storage {
    /// Nobody: it has none.
    Nobody,
    /// A store in this process.
    Store,
    /// The sidecar behind its connection, if that has a store; one that has none says so when it is asked.
    Sidecar,
    /// The NATS server behind its connection, with JetStream.
    JetStream,
}

impl Bus {
    /// In what this bus differs from others.
    pub fn capabilities(&self) -> Capabilities {
        let shared = self.shared();
        let storage = match shared.streams.as_deref() {
            None => Storage::Nobody,
            Some(Streams::Local(_)) => Storage::Store,
            Some(Streams::Attached(_)) => Storage::Sidecar,
            Some(Streams::JetStream(_)) => Storage::JetStream,
        };
        let has_streams = matches!(storage, Storage::Store | Storage::Sidecar);
        Capabilities {
            storage,
            block_holds_publisher: matches!(shared.engine, Engine::Embedded(_)),
            worker_death_noticed_by_connection: has_streams,
            stale_acks_told: has_streams,
            plain_publishes_checked: has_streams,
            receipts_name_the_stream: has_streams,
            evicted_dead_letters: has_streams,
            departures_counted: has_streams,
        }
    }
}
