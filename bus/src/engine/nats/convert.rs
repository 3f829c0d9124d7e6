//! Messages of the bus to messages of the client, and back.

use std::str::FromStr;

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;

use super::outgoing::Outbound;
use crate::wire::{Body, Subject, SubjectError};
use crate::{Meta, ReplyTo, payload};

/// A message for the client. Headers that NATS cannot carry (a name with a colon or blank, a value that is no line of text) are left out.
pub(super) fn outbound(subject: &Subject, reply: Option<&Subject>, meta: Option<&Meta>, payload: Bytes) -> Outbound {
    let (headers, headers_len) = headers(meta);
    Outbound { subject: named(subject), reply: reply.map(named), headers, headers_len, payload }
}

/// A name for the client, by reference: copies of it are made wherever a message may have to wait.
fn named(subject: &Subject) -> async_nats::Subject {
    struct Name(Subject);
    impl AsRef<[u8]> for Name {
        fn as_ref(&self) -> &[u8] {
            self.0.as_str().as_bytes()
        }
    }
    let bytes = Bytes::from_owner(Name(subject.clone()));
    async_nats::Subject::from_utf8(bytes).unwrap_or_else(|_| subject.as_str().into())
}

fn headers(meta: Option<&Meta>) -> (Option<HeaderMap>, usize) {
    let mut map = HeaderMap::new();
    // `NATS/1.0`, and the line ends after it and after the last header.
    let mut len = 12;
    for (name, value) in meta.iter().flat_map(|meta| &meta.headers) {
        let text = std::str::from_utf8(value).ok().and_then(|text| HeaderValue::from_str(text).ok());
        if let (Ok(known), Some(text)) = (HeaderName::from_str(name), text) {
            // A colon, a blank and a line end.
            len += name.len() + text.as_str().len() + 4;
            map.append(known, text);
        }
    }
    if map.is_empty() { (None, 0) } else { (Some(map), len) }
}

/// A message from the client.
#[derive(Debug)]
pub(super) struct Inbound {
    pub(super) reply: Option<ReplyTo>,
    pub(super) meta: Option<Box<Meta>>,
    pub(super) body: Body,
}

/// Everything of a message but its subject. The client forgets in which order headers with different names came; here they are in order of
/// their names.
pub(super) fn inbound(message: async_nats::Message) -> Result<Inbound, SubjectError> {
    let reply = message.reply.map(|reply| Subject::new(&reply)).transpose()?.map(ReplyTo::Subject);
    let mut headers = Vec::new();
    if let Some(status) = message.status {
        headers.push(("Status".into(), Bytes::from(status.to_string())));
    }
    if let Some(description) = message.description {
        headers.push(("Description".into(), Bytes::from(description)));
    }
    if let Some(map) = &message.headers {
        let mut entries: Vec<(&str, _)> = map.iter().map(|(name, values)| (name.as_ref(), values)).collect();
        entries.sort_by_key(|&(name, _)| name);
        for (name, values) in entries {
            headers.extend(values.iter().map(|value| (name.into(), Bytes::copy_from_slice(value.as_str().as_bytes()))));
        }
    }
    let (meta, body) = payload::decode(message.payload, headers);
    Ok(Inbound { reply, meta, body })
}
