//! Handing messages to workers, and what they say of them.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::jetstream::Message;
use myelin_store::{Attempt, Delivered, Name, Outcome};
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::super::engine::Failure;
use super::super::error::{ConsumeError, StreamError, chain};
use super::super::step::{self, Step};
use super::hands::Hand;
use super::headers::Held;
use super::knowns::Known;
use super::pull::{Waiting, give_back};
use super::refusal::Refusal;
use super::settings::{own_consumer, own_stream};
use super::{JetStream, PATIENCE, attempts, info, millis, read, server_name};

/// Most messages of one request to the server.
const BATCH_MAX: usize = 4_096;
/// The shortest wait that a server is asked for.
const WAIT_MIN: Duration = Duration::from_millis(10);
/// The longest one; a worker that waits longer asks again.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Between two requests that the server did not want to keep.
const REST: Duration = Duration::from_millis(20);

impl JetStream {
    /// A consumer as it was when this process first worked with it.
    pub(super) async fn known(&self, stream: &Name, consumer: &Name) -> Result<Known, StreamError> {
        if let Some(known) = self.0.consumers.lock().get(stream, consumer) {
            return Ok(known);
        }
        let refused = |refusal: Refusal| refusal.of(stream, Some(consumer));
        let server = info::raw(self, stream).await.map_err(refused)?;
        let verb = format!("CONSUMER.INFO.{}.{consumer}", server_name(stream));
        let found = self.look::<async_nats::jetstream::consumer::Info>(verb, &json!({})).await.map_err(refused)?;
        let foreign = || StreamError::NoConsumer { stream: stream.clone(), consumer: consumer.clone() };
        let config = own_consumer(&found.name, &found.config).ok_or_else(foreign)?;
        let of = own_stream(&server.config).ok_or_else(foreign)?;
        let known = Known { config: config.into(), stream: of.into() };
        self.0.consumers.lock().insert(stream, consumer, known.clone());
        Ok(known)
    }

    /// Asks anew before it works with this consumer, or with any of this stream.
    pub(super) fn forget(&self, stream: &Name, consumer: Option<&Name>) {
        self.0.consumers.lock().forget(stream, consumer);
    }

    /// Says something of a delivery, and waits until the server has heard it.
    async fn say(&self, settle: &str, word: String) -> Result<(), ConsumeError> {
        self.connected().await.map_err(|reason| StreamError::Unreachable { reason })?;
        let heard = timeout(PATIENCE, self.0.client.request(settle.to_owned(), word.into())).await;
        let reason = match heard {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => chain(&error),
            Err(_elapsed) => format!("no answer within {PATIENCE:?}"),
        };
        Err(StreamError::Unreachable { reason: reason.into() }.into())
    }

    fn in_hand(&self, hand: &Hand) -> Option<Box<str>> {
        self.0.hands.lock().look(hand)
    }
}

fn hand(stream: &Name, consumer: &Name, sequence: u64, delivery: u32) -> Hand {
    Hand { stream: stream.clone(), consumer: consumer.clone(), sequence, delivery }
}

/// What is there, else what comes first: the server answers a request that does not wait for a whole batch, and has a time, in that way.
///
/// # Cancel safety
/// Messages on their way are for the next worker, or come again.
pub(super) async fn lease(
    engine: &JetStream,
    stream: &Name,
    consumer: &Name,
    max: usize,
    wait: Duration,
) -> Result<Vec<Delivered>, ConsumeError> {
    let end = Instant::now() + wait;
    let max = max.clamp(1, BATCH_MAX);
    loop {
        let known = engine.known(stream, consumer).await?;
        let left = end.saturating_duration_since(Instant::now());
        // Without a time the server would keep a request for ever that meets messages which may not be handed out yet.
        let expires = left.clamp(WAIT_MIN, WAIT_MAX);
        let mut waiting = Waiting::begin(engine, stream, consumer, max, expires).await?;
        // A request of one's own is answered when its time is over; how long that takes is the server's matter.
        let patience = if waiting.is_adopted { expires } else { expires + PATIENCE };
        if let Ok(Err(reason)) = timeout(patience, waiting.gather()).await {
            // It may have been deleted, which asking anew tells.
            engine.forget(stream, Some(consumer));
            engine.known(stream, consumer).await?;
            return Err(StreamError::Unreachable { reason: reason.into() }.into());
        }
        let mut coming = Coming { engine, messages: waiting.take().into(), delivered: Vec::new() };
        drop(waiting);
        while let Some(message) = coming.messages.front() {
            let delivered = deliver(engine, stream, consumer, &known, message).await?;
            coming.messages.pop_front();
            coming.delivered.extend(delivered.map(|delivered| (stream, consumer, delivered)));
        }
        let left = end.saturating_duration_since(Instant::now());
        if !coming.delivered.is_empty() || left < WAIT_MIN {
            return Ok(std::mem::take(&mut coming.delivered).into_iter().map(|(_, _, delivered)| delivered).collect());
        }
        // The server answers at once while others wait for more than there is.
        tokio::time::sleep(left.min(REST)).await;
    }
}

/// What came and was not handed over yet. Dropped on the way, it goes to another worker at once.
struct Coming<'a> {
    engine: &'a JetStream,
    messages: VecDeque<Message>,
    delivered: Vec<(&'a Name, &'a Name, Delivered)>,
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        give_back(self.engine, self.messages.drain(..));
        for (stream, consumer, delivered) in &self.delivered {
            release(self.engine, stream, consumer, delivered.sequence, delivered.deliveries);
        }
    }
}

/// One message for a worker; `None` if it has expired and nobody wants to know.
async fn deliver(
    engine: &JetStream,
    stream: &Name,
    consumer: &Name,
    known: &Known,
    message: &Message,
) -> Result<Option<Delivered>, ConsumeError> {
    let (Ok(info), Some(settle)) = (message.info(), &message.reply) else { return Ok(None) };
    let deliveries = u32::try_from(info.delivered).unwrap_or(u32::MAX);
    let hand = hand(stream, consumer, info.stream_sequence, deliveries);
    let held = Held {
        subject: &message.subject,
        sequence: info.stream_sequence,
        time: info.published,
        headers: message.headers.as_ref(),
        payload: message.payload.clone(),
    };
    let stored = held.stored(Some(&known.stream));
    // Each server of a cluster lets go of what is too old by itself, and the consumer's may be later than the stream's. That one is asked, whose
    // clock and settings count.
    let is_old = known.stream.age_max.is_some_and(|age| millis(info.published).saturating_add(age.as_millis() as u64) <= Attempt::now_ms());
    if is_old && !known.stream.dead_letter_expired && !read::is_there(engine, stream, info.stream_sequence).await? {
        engine.say(settle, "+ACK".to_owned()).await?;
        return Ok(None);
    }
    let is_expired = stored.as_ref().and_then(|stored| stored.expires_ms).is_some_and(|at_ms| at_ms <= Attempt::now_ms());
    if is_expired && !known.stream.dead_letter_expired {
        engine.say(settle, "+ACK".to_owned()).await?;
        return Ok(None);
    }
    engine.0.hands.lock().take(hand.clone(), settle.as_str().into());
    if hand.delivery > known.config.deliveries_max {
        step::passed(Step::Delivered).await;
    }
    let attempts = attempts::before(engine, &hand).await?;
    Ok(Some(Delivered { message: stored, sequence: hand.sequence, deliveries, attempts }))
}

/// Confirmed by the server. That it was settled before is not told.
pub(super) async fn ack(engine: &JetStream, stream: &Name, consumer: &Name, sequence: u64, delivery: u32) -> Result<bool, ConsumeError> {
    let hand = hand(stream, consumer, sequence, delivery);
    let Some(settle) = engine.in_hand(&hand) else { return Ok(false) };
    engine.say(&settle, "+ACK".to_owned()).await?;
    engine.0.hands.lock().settle(&hand);
    attempts::settled(engine, &hand);
    Ok(true)
}

pub(super) async fn fail(engine: &JetStream, stream: &Name, consumer: &Name, failure: Failure<'_>) -> Result<bool, ConsumeError> {
    let Failure { sequence, delivery, outcome, error, delay } = failure;
    let hand = hand(stream, consumer, sequence, delivery);
    let Some(settle) = engine.in_hand(&hand) else { return Ok(false) };
    let known = engine.known(stream, consumer).await?;
    // Before the message can come again, so that whoever gets it then knows.
    attempts::note(engine, &hand, outcome, error).await?;
    let delay = match outcome {
        Outcome::WorkerGone => Duration::ZERO,
        _ => delay.unwrap_or_else(|| known.config.backoff_after(delivery)),
    };
    engine.say(&settle, nak(delay)).await?;
    if outcome != Outcome::Term {
        engine.0.hands.lock().settle(&hand);
    }
    Ok(true)
}

/// A worker is gone without a word: its message comes again as soon as that was noted.
pub(super) fn release(engine: &JetStream, stream: &Name, consumer: &Name, sequence: u64, delivery: u32) {
    let (engine, stream, consumer) = (engine.clone(), stream.clone(), consumer.clone());
    let runtime = engine.0.runtime.clone();
    runtime.spawn(async move {
        let failure = Failure { sequence, delivery, outcome: Outcome::WorkerGone, error: "", delay: None };
        // Where this fails, `ack_wait` does the same later.
        drop(fail(&engine, &stream, &consumer, failure).await);
    });
}

pub(super) async fn extend(engine: &JetStream, stream: &Name, consumer: &Name, sequence: u64, delivery: u32) -> Result<bool, ConsumeError> {
    let Some(settle) = engine.in_hand(&hand(stream, consumer, sequence, delivery)) else { return Ok(false) };
    engine.say(&settle, "+WPI".to_owned()).await?;
    Ok(true)
}

fn nak(delay: Duration) -> String {
    if delay.is_zero() {
        "-NAK".to_owned()
    } else {
        format!("-NAK {}", json!({ "delay": u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX) }))
    }
}
