//! Merging the four sources: defaults, then the file, then the environment, then the flags.

use std::path::{Path, PathBuf};

use super::error::{ConfigError, Problem};
use super::file;
use super::keys::{self, KEYS};
use super::origin::Origin;
use super::settings::Settings;
use super::suggest::nearest;
use super::typed::Config;
use super::value::Raw;

/// The file that is read when nobody names one; its absence is fine.
pub(crate) const FILE_DEFAULT: &str = "myelin.toml";

/// What the user gave us to read a configuration from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    /// The file that was asked for, and by whom; `None` looks for [`FILE_DEFAULT`] in the working directory.
    pub(crate) file: Option<(PathBuf, Origin)>,
    /// Variables that start with `MYELIN_`.
    pub(crate) env: Vec<(String, String)>,
    /// Flags that set a key, in the order given; the last one wins.
    pub(crate) flags: Vec<Flag>,
}

/// A flag that sets a key.
#[derive(Debug, Clone)]
pub(crate) struct Flag {
    /// As the user knows it, `--listen`.
    pub(crate) name: String,
    /// The full key, not yet known to exist.
    pub(crate) key: String,
    pub(crate) value: String,
}

impl Sources {
    /// The variables of this process that concern us.
    pub(crate) fn process_env() -> Vec<(String, String)> {
        let ours = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        ours.filter(|(name, _)| name.starts_with("MYELIN_")).map(|(name, value)| (name, value.to_string_lossy().into_owned())).collect()
    }

    /// The file that will be read, if any.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        match &self.file {
            Some((path, _)) => Some(path.clone()),
            None => Path::new(FILE_DEFAULT).exists().then(|| PathBuf::from(FILE_DEFAULT)),
        }
    }

    /// Merges everything. All faults are reported, those of the file first.
    pub(crate) fn load(&self) -> Result<Config, Vec<ConfigError>> {
        let mut settings = Settings::defaults();
        let mut errors = Vec::new();
        let mut routes = Vec::new();
        if let Some(path) = self.file() {
            match std::fs::read_to_string(&path) {
                Ok(text) => match file::read(&path, &text, &mut settings) {
                    Ok(found) => routes = found,
                    Err(faults) => errors.extend(faults),
                },
                Err(error) => errors.push(self.unreadable(path, &error)),
            }
        }
        for key in KEYS {
            if let Some((_, value)) = self.env.iter().find(|(name, _)| name == key.env) {
                errors.extend(settings.set(key, &Raw::Text(value.clone()), Origin::Env(key.env.to_owned())).err());
            }
        }
        for flag in &self.flags {
            let origin = Origin::Flag(flag.name.clone());
            match keys::find(&flag.key) {
                Some(key) => errors.extend(settings.set(key, &Raw::Text(flag.value.clone()), origin).err()),
                None => {
                    let suggestion = nearest(&flag.key, KEYS.iter().map(|key| key.path)).map(str::to_owned);
                    errors.push(ConfigError::new(origin, flag.key.clone(), Problem::Unknown { what: "key", suggestion }));
                }
            }
        }
        errors.extend(without_servers(&settings));
        if errors.is_empty() { Ok(Config::new(settings, routes)) } else { Err(errors) }
    }

    /// Variables with our prefix that nobody reads, each with the name that was probably meant.
    ///
    /// They are worth a warning and no more: Kubernetes sets `MYELIN_SERVICE_HOST`, `MYELIN_PORT` and others
    /// for a service of our name, and those are passed over in silence.
    pub(crate) fn unknown_env(&self) -> Vec<(String, Option<&'static str>)> {
        let known = || KEYS.iter().map(|key| key.env).chain(keys::OTHER_ENV.iter().copied());
        let from_kubernetes = |name: &str| name.starts_with("MYELIN_SERVICE_") || name == "MYELIN_PORT" || name.starts_with("MYELIN_PORT_");
        let strangers = self.env.iter().filter(|(name, _)| !known().any(|k| k == name) && !from_kubernetes(name));
        strangers.map(|(name, _)| (name.clone(), nearest(name, known()))).collect()
    }

    fn unreadable(&self, path: PathBuf, error: &std::io::Error) -> ConfigError {
        let asked_by = match &self.file {
            Some((_, Origin::Env(name) | Origin::Flag(name))) => format!(" (named by {name})"),
            _ => String::new(),
        };
        ConfigError::new(Origin::File { path, line: 0 }, "", Problem::Unreadable(format!("{}{asked_by}", reason(error))))
    }
}

/// A link to nobody.
fn without_servers(settings: &Settings) -> Option<ConfigError> {
    let is_missing = settings.choice("bus.engine") == "nats" && settings.servers("nats.servers").is_empty();
    let missing = Problem::Missing("bus.engine = \"nats\" needs it: the servers, such as [\"nats://10.0.0.7:4222\"]");
    is_missing.then(|| ConfigError::new(settings.origin("bus.engine").clone(), "nats.servers", missing))
}

/// The cause without the `(os error 2)` that helps nobody.
pub(crate) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}
