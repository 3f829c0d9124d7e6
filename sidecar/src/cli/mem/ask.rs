//! Asking a sidecar about its memory.

use std::time::Duration;

use bytes::Bytes;
use myelin_bus::wire::{Body, Subject};
use myelin_bus::{Bus, RequestError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::super::{Failure, payload};
use crate::memory::{API, Refusal, pack, wire};

/// A Redis that fails over takes its time.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Asks, and reads the answer or what went wrong.
pub(super) async fn ask<A: DeserializeOwned>(bus: &Bus, verb: &str, asked: &impl Serialize) -> Result<A, Failure> {
    let subject = Subject::new(&format!("{API}{verb}")).expect("verbs are tokens");
    let reply = bus.request(&subject, Body::from(pack(asked)), TIMEOUT).await.map_err(|error| match error {
        RequestError::NoResponders { .. } => Failure::runtime("the server keeps no memory: it is a NATS server, or an earlier sidecar"),
        error => Failure::runtime(error.to_string()),
    })?;
    read(&bytes(&reply.body))
}

/// An answer, unless it is an error.
pub(super) fn read<A: DeserializeOwned>(bytes: &[u8]) -> Result<A, Failure> {
    if let Ok(wire::Failed { error: Some(refusal) }) = rmp_serde::from_slice(bytes) {
        return Err(failure(&refusal));
    }
    rmp_serde::from_slice(bytes).map_err(|error| Failure::runtime(format!("cannot read the answer of the sidecar: {error}")))
}

/// What an answer says went wrong, and what to do.
pub(super) fn failure(refusal: &Refusal) -> Failure {
    let failure = Failure::runtime(refusal.message.clone());
    match refusal.code.as_str() {
        "invalid" => Failure::usage(refusal.message.clone()),
        "conflict" => failure.and(match &refusal.current {
            Some(revision) => format!("its revision is {revision}"),
            None => "there is no entry".to_owned(),
        }),
        "unavailable" => failure.and("'myelin doctor' looks for the reason; ask again later"),
        "full" => failure.and("what expires makes room; memory.bytes_max may be raised"),
        "unknown" => failure.and("look before you repeat it: 'myelin mem get' and 'myelin mem recent' tell"),
        _ => failure,
    }
}

pub(super) fn bytes(body: &Body) -> Bytes {
    match body {
        Body::Blob(bytes) => bytes.clone(),
        Body::Frames(frames) => frames.first(),
    }
}

/// An entry as JSON.
pub(super) fn document(key: &str, entry: &wire::Entry) -> Json {
    let mut document = json!({ "key": key, "revision": entry.revision, "ttl_ms": entry.ttl_ms, "content_type": entry.content_type });
    payload::put(&mut document, &entry.value.clone().into());
    document
}
