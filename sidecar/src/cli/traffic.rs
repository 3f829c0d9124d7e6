//! `myelin traffic`.

use std::io::IsTerminal;
use std::time::Duration;

use myelin_bus::wire::{Body, Subject};
use myelin_bus::{Bus, RequestError};

use super::server::ServerArgs;
use super::{Failure, output, server};
use crate::app::{TRAFFIC, TrafficEntry, TrafficReply, TrafficRequest};

/// Show what a running sidecar did not have to send: health polls it answered, status messages it held back
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    server: ServerArgs,

    /// Only of this time until now, instead of since the start
    #[arg(long, value_name = "DURATION", value_parser = server::duration)]
    since: Option<Duration>,

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
  myelin traffic
  myelin traffic --watch --since 5m
  myelin traffic --json | jq '.total.bytes_not_sent'

NOT SENT counts the frames themselves, with their headers. ON A WIRE is derived from that: with the headers of packets and the
greetings of connections. --since goes back a day at most, to five minutes, and within the last hour to ten seconds.";

/// The sidecar answers from memory.
const TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let bus = args.server.connect().await?;
    loop {
        let reply = ask(&bus, args.since).await?;
        if args.json {
            output::json(&reply)?;
        } else {
            if args.watch && std::io::stdout().is_terminal() {
                // Home, and clear to the end: without the flicker of clearing first.
                output::text("\x1b[H\x1b[J")?;
            }
            output::line(&page(&reply))?;
        }
        if !args.watch {
            return Ok(());
        }
        tokio::time::sleep(args.interval).await;
    }
}

async fn ask(bus: &Bus, since: Option<Duration>) -> Result<TrafficReply, Failure> {
    let subject = Subject::new(TRAFFIC).expect("a valid constant");
    let since_ms = since.map(|since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    let body = serde_json::to_string(&TrafficRequest { since_ms }).expect("it has nothing but a number");
    let reply = bus.request(&subject, Body::from(body), TIMEOUT).await.map_err(|error| match error {
        RequestError::NoResponders { .. } => Failure::runtime("the server is no sidecar, or one of an earlier release: it has no meter"),
        error => Failure::runtime(error.to_string()),
    })?;
    let bytes = match reply.body {
        Body::Blob(bytes) => bytes,
        Body::Frames(frames) => frames.first(),
    };
    serde_json::from_slice(&bytes).map_err(|error| Failure::runtime(format!("cannot read the answer of the sidecar: {error}")))
}

fn page(reply: &TrafficReply) -> String {
    const HEADER: [&str; 6] = ["KIND", "POLLS ANSWERED", "BEATS HELD BACK", "WAKES", "NOT SENT", "ON A WIRE (DERIVED)"];
    let total = TrafficEntry { kind: "total".to_owned(), ..reply.total.clone() };
    let rows: Vec<_> = reply.kinds.iter().chain([&total]).map(row).collect();
    format!("{}\n\nin {}", output::table(&HEADER, &rows), span(reply.span_ms))
}

fn row(entry: &TrafficEntry) -> Vec<String> {
    vec![
        entry.kind.clone(),
        entry.polls_answered.to_string(),
        entry.beats_suppressed.to_string(),
        entry.wakes.to_string(),
        bytes(entry.bytes_not_sent),
        bytes(entry.derived.wire_bytes),
    ]
}

/// Bytes with three digits or so.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut scaled = count as f64;
    let mut unit = 0;
    while scaled >= 1_000.0 && unit + 1 < UNITS.len() {
        scaled /= 1_000.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{scaled:.2} {}", UNITS[unit]) }
}

fn span(millis: u64) -> String {
    match millis / 1_000 {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7_200 => format!("{}m {}s", seconds / 60, seconds % 60),
        seconds => format!("{}h {}m", seconds / 3_600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_spans_are_short() {
        for (count, text) in [(0, "0 B"), (999, "999 B"), (1_000, "1.00 kB"), (12_345_678, "12.35 MB"), (u64::MAX, "18446744.07 TB")] {
            assert_eq!(bytes(count), text);
        }
        for (millis, text) in [(119_999, "119s"), (150_000, "2m 30s"), (7_260_000, "2h 1m")] {
            assert_eq!(span(millis), text);
        }
    }

    #[test]
    fn the_page_ends_with_the_total() {
        let entry = TrafficEntry { kind: "tts".to_owned(), polls_answered: 3, bytes_not_sent: 1_500, ..TrafficEntry::default() };
        let page = page(&TrafficReply { span_ms: 5_000, total: entry.clone(), kinds: vec![entry] });
        let lines: Vec<&str> = page.lines().collect();
        assert!(lines[1].starts_with("tts ") && lines[2].starts_with("total ") && lines[2].contains("1.50 kB"), "{page}");
        assert_eq!(lines.last(), Some(&"in 5s"));
    }
}
