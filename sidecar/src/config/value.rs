//! The kinds of values a key can hold, and how a text or a TOML value becomes one.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use myelin_bridge_zmq::discovery::address::AllowedHost;

use super::endpoint::{self, Endpoint};
use super::error::Problem;
use super::health;
use super::suggest::nearest;
use super::text::{parse_duration, parse_size, show_duration, show_size};

/// What a key accepts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Bool,
    /// `ip:port` of a plain TCP listener.
    Address,
    /// A ZeroMQ endpoint to bind.
    Bind,
    /// A ZeroMQ endpoint to connect to; a name is resolved at each attempt.
    Connect,
    Path,
    /// The path of a file; the empty text means "not set".
    File,
    Duration {
        min: Duration,
        max: Duration,
    },
    Size {
        min: u64,
        max: u64,
    },
    Count {
        min: u64,
        max: u64,
    },
    Choice(&'static [&'static str]),
    /// A host name or address; the empty text means "not set".
    Host,
    /// A list of host names, addresses or networks.
    Hosts,
    /// `first-last`, both included.
    Ports,
    /// A list of URLs of NATS servers.
    Servers,
    /// A list of URLs of Redis servers.
    RedisServers,
    /// A name on one line; the empty text means "not set".
    Name,
    /// A list of requests that are polls.
    Polls,
    /// A list of names of JSON members.
    Members,
    /// A list of names of JSON members, each with a number.
    Tolerances,
}

/// A name that the system would choose, `ipc://*`, is no use: nobody could know it.
const IPC_EXPECTED: &str = "a Unix domain socket by the path of its file, such as \"ipc:///run/agent.sock\" (at most 106 bytes), or by an abstract name, such as \"ipc://@agent\"";

/// A checked value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Bool(bool),
    Address(SocketAddr),
    Endpoint(Endpoint),
    Path(PathBuf),
    File(Option<PathBuf>),
    Duration(Duration),
    Size(u64),
    Count(u64),
    Choice(&'static str),
    Host(Option<String>),
    Hosts(Vec<String>),
    Ports {
        first: u16,
        last: u16,
    },
    Servers(Vec<String>),
    Name(Option<String>),
    /// Polls, members or tolerances.
    Texts(Vec<String>),
}

/// A value before it is checked: what TOML, an environment variable or a flag can hold.
#[derive(Debug, Clone)]
pub(crate) enum Raw {
    Bool(bool),
    Integer(i64),
    Text(String),
    Texts(Vec<String>),
    /// Something else, by its TOML name.
    Other(&'static str),
}

impl Kind {
    /// In words, for errors and help.
    pub(crate) fn expected(self) -> String {
        match self {
            Self::Bool => "true or false".into(),
            Self::Address => "an address such as \"127.0.0.1:4222\"".into(),
            Self::Bind => {
                "an endpoint with an address and a port, such as \"tcp://127.0.0.1:5559\" or \"tcp://*:5559\", or with a path, such as \"ipc:///run/hub.sock\"".into()
            }
            Self::Connect => {
                "an endpoint with a host and a port, such as \"tcp://127.0.0.1:5800\", or with a path, such as \"ipc:///run/agent.sock\"".into()
            }
            Self::Path => "a path".into(),
            Self::File => "the path of a file".into(),
            Self::Duration { .. } => "a duration with a unit, such as \"500ms\", \"5s\" or \"2m\"".into(),
            Self::Size { .. } => "a size, such as \"8MiB\" or \"64KiB\"".into(),
            Self::Count { .. } => "a whole number".into(),
            Self::Choice(names) => format!("one of {}", names.join(", ")),
            Self::Host => "a host name or address without a port".into(),
            Self::Hosts => "a list of host names, addresses or networks, such as [\"10.0.0.7\", \"10.1.0.0/16\"]".into(),
            Self::Ports => "a port range such as \"17000-21999\"".into(),
            Self::Servers => "a list of servers, such as [\"nats://10.0.0.7:4222\", \"tls://nats.example:4222\"]; who we are stands in keys of its own".into(),
            Self::RedisServers => "a list of servers, such as [\"redis://10.0.0.7:6379\"] or [\"rediss://redis.example:6379\"]; who we are stands in keys of its own".into(),
            Self::Name => "a name on one line".into(),
            Self::Polls => health::POLLS_EXPECTED.into(),
            Self::Members => health::MEMBERS_EXPECTED.into(),
            Self::Tolerances => health::TOLERANCES_EXPECTED.into(),
        }
    }

    /// Checks a raw value of any source. Environment variables and flags arrive as text, and so may any TOML value.
    pub(crate) fn check(self, raw: &Raw) -> Result<Value, Problem> {
        match (self, raw) {
            (Self::Bool, Raw::Bool(on)) => Ok(Value::Bool(*on)),
            (Self::Size { .. } | Self::Count { .. }, Raw::Integer(number)) => self.number(*number),
            (Self::Duration { .. }, Raw::Integer(number)) => Err(Problem::WrongType {
                expected: self.expected(),
                found: format!("{number} without a unit (write \"{number}s\" for seconds)"),
            }),
            (Self::Hosts, Raw::Texts(hosts)) => self.hosts(hosts.iter().map(String::as_str)),
            (Self::Hosts, Raw::Text(text)) => self.hosts(text.split(',').map(str::trim).filter(|host| !host.is_empty())),
            (Self::Servers | Self::RedisServers, Raw::Texts(servers)) => self.servers(servers.iter().map(String::as_str)),
            (Self::Servers | Self::RedisServers, Raw::Text(text)) => {
                self.servers(text.split(',').map(str::trim).filter(|server| !server.is_empty()))
            }
            (Self::Polls | Self::Members | Self::Tolerances, Raw::Texts(texts)) => self.texts(texts.iter().map(String::as_str)),
            (Self::Polls | Self::Members | Self::Tolerances, Raw::Text(text)) => {
                self.texts(text.split(',').map(str::trim).filter(|text| !text.is_empty()))
            }
            (_, Raw::Text(text)) => self.text(text.trim()),
            (_, other) => Err(Problem::WrongType { expected: self.expected(), found: other.describe() }),
        }
    }

    fn text(self, text: &str) -> Result<Value, Problem> {
        let value = match self {
            Self::Bool => match text.to_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Some(Value::Bool(true)),
                "false" | "0" | "no" | "off" => Some(Value::Bool(false)),
                _ => None,
            },
            Self::Address => {
                endpoint::parse(text.strip_prefix("nats://").unwrap_or(text)).as_ref().and_then(endpoint::bind_addr).map(Value::Address)
            }
            Self::Bind | Self::Connect if text.starts_with("ipc://") => match endpoint::parse(text) {
                Some(endpoint) => Some(Value::Endpoint(endpoint)),
                None => return Err(Problem::BadValue { found: text.to_owned(), expected: IPC_EXPECTED.to_owned(), suggestion: None }),
            },
            Self::Bind => endpoint::parse(text).filter(endpoint::is_bindable).map(Value::Endpoint),
            Self::Connect => endpoint::parse(text).filter(endpoint::is_reachable).map(Value::Endpoint),
            Self::File => Some(Value::File((!text.is_empty()).then(|| text.into()))),
            Self::Path => (!text.is_empty()).then(|| Value::Path(text.into())),
            Self::Duration { min, max } => match parse_duration(text) {
                Some(value) if value < min || value > max => {
                    return Err(out_of_range(show_duration(value), show_duration(min), show_duration(max)));
                }
                other => other.map(Value::Duration),
            },
            Self::Size { .. } => match parse_size(text) {
                Some(bytes) => return self.number(i64::try_from(bytes).unwrap_or(i64::MAX)),
                None => None,
            },
            Self::Count { .. } => match text.replace('_', "").parse() {
                Ok(number) => return self.number(number),
                Err(_) => None,
            },
            Self::Choice(names) => names.iter().find(|name| **name == text).map(|name| Value::Choice(name)),
            Self::Host => (text.is_empty() || is_host(text)).then(|| Value::Host((!text.is_empty()).then(|| text.to_owned()))),
            Self::Ports => return self.ports(text),
            Self::Name => (!text.contains(char::is_control)).then(|| Value::Name((!text.is_empty()).then(|| text.to_owned()))),
            Self::Hosts | Self::Servers | Self::RedisServers | Self::Polls | Self::Members | Self::Tolerances => None,
        };
        value.ok_or_else(|| self.bad(text))
    }

    fn number(self, number: i64) -> Result<Value, Problem> {
        let (min, max, show): (u64, u64, fn(u64) -> String) = match self {
            Self::Size { min, max } => (min, max, show_size),
            Self::Count { min, max } => (min, max, |count| count.to_string()),
            _ => return Err(self.bad(&number.to_string())),
        };
        let value = u64::try_from(number).map_err(|_| out_of_range(number.to_string(), show(min), show(max)))?;
        if value < min || value > max {
            return Err(out_of_range(show(value), show(min), show(max)));
        }
        Ok(if matches!(self, Self::Size { .. }) { Value::Size(value) } else { Value::Count(value) })
    }

    fn ports(self, text: &str) -> Result<Value, Problem> {
        let (first, last) = text.split_once('-').ok_or_else(|| self.bad(text))?;
        match (first.trim().parse::<u16>(), last.trim().parse::<u16>()) {
            (Ok(first), Ok(last)) if first > last => Err(Problem::BadValue {
                found: text.to_owned(),
                expected: "a range that starts before it ends".to_owned(),
                suggestion: Some(format!("{last}-{first}")),
            }),
            (Ok(first), Ok(_)) if first < 1024 => Err(out_of_range(first.to_string(), "1024".to_owned(), "65535".to_owned())),
            (Ok(first), Ok(last)) => Ok(Value::Ports { first, last }),
            _ => Err(self.bad(text)),
        }
    }

    fn texts<'a>(self, texts: impl Iterator<Item = &'a str>) -> Result<Value, Problem> {
        let is_good = match self {
            Self::Polls => health::is_poll,
            Self::Members => health::is_member,
            _ => health::is_tolerance,
        };
        texts.map(|text| if is_good(text) { Ok(text.to_owned()) } else { Err(self.bad(text)) }).collect::<Result<_, _>>().map(Value::Texts)
    }

    fn hosts<'a>(self, hosts: impl Iterator<Item = &'a str>) -> Result<Value, Problem> {
        hosts
            .map(|host| if host.parse::<AllowedHost>().is_ok() { Ok(host.to_owned()) } else { Err(self.bad(host)) })
            .collect::<Result<_, _>>()
            .map(Value::Hosts)
    }

    fn servers<'a>(self, servers: impl Iterator<Item = &'a str>) -> Result<Value, Problem> {
        let schemes = if matches!(self, Self::RedisServers) { ["redis://", "rediss://"] } else { ["nats://", "tls://"] };
        let checked = servers.map(|server| if is_server(server, schemes) { Ok(server.to_owned()) } else { Err(self.bad(server)) });
        checked.collect::<Result<_, _>>().map(Value::Servers)
    }

    fn bad(self, found: &str) -> Problem {
        let suggestion = match self {
            Self::Choice(names) => nearest(found, names.iter().copied()).map(str::to_owned),
            Self::Duration { .. } if !found.is_empty() && found.bytes().all(|b| b.is_ascii_digit()) => Some(format!("{found}s")),
            _ => None,
        };
        Problem::BadValue { found: found.to_owned(), expected: self.expected(), suggestion }
    }
}

impl Value {
    /// As a machine reads it: switches, counts and lists as such, sizes in bytes, the rest as text.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Bool(on) => (*on).into(),
            Self::Count(number) | Self::Size(number) => (*number).into(),
            Self::Hosts(texts) | Self::Servers(texts) | Self::Texts(texts) => texts.clone().into(),
            other => other.to_string().into(),
        }
    }
}

impl Raw {
    /// In words, for errors.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Bool(on) => format!("the boolean {on}"),
            Self::Integer(number) => format!("the number {number}"),
            Self::Text(text) => format!("the text {text:?}"),
            Self::Texts(_) => "a list".to_owned(),
            Self::Other(name) => format!("a {name}"),
        }
    }
}

fn is_host(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok() || (!text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)))
}

/// One of the schemes, a host, and perhaps a port. No user, no password and no path: this text is shown.
fn is_server(text: &str, schemes: [&str; 2]) -> bool {
    let Some(authority) = schemes.into_iter().find_map(|scheme| text.strip_prefix(scheme)) else { return false };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    is_host(host.trim_start_matches('[').trim_end_matches(']')) && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn out_of_range(found: String, min: String, max: String) -> Problem {
    Problem::OutOfRange { found, min, max }
}

impl fmt::Display for Value {
    /// As it would be written in the file, without quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(on) => write!(f, "{on}"),
            Self::Address(address) => write!(f, "{address}"),
            Self::Endpoint(endpoint) => write!(f, "{endpoint}"),
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::File(path) => path.as_deref().map_or(Ok(()), |path| write!(f, "{}", path.display())),
            Self::Duration(duration) => f.write_str(&show_duration(*duration)),
            Self::Size(bytes) => f.write_str(&show_size(*bytes)),
            Self::Count(count) => write!(f, "{count}"),
            Self::Choice(name) => f.write_str(name),
            Self::Host(text) | Self::Name(text) => f.write_str(text.as_deref().unwrap_or("")),
            Self::Hosts(texts) | Self::Servers(texts) | Self::Texts(texts) => write!(f, "[{}]", texts.join(", ")),
            Self::Ports { first, last } => write!(f, "{first}-{last}"),
        }
    }
}
