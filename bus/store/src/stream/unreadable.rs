//! What the system refuses to read is missing, and nothing else is: a bad sector or a whole segment takes the messages in it, the report names the
//! file and these sequences, and the stream is open, at this start and at the next one.

use super::damaged::{Bench, DIRECTORY};
use crate::log::SEGMENT_BYTES_MIN;

/// Pages in which bytes are tried one by one where a larger read fails.
const PAGE: usize = 4096;

impl Bench {
    /// Sequences up to `count` whose records lie, at least in part, in these bytes of a file.
    fn inside(&self, count: u64, file: &str, from: usize, to: usize) -> Vec<u64> {
        let hit = |sequence: &u64| {
            let place = self.place(*sequence);
            self.file(*sequence) == file && (place.offset as usize) < to && place.offset as usize + place.bytes > from
        };
        (1..=count).filter(hit).collect()
    }
}

#[test]
fn a_bad_sector_loses_the_messages_in_it() {
    let mut bench = Bench::of(60);
    let (file, place) = (bench.file(30), bench.place(30));
    let page = place.offset as usize / PAGE * PAGE;
    let lost = bench.inside(60, &file, page, page + PAGE);
    assert!(lost.len() > 2 && lost.len() < 10, "{lost:?}");
    bench.disk.make_unreadable(&file, page + 100..page + 612);
    bench.loses(60, &file, &lost);
}

#[test]
fn a_segment_that_cannot_be_read_loses_the_messages_in_it() {
    let mut bench = Bench::of(60);
    let file = bench.file(30);
    let lost = bench.inside(60, &file, 0, usize::MAX);
    assert!(lost[0] > 1 && *lost.last().unwrap() < 60, "there is something before it and behind it: {lost:?}");
    bench.disk.make_unreadable(&file, 0..usize::MAX);
    bench.loses(60, &file, &lost);
    assert!(bench.disk.files().iter().any(|(name, _)| *name == file), "it is left for whoever can read it");
}

#[test]
fn a_segment_that_cannot_be_opened_loses_the_messages_in_it() {
    let mut bench = Bench::of(60);
    let file = bench.file(30);
    let lost = bench.inside(60, &file, 0, usize::MAX);
    bench.disk.make_unopenable(&file);
    bench.loses(60, &file, &lost);
}

#[test]
fn the_last_segment_is_missed_because_of_the_mark() {
    let mut bench = Bench::of(60);
    let file = bench.file(60);
    let lost = bench.inside(60, &file, 0, usize::MAX);
    bench.disk.make_unreadable(&file, 0..usize::MAX);
    bench.loses(60, &file, &lost);
}

/// Records above the mark may have been acknowledged in the last moments before a crash. Torn they were not: somebody wrote behind them.
#[test]
fn what_is_unreadable_above_the_mark_is_reported() {
    let mut bench = Bench::of(60);
    let (file, place) = (bench.file(58), bench.place(58));
    let page = place.offset as usize / PAGE * PAGE;
    let last = bench.place(60);
    assert!(bench.file(60) == file && last.offset as usize >= page + PAGE, "the last record is in a page of its own");
    let lost = bench.inside(60, &file, page, page + PAGE);
    bench.disk.wipe(&format!("{DIRECTORY}/mark"), 0, 8192);
    bench.disk.make_unreadable(&file, page..page + PAGE);
    let damage = bench.reopen();
    let reported: Vec<u64> = damage.iter().filter_map(|it| it.messages.clone()).flatten().collect();
    assert_eq!(reported, lost, "{damage:?}");
}

#[test]
fn a_bad_sector_without_a_record_is_reported_as_such() {
    let mut bench = Bench::of(1);
    let file = bench.file(1);
    let bytes = SEGMENT_BYTES_MIN as usize;
    bench.disk.make_unreadable(&file, bytes - PAGE..bytes);
    for _ in 0..2 {
        let damage = bench.reopen();
        assert_eq!(bench.missing(1), []);
        let told: Vec<_> = damage.iter().map(|it| (file.ends_with(&*it.file), it.offset, it.messages.clone())).collect();
        assert_eq!(told, [(true, (bytes - PAGE) as u64, None)]);
    }
}

#[test]
fn what_lies_beside_the_log_is_made_anew() {
    for (file, damaged) in [("mark", "mark"), ("stream", "stream")] {
        let mut bench = Bench::of(60);
        bench.disk.make_unreadable(&format!("{DIRECTORY}/{file}"), 0..usize::MAX);
        let damage = bench.reopen();
        assert_eq!(damage.iter().map(|it| (&*it.file, it.messages.clone())).collect::<Vec<_>>(), [(damaged, None)]);
        assert_eq!(bench.missing(60), []);
        assert_eq!(bench.reopen(), [], "{file}");
    }
}

#[test]
fn without_a_description_the_salt_is_in_any_segment() {
    let mut bench = Bench::of(60);
    let first = bench.file(1);
    let lost = bench.inside(60, &first, 0, usize::MAX);
    bench.disk.make_unreadable(&first, 0..usize::MAX);
    bench.disk.make_unreadable(&format!("{DIRECTORY}/stream"), 0..usize::MAX);
    let damage = bench.reopen();
    assert_eq!(bench.missing(60), lost);
    assert!(damage.iter().any(|it| &*it.file == "stream"), "{damage:?}");
}

#[test]
fn what_can_be_read_again_is_there_again() {
    let mut bench = Bench::of(60);
    let file = bench.file(30);
    bench.disk.make_unreadable(&file, 0..usize::MAX);
    assert!(!bench.reopen().is_empty());
    bench.disk.heal();
    assert_eq!(bench.reopen(), []);
    assert_eq!(bench.missing(60), []);
}
