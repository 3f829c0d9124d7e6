//! A large buffer has a mapping of its own, also after a larger one was freed.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;

use common::{free, mapped};
use myelin_malloc::{MMAP_THRESHOLD, keep_mmap_threshold};

#[test]
fn a_large_buffer_has_a_mapping_of_its_own_whatever_was_freed_before() {
    assert!(keep_mmap_threshold());
    free(16 << 20);
    assert!(mapped(1 << 20));
    assert!(mapped(MMAP_THRESHOLD as usize));
    assert!(!mapped(8 << 10), "most of what a fleet sends comes out of the heap");
}
