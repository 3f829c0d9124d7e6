//! How a publisher learns that it should wait.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::turn;

/// Some receiver with policy `block` is over its bound.
///
/// What was published has been taken: nothing is lost by ignoring the pressure, but whoever does grows a queue past its bound.
#[must_use = "publishing on without waiting for relief grows a queue past its bound"]
pub struct Pressure(Vec<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Pressure {
    /// Pressure that is relieved when `relief` ends. It is polled by the publisher, and dropped if that gives up.
    pub fn new(relief: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(vec![Box::pin(relief)])
    }

    /// Waits until every receiver that pressed has room again or is gone.
    ///
    /// # Cancel safety
    /// Dropping the future loses the waiting and nothing else.
    pub async fn relieved(self) {
        for relief in self.0 {
            relief.await;
        }
    }

    fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

impl fmt::Debug for Pressure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pressure").field("receivers", &self.0.len()).finish()
    }
}

/// What became of a published batch.
#[derive(Debug, Default)]
#[must_use = "the publisher is expected to wait for the pressure"]
pub struct Published {
    /// Subscribers and queue groups that were handed the batch. Over a connection to a server, which does not tell: 1.
    pub receivers: usize,
    /// Whom to wait for before the next batch.
    pub pressure: Option<Pressure>,
}

impl Published {
    /// Counts one receiver that has taken its delivery.
    pub(crate) fn add(&mut self, pressure: Option<Pressure>) {
        self.receivers += 1;
        self.press(pressure);
    }

    pub(crate) fn press(&mut self, pressure: Option<Pressure>) {
        match (&mut self.pressure, pressure) {
            (Some(sum), Some(more)) => sum.merge(more),
            (none @ None, more @ Some(_)) => *none = more,
            (_, None) => {}
        }
    }

    /// Waits for the pressure, if there is any, and lets other tasks run from time to time: a task that publishes in a tight loop must not keep
    /// the thread from the subscriber that it has just woken there.
    ///
    /// # Cancel safety
    /// See [`Pressure::relieved`].
    pub async fn settled(self) {
        if let Some(pressure) = self.pressure {
            pressure.relieved().await;
        }
        if turn::is_over() {
            tokio::task::yield_now().await;
        }
    }
}
