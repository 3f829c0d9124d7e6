//! `cargo xtask fuzz-smoke` and the proof `fuzz`: every target of `fuzz/`, for seconds or for CPU-minutes.
//!
//! What is worth keeping of the inputs is in `fuzz/corpus/<target>`, small and in git; a run begins with it and collects in
//! `fuzz/target/corpus`. A proof writes back what covers most with least.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::workspace::{Outcome, Workspace, need};

/// The targets of the front first: what everybody can reach. With each, the part of a proof's time that it is given.
const TARGETS: [(&str, u32); 8] =
    [("discovery", 1), ("codec", 1), ("session", 1), ("curve", 3), ("health", 6), ("frames", 6), ("envelope", 6), ("presence", 6)];

/// All targets, as they are told in a report.
pub(crate) fn names() -> String {
    TARGETS.map(|(target, _)| target).join(", ")
}

/// CPU time of one target in a smoke run, without the build.
const SMOKE: Duration = Duration::from_secs(5);

/// A run is made of pieces, after each of which the CPU time is read.
const PIECE: Duration = Duration::from_secs(300);

/// Inputs longer than this find nothing that shorter ones do not, and would fill the corpus.
const INPUT_BYTES_MAX: usize = 4096;

/// An input that is kept in git.
const KEPT_BYTES_MAX: usize = 1024;

/// CPU time that one input may take. libFuzzer looks at the clock, which also runs while others have the processor or the run is paused.
const INPUT_TIME_MAX: Duration = Duration::from_secs(5);

/// What libFuzzer may allocate at once, and hold: a length on the wire must buy nothing. What it calls slow units goes by the clock, too.
const BOUNDS: [&str; 4] = ["-malloc_limit_mb=16", "-rss_limit_mb=1024", "-print_final_stats=1", "-report_slow_units=1000000"];

/// What became of one target.
struct Fuzzed {
    target: &'static str,
    cpu: Duration,
    runs: u64,
    coverage: String,
    failure: Option<String>,
}

/// Runs every target for some seconds, where the tools are there; says so and succeeds where they are not.
///
/// # Errors
/// A target does not build, or finds something.
pub(crate) fn smoke(workspace: &Workspace) -> Outcome<()> {
    if let Err(missing) = tools() {
        println!("not fuzzed: {missing}");
        return Ok(());
    }
    let (table, holds) = run(workspace, SMOKE)?;
    println!("{table}");
    if holds { Ok(()) } else { Err("a target found something".to_owned()) }
}

/// Runs every target for this much CPU time and keeps the corpus; the table, and whether nothing was found.
///
/// # Errors
/// A tool is missing, or a target does not build.
pub(crate) fn prove(workspace: &Workspace, minutes: u32) -> Outcome<(String, bool)> {
    tools()?;
    let (table, holds) = run(workspace, Duration::from_secs(60) * minutes)?;
    for (target, _) in TARGETS {
        keep(&workspace.root, target)?;
    }
    Ok((table, holds))
}

fn tools() -> Outcome<()> {
    need("cargo-fuzz", "fuzzing", "cargo install cargo-fuzz")?;
    let nightly = Command::new("cargo").args(["+nightly", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match nightly {
        Ok(status) if status.success() => Ok(()),
        _ => Err("fuzzing needs a nightly compiler\n  install it: rustup toolchain install nightly".to_owned()),
    }
}

fn run(workspace: &Workspace, cpu: Duration) -> Outcome<(String, bool)> {
    let build = Command::new("cargo").args(["+nightly", "fuzz", "build"]).current_dir(workspace.root.join("fuzz")).status();
    match build {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(format!("cargo fuzz build ended with {status}")),
        Err(error) => return Err(format!("cargo fuzz does not run: {error}")),
    }
    let mut table = format!("{:<12} {:>12} {:>14} {:>10} {:>10}  finding\n", "target", "CPU min", "inputs", "edges", "features");
    let mut holds = true;
    for (target, part) in TARGETS {
        let fuzzed = fuzz(&workspace.root, target, cpu / part)?;
        holds &= fuzzed.failure.is_none();
        println!("{}", fuzzed.line().trim_end());
        table.push_str(&fuzzed.line());
    }
    Ok((table, holds))
}

fn fuzz(root: &Path, target: &'static str, cpu_min: Duration) -> Outcome<Fuzzed> {
    let (working, kept) = (root.join("fuzz/target/corpus").join(target), root.join("fuzz/corpus").join(target));
    let artifacts = root.join("fuzz/artifacts").join(target);
    for directory in [&working, &kept, &artifacts] {
        fs::create_dir_all(directory).map_err(|error| format!("making {}: {error}", directory.display()))?;
    }
    let mut fuzzed = Fuzzed { target, cpu: Duration::ZERO, runs: 0, coverage: String::new(), failure: None };
    // On a busy machine the clock runs faster than the CPU time; it must end all the same.
    let end = Instant::now() + cpu_min * 10;
    while fuzzed.cpu < cpu_min && fuzzed.failure.is_none() && Instant::now() < end {
        let seconds = (cpu_min - fuzzed.cpu).min(PIECE).as_secs().max(1);
        let before = cpu_of_children();
        let output = Command::new(program(root, target))
            .args(BOUNDS)
            .arg(format!("-timeout={}", INPUT_TIME_MAX.as_secs()))
            .args([format!("-max_total_time={seconds}"), format!("-max_len={INPUT_BYTES_MAX}")])
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .args([&working, &kept])
            .output()
            .map_err(|error| format!("the target {target} does not run: {error}"))?;
        fuzzed.cpu += cpu_of_children().saturating_sub(before);
        let text = String::from_utf8_lossy(&output.stderr);
        fuzzed.runs += stat(&text, "stat::number_of_executed_units:").unwrap_or_default();
        fuzzed.coverage = coverage(&text).unwrap_or(fuzzed.coverage);
        if !output.status.success() && !only_paused(root, target, &text)? {
            fuzzed.failure = Some(reason(&text, &root.to_string_lossy()));
        }
    }
    if fuzzed.failure.is_none() && fuzzed.cpu < cpu_min {
        fuzzed.failure = Some(format!("only {:.1} CPU min in ten times as long", fuzzed.cpu.as_secs_f64() / 60.0));
    }
    Ok(fuzzed)
}

/// Whether a run ended with an input that was too slow by the clock, and is not when it runs again: then nothing was found.
fn only_paused(root: &Path, target: &str, text: &str) -> Outcome<bool> {
    let Some(artifact) = artifact(text).filter(|path| path.contains("/timeout-")) else { return Ok(false) };
    let before = cpu_of_children();
    let status = Command::new(program(root, target))
        .args([format!("-timeout={}", 12 * INPUT_TIME_MAX.as_secs()), artifact.to_owned()])
        .stderr(Stdio::null())
        .status()
        .map_err(|error| format!("the target {target} does not run: {error}"))?;
    let slow = cpu_of_children().saturating_sub(before) >= INPUT_TIME_MAX;
    let paused = status.success() && !slow;
    if paused {
        fs::remove_file(artifact).map_err(|error| format!("removing {artifact}: {error}"))?;
    }
    Ok(paused)
}

/// Replaces the corpus in git by the inputs, old and new, that cover everything they cover together.
fn keep(root: &Path, target: &str) -> Outcome<()> {
    let (working, kept) = (root.join("fuzz/target/corpus").join(target), root.join("fuzz/corpus").join(target));
    let fresh = root.join("fuzz/target/kept").join(target);
    fs::remove_dir_all(&fresh).ok();
    let failed = |what: &str, error: &dyn std::fmt::Display| format!("keeping the corpus of {target}: {what}: {error}");
    fs::create_dir_all(&fresh).map_err(|error| failed("new directory", &error))?;
    let merged = Command::new(program(root, target))
        .args(["-set_cover_merge=1".to_owned(), format!("-max_len={KEPT_BYTES_MAX}")])
        .args([&fresh, &kept, &working])
        .stderr(Stdio::null())
        .status();
    match merged {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(failed("merge", &status)),
        Err(error) => return Err(failed("merge", &error)),
    }
    fs::remove_dir_all(&kept).map_err(|error| failed("old directory", &error))?;
    fs::rename(&fresh, &kept).map_err(|error| failed("new directory", &error))
}

fn program(root: &Path, target: &str) -> PathBuf {
    root.join("fuzz/target").join(format!("{}-unknown-linux-gnu/release", std::env::consts::ARCH)).join(target)
}

/// CPU time of all children that have ended.
fn cpu_of_children() -> Duration {
    // Behind the name, which may contain anything: fields 16 and 17 of the whole line, in ticks of 10 ms.
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(13).take(2);
    Duration::from_millis(10 * fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>())
}

fn stat(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// Edges and features of the last status line, such as `#83 DONE cov: 120 ft: 300 corp: …`.
fn coverage(text: &str) -> Option<String> {
    let line = text.lines().rev().find(|line| line.starts_with('#') && line.contains(" cov: "))?;
    let mut words = line.split_whitespace().skip_while(|word| *word != "cov:");
    let edges = words.nth(1)?;
    let features = words.nth(1)?;
    Some(format!("{edges:>10} {features:>10}"))
}

/// The line that says why, and where the input is.
fn reason(text: &str, root: &str) -> String {
    let panicked = text.lines().skip_while(|line| !line.contains("panicked at")).nth(1);
    let summary = text.lines().find(|line| line.starts_with("SUMMARY") || line.contains("ERROR: libFuzzer"));
    let artifact = artifact(text).unwrap_or("no input kept");
    format!("{}; {}", panicked.or(summary).unwrap_or("ended early"), artifact.replace(root, "."))
}

/// The input that a run ended with.
fn artifact(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.split_once("written to ").map(|(_, path)| path.trim()))
}

impl Fuzzed {
    fn line(&self) -> String {
        let minutes = self.cpu.as_secs_f64() / 60.0;
        let finding = self.failure.as_deref().unwrap_or("none");
        format!("{:<12} {minutes:>12.1} {:>14} {:>21}  {finding}\n", self.target, self.runs, self.coverage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str =
        "#2\tINITED cov: 5 ft: 6 corp: 1/1b\n#900\tDONE   cov: 120 ft: 300 corp: 9/80b\nstat::number_of_executed_units: 900\n";

    #[test]
    fn the_words_of_libfuzzer_are_understood() {
        assert_eq!(stat(OUTPUT, "stat::number_of_executed_units:"), Some(900));
        assert_eq!(coverage(OUTPUT).unwrap().split_whitespace().collect::<Vec<_>>(), ["120", "300"]);
    }

    #[test]
    fn a_finding_is_told_with_its_input() {
        let text = "thread panicked at x.rs:1:2:\nleft is not right\nartifact_prefix='/r/fuzz/'; Test unit written to /r/fuzz/crash-1\n";
        assert_eq!(reason(text, "/r"), "left is not right; ./fuzz/crash-1");
    }

    #[test]
    fn every_target_is_run() {
        let workspace = Workspace::find().unwrap();
        let manifest = fs::read_to_string(workspace.root.join("fuzz/Cargo.toml")).unwrap();
        let named = manifest.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\"")).count();
        assert_eq!(named, TARGETS.len());
        assert!(TARGETS.iter().all(|(target, _)| manifest.contains(&format!("fuzz_targets/{target}.rs"))));
    }
}
