//! Logs go to stderr, so that stdout stays what a script can read.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use super::Failure;

/// Starts logging with the user's filter, or with `default` for everything.
pub(super) fn start(filter: Option<&str>, default: &str, json: bool) -> Result<(), Failure> {
    // A client library that logs each reconnect at info would bury our own lines.
    let fallback = format!("{default},async_nats=warn");
    let text = filter.unwrap_or(&fallback);
    let filter = EnvFilter::try_new(text).map_err(|error| Failure::usage(format!("--log {text:?}: {error}")))?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json {
        logs.json().init();
    } else {
        logs.with_ansi(std::io::stderr().is_terminal()).with_target(false).init();
    }
    Ok(())
}
