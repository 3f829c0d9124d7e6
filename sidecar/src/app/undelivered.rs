//! What a stop could not deliver: in the queues of peers that did not read, and in the queues of routes whose peers were not there.

use std::collections::BTreeMap;

use myelin_bus::outlet::Queued;

/// Messages and bytes per route.
#[derive(Debug, Default)]
pub(super) struct Undelivered(BTreeMap<String, Queued>);

impl Undelivered {
    pub(super) fn add(&mut self, route: &str, left: Queued) {
        if left.messages > 0 {
            let sum = self.0.entry(route.to_owned()).or_default();
            sum.messages += left.messages;
            sum.bytes += left.bytes;
        }
    }

    /// One line per route.
    pub(super) fn log(&self) {
        for (route, Queued { messages, bytes }) in &self.0 {
            tracing::warn!(route, messages, bytes, "not delivered before the stop");
        }
    }

    pub(super) fn total(&self) -> Queued {
        let sum = |sum: Queued, left: &Queued| Queued { bytes: sum.bytes + left.bytes, messages: sum.messages + left.messages };
        self.0.values().fold(Queued::default(), sum)
    }
}
