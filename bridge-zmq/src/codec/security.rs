//! How the two ends of a connection prove who they are, before the first message.

use std::fmt;
use std::sync::Arc;

use super::curve::{CurveClient, CurveServer};
use super::plain::{Login, Users};

/// What a listener asks of whoever connects. Clones share the secrets.
#[derive(Debug, Clone, Default)]
pub enum ServerSecurity {
    /// Nothing: whoever reaches the port is served.
    #[default]
    Null,
    /// A user name and a password, readable by everybody on the way.
    Plain(Arc<Users>),
    /// A listed key; nobody on the way reads or changes a message.
    Curve(Arc<CurveServer>),
}

/// What a connector tells whom it connects to. Clones share the secrets.
#[derive(Debug, Clone, Default)]
pub enum ClientSecurity {
    /// Nothing.
    #[default]
    Null,
    /// A user name and a password, readable by everybody on the way.
    Plain(Arc<Login>),
    /// A key, to the owner of a known one; nobody on the way reads or changes a message.
    Curve(Arc<CurveClient>),
}

/// The name of a security mechanism, as greetings carry it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// No proof, no secrecy.
    #[default]
    Null,
    /// A password, no secrecy.
    Plain,
    /// Keys, and secrecy.
    Curve,
}

impl ServerSecurity {
    /// The mechanism it asks for.
    #[must_use]
    pub const fn mechanism(&self) -> Mechanism {
        match self {
            Self::Null => Mechanism::Null,
            Self::Plain(_) => Mechanism::Plain,
            Self::Curve(_) => Mechanism::Curve,
        }
    }
}

impl ClientSecurity {
    /// The mechanism it speaks.
    #[must_use]
    pub const fn mechanism(&self) -> Mechanism {
        match self {
            Self::Null => Mechanism::Null,
            Self::Plain(_) => Mechanism::Plain,
            Self::Curve(_) => Mechanism::Curve,
        }
    }
}

impl Mechanism {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Plain => "PLAIN",
            Self::Curve => "CURVE",
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
