//! The tasks that feed subscriptions and waiting requests.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_nats::{Message, StatusCode, Subscriber};
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::convert::{Inbound, inbound};
use crate::Delivery;
use crate::replies::Replies;
use crate::router::Receiver;
use crate::wire::{Body, Subject};

/// Messages taken from the client at a time.
const BATCH_MAX: usize = 256;

/// Hands everything a subscription receives to its receiver, and waits for the receiver's pressure. Consecutive plain messages to one subject are
/// one delivery.
///
/// From `leaving` on the server is told to send no more, and what it has sent is handed over.
pub(super) async fn feed(mut subscriber: Subscriber, receiver: Receiver, leaving: CancellationToken) {
    let mut is_leaving = false;
    let mut batch = Vec::new();
    let mut subject: Option<Subject> = None;
    let mut bodies: Vec<Body> = Vec::new();
    loop {
        let more = tokio::select! {
            more = fill(&mut subscriber, &mut batch) => Some(more),
            () = leaving.cancelled(), if !is_leaving => None,
        };
        match more {
            Some(true) => {}
            Some(false) => return,
            None => {
                is_leaving = true;
                if subscriber.drain().await.is_err() {
                    return;
                }
                continue;
            }
        }
        let mut pressures = Vec::new();
        for message in batch.drain(..) {
            let is_same = subject.as_ref().is_some_and(|subject| *subject.as_str() == *message.subject);
            if !is_same {
                pressures.extend(deliver_run(&receiver, subject.as_ref(), &mut bodies));
                subject = checked(Subject::new(&message.subject));
            }
            let (Some(subject), Some(inbound)) = (&subject, checked(inbound(message))) else { continue };
            match inbound {
                Inbound { reply: None, meta: None, body } => bodies.push(body),
                Inbound { reply, meta, body } => {
                    pressures.extend(deliver_run(&receiver, Some(subject), &mut bodies));
                    let delivery = Delivery { subject, reply: reply.as_ref(), meta: meta.as_deref(), bodies: std::slice::from_ref(&body) };
                    pressures.extend(receiver.deliver(delivery));
                }
            }
        }
        pressures.extend(deliver_run(&receiver, subject.as_ref(), &mut bodies));
        for pressure in pressures {
            pressure.relieved().await;
        }
    }
}

fn deliver_run(receiver: &Receiver, subject: Option<&Subject>, bodies: &mut Vec<Body>) -> Option<crate::Pressure> {
    let subject = subject.filter(|_| !bodies.is_empty())?;
    let pressure = receiver.deliver(Delivery { subject, reply: None, meta: None, bodies });
    bodies.clear();
    pressure
}

/// Hands replies to those who wait for them.
pub(super) async fn feed_replies(mut inbox: Subscriber, replies: Arc<Replies>) {
    while let Some(message) = inbox.next().await {
        let Some(subject) = checked(Subject::new(&message.subject)) else { continue };
        if message.status == Some(StatusCode::NO_RESPONDERS) && message.payload.is_empty() {
            replies.no_responders(&subject);
            continue;
        }
        let Some(inbound) = checked(inbound(message)) else { continue };
        // A reply nobody waits for is counted there.
        let _taken = replies.route(&subject, inbound.meta.as_deref(), &inbound.body);
    }
}

/// A message with a subject that this bus cannot express, such as one above 255 bytes, is left out.
fn checked<T, E: std::fmt::Display>(result: Result<T, E>) -> Option<T> {
    result.inspect_err(|error| debug!(%error, "left out a message from the server")).ok()
}

/// Waits for one message and takes what has come with it. Returns whether there will be more. Dropped before it is ready, it has taken nothing.
async fn fill(subscriber: &mut Subscriber, batch: &mut Vec<Message>) -> bool {
    let Some(first) = subscriber.next().await else { return false };
    batch.push(first);
    while batch.len() < BATCH_MAX {
        let mut next = pin!(subscriber.next());
        match next.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(message)) => batch.push(message),
            Poll::Ready(None) | Poll::Pending => break,
        }
    }
    true
}
