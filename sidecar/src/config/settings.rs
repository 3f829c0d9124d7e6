//! The effective value of every key, each with the origin that won.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::endpoint::Endpoint;
use super::error::ConfigError;
use super::keys::{KEYS, Key};
use super::origin::Origin;
use super::value::{Raw, Value};

/// One effective value.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// The effective values by full key. Holds every key of the table from the start, so that reading one cannot fail.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    by_path: BTreeMap<&'static str, Setting>,
}

/// Values that hold in one place instead of the general ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overrides(Vec<(&'static Key, Setting)>);

impl Overrides {
    /// Notes a value that was checked.
    pub(crate) fn set(&mut self, key: &'static Key, value: Value, origin: Origin) {
        self.0.push((key, Setting { value, origin }));
    }

    /// What is set, in the order in which it was written.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static Key, &Setting)> {
        self.0.iter().map(|(key, setting)| (*key, setting))
    }

    /// Whether nothing is set.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this key is set.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.0.iter().any(|(key, _)| key.path == path)
    }
}

/// What a getter relies on: the table has the key, and `Kind::check` made a value of its kind.
const KIND: &str = "the key table gives this key this kind";

impl Settings {
    /// All defaults.
    pub(crate) fn defaults() -> Self {
        let by_path = KEYS.iter().map(|key| {
            let value = key.kind.check(&Raw::Text(key.default.to_owned())).expect("every default is valid, a test says so");
            (key.path, Setting { value, origin: Origin::Default })
        });
        Self { by_path: by_path.collect() }
    }

    /// Checks and sets one value over whatever was there.
    pub(crate) fn set(&mut self, key: &'static Key, raw: &Raw, origin: Origin) -> Result<(), ConfigError> {
        match key.kind.check(raw) {
            Ok(value) => {
                self.by_path.insert(key.path, Setting { value, origin });
                Ok(())
            }
            Err(problem) => Err(ConfigError::new(origin, key.path, problem)),
        }
    }

    /// The same, where these values hold.
    pub(crate) fn with(&self, overrides: &Overrides) -> Self {
        let mut settings = self.clone();
        settings.by_path.extend(overrides.iter().map(|(key, setting)| (key.path, setting.clone())));
        settings
    }

    /// Every key in the order of the table.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static Key, &Setting)> {
        KEYS.iter().map(|key| (key, &self.by_path[key.path]))
    }

    /// Where the value of a key was written.
    pub(crate) fn origin(&self, path: &str) -> &Origin {
        &self.by_path.get(path).expect("the key table has this key").origin
    }

    fn value(&self, path: &str) -> &Value {
        &self.by_path.get(path).expect("the key table has this key").value
    }

    pub(crate) fn bool(&self, path: &str) -> bool {
        if let Value::Bool(on) = self.value(path) { *on } else { unreachable!("{KIND}") }
    }

    pub(crate) fn address(&self, path: &str) -> SocketAddr {
        if let Value::Address(address) = self.value(path) { *address } else { unreachable!("{KIND}") }
    }

    pub(crate) fn bind(&self, path: &str) -> Endpoint {
        if let Value::Endpoint(endpoint) = self.value(path) { endpoint.clone() } else { unreachable!("{KIND}") }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        if let Value::Path(value) = self.value(path) { value.clone() } else { unreachable!("{KIND}") }
    }

    pub(crate) fn file(&self, path: &str) -> Option<PathBuf> {
        if let Value::File(value) = self.value(path) { value.clone() } else { unreachable!("{KIND}") }
    }

    pub(crate) fn duration(&self, path: &str) -> Duration {
        if let Value::Duration(value) = self.value(path) { *value } else { unreachable!("{KIND}") }
    }

    /// A size in bytes or a count, as `usize`; the ranges in the table fit one on every platform we build for.
    pub(crate) fn number(&self, path: &str) -> usize {
        let (Value::Size(number) | Value::Count(number)) = self.value(path) else { unreachable!("{KIND}") };
        usize::try_from(*number).unwrap_or(usize::MAX)
    }

    pub(crate) fn choice(&self, path: &str) -> &'static str {
        if let Value::Choice(name) = self.value(path) { name } else { unreachable!("{KIND}") }
    }

    pub(crate) fn host(&self, path: &str) -> Option<String> {
        if let Value::Host(host) = self.value(path) { host.clone() } else { unreachable!("{KIND}") }
    }

    pub(crate) fn hosts(&self, path: &str) -> Vec<String> {
        if let Value::Hosts(hosts) = self.value(path) { hosts.clone() } else { unreachable!("{KIND}") }
    }

    pub(crate) fn servers(&self, path: &str) -> Vec<String> {
        if let Value::Servers(servers) = self.value(path) { servers.clone() } else { unreachable!("{KIND}") }
    }

    /// Polls, members or tolerances.
    pub(crate) fn texts(&self, path: &str) -> Vec<String> {
        if let Value::Texts(texts) = self.value(path) { texts.clone() } else { unreachable!("{KIND}") }
    }

    pub(crate) fn name(&self, path: &str) -> Option<String> {
        if let Value::Name(name) = self.value(path) { name.clone() } else { unreachable!("{KIND}") }
    }

    pub(crate) fn ports(&self, path: &str) -> (u16, u16) {
        if let Value::Ports { first, last } = self.value(path) { (*first, *last) } else { unreachable!("{KIND}") }
    }
}
