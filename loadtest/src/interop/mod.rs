//! A socket of another Rust implementation of ZeroMQ, for the interop matrix of the test kit: it says or expects the same two frames as
//! `testkit/agents/interop_agent.py` does for libzmq, and prints the same events.

mod omq;
mod zeromq;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::failure::{Doing, Failure, Outcome};
use crate::leash::Leash;

/// Between two attempts to send where nobody is connected yet, and between two published messages.
const AGAIN: std::time::Duration = std::time::Duration::from_millis(10);

/// Which socket, where.
#[derive(Debug, Args)]
pub(crate) struct InteropArgs {
    /// Whose implementation.
    #[arg(long)]
    library: Library,
    /// The socket type as ZMTP spells it.
    #[arg(long = "type")]
    socket_type: String,
    /// How it reaches the other side.
    #[arg(long)]
    attach: Attach,
    /// Where.
    #[arg(long)]
    endpoint: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Library {
    /// The crate `zeromq`.
    Zeromq,
    /// The crate `omq-tokio`.
    OmqTokio,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Attach {
    Bind,
    Connect,
}

/// Plays the socket until stdin ends.
///
/// # Errors
/// The library refuses the socket type, the endpoint or a message.
pub(crate) fn run(args: &InteropArgs) -> Outcome<()> {
    let _leash = Leash::watch();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().doing(|| "starting a runtime".to_owned())?;
    let played = runtime.block_on(async {
        match args.library {
            Library::Zeromq => zeromq::play(args).await,
            Library::OmqTokio => omq::play(args).await,
        }
    });
    played.map_err(Failure::new)?;
    // Sockets stay open until the test has seen what it waits for.
    runtime.block_on(std::future::pending())
}

/// What every implementation sends or expects.
fn frames() -> Vec<Bytes> {
    vec![Bytes::from_static(b"hello"), Bytes::from_static(b"\x00\xff")]
}

/// As [`frames`], behind the delimiter that a DEALER writes itself.
fn delimited() -> Vec<Bytes> {
    [vec![Bytes::new()], frames()].concat()
}

fn ready() {
    println!("{}", json!({ "event": "ready" }));
}

fn got(frames: &[Bytes]) {
    let hex = |frame: &Bytes| frame.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    println!("{}", json!({ "event": "got", "frames": frames.iter().map(hex).collect::<Vec<_>>() }));
}
