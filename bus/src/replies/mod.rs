//! Who waits for replies: requests of this process by number, and reply sinks that other processes know by a subject.
//!
//! Invariants:
//! - **No subscription per request.** A request costs a slot, found by index; replies never walk the router.
//! - **One reply per slot.** The first fills it; any other, and any for a slot that is gone, is dropped and counted as late. A slot's number is
//!   not used again for the next 2^31 requests in the same place.
//! - **Bounded.** Slots and sinks have a maximum; a full slot table refuses the request, a full sink table forgets the oldest sink.

mod sinks;
mod slots;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use self::sinks::Sinks;
use self::slots::Slots;
pub(crate) use self::slots::{Outcome, Token};
use crate::reply::ReplyTo;
use crate::wire::{Body, Subject};
use crate::{Meta, Metrics, ReplySink};

/// Both tables of one bus.
#[derive(Debug)]
pub(crate) struct Replies {
    prefix: Box<str>,
    slots: Mutex<Slots>,
    sinks: Mutex<Sinks>,
    /// Told when the last waiting request ends.
    closed: Notify,
    metrics: Metrics,
}

/// The bounds of both tables.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RepliesConfig {
    pub(crate) requests_max: usize,
    pub(crate) subjects_max: usize,
    pub(crate) subject_ttl: Duration,
}

impl Replies {
    pub(crate) fn new(config: RepliesConfig, metrics: Metrics) -> Self {
        Self {
            prefix: format!("_INBOX.{:016x}.", fastrand::u64(..)).into(),
            slots: Mutex::new(Slots::new(config.requests_max)),
            sinks: Mutex::new(Sinks::new(config.subjects_max, config.subject_ttl)),
            closed: Notify::new(),
            metrics,
        }
    }

    /// What every reply subject of this bus starts with: `_INBOX.<bus id>.`
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Opens a slot for one reply; `None` when too many requests wait already.
    pub(crate) fn open(self: &Arc<Self>) -> Option<PendingReply> {
        let token = self.slots.lock().open()?;
        Some(PendingReply { replies: Arc::clone(self), token })
    }

    /// Most requests that may wait.
    pub(crate) fn requests_max(&self) -> usize {
        self.slots.lock().max()
    }

    /// Requests that wait now.
    pub(crate) fn waiting(&self) -> usize {
        self.slots.lock().waiting()
    }

    /// Waits until no request waits for its reply.
    pub(crate) async fn all_answered(&self) {
        loop {
            let closed = self.closed.notified();
            if self.waiting() == 0 {
                return;
            }
            closed.await;
        }
    }

    /// Ends a request with its reply. Returns whether it still waited.
    pub(crate) fn fill(&self, token: Token, meta: Option<&Meta>, body: Body) -> bool {
        self.finish(token, Outcome::Reply { meta: meta.map(|meta| Box::new(meta.clone())), body })
    }

    fn finish(&self, token: Token, outcome: Outcome) -> bool {
        // The waker runs outside of the lock: it may poll the waiting task at once.
        let filled = self.slots.lock().fill(token, outcome);
        let Ok(waker) = filled else {
            self.metrics.late_replies.inc();
            return false;
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// The subject under which other processes reach `reply`.
    pub(crate) fn subject_of(&self, reply: &ReplyTo) -> Subject {
        let sink = match reply {
            ReplyTo::Subject(subject) => return subject.clone(),
            ReplyTo::Sink(sink) => sink,
        };
        let number = match sink.token() {
            Some(token) => token.as_number(),
            None => self.sinks.lock().add(sink.clone(), Instant::now()),
        };
        Subject::new(&format!("{}{number}", self.prefix)).expect("a prefix of legal tokens and a number are a subject")
    }

    /// The connections of callers whose requests went to other processes and have had no reply, once for each request.
    pub(crate) fn callers_unanswered(&self) -> Vec<u64> {
        let mut sinks = self.sinks.lock();
        sinks.unanswered(Instant::now()).filter(|caller| !caller.gone.is_cancelled()).map(|caller| caller.connection).collect()
    }

    /// Whether `subject` is a reply address of this bus.
    pub(crate) fn owns(&self, subject: &Subject) -> bool {
        subject.as_str().starts_with(&*self.prefix)
    }

    /// Takes a reply that came in by a subject for which [`owns`](Self::owns) holds. Returns whether somebody was there to take it.
    pub(crate) fn route(&self, subject: &Subject, meta: Option<&Meta>, body: &Body) -> bool {
        match self.address(subject) {
            Some(Address::Slot(token)) => self.fill(token, meta, body.clone()),
            Some(Address::Sink(sink)) => {
                sink.send(body.clone());
                true
            }
            None => {
                self.metrics.late_replies.inc();
                false
            }
        }
    }

    /// A server's word that nobody got the request behind this reply subject.
    pub(crate) fn no_responders(&self, subject: &Subject) {
        match self.address(subject) {
            Some(Address::Slot(token)) => self.unserved(token),
            Some(Address::Sink(sink)) => {
                // A request that waits counts it by itself.
                self.metrics.no_responders.inc();
                sink.unserved();
            }
            // Nobody waits any more.
            None => {}
        }
    }

    /// Ends a request that nobody serves.
    pub(crate) fn unserved(&self, token: Token) {
        self.finish(token, Outcome::NoResponders);
    }

    fn address(&self, subject: &Subject) -> Option<Address> {
        let number = subject.as_str().strip_prefix(&*self.prefix)?.parse().ok()?;
        match Token::from_number(number) {
            Some(token) => Some(Address::Slot(token)),
            None => self.sinks.lock().get(number, Instant::now()).map(Address::Sink),
        }
    }
}

enum Address {
    Slot(Token),
    Sink(ReplySink),
}

/// A request's claim on its slot; dropping it gives the slot back.
#[derive(Debug)]
pub(crate) struct PendingReply {
    replies: Arc<Replies>,
    token: Token,
}

impl PendingReply {
    pub(crate) fn sink(&self) -> ReplySink {
        ReplySink::slot(Arc::clone(&self.replies), self.token)
    }

    /// Waits for the outcome, for ever if there is none.
    pub(crate) async fn outcome(&self) -> Outcome {
        std::future::poll_fn(|cx| self.replies.slots.lock().poll(self.token, cx)).await
    }
}

impl Drop for PendingReply {
    fn drop(&mut self) {
        // What the slot held is dropped outside of the lock: it may be the last reference of a large buffer.
        let (left, none_waits) = {
            let mut slots = self.replies.slots.lock();
            (slots.close(self.token), slots.waiting() == 0)
        };
        if none_waits {
            self.replies.closed.notify_waiters();
        }
        drop(left);
    }
}
