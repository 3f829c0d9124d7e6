//! One socket of a foreign implementation at one side of a route, a peer made of bytes at the other: two frames have to pass unchanged.

use myelin_testkit::zmtp::Peer;
use myelin_testkit::{Process, Sidecar, free_ports, hex};
use serde_json::Value;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

/// Time for one message to pass, connecting and reconnecting included.
const PASSES_WITHIN: Duration = Duration::from_secs(5);

/// What every implementation sends or expects.
const FRAMES: [&[u8]; 2] = [b"hello", b"\x00\xff"];

/// Every type that has a route.
pub(crate) const TYPES: [&str; 10] = ["REQ", "DEALER", "REP", "ROUTER", "PUB", "XPUB", "SUB", "XSUB", "PUSH", "PULL"];

/// Which end opens the connection, as the foreign program calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attach {
    Connect,
    Bind,
}

impl Attach {
    pub(crate) const BOTH: [Self; 2] = [Self::Connect, Self::Bind];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Bind => "bind",
        }
    }
}

/// What became of one cell of the matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cell {
    Passes,
    /// The bridge says no, and why, as documented.
    Refused,
    Fails(String),
}

/// Starts a foreign program, which takes `--type`, `--attach` and `--endpoint`, and passes a message between it and us.
pub(crate) fn cell(mut program: Command, socket_type: &str, attach: Attach) -> Cell {
    let (kind, foreign, ours) = match socket_type {
        "REQ" | "DEALER" => ("service", "callers", "agents"),
        "REP" | "ROUTER" => ("service", "agents", "callers"),
        "PUB" | "XPUB" => ("topic", "publishers", "subscribers"),
        "SUB" | "XSUB" => ("topic", "subscribers", "publishers"),
        "PUSH" => ("pipeline", "producers", "consumers"),
        _ => ("pipeline", "consumers", "producers"),
    };
    let [place, near] = free_ports().map(|port: u16| SocketAddr::from(([127, 0, 0, 1], port)));
    // Where it binds, we connect.
    let we = if attach == Attach::Bind { "connect" } else { "bind" };
    let route = format!(
        "[[route]]\nname = \"cell\"\nkind = \"{kind}\"\n{foreign} = {{ {we} = [\"tcp://{place}\"] }}\n{ours} = {{ bind = [\"tcp://{near}\"] }}\n"
    );
    let sidecar = Sidecar::builder().routes(&route).start();
    program.args(["--type", socket_type, "--attach", attach.as_str(), "--endpoint", &format!("tcp://{place}")]);
    // An agent that answers has to be there before its caller asks.
    let far = (socket_type == "REQ" || socket_type == "DEALER").then(|| Peer::connect(near, "REP"));
    let process = Process::spawn(socket_type, &mut program);
    let outcome = match far {
        Some(agent) => answer(agent).and_then(|()| got(&process, socket_type)),
        None => match socket_type {
            "REP" | "ROUTER" => ask(near),
            "PUB" | "XPUB" => listen(near),
            "SUB" | "XSUB" => publish(near, &process),
            "PUSH" => pull(near),
            _ => push(near, &process),
        },
    };
    match outcome {
        Ok(()) => Cell::Passes,
        Err(_) if sidecar.process().lines().iter().any(|line| line.contains("let it bind")) => Cell::Refused,
        Err(why) => Cell::Fails(why),
    }
}

fn answer(mut agent: Peer) -> Result<(), String> {
    let request = agent.try_message(PASSES_WITHIN).map_err(|error| format!("no request: {error}"))?;
    // Our correlation stands before the delimiter.
    let body: Vec<_> = request.iter().skip_while(|frame| !frame.is_empty()).skip(1).collect();
    same(&body)?;
    agent.try_send(&request).map_err(|error| error.to_string())
}

fn got(process: &Process, socket_type: &str) -> Result<(), String> {
    let event = process.try_wait_line(PASSES_WITHIN, |line| {
        let event: Value = serde_json::from_str(line).ok()?;
        (event["event"] == "got").then_some(event)
    });
    let event = event.ok_or_else(|| format!("it got nothing; {}", process.lines().last().cloned().unwrap_or_default()))?;
    let frames: Vec<_> = event["frames"].as_array().into_iter().flatten().map(|frame| hex::bytes(frame.as_str().unwrap_or("00"))).collect();
    same(if socket_type == "DEALER" { frames.get(1..).unwrap_or_default() } else { &frames })
}

fn ask(callers: SocketAddr) -> Result<(), String> {
    // A request that finds no agent yet is silent; a caller asks again.
    again("no reply", || {
        let mut caller = Peer::connect(callers, "REQ");
        caller.send(&[b"", FRAMES[0], FRAMES[1]]);
        caller.try_message(Duration::from_millis(300)).ok().map(|reply| same(reply.get(1..).unwrap_or_default()))
    })
}

fn listen(subscribers: SocketAddr) -> Result<(), String> {
    let mut subscriber = Peer::connect(subscribers, "SUB");
    subscriber.subscribe(b"hello");
    same(&subscriber.try_message(PASSES_WITHIN).map_err(|error| format!("nothing published: {error}"))?)
}

fn publish(publishers: SocketAddr, process: &Process) -> Result<(), String> {
    let mut publisher = Peer::connect(publishers, "PUB");
    again("nothing received", || {
        publisher.send(&[b"other"]);
        publisher.send(&FRAMES);
        process.try_wait_line(Duration::from_millis(50), |line| line.contains("\"got\"").then(|| line.to_owned())).map(|line| {
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            let frames = event["frames"].as_array().into_iter().flatten();
            same(&frames.map(|frame| hex::bytes(frame.as_str().unwrap_or("00"))).collect::<Vec<_>>())
        })
    })
}

fn pull(consumers: SocketAddr) -> Result<(), String> {
    same(&Peer::connect(consumers, "PULL").try_message(PASSES_WITHIN).map_err(|error| format!("nothing pushed: {error}"))?)
}

fn push(producers: SocketAddr, process: &Process) -> Result<(), String> {
    Peer::connect(producers, "PUSH").send(&FRAMES);
    got(process, "PULL")
}

fn again(otherwise: &str, mut attempt: impl FnMut() -> Option<Result<(), String>>) -> Result<(), String> {
    let begin = Instant::now();
    while begin.elapsed() < PASSES_WITHIN {
        if let Some(outcome) = attempt() {
            return outcome;
        }
    }
    Err(otherwise.to_owned())
}

fn same<F: AsRef<[u8]>>(frames: &[F]) -> Result<(), String> {
    let equal = frames.len() == FRAMES.len() && frames.iter().zip(FRAMES).all(|(got, wanted)| got.as_ref() == wanted);
    if equal {
        Ok(())
    } else {
        Err(format!("other frames: {:?}", frames.iter().map(|frame| hex::text(frame.as_ref())).collect::<Vec<_>>()))
    }
}
