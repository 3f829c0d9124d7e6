//! What is planned for which fleet, and: whatever the file says, the routes that come out can be opened.

use proptest::prelude::*;

use super::problem::Fault;
use super::{Plan, Surroundings, Variables, import};
use crate::config::{Config, Origin, Sources};
use crate::doctor::{self, Severity};

/// The configuration of this text.
fn config(toml: &str) -> Config {
    let dir = tempfile::TempDir::new().expect("a temporary directory");
    let path = dir.path().join("myelin.toml");
    std::fs::write(&path, toml).expect("it is writable");
    let sources = Sources { file: Some((path, Origin::Flag("--config".to_owned()))), ..Sources::default() };
    sources.load().unwrap_or_else(|errors| panic!("{errors:?} in\n{toml}"))
}

fn planned(yaml: &str, offset: i32, own: &str) -> Plan {
    let config = config(own);
    let variables = Variables::only(&[("PORT_OFFSET", "100")]);
    let surroundings = Surroundings { variables: &variables, offset, binds: &config.binds(), has_hub: config.hub.enabled };
    import(yaml, &surroundings).expect("valid YAML")
}

fn routes(plan: &Plan) -> Vec<String> {
    plan.routes.iter().map(|route| format!("{} {} {}", route.name, route.bind, route.connect)).collect()
}

fn ids(plan: &Plan) -> Vec<(&'static str, usize, Vec<&str>)> {
    let id = |problem: &'static str, line, agents| (problem, line, agents);
    plan.problems.iter().map(|problem| id(problem.fault.id(), problem.line, problem.agents.iter().map(String::as_str).collect())).collect()
}

#[test]
fn every_port_becomes_a_route() {
    let yaml = "agent_groups:\n  core:\n    Hub: {port: '${PORT_OFFSET}+7100', health_check_port: 8200, host: 0.0.0.0}\n  \
                gpu:\n    Tts: {port: 5562, host: gpu-box, dependencies: [Hub]}\n";
    let plan = planned(&yaml.replace('\'', "\""), 10_000, "");
    assert_eq!(plan.problems, []);
    assert_eq!(
        routes(&plan),
        [
            "Hub tcp://127.0.0.1:17200 tcp://127.0.0.1:7200",
            "Hub.health tcp://127.0.0.1:18200 tcp://127.0.0.1:8200",
            "Tts tcp://127.0.0.1:15562 tcp://gpu-box:5562",
        ]
    );
}

#[test]
fn what_two_agents_share_gets_no_route() {
    let yaml = "- {name: A, port: 1, health_check_port: 2}\n- {name: B, port: 2}\n- {name: C, port: 3, host: elsewhere}\n\
                - {name: D, port: 3}\n- {name: D, port: 4}\n- {name: E, port: 5, health_check_port: 5}\n- {name: F.health, port: 6}\n\
                - {name: F, port: 7, health_check_port: 8}\n";
    let plan = planned(yaml, 20_000, "");
    assert_eq!(
        ids(&plan),
        [
            ("duplicate-port", 2, vec!["A", "B"]),
            ("duplicate-name", 5, vec!["D"]),
            ("duplicate-port", 6, vec!["E"]),
            ("duplicate-name", 8, vec!["F.health"]),
        ]
    );
    assert_eq!(plan.routes.iter().map(|route| route.name.as_str()).collect::<Vec<_>>(), ["A", "C", "F"]);
}

#[test]
fn ports_that_are_missing_wrong_or_unset() {
    let yaml = "- {name: A, port: \"${X}+1\", health_check_port: \"${Y}+${X}\"}\n- {name: B, port: \"$X\"}\n- {name: C, health_check_port: 9}\n\
                - {name: D, port: seven}\n- {name: E, port: 70000}\n- {port: 8}\n- {name: F, host: 'a b', port: 10}\n- {name: hub, port: 11}\n";
    let plan = planned(yaml, 20_000, "");
    assert_eq!(
        ids(&plan),
        [
            ("unset-variable", 1, vec!["A", "B"]),
            ("unset-variable", 1, vec!["A"]),
            ("missing-port", 3, vec!["C"]),
            ("not-a-number", 4, vec!["D"]),
            ("not-a-port", 5, vec!["E"]),
            ("missing-name", 6, vec![]),
            ("bad-host", 7, vec!["F"]),
            ("bad-name", 8, vec!["hub"]),
        ]
    );
    assert_eq!(plan.routes.iter().map(|route| route.name.as_str()).collect::<Vec<_>>(), ["C.health"]);
    assert_eq!(planned("- {name: hub, port: 11}\n", 1, "[hub]\nenabled = false\n").problems, []);
}

#[test]
fn an_unknown_dependency_is_told_and_harms_nobody() {
    let plan = planned("- {name: GpuMonitor, port: 1}\n- {name: A, port: 2, dependencies: [GpuMonitr, Zeitgeist]}\n", 20_000, "");
    let suggestions: Vec<_> = plan
        .problems
        .iter()
        .map(|problem| match &problem.fault {
            Fault::UnknownDependency { name, suggestion, .. } => (name.as_str(), suggestion.as_deref()),
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(suggestions, [("GpuMonitr", Some("GpuMonitor")), ("Zeitgeist", None)]);
    assert_eq!(plan.routes.len(), 2);
}

#[test]
fn our_own_ports_are_kept_clear_of() {
    let own = "[discovery]\nlisten = \"tcp://*:7120\"\n[[route]]\nname = \"A\"\nkind = \"service\"\ncallers = { bind = \"tcp://127.0.0.1:17200\" }\n";
    let yaml = "- {name: A, port: 7200}\n- {name: B, port: 7120}\n- {name: C, port: 7120, host: elsewhere}\n- {name: D, port: 7200, host: elsewhere}\n";
    let plan = planned(yaml, 10_000, own);
    assert_eq!(ids(&plan), [("own-listener", 2, vec!["B"]), ("port-taken", 4, vec!["D"])]);
    assert_eq!(routes(&plan)[0], "A tcp://127.0.0.1:17200 tcp://127.0.0.1:7200", "an import that is repeated gives the same");
    let plan = planned(
        "- {name: A, port: 4000}\n- {name: B, port: 4222, host: elsewhere}\n- {name: C, port: 4010}\n- {name: D, port: 60000}\n",
        10,
        "",
    );
    assert_eq!(ids(&plan), [("port-taken", 1, vec!["A"])]);
    let plan = planned("- {name: A, port: 60000}\n- {name: B, port: 5}\n", 10_000, "");
    assert_eq!(ids(&plan), [("offset-too-far", 1, vec!["A"])]);
    assert_eq!(ids(&planned("- {name: A, port: 5}\n", 0, "")), [("port-taken", 1, vec!["A"])], "without an offset both would listen there");
}

/// Fleets with collisions, odd names and nonsense, in both shapes.
fn fleet() -> impl Strategy<Value = String> {
    let name = prop_oneof![4 => "[A-D]", 1 => Just("hub".to_owned()), 1 => Just("A.health".to_owned()), 1 => "[^\\x00-\\x1f]{0,12}", 1 => ".{0,300}"];
    let port = prop_oneof![
        4 => (5_000_u32..5_010).prop_map(|port| port.to_string()),
        1 => any::<u32>().prop_map(|port| port.to_string()),
        1 => Just("4222".to_owned()),
        1 => (0_u32..9).prop_map(|port| format!("${{PORT_OFFSET}}+{port}")),
        1 => Just("${NOBODY}".to_owned()),
        1 => ".{0,9}",
    ];
    let host = prop_oneof![Just(String::new()), Just("elsewhere".to_owned()), Just("::1".to_owned()), Just("[::1]".to_owned()), ".{0,9}"];
    let agent = (name, port.clone(), proptest::option::of(port), proptest::option::of(host));
    let quoted = |text: &str| serde_json::to_string(text).expect("a text");
    (prop::collection::vec(agent, 0..12), any::<bool>()).prop_map(move |(agents, is_list)| {
        let mut yaml = if is_list { "agents:\n".to_owned() } else { "agent_groups:\n  \"a\\nb\":\n".to_owned() };
        for (name, port, health, host) in agents {
            let mut fields = format!("port: {}", quoted(&port));
            for (key, value) in [("health_check_port", health), ("host", host)] {
                fields.extend(value.map(|value| format!(", {key}: {}", quoted(&value))));
            }
            let name = quoted(&name);
            yaml.push_str(&if is_list { format!("- {{name: {name}, {fields}}}\n") } else { format!("    {name}: {{{fields}}}\n") });
        }
        yaml
    })
}

proptest! {
    #[test]
    fn whatever_the_fleet_its_routes_pass_the_check(yaml in fleet(), offset in prop_oneof![Just(0), Just(10_000), Just(2), -70_000..70_000]) {
        let surroundings = Surroundings { variables: &Variables::only(&[("PORT_OFFSET", "5000")]), offset, binds: &config("").binds(), has_hub: true };
        // Some texts make no YAML at all; those that do must come out whole.
        if let Ok(plan) = import(&yaml, &surroundings) {
            let toml = plan.to_toml("fleet\n.yaml", offset);
            let config = config(&toml);
            prop_assert_eq!(config.routes.len(), plan.routes.len());
            for (route, planned) in config.routes.iter().zip(&plan.routes) {
                prop_assert_eq!(&route.name, &planned.name);
            }
            let errors: Vec<_> = doctor::examine_config(&config).into_iter().filter(|finding| finding.severity == Severity::Error).collect();
            prop_assert!(errors.is_empty(), "{:?}\n{}", errors, toml);
            prop_assert!(plan.problems.iter().all(|problem| !problem.fault.to_string().chars().any(char::is_control)));
        }
    }

    #[test]
    fn no_text_makes_an_import_panic(text in ".*") {
        let surroundings = Surroundings { variables: &Variables::default(), offset: 1, binds: &[], has_hub: true };
        drop(import(&text, &surroundings));
        drop(import(&format!("agent_groups:\n  g:\n    A: {{port: {text}"), &surroundings));
    }
}
