//! Fills that run: who fills, who waits, and whose value comes too late.

use super::cache::{Millis, Near};
use std::sync::Arc;
use tokio::sync::watch;

/// What a reader that missed does next.
#[derive(Debug)]
pub(crate) enum Begin<'a, V> {
    /// The value came while the reader was on its way.
    Hit(V),
    /// Read from the server, then [`Fill::finish`].
    Fill(Fill<'a, V>),
    /// Another reader fills.
    Wait(Wait<V>),
    /// There is no lease: read from the server and keep nothing.
    Bypass,
}

/// The right to keep what is read next. Dropped without a value, one of the waiting readers takes over.
#[derive(Debug)]
pub(crate) struct Fill<'a, V> {
    pub(super) near: &'a Near<V>,
    pub(super) key: Arc<[u8]>,
    pub(super) ticket: u64,
    pub(super) landed: watch::Sender<Option<V>>,
}

impl<V: Clone + Send + Sync> Fill<'_, V> {
    /// Hands the value to the readers that wait, and keeps it until `expires` unless an invalidation came first. Answers whether it was kept.
    pub(crate) fn finish(self, value: V, bytes: usize, expires: Millis) -> bool {
        let kept = self.near.keep(&self.key, self.ticket, value.clone(), bytes, expires);
        // Readers that wait began before the fill ended, so its value is recent enough for them even when it was overtaken.
        self.landed.send_replace(Some(value));
        kept
    }
}

impl<V> Drop for Fill<'_, V> {
    fn drop(&mut self) {
        self.near.land(&self.key, self.ticket);
    }
}

/// A reader's place behind a fill.
#[derive(Debug)]
pub(crate) struct Wait<V>(pub(super) watch::Receiver<Option<V>>);

impl<V: Clone> Wait<V> {
    /// The value of the fill; `None` when it was given up, and the reader has to begin again.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(crate) async fn value(mut self) -> Option<V> {
        match self.0.wait_for(Option::is_some).await {
            Ok(value) => value.clone(),
            Err(_) => None,
        }
    }
}
