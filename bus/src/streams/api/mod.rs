//! Streams by request: what other processes ask a bus that has a store, on subjects under `$MYELIN.API.`.
//!
//! ```text
//! STREAM.{CREATE,UPDATE,INFO,PURGE,DELETE,GET,DROP,SEQUENCES}.<stream>   STREAM.LIST   STREAM.PUB.<subject>
//! CONSUMER.{CREATE,INFO,DELETE,NEXT}.<stream>.<consumer>   CONSUMER.LIST.<stream>
//! DLQ.{LIST,SHOW,REPLAY,PURGE,BURY}
//! ```
//!
//! Bodies are JSON objects; an answer that is an error has one field, `error`, with `code`, `message` and `retryable`. `STREAM.PUB` takes the
//! payload as it is, and options in headers. `CONSUMER.NEXT` is answered by each message on its own, with the subject to settle it on as its
//! reply, and then by a message that ends the answer.
//!
//! Lists are answered in pages: `from` and `max` in the request; `more` and `next`, the `from` of the next page, in the answer.
//!
//! On its way through: [`server`] (who may be at work at once) → [`requests`] (a verb to its answer), [`letters`] and [`buried`] (those about
//! dead letters), [`next`] (messages to a worker), [`settle`] (a worker's word), [`capture`] (plain publishes on a stream's subjects).

pub(super) mod asked;
pub(super) mod buried;
mod capture;
pub(super) mod describe;
mod hands;
pub(super) mod letters;
mod metrics;
mod next;
pub(super) mod options;
mod paging;
mod requests;
mod server;
pub(super) mod settle;
mod warnings;

pub use self::metrics::StreamServerMetrics;
pub(super) use self::server::Serving;
pub use self::server::StreamServer;

/// What every request begins with.
pub(super) const API: &str = "$MYELIN.API.";

/// What every subject begins with on which a worker settles a message.
pub(super) const ACK: &str = "$MYELIN.ACK.";

/// Tells the last message of an answer of several: `end`, or `error`.
pub(super) const STATUS: &str = "Myelin-Status";

/// Whether this is a worker's word about a message it has.
pub(crate) fn is_settlement(subject: &crate::wire::Subject) -> bool {
    subject.as_str().starts_with(ACK)
}
