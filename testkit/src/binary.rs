//! The `myelin` binary under test, and the load harness beside it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The binary: `MYELIN_BIN`, else `myelin` in the profile directory this test was built in. It is built first when it
/// is missing or older than a file it was built from, so that a test never judges yesterday's code.
///
/// # Panics
/// When it cannot be built.
#[track_caller]
pub fn myelin_binary() -> &'static PathBuf {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match FOUND.get_or_init(|| find("myelin", "MYELIN_BIN")) {
        Ok(path) => path,
        Err(problem) => panic!("{problem}"),
    }
}

/// The sidecar of an older version, `MYELIN_OLDER_BIN`, for `testkit/upgrade.sh`.
///
/// # Panics
/// When there is none.
#[track_caller]
pub fn older_binary() -> &'static PathBuf {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    match FOUND.get_or_init(|| std::env::var_os("MYELIN_OLDER_BIN").map(PathBuf::from).filter(|path| path.is_file())) {
        Some(path) => path,
        None => panic!("MYELIN_OLDER_BIN names no file; testkit/upgrade.sh builds an older sidecar and sets it"),
    }
}

/// The load harness: `MYELIN_LOADTEST_BIN`, else `myelin-loadtest` where [`myelin_binary`] would be, built in the same way.
///
/// # Panics
/// When it cannot be built.
#[track_caller]
pub fn loadtest_binary() -> &'static PathBuf {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match FOUND.get_or_init(|| find("myelin-loadtest", "MYELIN_LOADTEST_BIN")) {
        Ok(path) => path,
        Err(problem) => panic!("{problem}"),
    }
}

/// A binary is called as its package.
fn find(name: &str, variable: &str) -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os(variable) {
        let path = PathBuf::from(named);
        return if path.is_file() { Ok(path) } else { Err(format!("{variable}: no file {}", path.display())) };
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let directory = profile_directory().unwrap_or_else(|| workspace.join("target/debug"));
    let binary = directory.join(name);
    if is_current(&binary) {
        return Ok(binary);
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(&workspace).args(["build", "--quiet", "--package", name, "--bin", name]);
    if directory.ends_with("release") {
        cargo.arg("--release");
    }
    if let Some(target) = directory.parent() {
        cargo.arg("--target-dir").arg(target);
    }
    let output = cargo.output().map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo build -p {name} failed:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(binary)
}

/// `target/<profile>`, from the place of the test itself: `target/<profile>/deps/<test>`.
fn profile_directory() -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    let deps = test.parent().filter(|directory| directory.ends_with("deps"))?;
    deps.parent().map(Path::to_owned)
}

/// Cargo lists what a binary was made of in `<binary>.d`: `target: file file …`, spaces in names escaped.
fn is_current(binary: &Path) -> bool {
    let modified = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    let Some(built) = modified(binary) else { return false };
    let Ok(list) = std::fs::read_to_string(binary.with_extension("d")) else { return false };
    let Some((_, sources)) = list.split_once(": ") else { return false };
    let sources = sources.replace("\\ ", "\u{0}");
    sources.split_whitespace().all(|source| {
        let changed: Option<SystemTime> = modified(Path::new(&source.replace('\u{0}', " ")));
        changed.is_some_and(|changed| changed <= built)
    })
}
