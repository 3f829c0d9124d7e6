//! A worker waits for messages while the server is killed that leads its consumer: what is stored afterwards reaches it as soon as another one leads,
//! and not only when its request would have been over.

use std::process::Command;

use myelin_testkit::{Agent, NatsCluster, PATIENCE, Process, Sidecar, eventually};

#[test]
fn a_worker_that_waits_hears_of_what_the_next_leader_has() {
    let mut cluster = NatsCluster::start();
    let nats = format!("servers = {:?}\nreplicas = 3\nping_interval = \"1s\"", cluster.urls());
    let sidecar = Sidecar::builder().section("bus", "engine = \"nats\"").section("nats", &nats).start();
    let succeeds = |arguments: &[&str]| sidecar.command(arguments).output().expect("it runs").status.success();
    assert!(succeeds(&["stream", "create", "orders", "--subject", "orders.>", "--retention", "work_queue"]));
    assert!(succeeds(&["consumer", "create", "orders", "workers"]));
    let wait = || Process::spawn("worker", &mut sidecar.command(&["consumer", "next", "orders", "workers", "--wait", "60s", "--raw"]));
    let mut worker = wait();

    let leader = leads(&cluster, "MYELIN_orders.workers");
    cluster.node(leader).process().kill9();
    eventually("it is stored", PATIENCE, || succeeds(&["stream", "pub", "orders.new", "one book", "--id", "order-1"]).then_some(()));
    eventually("the worker has it", PATIENCE, || {
        if worker.lines().iter().any(|line| line.contains("one book")) {
            return Some(());
        }
        // It may be told that nobody leads its consumer now, and asks again as any worker would.
        if worker.ended().is_some_and(|status| !status.success()) {
            worker = wait();
        }
        None
    });
}

/// The node that leads a consumer for which somebody waits.
#[track_caller]
fn leads(cluster: &NatsCluster, consumer: &str) -> usize {
    let mut ask: Command = Agent::program("nats_leader");
    ask.arg(consumer).args(cluster.urls().iter().map(|url| url.trim_start_matches("nats://").to_owned()));
    let asked = Process::spawn("nats_leader", &mut ask);
    asked.wait_line("a leader", PATIENCE, |line| (0..3).find(|node| line == NatsCluster::name_of(*node)))
}
