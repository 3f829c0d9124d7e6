//! The memory of one namespace: its entries.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::error::{CompareError, ReadError, WriteError};
use crate::mesh::Shared;
use crate::store::{Kind, Scan, Store, Swapped, Write};
use crate::{Entry, Expected, Key, Namespace, Page, Prefix, Revision, SpaceStats, Ttl, Value, Watch, WatchPosition, limits};

/// Entries and windows of one namespace. Cloning shares the mesh.
#[derive(Debug, Clone)]
pub struct Space {
    pub(crate) shared: Arc<Shared>,
    pub(crate) namespace: Namespace,
    ttl_default: Ttl,
}

impl Space {
    pub(crate) fn new(shared: Arc<Shared>, namespace: Namespace) -> Self {
        let ttl_default = shared.ttl_default;
        Self { shared, namespace, ttl_default }
    }

    /// The same namespace, where an entry that names no time lives so long. [`Ttl::DEFAULT`] is the default of the mesh.
    #[must_use]
    pub fn ttl_default(mut self, ttl: Ttl) -> Self {
        self.ttl_default = if ttl == Ttl::DEFAULT { self.shared.ttl_default } else { ttl };
        self
    }

    /// Whose memory it is.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The entry of a key; `None`: there is none, or its time is over.
    ///
    /// # Errors
    /// When the store cannot be asked, or what it holds cannot be read.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn get(&self, key: &Key) -> Result<Option<Entry>, ReadError> {
        if let Some(entry) = self.shared.near(&self.namespace, key) {
            self.shared.metrics.reads.inc();
            self.shared.metrics.found.inc_by(u64::from(entry.is_some()));
            return Ok(entry);
        }
        let mut entries = self.get_many(std::slice::from_ref(key)).await?;
        Ok(entries.pop().flatten())
    }

    /// The entries of several keys (at most 256, together at most 16 MiB), in their order, as they were at one moment.
    ///
    /// # Errors
    /// As [`get`](Self::get); and when they are too many or together too large: fewer keys at once are answered. One entry that cannot be read fails the call.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, ReadError> {
        if keys.len() > limits::KEYS_PER_CALL_MAX {
            return Err(ReadError::TooMany { count: keys.len(), max: limits::KEYS_PER_CALL_MAX });
        }
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let entries = self.shared.entries(&self.namespace, keys).await?;
        self.shared.metrics.reads.inc_by(keys.len() as u64);
        self.shared.metrics.found.inc_by(entries.iter().flatten().count() as u64);
        Ok(entries)
    }

    /// Writes an entry, whatever was there, and returns its revision.
    ///
    /// # Errors
    /// When the value is too large, the store is full or cannot be asked, or nobody knows whether it did it.
    ///
    /// # Cancel safety
    /// The write may or may not happen.
    pub async fn set(&self, key: &Key, value: Value, ttl: Ttl) -> Result<Revision, WriteError> {
        let revisions = self.set_many(vec![(key.clone(), value)], ttl).await?;
        Ok(revisions[0])
    }

    /// Writes several entries (at most 256, together at most 32 MiB), all or none, and returns their revisions in the same order. If a key comes
    /// twice, the later one stays.
    ///
    /// # Errors
    /// As [`set`](Self::set); and when they are too many or together too large.
    ///
    /// # Cancel safety
    /// The write may or may not happen, as a whole.
    pub async fn set_many(&self, entries: Vec<(Key, Value)>, ttl: Ttl) -> Result<Vec<Revision>, WriteError> {
        self.shared.admit(entries.iter().map(|(_, value)| value))?;
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let (keys, values): (Vec<_>, _) = entries.into_iter().unzip();
        let records = self.shared.records(values).await?;
        let writes: Vec<_> = keys.iter().zip(records).map(|(key, record)| self.write(key, record, ttl)).collect();
        let revisions: Vec<_> = writes.iter().map(|write| write.revision).collect();
        self.shared.change(&self.namespace, &keys, self.shared.store.write(&self.namespace, writes)).await?;
        self.shared.metrics.writes.inc_by(keys.len() as u64);
        Ok(revisions)
    }

    /// Writes an entry if what is there is what is expected, and returns its revision. Of several at once with the same expectation one succeeds.
    ///
    /// # Errors
    /// [`CompareError::Conflict`] when something else is there; otherwise as [`set`](Self::set).
    ///
    /// # Cancel safety
    /// The write may or may not happen. Reading the key tells.
    pub async fn compare_and_set(&self, key: &Key, expected: Expected, value: Value, ttl: Ttl) -> Result<Revision, CompareError> {
        self.shared.admit([&value].into_iter())?;
        let mut records = self.shared.records(vec![value]).await?;
        let write = self.write(key, records.remove(0), ttl);
        let revision = write.revision;
        self.swap(key, expected, Some(write)).await?;
        self.shared.metrics.writes.inc();
        Ok(revision)
    }

    /// Deletes an entry if it is of this write.
    ///
    /// # Errors
    /// [`CompareError::Conflict`] when something else is there, or nothing; otherwise as [`delete`](Self::delete).
    ///
    /// # Cancel safety
    /// The delete may or may not happen.
    pub async fn compare_and_delete(&self, key: &Key, revision: Revision) -> Result<(), CompareError> {
        self.swap(key, Expected::Revision(revision), None).await
    }

    /// Deletes an entry; false: there was none.
    ///
    /// # Errors
    /// When the store cannot be asked, or nobody knows whether it did it. Deleting twice is harmless.
    ///
    /// # Cancel safety
    /// The delete may or may not happen.
    pub async fn delete(&self, key: &Key) -> Result<bool, WriteError> {
        Ok(self.delete_many(std::slice::from_ref(key)).await? > 0)
    }

    /// Deletes several entries (at most 256), all or none, and returns how many there were.
    ///
    /// # Errors
    /// As [`delete`](Self::delete); and when there are too many keys.
    ///
    /// # Cancel safety
    /// The delete may or may not happen, as a whole.
    pub async fn delete_many(&self, keys: &[Key]) -> Result<u64, WriteError> {
        if keys.len() > limits::KEYS_PER_CALL_MAX {
            return Err(WriteError::TooMany { count: keys.len(), max: limits::KEYS_PER_CALL_MAX });
        }
        if keys.is_empty() {
            return Ok(0);
        }
        self.shared.change(&self.namespace, keys, self.shared.store.delete(&self.namespace, keys)).await
    }

    /// Gives an entry a new time to live, counted from now; false: there is none. Its content and its revision stay, and watches do not tell.
    ///
    /// # Errors
    /// When the store cannot be asked, or nobody knows whether it did it. Touching twice is harmless.
    ///
    /// # Cancel safety
    /// The touch may or may not happen.
    pub async fn touch(&self, key: &Key, ttl: Ttl) -> Result<bool, WriteError> {
        let ttl = self.resolve(ttl);
        let keys = std::slice::from_ref(key);
        self.shared.change(&self.namespace, keys, self.shared.store.touch(&self.namespace, key, ttl)).await
    }

    /// Keys with a prefix, in ascending order of their bytes: the first `limit` (1 to 1,024; what is outside is taken as the nearest) behind
    /// `after`. Go on with [`Page::next`] until there is none. A key that has an entry during the whole of it comes once; one that comes or goes
    /// meanwhile may be in it.
    ///
    /// # Errors
    /// When the store cannot be asked, or what it holds cannot be read.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn scan(&self, prefix: &Prefix, after: Option<&Key>, limit: usize) -> Result<Page, ReadError> {
        self.page(Scan { kind: Kind::Entries, prefix, after, limit }).await
    }

    pub(crate) async fn page(&self, scan: Scan<'_>) -> Result<Page, ReadError> {
        let limit = scan.limit.clamp(1, limits::SCAN_PAGE_MAX);
        let keys = self.shared.store.scan(&self.namespace, Scan { limit, ..scan }).await?;
        let next = if keys.len() < limit { None } else { keys.last().cloned() };
        Ok(Page { keys, next })
    }

    /// Follows the entries with a prefix, beginning with what is there.
    ///
    /// ```
    /// # use myelin_mesh::{Changed, EmbeddedConfig, Key, Mesh, MeshConfig, Namespace, Prefix, Ttl, WatchEvent};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let mesh = Mesh::embedded(EmbeddedConfig::new(directory.path()), MeshConfig::default()).await?;
    /// let jobs = mesh.space(Namespace::new("fleet")?);
    /// let mut watch = jobs.watch(&Prefix::new("job/")?);
    /// assert_eq!(watch.next().await?, WatchEvent::Live);
    /// jobs.set(&Key::new("job/1")?, "sweep".into(), Ttl::DEFAULT).await?;
    /// let WatchEvent::Change(change) = watch.next().await? else { panic!("it was just written") };
    /// assert_eq!(change.key.as_str(), "job/1");
    /// assert!(matches!(change.to, Changed::Put(entry) if entry.value == "sweep".into()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch(&self, prefix: &Prefix) -> Watch {
        Watch::new(Arc::clone(&self.shared), self.namespace.clone(), prefix.clone(), None)
    }

    /// Follows the entries with a prefix from where another watch of this namespace was. If too much happened since, it begins with
    /// [`WatchEvent::Resync`](crate::WatchEvent::Resync).
    pub fn watch_from(&self, prefix: &Prefix, position: WatchPosition) -> Watch {
        Watch::new(Arc::clone(&self.shared), self.namespace.clone(), prefix.clone(), Some(position))
    }

    /// What this namespace has in the store.
    ///
    /// # Errors
    /// When the store cannot be asked, or what it holds cannot be read.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn stats(&self) -> Result<SpaceStats, ReadError> {
        Ok(self.shared.store.stats(&self.namespace).await?)
    }

    async fn swap(&self, key: &Key, expected: Expected, new: Option<Write>) -> Result<(), CompareError> {
        let work = self.shared.store.swap(&self.namespace, key, expected, new);
        match self.shared.change(&self.namespace, std::slice::from_ref(key), work).await? {
            Swapped::Done => Ok(()),
            Swapped::Conflict(current) => {
                self.shared.metrics.conflicts.inc();
                Err(CompareError::Conflict { current })
            }
        }
    }

    fn write(&self, key: &Key, record: Bytes, ttl: Ttl) -> Write {
        Write { key: key.clone(), revision: self.shared.revisions.next(), record, ttl: self.resolve(ttl) }
    }

    fn resolve(&self, ttl: Ttl) -> Option<Duration> {
        ttl.resolve(self.ttl_default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever a program spawns has to be `Send`; with native async methods only a use of it tells.
    #[test]
    fn futures_of_the_handles_are_send() {
        fn is_send<F: Send>(_: impl FnOnce(Space, Key, Watch) -> F) {}
        is_send(|space, key, mut watch| async move {
            drop(space.get(&key).await);
            drop(space.set_many(Vec::new(), Ttl::DEFAULT).await);
            drop(space.compare_and_set(&key, Expected::Absent, Value::default(), Ttl::DEFAULT).await);
            drop(space.scan(&Prefix::all(), None, 1).await);
            drop(space.append(&crate::Window::new(key.clone()), Value::default()).await);
            drop(space.recent(&crate::Window::new(key.clone()), crate::Recent::last(1)).await);
            drop(space.delete(&key).await);
            drop(space.touch(&key, Ttl::DEFAULT).await);
            drop(watch.next().await);
            drop(space.stats().await);
        });
    }
}
