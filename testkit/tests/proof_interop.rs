//! Every socket type of libzmq and of two other implementations passes messages with NULL, PLAIN and CURVE, connecting and binding; mistakes are refused.
//!
//! Run by `cargo xtask proof interop`, which builds the program that has the other implementations: `myelin-loadtest` with the feature `interop`.

#![allow(clippy::print_stdout, reason = "the matrix is the proof")]

mod matrix;

use matrix::{Attach, Cell, Mechanism, Mistake, TYPES, cell, expected, refusal};
use myelin_testkit::{Agent, PATIENCE, Process, free_port};
use std::path::PathBuf;
use std::process::Command;

/// An implementation, and what it is known not to have: a socket type or a mechanism.
struct Implementation {
    name: String,
    program: fn() -> Command,
    lacks: &'static [&'static str],
}

const NOTES: &str = "
(1) a ROUTER agent needs one connection for each of its callers, which only the sidecar can open: it binds, and the route connects
(2) a REQ of libzmq that binds as a server takes the name that its ZAP handler gives a client for a malformed reply, and closes; it does so towards
other sockets of libzmq too. Its handler has to name nobody, as here
Among the mistakes REQ stands for every type, and nothing may pass: a failed handshake is counted, no connection opens, no request arrives
libzmq twice: pyzmq brings its own build with CURVE; the crate zmq is the C library of another version, which it builds without libsodium and so
without CURVE";

#[test]
#[ignore = "a proof: needs a build with features of its own"]
fn the_interop_matrix() {
    let implementations = [
        implementation(|| Agent::program("interop_agent"), &[]),
        implementation(|| other("libzmq"), &["curve"]),
        implementation(|| other("omq-tokio"), &[]),
        implementation(|| other("zeromq"), &["plain", "curve", "PAIR"]),
    ];
    let mut table = Table { implementations: &implementations, mechanism: Mechanism::Null, failures: Vec::new() };
    for mechanism in [Mechanism::Null, Mechanism::Plain, Mechanism::Curve] {
        let name = mechanism.as_str();
        table.mechanism = mechanism;
        table.head(&format!("{}; rows: the foreign socket; columns: what it does, and whose it is", name.to_uppercase()));
        for socket_type in TYPES {
            table.row(socket_type, |implementation, attach| {
                let lacks = implementation.lacks.iter().any(|lack| [name, socket_type].contains(lack));
                let expected = if lacks { Cell::Lacks } else { expected(socket_type, attach) };
                (cell((implementation.program)(), socket_type, attach, mechanism), expected)
            });
        }
    }
    table.head("Mistakes; the end that binds is the server");
    for mistake in Mistake::ALL {
        table.row(title(mistake), |implementation, attach| {
            let lacks = implementation.lacks.contains(&foreign(mistake).as_str());
            let expected = if lacks { Cell::Lacks } else { Cell::Refused };
            (refusal((implementation.program)(), attach, mistake), expected)
        });
    }
    println!("{NOTES}");
    for failure in &table.failures {
        println!("{failure}");
    }
    assert!(table.failures.is_empty(), "{:#?}", table.failures);
}

const fn title(mistake: Mistake) -> &'static str {
    match mistake {
        Mistake::Password => "PLAIN, wrong password",
        Mistake::ClientKey => "CURVE, wrong client key",
        Mistake::ServerKey => "CURVE, wrong server key",
        Mistake::ForeignHasNone(Mechanism::Plain) => "PLAIN here, NULL there",
        Mistake::ForeignHasNone(_) => "CURVE here, NULL there",
        Mistake::SidecarHasNone(Mechanism::Plain) => "NULL here, PLAIN there",
        Mistake::SidecarHasNone(_) => "NULL here, CURVE there",
    }
}

/// What the foreign socket has to speak for this mistake.
const fn foreign(mistake: Mistake) -> Mechanism {
    match mistake {
        Mistake::ForeignHasNone(_) => Mechanism::Null,
        Mistake::Password => Mechanism::Plain,
        Mistake::ClientKey | Mistake::ServerKey => Mechanism::Curve,
        Mistake::SidecarHasNone(mechanism) => mechanism,
    }
}

struct Table<'a> {
    implementations: &'a [Implementation],
    mechanism: Mechanism,
    failures: Vec<String>,
}

impl Table<'_> {
    fn head(&self, text: &str) {
        print!("\n{text}\n\n{:<25}", "");
        for implementation in self.implementations {
            print!("{:<38}", implementation.name);
        }
        print!("\n{:<25}", "");
        for _ in self.implementations {
            print!("{:<19}{:<19}", "connects", "binds");
        }
        println!();
    }

    fn names_nobody(&self, implementation: &Implementation, title: &str, attach: Attach) -> bool {
        implementation.name.starts_with("libzmq") && title == "REQ" && attach == Attach::Bind && self.mechanism != Mechanism::Null
    }

    /// Runs and prints one row; what is not as expected is a failure.
    fn row(&mut self, title: &str, run: impl Fn(&Implementation, Attach) -> (Cell, Cell)) {
        print!("{title:<25}");
        for implementation in self.implementations {
            for attach in Attach::BOTH {
                let (outcome, expected) = run(implementation, attach);
                let text = match &outcome {
                    Cell::Passes if self.names_nobody(implementation, title, attach) => "passes (2)",
                    Cell::Passes => "passes",
                    Cell::Refused if expected == Cell::Refused && TYPES.contains(&title) => "refused (1)",
                    Cell::Refused => "refused",
                    Cell::Lacks => "not in this peer",
                    Cell::Fails(_) => "FAILS",
                };
                print!("{text:<19}");
                if outcome != expected {
                    let attach = attach.as_str();
                    self.failures.push(format!("{}, {title}, {attach}: {outcome:?} instead of {expected:?}", implementation.name));
                }
            }
        }
        println!();
    }
}

/// A peer says itself whose it is and which version.
fn implementation(program: fn() -> Command, lacks: &'static [&'static str]) -> Implementation {
    let mut command = program();
    command.args(["--type", "PULL", "--attach", "bind", "--endpoint", &format!("tcp://127.0.0.1:{}", free_port())]);
    let process = Process::spawn("a peer", &mut command);
    let name = process.wait_line("name", PATIENCE, |line| {
        let event: serde_json::Value = serde_json::from_str(line).ok()?;
        event["library"].as_str().map(str::to_owned)
    });
    Implementation { name, program, lacks }
}

fn other(library: &str) -> Command {
    let mut command = Command::new(harness());
    command.args(["interop", "--library", library]);
    command
}

/// `MYELIN_LOADTEST_BIN`, else the one beside this test.
fn harness() -> PathBuf {
    std::env::var_os("MYELIN_LOADTEST_BIN").map_or_else(
        || {
            let test = std::env::current_exe().expect("a running program has a path");
            let profile = test.parent().and_then(std::path::Path::parent).expect("tests are in target/<profile>/deps");
            profile.join("myelin-loadtest")
        },
        PathBuf::from,
    )
}
