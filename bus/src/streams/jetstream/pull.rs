//! Asking a consumer for messages, by whoever waits and then by whoever waits next.
//!
//! The server answers a request when it likes, also after a worker has stopped waiting: such messages would be nobody's until `ack_wait` is over.
//! So a request that its worker left is kept for a moment ([`IDLE`]) for the next worker of the consumer in this process. If none comes, it is
//! given back, and so is what still arrives for it.
//!
//! A server that is killed takes its requests along, and one that does not see us for a moment drops them, without a word. So a request has
//! heartbeats, and is over when none come ([`SILENCE`]); and it ends with its connection: whoever waits asks anew over the next one at once.

use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::{StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use hashbrown::HashMap;
use myelin_store::Name;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::super::error::{StreamError, chain};
use super::{JetStream, PATIENCE, server_name};

/// How long a request waits for another worker.
const IDLE: Duration = Duration::from_millis(500);

/// Most requests of one consumer that wait for another worker; one more gives the oldest back.
const IDLE_MAX: usize = 64;

/// How often the server says that it still has a request, where nothing else comes of it.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// After two heartbeats that did not come, and some time for the way, the server does not have it any more.
const SILENCE: Duration = Duration::from_secs(5);

/// Requests without a worker, by consumer.
#[derive(Debug, Default)]
pub(super) struct Idle {
    pulls: HashMap<(Name, Name), Vec<(u64, Pull)>>,
    next: u64,
}

/// One request.
#[derive(Debug)]
pub(super) struct Pull {
    subscriber: Subscriber,
    /// Messages that may still come.
    left: usize,
    /// What came and was given to nobody.
    taken: Vec<Message>,
    /// When the server has forgotten it.
    end: Instant,
    /// How long nothing may come while the server has it.
    silence: Duration,
    /// Changes when the connection goes, and when there is another.
    connection: watch::Receiver<bool>,
    is_over: bool,
    /// Whether the server has it no more, as far as we know. What still comes of it is for others.
    is_lost: bool,
}

/// A request that somebody waits for. Dropped, it is there for the next one.
pub(super) struct Waiting<'a> {
    engine: &'a JetStream,
    key: (Name, Name),
    pull: Option<Pull>,
    /// Whether it was begun for somebody else, and so may last longer than this one wants to wait.
    pub(super) is_adopted: bool,
}

impl<'a> Waiting<'a> {
    /// Takes a request over that nobody waits for, or makes one: for up to `max` messages that are there, or the first that comes.
    pub(super) async fn begin(
        engine: &'a JetStream,
        stream: &Name,
        consumer: &Name,
        max: usize,
        expires: Duration,
    ) -> Result<Self, StreamError> {
        let key = (stream.clone(), consumer.clone());
        let found = engine.0.idle.lock().adopt(&key, max);
        let is_adopted = found.is_some();
        let pull = match found {
            Some(pull) => pull,
            None => Pull::begin(engine, stream, consumer, max, expires).await?,
        };
        Ok(Self { engine, key, pull: Some(pull), is_adopted })
    }

    /// Waits until the request is over.
    ///
    /// # Errors
    /// What the server says about it, if nothing came before.
    ///
    /// # Cancel safety
    /// What came is kept.
    pub(super) async fn gather(&mut self) -> Result<(), String> {
        match &mut self.pull {
            Some(pull) => pull.gather(self.engine).await,
            None => Ok(()),
        }
    }

    /// What came.
    pub(super) fn take(&mut self) -> Vec<Message> {
        self.pull.as_mut().map(|pull| std::mem::take(&mut pull.taken)).unwrap_or_default()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(pull) = self.pull.take() else { return };
        if pull.is_over && pull.taken.is_empty() {
            return;
        }
        let engine = self.engine.clone();
        if pull.is_lost {
            self.engine.0.runtime.spawn(async move { pull.give_back(&engine).await });
            return;
        }
        let (ticket, surplus) = self.engine.0.idle.lock().put(self.key.clone(), pull);
        let key = self.key.clone();
        self.engine.0.runtime.spawn(async move {
            if let Some(surplus) = surplus {
                surplus.give_back(&engine).await;
            }
            tokio::time::sleep(IDLE).await;
            let left = engine.0.idle.lock().remove(&key, ticket);
            if let Some(left) = left {
                left.give_back(&engine).await;
            }
        });
    }
}

impl Pull {
    async fn begin(engine: &JetStream, stream: &Name, consumer: &Name, max: usize, expires: Duration) -> Result<Self, StreamError> {
        let unreachable = |error: &dyn std::error::Error| StreamError::Unreachable { reason: chain(error).into() };
        engine.connected().await.map_err(|reason| StreamError::Unreachable { reason })?;
        let mut connection = engine.0.connection.clone();
        connection.mark_unchanged();
        let client = &engine.0.client;
        let inbox = client.new_inbox();
        let subscriber = client.subscribe(inbox.clone()).await.map_err(|error| unreachable(&error))?;
        let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let mut asked = json!({ "batch": max, "no_wait": true, "expires": nanos(expires) });
        // The server refuses a heartbeat that is longer than half of the time.
        let has_heartbeat = expires >= 2 * HEARTBEAT;
        if has_heartbeat {
            asked["idle_heartbeat"] = json!(nanos(HEARTBEAT));
        }
        let silence = if has_heartbeat { SILENCE } else { expires + PATIENCE };
        let verb = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{consumer}", server_name(stream));
        client.publish_with_reply(verb, inbox, Bytes::from(asked.to_string())).await.map_err(|error| unreachable(&error))?;
        let end = Instant::now() + expires + PATIENCE;
        Ok(Self { subscriber, left: max, taken: Vec::new(), end, silence, connection, is_over: false, is_lost: false })
    }

    async fn gather(&mut self, engine: &JetStream) -> Result<(), String> {
        while !self.is_over && self.left > 0 {
            let silent = self.end.min(Instant::now() + self.silence);
            let next = tokio::select! {
                // What came over the connection that is gone is taken first.
                biased;
                next = timeout_at(silent, self.subscriber.next()) => next.ok(),
                () = another(&mut self.connection) => None,
            };
            let Some(next) = next else {
                self.is_lost = true;
                return Ok(());
            };
            self.told(engine, next)?;
        }
        self.is_over = true;
        Ok(())
    }

    fn told(&mut self, engine: &JetStream, next: Option<async_nats::Message>) -> Result<(), String> {
        let Some(message) = next else {
            self.is_over = true;
            return self.ended("the connection is closed".to_owned());
        };
        match message.status.unwrap_or(StatusCode::OK) {
            StatusCode::OK => {
                self.left -= 1;
                self.taken.push(Message { message, context: engine.0.context.clone() });
                Ok(())
            }
            StatusCode::IDLE_HEARTBEAT => Ok(()),
            // Nothing is there, or its time is over.
            StatusCode::NOT_FOUND | StatusCode::TIMEOUT => {
                self.is_over = true;
                Ok(())
            }
            status => {
                self.is_over = true;
                self.ended(message.description.map_or_else(|| status.to_string(), |told| told.to_string()))
            }
        }
    }

    /// An end that is worth telling only if nothing came before it.
    fn ended(&self, reason: String) -> Result<(), String> {
        if self.taken.is_empty() { Err(reason) } else { Ok(()) }
    }

    /// Nobody wants it: its messages are for other processes.
    async fn give_back(mut self, engine: &JetStream) {
        give_back(engine, self.taken.drain(..));
        if self.is_over || self.subscriber.drain().await.is_err() {
            return;
        }
        // Ends with what the server had sent before it heard of it.
        while let Ok(Some(message)) = timeout(PATIENCE, self.subscriber.next()).await {
            if message.status.is_none() {
                give_back(engine, [Message { message, context: engine.0.context.clone() }]);
            }
        }
    }
}

/// Ends when there is another connection than the last time.
async fn another(connection: &mut watch::Receiver<bool>) {
    if connection.changed().await.is_err() || connection.wait_for(|is_there| *is_there).await.is_err() {
        // The client is closed, and so are its subscriptions.
        std::future::pending().await
    }
}

/// Others may have these messages at once.
pub(super) fn give_back(engine: &JetStream, messages: impl IntoIterator<Item = Message>) {
    let settles: Vec<_> = messages.into_iter().filter_map(|message| message.message.reply).collect();
    if settles.is_empty() {
        return;
    }
    let client = engine.0.client.clone();
    engine.0.runtime.spawn(async move {
        for settle in settles {
            // Where this fails, `ack_wait` does the same later.
            drop(client.publish(settle, Bytes::from_static(b"-NAK")).await);
        }
    });
}

impl Idle {
    /// One that brings no more than is wanted.
    fn adopt(&mut self, key: &(Name, Name), max: usize) -> Option<Pull> {
        let pulls = self.pulls.get_mut(key)?;
        let at = pulls.iter().position(|(_, pull)| pull.left + pull.taken.len() <= max)?;
        let (_, pull) = pulls.remove(at);
        self.tidy(key);
        Some(pull)
    }

    fn put(&mut self, key: (Name, Name), pull: Pull) -> (u64, Option<Pull>) {
        let ticket = self.next;
        self.next += 1;
        let pulls = self.pulls.entry(key).or_default();
        pulls.push((ticket, pull));
        let surplus = (pulls.len() > IDLE_MAX).then(|| pulls.remove(0).1);
        (ticket, surplus)
    }

    fn remove(&mut self, key: &(Name, Name), ticket: u64) -> Option<Pull> {
        let pulls = self.pulls.get_mut(key)?;
        let at = pulls.iter().position(|(found, _)| *found == ticket)?;
        let (_, pull) = pulls.remove(at);
        self.tidy(key);
        Some(pull)
    }

    fn tidy(&mut self, key: &(Name, Name)) {
        if self.pulls.get(key).is_some_and(Vec::is_empty) {
            self.pulls.remove(key);
        }
    }
}
