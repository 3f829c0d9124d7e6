//! Durable streams on local disk: records in segments, one sync for many of them, consumers' positions beside the messages.
//!
//! What it is: one directory of streams, one process that writes it. A message that was acknowledged survives what its stream's
//! [`Durability`] says; it is delivered to a consumer until that is done with it, and leaves by an ack, a limit, its age, a delete or a purge,
//! none of which is forgotten. What damage takes is named by file and sequence at every start ([`Damage`]); what lies beside it is readable.
//!
//! What it is not: it replicates nothing, knows neither the most deliveries of a message nor dead letters (it counts and tells; its user
//! decides), and does not look into payloads. A consumer gets a message at least once, never exactly once.
//!
//! Limits: 80 MiB a message, 255 bytes a subject or id, 1,048,576 ids remembered per stream, 8 MiB of records that wait for the disk (one is
//! always admitted), segments of 1 to 16 MiB, 16 MiB kept back so that a full disk still takes acks and deletes, 32 attempts told per message.
//! All messages of a stream are known by sequence in memory, without their content; opening reads a stream from its beginning.
//!
//! The hot path, a durable publish:
//! 1. [`Stream::publish`] takes the stream's lock in `stream/live.rs`;
//! 2. `stream/state.rs` asks `stream/core.rs` whether the message may be stored, and puts its record down;
//! 3. `log/tail.rs` copies the record into the batch that gathers;
//! 4. the stream's thread (`stream/live.rs`) takes the batch, writes and syncs it without the lock;
//! 5. `stream/commit.rs` says how far the log is durable, and everybody who waited for that is woken.
mod clock;
mod config;
mod consumer;
mod disk;
mod error;
mod handle;
mod log;
mod record;
mod reserve;
mod store;
mod stream;

pub use config::{ConsumerConfig, Durability, NAME_BYTES_MAX, Name, NameError, OnFull, Retention, StreamConfig};
pub use consumer::{ATTEMPT_TEXT_BYTES_MAX, Attempt, Outcome};
#[cfg(any(test, feature = "faulty"))]
pub use disk::faulty::Faulty;
pub use error::StoreError;
pub use handle::{Consumer, ConsumerInfo, Delivered, Found, Leased, Publish, Receipt, Stored, Stream, StreamInfo, Unsettled};
pub use store::{CreateError, Opened, Store};
pub use stream::{Damage, OpenError};
