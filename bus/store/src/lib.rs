//! Durable streams on local disk: records in segments, one sync for many of them, consumers' positions beside the messages.
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
pub use error::StoreError;
pub use handle::{Consumer, ConsumerInfo, Delivered, Publish, Receipt, Stored, Stream, StreamInfo};
pub use store::{CreateError, Opened, Store};
pub use stream::{Damage, OpenError};
