//! The one way to read entries and the one way to change them. Whatever remembers entries in this process stands here, and nowhere else.

use bytes::Bytes;

use crate::error::ReadError;
use crate::mesh::Shared;
use crate::store::{AnyStore, Store, StoreError, Stored};
use crate::{Entry, Key, Namespace, record};

impl Shared {
    /// Entries for whoever asks. A near cache answers here; what it has not, it takes from [`fresh`](Self::fresh).
    pub(crate) async fn entries(&self, space: &Namespace, keys: &[Key]) -> Result<Vec<Option<Entry>>, ReadError> {
        // Several entries are as they were at one moment, which those that are kept here are not.
        if let ([key], AnyStore::Redis(redis)) = (keys, &self.store)
            && let Some(entry) = redis.near_entry(space, key, |stored| self.entry(stored)).await?
        {
            return Ok(vec![entry]);
        }
        self.fresh(space, keys).await
    }

    /// Entries from the store itself.
    pub(crate) async fn fresh(&self, space: &Namespace, keys: &[Key]) -> Result<Vec<Option<Entry>>, ReadError> {
        let stored = self.store.read(space, keys).await?;
        stored.into_iter().map(|stored| stored.map(|stored| self.entry(stored)).transpose()).collect()
    }

    /// Does `work`, which changes these entries. A near cache lets go of them here: before, so that nobody of this process reads the old content
    /// after the new; and when it is over, however it went (also when this future is dropped).
    pub(crate) async fn change<T>(
        &self,
        space: &Namespace,
        keys: &[Key],
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let forgetting = match &self.store {
            AnyStore::Embedded(_) => None,
            AnyStore::Redis(redis) => redis.forgetting(space, keys),
        };
        let outcome = work.await;
        drop(forgetting);
        if matches!(outcome, Err(StoreError::Unknown(_))) {
            self.metrics.unknown.inc();
        }
        outcome
    }

    pub(crate) fn entry(&self, stored: Stored) -> Result<Entry, ReadError> {
        let value = self.value(stored.record)?;
        Ok(Entry { value, revision: stored.revision, ttl: stored.ttl })
    }

    pub(crate) fn value(&self, record: Bytes) -> Result<crate::Value, ReadError> {
        record::decode(record).map_err(|error| {
            self.metrics.damaged.inc();
            ReadError::Damaged { reason: error.to_string().into() }
        })
    }
}
