//! Scenarios: they start the processes, run the cells interleaved round by round, and judge the ratios.

#[cfg(feature = "libzmq")]
mod curve;
#[cfg(feature = "streams")]
mod durable;
mod fan_out;
#[cfg(feature = "embedded")]
mod in_process;
mod loss;
mod report;
mod round_trip;
mod topic;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::failure::{Doing, Failure, Outcome};
use crate::neighbours::Neighbours;
use crate::peer::Wire;
use crate::sidecar::default_binary;

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Round trips REQ to REP, pinned to one core.
    P1,
    /// One publisher to one and to four subscribers, unpinned, as fast as they take it.
    P2,
    /// A paced publisher: what is lost, and where.
    P3,
    /// One publisher to one subscriber, encrypted on both hops (needs a libzmq with CURVE).
    Curve,
    /// Durable publishes, synced before the ack, against JetStream that syncs later (needs the feature `streams`, as P6 and P7).
    P5,
    /// The same against JetStream that syncs before its ack.
    P6,
    /// Pull and ack against JetStream.
    P7,
    /// Publish to subscribe inside one process (needs the feature `embedded`).
    P8,
    /// Requests and durable publishes of a bus over NATS, against async-nats as it is (needs the feature `streams`).
    Nats,
}

/// Settings that every scenario shares.
#[derive(Debug, Clone, Args)]
pub(crate) struct BenchArgs {
    /// Which scenario.
    pub(crate) scenario: Scenario,
    /// Interleaved rounds; goals are judged by medians of at least five.
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: u32,
    /// A tenth of the load: shows that it runs, judges nothing.
    #[arg(long)]
    pub(crate) quick: bool,
    /// The core that P1 pins everything to; the last one by default.
    #[arg(long)]
    pub(crate) core: Option<usize>,
    /// The sidecar to measure; the one beside this binary by default.
    #[arg(long)]
    pub(crate) sidecar: Option<PathBuf>,
    /// Leave the sidecar out, and with it every goal.
    #[arg(long)]
    pub(crate) without_sidecar: bool,
    /// Leave JetStream out of P5 to P7, and with it every goal: for a profile of what is ours.
    #[arg(long)]
    pub(crate) without_jetstream: bool,
    /// Seconds per cell; 2 in P2, 60 in P3, 2 in P5, P6 and nats, 5 in P8.
    #[arg(long)]
    pub(crate) seconds: Option<f64>,
    /// Peers on both ends; by default libzmq, P1 both kinds, P3 a raw publisher (it cannot drop).
    #[arg(long)]
    pub(crate) peers: Option<Wire>,
    /// High-water mark of every queue, in messages.
    #[arg(long = "hwm", default_value_t = 65_536)]
    pub(crate) high_water: i32,
    /// Before each cell wait until the rest of the machine is idle, up to this many seconds in total.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) wait_quiet: f64,
    /// Where P5 to P7 and nats keep their streams, on the disk that is to be measured; beside this binary by default.
    #[arg(long)]
    pub(crate) directory: Option<PathBuf>,
    /// The nats-server of P5 to P7 and nats.
    #[arg(long, default_value = "nats-server")]
    pub(crate) nats_server: PathBuf,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl BenchArgs {
    fn binary(&self) -> PathBuf {
        self.sidecar.clone().unwrap_or_else(default_binary)
    }

    fn seconds(&self, usual: f64) -> f64 {
        self.seconds.unwrap_or(if self.quick { usual / 10.0 } else { usual })
    }

    fn last_core(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.core.unwrap_or(cores - 1)
    }
}

/// Runs one scenario and returns what to print, and whether every judged goal was met.
///
/// # Errors
/// A process could not be started or did not answer in time.
pub(crate) fn run(args: &BenchArgs) -> Outcome<(String, bool)> {
    check(args)?;
    let mut neighbours = Neighbours::new(Duration::from_secs_f64(args.wait_quiet));
    let mut report = match args.scenario {
        Scenario::P1 => round_trip::run(args, &mut neighbours)?,
        Scenario::P2 => fan_out::run(args, &mut neighbours)?,
        Scenario::P3 => loss::run(args, &mut neighbours)?,
        #[cfg(feature = "libzmq")]
        Scenario::Curve => curve::run(args, &mut neighbours)?,
        #[cfg(not(feature = "libzmq"))]
        Scenario::Curve => return crate::peer::without_libzmq(),
        #[cfg(feature = "streams")]
        Scenario::P5 => durable::run_publish(args, &mut neighbours, durable::Syncing::Later)?,
        #[cfg(feature = "streams")]
        Scenario::P6 => durable::run_publish(args, &mut neighbours, durable::Syncing::First)?,
        #[cfg(feature = "streams")]
        Scenario::P7 => durable::run_pull(args, &mut neighbours)?,
        #[cfg(feature = "streams")]
        Scenario::Nats => durable::run_added(args, &mut neighbours)?,
        #[cfg(not(feature = "streams"))]
        Scenario::P5 | Scenario::P6 | Scenario::P7 | Scenario::Nats => {
            return Err(Failure::new("P5 to P7 and nats need this binary with `--features streams`"));
        }
        #[cfg(feature = "embedded")]
        Scenario::P8 => in_process::run(args, &mut neighbours)?,
        #[cfg(not(feature = "embedded"))]
        Scenario::P8 => return Err(Failure::new("P8 needs this binary with `--features embedded`")),
    };
    report.note(format!("other processes used {:.0} % of the machine meanwhile", neighbours.share() * 100.0));
    if args.wait_quiet > 0.0 && neighbours.impatient() > 0 {
        report.note(format!("{} cells began on a busy machine: the patience was used up", neighbours.impatient()));
    }
    if args.quick || (args.rounds < 5 && args.scenario != Scenario::P3) {
        report.note("too short a run to judge by");
    }
    let met = report.verdicts.iter().all(|verdict| verdict.pass != Some(false));
    if args.json {
        let text = serde_json::to_string_pretty(&report).doing(|| "writing the report".to_owned())?;
        return Ok((text, met));
    }
    Ok((report.table(), met))
}

fn check(args: &BenchArgs) -> Outcome<()> {
    #[cfg(not(feature = "libzmq"))]
    if !matches!(args.scenario, Scenario::P5 | Scenario::P6 | Scenario::P7 | Scenario::P8 | Scenario::Nats) {
        return crate::peer::without_libzmq();
    }
    if !(1..=100).contains(&args.rounds) {
        return Err(Failure::new(format!("--rounds {} is outside 1..=100", args.rounds)));
    }
    if args.seconds.is_some_and(|seconds| !(0.05..=600.0).contains(&seconds)) {
        return Err(Failure::new("--seconds is outside 0.05..=600"));
    }
    if !(0.0..=3_600.0).contains(&args.wait_quiet) {
        return Err(Failure::new("--wait-quiet is outside 0..=3600"));
    }
    if !(1_024..=10_000_000).contains(&args.high_water) {
        return Err(Failure::new(format!("--hwm {} is outside 1024..=10000000", args.high_water)));
    }
    Ok(())
}

/// Runs every cell once per round; each round starts with another cell, so that none always follows the same one.
fn interleave<C>(rounds: u32, neighbours: &mut Neighbours, cells: &[C], mut cell: impl FnMut(&C) -> Outcome<()>) -> Outcome<()> {
    for round in 0..rounds as usize {
        for at in 0..cells.len() {
            neighbours.run(|| cell(&cells[(round + at) % cells.len()]))?;
        }
    }
    Ok(())
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_runs_every_cell_and_starts_with_another() {
        let mut seen = String::new();
        let mut neighbours = Neighbours::new(Duration::ZERO);
        interleave(3, &mut neighbours, &['a', 'b', 'c'], |cell| {
            seen.push(*cell);
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, "abcbcacab");
    }
}
