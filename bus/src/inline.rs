//! Subscriptions without a queue, and the claim on the engine that all subscriptions have.

use std::sync::Arc;

use crate::bus::Shared;
use crate::engine::{Attachment, EngineOps};

/// A handler's subscription. Dropping it unsubscribes.
#[derive(Debug)]
#[must_use = "dropping it unsubscribes"]
pub struct InlineSubscription {
    _registration: Registration,
}

impl InlineSubscription {
    pub(crate) fn new(registration: Registration) -> Self {
        Self { _registration: registration }
    }
}

/// What the engine knows of a subscription, taken back on drop.
#[derive(Debug)]
pub(crate) struct Registration {
    shared: Arc<Shared>,
    attachment: Attachment,
}

impl Registration {
    pub(crate) fn new(shared: Arc<Shared>, attachment: Attachment) -> Self {
        Self { shared, attachment }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.shared.engine.detach(&self.attachment);
    }
}
