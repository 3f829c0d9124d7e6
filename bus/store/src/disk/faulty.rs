//! A disk in memory that loses power, runs full, flips bits and refuses to read, as a seed or a test says.
//!
//! What was synced survives; of what was only written, each sector of 512 bytes survives or does not, as on a real one. Names are durable at
//! once, because the real disk syncs its directories inside the same call. After power is lost, whatever was open is useless.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

#[cfg(test)]
use fastrand::Rng;
use parking_lot::Mutex;

/// The unit that a disk writes as a whole.
#[cfg(test)]
const SECTOR_BYTES: usize = 512;

/// A disk that a test can break. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct Faulty(Arc<Mutex<State>>);

#[derive(Debug)]
pub(crate) struct FaultyFile {
    disk: Faulty,
    inode: u64,
    /// Of the power: files opened before it was lost are of no use after.
    era: u64,
}

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<String, u64>,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    era: u64,
    /// Bytes that fit in all; `None`: any number.
    capacity: Option<u64>,
    /// Operations until power is lost; `None`: it is not.
    fuse: Option<u64>,
    /// Syncs fail from now on.
    is_broken: bool,
    /// Names that cannot be opened.
    unopenable: BTreeSet<String>,
    /// How long the sync of a segment takes.
    slowness: Duration,
    /// How long that of a mark takes.
    mark_slowness: Duration,
    /// Syncs of each file.
    syncs: BTreeMap<u64, u64>,
}

#[derive(Debug, Default)]
struct Inode {
    durable: Vec<u8>,
    current: Vec<u8>,
    unsynced: Vec<(usize, usize)>,
    /// Bytes that cannot be read, as with a sector that went bad.
    unreadable: Vec<Range<usize>>,
}

impl Faulty {
    /// Loses what was not synced, sector by sector, and gives power again.
    #[cfg(test)]
    pub(crate) fn power_cycle(&self, rng: &mut Rng) {
        let mut state = self.0.lock();
        // All, none or some of it, so that the plain cases come up as often as the odd ones.
        let odds = [0, 50, 100][rng.usize(..3)];
        for inode in state.inodes.values_mut() {
            for (offset, bytes) in std::mem::take(&mut inode.unsynced) {
                let mut at = offset;
                while at < offset + bytes {
                    let end = (at / SECTOR_BYTES + 1) * SECTOR_BYTES;
                    let end = end.min(offset + bytes);
                    if rng.u32(..100) < odds {
                        inode.durable[at..end].copy_from_slice(&inode.current[at..end]);
                    }
                    at = end;
                }
            }
            inode.current.clone_from(&inode.durable);
        }
        state.restart();
    }

    /// The process ends and another begins; the system keeps what was written.
    pub fn process_ends(&self) {
        self.0.lock().restart();
    }

    /// Everything fails from the `operations`th operation that changes something on, as if power were gone.
    pub fn fail_after(&self, operations: u64) {
        self.0.lock().fuse = Some(operations);
    }

    /// How many bytes fit in all; `None`: any number.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.0.lock().capacity = bytes;
    }

    /// Bytes that files take.
    pub fn used(&self) -> u64 {
        self.0.lock().used()
    }

    /// Syncs fail until the next start.
    pub fn break_syncs(&self) {
        self.0.lock().is_broken = true;
    }

    /// From now on, syncing a segment takes this long.
    #[cfg(test)]
    pub(crate) fn slow_down(&self, slowness: Duration) {
        self.0.lock().slowness = slowness;
    }

    /// From now on, syncing a mark takes this long.
    #[cfg(test)]
    pub(crate) fn slow_marks_down(&self, slowness: Duration) {
        self.0.lock().mark_slowness = slowness;
    }

    /// Syncs of all segments that there are.
    #[cfg(test)]
    pub(crate) fn segment_syncs(&self) -> u64 {
        self.syncs(is_segment)
    }

    /// Syncs of all marks that there are.
    #[cfg(test)]
    pub(crate) fn mark_syncs(&self) -> u64 {
        self.syncs(is_mark)
    }

    #[cfg(test)]
    fn syncs(&self, of: impl Fn(&str) -> bool) -> u64 {
        let state = self.0.lock();
        let files = state.names.iter().filter(|(name, _)| of(name));
        files.filter_map(|(_, inode)| state.syncs.get(inode)).sum()
    }

    #[cfg(test)]
    pub(crate) fn flip(&self, name: &str, offset: usize, bit: u8) {
        self.damage(name, |content| {
            if let Some(byte) = content.get_mut(offset) {
                *byte ^= 1 << (bit % 8);
            }
        });
    }

    #[cfg(test)]
    pub(crate) fn wipe(&self, name: &str, offset: usize, bytes: usize) {
        self.damage(name, |content| {
            let end = (offset + bytes).min(content.len());
            content[offset.min(end)..end].fill(0);
        });
    }

    /// Nobody can read these bytes any more.
    #[cfg(test)]
    pub(crate) fn make_unreadable(&self, name: &str, bytes: Range<usize>) {
        let mut state = self.0.lock();
        if let Some(inode) = state.names.get(name).copied().and_then(|inode| state.inodes.get_mut(&inode)) {
            inode.unreadable.push(bytes);
        }
    }

    /// Nobody can open this file any more.
    #[cfg(test)]
    pub(crate) fn make_unopenable(&self, name: &str) {
        self.0.lock().unopenable.insert(name.to_owned());
    }

    /// Everything can be read again, as after a cable was plugged in.
    #[cfg(test)]
    pub(crate) fn heal(&self) {
        let mut state = self.0.lock();
        state.unopenable.clear();
        state.inodes.values_mut().for_each(|inode| inode.unreadable.clear());
    }

    /// Names and lengths of everything.
    #[cfg(test)]
    pub(crate) fn files(&self) -> Vec<(String, usize)> {
        let state = self.0.lock();
        state.names.iter().map(|(name, inode)| (name.clone(), state.inodes[inode].current.len())).collect()
    }

    #[cfg(test)]
    fn damage(&self, name: &str, damage: impl Fn(&mut Vec<u8>)) {
        let mut state = self.0.lock();
        if let Some(inode) = state.names.get(name).copied().and_then(|inode| state.inodes.get_mut(&inode)) {
            damage(&mut inode.current);
            damage(&mut inode.durable);
        }
    }

    fn change<R>(&self, change: impl FnOnce(&mut State) -> io::Result<R>) -> io::Result<R> {
        let mut state = self.0.lock();
        state.burn()?;
        change(&mut state)
    }

    fn file(&self, inode: u64, era: u64) -> FaultyFile {
        FaultyFile { disk: self.clone(), inode, era }
    }

    pub(crate) fn create(&self, name: &str, bytes: u64) -> io::Result<FaultyFile> {
        let (inode, era) = self.change(|state| {
            if state.capacity.is_some_and(|capacity| state.used() + bytes > capacity) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            if state.names.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.next_inode += 1;
            let inode = state.next_inode;
            let content = vec![0; bytes as usize];
            state.inodes.insert(inode, Inode { durable: content.clone(), current: content, ..Inode::default() });
            state.names.insert(name.to_owned(), inode);
            Ok((inode, state.era))
        })?;
        Ok(self.file(inode, era))
    }

    pub(crate) fn open(&self, name: &str) -> io::Result<FaultyFile> {
        let state = self.0.lock();
        if state.unopenable.contains(name) {
            return Err(unreadable());
        }
        let inode = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.file(inode, state.era))
    }

    pub(crate) fn create_directory(&self, _name: &str) -> io::Result<()> {
        self.change(|_| Ok(()))
    }

    pub(crate) fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        let mut names: Vec<String> = Vec::new();
        for name in self.0.lock().names.keys() {
            let inside =
                if directory.is_empty() { Some(&**name) } else { name.strip_prefix(directory).and_then(|name| name.strip_prefix('/')) };
            let entry = inside.and_then(|inside| inside.split('/').next());
            if let Some(entry) = entry
                && names.last().is_none_or(|last| last != entry)
            {
                names.push(entry.to_owned());
            }
        }
        Ok(names)
    }

    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        self.change(|state| {
            state.unlink(name);
            Ok(())
        })
    }

    pub(crate) fn remove_directory(&self, name: &str) -> io::Result<()> {
        let prefix = format!("{name}/");
        self.change(|state| {
            let inside: Vec<_> = state.names.keys().filter(|name| name.starts_with(&prefix)).cloned().collect();
            inside.iter().for_each(|name| state.unlink(name));
            Ok(())
        })
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(|state| {
            let inode = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
            state.unlink(to);
            state.names.insert(to.to_owned(), inode);
            Ok(())
        })
    }
}

impl State {
    fn restart(&mut self) {
        self.era += 1;
        self.fuse = None;
        self.is_broken = false;
    }

    fn used(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[inode].current.len() as u64).sum()
    }

    /// An open file keeps what it has; nobody else sees it, and its space counts as free at once.
    fn unlink(&mut self, name: &str) {
        self.names.remove(name);
    }

    fn slowness_of(&self, inode: u64) -> Duration {
        let named = |what: fn(&str) -> bool| self.names.iter().any(|(name, of)| *of == inode && what(name));
        if named(is_segment) {
            self.slowness
        } else if named(is_mark) {
            self.mark_slowness
        } else {
            Duration::ZERO
        }
    }

    fn burn(&mut self) -> io::Result<()> {
        match &mut self.fuse {
            Some(0) => Err(io::Error::other("no power")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn is_segment(name: &str) -> bool {
    name.ends_with(".seg")
}

fn is_mark(name: &str) -> bool {
    name.ends_with("/mark")
}

impl FaultyFile {
    fn with<R>(&self, act: impl FnOnce(&mut State, u64) -> io::Result<R>) -> io::Result<R> {
        let mut state = self.disk.0.lock();
        if state.era != self.era {
            return Err(io::Error::other("opened before power was lost"));
        }
        act(&mut state, self.inode)
    }

    pub(crate) fn len(&self) -> io::Result<u64> {
        self.with(|state, inode| Ok(state.inodes[&inode].current.len() as u64))
    }

    pub(crate) fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.with(|state, inode| {
            let (inode, from) = (&state.inodes[&inode], offset as usize);
            let to = from + buffer.len();
            if inode.unreadable.iter().any(|bad| bad.start < to && from < bad.end) {
                return Err(unreadable());
            }
            let content = inode.current.get(from..to).ok_or(io::ErrorKind::UnexpectedEof)?;
            buffer.copy_from_slice(content);
            Ok(())
        })
    }

    pub(crate) fn write_at(&self, offset: u64, content: &[u8]) -> io::Result<()> {
        self.with(|state, inode| {
            state.burn()?;
            let inode = state.inodes.get_mut(&inode).ok_or(io::ErrorKind::NotFound)?;
            let from = offset as usize;
            inode.current.get_mut(from..from + content.len()).ok_or(io::ErrorKind::StorageFull)?.copy_from_slice(content);
            inode.unsynced.push((from, content.len()));
            Ok(())
        })
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        let slowness = self.disk.0.lock().slowness_of(self.inode);
        if !slowness.is_zero() {
            thread::sleep(slowness);
        }
        self.with(|state, inode| {
            state.burn()?;
            *state.syncs.entry(inode).or_default() += 1;
            if state.is_broken {
                return Err(io::Error::other("the disk is broken"));
            }
            let inode = state.inodes.get_mut(&inode).ok_or(io::ErrorKind::NotFound)?;
            for (offset, bytes) in std::mem::take(&mut inode.unsynced) {
                inode.durable[offset..offset + bytes].copy_from_slice(&inode.current[offset..offset + bytes]);
            }
            Ok(())
        })
    }

    pub(crate) fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.with(|state, inode| {
            state.burn()?;
            let inode = state.inodes.get_mut(&inode).ok_or(io::ErrorKind::NotFound)?;
            inode.current.resize(bytes as usize, 0);
            inode.durable.clone_from(&inode.current);
            inode.unsynced.clear();
            Ok(())
        })
    }
}

/// What a system says of a medium that fails.
fn unreadable() -> io::Error {
    rustix::io::Errno::IO.into()
}
