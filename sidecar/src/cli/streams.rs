//! Asking a sidecar about its streams, for the verbs that do.

use std::time::Duration;

use bytes::Bytes;
use myelin_bus::streams::{ReplayError, StreamError};
use myelin_bus::wire::{Body, Subject};
use myelin_bus::{Bus, Message, RequestError};
use serde_json::{Value as Json, json};

use super::Failure;

/// What to look at when there are none.
const NO_STORE: &str = "this sidecar keeps no streams: store.enabled is false in its configuration";

/// A full disk or a large purge takes its time.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Asks with JSON; the answer as JSON.
pub(super) async fn ask(bus: &Bus, verb: &str, body: &Json) -> Result<Json, Failure> {
    let body = if body.is_null() { Body::default() } else { Body::from(body.to_string()) };
    let reply = request(bus, &Message::new(subject(verb)?, body)).await?;
    json(&reply)
}

/// Asks for a message as it is. Errors are JSON.
pub(super) async fn ask_raw(bus: &Bus, verb: &str, body: &Json) -> Result<Message, Failure> {
    let reply = request(bus, &Message::new(subject(verb)?, Body::from(body.to_string()))).await?;
    // What a stream tells of a message is in headers, which errors have not.
    if reply.meta.as_ref().is_some_and(|meta| meta.header("Myelin-Sequence").is_some()) {
        return Ok(reply);
    }
    json(&reply)?;
    Err(Failure::runtime("the sidecar answered with something else than a message"))
}

/// Sends any request and waits for its answer.
pub(super) async fn request(bus: &Bus, message: &Message) -> Result<Message, Failure> {
    bus.request_message(message, TIMEOUT).await.map_err(|error| match error {
        RequestError::NoResponders { .. } => Failure::runtime("the server is a NATS server and not a sidecar: it keeps no streams of ours"),
        error => Failure::runtime(error.to_string()),
    })
}

/// The JSON of an answer, unless it is an error.
pub(super) fn json(reply: &Message) -> Result<Json, Failure> {
    let parsed = serde_json::from_slice(&bytes(&reply.body));
    let answer: Json = parsed.map_err(|error| Failure::runtime(format!("cannot read the answer of the sidecar: {error}")))?;
    failure(&answer).map_or(Ok(answer), Err)
}

/// What an answer says went wrong.
pub(super) fn failure(answer: &Json) -> Option<Failure> {
    let error = answer.get("error")?;
    let failure = Failure::runtime(error["message"].as_str().unwrap_or("the sidecar refused").to_owned());
    Some(match error["code"].as_str() {
        Some("no_store") => Failure::runtime(NO_STORE),
        Some("no_stream") => failure.and("'myelin stream list' shows those there are, 'myelin stream create' makes one"),
        Some("no_consumer") => failure.and("'myelin consumer list STREAM' shows those there are, 'myelin consumer create' makes one"),
        Some("stream_full") => failure.and("let consumers catch up, purge it, or raise its limits with 'myelin stream create'"),
        Some("storage_full") => failure.and("free some space; acks and deletes still work, and free some too"),
        _ => failure,
    })
}

/// What went wrong with streams, with the same hints as an answer that says so.
pub(super) fn stream_failure(error: &StreamError) -> Failure {
    match error {
        StreamError::NoStore => Failure::runtime(NO_STORE),
        error => Failure::runtime(error.to_string()),
    }
}

pub(super) fn replay_failure(error: &ReplayError) -> Failure {
    match error {
        ReplayError::Letter(error) => stream_failure(error),
        error => Failure::runtime(error.to_string()),
    }
}

/// Everything of a list that is told in pages, as one document.
pub(super) async fn ask_all(bus: &Bus, verb: &str, field: &str) -> Result<Json, Failure> {
    let (mut all, mut asked) = (Vec::new(), Json::Null);
    loop {
        let mut page = ask(bus, verb, &asked).await?;
        if let Json::Array(entries) = page[field].take() {
            all.extend(entries);
        }
        if page["more"] != true || page["next"].is_null() {
            return Ok(json!({ field: all }));
        }
        asked = json!({ "from": page["next"] });
    }
}

pub(super) fn subject(verb: &str) -> Result<Subject, Failure> {
    Subject::new(&format!("$MYELIN.API.{verb}")).map_err(|error| Failure::usage(error.to_string()))
}

pub(super) fn bytes(body: &Body) -> Bytes {
    match body {
        Body::Blob(bytes) => bytes.clone(),
        Body::Frames(frames) => frames.first(),
    }
}

/// The first value of a header, as text.
pub(super) fn header(message: &Message, name: &str) -> Option<String> {
    let value = message.meta.as_ref()?.header(name)?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// A cell of a table: texts without quotes, nothing as a dash.
pub(super) fn cell(value: &Json) -> String {
    match value {
        Json::Null => "-".to_owned(),
        Json::String(text) if text.is_empty() => "-".to_owned(),
        Json::String(text) => super::payload::escape(text.as_bytes()),
        other => other.to_string(),
    }
}

/// Cells of these fields.
pub(super) fn cells(value: &Json, fields: &[&str]) -> Vec<String> {
    fields.iter().map(|field| cell(&value[*field])).collect()
}

/// One line per field, names aligned; what is nested is left out, which `--json` has.
pub(super) fn fields(value: &Json) -> String {
    let mut lines = Vec::new();
    flatten(value, &mut lines);
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    lines.iter().map(|(name, value)| format!("{name:width$}  {value}")).collect::<Vec<_>>().join("\n")
}

fn flatten(value: &Json, lines: &mut Vec<(String, String)>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        match value {
            Json::Object(_) if name == "config" => flatten(value, lines),
            Json::Array(texts) if texts.iter().all(Json::is_string) => {
                lines.push((name.clone(), texts.iter().map(cell).collect::<Vec<_>>().join(" ")));
            }
            Json::Array(numbers) if numbers.iter().all(Json::is_number) => lines.push((name.clone(), value.to_string())),
            Json::Object(_) | Json::Array(_) => {}
            value if name.ends_with("_ms") && !value.is_null() => {
                let millis = value.as_u64().unwrap_or(0);
                // Times of the day are large, spans are not.
                let shown = if millis > 1 << 40 { ago(millis) } else { crate::config::show_duration(Duration::from_millis(millis)) };
                lines.push((name.trim_end_matches("_ms").to_owned(), shown));
            }
            value => lines.push((name.clone(), cell(value))),
        }
    }
}

/// A time of the day as its distance from now.
pub(super) fn ago(at_ms: u64) -> String {
    let now_ms = crate::app::unix_ms(std::time::SystemTime::now());
    match now_ms.saturating_sub(at_ms) / 1_000 {
        seconds @ 0..120 => format!("{seconds}s ago"),
        seconds @ 120..7_200 => format!("{}m ago", seconds / 60),
        seconds @ 7_200..172_800 => format!("{}h ago", seconds / 3_600),
        seconds => format!("{}d ago", seconds / 86_400),
    }
}
