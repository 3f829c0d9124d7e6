//! `engine = "nats"`: the bus of this machine, linked to those of others.

use std::path::Path;

use myelin_bus::wire::Filter;
use myelin_bus::{Bus, EmbeddedConfig, LinkMetrics, LinkedConfig, NatsConfig, NatsCredentials, NatsTls};
use prometheus_client::registry::Registry;

use super::error::BuildError;
use crate::config::{Config, reason};

/// Messages of topics cross only while somebody elsewhere listens to them.
const LEASED: &str = "zmq.topic.>";

/// What commands and workers say to the sidecar of this machine concerns no other.
const PRIVATE: [&str; 2] = ["$MYELIN.API.>", "$MYELIN.ACK.>"];

/// Longest file with a password, a token or a seed.
const SECRET_BYTES_MAX: u64 = 4 * 1024;

/// The keys of which one says who we are.
const IDENTITIES: [&str; 4] = ["nats.password_file", "nats.token_file", "nats.nkey_file", "nats.credentials"];

/// The bus. It is there at once, whether a server is or not.
pub(super) async fn link(config: &Config, embedded: EmbeddedConfig, registry: &mut Registry) -> Result<Bus, BuildError> {
    let mut nats = NatsConfig::new(config.nats.servers.iter().map(String::as_str));
    nats.credentials = credentials(config)?;
    nats.tls = tls(config)?;
    nats.replicas = config.nats.replicas;
    nats.metrics = embedded.metrics.clone();
    let filter = |text| Filter::new(text).expect("a valid constant");
    let metrics = LinkMetrics::default();
    metrics.register(registry);
    let mut linked = LinkedConfig::new(nats);
    linked.embedded = embedded;
    linked.leased = vec![filter(LEASED)];
    linked.private = PRIVATE.map(filter).to_vec();
    linked.host = config.serve.host.as_str().into();
    linked.ping_interval = config.nats.ping_interval;
    linked.metrics = metrics;
    let bus = Bus::linked(linked).await.map_err(|error| BuildError::setting(config, "nats.servers", &error))?;
    tracing::info!(servers = config.nats.servers.join(", "), "looking for NATS; agents of this machine are served meanwhile");
    Ok(bus)
}

fn credentials(config: &Config) -> Result<NatsCredentials, BuildError> {
    let given: Vec<&str> = IDENTITIES.into_iter().filter(|key| config.settings.file(key).is_some()).collect();
    if let [first, second, ..] = *given {
        let error = std::io::Error::other(format!("{first} is set as well; one of them has to say who we are"));
        return Err(BuildError::setting(config, second, &error));
    }
    let Some(key) = given.first() else {
        return match &config.nats.user {
            None => Ok(NatsCredentials::None),
            Some(_) => Err(BuildError::setting(config, "nats.user", &std::io::Error::other("a user needs nats.password_file"))),
        };
    };
    let path = config.settings.file(key).expect("it was just seen");
    if *key == "nats.credentials" {
        return Ok(NatsCredentials::File(path));
    }
    let secret = secret(config, key, &path)?;
    Ok(match (*key, &config.nats.user) {
        ("nats.token_file", _) => NatsCredentials::Token(secret),
        ("nats.nkey_file", _) => NatsCredentials::NKey(secret),
        (_, Some(user)) => NatsCredentials::Password { user: user.as_str().into(), password: secret },
        (_, None) => return Err(BuildError::setting(config, key, &std::io::Error::other("a password needs nats.user"))),
    })
}

/// The one line of a file.
pub(super) fn secret(config: &Config, key: &str, path: &Path) -> Result<Box<str>, BuildError> {
    let failed = |what: &str| BuildError::setting(config, key, &std::io::Error::other(format!("{}: {what}", path.display())));
    let size = std::fs::metadata(path).map_err(|error| failed(&reason(&error)))?.len();
    if size > SECRET_BYTES_MAX {
        return Err(failed("too large for a secret"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(&reason(&error)))?;
    let secret = text.trim();
    if secret.is_empty() || secret.contains('\n') { Err(failed("not one line with a secret")) } else { Ok(secret.into()) }
}

fn tls(config: &Config) -> Result<NatsTls, BuildError> {
    let file = |key| config.settings.file(key);
    let certificate = match (file("nats.tls_cert"), file("nats.tls_key")) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => return Err(BuildError::setting(config, "nats.tls_cert", &std::io::Error::other("it needs nats.tls_key"))),
        (None, Some(_)) => return Err(BuildError::setting(config, "nats.tls_key", &std::io::Error::other("it needs nats.tls_cert"))),
    };
    let authorities = file("nats.tls_ca");
    for (key, path) in [("nats.tls_ca", &authorities), ("nats.tls_cert", &certificate.as_ref().map(|(path, _)| path.clone()))] {
        if let Some(path) = path
            && let Err(error) = std::fs::File::open(path)
        {
            return Err(BuildError::setting(config, key, &std::io::Error::other(format!("{}: {}", path.display(), reason(&error)))));
        }
    }
    let mut tls = NatsTls::default();
    (tls.is_required, tls.authorities, tls.certificate) = (config.nats.tls, authorities, certificate);
    Ok(tls)
}
