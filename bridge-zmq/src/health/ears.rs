//! What comes in from other sidecars, dealt with inside the call that brings it.

use std::sync::Arc;

use myelin_bus::wire::Body;
use myelin_bus::{Delivery, InlineSubscription, SubscribeError};

use super::{EVERYBODY, Shared, message, subject};

pub(super) fn listen(shared: &Arc<Shared>) -> Result<[InlineSubscription; 2], SubscribeError> {
    let ear = |whom: &str| {
        let shared = Arc::clone(shared);
        shared.bus.clone().subscribe_inline(&subject(whom).into(), None, move |delivery: Delivery<'_>| take(&shared, delivery))
    };
    Ok([ear(EVERYBODY)?, ear(&shared.node.to_string())?])
}

fn take(shared: &Shared, delivery: Delivery<'_>) {
    for body in delivery.bodies {
        let bytes = match body {
            Body::Blob(blob) => blob.clone(),
            Body::Frames(frames) => frames.first(),
        };
        match message::decode(&bytes) {
            // What this sidecar tells everybody comes back to it.
            Ok(message) if message.from == shared.node => {}
            Ok(message) => shared.hear(message),
            Err(_) => shared.metrics.malformed(),
        }
    }
}
