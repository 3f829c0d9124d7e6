//! What a bus with a link to other machines needs to know.

use std::time::Duration;

use super::LinkMetrics;
use crate::EmbeddedConfig;
use crate::engine::NatsConfig;
use crate::wire::Filter;

/// A bus of this process, linked to those of other machines by NATS.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LinkedConfig {
    /// The part inside this process. Its `metrics` count what local receivers get.
    pub embedded: EmbeddedConfig,
    /// The server between the machines. It need not be there when the bus is made: see [`Bus::linked`](crate::Bus::linked).
    pub nats: NatsConfig,
    /// Subjects whose messages leave this machine only while somebody on another one has said that he listens; default: none, so that all do. A
    /// NATS client that talks to the servers directly says nothing, and gets none of these.
    pub leased: Vec<Filter>,
    /// Subjects that never leave this machine, nor come to it from another; default: none.
    pub private: Vec<Filter>,
    /// What this machine is called in messages about it; default: empty.
    pub host: Box<str>,
    /// How often the link is tried while nothing comes over it; default 5 s. After two tries without an answer it counts as lost.
    pub ping_interval: Duration,
    /// Where the link counts; default: nowhere that anybody reads.
    pub metrics: LinkMetrics,
}

impl LinkedConfig {
    /// A bus with a link to the servers of `nats`, and the defaults above.
    pub fn new(nats: NatsConfig) -> Self {
        Self {
            embedded: EmbeddedConfig::default(),
            nats: NatsConfig { starts_without_server: true, ..nats },
            leased: Vec::new(),
            private: Vec::new(),
            host: Box::default(),
            ping_interval: Duration::from_secs(5),
            metrics: LinkMetrics::default(),
        }
    }
}
