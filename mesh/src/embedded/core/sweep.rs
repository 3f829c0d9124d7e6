//! Sweeping: what is past its time goes, a bounded number at a time.

use redb::{Error, ReadableTable};

use super::entries::Found;
use super::rows::{NEVER, Row, WindowRow};
use super::tables::{Of, due_name, parse_due_name, parse_name};
use super::turn::Turn;
use crate::limits;
use crate::store::What;

impl Turn<'_> {
    /// One bounded part of what is due. If there is more, the turn's next time is in the past.
    pub(super) fn sweep(&mut self) -> Result<(), Error> {
        let mut due = Vec::new();
        for row in self.tables.due.iter()?.take(limits::SWEEP_TURN_MAX) {
            let (row, _) = row?;
            match parse_due_name(row.value()) {
                Some((time_ms, _, _)) if time_ms > self.now_ms => break,
                Some((time_ms, of, name)) => due.push((time_ms, of, name.to_vec())),
                None => due.push((NEVER, Of::Entry, row.value().to_vec())),
            }
        }
        let mut room = limits::SWEEP_TURN_MAX;
        for (time_ms, of, name) in due {
            match of {
                // It makes no sense, and would stand in the way for ever.
                _ if time_ms == NEVER => drop(self.tables.due.remove(&name[..])?),
                Of::Entry => self.sweep_entry(time_ms, &name)?,
                Of::Window => {
                    self.sweep_window(time_ms, &name, &mut room)?;
                    if room == 0 {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    fn sweep_entry(&mut self, time_ms: u64, name: &[u8]) -> Result<(), Error> {
        let found = self.found(name)?;
        let Some((space, key)) = parse_name(name) else { return self.drop_due(Of::Entry, name, time_ms) };
        match found {
            Found::Entry { expires_ms, due_ms, .. } if due_ms == time_ms && expires_ms <= self.now_ms => {
                self.take(&space, name, &found)?;
                self.tell(&space, &key, What::Expired);
                Ok(())
            }
            Found::Entry { due_ms, .. } if due_ms == time_ms => self.move_entry(time_ms, name),
            // It stands elsewhere in the index, or is not there any more.
            Found::Entry { .. } | Found::Nothing | Found::Damaged { .. } => self.drop_due(Of::Entry, name, time_ms),
        }
    }

    /// It was written or touched since it was put into the index, and lives longer.
    fn move_entry(&mut self, time_ms: u64, name: &[u8]) -> Result<(), Error> {
        self.drop_due(Of::Entry, name, time_ms)?;
        let Some(row) = self.tables.entries.get(name)?.map(|row| row.value().to_vec()) else { return Ok(()) };
        let Ok(row) = Row::decode(name, &row) else { return Ok(()) };
        let due_ms = row.expires_ms;
        if due_ms != NEVER {
            self.tables.due.insert(&due_name(due_ms, Of::Entry, name)[..], &[][..])?;
        }
        self.tables.entries.insert(name, &Row { due_ms, ..row }.encode(name)[..])?;
        Ok(())
    }

    fn sweep_window(&mut self, time_ms: u64, name: &[u8], room: &mut usize) -> Result<(), Error> {
        let Some((space, _)) = parse_name(name) else { return self.drop_due(Of::Window, name, time_ms) };
        match self.window(name)? {
            Some(Ok(row)) if row.due_ms == time_ms && row.expires_ms <= self.now_ms => {
                let removed = self.empty(&space, name, *room)?;
                *room -= removed;
                // If there was room left, nothing else was there.
                if *room > 0 { self.end(&space, name, time_ms) } else { Ok(()) }
            }
            Some(Ok(row)) if row.due_ms == time_ms => {
                self.drop_due(Of::Window, name, time_ms)?;
                let due_ms = row.expires_ms;
                self.tables.due.insert(&due_name(due_ms, Of::Window, name)[..], &[][..])?;
                self.tables.windows.insert(name, &WindowRow { due_ms, ..row }.encode(name)[..])?;
                Ok(())
            }
            Some(_) | None => self.drop_due(Of::Window, name, time_ms),
        }
    }
}
