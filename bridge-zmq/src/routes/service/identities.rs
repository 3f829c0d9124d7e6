//! Turns at an identity: one caller at a time has the connection that announces it, those who wait in the order in which they came.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use super::named::Named;

/// The turn at an identity: its connection, if there is one already.
pub(super) type Turn = OwnedMutexGuard<Option<Named>>;

/// The identities in use at one agent; as many as it has sessions.
#[derive(Debug, Default)]
pub(super) struct Identities(Mutex<HashMap<Bytes, Arc<tokio::sync::Mutex<Option<Named>>>>>);

impl Identities {
    /// Waits for the turn at `identity`, which lasts as long as what it returns.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the place in the line.
    pub(super) async fn turn(&self, identity: &Bytes) -> Turn {
        let line = Arc::clone(self.0.lock().entry(identity.clone()).or_default());
        line.lock_owned().await
    }

    /// The turn at an identity that nobody has.
    pub(super) fn free_turn(&self, identity: &Bytes) -> Option<Turn> {
        let line = Arc::clone(self.0.lock().get(identity)?);
        line.try_lock_owned().ok()
    }

    /// Forgets an identity that has no connection and that nobody has or waits for. To be called after each turn, taken or given up.
    pub(super) fn leave(&self, identity: &Bytes) {
        let mut lines = self.0.lock();
        // Others take their reference under the same lock.
        if lines.get(identity).is_some_and(|line| Arc::strong_count(line) == 1 && line.try_lock().is_ok_and(|named| named.is_none())) {
            lines.remove(identity);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn turn_now(identities: &Identities, name: &Bytes) -> Option<Turn> {
        tokio::time::timeout(Duration::ZERO, identities.turn(name)).await.ok()
    }

    #[tokio::test]
    async fn one_has_the_turn_and_nothing_is_left_behind() {
        let (identities, name) = (Identities::default(), Bytes::from_static(b"name"));
        let first = turn_now(&identities, &name).await.unwrap();
        assert!(turn_now(&identities, &name).await.is_none(), "a second one waits");
        assert!(identities.free_turn(&name).is_none());
        identities.leave(&name);
        assert!(turn_now(&identities, &Bytes::from_static(b"other")).await.is_some());
        drop(first);
        assert!(turn_now(&identities, &name).await.is_some());
        identities.leave(&name);
        identities.leave(&Bytes::from_static(b"other"));
        assert!(identities.0.lock().is_empty());
    }
}
