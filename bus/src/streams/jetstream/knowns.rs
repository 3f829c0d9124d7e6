//! Consumers as they were last heard of, so that not every call asks the server first.
//!
//! Whoever deletes a consumer may be another process, which tells nobody: what is known is bounded, and not by hoping that it is forgotten.

use std::sync::Arc;

use hashbrown::HashMap;
use myelin_store::{ConsumerConfig, Name, StreamConfig};

/// Most consumers that are known: more than one process works with at a time. When full, all are forgotten: those in use are asked for once more,
/// and those that are gone are not.
const KNOWN_MAX: usize = 4_096;

/// A consumer as it was last heard of.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) config: Arc<ConsumerConfig>,
    pub(super) stream: Arc<StreamConfig>,
}

#[derive(Debug, Default)]
pub(super) struct Knowns(HashMap<(Name, Name), Known>);

impl Knowns {
    pub(super) fn get(&self, stream: &Name, consumer: &Name) -> Option<Known> {
        self.0.get(&(stream.clone(), consumer.clone())).cloned()
    }

    pub(super) fn insert(&mut self, stream: &Name, consumer: &Name, known: Known) {
        if self.0.len() >= KNOWN_MAX {
            self.0.clear();
        }
        self.0.insert((stream.clone(), consumer.clone()), known);
    }

    /// Forgets this consumer, or all of the stream.
    pub(super) fn forget(&mut self, stream: &Name, consumer: Option<&Name>) {
        self.0.retain(|(of, name), _| of != stream || consumer.is_some_and(|consumer| consumer != name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn consumers_that_are_used_once_do_not_add_up() {
        let mut knowns = Knowns::default();
        let stream = name("s");
        for number in 0..3 * KNOWN_MAX {
            let consumer = name(&format!("run-{number}"));
            let known = Known {
                config: ConsumerConfig::new(consumer.clone()).into(),
                stream: StreamConfig::new(stream.clone(), Vec::new()).into(),
            };
            knowns.insert(&stream, &consumer, known);
            assert!(knowns.0.len() <= KNOWN_MAX && knowns.get(&stream, &consumer).is_some());
        }
        let last = name(&format!("run-{}", 3 * KNOWN_MAX - 1));
        knowns.forget(&stream, Some(&last));
        assert!(knowns.get(&stream, &last).is_none() && !knowns.0.is_empty());
        knowns.forget(&stream, None);
        assert!(knowns.0.is_empty());
    }
}
