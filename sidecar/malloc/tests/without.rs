//! Why this crate is there: left alone, glibc takes large buffers out of its heaps once a larger one was freed.
//!
//! If this fails, glibc no longer adjusts its threshold, and the crate can go. A file of its own, because the threshold belongs to the process.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;

use common::{free, mapped};

#[test]
fn left_alone_the_threshold_rises_with_what_is_freed() {
    assert!(mapped(1 << 20));
    free(16 << 20);
    assert!(!mapped(1 << 20));
}
