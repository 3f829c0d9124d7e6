//! `peer req`: one request after the other, the whole distribution of round-trip times.
//!
//! Closed loop on purpose: a REQ socket cannot do otherwise, and the result is the cost of an unloaded path.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::{Wire, check_payload};
use crate::failure::{Doing, Failure, Outcome};
use crate::latency::Latency;
use crate::leash::{Leash, tell};
use crate::payload;
use crate::zmtp::{Connection, push_frame};

/// An answer later than this ends the run.
pub(crate) const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// Settings of the caller.
#[derive(Debug, Args)]
pub(crate) struct ReqArgs {
    /// Where to connect.
    #[arg(long)]
    pub(crate) endpoint: String,
    /// Bytes per request.
    #[arg(long, default_value_t = 64)]
    pub(crate) payload: usize,
    /// Round trips that count.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) count: u64,
    /// Round trips before, which do not.
    #[arg(long, default_value_t = 2_000)]
    pub(crate) warm_up: u64,
}

/// One way of asking and waiting.
pub(crate) trait Caller {
    /// Sends `body` and blocks for the answer; true if it equals `body`.
    fn round_trip(&mut self, body: &[u8]) -> Outcome<bool>;
}

/// Connects, waits for the order "go", measures, tells the result.
///
/// # Errors
/// A connection, an answer or its content fails.
pub(crate) fn run(wire: Wire, args: &ReqArgs, leash: &Leash) -> Outcome<()> {
    check_payload(args.payload)?;
    match wire {
        Wire::Raw => measure(&mut RawCaller::connect(&args.endpoint)?, args, leash),
        #[cfg(feature = "libzmq")]
        Wire::Libzmq => measure(&mut super::libzmq::LibCaller::connect(&args.endpoint)?, args, leash),
        #[cfg(not(feature = "libzmq"))]
        Wire::Libzmq => super::without_libzmq(),
    }
}

fn measure(caller: &mut impl Caller, args: &ReqArgs, leash: &Leash) -> Outcome<()> {
    let mut body = vec![b'x'; args.payload];
    let mut latency = Latency::new();
    let mut ask = |sequence| {
        payload::stamp(&mut body, sequence, 0);
        let asked = Instant::now();
        let same = caller.round_trip(&body)?;
        let took = asked.elapsed();
        if same { Ok(took) } else { Err(Failure::new(format!("the answer to request {sequence} is another's"))) }
    };
    ask(payload::WARM_UP)?;
    tell("ready", json!({}))?;
    leash.wait_for("go")?;
    for sequence in 0..args.warm_up {
        ask(sequence)?;
    }
    for sequence in 0..args.count {
        latency.record(ask(sequence)?);
    }
    tell("result", json!({ "count": args.count, "latency": latency.summary() }))
}

struct RawCaller {
    connection: Connection,
    packed: Vec<u8>,
}

impl RawCaller {
    fn connect(endpoint: &str) -> Outcome<Self> {
        let connection = Connection::connect(endpoint, "REQ")?;
        connection.set_patience(REPLY_TIMEOUT)?;
        Ok(Self { connection, packed: Vec::new() })
    }
}

impl Caller for RawCaller {
    fn round_trip(&mut self, body: &[u8]) -> Outcome<bool> {
        self.packed.clear();
        push_frame(&mut self.packed, true, b"");
        push_frame(&mut self.packed, false, body);
        self.connection.send_packed(&self.packed).doing(|| "asking".to_owned())?;
        let reply = self.connection.receive().doing(|| "waiting for the answer".to_owned())?;
        Ok(reply.packed == self.packed)
    }
}
