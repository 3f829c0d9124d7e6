//! A request to one agent that can do something, whoever that is.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Agent, Presence, State};
use crate::wire::{AgentId, Body, Subject};
use crate::{Message, RequestError};

/// What an agent answers to a request that it cannot take now and has not begun: exactly these bytes. Whoever asked by
/// [`request_capability`](Presence::request_capability) is then served by another. They are no MessagePack, no JSON and no text.
pub const BUSY: Bytes = Bytes::from_static(b"\xc1myelin:busy\xc1");

/// A reply, and whose it is.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Who answered.
    pub agent: Agent,
    /// The reply.
    pub message: Message,
}

/// Why nobody did it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CapabilityError {
    /// Nobody who is known could take it; nobody has begun it.
    #[error("nobody can do {capability:?} now: {unfit}")]
    NobodyFits {
        /// What was asked for.
        capability: Box<str>,
        /// Who is known to have it, and why none of them could.
        unfit: Unfit,
    },
    /// An agent was given the request and did not answer in time. It may have run, and was not given to another.
    #[error("{agent} did not answer within {after:?}")]
    Unanswered {
        /// Who.
        agent: AgentId,
        /// How long it was waited for, all told.
        after: Duration,
    },
    /// The bus did not take the request.
    #[error("the request to {agent} failed")]
    Request {
        /// To whom it was to go.
        agent: AgentId,
        /// Why it did not.
        #[source]
        source: RequestError,
    },
}

/// Those that have a capability, counted by why they were not asked or did not take the request. Each is counted once, for the first of these.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unfit {
    /// Dead, or gone.
    pub over: usize,
    /// In doubt.
    pub suspect: usize,
    /// Asleep.
    pub asleep: usize,
    /// Cannot be reached, or nobody was there to take the request.
    pub unreachable: usize,
    /// Not ready, by their own word.
    pub not_ready: usize,
    /// Full, by their own word or answer.
    pub busy: usize,
    /// The deadline was over before it was their turn.
    pub not_tried: usize,
}

impl Unfit {
    /// How many have it, whatever their state.
    pub fn total(&self) -> usize {
        let Self { over, suspect, asleep, unreachable, not_ready, busy, not_tried } = *self;
        over + suspect + asleep + unreachable + not_ready + busy + not_tried
    }

    fn count(&mut self, agent: &Agent) {
        let place = match agent.state {
            State::Dead | State::Left => &mut self.over,
            State::Suspect => &mut self.suspect,
            State::Asleep => &mut self.asleep,
            State::Alive if !agent.axes.reachable => &mut self.unreachable,
            State::Alive if !agent.axes.ready => &mut self.not_ready,
            State::Alive => &mut self.busy,
        };
        *place += 1;
    }
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.total() == 0 {
            return f.write_str("nobody has it");
        }
        let Self { over, suspect, asleep, unreachable, not_ready, busy, not_tried } = *self;
        let parts = [
            (busy, "busy"),
            (not_ready, "not ready"),
            (unreachable, "unreachable"),
            (asleep, "asleep"),
            (suspect, "suspect"),
            (over, "gone"),
            (not_tried, "not tried in time"),
        ];
        let parts: Vec<_> = parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        f.write_str(&parts.join(", "))
    }
}

impl CapabilityError {
    /// Whether the same call may succeed later. Check [`may_have_happened`](Self::may_have_happened) before repeating what must not run twice.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NobodyFits { .. } | Self::Unanswered { .. } => true,
            Self::Request { source, .. } => source.is_retryable(),
        }
    }

    /// Whether an agent may have acted on the request.
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::NobodyFits { .. } => false,
            Self::Unanswered { .. } => true,
            Self::Request { source, .. } => source.may_have_happened(),
        }
    }
}

/// What this handle has given to agents that have not answered yet. Bounded by the requests that a bus lets wait.
#[derive(Debug, Clone, Default)]
pub(super) struct InFlight(Arc<Mutex<HashMap<Subject, u32>>>);

/// One such request.
struct Given<'a> {
    to: &'a InFlight,
    subject: Subject,
}

impl InFlight {
    fn give(&self, subject: &Subject) -> Given<'_> {
        *self.0.lock().entry(subject.clone()).or_insert(0) += 1;
        Given { to: self, subject: subject.clone() }
    }

    /// How busy an agent is, by its own word and by what it was given since.
    fn load(&self, agent: &Agent) -> u64 {
        let given = self.0.lock().get(agent.card.requests_at()).copied().map_or(0, u64::from);
        let at_once = agent.card.limits_of().in_flight_max.map_or(1, u64::from).max(1);
        u64::from(agent.axes.busy) + given * 100 / at_once
    }
}

impl Drop for Given<'_> {
    fn drop(&mut self) {
        let mut given = self.to.0.lock();
        if let Some(count) = given.get_mut(&self.subject) {
            *count -= 1;
            if *count == 0 {
                given.remove(&self.subject);
            }
        }
    }
}

impl Presence {
    /// Asks one living, ready agent that has a capability, the least busy first, and waits for its reply for as long as `patience` says in all.
    ///
    /// The next one is asked only when it is certain that the one before has not begun: nobody was there, or it answered [`BUSY`]. A request that may
    /// have run is never given to another.
    ///
    /// # Errors
    /// [`CapabilityError::NobodyFits`] with the reasons, at once; [`CapabilityError::Unanswered`] when one has it and does not answer in time;
    /// [`CapabilityError::Request`] when the bus does not take it.
    ///
    /// # Cancel safety
    /// The request may have been given to an agent; its reply will count as late.
    pub async fn request_capability(&self, capability: &str, payload: Body, patience: Duration) -> Result<Answer, CapabilityError> {
        let end = Instant::now() + patience;
        let mut unfit = Unfit::default();
        let (fitting, others): (Vec<_>, Vec<_>) =
            self.hub.everybody().into_iter().filter(|agent| agent.card.has(capability)).partition(Agent::takes_work);
        others.iter().for_each(|agent| unfit.count(agent));
        let mut fitting = self.in_order(fitting).into_iter();
        while let Some(agent) = fitting.next() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                unfit.not_tried += 1 + fitting.len();
                break;
            }
            let subject = agent.card.requests_at().clone();
            let given = self.in_flight.give(&subject);
            let outcome = self.bus.request(&subject, payload.clone(), left).await;
            drop(given);
            match outcome {
                Ok(message) if message.body == Body::Blob(BUSY) => unfit.busy += 1,
                Ok(message) => return Ok(Answer { agent, message }),
                Err(RequestError::NoResponders { .. }) => unfit.unreachable += 1,
                Err(RequestError::Timeout { .. }) => {
                    return Err(CapabilityError::Unanswered { agent: agent.id().clone(), after: patience });
                }
                Err(source) => return Err(CapabilityError::Request { agent: agent.id().clone(), source }),
            }
        }
        Err(CapabilityError::NobodyFits { capability: capability.into(), unfit })
    }

    /// The least busy first, each place where requests are taken once; equals in no order.
    fn in_order(&self, mut agents: Vec<Agent>) -> Vec<Agent> {
        agents.sort_by_cached_key(|agent| (self.in_flight.load(agent), fastrand::u32(..)));
        let mut seen = hashbrown::HashSet::new();
        agents.retain(|agent| seen.insert(agent.card.requests_at().clone()));
        agents
    }
}
