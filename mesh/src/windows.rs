//! The memory of one namespace: its windows.

use std::slice;

use crate::error::{ReadError, WriteError};
use crate::record::compressed_bytes;
use crate::store::{Kind, Scan, Store, StoredPage};
use crate::window::Range;
use crate::{Key, Page, Position, Prefix, Recent, Space, Value, Window, WindowEntry, WindowPage, limits};

impl Space {
    /// Appends to a window and trims it by its count and its age, in one step. Returns the place of the new entry.
    ///
    /// # Errors
    /// When the value is too large, the store is full or cannot be asked, or nobody knows whether it did it. An append is never repeated by the
    /// mesh: done twice, it is in the window twice.
    ///
    /// # Cancel safety
    /// The append may or may not happen.
    pub async fn append(&self, window: &Window, value: Value) -> Result<Position, WriteError> {
        let positions = self.append_all(window, slice::from_ref(&value)).await?;
        Ok(positions[0])
    }

    /// Appends several entries (at most 256, together at most 32 MiB) in their order, all or none. Returns their places.
    ///
    /// # Errors
    /// As [`append`](Self::append); and when they are too many or together too large.
    ///
    /// # Cancel safety
    /// The append may or may not happen, as a whole.
    pub async fn append_many(&self, window: &Window, values: &[Value]) -> Result<Vec<Position>, WriteError> {
        if values.is_empty() { Ok(Vec::new()) } else { self.append_all(window, values).await }
    }

    async fn append_all(&self, window: &Window, values: &[Value]) -> Result<Vec<Position>, WriteError> {
        self.shared.admit(values.iter())?;
        let records = self.shared.records(values.to_vec()).await?;
        let positions = self.shared.told(self.shared.store.append(&self.namespace, window, records).await)?;
        self.shared.metrics.appends.inc_by(positions.len() as u64);
        Ok(positions)
    }

    /// Entries of a window, oldest first: never one past its bounds, never more than 1,024 or 4 MiB at once (one entry is always there).
    ///
    /// # Errors
    /// When the store cannot be asked, or what it holds cannot be read.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn recent(&self, window: &Window, which: Recent) -> Result<WindowPage, ReadError> {
        let mut page = self.shared.store.recent(&self.namespace, window, which.0).await?;
        page.cut(which.0);
        let (positions, records): (Vec<_>, _) = page.entries.into_iter().unzip();
        let values = self.shared.values(records).await?;
        let entries = positions.into_iter().zip(values).map(|(position, value)| Ok(WindowEntry { position, value: value? }));
        Ok(WindowPage { entries: entries.collect::<Result<_, ReadError>>()?, more: page.more })
    }

    /// Takes a window away with all that is in it; false: there was none.
    ///
    /// # Errors
    /// When the store cannot be asked, or nobody knows whether it did it. Clearing twice is harmless.
    ///
    /// # Cancel safety
    /// It may or may not happen.
    pub async fn clear(&self, window: &Key) -> Result<bool, WriteError> {
        self.shared.told(self.shared.store.clear(&self.namespace, window).await)
    }

    /// Keys of windows with a prefix, as [`scan`](Self::scan).
    ///
    /// # Errors
    /// When the store cannot be asked, or what it holds cannot be read.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn scan_windows(&self, prefix: &Prefix, after: Option<&Key>, limit: usize) -> Result<Page, ReadError> {
        self.page(Scan { kind: Kind::Windows, prefix, after, limit }).await
    }
}

impl StoredPage {
    /// Keeps what stays within [`limits::RECENT_DECODED_BYTES_MAX`] when it is decoded, and one entry at least: the newest where the newest were
    /// asked for, else the oldest.
    fn cut(&mut self, range: Range) {
        let mut left = limits::RECENT_DECODED_BYTES_MAX;
        let mut fits = |(_, record): &(Position, bytes::Bytes)| {
            let bytes = compressed_bytes(record).unwrap_or(record.len());
            let fits = bytes <= left;
            left = left.saturating_sub(bytes);
            fits
        };
        let count = self.entries.len();
        match range {
            Range::Last { .. } => {
                let kept = self.entries.iter().rev().take_while(|entry| fits(entry)).count().max(1).min(count);
                self.entries.drain(..count - kept);
            }
            Range::Since { .. } | Range::After { .. } => {
                let kept = self.entries.iter().take_while(|entry| fits(entry)).count().max(1);
                self.entries.truncate(kept);
            }
        }
        self.more |= self.entries.len() < count;
    }
}
