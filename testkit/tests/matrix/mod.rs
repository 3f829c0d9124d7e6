//! One socket of a foreign implementation at one side of a route, a peer made of bytes at the other: two frames have to pass unchanged.

mod near;
mod refusal;
mod secrets;

use myelin_testkit::zmtp::Peer;
use myelin_testkit::{Process, Sidecar, free_port, hex};
use near::Near;
use serde_json::Value;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) use refusal::refusal;
pub(crate) use secrets::{Mechanism, Mistake, Terms};

/// Time for one message to pass, connecting and reconnecting included.
const PASSES_WITHIN: Duration = Duration::from_secs(5);

/// What every implementation sends or expects.
const FRAMES: [&[u8]; 2] = [b"hello", b"\x00\xff"];

/// Every type that has a route.
pub(crate) const TYPES: [&str; 11] = ["REQ", "DEALER", "REP", "ROUTER", "PUB", "XPUB", "SUB", "XSUB", "PUSH", "PULL", "PAIR"];

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
    /// The foreign implementation says that it has no such type or mechanism.
    Lacks,
    Fails(String),
}

/// What a whole implementation is asked for.
pub(crate) fn expected(socket_type: &str, attach: Attach) -> Cell {
    // A ROUTER needs one connection for each of its callers, which only we can open.
    if socket_type == "ROUTER" && attach == Attach::Connect { Cell::Refused } else { Cell::Passes }
}

/// A running sidecar with one route, between a place for the foreign socket and our own side.
struct Setting {
    socket_type: String,
    attach: Attach,
    terms: Terms,
    place: SocketAddr,
    near: Near,
    sidecar: Sidecar,
    _secrets: TempDir,
}

/// A foreign socket that is bound, or connecting, or that there is none of.
struct Foreign {
    process: Process,
    lacks: bool,
}

impl Setting {
    fn new(socket_type: &str, attach: Attach, terms: &Terms) -> Self {
        let (kind, foreign, ours) = match socket_type {
            "REQ" | "DEALER" => ("service", "callers", "agents"),
            "REP" | "ROUTER" => ("service", "agents", "callers"),
            "PUB" | "XPUB" => ("topic", "publishers", "subscribers"),
            "SUB" | "XSUB" => ("topic", "subscribers", "publishers"),
            "PUSH" => ("pipeline", "producers", "consumers"),
            "PULL" => ("pipeline", "consumers", "producers"),
            _ => ("pair", "a", "b"),
        };
        let (place, near) = (SocketAddr::from(([127, 0, 0, 1], free_port())), Near::beside(terms.sidecar_mechanism(), attach));
        // Where it binds, we connect.
        let we = if attach == Attach::Bind { "connect" } else { "bind" };
        let theirs = format!("{{ {we} = [\"tcp://{place}\"] }}");
        let route = format!("[[route]]\nname = \"cell\"\nkind = \"{kind}\"\n{foreign} = {theirs}\n{ours} = {}\n", near.side());
        let secrets = TempDir::new().expect("a temporary directory can be created");
        let sidecar = Sidecar::builder().section("security", &terms.section(attach, secrets.path())).routes(&route).start();
        Self { socket_type: socket_type.to_owned(), attach, terms: terms.clone(), place, near, sidecar, _secrets: secrets }
    }

    /// Whether the sidecar has said to an agent that connects that it cannot be served this way.
    fn is_told_to_bind(&self) -> bool {
        self.sidecar.process().lines().iter().any(|line| line.contains("let it bind"))
    }

    /// Starts the foreign program, which takes `--type`, `--attach`, `--endpoint` and its half of the secrets.
    fn start(&self, mut program: Command) -> Foreign {
        let endpoint = format!("tcp://{}", self.place);
        program.args(["--type", &self.socket_type, "--attach", self.attach.as_str(), "--endpoint", &endpoint]);
        self.terms.tell(&mut program);
        let process = Process::spawn(&self.socket_type, &mut program);
        let first = process.try_wait_line(PASSES_WITHIN, |line| {
            let event: Value = serde_json::from_str(line).ok()?;
            event["event"].as_str().filter(|event| ["ready", "lacks"].contains(event)).map(str::to_owned)
        });
        Foreign { process, lacks: first.as_deref() == Some("lacks") }
    }
}

/// Passes a message between a foreign program and us, on terms that both know.
pub(crate) fn cell(program: Command, socket_type: &str, attach: Attach, mechanism: Mechanism) -> Cell {
    let setting = Setting::new(socket_type, attach, &Terms::agreed(mechanism));
    match passes(&setting, program) {
        Ok(true) => Cell::Passes,
        Ok(false) => Cell::Lacks,
        Err(_) if setting.is_told_to_bind() => Cell::Refused,
        Err(why) => Cell::Fails(why),
    }
}

/// Whether the implementation has what it takes.
fn passes(setting: &Setting, program: Command) -> Result<bool, String> {
    let (near, socket_type) = (&setting.near, setting.socket_type.as_str());
    // Who answers has to be there before it is asked.
    let far = match socket_type {
        "REQ" | "DEALER" => Some(near.peer("REP")?),
        "PAIR" => Some(near.peer("PAIR")?),
        _ => None,
    };
    let Foreign { process, lacks } = setting.start(program);
    if lacks {
        return Ok(false);
    }
    match far {
        Some(far) => answer(far).and_then(|()| got(&process, socket_type)),
        None => match socket_type {
            "REP" | "ROUTER" => ask(setting),
            "PUB" | "XPUB" => listen(near),
            "SUB" | "XSUB" => publish(near, &process),
            "PUSH" => pull(near),
            _ => push(near, &process),
        },
    }?;
    Ok(true)
}

fn answer(mut agent: Peer) -> Result<(), String> {
    let request = agent.try_message(PASSES_WITHIN).map_err(|error| format!("no request: {error}"))?;
    // Our correlation stands before the delimiter, which a PAIR has none of.
    let delimiter = request.iter().position(Vec::is_empty);
    same(&request[delimiter.map_or(0, |at| at + 1)..])?;
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

fn ask(setting: &Setting) -> Result<(), String> {
    // A request that finds no agent yet is silent; a caller asks again.
    let mut caller = setting.near.peer("REQ")?;
    again("no reply", || {
        caller.send(&[b"", FRAMES[0], FRAMES[1]]);
        match caller.try_message(Duration::from_millis(100)) {
            Ok(reply) => Some(same(reply.get(1..).unwrap_or_default())),
            Err(_) => setting.is_told_to_bind().then(|| Err("told to bind".to_owned())),
        }
    })
}

fn listen(near: &Near) -> Result<(), String> {
    let mut subscriber = near.peer("SUB")?;
    subscriber.subscribe(b"hello");
    same(&subscriber.try_message(PASSES_WITHIN).map_err(|error| format!("nothing published: {error}"))?)
}

fn publish(near: &Near, process: &Process) -> Result<(), String> {
    let mut publisher = near.peer("PUB")?;
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

fn pull(near: &Near) -> Result<(), String> {
    same(&near.peer("PULL")?.try_message(PASSES_WITHIN).map_err(|error| format!("nothing pushed: {error}"))?)
}

fn push(near: &Near, process: &Process) -> Result<(), String> {
    let mut producer = near.peer("PUSH")?;
    producer.send(&FRAMES);
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
