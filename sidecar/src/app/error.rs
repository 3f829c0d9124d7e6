//! Why a sidecar does not start. Each variant names the setting to change.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::routes::with_causes;
use crate::config::{Config, Use, local_name, reason};
use crate::system;

/// One reason, said in one line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// Somebody else listens there.
    #[error("{place}{setting}: {endpoint} is already in use by {holder}; stop it, or choose another {choice}")]
    InUse { place: String, setting: String, endpoint: String, holder: String, choice: &'static str },
    /// The system refuses the address.
    #[error("{place}{setting}: cannot bind {endpoint}: {reason}")]
    Bind { place: String, setting: String, endpoint: String, reason: String },
    /// State cannot be kept.
    #[error("{place}serve.state_dir: {}: {reason}", .path.display())]
    StateDir { place: String, path: PathBuf, reason: String },
    /// A value that only its user can judge.
    #[error("{place}{setting}: {reason}")]
    Setting { place: String, setting: String, reason: String },
    /// The system gives no thread or runtime.
    #[error("cannot start the HTTP thread: {0}")]
    Thread(io::Error),
}

impl BuildError {
    /// What went wrong while binding `used`.
    pub(super) fn binding(used: &Use, address: Option<SocketAddr>, error: &io::Error) -> Self {
        let (place, setting, endpoint) = (used.origin.prefix(), used.setting.clone(), used.shown());
        if error.kind() != io::ErrorKind::AddrInUse {
            return Self::Bind { place, setting, endpoint, reason: reason(error) };
        }
        let name = local_name(&used.endpoint);
        let holder = address.and_then(system::holder_of).or_else(|| name.and_then(system::holder_of_local));
        let holder = holder.map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
        Self::InUse { place, setting, endpoint, holder, choice: if name.is_some() { "name" } else { "port" } }
    }

    /// What is wrong with the value of `key`.
    pub(super) fn setting(config: &Config, key: &str, error: &dyn std::error::Error) -> Self {
        Self::Setting { place: config.settings.origin(key).prefix(), setting: key.to_owned(), reason: with_causes(error) }
    }
}
