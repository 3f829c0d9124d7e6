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

use super::item::{Item, is_same};
use super::waiting::{Waiting, cost};
use super::{SubscribeOptions, SubscriptionEnd};
use crate::inline::Registration;
use crate::message::Offer;
use crate::wire::Subject;
use crate::{Delivery, Metrics, Overflow, Pressure};

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
    items: VecDeque<Item>,
    /// The subject of the last item pushed, wherever that is now.
    subject: Option<Subject>,
    /// Bytes and messages that wait, those in the receiver's hands included.
    waiting: Waiting,
    /// Present while the receiver sleeps; taken by whoever wakes it.
    receiver: Option<Waker>,
    /// Somebody waits for relief.
    pressed: bool,
    /// Present when nothing is taken in any more.
    end: Option<SubscriptionEnd>,
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

    /// Takes a batch in, as far as the policy allows. Returns pressure when the publishers should wait.
    pub(crate) fn deliver(self: &Arc<Self>, delivery: Delivery<'_>) -> Option<Pressure> {
        self.push(|state, options| {
            let mut dropped = 0;
            for body in delivery.bodies {
                dropped += state.push(delivery.subject, cost(body), options, || Item::lent(&delivery, body));
            }
            dropped
        })
    }

    /// As [`deliver`](Self::deliver), for one message that is the queue's from now on.
    pub(crate) fn take(self: &Arc<Self>, offer: Offer<'_>) -> Option<Pressure> {
        let (subject, bytes) = (offer.subject, cost(&offer.body));
        self.push(|state, options| state.push(subject, bytes, options, || Item::given(offer)))
    }

    /// How many messages wait; `usize::MAX` when nothing is taken in any more.
    pub(crate) fn load(&self) -> usize {
        let state = self.state.lock();
        if state.end.is_some() { usize::MAX } else { state.waiting.messages }
    }

    /// `fill` pushes and returns how many messages were dropped.
    fn push(self: &Arc<Self>, fill: impl FnOnce(&mut State, &SubscribeOptions) -> u64) -> Option<Pressure> {
        let mut state = self.state.lock();
        if state.end.is_some() {
            return None;
        }
        let dropped = fill(&mut state, &self.options);
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
        over.then(|| {
            let queue = Arc::clone(self);
            Pressure::new(async move { queue.relieved().await })
        })
    }

    /// Swaps what waits into `batch`, which must be empty, after settling what the receiver has read. Ready with an empty batch: the end.
    pub(super) fn poll_take(&self, cx: &mut Context<'_>, read: &mut Waiting, batch: &mut VecDeque<Item>) -> Poll<()> {
        // Filled from its start again: a queue that is read as fast as it fills stays within the same few cache lines.
        batch.clear();
        let mut state = self.state.lock();
        let relieved = state.settle(read, &self.options);
        std::mem::swap(&mut state.items, batch);
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
            std::mem::take(&mut state.items)
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
    /// Takes one message of `bytes` in if the policy allows it, and only then calls `item`. Returns how many messages were dropped for it.
    fn push(&mut self, subject: &Subject, bytes: usize, options: &SubscribeOptions, item: impl FnOnce() -> Item) -> u64 {
        if self.end.is_some() {
            return 0;
        }
        let mut dropped = 0;
        if !self.waiting.fits(bytes, options) {
            match options.overflow {
                Overflow::Block => {}
                Overflow::DropNewest => return 1,
                Overflow::DropOldest => dropped = self.make_room(bytes, options),
                Overflow::Disconnect => {
                    self.end = Some(SubscriptionEnd::Overflowed);
                    return 1;
                }
            }
        }
        self.waiting.add(bytes);
        let goes_on = self.subject.as_ref().is_some_and(|last| is_same(last, subject));
        if !goes_on {
            self.subject = Some(subject.clone());
        }
        self.items.push_back(Item { subject: (!goes_on).then(|| subject.clone()), ..item() });
        dropped
    }

    /// Drops the oldest messages until `bytes` fit; what the receiver has in its hands is out of reach. Returns how many were dropped.
    fn make_room(&mut self, bytes: usize, options: &SubscribeOptions) -> u64 {
        let mut dropped = 0;
        while !self.waiting.fits(bytes, options) {
            let Some(oldest) = self.items.pop_front() else { break };
            self.waiting.remove(Waiting { messages: 1, bytes: cost(&oldest.body) });
            dropped += 1;
            if oldest.subject.is_some() {
                match self.items.front_mut() {
                    Some(next) if next.subject.is_none() => next.subject = oldest.subject,
                    Some(_) => {}
                    // Its run is gone with it, and the next message has to name its subject.
                    None => self.subject = None,
                }
            }
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
