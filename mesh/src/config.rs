//! What may be set.

use std::path::PathBuf;

use crate::embedded::Embedded;
use crate::error::OpenError;
use crate::{Metrics, Ttl, limits};

/// What holds above every store. Everything has a default.
#[derive(Debug, Clone)]
pub struct MeshConfig {
    /// Largest value in bytes, as it is given; default 1 MiB. At most 16 MiB, more is taken as that.
    pub value_bytes_max: usize,
    /// How long an entry lives that names no time; default 24 h. [`Ttl::FOREVER`] has to be meant; [`Ttl::DEFAULT`] is 24 h.
    pub ttl_default: Ttl,
    /// Values from so many bytes on are compressed, if that pays; default 64. `usize::MAX` compresses nothing.
    pub compress_from_bytes: usize,
    /// Where the mesh counts; default: nowhere that anybody reads.
    pub metrics: Metrics,
}

/// The store in this process.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// Where its file is; the directory is made if it is not there. One mesh at a time has it.
    pub directory: PathBuf,
    /// When a write is acknowledged; default: when it survives a power cut.
    pub durability: Durability,
    /// Memory for what was read and written lately, in bytes; default 32 MiB.
    pub cache_bytes: usize,
    /// Bytes of names and encoded values; default 1 GiB. What is beyond is refused as `Full`; what expires makes room.
    pub bytes_max: u64,
    /// Whether the whole file is checked when it is opened; default: yes. It reads all of the file (128 MiB that were in memory took 0.15 s, see
    /// ADR 0010). Without it, damage is found where it is read.
    pub check_on_open: bool,
}

/// What an acknowledgement of the embedded store means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// The write is on the disk: it survives `kill -9` and a power cut. Writes that come together share one sync.
    #[default]
    Synced,
    /// The write is seen by every reader and reaches the disk within a second: the last second may be lost to `kill -9`, a power cut or a bad disk.
    /// What is there afterwards is a state that was once acknowledged, whole.
    Relaxed,
}

impl Default for MeshConfig {
    fn default() -> Self {
        Self {
            value_bytes_max: limits::VALUE_BYTES_DEFAULT,
            ttl_default: Ttl::DEFAULT,
            compress_from_bytes: limits::COMPRESS_FROM_BYTES_DEFAULT,
            metrics: Metrics::default(),
        }
    }
}

impl EmbeddedConfig {
    /// Everything else has its default.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            durability: Durability::default(),
            cache_bytes: limits::EMBEDDED_CACHE_BYTES_DEFAULT,
            bytes_max: limits::EMBEDDED_BYTES_DEFAULT,
            check_on_open: true,
        }
    }

    /// Whether the directory has a store already. It is made if it is not there, and can be written to when this returns: who has no use for a store
    /// yet learns at its start what would be wrong with it later, for a hundredth of what making one costs. Blocks, for three short calls of the
    /// system.
    ///
    /// # Errors
    /// When the directory cannot be made or written to.
    pub fn has_store(&self) -> Result<bool, OpenError> {
        Embedded::look_for(self)
    }
}
