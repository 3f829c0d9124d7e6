//! Who may be at work at once, and how it ends.
//!
//! Invariants:
//! - **Bounded.** What requests at work may have in memory is at most [`WORK_KIB`], by the worst case of each; at most 1,024 are at work. Who
//!   waits longer than [`PATIENCE`] for a place is refused, and so is everybody behind until one is free. More waits in the subscription, whose
//!   overflow is counted.
//! - **No order.** Requests are worked on at the same time: who wants one behind another waits for its answer.
//! - **End.** What was read is answered, watchers are told, and the store is written out before [`shutdown`](MemoryServer::shutdown) returns,
//!   unless its deadline passes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use myelin_bus::wire::{Body, Filter};
use myelin_bus::{Bus, Message, Overflow, SubscribeError, SubscribeOptions, Subscription};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::{answer, done, space};
use super::request::Request;
use super::store::{Opened, Store};
use super::watches::Watches;
use super::{API, MemoryMetrics, Refusal, pack, wire};

/// What requests at work may have in memory together, in KiB: 256 MiB, eight times the largest call.
const WORK_KIB: u32 = 256 << 10;

/// What a request counts at least, in KiB, so that 1,024 are at work.
const REQUEST_KIB: u32 = 256;

/// How long a request waits for a place. Callers have seconds; most requests take less than a millisecond.
const PATIENCE: Duration = Duration::from_secs(1);

/// Answers requests about memory for as long as it lives. Dropping it ends it without waiting.
#[derive(Debug)]
pub(crate) struct MemoryServer {
    serving: Arc<Serving>,
}

/// What its tasks share.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) bus: Bus,
    pub(super) store: Store,
    pub(super) watches: Watches,
    pub(super) metrics: MemoryMetrics,
    pub(super) tracker: TaskTracker,
    pub(super) token: CancellationToken,
    work: Arc<Semaphore>,
    settings: ServerSettings,
}

/// What is said of the memory, and what bounds the work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerSettings {
    /// `embedded` or `redis`.
    pub(crate) engine: &'static str,
    /// Largest value in bytes.
    pub(crate) value_bytes_max: usize,
}

impl MemoryServer {
    /// Answers on `bus` from now on, whether the store is there or not.
    ///
    /// # Errors
    /// When the bus takes no subscriptions.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub(crate) async fn start(
        bus: &Bus,
        opened: Opened,
        (store, metrics): (Store, MemoryMetrics),
        settings: ServerSettings,
    ) -> Result<Self, SubscribeError> {
        let filter = Filter::new(&format!("{API}*")).expect("a valid constant");
        let options = SubscribeOptions { overflow: Overflow::DropNewest, ..SubscribeOptions::default() };
        let subscription = bus.subscribe(&filter, options).await?;
        let serving = Arc::new(Serving {
            bus: bus.clone(),
            store,
            watches: Watches::default(),
            metrics,
            tracker: TaskTracker::new(),
            token: CancellationToken::new(),
            work: Arc::new(Semaphore::new(WORK_KIB as usize)),
            settings,
        });
        serving.tracker.spawn(Arc::clone(&serving).read(subscription));
        if let Opened::Away { redis, config, .. } = opened {
            let finding = serving.store.clone().find(*redis, config);
            serving.tracker.spawn(serving.token.clone().run_until_cancelled_owned(finding));
        }
        Ok(Self { serving })
    }

    /// Takes no requests any more, answers what was read, tells watchers that it is over and writes the store out. Whether all of it was done by
    /// the deadline.
    ///
    /// # Cancel safety
    /// It is ending; what was not answered may have been done.
    pub(crate) async fn shutdown(&self, deadline: Duration) -> bool {
        let end = Instant::now() + deadline;
        self.serving.token.cancel();
        self.serving.tracker.close();
        let answered = timeout_at(end, self.serving.tracker.wait()).await.is_ok();
        timeout_at(end, self.serving.store.close()).await.is_ok() && answered
    }
}

impl Drop for MemoryServer {
    fn drop(&mut self) {
        self.serving.token.cancel();
    }
}

impl Serving {
    /// Reads requests until the server ends and what waits is read.
    async fn read(self: Arc<Self>, mut subscription: Subscription) {
        let (mut is_ending, mut is_overloaded) = (false, false);
        loop {
            let message = tokio::select! {
                message = subscription.next() => message,
                () = self.token.cancelled(), if !is_ending => {
                    is_ending = true;
                    subscription.drain();
                    continue;
                }
            };
            let Some(message) = message else { return };
            self.metrics.requests.inc();
            let begun = self.begin(&message, if is_overloaded { Duration::ZERO } else { PATIENCE }).await;
            is_overloaded = matches!(&begun, Err(refusal) if refusal.code == OVERLOADED);
            match begun {
                Ok((request, permit)) => {
                    let serving = Arc::clone(&self);
                    self.tracker.spawn(async move {
                        serving.finish(&message, request).await;
                        drop(permit);
                    });
                }
                Err(refusal) => self.refuse(&message, refusal),
            }
        }
    }

    /// What is asked for, and a place to work on it.
    async fn begin(&self, message: &Message, patience: Duration) -> Result<(Request, OwnedSemaphorePermit), Refusal> {
        let verb = message.subject.as_str().strip_prefix(API).unwrap_or_default();
        let request = Request::read(verb, &body(message))?;
        let kib = u32::try_from(request.bytes_max(self.settings.value_bytes_max) >> 10).unwrap_or(WORK_KIB).clamp(REQUEST_KIB, WORK_KIB);
        match timeout(patience, Arc::clone(&self.work).acquire_many_owned(kib)).await {
            Ok(Ok(permit)) => Ok((request, permit)),
            Ok(Err(_)) | Err(_) => {
                self.metrics.overloaded.inc();
                Err(Refusal::later(OVERLOADED, "too many requests about memory are at work"))
            }
        }
    }

    async fn finish(self: &Arc<Self>, message: &Message, request: Request) {
        match self.work(request).await {
            Ok(bytes) => message.respond(&self.bus, bytes),
            Err(refusal) => self.refuse(message, refusal),
        }
    }

    async fn work(self: &Arc<Self>, request: Request) -> Result<Vec<u8>, Refusal> {
        let max = self.bus.payload_bytes_max();
        let answered = match request {
            Request::Watch(asked) => self.watch(&asked).await.map(|watching| pack(&watching)),
            Request::Stats(asked) => self.stats(asked).await,
            request => answer(&self.store.mesh().await?, request, max).await,
        };
        match &answered {
            Ok(_) => self.store.was(true),
            Err(refusal) if refusal.code == "unavailable" => self.store.was(false),
            // Says nothing about the store.
            Err(_) => {}
        }
        let bytes = answered?;
        match bytes.len() {
            size if size > max => Err(Refusal::new(
                "answer_too_large",
                format!("an answer of {size} bytes is larger than the {max} of a message: ask for less"),
            )),
            _ => Ok(bytes),
        }
    }

    async fn stats(&self, asked: wire::Stats) -> Result<Vec<u8>, Refusal> {
        let mesh = self.store.mesh().await?;
        let counts = mesh.metrics().counts();
        let in_space = match &asked.space {
            None => None,
            Some(text) => {
                let stats = space(&mesh, text)?.stats().await?;
                Some(wire::SpaceStats { entries: stats.entries, windows: stats.windows, bytes: stats.bytes })
            }
        };
        done(&wire::Told {
            engine: self.settings.engine.to_owned(),
            value_max: self.settings.value_bytes_max as u64,
            watches: self.watches.count() as u64,
            near: mesh.near_size().map(|(entries, bytes)| wire::NearSize { entries: entries as u64, bytes }),
            counts: wire::Counts {
                reads: counts.reads,
                found: counts.found,
                writes: counts.writes,
                appends: counts.appends,
                conflicts: counts.conflicts,
                unknown: counts.unknown,
                bytes_given: counts.bytes_given,
                bytes_stored: counts.bytes_stored,
                near_hits: counts.near_hits,
                near_misses: counts.near_misses,
            },
            space: in_space,
        })
    }

    fn refuse(&self, message: &Message, refusal: Refusal) {
        self.metrics.failed.inc();
        message.respond(&self.bus, pack(&wire::Failed { error: Some(refusal) }));
    }
}

/// The code of who came when everything was taken.
const OVERLOADED: &str = "overloaded";

/// The bytes of a request, from whichever kind of caller.
fn body(message: &Message) -> Bytes {
    match &message.body {
        Body::Blob(blob) => blob.clone(),
        Body::Frames(frames) => frames.slices().last().map(Bytes::copy_from_slice).unwrap_or_default(),
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
