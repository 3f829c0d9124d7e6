//! The connection's side of an outlet: from the queue into the socket.

use std::io;
use std::sync::atomic::Ordering;

use super::state::{Phase, State};
use super::wire::Wire;
use super::{Outlet, OutletError};

/// Writes one producer does for a peer before the connection's own task goes on, so that a fast producer on another core cannot keep it busy for ever.
const TURNS_MAX: usize = 8;

impl Outlet {
    /// Writes `wire` and whatever is appended meanwhile, until nothing waits, the socket is full or the turns are used up.
    pub(super) fn write(&self, mut wire: Wire) {
        for _ in 0..TURNS_MAX {
            if let Some(seal) = self.seal.get() {
                wire.seal(&**seal);
            }
            let outcome = self.write_once(&mut wire);
            if is_full(&outcome) {
                // Before the lock, so that producers go on meanwhile.
                wire.own();
            }
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
                        state.settle(&self.budget);
                        drop(state);
                        self.room.notify_waiters();
                        return;
                    }
                    state.wire = wire;
                    wire = state.take_wire();
                    state.settle(&self.budget);
                }
                outcome if is_full(&outcome) => {
                    state.wire = wire;
                    state.phase = Phase::Blocked;
                    // What came while we wrote waits from now on.
                    state.queue.own();
                    state.settle(&self.budget);
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
            state.settle(&self.budget);
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
        if self.state.lock().is_relieved(&self.config, &self.budget) {
            self.room.notify_waiters();
        }
    }

    pub(super) fn fail(&self, state: &mut State, error: OutletError) {
        let Some(unwritten) = state.end(error, &self.budget) else { return };
        self.dropped.fetch_add(unwritten as u64, Ordering::Relaxed);
        self.driver.notify_one();
        self.room.notify_waiters();
    }
}

/// Whether the socket took nothing because it is full.
fn is_full(outcome: &io::Result<()>) -> bool {
    matches!(outcome, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}
