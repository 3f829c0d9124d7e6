//! Real servers of others: one `nats-server`. (Redis has a folder of its own.)

use crate::free_port;
use crate::process::Process;
use crate::wait::PATIENCE;
use std::process::Command;
use tempfile::TempDir;

/// A `nats-server` with JetStream, in a directory of its own.
#[derive(Debug)]
pub struct NatsServer {
    // Before the directory: the process has to end before its files go.
    process: Process,
    port: u16,
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
        let home = TempDir::new().expect("a temporary directory can be created");
        let port = free_port();
        let mut command = Command::new("nats-server");
        command.args(["--addr", "127.0.0.1", "--port", &port.to_string(), "--jetstream", "--store_dir"]).arg(home.path());
        installed("nats-server", "go install github.com/nats-io/nats-server/v2@latest");
        let process = Process::spawn("nats-server", &mut command);
        process.wait_line("readiness", PATIENCE, |line| line.contains("Server is ready").then_some(()));
        Self { process, port, _home: home }
    }

    /// Where clients connect.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The process, to freeze or to kill.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// Fails the test with the command that installs what it needs.
#[track_caller]
pub(crate) fn installed(program: &str, install: &str) {
    let found = Command::new(program).arg("--version").output();
    assert!(found.is_ok(), "this test needs {program}, which is not installed: {install}");
}
