//! Subjects, ids, limits and the message envelope: bytes only. No runtime, no I/O, no clock of its own beyond ids.
//!
//! The hot path: a front slices [`Frames`] out of its read buffer, wraps them as [`Body::Frames`], the bus moves that
//! body to whoever has a [`Filter`] matching its [`Subject`], and another front writes [`Frames::packed`] to its socket.
//! Nothing on that path encodes or decodes; the envelope exists for the edges that cross a NATS connection.

mod body;
mod frames;
pub mod limits;
mod subject;

pub use body::Body;
pub use frames::{FrameIter, Frames, FramesError, write_frame_header};
pub use subject::{Filter, QueueGroup, Subject, SubjectError};
