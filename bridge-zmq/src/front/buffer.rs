//! The read buffer of one connection: as large as its traffic, and gone when there is none.

use bytes::BytesMut;

/// The smallest read: a few dozen requests of the usual size.
const READ_BYTES_MIN: usize = 8 * 1024;

/// The largest read: a thousand small messages. More saves few system calls, leaves the cache, and keeps others waiting for the thread.
const READ_BYTES_MAX: usize = 64 * 1024;

/// Small reads in a row before the buffer shrinks, so that one pause in a flood does not.
const SMALL_READS_MAX: u32 = 32;

/// The bytes that were read and not yet decoded, with room for the next read.
///
/// Grows only as bytes arrive: a frame's declared length never reserves more than was already received, or one ordinary read.
#[derive(Debug)]
pub(super) struct ReadBuffer {
    pub(super) bytes: BytesMut,
    read_bytes: usize,
    small_reads: u32,
    window: usize,
}

impl ReadBuffer {
    /// Starts with what the handshake left over.
    pub(super) fn new(bytes: BytesMut) -> Self {
        Self { bytes, read_bytes: READ_BYTES_MIN, small_reads: 0, window: 0 }
    }

    /// Makes room for one read; the frame at the front lacks `missing` bytes.
    pub(super) fn prepare(&mut self, missing: usize) {
        let held = self.bytes.len();
        if held == 0 && self.bytes.capacity() > 2 * self.read_bytes {
            self.bytes = BytesMut::new();
        }
        let wanted = if held < self.read_bytes { self.read_bytes } else { missing.clamp(READ_BYTES_MIN, held) };
        if self.bytes.capacity() - held < wanted.div_ceil(2) {
            self.bytes.reserve(wanted);
        }
        self.window = self.bytes.capacity() - held;
    }

    /// Learns from a read of `n` bytes.
    pub(super) fn after_read(&mut self, n: usize) {
        if n >= self.window.min(self.read_bytes) {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
            self.small_reads = 0;
        } else if n < self.read_bytes / 8 {
            self.small_reads += 1;
            if self.small_reads >= SMALL_READS_MAX && self.read_bytes > READ_BYTES_MIN {
                self.read_bytes /= 2;
                self.small_reads = 0;
            }
        } else {
            self.small_reads = 0;
        }
    }

    /// Whether it holds memory.
    pub(super) fn is_held(&self) -> bool {
        self.bytes.capacity() > 0
    }

    /// Gives the memory back if nothing incomplete is held.
    pub(super) fn release(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
            self.read_bytes = READ_BYTES_MIN;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(buffer: &mut ReadBuffer, n: usize, missing: usize) {
        buffer.prepare(missing);
        let n = n.min(buffer.window);
        buffer.bytes.resize(buffer.bytes.len() + n, 0);
        buffer.after_read(n);
    }

    #[test]
    fn a_declared_length_alone_reserves_one_read() {
        let mut buffer = ReadBuffer::new(BytesMut::from(&[0u8; 9][..]));
        buffer.prepare(64 << 20);
        assert!(buffer.bytes.capacity() <= 2 * READ_BYTES_MIN, "{}", buffer.bytes.capacity());
    }

    #[test]
    fn a_large_message_never_holds_more_than_about_twice_what_arrived() {
        let mut buffer = ReadBuffer::new(BytesMut::new());
        let total = 20 << 20;
        while buffer.bytes.len() < total {
            let missing = total - buffer.bytes.len();
            read(&mut buffer, missing.min(100_000), missing);
            let held = buffer.bytes.len();
            assert!(buffer.bytes.capacity() <= 3 * held + 2 * READ_BYTES_MAX, "{} for {held}", buffer.bytes.capacity());
        }
    }

    #[test]
    fn grows_under_load_and_shrinks_after_it() {
        let mut buffer = ReadBuffer::new(BytesMut::new());
        for _ in 0..10 {
            read(&mut buffer, usize::MAX, 2);
            buffer.bytes.clear();
        }
        assert_eq!(buffer.read_bytes, READ_BYTES_MAX);
        for _ in 0..SMALL_READS_MAX * 6 {
            read(&mut buffer, 64, 2);
            buffer.bytes.clear();
        }
        assert_eq!(buffer.read_bytes, READ_BYTES_MIN);
        assert!(buffer.bytes.capacity() <= 2 * READ_BYTES_MIN);
        buffer.release();
        assert_eq!(buffer.bytes.capacity(), 0);
    }
}
