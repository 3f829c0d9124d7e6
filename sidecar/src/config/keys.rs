//! Every key outside of `[[route]]`: its name, its environment variable, its flag, what it accepts and its default.
//!
//! The table is the only place that knows a key. Errors, `config show`, the flags of `serve` and the test of the example
//! file all read it.

use std::time::Duration;

use super::value::Kind;

/// One key of the configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    /// Section and name, `serve.listen`.
    pub(crate) path: &'static str,
    /// The environment variable that sets it.
    pub(crate) env: &'static str,
    /// What it accepts.
    pub(crate) kind: Kind,
    /// The value when nobody sets it, as it would be written.
    pub(crate) default: &'static str,
}

const fn key(path: &'static str, env: &'static str, kind: Kind, default: &'static str) -> Key {
    Key { path, env, kind, default }
}

const fn duration(min_ms: u64, max_ms: u64) -> Kind {
    Kind::Duration { min: Duration::from_millis(min_ms), max: Duration::from_millis(max_ms) }
}

const fn size(min: u64, max: u64) -> Kind {
    Kind::Size { min, max }
}

const fn count(min: u64, max: u64) -> Kind {
    Kind::Count { min, max }
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const HOUR: u64 = 3_600_000;
/// What is longer is "for ever", which has to be asked for with each entry.
const CENTURY: u64 = 100 * 365 * 24 * HOUR;

/// Names of the overflow policies, as `myelin_bus::Overflow` spells them (a test compares).
pub(crate) const OVERFLOWS: &[&str] = &["block", "drop_oldest", "drop_newest", "disconnect"];

/// Names of what carries the messages, see `Engine`.
pub(crate) const ENGINES: &[&str] = &["embedded", "nats"];

/// Names of what keeps the memory, see `MemoryEngine`.
pub(crate) const MEMORY_ENGINES: &[&str] = &["embedded", "redis"];

/// Names of what an acknowledged write of the embedded memory survives, see `myelin_mesh::Durability`.
pub(crate) const MEMORY_DURABILITIES: &[&str] = &["synced", "relaxed"];

/// Names of the mechanisms, see `MechanismName`.
pub(crate) const MECHANISMS: &[&str] = &["null", "plain", "curve"];

/// Names of what happens to a second connection with the same identity.
pub(crate) const IDENTITIES: &[&str] = &["refuse", "hand_over", "share"];

/// All keys, in the order of `config show` and of the example file.
pub(crate) const KEYS: &[Key] = &[
    key("serve.listen", "MYELIN_LISTEN", Kind::Address, "127.0.0.1:4222"),
    key("serve.http", "MYELIN_HTTP", Kind::Address, "127.0.0.1:7300"),
    key("serve.state_dir", "MYELIN_STATE_DIR", Kind::Path, "./myelin-data"),
    key("serve.drain_timeout", "MYELIN_DRAIN_TIMEOUT", duration(0, HOUR), "10s"),
    key("serve.threads", "MYELIN_THREADS", count(0, 1024), "0"),
    key("serve.host", "MYELIN_HOST", Kind::Host, ""),
    key("bus.engine", "MYELIN_BUS_ENGINE", Kind::Choice(ENGINES), "embedded"),
    // The ceiling is that of nats-server, so that a move to a cluster refuses nothing that was accepted here.
    key("bus.payload_max", "MYELIN_BUS_PAYLOAD_MAX", size(KIB, 64 * MIB), "8MiB"),
    // A libzmq PUB at its high-water mark drops the newest message, and one slow subscriber must not slow the others.
    key("bus.overflow", "MYELIN_BUS_OVERFLOW", Kind::Choice(OVERFLOWS), "drop_newest"),
    key("nats.servers", "MYELIN_NATS_SERVERS", Kind::Servers, ""),
    key("nats.user", "MYELIN_NATS_USER", Kind::Name, ""),
    key("nats.password_file", "MYELIN_NATS_PASSWORD_FILE", Kind::File, ""),
    key("nats.token_file", "MYELIN_NATS_TOKEN_FILE", Kind::File, ""),
    key("nats.nkey_file", "MYELIN_NATS_NKEY_FILE", Kind::File, ""),
    key("nats.credentials", "MYELIN_NATS_CREDENTIALS", Kind::File, ""),
    key("nats.tls", "MYELIN_NATS_TLS", Kind::Bool, "false"),
    key("nats.tls_ca", "MYELIN_NATS_TLS_CA", Kind::File, ""),
    key("nats.tls_cert", "MYELIN_NATS_TLS_CERT", Kind::File, ""),
    key("nats.tls_key", "MYELIN_NATS_TLS_KEY", Kind::File, ""),
    // More than five is nothing that JetStream has.
    key("nats.replicas", "MYELIN_NATS_REPLICAS", count(1, 5), "1"),
    key("nats.ping_interval", "MYELIN_NATS_PING_INTERVAL", duration(500, 120_000), "5s"),
    key("store.enabled", "MYELIN_STORE_ENABLED", Kind::Bool, "true"),
    key("store.directory", "MYELIN_STORE_DIRECTORY", Kind::File, ""),
    key("memory.enabled", "MYELIN_MEMORY_ENABLED", Kind::Bool, "true"),
    key("memory.engine", "MYELIN_MEMORY_ENGINE", Kind::Choice(MEMORY_ENGINES), "embedded"),
    key("memory.ttl", "MYELIN_MEMORY_TTL", duration(1, CENTURY), "24h"),
    // The ceiling is that of the mesh.
    key("memory.value_max", "MYELIN_MEMORY_VALUE_MAX", size(KIB, 16 * MIB), "1MiB"),
    key("memory.directory", "MYELIN_MEMORY_DIRECTORY", Kind::File, ""),
    key("memory.durability", "MYELIN_MEMORY_DURABILITY", Kind::Choice(MEMORY_DURABILITIES), "synced"),
    key("memory.bytes_max", "MYELIN_MEMORY_BYTES_MAX", size(MIB, 1024 * GIB), "1GiB"),
    key("memory.cache_bytes", "MYELIN_MEMORY_CACHE_BYTES", size(MIB, 64 * GIB), "32MiB"),
    key("memory.servers", "MYELIN_MEMORY_SERVERS", Kind::RedisServers, ""),
    key("memory.cluster", "MYELIN_MEMORY_CLUSTER", Kind::Bool, "false"),
    key("memory.user", "MYELIN_MEMORY_USER", Kind::Name, ""),
    key("memory.password_file", "MYELIN_MEMORY_PASSWORD_FILE", Kind::File, ""),
    key("memory.tls_ca", "MYELIN_MEMORY_TLS_CA", Kind::File, ""),
    key("memory.near_bytes", "MYELIN_MEMORY_NEAR_BYTES", size(0, 64 * GIB), "64MiB"),
    key("memory.near_entries", "MYELIN_MEMORY_NEAR_ENTRIES", count(0, 100_000_000), "100000"),
    key("discovery.enabled", "MYELIN_DISCOVERY_ENABLED", Kind::Bool, "true"),
    key("discovery.listen", "MYELIN_DISCOVERY_LISTEN", Kind::Bind, "tcp://127.0.0.1:7120"),
    key("discovery.advertise", "MYELIN_DISCOVERY_ADVERTISE", Kind::Host, ""),
    key("discovery.allow_hosts", "MYELIN_DISCOVERY_ALLOW_HOSTS", Kind::Hosts, ""),
    // Below the ephemeral ports of Linux (32768 and up), so that a port given to an agent is still free after a restart.
    key("discovery.port_range", "MYELIN_DISCOVERY_PORT_RANGE", Kind::Ports, "17000-21999"),
    key("hub.enabled", "MYELIN_HUB_ENABLED", Kind::Bool, "true"),
    key("hub.publishers", "MYELIN_HUB_PUBLISHERS", Kind::Bind, "tcp://127.0.0.1:5559"),
    key("hub.subscribers", "MYELIN_HUB_SUBSCRIBERS", Kind::Bind, "tcp://127.0.0.1:5560"),
    key("health.enabled", "MYELIN_HEALTH_ENABLED", Kind::Bool, "true"),
    // The bridge takes no other; five seconds is what agents' own pollers wait for an answer.
    key("health.bound", "MYELIN_HEALTH_BOUND", duration(1_000, 60_000), "5s"),
    key("health.polls", "MYELIN_HEALTH_POLLS", Kind::Polls, "action=ping, action=health, action=health_check"),
    key("health.volatile", "MYELIN_HEALTH_VOLATILE", Kind::Members, "timestamp, uptime, active_threads"),
    key("health.tolerance", "MYELIN_HEALTH_TOLERANCE", Kind::Tolerances, ""),
    key("security.mechanism", "MYELIN_SECURITY_MECHANISM", Kind::Choice(MECHANISMS), "null"),
    key("security.insecure", "MYELIN_SECURITY_INSECURE", Kind::Bool, "false"),
    key("security.users", "MYELIN_SECURITY_USERS", Kind::File, ""),
    key("security.key", "MYELIN_SECURITY_KEY", Kind::File, ""),
    key("security.clients", "MYELIN_SECURITY_CLIENTS", Kind::File, ""),
    // As a ROUTER of libzmq has it.
    key("security.identity", "MYELIN_SECURITY_IDENTITY", Kind::Choice(IDENTITIES), "refuse"),
    key("security.connect_mechanism", "MYELIN_SECURITY_CONNECT_MECHANISM", Kind::Choice(MECHANISMS), "null"),
    key("security.connect_login", "MYELIN_SECURITY_CONNECT_LOGIN", Kind::File, ""),
    key("security.connect_key", "MYELIN_SECURITY_CONNECT_KEY", Kind::File, ""),
    key("security.connect_server_key", "MYELIN_SECURITY_CONNECT_SERVER_KEY", Kind::File, ""),
    key("limits.connections", "MYELIN_LIMITS_CONNECTIONS", count(1, 1_000_000), "16384"),
    key("limits.handshake", "MYELIN_LIMITS_HANDSHAKE", duration(100, 60_000), "5s"),
    key("limits.queue_bytes", "MYELIN_LIMITS_QUEUE_BYTES", size(KIB, GIB), "8MiB"),
    key("limits.queue_messages", "MYELIN_LIMITS_QUEUE_MESSAGES", count(1, 10_000_000), "65536"),
    // Below the floor of each connection's share, thousands of peers would leave nothing to share.
    key("limits.queued_bytes", "MYELIN_LIMITS_QUEUED_BYTES", size(16 * MIB, 64 * GIB), "256MiB"),
];

/// Variables that start with `MYELIN_` and are no keys: they steer the program before there is a configuration.
pub(crate) const OTHER_ENV: &[&str] = &["MYELIN_CONFIG", "MYELIN_SERVER", "MYELIN_LOG", "MYELIN_SUBJECT", "MYELIN_IMPORT_REDIS"];

/// The key with this full name.
pub(crate) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The section names, each once, in order.
pub(crate) fn sections() -> Vec<&'static str> {
    let mut sections: Vec<_> = KEYS.iter().filter_map(|key| key.path.split_once('.')).map(|(section, _)| section).collect();
    sections.dedup();
    sections
}

/// The names inside one section.
pub(crate) fn names_in(section: &str) -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter_map(|key| key.path.split_once('.')).filter(move |(s, _)| *s == section).map(|(_, name)| name)
}
