//! Damage takes what it hits and nothing else: what lies before and after is readable, and the report names the file and exactly the
//! sequences that are missing, at this start and at the next one.

use myelin_wire::{Filter, Subject};

use super::{Damage, Failed, NewMessage, State, create, open};
use crate::config::{ConsumerConfig, Name, StreamConfig};
use crate::consumer::{Most, Outcome};
use crate::disk::Disk;
use crate::disk::faulty::Faulty;
use crate::log::Place;
use crate::record::{Kind, Salt, write};
use crate::reserve::Reserve;

pub(super) const DIRECTORY: &str = "streams/s";
pub(super) const SALT: Salt = Salt(0x1234_5678_9abc_def1);

pub(super) struct Bench {
    pub(super) disk: Faulty,
    pub(super) state: State,
}

pub(super) fn name() -> Name {
    Name::new("s").unwrap()
}

impl Bench {
    pub(super) fn new() -> Self {
        let disk = Faulty::default();
        let config = StreamConfig::new(name(), vec![Filter::new("s.>").unwrap()]);
        let state = create(&Disk::Faulty(disk.clone()), config, SALT).unwrap();
        Self { disk, state }
    }

    /// A stream of this many messages of 1,000 bytes, which takes several segments.
    pub(super) fn of(count: u64) -> Self {
        let mut bench = Self::new();
        for sequence in 1..=count {
            bench.publish(&payload(sequence));
        }
        bench
    }

    pub(super) fn publish(&mut self, payload: &[u8]) {
        let subject = Subject::new("s.a").unwrap();
        let message = NewMessage { subject: &subject, id: "", headers: &[], payload, expires_ms: 0, due_ms: 0, expected_last: None };
        while self.state.publish(&message, 1000).is_err() {
            self.commit();
        }
        self.commit();
    }

    pub(super) fn commit(&mut self) {
        let commit = self.state.begin_commit();
        commit.write(true).unwrap();
        self.state.end_commit(commit, true);
        self.state.take_mark().sync().unwrap();
        for segment in self.state.collect(1_000_000) {
            self.disk.remove(&format!("{DIRECTORY}/{}", segment.id)).unwrap();
        }
        if let Some(want) = self.state.wanted() {
            let segment = crate::log::Segment::create(&Disk::Faulty(self.disk.clone()), DIRECTORY, want.id, want.bytes).unwrap();
            self.state.give(segment);
        }
    }

    pub(super) fn place(&self, sequence: u64) -> Place {
        self.state.core.index.get(sequence).unwrap().place
    }

    pub(super) fn file(&self, sequence: u64) -> String {
        format!("{DIRECTORY}/{}", self.place(sequence).segment)
    }

    /// Opens it again, writes something, and tells what is missing.
    pub(super) fn reopen(&mut self) -> Vec<Damage> {
        self.disk.process_ends();
        let disk = Disk::Faulty(self.disk.clone());
        let reserve = Reserve::open(&disk).unwrap();
        let (state, damage) = open(&disk, &reserve, &name(), 2000).unwrap();
        self.state = state;
        self.commit();
        damage
    }

    /// Those of the first `count` sequences that cannot be read.
    pub(super) fn missing(&self, count: u64) -> Vec<u64> {
        let is_missing = |sequence: &u64| {
            let Some((place, _)) = self.state.core.place_of(*sequence) else { return true };
            let body = self.state.segment(place.segment).unwrap().read(place, SALT).unwrap().expect("what is found is whole");
            assert!(body.ends_with(&payload(*sequence)));
            false
        };
        (1..=count).filter(is_missing).collect()
    }

    /// Just these are missing of `count` messages, and every start says so.
    pub(super) fn loses(&mut self, count: u64, file: &str, lost: &[u64]) {
        for start in 0..3 {
            let damage = self.reopen();
            assert_eq!(self.missing(count), lost, "start {start}");
            let reported: Vec<u64> = damage.iter().filter_map(|it| it.messages.clone()).flatten().collect();
            assert_eq!(reported, lost, "start {start}: {damage:?}");
            assert!(damage.iter().any(|it| file.ends_with(&*it.file)), "start {start}: {file}, {damage:?}");
            assert!(self.state.core.last_sequence() >= count);
        }
        self.publish(b"more");
        assert!(self.state.core.last_sequence() > count);
    }
}

pub(super) fn payload(sequence: u64) -> Vec<u8> {
    format!("{sequence:05}.").repeat(170).into_bytes()
}

#[test]
fn a_flipped_bit_loses_one_message() {
    let mut bench = Bench::of(60);
    let (file, place) = (bench.file(20), bench.place(20));
    bench.disk.flip(&file, place.offset as usize + place.bytes / 2, 3);
    bench.loses(60, &file, &[20]);
}

#[test]
fn a_flipped_bit_in_a_header_loses_one_message() {
    let mut bench = Bench::of(60);
    let (file, place) = (bench.file(20), bench.place(20));
    bench.disk.flip(&file, place.offset as usize + 9, 3);
    bench.loses(60, &file, &[20]);
}

#[test]
fn a_wiped_page_loses_what_was_in_it() {
    let mut bench = Bench::of(60);
    let (file, place) = (bench.file(30), bench.place(30));
    let from = place.offset as usize;
    bench.disk.wipe(&file, from, 4096);
    let hit = |sequence: &u64| bench.file(*sequence) == file && (bench.place(*sequence).offset as usize) < from + 4096;
    let lost: Vec<_> = (30..=60).filter(hit).collect();
    assert!(lost.len() > 2);
    bench.loses(60, &file, &lost);
}

#[test]
fn a_wiped_beginning_of_a_segment_loses_no_message_but_those_in_it() {
    let mut bench = Bench::of(60);
    let file = bench.file(30);
    bench.disk.wipe(&file, 0, 512);
    let first = (1..=60).find(|sequence| bench.file(*sequence) == file).unwrap();
    let is_hit = bench.place(first).offset < 512;
    bench.loses(60, &file, if is_hit { std::slice::from_ref(&first) } else { &[] });
}

#[test]
fn a_segment_that_somebody_deleted_is_missed() {
    let mut bench = Bench::of(60);
    let file = bench.file(30);
    let lost: Vec<_> = (1..=60).filter(|sequence| bench.file(*sequence) == file).collect();
    let next = bench.file(lost.last().unwrap() + 1);
    bench.disk.remove(&file).unwrap();
    bench.loses(60, &next, &lost);
}

#[test]
fn the_end_of_the_log_is_missed_because_of_the_mark() {
    let mut bench = Bench::of(60);
    let (file, place) = (bench.file(60), bench.place(60));
    bench.disk.wipe(&file, place.offset as usize, place.bytes);
    bench.loses(60, &file, &[60]);
}

#[test]
fn a_removed_segment_is_not_missed_even_beside_a_lost_one() {
    let mut bench = Bench::of(60);
    let file = bench.file(30);
    let inside: Vec<_> = (1..=60).filter(|sequence| bench.file(*sequence) == file).collect();
    let after = inside.last().unwrap() + 1;
    let (next, place) = (bench.file(after), bench.place(after));
    for sequence in &inside {
        bench.state.delete(*sequence).unwrap();
    }
    bench.commit();
    bench.commit();
    bench.commit();
    assert!(!bench.disk.files().iter().any(|(name, _)| *name == file), "the segment is gone in order");
    bench.disk.wipe(&next, 0, (place.offset + 40) as usize);
    let damage = bench.reopen();
    let reported: Vec<u64> = damage.iter().filter_map(|it| it.messages.clone()).flatten().collect();
    assert_eq!(reported, [after], "{damage:?}");
}

#[test]
fn half_a_mark_is_enough_and_a_lost_one_is_reported_and_made_anew() {
    let mark = format!("{DIRECTORY}/mark");
    for slot in 0..2 {
        let mut bench = Bench::of(10);
        bench.disk.flip(&mark, slot * 4096 + 9, 1);
        assert_eq!(bench.reopen(), []);
        assert_eq!(bench.missing(10), []);
    }
    let mut bench = Bench::of(10);
    bench.disk.wipe(&mark, 0, 8192);
    let damage = bench.reopen();
    assert_eq!(damage.iter().map(|it| (&*it.file, it.messages.clone())).collect::<Vec<_>>(), [("mark", None)]);
    assert_eq!(bench.missing(10), []);
    assert_eq!(bench.reopen(), []);
}

#[test]
fn a_damaged_description_is_found_in_the_log() {
    let mut bench = Bench::of(10);
    bench.disk.flip(&format!("{DIRECTORY}/stream"), 20, 1);
    let damage = bench.reopen();
    assert_eq!(damage.iter().map(|it| (&*it.file, it.messages.clone())).collect::<Vec<_>>(), [("stream", None)]);
    assert_eq!(bench.missing(10), []);
    assert_eq!(bench.state.core.config.subjects, [Filter::new("s.>").unwrap()]);
    assert_eq!(bench.reopen(), []);
}

/// A payload may contain anything, images of records among it; the search in a damaged message must not take them for records.
#[test]
fn a_payload_never_becomes_a_record() {
    let mut image = Vec::new();
    for salt in [Salt::NONE, Salt(SALT.0 ^ 1)] {
        for (kind, lsn) in [(Kind::Message, 900), (Kind::Segment, u64::MAX), (Kind::Segment, 500), (Kind::Purge, 901)] {
            let mut body = vec![0xff; 18];
            body[2..10].copy_from_slice(&1u64.to_le_bytes());
            body[10..18].copy_from_slice(&SALT.0.to_le_bytes());
            write(&mut image, salt, kind, lsn, &[&body]);
        }
    }
    for shift in 0..8 {
        let mut bench = Bench::new();
        bench.publish(&payload(1));
        bench.publish(&[&vec![b' '; shift][..], &image].concat());
        bench.publish(&payload(3));
        let (file, place) = (bench.file(2), bench.place(2));
        bench.disk.flip(&file, place.offset as usize + 8, 0);
        bench.loses(3, &file, &[2]);
    }
}

/// Without the record of the delivery, an attempt or an ack says nothing of the messages before it: once they were taken for done with.
#[test]
fn a_lost_delivery_loses_no_message_for_its_consumer() {
    let mut bench = Bench::new();
    let (key, _) = bench.state.put_consumer(ConsumerConfig::new(Name::new("c").unwrap())).unwrap();
    for sequence in 1..=5 {
        bench.publish(&payload(sequence));
    }
    let before = bench.place(5);
    let file = bench.file(5);
    assert_eq!(bench.state.lease(key, Most::messages(5), 1000).unwrap().len(), 5);
    bench.commit();
    bench.state.ack(key, &[4]).unwrap();
    let failed = Failed { key, sequence: 3, delivery: 1, outcome: Outcome::Nak, error: "no", delay_ms: Some(0) };
    bench.state.fail(&failed, 1000).unwrap();
    bench.commit();
    bench.disk.flip(&file, before.offset as usize + before.bytes + 40, 0);
    assert_eq!(bench.reopen().len(), 1);
    let again: Vec<_> =
        bench.state.lease(key, Most::messages(9), 2000).unwrap().iter().map(|lease| (lease.sequence, lease.deliveries)).collect();
    assert_eq!(again, [(3, 2), (1, 1), (2, 1), (5, 1)]);
}

#[test]
fn a_lost_consumer_is_no_reason_to_drop_what_it_wanted() {
    let disk = Faulty::default();
    let mut config = StreamConfig::new(name(), vec![Filter::new("s.>").unwrap()]);
    config.retention = crate::config::Retention::Interest;
    let state = create(&Disk::Faulty(disk.clone()), config, SALT).unwrap();
    let mut bench = Bench { disk, state };
    let (one, _) = bench.state.put_consumer(ConsumerConfig::new(Name::new("one").unwrap())).unwrap();
    bench.commit();
    let (_two, lsn) = bench.state.put_consumer(ConsumerConfig::new(Name::new("two").unwrap())).unwrap();
    bench.commit();
    for sequence in 1..=3 {
        bench.publish(&payload(sequence));
    }
    assert_eq!(bench.state.lease(one, Most::messages(3), 1000).unwrap().len(), 3);
    bench.state.ack(one, &[1, 2, 3]).unwrap();
    bench.commit();
    // The record of the second consumer is the one before the first message.
    let (file, place) = (bench.file(1), bench.place(1));
    assert_eq!(place.lsn, lsn + 1);
    bench.disk.flip(&file, place.offset as usize - 16, 0);
    for _ in 0..3 {
        let damage = bench.reopen();
        assert_eq!(damage.len(), 1, "{damage:?}");
        assert_eq!(bench.missing(3), []);
    }
}
