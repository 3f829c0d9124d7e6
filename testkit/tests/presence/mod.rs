//! Following presence as an operator does: with `myelin agents --watch --json` beside a sidecar.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::time::{Duration, Instant};

use myelin_testkit::{Process, Sidecar};
use serde_json::Value;

/// What changes, as it is printed.
pub(crate) struct Watch {
    process: Process,
}

impl Watch {
    pub(crate) fn start(sidecar: &Sidecar) -> Self {
        Self { process: Process::spawn("watch", &mut sidecar.command(&["agents", "--watch", "--json"])) }
    }

    /// Waits until an agent has this state, and returns what is said of it, with how long that took.
    #[track_caller]
    pub(crate) fn until(&self, name: &str, state: &str, deadline: Duration) -> (Value, Duration) {
        let began = Instant::now();
        let presence = self.process.wait_line(&format!("{name} as {state}"), deadline, |line| {
            let event: Value = serde_json::from_str(line).ok()?;
            (event["name"] == name && event["presence"]["state"] == state).then(|| event["presence"].clone())
        });
        (presence, began.elapsed())
    }

    /// Looks at everything that is said for a while: no agent of this name may have this state.
    #[track_caller]
    pub(crate) fn never(&self, name: &str, state: &str, during: Duration) {
        let found = self.process.try_wait_line(during, |line| {
            let event: Value = serde_json::from_str(line).ok()?;
            (event["name"] == name && event["presence"]["state"] == state).then_some(event)
        });
        assert!(found.is_none(), "{name} is {state}: {found:?}");
    }
}

/// An agent as `myelin agents show` has it.
#[track_caller]
pub(crate) fn shown(sidecar: &Sidecar, name: &str) -> Value {
    let output = sidecar.command(&["agents", "show", name, "--json"]).output().expect("the command runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let listed: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text:?}"));
    listed["agents"][0].clone()
}
