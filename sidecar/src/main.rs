//! `myelin`: one sidecar per machine.
//!
//! The way in, in five lines:
//! 1. here: arguments, logs, exit codes;
//! 2. `config/`: one typed [`config::Config`] out of file, environment and flags;
//! 3. `app/build.rs`: binds and connects everything, or fails naming the setting;
//! 4. `app/run.rs`: the phases from ready to stopped;
//! 5. `cli/`: one file per verb; `http/`: health and metrics; `doctor/`: what can be wrong with a setup; `import/`: routes from a fleet's file.
//!
//! Exit codes: 0 clean, 1 forced stop or runtime error, 64 bad usage or configuration.

mod app;
mod cli;
mod config;
mod doctor;
mod http;
mod import;
mod memory;
mod system;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before the first thread: what a large message took goes back to the system when it is gone.
    myelin_malloc::keep_mmap_threshold();
    cli::main()
}
