//! Directories for stores that are measured: on a disk, and gone with the run.

use std::path::{Path, PathBuf};

use tempfile::{Builder, TempDir};

use crate::failure::{Doing, Outcome};

/// Makes one below `given`, or beside this program: where temporary files usually go may be memory, whose syncs cost nothing.
///
/// # Errors
/// Nothing can be made there.
pub(crate) fn directory(given: Option<&Path>) -> Outcome<TempDir> {
    let below = given.map_or_else(beside_the_program, Path::to_owned);
    Builder::new().prefix("load-").tempdir_in(&below).doing(|| format!("making a directory in {}", below.display()))
}

fn beside_the_program() -> PathBuf {
    let me = std::env::current_exe().unwrap_or_default();
    me.parent().map_or_else(std::env::temp_dir, Path::to_owned)
}
