//! Proves that both registry dialects are understood and answered with the very bytes agents know (vectors Z04 to Z09).

#![allow(clippy::unwrap_used, reason = "a test panics where it fails; the lint spares only the bodies of test functions")]

use std::time::{Duration, SystemTime};

use myelin_bridge_zmq::discovery::agent::{Agent, Registration, Replica};
use myelin_bridge_zmq::discovery::answer::{self, Found};
use myelin_bridge_zmq::discovery::attach::Attached;
use myelin_bridge_zmq::discovery::dialect::{Dialect, Malformed, REQUEST_BYTES_MAX, Request, decode};
use myelin_bridge_zmq::discovery::json::{Json, read_str};

/// What a production agent sends at its construction (vector Z07).
const REGISTRATION: &str = concat!(
    r#"{"action": "register_agent", "agent_name": "LanguageAnalyzer", "status": "HEALTHY", "location": "MainPC", "#,
    r#""registration_data": {"agent_id": "LanguageAnalyzer", "agent_type": "analyzer", "host": "localhost", "port": 5709, "#,
    r#""health_check_port": 6709, "capabilities": ["text_analysis", "sentiment", "intent"], "dependencies": ["ModelManager"], "#,
    r#""metadata": {"version": "1.0.0", "startup": 1718000000.25, "note": "caf\u00e9", "load": NaN}}, "#,
    r#""source_agent": "LanguageAnalyzer", "request_id": "7f1c7b9e-6f0f-4f3a-9d0e-6f2f5a1b2c3d", "#,
    r#""timestamp": 1718000000.2512345}"#,
);

fn refused(body: &[u8]) -> String {
    let (dialect, request) = decode(body);
    answer::failed(dialect, &request.expect_err("a malformed request").text())
}

fn registration(body: &str) -> Registration {
    match decode(body.as_bytes()).1 {
        Ok(Request::Register(registration)) => *registration,
        other => panic!("not a registration: {other:?}"),
    }
}

fn lookup(body: &str) -> (Dialect, String) {
    match decode(body.as_bytes()) {
        (dialect, Ok(Request::Lookup { name })) => (dialect, answer::not_found(dialect, &name)),
        other => panic!("not a lookup: {other:?}"),
    }
}

fn agent(registration: Registration) -> Agent {
    let endpoint = std::net::SocketAddr::from(([127, 0, 0, 1], registration.port));
    Agent {
        name: registration.name,
        card: registration.card,
        last_registered: SystemTime::UNIX_EPOCH + Duration::from_micros(1_718_000_000_250_000),
        replicas: vec![Replica { endpoint, health: None, order: 1 }],
        ports: None,
        attached: false,
    }
}

#[test]
fn z04_unknown_action() {
    let answer = refused(br#"{"action": "nope"}"#);
    assert_eq!(answer, r#"{"status": "error", "error": "Unknown action: nope"}"#);
    assert_eq!(answer.len(), 0x34);
    assert_eq!(refused(b"{}"), r#"{"status": "error", "error": "Unknown action: None"}"#);
    assert_eq!(refused(br#"{"action": 1.50}"#), r#"{"status": "error", "error": "Unknown action: 1.5"}"#);
    assert_eq!(refused(br#"{"action": true}"#), r#"{"status": "error", "error": "Unknown action: True"}"#);
    assert_eq!(
        refused("{\"action\": \"caf\u{e9} \\\"x\\\" \\ud800\"}".as_bytes()),
        r#"{"status": "error", "error": "Unknown action: caf\u00e9 \"x\" \ud800"}"#
    );
}

#[test]
fn z05_bad_json_bad_utf8_a_list_and_nothing() {
    assert_eq!(refused(b"not json"), r#"{"status": "error", "error": "Invalid JSON request"}"#);
    assert_eq!(refused(b"\xff\xfe\x00"), r#"{"status": "error", "error": "Invalid UTF-8 request"}"#);
    assert_eq!(refused(b"[1,2]"), r#"{"status": "error", "error": "'list' object has no attribute 'get'"}"#);
    assert_eq!(refused(b""), r#"{"status": "error", "error": "Invalid JSON request"}"#);
    assert_eq!(refused(b"3"), r#"{"status": "error", "error": "'int' object has no attribute 'get'"}"#);
    assert_eq!(refused(b"null"), r#"{"status": "error", "error": "'NoneType' object has no attribute 'get'"}"#);
}

#[test]
fn z06_unknown_agent() {
    let request = r#"{"action": "get_agent_endpoint", "agent_name": "Y"}"#;
    assert_eq!(request.len(), 0x33);
    let (dialect, answer) = lookup(request);
    assert_eq!(dialect, Dialect::Action);
    assert_eq!(answer, r#"{"status": "error", "error": "Agent Y not found"}"#);
    assert_eq!(answer.len(), 0x31);
}

#[test]
fn z07_a_whole_registration_and_its_answer() {
    assert!((551..=621).contains(&REGISTRATION.len()), "{} bytes", REGISTRATION.len());
    let registration = registration(REGISTRATION);
    assert_eq!(registration.name.as_str(), "LanguageAnalyzer");
    assert_eq!(registration.host.as_deref(), Some("localhost"));
    assert_eq!((registration.port, registration.health_port), (5709, Some(6709)));
    assert_eq!(&*registration.card.dependencies, r#"["ModelManager"]"#);
    assert_eq!(answer::registered(Dialect::Action), r#"{"status": "success"}"#);

    let ports = Attached { service_port: 40_000, health_port: Some(40_001) };
    let here = "127.0.0.1".parse().unwrap();
    assert_eq!(
        answer::found(Dialect::Action, here, &Found::of(&agent(registration), ports)),
        concat!(
            r#"{"host": "127.0.0.1", "port": 40000, "health_check_port": 40001, "agent_type": "analyzer", "#,
            r#""capabilities": ["text_analysis", "sentiment", "intent"], "#,
            r#""metadata": {"version": "1.0.0", "startup": 1718000000.25, "note": "caf\u00e9", "load": NaN}, "#,
            r#""last_registered": "2024-06-10T06:13:20.250000", "status": "success"}"#,
        )
    );
}

#[test]
fn a_registration_may_have_its_fields_at_the_top() {
    let flat = registration(
        r#"{"action": "register_agent", "agent_name": "A", "host": "127.0.0.1", "port": 5000, "health_check_port": 6000,
            "agent_type": "t", "capabilities": ["c"], "metadata": {}}"#,
    );
    assert_eq!((flat.port, flat.health_port, flat.host.as_deref()), (5000, Some(6000), Some("127.0.0.1")));
    assert_eq!((&*flat.card.agent_type, &*flat.card.capabilities), (r#""t""#, r#"["c"]"#));
}

#[test]
fn the_port_inside_the_registration_data_is_the_true_one() {
    let both =
        registration(r#"{"action": "register_agent", "agent_name": "A", "port": 1, "registration_data": {"agent_id": "B", "port": 2}}"#);
    assert_eq!((both.name.as_str(), both.port), ("A", 2));
    let bare = registration(r#"{"action": "register_agent", "registration_data": {"agent_id": "B", "port": "5002"}}"#);
    assert_eq!((bare.name.as_str(), bare.port, bare.health_port), ("B", 5002, None));
    assert_eq!((&*bare.card.agent_type, &*bare.card.capabilities, &*bare.card.metadata), (r#""unknown""#, "[]", "{}"));
}

#[test]
fn registrations_that_cannot_be_meant_are_refused() {
    for (body, field) in [
        (r#"{"action": "register_agent", "agent_name": "A"}"#, "port"),
        (r#"{"action": "register_agent", "agent_name": "A", "port": 0}"#, "port"),
        (r#"{"action": "register_agent", "agent_name": "A", "port": 65536}"#, "port"),
        (r#"{"action": "register_agent", "agent_name": "A", "port": -1}"#, "port"),
        (r#"{"action": "register_agent", "agent_name": "A", "port": 5.0}"#, "port"),
        (r#"{"action": "register_agent", "agent_name": "A", "port": 123456789012345678901234567890}"#, "port"),
        (r#"{"action": "register_agent", "port": 5000}"#, "agent_name"),
        (r#"{"action": "register_agent", "agent_name": 7, "port": 5000}"#, "agent_name"),
        (r#"{"action": "register_agent", "agent_name": "A", "host": "\ud800", "port": 5000}"#, "host"),
    ] {
        assert_eq!(decode(body.as_bytes()).1, Err(Malformed::Field { field }), "{body}");
    }
    for name in ["", "\\ud800", &"x".repeat(256)] {
        let body = format!(r#"{{"action": "register_agent", "agent_name": "{name}", "port": 5000}}"#);
        assert!(matches!(decode(body.as_bytes()).1, Err(Malformed::Name(_))), "{body}");
    }
}

#[test]
fn z08_discover() {
    let request = r#"{"command": "DISCOVER", "payload": {"name": "StreamingTTSAgent"}}"#;
    assert_eq!(request.len(), 65);
    let (dialect, answer) = lookup(request);
    assert_eq!(dialect, Dialect::Command);
    assert_eq!(answer, r#"{"status": "ERROR", "message": "Agent StreamingTTSAgent not found"}"#);
    assert_eq!(lookup(r#"{"command": "DISCOVER", "payload": {"name": "A", "machine": "PC2"}}"#).0, Dialect::Command);

    let found = agent(registration(r#"{"command": "REGISTER", "payload": {"name": "StreamingTTSAgent", "port": 5562}}"#));
    let ports = Attached { service_port: 40_000, health_port: None };
    assert_eq!(
        answer::found(Dialect::Command, "127.0.0.1".parse().unwrap(), &Found::of(&found, ports)),
        r#"{"status": "SUCCESS", "payload": {"ip": "127.0.0.1", "port": 40000}}"#
    );
    assert!(
        answer::found(Dialect::Action, "127.0.0.1".parse().unwrap(), &Found::of(&found, ports)).contains(r#""health_check_port": null"#)
    );
}

#[test]
fn z09_register() {
    let request = concat!(
        r#"{"command": "REGISTER", "payload": {"name": "STTService", "port": 5800, "#,
        r#""capabilities": ["stt", "transcription", "multilingual", "batch_processing"], "status": "online"}}"#,
    );
    let registration = registration(request);
    assert_eq!((registration.name.as_str(), registration.port, registration.host), ("STTService", 5800, None));
    assert_eq!(&*registration.card.capabilities, r#"["stt", "transcription", "multilingual", "batch_processing"]"#);
    assert_eq!(decode(request.as_bytes()).0, Dialect::Command);
    assert_eq!(answer::registered(Dialect::Command), r#"{"status": "SUCCESS"}"#);
    assert_eq!(refused(br#"{"command": "DANCE"}"#), r#"{"status": "ERROR", "message": "Unknown command: DANCE"}"#);
}

#[test]
fn polls_and_lists() {
    for action in ["ping", "health", "health_check"] {
        let (_, request) = decode(format!(r#"{{"action": "{action}"}}"#).as_bytes());
        assert_eq!(request, Ok(Request::Health), "{action}");
    }
    assert_eq!(decode(br#"{"action": "list_agents"}"#).1, Ok(Request::List));
    assert_eq!(answer::names(["A", "B\u{e9}"].into_iter()), r#"{"status": "success", "agents": ["A", "B\u00e9"]}"#);
    assert_eq!(answer::names(std::iter::empty()), r#"{"status": "success", "agents": []}"#);
}

#[test]
fn our_own_health_document_has_the_agents_fields() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_718_000_000_250);
    let health = answer::Health { now, uptime: Duration::from_millis(1_500), agents: 3, attached: 2, persisted: true };
    let document = read_str(&answer::health(&health)).unwrap();
    for key in ["status", "ready", "initialized", "message", "timestamp", "uptime", "health_checks", "health_details"] {
        assert!(document.get(key).is_some(), "{key}");
    }
    assert_eq!(document.get("timestamp"), Some(&Json::Float(1_718_000_000.25)));
    assert_eq!(document.get("health_status").unwrap().as_text().unwrap().escaped(), "healthy");
    let sick = answer::health(&answer::Health { persisted: false, ..health });
    assert_eq!(read_str(&sick).unwrap().get("health_status").unwrap().as_text().unwrap().escaped(), "degraded");
}

#[test]
fn an_oversized_request_is_refused_unread() {
    let mut body = br#"{"action": "ping", "x": ""#.to_vec();
    body.resize(REQUEST_BYTES_MAX + 1, b' ');
    assert_eq!(decode(&body).1, Err(Malformed::TooLarge { bytes: REQUEST_BYTES_MAX + 1 }));
    body.truncate(REQUEST_BYTES_MAX - 2);
    body.extend_from_slice(b"\"}");
    assert_eq!(decode(&body).1, Ok(Request::Health));
}
