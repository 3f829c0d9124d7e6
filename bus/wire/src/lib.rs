//! Subjects, ids, limits and the message envelope: bytes only. No runtime, no I/O; time is an argument.
//!
//! The hot path: a front slices [`Frames`] out of its read buffer, wraps them as [`Body::Frames`], the bus moves that
//! body to whoever has a [`Filter`] matching its [`Subject`], and another front writes [`Frames::packed`] to its socket.
//! Nothing on that path encodes or decodes. The envelope exists for the edges, where a message crosses a connection that
//! knows a single payload: [`encode_payload`] and [`decode_payload`].
//!
//! What this crate is not: a codec for what is inside a payload. Bodies are opaque.
//!
//! Limits, all in [`limits`]: 255 bytes of subject, 64 headers, 1,024 frames, 64 MiB of payload at most; at most 48 bytes of
//! envelope around a message that has only an id, a kind and a time.

mod body;
mod envelope;
mod frames;
mod headers;
mod ids;
pub mod limits;
mod meta;
mod payload;
mod subject;
mod trace;

pub use body::Body;
pub use envelope::{DecodeError, EncodeError, Field, decode_envelope, encode_envelope, envelope_len};
pub use frames::{FrameIter, Frames, FramesError, write_frame_header};
pub use headers::{HeaderError, Headers};
pub use ids::{AgentId, CorrelationId, IdError, MessageId};
pub use meta::{Kind, Meta, Timestamp};
pub use payload::{decode_payload, encode_payload, payload_len};
pub use subject::{Filter, QueueGroup, Subject, SubjectError};
pub use trace::{TraceContext, TraceContextError};
