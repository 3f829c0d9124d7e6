//! Large buffers go back to the system when they are freed.
//!
//! glibc gives an allocation from [`MMAP_THRESHOLD`] up a mapping of its own, which ends with it. But each time such a one is freed the threshold rises to its
//! size, up to 32 MiB, and what may stay unused at a heap's end to twice that (`mallopt(3)`, "dynamic adjustment"). After the first message of some
//! megabytes all buffers therefore come out of the heaps, small allocations settle between them, and a process that runs for weeks keeps what its
//! worst minute needed. Setting the threshold ends the adjustment. What it costs and saves is in `docs/adr/0013-allocator.md`.

/// From this size on, in bytes, an allocation has a mapping of its own. Above it lie the read buffers of large messages and the messages themselves; below it
/// everything that a fleet sends every second.
pub const MMAP_THRESHOLD: u32 = 256 * 1024;

/// Keeps the threshold at [`MMAP_THRESHOLD`] for the whole process; to be called once, before other threads begin.
///
/// Says whether it did: not with another C library than glibc, nor where the operator has set glibc's own variables (`MALLOC_MMAP_THRESHOLD_`,
/// `MALLOC_TRIM_THRESHOLD_`, `GLIBC_TUNABLES` with `glibc.malloc`), which count for more.
pub fn keep_mmap_threshold() -> bool {
    !set_by_the_operator() && set(MMAP_THRESHOLD)
}

fn set_by_the_operator() -> bool {
    ["MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"].iter().any(|name| std::env::var_os(name).is_some())
        || std::env::var("GLIBC_TUNABLES").is_ok_and(|tunables| tunables.contains("glibc.malloc"))
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "the C library has no other way, and no crate offers this call as a safe one")]
fn set(threshold: u32) -> bool {
    let Ok(threshold) = libc::c_int::try_from(threshold) else {
        return false;
    };
    // SAFETY: `mallopt` takes two integers by value and changes numbers of the allocator under its lock; no memory that Rust knows of is read, moved or freed.
    // It answers 0 for a value that it does not take, and then nothing is changed.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, threshold) == 1 }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn set(_: u32) -> bool {
    false
}
