//! Where the workspace is, what is in it, and how to call cargo and the tools that it needs.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// Why a chore stopped; shown once, to the person at the terminal.
pub(crate) type Outcome<T> = Result<T, String>;

/// The workspace that this chore belongs to.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    target: PathBuf,
    /// `packages` of `cargo metadata --no-deps`.
    pub(crate) packages: Vec<Value>,
}

impl Workspace {
    /// Asks cargo.
    ///
    /// # Errors
    /// Cargo does not answer with a workspace.
    pub(crate) fn find() -> Outcome<Self> {
        let output = cargo(&["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .map_err(|error| format!("cargo metadata does not run: {error}"))?;
        let metadata: Value = serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("cargo metadata: {error}: {}", String::from_utf8_lossy(&output.stderr)))?;
        let path = |key: &str| metadata[key].as_str().map(PathBuf::from).ok_or_else(|| format!("cargo metadata tells no {key}"));
        let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
        Ok(Self { root: path("workspace_root")?, target: path("target_directory")?, packages })
    }

    /// A program of a release build.
    pub(crate) fn release(&self, name: &str) -> PathBuf {
        self.target.join("release").join(name)
    }

    /// Runs cargo in the workspace, its output to the terminal.
    ///
    /// # Errors
    /// Cargo fails; it has said why.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Outcome<()> {
        let status = cargo(arguments).current_dir(&self.root).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("cargo {} ended with {status}", arguments.join(" "))),
            Err(error) => Err(format!("cargo does not run: {error}")),
        }
    }

    /// Files that belong to the project: tracked, or new and not ignored.
    ///
    /// # Errors
    /// This is no git checkout.
    pub(crate) fn files(&self) -> Outcome<Vec<PathBuf>> {
        let output = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&self.root)
            .output()
            .map_err(|error| format!("git ls-files does not run: {error}"))?;
        if !output.status.success() {
            return Err(format!("git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        let names = output.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        Ok(names.map(|name| PathBuf::from(String::from_utf8_lossy(name).into_owned())).collect())
    }
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

/// Checks that a program can be started.
///
/// # Errors
/// It cannot; the message says what needs it and how to install it.
pub(crate) fn need(program: &str, what_for: &str, install: &str) -> Outcome<()> {
    if runs(Path::new(program)) {
        return Ok(());
    }
    Err(format!("{what_for} needs `{program}`, which does not run here\n  install it: {install}"))
}

fn runs(program: &Path) -> bool {
    let status = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_is_named_with_the_command_that_installs_it() {
        let problem = need("no-such-compiler", "building libzmq", "apt-get install g++").unwrap_err();
        assert!(problem.contains("no-such-compiler") && problem.contains("apt-get install g++"), "{problem}");
        assert_eq!(need("git", "tidy", "apt-get install git"), Ok(()));
    }

    #[test]
    fn the_workspace_knows_its_packages() {
        let workspace = Workspace::find().unwrap();
        assert!(workspace.packages.iter().any(|package| package["name"] == "xtask"));
        assert!(workspace.files().unwrap().iter().any(|file| file == Path::new("xtask/Cargo.toml")));
    }
}
