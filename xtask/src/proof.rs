//! `cargo xtask proof`: long runs whose result is worth keeping, each with a report in `docs/proof/`.
//!
//! A proof is a scenario of the load harness, the fuzz targets, a command line, or a test file `testkit/tests/proof_<name>.rs`, whose first doc
//! line says what it proves. Its tests are `#[ignore]`d, so that an ordinary test run does not take them along.

use std::fs;
use std::path::Path;
use std::process::Command;

use clap::Args;

use crate::bench::{CURVE_TARGET, Pick, bench, build, build_streams, harness};
use crate::fuzz;
use crate::workspace::{Outcome, Workspace};

/// Which proof.
#[derive(Debug, Args)]
pub(crate) struct ProofArgs {
    /// Its name; without one, all are listed.
    name: Option<String>,
    /// CPU-minutes of each target of the front in the proof `fuzz`.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    minutes: u32,
    /// Runs a proof that is a test in a debug build, where nobody has the time for another. Its report says so.
    #[arg(long)]
    debug: bool,
}

/// Output that goes into a report; more is cut at the front, since results come last.
const OUTPUT_BYTES_MAX: usize = 64 << 10;
/// An hour, a thousand peers.
const SOAK: [&str; 5] = ["soak", "--peers", "1000", "--minutes", "60"];
/// Ten minutes of messages that are stored, taken and dropped.
const SOAK_STREAMS: [&str; 3] = ["soak-streams", "--minutes", "10"];
const TEST_PREFIX: &str = "proof_";
/// The proof whose peers of other implementations are in the load harness.
const INTEROP: &str = "interop";

#[derive(Debug, Clone, PartialEq, Eq)]
struct Proof {
    name: String,
    promise: String,
    how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Scenario(Pick, &'static str),
    Fuzz,
    Soak,
    SoakStreams,
    /// In a release build, or in a debug build if so asked.
    Test {
        is_debug: bool,
    },
    /// As it would be typed in the workspace.
    Line(&'static str),
}

/// Proofs that are one command line each: name, promise, line.
const LINES: [(&str, &str, &str); 10] = [
    (
        "streams-model",
        "Random operations on a stream, cut short by the end of the process or of power at any write: what was acknowledged is there.",
        "MYELIN_MODEL_CASES=150000 cargo test --release --package myelin-store --lib -- model --nocapture",
    ),
    (
        "dlq-steps",
        "Whoever moves dead letters over NATS is killed between every pair of steps, 20 times each: one letter each, none lost.",
        "MYELIN_DLQ_ROUNDS=20 cargo test --package myelin-bus --features conformance --test dlq_steps -- --nocapture",
    ),
    (
        "across-own-reply",
        "100,000 requests over 64 callers, and 2,000 over 20 agents with their pause, from one machine to another while agents restart: own reply or nothing.",
        "cargo test --release --package myelin-testkit --test across_own_reply -- --ignored --nocapture --test-threads 1",
    ),
    (
        "upgrade",
        "A sidecar one version older beside today's keeps every promise across machines, and what it left on its disk is read.",
        "testkit/upgrade.sh",
    ),
    (
        "mesh-speed",
        "Reads of the mesh are as fast as one multiplexed connection, four times deadpool's, and a hit of the near cache takes at most 200 ns.",
        "cargo bench --package myelin-benches --bench mesh -- --rounds 7 --strict",
    ),
    (
        "mesh-staleness",
        "Nothing older than the lease is served: two minutes, a thousand outside writes a second over ten thousand keys, one failover.",
        "cargo test --release --package myelin-mesh --test redis_staleness -- --ignored --nocapture",
    ),
    (
        "mesh-churn",
        "Ten million keys pass through a near cache of 32 MiB, and the process grows by no more than its bound and half of it.",
        "cargo test --release --package myelin-mesh --lib -- memory_stays_bounded --ignored --nocapture",
    ),
    (
        "mesh-storage",
        "A thousand agents' thousand messages take at least 90 % less in windows than in endless lists of JSON, by encoding alone 40 % less.",
        "cargo run --release --package myelin-mesh --example window_storage -- 1000 1000 --strict",
    ),
    ("streams-mutants", "Each of five mistakes put into the store is found by its tests.", "bus/store/mutants.sh"),
    ("crash-mutants", "Each of three mistakes put into the store is found by the judge of the crash test.", "testkit/mutants.sh"),
];

pub(crate) fn run(workspace: &Workspace, args: &ProofArgs) -> Outcome<()> {
    let proofs = proofs(workspace)?;
    let Some(name) = &args.name else {
        for proof in &proofs {
            println!("{:<20} {}", proof.name, proof.promise);
        }
        return Ok(());
    };
    let Some(proof) = proofs.iter().find(|proof| proof.name == *name) else {
        let names = proofs.iter().map(|proof| proof.name.as_str()).collect::<Vec<_>>();
        return Err(format!("there is no proof {name:?}; there are {}", names.join(", ")));
    };
    let proof = &Proof { how: if args.debug { proof.how.debug()? } else { proof.how }, ..proof.clone() };
    let (output, holds) = prove(workspace, proof, args.minutes)?;
    let page = page(proof, &output, holds, &machine());
    let file = workspace.root.join("docs/proof").join(format!("{}.md", proof.name));
    fs::create_dir_all(workspace.root.join("docs/proof")).map_err(|error| format!("making docs/proof: {error}"))?;
    fs::write(&file, page).map_err(|error| format!("writing {}: {error}", file.display()))?;
    println!("{output}\nwritten to docs/proof/{}.md", proof.name);
    if holds { Ok(()) } else { Err(format!("{name} does not hold")) }
}

fn proofs(workspace: &Workspace) -> Outcome<Vec<Proof>> {
    let scenario = |name: &'static str, pick, promise: &str| Proof {
        name: name.to_owned(),
        promise: promise.to_owned(),
        how: How::Scenario(pick, name),
    };
    let mut proofs = vec![
        scenario("p1", Pick::P1, "A round trip through the sidecar costs at most 0.70 (p50) and 0.65 (p99) of zmq_proxy's."),
        scenario("p2", Pick::P2, "The sidecar fans out at least 1.4 times as much as zmq_proxy."),
        scenario("p3", Pick::P3, "The sidecar loses nothing at 200,000 messages per second over a minute."),
        scenario("curve", Pick::Curve, "With CURVE on both hops, the sidecar passes on at least as much as zmq_proxy, for less CPU."),
        scenario(
            "p5",
            Pick::P5,
            "Durable publishes, synced before the ack, are as fast as JetStream's that sync later, or 1.5 times that.",
        ),
        scenario("p6", Pick::P6, "They are 50 times as fast as JetStream's that are synced before the ack."),
        scenario("p7", Pick::P7, "Pulling and acking is 1.5 times as fast as JetStream's, although each ack is synced."),
        scenario("p8", Pick::P8, "In process, 5 million messages per second, p99 below 10 µs at 500,000 per second."),
    ];
    proofs.push(Proof {
        name: "fuzz".to_owned(),
        promise:
            "No input makes a decoder panic, disagree with its model, depend on how its bytes were cut, or allocate what a length declares."
                .to_owned(),
        how: How::Fuzz,
    });
    proofs.push(Proof {
        name: "soak".to_owned(),
        promise: "A thousand peers come and go for an hour: nothing is lost that is promised, and memory and descriptors stay flat."
            .to_owned(),
        how: How::Soak,
    });
    proofs.push(Proof {
        name: "soak-streams".to_owned(),
        promise:
            "Ten minutes of streams under every kind of limit: nothing acknowledged is missing, memory is flat, the disk within the limits."
                .to_owned(),
        how: How::SoakStreams,
    });
    for (name, promise, line) in LINES {
        proofs.push(Proof { name: name.to_owned(), promise: promise.to_owned(), how: How::Line(line) });
    }
    for file in workspace.files()? {
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if file.parent() != Some(Path::new("testkit/tests")) || !stem.starts_with(TEST_PREFIX) {
            continue;
        }
        let text = fs::read_to_string(workspace.root.join(&file)).map_err(|error| format!("reading {}: {error}", file.display()))?;
        let name = stem.trim_start_matches(TEST_PREFIX).replace('_', "-");
        proofs.push(Proof { name, promise: first_doc_line(&text).to_owned(), how: How::Test { is_debug: false } });
    }
    Ok(proofs)
}

impl How {
    fn debug(self) -> Outcome<Self> {
        match self {
            Self::Test { .. } => Ok(Self::Test { is_debug: true }),
            _ => Err("only proofs that are tests can run in a debug build".to_owned()),
        }
    }
}

fn first_doc_line(text: &str) -> &str {
    text.lines().find_map(|line| line.strip_prefix("//! ")).unwrap_or("(says nothing of itself)")
}

impl Proof {
    fn command(&self) -> String {
        match self.how {
            How::Scenario(Pick::Curve, scenario) => {
                format!("{CURVE_TARGET}/release/myelin-loadtest bench {scenario} --sidecar target/release/myelin")
            }
            How::Scenario(_, scenario) => format!("myelin-loadtest bench {scenario}"),
            How::Fuzz => format!("cargo +nightly fuzz run {}", fuzz::names()),
            How::Soak => SOAK.iter().fold("myelin-loadtest".to_owned(), |command, word| command + " " + word),
            How::SoakStreams => SOAK_STREAMS.iter().fold("myelin-loadtest".to_owned(), |command, word| command + " " + word),
            How::Test { is_debug } => {
                let (file, profile) = (self.name.replace('-', "_"), if is_debug { "" } else { "--release " });
                format!("cargo test {profile}--package myelin-testkit --test {TEST_PREFIX}{file} -- --ignored --nocapture")
            }
            How::Line(line) => line.to_owned(),
        }
    }

    /// What somebody who runs only the command has to know about it.
    fn caution(&self) -> &'static str {
        match self.how {
            How::Scenario(Pick::Curve, _) => {
                "; the harness has to be the one that the proof links with the system's libzmq, since the libzmq that an ordinary build compiles has no CURVE"
            }
            How::Test { .. } if self.name == INTEROP => {
                "; the harness with the peers of other implementations has to be built before, which the proof does"
            }
            How::Scenario(..) | How::Fuzz | How::Soak | How::SoakStreams | How::Test { .. } | How::Line(_) => "",
        }
    }
}

fn prove(workspace: &Workspace, proof: &Proof, fuzz_minutes: u32) -> Outcome<(String, bool)> {
    let mut command = match proof.how {
        How::Scenario(pick, scenario) => {
            build(workspace, pick)?;
            bench(workspace, scenario)
        }
        How::Fuzz => return fuzz::prove(workspace, fuzz_minutes),
        How::Soak => {
            // As for p3: both binaries, and libzmq for some of the peers.
            build(workspace, Pick::P3)?;
            let mut command = harness(workspace);
            command.args(SOAK).args(["--built-from", &commit(workspace)]);
            command
        }
        How::SoakStreams => {
            build_streams(workspace)?;
            let mut command = harness(workspace);
            command.args(SOAK_STREAMS).args(["--built-from", &commit(workspace)]);
            command
        }
        How::Line(line) => {
            let mut shell = Command::new("sh");
            shell.args(["-c", line]);
            shell
        }
        How::Test { is_debug } => {
            if !is_debug {
                workspace.cargo(&["build", "--release", "--package", "myelin"])?;
            }
            if proof.name == INTEROP {
                workspace.cargo(&["build", "--release", "--package", "myelin-loadtest", "--features", "myelin-loadtest/interop"])?;
            }
            let mut words = Command::new("cargo");
            words.args(proof.command().split(' ').skip(1));
            words
        }
    };
    let done = command.current_dir(&workspace.root).output().map_err(|error| format!("{} does not run: {error}", proof.command()))?;
    if matches!(proof.how, How::Scenario(..) | How::Soak | How::SoakStreams) && !matches!(done.status.code(), Some(0 | 1)) {
        return Err(format!("{} measured nothing: {}", proof.command(), String::from_utf8_lossy(&done.stderr).trim()));
    }
    let text = String::from_utf8_lossy(&done.stdout);
    // Where the checkout lives is nobody's business.
    let text = text.replace(&*workspace.root.to_string_lossy(), ".");
    Ok((tail(&text, OUTPUT_BYTES_MAX).to_owned(), done.status.success()))
}

fn tail(text: &str, bytes_max: usize) -> &str {
    let mut from = text.len().saturating_sub(bytes_max);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

/// The commit that is checked out, and whether something was changed since.
fn commit(workspace: &Workspace) -> String {
    let described = Command::new("git").args(["describe", "--always", "--dirty"]).current_dir(&workspace.root).output();
    described.map_or_else(|_| "an unknown commit".to_owned(), |output| format!("commit {}", String::from_utf8_lossy(&output.stdout).trim()))
}

fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown processor");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{}, {cores} cores, Linux {}", cpu.trim_start_matches([':', ' ', '\t']), kernel.trim())
}

fn page(proof: &Proof, output: &str, holds: bool, machine: &str) -> String {
    let mark = if holds { "holds" } else { "does not hold" };
    let is_debug = matches!(proof.how, How::Test { is_debug: true });
    let (flag, build) = if is_debug { (" --debug", ", a debug build: its times are not those of a release") } else { ("", "") };
    format!(
        "# Proof: {}\n\n{}\n\n- result: **{mark}**\n- again: `cargo xtask proof {}{flag}` (runs `{}`{})\n- machine: {machine}{build}\n\n```text\n{}\n```\n",
        proof.name,
        proof.promise,
        proof.name,
        proof.command(),
        proof.caution(),
        output.trim_end()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_was_run_where_and_with_what_result() {
        let proof = Proof { name: "restart-storm".to_owned(), promise: "Nothing is lost.".to_owned(), how: How::Test { is_debug: false } };
        let page = page(&proof, "all well\n", true, "A Fast One, 2 cores");
        for part in ["restart-storm", "Nothing is lost.", "**holds**", "proof_restart_storm", "A Fast One", "all well"] {
            assert!(page.contains(part), "{part:?} is missing in {page}");
        }
    }

    #[test]
    fn the_report_of_a_debug_build_says_so() {
        let proof = Proof { name: "failures".to_owned(), promise: "Nothing is lost.".to_owned(), how: How::Test { is_debug: true } };
        let page = page(&proof, "", true, "A Fast One");
        assert!(page.contains("`cargo xtask proof failures --debug` (runs `cargo test --package"), "{page}");
        assert!(page.contains("A Fast One, a debug build"), "{page}");
        assert!(How::Fuzz.debug().is_err());
    }

    #[test]
    fn the_report_of_curve_names_the_harness_that_has_curve() {
        let proof = Proof { name: "curve".to_owned(), promise: "It does.".to_owned(), how: How::Scenario(Pick::Curve, "curve") };
        let page = page(&proof, "", true, "A Fast One");
        assert!(page.contains("`cargo xtask proof curve` (runs `target/system-libzmq/release/myelin-loadtest bench curve"), "{page}");
    }

    #[test]
    fn long_output_keeps_its_end_and_its_characters_whole() {
        assert_eq!(tail("abcdef", 3), "def");
        assert_eq!(tail("aµb", 2), "b");
        assert_eq!(tail("ab", 9), "ab");
    }

    #[test]
    fn a_test_file_tells_its_promise_in_its_first_line() {
        assert_eq!(first_doc_line("//! Nothing is lost.\n//! More.\nuse x;"), "Nothing is lost.");
    }

    #[test]
    fn the_scenarios_are_always_listed() {
        let proofs = proofs(&Workspace::find().unwrap()).unwrap();
        for name in [
            "p1",
            "p2",
            "p3",
            "curve",
            "p8",
            "fuzz",
            "soak",
            "streams-model",
            "streams-mutants",
            "crash",
            "crash-mutants",
            "failures",
            "mesh-churn",
        ] {
            assert!(proofs.iter().any(|proof| proof.name == name), "{name} is missing");
        }
    }
}
