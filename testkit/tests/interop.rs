//! Every socket type of libzmq that has a route exchanges a message through it, whichever side opens the connection, and so do four of them behind
//! PLAIN and CURVE; ends that disagree about a secret exchange none.
//!
//! `proof_interop.rs` has the other types and implementations, and prints the matrix.

mod matrix;

use matrix::{Attach, Cell, Mechanism, Mistake, TYPES, cell, expected, refusal};
use myelin_testkit::Agent;
use std::fmt::Debug;

#[test]
fn every_socket_type_of_libzmq_connecting_and_binding() {
    all(&TYPES, |socket_type, attach| {
        let outcome = cell(Agent::program("interop_agent"), socket_type, attach, Mechanism::Null);
        (outcome, expected(socket_type, attach))
    });
}

/// One type of each kind of route: the mechanism ends before the socket type matters.
#[test]
fn every_kind_of_route_behind_a_password_and_behind_keys() {
    for mechanism in [Mechanism::Plain, Mechanism::Curve] {
        all(&["REP", "SUB", "PUSH", "PAIR"], |socket_type, attach| {
            (cell(Agent::program("interop_agent"), socket_type, attach, mechanism), Cell::Passes)
        });
    }
}

#[test]
fn who_makes_a_mistake_gets_nowhere() {
    all(&Mistake::ALL, |mistake, attach| (refusal(Agent::program("interop_agent"), attach, mistake), Cell::Refused));
}

/// Runs every row both ways, so that a failure shows which of them fail.
fn all<R: Copy + Debug>(rows: &[R], run: impl Fn(R, Attach) -> (Cell, Cell)) {
    let both = rows.iter().flat_map(|row| Attach::BOTH.map(|attach| (*row, attach)));
    let outcomes = both.map(|(row, attach)| (row, attach, run(row, attach)));
    let failed: Vec<_> = outcomes.filter(|(.., (outcome, expected))| outcome != expected).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}
