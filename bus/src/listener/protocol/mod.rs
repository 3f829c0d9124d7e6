//! The NATS client protocol as bytes: what a client may say, and what is said to it. No sockets, no clock, no bus.
//!
//! Invariants:
//! - **Checked before buffered.** A declared length is compared with its limit when the control line is complete, before a byte of payload is
//!   waited for. A control line without an end is given up after [`parse::CONTROL_LINE_BYTES_MAX`].
//! - **Split anywhere.** [`parse`] is a pure function of the bytes so far: the same bytes give the same operations wherever reads cut them.
//! - **Nothing copied.** An [`Operation`] borrows from its input.

mod connect;
mod headers;
mod operation;
mod parse;
mod write;

pub(super) use connect::ConnectOptions;
pub(super) use headers::{read_block, write_block};
pub(super) use operation::{Operation, ProtocolError, Publish, Subscribe, Unsubscribe};
pub(super) use parse::{Parsed, parse};
pub(super) use write::{Info, MessageHead, NO_RESPONDERS_BLOCK, OK, PING, PONG, error_line};

#[cfg(test)]
mod tests;
