//! What sidecars tell each other, and its bytes: JSON, described in `docs/fleet.md`.
//!
//! Whatever arrives is either read or refused; nothing is allocated from a number in it, and no more than [`MESSAGE_BYTES_MAX`] bytes are looked at.

use std::time::{Duration, SystemTime};

use thiserror::Error;

use super::super::agent::{AgentName, Card};
use super::super::json::{self, ArrayWriter, Json, ObjectWriter};

/// Largest message: 64 KiB, far below what any server carries, and read in well under a millisecond.
pub(super) const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Bytes of names in one message; one more name and the head fit as well.
const NAMES_BYTES_MAX: usize = MESSAGE_BYTES_MAX - 4 * 1024;

/// The version of this format.
const VERSION: u64 = 1;

/// How long a host name may be.
const HOST_BYTES_MAX: usize = 255;

/// Between these, whatever a sidecar says of its beats: a shorter one would forget it for nothing, a longer one never.
const BEAT_MIN: Duration = Duration::from_millis(50);
const BEAT_MAX: Duration = Duration::from_secs(60);

/// A host name as it is told: what is too long is cut.
pub(super) fn host(name: &str) -> Box<str> {
    let mut end = name.len().min(HOST_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].into()
}

/// A sidecar, from its start to its end. Random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NodeId(pub(super) u64);

impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The sockets of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sockets {
    /// The service socket.
    Service,
    /// A health socket too.
    ServiceAndHealth,
}

impl Sockets {
    pub(super) fn new(has_health: bool) -> Self {
        if has_health { Self::ServiceAndHealth } else { Self::Service }
    }

    pub(super) fn has_health(self) -> bool {
        self == Self::ServiceAndHealth
    }
}

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) node: NodeId,
    /// Unix milliseconds of its start: of two that call themselves the same, the higher is the one that lives.
    pub(super) incarnation: u64,
    pub(super) host: Box<str>,
    /// How often it says that it is there.
    pub(super) beat: Duration,
    /// Rises with every change of its names that is announced.
    pub(super) version: u64,
    /// Of all its names at that version.
    pub(super) digest: u64,
}

/// What is said to everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It has just come, or was away: the others answer with a beat.
    Hello,
    Beat,
    /// From the version `from` on, these names changed; those without sockets are gone.
    Change {
        from: u64,
        names: Vec<(AgentName, Option<Sockets>)>,
    },
    Bye,
}

/// A part of all names of a sidecar, ordered by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) head: Head,
    pub(super) names: Vec<(AgentName, Sockets)>,
    pub(super) is_last: bool,
}

/// What a sidecar says of one name after a look at the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Here { sockets: Sockets, card: Card, last_registered: SystemTime },
    Unreachable,
    Unknown,
}

/// Bytes that are no message of this format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a message between sidecars")]
pub(super) struct Malformed;

pub(super) fn encode_news(head: &Head, news: &News) -> String {
    object(|out| {
        let out = push_head(out, head);
        match news {
            News::Hello => out.str("kind", "hello"),
            News::Beat => out.str("kind", "beat"),
            News::Change { from, names } => out.str("kind", "change").int("from", *from).list("names", |list| push_names(list, names)),
            News::Bye => out.str("kind", "bye"),
        }
    })
}

pub(super) fn decode_news(bytes: &[u8]) -> Result<(Head, News), Malformed> {
    let message = read(bytes)?;
    let head = head(&message)?;
    let news = match text(&message, "kind")?.as_str() {
        "hello" => News::Hello,
        "beat" => News::Beat,
        "change" => News::Change { from: number(&message, "from")?, names: names(&message)? },
        "bye" => News::Bye,
        _ => return Err(Malformed),
    };
    Ok((head, news))
}

/// As many of `names` as fit, and whether those were all.
pub(super) fn fitting<'a, T: Copy>(names: impl Iterator<Item = (&'a AgentName, T)>) -> (Vec<(AgentName, T)>, bool) {
    let (mut fit, mut bytes) = (Vec::new(), 0);
    for (name, what) in names {
        // What stands around a name, and six bytes for each of its own at the worst.
        bytes += 48 + json::Text::new(name.as_str()).escaped().len();
        if bytes > NAMES_BYTES_MAX && !fit.is_empty() {
            return (fit, false);
        }
        fit.push((name.clone(), what));
    }
    (fit, true)
}

pub(super) fn encode_page(page: &Page) -> String {
    let names: Vec<_> = page.names.iter().map(|(name, sockets)| (name.clone(), Some(*sockets))).collect();
    object(|out| push_head(out, &page.head).bool("last", page.is_last).list("names", |list| push_names(list, &names)))
}

pub(super) fn decode_page(bytes: &[u8]) -> Result<Page, Malformed> {
    let message = read(bytes)?;
    let is_last = matches!(message.get("last"), Some(Json::Bool(true)));
    let names = names(&message)?.into_iter().map(|(name, sockets)| Some((name, sockets?))).collect::<Option<Vec<_>>>();
    Ok(Page { head: head(&message)?, names: names.ok_or(Malformed)?, is_last })
}

/// A request that names an agent, or the last name of the page before.
pub(super) fn encode_name(name: Option<&AgentName>) -> String {
    object(|out| match name {
        Some(name) => out.int("v", VERSION).str("name", name.as_str()),
        None => out.int("v", VERSION),
    })
}

pub(super) fn decode_name(bytes: &[u8]) -> Result<Option<AgentName>, Malformed> {
    let message = read(bytes)?;
    message.get("name").map(name).transpose()
}

pub(super) fn encode_found(found: &Found) -> String {
    object(|out| {
        let out = out.int("v", VERSION);
        match found {
            Found::Here { sockets, card, last_registered } => {
                let micros = last_registered.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
                out.str("state", "here")
                    .bool("health", sockets.has_health())
                    .int("last_registered_us", u64::try_from(micros).unwrap_or(u64::MAX))
                    .rendered("agent_type", &card.agent_type)
                    .rendered("capabilities", &card.capabilities)
                    .rendered("dependencies", &card.dependencies)
                    .rendered("metadata", &card.metadata)
            }
            Found::Unreachable => out.str("state", "unreachable"),
            Found::Unknown => out.str("state", "unknown"),
        }
    })
}

pub(super) fn decode_found(bytes: &[u8]) -> Result<Found, Malformed> {
    let message = read(bytes)?;
    match text(&message, "state")?.as_str() {
        "here" => Ok(Found::Here {
            sockets: Sockets::new(matches!(message.get("health"), Some(Json::Bool(true)))),
            card: Card::collect(|key| message.get(key)),
            last_registered: SystemTime::UNIX_EPOCH
                .checked_add(Duration::from_micros(number(&message, "last_registered_us")?))
                .ok_or(Malformed)?,
        }),
        "unreachable" => Ok(Found::Unreachable),
        "unknown" => Ok(Found::Unknown),
        _ => Err(Malformed),
    }
}

fn object(fill: impl FnOnce(ObjectWriter<'_>) -> ObjectWriter<'_>) -> String {
    let mut out = String::new();
    fill(ObjectWriter::start(&mut out)).end();
    out
}

fn push_head<'a>(out: ObjectWriter<'a>, head: &Head) -> ObjectWriter<'a> {
    out.int("v", VERSION)
        .str("node", &head.node.to_string())
        .int("incarnation", head.incarnation)
        .str("host", &head.host)
        .int("beat_ms", u64::try_from(head.beat.as_millis()).unwrap_or(u64::MAX))
        .int("version", head.version)
        .str("digest", &format!("{:016x}", head.digest))
}

fn push_names(list: &mut ArrayWriter<'_>, names: &[(AgentName, Option<Sockets>)]) {
    for (name, sockets) in names {
        list.object(|out| {
            let out = out.str("name", name.as_str());
            match sockets {
                Some(sockets) => out.bool("health", sockets.has_health()),
                None => out.bool("gone", true),
            }
        });
    }
}

fn read(bytes: &[u8]) -> Result<Json, Malformed> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(Malformed);
    }
    let message = json::read(bytes).map_err(|_| Malformed)?;
    // A later version may mean something else by the same fields.
    if number(&message, "v")? == VERSION { Ok(message) } else { Err(Malformed) }
}

fn head(message: &Json) -> Result<Head, Malformed> {
    let host = text(message, "host")?;
    if host.len() > HOST_BYTES_MAX {
        return Err(Malformed);
    }
    Ok(Head {
        node: NodeId(hex(message, "node")?),
        incarnation: number(message, "incarnation")?,
        host: host.into(),
        beat: Duration::from_millis(number(message, "beat_ms")?).clamp(BEAT_MIN, BEAT_MAX),
        version: number(message, "version")?,
        digest: hex(message, "digest")?,
    })
}

fn names(message: &Json) -> Result<Vec<(AgentName, Option<Sockets>)>, Malformed> {
    let Some(Json::List(names)) = message.get("names") else { return Err(Malformed) };
    let entry = |entry: &Json| {
        let is_true = |key: &str| matches!(entry.get(key), Some(Json::Bool(true)));
        let name = name(entry.get("name").ok_or(Malformed)?)?;
        Ok((name, (!is_true("gone")).then(|| Sockets::new(is_true("health")))))
    };
    names.iter().map(entry).collect()
}

fn name(value: &Json) -> Result<AgentName, Malformed> {
    AgentName::from_text(value.as_text().ok_or(Malformed)?).map_err(|_| Malformed)
}

fn text(message: &Json, key: &str) -> Result<String, Malformed> {
    message.get(key).and_then(Json::as_text).and_then(json::Text::decode).ok_or(Malformed)
}

fn number(message: &Json, key: &str) -> Result<u64, Malformed> {
    message.get(key).and_then(Json::as_u64).ok_or(Malformed)
}

fn hex(message: &Json, key: &str) -> Result<u64, Malformed> {
    let digits = text(message, key)?;
    let is_plain = digits.len() == 16 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if is_plain { u64::from_str_radix(&digits, 16).map_err(|_| Malformed) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests;
