//! A hundred peers come and go for twenty seconds, and the sidecar is then as it was before: descriptors, threads, peers, queues.
//!
//! The small form of `cargo xtask proof soak`, which lasts an hour and judges memory too. Here memory only has to stay within a factor of three.

use myelin_testkit::{loadtest_binary, myelin_binary};
use std::process::Command;

#[test]
fn a_crowd_leaves_nothing_behind() {
    let output = Command::new(loadtest_binary())
        .args(["soak", "--peers", "100", "--minutes", "0.3", "--life-max", "5", "--sidecar"])
        .arg(myelin_binary())
        .output()
        .expect("the harness runs");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}: {}\n{}", output.status, said(&output.stdout), said(&output.stderr));
}
