//! Opens connections as the configuration says.

use super::address::Address;
use super::config::RedisConfig;
use super::open::RedisOpenError;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, IntoConnectionInfo, ProtocolVersion, PushInfo, RedisConnectionInfo,
    RedisError, TlsCertificates,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fmt;
use std::time::Duration;

/// What all connections have in common.
#[derive(Clone)]
pub(super) struct Dial {
    settings: RedisConnectionInfo,
    tls: Option<TlsCertificates>,
    connect_timeout: Duration,
    response_timeout: Duration,
}

impl Dial {
    pub(super) fn new(config: &RedisConfig) -> Result<Self, RedisOpenError> {
        if config.user.is_some() && config.password.is_none() {
            return Err(RedisOpenError::Setting { setting: "password", reason: "a user needs one".into() });
        }
        let mut settings =
            RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3).set_lib_name("myelin", env!("CARGO_PKG_VERSION"));
        if let Some(user) = &config.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &config.password {
            settings = settings.set_password(password.reveal());
        }
        if let Some(authority) = config.tls.as_ref().and_then(|tls| tls.authority.as_ref())
            && !CertificateDer::pem_slice_iter(authority).any(|certificate| certificate.is_ok())
        {
            return Err(RedisOpenError::Setting { setting: "tls", reason: "the authority has no certificate in it".into() });
        }
        let tls = config.tls.as_ref().map(|tls| TlsCertificates { client_tls: None, root_cert: tls.authority.clone() });
        if tls.is_some() {
            // The ciphers of the process; somebody else may have chosen before, and then that is the choice.
            drop(rustls::crypto::ring::default_provider().install_default());
        }
        let dial = Self { settings, tls, connect_timeout: config.connect_timeout, response_timeout: config.response_timeout };
        // A certificate that cannot be read is found here, and not with the first connection.
        dial.client(&Address::new("localhost", 6379))
            .map_err(|error| RedisOpenError::Setting { setting: "tls", reason: error.to_string().into() })?;
        Ok(dial)
    }

    fn client(&self, address: &Address) -> Result<Client, RedisError> {
        let (host, port) = (address.host.to_string(), address.port);
        match &self.tls {
            None => Client::open(ConnectionAddr::Tcp(host, port).into_connection_info()?.set_redis_settings(self.settings.clone())),
            Some(tls) => {
                let address = ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None };
                Client::build_with_tls(address.into_connection_info()?.set_redis_settings(self.settings.clone()), tls.clone())
            }
        }
    }

    /// A connection that is authenticated and speaks RESP3. `pushed` gets what the server sends unasked, and the end of the connection; it is called
    /// by the task of the connection, in the order of the wire, before any answer that came later is handed to its caller.
    ///
    /// # Cancel safety
    /// The connection is closed again.
    pub(super) async fn connect(
        &self,
        address: &Address,
        pushed: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(self.response_timeout))
            .set_push_sender(move |info| {
                pushed(info);
                Ok::<_, ()>(())
            });
        self.client(address)?.get_multiplexed_async_connection_with_config(&config).await
    }

    pub(super) const fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    pub(super) const fn response_timeout(&self) -> Duration {
        self.response_timeout
    }
}

/// Whether a server refused who we say we are.
pub(super) fn is_refusal(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"))
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dial").field("tls", &self.tls.is_some()).finish_non_exhaustive()
    }
}
