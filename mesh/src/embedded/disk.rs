//! A disk in memory that loses power and runs full.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

/// Cloning shares it: what is on it outlives the database that uses it.
#[derive(Debug, Clone, Default)]
pub(in crate::embedded) struct Disk(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// As whoever reads sees it.
    seen: Vec<u8>,
    /// As it was at the last sync.
    synced: Vec<u8>,
    /// Written since.
    unsynced: Vec<(usize, Vec<u8>)>,
    /// Blocks that were ever written. They stay what they are when the disk is full.
    blocks: HashSet<usize>,
    /// Writes to other blocks until it is full; `None`: it never is.
    writes_left: Option<usize>,
    syncs: usize,
    syncs_fail: bool,
}

/// What goes to a disk as a whole.
const SECTOR: usize = 512;
/// What a disk gives to a file as a whole.
const BLOCK: usize = 4096;

impl Disk {
    /// Power is lost: of what was not synced, some sectors are there and some are not.
    pub(in crate::embedded) fn cut_power(&self, random: &mut fastrand::Rng) {
        let mut inner = self.0.lock();
        let unsynced = std::mem::take(&mut inner.unsynced);
        let mut left = inner.synced.clone();
        if random.bool() {
            left.resize(inner.seen.len(), 0);
        }
        for (at, data) in unsynced {
            for (number, sector) in data.chunks(SECTOR).enumerate() {
                let at = at + number * SECTOR;
                if at + sector.len() <= left.len() && random.bool() {
                    left[at..at + sector.len()].copy_from_slice(sector);
                }
            }
        }
        inner.seen.clone_from(&left);
        inner.synced = left;
    }

    /// After so many writes to where nothing was there is no space; `None`: there is again.
    pub(in crate::embedded) fn fill_after(&self, writes: Option<usize>) {
        self.0.lock().writes_left = writes;
    }

    /// Another disk with the same on it, synced and not synced.
    pub(in crate::embedded) fn snapshot(other: &Self) -> Self {
        let other = other.0.lock();
        let blocks = other.blocks.clone();
        let (seen, synced, unsynced) = (other.seen.clone(), other.synced.clone(), other.unsynced.clone());
        Self(Arc::new(Mutex::new(Inner { seen, synced, unsynced, blocks, ..Inner::default() })))
    }

    /// Another disk with the same on it, all of it synced.
    pub(in crate::embedded) fn copy(other: &Self) -> Self {
        let other = other.0.lock();
        let (seen, blocks) = (other.seen.clone(), other.blocks.clone());
        Self(Arc::new(Mutex::new(Inner { synced: seen.clone(), seen, blocks, ..Inner::default() })))
    }

    /// Where something is.
    pub(in crate::embedded) fn used(&self) -> Vec<usize> {
        let inner = self.0.lock();
        (0..inner.seen.len()).filter(|at| inner.seen[*at] != 0).collect()
    }

    /// Flips a bit in each of these places.
    pub(in crate::embedded) fn flip(&self, places: &[usize], bit: u8) {
        let mut inner = self.0.lock();
        for at in places {
            inner.seen[*at] ^= 1 << bit;
        }
        inner.synced = inner.seen.clone();
    }

    /// Whether nothing can be made durable any more.
    pub(in crate::embedded) fn fail_syncs(&self, fail: bool) {
        self.0.lock().syncs_fail = fail;
    }

    /// How often something was made durable.
    pub(in crate::embedded) fn syncs(&self) -> usize {
        self.0.lock().syncs
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        let inner = self.0.lock();
        let found = inner.seen.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.lock().seen.resize(usize::try_from(len).map_err(io::Error::other)?, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut inner = self.0.lock();
        if inner.syncs_fail {
            return Err(io::Error::other("the disk is broken"));
        }
        let Inner { seen, synced, unsynced, syncs, .. } = &mut *inner;
        *syncs += 1;
        synced.resize(seen.len(), 0);
        for (at, data) in unsynced.drain(..) {
            synced[at..at + data.len()].copy_from_slice(&data);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        let mut inner = self.0.lock();
        let blocks = at / BLOCK..(at + data.len()).div_ceil(BLOCK);
        let is_new = blocks.clone().any(|block| !inner.blocks.contains(&block));
        if let Some(left) = inner.writes_left.as_mut().filter(|_| is_new) {
            *left = left.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
        }
        inner.blocks.extend(blocks);
        inner.seen[at..at + data.len()].copy_from_slice(data);
        inner.unsynced.push((at, data.to_vec()));
        Ok(())
    }
}
