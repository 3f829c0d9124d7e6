//! What a consumer has looked at and not settled, and how a consumer's state is kept in a snapshot.

use std::collections::VecDeque;

use super::{Attempt, ConsumerState, Outcome};
use crate::config::ConsumerConfig;
use crate::record::{Malformed, Reader, Writer};

/// One message that is not settled.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) deliveries: u32,
    pub(super) phase: Phase,
    pub(super) attempts: VecDeque<Attempt>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    InFlight { deadline_ms: u64 },
    Waiting { not_before_ms: u64 },
}

impl Pending {
    pub(super) fn new() -> Self {
        Self { deliveries: 0, phase: Phase::Waiting { not_before_ms: 0 }, attempts: VecDeque::new() }
    }
}

impl ConsumerState {
    pub(crate) fn write(&self, body: &mut Writer) {
        body.u64(self.cursor).u64(self.delivered).u64(self.redelivered).u64(self.acked).u32(self.pending.len() as u32);
        for (sequence, pending) in &self.pending {
            let not_before_ms = match pending.phase {
                Phase::InFlight { .. } => u64::MAX,
                Phase::Waiting { not_before_ms } => not_before_ms,
            };
            body.u64(*sequence).u32(pending.deliveries).u64(not_before_ms).u8(pending.attempts.len() as u8);
            for attempt in &pending.attempts {
                body.u64(attempt.at_ms).u8(attempt.outcome as u8).long_text(&attempt.error);
            }
        }
    }

    /// Reads a state back. What was with a worker still is: its deadline is past, so it comes again as the attempt it was.
    pub(crate) fn read(config: ConsumerConfig, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut state = Self::new(config, reader.u64()?);
        (state.delivered, state.redelivered, state.acked) = (reader.u64()?, reader.u64()?, reader.u64()?);
        for _ in 0..reader.u32()? {
            let (sequence, deliveries, not_before_ms) = (reader.u64()?, reader.u32()?, reader.u64()?);
            let mut attempts = VecDeque::new();
            for _ in 0..reader.u8()? {
                let at_ms = reader.u64()?;
                let outcome = Outcome::from_byte(reader.u8()?).ok_or(Malformed)?;
                attempts.push_back(Attempt { at_ms, outcome, error: reader.long_text()?.into() });
            }
            let pending = Pending { deliveries, attempts, ..Pending::new() };
            if not_before_ms == u64::MAX {
                state.hold(sequence, pending, 0);
            } else {
                state.wait(sequence, pending, not_before_ms);
            }
        }
        Ok(state)
    }
}
