//! Reads the JSON of a request, field by field, and names the one that is wrong.

use std::time::Duration;

use myelin_store::{ConsumerConfig, Durability, Name, OnFull, Retention, StreamConfig};
use serde_json::{Map, Value};

use super::super::error::StreamError;
use crate::wire::Filter;

type Asked<T> = Result<T, StreamError>;

/// The fields of a request. What is not taken by the end was not understood, and that is an error: a misspelt limit is no limit.
#[derive(Debug)]
pub(super) struct Fields(Map<String, Value>);

pub(super) fn invalid(field: &'static str, reason: impl Into<Box<str>>) -> StreamError {
    StreamError::Invalid { field, reason: reason.into() }
}

impl Fields {
    /// No bytes are no fields.
    pub(super) fn parse(body: &[u8]) -> Asked<Self> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self(Map::new()));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(invalid("request", "is not a JSON object")),
            Err(error) => Err(invalid("request", error.to_string())),
        }
    }

    fn take(&mut self, field: &str) -> Option<Value> {
        self.0.remove(field).filter(|value| !value.is_null())
    }

    pub(super) fn number(&mut self, field: &'static str) -> Asked<Option<u64>> {
        let number = |value: Value| value.as_u64().ok_or_else(|| invalid(field, format!("{value} is not a whole number")));
        self.take(field).map(number).transpose()
    }

    pub(super) fn text(&mut self, field: &'static str) -> Asked<Option<String>> {
        let text = |value: Value| match value {
            Value::String(text) => Ok(text),
            other => Err(invalid(field, format!("{other} is not a text"))),
        };
        self.take(field).map(text).transpose()
    }

    pub(super) fn flag(&mut self, field: &'static str) -> Asked<Option<bool>> {
        let flag = |value: Value| value.as_bool().ok_or_else(|| invalid(field, format!("{value} is neither true nor false")));
        self.take(field).map(flag).transpose()
    }

    pub(super) fn list(&mut self, field: &'static str) -> Asked<Option<Vec<Value>>> {
        let list = |value: Value| match value {
            Value::Array(list) => Ok(list),
            other => Err(invalid(field, format!("{other} is not a list"))),
        };
        self.take(field).map(list).transpose()
    }

    pub(super) fn duration(&mut self, field: &'static str) -> Asked<Option<Duration>> {
        Ok(self.number(field)?.map(Duration::from_millis))
    }

    pub(super) fn filter(&mut self, field: &'static str) -> Asked<Option<Filter>> {
        let filter = |text: String| Filter::new(&text).map_err(|error| invalid(field, error.to_string()));
        self.text(field)?.map(filter).transpose()
    }

    fn one_of<T: Copy>(&mut self, field: &'static str, words: &[(&str, T)]) -> Asked<Option<T>> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        let words = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        found.map(Some).ok_or_else(|| invalid(field, format!("{text:?} is none of {}", words())))
    }

    pub(super) fn end(self) -> Asked<()> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(unknown) => Err(invalid("request", format!("{unknown:?} is no field of this request"))),
        }
    }
}

pub(super) const RETENTIONS: [(&str, Retention); 3] =
    [("limits", Retention::Limits), ("work_queue", Retention::WorkQueue), ("interest", Retention::Interest)];
pub(super) const ON_FULL: [(&str, OnFull); 2] = [("reject", OnFull::Reject), ("drop_oldest", OnFull::DropOldest)];
pub(super) const DURABILITIES: [(&str, Durability); 3] =
    [("synced", Durability::Synced), ("os_buffered", Durability::OsBuffered), ("memory", Durability::Memory)];

/// A stream as it is asked for.
pub(in super::super) fn stream_config(name: Name, body: &[u8]) -> Asked<StreamConfig> {
    changed(StreamConfig::new(name, Vec::new()), body)
}

/// A stream as it is, but for what is asked for.
pub(super) fn changed(mut config: StreamConfig, body: &[u8]) -> Asked<StreamConfig> {
    let mut fields = Fields::parse(body)?;
    if let Some(subjects) = fields.list("subjects")? {
        config.subjects = subjects.iter().map(subject_filter).collect::<Asked<_>>()?;
    }
    config.retention = fields.one_of("retention", &RETENTIONS)?.unwrap_or(config.retention);
    config.messages_max = fields.number("messages_max")?.unwrap_or(config.messages_max);
    config.bytes_max = fields.number("bytes_max")?.unwrap_or(config.bytes_max);
    config.message_bytes_max = fields.number("message_bytes_max")?.unwrap_or(config.message_bytes_max);
    config.age_max = fields.duration("age_max_ms")?.or(config.age_max);
    config.on_full = fields.one_of("on_full", &ON_FULL)?.unwrap_or(config.on_full);
    config.dedup_window = fields.duration("dedup_window_ms")?.unwrap_or(config.dedup_window);
    config.durability = fields.one_of("durability", &DURABILITIES)?.unwrap_or(config.durability);
    config.dead_letter_expired = fields.flag("dead_letter_expired")?.unwrap_or(config.dead_letter_expired);
    config.dead_letter_evicted = fields.flag("dead_letter_evicted")?.unwrap_or(config.dead_letter_evicted);
    fields.end()?;
    Ok(config)
}

fn subject_filter(subject: &Value) -> Asked<Filter> {
    let text = subject.as_str().ok_or_else(|| invalid("subjects", format!("{subject} is not a text")))?;
    Filter::new(text).map_err(|error| invalid("subjects", error.to_string()))
}

/// A consumer as it is asked for.
pub(in super::super) fn consumer_config(name: Name, body: &[u8]) -> Asked<ConsumerConfig> {
    let mut fields = Fields::parse(body)?;
    let mut config = ConsumerConfig::new(name);
    config.filter = fields.filter("filter")?;
    if let Some(most) = fields.number("in_flight_max")? {
        config.in_flight_max = usize::try_from(most).unwrap_or(usize::MAX);
    }
    config.ack_wait = fields.duration("ack_wait_ms")?.unwrap_or(config.ack_wait);
    if let Some(most) = fields.number("deliveries_max")? {
        config.deliveries_max = u32::try_from(most).unwrap_or(u32::MAX);
    }
    for wait in fields.list("backoff_ms")?.unwrap_or_default() {
        let wait = wait.as_u64().ok_or_else(|| invalid("backoff_ms", format!("{wait} is not a whole number")))?;
        config.backoff.push(Duration::from_millis(wait));
    }
    fields.end()?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> Name {
        Name::new("n").unwrap()
    }

    #[test]
    fn a_stream_is_read_with_its_defaults() {
        let config = stream_config(name(), br#"{"subjects":["a.>"],"retention":"work_queue","age_max_ms":5000}"#).unwrap();
        let mut expected = StreamConfig::new(name(), vec![Filter::new("a.>").unwrap()]);
        (expected.retention, expected.age_max) = (Retention::WorkQueue, Some(Duration::from_secs(5)));
        assert_eq!(config, expected);
    }

    #[test]
    fn mistakes_are_named() {
        for (body, field) in [
            (&br#"{"retention":"forever"}"#[..], "retention"),
            (br#"{"messages_max":-1}"#, "messages_max"),
            (br#"{"subjects":["a..b"]}"#, "subjects"),
            (br#"{"max_msgs":1}"#, "request"),
            (b"[]", "request"),
            (b"{", "request"),
        ] {
            let Err(StreamError::Invalid { field: found, .. }) = stream_config(name(), body) else { panic!("{body:?} passed") };
            assert_eq!(found, field);
        }
    }
}
