//! What lies free between allocations in use goes back to the system when it is asked for.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use myelin_malloc::give_back;

const BUFFERS: usize = 1_000;
const BUFFER_BYTES: usize = 64 << 10;

#[test]
fn free_pages_between_allocations_in_use_go_back() {
    let mut buffers: Vec<Vec<u8>> = (0..BUFFERS).map(|_| vec![1; BUFFER_BYTES]).collect();
    // Every other one is freed, so that no heap can shrink at its end.
    let mut number = 0;
    buffers.retain(|_| {
        number += 1;
        number % 2 == 0
    });
    let before = resident_bytes();
    assert!(give_back());
    let given = before.saturating_sub(resident_bytes());
    assert!(given > BUFFERS / 2 * BUFFER_BYTES * 8 / 10, "{given} bytes of {}", BUFFERS / 2 * BUFFER_BYTES);
    assert!(buffers.iter().all(|buffer| buffer.iter().all(|byte| *byte == 1)), "what is in use is as it was");
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages: usize = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number of pages");
    pages * 4096
}
