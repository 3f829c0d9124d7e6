//! Writing envelopes. There is one way to write each value, the shortest.

use std::io::{self, Write};

use bytes::Bytes;
use rmp::encode::{write_array_len, write_bin, write_nil, write_str, write_uint};
use thiserror::Error;

use super::{ELEMENTS, TAG};
use crate::{Body, Headers, Meta, limits::PAYLOAD_BYTES_CEILING};

/// Why a message has no envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The body is longer than any configuration allows.
    #[error("payload of {len} bytes is larger than {max}")]
    TooLarge {
        /// Bytes of the body.
        len: usize,
        /// Bytes allowed: [`PAYLOAD_BYTES_CEILING`].
        max: usize,
    },
}

/// The message as an envelope, also if it has no meta. Copies the body once, into the one allocation made.
///
/// # Errors
/// [`EncodeError::TooLarge`].
pub fn encode_envelope(meta: Option<&Meta>, body: &Body) -> Result<Bytes, EncodeError> {
    let len = body.len();
    if len > PAYLOAD_BYTES_CEILING {
        let max = PAYLOAD_BYTES_CEILING;
        return Err(EncodeError::TooLarge { len, max });
    }
    let mut out = Vec::with_capacity(envelope_len(meta, body));
    write_envelope(&mut out, meta, body).expect("a vector takes every write");
    Ok(out.into())
}

/// Bytes that [`encode_envelope`] makes of this message, to compare with a server's limit before anything is encoded.
pub fn envelope_len(meta: Option<&Meta>, body: &Body) -> usize {
    let mut count = Count(0);
    write_envelope(&mut count, meta, body).expect("counting takes every write");
    count.0
}

fn write_envelope(out: &mut impl Write, meta: Option<&Meta>, body: &Body) -> io::Result<()> {
    write_array_len(out, ELEMENTS.into())?;
    out.write_all(&TAG)?;
    match meta {
        Some(meta) => write_meta(out, meta)?,
        // One nil for each element between tag and body.
        None => (2..ELEMENTS).try_for_each(|_| write_nil(out))?,
    }
    write_body(out, body)
}

fn write_meta(out: &mut impl Write, meta: &Meta) -> io::Result<()> {
    write_bin(out, meta.id.as_bytes())?;
    match &meta.source {
        Some(source) => write_str(out, source.as_str())?,
        None => write_nil(out)?,
    }
    write_uint(out, meta.kind.as_u8().into())?;
    write_uint(out, meta.time.unix_micros())?;
    match &meta.correlation {
        Some(correlation) => write_bin(out, correlation.as_bytes())?,
        None => write_nil(out)?,
    }
    match &meta.trace {
        Some(trace) => write_bin(out, &trace.to_bytes())?,
        None => write_nil(out)?,
    }
    write_headers(out, &meta.headers)
}

fn write_headers(out: &mut impl Write, headers: &Headers) -> io::Result<()> {
    if headers.is_empty() {
        return write_nil(out);
    }
    write_len(out, headers.len())?;
    for (name, value) in headers.iter() {
        write_len(out, 2)?;
        write_str(out, name)?;
        // Text where it is text, because that is what a reader in another language expects of a header.
        match str::from_utf8(value) {
            Ok(text) => write_str(out, text)?,
            Err(_) => write_bin(out, value)?,
        }
    }
    Ok(())
}

fn write_body(out: &mut impl Write, body: &Body) -> io::Result<()> {
    match body {
        Body::Blob(blob) => write_bin(out, blob)?,
        Body::Frames(frames) => {
            write_array_len(out, frames.count())?;
            for frame in frames.slices() {
                write_bin(out, frame)?;
            }
        }
    }
    Ok(())
}

fn write_len(out: &mut impl Write, len: usize) -> io::Result<()> {
    let len = u32::try_from(len).expect("counts are bounded by limits");
    write_array_len(out, len)?;
    Ok(())
}

/// Counts what is written, so that a length cannot disagree with the encoder.
struct Count(usize);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
