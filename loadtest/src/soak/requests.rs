//! Callers and the agents that answer them: own reply or nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::body::{Sizes, Stamp, Topic};
use super::life::{Beat, Life};
use super::tally::Count;
use super::wire::Peer;
use super::world::World;

const TOPIC: Topic = *b"ask.";
/// As agents have it: after five seconds a caller opens a new socket.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of a caller whose agent stays: no reply by then is a finding.
const PATIENCE_STRICT: Duration = Duration::from_secs(30);
/// Requests that a DEALER has outstanding.
const DEALER_WINDOW: usize = 8;

/// How a caller behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// REQ, one request at a time, or DEALER.
    pub(crate) is_req: bool,
    /// Its agent stays: every request has to be answered.
    pub(crate) is_strict: bool,
    pub(crate) per_second: f64,
}

enum Event {
    Over,
    Due,
    Reply(Option<(Stamp, usize)>),
    Gone,
    Silence,
}

/// Asks until its life is over.
pub(crate) async fn call(world: &World, mut life: Life, address: &str, manner: Manner) {
    let socket_type = if manner.is_req { "REQ" } else { "DEALER" };
    let Some(mut peer) = world.join("caller", address, socket_type).await else { return };
    let window = if manner.is_req { 1 } else { DEALER_WINDOW };
    let patience = if manner.is_strict { PATIENCE_STRICT } else { PATIENCE };
    let mut outstanding = BTreeMap::<u32, Instant>::new();
    let mut given_up = BTreeSet::<u32>::new();
    let (mut beat, mut sequence) = (Beat::per_second(manner.per_second, &mut life.random), 0);
    loop {
        let impatient = outstanding.first_key_value().map(|(_, since)| *since + patience);
        let event = tokio::select! {
            biased;
            reply = peer.reader.next() => match reply {
                Ok(reply) => Event::Reply(Stamp::read(reply.last).map(|stamp| (stamp, reply.last.len()))),
                Err(_) => Event::Gone,
            },
            () = life.over() => Event::Over,
            () = sleep_until(beat.next), if outstanding.len() < window => Event::Due,
            () = sleep_until(impatient.unwrap_or_else(Instant::now)), if impatient.is_some() => Event::Silence,
        };
        match event {
            Event::Over => break,
            Event::Due => {
                let body = Stamp { topic: TOPIC, life: life.number, sequence }.body(Sizes::WithGiants.draw(&mut life.random));
                if let Err(error) = world.step(peer.writer.send(&[b"", &body])).await {
                    world.unexpected(|| format!("caller: cannot send: {error}"));
                    break;
                }
                outstanding.insert(sequence, Instant::now());
                world.tally.add(Count::Requests, 1);
                sequence += 1;
                beat.advance(&mut life.random);
            }
            Event::Reply(reply) => match reply {
                Some((stamp, bytes)) if stamp.life == life.number && outstanding.remove(&stamp.sequence).is_some() => {
                    world.tally.add(Count::Answered, 1);
                    world.tally.add(Count::Bytes, bytes as u64);
                }
                // Its own, after its patience had ended, which a pause of the run ends too: nobody else's, and only once.
                Some((stamp, _)) if stamp.life == life.number && given_up.remove(&stamp.sequence) => world.tally.add(Count::Late, 1),
                Some((stamp, _)) => world.tally.wrong(format!("caller {} got a reply that is not its own: {stamp:?}", life.number)),
                None => world.tally.wrong(format!("caller {} got a reply that was changed", life.number)),
            },
            Event::Gone => {
                world.unexpected(|| "caller: its connection was closed".to_owned());
                break;
            }
            Event::Silence => {
                world.tally.add(Count::Silent, 1);
                let oldest = outstanding.pop_first();
                given_up.extend(oldest.map(|(sequence, _)| sequence));
                if manner.is_strict {
                    world.unexpected(|| format!("request {oldest:?} to an agent that stays was not answered in {patience:?}"));
                }
                if manner.is_req {
                    break;
                }
            }
        }
    }
    world.tally.add(Count::Abandoned, outstanding.len() as u64);
    peer.leave(life.farewell).await;
}

/// A caller of one of the agents that register: it asks for the port first, as they all do.
pub(crate) async fn call_registered(world: &World, mut life: Life) {
    let name = name(life.random.usize(..world.names));
    let answer = match world.ask(&json!({ "action": "get_agent_endpoint", "agent_name": name })).await {
        Ok(answer) => answer,
        Err(error) => return world.unexpected(|| format!("discovery did not answer: {error}")),
    };
    // Between two lives of the agent there is no endpoint to give.
    let Some(port) = answer["port"].as_u64() else { return sleep(Duration::from_millis(500)).await };
    let manner = Manner { is_req: life.random.bool(), is_strict: false, per_second: 2.0 };
    call(world, life, &format!("127.0.0.1:{port}"), manner).await;
}

/// A REP agent that connects to the route.
pub(crate) async fn serve_connected(world: &World, life: Life) {
    let Some(peer) = world.join("agent", &world.places.agents, "REP").await else { return };
    if !serve(&life, peer).await {
        world.unexpected(|| "agent: its connection was closed".to_owned());
    }
}

/// An agent that binds, registers under a name that others had before, serves, and is gone.
pub(crate) async fn serve_registered(world: &World, life: Life, name: &str) {
    let listener = match TcpListener::bind("127.0.0.1:0").await {
        Ok(listener) => listener,
        Err(error) => return world.unexpected(|| format!("cannot bind: {error}")),
    };
    let accept = serve_accepted(&life, &listener);
    let register = async {
        let port = listener.local_addr().map_or(0, |address| address.port());
        match world.ask(&registration(name, port)).await {
            Ok(_) => world.tally.add(Count::Registered, 1),
            Err(error) => world.unexpected(|| format!("registration of {name}: {error}")),
        }
    };
    tokio::join!(accept, register);
}

/// Serves whoever connects; ends with the life, and its connections with it.
async fn serve_accepted(life: &Life, listener: &TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = life.over() => break,
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else { continue };
        let life = life.again();
        connections.spawn(async move { serve_stream(&life, stream).await });
    }
    while connections.join_next().await.is_some() {}
}

async fn serve_stream(life: &Life, stream: TcpStream) {
    let greeted = tokio::select! {
        () = life.over() => return,
        greeted = Peer::greet(stream, "REP") => greeted,
    };
    // A connection without a handshake only looks whether somebody is there.
    if let Ok(peer) = greeted {
        serve(life, peer).await;
    }
}

/// Echoes until the end of the life (true) or of the connection (false).
async fn serve(life: &Life, mut peer: Peer) -> bool {
    loop {
        let request = tokio::select! {
            biased;
            () = life.over() => break,
            request = peer.reader.next() => request,
        };
        let Ok(request) = request else { return life.is_over() };
        tokio::select! {
            written = peer.writer.send_packed(request.packed) => if written.is_err() { return life.is_over() },
            // What is half written then is the sidecar's to notice.
            () = life.over() => break,
        }
    }
    peer.leave(life.farewell).await;
    true
}

/// The name of the agent that restarts, by its number.
pub(crate) fn name(number: usize) -> String {
    format!("Soak{number:03}")
}

fn registration(name: &str, port: u16) -> serde_json::Value {
    let data = json!({ "agent_id": name, "agent_type": "soak", "host": "127.0.0.1", "port": port,
        "health_check_port": null, "capabilities": ["echo"], "dependencies": [], "metadata": {} });
    json!({ "action": "register_agent", "agent_name": name, "status": "HEALTHY", "location": "loopback", "registration_data": data })
}
