//! Commands about memory, run as a script would run them.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::process::Output;

use myelin_testkit::Sidecar;
use serde_json::Value;

/// Runs a command that succeeds and returns what it printed.
#[track_caller]
pub(crate) fn run(sidecar: &Sidecar, arguments: &[&str]) -> String {
    let output = sidecar.command(arguments).output().expect("the binary starts");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[track_caller]
pub(crate) fn json_of(sidecar: &Sidecar, arguments: &[&str]) -> Value {
    let text = run(sidecar, &[arguments, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}

#[track_caller]
pub(crate) fn lines_of(sidecar: &Sidecar, arguments: &[&str]) -> Vec<Value> {
    let text = run(sidecar, &[arguments, &["--json"]].concat());
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// Runs a command that fails: its exit code, and what it said.
#[track_caller]
pub(crate) fn refused(sidecar: &Sidecar, arguments: &[&str]) -> (i32, String) {
    let Output { status, stderr, .. } = sidecar.command(arguments).output().expect("the binary starts");
    assert!(!status.success(), "{arguments:?} succeeded");
    (status.code().expect("an exit code"), String::from_utf8(stderr).expect("text"))
}
