//! Requests that were spilled to other machines, until it is known that somebody there takes them.
//!
//! A server says at once when nobody serves a subject; the request then goes to the agents here, who are busy or away, and waits in their line. What
//! the server has not refused within [`KEPT`] somebody has.
//!
//! Bounds: [`REQUESTS_MAX`] requests, the oldest of which are given up as taken.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::wire::{Body, Subject};
use crate::{Meta, ReplyTo};

/// How long the word that nobody serves it may take: far longer than a server needs.
const KEPT: Duration = Duration::from_secs(2);

/// Most requests that are kept. Their bodies are in the queue of the connection at the same time, so its bytes bound theirs.
const REQUESTS_MAX: usize = 4_096;

/// One request, as it would be handed to the agents here.
#[derive(Debug)]
pub(super) struct Spilled {
    pub(super) subject: Subject,
    pub(super) reply: ReplyTo,
    pub(super) meta: Option<Meta>,
    pub(super) body: Body,
}

/// What becomes of a request that nobody elsewhere serves.
#[derive(Debug)]
pub(super) enum Fate {
    /// It goes to those who serve it here.
    Serve(Spilled),
    /// Somebody here has heard it already and may answer.
    Ignore,
}

#[derive(Debug, Default)]
pub(super) struct Unserved(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    by_reply: HashMap<Subject, Fate>,
    order: VecDeque<(Instant, Subject)>,
}

impl Unserved {
    /// Keeps a request by the subject its reply would come to.
    pub(super) fn keep(&self, reply: Subject, fate: Fate, now: Instant) {
        let mut kept = self.0.lock();
        kept.expire(now);
        if kept.order.len() >= REQUESTS_MAX {
            kept.forget_oldest();
        }
        kept.order.push_back((now, reply.clone()));
        kept.by_reply.insert(reply, fate);
    }

    /// The request behind a reply subject that nobody serves, if it was spilled.
    pub(super) fn take(&self, reply: &Subject) -> Option<Fate> {
        self.0.lock().by_reply.remove(reply)
    }

    /// Lets go of what was not refused in time.
    pub(super) fn expire(&self, now: Instant) {
        self.0.lock().expire(now);
    }
}

impl Kept {
    fn expire(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(since, _)| now.saturating_duration_since(*since) >= KEPT) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, reply)) = self.order.pop_front() {
            self.by_reply.remove(&reply);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_refused_in_time_is_let_go() {
        let (unserved, start) = (Unserved::default(), Instant::now());
        let subject = |number: usize| Subject::new(&format!("_INBOX.x.{number}")).expect("a subject");
        let request = || {
            let (subject, reply) = (subject(0), ReplyTo::Subject(subject(0)));
            Fate::Serve(Spilled { subject, reply, meta: None, body: Body::default() })
        };
        unserved.keep(subject(1), request(), start);
        assert!(unserved.take(&subject(1)).is_some() && unserved.take(&subject(1)).is_none());
        unserved.keep(subject(2), request(), start);
        unserved.expire(start + KEPT);
        assert!(unserved.take(&subject(2)).is_none());
        for number in 0..REQUESTS_MAX + 1 {
            unserved.keep(subject(number), request(), start);
        }
        assert!(unserved.take(&subject(0)).is_none() && unserved.take(&subject(1)).is_some());
        assert!(unserved.0.lock().order.len() <= REQUESTS_MAX);
    }
}
