//! Dead letters through the API: found by what is known of them, shown whole, sent on their way again at a pace, to a stream or to whoever
//! answers, and let go of; in the process that has them and in another. Both run every case.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use myelin_bus::listener::{Listener, ListenerConfig};
use myelin_bus::streams::{
    ConsumerConfig, DEAD_LETTERS, DeadReason, Death, Letter, LetterFilter, LetterPage, Name, PublishDurableError, PublishOptions,
    ReplayError, ReplayOptions, Replayed, Retention, StoreConfig, StreamConfig, StreamError, StreamServer, StreamServerMetrics,
};
use myelin_bus::wire::{Body, Filter, Frames, Subject};
use myelin_bus::{Bus, EmbeddedConfig, Message, Meta, SubscribeOptions};

const PATIENCE: Duration = Duration::from_secs(10);

/// Where the letters are, as the bus under test sees it.
#[derive(Clone, Copy)]
enum Engine {
    Local,
    Attached,
}

/// A process with a store, and the bus under test.
struct Opened {
    bus: Bus,
    owner: Bus,
    server: StreamServer,
    listener: Listener,
    directory: tempfile::TempDir,
}

impl Engine {
    /// With a work queue `orders` whose consumer `workers` allows one delivery.
    async fn open(self) -> Opened {
        let directory = tempfile::tempdir().unwrap();
        let store = StoreConfig { directory: directory.path().to_owned() };
        let (owner, _) = Bus::embedded_with_store(EmbeddedConfig::default(), &store).unwrap();
        let server = StreamServer::start(&owner, StreamServerMetrics::default()).await.unwrap();
        let config = ListenerConfig { address: ([127, 0, 0, 1], 0).into(), ..ListenerConfig::default() };
        let listener = Listener::bind(owner.clone(), config).await.unwrap();
        let bus = match self {
            Self::Local => owner.clone(),
            Self::Attached => Bus::connect(&format!("nats://{}", listener.local_addr())).await.unwrap(),
        };
        let opened = Opened { bus, owner, server, listener, directory };
        let mut orders = StreamConfig::new(name("orders"), vec![filter("orders.>")]);
        orders.retention = Retention::WorkQueue;
        opened.bus.ensure_stream(&orders).await.unwrap();
        opened.bus.ensure_consumer(&name("orders"), &ConsumerConfig::new(name("workers"))).await.unwrap();
        opened
    }
}

impl Opened {
    async fn close(self) {
        self.bus.drain(PATIENCE).await;
        assert!(self.server.shutdown(PATIENCE).await);
        self.owner.drain(PATIENCE).await;
        self.listener.shutdown(PATIENCE).await;
        drop(self.directory);
    }

    /// Orders whose worker says that nobody should try again.
    async fn bury_orders(&self, bodies: &[&'static str]) {
        let workers = self.bus.consumer(&name("orders"), &name("workers")).await.unwrap();
        for body in bodies {
            let mut message = Message::new(subject(&format!("orders.{body}")), *body);
            message.meta = Some(Box::new(Meta { headers: vec![("Tenant".into(), Bytes::from_static(b"7"))], envelope: None }));
            self.bus.publish_durable(&message, &PublishOptions::default()).await.unwrap();
            workers.next().await.unwrap().term("no").await.unwrap();
        }
    }

    async fn bury_request(&self, to: &str) -> u64 {
        let frames = Frames::from_parts([&b"hello"[..], b"", b"\xff\x00"]).unwrap();
        let message = Message::new(subject(to), Body::Frames(frames));
        let death = Death {
            origin: Name::sanitized(to),
            stage: name("request"),
            reason: DeadReason::Timeout,
            fault: DeadReason::Timeout.fault(),
            error: "no answer".into(),
        };
        self.bus.dead_letter(&message, &death).await.unwrap().sequence
    }

    async fn list(&self, filter: LetterFilter) -> Vec<Letter> {
        let mut letters = self.bus.dead_letters().list(filter);
        let mut found = Vec::new();
        while let Some(letter) = letters.next().await.unwrap() {
            found.push(letter);
        }
        found
    }
}

macro_rules! on_each_engine {
    ($($case:ident),* $(,)?) => {
        mod local {
            $(#[tokio::test] async fn $case() { super::$case(super::Engine::Local).await; })*
        }
        mod attached {
            $(#[tokio::test] async fn $case() { super::$case(super::Engine::Attached).await; })*
        }
    };
}

on_each_engine!(
    letters_are_found_by_what_is_known_of_them,
    a_letter_is_shown_and_exported_whole,
    what_no_stream_takes_is_asked_of_whoever_serves_it,
    all_are_replayed_once_also_if_they_die_again,
    a_dry_run_does_nothing_and_a_rate_holds,
    letters_are_let_go_of,
    pages_are_bounded_and_nothing_is_missed,
);

fn subject(text: &str) -> Subject {
    Subject::new(text).unwrap()
}

fn filter(text: &str) -> Filter {
    Filter::new(text).unwrap()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

async fn letters_are_found_by_what_is_known_of_them(engine: Engine) {
    let opened = engine.open().await;
    assert!(opened.list(LetterFilter::default()).await.is_empty(), "no stream of letters has none");
    opened.bury_orders(&["a", "b"]).await;
    opened.bury_request("rpc.x").await;
    let found = async |filter| opened.list(filter).await.iter().map(|letter| letter.sequence).collect::<Vec<_>>();
    let all = LetterFilter::default;
    assert_eq!(found(all()).await, [1, 2, 3]);
    assert_eq!(found(LetterFilter { stream: Some(name("orders")), ..all() }).await, [1, 2]);
    assert_eq!(found(LetterFilter { consumer: Some(name("request")), ..all() }).await, [3]);
    assert_eq!(found(LetterFilter { subject: Some(filter("*.b")), ..all() }).await, [2]);
    assert_eq!(found(LetterFilter { reason: Some(DeadReason::Timeout), ..all() }).await, [3]);
    assert_eq!(found(LetterFilter { older_than: Some(Duration::from_secs(3_600)), ..all() }).await, [0_u64; 0]);
    assert_eq!(found(LetterFilter { reason: Some(DeadReason::Term), subject: Some(filter("rpc.>")), ..all() }).await, [0_u64; 0]);
    opened.close().await;
}

async fn a_letter_is_shown_and_exported_whole(engine: Engine) {
    let opened = engine.open().await;
    opened.bury_orders(&["a"]).await;
    let request = opened.bury_request("rpc.x").await;
    let shown = opened.bus.dead_letters().show(1).await.unwrap().unwrap();
    assert_eq!((&*shown.letter.reason, &*shown.letter.fault, shown.letter.origin), ("term", "agent", 1));
    assert_eq!((&*shown.letter.attempts[0].outcome, &*shown.letter.attempts[0].error), ("term", "no"));
    assert_eq!((shown.message.subject.as_str(), &shown.message.body), ("orders.a", &Body::from("a")));
    let headers = shown.message.meta.unwrap().headers;
    assert_eq!(headers, [("Tenant".into(), Bytes::from_static(b"7"))], "its own headers and no others");
    assert!(opened.bus.dead_letters().show(99).await.unwrap().is_none());

    let letters = opened.bus.dead_letters();
    let mut exports = letters.export(letters.list(LetterFilter::default()));
    let mut bodies = Vec::new();
    while let Some(whole) = exports.next().await.unwrap() {
        bodies.push(whole.message.body);
    }
    let frames = Frames::from_parts([&b"hello"[..], b"", b"\xff\x00"]).unwrap();
    assert_eq!(bodies, [Body::from("a"), Body::Frames(frames)]);
    assert!(letters.show(request).await.unwrap().is_some(), "they stay where they are");
    opened.close().await;
}

async fn what_no_stream_takes_is_asked_of_whoever_serves_it(engine: Engine) {
    let opened = engine.open().await;
    let letter = opened.bury_request("rpc.greet").await;
    let letters = opened.bus.dead_letters();
    let nobody = letters.replay(letter, None).await.unwrap_err();
    assert!(matches!(nobody, ReplayError::Refused(PublishDurableError::NoStream { .. })), "{nobody:?}");
    assert!(letters.show(letter).await.unwrap().is_some(), "it stays where it is");
    let ours = letters.replay(letter, Some(&subject("$MYELIN.API.STREAM.DELETE.orders"))).await.unwrap_err();
    assert!(matches!(ours, ReplayError::Letter(StreamError::Invalid { field: "to", .. })), "{ours:?}");

    let mut served = opened.owner.subscribe(&filter("rpc.greet"), SubscribeOptions::default()).await.unwrap();
    let owner = opened.owner.clone();
    let serving = tokio::spawn(async move {
        let request = served.next().await.unwrap();
        request.respond(&owner, "hi");
        request
    });
    let replayed = letters.replay(letter, None).await.unwrap();
    assert_eq!(replayed, Replayed::Answered { subject: subject("rpc.greet"), bytes: 2 });
    let request = serving.await.unwrap();
    let frames = Frames::from_parts([&b"hello"[..], b"", b"\xff\x00"]).unwrap();
    assert_eq!(request.body, Body::Frames(frames), "with its exact frames");
    assert_eq!(request.meta.unwrap().header("Myelin-Replay-Count").unwrap(), "1");
    assert!(letters.show(letter).await.unwrap().is_none(), "and it is let go of");
    opened.close().await;
}

/// Replaying everything to a worker that refuses everything must end.
async fn all_are_replayed_once_also_if_they_die_again(engine: Engine) {
    let opened = engine.open().await;
    opened.bury_orders(&["a", "b", "c"]).await;
    let workers = opened.bus.consumer(&name("orders"), &name("workers")).await.unwrap();
    let refusing = tokio::spawn(async move {
        while let Ok(job) = workers.next().await {
            job.term("still no").await.unwrap();
        }
    });
    let letters = opened.bus.dead_letters();
    let mut replays = letters.replay_all(letters.list(LetterFilter::default()), ReplayOptions::default());
    let mut replayed = Vec::new();
    while let Some(replay) = tokio::time::timeout(PATIENCE, replays.next()).await.expect("it ends").unwrap() {
        let Some(Replayed::Stored(receipt)) = replay.replayed else { panic!("{replay:?}") };
        assert_eq!(receipt.stream, name("orders"));
        replayed.push(replay.letter.sequence);
    }
    assert_eq!(replayed, [1, 2, 3]);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let again = loop {
        let again = opened.list(LetterFilter::default()).await;
        if again.len() == 3 {
            break again;
        }
        assert!(tokio::time::Instant::now() < deadline, "{again:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(again.iter().all(|letter| letter.replays == 1 && letter.sequence > 3), "{again:?}");
    refusing.abort();
    opened.close().await;
}

async fn a_dry_run_does_nothing_and_a_rate_holds(engine: Engine) {
    let opened = engine.open().await;
    opened.bury_orders(&["a", "b", "c"]).await;
    let letters = opened.bus.dead_letters();
    let dry = ReplayOptions { is_dry_run: true, ..ReplayOptions::default() };
    let mut replays = letters.replay_all(letters.list(LetterFilter::default()), dry);
    let mut planned = 0;
    while let Some(replay) = replays.next().await.unwrap() {
        assert_eq!(replay.replayed, None);
        planned += 1;
    }
    assert_eq!((planned, opened.list(LetterFilter::default()).await.len()), (3, 3));

    // Ten a second: two waits between three letters.
    let paced = ReplayOptions { rate: NonZeroU32::new(10), to: Some(subject("orders.retry")), ..ReplayOptions::default() };
    let began = tokio::time::Instant::now();
    let mut replays = letters.replay_all(letters.these([3, 1, 2]), paced);
    let mut order = Vec::new();
    while let Some(replay) = replays.next().await.unwrap() {
        order.push(replay.letter.sequence);
    }
    assert_eq!(order, [3, 1, 2]);
    assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
    let stored = opened.bus.get_message(&name("orders"), 4).await.unwrap().unwrap();
    assert_eq!((stored.subject.as_str(), stored.body), ("orders.retry", Body::from("c")));
    let gone = letters.these([1]).next().await.unwrap_err();
    assert!(matches!(gone, StreamError::NoMessage { sequence: 1, .. }), "{gone:?}");
    opened.close().await;
}

async fn letters_are_let_go_of(engine: Engine) {
    let opened = engine.open().await;
    assert!(!opened.bus.dead_letters().purge(1).await.unwrap());
    opened.bury_orders(&["a", "b", "c"]).await;
    let letters = opened.bus.dead_letters();
    assert!(letters.purge(2).await.unwrap());
    assert!(!letters.purge(2).await.unwrap());
    let of_a = LetterFilter { subject: Some(filter("orders.a")), ..LetterFilter::default() };
    assert_eq!(letters.purge_all(letters.list(of_a)).await.unwrap(), 1);
    let left = opened.list(LetterFilter::default()).await;
    assert_eq!(left.iter().map(|letter| letter.sequence).collect::<Vec<_>>(), [3]);
    opened.close().await;
}

async fn pages_are_bounded_and_nothing_is_missed(engine: Engine) {
    let opened = engine.open().await;
    // Written as the letters of another time would be: into their stream.
    opened.bury_orders(&["a"]).await;
    let count = LetterPage::LETTERS_MAX as u64 + 10;
    for number in 0..count {
        opened.bury_request(if number % 2 == 0 { "rpc.even" } else { "rpc.odd" }).await;
    }
    let letters = opened.bus.dead_letters();
    let page = letters.page(&LetterFilter::default(), 0, usize::MAX).await.unwrap();
    assert_eq!((page.letters.len(), page.next), (LetterPage::LETTERS_MAX, Some(LetterPage::LETTERS_MAX as u64 + 1)));
    let all = opened.list(LetterFilter::default()).await;
    assert_eq!(all.iter().map(|letter| letter.sequence).collect::<Vec<_>>(), (1..=count + 1).collect::<Vec<_>>());
    let odd = opened.list(LetterFilter { subject: Some(filter("rpc.odd")), ..LetterFilter::default() }).await;
    assert_eq!(odd.len() as u64, count / 2);
    assert_eq!(opened.bus.stream_info(&name(DEAD_LETTERS)).await.unwrap().messages, count + 1);
    opened.close().await;
}
