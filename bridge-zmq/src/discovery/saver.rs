//! Writes a file of discovery to disk behind the async threads, many changes at a time.
//!
//! A change is announced at once and written soon: whatever else changes while a write is under way, or within
//! [`GATHER`] after the first change, shares the next one. Whoever must not answer before the change is safe waits for it.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info};

use super::store::StoreError;

/// How long a change waits for others to share its write: 5 ms, a hundredth of what an agent waits for its answer.
const GATHER: Duration = Duration::from_millis(5);
/// When a failed write is tried again although nothing has changed since.
const RETRY: Duration = Duration::from_secs(5);

/// A handle to the writing task.
#[derive(Debug)]
pub(super) struct Saver {
    /// Counts changes.
    changes: watch::Sender<u64>,
    outcome: watch::Receiver<Outcome>,
}

#[derive(Clone, Copy, Debug)]
struct Outcome {
    /// The last change that a write has covered, successful or not.
    tried: u64,
    saved: bool,
}

impl Saver {
    /// Starts the task. `snapshot` is called before each write, and returns what writes the content of that moment; that may block.
    pub(super) fn start<S, W>(what: &'static str, snapshot: S, tracker: &TaskTracker, token: CancellationToken) -> Self
    where
        S: Fn() -> W + Send + Sync + 'static,
        W: FnOnce() -> Result<(), StoreError> + Send + 'static,
    {
        let (changes, changed) = watch::channel(0);
        let (outcomes, outcome) = watch::channel(Outcome { tried: 0, saved: true });
        let task = Task { what, snapshot, changed, outcomes };
        tracker.spawn(task.run(token));
        Self { changes, outcome }
    }

    /// Announces a change that the next snapshot will contain.
    pub(super) fn changed(&self) -> u64 {
        let mut now = 0;
        self.changes.send_modify(|count| {
            *count += 1;
            now = *count;
        });
        now
    }

    /// Waits until a change is on disk. False when that failed, or took longer than `patience`; it will be tried again.
    ///
    /// # Cancel safety
    /// Dropping it changes nothing: the write happens anyway.
    pub(super) async fn saved(&self, change: u64, patience: Duration) -> bool {
        let mut outcome = self.outcome.clone();
        let covered = outcome.wait_for(|outcome| outcome.tried >= change);
        matches!(tokio::time::timeout(patience, covered).await, Ok(Ok(outcome)) if outcome.saved)
    }

    /// Whether the last write succeeded.
    pub(super) fn is_healthy(&self) -> bool {
        self.outcome.borrow().saved
    }
}

struct Task<S> {
    what: &'static str,
    snapshot: S,
    changed: watch::Receiver<u64>,
    outcomes: watch::Sender<Outcome>,
}

impl<S, W> Task<S>
where
    S: Fn() -> W + Send + Sync + 'static,
    W: FnOnce() -> Result<(), StoreError> + Send + 'static,
{
    async fn run(mut self, token: CancellationToken) {
        while let Some(()) = token.run_until_cancelled(self.wait_for_work()).await {
            self.write().await;
        }
        // The last changes before the stop.
        if self.is_behind() {
            self.write().await;
        }
    }

    /// Returns when there is something to write: a change after a moment to gather more, or a retry.
    async fn wait_for_work(&mut self) {
        let Outcome { tried, saved } = *self.outcomes.borrow();
        let change = self.changed.wait_for(|count| *count > tried);
        let gathered = async {
            if change.await.is_err() {
                // Nobody is left to announce a change: only the retry or the token ends the wait.
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(GATHER).await;
        };
        if saved {
            gathered.await;
        } else {
            let _retry_is_due = tokio::time::timeout(RETRY, gathered).await.is_err();
        }
    }

    fn is_behind(&self) -> bool {
        let outcome = *self.outcomes.borrow();
        !outcome.saved || *self.changed.borrow() > outcome.tried
    }

    async fn write(&mut self) {
        // Read before the snapshot is taken, which therefore contains at least this change.
        let change = *self.changed.borrow();
        let result = tokio::task::spawn_blocking((self.snapshot)()).await;
        let before = *self.outcomes.borrow();
        let saved = match result {
            Ok(Ok(())) => true,
            // Said once per outage: the retries go on, and the health document shows it.
            Ok(Err(error)) => {
                if before.saved {
                    error!(what = self.what, error = &error as &dyn std::error::Error, "not saved, trying again");
                }
                false
            }
            Err(error) => {
                error!(what = self.what, %error, "not saved, its writer stopped");
                false
            }
        };
        if saved && !before.saved {
            info!(what = self.what, "saved again");
        }
        self.outcomes.send_replace(Outcome { tried: change, saved });
    }
}
