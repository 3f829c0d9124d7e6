//! A scratch directory with a configuration file, and the binary run in it with nothing of the surrounding environment.

#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use myelin_testkit::{Process, free_port};
use serde_json::Value as Json;
use tempfile::TempDir;

/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A directory to run the binary in. Gone with the value.
pub(crate) struct Scratch {
    dir: TempDir,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self { dir: TempDir::new().expect("a temporary directory") }
    }

    /// With this `myelin.toml`, which every command reads from its working directory.
    pub(crate) fn with_config(toml: &str) -> Self {
        let scratch = Self::new();
        scratch.write("myelin.toml", toml);
        scratch
    }

    /// With ports of its own, so that tests run next to each other; `extra` is appended.
    pub(crate) fn with_free_ports(extra: &str) -> Self {
        Self::with_config(&format!("{}{extra}", free_ports_toml()))
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).expect("the scratch directory is writable");
    }

    /// The binary with these arguments, ready to be changed and run.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_myelin"));
        command.current_dir(self.path()).args(arguments);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MYELIN_") {
                command.env_remove(name);
            }
        }
        command
    }

    /// Runs the binary to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.command(arguments))
    }

    /// Starts `serve --json` and waits until it says that it is ready.
    pub(crate) fn serve(&self) -> (Process, Json) {
        let process = Process::spawn("myelin", &mut self.command(&["serve", "--json"]));
        let ready = process.wait_line("line of JSON", PATIENCE, |line| serde_json::from_str(line).ok());
        (process, ready)
    }
}

/// The three `[serve]`, `[discovery]` and `[hub]` sections with ports that nobody else has.
pub(crate) fn free_ports_toml() -> String {
    let [nats, http, discovery, publishers, subscribers] = [(); 5].map(|()| free_port());
    format!(
        "[serve]\nlisten = \"127.0.0.1:{nats}\"\nhttp = \"127.0.0.1:{http}\"\nstate_dir = \"state\"\n\
         [discovery]\nlisten = \"tcp://127.0.0.1:{discovery}\"\n\
         [hub]\npublishers = \"tcp://127.0.0.1:{publishers}\"\nsubscribers = \"tcp://127.0.0.1:{subscribers}\"\n"
    )
}

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.output().expect("the binary starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
        Self { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The one line on stderr.
    #[track_caller]
    pub(crate) fn error_line(&self) -> &str {
        let lines: Vec<_> = self.stderr.lines().collect();
        let [line] = lines.as_slice() else { panic!("expected one line: {self:?}") };
        line
    }
}
