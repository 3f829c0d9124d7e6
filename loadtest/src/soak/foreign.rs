//! A few peers of the crowd on libzmq, each on a thread of its own: as almost every agent has it.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use zmq::{Context, Socket, SocketType};

use super::body::{Sizes, Stamp};
use super::life::Life;
use super::tally::Count;
use super::topics::Order;
use super::world::{Book, World};

/// How soon a thread notices that its life is over.
const GLANCE: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(5);

/// Starts `count` of them; each ends with the stage of the crowd.
pub(crate) fn start(world: &Arc<World>, count: usize) -> Vec<JoinHandle<()>> {
    let context = Context::new();
    let start = |number: usize| {
        let (world, context) = (Arc::clone(world), context.clone());
        thread::spawn(move || {
            for generation in 0.. {
                if !world.is_running() {
                    break;
                }
                // Slots far from those of the crowd: other random numbers.
                let life = world.life(1 << 20 | number, generation);
                let lived = match number % 3 {
                    0 => ask(&world, &context, life),
                    1 => listen(&world, &context, &life),
                    _ => produce(&world, &context, life),
                };
                if let Err(error) = lived {
                    world.unexpected(|| format!("libzmq: {error}"));
                }
            }
        })
    };
    (0..count).map(start).collect()
}

fn connect(context: &Context, kind: SocketType, address: &str) -> zmq::Result<Socket> {
    let socket = context.socket(kind)?;
    socket.set_linger(0)?;
    let glance = i32::try_from(GLANCE.as_millis()).expect("it is short");
    socket.set_rcvtimeo(glance)?;
    socket.set_sndtimeo(glance)?;
    if kind == SocketType::SUB {
        socket.set_subscribe(b"s03.")?;
    }
    socket.connect(&format!("tcp://{address}"))?;
    Ok(socket)
}

fn ask(world: &World, context: &Context, mut life: Life) -> zmq::Result<()> {
    let socket = connect(context, zmq::REQ, &world.places.callers)?;
    world.tally.add(Count::Joined, 1);
    for sequence in 0.. {
        if life.is_over() {
            break;
        }
        let own = Stamp { topic: *b"ask.", life: life.number, sequence };
        socket.send(own.body(Sizes::Ordinary.draw(&mut life.random)), 0)?;
        world.tally.add(Count::Requests, 1);
        let since = Instant::now();
        let reply = loop {
            match socket.recv_bytes(0) {
                Ok(reply) => break reply,
                Err(zmq::Error::EAGAIN) if life.is_over() => {
                    world.tally.add(Count::Abandoned, 1);
                    return Ok(());
                }
                Err(zmq::Error::EAGAIN) if since.elapsed() > PATIENCE => {
                    world.tally.add(Count::Silent, 1);
                    return Ok(());
                }
                Err(zmq::Error::EAGAIN) => {}
                Err(error) => return Err(error),
            }
        };
        match Stamp::read(&reply) {
            Some(stamp) if stamp == own => world.tally.add(Count::Answered, 1),
            other => world.tally.wrong(format!("libzmq: {own:?} was answered with {other:?}")),
        }
        thread::sleep(Duration::from_millis(life.random.u64(100..500)));
    }
    Ok(())
}

fn listen(world: &World, context: &Context, life: &Life) -> zmq::Result<()> {
    let socket = connect(context, zmq::SUB, &world.places.subscribers)?;
    world.tally.add(Count::Joined, 1);
    let mut order = Order::default();
    while !life.is_over() {
        let heard = match socket.recv_bytes(0) {
            Ok(heard) => heard,
            Err(zmq::Error::EAGAIN) => continue,
            Err(error) => return Err(error),
        };
        world.tally.add(Count::Heard, 1);
        let found = Stamp::read(&heard).ok_or_else(|| "a message was changed".to_owned()).and_then(|stamp| order.next(stamp, true));
        if let Err(finding) = found {
            world.tally.wrong(format!("subscriber on libzmq: {finding}"));
        }
    }
    Ok(())
}

fn produce(world: &World, context: &Context, mut life: Life) -> zmq::Result<()> {
    let socket = connect(context, zmq::PUSH, &world.places.producers)?;
    // What it was given is sent, however long that takes: then nothing of it may be missing.
    socket.set_linger(-1)?;
    world.tally.add(Count::Joined, 1);
    world.book(Book::Jobs).begin(life.number);
    let mut sent = 0;
    while !life.is_over() {
        let stamp = Stamp { topic: *b"job.", life: life.number, sequence: sent };
        match socket.send(stamp.body(Sizes::Ordinary.draw(&mut life.random)), 0) {
            Ok(()) => sent += 1,
            Err(zmq::Error::EAGAIN) => {}
            Err(error) => return Err(error),
        }
        thread::sleep(Duration::from_millis(life.random.u64(100..500)));
    }
    drop(socket);
    world.tally.add(Count::Jobs, u64::from(sent));
    world.book(Book::Jobs).end(life.number, Some(sent), world.awake.now());
    Ok(())
}
