//! Space kept back for the records that free space.
//!
//! On a full disk an ack, a term or a delete still has to be noted, or nothing would ever go. Files of the reserve become segments by being
//! renamed, so that no other process can take the space in between.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::Disk;
use crate::log::{SEGMENT_BYTES_MIN, Segment, SegmentId, Want};

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
        let mut files = Vec::new();
        for number in disk.list(DIRECTORY)?.iter().filter_map(|name| (0..FILES).find(|number| number.to_string() == *name)) {
            let name = format!("{DIRECTORY}/{number}");
            // One that the end of the process cut short has not the space that it is there for.
            if disk.open(&name)?.len()? == SEGMENT_BYTES_MIN {
                files.push(number);
            } else {
                disk.remove(&name)?;
            }
        }
        Ok(Self { disk: disk.clone(), files: Arc::new(Mutex::new(files)) })
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

    /// Makes a segment, behind what the reserve lacks; `None` if the disk is full.
    ///
    /// # Errors
    /// When the disk fails for another reason than want of space.
    pub(crate) fn make(&self, directory: &str, want: Want) -> io::Result<Option<Segment>> {
        match self.fill().and_then(|()| Segment::create(&self.disk, directory, want.id, want.bytes)) {
            Ok(segment) => Ok(Some(segment)),
            Err(error) if !is_full(&error) => Err(error),
            Err(_full) if want.reserve_will_do => self.take(directory, want.id),
            Err(_full) => Ok(None),
        }
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

/// Whether an error means that there is no space.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
