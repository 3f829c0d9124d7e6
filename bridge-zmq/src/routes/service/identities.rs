//! Turns at an identity: one connection that announces it at a time, those who wait in the order in which they came.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

/// The identities in use at one agent; as many as it has sessions.
#[derive(Debug, Default)]
pub(super) struct Identities(Mutex<HashMap<Bytes, Arc<tokio::sync::Mutex<()>>>>);

impl Identities {
    /// Waits for the turn at `identity`, which lasts as long as what it returns. No identity is no reason to wait.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the place in the line.
    pub(super) async fn turn(&self, identity: &Bytes) -> Option<OwnedMutexGuard<()>> {
        if identity.is_empty() {
            return None;
        }
        let line = Arc::clone(self.0.lock().entry(identity.clone()).or_default());
        Some(line.lock_owned().await)
    }

    /// Forgets an identity that nobody has or waits for. To be called after each turn, taken or given up.
    pub(super) fn leave(&self, identity: &Bytes) {
        let mut lines = self.0.lock();
        // Others take their reference under the same lock.
        if lines.get(identity).is_some_and(|line| Arc::strong_count(line) == 1) {
            lines.remove(identity);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn turn_now(identities: &Identities, name: &Bytes) -> Option<OwnedMutexGuard<()>> {
        tokio::time::timeout(Duration::ZERO, identities.turn(name)).await.ok().flatten()
    }

    #[tokio::test]
    async fn one_has_the_turn_and_nothing_is_left_behind() {
        let (identities, name) = (Identities::default(), Bytes::from_static(b"name"));
        let first = turn_now(&identities, &name).await.unwrap();
        assert!(turn_now(&identities, &name).await.is_none(), "a second one waits");
        identities.leave(&name);
        assert!(turn_now(&identities, &Bytes::from_static(b"other")).await.is_some());
        drop(first);
        assert!(turn_now(&identities, &name).await.is_some());
        identities.leave(&name);
        identities.leave(&Bytes::from_static(b"other"));
        assert!(identities.0.lock().is_empty());
    }
}
