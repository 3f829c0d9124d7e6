//! An agent that this process speaks for.

use std::sync::Arc;

use parking_lot::Mutex;

use super::service::Hub;
use super::{AgentCard, AnnounceError, Axes, Evidence};
use crate::wire::AgentId;

/// An agent that others know of. Dropping it says goodbye for it.
///
/// None of its calls waits: others learn of a change as soon as the task of presence has said it, within moments. Changes of nothing but
/// [`busy`](Axes::busy) are told together once a second.
#[derive(Debug)]
#[must_use = "dropping it says goodbye"]
pub struct Announced {
    hub: Arc<Hub>,
    id: AgentId,
    life: Mutex<Life>,
}

#[derive(Debug)]
struct Life {
    card: Arc<AgentCard>,
    axes: Axes,
    incarnation: u64,
}

impl Announced {
    pub(super) fn new(hub: Arc<Hub>, card: Arc<AgentCard>, axes: Axes, incarnation: u64) -> Self {
        Self { hub, id: card.id().clone(), life: Mutex::new(Life { card, axes, incarnation }) }
    }

    /// Who it is.
    pub fn id(&self) -> &AgentId {
        &self.id
    }

    /// Which of its lives this is.
    pub fn incarnation(&self) -> u64 {
        self.life.lock().incarnation
    }

    /// Says how it is. `reachable` is known by [`saw`](Self::saw) and not changed here; `busy` is at most 100.
    pub fn update(&self, set: impl FnOnce(&mut Axes)) {
        let mut life = self.life.lock();
        set(&mut life.axes);
        let (axes, incarnation) = (life.axes, life.incarnation);
        self.hub.change(|core, _| core.set_axes(&self.id, incarnation, |known| *known = axes));
    }

    /// Says something else of itself. The id stays what it is.
    ///
    /// # Errors
    /// When others cannot be told of the card, or it is another agent's.
    pub fn set_card(&self, card: AgentCard) -> Result<(), AnnounceError> {
        card.check()?;
        if *card.id() != self.id {
            return Err(AnnounceError::AnotherAgent { id: card.id().clone() });
        }
        let mut life = self.life.lock();
        life.card = Arc::new(card);
        let (card, incarnation) = (Arc::clone(&life.card), life.incarnation);
        self.hub.change(|core, _| core.set_card(card, incarnation));
        Ok(())
    }

    /// Takes note of something that was seen of it. An agent that was dead and is seen alive begins another life.
    pub fn saw(&self, evidence: Evidence) {
        let mut life = self.life.lock();
        let is_alive = matches!(evidence, Evidence::Answered | Evidence::ConnectionBack);
        let unix_ms = unix_ms();
        let Life { card, axes, incarnation } = &mut *life;
        self.hub.change(|core, now| {
            if is_alive && core.is_dead(&self.id, *incarnation) {
                let axes = Axes { reachable: true, ..*axes };
                if let Some(next) = core.announce(Arc::clone(card), axes, unix_ms, now) {
                    *incarnation = next;
                }
            } else {
                core.saw(&self.id, *incarnation, evidence, now);
            }
        });
    }

    /// Says goodbye for it: everybody knows at once that it has left.
    pub fn goodbye(self) {
        drop(self);
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        let incarnation = self.life.get_mut().incarnation;
        self.hub.change(|core, now| core.goodbye(&self.id, incarnation, now));
    }
}

/// The wall clock, for a number that grows from life to life.
pub(super) fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
