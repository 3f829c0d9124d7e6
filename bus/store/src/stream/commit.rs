//! How what was put down becomes durable: a batch is taken, written and synced without the state, and given back.

use std::io;
use std::sync::Arc;

use super::{Core, State};
use crate::log::{Batch, Mark, MarkFile, Tail};

/// How far a stream has been written.
#[derive(Debug)]
pub(crate) struct Commits {
    mark_file: Arc<MarkFile>,
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
        let mark_file = Arc::new(mark_file);
        Self { mark_file, is_mark_unsynced: false, durable_lsn: lsn, written_lsn: lsn, taken }
    }
}

/// What was taken to be written, and the mark that says how far the log is then.
#[derive(Debug)]
pub(crate) struct Commit {
    batch: Batch,
    mark: Mark,
    mark_file: Arc<MarkFile>,
}

impl Commit {
    /// Writes it, and where that is asked for syncs it and says so in the mark. Blocks for as long as the disk takes.
    pub(crate) fn write(&self, is_synced: bool) -> io::Result<()> {
        self.batch.write()?;
        if is_synced {
            self.batch.sync()?;
        }
        if is_synced || cfg!(myelin_mutant = "ack_before_sync") {
            let ahead = if cfg!(myelin_mutant = "mark_ahead") { 9 } else { 0 };
            self.mark_file.write(Mark { lsn: self.mark.lsn + ahead, ..self.mark })?;
        }
        Ok(())
    }
}

impl State {
    /// Number of the last record that was put down.
    pub(crate) fn last_lsn(&self) -> u64 {
        self.tail.next_lsn() - 1
    }

    /// Takes what is to be written.
    pub(crate) fn begin_commit(&mut self) -> Commit {
        let mark = Mark { lsn: self.last_lsn(), sequence: self.core.last_sequence() };
        self.commits.taken = mark;
        Commit { batch: self.tail.take_batch(), mark, mark_file: Arc::clone(&self.commits.mark_file) }
    }

    /// What was taken is written, and synced where that was asked for.
    pub(crate) fn end_commit(&mut self, commit: Commit, is_synced: bool) {
        let mut batch = commit.batch;
        self.tail.written(&mut batch);
        let commits = &mut self.commits;
        commits.written_lsn = commits.written_lsn.max(commits.taken.lsn);
        if is_synced || cfg!(myelin_mutant = "ack_before_sync") {
            commits.durable_lsn = commits.durable_lsn.max(commits.taken.lsn);
            commits.is_mark_unsynced = true;
        } else {
            self.tail.give_back(batch.into_unsynced());
        }
        // Written is enough to be shown: what the end of the process leaves is read at the next start, and synced then.
        self.core.show(self.commits.taken.sequence);
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

    /// The mark, to be synced by whoever writes it; from here on it counts as that.
    pub(crate) fn take_mark(&mut self) -> Arc<MarkFile> {
        self.commits.is_mark_unsynced = false;
        Arc::clone(&self.commits.mark_file)
    }
}
