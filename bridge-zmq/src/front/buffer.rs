//! The read buffer of one connection: as large as its traffic, and gone when nothing incomplete is in it.

use bytes::BytesMut;

use super::spare;

/// The smallest read: a few dozen requests of the usual size.
pub(super) const READ_BYTES_MIN: usize = 8 * 1024;

/// The largest read: a thousand small messages. More saves few system calls, leaves the cache, and keeps others waiting for the thread.
pub(super) const READ_BYTES_MAX: usize = 64 * 1024;

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
    /// The size of the buffer when it was taken from the spare ones.
    taken: usize,
}

impl ReadBuffer {
    /// Starts with what the handshake left over.
    pub(super) fn new(bytes: BytesMut) -> Self {
        Self { bytes, read_bytes: READ_BYTES_MIN, small_reads: 0, window: 0, taken: READ_BYTES_MIN }
    }

    /// Makes room for one read; the frame at the front lacks `missing` bytes.
    pub(super) fn prepare(&mut self, missing: usize) {
        let held = self.bytes.len();
        if held == 0 {
            self.bytes = spare::take(self.read_bytes);
            self.taken = self.read_bytes;
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

    /// Gives the memory back if nothing incomplete is held: at the end of every turn.
    pub(super) fn give_back(&mut self) {
        if self.bytes.is_empty() && self.bytes.capacity() > 0 {
            spare::put(std::mem::take(&mut self.bytes), self.taken);
        }
    }

    /// Begins with small reads again, after a pause.
    pub(super) fn forget_load(&mut self) {
        self.read_bytes = READ_BYTES_MIN;
        self.small_reads = 0;
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
    }

    #[test]
    fn what_is_incomplete_stays_and_everything_else_is_given_back() {
        let mut buffer = ReadBuffer::new(BytesMut::new());
        read(&mut buffer, 100, 2);
        buffer.give_back();
        assert_eq!(buffer.bytes.len(), 100);
        buffer.bytes.clear();
        buffer.give_back();
        assert_eq!(buffer.bytes.capacity(), 0);
    }
}
