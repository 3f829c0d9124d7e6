//! Proves what a registration does to the registry: by cases for each rule, and by random operations against a small model
//! that keeps nothing but who registered where and in which order.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails; the lint spares only the bodies of test functions")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use myelin_bridge_zmq::discovery::agent::{AgentName, Registration};
use myelin_bridge_zmq::discovery::attach::Attached;
use myelin_bridge_zmq::discovery::dialect::{Request, decode};
use myelin_bridge_zmq::discovery::registry::{Change, Registered, Registry, RegistryError, RegistryLimits, Seen};
use proptest::prelude::*;

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

fn registration(name: &str, port: u16, metadata: &str) -> Registration {
    let body = format!(
        r#"{{"action": "register_agent", "agent_name": "{name}", "port": {port}, "health_check_port": {},
            "metadata": {{"m": "{metadata}"}}}}"#,
        port + 1000
    );
    match decode(body.as_bytes()).1 {
        Ok(Request::Register(registration)) => *registration,
        other => panic!("not a registration: {other:?}"),
    }
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn register(registry: &mut Registry, name: &str, port: u16, alive: &[SocketAddr]) -> Result<Registered, RegistryError> {
    registry.register(&registration(name, port, ""), at(port), Seen { alive, local: true }, NOW)
}

fn endpoints(registry: &Registry, name: &str) -> Vec<u16> {
    registry.get(name).unwrap().replicas.iter().map(|replica| replica.endpoint.port()).collect()
}

fn name(name: &str) -> AgentName {
    AgentName::new(name).unwrap()
}

/// An unauthenticated process could put itself between a route's callers and its agents by registering under the route's name.
#[test]
fn a_reserved_name_is_taken_by_nobody() {
    let mut registry = Registry::new(RegistryLimits::default());
    register(&mut registry, "before", 5000, &[]).unwrap();
    let before = registry.get("before").unwrap().as_ref().clone();
    let mut registry = Registry::new(RegistryLimits::default());
    for reserved in ["vault", "before", "a.health"] {
        registry.reserve_name(reserved);
    }
    assert!(!registry.restore(before), "not even by who had it before it was reserved");
    // Agents of this test have a health port, and with it a second name.
    for (name, taken) in [("vault", "vault"), ("a", "a.health")] {
        let refused = register(&mut registry, name, 5000, &[]);
        assert!(matches!(&refused, Err(RegistryError::NameReserved { name }) if **name == *taken), "{refused:?}");
    }
    register(&mut registry, "vaults", 5000, &[]).unwrap();
}

#[test]
fn the_same_endpoint_again_is_an_update() {
    let mut registry = Registry::new(RegistryLimits::default());
    assert_eq!(register(&mut registry, "a", 5000, &[]).unwrap().change, Change::New);
    let ports = Attached { service_port: 40_000, health_port: None };
    registry.attached(&name("a"), ports);
    let later = NOW + Duration::from_secs(9);
    let seen = Seen { alive: &[], local: true };
    let again = registry.register(&registration("a", 5000, "new"), at(5000), seen, later).unwrap();
    assert_eq!(again.change, Change::Updated);
    assert!(again.withdrawn.is_empty());
    assert_eq!(&*again.agent.card.metadata, r#"{"m": "new"}"#);
    assert_eq!((again.agent.last_registered, again.agent.ports, again.agent.attached), (later, Some(ports), true));
    assert_eq!(again.agent.replicas[0].health, Some(at(6000)));
    assert_eq!(registry.len(), 1);
}

#[test]
fn another_port_is_a_replica_while_the_old_one_lives_and_a_replacement_when_it_does_not() {
    let mut registry = Registry::new(RegistryLimits::default());
    register(&mut registry, "a", 5000, &[]).unwrap();
    assert_eq!(registry.contested(&name("a"), at(5001)), [at(5000)]);
    assert_eq!(register(&mut registry, "a", 5001, &[at(5000)]).unwrap().change, Change::Added);
    assert_eq!(endpoints(&registry, "a"), [5000, 5001]);

    let third = register(&mut registry, "a", 5002, &[]).unwrap();
    assert_eq!(third.change, Change::Replaced);
    assert_eq!(third.withdrawn, [(name("a"), at(5000)), (name("a"), at(5001))]);
    assert_eq!(endpoints(&registry, "a"), [5002]);
}

#[test]
fn an_endpoint_that_another_agent_took_over_is_gone_although_it_lives() {
    let mut registry = Registry::new(RegistryLimits::default());
    register(&mut registry, "a", 5000, &[]).unwrap();
    // `a` died, `b` got its port: `a` has nothing newer, so two names for one process are possible as well.
    assert!(register(&mut registry, "b", 5000, &[]).unwrap().withdrawn.is_empty());
    assert_eq!(endpoints(&registry, "a"), [5000]);
    // `a` comes back elsewhere. Port 5000 accepts connections, but they reach `b`.
    let back = register(&mut registry, "a", 5001, &[at(5000)]).unwrap();
    assert_eq!(back.change, Change::Replaced);
    assert_eq!(back.withdrawn, [(name("a"), at(5000))]);
    assert_eq!(endpoints(&registry, "b"), [5000]);
}

#[test]
fn an_older_replica_goes_when_another_agent_registers_its_endpoint() {
    let mut registry = Registry::new(RegistryLimits::default());
    register(&mut registry, "a", 5000, &[]).unwrap();
    register(&mut registry, "a", 5001, &[at(5000)]).unwrap();
    let taken = register(&mut registry, "b", 5000, &[]).unwrap();
    assert_eq!(taken.withdrawn, [(name("a"), at(5000))]);
    assert_eq!(endpoints(&registry, "a"), [5001]);
}

#[test]
fn our_own_ports_are_nobodys() {
    let mut registry = Registry::new(RegistryLimits::default());
    registry.reserve(7120);
    register(&mut registry, "a", 5000, &[]).unwrap();
    registry.attached(&name("a"), Attached { service_port: 40_000, health_port: Some(40_001) });
    for port in [7120, 40_000, 40_001, 40_000 - 1000] {
        assert!(matches!(register(&mut registry, "b", port, &[]), Err(RegistryError::OwnPort { .. })), "{port}");
    }
    let elsewhere = Seen { alive: &[], local: false };
    let remote = SocketAddr::from(([10, 0, 0, 9], 40_000));
    assert!(registry.register(&registration("c", 40_000, ""), remote, elsewhere, NOW).is_ok());
    registry.attached(&name("a"), Attached { service_port: 42_000, health_port: None });
    assert!(register(&mut registry, "b", 40_000, &[]).is_ok(), "a port given back is free again");
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let limits = RegistryLimits { agents_max: 2, replicas_max: 2, entry_bytes_max: 60, bytes_max: 80 };
    let mut registry = Registry::new(limits);
    let seen = Seen { alive: &[], local: true };
    let too_large = registry.register(&registration("a", 5000, &"x".repeat(60)), at(5000), seen, NOW);
    assert!(matches!(too_large, Err(RegistryError::EntryTooLarge { max: 60, .. })));
    assert!(registry.is_empty());

    register(&mut registry, "a", 5000, &[]).unwrap();
    register(&mut registry, "b", 5001, &[]).unwrap();
    assert_eq!(register(&mut registry, "c", 5002, &[]).unwrap_err(), RegistryError::AgentsFull { max: 2 });
    let bytes = registry.bytes();
    let growing = registry.register(&registration("a", 5000, &"x".repeat(35)), at(5000), seen, NOW);
    assert_eq!(growing.unwrap_err(), RegistryError::BytesFull { max: 80 });
    assert_eq!(registry.bytes(), bytes);

    register(&mut registry, "a", 5003, &[at(5000)]).unwrap();
    let third = register(&mut registry, "a", 5004, &[at(5000), at(5003)]);
    assert_eq!(third.unwrap_err(), RegistryError::ReplicasFull { name: name("a"), max: 2 });
    assert_eq!(endpoints(&registry, "a"), [5000, 5003]);
    assert_eq!(register(&mut registry, "a", 5004, &[at(5003)]).unwrap().change, Change::Added);
    assert_eq!(endpoints(&registry, "a"), [5003, 5004]);
}

#[test]
fn a_restored_agent_keeps_its_ports_but_is_not_attached() {
    let mut registry = Registry::new(RegistryLimits::default());
    register(&mut registry, "a", 5000, &[]).unwrap();
    let ports = Attached { service_port: 40_000, health_port: Some(40_001) };
    registry.attached(&name("a"), ports);
    let agent = registry.get("a").unwrap().as_ref().clone();

    let mut restored = Registry::new(RegistryLimits::default());
    assert!(restored.restore(agent.clone()));
    assert!(!restored.restore(agent), "a second one of the same name");
    let agent = restored.get("a").unwrap();
    assert_eq!((agent.ports, agent.attached), (Some(ports), false));
    // Until it is attached, somebody else may really have been given that port.
    assert!(register(&mut restored, "b", 40_000, &[]).is_ok());
    // Orders continue after the restored ones.
    let order = |registry: &Registry, name: &str| registry.get(name).unwrap().replicas[0].order;
    assert!(order(&restored, "b") > order(&restored, "a"));
}

/// Who registered where, in order of registration.
#[derive(Default)]
struct Model(Vec<(String, u16)>);

impl Model {
    fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (usize, u16)> + 'a {
        self.0.iter().enumerate().filter(move |(_, (other, _))| other == name).map(|(order, (_, port))| (order, *port))
    }

    fn register(&mut self, name: &str, port: u16, alive: &BTreeSet<u16>) {
        let gone: BTreeSet<usize> = self
            .of(name)
            .filter(|(order, old)| {
                let taken = self.0[*order..].iter().any(|(other, at)| other != name && at == old);
                *old == port || !alive.contains(old) || taken
            })
            .map(|(order, _)| order)
            .collect();
        let stale = |order: usize, other: &str, at: u16| other != name && at == port && self.of(other).any(|(later, _)| later > order);
        let kept = self.0.iter().enumerate().filter(|(order, (other, at))| !gone.contains(order) && !stale(*order, other, *at));
        self.0 = kept.map(|(_, entry)| entry.clone()).collect();
        self.0.push((name.to_owned(), port));
    }
}

proptest! {
    #[test]
    fn random_registrations_match_the_model(
        steps in proptest::collection::vec(("[abc]", 5000_u16..5005, proptest::collection::btree_set(5000_u16..5005, 0..5)), 1..60),
    ) {
        let mut registry = Registry::new(RegistryLimits::default());
        let mut model = Model::default();
        for (agent, port, alive) in steps {
            let before: BTreeMap<String, Vec<u16>> =
                ["a", "b", "c"].iter().map(|name| ((*name).to_owned(), model.of(name).map(|(_, port)| port).collect())).collect();
            let alive_at: Vec<_> = alive.iter().copied().map(at).collect();
            let registered = register(&mut registry, &agent, port, &alive_at).unwrap();
            model.register(&agent, port, &alive);
            let mut withdrawn = BTreeSet::new();
            for name in ["a", "b", "c"] {
                let expected: Vec<u16> = model.of(name).map(|(_, port)| port).collect();
                let found: Vec<u16> = registry.get(name).map(|_| endpoints(&registry, name)).unwrap_or_default();
                prop_assert_eq!(&found, &expected, "{} after {} at {}", name, agent, port);
                withdrawn.extend(before[name].iter().filter(|port| !expected.contains(port)).map(|port| (name.to_owned(), *port)));
            }
            let told: BTreeSet<_> =
                registered.withdrawn.iter().map(|(name, at)| (name.as_str().to_owned(), at.port())).collect();
            prop_assert_eq!(told, withdrawn);
            prop_assert_eq!(registry.bytes(), registry.agents().map(|agent| agent.name.as_str().len() + agent.card.len_bytes()).sum::<usize>());
        }
    }
}
