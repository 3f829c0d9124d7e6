//! Everything that is not in a message record, as one record at the beginning of a segment: older segments may go then.

use super::Core;
use super::core::Counts;
use super::ranges::Ranges;
use crate::config::{ConsumerConfig, StreamConfig};
use crate::consumer::ConsumerState;
use crate::record::{Malformed, Reader, Writer, read_consumer, read_stream, write_consumer, write_stream};

impl Core {
    pub(crate) fn write_snapshot(&self, body: &mut Writer) {
        write_stream(body, &self.config);
        body.u32(self.next_key).u64(self.last_sequence);
        body.u64(self.counts.evicted).u64(self.counts.expired).u64(self.counts.removed);
        if cfg!(myelin_mutant = "resurrect_what_is_gone") { Ranges::default() } else { self.gone.clone() }.write(body);
        body.u32(self.consumers.len() as u32);
        for (key, consumer) in &self.consumers {
            body.u32(*key);
            write_consumer(body, &consumer.config);
            consumer.write(body);
        }
    }

    /// Puts the core where a snapshot says it was. The messages are those that were read before.
    pub(crate) fn apply_snapshot(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let config: StreamConfig = read_stream(reader)?;
        let (next_key, last_sequence) = (reader.u32()?, reader.u64()?);
        let counts = Counts { evicted: reader.u64()?, expired: reader.u64()?, removed: reader.u64()? };
        let gone = Ranges::read(reader)?;
        let mut consumers = Vec::new();
        for _ in 0..reader.u32()? {
            let key = reader.u32()?;
            let config: ConsumerConfig = read_consumer(reader)?;
            consumers.push((key, ConsumerState::read(config, reader)?));
        }
        self.config = config;
        self.next_key = next_key;
        self.last_sequence = self.last_sequence.max(last_sequence);
        self.counts = counts;
        for (first, last) in gone.iter() {
            let found: Vec<_> = self.index.range(first..=last).map(|(sequence, _)| sequence).collect();
            found.into_iter().for_each(|sequence| self.drop_message(sequence));
        }
        self.gone = gone;
        self.keys = consumers.iter().map(|(key, consumer)| (consumer.config.name.clone(), *key)).collect();
        self.consumers = consumers.into_iter().collect();
        self.knows_all = true;
        Ok(())
    }
}
