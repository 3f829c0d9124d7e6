//! The one way to read entries and the one way to change them. Whatever remembers entries in this process stands here, and nowhere else.

use bytes::Bytes;

use crate::error::{ReadError, WriteError};
use crate::mesh::Shared;
use crate::record::{compressed_bytes, decode_all, encode_all};
use crate::store::{AnyStore, Store, StoreError};
use crate::{Entry, Key, Namespace, Value, limits};

impl Shared {
    /// An entry that a near cache has; `None`: nothing is known here.
    pub(crate) fn near(&self, space: &Namespace, key: &Key) -> Option<Option<Entry>> {
        match &self.store {
            AnyStore::Embedded(_) => None,
            AnyStore::Redis(redis) => redis.hit(space, key),
        }
    }

    /// Entries for whoever asks, when [`near`](Self::near) has not answered. What a near cache has not, comes from [`fresh`](Self::fresh).
    pub(crate) async fn entries(&self, space: &Namespace, keys: &[Key]) -> Result<Vec<Option<Entry>>, ReadError> {
        // Several entries are as they were at one moment, which those that are kept here are not.
        if let ([key], AnyStore::Redis(redis)) = (keys, &self.store)
            && let Some(entry) = redis.near_entry(self, space, key).await?
        {
            return Ok(vec![entry]);
        }
        self.fresh(space, keys).await?.into_iter().map(Option::transpose).collect()
    }

    /// Entries from the store itself, each with what is wrong with it.
    pub(crate) async fn fresh(&self, space: &Namespace, keys: &[Key]) -> Result<Vec<Option<Result<Entry, ReadError>>>, ReadError> {
        let stored = self.store.read(space, keys).await?;
        let records: Vec<_> = stored.iter().flatten().map(|stored| stored.record.clone()).collect();
        // What was compressed a thousandfold comes out as large as it went in.
        let bytes: usize = records.iter().map(|record| compressed_bytes(record).unwrap_or(record.len())).sum();
        if bytes > limits::READ_BYTES_MAX {
            return Err(ReadError::AnswerTooLarge { max: limits::READ_BYTES_MAX });
        }
        let mut values = self.values(records).await?.into_iter();
        let entries = stored.into_iter().map(|stored| {
            let stored = stored?;
            let value = values.next()?;
            Some(value.map(|value| Entry { value, revision: stored.revision, ttl: stored.ttl }))
        });
        Ok(entries.collect())
    }

    /// Does `work`, which changes these entries. A near cache lets go of them here: before, so that nobody of this process reads the old content
    /// after the new; and when it is over, however it went (also when this future is dropped).
    pub(crate) async fn change<T>(
        &self,
        space: &Namespace,
        keys: &[Key],
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, WriteError> {
        let forgetting = match &self.store {
            AnyStore::Embedded(_) => None,
            AnyStore::Redis(redis) => redis.forgetting(space, keys),
        };
        let outcome = work.await;
        drop(forgetting);
        self.told(outcome)
    }

    /// Counts what nobody knows.
    pub(crate) fn told<T>(&self, outcome: Result<T, StoreError>) -> Result<T, WriteError> {
        if matches!(outcome, Err(StoreError::Unknown(_))) {
            self.metrics.unknown.inc();
        }
        Ok(outcome?)
    }

    /// Values as they are stored, in their order.
    pub(crate) async fn records(&self, values: Vec<Value>) -> Result<Vec<Bytes>, WriteError> {
        let given = values.iter().map(|value| value.bytes.len() as u64).sum();
        let records = encode_all(self.encoder, values).await.map_err(|_| WriteError::Closed)?;
        self.metrics.bytes_given.inc_by(given);
        self.metrics.bytes_stored.inc_by(records.iter().map(|record| record.len() as u64).sum());
        Ok(records)
    }

    /// Values of records, in their order, each with what is wrong with it.
    pub(crate) async fn values(&self, records: Vec<Bytes>) -> Result<Vec<Result<Value, ReadError>>, ReadError> {
        let values = decode_all(records).await.map_err(|_| ReadError::Closed)?;
        let told = values.into_iter().map(|value| {
            value.map_err(|error| {
                self.metrics.damaged.inc();
                ReadError::Damaged { reason: error.to_string().into() }
            })
        });
        Ok(told.collect())
    }
}
