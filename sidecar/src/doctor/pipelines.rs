//! What routes keep in the store, and consumers of pipelines that cannot tell what they took.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use myelin_bus::wire::{Body, Subject};
use myelin_bus::{Bus, RequestError};
use serde_json::json;

use super::finding::{Finding, Severity};
use crate::app::{PeerEntry, PeersReply, ZMQ_PEERS};
use crate::config::{Config, Keeping, Route, RouteKind};

/// What a stored message takes besides its payload: its record's fields and the headers of its frames, of which there are at most 1,024.
const RECORD_BYTES: u64 = 64 * 1024;

/// A sidecar that runs here answers from memory.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Consumers that one finding names.
const NAMED_MAX: usize = 5;

/// What the configuration alone tells.
pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let mut findings: Vec<Finding> = config.routes.iter().filter_map(|route| letters_without_store(config, route)).collect();
    let pipelines = config.routes.iter().filter_map(|route| match &route.kind {
        RouteKind::Pipeline { keeping, .. } => Some((route, keeping)),
        _ => None,
    });
    findings.extend(pipelines.filter_map(|(route, keeping)| examine_one(config, route, keeping)));
    findings
}

/// `requests-without-store`
fn letters_without_store(config: &Config, route: &Route) -> Option<Finding> {
    let asks = matches!(route.kind, RouteKind::Service { dead_letter_requests: true, .. });
    (asks && !config.store.enabled).then(|| Finding {
        id: "requests-without-store",
        severity: Severity::Error,
        place: route.origin.to_string(),
        what: format!("route {:?}.dead_letter_requests is true and store.enabled is false", route.name),
        why: "dead letters are kept in the store".to_owned(),
        fix: "set store.enabled = true, or dead_letter_requests = false".to_owned(),
    })
}

/// `pipeline-without-store`, `pipeline-setting-unused`, `pipeline-bytes-too-few`
fn examine_one(config: &Config, route: &Route, keeping: &Keeping) -> Option<Finding> {
    let place = route.origin.to_string();
    let setting = |name: &str| format!("route {:?}.{name}", route.name);
    if keeping.durable == Some(true) && !config.store.enabled {
        return Some(Finding {
            id: "pipeline-without-store",
            severity: Severity::Error,
            place,
            what: format!("{} is true and store.enabled is false", setting("durable")),
            why: "a durable pipeline keeps its messages in the store".to_owned(),
            fix: "set store.enabled = true, or durable = false for a pipeline in memory".to_owned(),
        });
    }
    let is_durable = keeping.durable.unwrap_or(config.store.enabled);
    let written = keeping.written();
    if let Some(first) = written.first().filter(|_| !is_durable) {
        let because = if keeping.durable == Some(false) { "durable is false" } else { "store.enabled is false" };
        return Some(Finding {
            id: "pipeline-setting-unused",
            severity: Severity::Warning,
            place,
            what: format!("{} means nothing here: {because}", setting(first)),
            why: "a pipeline in memory delivers once, and holds what limits.queue_bytes and limits.queue_messages say".to_owned(),
            fix: format!("remove {}, or make the pipeline durable", written.join(", ")),
        });
    }
    let least = config.bus.payload_max as u64 + RECORD_BYTES;
    let bytes_max = keeping.bytes_max.filter(|bytes_max| is_durable && *bytes_max < least)?;
    Some(Finding {
        id: "pipeline-bytes-too-few",
        severity: Severity::Error,
        place,
        what: format!(
            "{} of {bytes_max} bytes does not hold one message of bus.payload_max, {} bytes",
            setting("bytes_max"),
            config.bus.payload_max
        ),
        why: "such a message would hold back all producers for ever".to_owned(),
        fix: format!("allow at least {least} bytes, or lower bus.payload_max"),
    })
}

/// `consumer-at-most-once`, asked of the sidecar that runs with this configuration; none when there is none.
pub(super) fn examine_running(config: &Config) -> Vec<Finding> {
    let is_asked = config.store.enabled && config.routes.iter().any(|route| matches!(route.kind, RouteKind::Pipeline { .. }));
    if !is_asked {
        return Vec::new();
    }
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return Vec::new() };
    let peers = runtime.block_on(async { tokio::time::timeout(TIMEOUT, at_most_once(config)).await });
    runtime.shutdown_background();
    let peers = peers.ok().flatten().unwrap_or_default();
    config.routes.iter().filter_map(|route| unconfirmed(route, &peers)).collect()
}

fn unconfirmed(route: &Route, peers: &[PeerEntry]) -> Option<Finding> {
    let remotes: Vec<&str> = peers.iter().filter(|peer| peer.route == route.name).map(|peer| peer.remote.as_str()).collect();
    if remotes.is_empty() {
        return None;
    }
    let named = remotes[..remotes.len().min(NAMED_MAX)].join(", ");
    let more = if remotes.len() > NAMED_MAX { ", …" } else { "" };
    Some(Finding {
        id: "consumer-at-most-once",
        severity: Severity::Warning,
        place: route.origin.to_string(),
        what: format!("{} consumers of pipeline {:?} answer no PING: {named}{more}", remotes.len(), route.name),
        why: "they cannot tell what they took, so what is written to them counts as delivered and dies with them".to_owned(),
        fix: "let them use ZMTP 3.1, which is libzmq 4.2 or newer; a consumer that hung while it connected should be started again"
            .to_owned(),
    })
}

/// The peers of all pages that are served at most once; `None` when nobody answers.
async fn at_most_once(config: &Config) -> Option<Vec<PeerEntry>> {
    let listen = config.serve.listen;
    let ip = if listen.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { listen.ip() };
    let bus = Bus::connect(&format!("nats://{}", SocketAddr::new(ip, listen.port()))).await.ok()?;
    let subject = Subject::new(ZMQ_PEERS).expect("a valid constant");
    let (mut found, mut after) = (Vec::new(), 0);
    loop {
        let asked = Body::from(json!({ "after": after }).to_string());
        let reply = bus.request(&subject, asked, TIMEOUT).await.map_err(|error: RequestError| tracing::debug!(%error, "not asked")).ok()?;
        let bytes = match reply.body {
            Body::Blob(bytes) => bytes,
            Body::Frames(frames) => frames.first(),
        };
        let page: PeersReply = serde_json::from_slice(&bytes).ok()?;
        found.extend(page.peers.into_iter().filter(|peer| peer.at_most_once));
        match page.next {
            Some(next) => after = next,
            None => return Some(found),
        }
    }
}
