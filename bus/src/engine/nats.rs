//! The engine over a connection to a NATS server.

use std::sync::Arc;

use super::{Attachment, EngineOps};
use crate::error::{ConnectError, PublishError, SubscribeError};
use crate::replies::Replies;
use crate::router::{Interest, RouteCache};
use crate::{Delivery, InlineHandler, Published};

/// Cannot exist yet, so every method is unreachable.
#[derive(Debug)]
pub(crate) enum Nats {}

/// What a subscription is known by.
#[derive(Debug, Clone)]
pub(crate) enum Attached {}

impl Nats {
    pub(crate) async fn connect(url: &str, _replies: Arc<Replies>) -> Result<Self, ConnectError> {
        Err(ConnectError::Unreachable { url: url.into(), reason: "this build has no client engine".into() })
    }
}

impl EngineOps for Nats {
    fn payload_bytes_max(&self) -> usize {
        match *self {}
    }

    fn dispatch(&self, _cache: Option<&RouteCache>, _delivery: Delivery<'_>) -> Published {
        match *self {}
    }

    async fn publish(&self, _cache: Option<&RouteCache>, _delivery: Delivery<'_>) -> Result<Published, PublishError> {
        match *self {}
    }

    fn attach(&self, _interest: Interest, _handler: Arc<dyn InlineHandler>) -> Result<Attachment, SubscribeError> {
        match *self {}
    }

    fn detach(&self, _attachment: &Attachment) {
        match *self {}
    }

    fn detach_all(&self) {
        match *self {}
    }

    async fn flush(&self) {
        match *self {}
    }

    async fn close(&self) {
        match *self {}
    }
}
