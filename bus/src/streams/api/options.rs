//! What is known about a message beside its payload, as headers: what its publisher asks for, and what a stream tells about it.

use std::time::Duration;

use bytes::Bytes;
use myelin_store::{Attempt, Stored};
use serde_json::json;

use super::super::error::StreamError;
use super::super::headers::{self, Headers};
use super::super::verbs::PublishOptions;
use super::asked::invalid;
use crate::Meta;

pub(in super::super) const ID: &str = "Myelin-Msg-Id";
/// The name that publishers to JetStream use.
const NATS_ID: &str = "Nats-Msg-Id";
const TTL: &str = "Myelin-TTL";
const DELAY: &str = "Myelin-Delay";
const EXPECTED_LAST: &str = "Myelin-Expected-Last-Subject-Sequence";

pub(in super::super) const SUBJECT: &str = "Myelin-Subject";
pub(in super::super) const SEQUENCE: &str = "Myelin-Sequence";
pub(in super::super) const DELIVERIES: &str = "Myelin-Deliveries";
pub(in super::super) const STORED: &str = "Myelin-Stored";
pub(in super::super) const EXPIRES: &str = "Myelin-Expires";
pub(in super::super) const ATTEMPTS: &str = "Myelin-Attempts";

/// Headers that are about one passage of a message and not part of it. They are not stored.
const PASSING: [&str; 11] = [ID, TTL, DELAY, EXPECTED_LAST, SUBJECT, SEQUENCE, DELIVERIES, STORED, EXPIRES, ATTEMPTS, super::STATUS];

/// Whether a header is about one passage of a message.
pub(in super::super) fn is_passing(name: &str) -> bool {
    PASSING.contains(&name)
}

/// Takes the options out of a message's headers; what is left is the message's own.
pub(super) fn take(meta: Option<&mut Meta>) -> Result<PublishOptions, StreamError> {
    let Some(meta) = meta else { return Ok(PublishOptions::default()) };
    let text = |name: &str| {
        let value = meta.headers.iter().find(|(found, _)| **found == *name).map(|(_, value)| value);
        value.map(|value| String::from_utf8_lossy(value).trim().to_owned())
    };
    let duration = |name: &'static str| {
        let parsed = |text: String| parse_duration(&text).ok_or_else(|| invalid(name, format!("{text:?} is no duration")));
        text(name).map(parsed).transpose()
    };
    let number = |text: String| text.parse().map_err(|_| invalid(EXPECTED_LAST, format!("{text:?} is no sequence")));
    let options = PublishOptions {
        id: text(ID).or_else(|| text(NATS_ID)).map(String::into_boxed_str),
        ttl: duration(TTL)?,
        delay: duration(DELAY)?,
        expected_last_sequence: text(EXPECTED_LAST).map(number).transpose()?,
    };
    meta.headers.retain(|(name, _)| !is_passing(name));
    Ok(options)
}

/// The options as headers.
pub(in super::super) fn give(headers: &mut Headers, options: &PublishOptions) {
    let mut add = |name: &str, value: Option<String>| headers.extend(value.map(|value| (name.into(), Bytes::from(value))));
    let millis = |duration: Duration| format!("{}ms", duration.as_millis());
    add(ID, options.id.as_ref().map(ToString::to_string));
    add(TTL, options.ttl.map(millis));
    add(DELAY, options.delay.map(millis));
    add(EXPECTED_LAST, options.expected_last_sequence.map(|sequence| sequence.to_string()));
}

/// What a stream knows of a stored message, and the message's own headers.
pub(super) fn of_stored(stored: &Stored) -> Headers {
    let mut told: Headers = Vec::new();
    let mut add = |name: &str, value: String| told.push((name.into(), Bytes::from(value)));
    add(SUBJECT, stored.subject.as_str().to_owned());
    add(SEQUENCE, stored.sequence.to_string());
    add(STORED, stored.stored_ms.to_string());
    if let Some(expires_ms) = stored.expires_ms {
        add(EXPIRES, expires_ms.to_string());
    }
    if let Some(id) = &stored.id {
        add(ID, id.to_string());
    }
    told.extend(headers::decode(stored.headers.clone()));
    told
}

/// As it is told of a delivery.
pub(super) fn of_attempts(attempts: &[Attempt]) -> String {
    let told = |attempt: &Attempt| json!({ "at_ms": attempt.at_ms, "outcome": attempt.outcome.as_str(), "error": attempt.error });
    json!(attempts.iter().map(told).collect::<Vec<_>>()).to_string()
}

/// Seconds as a number, or numbers with units, largest first: `90`, `1m30s`, `250ms`.
fn parse_duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let (mut rest, mut sum) = (text, Duration::ZERO);
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit = rest[digits..].find(|character: char| character.is_ascii_digit()).map_or(rest.len(), |length| digits + length);
        let millis = match &rest[digits..unit] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        sum = sum.checked_add(Duration::from_millis(number.checked_mul(millis)?))?;
        rest = &rest[unit..];
    }
    (!text.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_or_are_seconds() {
        let millis = |millis| Some(Duration::from_millis(millis));
        for (text, expected) in [("90", millis(90_000)), ("1m30s", millis(90_000)), ("250ms", millis(250)), ("1h", millis(3_600_000))] {
            assert_eq!(parse_duration(text), expected, "{text}");
        }
        for text in ["", "s", "1x", "1.5s", "-1s", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn options_are_taken_out_and_the_rest_stays() {
        let mut headers: Headers = vec![("Mine".into(), Bytes::from_static(b"1"))];
        let options =
            PublishOptions { id: Some("a".into()), ttl: Some(Duration::from_millis(1_500)), delay: None, expected_last_sequence: Some(0) };
        give(&mut headers, &options);
        let mut meta = Meta { headers, envelope: None };
        let taken = take(Some(&mut meta)).unwrap();
        assert_eq!((taken.id, taken.ttl, taken.expected_last_sequence), (options.id, options.ttl, options.expected_last_sequence));
        assert_eq!(meta.headers.len(), 1);
    }
}
