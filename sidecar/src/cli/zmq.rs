//! `myelin zmq`.

use std::io::IsTerminal;
use std::time::{Duration, SystemTime};

use myelin_bus::wire::{Body, Subject};
use myelin_bus::{Bus, RequestError};

use super::server::ServerArgs;
use super::{Failure, output, server};
use crate::app::{FailureEntry, PeerEntry, PeersReply, PeersRequest, PipelineEntry, ZMQ_PEERS, unix_ms};

/// Show the ZeroMQ peers of a running sidecar: who is connected to which route, what waits for them, who could not connect
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    server: ServerArgs,

    /// Only the peers of this route; hub and discovery are routes too
    #[arg(long, value_name = "NAME")]
    route: Option<String>,

    /// Show again and again, until Ctrl-C
    #[arg(long, short)]
    watch: bool,

    /// How often, with --watch
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = server::duration, requires = "watch")]
    interval: Duration,

    /// Print one JSON document, with --watch one per line
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  myelin zmq
  myelin zmq --route hub --watch
  myelin zmq --json | jq -r '.peers[] | select(.dropped > 0) | \"\\(.route) \\(.remote) \\(.dropped)\"'
  myelin zmq --json | jq '.failures'

IDLE is the time since the peer last sent anything, heartbeats included. IN and OUT count messages; --json has bytes too. A
consumer with the note at_most_once answers no PING: what is written to it counts as delivered.";

/// The sidecar answers from memory.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Failed handshakes that the table shows; `--json` has all that are kept.
const FAILURES_SHOWN: usize = 10;

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let bus = args.server.connect().await?;
    loop {
        let reply = fetch(&bus, args.route.as_ref()).await?;
        if args.json {
            output::json(&reply)?;
        } else {
            if args.watch && std::io::stdout().is_terminal() {
                // Home, and clear to the end: without the flicker of clearing first.
                output::text("\x1b[H\x1b[J")?;
            }
            output::line(&page(&reply, unix_ms(SystemTime::now())))?;
        }
        if !args.watch {
            return Ok(());
        }
        tokio::time::sleep(args.interval).await;
    }
}

/// All pages as one.
async fn fetch(bus: &Bus, route: Option<&String>) -> Result<PeersReply, Failure> {
    let mut all = PeersReply::default();
    let mut after = 0;
    loop {
        let request = PeersRequest { route: route.cloned(), after, limit: None };
        let page = ask(bus, &request).await?;
        all.peers.extend(page.peers);
        if after == 0 {
            all.failures = page.failures;
            all.pipelines = page.pipelines;
        }
        (all.queued_bytes, all.queued_bytes_max) = (page.queued_bytes, page.queued_bytes_max);
        match page.next {
            Some(next) => after = next,
            None => return Ok(all),
        }
    }
}

async fn ask(bus: &Bus, request: &PeersRequest) -> Result<PeersReply, Failure> {
    let subject = Subject::new(ZMQ_PEERS).expect("a valid constant");
    let body = serde_json::to_string(request).expect("it has nothing but texts and numbers");
    let reply = bus.request(&subject, Body::from(body), TIMEOUT).await.map_err(|error| match error {
        RequestError::NoResponders { .. } => Failure::runtime("the server is a NATS server and not a sidecar: it has no ZeroMQ peers"),
        error => Failure::runtime(error.to_string()),
    })?;
    let bytes = match reply.body {
        Body::Blob(bytes) => bytes,
        Body::Frames(frames) => frames.first(),
    };
    serde_json::from_slice(&bytes).map_err(|error| Failure::runtime(format!("cannot read the answer of the sidecar: {error}")))
}

fn page(reply: &PeersReply, now: u64) -> String {
    let mut text = if reply.peers.is_empty() {
        "no peers are connected".to_owned()
    } else {
        const HEADER: [&str; 13] =
            ["ROUTE", "SIDE", "SOCKET", "REMOTE", "IDENTITY", "SECURITY", "AGE", "IDLE", "QUEUED", "DROPPED", "IN", "OUT", "NOTE"];
        let rows: Vec<_> = reply.peers.iter().map(|peer| row(peer, now)).collect();
        output::table(&HEADER, &rows)
    };
    let waits =
        format!("\n\n{} peers, {} of {} bytes queued in the process", reply.peers.len(), reply.queued_bytes, reply.queued_bytes_max);
    text.push_str(&waits);
    if !reply.pipelines.is_empty() {
        let rows: Vec<_> = reply.pipelines.iter().map(pipeline_row).collect();
        text.push_str("\n\nPipelines, kept in streams:\n");
        text.push_str(&output::table(&["ROUTE", "STREAM", "WAITING", "IN HAND", "UNSTORED", "CONSUMERS", "AGAIN"], &rows));
    }
    if !reply.failures.is_empty() {
        let rows: Vec<_> = reply.failures.iter().rev().take(FAILURES_SHOWN).map(|failure| failure_row(failure, now)).collect();
        text.push_str(&format!("\n\nHandshakes that failed, the last {} of {} kept:\n", rows.len(), reply.failures.len()));
        text.push_str(&output::table(&["AGO", "ROUTE", "SIDE", "REMOTE", "REASON"], &rows));
    }
    text
}

fn row(peer: &PeerEntry, now: u64) -> Vec<String> {
    let queued = if peer.queued.messages == 0 { "-".to_owned() } else { format!("{} ({} B)", peer.queued.messages, peer.queued.bytes) };
    vec![
        or_dash(&peer.route),
        or_dash(&peer.side),
        peer.socket.clone(),
        peer.remote.clone(),
        or_dash(&peer.identity),
        peer.mechanism.clone(),
        ago(peer.since_ms, now),
        if peer.has_left { "left".to_owned() } else { ago(peer.last_seen_ms, now) },
        queued,
        peer.dropped.to_string(),
        peer.received.messages.to_string(),
        peer.sent.messages.to_string(),
        if peer.at_most_once { "at_most_once".to_owned() } else { "-".to_owned() },
    ]
}

fn pipeline_row(pipeline: &PipelineEntry) -> Vec<String> {
    let at_most_once = match pipeline.at_most_once {
        0 => String::new(),
        count => format!(" ({count} at_most_once)"),
    };
    vec![
        pipeline.route.clone(),
        pipeline.stream.clone(),
        format!("{} ({} B)", pipeline.messages, pipeline.bytes),
        pipeline.in_hand.to_string(),
        pipeline.unstored.to_string(),
        format!("{}{at_most_once}", pipeline.consumers),
        pipeline.redelivered.to_string(),
    ]
}

fn failure_row(failure: &FailureEntry, now: u64) -> Vec<String> {
    vec![ago(failure.at_ms, now), or_dash(&failure.route), or_dash(&failure.side), failure.remote.clone(), failure.reason.clone()]
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

/// A time as its distance, in whole seconds, minutes or hours.
fn ago(then: u64, now: u64) -> String {
    match now.saturating_sub(then) / 1_000 {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7_200 => format!("{}m", seconds / 60),
        seconds => format!("{}h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_short() {
        for (seconds, text) in [(0, "0s"), (90, "90s"), (125, "2m"), (7_199, "119m"), (100_000, "27h")] {
            assert_eq!(ago(1_000, 1_000 + seconds * 1_000), text);
        }
        assert_eq!(ago(5_000, 1_000), "0s", "a clock that was set back");
    }
}
