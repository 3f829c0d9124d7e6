//! Messages on their way to the client: straight through while it takes them, in a bounded queue while it does not.
//!
//! Invariants:
//! - **Order.** A message goes straight through only when none waits, so messages leave in the order in which they were offered.
//! - **Bounded.** 65,536 messages or 8 MiB wait at most, one always; beside them what is in the client ([`Room`]): 2,048 messages and 40 MiB.
//! - **Away.** The client gets nothing while there is no connection, so what waits for one is bounded as above.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_nats::client::PublishError;
use async_nats::connection::State;
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::debug;

use super::Room;
use crate::Metrics;
use crate::wire::limits;

/// How often the connection is looked for while messages wait for one.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// One message, as the client takes it. Cloning counts references, except for headers.
#[derive(Debug, Clone)]
pub(super) struct Outbound {
    pub(super) subject: async_nats::Subject,
    pub(super) reply: Option<async_nats::Subject>,
    pub(super) headers: Option<HeaderMap>,
    /// Bytes of the header block.
    pub(super) headers_len: usize,
    pub(super) payload: Bytes,
}

impl Outbound {
    /// What the server compares with its limit.
    pub(super) fn wire_len(&self) -> usize {
        self.headers_len + self.payload.len()
    }
}

/// Why a message was not taken.
#[derive(Debug)]
pub(super) enum Refused {
    /// Too many wait; here it is back.
    Full(Box<Outbound>),
    /// The client cannot send it.
    Client(PublishError),
}

#[derive(Debug)]
pub(super) struct Outgoing {
    client: Client,
    room_inside: Room,
    waiting: Mutex<Waiting>,
    /// Wakes the task that feeds the client.
    work: Notify,
    /// Wakes those who wait for room.
    room: Notify,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Waiting {
    queue: VecDeque<Outbound>,
    bytes: usize,
    /// The task holds a message that was first in the queue.
    is_sending: bool,
}

impl Waiting {
    fn messages(&self) -> usize {
        self.queue.len() + usize::from(self.is_sending)
    }

    fn is_at_least(&self, messages: usize, bytes: usize) -> bool {
        self.messages() > 0 && (self.messages() >= messages || self.bytes >= bytes)
    }

    fn is_full(&self) -> bool {
        self.is_at_least(limits::QUEUE_MESSAGES_MAX, limits::QUEUE_BYTES_MAX)
    }

    fn is_half_full(&self) -> bool {
        self.is_at_least(limits::QUEUE_MESSAGES_MAX / 2, limits::QUEUE_BYTES_MAX / 2)
    }
}

impl Outgoing {
    pub(super) fn new(client: Client, room_inside: Room, metrics: Metrics) -> Self {
        Self { client, room_inside, waiting: Mutex::default(), work: Notify::new(), room: Notify::new(), metrics }
    }

    /// Takes a message inside this call.
    pub(super) fn offer(&self, outbound: Outbound) -> Result<(), Refused> {
        let mut waiting = self.waiting.lock();
        if waiting.messages() == 0 {
            let room = if self.is_connected() { self.room_inside.try_enter(outbound.payload.clone()).ok() } else { None };
            if let Some(payload) = room {
                // Asked once, without waiting: the lock keeps the order between publishers.
                match poll_once(publish(&self.client, Outbound { payload, ..outbound.clone() })) {
                    Poll::Ready(sent) => return sent.map_err(Refused::Client),
                    Poll::Pending => {}
                }
            }
        } else if waiting.is_full() {
            return Err(Refused::Full(Box::new(outbound)));
        }
        waiting.bytes += outbound.wire_len();
        waiting.queue.push_back(outbound);
        drop(waiting);
        self.work.notify_one();
        Ok(())
    }

    /// Takes a message as soon as there is room for it.
    pub(super) async fn send(&self, mut outbound: Outbound) -> Result<(), PublishError> {
        loop {
            match self.offer(outbound) {
                Ok(()) => return Ok(()),
                Err(Refused::Client(error)) => return Err(error),
                Err(Refused::Full(back)) => outbound = *back,
            }
            self.until(|waiting| !waiting.is_full()).await;
        }
    }

    /// Feeds the client with what waits, for ever.
    pub(super) async fn run(&self) {
        loop {
            let next = {
                let mut waiting = self.waiting.lock();
                let next = waiting.queue.pop_front();
                waiting.is_sending = next.is_some();
                next
            };
            let Some(outbound) = next else {
                self.room.notify_waiters();
                self.work.notified().await;
                continue;
            };
            let bytes = outbound.wire_len();
            self.until_connected().await;
            let outbound = Outbound { payload: self.room_inside.enter(outbound.payload).await, ..outbound };
            if let Err(error) = publish(&self.client, outbound).await {
                // It was small enough when it was offered; only a new server with a lower limit refuses it now.
                self.metrics.refused_too_large.inc();
                debug!(%error, "a message that waited was not published");
            }
            let told = {
                let mut waiting = self.waiting.lock();
                waiting.bytes -= bytes;
                !waiting.is_half_full()
            };
            if told {
                self.room.notify_waiters();
            }
        }
    }

    fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    async fn until_connected(&self) {
        // The client tells its state to who asks.
        while !self.is_connected() {
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Whether publishers should wait.
    pub(super) fn is_over(&self) -> bool {
        self.waiting.lock().is_half_full()
    }

    /// Messages that wait for the client.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.lock().messages()
    }

    /// Until less than half of the bounds is used.
    pub(super) async fn relieved(&self) {
        self.until(|waiting| !waiting.is_half_full()).await;
    }

    async fn until(&self, holds: impl Fn(&Waiting) -> bool) {
        loop {
            let mut room = pin!(self.room.notified());
            // Registered before the check, or room made between check and wait would be missed.
            room.as_mut().enable();
            if holds(&self.waiting.lock()) {
                return;
            }
            room.await;
        }
    }
}

async fn publish(client: &Client, outbound: Outbound) -> Result<(), PublishError> {
    let Outbound { subject, reply, headers, payload, headers_len: _ } = outbound;
    match (reply, headers) {
        (None, None) => client.publish(subject, payload).await,
        (Some(reply), None) => client.publish_with_reply(subject, reply, payload).await,
        (None, Some(headers)) => client.publish_with_headers(subject, headers, payload).await,
        (Some(reply), Some(headers)) => client.publish_with_reply_and_headers(subject, reply, headers, payload).await,
    }
}

/// What a future says at once; if it is not ready, it is given up, which for the client's publish sends nothing.
pub(super) fn poll_once<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}
