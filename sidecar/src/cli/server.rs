//! Reaching a running sidecar, or any NATS server, from a client verb.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use myelin_bus::wire::{Filter, Subject};
use myelin_bus::{Bus, ConnectError, Message, ReplyTo};

use super::Failure;
use super::config_args::ConfigArgs;
use crate::config::Settings;

/// How long a server may take to accept us. It is on this machine in almost every case.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait for what is still on its way out when a verb ends.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Which server a client verb talks to.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ServerArgs {
    /// The sidecar, or any NATS server [default: serve.listen of the configuration, nats://127.0.0.1:4222]
    // The value may hold a password.
    #[arg(long, short, value_name = "URL", env = "MYELIN_SERVER", hide_env_values = true)]
    server: Option<String>,
}

impl ServerArgs {
    /// Connects, or says how to start what was not there.
    pub(super) async fn connect(&self) -> Result<Bus, Failure> {
        let url = self.url();
        let unreachable = || Failure::runtime(format!("cannot reach a sidecar at {url}: start one with 'myelin serve'"));
        match tokio::time::timeout(CONNECT_TIMEOUT, Bus::connect(&url)).await {
            Ok(Ok(bus)) => Ok(bus),
            Ok(Err(error @ ConnectError::Url { .. })) => Err(Failure::usage(format!("--server: {error}"))),
            Ok(Err(error)) => {
                tracing::debug!(%error, "connect failed");
                Err(unreachable())
            }
            Err(_) => Err(unreachable()),
        }
    }

    /// What was asked for, or where a sidecar started here would listen: the same file and the same variables.
    fn url(&self) -> String {
        if let Some(server) = self.server.as_ref().filter(|server| !server.is_empty()) {
            return server.clone();
        }
        let sources = ConfigArgs::default().sources();
        let listen = match sources.and_then(|sources| Ok(sources.load()?)) {
            Ok(config) => config.serve.listen,
            Err(failure) => {
                tracing::warn!(?failure, "the configuration says not where the sidecar listens, trying the default");
                Settings::defaults().address("serve.listen")
            }
        };
        let ip = if listen.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { listen.ip() };
        format!("nats://{}", SocketAddr::new(ip, listen.port()))
    }
}

/// Waits until everything has left, so that a verb that ends loses nothing.
pub(super) async fn close(bus: Bus) {
    bus.drain(CLOSE_TIMEOUT).await;
}

/// A subject from the command line.
pub(super) fn subject(text: &str) -> Result<Subject, Failure> {
    Subject::new(text).map_err(|error| Failure::usage(format!("subject: {error}")))
}

/// A filter from the command line.
pub(super) fn filter(text: &str) -> Result<Filter, Failure> {
    Filter::new(text).map_err(|error| Failure::usage(format!("filter: {error}")))
}

/// The subject a reply to this message would go to, for display.
pub(super) fn reply_subject(message: &Message) -> Option<String> {
    match &message.reply {
        Some(ReplyTo::Subject(subject)) => Some(subject.to_string()),
        Some(ReplyTo::Sink(_)) | None => None,
    }
}

/// Runs a client verb: one thread is enough, and starts fastest.
pub(super) fn block_on(verb: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::runtime(format!("cannot start the async runtime: {error}")))?;
    let result = runtime.block_on(verb);
    // A thread that still reads stdin must not keep the program alive.
    runtime.shutdown_background();
    result
}

/// A duration flag, in the notation of the configuration file.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    crate::config::parse_duration(text).ok_or_else(|| "expected a duration such as 500ms, 5s or 2m".to_owned())
}
