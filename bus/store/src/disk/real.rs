//! The disk of this machine.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A directory of the file system.
#[derive(Debug, Clone)]
pub(crate) struct Real {
    root: Arc<Path>,
}

#[derive(Debug)]
pub(crate) struct RealFile(fs::File);

/// How much is written at a time where the file system cannot allocate.
#[cfg(not(target_os = "linux"))]
const ZEROS: [u8; 64 << 10] = [0; 64 << 10];

impl Real {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.into() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(crate) fn create(&self, name: &str, bytes: u64) -> io::Result<RealFile> {
        let path = self.path(name);
        let file = fs::OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        let made = allocate(&file, bytes).and_then(|()| file.sync_all()).and_then(|()| sync_parent(&path));
        if let Err(error) = made {
            // The space that did not suffice is given back; if even that fails, the next start finds the file and removes it.
            drop(fs::remove_file(&path));
            return Err(error);
        }
        Ok(RealFile(file))
    }

    pub(crate) fn open(&self, name: &str) -> io::Result<RealFile> {
        fs::OpenOptions::new().read(true).write(true).open(self.path(name)).map(RealFile)
    }

    pub(crate) fn create_directory(&self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        fs::create_dir_all(&path)?;
        sync_directory(&path)?;
        sync_parent(&path)
    }

    pub(crate) fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.path(directory)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        found(fs::remove_file(&path))?;
        sync_parent(&path)
    }

    pub(crate) fn remove_directory(&self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        found(fs::remove_dir_all(&path))?;
        sync_parent(&path)
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.path(from), self.path(to));
        fs::rename(&from, &to)?;
        sync_parent(&to)?;
        if from.parent() == to.parent() { Ok(()) } else { sync_parent(&from) }
    }
}

impl RealFile {
    pub(crate) fn len(&self) -> io::Result<u64> {
        self.0.metadata().map(|metadata| metadata.len())
    }

    pub(crate) fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    pub(crate) fn write_at(&self, offset: u64, content: &[u8]) -> io::Result<()> {
        self.0.write_all_at(content, offset)
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    pub(crate) fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)?;
        self.0.sync_all()
    }
}

/// Something that was gone already is as removed as can be.
fn found(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), sync_directory)
}

/// A name is durable when its directory is.
fn sync_directory(path: &Path) -> io::Result<()> {
    match fs::File::open(path) {
        Ok(directory) => directory.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(target_os = "linux")]
fn allocate(file: &fs::File, bytes: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;

    if bytes == 0 {
        return Ok(());
    }
    loop {
        match fallocate(file, FallocateFlags::empty(), 0, bytes) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            // A file system without it: the first write finds out whether there is space, which the reserve then pays for.
            Err(Errno::OPNOTSUPP) => return file.set_len(bytes),
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn allocate(file: &fs::File, bytes: u64) -> io::Result<()> {
    let mut written = 0;
    while written < bytes {
        let piece = usize::try_from(bytes - written).unwrap_or(usize::MAX).min(ZEROS.len());
        file.write_all_at(&ZEROS[..piece], written)?;
        written += piece as u64;
    }
    Ok(())
}
