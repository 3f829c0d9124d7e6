//! Which requests are polls.

use std::str::FromStr;

use super::config::POLL_BYTES_MAX;
use crate::discovery::json::{self, Json, Text};

/// One kind of poll.
///
/// Written `key=value` it is a JSON object in which the member `key` is the text `value`, whatever else stands there; written `"text"`, in quotes of its own, it
/// is a request of exactly these bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PollPattern {
    /// A JSON object with this member.
    Member {
        /// Its name.
        key: Box<str>,
        /// Its value, as `json.dumps` would print it between quotes.
        value: Text,
    },
    /// Exactly these bytes.
    Exact(Box<[u8]>),
}

/// A text that is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither key=value nor a text in quotes, of at most {POLL_BYTES_MAX} bytes")]
pub struct PatternError;

impl FromStr for PollPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.len() > POLL_BYTES_MAX {
            return Err(PatternError);
        }
        if let Some(exact) = text.strip_prefix('"') {
            let exact = exact.strip_suffix('"').filter(|exact| !exact.is_empty()).ok_or(PatternError)?;
            return Ok(Self::Exact(exact.as_bytes().into()));
        }
        let (key, value) = text.split_once('=').ok_or(PatternError)?;
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
        if key.is_empty() || value.is_empty() || !key.bytes().all(is_plain) {
            return Err(PatternError);
        }
        Ok(Self::Member { key: key.into(), value: Text::new(value) })
    }
}

/// Whether a request is one of `patterns`. Reads at most [`POLL_BYTES_MAX`] bytes: what is longer is no poll.
pub(super) fn is_poll(patterns: &[PollPattern], request: &[u8]) -> bool {
    if request.len() > POLL_BYTES_MAX {
        return false;
    }
    let is_exact = |pattern: &PollPattern| matches!(pattern, PollPattern::Exact(bytes) if **bytes == *request);
    if patterns.iter().any(is_exact) {
        return true;
    }
    // Most of what is no poll is not read at all.
    if request.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return false;
    }
    let Ok(request) = json::read(request) else { return false };
    patterns.iter().any(|pattern| match pattern {
        PollPattern::Member { key, value } => request.get(key).and_then(Json::as_text) == Some(value),
        PollPattern::Exact(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::super::HealthConfig;
    use super::*;

    #[test]
    fn the_polls_of_the_agents_are_polls_and_nothing_else_is() {
        let HealthConfig { polls, .. } = HealthConfig::default();
        for poll in [
            r#"{"action": "ping"}"#,
            r#"{"action":"health"}"#,
            " {\"action\": \"health_check\", \"agent\": \"x\"}",
            r#"{"action": "\u0070ing"}"#,
        ] {
            assert!(is_poll(&polls, poll.as_bytes()), "{poll}");
        }
        let long = format!("{{\"action\": \"ping\", \"x\": \"{}\"}}", "x".repeat(POLL_BYTES_MAX));
        for other in ["", "ping", "{", "[1]", r#"{"action": "pings"}"#, r#"{"action": ["ping"]}"#, r#"{"a": {"action": "ping"}}"#, &long] {
            assert!(!is_poll(&polls, other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn patterns_are_written_in_two_ways() {
        let exact: PollPattern = "\"ping\"".parse().unwrap();
        assert!(is_poll(std::slice::from_ref(&exact), b"ping"));
        assert!(!is_poll(&[exact], b"ping "));
        let member: PollPattern = "command=STATUS=1".parse().unwrap();
        assert!(is_poll(&[member], br#"{"command": "STATUS=1"}"#));
        for wrong in ["", "ping", "=x", "x=", "\"", "\"\"", "\"x", "a\"b=c"] {
            assert_eq!(wrong.parse::<PollPattern>(), Err(PatternError), "{wrong:?}");
        }
    }
}
