//! From the stream to the consumers: one task leases what they have room for and gives it to them in turn.
//!
//! It leases only while somebody has room, and lets go of the waiting when that changes: what is leased and finds nobody has used up a delivery.

use std::sync::Arc;
use std::time::Duration;

use myelin_bus::streams::{ConsumeError, Job};
use tokio::time::Instant;
use tracing::{error, info};

use super::consumers::Consumers;
use super::seat::{BYTES_MAX, MESSAGES_MAX};
use super::store::Kept;

/// Between two tries when the store cannot be used.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Delivers for as long as it is polled.
pub(super) async fn deliver(consumers: Arc<Consumers>, kept: Arc<Kept>) {
    let mut is_told = false;
    loop {
        let mut turned = std::pin::pin!(consumers.turned.notified());
        // Registered before the look, so that nobody comes or goes unseen.
        turned.as_mut().enable();
        let (messages, bytes) = consumers.with(|line| line.room(Instant::now(), &consumers.patience));
        if messages == 0 {
            turned.await;
            continue;
        }
        // What one consumer may have is read from the disk at once, however many there are.
        let (messages, bytes) = (messages.min(MESSAGES_MAX), bytes.min(BYTES_MAX) as u64);
        match consumers.consumer().fetch_within(messages, bytes, turned).await {
            Ok(jobs) => {
                if std::mem::take(&mut is_told) {
                    info!(pipeline = %kept.subject, "messages are delivered again");
                }
                hand_out(&consumers, jobs);
                // A store as fast as its consumers must not keep a thread to itself.
                tokio::task::coop::consume_budget().await;
            }
            Err(error) => {
                if !std::mem::replace(&mut is_told, true) {
                    error!(pipeline = %kept.subject, error = chain(&error), "nothing can be delivered");
                }
                // Somebody may have deleted the stream or the consumer.
                if kept.ensure().await.is_err() || !is_gone(&error) {
                    tokio::time::sleep(TRY_AGAIN).await;
                }
            }
        }
    }
}

fn hand_out(consumers: &Arc<Consumers>, jobs: Vec<Job>) {
    if jobs.is_empty() {
        return;
    }
    let again = jobs.iter().filter(|job| job.deliveries() > 1).count();
    let all = jobs.len();
    let (parcels, left) = consumers.with(|line| line.give(jobs, Instant::now(), &consumers.patience));
    consumers.metrics().pipeline_delivered.inc_by((all - left.len()) as u64);
    consumers.metrics().pipeline_redelivered.inc_by(again as u64);
    // Their consumer has just gone: dropped, they go back.
    drop(left);
    for parcel in parcels {
        parcel.peer.send_batch(&parcel.frames);
        consumers.wrote(&parcel.peer);
    }
}

fn is_gone(error: &ConsumeError) -> bool {
    use myelin_bus::streams::StreamError::{NoConsumer, NoStream};
    matches!(error, ConsumeError::Stream(NoStream { .. } | NoConsumer { .. }))
}

fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
