//! Producers and consumers of durable pipelines, and the two peers of a pair: with consumers that stay nothing arrives twice and nothing is missing.

use tokio::time::sleep_until;

use super::body::{Sizes, Stamp};
use super::life::{Beat, Life};
use super::tally::Count;
use super::topics::{Order, Speaker};
use super::world::{Book, World};

/// Produces for the pipeline of this book.
pub(crate) async fn produce(world: &World, mut life: Life, book: Book, per_second: f64) {
    let address = if book == Book::Jobs { &world.places.producers } else { &world.places.rough_producers };
    let Some(peer) = world.join("producer", address, "PUSH").await else { return };
    world.book(book).begin(life.number);
    let beat = Beat::per_second(per_second, &mut life.random);
    let mut speaker = Speaker { topic: *b"job.", sizes: Sizes::WithGiants, beat, sent: 0 };
    let sent = speaker.speak(world, &mut life, peer).await;
    world.tally.add(Count::Jobs, u64::from(speaker.sent));
    world.book(book).end(life.number, sent, world.awake.now());
}

/// Consumes from the pipeline of this book.
pub(crate) async fn consume(world: &World, life: Life, book: Book) {
    let address = if book == Book::Jobs { &world.places.consumers } else { &world.places.rough_consumers };
    let Some(mut peer) = world.join("consumer", address, "PULL").await else { return };
    loop {
        let job = tokio::select! {
            biased;
            () = life.over() => break,
            job = peer.take() => job,
        };
        let Ok(job) = job else { return world.unexpected(|| "consumer: its connection was closed".to_owned()) };
        match Stamp::read(job.last) {
            Some(stamp) => {
                world.tally.add(Count::Bytes, job.last.len() as u64);
                world.book(book).arrived(stamp.life, stamp.sequence);
            }
            None => world.tally.wrong("consumer: a message was changed".to_owned()),
        }
    }
    peer.leave(life.farewell).await;
}

/// One peer of the pair; the place may still be its predecessor's, which ends this life at once.
pub(crate) async fn pair(world: &World, mut life: Life, side: usize) {
    let Some(mut peer) = world.join("pair", &world.places.pair[side], "PAIR").await else { return };
    let (mut order, mut sequence) = (Order::default(), 0);
    let mut beat = Beat::per_second(5.0, &mut life.random);
    loop {
        let heard = tokio::select! {
            biased;
            () = life.over() => break,
            heard = peer.reader.next() => heard,
            () = sleep_until(beat.next) => {
                beat.advance(&mut life.random);
                let body = Stamp { topic: *b"pair", life: life.number, sequence }.body(Sizes::Ordinary.draw(&mut life.random));
                sequence += 1;
                if world.step(peer.writer.send(&[&body])).await.is_err() {
                    return;
                }
                continue;
            }
        };
        let Ok(heard) = heard else { return };
        world.tally.add(Count::Paired, 1);
        // What a predecessor left unread is lost, so numbers may be missing, but none comes twice or late.
        let found = Stamp::read(heard.last).ok_or_else(|| "a message was changed".to_owned()).and_then(|stamp| order.next(stamp, false));
        if let Err(finding) = found {
            world.tally.wrong(format!("pair: {finding}"));
        }
    }
    peer.leave(life.farewell).await;
}
