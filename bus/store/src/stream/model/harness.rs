//! One stream on a disk that fails, and what is known to hold for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;
use myelin_wire::Filter;

use super::{Step, filter, subject};
use crate::config::{Name, OnFull, Retention, StreamConfig};
use crate::disk::Disk;
use crate::disk::faulty::Faulty;
use crate::error::StoreError;
use crate::record::Salt;
use crate::reserve::Reserve;
use crate::stream::{NewMessage, State, create, open};

pub(super) const WINDOW_MS: u64 = 1500;
pub(super) const ACK_WAIT_MS: u64 = 700;
const DIRECTORY: &str = "streams/model";

#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) subject: &'static str,
    pub(super) id: String,
    pub(super) payload: Vec<u8>,
    pub(super) stored_ms: u64,
    pub(super) expires_ms: u64,
    pub(super) lsn: u64,
    /// The record after which it is gone.
    pub(super) gone: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) key: u32,
    pub(super) filter: Option<Filter>,
    pub(super) in_flight_max: usize,
    pub(super) put_lsn: u64,
    pub(super) deleted: Option<u64>,
    /// Record of the ack, by message.
    pub(super) acked: BTreeMap<u64, u64>,
    /// Records of deliveries, by message; those before the last start are record 0.
    pub(super) deliveries: BTreeMap<u64, Vec<u64>>,
    /// Highest sequence that was delivered for the first time and was not delayed.
    pub(super) fresh: u64,
}

#[derive(Debug)]
pub(super) struct Harness {
    pub(super) disk: Faulty,
    pub(super) reserve: Reserve,
    pub(super) state: State,
    pub(super) rng: Rng,
    pub(super) now_ms: u64,
    pub(super) is_space_short: bool,
    pub(super) messages: BTreeMap<u64, Message>,
    /// Every id: sequence, time, record.
    pub(super) ids: BTreeMap<String, (u64, u64, u64)>,
    pub(super) consumers: BTreeMap<u8, Vec<Consumer>>,
    pub(super) highest_durable: u64,
}

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

impl Harness {
    pub(super) fn new(retention: Retention, seed: u64) -> Self {
        let disk = Faulty::default();
        let reserve = Reserve::open(&Disk::Faulty(disk.clone())).unwrap();
        reserve.fill().unwrap();
        let mut config = StreamConfig::new(name("model"), vec![Filter::new("s.>").unwrap()]);
        (config.retention, config.dedup_window) = (retention, Duration::from_millis(WINDOW_MS));
        let state = create(&Disk::Faulty(disk.clone()), config, Salt(seed | 1)).unwrap();
        Self {
            disk,
            reserve,
            state,
            rng: Rng::with_seed(seed),
            now_ms: 1_000_000,
            is_space_short: false,
            messages: BTreeMap::new(),
            ids: BTreeMap::new(),
            consumers: BTreeMap::new(),
            highest_durable: 0,
        }
    }

    pub(super) fn step(&mut self, step: &Step) {
        let before = self.stored();
        match step {
            Step::Publish { .. } => self.publish(step),
            Step::Lease { consumer, max } => self.lease(*consumer, *max),
            Step::Ack { consumer, pick, count } => self.ack(*consumer, *pick, *count),
            Step::Nak { consumer, pick, delay } => self.nak(*consumer, *pick, *delay),
            Step::Extend { consumer, pick } => {
                if let Some((key, sequence)) = self.pick(*consumer, *pick) {
                    let delivery = self.held(key, sequence).map_or(0, |held| held.0);
                    self.state.extend(key, sequence, delivery, self.now_ms);
                }
            }
            Step::Time { ms } => {
                self.now_ms += u64::from(*ms);
                self.state.tick(self.now_ms);
                self.after_tick();
            }
            Step::Delete { pick } => {
                let known: Vec<_> = self.messages.keys().copied().collect();
                if let Some(sequence) = known.get(usize::from(*pick) % known.len().max(1)).copied() {
                    let had = before.contains(&sequence);
                    if let Some((existed, _)) = self.until_room(|state, _| state.delete(sequence)) {
                        assert_eq!(existed, had, "delete of {sequence}");
                        assert!(!self.stored().contains(&sequence));
                    }
                }
            }
            Step::Purge { filter: index } => {
                let filter = filter(*index);
                if self.until_room(|state, _| state.purge(filter.as_ref())).is_some() {
                    let left = self.stored();
                    for sequence in &before {
                        let goes = wants(filter.as_ref(), self.messages[sequence].subject);
                        assert_eq!(!left.contains(sequence), goes, "purge of {sequence}");
                    }
                }
            }
            Step::PutConsumer { consumer, filter: index, in_flight_max } => self.put_consumer(*consumer, *index, *in_flight_max),
            Step::DeleteConsumer { consumer } => {
                if let Some(key) = self.consumer(*consumer).map(|consumer| consumer.key)
                    && self.until_room(|state, _| state.delete_consumer(key)).is_some()
                {
                    let lsn = self.state.last_lsn();
                    self.consumer(*consumer).unwrap().deleted = Some(lsn);
                }
            }
            Step::Config { messages_max, on_full, age } => {
                let mut config = self.state.core.config.clone();
                (config.messages_max, config.on_full) = (*messages_max, *on_full);
                config.age_max = age.map(|ms| Duration::from_millis(u64::from(ms) * 4));
                self.until_room(|state, _| state.put_config(config.clone()));
            }
            Step::Commit { is_synced } => self.commit(*is_synced),
            Step::Round { mark } => self.round(*mark),
            Step::ProcessEnds => {
                self.disk.process_ends();
                self.reopen();
            }
            Step::PowerEnds => {
                self.disk.power_cycle(&mut self.rng);
                self.reopen();
            }
            Step::PowerEndsInCommit { after } => {
                self.disk.fail_after(*after);
                if self.try_commit(true).is_ok() {
                    drop(self.try_round(true));
                }
                self.disk.power_cycle(&mut self.rng);
                self.reopen();
            }
            Step::PowerEndsInOpen { after } => {
                self.disk.power_cycle(&mut self.rng);
                self.disk.fail_after(*after);
                let disk = Disk::Faulty(self.disk.clone());
                if let Ok(reserve) = Reserve::open(&disk) {
                    drop(open(&disk, &reserve, &name("model"), self.now_ms));
                }
                self.disk.power_cycle(&mut self.rng);
                self.reopen();
            }
            Step::Space { free } => {
                self.is_space_short = free.is_some();
                self.disk.set_capacity(free.map(|free| self.disk.used() + u64::from(free)));
            }
        }
        let lsn = self.state.last_lsn();
        let left = self.stored();
        for sequence in before.difference(&left) {
            if let Some(message) = self.messages.get_mut(sequence) {
                message.gone.get_or_insert(lsn);
            }
        }
        self.retention_holds();
    }

    pub(super) fn stored(&self) -> BTreeSet<u64> {
        self.state.core.index.range(0..=u64::MAX).map(|(sequence, _)| sequence).collect()
    }

    pub(super) fn consumer(&mut self, consumer: u8) -> Option<&mut Consumer> {
        self.consumers.get_mut(&consumer)?.last_mut().filter(|consumer| consumer.deleted.is_none())
    }

    pub(super) fn held(&self, key: u32, sequence: u64) -> Option<(u32, Option<u64>)> {
        self.state.core.consumer(key)?.held(sequence)
    }

    /// Room is made by writing, and by a segment; on a full disk there may be none.
    pub(super) fn until_room<R>(&mut self, mut act: impl FnMut(&mut State, u64) -> Result<R, StoreError>) -> Option<R> {
        for _ in 0..6 {
            match act(&mut self.state, self.now_ms) {
                Ok(done) => return Some(done),
                Err(StoreError::StorageFull) if self.is_space_short => return None,
                // A disk that was full is asked again with the next round.
                Err(StoreError::Busy | StoreError::StorageFull) => {
                    let is_synced = self.rng.bool();
                    self.commit(is_synced);
                    self.round(false);
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        assert!(self.is_space_short, "there was no room for ever");
        None
    }

    fn try_commit(&mut self, is_synced: bool) -> std::io::Result<()> {
        let commit = self.state.begin_commit();
        commit.write(is_synced)?;
        self.state.end_commit(commit, is_synced);
        Ok(())
    }

    fn commit(&mut self, is_synced: bool) {
        self.try_commit(is_synced).unwrap();
        self.note_durable();
    }

    pub(super) fn note_durable(&mut self) {
        let durable = self.state.durable_lsn();
        let latest = self.messages.iter().rev().find(|(_, message)| message.lsn <= durable).map(|(sequence, _)| *sequence);
        self.highest_durable = self.highest_durable.max(latest.unwrap_or(0));
    }

    fn try_round(&mut self, mark: bool) -> std::io::Result<()> {
        if mark {
            self.state.take_mark().sync()?;
        }
        for segment in self.state.collect(self.now_ms) {
            self.disk.remove(&format!("{DIRECTORY}/{}", segment.id))?;
        }
        if let Some(want) = self.state.wanted() {
            match self.reserve.make(DIRECTORY, want)? {
                Some(segment) => self.state.give(segment),
                None => self.state.tail.refuse(want),
            }
        }
        Ok(())
    }

    fn round(&mut self, mark: bool) {
        self.try_round(mark).unwrap();
    }

    fn publish(&mut self, step: &Step) {
        let Step::Publish { subject: index, id, bytes, ttl, due, expects } = step else { unreachable!() };
        let subject = subject(*index);
        let text = super::SUBJECTS[usize::from(*index) % super::SUBJECTS.len()];
        let id = id.map(|id| format!("id-{id}")).unwrap_or_default();
        let payload: Vec<u8> = std::iter::repeat_with(|| self.rng.u8(..)).take(*bytes).collect();
        let after = |ms: &Option<u16>| ms.map_or(0, |ms| self.now_ms + u64::from(ms));
        let (expires_ms, due_ms) = (after(ttl), after(due));
        let last = self.state.core.index.last_on(text);
        let message = NewMessage {
            subject: &subject,
            id: &id,
            headers: &payload[..payload.len().min(9)],
            payload: &payload,
            expires_ms,
            due_ms,
            expected_last: expects.map(|right| if right { last } else { last + 1 }),
        };
        let known = self.ids.get(&id).filter(|(_, stored_ms, _)| !id.is_empty() && stored_ms + WINDOW_MS >= self.now_ms).copied();
        let before = self.stored();
        let full = before.len() as u64 + 1 > self.state.core.config.messages_max;
        let mut refused = None;
        let stored = self.until_room(|state, now_ms| match state.publish(&message, now_ms) {
            Err(error @ (StoreError::StreamFull { .. } | StoreError::WrongLastSequence { .. })) => {
                refused = Some(error);
                Ok(None)
            }
            other => other.map(Some),
        });
        let stored = stored.flatten();
        if let Some(refused) = refused {
            assert!(known.is_none(), "a duplicate is never refused");
            match refused {
                StoreError::StreamFull { .. } => assert!(full && self.state.core.config.on_full == OnFull::Reject),
                _ => assert_eq!(*expects, Some(false)),
            }
        }
        let Some(stored) = stored else { return };
        if let Some((sequence, ..)) = known {
            assert!(stored.is_duplicate && stored.sequence == sequence, "{id} was stored as {sequence}, then {stored:?}");
            return;
        }
        assert!(!stored.is_duplicate, "{id} is no duplicate");
        assert!(stored.sequence > self.highest_durable, "sequence {} was used before", stored.sequence);
        let left = self.stored();
        assert!(before.difference(&left).zip(&before).all(|(gone, oldest)| gone == oldest), "others than the oldest went");
        let is_kept = left.contains(&stored.sequence);
        assert!(is_kept || self.state.core.config.retention == Retention::Interest);
        if !id.is_empty() {
            self.ids.insert(id.clone(), (stored.sequence, self.now_ms, stored.lsn));
        }
        let gone = (!is_kept).then_some(stored.lsn);
        let message = Message { subject: text, id, payload, stored_ms: self.now_ms, expires_ms, lsn: stored.lsn, gone };
        self.messages.insert(stored.sequence, message);
    }

    fn after_tick(&self) {
        if self.is_space_short || self.state.tail.batch_bytes() > 20_000 {
            return;
        }
        let age_ms = self.state.core.config.age_max.map(|age| age.as_millis() as u64);
        for (sequence, entry) in self.state.core.index.range(0..=u64::MAX) {
            let is_over = (entry.expires_ms != 0 && entry.expires_ms <= self.now_ms)
                || age_ms.is_some_and(|age| entry.stored_ms + age <= self.now_ms);
            assert!(!is_over || self.state.tail.wanted().is_some(), "{sequence} should have expired");
        }
    }
}

pub(super) fn wants(filter: Option<&Filter>, subject: &str) -> bool {
    filter.is_none_or(|filter| filter.matches(&myelin_wire::Subject::new(subject).unwrap()))
}
