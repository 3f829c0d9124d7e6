//! A subscription with a bounded queue, read by one task.

mod item;
mod options;
mod queue;
mod waiting;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use self::item::Item;
pub use self::options::{SubscribeOptions, SubscriptionEnd};
pub(crate) use self::queue::Queue;
use self::waiting::{Waiting, cost};
use crate::Message;
use crate::wire::Subject;

/// Messages that match a filter, in the order of each publisher, waiting in a bounded queue to be read.
///
/// Dropping it unsubscribes; what was not read is gone.
#[derive(Debug)]
pub struct Subscription {
    queue: Arc<Queue>,
    /// Taken out of the queue, not read yet.
    batch: VecDeque<Item>,
    /// That of the last message read.
    subject: Option<Subject>,
    /// Read, not given back to the queue's bounds yet.
    read: Waiting,
}

impl Subscription {
    pub(crate) fn new(queue: Arc<Queue>) -> Self {
        Self { queue, batch: VecDeque::new(), subject: None, read: Waiting::default() }
    }

    /// The next message, or `None` when there will be none any more; [`end`](Self::end) tells why.
    ///
    /// # Cancel safety
    /// Nothing is lost: a message is taken only by the poll that returns it.
    pub async fn next(&mut self) -> Option<Message> {
        if self.batch.is_empty() {
            self.take().await;
        }
        let message = self.batch.pop_front()?.into_message(&mut self.subject);
        self.read.add(cost(&message.body));
        if self.batch.is_empty() || self.read.messages >= self.queue.settle_after() {
            self.queue.settle(&mut self.read);
        }
        Some(message)
    }

    /// Waits for at least one message and appends everything that waits to `batch`. Returns how many; 0 when there will be none any more.
    ///
    /// The room of the whole batch is given back at once.
    ///
    /// # Cancel safety
    /// Nothing is lost: messages are taken only by the poll that returns them.
    pub async fn next_batch(&mut self, batch: &mut Vec<Message>) -> usize {
        if self.batch.is_empty() {
            self.take().await;
        }
        let taken = self.batch.len();
        batch.reserve(taken);
        for item in self.batch.drain(..) {
            self.read.add(cost(&item.body));
            batch.push(item.into_message(&mut self.subject));
        }
        self.queue.settle(&mut self.read);
        taken
    }

    /// Unsubscribes. What waits already can still be read; then [`next`](Self::next) returns `None`.
    pub fn drain(&mut self) {
        self.queue.end(SubscriptionEnd::Drained);
    }

    /// Why nothing more comes, or `None` while something may. Messages may still wait to be read.
    pub fn end(&self) -> Option<SubscriptionEnd> {
        self.queue.ended()
    }

    /// Messages that this subscription has lost to its bounds.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }

    /// Messages that wait to be read.
    pub fn len(&self) -> usize {
        self.queue.waiting().messages - self.read.messages
    }

    /// Whether no message waits to be read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    async fn take(&mut self) {
        poll_fn(|cx| {
            // A queue that is never empty must not keep the other tasks of this thread from running.
            let Poll::Ready(coop) = tokio::task::coop::poll_proceed(cx) else {
                return Poll::Pending;
            };
            let poll = self.queue.poll_take(cx, &mut self.read, &mut self.batch);
            if poll.is_ready() {
                coop.made_progress();
            }
            poll
        })
        .await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.queue.abandon();
    }
}
