//! A message's own headers as the server's, and a stored message of what the server has.

use std::str::FromStr;
use std::time::Duration;

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use myelin_store::{Stored, StreamConfig};

use super::super::headers::{Headers, decode, encode};
use super::millis;
use super::settings::GRACE;
use crate::wire::Subject;

/// The server's own headers.
const SERVER: &str = "Nats-";
/// When a message expires, in milliseconds since 1970: the server's TTL counts whole seconds.
const EXPIRES: &str = "Myelin-Expires";

/// Headers that NATS cannot carry (a name with a colon or blank, a value that is no line of text) are left out.
pub(super) fn of_record(headers: &Bytes) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in decode(headers.clone()) {
        let text = str::from_utf8(&value).ok().and_then(|text| HeaderValue::from_str(text).ok());
        if let (Ok(name), Some(text)) = (HeaderName::from_str(&name), text) {
            map.append(name, text);
        }
    }
    map
}

/// States when a message expires, and tells how long the server keeps it: whole seconds, and longer where it becomes a dead letter then.
pub(super) fn expire(map: &mut HeaderMap, stream: &StreamConfig, now_ms: u64, ttl: Duration) -> Duration {
    let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    map.insert(EXPIRES, now_ms.saturating_add(ttl_ms).to_string());
    let kept = Duration::from_secs(ttl.as_secs() + 1);
    if stream.dead_letter_expired { kept.saturating_add(GRACE) } else { kept }
}

/// A message as the server has it.
#[derive(Debug)]
pub(super) struct Held<'a> {
    pub(super) subject: &'a str,
    pub(super) sequence: u64,
    pub(super) time: async_nats::datetime::DateTime,
    pub(super) headers: Option<&'a HeaderMap>,
    pub(super) payload: Bytes,
}

impl Held<'_> {
    /// `None` if it has a subject that is none to us.
    pub(super) fn stored(self, config: Option<&StreamConfig>) -> Option<Stored> {
        let stored_ms = millis(self.time);
        let text = |name: &str| self.headers.and_then(|map| map.get(name)).map(|value| value.as_str().to_owned());
        let by_age = config.filter(|config| config.dead_letter_expired).and_then(|config| config.age_max);
        let by_age = by_age.map(|age| stored_ms.saturating_add(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)));
        let by_ttl = text(EXPIRES).and_then(|text| text.parse().ok());
        Some(Stored {
            sequence: self.sequence,
            subject: Subject::new(self.subject).ok()?,
            stored_ms,
            expires_ms: by_age.into_iter().chain(by_ttl).min(),
            id: text(async_nats::header::NATS_MESSAGE_ID.as_ref()).map(String::into_boxed_str),
            headers: encode(&own(self.headers)),
            payload: self.payload,
        })
    }
}

/// The headers of a message as the server's interface has them: the lines of the protocol, in base 64. What is none is left out.
pub(super) fn parse(encoded: &str) -> HeaderMap {
    let decoded = BASE64.decode(encoded).unwrap_or_default();
    let text = String::from_utf8_lossy(&decoded);
    let mut map = HeaderMap::new();
    // The first line is the version.
    for (name, value) in text.split("\r\n").skip(1).filter_map(|line| line.split_once(':')) {
        if let (Ok(name), Ok(value)) = (HeaderName::from_str(name), HeaderValue::from_str(value.trim())) {
            map.append(name, value);
        }
    }
    map
}

/// The message's own: the client forgets in which order headers with different names came; here they are in order of their names.
fn own(map: Option<&HeaderMap>) -> Headers {
    let is_own = |name: &str| !name.starts_with(SERVER) && name != EXPIRES;
    let mut own: Headers = Vec::new();
    for (name, values) in map.into_iter().flat_map(HeaderMap::iter) {
        let name: &str = name.as_ref();
        if is_own(name) {
            own.extend(values.iter().map(|value| (name.into(), Bytes::copy_from_slice(value.as_str().as_bytes()))));
        }
    }
    own.sort_by(|one, two| one.0.cmp(&two.0));
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_one_name_are_all_kept() {
        let map = parse(&BASE64.encode("NATS/1.0\r\nMine: 1\r\nMine:2\r\nno header\r\nOther: a: b\r\n\r\n"));
        let own: Vec<_> = own(Some(&map)).into_iter().map(|(name, value)| (name.into_string(), value)).collect();
        assert_eq!(own, [("Mine".to_owned(), "1".into()), ("Mine".to_owned(), "2".into()), ("Other".to_owned(), Bytes::from("a: b"))]);
    }
}
