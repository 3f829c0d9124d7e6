//! Read buffers that no connection needs at the moment, kept by the thread that read into them last.
//!
//! A connection needs a buffer from a read to the end of its turn, and longer only for a message that is not complete. A thousand connections that speak a
//! few times a second so share a handful of warm buffers, instead of a thousand cold ones of their own between which the allocator's heap falls to pieces.

use std::cell::RefCell;

use bytes::BytesMut;

use super::buffer::{READ_BYTES_MAX, READ_BYTES_MIN};

/// Sizes from the smallest read to the largest, each twice the one before.
const SIZES: usize = (READ_BYTES_MAX / READ_BYTES_MIN).ilog2() as usize + 1;

/// Buffers of each size that a thread keeps, 480 KiB in all: while one turn ends and the next begins, one of a size is in use per thread; a few more are for
/// connections that held theirs for a moment.
const KEPT_MAX: usize = 4;

thread_local! {
    static SPARE: RefCell<[Vec<BytesMut>; SIZES]> = const { RefCell::new([const { Vec::new() }; SIZES]) };
}

/// An empty buffer with room for at least `read_bytes`, one of the sizes, and less than twice that.
pub(super) fn take(read_bytes: usize) -> BytesMut {
    let kept = SPARE.try_with(|spare| spare.borrow_mut()[size_of_room(read_bytes)].pop());
    // On a thread that is ending nothing is kept.
    kept.ok().flatten().unwrap_or_else(|| BytesMut::with_capacity(read_bytes))
}

/// Keeps an empty buffer for the next read of any connection, unless somebody still has a part of it, or enough are kept.
pub(super) fn put(mut bytes: BytesMut, read_bytes: usize) {
    bytes.clear();
    // What was split off counts as room again once nobody else has it. A buffer that grew with a large message is not kept.
    if !bytes.try_reclaim(read_bytes) || bytes.capacity() >= 2 * read_bytes {
        return;
    }
    let kept = SPARE.try_with(|spare| {
        let spare = &mut spare.borrow_mut()[size_of_room(read_bytes)];
        if spare.len() < KEPT_MAX {
            spare.push(bytes);
        }
    });
    // The thread is ending, and its buffers with it.
    kept.ok();
}

fn size_of_room(read_bytes: usize) -> usize {
    ((read_bytes / READ_BYTES_MIN).max(1).ilog2() as usize).min(SIZES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Threads of tests may be shared.
    fn nothing_kept() {
        SPARE.with(|spare| spare.borrow_mut().iter_mut().for_each(Vec::clear));
    }

    #[test]
    fn the_buffer_of_one_read_is_that_of_the_next() {
        nothing_kept();
        let mut first = take(READ_BYTES_MIN);
        first.extend_from_slice(b"read");
        let place = first.as_ptr();
        drop(first.split());
        put(first, READ_BYTES_MIN);
        let second = take(READ_BYTES_MIN);
        assert_eq!((second.as_ptr(), second.len()), (place, 0));
        assert!(second.capacity() >= READ_BYTES_MIN);
    }

    #[test]
    fn a_buffer_of_which_somebody_has_a_part_is_not_kept() {
        nothing_kept();
        let mut buffer = take(READ_BYTES_MIN);
        buffer.extend_from_slice(b"message");
        let message = buffer.split().freeze();
        put(buffer, READ_BYTES_MIN);
        let mut next = take(READ_BYTES_MIN);
        next.extend_from_slice(b"another");
        assert_eq!(message, &b"message"[..]);
    }

    #[test]
    fn sizes_do_not_mix_and_few_are_kept() {
        nothing_kept();
        let mut size = READ_BYTES_MIN;
        while size <= READ_BYTES_MAX {
            let held: Vec<_> = (0..3 * KEPT_MAX).map(|_| take(size)).collect();
            for buffer in held {
                put(buffer, size);
            }
            assert_eq!(SPARE.with(|spare| spare.borrow()[size_of_room(size)].len()), KEPT_MAX);
            assert!((size..2 * size).contains(&take(size).capacity()));
            size *= 2;
        }
        put(BytesMut::with_capacity(1 << 20), READ_BYTES_MIN);
        let large =
            |spare: &RefCell<[Vec<BytesMut>; SIZES]>| spare.borrow().iter().flatten().any(|kept| kept.capacity() >= 2 * READ_BYTES_MAX);
        assert!(!SPARE.with(large), "a buffer that grew is not kept");
    }
}
