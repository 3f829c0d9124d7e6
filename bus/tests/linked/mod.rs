//! Machines of a test: buses with a link to one real server each, and a witness that sees what crosses.

#![allow(dead_code, reason = "each test uses a part")]

use std::time::Duration;

use futures_util::StreamExt;
use myelin_bus::wire::{Body, Filter, QueueGroup, Subject};
use myelin_bus::{Bus, Caller, Delivery, InlineHandler, LinkedConfig, Message, NatsConfig, Pressure, ReplySink, ReplyTo, SubscribeOptions};
use myelin_testkit::NatsServer;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long anything may take that has an end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// For how long nothing has to come where nothing may.
pub(crate) const QUIET: Duration = Duration::from_millis(300);

/// A machine that reaches the servers.
pub(crate) async fn machine(server: &NatsServer) -> Bus {
    let bus = unconnected(&server.url()).await;
    until("the machine is linked", || bus.is_connected()).await;
    bus
}

/// A machine that has not reached a server yet.
pub(crate) async fn unconnected(url: &str) -> Bus {
    let mut config = LinkedConfig::new(NatsConfig::new([url]));
    config.leased = vec![filter("topic.>")];
    config.private = vec![filter("private.>")];
    Bus::linked(config).await.expect("a bus")
}

pub(crate) fn subject(text: &str) -> Subject {
    Subject::new(text).expect("a subject")
}

pub(crate) fn filter(text: &str) -> Filter {
    Filter::new(text).expect("a filter")
}

pub(crate) fn group(name: &str) -> SubscribeOptions {
    SubscribeOptions::default().group(QueueGroup::new(name).expect("a name"))
}

pub(crate) fn text(body: &Body) -> String {
    match body {
        Body::Blob(blob) => String::from_utf8_lossy(blob).into_owned(),
        Body::Frames(frames) => frames.slices().map(|frame| String::from_utf8_lossy(frame).into_owned()).collect::<Vec<_>>().join("|"),
    }
}

pub(crate) async fn ask(bus: &Bus, to: &str, what: &str) -> String {
    let answer = bus.request(&subject(to), Body::from(what.to_owned()), PATIENCE).await;
    answer.map_or_else(|error| error.to_string(), |message| text(&message.body))
}

pub(crate) async fn next(subscription: &mut myelin_bus::Subscription) -> Message {
    timeout(PATIENCE, subscription.next()).await.expect("in time").expect("the subscription goes on")
}

/// Nothing comes.
pub(crate) async fn silent(subscription: &mut myelin_bus::Subscription) {
    if let Ok(message) = timeout(QUIET, subscription.next()).await {
        panic!("nothing was to come: {message:?}");
    }
}

pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(PATIENCE, waiting).await.is_ok(), "{what}: not within {PATIENCE:?}");
}

/// Answers with a name, and can be busy.
pub(crate) struct Agent {
    pub(crate) bus: Bus,
    pub(crate) name: &'static str,
    pub(crate) is_busy: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl InlineHandler for Agent {
    fn deliver(&self, delivery: Delivery<'_>) -> Option<Pressure> {
        for body in delivery.bodies {
            if let Some(reply) = delivery.reply {
                let caller = reply.caller().map_or(String::new(), |caller| format!(" for {}", String::from_utf8_lossy(&caller.identity)));
                reply.respond(&self.bus, format!("{} has {}{caller}", self.name, text(body)).into());
            }
        }
        None
    }

    fn is_busy(&self) -> bool {
        self.is_busy.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// An agent of `to` on a machine, and its switch to be busy.
pub(crate) async fn agent(
    bus: &Bus,
    to: &str,
    name: &'static str,
) -> (myelin_bus::InlineSubscription, std::sync::Arc<std::sync::atomic::AtomicBool>) {
    let is_busy = std::sync::Arc::default();
    let agent = Agent { bus: bus.clone(), name, is_busy: std::sync::Arc::clone(&is_busy) };
    let group = QueueGroup::new("agents").expect("a name");
    let subscription = bus.subscribe_inline(&filter(to), Some(group), agent).expect("subscribed");
    bus.flush().await;
    (subscription, is_busy)
}

/// A connection that asks, and what it is answered.
pub(crate) struct Connection {
    pub(crate) reply: ReplyTo,
    pub(crate) answers: tokio::sync::mpsc::Receiver<String>,
    pub(crate) gone: CancellationToken,
}

impl Connection {
    /// The next answer.
    pub(crate) async fn next(&mut self) -> String {
        timeout(PATIENCE, self.answers.recv()).await.expect("in time").expect("an answer")
    }
}

pub(crate) fn connection(number: u64, identity: &'static [u8]) -> Connection {
    let (sender, answers) = tokio::sync::mpsc::channel(64);
    let gone = CancellationToken::new();
    let caller = Caller { connection: number, identity: identity.into(), request: 0, gone: gone.clone() };
    let sink = ReplySink::for_caller(caller, move |body| drop(sender.try_send(text(&body))));
    Connection { reply: ReplyTo::Sink(sink), answers, gone }
}

/// Everything that crosses on some subjects, as a foreign client sees it.
pub(crate) async fn witness(server: &NatsServer, filter: &str) -> async_nats::Subscriber {
    let client = async_nats::connect(server.url()).await.expect("connected");
    let subscriber = client.subscribe(filter.to_owned()).await.expect("subscribed");
    client.flush().await.expect("flushed");
    // The server answers in order: it knows the subscription.
    drop(client.request(format!("nobody.{}", fastrand::u64(..)), "".into()).await);
    subscriber
}

/// What a witness has seen by now, once `last` has come.
pub(crate) async fn seen_until(witness: &mut async_nats::Subscriber, last: &str) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        let message = timeout(PATIENCE, witness.next()).await.expect("in time").expect("the connection stands");
        let subject = message.subject.to_string();
        if subject == last {
            return seen;
        }
        seen.push(subject);
    }
}

/// Asks until there is an answer.
pub(crate) async fn until_some<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, asking).await.expect("in time")
}
