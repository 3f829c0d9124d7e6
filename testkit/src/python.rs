//! The Python that agents run on.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The interpreter for agents: `MYELIN_PYTHON`, else `.venv/bin/python3` of the workspace, else `python3`.
///
/// # Panics
/// When it cannot import pyzmq; the text is the command that installs it.
#[track_caller]
pub fn python() -> &'static PathBuf {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match FOUND.get_or_init(find) {
        Ok(path) => path,
        Err(problem) => panic!("{problem}"),
    }
}

fn find() -> Result<PathBuf, String> {
    let local = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python3");
    let named = std::env::var_os("MYELIN_PYTHON").map(PathBuf::from);
    let candidate = named.unwrap_or_else(|| if local.exists() { local } else { PathBuf::from("python3") });
    // `python3` may be a shim that costs more than the agent: ask for the program behind it, once.
    let probe = "import sys, zmq; print(sys.executable)";
    let output = Command::new(&candidate).args(["-c", probe]).output();
    let output = output.map_err(|error| {
        format!("cannot run {}: {error}; install Python 3.8 or newer, then: python3 -m pip install pyzmq", candidate.display())
    })?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        let why = why.lines().last().unwrap_or("no output");
        return Err(format!("agents need pyzmq ({why}): {} -m pip install pyzmq", candidate.display()));
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}
