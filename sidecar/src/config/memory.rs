//! `[memory]`.

use std::path::PathBuf;
use std::time::Duration;

use super::settings::Settings;

/// What keeps the memory, and how. The file with the password is read when the store is opened.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    /// Whether requests about memory are served.
    pub(crate) enabled: bool,
    pub(crate) engine: MemoryEngine,
    /// How long an entry lives that names no time.
    pub(crate) ttl: Duration,
    /// Largest value in bytes.
    pub(crate) value_max: usize,
    /// Where the embedded store is.
    pub(crate) directory: PathBuf,
    /// Whether a write of the embedded store is acknowledged only when it is on the disk.
    pub(crate) is_synced: bool,
    /// Of the embedded store, on disk.
    pub(crate) bytes_max: usize,
    /// Of the embedded store, in memory.
    pub(crate) cache_bytes: usize,
    /// Redis servers, by URLs without secrets.
    pub(crate) servers: Vec<String>,
    /// Whether they are nodes of a cluster.
    pub(crate) cluster: bool,
    /// Who we are there; `None`: the server's default user.
    pub(crate) user: Option<String>,
    /// Bytes and entries of the near cache; `None`: there is none.
    pub(crate) near: Option<(usize, usize)>,
}

/// What keeps the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemoryEngine {
    /// This process, on a local disk.
    Embedded,
    /// A Redis or a Redis Cluster.
    Redis,
}

impl MemoryEngine {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Redis => "redis",
        }
    }
}

impl Memory {
    pub(super) fn new(settings: &Settings) -> Self {
        let near = (settings.number("memory.near_bytes"), settings.number("memory.near_entries"));
        Self {
            enabled: settings.bool("memory.enabled"),
            engine: if settings.choice("memory.engine") == "redis" { MemoryEngine::Redis } else { MemoryEngine::Embedded },
            ttl: settings.duration("memory.ttl"),
            value_max: settings.number("memory.value_max"),
            directory: settings.file("memory.directory").unwrap_or_else(|| settings.path("serve.state_dir").join("memory")),
            is_synced: settings.choice("memory.durability") == "synced",
            bytes_max: settings.number("memory.bytes_max"),
            cache_bytes: settings.number("memory.cache_bytes"),
            servers: settings.servers("memory.servers"),
            cluster: settings.bool("memory.cluster"),
            user: settings.name("memory.user"),
            near: (near.0 > 0 && near.1 > 0).then_some(near),
        }
    }

    /// The servers as `host:port`.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let address = |url: &String| {
            let authority = url.split_once("://").map_or(url.as_str(), |(_, authority)| authority);
            let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
            if has_port { authority.to_owned() } else { format!("{authority}:{PORT}") }
        };
        self.servers.iter().map(address).collect()
    }

    /// Whether they are spoken to over TLS; `None`: some are and some are not.
    pub(crate) fn is_tls(&self) -> Option<bool> {
        let secured = self.servers.iter().filter(|url| url.starts_with("rediss://")).count();
        match secured {
            0 => Some(false),
            all if all == self.servers.len() => Some(true),
            _ => None,
        }
    }
}

/// Where a Redis listens that names no port.
const PORT: u16 = 6379;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;
    use crate::config::value::Raw;
    use crate::config::{Origin, Settings};

    fn of(servers: &str) -> Memory {
        let mut settings = Settings::defaults();
        let key = keys::find("memory.servers").expect("a key");
        settings.set(key, &Raw::Text(servers.to_owned()), Origin::Default).expect("valid");
        Memory::new(&settings)
    }

    #[test]
    fn servers_are_urls_of_one_kind_without_secrets() {
        assert_eq!(of("redis://a, redis://b:7000,redis://[::1]").addresses(), ["a:6379", "b:7000", "[::1]:6379"]);
        assert_eq!(
            [of("redis://a").is_tls(), of("rediss://a").is_tls(), of("redis://a,rediss://b").is_tls()],
            [Some(false), Some(true), None]
        );
        let key = keys::find("memory.servers").expect("a key");
        for text in ["a:6379", "nats://a", "redis://user:word@a", "redis://a/1", "redis://a:0"] {
            assert!(key.kind.check(&Raw::Text(text.to_owned())).is_err(), "{text}");
        }
    }

    #[test]
    fn a_near_cache_of_nothing_is_none() {
        let mut settings = Settings::defaults();
        assert_eq!(Memory::new(&settings).near, Some((64 << 20, 100_000)));
        let key = keys::find("memory.near_entries").expect("a key");
        settings.set(key, &Raw::Integer(0), Origin::Default).expect("valid");
        assert_eq!(Memory::new(&settings).near, None);
    }
}
