//! Answers in both dialects, as the agents' own registries print them.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::agent::{Agent, Card};
use super::attach::Attached;
use super::dialect::Dialect;
use super::json::{ObjectWriter, Text};

/// A registration was taken.
pub fn registered(dialect: Dialect) -> String {
    object(|answer| match dialect {
        Dialect::Action => answer.str("status", "success"),
        Dialect::Command => answer.str("status", "SUCCESS"),
    })
}

/// Something went wrong; callers retry unless the text says `not found` or `not registered`.
pub fn failed(dialect: Dialect, text: &Text) -> String {
    object(|answer| match dialect {
        Dialect::Action => answer.str("status", "error").text("error", text),
        Dialect::Command => answer.str("status", "ERROR").text("message", text),
    })
}

/// Nobody registered under that name.
pub fn not_found(dialect: Dialect, name: &Text) -> String {
    failed(dialect, &name.prefixed("Agent ").suffixed(" not found"))
}

/// An agent that was seen to accept connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Our ports for it.
    pub ports: Attached,
    /// What it says of itself.
    pub card: Card,
    /// When it last did.
    pub last_registered: SystemTime,
}

impl Found {
    /// An agent of this machine.
    #[must_use]
    pub fn of(agent: &Agent, ports: Attached) -> Self {
        Self { ports, card: agent.card.clone(), last_registered: agent.last_registered }
    }
}

/// Where a caller reaches an agent: our own address and port for it.
///
/// The host is printed as an address, never as a name: clients inside containers rewrite `localhost`.
pub fn found(dialect: Dialect, host: IpAddr, found: &Found) -> String {
    let Found { ports, card, last_registered } = found;
    let (host, port) = (host.to_string(), u64::from(ports.service_port));
    object(|answer| match dialect {
        Dialect::Action => answer
            .str("host", &host)
            .int("port", port)
            .int_or_null("health_check_port", ports.health_port.map(u64::from))
            .rendered("agent_type", &card.agent_type)
            .rendered("capabilities", &card.capabilities)
            .rendered("metadata", &card.metadata)
            .str("last_registered", &iso_utc(*last_registered))
            .str("status", "success"),
        Dialect::Command => answer.str("status", "SUCCESS").object("payload", |payload| payload.str("ip", &host).int("port", port)),
    })
}

/// The names of all agents.
pub fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    object(|answer| answer.str("status", "success").list("agents", |list| names.for_each(|name| list.str(name))))
}

/// How discovery itself is, in the form of the agents' own health documents.
#[derive(Clone, Copy, Debug)]
pub struct Health {
    /// The wall clock.
    pub now: SystemTime,
    /// Since when this process answers.
    pub uptime: Duration,
    /// Agents that are registered.
    pub agents: usize,
    /// Agents that have our ports.
    pub attached: usize,
    /// Whether the last write of the registry to disk succeeded.
    pub persisted: bool,
}

/// Prints a health document.
pub fn health(health: &Health) -> String {
    let state = if health.persisted { "healthy" } else { "degraded" };
    let timestamp = health.now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    object(|answer| {
        answer
            .str("status", "success")
            .bool("ready", true)
            .bool("initialized", true)
            .str("message", "registry is answering")
            .float("timestamp", timestamp)
            .float("uptime", health.uptime.as_secs_f64())
            .object("health_checks", |checks| checks.bool("registry", true).bool("persisted", health.persisted))
            .object("health_details", |details| details.int("agents", health.agents as u64).int("attached", health.attached as u64))
            .str("health_status", state)
    })
}

fn object(fill: impl FnOnce(ObjectWriter<'_>) -> ObjectWriter<'_>) -> String {
    let mut out = String::new();
    fill(ObjectWriter::start(&mut out)).end();
    out
}

/// A time as Python's `datetime.isoformat()` prints it in UTC, to the microsecond.
fn iso_utc(time: SystemTime) -> String {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since_epoch.as_secs() / 86_400, since_epoch.as_secs() % 86_400);
    let (year, month, day) = civil_date(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}", since_epoch.subsec_micros())
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar.
fn civil_date(days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    // 400 years always have the same number of days, which keeps the loops below short for any clock.
    let (mut year, mut days) = (1970 + days / 146_097 * 400, days % 146_097);
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_as_isoformat_does() {
        for (micros, printed) in [
            (0, "1970-01-01T00:00:00.000000"),
            (951_782_400_000_001, "2000-02-29T00:00:00.000001"),
            (1_709_251_199_999_999, "2024-02-29T23:59:59.999999"),
            (1_735_689_599_000_000, "2024-12-31T23:59:59.000000"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000"),
        ] {
            assert_eq!(iso_utc(SystemTime::UNIX_EPOCH + Duration::from_micros(micros)), printed);
        }
    }
}
