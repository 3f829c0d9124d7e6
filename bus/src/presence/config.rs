//! What presence of one bus needs to know.

use std::time::Duration;

use super::PresenceMetrics;
use super::core::{Limits, Timing};

/// How a process takes part in presence. Everything has a default.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PresenceConfig {
    /// What this machine is called by others; default: nothing. An agent that is announced again on a machine of the same name has been restarted,
    /// as far as others are concerned; on machines of different names, or of none, it is two.
    pub machine: Box<str>,
    /// How often this process says at least that it is there, if it has agents; default 30 s, of which up to a fifth is taken off at random. It is
    /// taken as 50 ms to 10 min whatever it says. Others miss it when they have heard nothing for three of them.
    pub interval: Duration,
    /// How long the connection of an agent may be away before the agent counts as dead; default 500 ms.
    pub lost_grace: Duration,
    /// How long agents that are dead or have left are told of; default 15 min.
    pub gone_keep: Duration,
    /// How long the agents of a process that has fallen silent are kept, as suspect; default 24 h.
    pub silent_keep: Duration,
    /// Most agents that this process may announce; default 16,384.
    pub own_agents_max: usize,
    /// Most other processes that are known; default 16,384.
    pub nodes_max: usize,
    /// Most agents of others that are known; default 65,536.
    pub agents_max: usize,
    /// Most bytes that those take, roughly; default 64 MiB.
    pub bytes_max: usize,
    /// Where presence counts; default: nowhere that anybody reads.
    pub metrics: PresenceMetrics,
}

impl Default for PresenceConfig {
    fn default() -> Self {
        Self {
            machine: Box::default(),
            interval: Duration::from_secs(30),
            lost_grace: Duration::from_millis(500),
            gone_keep: Duration::from_secs(15 * 60),
            silent_keep: Duration::from_secs(24 * 60 * 60),
            own_agents_max: 16_384,
            nodes_max: 16_384,
            agents_max: 65_536,
            bytes_max: 64 << 20,
            metrics: PresenceMetrics::default(),
        }
    }
}

impl PresenceConfig {
    pub(super) fn timing(&self) -> Timing {
        Timing {
            interval: self.interval.clamp(Timing::INTERVAL_MIN, Timing::INTERVAL_MAX),
            lost_grace: self.lost_grace,
            gone_keep: self.gone_keep,
            silent_keep: self.silent_keep,
        }
    }

    pub(super) fn limits(&self) -> Limits {
        Limits { own_agents_max: self.own_agents_max, nodes_max: self.nodes_max, agents_max: self.agents_max, bytes_max: self.bytes_max }
    }

    /// The machine's name as it travels: without control characters, and cut where it is too long.
    pub(super) fn machine(&self) -> String {
        let name: String = self.machine.chars().filter(|character| !character.is_control()).collect();
        let end = name.floor_char_boundary(super::message::MACHINE_BYTES_MAX);
        name[..end].to_owned()
    }
}
