//! The start of a pipeline whose store is away: the route is there all the same, holds its producers back, and begins once the stream can be made.
//!
//! What is wrong for good, such as a stream of another purpose in the way, is an error of the start if it shows then; later it is said, and tried
//! again, because somebody may mend it.

use std::time::Duration;

use myelin_bus::streams::Consumer;
use tokio::time::timeout;
use tracing::{error, info, warn};

use super::super::super::RouteError;
use super::store::Kept;

/// How long a start waits for the store before it goes on without.
const START_PATIENCE: Duration = Duration::from_secs(2);

/// Between two tries: half to one and a half of it, so that the pipelines of a fleet do not come all at once.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Makes the stream and its consumer; `None` when the store is away, which is said once.
pub(super) async fn begin(kept: &Kept) -> Result<Option<Consumer>, RouteError> {
    match timeout(START_PATIENCE, kept.ensure()).await {
        Ok(Ok(consumer)) => Ok(Some(consumer)),
        Ok(Err(RouteError::Stream { source, .. })) if source.is_retryable() => {
            warn!(pipeline = %kept.subject, error = %source, "the store is away, producers are held back until it is there");
            Ok(None)
        }
        Ok(Err(error)) => Err(error),
        Err(_elapsed) => {
            warn!(pipeline = %kept.subject, after = ?START_PATIENCE, "the store does not answer, producers are held back until it does");
            Ok(None)
        }
    }
}

/// Tries until it has succeeded.
///
/// # Cancel safety
/// The stream may have been made.
pub(super) async fn begin_late(kept: &Kept) -> Consumer {
    let mut is_told = false;
    loop {
        tokio::time::sleep(TRY_AGAIN.mul_f64(0.5 + fastrand::f64())).await;
        match kept.ensure().await {
            Ok(consumer) => {
                info!(pipeline = %kept.subject, "the store is there, messages are stored and delivered");
                return consumer;
            }
            Err(RouteError::Stream { source, .. }) if source.is_retryable() => {}
            Err(refused) => {
                if !std::mem::replace(&mut is_told, true) {
                    error!(pipeline = %kept.subject, error = &refused as &dyn std::error::Error, "the store refuses the pipeline, producers are held back");
                }
            }
        }
    }
}
