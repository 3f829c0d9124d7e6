//! Reads of the disk, and what else blocks, off the threads of the runtime.

use std::sync::Arc;

use myelin_store::{Consumer, Delivered, Leased, Name};
use tokio::sync::Semaphore;

use crate::streams::error::{ConsumeError, StreamError};

/// What goes on at once: as much as a disk does well side by side, and few enough threads.
const READERS_MAX: usize = 8;

/// Whoever finds all of them busy waits.
#[derive(Debug)]
pub(super) struct Readers(Arc<Semaphore>);

impl Default for Readers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(READERS_MAX)))
    }
}

impl Readers {
    /// Does what blocks where that holds nobody up. Fails only when the runtime ends.
    pub(super) async fn blocking<R: Send + 'static>(
        &self,
        stream: &Name,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, StreamError> {
        let ending = || StreamError::Closed { stream: stream.clone(), cause: "the process is ending".into() };
        let permit = Arc::clone(&self.0).acquire_owned().await.map_err(|_closed| ending())?;
        let working = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        });
        working.await.map_err(|_gone| ending())
    }

    /// Deliveries with their messages. Those that are in memory, which those of a worker that keeps up are, are not waited for.
    pub(super) async fn read(&self, consumer: &Consumer, leased: Vec<Leased>) -> Result<Vec<Delivered>, ConsumeError> {
        if leased.iter().all(Leased::is_here) {
            return Ok(leased.into_iter().map(Leased::read).collect());
        }
        let deliveries = leased.iter().map(|leased| (leased.sequence(), leased.deliveries())).collect();
        let mut held = Held { consumer: consumer.clone(), deliveries };
        let read = self.blocking(consumer.stream().name(), || leased.into_iter().map(Leased::read).collect()).await?;
        held.deliveries.clear();
        Ok(read)
    }
}

/// Deliveries on their way to a worker. Dropped on the way, they go to another at once.
struct Held {
    consumer: Consumer,
    deliveries: Vec<(u64, u32)>,
}

impl Drop for Held {
    fn drop(&mut self) {
        for (sequence, delivery) in &self.deliveries {
            self.consumer.release(*sequence, *delivery);
        }
    }
}
