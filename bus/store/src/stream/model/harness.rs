//! One stream on a disk that fails, and what is known to hold for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;
use myelin_wire::Filter;

use super::{Step, filter, subject};
use crate::config::{ConsumerConfig, Name, OnFull, Retention, StreamConfig};
use crate::consumer::{Outcome, Settled};
use crate::disk::Disk;
use crate::disk::faulty::Faulty;
use crate::error::StoreError;
use crate::record::{MessageRecord, Salt};
use crate::reserve::Reserve;
use crate::stream::{self, Failed, NewMessage, State, create, open};

const WINDOW_MS: u64 = 1500;
const ACK_WAIT_MS: u64 = 700;
const DIRECTORY: &str = "streams/model";

#[derive(Debug, Clone)]
struct Message {
    subject: &'static str,
    id: String,
    payload: Vec<u8>,
    stored_ms: u64,
    expires_ms: u64,
    lsn: u64,
    /// The record after which it is gone.
    gone: Option<u64>,
}

#[derive(Debug)]
struct Consumer {
    key: u32,
    filter: Option<Filter>,
    in_flight_max: usize,
    put_lsn: u64,
    deleted: Option<u64>,
    /// Record of the ack, by message.
    acked: BTreeMap<u64, u64>,
    /// Records of deliveries, by message; those before the last start are record 0.
    deliveries: BTreeMap<u64, Vec<u64>>,
    /// Highest sequence that was delivered for the first time and was not delayed.
    fresh: u64,
}

#[derive(Debug)]
pub(super) struct Harness {
    disk: Faulty,
    reserve: Reserve,
    state: State,
    rng: Rng,
    now_ms: u64,
    is_space_short: bool,
    messages: BTreeMap<u64, Message>,
    /// Every id: sequence, time, record.
    ids: BTreeMap<String, (u64, u64, u64)>,
    consumers: BTreeMap<u8, Vec<Consumer>>,
    highest_durable: u64,
}

fn name(text: &str) -> Name {
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

    fn stored(&self) -> BTreeSet<u64> {
        self.state.core.index.range(0..=u64::MAX).map(|(sequence, _)| sequence).collect()
    }

    fn consumer(&mut self, consumer: u8) -> Option<&mut Consumer> {
        self.consumers.get_mut(&consumer)?.last_mut().filter(|consumer| consumer.deleted.is_none())
    }

    fn held(&self, key: u32, sequence: u64) -> Option<(u32, Option<u64>)> {
        self.state.core.consumer(key)?.held(sequence)
    }

    /// Room is made by writing, and by a segment; on a full disk there may be none.
    fn until_room<R>(&mut self, mut act: impl FnMut(&mut State, u64) -> Result<R, StoreError>) -> Option<R> {
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
        let batch = self.state.begin_commit();
        batch.write()?;
        if is_synced {
            batch.sync()?;
        }
        self.state.end_commit(batch, is_synced)
    }

    fn commit(&mut self, is_synced: bool) {
        self.try_commit(is_synced).unwrap();
        self.note_durable();
    }

    fn note_durable(&mut self) {
        let durable = self.state.durable_lsn();
        let latest = self.messages.iter().rev().find(|(_, message)| message.lsn <= durable).map(|(sequence, _)| *sequence);
        self.highest_durable = self.highest_durable.max(latest.unwrap_or(0));
    }

    fn try_round(&mut self, mark: bool) -> std::io::Result<()> {
        if mark {
            self.state.sync_mark()?;
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

    fn lease(&mut self, consumer: u8, max: usize) {
        let Some(key) = self.consumer(consumer).map(|consumer| consumer.key) else { return };
        let held_before: BTreeMap<_, _> = self.stored().into_iter().map(|sequence| (sequence, self.held(key, sequence))).collect();
        let in_flight_before = self.state.core.consumer(key).unwrap().in_flight();
        let Some(leases) = self.until_room(|state, now_ms| state.lease(key, max, now_ms)) else { return };
        let (lsn, now_ms) = (self.state.last_lsn(), self.now_ms);
        let in_flight = self.state.core.consumer(key).unwrap().in_flight();
        let mut deliverable = 0;
        for (sequence, held) in &held_before {
            let message = &self.messages[sequence];
            let entry = self.state.core.index.get(*sequence).unwrap();
            let consumer = self.consumers[&consumer].last().unwrap();
            let is_open = *sequence <= self.state.core.visible()
                && wants(consumer.filter.as_ref(), message.subject)
                && !consumer.acked.contains_key(sequence);
            let is_ready = match held {
                Some((_, None)) => false,
                Some((_, Some(not_before_ms))) => *not_before_ms <= now_ms,
                None => entry.due_ms <= now_ms,
            };
            let needs_place = held.is_none_or(|(deliveries, _)| deliveries == 0);
            let is_leased = leases.iter().any(|lease| lease.sequence == *sequence);
            assert!(!is_leased || (is_open && is_ready), "{sequence} is not to be delivered: {held:?}");
            deliverable += usize::from(is_open && is_ready && !is_leased && (!needs_place || in_flight < consumer.in_flight_max));
        }
        let max = max.min(self.state.core.consumer(key).unwrap().config.in_flight_max);
        assert!(leases.len() == max || deliverable == 0, "{deliverable} more could be delivered");
        let state = &self.state;
        let consumer = self.consumers.get_mut(&consumer).unwrap().last_mut().unwrap();
        assert!(in_flight <= consumer.in_flight_max.max(in_flight_before), "{in_flight} in flight of {}", consumer.in_flight_max);
        for lease in leases {
            let entry = state.core.index.get(lease.sequence).expect("what is delivered is there");
            let deliveries = consumer.deliveries.entry(lease.sequence).or_default();
            deliveries.push(lsn);
            assert!(
                lease.deliveries as usize <= deliveries.len(),
                "{} was delivered {} times, not {}",
                lease.sequence,
                deliveries.len(),
                lease.deliveries
            );
            if lease.deliveries == 1 && entry.due_ms == 0 && held_before[&lease.sequence].is_none() {
                assert!(lease.sequence > consumer.fresh, "{} after {}", lease.sequence, consumer.fresh);
                consumer.fresh = lease.sequence;
            }
        }
    }

    /// A message that a consumer was given.
    fn pick(&mut self, consumer: u8, pick: u8) -> Option<(u32, u64)> {
        let consumer = self.consumer(consumer)?;
        let had: Vec<_> = consumer.deliveries.keys().copied().collect();
        Some((consumer.key, *had.get(usize::from(pick) % had.len().max(1))?))
    }

    fn ack(&mut self, consumer: u8, pick: u8, count: usize) {
        let mut sequences: Vec<u64> =
            (0..count).filter_map(|more| self.pick(consumer, pick.wrapping_add(more as u8))).map(|it| it.1).collect();
        sequences.sort_unstable();
        sequences.dedup();
        let Some(key) = self.consumer(consumer).map(|consumer| consumer.key) else { return };
        let had: Vec<_> = sequences.iter().copied().filter(|sequence| self.held(key, *sequence).is_some()).collect();
        let Some((settled, _)) = self.until_room(|state, _| state.ack(key, &sequences)) else { return };
        assert_eq!(settled, had.len());
        let lsn = self.state.last_lsn();
        self.consumer(consumer).unwrap().acked.extend(had.into_iter().map(|sequence| (sequence, lsn)));
    }

    fn nak(&mut self, consumer: u8, pick: u8, delay: Option<u16>) {
        let Some((key, sequence)) = self.pick(consumer, pick) else { return };
        let Some((delivery, phase)) = self.held(key, sequence) else { return };
        let failed = Failed { key, sequence, delivery, outcome: Outcome::Nak, error: "no", delay_ms: delay.map(u64::from) };
        if let Some(settled) = self.until_room(|state, now_ms| state.fail(&failed, now_ms)) {
            assert_eq!(settled == Settled::Done, phase.is_none());
        }
    }

    fn put_consumer(&mut self, consumer: u8, index: u8, in_flight_max: usize) {
        let mut config = ConsumerConfig::new(name(&format!("c{consumer}")));
        (config.filter, config.in_flight_max, config.ack_wait) = (filter(index), in_flight_max, Duration::from_millis(ACK_WAIT_MS));
        let mut overlaps = false;
        let put = self.until_room(|state, _| match state.put_consumer(config.clone()) {
            Err(StoreError::Overlap { .. }) => {
                overlaps = true;
                Ok((0, 0))
            }
            other => other,
        });
        let Some((key, _)) = put.filter(|_| !overlaps) else { return };
        let put_lsn = self.state.last_lsn();
        if let Some(known) = self.consumer(consumer) {
            assert_eq!(known.key, key);
            let before = std::mem::replace(&mut known.filter, config.filter.clone());
            if before != config.filter {
                // What it did not want before comes again, if it is there.
                let messages = &self.messages;
                let known = self.consumers.get_mut(&consumer).unwrap().last_mut().unwrap();
                let stays = |sequence: &u64| {
                    messages.get(sequence).is_none_or(|it| wants(before.as_ref(), it.subject) || !wants(known.filter.as_ref(), it.subject))
                };
                known.acked.retain(|sequence, _| stays(sequence));
                // What it gave up in between is counted anew; if the change does not survive, it is not.
                let given_up = |sequence: &u64| messages.get(sequence).is_none_or(|it| !wants(known.filter.as_ref(), it.subject));
                known.deliveries.iter_mut().filter(|(sequence, _)| given_up(sequence)).for_each(|(_, all)| all.fill(u64::MAX));
                known.fresh = 0;
                known.put_lsn = put_lsn;
            }
            let known = self.consumer(consumer).unwrap();
            known.in_flight_max = in_flight_max;
            return;
        }
        let fresh = Consumer {
            key,
            filter: config.filter,
            in_flight_max,
            put_lsn,
            deleted: None,
            acked: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            fresh: 0,
        };
        self.consumers.entry(consumer).or_default().push(fresh);
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

    /// What every consumer is done with is not kept, where that is what counts; what one is not done with is.
    fn retention_holds(&self) {
        if self.state.core.config.retention == Retention::Limits {
            return;
        }
        for (sequence, entry) in self.state.core.index.range(0..=u64::MAX) {
            let wanting: Vec<_> = self
                .consumers
                .values()
                .filter_map(|all| all.last().filter(|it| it.deleted.is_none()))
                .filter(|consumer| wants(consumer.filter.as_ref(), entry.subject.as_str()))
                .collect();
            let is_done = !wanting.is_empty() && wanting.iter().all(|consumer| consumer.acked.contains_key(&sequence));
            assert!(!is_done, "{sequence} is done with and still there");
        }
    }

    /// Opens what is left, and compares it with what was promised.
    fn reopen(&mut self) {
        let durable = self.state.durable_lsn();
        self.note_durable();
        let disk = Disk::Faulty(self.disk.clone());
        self.reserve = Reserve::open(&disk).unwrap();
        let opened = open(&disk, &self.reserve, &name("model"), self.now_ms);
        let (state, damage) = match opened {
            Ok(opened) => opened,
            Err(stream::OpenError::Io { source, .. }) if self.is_space_short && crate::reserve::is_full(&source) => {
                self.disk.set_capacity(None);
                self.is_space_short = false;
                open(&disk, &self.reserve, &name("model"), self.now_ms).unwrap()
            }
            Err(error) => panic!("{error:?}"),
        };
        drop(self.reserve.fill());
        assert_eq!(damage, [], "nothing was damaged");
        self.state = state;
        self.messages_hold(durable);
        self.ids_hold(durable);
        self.consumers_hold(durable);
        // The first segment is begun in memory only: as the thread does, it is written soon.
    }

    fn messages_hold(&mut self, durable: u64) {
        let stored = self.stored();
        for sequence in &stored {
            assert!(self.messages.contains_key(sequence), "{sequence} was never stored");
        }
        for (sequence, message) in &self.messages {
            let is_there = stored.contains(sequence);
            if message.lsn <= durable && message.gone.is_none() {
                assert!(is_there, "{sequence} was acknowledged and is missing");
            }
            assert!(!(is_there && message.gone.is_some_and(|lsn| lsn <= durable)), "{sequence} came back, {message:?}");
            if is_there {
                let (place, entry) = self.state.core.place_of(*sequence).expect("what is there is shown");
                let body = self.state.segment(place.segment).unwrap().read(place, self.state.salt()).unwrap().expect("readable");
                let record = MessageRecord::parse(&body).unwrap();
                assert_eq!(
                    (record.payload, record.subject, record.id, record.sequence),
                    (&message.payload[..], message.subject, &*message.id, *sequence)
                );
                assert_eq!((entry.stored_ms, entry.expires_ms), (message.stored_ms, message.expires_ms));
            }
        }
        self.messages.retain(|sequence, _| stored.contains(sequence));
        self.messages.values_mut().for_each(|message| (message.lsn, message.gone) = (0, None));
        assert!(self.state.core.last_sequence() >= self.highest_durable);
        self.highest_durable = self.highest_durable.max(stored.last().copied().unwrap_or(0));
    }

    fn ids_hold(&mut self, durable: u64) {
        let (state, now_ms) = (&self.state, self.now_ms);
        self.ids.retain(|id, (sequence, stored_ms, lsn)| {
            let found = state.core.find_id(id);
            let is_known = found == Some(*sequence);
            assert!(is_known || *lsn > durable || *stored_ms + WINDOW_MS < now_ms, "{id} of {sequence} was forgotten: {found:?}");
            *lsn = 0;
            is_known
        });
    }

    fn consumers_hold(&mut self, durable: u64) {
        let stored = self.stored();
        for (number, all) in &mut self.consumers {
            let key = self.state.core.key_of(&name(&format!("c{number}")));
            for consumer in all.iter() {
                let is_there = key == Some(consumer.key);
                assert!(is_there || consumer.deleted.is_some() || consumer.put_lsn > durable, "c{number} is gone");
                assert!(!is_there || consumer.deleted.is_none_or(|lsn| lsn > durable), "c{number} came back");
            }
            all.retain(|consumer| key == Some(consumer.key));
            let Some(consumer) = all.last_mut() else { continue };
            consumer.deleted = None;
            let state = self.state.core.consumer(consumer.key).unwrap();
            let is_settled_config = consumer.put_lsn <= durable;
            (consumer.filter, consumer.in_flight_max) = (state.config.filter.clone(), state.config.in_flight_max);
            for sequence in &stored {
                if !wants(consumer.filter.as_ref(), self.messages[sequence].subject) {
                    continue;
                }
                let (is_done, held) = (state.is_done_with(*sequence), state.held(*sequence));
                let acked = consumer.acked.get(sequence).copied();
                assert!(
                    is_done || acked.is_none_or(|lsn| lsn > durable) || !is_settled_config,
                    "the ack of {sequence} by c{number} is forgotten"
                );
                assert!(!is_done || acked.is_some() || !is_settled_config, "c{number} never acked {sequence}, and is done with it");
                let deliveries = consumer.deliveries.get(sequence).map_or(&[][..], |all| all);
                let least = deliveries.iter().filter(|lsn| **lsn <= durable).count();
                if let Some((found, not_before_ms)) = held {
                    assert!((found as usize) <= deliveries.len(), "{sequence} was delivered {} times, not {found}", deliveries.len());
                    assert!(found as usize >= least || !is_settled_config, "{sequence} was delivered {least} times, not {found}");
                    assert!(not_before_ms.is_some(), "no worker has anything after a start");
                }
                assert!(held.is_some() || is_done || least == 0 || !is_settled_config, "deliveries of {sequence} are forgotten");
                if is_done {
                    consumer.acked.insert(*sequence, 0);
                } else {
                    consumer.acked.remove(sequence);
                }
            }
            consumer.acked.retain(|sequence, _| stored.contains(sequence));
            consumer.deliveries.retain(|sequence, _| stored.contains(sequence));
            consumer.deliveries.iter_mut().for_each(|(sequence, all)| {
                let if_not_held = if state.is_done_with(*sequence) { all.len() } else { 0 };
                let found = state.held(*sequence).map_or(if_not_held, |held| held.0 as usize);
                let is_wanted = wants(consumer.filter.as_ref(), self.messages[sequence].subject);
                *all = vec![if is_wanted { 0 } else { u64::MAX }; found];
            });
            consumer.deliveries.retain(|_, all| !all.is_empty());
            (consumer.put_lsn, consumer.fresh) = (0, 0);
        }
        self.consumers.retain(|_, all| !all.is_empty());
    }
}

fn wants(filter: Option<&Filter>, subject: &str) -> bool {
    filter.is_none_or(|filter| filter.matches(&myelin_wire::Subject::new(subject).unwrap()))
}
