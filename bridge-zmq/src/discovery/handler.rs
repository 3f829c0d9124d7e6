//! Takes requests from callers' connections and sends the answers back.
//!
//! Callers are REQ and DEALER sockets at a ROUTER of ours. Whatever stands before the body, up to the empty delimiter, comes back
//! verbatim before the answer, so that a request may have crossed any number of proxies.
//!
//! Invariants:
//! - *inline or elsewhere*: what needs no waiting is answered on the caller's task, everything else on a task of its own, so that no
//!   caller waits for another's agent.
//! - *bounded*: tasks are counted in all and per connection; what comes on top is refused with an answer. A caller that does not read
//!   its answers is not read either, and what it sent on top of a full queue is dropped, counted.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use myelin_bus::Pressure;
use myelin_bus::wire::{Body, Frames};
use parking_lot::Mutex;

use super::dialect::{self, Dialect, Malformed, Request};
use super::json::Text;
use super::metrics::{Outcome, Verb};
use super::{Caller, Discovery, answer};
use crate::front::{DisconnectReason, Peer, PeerHandler, SubscriptionChange};

/// Longest envelope that is carried back: 4 KiB, sixteen proxies with the longest identities. A longer one is dropped.
const ENVELOPE_BYTES_MAX: usize = 4 * 1024;

/// Answers for the registry on a ROUTER socket. Made by [`Discovery::handler`].
#[derive(Debug)]
pub struct DiscoveryHandler {
    discovery: Discovery,
    underway: Arc<Underway>,
}

impl DiscoveryHandler {
    pub(super) fn new(discovery: Discovery) -> Self {
        Self { discovery, underway: Arc::default() }
    }

    fn take(&self, peer: &Arc<Peer>, frames: &Frames) {
        let (envelope, body) = split(frames);
        if envelope.len() > ENVELOPE_BYTES_MAX {
            return self.discovery.metrics().answered(Verb::Malformed, Outcome::Dropped);
        }
        let (dialect, request) = match body {
            Some(body) => dialect::decode(&body),
            None => (Dialect::Action, Err(Malformed::Json)),
        };
        match request {
            Err(malformed) => {
                self.discovery.metrics().answered(Verb::Malformed, Outcome::Refused);
                send(peer, &envelope, &answer::failed(dialect, &malformed.text()));
            }
            Ok(request) => match self.discovery.answer_at_once(&request) {
                Some(answer) => send(peer, &envelope, &answer),
                None => self.answer_later(peer, &envelope, dialect, request),
            },
        }
    }

    fn answer_later(&self, peer: &Arc<Peer>, envelope: &[u8], dialect: Dialect, request: Request) {
        let config = self.discovery.config();
        let Some(place) = Place::take(&self.underway, peer.id().get(), config.requests_max, config.requests_per_caller_max) else {
            self.discovery.metrics().answered(Verb::from(&request), Outcome::Busy);
            let text = Text::new("registry is busy, try again");
            return send(peer, envelope, &answer::failed(dialect, &text));
        };
        // A copy, because the slice would keep the whole read buffer alive for as long as the answer takes.
        let envelope = Bytes::copy_from_slice(envelope);
        let (discovery, peer) = (self.discovery.clone(), Arc::clone(peer));
        let caller = Caller { peer: peer.remote().ip(), local: peer.local() };
        self.discovery.spawn(async move {
            let answer = discovery.answer(dialect, request, caller).await;
            send(&peer, &envelope, &answer);
            drop(place);
        });
    }
}

impl PeerHandler for DiscoveryHandler {
    fn connected(&self, _peer: &Arc<Peer>) {}

    fn received(&self, peer: &Arc<Peer>, batch: &mut Vec<Body>) -> Option<Pressure> {
        for body in batch.drain(..) {
            // A list of all agents is thousands of times the size of its request: one over the bound is enough.
            match body {
                Body::Frames(frames) if peer.outlet().has_room() => self.take(peer, &frames),
                Body::Frames(_) | Body::Blob(_) => self.discovery.metrics().answered(Verb::Malformed, Outcome::Dropped),
            }
        }
        (!peer.outlet().has_room()).then(|| peer.pressure())
    }

    fn subscription(&self, _peer: &Arc<Peer>, _change: SubscriptionChange, _prefix: Bytes) {}

    fn disconnected(&self, _peer: &Arc<Peer>, _reason: &DisconnectReason) {}
}

/// The frames to be sent back, in wire form, and the body of a request.
///
/// The envelope ends with the first empty frame that has something after it; without one, with the last frame but one. No body means
/// that there are several frames where one belongs.
fn split(frames: &Frames) -> (Bytes, Option<Bytes>) {
    let mut body = frames.clone();
    loop {
        match body.split_first() {
            (delimiter, Some(rest)) if delimiter.is_empty() => {
                body = rest;
                break;
            }
            (_, Some(rest)) => body = rest,
            (_, None) => break,
        }
    }
    let envelope = frames.packed().slice(..frames.packed().len() - body.packed().len());
    (envelope, (body.count() == 1).then(|| body.first()))
}

/// Sends an answer. A caller that is gone drops it, and the front counts that.
fn send(peer: &Peer, envelope: &[u8], answer: &str) {
    let _receiver_may_be_gone = peer.send_prefixed(envelope, &Frames::single(answer.as_bytes()));
}

/// How many requests are being answered, per connection.
#[derive(Debug, Default)]
struct Underway(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    /// Only connections that have any, so it has at most as many entries as there are requests.
    by_caller: HashMap<u64, usize>,
}

/// The right to work on one request.
struct Place {
    underway: Arc<Underway>,
    /// The number of its connection.
    caller: u64,
}

impl Place {
    fn take(underway: &Arc<Underway>, caller: u64, all_max: usize, caller_max: usize) -> Option<Self> {
        let mut counts = underway.0.lock();
        let of_caller = counts.by_caller.get(&caller).copied().unwrap_or(0);
        if counts.all >= all_max || of_caller >= caller_max {
            return None;
        }
        counts.all += 1;
        counts.by_caller.insert(caller, of_caller + 1);
        drop(counts);
        Some(Self { underway: Arc::clone(underway), caller })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.underway.0.lock();
        counts.all -= 1;
        match counts.by_caller.get_mut(&self.caller) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(counts.by_caller.remove(&self.caller)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_parts(parts: &[&str]) -> (Vec<String>, Option<String>) {
        let frames = Frames::from_parts(parts).unwrap();
        let (envelope, body) = split(&frames);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        // What is sent back is the envelope with one frame after it.
        let answer = [&envelope[..], Frames::single(b"answer").packed()].concat();
        let answer = Frames::from_packed(answer.into()).unwrap();
        let mut sent: Vec<String> = answer.slices().map(text).collect();
        assert_eq!(sent.pop().as_deref(), Some("answer"));
        (sent, body.map(|body| text(&body)))
    }

    #[test]
    fn the_envelope_ends_with_the_first_delimiter() {
        let owned = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
        for (parts, envelope, body) in [
            (&["", "body"][..], &[""][..], Some("body")),
            (&["id", "", "body"], &["id", ""], Some("body")),
            (&["id", "id2", "", "body"], &["id", "id2", ""], Some("body")),
            (&["", ""], &[""], Some("")),
            (&["body"], &[], Some("body")),
            (&[""], &[], Some("")),
            (&["id", "body"], &["id"], Some("body")),
            (&["", "body", "more"], &[""], None),
            (&["id", "", "", "body"], &["id", ""], None),
        ] {
            assert_eq!(split_parts(parts), (owned(envelope), body.map(str::to_owned)), "{parts:?}");
        }
    }

    #[test]
    fn places_are_limited_in_all_and_per_caller_and_given_back() {
        let underway = Arc::new(Underway::default());
        let _one = Place::take(&underway, 1, 3, 2).unwrap();
        let two = Place::take(&underway, 1, 3, 2).unwrap();
        assert!(Place::take(&underway, 1, 3, 2).is_none(), "the caller's share");
        let three = Place::take(&underway, 2, 3, 2).unwrap();
        assert!(Place::take(&underway, 3, 3, 2).is_none(), "everybody's");
        drop(two);
        assert!(Place::take(&underway, 3, 3, 2).is_some());
        drop(three);
        assert_eq!(underway.0.lock().by_caller.len(), 1);
    }
}
