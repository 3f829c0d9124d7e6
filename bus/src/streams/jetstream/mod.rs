//! Streams of a NATS server with JetStream.
//!
//! The server stores, delivers and expires; what becomes of a message is decided above, as on every engine. Hence:
//! - a stream `orders` is the server's `MYELIN_orders`, with limits that are always stated; what we know of it beyond the server's settings is in
//!   its metadata, as JSON, so that any sidecar reads the same configuration back;
//! - the server's `max_deliver` stays -1 and its `backoff` empty (ADR 0007);
//! - a delayed message waits as a schedule of the server's in a stream beside (`delay`), which no consumer sees;
//! - what expires and is to be a dead letter is found by whoever sweeps (`sweep`), since the server would drop it;
//! - a request for messages outlives the worker that stopped waiting for it (`pull`);
//! - what a worker said about a failed delivery is a record in the stream `MYELIN_ATTEMPTS`; the server itself counts deliveries only.
//!
//! What the server acknowledged is as safe as its `sync_interval` and the stream's replicas make it: by default a single server syncs every two
//! minutes, so that an acknowledged message survives the server's death and not the machine's.

mod attempts;
mod consume;
mod delay;
mod hands;
mod headers;
mod info;
mod knowns;
mod manage;
mod pull;
mod read;
mod refusal;
mod settings;
mod store;
mod sweep;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use async_nats::jetstream::Context;
use myelin_store::{ConsumerConfig, ConsumerInfo, Delivered, Name, Stored, StreamConfig, StreamInfo};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use self::hands::Hands;
use self::knowns::Knowns;
use self::pull::Idle;
use self::sweep::Sweeps;
use super::engine::{Failure, Placed, Record, StreamEngine};
use super::error::{ConsumeError, PublishDurableError, StreamError};
use crate::engine::{Feature, Nats, Room};
use crate::error::ConnectError;
use crate::wire::{Filter, Subject};

/// What the server's names of our streams begin with: they are told from others' by it.
const PREFIX: &str = "MYELIN_";

/// Publishes that wait for their acknowledgment; another waits for one of them.
const PUBLISHES_MAX: usize = 4_096;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often the connection is looked for.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// One server's streams, over the connection of the bus that has this engine. Cloning shares it.
#[derive(Clone)]
pub(crate) struct JetStream(Arc<Shared>);

struct Shared {
    client: Client,
    /// Whether the client is connected, and each time that changes.
    connection: watch::Receiver<bool>,
    room: Room,
    context: Context,
    /// Where a worker's goodbye is said: it may come from outside of the runtime.
    runtime: Handle,
    replicas: usize,
    /// What is known of consumers that were worked with.
    consumers: Mutex<Knowns>,
    hands: Mutex<Hands>,
    idle: Mutex<Idle>,
    /// Held while a round of the sweeper asks the server, which is its only user.
    sweeps: tokio::sync::Mutex<Sweeps>,
}

impl JetStream {
    /// Streams that are made are kept by this many servers of a cluster.
    ///
    /// # Errors
    /// When there is a server, and it is too old.
    pub(crate) fn new(nats: &Nats, replicas: usize) -> Result<Self, ConnectError> {
        let client = nats.client();
        if nats.is_connected() {
            Feature::check_streams(&client.server_info().version)?;
        }
        let context = async_nats::jetstream::context::ContextBuilder::new()
            .timeout(PATIENCE)
            .max_ack_inflight(PUBLISHES_MAX)
            .backpressure_on_inflight(true)
            .build(client.clone());
        Ok(Self(Arc::new(Shared {
            client,
            connection: nats.connected(),
            room: nats.room(),
            context,
            runtime: Handle::current(),
            replicas,
            consumers: Mutex::default(),
            hands: Mutex::default(),
            idle: Mutex::default(),
            sweeps: tokio::sync::Mutex::default(),
        })))
    }

    /// A worker is gone: what it had comes again as soon as the server has heard of it.
    pub(crate) fn release(&self, stream: &Name, consumer: &Name, sequence: u64, delivery: u32) {
        consume::release(self, stream, consumer, sequence, delivery);
    }

    /// Whether a stream of the server stores what is published on this subject.
    pub(crate) async fn takes(&self, subject: &Subject) -> Result<bool, StreamError> {
        Ok(!info::takers(self, subject.as_str()).await?.is_empty())
    }

    /// How many servers of a cluster keep each stream.
    fn replicas(&self) -> usize {
        self.0.replicas
    }

    /// Fails for a feature that the server is too old for.
    fn require(&self, feature: Feature) -> Result<(), StreamError> {
        let server = self.0.client.server_info().version.into_boxed_str();
        if feature.is_in(&server) {
            return Ok(());
        }
        Err(StreamError::Unsupported { feature: feature.name.into(), since: feature.since.to_string().into(), server })
    }

    /// Waits for a connection, so that nothing is given to the client that nobody waits for any more when there is one.
    ///
    /// # Errors
    /// When there is none within [`PATIENCE`].
    fn is_connected(&self) -> bool {
        self.0.client.connection_state() == State::Connected
    }

    async fn connected(&self) -> Result<(), Box<str>> {
        if self.is_connected() {
            return Ok(());
        }
        let end = Instant::now() + PATIENCE;
        while !self.is_connected() {
            if Instant::now() >= end {
                return Err(format!("there has been no connection for {PATIENCE:?}").into());
            }
            sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    }
}

/// The server's name of a stream.
fn server_name(stream: &Name) -> String {
    format!("{PREFIX}{stream}")
}

/// Our name of a server's stream, if it is one of ours.
fn own_name(server_name: &str) -> Option<Name> {
    Name::new(server_name.strip_prefix(PREFIX)?).ok()
}

/// The server's time in milliseconds since 1970.
fn millis(time: async_nats::datetime::DateTime) -> u64 {
    u64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}

impl fmt::Debug for JetStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JetStream").field("in_hand", &self.0.hands.lock().len()).finish_non_exhaustive()
    }
}

impl StreamEngine for JetStream {
    async fn put_stream(&self, config: &StreamConfig) -> Result<StreamInfo, StreamError> {
        manage::put_stream(self, config).await
    }

    async fn delete_stream(&self, stream: &Name) -> Result<bool, StreamError> {
        manage::delete_stream(self, stream).await
    }

    async fn stream(&self, stream: &Name) -> Result<StreamInfo, StreamError> {
        info::stream(self, stream).await
    }

    async fn streams(&self) -> Result<Vec<StreamInfo>, StreamError> {
        info::streams(self).await
    }

    async fn store(&self, record: &Record) -> Result<Placed, PublishDurableError> {
        store::store(self, record).await.map(Placed::Stored)
    }

    async fn get(&self, stream: &Name, sequence: u64) -> Result<Option<Stored>, StreamError> {
        read::get(self, stream, sequence).await
    }

    async fn sequences(&self, stream: &Name, from: u64, max: usize, filter: Option<&Filter>) -> Result<Vec<u64>, StreamError> {
        read::sequences(self, stream, from, max, filter).await
    }

    async fn remove(&self, stream: &Name, sequence: u64) -> Result<bool, StreamError> {
        manage::remove(self, stream, sequence).await
    }

    async fn purge(&self, stream: &Name, filter: Option<&Filter>) -> Result<u64, StreamError> {
        let purged = manage::purge(self, stream, filter.map(Filter::as_str)).await?;
        Ok(purged + delay::purge(self, stream, filter).await)
    }

    async fn put_consumer(&self, stream: &Name, config: &ConsumerConfig) -> Result<ConsumerInfo, StreamError> {
        manage::put_consumer(self, stream, config).await
    }

    async fn consumer(&self, stream: &Name, consumer: &Name) -> Result<ConsumerConfig, StreamError> {
        Ok((*self.known(stream, consumer).await?.config).clone())
    }

    async fn consumer_info(&self, stream: &Name, consumer: &Name) -> Result<ConsumerInfo, StreamError> {
        info::of_consumer(self, stream, consumer).await
    }

    async fn delete_consumer(&self, stream: &Name, consumer: &Name) -> Result<bool, StreamError> {
        manage::delete_consumer(self, stream, consumer).await
    }

    async fn lease(&self, stream: &Name, consumer: &Name, max: usize, wait: Duration) -> Result<Vec<Delivered>, ConsumeError> {
        consume::lease(self, stream, consumer, max, wait).await
    }

    async fn ack(&self, stream: &Name, consumer: &Name, sequence: u64, delivery: u32) -> Result<bool, ConsumeError> {
        consume::ack(self, stream, consumer, sequence, delivery).await
    }

    async fn fail(&self, stream: &Name, consumer: &Name, failure: Failure<'_>) -> Result<bool, ConsumeError> {
        consume::fail(self, stream, consumer, failure).await
    }

    async fn extend(&self, stream: &Name, consumer: &Name, sequence: u64, delivery: u32) -> Result<bool, ConsumeError> {
        consume::extend(self, stream, consumer, sequence, delivery).await
    }
}
