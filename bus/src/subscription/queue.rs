//! The queue between publishers and one subscription.
//!
//! Publishers push under a short lock; the receiver swaps the whole queue for its empty one and reads without the lock. What it has swapped out
//! but not read yet still counts towards the bounds until it settles, so they hold for everything that waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{SubscribeOptions, SubscriptionEnd};
use crate::inline::Registration;
use crate::wire::Body;
use crate::{Delivery, InlineHandler, Message, Metrics, Overflow, Pressure};

#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    options: SubscribeOptions,
    /// Wakes producers that wait for room, and whoever waits for the queue to be read.
    relief: Notify,
    dropped: AtomicU64,
    metrics: Metrics,
    /// Given up at the end, from within a delivery too, so that a queue that takes nothing is no receiver.
    registration: Mutex<Option<Registration>>,
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<Message>,
    /// Bytes and messages that wait, those in the receiver's hands included.
    waiting: Waiting,
    /// Present while the receiver sleeps; taken by whoever wakes it.
    receiver: Option<Waker>,
    /// Somebody waits for relief.
    pressed: bool,
    /// Present when nothing is taken in any more.
    end: Option<SubscriptionEnd>,
}

/// How much waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// The queue as the router sees it.
#[derive(Debug)]
pub(crate) struct Intake(pub(crate) Arc<Queue>);

impl InlineHandler for Intake {
    fn deliver(&self, delivery: Delivery<'_>) -> Option<Pressure> {
        let over = self.0.push(delivery);
        over.then(|| {
            let queue = Arc::clone(&self.0);
            Pressure::new(async move { queue.relieved().await })
        })
    }

    fn load(&self) -> usize {
        let state = self.0.state.lock();
        if state.end.is_some() { usize::MAX } else { state.waiting.messages }
    }
}

impl Queue {
    pub(crate) fn new(options: SubscribeOptions, metrics: Metrics) -> Self {
        Self {
            state: Mutex::default(),
            options,
            relief: Notify::new(),
            dropped: AtomicU64::new(0),
            metrics,
            registration: Mutex::new(None),
        }
    }

    /// Takes over what keeps the deliveries coming, until the end; which may have come already.
    pub(crate) fn hold(&self, registration: Registration) {
        *self.registration.lock() = Some(registration);
        if self.ended().is_some() {
            self.unsubscribe();
        }
    }

    fn unsubscribe(&self) {
        // Outside of its lock: giving it up leads through the engine, and may drop the engine's last reference to this queue.
        let registration = self.registration.lock().take();
        drop(registration);
    }

    /// Takes a batch in, as far as the policy allows. Returns whether the publishers should wait.
    fn push(&self, delivery: Delivery<'_>) -> bool {
        let mut state = self.state.lock();
        if state.end.is_some() {
            return false;
        }
        let mut dropped = 0;
        for body in delivery.bodies {
            let bytes = cost(body);
            if !state.waiting.fits(bytes, &self.options) {
                match self.options.overflow {
                    Overflow::Block => {}
                    Overflow::DropNewest => {
                        dropped += 1;
                        continue;
                    }
                    Overflow::DropOldest => dropped += state.make_room(bytes, &self.options),
                    Overflow::Disconnect => {
                        dropped += 1;
                        state.end = Some(SubscriptionEnd::Overflowed);
                        break;
                    }
                }
            }
            state.waiting.add(bytes);
            state.messages.push_back(delivery.to_message(body));
        }
        let over = self.options.overflow == Overflow::Block && state.waiting.exceeds(&self.options);
        state.pressed |= over;
        let receiver = state.receiver.take();
        let ended = state.end.is_some();
        drop(state);

        if ended {
            self.unsubscribe();
        }
        if dropped > 0 {
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
            self.metrics.dropped(self.options.overflow).inc_by(dropped);
        }
        if let Some(receiver) = receiver {
            receiver.wake();
        }
        over
    }

    /// Swaps what waits into `batch`, which must be empty, after settling what the receiver has read. Ready with an empty batch: the end.
    pub(super) fn poll_take(&self, cx: &mut Context<'_>, read: &mut Waiting, batch: &mut VecDeque<Message>) -> Poll<()> {
        let mut state = self.state.lock();
        let relieved = state.settle(read, &self.options);
        std::mem::swap(&mut state.messages, batch);
        let poll = if !batch.is_empty() || state.end.is_some() {
            Poll::Ready(())
        } else {
            if !state.receiver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                state.receiver = Some(cx.waker().clone());
            }
            Poll::Pending
        };
        drop(state);
        if relieved {
            self.relief.notify_waiters();
        }
        poll
    }

    /// Gives back the room of messages that the receiver has read.
    pub(super) fn settle(&self, read: &mut Waiting) {
        let relieved = self.state.lock().settle(read, &self.options);
        if relieved {
            self.relief.notify_waiters();
        }
    }

    /// Takes nothing in any more; what waits can still be read. The first reason stays.
    pub(crate) fn end(&self, reason: SubscriptionEnd) {
        let receiver = {
            let mut state = self.state.lock();
            state.end.get_or_insert(reason);
            state.receiver.take()
        };
        self.unsubscribe();
        self.relief.notify_waiters();
        if let Some(receiver) = receiver {
            receiver.wake();
        }
    }

    /// Ends and forgets what waits: there is no reader any more.
    pub(super) fn abandon(&self) {
        self.end(SubscriptionEnd::Unsubscribed);
        let left = {
            let mut state = self.state.lock();
            state.waiting = Waiting::default();
            std::mem::take(&mut state.messages)
        };
        self.relief.notify_waiters();
        drop(left);
    }

    pub(super) fn ended(&self) -> Option<SubscriptionEnd> {
        self.state.lock().end
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(crate) fn waiting(&self) -> Waiting {
        self.state.lock().waiting
    }

    /// How many messages may be read before their room is given back: few enough that a producer is not held back by messages long read.
    pub(super) fn settle_after(&self) -> usize {
        (self.options.messages_max / 8).clamp(1, 64)
    }

    /// Until at most half of both bounds is taken, or nothing is taken in any more.
    async fn relieved(&self) {
        self.until(|state| state.end.is_some() || state.waiting.is_relieved(&self.options)).await;
    }

    /// Until everything has been read.
    pub(crate) async fn read_out(&self) {
        self.until(|state| state.waiting == Waiting::default()).await;
    }

    async fn until(&self, holds: impl Fn(&State) -> bool) {
        loop {
            let notified = self.relief.notified();
            {
                let mut state = self.state.lock();
                if holds(&state) {
                    return;
                }
                state.pressed = true;
            }
            notified.await;
        }
    }
}

impl State {
    /// Drops the oldest messages until `bytes` fit; what the receiver has in its hands is out of reach. Returns how many were dropped.
    fn make_room(&mut self, bytes: usize, options: &SubscribeOptions) -> u64 {
        let mut dropped = 0;
        while !self.waiting.fits(bytes, options) {
            let Some(oldest) = self.messages.pop_front() else { break };
            self.waiting.remove(Waiting { messages: 1, bytes: cost(&oldest.body) });
            dropped += 1;
        }
        dropped
    }

    /// Returns whether those who wait should look again.
    fn settle(&mut self, read: &mut Waiting, options: &SubscribeOptions) -> bool {
        self.waiting.remove(std::mem::take(read));
        // Whoever waits for all to be read has to be told once more at the end.
        let told = self.pressed && self.waiting.is_relieved(options);
        if told && self.waiting == Waiting::default() {
            self.pressed = false;
        }
        told
    }
}

impl Waiting {
    fn fits(&self, bytes: usize, options: &SubscribeOptions) -> bool {
        self.messages == 0 || (self.messages < options.messages_max && self.bytes + bytes <= options.bytes_max)
    }

    fn exceeds(&self, options: &SubscribeOptions) -> bool {
        self.messages > 1 && (self.messages > options.messages_max || self.bytes > options.bytes_max)
    }

    fn is_relieved(&self, options: &SubscribeOptions) -> bool {
        self.messages <= options.messages_max / 2 && (self.bytes <= options.bytes_max / 2 || self.messages == 0)
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes;
    }

    fn remove(&mut self, read: Self) {
        // Abandoning a queue forgets what its receiver has in its hands.
        self.messages = self.messages.saturating_sub(read.messages);
        self.bytes = self.bytes.saturating_sub(read.bytes);
    }
}

/// What a body counts for: the bytes it keeps alive, frame headers included.
pub(super) fn cost(body: &Body) -> usize {
    match body {
        Body::Blob(blob) => blob.len(),
        Body::Frames(frames) => frames.packed().len(),
    }
}
