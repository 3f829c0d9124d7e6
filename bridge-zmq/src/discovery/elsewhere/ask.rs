//! What is asked of other sidecars: all their names, or whether one agent is really there.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use myelin_bus::wire::Body;
use tokio::task::JoinSet;
use tracing::debug;

use super::super::agent::AgentName;
use super::message::{Found, NodeId, Page, decode_found, decode_page, encode_name};
use super::nodes::There;
use super::{Beyond, Shared};

/// How long a page of names may take.
const LIST_PATIENCE: Duration = Duration::from_secs(1);

/// Pages of one sidecar: 16 MiB of names, more than it may have.
const PAGES_MAX: usize = 256;

/// How often a list is begun again because the names changed meanwhile.
const RESTARTS_MAX: usize = 3;

/// How many of the sidecars that serve a name are asked at a lookup.
const FIND_MAX: usize = 4;

/// All names of a sidecar as they were at one moment; `None` when it does not say, or they change too fast.
pub(super) async fn list(shared: &Shared, node: NodeId) -> Option<Page> {
    for _ in 0..RESTARTS_MAX {
        if let Some(listed) = list_once(shared, node).await? {
            return Some(listed);
        }
    }
    None
}

/// The inner `None`: its names have changed between two pages.
async fn list_once(shared: &Shared, node: NodeId) -> Option<Option<Page>> {
    let mut all = page(shared, node, None).await?;
    for _ in 1..PAGES_MAX {
        if all.is_last {
            return Some(Some(all));
        }
        let next = page(shared, node, all.names.last().map(|(name, _)| name)).await?;
        if (next.head.version, next.head.digest) != (all.head.version, all.head.digest) {
            return Some(None);
        }
        all.is_last = next.is_last;
        all.names.extend(next.names);
    }
    debug!(%node, "a sidecar never comes to the end of its names");
    None
}

async fn page(shared: &Shared, node: NodeId, after: Option<&AgentName>) -> Option<Page> {
    let reply = request(shared, node, "LIST", after, LIST_PATIENCE).await?;
    let page = decode_page(&reply).ok().filter(|page| page.head.node == node);
    if page.is_none() {
        shared.metrics.malformed();
    }
    page
}

/// Asks the sidecars that serve an agent whether it is there. The first that says so has said enough.
pub(super) async fn find(shared: &Arc<Shared>, name: &AgentName, there: &[There]) -> Option<Beyond> {
    let mut asking = JoinSet::new();
    for There { node, .. } in there.iter().take(FIND_MAX).cloned() {
        let (shared, name) = (Arc::clone(shared), name.clone());
        asking.spawn(async move { request(&shared, node, "FIND", Some(&name), shared.config.find_patience).await });
    }
    while let Some(asked) = asking.join_next().await {
        let Ok(Some(reply)) = asked else { continue };
        match decode_found(&reply) {
            Ok(Found::Here { sockets, card, last_registered }) => {
                return Some(Beyond { has_health: sockets.has_health(), card, last_registered });
            }
            // That a name is not known any more is said to everybody, or will be.
            Ok(Found::Unreachable | Found::Unknown) => {}
            Err(_) => shared.metrics.malformed(),
        }
    }
    None
}

async fn request(shared: &Shared, node: NodeId, verb: &'static str, name: Option<&AgentName>, patience: Duration) -> Option<Bytes> {
    let body = Body::from(encode_name(name));
    match shared.bus.request(&Shared::subject_of(node, verb), body, patience).await {
        Ok(reply) => Some(match reply.body {
            Body::Blob(bytes) => bytes,
            Body::Frames(frames) => frames.first(),
        }),
        Err(error) => {
            debug!(%node, verb, %error, "a sidecar does not answer");
            None
        }
    }
}
