//! What is wrong with a fleet's startup file. Each problem names the line, the agents and what to do.

use serde_json::{Value as Json, json};

/// One problem, to be mended in the startup file or by a flag of the import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Counted from 1.
    pub(crate) line: usize,
    /// The agents it concerns, in the order of the file.
    pub(crate) agents: Vec<String>,
    pub(crate) fault: Fault,
}

/// The fact behind a [`Problem`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{} is defined {} times (lines {}): requests for one would reach the other", quoted(name), lines.len(), numbers(lines))]
    DuplicateName { name: String, lines: Vec<usize> },
    #[error("{at} is used by {}: only one of them can listen there", list(users))]
    DuplicatePort { at: String, users: Vec<String> },
    #[error("{} depends on {}, which is no agent of this file{}", quoted(agent), quoted(name), did_you_mean(suggestion))]
    UnknownDependency { agent: String, name: String, suggestion: Option<String> },
    #[error("{} has no port", quoted(agent))]
    MissingPort { agent: String },
    #[error("an agent of this list has no name")]
    MissingName,
    #[error("{} is not set and is needed by {}: set it, or pass --set {name}=NUMBER", name, list(users))]
    UnsetVariable { name: String, users: Vec<String> },
    #[error("{user} {text:?} is not a port, expected a number or a sum such as \"${{PORT_OFFSET}}+7200\"", user = quoted(user))]
    NotANumber { user: String, text: String },
    #[error("{} is {number}, ports are 1 to 65535", quoted(user))]
    NotAPort { user: String, number: i64 },
    #[error("{} has the host {text:?}, expected a name or an address", quoted(agent))]
    BadHost { agent: String, text: String },
    #[error("{} cannot be the name of a route: {reason}", quoted(name))]
    BadName { name: String, reason: String },
    #[error("{} uses port {port}, which is our own {setting}: change one of the two", quoted(user))]
    OwnListener { user: String, port: u16, setting: String },
    #[error("{} would get our port {port}, which is {taken_by}: choose another --offset", quoted(user))]
    PortTaken { user: String, port: u16, taken_by: String },
    #[error("{} would get our port {number}, which is none: choose another --offset", quoted(user))]
    OffsetTooFar { user: String, number: i64 },
}

impl Fault {
    /// A name for scripts.
    pub(crate) const fn id(&self) -> &'static str {
        match self {
            Self::DuplicateName { .. } => "duplicate-name",
            Self::DuplicatePort { .. } => "duplicate-port",
            Self::UnknownDependency { .. } => "unknown-dependency",
            Self::MissingPort { .. } => "missing-port",
            Self::MissingName => "missing-name",
            Self::UnsetVariable { .. } => "unset-variable",
            Self::NotANumber { .. } => "not-a-number",
            Self::NotAPort { .. } => "not-a-port",
            Self::BadHost { .. } => "bad-host",
            Self::BadName { .. } => "bad-name",
            Self::OwnListener { .. } => "own-listener",
            Self::PortTaken { .. } => "port-taken",
            Self::OffsetTooFar { .. } => "offset-too-far",
        }
    }
}

impl Problem {
    pub(crate) fn to_json(&self) -> Json {
        json!({ "id": self.fault.id(), "line": self.line, "agents": self.agents, "what": self.fault.to_string() })
    }
}

/// Most characters of a foreign text in a problem.
const TEXT_MAX: usize = 64;

/// The beginning of a text.
pub(super) fn short(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}

/// Most names in one line: enough to begin with.
const NAMES_SHOWN: usize = 8;

/// A plain name as it is; anything else in quotes, so that it can neither be misread nor command a terminal.
pub(super) fn quoted(name: &str) -> String {
    let is_plain = !name.is_empty() && name.chars().all(|character| character.is_alphanumeric() || "-_. ".contains(character));
    if is_plain { name.to_owned() } else { format!("{name:?}") }
}

fn list(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(NAMES_SHOWN).map(|name| quoted(name)).collect();
    let rest = names.len() - shown.len();
    let tail = if rest == 0 { String::new() } else { format!(" and {rest} more") };
    format!("{}{tail}", shown.join(", "))
}

fn numbers(lines: &[usize]) -> String {
    let shown: Vec<String> = lines.iter().take(NAMES_SHOWN).map(ToString::to_string).collect();
    let tail = if lines.len() > shown.len() { ", .." } else { "" };
    format!("{}{tail}", shown.join(", "))
}

fn did_you_mean(suggestion: &Option<String>) -> String {
    suggestion.as_ref().map_or_else(String::new, |name| format!(", did you mean {}?", quoted(name)))
}
