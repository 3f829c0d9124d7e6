//! Streams by request: what other processes ask a bus that has a store, on subjects under `$MYELIN.API.`.
//!
//! ```text
//! STREAM.{CREATE,INFO,PURGE,DELETE,GET,DROP}.<stream>   STREAM.LIST   STREAM.PUB.<subject>
//! CONSUMER.{CREATE,INFO,DELETE,NEXT}.<stream>.<consumer>   CONSUMER.LIST.<stream>
//! DLQ.{LIST,SHOW,REPLAY,PURGE}
//! ```
//!
//! Bodies are JSON objects; an answer that is an error has one field, `error`, with `code`, `message` and `retryable`. `STREAM.PUB` takes the
//! payload as it is, and options in headers. `CONSUMER.NEXT` is answered by each message on its own, with the subject to settle it on as its
//! reply, and then by a message that ends the answer.

mod asked;
mod describe;
