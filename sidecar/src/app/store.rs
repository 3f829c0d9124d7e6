//! The store of durable streams: opened at start, and what is missing in it is said.

use myelin_bus::streams::{OpenError, StoreConfig, StoreReport, StreamsCollector};
use myelin_bus::{Bus, EmbeddedConfig};
use prometheus_client::registry::Registry;

use super::damage;
use super::error::BuildError;
use super::routes::with_causes;
use crate::config::{Config, Engine};

/// The bus, with a store if the configuration has one. Reads all streams, about a second per gigabyte.
pub(super) async fn open(config: &Config, bus_config: EmbeddedConfig, registry: &mut Registry) -> Result<Bus, BuildError> {
    if config.bus.engine == Engine::Nats {
        // The servers keep the streams.
        return super::nats::link(config, bus_config, registry).await;
    }
    if !config.store.enabled {
        return Ok(Bus::embedded(bus_config));
    }
    let store = StoreConfig { directory: config.store.directory.clone() };
    let opening = tokio::task::spawn_blocking(move || Bus::embedded_with_store(bus_config, &store)).await;
    let opened = opening.map_err(|error| BuildError::setting(config, "store.directory", &error))?;
    let (bus, report) = opened.map_err(|error| unusable(config, &error))?;
    tell(config, &report);
    registry.register_collector(Box::new(StreamsCollector::new(&bus)));
    Ok(bus)
}

/// Names the setting that the directory comes from.
fn unusable(config: &Config, error: &OpenError) -> BuildError {
    let reason = with_causes(error);
    if config.settings.file("store.directory").is_none() {
        let path = config.serve.state_dir.clone();
        return BuildError::StateDir { place: config.settings.origin("serve.state_dir").prefix(), path, reason };
    }
    let place = config.settings.origin("store.directory").prefix();
    BuildError::Setting { place, setting: "store.directory".to_owned(), reason: format!("{}: {reason}", config.store.directory.display()) }
}

/// Damage is no reason to serve nothing: what can be read is served, and what cannot is named here and by `myelin doctor`.
fn tell(config: &Config, report: &StoreReport) {
    let found = damage::entries(report);
    for entry in &found {
        tracing::warn!(stream = entry.stream, what = entry.what, "the store is damaged");
    }
    if let Err(error) = damage::keep(&config.store.directory, &found) {
        tracing::warn!(%error, "what is missing cannot be noted for myelin doctor");
    }
}
