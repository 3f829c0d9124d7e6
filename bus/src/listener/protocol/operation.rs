//! What a client may say.

/// One complete operation, borrowed from the read buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::listener) enum Operation<'a> {
    /// `CONNECT {json}`: the JSON text.
    Connect(&'a [u8]),
    /// `PUB` or `HPUB`.
    Publish(Publish<'a>),
    /// `SUB`.
    Subscribe(Subscribe<'a>),
    /// `UNSUB`.
    Unsubscribe(Unsubscribe<'a>),
    /// `PING`.
    Ping,
    /// `PONG`.
    Pong,
    /// `INFO` from a client: servers read over it, and so do we.
    Info,
}

/// `PUB subject [reply] size` or `HPUB subject [reply] header-size size`, with its payload. Names are not checked yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::listener) struct Publish<'a> {
    pub(in crate::listener) subject: &'a [u8],
    pub(in crate::listener) reply: Option<&'a [u8]>,
    /// The header block, from `NATS/1.0` to the empty line; `None` for `PUB`.
    pub(in crate::listener) headers: Option<&'a [u8]>,
    pub(in crate::listener) payload: &'a [u8],
}

/// `SUB filter [group] sid`. Names are not checked yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::listener) struct Subscribe<'a> {
    pub(in crate::listener) filter: &'a [u8],
    pub(in crate::listener) group: Option<&'a [u8]>,
    /// The client's own name for the subscription, opaque to us.
    pub(in crate::listener) sid: &'a [u8],
}

/// `UNSUB sid [max]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::listener) struct Unsubscribe<'a> {
    pub(in crate::listener) sid: &'a [u8],
    /// Messages after which the subscription ends, counted from its start; 0 ends it now.
    pub(in crate::listener) max: u64,
}

/// A client broke the protocol; its connection ends after the error line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::listener) enum ProtocolError {
    /// No operation of this name, wrong arguments, or a payload that does not end where its length says.
    #[error("not an operation of the client protocol")]
    Unknown,
    /// A control line longer than the limit.
    #[error("control line longer than {max} bytes")]
    ControlLine {
        /// Bytes allowed.
        max: usize,
    },
    /// A declared payload above the limit.
    #[error("payload of {declared} bytes declared, {max} allowed")]
    Payload {
        /// Bytes declared.
        declared: u64,
        /// Bytes allowed.
        max: usize,
    },
    /// `HPUB` without `headers` in `CONNECT`.
    #[error("headers published without \"headers\":true in CONNECT")]
    HeadersUnsupported,
    /// A header block that cannot be read, or exceeds the limits for headers.
    #[error("unreadable header block")]
    Headers,
    /// `no_responders` without `headers`.
    #[error("\"no_responders\":true without \"headers\":true in CONNECT")]
    NoRespondersWithoutHeaders,
    /// `CONNECT` with a protocol number that does not exist.
    #[error("unknown protocol number in CONNECT")]
    ClientProtocol,
}

impl ProtocolError {
    /// The text of the `-ERR` line: the ones that clients know from nats-server.
    pub(in crate::listener) const fn text(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown Protocol Operation",
            Self::ControlLine { .. } => "maximum control line exceeded",
            Self::Payload { .. } => "Maximum Payload Violation",
            Self::HeadersUnsupported => "message headers not supported",
            Self::Headers => "Invalid Message Headers",
            Self::NoRespondersWithoutHeaders => "no responders requires headers support",
            Self::ClientProtocol => "invalid client protocol",
        }
    }
}
