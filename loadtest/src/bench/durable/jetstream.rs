//! Their side: JetStream through async-nats, one connection.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::stream::{Config, StorageType};
use async_nats::jetstream::{Context, Message};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::seen::Seen;
use super::{Ack, Done, PAYLOAD_BYTES, Pull, Until};
use crate::failure::{Doing, Failure, Outcome};
use crate::payload;

/// For acks that were sent and forgotten to arrive.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);
const ASK_EVERY: Duration = Duration::from_millis(10);

/// A connection to a server.
#[derive(Debug)]
pub(super) struct JetStream {
    context: Context,
}

impl JetStream {
    pub(super) async fn connect(url: &str) -> Outcome<Self> {
        let client = async_nats::connect(url).await.doing(|| format!("connecting to {url}"))?;
        Ok(Self { context: async_nats::jetstream::new(client) })
    }

    pub(super) async fn make(&self, stream: &str) -> Outcome<()> {
        let config = Config {
            name: stream.to_owned(),
            subjects: vec![format!("load.{stream}")],
            storage: StorageType::File,
            num_replicas: 1,
            ..Config::default()
        };
        self.context.create_stream(config).await.map(drop).doing(|| format!("making the stream {stream}"))
    }

    /// Acks are awaited in the order of their messages, which is the order in which they come: nothing is cheaper for the client.
    pub(super) async fn publish(&self, stream: &str, window: usize, until: Until) -> Outcome<Done> {
        let subject = async_nats::Subject::from(format!("load.{stream}"));
        let started = Instant::now();
        let mut outstanding = VecDeque::with_capacity(window);
        let (mut sent, mut acked) = (0, 0);
        loop {
            while outstanding.len() < window && !until.is_over(started, sent) {
                let mut buffer = [b'x'; PAYLOAD_BYTES];
                payload::stamp(&mut buffer, sent, 0);
                let publish = self.context.publish(subject.clone(), Bytes::copy_from_slice(&buffer));
                outstanding.push_back(publish.await.doing(|| "publishing".to_owned())?);
                sent += 1;
            }
            let Some(ack) = outstanding.pop_front() else { break };
            stored(ack).await?;
            acked += 1;
        }
        Ok(Done { messages: acked, took: started.elapsed() })
    }

    /// The client's continuous pull: it asks for the next batch before the last one is used up.
    pub(super) async fn pull(&self, stream: &str, pull: Pull) -> Outcome<Done> {
        let config = pull::Config {
            durable_name: Some("load".to_owned()),
            ack_policy: AckPolicy::Explicit,
            max_ack_pending: i64::try_from(pull.in_flight).unwrap_or(i64::MAX),
            ..pull::Config::default()
        };
        let consumer = self.context.create_consumer_on_stream(config, stream).await.doing(|| "making the consumer".to_owned())?;
        let started = Instant::now();
        let mut seen = Seen::of(pull.messages);
        match pull.ack {
            Ack::Sent => self.pull_and_send(&consumer, pull, &mut seen).await?,
            Ack::Confirmed => self.pull_and_confirm(&consumer, pull, &mut seen).await?,
        }
        let took = started.elapsed();
        seen.check()?;
        settled(consumer).await?;
        Ok(Done { messages: pull.messages, took })
    }

    async fn pull_and_send(&self, consumer: &PullConsumer, pull: Pull, seen: &mut Seen) -> Outcome<()> {
        let mut messages = consumer.stream().max_messages_per_batch(pull.batch).messages().await.doing(|| "pulling".to_owned())?;
        for _ in 0..pull.messages {
            let message = next(messages.next().await)?;
            seen.mark(number(&message));
            message.ack().await.map_err(|error| Failure::new(format!("acking: {error}")))?;
        }
        self.context.client().flush().await.doing(|| "sending the last acks".to_owned())
    }

    /// A request per ack over the client's one inbox; its own `double_ack` makes a subscription for each, which is slower.
    async fn pull_and_confirm(&self, consumer: &PullConsumer, pull: Pull, seen: &mut Seen) -> Outcome<()> {
        let mut messages = consumer.stream().max_messages_per_batch(pull.batch).messages().await.doing(|| "pulling".to_owned())?;
        let client = self.context.client();
        let (mut acks, mut taken, mut acked) = (FuturesUnordered::new(), 0, 0);
        while acked < pull.messages {
            tokio::select! {
                biased;
                Some(ack) = acks.next() => {
                    let _confirmed: async_nats::Message = Doing::doing(ack, || "acking".to_owned())?;
                    acked += 1;
                }
                message = messages.next(), if taken < pull.messages && acks.len() < pull.in_flight => {
                    let message = next(message)?;
                    seen.mark(number(&message));
                    taken += 1;
                    let reply = message.reply.clone().ok_or_else(|| Failure::new("a message without a place for its ack"))?;
                    acks.push(client.request(reply, Bytes::from_static(b"+ACK")));
                }
            }
        }
        Ok(())
    }

    pub(super) async fn messages(&self, stream: &str) -> Outcome<u64> {
        let mut found = self.context.get_stream(stream).await.doing(|| format!("asking for the stream {stream}"))?;
        let info = found.info().await.doing(|| format!("asking for the stream {stream}"))?;
        Ok(info.state.messages)
    }

    pub(super) async fn remove(&self, stream: &str) -> Outcome<()> {
        self.context.delete_stream(stream).await.map(drop).doing(|| format!("deleting the stream {stream}"))
    }
}

async fn stored(ack: PublishAckFuture) -> Outcome<()> {
    let ack = ack.await.doing(|| "waiting for an ack".to_owned())?;
    if ack.duplicate { Err(Failure::new("a message was taken for a duplicate")) } else { Ok(()) }
}

fn next<E: std::error::Error + Send + Sync + 'static>(message: Option<Result<Message, E>>) -> Outcome<Message> {
    message.ok_or_else(|| Failure::new("the consumer ended"))?.doing(|| "pulling".to_owned())
}

fn number(message: &Message) -> u64 {
    payload::read(&message.payload).map_or(u64::MAX, |(number, _)| number)
}

/// Every ack has arrived.
async fn settled(mut consumer: PullConsumer) -> Outcome<()> {
    let deadline = Instant::now() + SETTLE_TIMEOUT;
    loop {
        let info = consumer.info().await.doing(|| "asking for the consumer".to_owned())?;
        if info.num_ack_pending == 0 && info.num_pending == 0 {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Failure::new(format!("{} acks never arrived, {} messages wait", info.num_ack_pending, info.num_pending)));
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}
