//! CURVE keys of a benchmark: one pair for whatever carries the messages, one for all peers. Made for one run, in a directory that goes with it.

use std::path::PathBuf;

use clap::Args;

/// Where the keys are; without them nothing is encrypted.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Keys {
    /// Speak CURVE with the keys in this directory.
    #[arg(long)]
    pub(crate) curve: Option<PathBuf>,
}
