//! Flipped bits: an error, or what was written; never another content.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

/// Fills a disk, and tells what is on it.
fn filled() -> (Disk, Vec<(Key, Bytes)>) {
    let disk = Disk::default();
    let database = builder().create_with_backend(disk.clone()).unwrap();
    Core::create(&database).unwrap();
    let mut core = Core::open(&database, u64::MAX).unwrap();
    let written: Vec<_> = (0..200u8).map(|number| (Key::new(&format!("k{number}")).unwrap(), Bytes::from(vec![number; 100]))).collect();
    let writes = written.iter().map(|(key, record)| Write {
        key: key.clone(),
        revision: Revision::from_bytes([7; 16]),
        record: record.clone(),
        ttl: None,
    });
    let window = Window::new(Key::new("w").unwrap());
    let work = [
        (space(0), Work::Write(writes.collect())),
        (space(0), Work::Append { window, records: written.iter().take(50).map(|(_, record)| record.clone()).collect() }),
    ];
    let options = TurnOptions { now_ms: 1000, durability: Durability::Immediate, sweep: false };
    core.turn(&database, &work, options).unwrap();
    drop(database);
    (disk, written)
}

/// Opens a disk and reads all entries: those that could be read, next to what they were; `None`: the disk was refused, by an error or (in debug
/// builds of the library) by a panic, for which the store has its nets.
fn found(disk: &Disk, written: &[(Key, Bytes)], check: bool) -> Option<Vec<(Bytes, Bytes)>> {
    let look = || {
        let database = builder().set_check_integrity_on_open(check).create_with_backend(disk.clone()).ok()?;
        let core = Core::open(&database, u64::MAX).ok()?;
        let mut found = Vec::new();
        for (key, record) in written {
            if let Ok(stored) = read(&database, &space(0), std::slice::from_ref(key), core.clock_ms()) {
                found.extend(stored.into_iter().flatten().map(|stored| (record.clone(), stored.record)));
            }
        }
        Some(found)
    };
    catch_unwind(AssertUnwindSafe(look)).ok().flatten()
}

/// For each of 100 flipped bits in what is in use.
fn flip(check: bool) -> [usize; 3] {
    let (disk, written) = filled();
    let mut random = fastrand::Rng::with_seed(4);
    let (mut whole, mut parts, mut refused) = (0, 0, 0);
    let used = disk.used();
    for _ in 0..100 {
        let damaged = Disk::copy(&disk);
        damaged.flip(&[*random.choice(&used).unwrap()], random.u8(..8));
        match found(&damaged, &written, check) {
            Some(found) => {
                assert!(found.iter().all(|(expected, found)| expected == found), "another content");
                *if found.len() == written.len() { &mut whole } else { &mut parts } += 1;
            }
            None => refused += 1,
        }
    }
    println!("100 flipped bits: {whole} times all entries were there, {parts} times some, {refused} times the file was refused");
    [whole, parts, refused]
}

#[test]
fn a_flipped_bit_is_never_another_content() {
    let [whole, parts, _] = flip(false);
    assert!(whole > 0 && parts > 0);
}

#[test]
fn a_file_that_was_checked_has_everything() {
    let [_, parts, refused] = flip(true);
    assert_eq!(parts, 0);
    assert!(refused > 0);
}
