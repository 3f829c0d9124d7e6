//! Messages that wait for a peer with room: a pipeline's for any consumer, a pair's for the one on the other side.

use std::collections::VecDeque;
use std::sync::Arc;

use myelin_bus::outlet::Queued;
use myelin_bus::wire::Frames;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::service::QueueBounds;
use crate::front::Peer;

/// A queue that takes everything and says when its producers should wait: it exceeds its bounds by at most one read of each producer.
#[derive(Debug)]
pub(super) struct WorkQueue {
    bounds: QueueBounds,
    state: Mutex<State>,
    /// Wakes consumers: something waits.
    work: Notify,
    /// Wakes producers: less than half of each bound is used.
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<Frames>,
    bytes: usize,
}

impl WorkQueue {
    pub(super) fn new(bounds: QueueBounds) -> Self {
        // A bound of nothing could never be relieved.
        let bounds = QueueBounds { bytes_max: bounds.bytes_max.max(1), requests_max: bounds.requests_max.max(1) };
        Self { bounds, state: Mutex::default(), work: Notify::new(), room: Notify::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.state.lock().messages.len()
    }

    pub(super) fn queued(&self) -> Queued {
        let state = self.state.lock();
        Queued { bytes: state.bytes, messages: state.messages.len() }
    }

    /// Hands a message to `now` if nothing waits, or else, or if `now` gives it back, appends it. `true` when the producer should wait for
    /// [`relieved`](Self::relieved).
    ///
    /// `now` runs under the lock: between an empty queue and the consumer no other message may slip in.
    pub(super) fn offer(&self, message: Frames, now: impl FnOnce(Frames) -> Result<(), Frames>) -> bool {
        let mut state = self.state.lock();
        let message = if state.messages.is_empty() {
            match now(message) {
                Ok(()) => return false,
                Err(message) => message,
            }
        } else {
            message
        };
        state.bytes += message.packed().len();
        state.messages.push_back(super::detached(message));
        let is_over = state.is_at_least(self.bounds.bytes_max, self.bounds.requests_max);
        drop(state);
        self.work.notify_waiters();
        is_over
    }

    /// Hands the oldest message to `take`, under the lock for the same reason; it stays the oldest if `take` refuses it. `false` when nothing was
    /// handed out.
    pub(super) fn hand_out(&self, take: impl FnOnce(&Frames) -> bool) -> bool {
        let mut state = self.state.lock();
        let Some(message) = state.messages.front() else { return false };
        let bytes = message.packed().len();
        if !take(message) {
            return false;
        }
        state.messages.pop_front();
        state.bytes -= bytes;
        let is_relieved = self.is_relieved(&state);
        drop(state);
        if is_relieved {
            self.room.notify_waiters();
        }
        true
    }

    fn is_relieved(&self, state: &State) -> bool {
        !state.is_at_least(self.bounds.bytes_max.div_ceil(2), self.bounds.requests_max.div_ceil(2))
    }

    /// Whether producers should wait for [`relieved`](Self::relieved).
    pub(super) fn is_over(&self) -> bool {
        self.state.lock().is_at_least(self.bounds.bytes_max, self.bounds.requests_max)
    }

    /// Waits until something waits. Another consumer may be faster; look again.
    pub(super) async fn waiting(&self) {
        wait(&self.work, || self.len() > 0).await;
    }

    /// Waits until less than half of each bound is used.
    pub(super) async fn relieved(&self) {
        wait(&self.room, || self.is_relieved(&self.state.lock())).await;
    }
}

impl State {
    fn is_at_least(&self, bytes: usize, messages: usize) -> bool {
        self.bytes >= bytes || self.messages.len() >= messages
    }
}

/// Moves messages from the queue to one consumer as it makes room, until its connection closes.
pub(super) async fn feed(queue: Arc<WorkQueue>, peer: Arc<Peer>) {
    loop {
        peer.outlet().relieved().await;
        if peer.outlet().is_closed() {
            return;
        }
        queue.waiting().await;
        // A message leaves the queue only once the peer has taken it, so a cancelled task takes none with it.
        while peer.outlet().has_room() && queue.hand_out(|frames| peer.send(frames).accepted > 0) {
            // A consumer as fast as its producers must not keep a thread to itself.
            tokio::task::coop::consume_budget().await;
        }
    }
}

async fn wait(notify: &Notify, done: impl Fn() -> bool) {
    loop {
        let mut notified = std::pin::pin!(notify.notified());
        // Registered before the check, or a change between check and wait would be missed.
        notified.as_mut().enable();
        if done() {
            return;
        }
        notified.await;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::COPY_TO_WAIT_BYTES_MAX;
    use super::*;

    fn queue(waiting: &[&[u8]]) -> WorkQueue {
        let queue = WorkQueue::new(QueueBounds { bytes_max: 1000, requests_max: 4 });
        for message in waiting {
            queue.offer(Frames::single(message), Err);
        }
        queue
    }

    fn next(queue: &WorkQueue) -> Option<Frames> {
        let mut taken = None;
        queue.hand_out(|message| {
            taken = Some(message.clone());
            true
        });
        taken
    }

    #[test]
    fn what_a_consumer_refuses_is_the_next_ones_in_order() {
        let queue = queue(&[b"a", b"b"]);
        assert!(!queue.hand_out(|_| false), "the consumer has just gone");
        assert_eq!([next(&queue), next(&queue), next(&queue)], [Some(Frames::single(b"a")), Some(Frames::single(b"b")), None]);
        assert_eq!(queue.state.lock().bytes, 0);
    }

    #[test]
    fn nothing_overtakes_what_waits() {
        let queue = queue(&[b"a"]);
        queue.offer(Frames::single(b"b"), |_| unreachable!("something waits"));
        assert_eq!([next(&queue), next(&queue)], [Some(Frames::single(b"a")), Some(Frames::single(b"b"))]);
    }

    #[tokio::test]
    async fn producers_wait_from_the_bound_on_until_half_of_it() {
        let queue = queue(&[b"1", b"2", b"3"]);
        assert!(queue.offer(Frames::single(b"4"), Err), "at the bound");
        let relief = queue.relieved();
        tokio::pin!(relief);
        for _ in 0..2 {
            next(&queue);
            assert!(tokio::time::timeout(std::time::Duration::ZERO, relief.as_mut()).await.is_err());
        }
        next(&queue);
        relief.await;
    }

    #[test]
    fn what_waits_keeps_no_read_buffer_alive_unless_it_is_most_of_one() {
        for (len, is_copied) in [(1, true), (COPY_TO_WAIT_BYTES_MAX - 9, true), (COPY_TO_WAIT_BYTES_MAX, false)] {
            let message = Frames::single(&vec![7; len]);
            let mut read = message.packed().to_vec();
            let of_message = read.len();
            read.resize(1 << 20, 0);
            let read = Bytes::from(read);
            let queue = queue(&[]);
            queue.offer(Frames::from_parsed(read.slice(..of_message), 1), Err);
            assert_eq!(read.is_unique(), is_copied, "{len} bytes");
            assert_eq!(next(&queue), Some(message));
        }
    }
}
