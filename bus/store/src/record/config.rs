//! Configurations, as records keep them.

use std::time::Duration;

use myelin_wire::Filter;
use myelin_wire::limits::PAYLOAD_BYTES_CEILING;

use super::{Malformed, Reader, Writer};
use crate::config::{ConsumerConfig, Durability, Name, OnFull, Retention, StreamConfig};
use crate::consumer::millis;

/// Where a duration may be absent.
const NONE: u64 = u64::MAX;

/// The last byte of a stream's configuration. The first bit is all that it was at first: a configuration of then is read as it was meant.
const EXPIRED: u8 = 1;
const EVICTED: u8 = 2;
/// A limit of one message follows.
const MESSAGE_BYTES: u8 = 4;

pub(crate) fn write_stream(body: &mut Writer, config: &StreamConfig) {
    body.text(config.name.as_str()).u16(config.subjects.len() as u16);
    for filter in &config.subjects {
        body.text(filter.as_str());
    }
    body.u8(match config.retention {
        Retention::Limits => 0,
        Retention::WorkQueue => 1,
        Retention::Interest => 2,
    });
    body.u64(config.messages_max).u64(config.bytes_max).u64(config.age_max.map_or(NONE, millis));
    body.u8(match config.on_full {
        OnFull::Reject => 0,
        OnFull::DropOldest => 1,
    });
    body.u64(millis(config.dedup_window));
    body.u8(match config.durability {
        Durability::Synced => 0,
        Durability::OsBuffered => 1,
        Durability::Memory => 2,
    });
    let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
    let has_limit = config.message_bytes_max != PAYLOAD_BYTES_CEILING as u64;
    body.u8(flag(config.dead_letter_expired, EXPIRED) | flag(config.dead_letter_evicted, EVICTED) | flag(has_limit, MESSAGE_BYTES));
    if has_limit {
        body.u64(config.message_bytes_max);
    }
}

pub(crate) fn read_stream(reader: &mut Reader<'_>) -> Result<StreamConfig, Malformed> {
    let name = name(reader)?;
    let mut subjects = Vec::new();
    for _ in 0..reader.u16()? {
        subjects.push(Filter::new(reader.text()?).map_err(|_| Malformed)?);
    }
    let mut config = StreamConfig::new(name, subjects);
    config.retention = match reader.u8()? {
        0 => Retention::Limits,
        1 => Retention::WorkQueue,
        2 => Retention::Interest,
        _ => return Err(Malformed),
    };
    (config.messages_max, config.bytes_max) = (reader.u64()?, reader.u64()?);
    config.age_max = Some(reader.u64()?).filter(|age| *age != NONE).map(Duration::from_millis);
    config.on_full = match reader.u8()? {
        0 => OnFull::Reject,
        1 => OnFull::DropOldest,
        _ => return Err(Malformed),
    };
    config.dedup_window = Duration::from_millis(reader.u64()?);
    config.durability = match reader.u8()? {
        0 => Durability::Synced,
        1 => Durability::OsBuffered,
        2 => Durability::Memory,
        _ => return Err(Malformed),
    };
    let flags = reader.u8()?;
    if flags & !(EXPIRED | EVICTED | MESSAGE_BYTES) != 0 {
        return Err(Malformed);
    }
    (config.dead_letter_expired, config.dead_letter_evicted) = (flags & EXPIRED != 0, flags & EVICTED != 0);
    if flags & MESSAGE_BYTES != 0 {
        config.message_bytes_max = reader.u64()?;
    }
    Ok(config)
}

pub(crate) fn write_consumer(body: &mut Writer, config: &ConsumerConfig) {
    body.text(config.name.as_str()).text(config.filter.as_ref().map_or("", Filter::as_str));
    body.u32(u32::try_from(config.in_flight_max).unwrap_or(u32::MAX)).u64(millis(config.ack_wait)).u32(config.deliveries_max);
    body.u16(config.backoff.len() as u16);
    for wait in &config.backoff {
        body.u64(millis(*wait));
    }
}

pub(crate) fn read_consumer(reader: &mut Reader<'_>) -> Result<ConsumerConfig, Malformed> {
    let mut config = ConsumerConfig::new(name(reader)?);
    let filter = reader.text()?;
    config.filter = if filter.is_empty() { None } else { Some(Filter::new(filter).map_err(|_| Malformed)?) };
    config.in_flight_max = reader.u32()? as usize;
    config.ack_wait = Duration::from_millis(reader.u64()?);
    config.deliveries_max = reader.u32()?;
    for _ in 0..reader.u16()? {
        config.backoff.push(Duration::from_millis(reader.u64()?));
    }
    Ok(config)
}

fn name(reader: &mut Reader<'_>) -> Result<Name, Malformed> {
    Name::new(reader.text()?).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_are_read_as_they_were_written() {
        let mut stream = StreamConfig::new(Name::new("orders").unwrap(), vec![Filter::new("a.*").unwrap(), Filter::new("b.>").unwrap()]);
        let mut body = Writer::default();
        write_stream(&mut body, &stream);
        assert_eq!(read_stream(&mut Reader(&body.0)), Ok(stream.clone()));
        (stream.retention, stream.on_full, stream.durability) = (Retention::Interest, OnFull::DropOldest, Durability::Memory);
        (stream.age_max, stream.dead_letter_expired, stream.messages_max) = (Some(Duration::from_secs(9)), true, 7);
        (stream.dead_letter_evicted, stream.message_bytes_max) = (true, 4096);
        let mut body = Writer::default();
        write_stream(&mut body, &stream);
        assert_eq!(read_stream(&mut Reader(&body.0)), Ok(stream));

        let mut consumer = ConsumerConfig::new(Name::new("c").unwrap());
        consumer.filter = Some(Filter::new("a.>").unwrap());
        (consumer.backoff, consumer.deliveries_max) = (vec![Duration::from_secs(1), Duration::from_secs(2)], 3);
        let mut body = Writer::default();
        write_consumer(&mut body, &consumer);
        assert_eq!(read_consumer(&mut Reader(&body.0)), Ok(consumer));
    }
}
