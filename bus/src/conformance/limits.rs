//! "Limits by count/bytes/age"; "`retention` = limits | work_queue | interest; `on_full` = `reject` | `drop_oldest`".

use std::time::Duration;

use tokio::time::Instant;

use super::PATIENCE;
use super::fixture::{Fixture, eventually};
use super::orders::{job, jobs, rests, work};
use crate::streams::{OnFull, PublishDurableError, PublishOptions, Retention};

/// The shortest time to live that servers know.
const TTL: Duration = Duration::from_secs(1);

/// "`reject` (default for work queues and pipelines: typed `StreamFull`)": and with room again it takes again.
pub async fn a_full_stream_refuses_until_there_is_room(on: &Fixture) {
    on.orders(|config| {
        config.retention = Retention::WorkQueue;
        config.messages_max = 2;
    })
    .await;
    for body in ["a", "b"] {
        on.store("orders.new", body).await;
    }
    let refused = on.store_with("orders.new", "c", &PublishOptions::default()).await.unwrap_err();
    assert!(matches!(&refused, PublishDurableError::StreamFull { stream, .. } if *stream == on.name("orders")), "{refused:?}");
    assert!(refused.is_retryable() && !refused.may_have_happened());
    let worker = on.workers(|_| {}).await;
    assert_eq!(work(&worker).await, "a");
    // The servers of a cluster let go of what was acked a moment later.
    let third = eventually("there is room", async || on.store_with("orders.new", "c", &PublishOptions::default()).await.ok()).await;
    assert_eq!(third.sequence, 3, "no sequence was used for what was refused");
}

/// "Limits by … bytes": refused before the bound is exceeded.
pub async fn bytes_are_a_limit(on: &Fixture) {
    on.orders(|config| config.bytes_max = 20_000).await;
    let mut stored = 0;
    let refused = loop {
        match on.store_with("orders.new", vec![0; 1_000], &PublishOptions::default()).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored <= 20, "the bodies alone are more than the limit");
    };
    assert!(matches!(refused, PublishDurableError::StreamFull { .. }), "{refused:?}");
    assert!(stored >= 10, "{stored}: most of the room is for messages");
    assert!(on.info().await.bytes <= 20_000);
}

/// "`drop_oldest` (must be named)": the newest are kept.
pub async fn drop_oldest_keeps_the_newest(on: &Fixture) {
    on.orders(|config| {
        config.messages_max = 3;
        config.on_full = OnFull::DropOldest;
    })
    .await;
    for number in 1..=10_u64 {
        assert_eq!(on.store("orders.new", number.to_string()).await, number);
    }
    assert_eq!(on.bus().sequences(&on.name("orders"), 0, 99, None).await.unwrap(), [8, 9, 10]);
    let worker = on.workers(|_| {}).await;
    assert_eq!([work(&worker).await, work(&worker).await, work(&worker).await], ["8", "9", "10"]);
}

/// `drop_oldest` by bytes: as many go as the new one needs.
pub async fn drop_oldest_makes_room_for_a_large_one(on: &Fixture) {
    on.orders(|config| {
        config.bytes_max = 20_000;
        config.on_full = OnFull::DropOldest;
    })
    .await;
    for _ in 0..8 {
        on.store("orders.new", vec![0; 1_000]).await;
    }
    assert_eq!(on.store("orders.new", vec![0; 15_000]).await, 9);
    let info = on.info().await;
    assert!(info.bytes <= 20_000 && info.first_sequence > 1 && info.last_sequence == 9, "{info:?}");
}

/// A smaller limit is kept from then on.
pub async fn age_is_a_limit(on: &Fixture) {
    on.orders(|config| {
        config.age_max = Some(TTL);
        config.dedup_window = TTL;
    })
    .await;
    let started = Instant::now();
    on.store("orders.new", "old").await;
    eventually("the message is too old", async || (on.info().await.messages == 0).then_some(())).await;
    assert!(started.elapsed() >= TTL * 9 / 10, "{:?}", started.elapsed());
    // Each server of a cluster lets go of it by itself. One that is late would keep it by the next limit, which is there so that the next message does not go
    // before a worker comes to it.
    assert_eq!(on.bus().purge_stream(&on.name("orders"), None).await.unwrap(), 0, "nothing is left of it where the stream is led");
    on.orders(|config| config.age_max = Some(PATIENCE)).await;
    assert_eq!(on.store("orders.new", "new").await, 2);
    let worker = on.workers(|_| {}).await;
    assert_eq!(work(&worker).await, "new");
}

/// "TTL per message": it goes when its time is over, and nobody gets it after that; its neighbours stay.
pub async fn a_message_goes_when_its_own_time_is_over(on: &Fixture) {
    on.orders(|_| {}).await;
    let brief = PublishOptions { ttl: Some(TTL), ..PublishOptions::default() };
    on.store("orders.new", "before").await;
    on.store_with("orders.new", "brief", &brief).await.unwrap();
    on.store("orders.new", "after").await;
    assert!(on.bus().get_message(&on.name("orders"), 2).await.unwrap().is_some());
    eventually("its time is over", async || (on.info().await.messages == 2).then_some(())).await;
    let worker = on.workers(|_| {}).await;
    assert_eq!([work(&worker).await, work(&worker).await], ["before", "after"]);
    rests(&worker).await;
}

/// "`retention` = limits": what is acked stays, for others.
pub async fn with_limits_what_is_acked_stays(on: &Fixture) {
    on.orders(|_| {}).await;
    for body in ["a", "b"] {
        on.store("orders.new", body).await;
    }
    let first = on.workers(|_| {}).await;
    assert_eq!([work(&first).await, work(&first).await], ["a", "b"]);
    assert_eq!(on.info().await.messages, 2);
    let second = on.workers_of("second", |_| {}).await;
    assert_eq!([work(&second).await, work(&second).await], ["a", "b"]);
}

/// "`work_queue`": what is acked is gone, and nothing else is.
pub async fn a_work_queue_lets_go_of_what_is_acked(on: &Fixture) {
    on.orders(|config| config.retention = Retention::WorkQueue).await;
    for body in ["a", "b", "c"] {
        on.store("orders.new", body).await;
    }
    let worker = on.workers(|_| {}).await;
    let jobs = jobs(&worker, 3).await;
    assert_eq!(on.info().await.messages, 3, "delivered is not done");
    for job in jobs.into_iter().skip(1) {
        job.ack().await.unwrap();
    }
    let left = eventually("what was acked is gone", async || {
        let left = on.bus().sequences(&on.name("orders"), 0, 9, None).await.unwrap();
        (left.len() <= 1).then_some(left)
    })
    .await;
    assert_eq!(left, [1]);
}

/// "`interest`": a message stays until everybody who wants it is done with it.
pub async fn interest_keeps_a_message_until_everybody_is_done(on: &Fixture) {
    on.orders(|config| config.retention = Retention::Interest).await;
    let all = on.workers(|_| {}).await;
    let some = on.workers_of("some", |config| config.filter = Some(on.filter("orders.a"))).await;
    on.store("orders.a", "both").await;
    on.store("orders.b", "one").await;
    assert_eq!([work(&all).await, work(&all).await], ["both", "one"]);
    let left = eventually("what one wanted is gone", async || {
        let left = on.bus().sequences(&on.name("orders"), 0, 9, None).await.unwrap();
        (left.len() == 1).then_some(left)
    })
    .await;
    assert_eq!(left, [1]);
    assert_eq!(work(&some).await, "both");
    eventually("everybody is done", async || (on.info().await.messages == 0).then_some(())).await;
}

/// `interest`: what nobody wants is not kept, and its publisher has a receipt all the same.
pub async fn without_interest_nothing_is_kept(on: &Fixture) {
    on.orders(|config| config.retention = Retention::Interest).await;
    assert_eq!(on.store("orders.new", "nobody's").await, 1);
    on.is_empty().await;
    let worker = on.workers(|config| config.filter = Some(on.filter("orders.mine"))).await;
    on.store("orders.other", "nobody's").await;
    assert_eq!(on.store("orders.mine", "wanted").await, 3);
    assert_eq!(job(&worker).await.sequence(), 3);
    eventually("only what is wanted is kept", async || (on.info().await.messages == 1).then_some(())).await;
}

/// `interest`: a consumer that is deleted wants nothing any more.
pub async fn a_deleted_consumer_has_no_interest(on: &Fixture) {
    on.orders(|config| config.retention = Retention::Interest).await;
    let worker = on.workers(|_| {}).await;
    on.workers_of("second", |_| {}).await;
    on.store("orders.new", "a").await;
    assert_eq!(work(&worker).await, "a");
    assert_eq!(on.info().await.messages, 1);
    assert!(on.bus().delete_consumer(&on.name("orders"), &on.name("second")).await.unwrap());
    eventually("nobody wants it", async || (on.info().await.messages == 0).then_some(())).await;
}
