//! What may be set about a Redis.

use std::fmt;
use std::time::Duration;

/// A Redis as the memory of a mesh. Everything but the servers has a default.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// Where servers are, as `host:port`. For a cluster some of its nodes are enough; the others are learnt.
    pub servers: Vec<String>,
    /// Whether it is a Redis Cluster; default: a single server.
    pub cluster: bool,
    /// User of the server's access list; default: the server's `default` user.
    pub user: Option<String>,
    /// Password of the user; default: none.
    pub password: Option<Secret>,
    /// TLS; default: none.
    pub tls: Option<RedisTls>,
    /// Connections to each node that writes, windows and reads of several entries share, default 1. Reads of one entry share a connection of their own: the
    /// fuller one connection is, the fewer system calls a read costs, and what is large holds none of them up.
    pub connections: usize,
    /// Calls under way to one node at most, default 1,024, and as many reads of one entry. The rest wait for at most `response_timeout`.
    pub in_flight_max: usize,
    /// Bytes of the calls under way at most, default 64 MiB; one call is always admitted.
    pub in_flight_bytes_max: usize,
    /// How long connecting to a node may take, handshakes included; default 2 s.
    pub connect_timeout: Duration,
    /// How long an answer may take; default 2 s.
    pub response_timeout: Duration,
    /// How long after its first failure a call is tried again when that is safe, while a cluster elects a replica or moves slots; default 5 s.
    pub retry_for: Duration,
    /// What is kept in this process; default 64 MiB. `None` keeps nothing.
    pub near: Option<NearConfig>,
}

/// The near cache of a mesh over Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NearConfig {
    /// Keys, values and overhead in bytes, at most; default 64 MiB.
    pub bytes_max: usize,
    /// Entries at most; default 100,000.
    pub entries_max: usize,
}

/// How a server proves who it is.
#[derive(Debug, Clone, Default)]
pub struct RedisTls {
    /// Certificate of the authority in PEM; default: those of the system.
    pub authority: Option<Vec<u8>>,
}

/// A password. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl RedisConfig {
    /// A single server.
    pub fn single(server: impl Into<String>) -> Self {
        Self::new(vec![server.into()], false)
    }

    /// A Redis Cluster, of which these nodes are known.
    pub fn cluster(servers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::new(servers.into_iter().map(Into::into).collect(), true)
    }

    fn new(servers: Vec<String>, cluster: bool) -> Self {
        Self {
            servers,
            cluster,
            user: None,
            password: None,
            tls: None,
            connections: 1,
            in_flight_max: 1024,
            in_flight_bytes_max: 64 << 20,
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(2),
            retry_for: Duration::from_secs(5),
            near: Some(NearConfig::default()),
        }
    }
}

impl Default for NearConfig {
    fn default() -> Self {
        Self { bytes_max: 64 << 20, entries_max: 100_000 }
    }
}

impl Secret {
    /// Takes a password.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_printed() {
        let config = RedisConfig { password: Some(Secret::new("hunter2")), ..RedisConfig::single("127.0.0.1:6379") };
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
