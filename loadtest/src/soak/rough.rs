//! Peers that harm themselves: they stop reading, say half of something, or speak something else. Whatever happens to them is right, except to others.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep_until;

use super::body::Stamp;
use super::life::{Beat, Life};
use super::wire::{Farewell, Peer};
use super::world::World;
use crate::zmtp::greeting;

/// Subscribes to the hub and never reads.
pub(crate) async fn deaf_subscriber(world: &World, life: Life) {
    let Ok(Ok(mut peer)) = bounded(&life, Peer::connect_narrow(&world.places.hub_subscribers, "SUB")).await else { return };
    peer.writer.send(&[&[1]]).await.ok();
    life.over().await;
    peer.leave(Farewell::Reset).await;
}

/// Takes jobs and never reads them.
pub(crate) async fn deaf_consumer(world: &World, life: Life) {
    let Ok(Ok(peer)) = bounded(&life, Peer::connect_narrow(&world.places.rough_consumers, "PULL")).await else { return };
    life.over().await;
    peer.leave(Farewell::Reset).await;
}

/// Asks, 4 KiB at a time, and never reads an answer.
pub(crate) async fn deaf_caller(world: &World, mut life: Life) {
    let Ok(Ok(mut peer)) = bounded(&life, Peer::connect_narrow(&world.places.callers, "DEALER")).await else { return };
    let (mut beat, mut sequence) = (Beat::per_second(5.0, &mut life.random), 0);
    while !life.is_over() {
        let body = Stamp { topic: *b"deaf", life: life.number, sequence }.body(4 << 10);
        sequence += 1;
        beat.advance(&mut life.random);
        // The sidecar may stop reading whoever does not read.
        if !matches!(bounded(&life, peer.writer.send(&[b"", &body])).await, Ok(Ok(()))) {
            break;
        }
        bounded(&life, sleep_until(beat.next)).await.ok();
    }
    life.over().await;
    peer.leave(Farewell::Reset).await;
}

/// Says nothing, or a part of a greeting, and waits until it is thrown out.
pub(crate) async fn half_open(world: &World, mut life: Life) {
    let greeting = greeting();
    let part = &greeting[..life.random.usize(..greeting.len())];
    say_and_wait(world, &mut life, part).await;
}

/// Speaks something that is not ZMTP.
pub(crate) async fn foreigner(world: &World, mut life: Life) {
    let noise: Vec<u8> = (0..life.random.usize(1..2_000)).map(|_| life.random.u8(..)).collect();
    let said: &[u8] = match life.random.u8(..4) {
        0 => b"GET /health HTTP/1.1\r\nHost: agent\r\n\r\n",
        1 => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        2 => b"*1\r\n$4\r\nPING\r\n",
        _ => &noise,
    };
    say_and_wait(world, &mut life, said).await;
}

/// Shakes hands, declares a message, and sends a part of it.
pub(crate) async fn cut_off(world: &World, mut life: Life) {
    let (address, socket_type) = match life.random.u8(..3) {
        0 => (&world.places.callers, "DEALER"),
        1 => (&world.places.hub_publishers, "PUB"),
        _ => (&world.places.rough_producers, "PUSH"),
    };
    let Ok(Ok(mut peer)) = bounded(&life, Peer::connect(address, socket_type)).await else { return };
    let declared: u32 = life.random.u32(1 << 10..512 << 10);
    let mut part = vec![2, 0, 0, 0, 0];
    part.extend_from_slice(&declared.to_be_bytes());
    part.resize(part.len() + life.random.usize(..declared as usize), 7);
    bounded(&life, peer.writer.send_packed(&part)).await.ok();
    life.over().await;
    peer.leave(life.farewell).await;
}

async fn say_and_wait(world: &World, life: &mut Life, said: &[u8]) {
    let places = &world.places;
    let doors = [&places.discovery, &places.hub_publishers, &places.hub_subscribers, &places.callers, &places.agents, &places.producers];
    let door = doors[life.random.usize(..doors.len())];
    let Ok(Ok(mut stream)) = bounded(life, TcpStream::connect(door)).await else { return };
    if life.farewell == Farewell::Reset {
        stream.set_zero_linger().ok();
    }
    stream.write_all(said).await.ok();
    let mut ignored = [0; 256];
    while matches!(bounded(life, stream.read(&mut ignored)).await, Ok(Ok(1..))) {}
    // Thrown out or not: the next one comes when this one's time is over.
    drop(stream);
    life.over().await;
}

/// The life's end came first.
struct Over;

async fn bounded<T>(life: &Life, step: impl Future<Output = T>) -> Result<T, Over> {
    tokio::select! {
        biased;
        done = step => Ok(done),
        () = life.over() => Err(Over),
    }
}

/// Asks and listens as a NATS client does; one in eight does not read.
pub(crate) async fn nats_client(world: &World, mut life: Life) {
    const ASK_EVERY: Duration = Duration::from_millis(500);
    let Ok(Ok(mut stream)) = bounded(&life, TcpStream::connect(&world.places.nats)).await else { return };
    let inbox = format!("_INBOX.soak.{}", life.number);
    let hello = format!(
        "CONNECT {{\"verbose\":false,\"headers\":true,\"no_responders\":true}}\r\nSUB zmq.topic.status 1\r\nSUB {inbox}.* 2\r\nPING\r\n"
    );
    stream.write_all(hello.as_bytes()).await.ok();
    if life.random.u8(..8) == 0 {
        return life.over().await;
    }
    let (mut buffer, mut asked, mut next) = (vec![0; 16 << 10], 0_u64, tokio::time::Instant::now());
    loop {
        let bytes = tokio::select! {
            () = life.over() => return,
            read = stream.read(&mut buffer) => match read {
                Ok(bytes @ 1..) => bytes,
                _ => return world.unexpected(|| "a NATS client's connection was closed".to_owned()),
            },
            () = sleep_until(next) => 0,
        };
        let mut answer = String::new();
        if buffer[..bytes].windows(6).any(|window| window == b"PING\r\n") {
            answer.push_str("PONG\r\n");
        }
        if bytes == 0 {
            next = tokio::time::Instant::now() + ASK_EVERY;
            asked += 1;
            answer = format!("PUB zmq.service.echo {inbox}.{asked} 4\r\nnats\r\n");
        }
        if !answer.is_empty() && stream.write_all(answer.as_bytes()).await.is_err() {
            return world.unexpected(|| "a NATS client's connection was closed".to_owned());
        }
    }
}
