//! What is inside the records that are written per message.

use myelin_wire::Subject;

use super::{Malformed, Reader, Writer};

/// A stored message. Times are milliseconds since 1970, 0 where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MessageRecord<'a> {
    pub(crate) sequence: u64,
    pub(crate) stored_ms: u64,
    pub(crate) expires_ms: u64,
    pub(crate) due_ms: u64,
    /// Every message up to this one went to make room for it; 0: none.
    pub(crate) evicts_to: u64,
    /// Nobody was interested when it came, on a stream that goes by that: it is noted and not kept.
    pub(crate) is_unwanted: bool,
    pub(crate) subject: &'a str,
    /// Empty where the publisher gave none.
    pub(crate) id: &'a str,
    pub(crate) headers: &'a [u8],
    pub(crate) payload: &'a [u8],
}

impl<'a> MessageRecord<'a> {
    /// Bytes of [`front`](Self::front), for texts that need no cut.
    pub(crate) fn front_bytes(&self) -> usize {
        47 + self.subject.len() + self.id.len() + self.headers.len()
    }

    /// The fields before the payload; the payload follows them in the body.
    pub(crate) fn front(&self) -> Vec<u8> {
        let mut front = Writer(Vec::with_capacity(self.front_bytes()));
        front.u64(self.sequence).u64(self.stored_ms).u64(self.expires_ms).u64(self.due_ms).u64(self.evicts_to);
        front.u8(u8::from(self.is_unwanted)).text(self.subject).text(self.id);
        front.u32(self.headers.len() as u32);
        front.0.extend_from_slice(self.headers);
        front.0
    }

    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(body);
        let (sequence, stored_ms, expires_ms, due_ms) = (reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?);
        let (evicts_to, is_unwanted) = (reader.u64()?, reader.u8()? != 0);
        let (subject, id) = (reader.text()?, reader.text()?);
        let headers_bytes = reader.u32()? as usize;
        let headers = reader.bytes(headers_bytes)?;
        Subject::new(subject).map_err(|_| Malformed)?;
        Ok(Self { sequence, stored_ms, expires_ms, due_ms, evicts_to, is_unwanted, subject, id, headers, payload: reader.0 })
    }
}

/// Messages that a consumer was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeliveredRecord {
    pub(crate) consumer: u32,
    pub(crate) at_ms: u64,
    pub(crate) sequences: Vec<u64>,
}

/// Messages that a consumer is done with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AckRecord {
    pub(crate) consumer: u32,
    pub(crate) sequences: Vec<u64>,
}

/// One delivery that did not end in an ack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AttemptRecord {
    pub(crate) consumer: u32,
    pub(crate) sequence: u64,
    pub(crate) at_ms: u64,
    /// Not delivered again before this.
    pub(crate) not_before_ms: u64,
    pub(crate) outcome: u8,
    pub(crate) text: Box<str>,
}

impl DeliveredRecord {
    pub(crate) fn body(&self) -> Vec<u8> {
        let mut body = Writer::default();
        body.u32(self.consumer).u64(self.at_ms);
        write_sequences(&mut body, &self.sequences);
        body.0
    }

    pub(crate) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(body);
        Ok(Self { consumer: reader.u32()?, at_ms: reader.u64()?, sequences: read_sequences(reader)? })
    }
}

impl AckRecord {
    pub(crate) fn body(&self) -> Vec<u8> {
        let mut body = Writer::default();
        body.u32(self.consumer);
        write_sequences(&mut body, &self.sequences);
        body.0
    }

    pub(crate) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(body);
        Ok(Self { consumer: reader.u32()?, sequences: read_sequences(reader)? })
    }
}

impl AttemptRecord {
    pub(crate) fn body(&self) -> Vec<u8> {
        let mut body = Writer::default();
        body.u32(self.consumer).u64(self.sequence).u64(self.at_ms).u64(self.not_before_ms).u8(self.outcome).long_text(&self.text);
        body.0
    }

    pub(crate) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(body);
        let record = Self {
            consumer: reader.u32()?,
            sequence: reader.u64()?,
            at_ms: reader.u64()?,
            not_before_ms: reader.u64()?,
            outcome: reader.u8()?,
            text: reader.long_text()?.into(),
        };
        reader.end()?;
        Ok(record)
    }
}

fn write_sequences(body: &mut Writer, sequences: &[u64]) {
    for sequence in sequences {
        body.u64(*sequence);
    }
}

/// As many as there are bytes for: no count is believed.
fn read_sequences(reader: Reader<'_>) -> Result<Vec<u64>, Malformed> {
    let (words, rest) = reader.0.as_chunks::<8>();
    if rest.is_empty() { Ok(words.iter().map(|word| u64::from_le_bytes(*word)).collect()) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_message_is_read_as_it_was_written(
            numbers: [u64; 5],
            is_unwanted: bool,
            subject in "[a-z]{1,9}(\\.[a-z]{1,9}){0,4}",
            id in ".{0,40}",
            headers in prop::collection::vec(any::<u8>(), 0..99),
            payload in prop::collection::vec(any::<u8>(), 0..99),
        ) {
            let [sequence, stored_ms, expires_ms, due_ms, evicts_to] = numbers;
            let message = MessageRecord { sequence, stored_ms, expires_ms, due_ms, evicts_to, is_unwanted, subject: &subject, id: &id, headers: &headers, payload: &payload };
            prop_assert_eq!(message.front().len(), message.front_bytes());
            let mut body = message.front();
            body.extend_from_slice(&payload);
            prop_assert_eq!(MessageRecord::parse(&body), Ok(message));
        }

        #[test]
        fn consumers_records_are_read_as_they_were_written(consumer: u32, at_ms: u64, sequences: Vec<u64>, outcome: u8, text in ".{0,99}") {
            let delivered = DeliveredRecord { consumer, at_ms, sequences: sequences.clone() };
            prop_assert_eq!(DeliveredRecord::parse(&delivered.body()), Ok(delivered));
            let ack = AckRecord { consumer, sequences };
            prop_assert_eq!(AckRecord::parse(&ack.body()), Ok(ack));
            let attempt = AttemptRecord { consumer, sequence: at_ms, at_ms, not_before_ms: at_ms, outcome, text: text.into() };
            prop_assert_eq!(AttemptRecord::parse(&attempt.body()), Ok(attempt));
        }

        #[test]
        fn anything_else_is_malformed_and_no_more(body: Vec<u8>) {
            drop((MessageRecord::parse(&body), DeliveredRecord::parse(&body), AckRecord::parse(&body), AttemptRecord::parse(&body)));
        }
    }
}
