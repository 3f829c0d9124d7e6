//! The invariants at the head of `core`, read from the tables themselves.

use std::collections::BTreeMap;

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition};

use super::super::rows::{Counted, NEVER, Row, WindowRow, decode_log};
use super::super::tables::{Of, log_name, parse_due_name, parse_name};
use crate::{Namespace, Position};

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

fn rows(read: &ReadTransaction, table: &'static str) -> Rows {
    let table = read.open_table(TableDefinition::<&[u8], &[u8]>::new(table)).unwrap();
    table.iter().unwrap().map(|row| row.map(|(name, row)| (name.value().to_vec(), row.value().to_vec())).unwrap()).collect()
}

/// Panics where an invariant does not hold.
pub(super) fn audit(database: &Database) {
    let read = database.begin_read().unwrap();
    let mut due: BTreeMap<Vec<u8>, (u64, Of)> = BTreeMap::new();
    for (name, _) in rows(&read, "due") {
        let (time_ms, of, name) = parse_due_name(&name).unwrap();
        assert_eq!(due.insert([&[of as u8], name].concat(), (time_ms, of)), None, "it stands in the index once");
    }
    let mut counted: BTreeMap<Namespace, Counted> = BTreeMap::new();
    let mut stands = |of: Of, name: &[u8], due_ms: u64, expires_ms: u64| {
        assert!(due_ms <= expires_ms || expires_ms == NEVER);
        let found = due.remove(&[&[of as u8], name].concat());
        assert_eq!(found.map_or(NEVER, |(time_ms, _)| time_ms), due_ms);
    };
    for (name, row) in rows(&read, "entries") {
        let entry = Row::decode(&name, &row).unwrap();
        stands(Of::Entry, &name, entry.due_ms, entry.expires_ms);
        let counted = counted.entry(parse_name(&name).unwrap().0).or_default();
        counted.entries += 1;
        counted.bytes += (name.len() + row.len()) as u64;
    }
    let log = rows(&read, "log");
    for (name, row) in &log {
        decode_log(name, row).unwrap();
    }
    let mut logged = 0;
    for (name, row) in rows(&read, "windows") {
        let window = WindowRow::decode(&name, &row).unwrap();
        stands(Of::Window, &name, window.due_ms, window.expires_ms);
        let (from, to) = (log_name(&name, Position::START), log_name(&name, Position::END));
        let own: Vec<_> = log.iter().filter(|(name, _)| (&from..=&to).contains(&name)).collect();
        assert!(window.expires_ms == NEVER || own.len() as u64 <= window.count, "a window half swept has fewer");
        logged += own.len();
        let counted = counted.entry(parse_name(&name).unwrap().0).or_default();
        counted.windows += 1;
        counted.bytes += (name.len() + row.len()) as u64 + own.iter().map(|(name, row)| (name.len() + row.len()) as u64).sum::<u64>();
    }
    assert_eq!(logged, log.len(), "no entry is in no window");
    assert!(due.is_empty(), "nothing else stands in the index: {due:?}");
    let told = rows(&read, "spaces").into_iter().map(|(name, row)| {
        let space = Namespace::new(str::from_utf8(&name).unwrap()).unwrap();
        (space, Counted::decode(&name, &row).unwrap())
    });
    assert_eq!(told.collect::<BTreeMap<_, _>>(), counted);
}
