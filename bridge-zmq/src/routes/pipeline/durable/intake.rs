//! The producers' side: what was read gathers here while what gathered before it is stored.
//!
//! Bounded: at most [`BYTES_MAX`] or [`MESSAGES_MAX`] are being stored; as many gather, and beyond that one read of each thread that reads just
//! then: no producer is read while the bound is reached, however many there are, and one that was is not before less than half of it waits. When a
//! producer leaves, what it left here is stored all the same, and what it left in its socket is read when there is room.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use myelin_bus::Pressure;
use myelin_bus::outlet::Queued;
use myelin_bus::streams::{Batch, PublishDurableError};
use myelin_bus::wire::Body;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::{error, info, warn};

use super::super::super::RouteMetrics;
use super::store::Kept;
use crate::front::{DisconnectReason, Peer, PeerHandler, SubscriptionChange};

/// What is stored by one wait for the disk, as stored: enough to hide the wait, little enough to be read again by a PUSH if the process dies.
const BYTES_MAX: usize = 1024 * 1024;
const MESSAGES_MAX: usize = 4096;

/// How long one look for room in the stream waits.
const LOOK: Duration = Duration::from_secs(1);

/// Between two tries when the store cannot be used.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// What was read and is not stored yet.
#[derive(Debug)]
pub(super) struct Intake {
    kept: Arc<Kept>,
    metrics: RouteMetrics,
    state: Mutex<State>,
    /// Wakes the storing task: something waits.
    work: Notify,
    /// Wakes producers, and who waits for the end: less waits than before.
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    gathering: Batch,
    storing: Queued,
    is_stopping: bool,
}

impl State {
    fn holds_back(&self) -> bool {
        self.is_stopping || self.gathering.bytes() >= BYTES_MAX || self.gathering.len() >= MESSAGES_MAX
    }

    fn is_relieved(&self) -> bool {
        !self.is_stopping && self.gathering.bytes() < BYTES_MAX / 2 && self.gathering.len() < MESSAGES_MAX / 2
    }
}

impl Intake {
    pub(super) fn new(kept: Arc<Kept>, metrics: RouteMetrics) -> Self {
        Self { kept, metrics, state: Mutex::default(), work: Notify::new(), room: Notify::new() }
    }

    /// What was read and is not stored yet.
    pub(super) fn unstored(&self) -> Queued {
        let state = self.state.lock();
        Queued { bytes: state.gathering.bytes() + state.storing.bytes, messages: state.gathering.len() + state.storing.messages }
    }

    /// Reads nothing more from any producer.
    pub(super) fn stop(&self) {
        self.state.lock().is_stopping = true;
    }

    /// Waits until everything that was read is stored.
    pub(super) async fn stored(&self) {
        self.wait_until(|state| state.gathering.is_empty() && state.storing.messages == 0).await;
    }

    /// Lasts until there is room for what producers send; `None` if there is.
    fn pressure(self: &Arc<Self>) -> Option<Pressure> {
        self.state.lock().holds_back().then(|| {
            let intake = Arc::clone(self);
            Pressure::new(async move { intake.wait_until(State::is_relieved).await })
        })
    }

    async fn wait_until(&self, done: impl Fn(&State) -> bool) {
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            // Registered before the check, or a change between check and wait would be missed.
            room.as_mut().enable();
            if done(&self.state.lock()) {
                return;
            }
            room.await;
        }
    }

    /// Takes the messages of one read.
    fn take(&self, batch: &mut Vec<Body>) {
        // Brought into their stored form outside of the lock.
        let mut read = Batch::default();
        for body in batch.drain(..) {
            if let Err(error) = read.push(&body) {
                self.unstorable(&error);
            }
        }
        self.state.lock().gathering.take_from(&mut read, usize::MAX, usize::MAX);
        self.work.notify_one();
    }

    /// The next part to store.
    fn next(&self) -> Batch {
        let mut state = self.state.lock();
        let mut part = Batch::default();
        part.take_from(&mut state.gathering, BYTES_MAX, MESSAGES_MAX);
        state.storing = Queued { bytes: part.bytes(), messages: part.len() };
        drop(state);
        self.room.notify_waiters();
        part
    }

    /// That much of the part is left.
    fn left(&self, part: &Batch) {
        self.state.lock().storing = Queued { bytes: part.bytes(), messages: part.len() };
        if part.is_empty() {
            self.room.notify_waiters();
        }
    }

    fn unstorable(&self, error: &PublishDurableError) {
        self.metrics.pipeline_unstorable.inc();
        error!(pipeline = %self.kept.subject, %error, "a message that no stream can store is dropped");
    }
}

/// Stores what gathers, for as long as it is polled.
pub(super) async fn store(intake: Arc<Intake>) {
    let mut trouble = Trouble::default();
    loop {
        let mut part = intake.next();
        if part.is_empty() {
            intake.work.notified().await;
        }
        while !part.is_empty() {
            let (stored, result) = intake.kept.bus.publish_durable_batch(&intake.kept.subject, &mut part, LOOK).await;
            intake.metrics.pipeline_stored.inc_by(stored as u64);
            if let Err(error) = result {
                trouble.handle(&intake, error, &mut part).await;
            } else {
                trouble.is_over(&intake);
            }
            intake.left(&part);
        }
    }
}

/// What keeps messages from being stored; told once.
#[derive(Debug, Default)]
struct Trouble {
    is_told: bool,
}

impl Trouble {
    async fn handle(&mut self, intake: &Intake, error: PublishDurableError, part: &mut Batch) {
        match error {
            PublishDurableError::StreamFull { .. } | PublishDurableError::StorageFull => {
                if self.is_new() {
                    intake.metrics.pipelines_full.inc();
                    warn!(pipeline = %intake.kept.subject, %error, "producers are held back");
                }
            }
            PublishDurableError::TooLarge { .. } | PublishDurableError::Refused { .. } => {
                intake.unstorable(&error);
                part.drop_first();
            }
            error => {
                if self.is_new() {
                    intake.metrics.pipelines_full.inc();
                    error!(pipeline = %intake.kept.subject, %error, "nothing can be stored, producers are held back");
                }
                // Somebody may have deleted the stream.
                if intake.kept.ensure().await.is_err() || !matches!(error, PublishDurableError::NoStream { .. }) {
                    tokio::time::sleep(TRY_AGAIN).await;
                }
            }
        }
    }

    fn is_new(&mut self) -> bool {
        !std::mem::replace(&mut self.is_told, true)
    }

    fn is_over(&mut self, intake: &Intake) {
        if std::mem::take(&mut self.is_told) {
            intake.metrics.pipelines_full.dec();
            info!(pipeline = %intake.kept.subject, "messages are stored again");
        }
    }
}

/// The producers' sockets.
#[derive(Debug)]
pub(super) struct Producers(pub(super) Arc<Intake>);

impl PeerHandler for Producers {
    fn connected(&self, _peer: &Arc<Peer>) {}

    fn received(&self, _peer: &Arc<Peer>, batch: &mut Vec<Body>) -> Option<Pressure> {
        self.0.take(batch);
        self.0.pressure()
    }

    fn held_back(&self, _peer: &Arc<Peer>) -> Option<Pressure> {
        self.0.pressure()
    }

    fn subscription(&self, _peer: &Arc<Peer>, _change: SubscriptionChange, _prefix: Bytes) {}

    fn disconnected(&self, _peer: &Arc<Peer>, _reason: &DisconnectReason) {}
}
