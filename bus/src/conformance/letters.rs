//! "**dead letters**: a message that exceeds `max_deliver`, is `term`ed, expires unread (policy), … ends in the stream's dead-letter stream,
//! whole." What an operator does with them is in `replays`.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::task::JoinSet;

use super::fixture::{Fixture, eventually, text};
use super::orders::{id, job, jobs, rests, work};
use crate::streams::{Consumer, DeadReason, Death, Fault, Letter, LetterFilter, OnFull, Outcome, PublishOptions, Retention};
use crate::wire::{self, Body, Frames};
use crate::{Message, Meta};

/// The shortest time to live that servers know.
const TTL: Duration = Duration::from_secs(1);

/// Letters of this case.
pub(super) fn of_orders(on: &Fixture) -> LetterFilter {
    LetterFilter { stream: Some(on.name("orders")), ..LetterFilter::default() }
}

pub(super) async fn letters(on: &Fixture, filter: LetterFilter) -> Vec<Letter> {
    let mut listed = Vec::new();
    let mut letters = on.bus().dead_letters().list(filter);
    while let Some(letter) = letters.next().await.unwrap() {
        listed.push(letter);
    }
    listed
}

/// The one letter of this case.
pub(super) async fn letter(on: &Fixture) -> Letter {
    let mut letters = letters(on, of_orders(on)).await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    letters.remove(0)
}

/// The one letter of this case, which is moved when a worker looks for messages and finds a dead one.
pub(super) async fn letter_by(on: &Fixture, worker: &Consumer) -> Letter {
    eventually("the letter", async || {
        rests(worker).await;
        (!letters(on, of_orders(on)).await.is_empty()).then_some(())
    })
    .await;
    letter(on).await
}

/// Waits for so many letters, which are moved when somebody looks.
async fn until_letters(on: &Fixture, count: usize) -> Vec<Letter> {
    eventually("the letters", async || {
        let letters = letters(on, of_orders(on)).await;
        (letters.len() >= count).then_some(letters)
    })
    .await
}

fn attempts(letter: &Letter) -> Vec<(&str, &str)> {
    letter.attempts.iter().map(|attempt| (&*attempt.outcome, &*attempt.error)).collect()
}

/// "We count deliveries, and dead-letter at the N+1st": with its place, whose fault it is, and every attempt.
pub async fn after_deliveries_max_a_message_is_a_letter(on: &Fixture) {
    on.orders(|config| config.retention = Retention::WorkQueue).await;
    on.store("orders.good", "good").await;
    on.store("orders.bad", "poison").await;
    let worker = on.workers(|config| config.deliveries_max = 2).await;
    assert_eq!(work(&worker).await, "good");
    for error in ["first", "second"] {
        job(&worker).await.nak(None, error).await.unwrap();
    }
    let letter = letter_by(on, &worker).await;
    assert_eq!((&*letter.stream, &*letter.consumer, letter.origin), (on.name("orders").as_str(), on.name("workers").as_str(), 2));
    assert_eq!((&*letter.reason, &*letter.fault, letter.replays), ("max_deliver", "agent", 0));
    assert_eq!((&*letter.subject, letter.payload_bytes), (on.subject("orders.bad").as_str(), 6));
    let nak = Outcome::Nak.as_str();
    assert_eq!(attempts(&letter), [(nak, "first"), (nak, "second")]);
    assert!(letter.attempts.iter().all(|attempt| attempt.at_ms <= letter.dead_ms));
    // In one place.
    on.is_empty().await;
}

/// "Is `term`ed": when that returns it is a letter, and nobody gets the message any more.
pub async fn a_terminated_message_is_a_letter_at_once(on: &Fixture) {
    on.orders(|config| config.retention = Retention::WorkQueue).await;
    on.store("orders.new", "hopeless").await;
    let worker = on.workers(|_| {}).await;
    job(&worker).await.nak(None, "busy").await.unwrap();
    job(&worker).await.term("not JSON").await.unwrap();
    let letter = letter(on).await;
    assert_eq!((&*letter.reason, &*letter.fault), ("term", "agent"));
    assert_eq!(attempts(&letter), [(Outcome::Nak.as_str(), "busy"), (Outcome::Term.as_str(), "not JSON")]);
    on.is_empty().await;
    rests(&worker).await;
}

/// "An attempt that ended in silence is `ack_wait expired`."
pub async fn silence_is_an_attempt(on: &Fixture) {
    on.orders(|_| {}).await;
    on.store("orders.new", "a").await;
    let worker = on.workers(|config| {
        config.ack_wait = Duration::from_secs(1);
        config.deliveries_max = 1;
    });
    let worker = worker.await;
    let silent = job(&worker).await;
    let letter = letter_by(on, &worker).await;
    assert_eq!(attempts(&letter), [(Outcome::AckWaitExpired.as_str(), "")]);
    assert_eq!(&*letter.reason, "max_deliver");
    drop(silent);
}

/// "Expires unread (policy)": where the operator wants it so.
pub async fn what_expires_unread_is_a_letter_where_that_is_wanted(on: &Fixture) {
    on.orders(|config| config.dead_letter_expired = true).await;
    on.workers(|_| {}).await;
    let brief = PublishOptions { ttl: Some(TTL), ..PublishOptions::default() };
    on.store_with("orders.new", "brief", &brief).await.unwrap();
    on.store("orders.new", "lasts").await;
    let letters = until_letters(on, 1).await;
    assert_eq!((letters.len(), &*letters[0].reason, letters[0].origin), (1, "expired", 1));
    let whole = on.bus().dead_letters().show(letters[0].sequence).await.unwrap().expect("it is there");
    assert_eq!(whole.message.body, "brief".into());
    eventually("it is in one place", async || (on.info().await.messages == 1).then_some(())).await;
}

/// Else it "is counted", and gone.
pub async fn what_expires_elsewhere_is_no_letter(on: &Fixture) {
    on.orders(|_| {}).await;
    on.workers(|_| {}).await;
    let brief = PublishOptions { ttl: Some(TTL), ..PublishOptions::default() };
    on.store_with("orders.new", "brief", &brief).await.unwrap();
    eventually("it is gone", async || (on.info().await.messages == 0).then_some(())).await;
    assert!(letters(on, of_orders(on)).await.is_empty());
}

/// "What is evicted unread is counted, or dead-lettered as `evicted`."
pub async fn what_is_evicted_unread_is_a_letter_where_that_is_wanted(on: &Fixture) {
    on.orders(|config| {
        config.messages_max = 2;
        config.on_full = OnFull::DropOldest;
        config.dead_letter_evicted = true;
    })
    .await;
    let worker = on.workers(|_| {}).await;
    for body in ["a", "b"] {
        on.store("orders.new", body).await;
    }
    assert_eq!(work(&worker).await, "a", "it was handled");
    for body in ["c", "d"] {
        on.store("orders.new", body).await;
    }
    let letters = until_letters(on, 1).await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!((&*letters[0].reason, &*letters[0].fault, letters[0].origin), ("evicted", "ours", 2));
    assert_eq!([work(&worker).await, work(&worker).await], ["c", "d"]);
}

/// "Whole: payload, headers, subject": frames and envelope too.
pub async fn a_letter_has_the_whole_message(on: &Fixture) {
    on.orders(|_| {}).await;
    let mut envelope = wire::Meta::new(wire::Kind::REQUEST, SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    envelope.source = Some(wire::AgentId::new("planner-7").unwrap());
    let headers = vec![("Mine".into(), Bytes::from("1")), ("Mine".into(), Bytes::from("2"))];
    let message = Message {
        meta: Some(Box::new(Meta { headers, envelope: Some(Box::new(envelope)) })),
        ..Message::new(on.subject("orders.new"), Body::Frames(Frames::from_parts([&b"id"[..], b"", b"\x80\xff"]).unwrap()))
    };
    on.bus().publish_durable(&message, &id("1")).await.unwrap();
    let worker = on.workers(|_| {}).await;
    job(&worker).await.term("no").await.unwrap();
    let whole = on.second().dead_letters().show(letter(on).await.sequence).await.unwrap().expect("it is there");
    assert_eq!((whole.message.subject, whole.message.body), (message.subject, message.body));
    assert_eq!(whole.message.meta, message.meta);
}

/// "The last 32 attempts with time and error."
pub async fn the_latest_32_attempts_are_kept(on: &Fixture) {
    on.orders(|_| {}).await;
    on.store("orders.new", "a").await;
    let worker = on.workers(|config| config.deliveries_max = 40).await;
    for number in 1..=40 {
        job(&worker).await.nak(None, &number.to_string()).await.unwrap();
    }
    let letter = letter_by(on, &worker).await;
    let errors: Vec<_> = letter.attempts.iter().map(|attempt| attempt.error.to_string()).collect();
    assert_eq!(errors, (9..=40).map(|number: u32| number.to_string()).collect::<Vec<_>>());
    assert!(letter.attempts.is_sorted_by_key(|attempt| attempt.at_ms));
}

/// "One entry per (stream, consumer, sequence)": each consumer has its own.
pub async fn each_consumer_has_a_letter_of_its_own(on: &Fixture) {
    on.orders(|_| {}).await;
    on.store("orders.new", "a").await;
    for name in ["workers", "second"] {
        let worker = on.workers_of(name, |_| {}).await;
        job(&worker).await.term(name).await.unwrap();
    }
    let letters = letters(on, of_orders(on)).await;
    let consumers: Vec<_> = letters.iter().map(|letter| &*letter.consumer).collect();
    assert_eq!(consumers, [on.name("workers").as_str(), on.name("second").as_str()]);
    let filter = LetterFilter { consumer: Some(on.name("second")), ..of_orders(on) };
    assert_eq!(self::letters(on, filter).await, letters[1..]);
}

/// "One entry per (stream, consumer, sequence)": however many workers give it up, at once or one after the other.
pub async fn a_message_is_one_letter_whoever_gives_it_up(on: &Fixture) {
    on.orders(|config| config.retention = Retention::WorkQueue).await;
    for _ in 0..20 {
        on.store("orders.new", "x").await;
    }
    let worker = on.workers(|config| config.deliveries_max = 1).await;
    for job in jobs(&worker, 20).await {
        job.nak(None, "no").await.unwrap();
    }
    let elsewhere = on.workers_elsewhere(on.second()).await;
    let mut looking = JoinSet::new();
    for worker in [worker.clone(), worker, elsewhere.clone(), elsewhere] {
        looking.spawn(async move { worker.fetch(20, Duration::from_secs(1)).await.unwrap().len() });
    }
    assert_eq!(looking.join_all().await, [0; 4], "no worker gets a dead message");
    let mut origins: Vec<_> = until_letters(on, 20).await.iter().map(|letter| letter.origin).collect();
    origins.sort_unstable();
    assert_eq!(origins, (1..=20).collect::<Vec<_>>());
    on.is_empty().await;
}

/// Two workers that have one message, since the first was silent, and both give it up.
pub async fn two_that_give_up_one_message_make_one_letter(on: &Fixture) {
    on.orders(|_| {}).await;
    on.store("orders.new", "a").await;
    let worker = on.workers(|config| config.ack_wait = Duration::from_secs(1)).await;
    let (slow, quick) = (job(&worker).await, job(&worker).await);
    let (late, in_time) = tokio::join!(slow.term("late"), quick.term("in time"));
    assert!(late.is_ok() || in_time.is_ok(), "{late:?}, {in_time:?}");
    assert_eq!(letter_by(on, &worker).await.origin, 1);
    eventually("nobody has it", async || (on.workers_info().await.in_flight == 0).then_some(())).await;
    rests(&worker).await;
    assert_eq!(letter(on).await.origin, 1, "it is one");
}

/// "Has no route": what never was in a stream may be a letter as well, whole.
pub async fn what_was_in_no_stream_may_be_a_letter(on: &Fixture) {
    let headers = vec![("Mine".into(), Bytes::from("1"))];
    let message = Message {
        meta: Some(Box::new(Meta { headers, envelope: None })),
        ..Message::new(on.subject("svc"), Body::Frames(Frames::from_parts([&b""[..], b"ask"]).unwrap()))
    };
    let reason = DeadReason::NoRoute;
    let death =
        Death { origin: on.name("orders"), stage: on.name("request"), reason, fault: reason.fault(), error: "nobody is there".into() };
    for _ in 0..2 {
        on.bus().dead_letter(&message, &death).await.unwrap();
    }
    let letters = letters(on, of_orders(on)).await;
    assert_eq!(letters.len(), 2, "each is one of its own");
    assert_ne!(letters[0].origin, letters[1].origin);
    assert_eq!((&*letters[0].consumer, &*letters[0].fault), (on.name("request").as_str(), Fault::Ours.as_str()));
    assert_eq!(attempts(&letters[0]), [("no_route", "nobody is there")]);
    let whole = on.second().dead_letters().show(letters[0].sequence).await.unwrap().expect("it is there");
    assert_eq!((whole.message.subject, whole.message.body, whole.message.meta), (message.subject, message.body, message.meta));
}

/// A message that is a letter does not keep others from being delivered.
pub async fn a_letter_stands_in_nobodys_way(on: &Fixture) {
    on.orders(|_| {}).await;
    for number in 0..10 {
        on.store("orders.new", number.to_string()).await;
    }
    let worker = on.workers(|config| {
        config.deliveries_max = 1;
        config.in_flight_max = 2;
    });
    let worker = worker.await;
    for job in jobs(&worker, 2).await {
        job.nak(None, "no").await.unwrap();
    }
    let rest: Vec<_> = [work(&worker).await, work(&worker).await, work(&worker).await].into();
    assert_eq!(rest, ["2", "3", "4"]);
    assert_eq!(until_letters(on, 2).await.len(), 2);
    assert_eq!(text(job(&worker).await.body()), "5");
}
