//! Benchmarks of Myelin against `zmq_proxy`, with every peer and every proxy in a process of its own, so that pinning
//! and CPU accounting are per process.
//!
//! `myelin-loadtest bench p1` orchestrates; `peer …`, `proxy-…` and `hold` are what it starts.
//!
//! The path of a run: [`mod@bench`] scenario, [`child`] process, [`leash`] orders, [`peer`] role, then the scenario's report.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

mod bench;
mod child;
mod failure;
#[cfg(feature = "interop")]
mod interop;
mod latency;
mod leash;
mod machine;
mod neighbours;
mod pace;
mod payload;
mod peer;
#[cfg(feature = "streams")]
mod scratch;
mod sidecar;
mod soak;
mod zmtp;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use bench::BenchArgs;
use failure::Outcome;
use leash::Leash;
use peer::keys::Keys;
use peer::publisher::PubArgs;
use peer::req::ReqArgs;
use peer::subscriber::SubArgs;
use peer::{HighWater, Wire};
use soak::SoakArgs;

/// Benchmarks of Myelin, each peer a process of its own.
#[derive(Debug, Parser)]
#[command(name = "myelin-loadtest", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a scenario and print ratios, goals and marks.
    Bench(BenchArgs),
    /// Let peers join and leave for an hour, check what they say, and watch what the sidecar holds.
    Soak(SoakArgs),
    /// Store and take messages under every kind of limit for ten minutes, and watch memory and disk of the sidecar that has the streams.
    #[cfg(feature = "streams")]
    SoakStreams(soak::streams::SoakStreamsArgs),
    /// Be one peer of a scenario; orders come on stdin, whose end is the end of the process.
    #[command(subcommand)]
    Peer(Peer),
    /// Run `zmq_proxy` between ROUTER and DEALER.
    ProxyRpc {
        /// The REP agent behind it.
        #[arg(long)]
        connect: String,
    },
    /// Run `zmq_proxy` between XSUB and XPUB.
    ProxyTopic(ProxyTopic),
    /// Be a socket of another implementation of ZeroMQ, for the interop matrix.
    #[cfg(feature = "interop")]
    Interop(interop::InteropArgs),
    /// Run another program and kill it when stdin ends.
    Hold {
        /// The program and its arguments.
        #[arg(last = true, required = true)]
        program: Vec<String>,
    },
}

#[derive(Debug, Args)]
struct ProxyTopic {
    #[command(flatten)]
    high_water: HighWater,
    #[command(flatten)]
    keys: Keys,
}

#[derive(Debug, Subcommand)]
enum Peer {
    /// Echo every request.
    Rep(WireArg),
    /// Ask and measure round trips.
    Req(WithWire<ReqArgs>),
    /// Publish numbered messages.
    Pub(WithWire<PubArgs>),
    /// Receive and count them.
    Sub(WithWire<SubArgs>),
}

#[derive(Debug, Clone, Copy, Args)]
struct WireArg {
    /// Which implementation.
    #[arg(long, default_value = "raw")]
    wire: Wire,
}

#[derive(Debug, Args)]
struct WithWire<A: Args> {
    #[command(flatten)]
    wire: WireArg,
    #[command(flatten)]
    args: A,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("myelin-loadtest: {}", failure.chain());
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> Outcome<ExitCode> {
    match command {
        Command::Bench(args) => {
            let (text, met) = bench::run(&args)?;
            println!("{text}");
            // A missed goal is a result, not a failure of the harness: 1, while 2 says that nothing was measured.
            return Ok(if met { ExitCode::SUCCESS } else { ExitCode::from(1) });
        }
        Command::Soak(args) => return Ok(if soak::run(&args)? { ExitCode::SUCCESS } else { ExitCode::from(1) }),
        #[cfg(feature = "streams")]
        Command::SoakStreams(args) => return Ok(if soak::streams::run(&args)? { ExitCode::SUCCESS } else { ExitCode::from(1) }),
        Command::Peer(role) => be(role)?,
        Command::ProxyRpc { connect } => proxy_rpc(&connect)?,
        Command::ProxyTopic(args) => proxy_topic(&args)?,
        #[cfg(feature = "interop")]
        Command::Interop(args) => interop::run(&args)?,
        Command::Hold { program } => {
            let (program, arguments) = program.split_first().expect("clap requires one");
            leash::hold(program, arguments)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn be(role: Peer) -> Outcome<()> {
    let leash = Leash::watch();
    match role {
        Peer::Rep(wire) => peer::rep::run(wire.wire),
        Peer::Req(with) => peer::req::run(with.wire.wire, &with.args, &leash),
        Peer::Pub(with) => peer::publisher::run(with.wire.wire, &with.args, &leash),
        Peer::Sub(with) => peer::subscriber::run(with.wire.wire, &with.args),
    }
}

#[cfg(feature = "libzmq")]
fn proxy_rpc(endpoint: &str) -> Outcome<()> {
    let _leash = Leash::watch();
    peer::libzmq::proxy_rpc(endpoint)
}

#[cfg(feature = "libzmq")]
fn proxy_topic(args: &ProxyTopic) -> Outcome<()> {
    let _leash = Leash::watch();
    peer::libzmq::proxy_topic(args.high_water, &args.keys)
}

#[cfg(not(feature = "libzmq"))]
fn proxy_rpc(_endpoint: &str) -> Outcome<()> {
    peer::without_libzmq()
}

#[cfg(not(feature = "libzmq"))]
fn proxy_topic(_args: &ProxyTopic) -> Outcome<()> {
    peer::without_libzmq()
}
