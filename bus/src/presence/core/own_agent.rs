//! One agent that this process speaks for: what it is, and what follows from what is seen of it.

use std::sync::Arc;

use tokio::time::Instant;

use super::super::message::Told;
use super::super::{Agent, AgentCard, Axes, NodeId, Reason, State};
use super::Evidence;

#[derive(Debug, Clone)]
pub(super) struct OwnAgent {
    pub(super) card: Arc<AgentCard>,
    pub(super) card_version: u64,
    pub(super) version: u64,
    pub(super) incarnation: u64,
    pub(super) state: State,
    pub(super) reason: Reason,
    pub(super) since: Instant,
    pub(super) axes: Axes,
    pub(super) lost: Option<Instant>,
}

impl OwnAgent {
    pub(super) fn enter(&mut self, state: State, reason: Reason, now: Instant) {
        if self.state != state {
            self.since = now;
        }
        (self.state, self.reason) = (state, reason);
        if state.is_over() {
            (self.axes.reachable, self.lost) = (false, None);
        }
    }

    pub(super) fn saw(&mut self, evidence: Evidence, now: Instant) {
        match (evidence, self.state) {
            (Evidence::ConnectionLost, _) => {
                if self.lost.is_none() {
                    self.lost = Some(now);
                }
                self.axes.reachable = false;
                self.enter(State::Suspect, Reason::ConnectionLost, now);
            }
            (Evidence::ConnectionBack, State::Suspect) if self.lost.is_some() => {
                (self.axes.reachable, self.lost) = (true, None);
                self.enter(State::Alive, Reason::ConnectionBack, now);
            }
            (Evidence::Answered, State::Suspect) => {
                (self.axes.reachable, self.lost) = (true, None);
                self.enter(State::Alive, Reason::Answered, now);
            }
            (Evidence::Unanswered, State::Alive) => self.enter(State::Suspect, Reason::Unanswered, now),
            (Evidence::PutToSleep, State::Alive | State::Suspect) if self.lost.is_none() => {
                self.enter(State::Asleep, Reason::PutToSleep, now);
            }
            (Evidence::Woken, State::Asleep) => self.enter(State::Alive, Reason::Woken, now),
            // Nothing new.
            _ => {}
        }
    }

    pub(super) fn differs_in_busy_only(&self, after: &Self) -> bool {
        let axes = Axes { busy: after.axes.busy, ..self.axes };
        self.incarnation == after.incarnation
            && self.state == after.state
            && self.reason == after.reason
            && self.card_version == after.card_version
            && axes == after.axes
    }

    pub(super) fn told(&self, from: u64, now: Instant) -> Told {
        let Self { incarnation, state, reason, axes, .. } = *self;
        let card = (self.card_version > from).then(|| Arc::clone(&self.card));
        Told { incarnation, state, reason, age: now.saturating_duration_since(self.since), axes, card }
    }

    pub(super) fn seen(&self, node: NodeId, machine: &Arc<str>) -> Agent {
        let Self { incarnation, state, reason, since, .. } = *self;
        let axes = Axes { ready: self.axes.ready && state == State::Alive, ..self.axes };
        Agent { card: Arc::clone(&self.card), incarnation, machine: Arc::clone(machine), node, state, reason, since, axes }
    }
}
