//! Secrets in files: read whole, never quoted, and a warning when others can read them too.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tracing::warn;

use crate::codec::SecretError;

/// Longest file of keys or passwords: the longest list of clients fits, and a wrong path to something large ends early.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Why a file of secrets cannot be used. It names the file and the line, and never what is on it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretFileError {
    /// It cannot be read, or is no text.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It says something wrong.
    #[error("{} is not usable", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What and where.
        #[source]
        source: SecretError,
    },
}

/// Reads a file of secrets through one of the parsers: [`Users::parse`](super::Users::parse), [`Login::read`](super::Login::read),
/// [`KeyPair::read`](super::KeyPair::read). For the start of a process: it blocks. Logs a warning when the file is readable by everybody.
///
/// # Errors
/// When the file cannot be read, is longer than 16 MiB, or says something wrong.
pub fn read_secrets<T>(path: &Path, parse: impl FnOnce(&str) -> Result<T, SecretError>) -> Result<T, SecretFileError> {
    let (parsed, mode) = read(path, parse)?;
    if mode & 0o004 != 0 {
        warn!(path = %path.display(), mode = format_args!("{:03o}", mode & 0o777), "everybody on this machine can read this file of secrets");
    }
    Ok(parsed)
}

/// As [`read_secrets`], for what everybody may know: [`PublicKey::read`](super::PublicKey::read), [`Clients::parse`](super::Clients::parse).
///
/// # Errors
/// As [`read_secrets`].
pub fn read_public<T>(path: &Path, parse: impl FnOnce(&str) -> Result<T, SecretError>) -> Result<T, SecretFileError> {
    read(path, parse).map(|(parsed, _)| parsed)
}

/// What the file says, and its mode.
fn read<T>(path: &Path, parse: impl FnOnce(&str) -> Result<T, SecretError>) -> Result<(T, u32), SecretFileError> {
    let whole = || {
        let file = File::open(path)?;
        let mode = file.metadata()?.permissions().mode();
        let mut text = String::new();
        if file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)? as u64 > FILE_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok((text, mode))
    };
    let (text, mode) = whole().map_err(|source| SecretFileError::Read { path: path.into(), source })?;
    let parsed = parse(&text).map_err(|source| SecretFileError::Content { path: path.into(), source })?;
    Ok((parsed, mode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Users;

    #[test]
    fn a_file_is_read_or_named() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let path = scratch.path().join("users");
        assert!(matches!(read_secrets(&path, Users::parse), Err(SecretFileError::Read { .. })));
        std::fs::write(&path, "agent:secret\nwrong\n").expect("written");
        let error = read_secrets(&path, Users::parse).expect_err("line 2");
        assert!(matches!(&error, SecretFileError::Content { source: SecretError { line: 2, .. }, .. }));
        assert!(error.to_string().contains("users") && !super::super::chain(&error).contains("wrong"));
        std::fs::write(&path, "agent:secret\n").expect("written");
        assert!(read_secrets(&path, Users::parse).is_ok());
    }
}
