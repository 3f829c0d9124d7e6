//! Records on their way to the disk.

use std::io;
use std::mem;
use std::sync::Arc;

use super::{Segment, SegmentId};
use crate::disk::File;

/// Largest buffer that is kept for the next batch: one is large when a few were.
const BUFFER_BYTES_MAX: usize = 1 << 20;

/// Records that are to be written and made durable together. Without a record it may still have something to sync.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    writes: Vec<Write>,
    /// Files of earlier batches that were written and not synced.
    unsynced: Vec<Arc<File>>,
    bytes: usize,
    /// Empty, with the room that an earlier batch needed.
    buffer: Vec<u8>,
    /// Whether somebody waits for this to be durable; else it need only be written.
    pub(crate) is_awaited: bool,
}

#[derive(Debug)]
struct Write {
    segment: SegmentId,
    file: Arc<File>,
    offset: u64,
    bytes: Vec<u8>,
}

impl Batch {
    /// Lets `write` append to what goes into a segment from `offset` on, and tells how many bytes that was.
    pub(super) fn put(&mut self, segment: &Segment, offset: u64, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        if self.writes.last().is_none_or(|last| last.segment != segment.id) {
            self.writes.push(Write { segment: segment.id, file: Arc::clone(&segment.file), offset, bytes: mem::take(&mut self.buffer) });
        }
        let Some(last) = self.writes.last_mut() else { return 0 };
        let before = last.bytes.len();
        write(&mut last.bytes);
        let bytes = last.bytes.len() - before;
        self.bytes += bytes;
        bytes
    }

    /// Begins with a buffer that was used before, instead of growing one.
    pub(super) fn with_buffer(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        if buffer.capacity() > BUFFER_BYTES_MAX {
            buffer = Vec::new();
        }
        Self { buffer, ..Self::default() }
    }

    /// What it was made of; nothing of it is to be written any more.
    pub(super) fn take_buffer(&mut self) -> Vec<u8> {
        self.writes.last_mut().map(|write| mem::take(&mut write.bytes)).unwrap_or_default()
    }

    pub(super) fn has_records(&self) -> bool {
        !self.writes.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Files of an earlier batch that was not synced are synced with this one.
    pub(super) fn sync_as_well(&mut self, unsynced: Vec<Arc<File>>) {
        for file in unsynced {
            if !self.unsynced.iter().any(|other| Arc::ptr_eq(other, &file)) {
                self.unsynced.push(file);
            }
        }
    }

    /// Writes everything; durable after [`sync`](Self::sync).
    pub(crate) fn write(&self) -> io::Result<()> {
        self.writes.iter().try_for_each(|write| write.file.write_at(write.offset, &write.bytes))
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        let earlier = self.unsynced.iter().filter(|file| !self.writes.iter().any(|write| Arc::ptr_eq(&write.file, file)));
        earlier.chain(self.writes.iter().map(|write| &write.file)).try_for_each(|file| file.sync())
    }

    /// The files that still have to be synced, if this was not.
    pub(crate) fn into_unsynced(self) -> Vec<Arc<File>> {
        let mut files = self.unsynced;
        for write in self.writes {
            if !files.iter().any(|file| Arc::ptr_eq(file, &write.file)) {
                files.push(write.file);
            }
        }
        files
    }
}
