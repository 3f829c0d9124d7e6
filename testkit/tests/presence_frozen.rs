//! An agent whose process is stopped (SIGSTOP) keeps its connection and says nothing: it is suspect and not ready within 11 s, never dead, and alive
//! again when it goes on.

mod presence;

use std::time::Duration;

use myelin_testkit::{Agent, PATIENCE, Sidecar};
use presence::{Watch, shown};

/// As `docs/presence.md` says: two looks, and the patience of one.
const BOUND: Duration = Duration::from_secs(11);

#[test]
fn a_stopped_agent_is_suspect_and_not_ready_and_never_dead() {
    let sidecar = Sidecar::start();
    let watch = Watch::start(&sidecar);
    let mut agent = Agent::registered("Frozen", &sidecar.discovery_endpoint());
    let (alive, _) = watch.until("Frozen", "alive", PATIENCE);
    agent.freeze();
    let (suspect, after) = watch.until("Frozen", "suspect", BOUND * 2);
    println!("suspect after {after:?}");
    assert!(after <= BOUND, "{after:?}");
    assert_eq!(suspect["reason"], "connected, but does not answer");
    assert_eq!((&suspect["reachable"], &suspect["ready"]), (&true.into(), &false.into()));
    watch.never("Frozen", "dead", Duration::from_secs(3));
    assert_eq!(shown(&sidecar, "Frozen")["presence"]["state"], "suspect");
    agent.thaw();
    let (again, _) = watch.until("Frozen", "alive", BOUND * 2);
    assert_eq!(again["reason"], "answers");
    assert_eq!(again["incarnation"], alive["incarnation"], "it is the same life");
}
