//! `peer sub`: takes everything, counts, and tells what is missing.

use std::io;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::credit::{Reporter, report_every};
use super::keys::Keys;
use super::{HighWater, Wire};
use crate::failure::{Doing, Outcome};
use crate::latency::Latency;
use crate::leash::tell;
use crate::payload::{self, END, Tally, WARM_UP};
use crate::zmtp::Connection;

/// Silence after which a receiver that has begun stops waiting for the end.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(2);
/// Messages between two looks at the clock.
const CLOCK_EVERY: u64 = 256;

/// Settings of the subscriber.
#[derive(Debug, Args)]
pub(crate) struct SubArgs {
    /// Where to connect.
    #[arg(long)]
    pub(crate) endpoint: String,
    /// Where the publisher takes reports of progress.
    #[arg(long)]
    pub(crate) credit: Option<String>,
    /// Record the time since the intended send of each message (costs a look at the clock per message).
    #[arg(long)]
    pub(crate) latency: bool,
    #[command(flatten)]
    pub(crate) high_water: HighWater,
    #[command(flatten)]
    pub(crate) keys: Keys,
}

/// One way of receiving.
pub(crate) trait Source {
    /// The numbers of the next message; `None` after [`IDLE_TIMEOUT`] of silence.
    fn next(&mut self) -> Outcome<Option<(u64, u64)>>;
}

/// Connects, tells when the first message arrives, counts until the end, tells the result.
///
/// # Errors
/// The connection fails.
pub(crate) fn run(wire: Wire, args: &SubArgs) -> Outcome<()> {
    let reporter = args.credit.as_deref().map(Reporter::connect).transpose()?;
    match wire {
        Wire::Raw => count(&mut RawSource::connect(&args.endpoint)?, reporter, args),
        #[cfg(feature = "libzmq")]
        Wire::Libzmq => count(&mut super::libzmq::LibSource::connect(args)?, reporter, args),
        #[cfg(not(feature = "libzmq"))]
        Wire::Libzmq => {
            drop(reporter);
            super::without_libzmq()
        }
    }
}

fn count(source: &mut impl Source, mut reporter: Option<Reporter>, args: &SubArgs) -> Outcome<()> {
    let every = report_every(args.high_water.messages);
    tell("ready", json!({}))?;
    while source.next()?.is_none() {}
    tell("linked", json!({}))?;
    let mut tally = Tally::default();
    let mut latency = Latency::new();
    // The clock is read every few hundred messages; the rate is taken between two such readings.
    let mut first: Option<(u64, Instant)> = None;
    let mut last = None;
    let mut ended = false;
    loop {
        let Some((sequence, intended)) = source.next()? else {
            if tally.received == 0 {
                continue;
            }
            break;
        };
        match sequence {
            WARM_UP => continue,
            END => {
                ended = true;
                break;
            }
            _ => tally.count(sequence),
        }
        if args.latency {
            latency.record_nanos(payload::now_nanos().saturating_sub(intended));
        }
        if tally.received % CLOCK_EVERY == 1 {
            let now = (tally.received, Instant::now());
            first.get_or_insert(now);
            last = Some(now);
        }
        if let Some(reporter) = &mut reporter
            && tally.received.is_multiple_of(every)
        {
            reporter.report(tally.next())?;
        }
    }
    let per_second = match (first, last) {
        (Some((from, start)), Some((to, end))) if to > from => (to - from) as f64 / (end - start).as_secs_f64(),
        _ => 0.0,
    };
    tell(
        "result",
        json!({
            "received": tally.received,
            "missing": tally.missing,
            "late": tally.late,
            "ended": ended,
            "per_second": per_second,
            "latency": latency.summary(),
        }),
    )
}

struct RawSource(Connection);

impl RawSource {
    fn connect(endpoint: &str) -> Outcome<Self> {
        let mut connection = Connection::connect(endpoint, "SUB")?;
        connection.set_patience(IDLE_TIMEOUT)?;
        // A ZMTP 3.0 subscription is a message: 1 and the prefix, here the empty one.
        connection.send_packed(&[0, 1, 1]).doing(|| "subscribing".to_owned())?;
        Ok(Self(connection))
    }
}

impl Source for RawSource {
    fn next(&mut self) -> Outcome<Option<(u64, u64)>> {
        match self.0.receive() {
            Ok(message) => Ok(payload::read(message.last)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error).doing(|| "receiving".to_owned()),
        }
    }
}
