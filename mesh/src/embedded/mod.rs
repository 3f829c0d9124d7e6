//! The store in this process.

use std::time::Duration;

use bytes::Bytes;

use crate::error::OpenError;
use crate::store::{Changes, Scan, Store, StoreError, Stored, StoredPage, Swapped, Write};
use crate::window::Range;
use crate::{EmbeddedConfig, Expected, Key, Namespace, Position, SpaceStats, WatchPosition, Window};

/// Not there yet.
#[derive(Debug)]
pub(crate) struct Embedded;

impl Embedded {
    pub(crate) async fn open(config: EmbeddedConfig) -> Result<Self, OpenError> {
        Err(OpenError::Io { path: config.directory.display().to_string().into(), reason: "not there yet".into() })
    }
}

impl Store for Embedded {
    async fn read(&self, _: &Namespace, _: &[Key]) -> Result<Vec<Option<Stored>>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn write(&self, _: &Namespace, _: Vec<Write>) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }

    async fn swap(&self, _: &Namespace, _: &Key, _: Expected, _: Option<Write>) -> Result<Swapped, StoreError> {
        Err(StoreError::Closed)
    }

    async fn delete(&self, _: &Namespace, _: &[Key]) -> Result<u64, StoreError> {
        Err(StoreError::Closed)
    }

    async fn touch(&self, _: &Namespace, _: &Key, _: Option<Duration>) -> Result<bool, StoreError> {
        Err(StoreError::Closed)
    }

    async fn scan(&self, _: &Namespace, _: Scan<'_>) -> Result<Vec<Key>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn append(&self, _: &Namespace, _: &Window, _: Vec<Bytes>) -> Result<Vec<Position>, StoreError> {
        Err(StoreError::Closed)
    }

    async fn recent(&self, _: &Namespace, _: &Window, _: Range) -> Result<StoredPage, StoreError> {
        Err(StoreError::Closed)
    }

    async fn clear(&self, _: &Namespace, _: &Key) -> Result<bool, StoreError> {
        Err(StoreError::Closed)
    }

    async fn head(&self, _: &Namespace) -> Result<WatchPosition, StoreError> {
        Err(StoreError::Closed)
    }

    async fn changes(&self, _: &Namespace, _: WatchPosition, _: Duration) -> Result<Changes, StoreError> {
        Err(StoreError::Closed)
    }

    async fn stats(&self, _: &Namespace) -> Result<SpaceStats, StoreError> {
        Err(StoreError::Closed)
    }

    async fn close(&self) {}
}
