//! One log: numbered records in segment files, appended in memory, made durable in batches.
//!
//! Invariants:
//! - **dense**: record n+1 follows record n, over all segments; a missing number is damage or a segment that said it would go;
//! - **no ack before its record**: a number is durable when every record up to it has been written and synced;
//! - **a failed write does not happen**: space is taken when a segment is made, before anything is admitted into it. What fails all the same
//!   (the disk broke) ends the log, since nobody can tell what a failed sync left behind;
//! - **the mark** lags behind what is durable, by a tenth of a second at most while the machine has power, and never runs ahead of it.
//!
//! Everything here is synchronous; the thread that writes and the time are its owner's.

mod batch;
mod mark;
mod open;
mod segment;
mod tail;

pub(crate) use self::batch::Batch;
pub(crate) use self::mark::{Mark, MarkFile};
pub(crate) use self::open::{Damage, Gap, Step, open};
pub(crate) use self::segment::{Place, Segment, SegmentHead, SegmentId, SegmentSummary};
pub(crate) use self::tail::{Class, NoRoom, Tail, Want};

/// Smallest and first segment. Each next one is twice as large, so that a stream of ten messages does not take 16 MiB.
pub(crate) const SEGMENT_BYTES_MIN: u64 = if cfg!(test) { 8 << 10 } else { 1 << 20 };

/// Largest segment but for one message that needs more: space comes back in pieces of this size.
pub(crate) const SEGMENT_BYTES_MAX: u64 = 16 * SEGMENT_BYTES_MIN;

/// Records that wait to be written; more is held back. One is always admitted.
pub(crate) const BATCH_BYTES_MAX: usize = 8 * SEGMENT_BYTES_MIN as usize;

/// Version of the format of segments; what opens a directory refuses newer ones.
pub(crate) const FORMAT_VERSION: u16 = 1;
