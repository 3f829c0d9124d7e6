//! What comes in, dealt with inside the call that brings it.

use std::sync::Arc;

use super::message::decode;
use super::service::{Hub, all, subject_of};
use crate::wire::{Body, Filter};
use crate::{Bus, Delivery, InlineSubscription, SubscribeError};

/// Subscribes to what everybody is told, and to what this node is told.
pub(super) fn listen(bus: &Bus, hub: &Arc<Hub>) -> Result<[InlineSubscription; 2], SubscribeError> {
    let ear = |filter: Filter| {
        let hub = Arc::clone(hub);
        let subscription = bus.subscribe_inline(&filter, None, move |delivery: Delivery<'_>| hear(&hub, delivery))?;
        Ok(subscription.into_own())
    };
    Ok([ear(all().into())?, ear(subject_of(hub.node).into())?])
}

fn hear(hub: &Hub, delivery: Delivery<'_>) {
    for body in delivery.bodies {
        let message = match body {
            Body::Blob(bytes) => decode(bytes),
            // Nobody of us sends frames.
            Body::Frames(_) => Err(super::message::Unreadable),
        };
        let Ok(message) = message else {
            hub.metrics.malformed.inc();
            continue;
        };
        let is_news = hub.with(|core, now| core.hear(message, now));
        if is_news {
            hub.metrics.received.inc();
            hub.metrics.received_bytes.inc_by(body.len() as u64);
            hub.work.notify_one();
        }
    }
}
