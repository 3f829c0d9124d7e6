//! `[security]`, in general and for one route.

use myelin_bridge_zmq::front::IdentityPolicy;

use super::route::Route;
use super::settings::Settings;
use super::typed::Config;

/// What sockets ask for and prove. The files with the secrets are read once, when the sockets are opened.
#[derive(Debug, Clone)]
pub(crate) struct Security {
    /// What the sockets that we bind ask of whoever connects.
    pub(crate) mechanism: MechanismName,
    /// Binds what other machines can reach although nobody is asked for anything.
    pub(crate) insecure: bool,
    /// What happens to a second connection that announces an identity.
    pub(crate) identity: IdentityPolicy,
    /// What we speak where we connect.
    pub(crate) connect_mechanism: MechanismName,
    /// The key that names our secret key where we connect: one pair of keys is enough for both directions.
    pub(crate) connect_key: &'static str,
}

/// The keys that name files.
pub(crate) const FILES: [&str; 6] =
    ["security.users", "security.key", "security.clients", "security.connect_login", "security.connect_key", "security.connect_server_key"];

/// A security mechanism by its name in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MechanismName {
    Null,
    Plain,
    Curve,
}

impl MechanismName {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Plain => "plain",
            Self::Curve => "curve",
        }
    }
}

impl Security {
    pub(super) fn new(settings: &Settings) -> Self {
        let own_key = settings.file("security.connect_key").is_some();
        Self {
            mechanism: mechanism(settings.choice("security.mechanism")),
            insecure: settings.bool("security.insecure"),
            identity: identity(settings.choice("security.identity")),
            connect_mechanism: mechanism(settings.choice("security.connect_mechanism")),
            connect_key: if own_key { "security.connect_key" } else { "security.key" },
        }
    }

    /// The keys of files that the chosen mechanisms read.
    pub(crate) fn files_needed(&self) -> Vec<&'static str> {
        let mut needed = match self.mechanism {
            MechanismName::Null => vec![],
            MechanismName::Plain => vec!["security.users"],
            MechanismName::Curve => vec!["security.key", "security.clients"],
        };
        match self.connect_mechanism {
            MechanismName::Null => {}
            MechanismName::Plain => needed.push("security.connect_login"),
            MechanismName::Curve => needed.extend([self.connect_key, "security.connect_server_key"]),
        }
        needed
    }

    /// Whether either direction asks for or gives a proof.
    pub(crate) fn has_mechanism(&self) -> bool {
        self.mechanism != MechanismName::Null || self.connect_mechanism != MechanismName::Null
    }
}

impl Config {
    /// The settings as the sockets of this route have them.
    pub(crate) fn settings_of(&self, route: &Route) -> Settings {
        self.settings.with(&route.security)
    }

    /// `[security]` with what the route of this name sets itself; the general one for what belongs to no route.
    pub(crate) fn security_at(&self, route: Option<&str>) -> Security {
        let route = self.routes.iter().find(|known| Some(known.name.as_str()) == route);
        route.map_or_else(|| self.security.clone(), |route| self.security_of(route))
    }

    /// `[security]` with what this route sets itself.
    pub(crate) fn security_of(&self, route: &Route) -> Security {
        Security::new(&self.settings_of(route))
    }
}

fn mechanism(name: &str) -> MechanismName {
    let known = [MechanismName::Null, MechanismName::Plain, MechanismName::Curve];
    known.into_iter().find(|known| known.as_str() == name).expect("the key table lists exactly these names")
}

fn identity(name: &str) -> IdentityPolicy {
    match name {
        "refuse" => IdentityPolicy::Refuse,
        "hand_over" => IdentityPolicy::HandOver,
        "share" => IdentityPolicy::Share,
        _ => unreachable!("the key table lists exactly these names"),
    }
}
