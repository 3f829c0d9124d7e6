//! `peer pub`: numbered messages, as fast as the receivers take them or at a fixed rate.

use std::io::{self, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::credit::Window;
use super::keys::Keys;
use super::{HighWater, Wire, check_payload};
use crate::failure::{Doing, Outcome};
use crate::leash::{Leash, tell};
use crate::pace::Pace;
use crate::payload::{self, END, WARM_UP};
use crate::zmtp::{Connection, push_frame};

/// Bytes the raw publisher gathers before it writes: what libzmq gathers too.
const BATCH_BYTES: usize = 8 << 10;
/// Messages between two looks at the clock and at the window.
const CHECK_EVERY: u64 = 256;
/// How often and how far apart the end is announced; a proxy that drops may swallow some.
const ENDS: u32 = 10;
const END_GAP: Duration = Duration::from_millis(20);

/// Settings of the publisher.
#[derive(Debug, Args)]
pub(crate) struct PubArgs {
    /// Where to connect.
    #[arg(long)]
    pub(crate) endpoint: String,
    /// Bytes per message.
    #[arg(long, default_value_t = 64)]
    pub(crate) payload: usize,
    /// How long to publish.
    #[arg(long, default_value_t = 2.0)]
    pub(crate) seconds: f64,
    /// Messages per second on an open-loop schedule; as fast as possible without.
    #[arg(long)]
    pub(crate) rate: Option<u64>,
    /// Run at most this many messages ahead of the slowest subscriber; without, only the socket holds back.
    #[arg(long)]
    pub(crate) credit: Option<u64>,
    /// How many subscribers report progress.
    #[arg(long, default_value_t = 1)]
    pub(crate) subscribers: usize,
    #[command(flatten)]
    pub(crate) high_water: HighWater,
    #[command(flatten)]
    pub(crate) keys: Keys,
}

/// One way of publishing.
pub(crate) trait Sink {
    /// Hands over one message; may wait.
    fn send(&mut self, payload: &[u8]) -> Outcome<()>;
    /// Sees to it that nothing is kept back.
    fn flush(&mut self) -> Outcome<()>;
}

/// Connects, warms up until the order "go", publishes, announces the end, tells the result.
///
/// # Errors
/// The connection fails or the subscribers make no progress.
pub(crate) fn run(wire: Wire, args: &PubArgs, leash: &Leash) -> Outcome<()> {
    check_payload(args.payload)?;
    match wire {
        Wire::Raw => publish(&mut RawSink::connect(&args.endpoint)?, args, leash),
        #[cfg(feature = "libzmq")]
        Wire::Libzmq => publish(&mut super::libzmq::LibSink::connect(args)?, args, leash),
        #[cfg(not(feature = "libzmq"))]
        Wire::Libzmq => super::without_libzmq(),
    }
}

fn publish(sink: &mut impl Sink, args: &PubArgs, leash: &Leash) -> Outcome<()> {
    let mut window = args.credit.map(|messages| Window::open(messages, args.subscribers)).transpose()?;
    tell("ready", json!({ "endpoint": window.as_ref().map(Window::endpoint) }))?;
    let mut body = vec![b'x'; args.payload];
    announce(sink, &mut body, WARM_UP, || leash.came("go"))?;
    let started = Instant::now();
    let length = Duration::from_secs_f64(args.seconds);
    let sent = match args.rate {
        Some(rate) => paced(sink, &mut body, Pace::new(rate, length))?,
        None => flat_out(sink, &mut body, length, window.as_mut())?,
    };
    let took = started.elapsed();
    let mut left = ENDS;
    announce(sink, &mut body, END, || {
        left -= 1;
        left == 0
    })?;
    let stalls = window.as_ref().map_or(0, Window::stalls);
    tell("result", json!({ "sent": sent, "seconds": took.as_secs_f64(), "stalls": stalls }))?;
    // The socket stays open until the receivers are done with what is still queued in it.
    leash.wait_for("stop")
}

fn announce(sink: &mut impl Sink, body: &mut [u8], mark: u64, mut enough: impl FnMut() -> bool) -> Outcome<()> {
    payload::stamp(body, mark, payload::now_nanos());
    loop {
        sink.send(body)?;
        sink.flush()?;
        if enough() {
            return Ok(());
        }
        thread::sleep(END_GAP);
    }
}

fn flat_out(sink: &mut impl Sink, body: &mut [u8], length: Duration, mut window: Option<&mut Window>) -> Outcome<u64> {
    let started = Instant::now();
    let mut sequence = 0;
    while started.elapsed() < length {
        if let Some(window) = &mut window {
            sink.flush()?;
            window.admit(sequence + CHECK_EVERY)?;
        }
        let now = payload::now_nanos();
        for _ in 0..CHECK_EVERY {
            payload::stamp(body, sequence, now);
            sink.send(body)?;
            sequence += 1;
        }
    }
    sink.flush()?;
    Ok(sequence)
}

fn paced(sink: &mut impl Sink, body: &mut [u8], pace: Pace) -> Outcome<u64> {
    let (started, epoch) = (Instant::now(), payload::now_nanos());
    let mut sequence = 0;
    while sequence < pace.total() {
        let due = pace.due(started.elapsed());
        while sequence < due {
            payload::stamp(body, sequence, epoch + pace.intended_nanos(sequence));
            sink.send(body)?;
            sequence += 1;
        }
        sink.flush()?;
        // Shorter than the kernel's timer slack: wakes about every 100 µs and sends what is due by then.
        thread::sleep(Duration::from_micros(50));
    }
    Ok(sequence)
}

struct RawSink {
    stream: TcpStream,
    batch: Vec<u8>,
}

impl RawSink {
    fn connect(endpoint: &str) -> Outcome<Self> {
        let mut reader = Connection::connect(endpoint, "PUB")?;
        let stream = reader.writer().doing(|| "splitting the connection".to_owned())?;
        // Subscriptions are read and ignored: the warm-up already waits for the receivers.
        thread::spawn(move || -> io::Result<()> {
            loop {
                reader.receive()?;
            }
        });
        Ok(Self { stream, batch: Vec::with_capacity(2 * BATCH_BYTES) })
    }
}

impl Sink for RawSink {
    fn send(&mut self, payload: &[u8]) -> Outcome<()> {
        push_frame(&mut self.batch, false, payload);
        if self.batch.len() < BATCH_BYTES { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Outcome<()> {
        self.stream.write_all(&self.batch).doing(|| "publishing".to_owned())?;
        self.batch.clear();
        Ok(())
    }
}
