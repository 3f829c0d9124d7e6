//! Chores of the project: `cargo xtask bench`, `cargo xtask proof`, `cargo xtask fuzz-smoke`, `cargo xtask tidy`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

mod bench;
mod fuzz;
mod proof;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use bench::BenchArgs;
use proof::ProofArgs;
use workspace::Workspace;

/// Chores of the project.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Build the release sidecar and the load harness, run scenarios against `zmq_proxy`, print ratios and goals.
    Bench(BenchArgs),
    /// Run a long proof and write its report to docs/proof/; without a name, list them.
    Proof(ProofArgs),
    /// Run every fuzz target for some seconds, where cargo-fuzz and a nightly compiler are installed.
    FuzzSmoke,
    /// Check what no compiler checks: crate arrows, file lengths, words that do not belong here.
    Tidy,
}

fn main() -> ExitCode {
    let outcome = Workspace::find().and_then(|workspace| match Cli::parse().chore {
        Chore::Bench(args) => bench::run(&workspace, &args),
        Chore::Proof(args) => proof::run(&workspace, &args),
        Chore::FuzzSmoke => fuzz::smoke(&workspace),
        Chore::Tidy => tidy::run(&workspace),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("xtask: {problem}");
            ExitCode::FAILURE
        }
    }
}
