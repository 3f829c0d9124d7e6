//! Publishers and subscribers of a topic: whoever stays and reads gets everything, in order.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::{sleep, sleep_until, timeout};

use super::body::{Sizes, Stamp, Topic};
use super::life::{Beat, Life};
use super::tally::Count;
use super::wire::{Farewell, Peer};
use super::world::{Book, LISTENERS, World};
use crate::failure::{Doing, Outcome};

const TOPICS: u8 = 16;
/// The topic of messages that only show that a subscription is in effect.
const PROBE: Topic = *b"warm";

/// Publishes to the topic; what it says is owed to the subscribers that stay.
pub(crate) async fn publish(world: &World, mut life: Life, per_second: f64) {
    let Some(peer) = world.join("publisher", &world.places.publishers, "PUB").await else { return };
    let books: [_; LISTENERS] = std::array::from_fn(Book::Heard);
    for book in books {
        world.book(book).begin(life.number);
    }
    let topic = topic(life.random.u8(..TOPICS));
    let mut speaker = Speaker { topic, sizes: Sizes::Ordinary, beat: Beat::per_second(per_second, &mut life.random), sent: 0 };
    let sent = speaker.speak(world, &mut life, peer).await;
    world.tally.add(Count::Published, u64::from(speaker.sent));
    for book in books {
        world.book(book).end(life.number, sent, world.awake.now());
    }
}

/// Publishes to the hub, where some subscribers never read: nobody is owed everything.
pub(crate) async fn publish_to_hub(world: &World, mut life: Life, per_second: f64) {
    let Some(peer) = world.join("hub publisher", &world.places.hub_publishers, "PUB").await else { return };
    let beat = Beat::per_second(per_second, &mut life.random);
    let mut speaker = Speaker { topic: *b"hub.", sizes: Sizes::Ordinary, beat, sent: 0 };
    speaker.speak(world, &mut life, peer).await;
    world.tally.add(Count::Published, u64::from(speaker.sent));
}

/// What a publisher or a producer says.
#[derive(Debug)]
pub(crate) struct Speaker {
    pub(crate) topic: Topic,
    pub(crate) sizes: Sizes,
    pub(crate) beat: Beat,
    pub(crate) sent: u32,
}

impl Speaker {
    /// Speaks until the life is over, and leaves. The number of messages, if all of them reached the sidecar for certain.
    pub(crate) async fn speak(&mut self, world: &World, life: &mut Life, mut peer: Peer) -> Option<u32> {
        enum Event {
            Over,
            Due,
            Heard,
            Gone,
        }
        loop {
            let event = tokio::select! {
                biased;
                () = life.over() => Event::Over,
                // Subscriptions of the other end: a publisher of libzmq would filter by them.
                heard = peer.reader.next() => if heard.is_ok() { Event::Heard } else { Event::Gone },
                () = sleep_until(self.beat.next) => Event::Due,
            };
            match event {
                Event::Over => break,
                Event::Heard => {}
                Event::Gone => {
                    world.unexpected(|| "a sender's connection was closed".to_owned());
                    return None;
                }
                Event::Due => {
                    let stamp = Stamp { topic: self.topic, life: life.number, sequence: self.sent };
                    let body = stamp.body(self.sizes.draw(&mut life.random));
                    if let Err(error) = world.step(peer.writer.send(&[&body])).await {
                        world.unexpected(|| format!("a sender cannot send: {error}"));
                        return None;
                    }
                    self.sent += 1;
                    self.beat.advance(&mut life.random);
                }
            }
        }
        peer.leave(life.farewell).await;
        (life.farewell == Farewell::Close).then_some(self.sent)
    }
}

/// Subscribes to one topic for life, and to others for a while. Never sends a message, so the connection may be closed in any way.
pub(crate) async fn subscribe(world: &World, mut life: Life) {
    let Some(mut peer) = world.join("subscriber", &world.places.subscribers, "SUB").await else { return };
    let base = topic(life.random.u8(..TOPICS));
    let mut asked = BTreeSet::from([base]);
    let mut other: Option<Topic> = None;
    let mut order = Order::default();
    let mut beat = Beat::per_second(0.3, &mut life.random);
    let mut change = Some((true, base));
    loop {
        if let Some((is_wanted, topic)) = change.take() {
            let mut frame = [u8::from(is_wanted), 0, 0, 0, 0];
            frame[1..].copy_from_slice(&topic);
            if let Err(error) = world.step(peer.writer.send(&[&frame])).await {
                return world.unexpected(|| format!("subscriber: cannot subscribe: {error}"));
            }
        }
        let heard = tokio::select! {
            biased;
            () = life.over() => break,
            heard = peer.reader.next() => heard,
            () = sleep_until(beat.next) => {
                beat.advance(&mut life.random);
                change = toggled(&mut other, base, &mut life.random);
                asked.extend(other);
                continue;
            }
        };
        let Ok(heard) = heard else { return world.unexpected(|| "subscriber: its connection was closed".to_owned()) };
        let Some(stamp) = Stamp::read(heard.last) else {
            world.tally.wrong("subscriber: a message was changed".to_owned());
            continue;
        };
        world.tally.add(Count::Heard, 1);
        world.tally.add(Count::Bytes, heard.last.len() as u64);
        if !asked.contains(&stamp.topic) {
            world.tally.wrong(format!("subscriber: got {stamp:?}, asked for {asked:?}"));
        }
        // A topic that was cancelled and asked for again has a gap.
        if let Err(finding) = order.next(stamp, stamp.topic == base) {
            world.tally.wrong(format!("subscriber {}: {finding}", life.number));
        }
    }
    peer.leave(life.farewell).await;
}

/// Gives up the other topic, or picks one.
fn toggled(other: &mut Option<Topic>, base: Topic, random: &mut Rng) -> Option<(bool, Topic)> {
    if let Some(old) = other.take() {
        return Some((false, old));
    }
    *other = Some(topic(random.u8(..TOPICS))).filter(|new| *new != base);
    other.map(|new| (true, new))
}

/// A subscriber of everything that stays until the end, and whose book has to balance.
pub(crate) async fn listen(world: &World, life: Life, listener: usize) {
    let Some(mut peer) = world.join("listener", &world.places.subscribers, "SUB").await else { return };
    if let Err(error) = world.step(peer.writer.send(&[&[1]])).await {
        return world.unexpected(|| format!("listener: cannot subscribe: {error}"));
    }
    let mut order = Order::default();
    loop {
        let heard = tokio::select! {
            biased;
            () = life.over() => break,
            heard = peer.reader.next() => heard,
        };
        let Ok(heard) = heard else { return world.tally.wrong("listener: its connection was closed".to_owned()) };
        let Some(stamp) = Stamp::read(heard.last) else {
            world.tally.wrong("listener: a message was changed".to_owned());
            continue;
        };
        if stamp.topic == PROBE {
            world.listening[listener].store(true, Ordering::Relaxed);
            continue;
        }
        world.tally.add(Count::Heard, 1);
        world.tally.add(Count::Bytes, heard.last.len() as u64);
        world.book(Book::Heard(listener)).arrived(stamp.life, stamp.sequence);
        if let Err(finding) = order.next(stamp, true) {
            world.tally.wrong(format!("listener {listener}: {finding}"));
        }
    }
    peer.leave(life.farewell).await;
}

/// Publishes until all subscribers that stay have heard it: from then on they are owed everything.
///
/// # Errors
/// They hear nothing for ten seconds.
pub(crate) async fn probe(world: &World) -> Outcome<()> {
    let probing = async {
        let mut peer = Peer::connect(&world.places.publishers, "PUB").await?;
        while !world.listening.iter().all(|heard| heard.load(Ordering::Relaxed)) {
            peer.writer.send(&[&Stamp { topic: PROBE, life: 0, sequence: 0 }.body(0)]).await?;
            sleep(Duration::from_millis(20)).await;
        }
        peer.leave(Farewell::Close).await;
        std::io::Result::Ok(())
    };
    let probed = timeout(Duration::from_secs(10), probing).await.doing(|| "waiting for the subscribers that stay".to_owned())?;
    probed.doing(|| "publishing the first message".to_owned())
}

/// The next number of each sender.
#[derive(Debug, Default)]
pub(crate) struct Order(HashMap<u32, u32>);

impl Order {
    /// Takes the next message of a sender.
    ///
    /// # Errors
    /// It came before one that it should have followed; or, where everything should come, not right after it.
    pub(crate) fn next(&mut self, stamp: Stamp, is_whole: bool) -> Result<(), String> {
        match self.0.insert(stamp.life, stamp.sequence + 1) {
            Some(next) if stamp.sequence < next => Err(format!("{stamp:?} came after number {}", next - 1)),
            Some(next) if is_whole && stamp.sequence > next => Err(format!("{stamp:?} came instead of number {next}")),
            _ => Ok(()),
        }
    }
}

fn topic(number: u8) -> Topic {
    [b's', b'0' + number / 10, b'0' + number % 10, b'.']
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_allows_a_start_anywhere_and_gaps_only_where_they_are_allowed() {
        let mut order = Order::default();
        let stamp = |sequence| Stamp { topic: topic(3), life: 1, sequence };
        assert!(order.next(stamp(5), true).is_ok());
        assert!(order.next(stamp(6), true).is_ok());
        assert!(order.next(stamp(6), false).is_err());
        assert!(order.next(stamp(9), false).is_ok());
        assert!(order.next(stamp(11), true).is_err());
    }
}
