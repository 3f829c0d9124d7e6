//! The digest of a sidecar's names: the same whatever the order they came in, and kept up by each change alone.
//!
//! It finds messages that were lost, not forgeries.

use super::super::agent::AgentName;
use super::message::Sockets;

/// The sum of what [`of`] says of each name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest(u64);

impl Digest {
    pub(super) fn add(&mut self, name: &AgentName, sockets: Sockets) {
        self.0 = self.0.wrapping_add(of(name, sockets));
    }

    pub(super) fn remove(&mut self, name: &AgentName, sockets: Sockets) {
        self.0 = self.0.wrapping_sub(of(name, sockets));
    }

    pub(super) fn get(self) -> u64 {
        self.0
    }
}

/// FNV-1a over the name and its sockets, mixed once more: sums of plain FNV values of similar names are alike. It is part of the format.
fn of(name: &AgentName, sockets: Sockets) -> u64 {
    let bytes = name.as_str().bytes().chain([0xff, u8::from(sockets.has_health())]);
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ mixed >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value stands in docs/fleet.md: another one would make every sidecar of an earlier release look out of date for ever.
    #[test]
    fn it_is_what_the_format_says() {
        let mut digest = Digest::default();
        digest.add(&AgentName::new("A").unwrap(), Sockets::Service);
        assert_eq!(format!("{:016x}", digest.get()), "423e84792c95a427");
    }

    #[test]
    fn order_does_not_matter_and_what_is_removed_is_gone() {
        let (a, b) = (AgentName::new("a").unwrap(), AgentName::new("b").unwrap());
        let (mut one, mut other) = (Digest::default(), Digest::default());
        one.add(&a, Sockets::Service);
        one.add(&b, Sockets::ServiceAndHealth);
        other.add(&b, Sockets::ServiceAndHealth);
        assert_ne!(one, other);
        other.add(&a, Sockets::Service);
        assert_eq!(one, other);
        one.remove(&a, Sockets::Service);
        one.remove(&b, Sockets::ServiceAndHealth);
        assert_eq!(one, Digest::default());
    }
}
