//! What listens where, for the greeting, for `--json` and for the page at `/`.

use myelin_bridge_zmq::front::{Endpoint, Listener};
use serde::Serialize;

use crate::config::local_name;

/// One thing that a user can connect to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Listen {
    /// `bus`, `discovery`, `hub`, `http` or `route`.
    pub(crate) what: &'static str,
    /// Where, as an URL.
    pub(crate) url: String,
    /// Who connects there.
    pub(crate) who: String,
}

/// Everything that is bound, in the order of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Listens(pub(crate) Vec<Listen>);

impl Listens {
    pub(super) fn add(&mut self, what: &'static str, url: String, who: impl Into<String>) {
        self.0.push(Listen { what, url, who: who.into() });
    }

    /// The addresses of one kind.
    pub(crate) fn of(&self, what: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |listen| listen.what == what).map(|listen| listen.url.as_str())
    }
}

/// Where a listener can be reached: the port is the real one also when any free port was asked for.
pub(super) fn reached_at(asked: &Endpoint, listener: &Listener) -> String {
    match local_name(asked) {
        Some(_) => asked.to_string(),
        None => Endpoint::from(listener.local_addr()).to_string(),
    }
}
