//! What was promised, compared with what is there.

use super::harness::{Harness, WINDOW_MS, name, wants};
use crate::config::Retention;
use crate::disk::Disk;
use crate::record::MessageRecord;
use crate::reserve::{Reserve, is_full};
use crate::stream::{OpenError, open};

impl Harness {
    /// What every consumer is done with is not kept, where that is what counts; what one is not done with is.
    pub(super) fn retention_holds(&self) {
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
    pub(super) fn reopen(&mut self) {
        let durable = self.state.durable_lsn();
        self.note_durable();
        let disk = Disk::Faulty(self.disk.clone());
        self.reserve = Reserve::open(&disk).unwrap();
        let opened = open(&disk, &self.reserve, &name("model"), self.now_ms);
        let (state, damage) = match opened {
            Ok(opened) => opened,
            Err(OpenError::Io { source, .. }) if self.is_space_short && is_full(&source) => {
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
    }

    fn messages_hold(&mut self, durable: u64) {
        let stored = self.stored();
        for sequence in &stored {
            assert!(self.messages.contains_key(sequence), "{sequence} was never stored");
        }
        for (sequence, message) in &self.messages {
            let is_there = stored.contains(sequence);
            if message.lsn <= durable && message.gone.is_none() {
                assert!(is_there || self.may_be_done(*sequence, durable), "{sequence} was acknowledged and is missing");
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

    /// A consumer that nobody was told of may not survive the ack of another, which then was the last that the message waited for.
    fn may_be_done(&self, sequence: u64, durable: u64) -> bool {
        let mut all = self.consumers.values().flatten();
        let is_acked = all.clone().any(|consumer| consumer.acked.contains_key(&sequence));
        is_acked && all.any(|consumer| consumer.put_lsn > durable) && self.state.core.config.retention == Retention::Interest
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
