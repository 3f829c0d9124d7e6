//! Ports that stay ours for the life of the test process.
//!
//! Tests run as parallel processes and restart servers on the same port. A port that was merely free a moment ago
//! can be taken by a neighbour, or by the kernel for an outgoing connection. So a port is leased: it lies below the
//! ephemeral range, and a locked file stands for it until this process ends. A block of ports goes back with its sidecar: there are fewer of them
//! than a long test starts sidecars.

use std::fs::{File, OpenOptions, TryLockError};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// Single ports.
const FIRST: u16 = 10_000;
const COUNT: u16 = 10_000;
/// Blocks of ports, for sidecars that hand out ports themselves.
const BLOCK_FIRST: u16 = 20_000;
const BLOCK_SIZE: u16 = 200;
const BLOCKS: u16 = 60;

/// Locks are released by the kernel when the process ends, however it ends.
static LEASES: Mutex<Vec<File>> = Mutex::new(Vec::new());
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A loopback port that no other test has, until this process ends.
///
/// # Panics
/// When none of the 10,000 ports is free, or the temporary directory cannot be written.
#[must_use]
pub fn free_port() -> u16 {
    // Processes begin at different places, so that they seldom meet on one lock.
    let begin = std::process::id().wrapping_mul(97);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let offset = begin.wrapping_add(step) % u32::from(COUNT);
        let port = FIRST + u16::try_from(offset).expect("the offset is below COUNT");
        let Some(lease) = lease(port) else { continue };
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            LEASES.lock().expect("no holder panics").push(lease);
            return port;
        }
    }
    panic!("no free port in {FIRST}..{}", FIRST + COUNT);
}

/// 200 ports that no other test has, for a sidecar that gives ports to agents. Dropping it gives them back.
#[derive(Debug)]
pub(crate) struct PortBlock {
    first: u16,
    _lease: File,
}

impl PortBlock {
    /// Leases a block.
    ///
    /// # Panics
    /// When 60 sidecars run at once.
    pub(crate) fn lease() -> Self {
        for index in 0..BLOCKS {
            let first = BLOCK_FIRST + index * BLOCK_SIZE;
            if let Some(lease) = lease(first) {
                return Self { first, _lease: lease };
            }
        }
        panic!("all {BLOCKS} blocks of ports are taken");
    }

    pub(crate) const fn range(&self) -> RangeInclusive<u16> {
        self.first..=self.first + BLOCK_SIZE - 1
    }
}

fn lease(port: u16) -> Option<File> {
    let directory = std::env::temp_dir().join("myelin-testkit-ports");
    let path = directory.join(port.to_string());
    let opened = std::fs::create_dir_all(&directory).and_then(|()| OpenOptions::new().create(true).truncate(false).write(true).open(&path));
    let file = opened.unwrap_or_else(|error| panic!("cannot open {}: {error}", path.display()));
    match file.try_lock() {
        Ok(()) => Some(file),
        Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Error(error)) => panic!("cannot lock {}: {error}", path.display()),
    }
}

/// `N` ports at once.
///
/// # Panics
/// As [`free_port`].
#[must_use]
pub fn free_ports<const N: usize>() -> [u16; N] {
    std::array::from_fn(|_| free_port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn two_leases_are_never_the_same_port() {
        let ports = free_ports::<64>();
        assert_eq!(ports.iter().collect::<HashSet<_>>().len(), 64);
        assert!(ports.iter().all(|port| *port < 32_768), "below the ephemeral range");
    }

    /// The interop matrix, which starts hundreds of sidecars one after another, stopped at the 61st.
    #[test]
    fn a_dropped_block_is_there_for_the_next_sidecar() {
        for _ in 0..=BLOCKS {
            assert_eq!(PortBlock::lease().range().count(), usize::from(BLOCK_SIZE));
        }
    }
}
