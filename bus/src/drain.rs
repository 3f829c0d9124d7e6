//! How a bus ends: in phases, within one deadline.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::Bus;
use crate::bus::Stage;
use crate::engine::EngineOps;
use crate::subscription::{Queue, SubscriptionEnd};

/// What a drain left undone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drained {
    /// Requests that still waited for a reply.
    pub requests: usize,
    /// Messages that no subscriber had read.
    pub messages: usize,
}

impl Drained {
    /// Whether everything was done.
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

/// The queues that somebody may still read.
#[derive(Debug, Default)]
pub(crate) struct Readers(Mutex<Vec<Weak<Queue>>>);

impl Readers {
    pub(crate) fn add(&self, queue: &Arc<Queue>) {
        let mut queues = self.0.lock();
        // Forget the dead whenever the list is about to grow: it stays within twice the subscriptions that live.
        if queues.len() == queues.capacity() {
            queues.retain(|queue| queue.strong_count() > 0);
        }
        queues.push(Arc::downgrade(queue));
    }

    fn take(&self) -> Vec<Arc<Queue>> {
        std::mem::take(&mut *self.0.lock()).iter().filter_map(Weak::upgrade).collect()
    }
}

impl Bus {
    /// Refuses new requests and subscriptions from now on; messages and replies still flow. The first step of [`drain`](Self::drain), for
    /// whoever has replies to wait for that the bus cannot count.
    pub fn refuse(&self) {
        self.shared().enter(Stage::Draining);
    }

    /// The connections, as in [`Caller::connection`](crate::Caller::connection), whose requests were handed to other processes and have had no
    /// reply, once for each request. A mere listener that was handed a copy counts too: whoever asks knows which requests are still open.
    #[must_use]
    pub fn callers_unanswered(&self) -> Vec<u64> {
        self.shared().replies.callers_unanswered()
    }

    /// Ends the bus in order: no new requests and subscriptions; replies to waiting requests; then no new messages to subscribers, which read
    /// what waits; then nothing. What is not done by the deadline is given up and told.
    ///
    /// # Cancel safety
    /// The phases that were reached stay in force; call it again to go on.
    pub async fn drain(&self, deadline: Duration) -> Drained {
        let deadline = Instant::now() + deadline;
        let shared = self.shared();

        self.refuse();
        // While messages flow. Taken out, so that it is dropped with nothing locked.
        let presence = shared.presence.lock().take();
        if let Some(presence) = presence {
            let _said = timeout_at(deadline, presence.leave(self)).await;
        }
        // Timed out or not, what is left is counted below.
        let _answered = timeout_at(deadline, shared.replies.all_answered()).await;

        shared.engine.detach_all();
        let queues = shared.readers.take();
        for queue in &queues {
            queue.end(SubscriptionEnd::Drained);
        }
        let read_out = async {
            for queue in &queues {
                queue.read_out().await;
            }
        };
        let _read = timeout_at(deadline, read_out).await;

        shared.enter(Stage::Closed);
        let _closed = timeout_at(deadline, shared.engine.close()).await;
        if let Some(streams) = shared.streams.clone() {
            // Not cut by the deadline: what was acknowledged is on the disk, and the rest of the batch is a moment away from it.
            let _synced = tokio::task::spawn_blocking(move || streams.close()).await;
        }
        Drained { requests: shared.replies.waiting(), messages: queues.iter().map(|queue| queue.waiting().messages).sum() }
    }
}
