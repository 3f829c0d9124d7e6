//! What happens to an agent on one machine is known on the other within a second, over a NATS server between them; and a sidecar that stops takes its
//! agents along.

mod presence;

use std::time::Duration;

use myelin_testkit::{Agent, NatsServer, PATIENCE, Sidecar};
use presence::Watch;

fn sidecar(nats: &NatsServer, host: &str) -> Sidecar {
    let servers = format!("servers = [{:?}]", nats.url());
    let builder = Sidecar::builder().section("bus", "engine = \"nats\"").section("nats", &servers);
    builder.section("serve", &format!("host = {host:?}")).start()
}

#[test]
fn the_end_of_an_agent_is_known_on_the_other_machine() {
    let nats = NatsServer::start_with("max_payload: 9MB\n");
    let (mut one, two) = (sidecar(&nats, "one"), sidecar(&nats, "two"));
    let watch = Watch::start(&two);
    let mut agent = Agent::registered("Far", &one.discovery_endpoint());
    let _other = Agent::registered("Stays", &one.discovery_endpoint());
    let (there, _) = watch.until("Far", "alive", PATIENCE);
    assert_eq!(there["machine"], "one");
    watch.until("Stays", "alive", PATIENCE);

    agent.kill9();
    let (dead, after) = watch.until("Far", "dead", PATIENCE);
    println!("dead on the other machine after {after:?}");
    assert!(after <= Duration::from_secs(1), "{after:?}");
    assert_eq!(dead["reason"], "connection lost");

    assert_eq!(one.terminate(), 0);
    let (left, _) = watch.until("Stays", "left", PATIENCE);
    assert!(left["reason"].as_str().is_some_and(|reason| reason.contains("said goodbye")), "{left}");
}
