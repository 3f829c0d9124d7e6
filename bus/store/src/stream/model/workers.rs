//! What consumers do, and what they may be given.

use std::collections::BTreeMap;
use std::time::Duration;

use super::filter;
use super::harness::{ACK_WAIT_MS, Consumer, Harness, name, wants};
use crate::config::ConsumerConfig;
use crate::consumer::{Most, Outcome, Settled};
use crate::error::StoreError;
use crate::stream::Failed;

impl Harness {
    pub(super) fn lease(&mut self, consumer: u8, max: usize) {
        let Some(key) = self.consumer(consumer).map(|consumer| consumer.key) else { return };
        let held_before: BTreeMap<_, _> = self.stored().into_iter().map(|sequence| (sequence, self.held(key, sequence))).collect();
        let in_flight_before = self.state.core.consumer(key).unwrap().in_flight();
        let Some(leases) = self.until_room(|state, now_ms| state.lease(key, Most::messages(max), now_ms)) else { return };
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
    pub(super) fn pick(&mut self, consumer: u8, pick: u8) -> Option<(u32, u64)> {
        let consumer = self.consumer(consumer)?;
        let had: Vec<_> = consumer.deliveries.keys().copied().collect();
        Some((consumer.key, *had.get(usize::from(pick) % had.len().max(1))?))
    }

    pub(super) fn ack(&mut self, consumer: u8, pick: u8, count: usize) {
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

    pub(super) fn nak(&mut self, consumer: u8, pick: u8, delay: Option<u16>) {
        let Some((key, sequence)) = self.pick(consumer, pick) else { return };
        let Some((delivery, phase)) = self.held(key, sequence) else { return };
        let failed = Failed { key, sequence, delivery, outcome: Outcome::Nak, error: "no", delay_ms: delay.map(u64::from) };
        if let Some(settled) = self.until_room(|state, now_ms| state.fail(&failed, now_ms)) {
            assert_eq!(settled == Settled::Done, phase.is_none());
        }
    }

    pub(super) fn put_consumer(&mut self, consumer: u8, index: u8, in_flight_max: usize) {
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
}
