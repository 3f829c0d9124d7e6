//! Where a reply goes: to a subject of the network, or straight to whoever waits in this process.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::Bus;
use crate::replies::{Replies, Token};
use crate::wire::{Body, Subject};

/// The address of a reply.
#[derive(Debug, Clone)]
pub enum ReplyTo {
    /// Publish it there.
    Subject(Subject),
    /// Hand it over, without a subject in between.
    Sink(ReplySink),
}

impl ReplyTo {
    /// Sends one reply. Each call sends one; how many are wanted is the requester's business.
    ///
    /// A reply that nobody waits for any more, or that is larger than the bus carries, is dropped and counted.
    pub fn respond(&self, bus: &Bus, body: Body) {
        match self {
            Self::Subject(subject) => bus.respond(subject, body),
            Self::Sink(sink) => sink.send(body),
        }
    }

    /// The connection behind the address, for responders that keep one conversation per caller. `None` for whoever asks only once.
    #[must_use]
    pub fn caller(&self) -> Option<&Caller> {
        match self {
            Self::Sink(sink) => sink.caller(),
            Self::Subject(_) => None,
        }
    }
}

/// A connection that sends requests and takes replies for as long as it lives.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Its number, unique in this process and never used again.
    pub connection: u64,
    /// What it calls itself; empty for most.
    pub identity: Bytes,
    /// Which of its requests this is, where they are told apart; else 0.
    pub request: u64,
    /// Cancelled when the connection has closed: whatever a responder keeps for this caller can go.
    pub gone: CancellationToken,
}

impl From<Subject> for ReplyTo {
    fn from(subject: Subject) -> Self {
        Self::Subject(subject)
    }
}

/// Takes replies inside the responder's own call. Cloning counts a reference.
#[derive(Clone)]
pub struct ReplySink(Sink);

#[derive(Clone)]
enum Sink {
    Call(Arc<dyn Take>),
    Caller(Arc<Caller>, Arc<dyn Take>),
    /// A waiting `Bus::request`: a number into its table, so that a request allocates nothing for its reply.
    Slot(Arc<Replies>, Token),
}

/// What a sink does.
trait Take: Send + Sync {
    /// A reply came.
    fn take(&self, body: Body);

    /// Nobody serves the request.
    fn unserved(&self);
}

/// A sink that only takes.
struct Plain<F>(F);

impl<F: Fn(Body) + Send + Sync> Take for Plain<F> {
    fn take(&self, body: Body) {
        (self.0)(body);
    }

    fn unserved(&self) {}
}

/// A sink that is also told when there will be nothing to take.
struct Told<U> {
    sink: Arc<dyn Take>,
    unserved: U,
}

impl<U: Fn() + Send + Sync> Take for Told<U> {
    fn take(&self, body: Body) {
        self.sink.take(body);
    }

    fn unserved(&self) {
        (self.unserved)();
    }
}

impl ReplySink {
    /// A sink that calls `take` for each reply. The call must not block.
    pub fn new(take: impl Fn(Body) + Send + Sync + 'static) -> Self {
        Self(Sink::Call(Arc::new(Plain(take))))
    }

    /// As [`new`](Self::new), for the replies to a connection that will ask more than once.
    pub fn for_caller(caller: Caller, take: impl Fn(Body) + Send + Sync + 'static) -> Self {
        Self(Sink::Caller(Arc::new(caller), Arc::new(Plain(take))))
    }

    /// The same sink, with `unserved` to be called when it turns out that nobody serves the request.
    ///
    /// Where the bus knows that at once, [`Publisher::request_inline`](crate::Publisher::request_inline) says it and this is not called. Over a network
    /// the word comes after that call has returned, or never; then no reply comes. It is called at most once for each request whose replies
    /// go here, in the task that reads the connection, and must not block.
    #[must_use]
    pub fn on_unserved(self, unserved: impl Fn() + Send + Sync + 'static) -> Self {
        Self(match self.0 {
            Sink::Call(sink) => Sink::Call(Arc::new(Told { sink, unserved })),
            Sink::Caller(caller, sink) => Sink::Caller(caller, Arc::new(Told { sink, unserved })),
            // Whoever waits for it is told by the outcome.
            slot @ Sink::Slot(..) => slot,
        })
    }

    pub(crate) fn slot(replies: Arc<Replies>, token: Token) -> Self {
        Self(Sink::Slot(replies, token))
    }

    /// The connection behind it, for a sink that was made for one.
    pub(crate) fn caller(&self) -> Option<&Caller> {
        match &self.0 {
            Sink::Caller(caller, _) => Some(caller),
            Sink::Call(_) | Sink::Slot(..) => None,
        }
    }

    /// The number of the waiting request, for a sink that is one.
    pub(crate) fn token(&self) -> Option<Token> {
        match &self.0 {
            Sink::Call(_) | Sink::Caller(..) => None,
            Sink::Slot(_, token) => Some(*token),
        }
    }

    /// Hands one reply over.
    pub fn send(&self, body: Body) {
        match &self.0 {
            Sink::Call(sink) | Sink::Caller(_, sink) => sink.take(body),
            Sink::Slot(replies, token) => {
                replies.fill(*token, None, body);
            }
        }
    }

    /// Says that nobody serves the request, so that no reply will come.
    pub(crate) fn unserved(&self) {
        match &self.0 {
            Sink::Call(sink) | Sink::Caller(_, sink) => sink.unserved(),
            Sink::Slot(replies, token) => replies.unserved(*token),
        }
    }
}

impl fmt::Debug for ReplySink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Sink::Call(_) => f.write_str("ReplySink"),
            Sink::Caller(caller, _) => f.debug_tuple("ReplySink").field(caller).finish(),
            Sink::Slot(_, token) => f.debug_tuple("ReplySink").field(token).finish(),
        }
    }
}
