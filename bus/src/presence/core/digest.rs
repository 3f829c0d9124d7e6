//! A number for all agents of a node at their versions, kept up to date one agent at a time.

use crate::wire::AgentId;

/// The sum of one number per agent, so that their order is of no importance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Digest(u64);

impl Digest {
    pub(super) const fn get(self) -> u64 {
        self.0
    }

    pub(super) fn add(&mut self, id: &AgentId, incarnation: u64, version: u64) {
        self.0 = self.0.wrapping_add(mixed(id, incarnation, version));
    }

    pub(super) fn remove(&mut self, id: &AgentId, incarnation: u64, version: u64) {
        self.0 = self.0.wrapping_sub(mixed(id, incarnation, version));
    }
}

/// FNV-1a over the id, `0xff`, and both numbers in little endian; then mixed once more, because sums of plain FNV hashes cancel out.
fn mixed(id: &AgentId, incarnation: u64, version: u64) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let bytes = id.as_str().bytes().chain([0xff]).chain(incarnation.to_le_bytes()).chain(version.to_le_bytes());
    let hash = bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    let hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ hash >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `docs/presence.md` says it; nodes of other releases compute the same.
    #[test]
    fn the_digest_is_the_documented_one() {
        let mut digest = Digest::default();
        digest.add(&AgentId::new("A").expect("an id"), 1, 2);
        assert_eq!(format!("{:016x}", digest.get()), "71707d8aeecfa74a");
        digest.remove(&AgentId::new("A").expect("an id"), 1, 2);
        assert_eq!(digest, Digest::default());
    }
}
