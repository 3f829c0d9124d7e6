//! What an answer belongs to: a service, and the exact bytes that it was asked.

use std::sync::Arc;

use bytes::Bytes;

/// A request to a service. Cloning counts references.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    service: Arc<str>,
    request: Bytes,
}

impl Key {
    /// Copies both.
    pub(super) fn new(service: &str, request: &[u8]) -> Self {
        Self { service: service.into(), request: Bytes::copy_from_slice(request) }
    }

    /// The name of the service.
    pub(super) fn service(&self) -> &str {
        &self.service
    }

    /// The request, without its caller's envelope.
    pub(super) fn request(&self) -> &[u8] {
        &self.request
    }

    /// Bytes of memory, about.
    pub(super) fn len_bytes(&self) -> usize {
        self.service.len() + self.request.len() + KEY_OVERHEAD_BYTES
    }
}

/// What maps and references cost.
const KEY_OVERHEAD_BYTES: usize = 192;
