//! Every socket type of libzmq that has a route exchanges a message through it, whichever side opens the connection.
//!
//! `proof_interop.rs` has the other implementations, and prints the matrix.

mod matrix;

use matrix::{Attach, Cell, TYPES, cell};
use myelin_testkit::Agent;

#[test]
fn every_socket_type_of_libzmq_connecting_and_binding() {
    let mut failed = Vec::new();
    for socket_type in TYPES {
        for attach in Attach::BOTH {
            // A ROUTER needs one connection for each of its callers, which only we can open.
            let expected = if socket_type == "ROUTER" && attach == Attach::Connect { Cell::Refused } else { Cell::Passes };
            let outcome = cell(Agent::program("interop_agent"), socket_type, attach);
            if outcome != expected {
                failed.push((socket_type, attach, outcome));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
