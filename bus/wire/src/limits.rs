//! Every limit that holds across crates, with its unit and its reason.
//!
//! A limit of one component alone lives in that component's configuration; what is here is either part of the wire
//! format or shared by several crates. A length that came from the wire is compared with these before anything is
//! allocated.
//!
//! Names end in their unit where the type does not say it: `_BYTES` counts bytes, `_MAX` alone counts things.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Largest payload of a message unless configured otherwise: 8 MiB.
///
/// The largest payloads seen from agents are base64 images of about 1 MiB; eight times that leaves room without letting
/// one message fill a peer's queue more than once.
pub const PAYLOAD_BYTES_DEFAULT: usize = 8 * MIB;

/// Largest payload that any configuration may allow: 64 MiB.
///
/// NATS servers refuse a `max_payload` above this, and one message this large already takes a quarter of
/// [`QUEUED_BYTES_PROCESS_MAX`].
pub const PAYLOAD_BYTES_CEILING: usize = 64 * MIB;

/// Longest subject or filter: 255 bytes.
///
/// The length fits one byte, and the protocol line of any NATS client stays far below the server's 4 KiB line limit.
pub const SUBJECT_BYTES_MAX: usize = 255;

/// Longest token that [`Subject::escape_token`](crate::Subject::escape_token) makes: 128 bytes.
///
/// Half of [`SUBJECT_BYTES_MAX`], so that a fixed prefix always fits before it.
pub const TOKEN_BYTES_MAX: usize = 128;

/// Longest queue group name: 255 bytes, as for subjects, next to which it travels on the protocol line.
pub const QUEUE_GROUP_BYTES_MAX: usize = 255;

/// Longest id of an agent (source of a message): 255 bytes, the bound of a ZMTP identity.
pub const AGENT_ID_BYTES_MAX: usize = 255;

/// Longest correlation id: 255 bytes. Foreign ids are kept as they are; the longest in common use (trace parents, ULIDs,
/// UUID text) are below 64.
pub const CORRELATION_BYTES_MAX: usize = 255;

/// Most headers of one message: 64. More is a payload in disguise.
pub const HEADERS_MAX: usize = 64;

/// Longest header name: 255 bytes.
pub const HEADER_NAME_BYTES_MAX: usize = 255;

/// Bytes of all header names and values of one message: 64 KiB.
///
/// NATS servers bound nothing but the whole message, HTTP servers commonly refuse more than this.
pub const HEADERS_BYTES_MAX: usize = 64 * KIB;

/// Most frames of one multipart message: 1,024. The agents' messages have 1 to 4; the bound keeps a peer from making
/// millions of empty frames out of one payload.
pub const FRAMES_MAX: u32 = 1_024;

/// Most bytes that an envelope adds to a message without headers, source or correlation: 48.
pub const ENVELOPE_OVERHEAD_BYTES_MINIMAL_MAX: usize = 48;

/// Most open connections of one listener: 16,384, a quarter of the ports of one address and below common `nofile`
/// limits of services (65,536) with room for files and outgoing connections.
pub const CONNECTIONS_MAX: usize = 16_384;

/// Most connections of one source, and of one route, for each that is still free: 7. Alone it has at most seven eighths of [`CONNECTIONS_MAX`]; the
/// last eighth, 2,048, is for others, and of that again no single one has all.
pub const CONNECTIONS_PER_FREE: usize = 7;

/// The same for one source at one route: 3, so three quarters when it is alone. Less than [`CONNECTIONS_PER_FREE`], because all agents of this machine
/// are one source: whoever floods one route from here leaves the others here an eighth of all. It is still more than the 10,000 agents of a large
/// fleet.
pub const CONNECTIONS_PER_FREE_OF_SOURCE_AT_ROUTE: usize = 3;

/// Most bytes queued for one peer: 8 MiB. One message is always admitted, whatever its size.
pub const QUEUE_BYTES_MAX: usize = 8 * MIB;

/// Most messages queued for one peer: 65,536, so that tiny messages cannot hide their bookkeeping from
/// [`QUEUE_BYTES_MAX`].
pub const QUEUE_MESSAGES_MAX: usize = 65_536;

/// Most bytes queued in the whole process: 256 MiB. Beyond it the policy of the fullest peer acts first.
pub const QUEUED_BYTES_PROCESS_MAX: usize = 256 * MIB;

/// Time for a peer to finish its handshake: 5 s, the receive timeout of the agents themselves; a peer that is slower
/// has already been given up by its program.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Most unacknowledged messages of one consumer: 1,024, enough to fill a 10 Gbit/s link at 1 ms with 1 KiB messages.
pub const CONSUMER_INFLIGHT_MAX: usize = 1_024;

/// Delivery attempts kept with a dead letter: the last 32. At the default backoff that is more than a day of history.
pub const DLQ_ATTEMPTS_MAX: usize = 32;
