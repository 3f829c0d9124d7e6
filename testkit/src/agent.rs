//! Python agents of `testkit/agents`, which print JSON lines and take JSON lines.

use crate::hosts::{Host, on};
use crate::process::Process;
use crate::python::python;
use crate::wait::PATIENCE;
use crate::{free_port, hex};
use serde_json::Value;
use std::ffi::OsStr;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A running agent. It ends when its standard input closes, so it cannot outlive the test.
#[derive(Debug)]
pub struct Agent {
    process: Process,
}

/// Arguments of an agent that is not started yet.
#[derive(Debug)]
pub struct AgentBuilder {
    name: String,
    command: Command,
    host: Option<Host>,
}

impl Agent {
    /// An agent by the name of its script without `.py`.
    ///
    /// # Panics
    /// When pyzmq is missing; the text is the command that installs it.
    #[must_use]
    #[track_caller]
    pub fn script(name: &str) -> AgentBuilder {
        AgentBuilder { name: name.to_owned(), command: Self::program(name), host: None }
    }

    /// The command that starts a script, for tests that start other programs the same way.
    ///
    /// # Panics
    /// As [`Agent::script`].
    #[must_use]
    #[track_caller]
    pub fn program(name: &str) -> Command {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("agents");
        let mut command = Command::new(python());
        // Unbuffered, because tests wait for lines; no .pyc files in the source tree.
        command.args(["-u", "-B"]).arg(directory.join(format!("{name}.py")));
        command
    }

    /// A REP agent that registers itself at `discovery`, on ports of its own, with no pause after a request.
    ///
    /// # Panics
    /// When it is not registered in time.
    #[must_use]
    #[track_caller]
    pub fn registered(name: &str, discovery: &str) -> Self {
        let agent = Self::rep(name).arg("--register", discovery).start();
        agent.event("registered");
        agent
    }

    /// A REP agent of this name on free ports, to which options can be added.
    ///
    /// # Panics
    /// As [`Agent::script`].
    #[must_use]
    #[track_caller]
    pub fn rep(name: &str) -> AgentBuilder {
        Self::script("rep_agent").arg("--name", name).arg("--port", free_port()).arg("--health-port", free_port())
    }

    /// The next event of this name, skipping others. Events are the lines `{"event": name, …}`.
    ///
    /// # Panics
    /// When it does not come in [`PATIENCE`]; the text shows what the agent printed.
    #[track_caller]
    pub fn event(&self, name: &str) -> Value {
        self.event_within(name, PATIENCE)
    }

    /// As [`Agent::event`], for what takes longer than [`PATIENCE`].
    ///
    /// # Panics
    /// When it does not come before the deadline.
    #[track_caller]
    pub fn event_within(&self, name: &str, deadline: Duration) -> Value {
        self.process.wait_line(&format!("event {name:?}"), deadline, |line| event_of(line, name))
    }

    /// The next event of this name, or `None` within `timeout`.
    pub fn try_event(&self, name: &str, timeout: Duration) -> Option<Value> {
        self.process.try_wait_line(timeout, |line| event_of(line, name))
    }

    /// Sends a command, one JSON line.
    ///
    /// # Panics
    /// When the agent has ended.
    #[track_caller]
    pub fn command(&mut self, command: &Value) {
        self.process.write_line(&command.to_string());
    }

    /// Sends a command and waits for the event that answers it.
    ///
    /// # Panics
    /// As [`Agent::event`].
    #[track_caller]
    pub fn ask(&mut self, command: &Value, event: &str) -> Value {
        self.command(command);
        self.event(event)
    }
}

impl Deref for Agent {
    type Target = Process;
    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Agent {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

impl AgentBuilder {
    /// An option with a value.
    #[must_use]
    pub fn arg(mut self, option: &str, value: impl ToString) -> Self {
        self.command.arg(option).arg(value.to_string());
        self
    }

    /// An option without a value.
    #[must_use]
    pub fn flag(mut self, option: impl AsRef<OsStr>) -> Self {
        self.command.arg(option);
        self
    }

    /// Runs it on this host, instead of where the test is. Options are as before: agents bind loopback unless told otherwise.
    #[must_use]
    pub fn on(mut self, host: &Host) -> Self {
        self.host = Some(host.clone());
        self
    }

    /// Starts the agent and waits until it is `ready`: its sockets are bound, or connecting.
    ///
    /// # Panics
    /// When it is not ready in time.
    #[must_use]
    #[track_caller]
    pub fn start(mut self) -> Agent {
        let process = on(self.host.as_ref(), || Process::spawn(&self.name, &mut self.command));
        let agent = Agent { process };
        agent.event("ready");
        agent
    }
}

/// The frames of an event, which carries them in hex under `frames`.
///
/// # Panics
/// When it carries none.
#[must_use]
#[track_caller]
pub fn frames(event: &Value) -> Vec<Vec<u8>> {
    let Some(frames) = event["frames"].as_array() else { panic!("no frames in {event}") };
    frames.iter().map(|frame| hex::bytes(frame.as_str().unwrap_or_default())).collect()
}

/// The single frame of an event as text.
///
/// # Panics
/// When it has more than one.
#[must_use]
#[track_caller]
pub fn text(event: &Value) -> String {
    match frames(event).as_slice() {
        [frame] => String::from_utf8_lossy(frame).into_owned(),
        other => panic!("{} frames in {event}", other.len()),
    }
}

fn event_of(line: &str, name: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(line).ok()?;
    (value["event"] == name).then_some(value)
}
