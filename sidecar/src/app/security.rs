//! `[security]`, in general and for one route, turned into what the sockets of the bridge ask for and prove.

use std::path::Path;
use std::sync::Arc;

use myelin_bridge_zmq::front::{
    ClientSecurity, Clients, CurveClient, CurveServer, KeyPair, Login, PublicKey, SecretFileError, Security, ServerSecurity, Users,
    read_public, read_secrets,
};

use super::error::BuildError;
use super::routes::with_causes;
use crate::config::{self, Config, MechanismName, Origin, Overrides, Route, Settings};

/// Reads the files that `[security]` needs. What is missing or wrong stops the start.
pub(super) fn read(config: &Config) -> Result<Security, BuildError> {
    Ok(Reader::of_all(config).read()?)
}

/// As [`read`], with what the route sets itself.
pub(super) fn read_for(config: &Config, route: &Route) -> Result<Security, BuildError> {
    Ok(Reader::of_route(config, route).read()?)
}

/// A setting that a start would stumble over.
#[derive(Debug)]
pub(crate) struct SettingFault {
    pub(crate) place: String,
    /// The full key, with the route that sets it.
    pub(crate) setting: String,
    pub(crate) reason: String,
}

/// The faults of `[security]` and of each route that has its own.
pub(crate) fn unreadable(config: &Config) -> Vec<SettingFault> {
    let routes = config.routes.iter().filter(|route| !route.security.is_empty()).map(|route| Reader::of_route(config, route).read());
    std::iter::once(Reader::of_all(config).read()).chain(routes).filter_map(Result::err).collect()
}

impl From<SettingFault> for BuildError {
    fn from(fault: SettingFault) -> Self {
        let SettingFault { place, setting, reason } = fault;
        let place = if place.is_empty() { place } else { format!("{place}: ") };
        Self::Setting { place, setting, reason }
    }
}

struct Reader<'a> {
    settings: Settings,
    security: config::Security,
    /// The route whose sockets these are, and what it sets itself.
    route: Option<(&'a str, &'a Overrides)>,
}

impl<'a> Reader<'a> {
    fn of_all(config: &Config) -> Self {
        Self { settings: config.settings.clone(), security: config.security.clone(), route: None }
    }

    fn of_route(config: &Config, route: &'a Route) -> Self {
        Self { settings: config.settings_of(route), security: config.security_of(route), route: Some((&route.name, &route.security)) }
    }

    fn read(&self) -> Result<Security, SettingFault> {
        Ok(Security { listen: self.listen()?, connect: self.connect()?, insecure: self.security.insecure })
    }

    fn listen(&self) -> Result<ServerSecurity, SettingFault> {
        const CHOICE: &str = "security.mechanism";
        Ok(match self.security.mechanism {
            MechanismName::Null => ServerSecurity::Null,
            MechanismName::Plain => {
                ServerSecurity::Plain(Arc::new(self.file(CHOICE, "security.users", |path| read_secrets(path, Users::parse))?))
            }
            MechanismName::Curve => ServerSecurity::Curve(Arc::new(CurveServer {
                keys: self.file(CHOICE, "security.key", |path| read_secrets(path, KeyPair::read))?,
                clients: self.file(CHOICE, "security.clients", |path| read_public(path, Clients::parse))?,
            })),
        })
    }

    fn connect(&self) -> Result<ClientSecurity, SettingFault> {
        const CHOICE: &str = "security.connect_mechanism";
        Ok(match self.security.connect_mechanism {
            MechanismName::Null => ClientSecurity::Null,
            MechanismName::Plain => {
                ClientSecurity::Plain(Arc::new(self.file(CHOICE, "security.connect_login", |path| read_secrets(path, Login::read))?))
            }
            MechanismName::Curve => ClientSecurity::Curve(Arc::new(CurveClient {
                keys: self.file(CHOICE, self.security.connect_key, |path| read_secrets(path, KeyPair::read))?,
                server: self.file(CHOICE, "security.connect_server_key", |path| read_public(path, PublicKey::read))?,
            })),
        })
    }

    /// What the file of `key` says, which the mechanism chosen by `choice` needs.
    fn file<T>(&self, choice: &str, key: &str, read: impl FnOnce(&Path) -> Result<T, SecretFileError>) -> Result<T, SettingFault> {
        let Some(path) = self.settings.file(key) else {
            return Err(self.failed(choice, format!("{} needs a file in {key}", self.settings.choice(choice))));
        };
        read(&path).map_err(|error| self.failed(key, with_causes(&error)))
    }

    fn failed(&self, key: &str, reason: String) -> SettingFault {
        let setting = match self.route {
            Some((route, own)) if own.has(key) => format!("route {route:?}.{key}"),
            _ => key.to_owned(),
        };
        let place = match self.settings.origin(key) {
            Origin::Default => String::new(),
            place => place.to_string(),
        };
        SettingFault { place, setting, reason }
    }
}
