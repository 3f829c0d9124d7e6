//! Real servers of others: that they are installed. Each has a file of its own.

use std::process::Command;

/// Fails the test with the command that installs what it needs.
#[track_caller]
pub(crate) fn installed(program: &str, install: &str) {
    let found = Command::new(program).arg("--version").output();
    assert!(found.is_ok(), "this test needs {program}, which is not installed: {install}");
}
