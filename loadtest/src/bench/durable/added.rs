//! What the bus adds to the client it is made of: requests and durable publishes over one nats-server, by async-nats as it is and by ours. Started
//! under `taskset -c 1`, all of it runs on one core; else wherever the kernel puts it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use myelin_bus::wire::{Filter, Subject};
use myelin_bus::{Bus, SubscribeOptions};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use super::jetstream::JetStream;
use super::ours::Ours;
use super::server::{Server, SyncInterval};
use super::stage::WORKERS;
use super::{Done, PAYLOAD_BYTES, Side, Until};
use crate::bench::report::{Goal, Report};
use crate::bench::{BenchArgs, interleave};
use crate::failure::{Doing, Outcome};
use crate::latency::Latency;
use crate::neighbours::Neighbours;
use crate::scratch;

const SUBJECT: &str = "load.ask";
const PATIENCE: Duration = Duration::from_secs(10);
/// Requests, and publishes, without an answer yet.
const WINDOWS: [usize; 2] = [1, 256];
const WINDOW: usize = 256;
/// Of the throughput of the bare client, that of ours.
const OF_THE_CLIENT_MIN: f64 = 0.95;
/// What ours may take longer.
const ADDED_US_MAX: f64 = 10.0;
const P50: &str = "p50 µs";
const RATE: &str = "per second";

#[derive(Debug, Clone, Copy)]
enum Cell {
    Ask(Path, usize),
    Publish(Path),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    Client,
    Bus,
}

impl Path {
    const ALL: [Self; 2] = [Self::Client, Self::Bus];

    fn name(self) -> &'static str {
        match self {
            Self::Client => "async-nats",
            Self::Bus => "bus",
        }
    }
}

/// Both sides, with one connection each that asks and publishes, and one that answers.
struct Stage {
    runtime: Runtime,
    url: String,
    client: async_nats::Client,
    bus: Bus,
    streams: u32,
}

pub(in super::super) fn run(args: &BenchArgs, neighbours: &mut Neighbours) -> Outcome<Report> {
    let directory = scratch::directory(args.directory.as_deref())?;
    let server = Server::start(&args.nats_server, directory.path(), SyncInterval::Default)?;
    let seconds = args.seconds(2.0);
    let runtime = Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build().doing(|| "starting a runtime".to_owned())?;
    let client = runtime.block_on(async_nats::connect(&server.url)).doing(|| "connecting".to_owned())?;
    let bus = runtime.block_on(Bus::connect(&server.url)).doing(|| "connecting".to_owned())?;
    let mut stage = Stage { runtime, url: server.url.clone(), client, bus, streams: 0 };
    let setup = format!(
        "requests and durable publishes over one nats-server, closed loop, {PAYLOAD_BYTES} B, {seconds} s x {} rounds interleaved, a fresh \
         stream per cell, client runtime of {WORKERS} workers",
        args.rounds
    );
    let mut report = Report::new("nats", setup);
    report.note(format!("against {}", server.version));
    let asks = WINDOWS.into_iter().flat_map(|window| Path::ALL.map(|path| Cell::Ask(path, window)));
    let cells: Vec<_> = asks.chain(Path::ALL.map(Cell::Publish)).collect();
    let length = Duration::from_secs_f64(seconds);
    interleave(args.rounds, neighbours, &cells, |cell| {
        match *cell {
            Cell::Ask(path, window) => {
                let (done, latency) = stage.ask(path, window, length)?;
                report.add(path.name(), &asking(window), RATE, done.per_second());
                report.add(path.name(), &asking(window), P50, latency.summary().p50_us);
            }
            Cell::Publish(path) => {
                let done = stage.publish(path, length)?;
                report.add(path.name(), &publishing(), RATE, done.per_second());
            }
        }
        Ok(())
    })?;
    for load in WINDOWS.map(asking).into_iter().chain([publishing()]) {
        report.ratio("nats", (Path::Bus.name(), Path::Client.name()), &load, RATE, (Goal::AtLeast, OF_THE_CLIENT_MIN));
    }
    let load = asking(1);
    if let [Some(ours), Some(theirs)] = [Path::Bus, Path::Client].map(|path| report.median(path.name(), &load, P50)) {
        report.figure("nats", format!("added {P50}, {load}"), ours - theirs, (Goal::AtMost, ADDED_US_MAX));
    }
    Ok(report)
}

fn asking(window: usize) -> String {
    format!("request, {window} outstanding")
}

fn publishing() -> String {
    format!("durable publish, {WINDOW} outstanding")
}

impl Stage {
    /// Asks for as long as that, `window` at a time, somebody on another connection of the same kind.
    fn ask(&self, path: Path, window: usize, length: Duration) -> Outcome<(Done, Latency)> {
        let answering = self.runtime.block_on(self.answer(path))?;
        let (client, bus) = (self.client.clone(), self.bus.clone());
        let asking = self.runtime.spawn(async move {
            match path {
                Path::Client => {
                    let payload = Bytes::from_static(&[b'x'; PAYLOAD_BYTES]);
                    let one = || client.request(SUBJECT, payload.clone());
                    all(window, length, one).await
                }
                Path::Bus => {
                    let subject = Subject::new(SUBJECT).doing(|| "naming the subject".to_owned())?;
                    let payload = Bytes::from_static(&[b'x'; PAYLOAD_BYTES]);
                    all(window, length, || bus.request(&subject, payload.clone().into(), PATIENCE)).await
                }
            }
        });
        let asked = self.runtime.block_on(asking).doing(|| "running a cell".to_owned())?;
        answering.abort();
        asked
    }

    /// Answers every request with its own payload.
    async fn answer(&self, path: Path) -> Outcome<JoinHandle<()>> {
        match path {
            Path::Client => {
                let client = async_nats::connect(&self.url).await.doing(|| "connecting".to_owned())?;
                let mut requests = client.subscribe(SUBJECT).await.doing(|| "subscribing".to_owned())?;
                // A flush says that it was written. What the server answers behind it says that it was read, and another connection's request finds it.
                let inbox = client.new_inbox();
                let mut echo = client.subscribe(inbox.clone()).await.doing(|| "subscribing".to_owned())?;
                client.publish(inbox, Bytes::new()).await.doing(|| "subscribing".to_owned())?;
                echo.next().await;
                Ok(self.runtime.spawn(async move {
                    while let Some(request) = requests.next().await {
                        if let Some(reply) = request.reply {
                            drop(client.publish(reply, request.payload).await);
                        }
                    }
                }))
            }
            Path::Bus => {
                let bus = Bus::connect(&self.url).await.doing(|| "connecting".to_owned())?;
                let filter = Filter::new(SUBJECT).doing(|| "naming the subject".to_owned())?;
                let mut requests = bus.subscribe(&filter, SubscribeOptions::default()).await.doing(|| "subscribing".to_owned())?;
                Ok(self.runtime.spawn(async move {
                    while let Some(request) = requests.next().await {
                        let body = request.body.clone();
                        request.respond(&bus, body);
                    }
                }))
            }
        }
    }

    /// Publishes for as long as that, and checks that the stream has what was acknowledged.
    fn publish(&mut self, path: Path, length: Duration) -> Outcome<Done> {
        self.streams += 1;
        let stream = format!("cell-{}", self.streams);
        let (url, bus) = (self.url.clone(), self.bus.clone());
        let publishing = self.runtime.spawn(async move {
            let side = match path {
                Path::Client => Side::JetStream(Box::new(JetStream::connect(&url).await?)),
                Path::Bus => Side::Ours(Ours { bus }),
            };
            side.make(&stream).await?;
            let done = side.publish(&stream, WINDOW, Until::Elapsed(length)).await?;
            let stored = side.messages(&stream).await?;
            side.remove(&stream).await?;
            if stored == done.messages {
                return Ok(done);
            }
            Err(crate::failure::Failure::new(format!("{stored} of {} are stored", done.messages)))
        });
        self.runtime.block_on(publishing).doing(|| "running a cell".to_owned())?
    }
}

/// As many as there may be at a time, until the time is over and the last is answered.
async fn all<T, E, F>(window: usize, length: Duration, one: impl Fn() -> F) -> Outcome<(Done, Latency)>
where
    F: Future<Output = Result<T, E>>,
    E: std::error::Error + Send + Sync + 'static,
{
    let timed = || {
        let (began, asked) = (Instant::now(), one());
        async move { asked.await.map(|_| began.elapsed()) }
    };
    let (mut latency, mut outstanding, started) = (Latency::new(), FuturesUnordered::new(), Instant::now());
    let mut messages = 0;
    loop {
        while outstanding.len() < window && started.elapsed() < length {
            outstanding.push(timed());
        }
        let Some(took) = outstanding.next().await else { break };
        latency.record(took.doing(|| "asking".to_owned())?);
        messages += 1;
    }
    Ok((Done { messages, took: started.elapsed() }, latency))
}
