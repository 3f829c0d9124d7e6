//! What is inside the records that are written per message.

use myelin_wire::Subject;

/// A body that no version of this format wrote. Its checksum fits, so this is a mistake of ours and not damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed body of a record")]
pub(crate) struct Malformed;

/// Takes little-endian fields off the front of a body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// A text behind its length in one byte.
    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        let bytes = self.u8()?;
        str::from_utf8(self.bytes(usize::from(bytes))?).map_err(|_| Malformed)
    }

    /// A text behind its length in two bytes.
    pub(crate) fn long_text(&mut self) -> Result<&'a str, Malformed> {
        let bytes = self.u16()?;
        str::from_utf8(self.bytes(usize::from(bytes))?).map_err(|_| Malformed)
    }

    pub(crate) fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

/// Puts little-endian fields at the end of a body.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub(crate) fn u16(&mut self, value: u16) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// A text of at most 255 bytes; what is longer is cut at a character.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        let text = cut(text, usize::from(u8::MAX));
        self.u8(text.len() as u8);
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// A text of at most 65,535 bytes; what is longer is cut at a character.
    pub(crate) fn long_text(&mut self, text: &str) -> &mut Self {
        let text = cut(text, usize::from(u16::MAX));
        self.u16(text.len() as u16);
        self.0.extend_from_slice(text.as_bytes());
        self
    }
}

/// The beginning of a text, at most this many bytes and whole characters.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// A stored message. Times are milliseconds since 1970, 0 where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MessageRecord<'a> {
    pub(crate) sequence: u64,
    pub(crate) stored_ms: u64,
    pub(crate) expires_ms: u64,
    pub(crate) due_ms: u64,
    pub(crate) subject: &'a str,
    /// Empty where the publisher gave none.
    pub(crate) id: &'a str,
    pub(crate) headers: &'a [u8],
    pub(crate) payload: &'a [u8],
}

impl<'a> MessageRecord<'a> {
    /// The fields before the payload; the payload follows them in the body.
    pub(crate) fn front(&self) -> Vec<u8> {
        let mut front = Writer(Vec::with_capacity(38 + self.subject.len() + self.id.len() + self.headers.len()));
        front.u64(self.sequence).u64(self.stored_ms).u64(self.expires_ms).u64(self.due_ms).text(self.subject).text(self.id);
        front.u32(self.headers.len() as u32);
        front.0.extend_from_slice(self.headers);
        front.0
    }

    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(body);
        let (sequence, stored_ms, expires_ms, due_ms) = (reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?);
        let (subject, id) = (reader.text()?, reader.text()?);
        let headers_bytes = reader.u32()? as usize;
        let headers = reader.bytes(headers_bytes)?;
        Subject::new(subject).map_err(|_| Malformed)?;
        Ok(Self { sequence, stored_ms, expires_ms, due_ms, subject, id, headers, payload: reader.0 })
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
            numbers: [u64; 4],
            subject in "[a-z]{1,9}(\\.[a-z]{1,9}){0,4}",
            id in ".{0,40}",
            headers in prop::collection::vec(any::<u8>(), 0..99),
            payload in prop::collection::vec(any::<u8>(), 0..99),
        ) {
            let [sequence, stored_ms, expires_ms, due_ms] = numbers;
            let message = MessageRecord { sequence, stored_ms, expires_ms, due_ms, subject: &subject, id: &id, headers: &headers, payload: &payload };
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

    #[test]
    fn a_text_too_long_is_cut_at_a_character() {
        assert_eq!(cut("aµb", 2), "a");
        assert_eq!(cut("aµb", 3), "aµ");
    }
}
