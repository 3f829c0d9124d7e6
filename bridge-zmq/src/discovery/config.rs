//! What the operator decides about discovery.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::address::AddressRule;
use super::registry::RegistryLimits;

/// Settings of [`Discovery`](super::Discovery).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoveryConfig {
    /// Where the registry file lives.
    pub state_dir: PathBuf,
    /// The address to answer with. Default none: the one on which the caller reached us.
    pub advertise: Option<IpAddr>,
    /// Which addresses registrations may name beyond the caller's own. Default none.
    pub addresses: AddressRule,
    /// How much is registered at most.
    pub limits: RegistryLimits,
    /// Ports of ours that no agent on this machine can have, such as those of the hub. Default none; the port on which a
    /// registration arrives, and those of attached agents, are known anyway.
    pub reserved_ports: Vec<u16>,
    /// Names that no registration may take, such as those of configured routes. Default none.
    pub reserved_names: Vec<String>,
    /// Registrations and lookups that may be under way at a time; what comes on top is refused at once. Default 256,
    /// three times the fleet that starts at the same moment; with the largest request each they hold 16 MiB.
    pub requests_max: usize,
    /// How many of these one connection may have under way. Default 16: a REQ has one, and a DEALER that asks for more at a time
    /// must not use up everybody's.
    pub requests_per_caller_max: usize,
    /// How long a connect to an agent may take before the agent counts as gone. Default 500 ms, a tenth of what callers
    /// wait for an answer.
    pub connect_timeout: Duration,
    /// How long a successful connect is trusted. Default 1 s.
    pub connect_trusted: Duration,
    /// How long attaching one agent may take. Default 2 s, so that the caller still gets an answer within its 5 s.
    pub attach_timeout: Duration,
    /// How long the answer to a registration waits for the disk. Default 1 s; then it is answered anyway, and written
    /// when the disk allows.
    pub persist_patience: Duration,
}

impl DiscoveryConfig {
    /// The defaults, with the registry file in `state_dir`.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            advertise: None,
            addresses: AddressRule::default(),
            limits: RegistryLimits::default(),
            reserved_ports: Vec::new(),
            reserved_names: Vec::new(),
            requests_max: 256,
            requests_per_caller_max: 16,
            connect_timeout: Duration::from_millis(500),
            connect_trusted: Duration::from_secs(1),
            attach_timeout: Duration::from_secs(2),
            persist_patience: Duration::from_secs(1),
        }
    }
}
