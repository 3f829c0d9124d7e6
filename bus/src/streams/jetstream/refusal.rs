//! What a server answers to its own requests, and what its refusals mean to us.

use std::time::Duration;

use async_nats::jetstream::Error;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::response::Response;
use myelin_store::Name;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};

use super::super::error::StreamError;
use super::{JetStream, PATIENCE};

/// A number of the server's that its client has no name for: a work queue's consumers may not share messages.
const QUEUE_CONSUMER_NOT_UNIQUE: u64 = 10_100;
/// Likewise: a second consumer of everything.
const QUEUE_CONSUMERS_UNFILTERED: u64 = 10_099;
/// Likewise: an update of what cannot be changed.
const UPDATE_REFUSED: u64 = 10_052;

/// When a question that has no answer is asked again.
const LOOK: Duration = Duration::from_secs(1);

/// Why a request had no effect.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The server said so.
    Server(Error),
    /// It did not answer.
    Unreachable(Box<str>),
}

impl Refusal {
    pub(super) fn is(&self, codes: &[ErrorCode]) -> bool {
        matches!(self, Self::Server(error) if codes.contains(&error.error_code()))
    }

    /// Another stream or consumer takes some of the same messages.
    pub(super) fn is_overlap(&self) -> bool {
        self.is(&[ErrorCode::STREAM_SUBJECT_OVERLAP])
            || self.is_numbered(QUEUE_CONSUMER_NOT_UNIQUE)
            || self.is_numbered(QUEUE_CONSUMERS_UNFILTERED)
    }

    fn is_numbered(&self, number: u64) -> bool {
        matches!(self, Self::Server(error) if error.error_code().0 == number)
    }

    /// What it means where all streams are asked for.
    pub(super) fn unreachable(self) -> StreamError {
        let reason = match self {
            Self::Unreachable(reason) => reason,
            Self::Server(error) => error.to_string().into(),
        };
        StreamError::Unreachable { reason }
    }

    /// What it means where a stream is asked for, and perhaps one of its consumers.
    pub(super) fn of(self, stream: &Name, consumer: Option<&Name>) -> StreamError {
        let error = match self {
            Self::Unreachable(reason) => return StreamError::Unreachable { reason },
            Self::Server(error) => error,
        };
        match (error.error_code(), consumer) {
            (ErrorCode::STREAM_NOT_FOUND, _) => StreamError::NoStream { stream: stream.clone() },
            (ErrorCode::CONSUMER_NOT_FOUND, Some(consumer)) => {
                StreamError::NoConsumer { stream: stream.clone(), consumer: consumer.clone() }
            }
            // Servers that are choosing who leads, or one that has just come.
            (ErrorCode::CLUSTER_NOT_AVAILABLE | ErrorCode::CLUSTER_NOT_LEADER | ErrorCode::CLUSTER_INCOMPLETE, _) => {
                StreamError::Unreachable { reason: error.to_string().into() }
            }
            (ErrorCode::STORAGE_RESOURCES_EXCEEDED | ErrorCode::INSUFFICIENT_RESOURCES, _) => StreamError::StorageFull,
            // A limit counts as used as soon as it is promised.
            (ErrorCode::CLUSTER_NO_PEERS, _) if error.to_string().contains("insufficient storage") => {
                StreamError::Invalid { field: "bytes_max", reason: error.to_string().into() }
            }
            (code, _) if code.0 == UPDATE_REFUSED => StreamError::Invalid { field: "request", reason: error.to_string().into() },
            _ => StreamError::Closed { stream: stream.clone(), cause: error.to_string().into() },
        }
    }
}

impl JetStream {
    /// As [`ask`](Self::ask), for what may be asked more than once: a question to servers that are choosing who leads has no answer, ever.
    pub(super) async fn look<T: DeserializeOwned>(&self, verb: String, body: &impl Serialize) -> Result<T, Refusal> {
        let end = Instant::now() + PATIENCE;
        loop {
            match timeout(LOOK, self.ask(verb.clone(), body)).await {
                Ok(told) => return told,
                Err(_elapsed) if Instant::now() >= end => {
                    return Err(Refusal::Unreachable(format!("no answer to {verb} within {PATIENCE:?}").into()));
                }
                Err(_elapsed) => {}
            }
        }
    }

    /// One request to the server's own interface.
    pub(super) async fn ask<T: DeserializeOwned>(&self, verb: String, body: &impl Serialize) -> Result<T, Refusal> {
        self.connected().await.map_err(Refusal::Unreachable)?;
        match self.0.context.request::<_, _, Response<T>>(verb, body).await {
            Ok(Response::Ok(answer)) => Ok(answer),
            Ok(Response::Err { error }) => Err(Refusal::Server(error)),
            Err(error) => Err(Refusal::Unreachable(super::super::error::chain(&error).into())),
        }
    }
}
