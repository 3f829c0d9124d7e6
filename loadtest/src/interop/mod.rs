//! A socket of another implementation of ZeroMQ, for the interop matrix of the test kit: it says or expects the same two frames as
//! `testkit/agents/interop_agent.py` does for the libzmq of pyzmq, and prints the same events.

mod libzmq;
mod omq;
mod security;
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
    #[command(flatten)]
    security: security::SecurityArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Library {
    /// libzmq, which the crate `zmq` builds.
    Libzmq,
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

/// How far a socket came.
enum Played {
    /// It did what its type does.
    All,
    /// The implementation has no such socket type, or no such mechanism.
    Lacks,
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
            // libzmq blocks, and nothing else runs here.
            Library::Libzmq => libzmq::play(args),
            Library::Zeromq => zeromq::play(args).await,
            Library::OmqTokio => omq::play(args).await,
        }
    });
    if matches!(played.map_err(Failure::new)?, Played::Lacks) {
        println!("{}", json!({ "event": "lacks" }));
    }
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

fn ready(library: &str) {
    println!("{}", json!({ "event": "ready", "library": library }));
}

fn got(frames: &[Bytes]) {
    let hex = |frame: &Bytes| frame.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    println!("{}", json!({ "event": "got", "frames": frames.iter().map(hex).collect::<Vec<_>>() }));
}
