//! From a delivery of the bus to `MSG` and `HMSG` in a client's outlet, inside the publisher's call.
//!
//! Cost of one small message: its bytes copied once into the outlet, behind a control line of which only the length is written anew; no
//! allocation. Frames, which NATS does not know, are packed into an envelope first.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};

use super::client::{Client, Sid};
use super::origin;
use super::protocol::{MessageHead, NO_RESPONDERS_BLOCK, write_block};
use crate::wire::{Body, Subject};
use crate::{Delivery, InlineHandler, Meta, Pressure, payload};

thread_local! {
    /// The control line being written. One per thread serves all clients, because a delivery is encoded without a pause.
    static HEAD: RefCell<MessageHead> = RefCell::default();
}

/// One subscription of one client.
#[derive(Debug)]
pub(super) struct ClientSubscription {
    client: Arc<Client>,
    sid: Sid,
    /// Messages delivered since the subscription began.
    delivered: AtomicU64,
    /// Messages after which it ends; 0 for none.
    max: AtomicU64,
}

/// The subscription as the router sees it.
#[derive(Debug)]
pub(super) struct Deliverer(pub(super) Arc<ClientSubscription>);

impl ClientSubscription {
    pub(super) fn new(client: Arc<Client>, sid: Sid) -> Self {
        Self { client, sid, delivered: AtomicU64::new(0), max: AtomicU64::new(0) }
    }

    /// Ends the subscription after `max` messages, counted from its beginning. Returns whether that is now.
    pub(super) fn limit(&self, max: u64) -> bool {
        self.max.store(max, Ordering::SeqCst);
        self.is_exhausted()
    }

    /// Whether the last message has been delivered.
    pub(super) fn is_exhausted(&self) -> bool {
        let max = self.max.load(Ordering::SeqCst);
        max > 0 && self.delivered.load(Ordering::SeqCst) >= max
    }

    /// Takes as many of `wanted` messages as the limit leaves.
    fn take(&self, wanted: usize) -> usize {
        let before = self.delivered.fetch_add(wanted as u64, Ordering::SeqCst);
        let max = self.max.load(Ordering::SeqCst);
        if max == 0 {
            return wanted;
        }
        let taken = max.saturating_sub(before).min(wanted as u64);
        // Exactly one call crosses the limit, however many publish at once.
        if before < max && before + wanted as u64 >= max {
            self.client.exhaust(self.sid.clone());
        }
        usize::try_from(taken).unwrap_or(wanted)
    }
}

impl InlineHandler for Deliverer {
    fn deliver(&self, delivery: Delivery<'_>) -> Option<Pressure> {
        let subscription = &*self.0;
        let client = &*subscription.client;
        if !client.has_echo() && origin::spare(client.id, delivery.subject) {
            return None;
        }
        if client.is_slow() {
            client.count_dropped(delivery.bodies.len());
            return None;
        }
        let bodies = &delivery.bodies[..subscription.take(delivery.bodies.len())];
        if bodies.is_empty() {
            return None;
        }
        let reply = delivery.reply.map(|reply| client.bus.reply_subject(reply));
        write(client, delivery.subject, &subscription.sid, reply.as_ref(), delivery.meta, bodies)
    }

    fn load(&self) -> usize {
        let client = &*self.0.client;
        let is_own = !client.has_echo() && origin::is_publishing(client.id);
        if is_own || self.0.is_exhausted() || client.is_gone() { usize::MAX } else { client.outlet.queued().messages }
    }
}

fn write(
    client: &Client,
    subject: &Subject,
    sid: &[u8],
    reply: Option<&Subject>,
    meta: Option<&Meta>,
    bodies: &[Body],
) -> Option<Pressure> {
    let block = meta.filter(|meta| client.has_headers() && !meta.headers.is_empty()).map(|meta| {
        let mut block = BytesMut::new();
        let (status, headers) = split_no_responders(meta, bodies);
        write_block(&mut block, status, headers.iter().map(|(name, value)| (&**name, &**value)));
        block
    });
    let word: &[u8] = if block.is_some() { b"HMSG" } else { b"MSG" };
    let mut bytes = 0;
    let pushed = HEAD.with_borrow_mut(|head| {
        head.start(word, subject.as_str(), sid, reply.map(Subject::as_str));
        client.outlet.push_with(|batch| {
            for body in bodies {
                let Ok(payload) = payload::encode(meta, body) else {
                    client.count_dropped(1);
                    continue;
                };
                let line = match &block {
                    Some(block) => head.with_headers(block, payload.len()),
                    None => head.plain(payload.len()),
                };
                bytes += line.len() + payload.len() + 2;
                batch.message(line, &payload, b"\r\n");
            }
        })
    });
    client.judge(pushed, bytes)
}

/// The status and the other headers of a server's word that nobody is there to answer a request: clients know it by the first line alone. Any other
/// status is a header like others.
fn split_no_responders<'a>(meta: &'a Meta, bodies: &[Body]) -> (&'a [u8], &'a [(Box<str>, Bytes)]) {
    let is_empty = || bodies.iter().all(|body| matches!(body, Body::Blob(blob) if blob.is_empty()));
    match &*meta.headers {
        [(name, status), others @ ..] if **name == *"Status" && status == "503" && is_empty() => (status, others),
        all => (&[], all),
    }
}

/// Tells a client that nobody is there to answer its request, on its own subscription to the reply subject.
pub(super) fn tell_no_responders(client: &Client, reply: &Subject, sid: &[u8]) {
    HEAD.with_borrow_mut(|head| {
        head.start(b"HMSG", reply.as_str(), sid, None);
        let mut message = head.with_headers(NO_RESPONDERS_BLOCK, 0).to_vec();
        message.extend_from_slice(b"\r\n");
        client.say(&message);
    });
}
