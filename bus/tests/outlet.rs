//! An outlet on a real socket delivers everything in order to a slow reader, and tells the producer when to wait.

#![allow(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use myelin_bus::Overflow;
use myelin_bus::outlet::{Outlet, OutletConfig, OutletError};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(10);

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (client, server) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (client.unwrap(), server.unwrap().0)
}

fn outlet(overflow: Overflow, bytes_max: usize) -> Arc<Outlet> {
    Arc::new(Outlet::new(OutletConfig { bytes_max, messages_max: 65_536, overflow }))
}

#[tokio::test]
async fn a_blocking_outlet_delivers_every_byte_in_order_to_a_slow_reader() {
    let (near, mut far) = pair().await;
    let (_read, write) = near.into_split();
    let outlet = outlet(Overflow::Block, 256 * 1024);
    outlet.attach(write);
    let driver = tokio::spawn({
        let outlet = outlet.clone();
        async move { outlet.drive().await }
    });

    let reader = tokio::spawn(async move {
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.unwrap();
        all
    });

    let mut expected = Vec::new();
    for number in 0..4000u32 {
        let body = Bytes::from(number.to_be_bytes().repeat(if number % 7 == 0 { 4000 } else { 20 }));
        expected.extend_from_slice(b"h");
        expected.extend_from_slice(&body);
        let pushed = outlet.push(b"h", &body);
        assert_eq!((pushed.accepted, pushed.dropped), (1, 0));
        if pushed.over {
            timeout(DEADLINE, outlet.relieved()).await.expect("the reader reads");
        }
        assert!(outlet.queued().bytes <= 256 * 1024 + 16_001, "over the bound by at most one message");
    }
    timeout(DEADLINE, outlet.flushed()).await.expect("the reader reads");
    outlet.close();
    assert!(matches!(driver.await.unwrap(), OutletError::Closed));
    drop(outlet);
    drop(_read);
    assert_eq!(timeout(DEADLINE, reader).await.unwrap().unwrap(), expected);
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_disconnected_when_the_policy_says_so() {
    let (near, _far) = pair().await;
    let (_read, write) = near.into_split();
    let outlet = outlet(Overflow::Disconnect, 1024 * 1024);
    outlet.attach(write);
    let body = Bytes::from(vec![0; 100_000]);
    let pushed: Vec<_> = (0..1000).map(|_| outlet.push(&[], &body)).take_while(|pushed| pushed.dropped == 0).collect();
    assert!(pushed.len() < 1000, "16 MiB of socket buffers is more than any kernel gives");
    assert!(matches!(timeout(DEADLINE, outlet.drive()).await.unwrap(), OutletError::SlowPeer { .. }));
}

#[tokio::test]
async fn what_is_pushed_before_the_socket_waits_for_it() {
    let (near, mut far) = pair().await;
    let (_read, write) = near.into_split();
    let outlet = outlet(Overflow::Block, 1024);
    let _ = outlet.push(&[], &Bytes::from_static(b"early"));
    outlet.attach(write);
    let mut got = [0; 5];
    timeout(DEADLINE, far.read_exact(&mut got)).await.unwrap().unwrap();
    assert_eq!(&got, b"early");
}

#[tokio::test]
async fn a_batch_frames_each_body_on_both_sides() {
    let (near, mut far) = pair().await;
    let (_read, write) = near.into_split();
    let outlet = outlet(Overflow::Block, 1 << 20);
    let (small, large) = (Bytes::from_static(b"small"), Bytes::from(vec![b'x'; 10_000]));
    let pushed = outlet.push_with(|batch| {
        for body in [&small, &large, &small] {
            batch.message(b"<", body, b">");
        }
    });
    assert_eq!((pushed.accepted, outlet.queued().bytes), (3, 10_016));
    outlet.attach(write);
    let mut read = vec![0; 10_016];
    timeout(DEADLINE, far.read_exact(&mut read)).await.unwrap().unwrap();
    assert_eq!(read, [b"<small><", &large[..], b"><small>"].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_producers_at_once_lose_nothing_and_keep_their_own_order() {
    const PRODUCERS: u32 = 4;
    const MESSAGES: u32 = 5_000;
    let (near, mut far) = pair().await;
    let (_read, write) = near.into_split();
    let outlet = outlet(Overflow::Block, 64 * 1024);
    outlet.attach(write);
    let driver = tokio::spawn({
        let outlet = outlet.clone();
        async move { outlet.drive().await }
    });
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let outlet = outlet.clone();
            tokio::spawn(async move {
                for number in 0..MESSAGES {
                    let body = [producer.to_be_bytes(), number.to_be_bytes()].concat();
                    if outlet.push(&[], &Bytes::from(body)).over {
                        timeout(DEADLINE, outlet.relieved()).await.expect("the reader reads");
                    }
                }
            })
        })
        .collect();
    let mut next = [0; PRODUCERS as usize];
    for _ in 0..PRODUCERS * MESSAGES {
        let mut message = [0; 8];
        timeout(DEADLINE, far.read_exact(&mut message)).await.expect("it is written").unwrap();
        let (producer, number) = message.split_at(4);
        let producer = u32::from_be_bytes(producer.try_into().unwrap()) as usize;
        assert_eq!(u32::from_be_bytes(number.try_into().unwrap()), next[producer], "of producer {producer}");
        next[producer] += 1;
    }
    for producer in producers {
        producer.await.unwrap();
    }
    timeout(DEADLINE, outlet.flushed()).await.unwrap();
    assert_eq!((outlet.queued().messages, outlet.dropped()), (0, 0));
    outlet.close();
    assert!(matches!(driver.await.unwrap(), OutletError::Closed));
}

#[tokio::test]
async fn a_closed_outlet_lets_go_of_whoever_waits_for_it() {
    let (near, _far) = pair().await;
    let (_read, write) = near.into_split();
    let outlet = outlet(Overflow::Block, 1024);
    outlet.attach(write);
    let body = Bytes::from(vec![0; 100_000]);
    while !outlet.push(&[], &body).over {}
    let waiting = tokio::spawn({
        let outlet = outlet.clone();
        async move { tokio::join!(outlet.relieved(), outlet.flushed(), outlet.drive()) }
    });
    // Lets the task begin to wait.
    tokio::task::yield_now().await;
    outlet.close();
    let ((), (), reason) = timeout(DEADLINE, waiting).await.unwrap().unwrap();
    assert!(matches!(reason, OutletError::Closed));
    assert_eq!(outlet.push(&[], &body).dropped, 1);
}
