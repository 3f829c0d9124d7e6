//! Space kept back for the records that free space.
//!
//! On a full disk an ack, a term or a delete still has to be noted, or nothing would ever go. Files of the reserve become segments by being
//! renamed, so that no other process can take the space in between.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::Disk;
use crate::log::{SEGMENT_BYTES_MIN, Segment, SegmentId};

/// Files in the reserve: 16 MiB in all, which is more than 200,000 acks.
pub(crate) const FILES: usize = 16;

const DIRECTORY: &str = "reserve";

/// The reserve of a store, shared by its streams.
#[derive(Debug, Clone)]
pub(crate) struct Reserve {
    disk: Disk,
    /// Numbers of the files that are there.
    files: Arc<Mutex<Vec<usize>>>,
}

impl Reserve {
    /// Finds what is there. [`fill`](Self::fill) makes the rest.
    pub(crate) fn open(disk: &Disk) -> io::Result<Self> {
        disk.create_directory(DIRECTORY)?;
        let names = disk.list(DIRECTORY)?;
        let files = (0..FILES).filter(|number| names.contains(&number.to_string())).collect();
        Ok(Self { disk: disk.clone(), files: Arc::new(Mutex::new(files)) })
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.files.lock().len() == FILES
    }

    /// Bytes that are kept back.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.lock().len() as u64 * SEGMENT_BYTES_MIN
    }

    /// Makes what is missing.
    ///
    /// # Errors
    /// When the disk has no space for it; what was made stays.
    pub(crate) fn fill(&self) -> io::Result<()> {
        let mut files = self.files.lock();
        for number in 0..FILES {
            if !files.contains(&number) {
                self.disk.create(&format!("{DIRECTORY}/{number}"), SEGMENT_BYTES_MIN)?;
                files.push(number);
            }
        }
        Ok(())
    }

    /// Takes a file out of the reserve to be a segment; `None` if there is none left.
    pub(crate) fn take(&self, directory: &str, id: SegmentId) -> io::Result<Option<Segment>> {
        let Some(number) = self.files.lock().pop() else { return Ok(None) };
        let name = format!("{directory}/{id}");
        self.disk.rename(&format!("{DIRECTORY}/{number}"), &name)?;
        let file = Arc::new(self.disk.open(&name)?);
        Ok(Some(Segment { id, file, capacity: SEGMENT_BYTES_MIN, is_reserve: true }))
    }
}
