//! `[security]`, turned into what the sockets of the bridge ask for.

use std::path::Path;
use std::sync::Arc;

use myelin_bridge_zmq::front::{Clients, CurveServer, KeyPair, SecretError, Security, ServerSecurity, Users, read_secrets};

use super::error::BuildError;
use super::routes::with_causes;
use crate::config::{Config, MechanismName};

/// Reads the files that the chosen mechanism needs. What is missing or wrong stops the start.
pub(super) fn read(config: &Config) -> Result<Security, BuildError> {
    let security = &config.security;
    let listen = match security.mechanism {
        MechanismName::Null => ServerSecurity::Null,
        MechanismName::Plain => ServerSecurity::Plain(Arc::new(file(config, "security.users", security.users.as_deref(), Users::parse)?)),
        MechanismName::Curve => ServerSecurity::Curve(Arc::new(CurveServer {
            keys: file(config, "security.key", security.key.as_deref(), KeyPair::read)?,
            clients: file(config, "security.clients", security.clients.as_deref(), Clients::parse)?,
        })),
    };
    Ok(Security { listen, insecure: security.insecure, ..Security::default() })
}

fn file<T>(config: &Config, key: &str, path: Option<&Path>, parse: impl FnOnce(&str) -> Result<T, SecretError>) -> Result<T, BuildError> {
    let failed = |key: &str, reason| {
        let place = config.settings.origin(key).prefix();
        BuildError::Setting { place, setting: key.to_owned(), reason }
    };
    let Some(path) = path else {
        return Err(failed("security.mechanism", format!("{} needs a file in {key}", config.security.mechanism.as_str())));
    };
    read_secrets(path, parse).map_err(|error| failed(key, with_causes(&error)))
}
