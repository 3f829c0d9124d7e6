//! Machines of their own on one real machine: network namespaces that hang on a router, each by one cable.
//!
//! Where to read: [`Hosts`] (what a test starts) → [`Host`] (processes and sockets inside one) → [`Cable`] (cut, mend, count).
//!
//! ```text
//!   host 0 ──cable──┐
//!   host 1 ──cable──┤ router
//!   host 2 ──cable──┘
//! ```
//!
//! - A cable is cut **in the router**: it drops both directions and says nothing. The hosts keep their link, their routes and
//!   their neighbours, so an established connection sees silence, and so does a new one, as behind a switch that has died.
//!   A link that is set down would tell the kernel at its end.
//! - The namespaces have no names. They end with the test process and what runs in them. What a killed test process could not end, the next
//!   test with hosts does.
//! - Every test has a network of its own, so all of them have the same addresses: 10.77.N.2, N from 1.
//! - Files and process ids are those of the real machine.

mod cable;
mod host;
mod leftovers;
mod namespace;

use std::io::Write;
use std::ops::Index;
use std::sync::Arc;

pub use cable::{Cable, NoNetem, Traffic};
pub use host::Host;
pub(crate) use host::on;
use namespace::{Forbidden, Namespace};

/// Subnets are numbered in one byte of the address.
const HOSTS_MAX: usize = 200;

/// Hosts, and the router between them.
#[derive(Debug)]
pub struct Hosts {
    hosts: Vec<Host>,
}

impl Hosts {
    /// Two hosts. As [`Hosts::start`].
    ///
    /// # Panics
    /// As [`Hosts::start`].
    #[must_use]
    #[track_caller]
    pub fn two() -> Option<Self> {
        Self::start(2)
    }

    /// So many hosts; `None` where the kernel forbids it to this user, which is said on standard error. A test has to return then.
    ///
    /// # Panics
    /// Instead of `None` when `CI` is set: there a promise that was not tested is a failure. When `ip` is not installed. When
    /// there are none or more than 200 hosts.
    #[must_use]
    #[track_caller]
    pub fn start(count: usize) -> Option<Self> {
        assert!((1..=HOSTS_MAX).contains(&count), "1 to {HOSTS_MAX} hosts, not {count}");
        match Self::build(count) {
            Ok(hosts) => Some(hosts),
            Err(Forbidden(why)) => {
                assert!(std::env::var_os("CI").is_none(), "no hosts: {why}");
                // Standard error itself: what is printed in another way the harness hides when a test passes.
                let said = writeln!(std::io::stderr(), "SKIPPED, this test needs network namespaces (run it as root on Linux): {why}");
                said.expect("standard error can be written");
                None
            }
        }
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Host] {
        &self.hosts
    }

    #[track_caller]
    fn build(count: usize) -> Result<Self, Forbidden> {
        let router = Arc::new(Namespace::new()?);
        leftovers::end();
        router.set("net/ipv4/ip_forward", "1")?;
        let hosts = (1..=count).map(|number| Host::plug_in(&router, u8::try_from(number).expect("at most 200")));
        Ok(Self { hosts: hosts.collect::<Result<_, _>>()? })
    }
}

impl Index<usize> for Hosts {
    type Output = Host;

    fn index(&self, number: usize) -> &Host {
        &self.hosts[number]
    }
}
