//! `myelin mem watch`.

use myelin_bus::SubscribeOptions;
use myelin_bus::wire::Body;
use serde_json::json;

use super::super::stream::Common;
use super::super::{Failure, output, payload, server};
use super::ask::{ask, bytes, document, failure, read};
use crate::memory::{EVENTS, HEARTBEAT, wire};

/// Print what is there, and then whatever happens
///
/// A line `resync` says that something was missed: what was printed before may be gone, and what is there is printed again.
#[derive(Debug, clap::Args)]
pub(super) struct Watch {
    /// Whose memory
    space: String,

    /// Keys that begin so
    #[arg(long, default_value = "")]
    prefix: String,

    /// Stop after this many events
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,

    /// Go on behind a position that --json told
    #[arg(long, value_name = "POSITION")]
    from: Option<String>,

    #[command(flatten)]
    common: Common,
}

/// A watch says something within this, or it is over.
const SILENCE: std::time::Duration = HEARTBEAT.saturating_mul(4);

pub(super) async fn run(args: Watch) -> Result<(), Failure> {
    let bus = args.common.server.connect().await?;
    // Of this process, at this moment; the sidecar refuses one that another watch has.
    let nanos = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
    let id = format!("cli-{}-{nanos:x}", std::process::id());
    let filter = server::filter(&format!("{EVENTS}{id}"))?;
    let subscribed = bus.subscribe(&filter, SubscribeOptions::default()).await;
    let mut subscription = subscribed.map_err(|error| Failure::runtime(format!("{filter}: {error}")))?;
    bus.flush().await;
    let asked = wire::Watch { space: args.space, prefix: args.prefix, id, from: args.from };
    let _: wire::Watching = ask(&bus, "WATCH", &asked).await?;
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        let Ok(message) = tokio::time::timeout(SILENCE, subscription.next()).await else {
            return Err(Failure::runtime("the sidecar says nothing any more"));
        };
        let Some(message) = message else { return Err(Failure::runtime("the server closed the connection")) };
        let told: wire::Events = read_events(&bytes(&message.body))?;
        for event in told.events.iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
            print(args.common.json, event, told.position.as_deref())?;
            left -= 1;
        }
        // The answer asks for more: only once this was printed.
        message.respond(&bus, Body::default());
        match (&told.error, told.is_over) {
            (Some(refusal), true) => return Err(failure(refusal)),
            (Some(refusal), false) => output::hint(&format!("waiting: {}", refusal.message)),
            (None, _) => {}
        }
    }
    server::close(bus).await;
    Ok(())
}

/// Events have an `error` of their own, which ends no reading.
fn read_events(bytes: &[u8]) -> Result<wire::Events, Failure> {
    rmp_serde::from_slice(bytes).or_else(|_| read(bytes))
}

fn print(is_json: bool, event: &wire::Event, position: Option<&str>) -> Result<(), Failure> {
    let key = event.key.as_deref().unwrap_or_default();
    if is_json {
        let mut told = event.entry.as_ref().map_or_else(|| json!({ "key": event.key }), |entry| document(key, entry));
        told["event"] = event.event.as_str().into();
        told["left_out_bytes"] = json!(event.left_out_bytes);
        told["position"] = json!(position);
        return Ok(output::json(&told)?);
    }
    let value = match (&event.entry, event.left_out_bytes) {
        (Some(entry), _) => payload::escape(&entry.value),
        (None, Some(bytes)) => format!("({bytes} bytes)"),
        (None, None) => String::new(),
    };
    Ok(output::line(format!("{:<8} {}  {value}", event.event, payload::escape(key.as_bytes())).trim_end())?)
}
