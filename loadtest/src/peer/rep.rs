//! `peer rep`: answers every request with its own bytes.

use std::io;
use std::thread;

use serde_json::json;

use super::Wire;
use crate::failure::Outcome;
use crate::leash::tell;
use crate::zmtp::{Connection, listen};

/// Serves until the parent is gone.
///
/// # Errors
/// No port is free, or libzmq fails.
pub(crate) fn run(wire: Wire) -> Outcome<()> {
    match wire {
        Wire::Raw => run_raw(),
        #[cfg(feature = "libzmq")]
        Wire::Libzmq => super::libzmq::rep(),
        #[cfg(not(feature = "libzmq"))]
        Wire::Libzmq => super::without_libzmq(),
    }
}

fn run_raw() -> Outcome<()> {
    let (listener, endpoint) = listen()?;
    tell("ready", json!({ "endpoint": endpoint }))?;
    for stream in listener.incoming().map_while(Result::ok) {
        // One thread per caller: a benchmark has a handful, and they end with the process.
        thread::spawn(move || {
            if let Ok(peer) = Connection::accept(stream, "REP") {
                drop(echo(peer));
            }
        });
    }
    Ok(())
}

/// The envelope and its delimiter go back with the body, which is all that REP adds to an echo.
fn echo(mut peer: Connection) -> io::Result<()> {
    let mut copy = Vec::new();
    loop {
        copy.clear();
        copy.extend_from_slice(peer.receive()?.packed);
        peer.send_packed(&copy)?;
    }
}
