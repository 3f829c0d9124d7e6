//! Large buffers go back to the system when they are freed.
//!
//! glibc gives an allocation from [`MMAP_THRESHOLD`] up a mapping of its own, which ends with it. But each time such a one is freed the threshold rises to its
//! size, up to 32 MiB, and what may stay unused at a heap's end to twice that (`mallopt(3)`, "dynamic adjustment"). After the first message of some
//! megabytes all buffers therefore come out of the heaps, small allocations settle between them, and a process that runs for weeks keeps what its
//! worst minute needed. Setting the threshold ends the adjustment. And what lies free between allocations that are in use only goes back when somebody asks for
//! it ([`give_back`]). What both cost and save is in `docs/adr/0013-allocator.md`.

/// From this size on, in bytes, a heap does not grow for an allocation: what fits into no hole of it has a mapping of its own. Most messages are smaller; the
/// buffers of large ones, and what waits in a burst, come and go without leaving the heap larger.
pub const MMAP_THRESHOLD: u32 = 32 * 1024;

/// Keeps the threshold at [`MMAP_THRESHOLD`] for the whole process; to be called once, before other threads begin.
///
/// Says whether it did: not with another C library than glibc, nor where the operator has set glibc's own variables (`MALLOC_MMAP_THRESHOLD_`,
/// `MALLOC_TRIM_THRESHOLD_`, `GLIBC_TUNABLES` with `glibc.malloc`), which count for more.
pub fn keep_mmap_threshold() -> bool {
    !set_by_the_operator() && set(MMAP_THRESHOLD)
}

/// Gives the pages back to the system that lie free in the heaps, also between allocations in use; the heaps keep their addresses, and a page that is wanted
/// again comes empty. Says whether there were any.
///
/// Other threads wait for their heap meanwhile. For a thread without work of its own, every few seconds.
pub fn give_back() -> bool {
    trim()
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

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "as above")]
fn trim() -> bool {
    // SAFETY: `malloc_trim` takes a number by value and gives back pages of which no allocation has a byte, each heap under its lock.
    unsafe { libc::malloc_trim(0) == 1 }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn set(_: u32) -> bool {
    false
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() -> bool {
    false
}
