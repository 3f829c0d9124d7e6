//! A directory of streams.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::warn;

use crate::clock::Clock;
use crate::config::{Name, StreamConfig};
use crate::disk::{Disk, Real};
use crate::handle::Stream;
use crate::record::Salt;
use crate::reserve::{self, Reserve};
use crate::stream::{self, Damage, Live, OpenError};

/// Streams in a directory of this machine. Cloning shares it; [`close`](Self::close) ends it.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    disk: Disk,
    reserve: Reserve,
    clock: Clock,
    streams: Mutex<BTreeMap<Name, Arc<Live>>>,
    /// Streams that could not be opened, whose directories nobody touches.
    closed: BTreeSet<Name>,
    /// Held for as long as the store is open, so that no other process writes the same files.
    _lock: Option<fs::File>,
}

/// A store that was opened, and what is wrong with it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Opened {
    /// The store. Everything that can be read is in it.
    pub store: Store,
    /// What cannot.
    pub damage: Vec<Damage>,
    /// Streams that cannot be opened at all; their directories are left as they are.
    pub unopened: Vec<(Name, OpenError)>,
}

/// Why a stream was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// There is one of this name already.
    #[error("stream {name:?} exists", name = name.as_str())]
    Exists {
        /// Its name.
        name: Name,
    },
    /// There is one of this name that could not be opened. Its directory is left as it is for whoever can repair it.
    #[error("stream {name:?} exists and could not be opened", name = name.as_str())]
    Unopened {
        /// Its name.
        name: Name,
    },
    /// Another stream stores some of the same subjects.
    #[error("stream {other:?} stores some of the same subjects", other = other.as_str())]
    Overlap {
        /// That stream.
        other: Name,
    },
    /// The system refused.
    #[error("cannot make the stream")]
    Open(#[from] OpenError),
}

impl CreateError {
    /// Whether there was no room on the disk.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Open(OpenError::Io { source, .. }) if reserve::is_full(source))
    }
}

impl Store {
    /// Opens the store in `directory`, which is made if it is not there. Reads every stream from its beginning: about a second per gigabyte.
    ///
    /// # Errors
    /// When the directory cannot be used, or another process has it open. A damaged stream is no error.
    pub fn open(directory: &Path) -> Result<Opened, OpenError> {
        let failed = |source| OpenError::Io { what: directory.display().to_string().into(), source };
        fs::create_dir_all(directory).map_err(failed)?;
        let lock = fs::OpenOptions::new().create(true).truncate(false).write(true).open(directory.join("lock")).map_err(failed)?;
        if let Err(error) = lock.try_lock() {
            let source = match error {
                fs::TryLockError::WouldBlock => io::Error::new(io::ErrorKind::ResourceBusy, "another process has it open"),
                fs::TryLockError::Error(error) => error,
            };
            return Err(failed(source));
        }
        Self::open_disk(Disk::Real(Real::new(directory)), Some(lock))
    }

    /// Opens a store on a disk that a test can break.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    #[cfg(feature = "faulty")]
    pub fn open_faulty(disk: &crate::Faulty) -> Result<Opened, OpenError> {
        Self::open_disk(Disk::Faulty(disk.clone()), None)
    }

    pub(crate) fn open_disk(disk: Disk, lock: Option<fs::File>) -> Result<Opened, OpenError> {
        let failed = |source| OpenError::Io { what: "streams".into(), source };
        disk.create_directory("streams").map_err(failed)?;
        let reserve = Reserve::open(&disk).map_err(failed)?;
        let clock = Clock::default();
        let (mut streams, mut damage, mut unopened) = (BTreeMap::new(), Vec::new(), Vec::new());
        for name in disk.list("streams").map_err(failed)?.iter().filter_map(|name| Name::new(name).ok()) {
            if stream::is_leftover(&disk, &name).map_err(failed)? {
                stream::remove(&disk, &name)?;
                continue;
            }
            match stream::open(&disk, &reserve, &name, clock.now_ms()) {
                Ok((state, missing)) => {
                    damage.extend(missing);
                    let live = Live::start(name.clone(), disk.clone(), reserve.clone(), clock.clone(), state).map_err(failed)?;
                    streams.insert(name, live);
                }
                Err(error) => unopened.push((name, error)),
            }
        }
        // A full disk is no reason not to open: what is in the reserve is there, and the rest is tried again.
        if let Err(error) = reserve.fill() {
            warn!(%error, bytes = reserve.bytes(), "the reserve is not whole");
        }
        let closed = unopened.iter().map(|(name, _)| name.clone()).collect();
        let shared = Shared { disk, reserve, clock, streams: Mutex::new(streams), closed, _lock: lock };
        Ok(Opened { store: Self { shared: Arc::new(shared) }, damage, unopened })
    }

    /// Makes a stream.
    ///
    /// # Errors
    /// When one of this name exists, another has some of its subjects, or the system refuses.
    pub fn create(&self, config: StreamConfig) -> Result<Stream, CreateError> {
        let shared = &self.shared;
        let mut streams = shared.streams.lock();
        if streams.contains_key(&config.name) {
            return Err(CreateError::Exists { name: config.name });
        }
        if shared.closed.contains(&config.name) {
            return Err(CreateError::Unopened { name: config.name });
        }
        if let Some(other) = overlapping(&streams, &config) {
            return Err(CreateError::Overlap { other });
        }
        let name = config.name.clone();
        let salt = Salt(random());
        let state = stream::create(&shared.disk, config, salt)?;
        let live = Live::start(name.clone(), shared.disk.clone(), shared.reserve.clone(), shared.clock.clone(), state)
            .map_err(|source| OpenError::Io { what: format!("the thread of stream {name}").into(), source })?;
        streams.insert(name, Arc::clone(&live));
        Ok(Stream::new(live))
    }

    /// The stream of this name.
    pub fn stream(&self, name: &Name) -> Option<Stream> {
        self.shared.streams.lock().get(name).cloned().map(Stream::new)
    }

    /// All streams, by name.
    pub fn streams(&self) -> Vec<Stream> {
        self.shared.streams.lock().values().cloned().map(Stream::new).collect()
    }

    /// Deletes a stream with everything in it. Tells whether there was one. Blocks while files are removed.
    ///
    /// # Errors
    /// When they cannot be removed.
    pub fn delete(&self, name: &Name) -> Result<bool, OpenError> {
        let Some(live) = self.shared.streams.lock().remove(name) else { return Ok(false) };
        live.close();
        stream::remove(&self.shared.disk, name)?;
        Ok(true)
    }

    /// Writes and syncs what is there and ends every stream. Blocks for as long as the disk takes.
    pub fn close(&self) {
        let streams = std::mem::take(&mut *self.shared.streams.lock());
        streams.values().for_each(|live| live.close());
    }
}

/// Nobody writes the files any more when the lock on them is given back.
impl Drop for Shared {
    fn drop(&mut self) {
        self.streams.get_mut().values().for_each(|live| live.close());
    }
}

/// A stream that has some of the same subjects.
fn overlapping(streams: &BTreeMap<Name, Arc<Live>>, config: &StreamConfig) -> Option<Name> {
    streams.values().find(|live| live.read(|state| state.core.config.shares_subjects(config))).map(|live| live.name.clone())
}

/// A number that nobody can guess from outside of this process.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
