//! What does one message cost, counted and not timed: allocations, bytes allocated, and how often a thread of the runtime went to sleep (each of
//! which is a wakeup). 64 bytes of payload. The first six rows are inside one process, the others cross two TCP connections of the real front
//! over loopback; their peers are blocking sockets that own their buffers, so that every allocation is the bridge's.
//!
//! `cargo bench -p myelin-benches --bench cost`
//!
//! | per message, in process | before | now |
//! |---|---|---|
//! | bytes | about 100 of the message struct into the queue and out of it, moved twice more inside a future | into the queue and out of it |
//! | copies of the body | 0 | 0 (asserted: the receiver's bytes are at the sender's address) |
//! | allocations | 1 for a body of its own: the header that counts its references | 0 for the only or last receiver |
//! | wakeups | 2 system calls per 128 messages, besides those of a receiver that sleeps | 2 per 768 messages |
//!
//! The allocator that counts is the crate `stats_alloc`: an allocator of our own would be `unsafe`, which this workspace forbids.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for the terminal; a failed set-up is a failed bench")]

use std::alloc::System;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use myelin_bridge_zmq::front::{Front, FrontConfig};
use myelin_bridge_zmq::metrics::Metrics;
use myelin_bridge_zmq::routes::service::{Service, ServiceConfig};
use myelin_bridge_zmq::routes::topic::Topic;
use myelin_bridge_zmq::routes::{RouteContext, RouteMetrics};
use myelin_bus::wire::{Body, Filter, Subject};
use myelin_bus::{Bus, Delivery, EmbeddedConfig, Message, Overflow, SubscribeOptions, Subscription};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const PAYLOAD_BYTES: usize = 64;
const MESSAGES: usize = 20_000;
/// Enough that queues and buffers have the size they keep.
const WARM_UP: usize = 2_000;
const BURST: usize = 50;
const PATIENCE: Duration = Duration::from_secs(20);

fn main() {
    println!("{:<44} {:>12} {:>12} {:>12}", "per message", "allocations", "bytes", "wakeups");
    in_process();
    across_the_front();
}

/// Counts `MESSAGES` of `run`, which is told how many to make, and prints them.
fn count(what: &str, mut run: impl FnMut(usize)) -> f64 {
    run(WARM_UP);
    let slept = sleeps();
    let region = Region::new(ALLOCATOR);
    run(MESSAGES);
    let change = region.change();
    let wakeups = (sleeps() - slept) as f64 / MESSAGES as f64;
    let allocations = (change.allocations + change.reallocations) as f64 / MESSAGES as f64;
    let bytes = change.bytes_allocated as f64 / MESSAGES as f64;
    println!("{what:<44} {allocations:>12.3} {bytes:>12.1} {wakeups:>12.3}");
    allocations
}

/// How often the workers of all runtimes have gone to sleep.
fn sleeps() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let status = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).ok());
    let workers = status.filter(|status| status.lines().next().is_some_and(|name| name.contains("tokio")));
    workers
        .filter_map(|status| status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse::<u64>().ok()))
        .sum()
}

fn bodies(count: usize) -> Vec<Body> {
    (0..count).map(|_| Body::from(vec![7_u8; PAYLOAD_BYTES])).collect()
}

fn address(body: &Body) -> *const u8 {
    match body {
        Body::Blob(blob) => blob.as_ptr(),
        Body::Frames(frames) => frames.packed().as_ptr(),
    }
}

fn subject() -> Subject {
    Subject::new("bench.cost").unwrap()
}

/// The bodies are the publisher's own and made before the count begins.
fn in_process() {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let mut ready = bodies(WARM_UP + MESSAGES);
    let allocations = count("publish -> 1 subscription, own body", |messages| {
        runtime.block_on(singly(&mut ready.drain(..messages), 1));
    });
    // What is left is the bus itself, its queue and the thread's first use of them.
    assert!(allocations < 0.01, "a message with one receiver is moved");
    let mut ready = bodies(WARM_UP + MESSAGES);
    let allocations = count("publish -> 4 subscriptions, own body", |messages| {
        runtime.block_on(singly(&mut ready.drain(..messages), 4));
    });
    assert!(allocations < 1.01, "only the header that counts the references of the body");
    let shared = bodies(1).remove(0);
    let allocations = count("publish -> 1 subscription, shared body", |messages| {
        runtime.block_on(singly(&mut std::iter::repeat_n(shared.clone(), messages), 1));
    });
    assert!(allocations < 0.01, "a shared body counts references");
    let mut ready = bodies(WARM_UP + MESSAGES);
    count("publish_batch -> next_batch, own bodies", |messages| {
        runtime.block_on(in_batches(&ready[..messages]));
        ready.drain(..messages);
    });
    let bus = Bus::embedded(EmbeddedConfig::default());
    let _inline = bus.subscribe_inline(&Filter::from(subject()), None, |_: Delivery<'_>| {}).unwrap();
    let publisher = bus.publisher(subject());
    let mut ready = bodies(WARM_UP + MESSAGES);
    let allocations = count("publish -> inline handler, own body", |messages| {
        runtime.block_on(async {
            for body in ready.drain(..messages) {
                publisher.publish(body).await.unwrap();
            }
        });
    });
    assert!(allocations < 0.01, "a handler borrows the body");
    requests(&runtime);
}

async fn subscriptions(bus: &Bus, count: usize) -> Vec<Subscription> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(bus.subscribe(&Filter::from(subject()), SubscribeOptions::default().overflow(Overflow::Block)).await.unwrap());
    }
    all
}

async fn singly(bodies: &mut dyn Iterator<Item = Body>, receivers: usize) {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let publisher = bus.publisher(subject());
    let mut subscriptions = subscriptions(&bus, receivers).await;
    for body in bodies {
        let sent = address(&body);
        publisher.publish(body).await.unwrap();
        for subscription in &mut subscriptions {
            let message = subscription.next().await.unwrap();
            assert_eq!(address(&message.body), sent, "the body is not copied");
        }
    }
}

async fn in_batches(bodies: &[Body]) {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let publisher = bus.publisher(subject());
    let mut subscription = subscriptions(&bus, 1).await.remove(0);
    let mut batch: Vec<Message> = Vec::new();
    for bodies in bodies.chunks(BURST) {
        publisher.publish_batch(bodies).settled().await;
        subscription.next_batch(&mut batch).await;
        assert_eq!(address(&batch[0].body), address(&bodies[0]), "the body is not copied");
        batch.clear();
    }
}

fn requests(runtime: &Runtime) {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let responder = bus.clone();
    let serve = move |delivery: Delivery<'_>| {
        for body in delivery.bodies {
            delivery.reply.unwrap().respond(&responder, body.clone());
        }
    };
    let _service = bus.subscribe_inline(&Filter::from(subject()), None, serve).unwrap();
    let subject = subject();
    let mut ready = bodies(WARM_UP + MESSAGES);
    count("request -> inline handler -> reply, own body", |messages| {
        runtime.block_on(async {
            for body in ready.drain(..messages) {
                let sent = address(&body);
                let reply = bus.request(&subject, body, PATIENCE).await.unwrap();
                assert_eq!(address(&reply.body), sent, "the body is not copied");
            }
        });
    });
}

fn context() -> RouteContext {
    RouteContext {
        bus: Bus::embedded(EmbeddedConfig::default()),
        front: Front::new(FrontConfig::default(), Metrics::default()),
        metrics: RouteMetrics::default(),
        health: None,
    }
}

fn across_the_front() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    round_trips(&runtime);
    for subscribers in [1, 4] {
        for burst in [1, BURST] {
            fan_out(&runtime, subscribers, burst);
        }
    }
}

fn round_trips(runtime: &Runtime) {
    let context = context();
    let agents = TcpListener::bind("127.0.0.1:0").unwrap();
    let (callers, _connector) = runtime.block_on(async {
        let service = Service::new(&context, "Cost", ServiceConfig::default()).unwrap();
        let callers = service.bind_callers(&"tcp://127.0.0.1:0".parse().unwrap()).await.unwrap();
        let connector = service.connect_agent(&agents.local_addr().unwrap().into());
        (callers, (service, connector))
    });
    let mut agent = shake(agents.accept().unwrap().0, "REP");
    let mut caller = shake(TcpStream::connect(callers.local_addr()).unwrap(), "REQ");
    let request = [&[1, 0][..], &frame()].concat();
    let mut reply = vec![0; request.len()];
    // Between delimiter and connection stands what the route knows the request by; its length is that of the first request.
    let mut seen = [0; 1024];
    caller.write_all(&request).unwrap();
    let len = agent.read(&mut seen).unwrap();
    agent.write_all(&seen[..len]).unwrap();
    caller.read_exact(&mut reply).unwrap();
    count("REQ -> service route -> REP -> REQ", |messages| {
        for _ in 0..messages {
            caller.write_all(&request).unwrap();
            agent.read_exact(&mut seen[..len]).unwrap();
            agent.write_all(&seen[..len]).unwrap();
            caller.read_exact(&mut reply).unwrap();
        }
    });
    assert_eq!(reply, request);
}

fn fan_out(runtime: &Runtime, subscribers: usize, burst: usize) {
    let context = context();
    let (topic, publishers, readers) = runtime.block_on(async {
        let topic = Topic::new(&context, "cost", Overflow::Block).unwrap();
        let any_port = "tcp://127.0.0.1:0".parse().unwrap();
        let publishers = topic.bind_publishers(&any_port).await.unwrap();
        let readers = topic.bind_subscribers(&any_port).await.unwrap();
        (topic, publishers, readers)
    });
    let mut subs: Vec<TcpStream> = (0..subscribers).map(|_| shake(TcpStream::connect(readers.local_addr()).unwrap(), "SUB")).collect();
    for sub in &mut subs {
        // To everything, as a message of ZMTP 3.0.
        sub.write_all(&[0, 1, 1]).unwrap();
    }
    let mut publisher = shake(TcpStream::connect(publishers.local_addr()).unwrap(), "PUB");
    link(&mut publisher, &mut subs);
    assert_eq!(topic.subscribers_connected(), subscribers);
    let messages = frame().repeat(burst);
    let mut received = vec![0; messages.len()];
    let what = format!("PUB -> topic route -> {subscribers} SUB, {burst} per write");
    count(&what, |wanted| {
        for _ in 0..wanted / burst {
            publisher.write_all(&messages).unwrap();
            for sub in &mut subs {
                sub.read_exact(&mut received).unwrap();
            }
        }
    });
    assert_eq!(received, messages);
}

/// Publishes numbered marks until every subscriber has one, then reads up to the last mark.
fn link(publisher: &mut TcpStream, subs: &mut [TcpStream]) {
    let deadline = Instant::now() + PATIENCE;
    let mut sent = 0_u8;
    for sub in &mut *subs {
        sub.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut mark = [0; 3];
        while sub.peek(&mut mark).is_err() {
            assert!(Instant::now() < deadline && sent < u8::MAX, "a subscriber gets nothing");
            sent += 1;
            publisher.write_all(&[0, 1, sent]).unwrap();
        }
        sub.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    sent += 1;
    publisher.write_all(&[0, 1, sent]).unwrap();
    for sub in subs {
        let mut mark = [0; 3];
        while mark[2] != sent {
            sub.read_exact(&mut mark).unwrap();
        }
    }
}

/// One ZMTP frame, the last of its message.
fn frame() -> Vec<u8> {
    let mut frame = vec![b'x'; 2 + PAYLOAD_BYTES];
    frame[0] = 0;
    frame[1] = u8::try_from(PAYLOAD_BYTES).unwrap();
    frame
}

/// The handshake of ZMTP 3.0 with NULL, as the peer of a socket of ours.
fn shake(mut stream: TcpStream, socket: &str) -> TcpStream {
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let mut greeting = [0_u8; 64];
    greeting[0] = 0xff;
    greeting[9] = 0x7f;
    greeting[10] = 3;
    greeting[12..16].copy_from_slice(b"NULL");
    stream.write_all(&greeting).unwrap();
    stream.read_exact(&mut greeting).unwrap();
    let property = [&b"\x05READY\x0bSocket-Type\0\0\0"[..], &[u8::try_from(socket.len()).unwrap()], socket.as_bytes()].concat();
    stream.write_all(&[4, u8::try_from(property.len()).unwrap()]).unwrap();
    stream.write_all(&property).unwrap();
    let mut header = [0; 2];
    stream.read_exact(&mut header).unwrap();
    stream.read_exact(&mut vec![0; header[1].into()]).unwrap();
    stream
}
