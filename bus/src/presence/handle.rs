//! The handle of presence.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::announced::unix_ms;
use super::capability::InFlight;
use super::service::{Hub, sorted};
use super::{Agent, AgentCard, Announced, Axes, CardError, NodeId, PresenceConfig, Service, Watch};
use crate::wire::AgentId;
use crate::{Bus, SubscribeError};

/// Who is there, on one bus. Cloning gives the same one.
///
/// ```
/// # use std::time::Duration;
/// # use myelin_bus::{Bus, EmbeddedConfig, wire::AgentId};
/// use myelin_bus::presence::{AgentCard, State};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let bus = Bus::embedded(EmbeddedConfig::default());
/// let presence = bus.presence()?;
/// let planner = presence.announce(AgentCard::new(AgentId::new("planner-7")?).capability("plan"))?;
/// planner.update(|axes| axes.busy = 50);
/// assert_eq!(presence.list()[0].state, State::Alive);
/// planner.goodbye();
/// assert_eq!(presence.list()[0].state, State::Left);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Presence {
    pub(super) bus: Bus,
    pub(super) hub: Arc<Hub>,
    pub(super) in_flight: InFlight,
}

/// Why an agent was not announced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnnounceError {
    /// Others cannot be told of its card.
    #[error("agent cannot be announced")]
    Card(#[from] CardError),
    /// This process has announced as many as it may.
    #[error("too many agents are announced")]
    TooMany,
    /// Another agent of this process has that name, and is not over.
    #[error("agent {id} is announced already")]
    Taken {
        /// The name.
        id: AgentId,
    },
    /// A card of somebody else.
    #[error("the card is that of {id}")]
    AnotherAgent {
        /// Whose it is.
        id: AgentId,
    },
}

impl AnnounceError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::TooMany | Self::Taken { .. })
    }

    /// Whether others may know of the agent all the same: never.
    pub fn may_have_happened(&self) -> bool {
        false
    }
}

impl Bus {
    /// Presence on this bus, as it was begun first, or else with all defaults. Must be called within a tokio runtime.
    ///
    /// A process that has announced nothing listens, and says nothing but one hello.
    ///
    /// # Errors
    /// When there are too many subscriptions, or the bus is draining or closed.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn presence(&self) -> Result<Presence, SubscribeError> {
        self.presence_with(&PresenceConfig::default())
    }

    /// As [`presence`](Self::presence), with all that can be said about it, if it has not begun before.
    ///
    /// # Errors
    /// As [`presence`](Self::presence).
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn presence_with(&self, config: &PresenceConfig) -> Result<Presence, SubscribeError> {
        let mut place = self.shared().presence.lock();
        let service = match &*place {
            Some(service) => service,
            None => place.insert(Service::start(self, config)?),
        };
        Ok(Presence { bus: self.clone(), hub: Arc::clone(&service.hub), in_flight: InFlight::default() })
    }
}

impl Presence {
    /// Announces an agent: alive, ready, not busy. Everybody learns of it within moments.
    ///
    /// # Errors
    /// [`AnnounceError::Card`], [`AnnounceError::TooMany`] or [`AnnounceError::Taken`].
    pub fn announce(&self, card: AgentCard) -> Result<Announced, AnnounceError> {
        self.announce_as(card, Axes::default())
    }

    /// As [`announce`](Self::announce), with how it is from the first moment on.
    ///
    /// # Errors
    /// As [`announce`](Self::announce).
    pub fn announce_as(&self, card: AgentCard, axes: Axes) -> Result<Announced, AnnounceError> {
        card.check()?;
        let card = Arc::new(card);
        let axes = Axes { busy: axes.busy.min(100), ..axes };
        let begun = self.hub.change(|core, now| {
            if core.is_taken(card.id()) {
                return Err(AnnounceError::Taken { id: card.id().clone() });
            }
            core.announce(Arc::clone(&card), axes, unix_ms(), now).ok_or(AnnounceError::TooMany)
        });
        Ok(Announced::new(Arc::clone(&self.hub), card, axes, begun?))
    }

    /// Everybody that is known, ordered by name; of one name, the living first. Those that are dead or have left stay for a while.
    pub fn list(&self) -> Vec<Agent> {
        sorted(self.hub.everybody())
    }

    /// The agent of this name: if there are several, one that takes work, else one that lives.
    pub fn get(&self, id: &str) -> Option<Agent> {
        let known = self.hub.with(|core, _| core.agent(id));
        known.into_iter().max_by_key(|agent| (agent.takes_work(), !agent.state.is_over(), agent.incarnation))
    }

    /// Follows who comes and goes, from a list of everybody on.
    pub fn watch(&self) -> Watch {
        Watch::new(Arc::clone(&self.hub))
    }

    /// Who this process is to others.
    pub fn node(&self) -> NodeId {
        self.hub.node
    }

    /// Waits until all that was changed before has been handed to the network, or `patience` is over. Returns whether it was.
    ///
    /// # Cancel safety
    /// Dropping it loses the waiting.
    pub async fn flush(&self, patience: Duration) -> bool {
        let wanted = self.hub.changes();
        let mut said = self.hub.said.subscribe();
        let done = said.wait_for(|said| *said >= wanted);
        timeout(patience, done).await.is_ok_and(|said| said.is_ok())
    }
}
