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
//! - **Bounded.** By bytes and messages, with the policy's consequence counted (see [`OutletConfig`]).

mod queue;

use std::fmt;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;

use self::queue::{Admission, Queue, Wire};
use crate::Overflow;

/// Protocol bytes a peer may leave unread before it counts as not reading at all.
const CONTROL_BYTES_MAX: usize = 64 * 1024;

/// Writes one producer does for a peer before the connection's own task goes on, so that a fast producer on another core cannot keep it busy for ever.
const TURNS_MAX: usize = 8;

/// The bounds of an outlet and what happens at them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutletConfig {
    /// Bytes that may wait, the ones being written included.
    pub bytes_max: usize,
    /// Messages that may wait, the ones being written not counted.
    pub messages_max: usize,
    /// What happens to a message that would exceed a bound. `Block` takes it and reports [`Pushed::over`]: the producer is expected to wait for
    /// [`Outlet::relieved`], so the queue exceeds its bound by at most one batch per producer.
    pub overflow: Overflow,
}

/// What became of the messages of one push. Drops are counted by the outlet; a producer of a `Block` outlet looks at `over`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Messages that were queued or written.
    pub accepted: usize,
    /// Messages that were dropped, older ones included.
    pub dropped: usize,
    /// A bound with policy `Block` is exceeded; wait for [`Outlet::relieved`] before the next push.
    pub over: bool,
}

/// Messages being added to an outlet by [`Outlet::push_with`].
pub struct Batch<'a> {
    outlet: &'a Outlet,
    state: &'a mut State,
    pushed: Pushed,
}

impl Batch<'_> {
    /// Adds one message, `head` followed by `body` and `tail`.
    pub fn message(&mut self, head: &[u8], body: &Bytes, tail: &[u8]) {
        self.outlet.offer(self.state, head, body, tail, &mut self.pushed);
    }
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("pushed", &self.pushed).finish_non_exhaustive()
    }
}

/// How much waits in an outlet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queued {
    /// Bytes, the ones being written included.
    pub bytes: usize,
    /// Messages, the ones being written included.
    pub messages: usize,
}

/// Why an outlet stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutletError {
    /// The socket refused a write.
    #[error("write failed")]
    Write(#[source] io::Error),
    /// The peer did not read and its policy is `disconnect`.
    #[error("peer did not read: more than {bytes_max} bytes or {messages_max} messages waited")]
    SlowPeer {
        /// The byte bound.
        bytes_max: usize,
        /// The message bound.
        messages_max: usize,
    },
    /// [`Outlet::close`] was called.
    #[error("closed")]
    Closed,
}

/// The write side of one connection. See the [module](self).
pub struct Outlet {
    config: OutletConfig,
    state: Mutex<State>,
    writer: OnceLock<OwnedWriteHalf>,
    dropped: AtomicU64,
    /// Wakes the connection's task: a write would block, or the outlet closed.
    driver: Notify,
    /// Wakes producers and drainers: less waits than before, or the outlet closed.
    room: Notify,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    queue: Queue,
    /// Present unless a writer has it.
    wire: Wire,
    in_flight_bytes: usize,
    in_flight_messages: usize,
    error: Option<OutletError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No socket yet; messages wait.
    Detached,
    /// Nothing to write.
    Idle,
    /// Somebody holds the wire and writes.
    Writing,
    /// The socket is full, or a writer used up its turns: the driver goes on.
    Blocked,
    /// Over.
    Closed,
}

impl Outlet {
    /// An outlet without a socket: what is pushed waits until [`attach`](Self::attach).
    #[must_use]
    pub fn new(config: OutletConfig) -> Self {
        // A bound of nothing is one that an empty queue exceeds: it could never be relieved.
        let config = OutletConfig { bytes_max: config.bytes_max.max(1), messages_max: config.messages_max.max(1), ..config };
        Self {
            config,
            state: Mutex::new(State {
                phase: Phase::Detached,
                queue: Queue::new(config),
                wire: Wire::default(),
                in_flight_bytes: 0,
                in_flight_messages: 0,
                error: None,
            }),
            writer: OnceLock::new(),
            dropped: AtomicU64::new(0),
            driver: Notify::new(),
            room: Notify::new(),
        }
    }

    /// Gives the outlet its socket and writes what has waited. A second socket is ignored: an outlet serves one connection.
    pub fn attach(&self, writer: OwnedWriteHalf) {
        if self.writer.set(writer).is_err() {
            return;
        }
        let mut state = self.state.lock();
        if state.phase == Phase::Detached {
            state.phase = Phase::Idle;
        }
        self.write_if_idle(state);
    }

    /// Queues one message, `head` followed by `body`, and writes it at once if the socket is free.
    pub fn push(&self, head: &[u8], body: &Bytes) -> Pushed {
        let mut pushed = Pushed::default();
        let mut state = self.state.lock();
        self.offer(&mut state, head, body, &[], &mut pushed);
        self.finish_push(state, pushed)
    }

    /// Queues several messages under one lock and writes them with as few writes as possible.
    pub fn push_batch<'a>(&self, messages: impl IntoIterator<Item = &'a Bytes>) -> Pushed {
        let mut pushed = Pushed::default();
        let mut state = self.state.lock();
        for message in messages {
            self.offer(&mut state, &[], message, &[], &mut pushed);
        }
        self.finish_push(state, pushed)
    }

    /// Queues the messages that `fill` adds, under one lock and with as few writes as possible; for protocols that frame a body on both sides.
    /// `fill` runs under the lock: it formats and adds, and does not touch this outlet.
    pub fn push_with(&self, fill: impl FnOnce(&mut Batch<'_>)) -> Pushed {
        let mut state = self.state.lock();
        let mut batch = Batch { outlet: self, state: &mut state, pushed: Pushed::default() };
        fill(&mut batch);
        let pushed = batch.pushed;
        self.finish_push(state, pushed)
    }

    /// Queues protocol bytes (a PONG, a greeting) ahead of the waiting messages. They are never dropped by a policy.
    ///
    /// Returns `false`, and queues nothing, when 64 KiB of them already wait: the peer asks without ever reading, and is best closed.
    #[must_use = "a peer that never reads its answers should be closed"]
    pub fn push_control(&self, bytes: &[u8]) -> bool {
        let mut state = self.state.lock();
        if state.phase == Phase::Closed || state.queue.control_bytes() + bytes.len() > CONTROL_BYTES_MAX {
            return false;
        }
        state.queue.control(bytes);
        self.write_if_idle(state);
        true
    }

    fn offer(&self, state: &mut State, head: &[u8], body: &Bytes, tail: &[u8], pushed: &mut Pushed) {
        if state.phase == Phase::Closed {
            pushed.dropped += 1;
            return;
        }
        match state.queue.offer(head, body, tail, state.in_flight_bytes) {
            Admission::Accepted { evicted } => {
                pushed.accepted += 1;
                pushed.dropped += evicted;
            }
            Admission::Dropped => pushed.dropped += 1,
            Admission::Disconnect => {
                pushed.dropped += 1;
                let OutletConfig { bytes_max, messages_max, .. } = self.config;
                self.fail(state, OutletError::SlowPeer { bytes_max, messages_max });
            }
        }
    }

    fn finish_push(&self, state: parking_lot::MutexGuard<'_, State>, mut pushed: Pushed) -> Pushed {
        if pushed.dropped > 0 {
            self.dropped.fetch_add(pushed.dropped as u64, Ordering::Relaxed);
        }
        let is_full = self.config.overflow == Overflow::Block && state.is_full(&self.config);
        self.write_if_idle(state);
        // Asked again after the write: what the socket took at once is no reason to wait.
        pushed.over = is_full && self.state.lock().is_full(&self.config);
        pushed
    }

    fn write_if_idle(&self, mut state: parking_lot::MutexGuard<'_, State>) {
        if state.phase != Phase::Idle || state.queue.is_empty() {
            return;
        }
        let wire = state.take_wire();
        drop(state);
        self.write(wire);
    }

    /// Writes `wire` and whatever is appended meanwhile, until nothing waits, the socket is full or the turns are used up.
    fn write(&self, mut wire: Wire) {
        for _ in 0..TURNS_MAX {
            let outcome = self.write_once(&mut wire);
            let mut state = self.state.lock();
            if state.phase == Phase::Closed {
                return;
            }
            state.in_flight_bytes = wire.remaining();
            match outcome {
                Ok(()) if state.in_flight_bytes > 0 => {}
                Ok(()) => {
                    wire.recycle();
                    state.in_flight_messages = 0;
                    if state.queue.is_empty() {
                        state.wire = wire;
                        state.phase = Phase::Idle;
                        drop(state);
                        self.room.notify_waiters();
                        return;
                    }
                    state.wire = wire;
                    wire = state.take_wire();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    state.wire = wire;
                    state.phase = Phase::Blocked;
                    self.driver.notify_one();
                    return;
                }
                Err(error) => {
                    self.fail(&mut state, OutletError::Write(error));
                    return;
                }
            }
        }
        let mut state = self.state.lock();
        if state.phase == Phase::Writing {
            state.wire = wire;
            state.phase = Phase::Blocked;
            self.driver.notify_one();
        }
    }

    fn write_once(&self, wire: &mut Wire) -> io::Result<()> {
        let writer = self.writer.get().expect("the phase leaves Detached only in attach");
        let written = wire.with_slices(|slices| match slices {
            [one] => writer.try_write(one),
            many => writer.try_write_vectored(many),
        })?;
        if written == 0 && wire.remaining() > 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        wire.advance(written);
        Ok(())
    }

    /// Continues the writes that would have blocked; the connection's task selects on it for as long as the connection lives. Returns the reason
    /// once the outlet is closed.
    ///
    /// # Cancel safety
    /// Nothing is lost if the future is dropped; call it again to go on.
    pub async fn drive(&self) -> OutletError {
        loop {
            let notified = self.driver.notified();
            let phase = {
                let mut state = self.state.lock();
                if state.phase == Phase::Closed {
                    return state.error.take().unwrap_or(OutletError::Closed);
                }
                state.phase
            };
            if phase != Phase::Blocked {
                notified.await;
                continue;
            }
            let writer = self.writer.get().expect("the phase leaves Detached only in attach");
            tokio::select! {
                // Closing must end the wait for a socket that may never drain.
                () = notified => continue,
                ready = writer.writable() => if let Err(error) = ready {
                    self.fail(&mut self.state.lock(), OutletError::Write(error));
                    continue;
                },
            }
            if let Some(wire) = self.resume() {
                self.write(wire);
                self.notify_if_relieved();
                // A producer as fast as the socket must not keep the connection's task from its other work.
                tokio::task::coop::consume_budget().await;
            }
        }
    }

    /// The wire of a blocked outlet, to go on with.
    fn resume(&self) -> Option<Wire> {
        let mut state = self.state.lock();
        if state.phase != Phase::Blocked {
            return None;
        }
        state.phase = Phase::Writing;
        Some(std::mem::take(&mut state.wire))
    }

    fn notify_if_relieved(&self) {
        if self.state.lock().is_relieved(&self.config) {
            self.room.notify_waiters();
        }
    }

    fn fail(&self, state: &mut State, error: OutletError) {
        if state.phase == Phase::Closed {
            return;
        }
        state.phase = Phase::Closed;
        state.error = Some(error);
        let unwritten = state.queue.clear() + state.in_flight_messages;
        state.in_flight_bytes = 0;
        state.in_flight_messages = 0;
        state.wire = Wire::default();
        self.dropped.fetch_add(unwritten as u64, Ordering::Relaxed);
        self.driver.notify_one();
        self.room.notify_waiters();
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

    /// Waits until less than half of each bound is used, or the outlet is closed.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn relieved(&self) {
        self.wait_until(|state| state.is_relieved(&self.config)).await;
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
        let state = self.state.lock();
        Queued { bytes: state.queue.bytes() + state.in_flight_bytes, messages: state.queue.messages() + state.in_flight_messages }
    }

    /// Whether another message fits without exceeding a bound; for senders that choose among several peers.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let state = self.state.lock();
        state.phase != Phase::Closed && !state.is_full(&self.config)
    }

    /// Messages dropped so far, by the policy or because the connection ended.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl State {
    fn take_wire(&mut self) -> Wire {
        let mut wire = std::mem::take(&mut self.wire);
        self.queue.commit(&mut wire);
        self.in_flight_bytes = wire.remaining();
        self.in_flight_messages = wire.messages();
        self.phase = Phase::Writing;
        wire
    }

    fn is_at_least(&self, bytes: usize, messages: usize) -> bool {
        self.queue.bytes() + self.in_flight_bytes >= bytes || self.queue.messages() >= messages
    }

    fn is_full(&self, config: &OutletConfig) -> bool {
        self.phase != Phase::Closed && self.is_at_least(config.bytes_max, config.messages_max)
    }

    fn is_relieved(&self, config: &OutletConfig) -> bool {
        self.phase == Phase::Closed || !self.is_at_least(config.bytes_max.div_ceil(2), config.messages_max.div_ceil(2))
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
