//! What a client asks for in `CONNECT`.

use serde_json::Value;

use super::ProtocolError;

/// The options of a connection. The defaults hold until the first `CONNECT` and for what it leaves out; they are nats-server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::listener) struct ConnectOptions {
    /// Each operation is answered with `+OK`.
    pub(in crate::listener) verbose: bool,
    /// Subjects of publishes are checked, and refused ones reported.
    pub(in crate::listener) pedantic: bool,
    /// The client's own messages come back to its own subscriptions.
    pub(in crate::listener) echo: bool,
    /// The client reads `HMSG`.
    pub(in crate::listener) headers: bool,
    /// A request nobody is there to answer is answered with status 503.
    pub(in crate::listener) no_responders: bool,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self { verbose: true, pedantic: true, echo: true, headers: false, no_responders: false }
    }
}

impl ConnectOptions {
    /// These options, changed by the JSON of a `CONNECT`. Unknown members and members of unexpected types are read over.
    ///
    /// # Errors
    /// [`ProtocolError`] for what is no JSON object, an unknown protocol number, or `no_responders` without `headers`.
    pub(in crate::listener) fn with_json(self, json: &[u8]) -> Result<Self, ProtocolError> {
        let Ok(Value::Object(members)) = serde_json::from_slice(json) else {
            return Err(ProtocolError::Unknown);
        };
        let flag = |name: &str, current: bool| members.get(name).and_then(Value::as_bool).unwrap_or(current);
        let options = Self {
            verbose: flag("verbose", self.verbose),
            pedantic: flag("pedantic", self.pedantic),
            echo: flag("echo", self.echo),
            headers: flag("headers", self.headers),
            no_responders: flag("no_responders", self.no_responders),
        };
        if members.get("protocol").and_then(Value::as_i64).is_some_and(|number| !(0..=1).contains(&number)) {
            return Err(ProtocolError::ClientProtocol);
        }
        if options.no_responders && !options.headers {
            return Err(ProtocolError::NoRespondersWithoutHeaders);
        }
        Ok(options)
    }
}
