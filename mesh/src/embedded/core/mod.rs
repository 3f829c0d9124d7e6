//! The core of the embedded store: synchronous, with the time as an argument. It owns what a file cannot tell cheaply, and works on the file that it
//! is given.
//!
//! Invariants:
//! - an entry or window that expires stands in the index of times (`due`) once, not later than it expires;
//! - `spaces` has the sums over `entries`, `windows` and `log`, and no namespace with nothing in it;
//! - what is past its time is not there for readers, whether it was swept or not;
//! - time and positions never go back, over restarts too.

mod entries;
mod reads;
mod rows;
mod sweep;
mod tables;
#[cfg(test)]
mod tests;
mod turn;
mod windows;
mod work;

use redb::{Database, Error, ReadableDatabase, ReadableTable, WriteTransaction};

pub(super) use self::reads::{Listed, read, recent, scan, stats};
use self::rows::Counted;
pub(super) use self::tables::FORMAT;
use self::tables::{META_CLOCK, META_FORMAT, META_TURN, Tables, meta, read_spaces};
use self::turn::Turn;
pub(super) use self::work::{Done, TurnError, Turned, Work};
use crate::store::StoreError;
use crate::{Namespace, Position};

/// See the head of this module.
#[derive(Debug)]
pub(super) struct Core {
    /// Bytes of all names and rows; more are not taken.
    bytes_max: u64,
    bytes: u64,
    /// The last that was given out; in its time no other window gives out the same.
    last: Position,
    /// Commits so far.
    turn: u64,
}

/// How a turn is committed, and what else is done in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct TurnOptions {
    pub(super) now_ms: u64,
    pub(super) durability: redb::Durability,
    /// Whether what is due is swept.
    pub(super) sweep: bool,
}

impl Core {
    /// Makes the tables of a new file.
    pub(super) fn create(database: &Database) -> Result<(), Error> {
        let write = database.begin_write()?;
        Tables::open(&write)?.meta.insert(META_FORMAT, FORMAT)?;
        Ok(write.commit()?)
    }

    /// The format of a file; 0: it has none.
    pub(super) fn format(database: &Database) -> Result<u64, Error> {
        meta(database, META_FORMAT)
    }

    /// The core of a file of ours.
    pub(super) fn open(database: &Database, bytes_max: u64) -> Result<Self, Error> {
        let mut bytes = 0;
        for row in read_spaces(&database.begin_read()?)?.iter()? {
            let (space, row) = row?;
            // A sum that cannot be read makes the bound too generous, and nothing else.
            bytes += Counted::decode(space.value(), row.value()).unwrap_or_default().bytes;
        }
        // Nothing of the time that is written there is used again.
        let last = Position { time_ms: meta(database, META_CLOCK)? + 1, sequence: 0 };
        Ok(Self { bytes_max, bytes, last, turn: meta(database, META_TURN)? })
    }

    /// Uses no time before this one: something that was lost may have used it.
    pub(super) fn not_before(&mut self, time_ms: u64) {
        self.last = self.last.max(Position { time_ms, sequence: 0 });
    }

    /// The number of the last turn that was committed.
    pub(super) fn turn_number(&self) -> u64 {
        self.turn
    }

    /// The latest time that was used.
    pub(super) fn clock_ms(&self) -> u64 {
        self.last.time_ms
    }

    /// Does the work, in its order, and makes it durable at once.
    pub(super) fn turn(&mut self, database: &Database, work: &[(Namespace, Work)], options: TurnOptions) -> Result<Turned, TurnError> {
        let mut write = database.begin_write().map_err(|error| TurnError::Before(error.into()))?;
        if write.set_durability(options.durability).is_err() {
            unreachable!("no savepoint was made, and nobody shares the file");
        }
        let (turned, last, bytes) = self.work(&write, work, options).map_err(TurnError::Before)?;
        write.commit().map_err(|error| TurnError::Commit(error.into()))?;
        self.turn += 1;
        (self.last, self.bytes) = (last, bytes);
        Ok(turned)
    }

    fn work(&self, write: &WriteTransaction, work: &[(Namespace, Work)], options: TurnOptions) -> Result<(Turned, Position, u64), Error> {
        let now_ms = options.now_ms.max(self.last.time_ms);
        let mut turn = Turn::new(Tables::open(write)?, now_ms, self.last, self.bytes, self.bytes_max);
        let mut outcomes = Vec::with_capacity(work.len());
        for (space, work) in work {
            outcomes.push(turn.work(space, work)?);
        }
        if options.sweep {
            turn.sweep()?;
        }
        turn.tables.meta.insert(META_CLOCK, now_ms)?;
        turn.tables.meta.insert(META_TURN, self.turn + 1)?;
        turn.finish(outcomes)
    }
}

/// What a failure of the file means to whoever asked to read.
pub(super) fn read_error(error: Error) -> StoreError {
    match error {
        Error::Corrupted(reason) => StoreError::Damaged(reason.into()),
        error => StoreError::Unavailable(error.to_string().into()),
    }
}
