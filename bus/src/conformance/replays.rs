//! "Verbs: `list, show, replay (one, filter, all; rate; dry-run; other subject), purge, export`. A replay carries its origin and count."

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

use super::fixture::{Fixture, eventually, next, text};
use super::letters::{letter, letters, of_orders};
use super::orders::{job, rests, work};
use crate::SubscribeOptions;
use crate::streams::{
    Consumer, DeadReason, Job, LetterFilter, LetterPage, PublishDurableError, ReplayError, ReplayOptions, Replayed, Retention, StreamError,
};

/// Makes letters of so many messages, each on a subject of its own, `orders.0` and so on.
async fn bury(on: &Fixture, count: usize) -> Consumer {
    on.orders(|config| config.retention = Retention::WorkQueue).await;
    let worker = on.workers(|config| config.deliveries_max = 1).await;
    for number in 0..count {
        on.store(&format!("orders.{number}"), number.to_string()).await;
        job(&worker).await.term("no").await.unwrap();
    }
    worker
}

fn header(job: &Job, name: &str) -> String {
    let value = job.message().meta.as_ref().and_then(|meta| meta.header(name)).expect("the header is there");
    String::from_utf8_lossy(value).into_owned()
}

/// "A replay carries its origin and count": also the second time, and the letter is gone once its message is on its way.
pub async fn a_replay_carries_its_origin_and_count(on: &Fixture) {
    let worker = bury(on, 1).await;
    for count in 1..=3_u64 {
        let buried = letter(on).await;
        assert_eq!((buried.replays, buried.origin), (count - 1, count));
        let replayed = on.bus().dead_letters().replay(buried.sequence, None).await.unwrap();
        let Replayed::Stored(receipt) = replayed else { panic!("{replayed:?}") };
        assert_eq!((&receipt.stream, receipt.sequence), (&on.name("orders"), count + 1));
        assert!(letters(on, of_orders(on)).await.is_empty());
        let again = job(&worker).await;
        assert_eq!((text(again.body()), &again.message().subject), ("0".to_owned(), &on.subject("orders.0")));
        assert_eq!((again.deliveries(), header(&again, "Myelin-Replay-Count")), (1, count.to_string()));
        assert_eq!(header(&again, "Myelin-Replay-Of"), format!("{}.{}.{count}", on.name("orders"), on.name("workers")));
        again.term("no").await.unwrap();
    }
}

/// "Other subject": into whichever stream stores that; where none does, the letter stays.
pub async fn a_letter_may_go_elsewhere(on: &Fixture) {
    let worker = bury(on, 1).await;
    let dead = letter(on).await.sequence;
    let nowhere = on.bus().dead_letters().replay(dead, Some(&on.subject("nowhere"))).await;
    let no_stream = PublishDurableError::NoStream { subject: on.subject("nowhere") };
    assert_eq!(nowhere.unwrap_err(), ReplayError::Refused(no_stream));
    assert_eq!(letter(on).await.sequence, dead);
    on.bus().dead_letters().replay(dead, Some(&on.subject("orders.repaired"))).await.unwrap();
    assert_eq!(job(&worker).await.message().subject, on.subject("orders.repaired"));
    assert!(letters(on, of_orders(on)).await.is_empty());
}

/// A request is replayed to who serves its subject; the answer tells that it was taken.
pub async fn a_letter_may_go_to_who_serves_its_subject(on: &Fixture) {
    bury(on, 1).await;
    let dead = letter(on).await.sequence;
    let mut served = on.subscribe("svc", SubscribeOptions::default()).await;
    let serve = async {
        let request = next(&mut served).await;
        request.respond(on.second(), "done");
        request
    };
    let (letters_here, to) = (on.bus().dead_letters(), on.subject("svc"));
    let (replayed, request) = tokio::join!(letters_here.replay(dead, Some(&to)), serve);
    assert_eq!(replayed.unwrap(), Replayed::Answered { subject: to, bytes: 4 });
    assert_eq!(text(&request.body), "0");
    assert!(letters(on, of_orders(on)).await.is_empty());
}

/// "Filters (stream, subject, reason, age)."
pub async fn letters_are_found_by_what_is_known_of_them(on: &Fixture) {
    let worker = bury(on, 3).await;
    on.store("orders.late", "x").await;
    job(&worker).await.nak(None, "no").await.unwrap();
    eventually("the fourth letter", async || {
        rests(&worker).await;
        (letters(on, of_orders(on)).await.len() >= 4).then_some(())
    })
    .await;
    let all = letters(on, of_orders(on)).await;
    assert_eq!(all.iter().map(|letter| letter.origin).collect::<Vec<_>>(), [1, 2, 3, 4], "oldest first");
    let found = async |change: fn(&mut LetterFilter, &Fixture)| {
        let mut filter = of_orders(on);
        change(&mut filter, on);
        letters(on, filter).await.iter().map(|letter| letter.origin).collect::<Vec<_>>()
    };
    assert_eq!(found(|filter, _| filter.reason = Some(DeadReason::Term)).await, [1, 2, 3]);
    assert_eq!(found(|filter, _| filter.reason = Some(DeadReason::MaxDeliver)).await, [4]);
    assert_eq!(found(|filter, on| filter.subject = Some(on.filter("orders.1"))).await, [2]);
    assert_eq!(found(|filter, on| filter.subject = Some(on.filter("other.>"))).await, [0_u64; 0]);
    assert_eq!(found(|filter, on| filter.consumer = Some(on.name("others"))).await, [0_u64; 0]);
    assert_eq!(found(|filter, on| filter.stream = Some(on.name("others"))).await, [0_u64; 0]);
    assert_eq!(found(|filter, _| filter.older_than = Some(Duration::from_secs(3_600))).await, [0_u64; 0]);
    assert_eq!(found(|filter, _| filter.older_than = Some(Duration::ZERO)).await, [1, 2, 3, 4]);
}

/// Letters are listed page by page, each once.
pub async fn letters_are_listed_page_by_page(on: &Fixture) {
    bury(on, 10).await;
    let (mut from, mut found) = (Some(0), Vec::new());
    while let Some(begin) = from {
        let LetterPage { letters, next, .. } = on.bus().dead_letters().page(&of_orders(on), begin, 3).await.unwrap();
        assert!(letters.len() <= 3);
        found.extend(letters.iter().map(|letter| letter.origin));
        from = next;
    }
    assert_eq!(found, (1..=10).collect::<Vec<_>>());
}

/// "Replay (filter; rate)": those that match, no faster than that.
pub async fn letters_that_match_are_replayed_at_a_rate(on: &Fixture) {
    let worker = bury(on, 6).await;
    let filter = LetterFilter { subject: Some(on.filter("orders.*")), ..of_orders(on) };
    let options = ReplayOptions { rate: NonZeroU32::new(10), ..ReplayOptions::default() };
    let started = Instant::now();
    let here = on.bus().dead_letters();
    let mut replays = here.replay_all(here.list(filter), options);
    let mut replayed = 0;
    while let Some(replay) = replays.next().await.unwrap() {
        assert!(matches!(replay.replayed, Some(Replayed::Stored(_))), "{replay:?}");
        replayed += 1;
    }
    assert_eq!(replayed, 6);
    assert!(started.elapsed() >= Duration::from_millis(450), "{:?}", started.elapsed());
    for number in 0..6 {
        assert_eq!(work(&worker).await, number.to_string());
    }
    assert!(letters(on, of_orders(on)).await.is_empty());
}

/// "Dry-run": tells what would be done, and does nothing.
pub async fn a_dry_run_does_nothing(on: &Fixture) {
    let worker = bury(on, 2).await;
    let here = on.bus().dead_letters();
    let mut replays = here.replay_all(here.list(of_orders(on)), ReplayOptions { is_dry_run: true, ..ReplayOptions::default() });
    let mut told = Vec::new();
    while let Some(replay) = replays.next().await.unwrap() {
        assert_eq!(replay.replayed, None);
        told.push(replay.letter);
    }
    assert_eq!(told, letters(on, of_orders(on)).await);
    rests(&worker).await;
}

/// "Purge": one, or those that match.
pub async fn purged_letters_are_gone(on: &Fixture) {
    bury(on, 4).await;
    let here = on.second().dead_letters();
    let all = letters(on, of_orders(on)).await;
    assert!(here.purge(all[0].sequence).await.unwrap());
    assert!(!here.purge(all[0].sequence).await.unwrap(), "it was there once");
    assert!(here.show(all[0].sequence).await.unwrap().is_none());
    let gone = here.replay(all[0].sequence, None).await.unwrap_err();
    assert!(matches!(gone, ReplayError::Letter(StreamError::NoMessage { .. })), "{gone:?}");
    let filter = LetterFilter { subject: Some(on.filter("orders.2")), ..of_orders(on) };
    assert_eq!(here.purge_all(here.list(filter)).await.unwrap(), 1);
    assert_eq!(letters(on, of_orders(on)).await.iter().map(|letter| letter.origin).collect::<Vec<_>>(), [2, 4]);
}

/// "Export": letters with their messages, which stay where they are.
pub async fn exported_letters_stay(on: &Fixture) {
    bury(on, 3).await;
    let here = on.bus().dead_letters();
    let mut exports = here.export(here.list(of_orders(on)));
    let mut bodies = Vec::new();
    while let Some(whole) = exports.next().await.unwrap() {
        assert_eq!(whole.message.subject.as_str(), &*whole.letter.subject);
        bodies.push(text(&whole.message.body));
    }
    assert_eq!(bodies, ["0", "1", "2"]);
    assert_eq!(letters(on, of_orders(on)).await.len(), 3);
}
