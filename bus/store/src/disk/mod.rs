//! Files as the log needs them: allocated before they are written, written at an offset, made durable by a call of their own.
//!
//! Names are relative to the store's directory, with `/` between their parts. The set of disks is closed: the real one, and for tests one in
//! memory that can lose power.

#[cfg(any(test, feature = "faulty"))]
pub(crate) mod faulty;
mod real;

use std::io;

use bytes::Bytes;

pub(crate) use self::real::{Real, RealFile};

/// Where the files are.
#[derive(Debug, Clone)]
pub(crate) enum Disk {
    Real(Real),
    #[cfg(any(test, feature = "faulty"))]
    Faulty(faulty::Faulty),
}

/// One open file.
#[derive(Debug)]
pub(crate) enum File {
    Real(RealFile),
    #[cfg(any(test, feature = "faulty"))]
    Faulty(faulty::FaultyFile),
}

impl Disk {
    /// Makes a file of this many zero bytes whose space is taken from the disk now, so that writing into it cannot fail for lack of it. It and
    /// its name are durable when this returns; after an error nothing is left.
    pub(crate) fn create(&self, name: &str, bytes: u64) -> io::Result<File> {
        match self {
            Self::Real(disk) => disk.create(name, bytes).map(File::Real),
            #[cfg(any(test, feature = "faulty"))]
            Self::Faulty(disk) => disk.create(name, bytes).map(File::Faulty),
        }
    }

    pub(crate) fn open(&self, name: &str) -> io::Result<File> {
        match self {
            Self::Real(disk) => disk.open(name).map(File::Real),
            #[cfg(any(test, feature = "faulty"))]
            Self::Faulty(disk) => disk.open(name).map(File::Faulty),
        }
    }

    /// Makes a directory and those above it, durably. One that exists is fine.
    pub(crate) fn create_directory(&self, name: &str) -> io::Result<()> {
        match self {
            Self::Real(disk) => disk.create_directory(name),
            #[cfg(any(test, feature = "faulty"))]
            Self::Faulty(disk) => disk.create_directory(name),
        }
    }

    /// Names of what is directly in a directory, sorted; a directory that does not exist is empty.
    pub(crate) fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        match self {
            Self::Real(disk) => disk.list(directory),
            #[cfg(any(test, feature = "faulty"))]
            Self::Faulty(disk) => disk.list(directory),
        }
    }

    /// Removes a file, durably. One that is not there is fine.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        match self {
            Self::Real(disk) => disk.remove(name),
            #[cfg(any(test, feature = "faulty"))]
            Self::Faulty(disk) => disk.remove(name),
        }
    }

    /// Removes a directory with all that is in it, durably. One that is not there is fine.
    pub(crate) fn remove_directory(&self, name: &str) -> io::Result<()> {
        match self {
            Self::Real(disk) => disk.remove_directory(name),
            #[cfg(any(test, feature = "faulty"))]
            Self::Faulty(disk) => disk.remove_directory(name),
        }
    }

    /// Gives a file another name, durably, in place of what had it.
    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        match self {
            Self::Real(disk) => disk.rename(from, to),
            #[cfg(any(test, feature = "faulty"))]
            Self::Faulty(disk) => disk.rename(from, to),
        }
    }

    /// Writes a small file whole: after a crash it has its old content or the new one.
    pub(crate) fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let fresh = format!("{name}.new");
        self.remove(&fresh)?;
        let file = self.create(&fresh, content.len() as u64)?;
        file.write_at(0, content)?;
        file.sync()?;
        self.rename(&fresh, name)
    }

    /// Reads a small file whole; `None` if it is not there, larger than `bytes_max`, or cannot be read any more.
    pub(crate) fn read(&self, name: &str, bytes_max: usize) -> io::Result<Option<Bytes>> {
        let file = match self.open(name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound || is_unreadable(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let bytes = usize::try_from(file.len()?).unwrap_or(usize::MAX);
        if bytes > bytes_max {
            return Ok(None);
        }
        let mut content = vec![0; bytes];
        match file.read_exact_at(0, &mut content) {
            Ok(()) => Ok(Some(Bytes::from(content))),
            Err(error) if is_unreadable(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Whether an error means that the medium does not give back what was written. Anything else may go away by itself or by the operator's hand, and
/// is no reason to go on without the file.
pub(crate) fn is_unreadable(error: &io::Error) -> bool {
    let told = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
    told.is_some_and(|errno| MEDIUM_ERRORS.contains(&errno))
}

/// A failed read, and what file systems with checksums of their own say.
const MEDIUM_ERRORS: &[rustix::io::Errno] = &[
    rustix::io::Errno::IO,
    rustix::io::Errno::BADMSG,
    #[cfg(target_os = "linux")]
    rustix::io::Errno::UCLEAN,
];

impl File {
    pub(crate) fn len(&self) -> io::Result<u64> {
        match self {
            Self::Real(file) => file.len(),
            #[cfg(any(test, feature = "faulty"))]
            Self::Faulty(file) => file.len(),
        }
    }

    /// Fills `buffer`; an end of the file before that is an error.
    pub(crate) fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Real(file) => file.read_exact_at(offset, buffer),
            #[cfg(any(test, feature = "faulty"))]
            Self::Faulty(file) => file.read_exact_at(offset, buffer),
        }
    }

    /// Writes all of it. Durable after the next [`sync`](Self::sync) that succeeds; until then any part of it may or may not survive.
    pub(crate) fn write_at(&self, offset: u64, content: &[u8]) -> io::Result<()> {
        match self {
            Self::Real(file) => file.write_at(offset, content),
            #[cfg(any(test, feature = "faulty"))]
            Self::Faulty(file) => file.write_at(offset, content),
        }
    }

    /// Makes all that was written before durable. After an error nobody can say what is, and trying again proves nothing.
    pub(crate) fn sync(&self) -> io::Result<()> {
        match self {
            Self::Real(file) => file.sync(),
            #[cfg(any(test, feature = "faulty"))]
            Self::Faulty(file) => file.sync(),
        }
    }

    /// Cuts or extends the file, durably.
    pub(crate) fn set_len(&self, bytes: u64) -> io::Result<()> {
        match self {
            Self::Real(file) => file.set_len(bytes),
            #[cfg(any(test, feature = "faulty"))]
            Self::Faulty(file) => file.set_len(bytes),
        }
    }
}
