//! Real servers of others: one `redis-server`.

use crate::free_port;
use crate::process::Process;
use crate::wait::PATIENCE;
use std::process::Command;
use tempfile::TempDir;

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
pub(crate) fn installed(program: &str, install: &str) {
    let found = Command::new(program).arg("--version").output();
    assert!(found.is_ok(), "this test needs {program}, which is not installed: {install}");
}
