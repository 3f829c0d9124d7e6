//! Subscriptions without a queue, and the claim on the engine that all subscriptions have.

use std::sync::{Arc, Weak};

use crate::bus::Shared;
use crate::engine::{Attachment, Engine, EngineOps};

/// A handler's subscription. Dropping it unsubscribes.
#[derive(Debug)]
#[must_use = "dropping it unsubscribes"]
pub struct InlineSubscription {
    registration: Registration,
}

impl InlineSubscription {
    pub(crate) fn new(registration: Registration) -> Self {
        Self { registration }
    }

    /// Whether messages from other machines come here too, on a bus with a link to them; on others this does nothing. They do at first.
    ///
    /// For a responder that takes requests of this machine although it cannot serve them now: others would send it theirs while somebody else can.
    pub fn set_exported(&self, is_exported: bool) {
        self.registration.set_exported(is_exported);
    }

    /// The same for what its bus itself has: it keeps the bus alive no longer.
    pub(crate) fn into_own(self) -> Self {
        Self { registration: self.registration.into_own() }
    }
}

/// What the engine knows of a subscription, taken back on drop.
#[derive(Debug)]
pub(crate) struct Registration {
    shared: Claim,
    attachment: Attachment,
}

/// Whether a subscription keeps its bus alive.
#[derive(Debug)]
enum Claim {
    Kept(Arc<Shared>),
    /// The subscription is something that the bus itself has: kept by it, neither would ever go.
    Own(Weak<Shared>),
}

impl Registration {
    pub(crate) fn new(shared: Arc<Shared>, attachment: Attachment) -> Self {
        Self { shared: Claim::Kept(shared), attachment }
    }

    fn set_exported(&self, is_exported: bool) {
        let shared = match &self.shared {
            Claim::Kept(shared) => Some(Arc::clone(shared)),
            Claim::Own(shared) => shared.upgrade(),
        };
        if let Some(Engine::Linked(engine)) = shared.as_deref().map(|shared| &shared.engine) {
            engine.export(&self.attachment, is_exported);
        }
    }

    /// Keeps the bus no longer.
    pub(crate) fn into_own(mut self) -> Self {
        if let Claim::Kept(shared) = &self.shared {
            self.shared = Claim::Own(Arc::downgrade(shared));
        }
        self
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        match &self.shared {
            Claim::Kept(shared) => shared.engine.detach(&self.attachment),
            // Without its bus there is no engine either that knows it.
            Claim::Own(shared) => {
                if let Some(shared) = shared.upgrade() {
                    shared.engine.detach(&self.attachment);
                }
            }
        }
    }
}
