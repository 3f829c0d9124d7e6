//! Every socket type of libzmq and of two other implementations exchanges a message through a sidecar, connecting and binding, with NULL security.
//!
//! Run by `cargo xtask proof interop`, which builds the program that has the other implementations: `myelin-loadtest` with the feature `interop`.

#![allow(clippy::print_stdout, reason = "the matrix is the proof")]

mod matrix;

use matrix::{Attach, Cell, TYPES, cell};
use myelin_testkit::{Agent, python};
use std::path::PathBuf;
use std::process::Command;

#[test]
#[ignore = "a proof: needs a build with a feature of its own"]
fn the_interop_matrix() {
    let libzmq = libzmq_version();
    let implementations: [(&str, &dyn Fn() -> Command); 3] =
        [(&libzmq, &|| Agent::program("interop_agent")), ("zeromq 0.7", &|| other("zeromq")), ("omq-tokio 0.33", &|| other("omq-tokio"))];
    let mut failures = Vec::new();
    println!("NULL security; rows: the foreign socket; columns: what it does, and whose it is\n");
    print!("{:<8}", "");
    for (name, _) in implementations {
        print!("{name:<36}");
    }
    println!();
    print!("{:<8}", "type");
    for _ in implementations {
        print!("{:<18}{:<18}", "connect", "bind");
    }
    println!();
    for socket_type in TYPES {
        print!("{socket_type:<8}");
        for (name, program) in implementations {
            for attach in Attach::BOTH {
                let outcome = cell(program(), socket_type, attach);
                let text = match &outcome {
                    Cell::Passes => "passes",
                    Cell::Refused => "refused (1)",
                    Cell::Fails(_) => "FAILS",
                };
                print!("{text:<18}");
                let is_documented = socket_type == "ROUTER" && attach == Attach::Connect;
                if let Cell::Fails(why) = outcome {
                    failures.push(format!("{name} {socket_type} {}: {why}", attach.as_str()));
                } else if (outcome == Cell::Refused) != is_documented {
                    failures.push(format!("{name} {socket_type} {}: {text}", attach.as_str()));
                }
            }
        }
        println!();
    }
    println!(
        "\n(1) a ROUTER agent needs one connection for each of its callers, which only the sidecar can open: it binds, and the route connects"
    );
    for failure in &failures {
        println!("{failure}");
    }
    assert!(failures.is_empty(), "{failures:#?}");
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

fn libzmq_version() -> String {
    let output =
        Command::new(python()).args(["-c", "import zmq; print('libzmq', zmq.zmq_version(), '(pyzmq', zmq.__version__ + ')')"]).output();
    output.map_or_else(|_| "libzmq (pyzmq)".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
