//! How what was put down becomes durable: a batch is taken, written and synced without the state, and given back.

use std::io;

use super::{Core, State};
use crate::log::{Batch, Mark, MarkFile, Tail};

/// How far a stream has been written.
#[derive(Debug)]
pub(crate) struct Commits {
    mark_file: MarkFile,
    is_mark_unsynced: bool,
    durable_lsn: u64,
    written_lsn: u64,
    /// The last message and the last record before the end of the batch that was taken.
    taken: Mark,
}

impl Commits {
    /// Everything before the fresh segment was read, and is durable.
    pub(super) fn new(core: &Core, tail: &Tail, mark_file: MarkFile) -> Self {
        let lsn = tail.next_lsn() - 2;
        let taken = Mark { lsn, sequence: core.last_sequence() };
        Self { mark_file, is_mark_unsynced: false, durable_lsn: lsn, written_lsn: lsn, taken }
    }
}

impl State {
    /// Number of the last record that was put down.
    pub(crate) fn last_lsn(&self) -> u64 {
        self.tail.next_lsn() - 1
    }

    /// Takes what is to be written.
    pub(crate) fn begin_commit(&mut self) -> Batch {
        self.commits.taken = Mark { lsn: self.last_lsn(), sequence: self.core.last_sequence() };
        self.tail.take_batch()
    }

    /// What was taken is written, and synced where that is asked for.
    pub(crate) fn end_commit(&mut self, mut batch: Batch, is_durable: bool) -> io::Result<()> {
        self.tail.written(&mut batch);
        let commits = &mut self.commits;
        commits.written_lsn = commits.written_lsn.max(commits.taken.lsn);
        let is_durable = is_durable || cfg!(myelin_mutant = "ack_before_sync");
        if is_durable {
            commits.durable_lsn = commits.durable_lsn.max(commits.taken.lsn);
            let ahead = if cfg!(myelin_mutant = "mark_ahead") { 9 } else { 0 };
            commits.mark_file.write(Mark { lsn: commits.taken.lsn + ahead, ..commits.taken })?;
            commits.is_mark_unsynced = true;
        } else {
            self.tail.give_back(batch.into_unsynced());
        }
        // Written is enough to be shown: what the end of the process leaves is read at the next start, and synced then.
        self.core.show(self.commits.taken.sequence);
        Ok(())
    }

    /// Number of the last record that is durable.
    pub(crate) fn durable_lsn(&self) -> u64 {
        self.commits.durable_lsn
    }

    /// Number of the last record that was written.
    pub(crate) fn written_lsn(&self) -> u64 {
        self.commits.written_lsn
    }

    pub(crate) fn is_mark_unsynced(&self) -> bool {
        self.commits.is_mark_unsynced
    }

    pub(crate) fn sync_mark(&mut self) -> io::Result<()> {
        self.commits.mark_file.sync()?;
        self.commits.is_mark_unsynced = false;
        Ok(())
    }
}
