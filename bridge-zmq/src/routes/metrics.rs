//! What routes count. Handles work unregistered; [`RouteMetrics::register`] makes them visible.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The counters of all routes; clones share them.
#[derive(Debug, Clone, Default)]
pub struct RouteMetrics {
    /// Requests that were taken from callers.
    pub(crate) requests: Counter,
    /// Replies that reached the connection their request came from.
    pub(crate) replies: Counter,
    /// Requests that found no agent anywhere.
    pub(crate) requests_without_responder: Counter,
    /// Requests that found a full queue.
    pub(crate) requests_refused: Counter,
    /// Waiting requests that made room for those of callers who had fewer.
    pub(crate) requests_evicted: Counter,
    /// Requests without the empty frame that a REP needs.
    pub(crate) requests_malformed: Counter,
    /// Waiting requests dropped because their caller had gone.
    pub(crate) requests_abandoned: Counter,
    /// Requests whose agent disconnected before it answered.
    pub(crate) requests_unanswered: Counter,
    /// Replies that no outstanding request of their connection matches.
    pub(crate) replies_unmatched: Counter,
    /// Replies whose caller had gone.
    pub(crate) replies_late: Counter,
    /// Subscriptions beyond a subscriber's bound.
    pub(crate) subscriptions_refused: Counter,
    /// Peers beyond the one that a side of a pair has.
    pub(crate) pair_peers_refused: Counter,
    /// Requests that became dead letters.
    pub(crate) requests_dead_lettered: Counter,
    /// Requests that should have become dead letters and are not kept.
    pub(crate) requests_not_kept: Counter,
    /// Requests that were served and not watched, because too many were.
    pub(crate) requests_unwatched: Counter,
    /// Messages of producers that durable pipelines stored.
    pub(crate) pipeline_stored: Counter,
    /// Messages that durable pipelines gave to consumers, redeliveries among them.
    pub(crate) pipeline_delivered: Counter,
    /// Those of them that had been given to a consumer before.
    pub(crate) pipeline_redelivered: Counter,
    /// Messages that consumers confirmed by the PONG of a barrier.
    pub(crate) pipeline_acked: Counter,
    /// Messages that count as delivered because the socket of a consumer without PONGs took them.
    pub(crate) pipeline_at_most_once: Counter,
    /// Consumers without PONGs now.
    pub(crate) pipeline_at_most_once_peers: Gauge,
    /// Durable pipelines whose producers are held back now.
    pub(crate) pipelines_full: Gauge,
    /// Messages that no stream can store, dropped.
    pub(crate) pipeline_unstorable: Counter,
}

impl RouteMetrics {
    /// Makes the counters visible under `myelin_zmq_…`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("myelin_zmq");
        let mut counter = |name: &str, help: &str, counter: &Counter| registry.register(name, help, counter.clone());
        counter("requests", "Requests taken from callers", &self.requests);
        counter("replies", "Replies that reached the connection their request came from", &self.replies);
        counter("requests_without_responder", "Requests that found no agent", &self.requests_without_responder);
        counter("requests_refused", "Requests that found a full queue", &self.requests_refused);
        counter("requests_evicted", "Waiting requests of the longest line that made room for another caller's", &self.requests_evicted);
        counter("requests_malformed", "Requests without the empty frame that a REP needs", &self.requests_malformed);
        counter("requests_abandoned", "Waiting requests dropped because their caller had gone", &self.requests_abandoned);
        counter("requests_unanswered", "Requests whose agent disconnected before it answered", &self.requests_unanswered);
        counter("replies_unmatched", "Replies that match no outstanding request of their connection", &self.replies_unmatched);
        counter("replies_late", "Replies whose caller had gone", &self.replies_late);
        counter("subscriptions_refused", "Subscriptions beyond a subscriber's bound", &self.subscriptions_refused);
        counter("pair_peers_refused", "Peers closed because their side of a pair has one", &self.pair_peers_refused);
        counter("requests_dead_lettered", "Requests without a reply that became dead letters", &self.requests_dead_lettered);
        counter("requests_not_kept", "Requests without a reply that should have become dead letters and did not", &self.requests_not_kept);
        counter(
            "requests_unwatched",
            "Requests that are no dead letters whatever happens, because too many were open",
            &self.requests_unwatched,
        );
        counter("pipeline_messages_stored", "Messages of producers that durable pipelines stored", &self.pipeline_stored);
        counter(
            "pipeline_messages_delivered",
            "Messages given to consumers of durable pipelines, again and again",
            &self.pipeline_delivered,
        );
        counter(
            "pipeline_messages_redelivered",
            "Messages given to a consumer that had been given to one before",
            &self.pipeline_redelivered,
        );
        counter("pipeline_messages_acked", "Messages that consumers confirmed by answering a PING behind them", &self.pipeline_acked);
        counter(
            "pipeline_messages_at_most_once",
            "Messages that count as delivered because a socket took them, its peer answering no PING",
            &self.pipeline_at_most_once,
        );
        counter("pipeline_messages_unstorable", "Messages dropped because no stream can store them", &self.pipeline_unstorable);
        let mut gauge = |name: &str, help: &str, gauge: &Gauge| registry.register(name, help, gauge.clone());
        gauge("pipeline_at_most_once_peers", "Consumers of durable pipelines that answer no PING", &self.pipeline_at_most_once_peers);
        gauge("pipelines_full", "Durable pipelines whose producers are held back", &self.pipelines_full);
    }

    /// Peers so far that were closed because their side of a pair had one.
    #[must_use]
    pub fn pair_peers_refused(&self) -> u64 {
        self.pair_peers_refused.get()
    }
}
