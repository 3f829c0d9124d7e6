//! The two request dialects of the agents' registries, from bytes to a typed request.
//!
//! - *action*: `{"action": "register_agent" | "get_agent_endpoint" | "list_agents" | "ping" | "health" | "health_check"}`;
//!   failures carry `error`.
//! - *command*: `{"command": "REGISTER" | "DISCOVER", "payload": {...}}`; failures carry `message`.
//!
//! The texts of [`Malformed`] are what agents' own servers answer, byte for byte. They are part of the protocol.

use thiserror::Error;

use super::agent::{AgentName, Card, NameError, Registration};
use super::json::{self, Json, ReadError, Text};

/// Largest request that is read: 64 KiB, a hundred times the usual registration. It bounds the time spent on one request
/// to well below a millisecond.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// In which dialect a request came, and its answer must go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `action`, and whatever cannot be told.
    Action,
    /// `command`
    Command,
}

/// What a caller wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `register_agent`, `REGISTER`
    Register(Box<Registration>),
    /// `get_agent_endpoint`, `DISCOVER`
    Lookup {
        /// The name asked for, as Python would print it.
        name: Text,
    },
    /// `list_agents`
    List,
    /// `ping`, `health`, `health_check`
    Health,
}

/// Why a request is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// More than [`REQUEST_BYTES_MAX`].
    #[error("request of {bytes} bytes is over {REQUEST_BYTES_MAX}")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// Not UTF-8.
    #[error("Invalid UTF-8 request")]
    Utf8,
    /// Not JSON, or outside the bounds of [`json`].
    #[error("Invalid JSON request")]
    Json,
    /// JSON, but not an object.
    #[error("'{python_type}' object has no attribute 'get'")]
    NotAnObject {
        /// What Python calls it.
        python_type: &'static str,
    },
    /// An action that no registry has.
    #[error("Unknown action: {action}")]
    UnknownAction {
        /// The action, as Python would print it.
        action: Text,
    },
    /// A command that no registry has.
    #[error("Unknown command: {command}")]
    UnknownCommand {
        /// The command, as Python would print it.
        command: Text,
    },
    /// A registration without this field, or with a value that cannot be meant.
    #[error("missing or invalid field '{field}'")]
    Field {
        /// Its name.
        field: &'static str,
    },
    /// A registration under an impossible name.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl Malformed {
    /// The text for the caller.
    pub fn text(&self) -> Text {
        match self {
            // These carry text in its printed form, which must not be escaped again.
            Self::UnknownAction { action } => action.prefixed("Unknown action: "),
            Self::UnknownCommand { command } => command.prefixed("Unknown command: "),
            Self::TooLarge { .. } | Self::Utf8 | Self::Json | Self::NotAnObject { .. } | Self::Field { .. } | Self::Name(_) => {
                Text::new(&self.to_string())
            }
        }
    }
}

/// Reads a request. The dialect is known even when the request is malformed, so that the answer suits the caller.
///
/// Never panics; takes time linear in the length of `body`, of which it reads at most [`REQUEST_BYTES_MAX`].
pub fn decode(body: &[u8]) -> (Dialect, Result<Request, Malformed>) {
    let request = match read(body) {
        Ok(request) => request,
        Err(malformed) => return (Dialect::Action, Err(malformed)),
    };
    match (request.get("action"), request.get("command")) {
        (None, Some(command)) => (Dialect::Command, decode_command(command, &request)),
        (action, _) => (Dialect::Action, decode_action(action, &request)),
    }
}

fn read(body: &[u8]) -> Result<Json, Malformed> {
    if body.len() > REQUEST_BYTES_MAX {
        return Err(Malformed::TooLarge { bytes: body.len() });
    }
    let request = json::read(body).map_err(|error| match error {
        ReadError::Utf8 { .. } => Malformed::Utf8,
        ReadError::Syntax { .. } | ReadError::TooDeep | ReadError::IntegerTooLong => Malformed::Json,
    })?;
    match request {
        Json::Object(_) => Ok(request),
        other => Err(Malformed::NotAnObject { python_type: other.python_type() }),
    }
}

fn decode_action(action: Option<&Json>, request: &Json) -> Result<Request, Malformed> {
    let action = python_str(action);
    match action.escaped() {
        "register_agent" => registration(request, request.get("registration_data")),
        "get_agent_endpoint" => Ok(Request::Lookup { name: python_str(request.get("agent_name")) }),
        "list_agents" => Ok(Request::List),
        "ping" | "health" | "health_check" => Ok(Request::Health),
        _ => Err(Malformed::UnknownAction { action }),
    }
}

fn decode_command(command: &Json, request: &Json) -> Result<Request, Malformed> {
    let command = command.python_str();
    let payload = request.get("payload");
    match command.escaped() {
        "REGISTER" => registration(request, payload),
        // A `machine` is not looked at: a name means the same agent on whichever machine it runs.
        "DISCOVER" => Ok(Request::Lookup { name: python_str(payload.and_then(|payload| payload.get("name"))) }),
        _ => Err(Malformed::UnknownCommand { command }),
    }
}

/// Reads a registration whose fields stand in `inner`, or beside it. Only the port in `inner` is known to be true, so
/// `inner` always comes first.
fn registration(outer: &Json, inner: Option<&Json>) -> Result<Request, Malformed> {
    let field = |key: &str| inner.and_then(|inner| inner.get(key)).or_else(|| outer.get(key));
    let text = |keys: &[&str]| keys.iter().find_map(|key| field(key).and_then(Json::as_text));
    let name = text(&["agent_name", "name", "agent_id"]).ok_or(Malformed::Field { field: "agent_name" })?;
    let host = text(&["host", "ip"]).map(|host| host.decode().ok_or(Malformed::Field { field: "host" }));
    Ok(Request::Register(Box::new(Registration {
        name: AgentName::from_text(name)?,
        host: host.transpose()?,
        port: field("port").and_then(port).ok_or(Malformed::Field { field: "port" })?,
        // An agent whose health port makes no sense still serves.
        health_port: ["health_check_port", "health_port"].into_iter().find_map(field).and_then(port),
        card: Card::collect(field),
    })))
}

/// A port, also when it comes as a string: some agents pass on what they read from the environment.
fn port(value: &Json) -> Option<u16> {
    let number = match value.as_text() {
        Some(text) => text.escaped().parse().ok(),
        None => value.as_u64().and_then(|number| u16::try_from(number).ok()),
    };
    number.filter(|port| *port != 0)
}

fn python_str(value: Option<&Json>) -> Text {
    value.unwrap_or(&Json::Null).python_str()
}
