//! The file of the store: made whole or not at all, opened only if it is whole.

use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Builder, Database, Error};

use super::core::{Core, FORMAT};
use crate::EmbeddedConfig;
use crate::error::OpenError;

/// Where a store lies, and what it needs to know to be opened again.
#[derive(Debug, Clone)]
pub(super) struct StoreFile {
    path: PathBuf,
    cache_bytes: usize,
    check: bool,
    /// Instead of the path.
    #[cfg(test)]
    pub(super) disk: Option<super::disk::Disk>,
}

const NAME: &str = "memory.redb";
/// A file that is being made. What a crash leaves of it is made anew.
const NAME_UNFINISHED: &str = "memory.redb.new";
/// Written and taken away again.
const NAME_PROBE: &str = "memory.probe";

impl StoreFile {
    pub(super) fn of(config: &EmbeddedConfig) -> Self {
        Self {
            path: config.directory.join(NAME),
            cache_bytes: config.cache_bytes,
            check: config.check_on_open,
            #[cfg(test)]
            disk: None,
        }
    }

    /// Whether the file is there. The directory is made if it is not, and something is written to it: an answer means that it can be used.
    pub(super) fn look(&self) -> Result<bool, OpenError> {
        let directory = self.path.parent().unwrap_or_else(|| Path::new("."));
        let probe = directory.join(NAME_PROBE);
        let looked = fs::create_dir_all(directory)
            .and_then(|()| File::create(&probe))
            .and_then(|_| fs::remove_file(&probe))
            .and_then(|()| self.path.try_exists());
        looked.map_err(|error| io_error(&self.path, &error))
    }

    /// Opens the file, and makes it if there is none.
    pub(super) fn open_or_create(&self, bytes_max: u64) -> Result<(Database, Core), OpenError> {
        match self.path.try_exists() {
            Ok(true) => self.open(bytes_max),
            Ok(false) => self.create().and_then(|()| self.open(bytes_max)),
            Err(error) => Err(io_error(&self.path, &error)),
        }
    }

    /// Opens a file that is there.
    pub(super) fn open(&self, bytes_max: u64) -> Result<(Database, Core), OpenError> {
        let opened = guarded(&self.path, || {
            let database = self.database()?;
            match Core::format(&database)? {
                FORMAT => Ok(Ok((Core::open(&database, bytes_max)?, database))),
                found => Ok(Err(found)),
            }
        })?;
        match opened {
            Ok((core, database)) => Ok((database, core)),
            Err(found) => Err(OpenError::Format { path: shown(&self.path), found, known: FORMAT }),
        }
    }

    fn database(&self) -> Result<Database, redb::DatabaseError> {
        let mut builder = self.builder();
        builder.set_check_integrity_on_open(self.check);
        #[cfg(test)]
        if let Some(disk) = &self.disk {
            return builder.create_with_backend(disk.clone());
        }
        builder.open(&self.path)
    }

    fn create(&self) -> Result<(), OpenError> {
        let directory = self.path.parent().unwrap_or_else(|| Path::new("."));
        let unfinished = directory.join(NAME_UNFINISHED);
        let io = |result: io::Result<()>| result.map_err(|error| io_error(&self.path, &error));
        io(fs::create_dir_all(directory))?;
        io(match fs::remove_file(&unfinished) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        })?;
        guarded(&unfinished, || {
            let database = self.builder().create(&unfinished)?;
            Core::create(&database)?;
            // Closed before it is named: under its name it is always whole.
            Ok(database.close()?)
        })?;
        // Who comes second finds the name taken, and opens what is there.
        io(match fs::hard_link(&unfinished, &self.path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        })?;
        io(fs::remove_file(&unfinished))?;
        io(File::open(directory).and_then(|directory| directory.sync_all()))
    }

    fn builder(&self) -> Builder {
        let mut builder = Builder::new();
        builder.set_cache_size(self.cache_bytes);
        builder
    }
}

/// The library promises errors instead of panics for files that it checks, and the checks of its debug builds are panics. Neither may end a program
/// that only opened a file.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, Error>) -> Result<T, OpenError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(open_error(path, error)),
        Err(_) => Err(OpenError::Damaged { path: shown(path), reason: "the library gave up on it".into() }),
    }
}

fn open_error(path: &Path, error: Error) -> OpenError {
    let path = shown(path);
    match error {
        Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch => OpenError::InUse { path },
        Error::UpgradeRequired(found) => OpenError::Format { path, found: found.into(), known: FORMAT },
        // What is no file of the library is told by an error of this kind, and so is one that is too short.
        Error::Io(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
            OpenError::Damaged { path, reason: error.to_string().into() }
        }
        Error::Io(error) => OpenError::Io { path, reason: error.to_string().into() },
        error => OpenError::Damaged { path, reason: error.to_string().into() },
    }
}

fn io_error(path: &Path, error: &io::Error) -> OpenError {
    OpenError::Io { path: shown(path), reason: error.to_string().into() }
}

fn shown(path: &Path) -> Box<str> {
    path.display().to_string().into()
}
