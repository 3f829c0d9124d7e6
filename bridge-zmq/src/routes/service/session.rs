//! One caller's conversation with a ROUTER agent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use myelin_bus::wire::{Body, Frames};
use myelin_bus::{Caller, Pressure, ReplyTo};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::RouteContext;
use super::request::{Request, in_callers_form, is_awaited};
use super::sessions::{WAITING_BYTES_MAX, WAITING_MAX};
use crate::front::{DisconnectReason, Peer, PeerHandler, SubscriptionChange};

/// How long the address of a request is used without a doubt: half of what it is valid for on another machine.
const ADDRESS_FRESH: Duration = Duration::from_secs(30);

/// What a session needs to know of its caller, and the connection once it is open.
#[derive(Debug)]
pub(super) struct Session {
    context: RouteContext,
    /// Where what the agent says goes.
    addresses: Mutex<Addresses>,
    identity: Bytes,
    is_blob: bool,
    /// Answer once, then close: the caller has no connection whose end would tell.
    is_anonymous: bool,
    answered: CancellationToken,
    /// Requests in the form of a REQ that have had no answer.
    owed: AtomicUsize,
    link: Mutex<Link>,
    opened: Notify,
}

#[derive(Debug)]
enum Link {
    Opening(Waiting),
    Open(Arc<Peer>),
}

#[derive(Debug, Default)]
struct Waiting {
    messages: Vec<Frames>,
    bytes: usize,
}

impl Session {
    /// For the caller of `request`, which it does not send yet.
    pub(super) fn new(context: RouteContext, request: &Request) -> Self {
        let caller = request.reply.as_ref().and_then(ReplyTo::caller);
        // A leading zero marks the names that ROUTERs make up themselves.
        let identity = caller.map(|caller| caller.identity.clone()).filter(|identity| !identity.starts_with(&[0]));
        Self {
            context,
            identity: identity.unwrap_or_default(),
            is_blob: matches!(request.body, Body::Blob(_)),
            is_anonymous: caller.is_none(),
            addresses: Mutex::default(),
            answered: CancellationToken::new(),
            owed: AtomicUsize::new(0),
            link: Mutex::new(Link::Opening(Waiting::default())),
            opened: Notify::new(),
        }
    }

    pub(super) fn identity(&self) -> &Bytes {
        &self.identity
    }

    pub(super) fn is_anonymous(&self) -> bool {
        self.is_anonymous
    }

    /// What ends the conversation: the caller's end, or the one answer for a caller that has none. A request without a reply address is over once
    /// it is sent.
    pub(super) fn over(&self, caller: Option<&Caller>) -> CancellationToken {
        if self.addresses.lock().latest.is_none() {
            self.answered.cancel();
        }
        caller.map_or_else(|| self.answered.clone(), |caller| caller.gone.clone())
    }

    /// Replies that the agent owes, if the caller is still there.
    pub(super) fn owed(&self) -> usize {
        if self.addresses.lock().latest.as_ref().is_some_and(is_awaited) { self.owed.load(Ordering::Relaxed) } else { 0 }
    }

    pub(super) fn send(&self, request: &Request) -> Option<Pressure> {
        if let Some(reply) = &request.reply {
            self.addresses.lock().add(reply, Instant::now());
        }
        if request.has_delimiter() {
            self.owed.fetch_add(1, Ordering::Relaxed);
        }
        let frames = request.frames();
        let mut link = self.link.lock();
        match &mut *link {
            Link::Open(peer) => {
                let peer = Arc::clone(peer);
                drop(link);
                peer.send(&frames).over.then(|| peer.pressure())
            }
            Link::Opening(waiting) => {
                if !waiting.push(frames) {
                    self.context.metrics.requests_refused.inc();
                }
                None
            }
        }
    }

    /// Waits until nothing waits for the connection to open.
    pub(super) async fn handed_over(&self) {
        while self.link.lock().is_waiting() {
            self.opened.notified().await;
        }
    }
}

/// Where the replies to a caller's requests go.
///
/// The addresses of a caller on another machine are valid for a time only, and what an agent says long after the first request would reach nobody:
/// so it goes where the latest request wants it. Requests that are told apart, because somebody watches over them, get theirs in the order of the
/// requests, as long as that is not so long ago.
#[derive(Debug, Default)]
struct Addresses {
    latest: Option<ReplyTo>,
    /// Of requests that are told apart and have had no answer, the oldest first; at most [`WAITING_MAX`].
    open: VecDeque<(ReplyTo, Instant)>,
}

impl Addresses {
    fn add(&mut self, reply: &ReplyTo, now: Instant) {
        self.latest = Some(reply.clone());
        if reply.caller().is_some_and(|caller| caller.request != 0) {
            if self.open.len() == WAITING_MAX {
                self.open.pop_front();
            }
            self.open.push_back((reply.clone(), now));
        }
    }

    /// Where what the agent says now goes.
    fn next(&mut self, now: Instant) -> Option<ReplyTo> {
        while self.open.front().is_some_and(|(_, since)| now.duration_since(*since) > ADDRESS_FRESH) {
            self.open.pop_front();
        }
        self.open.pop_front().map(|(reply, _)| reply).or_else(|| self.latest.clone())
    }
}

impl Waiting {
    fn push(&mut self, frames: Frames) -> bool {
        let bytes = self.bytes + frames.packed().len();
        if !self.messages.is_empty() && (self.messages.len() >= WAITING_MAX || bytes > WAITING_BYTES_MAX) {
            return false;
        }
        self.bytes = bytes;
        self.messages.push(frames);
        true
    }
}

impl Link {
    fn is_waiting(&self) -> bool {
        matches!(self, Self::Opening(waiting) if !waiting.messages.is_empty())
    }
}

impl PeerHandler for Session {
    fn connected(&self, peer: &Arc<Peer>) {
        let mut link = self.link.lock();
        let before = std::mem::replace(&mut *link, Link::Open(Arc::clone(peer)));
        if let Link::Opening(waiting) = before {
            // Under the lock, or the caller's next message would overtake them.
            peer.send_batch(&waiting.messages);
        }
        drop(link);
        self.opened.notify_one();
    }

    fn received(&self, _peer: &Arc<Peer>, batch: &mut Vec<Body>) -> Option<Pressure> {
        for body in batch.drain(..) {
            // An agent may also speak without being asked.
            let one_less = |owed: usize| owed.checked_sub(1);
            let _unasked = self.owed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
            // The one answer has been given; what else the agent says to nobody in particular goes nowhere.
            if self.is_anonymous && self.answered.is_cancelled() {
                return None;
            }
            let reply = self.addresses.lock().next(Instant::now());
            if let (Some(reply), Body::Frames(frames)) = (reply, body) {
                reply.respond(&self.context.bus, in_callers_form(self.is_blob, frames));
            }
            if self.is_anonymous {
                self.answered.cancel();
            }
        }
        None
    }

    fn subscription(&self, _peer: &Arc<Peer>, _change: SubscriptionChange, _prefix: Bytes) {}

    fn disconnected(&self, _peer: &Arc<Peer>, _reason: &DisconnectReason) {
        // What was sent may have run: it is not sent again. What comes meanwhile waits for the next connection.
        self.owed.store(0, Ordering::Relaxed);
        *self.link.lock() = Link::Opening(Waiting::default());
    }
}

#[cfg(test)]
mod tests {
    use myelin_bus::ReplySink;

    use super::*;

    fn request(number: u64) -> ReplyTo {
        let caller = Caller { connection: 1, identity: Bytes::new(), request: number, gone: CancellationToken::new() };
        ReplyTo::Sink(ReplySink::for_caller(caller, |_| {}))
    }

    /// The number of the request that an answer at this time goes to.
    fn answered(addresses: &mut Addresses, now: Instant) -> u64 {
        addresses.next(now).unwrap().caller().unwrap().request
    }

    #[test]
    fn requests_that_are_told_apart_are_answered_in_their_order_while_their_addresses_are_fresh() {
        let (mut addresses, now) = (Addresses::default(), Instant::now());
        for number in 1..=3 {
            addresses.add(&request(number), now);
        }
        assert_eq!([(); 4].map(|()| answered(&mut addresses, now)), [1, 2, 3, 3], "the last is unasked");
        for number in 4..=5 {
            addresses.add(&request(number), now + ADDRESS_FRESH * (number as u32 - 3));
        }
        assert_eq!(answered(&mut addresses, now + ADDRESS_FRESH * 3), 5, "the fourth may have expired");
    }
}
