//! The bounded write side of one connection, shared by the ZMTP front and the NATS listener.
//!
//! Whoever has a message for a peer appends it under a short lock and, if nobody else is writing, writes it to the socket at once: no task is
//! woken on the way. What the socket does not take is written later by the connection's own task in [`Outlet::drive`].
//!
//! Cost of one small message to an idle peer: its bytes copied once, no allocation, one `write`, no wakeup. While somebody else is writing: the
//! copy alone; that writer takes it along with its next write.
//!
//! Invariants:
//! - **One writer.** Only the holder of `Phase::Writing` touches the socket, and it does so without the lock.
//! - **Order.** Messages leave in the order in which they were appended; protocol bytes overtake messages, never split one.
//! - **What waits owns its memory.** A body above 4 KiB is queued by reference, and up to 64 KiB copied as soon as the socket is full, so that a stalled
//!   peer holds what its queue counts and not the read buffers that its messages came in.
//! - **Bounded.** By bytes and messages, alone and together with all others (see [`Budget`]), with the policy's consequence counted (see
//!   [`OutletConfig`]).

mod budget;
mod config;
mod drive;
mod push;
mod queue;
mod seal;
mod segments;
mod state;
mod wire;
mod writer;

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

pub use self::budget::Budget;
pub use self::config::{OutletConfig, OutletError, Pushed, Queued};
pub use self::push::Batch;
pub use self::seal::Seal;
use self::state::{Phase, State};
pub use self::writer::Writer;

/// The write side of one connection. See the [module](self).
pub struct Outlet {
    config: OutletConfig,
    budget: Budget,
    state: Mutex<State>,
    writer: OnceLock<Writer>,
    seal: OnceLock<Box<dyn Seal>>,
    dropped: AtomicU64,
    /// Wakes the connection's task: a write would block, or the outlet closed.
    driver: Notify,
    /// Wakes producers and drainers: less waits than before, or the outlet closed.
    room: Notify,
}

impl Outlet {
    /// An outlet without a socket, with a budget of its own: what is pushed waits until [`attach`](Self::attach).
    #[must_use]
    pub fn new(config: OutletConfig) -> Self {
        Self::with_budget(config, &Budget::default())
    }

    /// The same, but what waits counts against `budget`, which other outlets share.
    #[must_use]
    pub fn with_budget(config: OutletConfig, budget: &Budget) -> Self {
        // A bound of nothing is one that an empty queue exceeds: it could never be relieved.
        let config = OutletConfig { bytes_max: config.bytes_max.max(1), messages_max: config.messages_max.max(1), ..config };
        Self {
            config,
            budget: budget.clone(),
            state: Mutex::new(State::new(config)),
            writer: OnceLock::new(),
            seal: OnceLock::new(),
            dropped: AtomicU64::new(0),
            driver: Notify::new(),
            room: Notify::new(),
        }
    }

    /// From here on, what is written goes through `seal`. To be called before [`attach`](Self::attach); a second one is ignored.
    pub fn seal_with(&self, seal: Box<dyn Seal>) {
        drop(self.seal.set(seal));
    }

    /// Gives the outlet its socket and writes what has waited. A second socket is ignored: an outlet serves one connection.
    pub fn attach(&self, writer: impl Into<Writer>) {
        if self.writer.set(writer.into()).is_err() {
            return;
        }
        let mut state = self.state.lock();
        if state.phase == Phase::Detached {
            state.phase = Phase::Idle;
        }
        self.write_or_leave(state);
    }

    /// Ends the outlet: what waits is dropped and counted, [`drive`](Self::drive) returns, waiting producers go on. Closing twice is harmless.
    pub fn close(&self) {
        self.fail(&mut self.state.lock(), OutletError::Closed);
    }

    /// Whether the outlet takes no more messages.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state.lock().phase == Phase::Closed
    }

    /// Waits until there is room again: less than half of each bound is used and the budget would admit as much again as waits, or the outlet is
    /// closed. Only this peer's own reading ends the wait, for it is this peer's queue that is too full.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn relieved(&self) {
        self.wait_until(|state| state.is_relieved(&self.config, &self.budget)).await;
    }

    /// Waits until everything queued so far has reached the socket, or the outlet is closed.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn flushed(&self) {
        self.wait_until(|state| state.phase == Phase::Closed || (state.queue.is_empty() && state.in_flight_bytes == 0)).await;
    }

    async fn wait_until(&self, done: impl Fn(&State) -> bool) {
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            // Registered before the check, or a relief between check and wait would be missed.
            room.as_mut().enable();
            if done(&self.state.lock()) {
                return;
            }
            room.await;
        }
    }

    /// What waits now.
    #[must_use]
    pub fn queued(&self) -> Queued {
        self.state.lock().queued()
    }

    /// What waited when the outlet ended and never reached the socket; nothing before that.
    #[must_use]
    pub fn unwritten(&self) -> Queued {
        self.state.lock().unwritten
    }

    /// Whether another message fits without exceeding a bound; for senders that choose among several peers.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let state = self.state.lock();
        state.phase != Phase::Closed && !state.is_full(&self.config, &self.budget)
    }

    /// Whether twice of what the budget leaves to this outlet waits, whatever its own bounds are: with policy `block`, the producers were told and
    /// the peer still did not read.
    #[must_use]
    pub fn is_far_beyond_budget(&self) -> bool {
        self.state.lock().is_far_beyond(&self.budget)
    }

    /// Messages dropped so far, by the policy or because the connection ended.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.state.get_mut().release(&self.budget);
    }
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet")
            .field("config", &self.config)
            .field("queued", &self.queued())
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}
