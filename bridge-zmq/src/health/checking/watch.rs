//! One request that an agent is asked again and again.

use std::sync::Arc;
use std::time::Duration;

use myelin_bus::wire::Frames;
use tokio::time::Instant;

use super::super::config::Timing;
use super::super::masks::Masks;
use super::super::message::NodeId;

/// A change is worth this much unrest, and an answer that is none takes one away.
const UNREST_OF_CHANGE: u32 = 2;

/// With so much unrest an agent answers its polls itself: four changes in a row, or one in each third answer for a while.
const UNREST_MAX: u32 = 8;

#[derive(Debug)]
pub(super) struct Watch {
    kind: Arc<str>,
    /// Who wants to know, and at which pace.
    askers: Vec<(NodeId, Timing)>,
    /// The check under way: its number, and when it began.
    check: Option<(u64, Instant)>,
    next_at: Instant,
    last: Option<Frames>,
    /// When the check began that `last` is the answer to, or an answer like it.
    looked_at: Instant,
    is_told: bool,
    /// It was told before.
    was_told: bool,
    unrest: u32,
}

/// What an answer means to those who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    Nothing,
    Changed,
    /// It cannot be told, because of this member if it is known.
    Unfit(Option<String>),
}

impl Watch {
    pub(super) fn new(kind: Arc<str>, now: Instant) -> Self {
        Self { kind, askers: Vec::new(), check: None, next_at: now, last: None, looked_at: now, is_told: false, was_told: false, unrest: 0 }
    }

    pub(super) fn add(&mut self, node: NodeId, timing: Timing) {
        self.askers.retain(|(known, _)| *known != node);
        self.askers.push((node, timing));
    }

    /// Returns whether nobody is left.
    pub(super) fn remove(&mut self, node: NodeId) -> bool {
        self.askers.retain(|(known, _)| *known != node);
        self.askers.is_empty()
    }

    pub(super) fn has(&self, node: NodeId) -> bool {
        self.askers.iter().any(|(known, _)| *known == node)
    }

    pub(super) fn askers(&self) -> impl Iterator<Item = NodeId> {
        self.askers.iter().map(|(node, _)| *node)
    }

    /// What counts as its answer now.
    pub(super) fn told(&self) -> Option<(Arc<str>, Frames)> {
        self.last.clone().filter(|_| self.is_told).map(|content| (Arc::clone(&self.kind), content))
    }

    /// How old what counts is.
    pub(super) fn age(&self, now: Instant) -> Option<Duration> {
        self.is_told.then(|| now.duration_since(self.looked_at))
    }

    /// Whether it has just become too old to count.
    pub(super) fn falls_silent(&mut self, now: Instant) -> bool {
        let is_silent = self.is_told && now.duration_since(self.looked_at) >= self.timing().silent;
        self.is_told &= !is_silent;
        is_silent
    }

    /// Whether a check is due; then it has begun, with this number.
    pub(super) fn begin(&mut self, number: u64, now: Instant) -> bool {
        let is_due = self.check.is_none() && self.next_at <= now;
        if is_due {
            self.check = Some((number, now));
        }
        is_due
    }

    pub(super) fn answered(&mut self, number: u64, content: Option<Frames>, masks: &Masks, now: Instant) -> Answered {
        let Some((_, began)) = self.check.take_if(|(waiting, _)| *waiting == number) else { return Answered::Nothing };
        let Timing { check, silent, .. } = self.timing();
        // Who is slow to answer is not asked all the time.
        self.next_at = (began + check).max(now + check / 4);
        let Some(content) = content else { return Answered::Unfit(None) };
        if now.duration_since(began) >= silent {
            // It says how things were when it was asked.
            return Answered::Nothing;
        }
        self.looked_at = began;
        let Some(last) = &self.last else {
            self.last = Some(content);
            return Answered::Nothing;
        };
        let difference = masks.difference(last, &content);
        if difference.is_some() {
            self.unrest += UNREST_OF_CHANGE;
            if self.unrest >= UNREST_MAX {
                return Answered::Unfit(difference);
            }
            self.last = Some(content);
            // What was told before is known to be fit: of what it is now, others hear at once.
            self.is_told = self.was_told;
            return if self.is_told { Answered::Changed } else { Answered::Nothing };
        }
        self.unrest = self.unrest.saturating_sub(1);
        let is_news = !self.is_told;
        (self.is_told, self.was_told) = (true, true);
        if is_news { Answered::Changed } else { Answered::Nothing }
    }

    /// When a check is due, or what counts becomes too old.
    pub(super) fn next_at(&self) -> Option<Instant> {
        let due = self.check.is_none().then_some(self.next_at);
        let silent = self.is_told.then(|| self.looked_at + self.timing().silent);
        due.into_iter().chain(silent).min()
    }

    /// The pace of whoever wants to know most closely.
    fn timing(&self) -> Timing {
        let fastest = self.askers.iter().map(|(_, timing)| *timing).min_by_key(|timing| timing.bound);
        fastest.unwrap_or_else(|| Timing::new(super::super::config::BOUND_DEFAULT))
    }
}
