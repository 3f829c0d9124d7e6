//! One agent as one line of the registry file.
//!
//! The line is itself JSON: `{"crc32": "xxxxxxxx", "agent": {...}}`. The checksum covers the bytes of the agent's object,
//! so that damage costs the line it hits and never turns one port into another.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use super::agent::{Agent, AgentName, Card, Replica};
use super::attach::Attached;
use super::json::{self, Json, ObjectWriter};

const BEFORE_CRC: &str = "{\"crc32\": \"";
const CRC_DIGITS: usize = 8;
const AFTER_OBJECT: &str = "}";

/// Appends an agent's line, line feed included.
pub(super) fn push(out: &mut String, agent: &Agent) {
    let mut object = String::new();
    let micros = agent.last_registered.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
    ObjectWriter::start(&mut object)
        .str("name", agent.name.as_str())
        .list("replicas", |list| {
            for replica in &agent.replicas {
                list.object(|object| {
                    object
                        .str("endpoint", &replica.endpoint.to_string())
                        .int_or_null("health_port", replica.health.map(|health| u64::from(health.port())))
                        .int("order", replica.order)
                });
            }
        })
        .int_or_null("our_service_port", agent.ports.map(|ports| u64::from(ports.service_port)))
        .int_or_null("our_health_port", agent.ports.and_then(|ports| ports.health_port).map(u64::from))
        .int("last_registered_us", u64::try_from(micros).unwrap_or(u64::MAX))
        .rendered("agent_type", &agent.card.agent_type)
        .rendered("capabilities", &agent.card.capabilities)
        .rendered("dependencies", &agent.card.dependencies)
        .rendered("metadata", &agent.card.metadata)
        .end();
    seal(out, "agent", &object);
}

/// Appends a line with an object and its checksum, line feed included.
pub(super) fn seal(out: &mut String, key: &str, object: &str) {
    let crc = crc32(object.as_bytes());
    out.push_str(&format!("{BEFORE_CRC}{crc:08x}\", \"{key}\": {object}{AFTER_OBJECT}\n"));
}

/// The object in a line without its line feed. `None` when it is damaged in any way.
pub(super) fn unseal(line: &str, key: &str) -> Option<Json> {
    let rest = line.strip_prefix(BEFORE_CRC)?;
    let (crc, rest) = rest.split_at_checked(CRC_DIGITS)?;
    let object = rest.strip_prefix("\", \"")?.strip_prefix(key)?.strip_prefix("\": ")?.strip_suffix(AFTER_OBJECT)?;
    if crc != format!("{:08x}", crc32(object.as_bytes())) {
        return None;
    }
    json::read_str(object).ok()
}

/// Reads a line without its line feed. `None` when it is damaged in any way.
pub(super) fn parse(line: &str) -> Option<Agent> {
    agent(&unseal(line, "agent")?)
}

fn agent(object: &Json) -> Option<Agent> {
    let port = |key: &str| object.get(key).and_then(Json::as_u64).and_then(|port| u16::try_from(port).ok());
    let micros = object.get("last_registered_us").and_then(Json::as_u64)?;
    let Json::List(replicas) = object.get("replicas")? else { return None };
    let replicas: Vec<Replica> = replicas.iter().map(replica).collect::<Option<_>>()?;
    Some(Agent {
        name: AgentName::from_text(object.get("name")?.as_text()?).ok()?,
        card: Card::collect(|key| object.get(key)),
        last_registered: SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(micros))?,
        replicas: (!replicas.is_empty()).then_some(replicas)?,
        ports: port("our_service_port").map(|service_port| Attached { service_port, health_port: port("our_health_port") }),
        attached: false,
    })
}

fn replica(object: &Json) -> Option<Replica> {
    let endpoint: SocketAddr = object.get("endpoint")?.as_text()?.escaped().parse().ok()?;
    let health = object.get("health_port").and_then(Json::as_u64).map(u16::try_from);
    Some(Replica {
        endpoint,
        health: health.transpose().ok()?.map(|port| SocketAddr::new(endpoint.ip(), port)),
        order: object.get("order")?.as_u64()?,
    })
}

/// CRC-32 as zlib and Ethernet compute it, bit by bit: a few hundred bytes per registration need no table.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_is_the_usual_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
