//! The latest messages of a stream, whole: a worker that keeps up is given them without a read of the disk.

use std::collections::VecDeque;

use crate::handle::Stored;

/// Most bytes of messages that are kept, those of their records: 2 MiB a stream.
const BYTES_MAX: usize = 2 << 20;

/// Largest message that is kept: what is larger would push out many others, and is worth a read.
pub(super) const RECENT_BYTES_MAX: usize = 64 << 10;

/// What a message costs beside its bytes, at least.
const MESSAGE_BYTES: usize = 256;

/// In the order of their sequences. What left the stream may still be here, and is not asked for.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    messages: VecDeque<Stored>,
    bytes: usize,
}

impl Recent {
    pub(crate) fn push(&mut self, message: Stored) {
        self.bytes += cost(&message);
        self.messages.push_back(message);
        while self.bytes > BYTES_MAX {
            let Some(oldest) = self.messages.pop_front() else { break };
            self.bytes -= cost(&oldest);
        }
    }

    pub(crate) fn get(&self, sequence: u64) -> Option<&Stored> {
        let place = self.messages.binary_search_by_key(&sequence, |message| message.sequence).ok()?;
        self.messages.get(place)
    }
}

fn cost(message: &Stored) -> usize {
    MESSAGE_BYTES + message.headers.len() + message.payload.len() + message.id.as_ref().map_or(0, |id| id.len())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use myelin_wire::Subject;

    use super::*;

    #[test]
    fn the_latest_are_kept_within_the_bytes() {
        let mut recent = Recent::default();
        for sequence in (2..=400).step_by(2) {
            let subject = Subject::new("a").unwrap();
            let payload = Bytes::from(vec![7; RECENT_BYTES_MAX]);
            recent.push(Stored { sequence, subject, stored_ms: 1, expires_ms: None, id: None, headers: Bytes::new(), payload });
        }
        assert!(recent.bytes <= BYTES_MAX, "{}", recent.bytes);
        assert_eq!(recent.get(400).unwrap().sequence, 400);
        assert!(recent.get(2).is_none() && recent.get(399).is_none() && recent.get(401).is_none());
    }
}
