//! Where buffers come from, seen from their addresses.

/// Whether a few buffers of `size` each have a mapping of their own: such a chunk begins two words of the allocator into a page.
pub(crate) fn mapped(size: usize) -> bool {
    // The size of the smaller pages in use; with larger ones the remainder is the same.
    const PAGE: usize = 4096;
    let buffers: Vec<Vec<u8>> = (0..8).map(|_| Vec::with_capacity(size)).collect();
    buffers.iter().all(|buffer| buffer.as_ptr() as usize % PAGE == 2 * size_of::<usize>())
}

/// Allocates `size` bytes and frees them.
pub(crate) fn free(size: usize) {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(size)));
}
