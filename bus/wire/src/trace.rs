//! Where a message belongs in a distributed trace, as W3C Trace Context defines it.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// The fields of a `traceparent`, version 00. A `tracestate`, if there is one, travels as a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    flags: u8,
}

/// Why a value is not a trace context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TraceContextError {
    /// The trace id or the span id is all zero, which the standard reserves for "none".
    #[error("trace context with a zero id")]
    Zero,
    /// Text that is not `00-<32 hex digits>-<16>-<2>`.
    #[error("not a traceparent of version 00")]
    Format,
}

impl TraceContext {
    /// Bytes of the binary form.
    pub(crate) const LEN: usize = 25;

    /// Checks and takes the three fields; bit 0 of `flags` says that the trace is sampled.
    ///
    /// # Errors
    /// [`TraceContextError::Zero`].
    pub fn new(trace_id: [u8; 16], span_id: [u8; 8], flags: u8) -> Result<Self, TraceContextError> {
        if trace_id == [0; 16] || span_id == [0; 8] {
            return Err(TraceContextError::Zero);
        }
        Ok(Self { trace_id, span_id, flags })
    }

    /// The id of the whole trace.
    pub const fn trace_id(&self) -> &[u8; 16] {
        &self.trace_id
    }

    /// The id of the span that sent the message.
    pub const fn span_id(&self) -> &[u8; 8] {
        &self.span_id
    }

    /// The flags; bit 0 says that the trace is sampled.
    pub const fn flags(&self) -> u8 {
        self.flags
    }

    /// Trace id, span id, flags.
    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..16].copy_from_slice(&self.trace_id);
        bytes[16..24].copy_from_slice(&self.span_id);
        bytes[24] = self.flags;
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; Self::LEN]) -> Result<Self, TraceContextError> {
        let mut trace_id = [0; 16];
        trace_id.copy_from_slice(&bytes[..16]);
        let mut span_id = [0; 8];
        span_id.copy_from_slice(&bytes[16..24]);
        Self::new(trace_id, span_id, bytes[24])
    }
}

/// The value of a `traceparent` header.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trace_id = u128::from_be_bytes(self.trace_id);
        let span_id = u64::from_be_bytes(self.span_id);
        write!(f, "00-{trace_id:032x}-{span_id:016x}-{:02x}", self.flags)
    }
}

impl FromStr for TraceContext {
    type Err = TraceContextError;

    fn from_str(text: &str) -> Result<Self, TraceContextError> {
        let mut fields = text.split('-');
        let mut field = |len: usize| {
            fields
                .next()
                .filter(|field| field.len() == len)
                .filter(|field| field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
                .and_then(|field| u128::from_str_radix(field, 16).ok())
                .ok_or(TraceContextError::Format)
        };
        let (version, trace_id, span_id, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
        if version != 0 || fields.next().is_some() {
            return Err(TraceContextError::Format);
        }
        // The digit counts above make both conversions exact.
        Self::new(trace_id.to_be_bytes(), (span_id as u64).to_be_bytes(), flags as u8)
    }
}
