//! How to reach NATS.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use async_nats::{ConnectOptions, ServerAddr};

use super::without_password;
use crate::error::ConnectError;
use crate::{EmbeddedConfig, Metrics};

/// The first wait between two attempts to reach a server, and the longest. Half of each is chance: the sidecars of a fleet lose a server at the
/// same instant and should not all come back at one.
const RECONNECT_DELAY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(4));

/// A connection to NATS. Everything but the servers has a default.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NatsConfig {
    /// Servers of one cluster, as `nats://host:port` or `tls://host:port`; a user, a password or a token may stand before the host. Others of the
    /// cluster are learnt from them.
    pub servers: Vec<Box<str>>,
    /// Who we are; default: whoever the URL says, or nobody.
    pub credentials: NatsCredentials,
    /// How the connection is encrypted; default: as the server asks for, with the system's authorities.
    pub tls: NatsTls,
    /// How many servers keep each stream that is made; default 1. In a cluster 3 lets one of them fail.
    pub replicas: usize,
    /// Whether a bus is there although no server answers, and finds one when it can; default: that is an error. Until then everything that needs a
    /// server fails with a typed error, after waiting five seconds for one.
    pub starts_without_server: bool,
    /// How often a connection over which nothing comes is tried; default 5 s. After two tries without an answer it counts as lost, and is made anew.
    pub ping_interval: Duration,
    /// Most requests of this process that wait for replies; default 65,536. Another is refused.
    pub requests_max: usize,
    /// Where the bus counts; default: nowhere that anybody reads.
    pub metrics: Metrics,
}

/// Who we are to a server.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum NatsCredentials {
    /// What the URL says, or nobody.
    #[default]
    None,
    /// A token.
    Token(Box<str>),
    /// A user with a password.
    Password {
        /// The user.
        user: Box<str>,
        /// The password.
        password: Box<str>,
    },
    /// The seed of an NKEY, which begins with `SU`.
    NKey(Box<str>),
    /// A file with a JWT and a seed, as `nsc` writes it.
    File(PathBuf),
}

/// How a connection is encrypted.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct NatsTls {
    /// Whether a server without TLS is refused; default: it is not, unless its URL says `tls://`.
    pub is_required: bool,
    /// A file of authorities in PEM that may have signed the server's certificate, beside the system's.
    pub authorities: Option<PathBuf>,
    /// Our own certificate and its key, files in PEM, for servers that want to see one.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl NatsConfig {
    /// One cluster by its servers, with the defaults above.
    pub fn new(servers: impl IntoIterator<Item = impl Into<Box<str>>>) -> Self {
        let EmbeddedConfig { requests_max, metrics, .. } = EmbeddedConfig::default();
        Self {
            servers: servers.into_iter().map(Into::into).collect(),
            credentials: NatsCredentials::default(),
            tls: NatsTls::default(),
            replicas: 1,
            starts_without_server: false,
            ping_interval: Duration::from_secs(5),
            requests_max,
            metrics,
        }
    }

    /// The servers as messages name them: without passwords.
    pub(super) fn shown(&self) -> Box<str> {
        self.servers.iter().map(|server| without_password(server)).collect::<Vec<_>>().join(", ").into()
    }

    pub(super) fn addresses(&self) -> Result<Vec<ServerAddr>, ConnectError> {
        let no_url = |url: &str, reason: &str| ConnectError::Url { url: without_password(url), reason: reason.into() };
        let address = |url: &str| {
            let address: ServerAddr = url.parse().map_err(|error: io::Error| no_url(url, &error.to_string()))?;
            if address.host().is_empty() { Err(no_url(url, "it names no host")) } else { Ok(address) }
        };
        if self.servers.is_empty() {
            return Err(no_url("", "no server is named"));
        }
        self.servers.iter().map(|url| address(url)).collect()
    }

    /// The client's options that are the user's.
    pub(super) async fn options(&self) -> Result<ConnectOptions, ConnectError> {
        let mut options = ConnectOptions::new().reconnect_delay_callback(reconnect_delay).ping_interval(self.ping_interval);
        options = match &self.credentials {
            NatsCredentials::None => options,
            NatsCredentials::Token(token) => options.token(token.to_string()),
            NatsCredentials::Password { user, password } => options.user_and_password(user.to_string(), password.to_string()),
            NatsCredentials::NKey(seed) => options.nkey(seed.to_string()),
            NatsCredentials::File(path) => options
                .credentials_file(path)
                .await
                .map_err(|error| ConnectError::Credentials { path: path.clone(), reason: error.to_string().into() })?,
        };
        if let Some(authorities) = &self.tls.authorities {
            options = options.add_root_certificates(authorities.clone());
        }
        if let Some((certificate, key)) = &self.tls.certificate {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        options = if self.starts_without_server { options.retry_on_initial_connect() } else { options };
        Ok(if self.tls.is_required { options.require_tls(true) } else { options })
    }
}

fn reconnect_delay(attempts: usize) -> Duration {
    let (first, longest) = RECONNECT_DELAY;
    let doubled = first.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(longest);
    doubled.mul_f64(0.5 + fastrand::f64() / 2.0)
}

impl fmt::Debug for NatsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Token(_) => f.write_str("Token(***)"),
            Self::Password { user, .. } => write!(f, "Password({user}, ***)"),
            Self::NKey(_) => f.write_str("NKey(***)"),
            Self::File(path) => write!(f, "File({})", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show() {
        let mut config = NatsConfig::new(["nats://ann:s3cret@one", "nats://two"]);
        config.credentials = NatsCredentials::Password { user: "ann".into(), password: "s3cret".into() };
        assert!(!format!("{:?}", config.credentials).contains("s3cret"));
        assert_eq!(&*config.shown(), "nats://ann:***@one, nats://two");
        for secret in [NatsCredentials::Token("s3cret".into()), NatsCredentials::NKey("s3cret".into())] {
            assert!(!format!("{secret:?}").contains("s3cret"));
        }
    }

    #[test]
    fn attempts_come_less_often_and_not_all_at_once() {
        let (first, longest) = RECONNECT_DELAY;
        for attempt in 1..100 {
            let delay = reconnect_delay(attempt);
            assert!(delay >= first / 2 && delay <= longest, "{attempt}: {delay:?}");
        }
        let delays: std::collections::HashSet<_> = (0..100).map(|_| reconnect_delay(5)).collect();
        assert!(delays.len() > 50, "there is chance in it");
    }

    #[test]
    fn a_server_that_is_none_is_named() {
        let refused = NatsConfig::new(["nats://"]).addresses();
        assert!(matches!(refused, Err(ConnectError::Url { .. })), "{refused:?}");
        assert!(NatsConfig::new(Vec::<String>::new()).addresses().is_err());
    }
}
