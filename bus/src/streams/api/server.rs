//! Who may be at work at once, and how it ends.
//!
//! Invariants:
//! - **Bounded.** At most [`WORK_KIB`] of requests are at work, and at most [`WAITING_MAX`] workers wait for messages; more wait in the
//!   subscription, whose overflow is counted.
//! - **Order.** Messages of one publisher reach the store in the order in which they came: each one's work is begun before the next is read.
//!   Only when a stream is making room may one pass another.
//! - **End.** What was read is answered before [`shutdown`](StreamServer::shutdown) returns, unless its deadline passes. Until nearly then,
//!   workers may settle what they have.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

use super::super::engine::Streams;
use super::super::error::chain;
use super::super::sweeper::{SWEEP_INTERVAL, sweep};
use super::capture::Captures;
use super::hands::{Hands, LOOK_INTERVAL};
use super::warnings::Warnings;
use super::{ACK, API, StreamServerMetrics, next, requests, settle};
use crate::wire::{Filter, limits};
use crate::{Bus, Message, Overflow, SubscribeError, SubscribeOptions, Subscription};

/// Payloads at work, in KiB: 64 MiB, the largest payload there can be. Small requests count as [`REQUEST_KIB`], so that 256 of them fit.
const WORK_KIB: u32 = 64 << 10;

/// What a request counts at least.
const REQUEST_KIB: u32 = 256;

/// Workers that wait for messages at once: one task and a few hundred bytes each.
const WAITING_MAX: usize = 16_384;

/// How often a server that ends looks whether workers have settled what they have.
const SETTLED_INTERVAL: Duration = Duration::from_millis(10);

/// Answers requests about streams, stores plain publishes on their subjects and moves what expires unread, for as long as it lives. Dropping it ends it without waiting.
#[derive(Debug)]
pub struct StreamServer {
    serving: Arc<Serving>,
}

/// What its tasks share.
#[derive(Debug)]
pub(in super::super) struct Serving {
    pub(super) bus: Bus,
    pub(super) hands: Hands,
    pub(super) captures: Captures,
    pub(super) metrics: StreamServerMetrics,
    pub(super) waiting: Arc<Semaphore>,
    /// Captured messages that became dead letters, and those that could not be stored at all.
    pub(super) buried: Warnings,
    pub(super) refused: Warnings,
    /// Requests, captures and the sweeper, which end first.
    pub(super) tracker: TaskTracker,
    pub(super) token: CancellationToken,
    /// What workers say, which is heard until the end.
    settling: TaskTracker,
    settling_token: CancellationToken,
    work: Arc<Semaphore>,
}

impl StreamServer {
    /// Answers on `bus`. One without a store answers that it has none.
    ///
    /// # Errors
    /// When the bus takes no subscriptions.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn start(bus: &Bus, metrics: StreamServerMetrics) -> Result<Self, SubscribeError> {
        let serving = Arc::new(Serving {
            bus: bus.clone(),
            hands: Hands::default(),
            captures: Captures::default(),
            metrics,
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            buried: Warnings::default(),
            refused: Warnings::default(),
            tracker: TaskTracker::new(),
            token: CancellationToken::new(),
            settling: TaskTracker::new(),
            settling_token: CancellationToken::new(),
            work: Arc::new(Semaphore::new(WORK_KIB as usize)),
        });
        // Ends what was begun if one of the following fails.
        let server = Self { serving: Arc::clone(&serving) };
        if let Some(Streams::Local(engine)) = bus.shared().streams.as_deref() {
            engine.set_server(&serving);
        }
        serving.captures.follow(&serving).await?;
        for group in ["STREAM", "CONSUMER", "DLQ"] {
            let subscription = subscribe(bus, &format!("{API}{group}.>"), Overflow::DropNewest).await?;
            serving.tracker.spawn(read(Arc::clone(&serving), subscription, requests::answer));
        }
        // A lost ack is work done twice, so whoever acks too fast waits.
        let acks = subscribe(bus, &format!("{ACK}>"), Overflow::Block).await?;
        let token = serving.settling_token.clone();
        let settling = Arc::clone(&serving);
        serving.settling.spawn(async move { read_until(Arc::clone(&settling), acks, &token, &settling.settling, settle::settle).await });
        serving.settling.spawn(Arc::clone(&serving).look_after_workers());
        serving.tracker.spawn(Arc::clone(&serving).sweep());
        Ok(server)
    }

    /// Takes no requests and gives no messages any more, answers what was read, and tells whether that was done by the deadline. Workers may
    /// settle what they have until nine tenths of the time are over; what they have then stays theirs, and the store takes it back when it is
    /// opened again.
    ///
    /// # Cancel safety
    /// It is ending; what was not answered may have been done.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        let serving = &self.serving;
        let (end, patience) = (Instant::now() + deadline, Instant::now() + deadline / 10 * 9);
        serving.token.cancel();
        serving.tracker.close();
        let answered = timeout_at(end, serving.tracker.wait()).await.is_ok();
        while !serving.hands.are_empty() && Instant::now() < patience {
            tokio::time::sleep(SETTLED_INTERVAL).await;
        }
        serving.settling_token.cancel();
        serving.settling.close();
        timeout_at(end, serving.settling.wait()).await.is_ok() && answered
    }
}

impl Drop for StreamServer {
    fn drop(&mut self) {
        self.serving.token.cancel();
        self.serving.settling_token.cancel();
    }
}

pub(super) async fn subscribe(bus: &Bus, filter: &str, overflow: Overflow) -> Result<Subscription, SubscribeError> {
    let filter = Filter::new(filter).expect("a valid constant");
    let options = SubscribeOptions { overflow, bytes_max: 4 * limits::QUEUE_BYTES_MAX, ..SubscribeOptions::default() };
    bus.subscribe(&filter, options).await
}

/// Hands every message to `handle`, until the server ends and what waits is read.
async fn read<F>(serving: Arc<Serving>, subscription: Subscription, handle: impl Fn(Arc<Serving>, Message) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (token, tracker) = (serving.token.clone(), serving.tracker.clone());
    read_until(serving, subscription, &token, &tracker, handle).await;
}

/// As `read`, until `token`; what takes longer goes on in `tracker`.
pub(super) async fn read_until<F>(
    serving: Arc<Serving>,
    mut subscription: Subscription,
    token: &CancellationToken,
    tracker: &TaskTracker,
    handle: impl Fn(Arc<Serving>, Message) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut is_ending = false;
    loop {
        let message = tokio::select! {
            message = subscription.next() => message,
            () = token.cancelled(), if !is_ending => {
                is_ending = true;
                subscription.drain();
                continue;
            }
        };
        let Some(message) = message else { return };
        if next::is_next(&message.subject) {
            tracker.spawn(next::next(Arc::clone(&serving), message));
            continue;
        }
        let kib = u32::try_from(message.body.len() >> 10).unwrap_or(WORK_KIB).clamp(REQUEST_KIB, WORK_KIB);
        let Ok(permit) = Arc::clone(&serving.work).acquire_many_owned(kib).await else { return };
        let handled = handle(Arc::clone(&serving), message);
        let mut work: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
            handled.await;
            drop(permit);
        });
        // Begun here, which is where a message gets its place in a stream; a task begins when it likes.
        if work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            tracker.spawn(work);
        }
    }
}

impl Serving {
    /// Captures what the streams store now. If that fails, what is published plainly is not stored, and says so nowhere else.
    pub(in super::super) async fn follow(self: &Arc<Self>) {
        if self.token.is_cancelled() {
            return;
        }
        if let Err(error) = self.captures.follow(self).await {
            error!(error = chain(&error), "plain publishes on a stream's subjects are not stored");
        }
    }

    /// Makes dead letters of what expires unread.
    async fn sweep(self: Arc<Self>) {
        let Some(streams) = self.bus.shared().streams.clone() else { return };
        let mut ticks = interval(SWEEP_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.token.run_until_cancelled(ticks.tick()).await.is_some() {
            sweep(&streams, &self.token).await;
        }
    }

    /// Gives back what was delivered to inboxes that nobody listens on any more.
    async fn look_after_workers(self: Arc<Self>) {
        let mut ticks = interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.settling_token.run_until_cancelled(ticks.tick()).await.is_some() {
            let shared = self.bus.shared();
            for settle in self.hands.left_behind(Instant::now(), |inbox| shared.is_heard(inbox)) {
                self.metrics.workers_gone.inc();
                if let (Some(place), Some(streams)) = (settle::Place::parse(&settle), &shared.streams) {
                    warn!(stream = %place.stream, consumer = %place.consumer, sequence = place.sequence, "a worker is gone");
                    streams.release(&place.stream, &place.consumer, place.sequence, place.delivery);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
