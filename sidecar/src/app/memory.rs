//! `[memory]`, opened. What is wrong with a setting stops the start and is named; a Redis that is away does not.

use myelin_bus::Bus;
use myelin_mesh::error::OpenError;
use myelin_mesh::{Durability, EmbeddedConfig, Mesh, MeshConfig, NearConfig, RedisConfig, RedisOpenError, RedisTls, Secret, Ttl};
use prometheus_client::registry::Registry;

use super::error::BuildError;
use super::nats::secret;
use super::routes::with_causes;
use crate::config::{Config, MemoryEngine, reason};
use crate::memory::{MemoryMetrics, MemoryServer, Opened, ServerSettings, Store, Unmade};

/// Opens the store and answers requests.
pub(super) async fn start(config: &Config, bus: &Bus, registry: &mut Registry) -> Result<MemoryServer, BuildError> {
    let settings = ServerSettings { engine: config.memory.engine.as_str(), value_bytes_max: config.memory.value_max };
    let mesh = MeshConfig { value_bytes_max: config.memory.value_max, ttl_default: Ttl::after(config.memory.ttl), ..MeshConfig::default() };
    let counts = mesh.metrics.clone();
    let opened = match (config.memory.enabled, config.memory.engine) {
        (false, _) => Opened::Off,
        (true, MemoryEngine::Embedded) => embedded(config, mesh).await?,
        (true, MemoryEngine::Redis) => redis(config, mesh).await?,
    };
    let (store, metrics) = (Store::new(&opened), MemoryMetrics::default());
    if config.memory.enabled {
        counts.register(registry);
        metrics.register(&store, registry);
    }
    let server = MemoryServer::start(bus, opened, (store, metrics), settings).await;
    server.map_err(|error| BuildError::setting(config, "memory.enabled", &error))
}

async fn embedded(config: &Config, mesh: MeshConfig) -> Result<Opened, BuildError> {
    let memory = &config.memory;
    let mut store = EmbeddedConfig::new(&memory.directory);
    store.durability = if memory.is_synced { Durability::Synced } else { Durability::Relaxed };
    (store.bytes_max, store.cache_bytes) = (memory.bytes_max as u64, memory.cache_bytes);
    // What was remembered before is looked at now, so that damage stops the start; most sidecars are never asked to remember anything.
    match store.has_store().map_err(|error| unusable(config, &error))? {
        true => Ok(Opened::Ready(Mesh::embedded(store, mesh).await.map_err(|error| unusable(config, &error))?)),
        false => Ok(Opened::Unmade(Box::new(Unmade { store, mesh }))),
    }
}

/// Names the setting that the directory comes from.
fn unusable(config: &Config, error: &OpenError) -> BuildError {
    let (key, reason) = ("memory.directory", with_causes(error));
    if config.settings.file(key).is_none() {
        let path = config.serve.state_dir.clone();
        return BuildError::StateDir { place: config.settings.origin("serve.state_dir").prefix(), path, reason };
    }
    BuildError::Setting { place: config.settings.origin(key).prefix(), setting: key.to_owned(), reason }
}

async fn redis(config: &Config, mesh: MeshConfig) -> Result<Opened, BuildError> {
    let redis = redis_config(config)?;
    match Mesh::redis(redis.clone(), mesh.clone()).await {
        Ok(mesh) => Ok(Opened::Ready(mesh)),
        Err(error) if error.is_retryable() => {
            let reason = with_causes(&error);
            tracing::warn!(
                reason,
                servers = config.memory.servers.join(", "),
                "no Redis for the memory: it is looked for, and requests about memory fail meanwhile"
            );
            Ok(Opened::Away { redis: Box::new(redis), config: mesh, reason: reason.into() })
        }
        Err(error) => Err(BuildError::setting(config, blamed(config, &error), &error)),
    }
}

/// The setting that an error is about, as the operator knows it.
fn blamed(config: &Config, error: &RedisOpenError) -> &'static str {
    match error {
        RedisOpenError::Setting { setting: "tls", .. } => "memory.tls_ca",
        RedisOpenError::Setting { setting: "near", .. } => "memory.near_bytes",
        RedisOpenError::Refused { .. } if config.memory.user.is_some() => "memory.user",
        RedisOpenError::Setting { setting: "password", .. } | RedisOpenError::Refused { .. } => "memory.password_file",
        RedisOpenError::Mode { .. } => "memory.cluster",
        _ => "memory.servers",
    }
}

fn redis_config(config: &Config) -> Result<RedisConfig, BuildError> {
    let (memory, file) = (&config.memory, |key| config.settings.file(key));
    let wrong = |key, what: &str| BuildError::setting(config, key, &std::io::Error::other(what.to_owned()));
    if memory.servers.is_empty() {
        return Err(wrong("memory.servers", "memory.engine is redis and no server is given, such as [\"redis://127.0.0.1:6379\"]"));
    }
    let is_tls = memory.is_tls().ok_or_else(|| wrong("memory.servers", "some are redis:// and some are rediss://"))?;
    let mut redis = match (memory.cluster, &memory.addresses()[..]) {
        (true, addresses) => RedisConfig::cluster(addresses),
        (false, [address]) => RedisConfig::single(address),
        (false, _) => return Err(wrong("memory.servers", "several are given, and memory.cluster is false")),
    };
    redis.user = memory.user.clone();
    redis.password = match file("memory.password_file") {
        Some(path) => Some(Secret::new(secret(config, "memory.password_file", &path)?)),
        None if memory.user.is_some() => return Err(wrong("memory.user", "a user needs memory.password_file")),
        None => None,
    };
    redis.near = memory.near.map(|(bytes_max, entries_max)| NearConfig { bytes_max, entries_max });
    let authority = file("memory.tls_ca")
        .map(|path| std::fs::read(&path).map_err(|error| wrong("memory.tls_ca", &format!("{}: {}", path.display(), reason(&error)))));
    redis.tls = match (is_tls, authority.transpose()?) {
        (true, authority) => Some(RedisTls { authority }),
        (false, None) => None,
        (false, Some(_)) => return Err(wrong("memory.tls_ca", "it needs servers with rediss://")),
    };
    Ok(redis)
}
