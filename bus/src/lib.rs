//! The message bus of Myelin: publish and subscribe, queue groups, requests, over an engine inside this process or a NATS server.
//!
//! A published message reaches whoever listens now, at most once, and is **not** kept. What must not be lost is published into a stream
//! (module `streams`): it is stored before it is acknowledged, and delivered at least once.
//!
//! The hot path, in four hops: [`Publisher::publish_batch`] → `bus::Shared::dispatch` (admission) → `router::Router::matches_cached` (a match list,
//! kept while nobody subscribes) → [`InlineHandler::deliver`] of each receiver, which for a [`Subscription`] is its queue's `push`.
//!
//! Cost of one message with one subscriber, embedded, by a [`Publisher`]:
//! - bytes: none copied; the last receiver is given the body, those before it count a reference; about 100 bytes of message are written into the
//!   queue once;
//! - allocations: none for one receiver, one for more (the count of the references of a body that had its bytes for itself); the queue's memory
//!   is reused by swapping; [`Bus::publish`] adds a look-up of the subject; `benches/benches/cost.rs` counts them;
//! - locks: the publisher's cache and the receiver's queue, each held for a few instructions; the receiver locks once per batch;
//! - wakeups: one when the receiver sleeps, none while it has something to read; no syscall otherwise.
//!
//! Limits: 8 MiB per payload (64 MiB at most), 65,536 messages or 8 MiB per subscription, 65,536 waiting requests, 1,048,576 subscriptions.

mod bus;
mod capabilities;
mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
mod drain;
mod engine;
mod error;
mod inline;
pub mod listener;
mod message;
mod metrics;
pub mod outlet;
mod overflow;
mod payload;
pub mod presence;
mod pressure;
mod publisher;
mod replies;
mod reply;
mod router;
pub mod streams;
mod subscription;
mod turn;

pub use myelin_wire as wire;

pub use bus::Bus;
pub use capabilities::{Capabilities, Storage};
pub use config::EmbeddedConfig;
pub use drain::Drained;
pub use engine::{LinkMetrics, LinkedConfig, NatsConfig, NatsCredentials, NatsTls};
pub use error::{ConnectError, NoResponders, PublishError, RequestError, SubscribeError};
pub use inline::InlineSubscription;
pub use message::{Delivery, InlineHandler, Message, Meta};
pub use metrics::Metrics;
pub use overflow::{Overflow, OverflowParseError};
pub use pressure::{Pressure, Published};
pub use publisher::Publisher;
pub use reply::{Caller, ReplySink, ReplyTo};
pub use subscription::{SubscribeOptions, Subscription, SubscriptionEnd};
