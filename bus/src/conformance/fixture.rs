//! What a case works with.

use std::any::Any;
use std::fmt;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{Cut, PATIENCE};
use crate::streams::Durability;
use crate::wire::{Body, Filter, QueueGroup, Subject};
use crate::{Bus, Message, SubscribeOptions, Subscription};

/// One engine for one case: two handles of a bus, and names of its own.
pub struct Fixture {
    bus: Bus,
    second: Bus,
    url: Box<str>,
    prefix: Box<str>,
    durability: Durability,
    /// What has to live as long, as a server and its directory.
    keeps: Box<dyn Any + Send + Sync>,
}

/// A bus over a connection of its own that can be cut.
#[derive(Debug)]
pub struct Doomed {
    /// The bus.
    pub bus: Bus,
    /// What is dropped to cut it.
    pub cut: Cut,
}

impl Fixture {
    /// `second` is another connection to the same engine, or, for one in this process, another handle of it. At `url` (`nats://host:port`) other
    /// processes reach it. `keeps` is dropped after the case.
    pub fn new(bus: Bus, second: Bus, url: &str, keeps: impl Any + Send + Sync) -> Self {
        let prefix = format!("c{:012x}", fastrand::u64(..1 << 48)).into();
        Self { bus, second, url: url.into(), prefix, durability: Durability::default(), keeps: Box::new(keeps) }
    }

    /// What an ack of the streams of a case means; default: it survives a power cut. Weaker modes lose more in a crash, and behave the same
    /// without one.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// The bus under test.
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Another handle of it, over a connection of its own where there are connections.
    pub fn second(&self) -> &Bus {
        &self.second
    }

    /// A bus over a connection that can be cut, as that of another process.
    pub async fn doomed(&self) -> Doomed {
        let cut = Cut::before(self.url.strip_prefix("nats://").expect("a URL of a server")).await;
        Doomed { bus: Bus::connect(&cut.url()).await.unwrap(), cut }
    }

    /// Ends what was begun.
    pub async fn close(self) {
        let Self { bus, second, keeps, .. } = self;
        for bus in [second, bus] {
            bus.drain(PATIENCE).await;
        }
        drop(keeps);
    }

    /// A subject of this case alone.
    pub fn subject(&self, name: &str) -> Subject {
        Subject::new(&format!("{}.{name}", self.prefix)).unwrap()
    }

    /// A filter that only this case's subjects match.
    pub fn filter(&self, name: &str) -> Filter {
        Filter::new(&format!("{}.{name}", self.prefix)).unwrap()
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn streams_durability(&self) -> Durability {
        self.durability
    }

    /// A subscription of the second handle.
    pub(super) async fn subscribe(&self, filter: &str, options: SubscribeOptions) -> Subscription {
        self.second.subscribe(&self.filter(filter), options).await.unwrap()
    }

    pub(super) async fn publish(&self, subject: &str, body: impl Into<Body>) {
        self.bus.publish(&self.subject(subject), body.into()).await.unwrap();
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").field("prefix", &self.prefix).field("bus", &self.bus).finish_non_exhaustive()
    }
}

pub(super) fn group(name: &str) -> SubscribeOptions {
    SubscribeOptions::default().group(QueueGroup::new(name).unwrap())
}

/// The next message of a subscription that has not ended.
pub(super) async fn next(subscription: &mut Subscription) -> Message {
    within("a message", subscription.next()).await.expect("the subscription goes on")
}

/// A body's text.
pub(super) fn text(body: &Body) -> String {
    match body {
        Body::Blob(blob) => String::from_utf8_lossy(blob).into_owned(),
        Body::Frames(_) => panic!("a blob was sent"),
    }
}

/// Waits for what has to come.
pub(super) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// Looks until there is something.
pub(super) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}
