//! The table of keys is sound, the example file equals the defaults, and faults carry the right line.

use std::path::Path;

use myelin_bridge_zmq::routes::pipeline::DurableConfig;
use myelin_bus::Overflow;

use super::keys::{self, KEYS, OVERFLOWS};
use super::*;

const EXAMPLE: &str = include_str!("../../../myelin.example.toml");

fn read(text: &str) -> Result<(Settings, Vec<Route>), Vec<String>> {
    let mut settings = Settings::defaults();
    match file::read(Path::new("m.toml"), text, &mut settings) {
        Ok(routes) => Ok((settings, routes)),
        Err(errors) => Err(errors.iter().map(ToString::to_string).collect()),
    }
}

#[test]
fn the_defaults_make_a_configuration_that_binds_loopback() {
    let config = Config::new(Settings::defaults(), Vec::new());
    assert!(config.serve.listen.ip().is_loopback() && config.serve.http.ip().is_loopback());
    for endpoint in [&config.discovery.listen, &config.hub.publishers, &config.hub.subscribers] {
        assert!(bind_addr(endpoint).expect("an address").ip().is_loopback(), "{endpoint}");
    }
    assert_eq!(OVERFLOWS, Overflow::ALL.map(Overflow::as_str));
}

#[test]
fn names_are_unique_and_every_key_has_a_section() {
    for (index, key) in KEYS.iter().enumerate() {
        assert!(KEYS[..index].iter().all(|other| other.path != key.path && other.env != key.env), "{}", key.path);
        assert!(key.path.contains('.') && key.env.starts_with("MYELIN_"));
    }
    assert_eq!(keys::sections(), ["serve", "bus", "nats", "store", "memory", "discovery", "hub", "health", "security", "limits"]);
}

#[test]
fn the_example_file_sets_every_key_to_its_default() {
    let (settings, routes) = read(EXAMPLE).expect("the example parses");
    for ((key, example), (_, default)) in settings.iter().zip(Settings::defaults().iter()) {
        assert_eq!(example.value, default.value, "{}", key.path);
        assert_ne!(example.origin, Origin::Default, "{} is missing in the example", key.path);
    }
    assert!(routes.is_empty(), "routes in the example are commented out");
}

/// The routes of the example as they are when the first # of each line is removed.
fn uncommented() -> String {
    let start = EXAMPLE.find("#[[route]]").expect("the example shows routes");
    EXAMPLE[start..].lines().map(|line| format!("{}\n", line.strip_prefix('#').unwrap_or(line))).collect()
}

#[test]
fn the_commented_routes_of_the_example_are_valid() {
    let (_, routes) = read(&uncommented()).expect("the commented routes parse");
    let kinds: Vec<_> = routes.iter().map(|route| route.kind.as_str()).collect();
    assert_eq!(kinds, ["service", "topic", "pipeline", "pair"]);
}

#[test]
fn each_fault_is_one_line_with_file_line_and_key() {
    let cases = [
        ("[serve]\nlisten_ = 'x'", "m.toml:2: serve.listen_: unknown key, did you mean listen?"),
        ("[serve]\n\nport_range = 'x'", "m.toml:3: serve.port_range: unknown key, did you mean discovery.port_range?"),
        ("listen = 'x'", "m.toml:1: listen: unknown key, did you mean serve.listen?"),
        ("[serv]\nlisten = 'x'", "m.toml:1: serv: unknown section, did you mean [serve]?"),
        ("[serve]\nlisten = 4222", "m.toml:2: serve.listen: expected an address such as \"127.0.0.1:4222\", found the number 4222"),
        (
            "[serve]\ndrain_timeout = 10",
            "m.toml:2: serve.drain_timeout: expected a duration with a unit, such as \"500ms\", \"5s\" or \"2m\", found 10 without a unit (write \"10s\" for seconds)",
        ),
        ("[bus]\npayload_max = '1GiB'", "m.toml:2: bus.payload_max: 1GiB is out of range, allowed is 1KiB to 64MiB"),
        (
            "[bus]\noverflow = 'drop_odlest'",
            "m.toml:2: bus.overflow: \"drop_odlest\" is not one of block, drop_oldest, drop_newest, disconnect, did you mean drop_oldest?",
        ),
        ("[limits]\nconnections = 0", "m.toml:2: limits.connections: 0 is out of range, allowed is 1 to 1000000"),
        ("[limits]\nconnections = -5", "m.toml:2: limits.connections: -5 is out of range, allowed is 1 to 1000000"),
        (
            "[health]\npolls = ['ping']",
            "m.toml:2: health.polls: \"ping\" is not a list of polls, such as [\"action=ping\"] for JSON objects with that member, or ['\"ping\"'], with quotes of its own, for exactly that text",
        ),
        (
            "[health]\nvolatile = 3",
            "m.toml:2: health.volatile: expected a list of names of JSON members, such as [\"timestamp\"], found the number 3",
        ),
        (
            "[health]\ntolerance = ['cpu=0']",
            "m.toml:2: health.tolerance: \"cpu=0\" is not a list of names of JSON members with a number above zero, such as [\"cpu_percent=5\"]",
        ),
        ("[health]\nbound = '100ms'", "m.toml:2: health.bound: 100ms is out of range, allowed is 1s to 1m"),
        (
            "[[route]]\nname = 'a'\nkind = 'topic'\nat_most_every = 'x'",
            "m.toml:4: route \"a\".at_most_every: \"x\" is not a duration with a unit, such as \"500ms\", \"5s\" or \"2m\"",
        ),
        ("serve = 3", "m.toml:1: serve: expected the section [serve], found the number 3"),
        ("[route]\nname = 'a'", "m.toml:1: route: expected [[route]] with double brackets, found a table"),
        ("[[route]]\nkind = 'topic'", "m.toml:1: route[0].name: missing, each route needs a unique name"),
        (
            "[[route]]\nname = 'a'\nkind = 'servce'",
            "m.toml:3: route \"a\".kind: \"servce\" is not one of service, topic, pipeline, pair, did you mean service?",
        ),
        ("[[route]]\nname = 'a'\nkind = 'topic'\npublisher = {}", "m.toml:4: route \"a\".publisher: unknown key, did you mean publishers?"),
        (
            "[[route]]\nname = 'a'\nkind = 'topic'\npublishers = { bnd = [] }",
            "m.toml:4: route \"a\".publishers.bnd: unknown key, did you mean bind?",
        ),
        (
            "[[route]]\nname = 'a'\nkind = 'topic'\nsecurity = { mechanims = 'curve' }",
            "m.toml:4: route \"a\".security.mechanims: unknown key, did you mean mechanism?",
        ),
        (
            "[[route]]\nname = 'a'\nkind = 'topic'\n[route.security]\nconnect_mechanism = 'tls'",
            "m.toml:5: route \"a\".security.connect_mechanism: \"tls\" is not one of null, plain, curve",
        ),
        (
            "[[route]]\nname = 'a'\nkind = 'topic'\nsecurity = 'curve'",
            "m.toml:4: route \"a\".security: expected a table such as { mechanism = \"curve\" }, found the text \"curve\"",
        ),
        (
            "[[route]]\nname = 'a'\nkind = 'pipeline'\nack_wait = 30",
            "m.toml:4: route \"a\".ack_wait: expected a duration with a unit, such as \"500ms\", \"5s\" or \"2m\", found 30 without a unit (write \"30s\" for seconds)",
        ),
        (
            "[[route]]\nname = 'a'\nkind = 'pipeline'\ndeliveries_max = 0",
            "m.toml:4: route \"a\".deliveries_max: 0 is out of range, allowed is 1 to 1000",
        ),
        ("[[route]]\nname = 'a'\nkind = 'pipeline'\nmax_deliver = 5", "m.toml:4: route \"a\".max_deliver: unknown key"),
        (
            "[hub]\npublishers = 'ipc://*'",
            "m.toml:2: hub.publishers: \"ipc://*\" is not a Unix domain socket by the path of its file, such as \"ipc:///run/agent.sock\" (at most 106 bytes), or by an abstract name, such as \"ipc://@agent\"",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(read(text).map(|_| ()).expect_err(text), [expected]);
    }
}

#[test]
fn broken_toml_names_the_line() {
    let errors = read("[serve]\nlisten = \n").map(|_| ()).expect_err("broken");
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with("m.toml:2: not valid TOML: "), "{}", errors[0]);
    assert!(!errors[0].contains('\n'));
}

#[test]
fn every_fault_of_a_file_is_reported_in_order_of_lines() {
    let errors = read("[serve]\nzzz = 1\nhttp = 2\n[bus]\noverflow = 'x'\n").map(|_| ()).expect_err("three faults");
    let lines: Vec<_> = errors.iter().map(|error| &error[..8]).collect();
    assert_eq!(lines, ["m.toml:2", "m.toml:3", "m.toml:5"]);
}

#[test]
fn a_side_takes_one_endpoint_or_a_list() {
    let (_, routes) = read("[[route]]\nname='a'\nkind='service'\ncallers={bind='tcp://*:5'}\nagents={connect=['tcp://h:1','tcp://h:2']}\nwindow=4\non_caller_gone='drop'\n").expect("valid");
    let RouteKind::Service { callers, agents, window, on_caller_gone, .. } = &routes[0].kind else { panic!("a service") };
    assert_eq!((callers.bind.len(), agents.connect.len(), *window, *on_caller_gone), (1, 2, 4, Linger::Drop));
}

#[test]
fn the_example_shows_how_a_pipeline_keeps_its_messages_by_default() {
    let (_, routes) = read(&uncommented()).expect("the commented routes parse");
    let keeping = routes.iter().find_map(|route| match &route.kind {
        RouteKind::Pipeline { keeping, .. } => Some(keeping),
        _ => None,
    });
    let (shown, defaults) = (keeping.expect("a pipeline"), DurableConfig::default());
    assert_eq!(shown.durable, Some(Config::new(Settings::defaults(), Vec::new()).store.enabled));
    assert_eq!((shown.deliveries_max, shown.ack_wait), (Some(defaults.deliveries_max), Some(defaults.ack_wait)));
    assert_eq!((shown.messages_max, shown.bytes_max), (Some(defaults.messages_max), Some(defaults.bytes_max)));
    assert_eq!((shown.age_max, defaults.age_max), (None, None));
}

#[test]
fn a_route_overrides_what_it_names_and_inherits_the_rest() {
    let (settings, routes) = read(
        "[security]\nmechanism='plain'\nusers='all'\nkey='k'\n[[route]]\nname='a'\nkind='topic'\nsecurity={connect_mechanism='curve', users='own'}\n",
    )
    .expect("valid");
    let config = Config::new(settings, routes);
    let route = &config.routes[0];
    let (settings, security) = (config.settings_of(route), config.security_of(route));
    assert_eq!((security.mechanism, security.connect_mechanism), (MechanismName::Plain, MechanismName::Curve));
    assert_eq!(settings.file("security.users").as_deref(), Some(Path::new("own")));
    assert_eq!(settings.origin("security.users").to_string(), "m.toml:8");
    // One pair of keys serves both directions unless a second one is named.
    assert_eq!(security.files_needed(), ["security.users", "security.key", "security.connect_server_key"]);
    assert_eq!(config.security_at(None).connect_mechanism, MechanismName::Null);
}

#[test]
fn later_sources_win_and_are_remembered() {
    let flag = |key: &str, value: &str| Flag { name: format!("--set {key}"), key: key.to_owned(), value: value.to_owned() };
    let sources = Sources {
        file: None,
        env: vec![("MYELIN_LISTEN".into(), "127.0.0.1:1".into()), ("MYELIN_HTTP".into(), "127.0.0.1:2".into())],
        flags: vec![flag("serve.http", "127.0.0.1:3")],
    };
    let config = sources.load().expect("valid");
    assert_eq!((config.serve.listen.port(), config.serve.http.port()), (1, 3));
    assert_eq!(config.settings.origin("serve.listen").to_string(), "env MYELIN_LISTEN");
    assert_eq!(config.settings.origin("serve.http").to_string(), "flag --set serve.http");
}

#[test]
fn unknown_variables_get_a_hint_unless_they_come_from_kubernetes() {
    let names = ["MYELIN_LISTNE", "MYELIN_PORT", "MYELIN_SERVICE_HOST", "MYELIN_PORT_4222_TCP", "MYELIN_LOG"];
    let sources = Sources { env: names.map(|name| (name.to_owned(), String::new())).to_vec(), ..Sources::default() };
    assert_eq!(sources.unknown_env(), [("MYELIN_LISTNE".to_owned(), Some("MYELIN_LISTEN"))]);
}
