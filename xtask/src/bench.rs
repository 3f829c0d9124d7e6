//! `cargo xtask bench`: build what is measured, then hand over to the load harness.

use std::process::Command;

use clap::{Args, ValueEnum};

use crate::workspace::{Outcome, Workspace, need};

/// Which scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pick {
    /// Round trips REQ to REP, pinned, against `zmq_proxy`.
    P1,
    /// One publisher to one and four subscribers, against `zmq_proxy`.
    P2,
    /// Messages lost at 200 k/s over a minute.
    P3,
    /// Publish to subscribe inside one process.
    P8,
    /// All of them.
    All,
}

/// Settings of a bench.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[arg(default_value = "all")]
    pick: Pick,
    /// Interleaved rounds.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// A tenth of the load: shows that it runs, judges nothing.
    #[arg(long)]
    quick: bool,
    /// Print reports as JSON, one document per scenario.
    #[arg(long)]
    json: bool,
    /// Fail when a goal is missed; by default a miss is only marked.
    #[arg(long)]
    strict: bool,
    /// More arguments for the harness, after `--`.
    #[arg(last = true)]
    more: Vec<String>,
}

pub(crate) fn run(workspace: &Workspace, args: &BenchArgs) -> Outcome<()> {
    build(workspace, args.pick)?;
    let mut missed = Vec::new();
    for scenario in args.pick.scenarios() {
        let mut arguments = vec!["bench".to_owned(), (*scenario).to_owned(), "--rounds".to_owned(), args.rounds.to_string()];
        arguments.extend(args.quick.then(|| "--quick".to_owned()));
        arguments.extend(args.json.then(|| "--json".to_owned()));
        arguments.extend(args.more.iter().cloned());
        let status = harness(workspace).args(&arguments).status().map_err(|error| format!("the harness does not run: {error}"))?;
        match status.code() {
            Some(0) => {}
            // The harness's own code for "measured, and a goal is missed".
            Some(1) => missed.push(*scenario),
            _ => return Err(format!("scenario {scenario} was not measured ({status})")),
        }
    }
    match missed.as_slice() {
        [_, ..] if args.strict => Err(format!("goals missed in {}", missed.join(", "))),
        _ => Ok(()),
    }
}

/// The load harness of a release build.
pub(crate) fn harness(workspace: &Workspace) -> Command {
    Command::new(workspace.release("myelin-loadtest"))
}

/// Builds the sidecar and the harness with what the scenarios need.
///
/// # Errors
/// A tool is missing (the message has the command that installs it), or the build fails.
pub(crate) fn build(workspace: &Workspace, pick: Pick) -> Outcome<()> {
    let libzmq = pick != Pick::P8;
    if libzmq {
        let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
        need(
            &compiler,
            "the comparison with zmq_proxy compiles libzmq and",
            "apt-get install g++   (Fedora: dnf install gcc-c++; Alpine: apk add g++; macOS: xcode-select --install)",
        )?;
    }
    if matches!(pick, Pick::P1 | Pick::All) {
        need("taskset", "pinning the processes of p1 to one core", "apt-get install util-linux")?;
    }
    let harness = if libzmq { "myelin-loadtest/libzmq,myelin-loadtest/embedded" } else { "myelin-loadtest/embedded" };
    let mut arguments = vec!["build", "--release", "--package", "myelin-loadtest", "--features", harness];
    if libzmq {
        arguments.extend(["--package", "myelin"]);
    }
    workspace.cargo(&arguments)
}

impl Pick {
    fn scenarios(self) -> &'static [&'static str] {
        match self {
            Self::P1 => &["p1"],
            Self::P2 => &["p2"],
            Self::P3 => &["p3"],
            Self::P8 => &["p8"],
            Self::All => &["p1", "p2", "p3", "p8"],
        }
    }
}
