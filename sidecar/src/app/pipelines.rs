//! The pipelines that are kept in a stream, as `myelin zmq` shows them.

use std::sync::Arc;

use myelin_bridge_zmq::routes::pipeline::Pipeline;
use myelin_bus::Bus;
use serde::{Deserialize, Serialize};

/// Tells the pipelines of now, by route.
pub(super) type PipelinesSource = Arc<dyn Fn() -> Vec<(String, Arc<Pipeline>)> + Send + Sync>;

/// What waits in a pipeline, and for whom.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PipelineEntry {
    pub(crate) route: String,
    /// The stream that it is kept in, for `myelin stream info`.
    pub(crate) stream: String,
    /// Messages that are stored and that nobody has taken.
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// Those of them that consumers have in hand.
    pub(crate) in_hand: u64,
    /// Deliveries beyond the first of a message, since the stream was made.
    pub(crate) redelivered: u64,
    /// Messages that were read from producers and are not stored yet.
    pub(crate) unstored: u64,
    pub(crate) consumers: u64,
    /// Consumers that answer no PING.
    pub(crate) at_most_once: u64,
}

/// One entry for each, or for the one that is asked for. A stream that somebody has just deleted is empty.
pub(super) async fn entries(bus: &Bus, pipelines: &[(String, Arc<Pipeline>)], route: Option<&str>) -> Vec<PipelineEntry> {
    let mut entries = Vec::new();
    for (name, pipeline) in pipelines.iter().filter(|(name, _)| route.is_none_or(|route| route == name)) {
        let (Some(stream), Some(status)) = (pipeline.stream(), pipeline.status()) else { continue };
        let info = bus.stream_info(stream).await.ok();
        entries.push(PipelineEntry {
            route: name.clone(),
            stream: stream.to_string(),
            messages: info.as_ref().map_or(0, |info| info.messages),
            bytes: info.as_ref().map_or(0, |info| info.bytes),
            in_hand: status.in_hand as u64,
            redelivered: info.map_or(0, |info| info.consumers.iter().map(|consumer| consumer.redelivered).sum()),
            unstored: status.unstored.messages as u64,
            consumers: status.consumers as u64,
            at_most_once: status.at_most_once as u64,
        });
    }
    entries
}
