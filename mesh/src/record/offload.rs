//! Encoding and decoding away from the async threads, where it takes longer than those may be held.

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::{Encoder, RecordError, compressed_bytes, decode};
use crate::Value;

/// Bytes to compress on an async thread: about 100 µs of work.
const COMPRESS_INLINE_BYTES: usize = 8 << 10;
/// Bytes to decompress on an async thread: about 100 µs of work.
const DECOMPRESS_INLINE_BYTES: usize = 64 << 10;

/// Work could not be done, since the runtime ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RuntimeEnds;

/// Records of values, in their order.
pub(crate) async fn encode_all(encoder: Encoder, values: Vec<Value>) -> Result<Vec<Bytes>, RuntimeEnds> {
    let sizes = values.iter().map(|value| value.bytes.len());
    let bytes: usize = sizes.filter(|size| *size >= encoder.compress_from_bytes).sum();
    let work = move || values.iter().map(|value| encoder.encode(value)).collect();
    if bytes <= COMPRESS_INLINE_BYTES { Ok(work()) } else { spawn_blocking(work).await.map_err(|_| RuntimeEnds) }
}

/// The value of one record.
pub(crate) async fn decode_one(record: Bytes) -> Result<Result<Value, RecordError>, RuntimeEnds> {
    if compressed_bytes(&record).is_none_or(|bytes| bytes <= DECOMPRESS_INLINE_BYTES) {
        return Ok(decode(record));
    }
    spawn_blocking(|| decode(record)).await.map_err(|_| RuntimeEnds)
}

/// Values of records, in their order.
pub(crate) async fn decode_all(records: Vec<Bytes>) -> Result<Vec<Result<Value, RecordError>>, RuntimeEnds> {
    let bytes: usize = records.iter().filter_map(compressed_bytes).sum();
    let work = move || records.into_iter().map(decode).collect();
    if bytes <= DECOMPRESS_INLINE_BYTES { Ok(work()) } else { spawn_blocking(work).await.map_err(|_| RuntimeEnds) }
}
