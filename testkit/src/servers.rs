//! Real servers of others: one `nats-server`, one `redis-server`.

use crate::free_port;
use crate::hosts::Host;
use crate::process::Process;
use crate::wait::PATIENCE;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use tempfile::TempDir;

/// A `nats-server` with JetStream, in a directory of its own.
#[derive(Debug)]
pub struct NatsServer {
    // Before the directory: the process has to end before its files go.
    process: Process,
    address: SocketAddr,
    _home: TempDir,
}

impl NatsServer {
    /// Starts it and waits until it serves.
    ///
    /// # Panics
    /// When it is not installed; the text is the command that installs it.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::launch(Ipv4Addr::LOCALHOST)
    }

    /// Starts it on a host, where all other hosts reach it.
    ///
    /// # Panics
    /// As [`NatsServer::start`].
    #[must_use]
    #[track_caller]
    pub fn start_on(host: &Host) -> Self {
        host.enter(|| Self::launch(host.address()))
    }

    #[track_caller]
    fn launch(address: Ipv4Addr) -> Self {
        let home = TempDir::new().expect("a temporary directory can be created");
        let address = SocketAddr::from((address, free_port()));
        let mut command = Command::new("nats-server");
        command.args(["--addr", &address.ip().to_string(), "--port", &address.port().to_string()]);
        command.args(["--jetstream", "--store_dir"]).arg(home.path());
        installed("nats-server", "go install github.com/nats-io/nats-server/v2@latest");
        let process = Process::spawn("nats-server", &mut command);
        process.wait_line("readiness", PATIENCE, |line| line.contains("Server is ready").then_some(()));
        Self { process, address, _home: home }
    }

    /// Where clients connect.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// The process, to freeze or to kill.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// A `redis-server` without persistence, in a directory of its own.
#[derive(Debug)]
pub struct RedisServer {
    process: Process,
    port: u16,
    _home: TempDir,
}

impl RedisServer {
    /// Starts it and waits until it serves.
    ///
    /// # Panics
    /// When it is not installed; the text is the command that installs it.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        let home = TempDir::new().expect("a temporary directory can be created");
        let port = free_port();
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"]);
        command.current_dir(home.path());
        installed("redis-server", "apt-get install redis-server");
        let process = Process::spawn("redis-server", &mut command);
        process.wait_line("readiness", PATIENCE, |line| line.contains("Ready to accept connections").then_some(()));
        Self { process, port, _home: home }
    }

    /// Where clients connect.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The process, to freeze or to kill.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

#[track_caller]
fn installed(program: &str, install: &str) {
    let found = Command::new(program).arg("--version").output();
    assert!(found.is_ok(), "this test needs {program}, which is not installed: {install}");
}
