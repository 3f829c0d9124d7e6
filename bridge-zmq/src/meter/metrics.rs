//! The counters of the meter as `/metrics` shows them. Handles work unregistered.

use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::Counts;

/// The counters, by kind of agent.
#[derive(Clone, Debug, Default)]
pub(super) struct MeterMetrics {
    polls: Family<Kind, Counter>,
    beats: Family<Kind, Counter>,
    wakes: Family<Kind, Counter>,
    bytes: Family<Kind, Counter>,
}

/// Bounded by the meter, which has no more than 33 of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind(Arc<str>);

impl EncodeLabelSet for Kind {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        [("kind", &*self.0)].encode(encoder)
    }
}

impl MeterMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("myelin_meter");
        registry.register("polls_answered", "Health polls of agents elsewhere that were answered here", self.polls.clone());
        registry.register("beats_suppressed", "Messages of topics that were not passed on because nothing had changed", self.beats.clone());
        registry.register("wakes", "Agents that were woken", self.wakes.clone());
        registry.register("not_sent_bytes", "Bytes of the frames that did not have to be sent for these", self.bytes.clone());
    }

    pub(super) fn add(&self, kind: &Arc<str>, counts: Counts) {
        let Counts { polls_answered, connections: _, beats_suppressed, wakes, bytes_not_sent } = counts;
        let counted = [(&self.polls, polls_answered), (&self.beats, beats_suppressed), (&self.wakes, wakes), (&self.bytes, bytes_not_sent)];
        for (family, count) in counted.into_iter().filter(|(_, count)| *count > 0) {
            family.get_or_create(&Kind(Arc::clone(kind))).inc_by(count);
        }
    }
}
