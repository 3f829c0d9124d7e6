//! From bytes to operations.

use super::headers::HEADER_BLOCK_BYTES_MAX;
use super::operation::{Operation, ProtocolError, Publish, Subscribe, Unsubscribe};

/// Longest control line, without its line end: 4,096 bytes, as nats-server.
pub(in crate::listener) const CONTROL_LINE_BYTES_MAX: usize = 4096;

/// What stands at the front of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::listener) enum Parsed<'a> {
    /// An operation in the first `consumed` bytes.
    Complete {
        /// The operation.
        operation: Operation<'a>,
        /// Its length, control line and payload with their line ends.
        consumed: usize,
    },
    /// The start of one. Asking again makes sense once the input has `wanted` bytes.
    Incomplete {
        /// Bytes from the front of the input, always more than there are.
        wanted: usize,
    },
}

/// Reads the operation at the front of `input`.
///
/// # Errors
/// [`ProtocolError`] as soon as it is certain, which for a length is before its payload has arrived.
pub(in crate::listener) fn parse(input: &[u8], payload_bytes_max: usize) -> Result<Parsed<'_>, ProtocolError> {
    let searched = &input[..input.len().min(CONTROL_LINE_BYTES_MAX + 2)];
    let Some(line_end) = searched.iter().position(|&byte| byte == b'\n') else {
        if searched.len() > CONTROL_LINE_BYTES_MAX + 1 {
            return Err(ProtocolError::ControlLine { max: CONTROL_LINE_BYTES_MAX });
        }
        if could_be_operation(searched) {
            return Ok(Parsed::Incomplete { wanted: input.len() + 1 });
        }
        // A peer that speaks HTTP or TLS is told at once, not when it happens to send a line feed.
        return Err(ProtocolError::Unknown);
    };
    let line = &input[..line_end];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() > CONTROL_LINE_BYTES_MAX {
        return Err(ProtocolError::ControlLine { max: CONTROL_LINE_BYTES_MAX });
    }
    let (word, rest) = split_word(line);
    let payload_start = line_end + 1;
    let control = |operation| Ok(Parsed::Complete { operation, consumed: payload_start });
    match Word::read(word) {
        Some(Word::Pub) => publish(input, payload_start, PublishLine::read_pub(rest)?, payload_bytes_max),
        Some(Word::Hpub) => publish(input, payload_start, PublishLine::read_hpub(rest)?, payload_bytes_max),
        Some(Word::Sub) => control(Operation::Subscribe(subscribe(rest)?)),
        Some(Word::Unsub) => control(Operation::Unsubscribe(unsubscribe(rest)?)),
        Some(Word::Ping) => control(Operation::Ping),
        Some(Word::Pong) => control(Operation::Pong),
        Some(Word::Connect) => control(Operation::Connect(rest)),
        Some(Word::Info) => control(Operation::Info),
        None => Err(ProtocolError::Unknown),
    }
}

#[derive(Clone, Copy)]
enum Word {
    Pub,
    Hpub,
    Sub,
    Unsub,
    Ping,
    Pong,
    Connect,
    Info,
}

impl Word {
    const ALL: [(&'static [u8], Self); 8] = [
        (b"PUB", Self::Pub),
        (b"HPUB", Self::Hpub),
        (b"SUB", Self::Sub),
        (b"UNSUB", Self::Unsub),
        (b"PING", Self::Ping),
        (b"PONG", Self::Pong),
        (b"CONNECT", Self::Connect),
        (b"INFO", Self::Info),
    ];

    fn read(word: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name)).map(|(_, word)| word)
    }
}

/// Whether bytes without a line end may still become an operation.
fn could_be_operation(start: &[u8]) -> bool {
    let word_len = start.iter().position(|&byte| is_blank(byte) || byte == b'\r');
    Word::ALL.iter().any(|(name, _)| match word_len {
        Some(len) => start[..len].eq_ignore_ascii_case(name),
        None => name.get(..start.len()).is_some_and(|prefix| start.eq_ignore_ascii_case(prefix)),
    })
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// The first word of a line and what follows it, without the blanks between.
fn split_word(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line.iter().position(|&byte| is_blank(byte)).unwrap_or(line.len());
    (&line[..end], line[end..].trim_ascii())
}

/// The arguments of a line, when there are 1 to 4 of them.
fn arguments(rest: &[u8]) -> Option<([&[u8]; 4], usize)> {
    let mut found: [&[u8]; 4] = [&[]; 4];
    let mut count = 0;
    for argument in rest.split(|&byte| is_blank(byte)).filter(|argument| !argument.is_empty()) {
        *found.get_mut(count)? = argument;
        count += 1;
    }
    Some((found, count))
}

/// A decimal number; saturates, so that an absurd length is too long and not unreadable.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits
        .iter()
        .try_fold(0_u64, |value, digit| digit.is_ascii_digit().then(|| value.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

struct PublishLine<'a> {
    subject: &'a [u8],
    reply: Option<&'a [u8]>,
    header_bytes: Option<u64>,
    total_bytes: u64,
}

impl<'a> PublishLine<'a> {
    fn read_pub(rest: &'a [u8]) -> Result<Self, ProtocolError> {
        let (subject, reply, size) = match arguments(rest) {
            Some(([subject, size, ..], 2)) => (subject, None, size),
            Some(([subject, reply, size, _], 3)) => (subject, Some(reply), size),
            _ => return Err(ProtocolError::Unknown),
        };
        let total_bytes = number(size).ok_or(ProtocolError::Unknown)?;
        Ok(Self { subject, reply, header_bytes: None, total_bytes })
    }

    fn read_hpub(rest: &'a [u8]) -> Result<Self, ProtocolError> {
        let (subject, reply, header_size, size) = match arguments(rest) {
            Some(([subject, header_size, size, _], 3)) => (subject, None, header_size, size),
            Some(([subject, reply, header_size, size], 4)) => (subject, Some(reply), header_size, size),
            _ => return Err(ProtocolError::Unknown),
        };
        let header_bytes = number(header_size).ok_or(ProtocolError::Unknown)?;
        let total_bytes = number(size).ok_or(ProtocolError::Unknown)?;
        if header_bytes > total_bytes {
            return Err(ProtocolError::Unknown);
        }
        Ok(Self { subject, reply, header_bytes: Some(header_bytes), total_bytes })
    }
}

fn publish<'a>(input: &'a [u8], start: usize, line: PublishLine<'a>, payload_bytes_max: usize) -> Result<Parsed<'a>, ProtocolError> {
    let within = |declared: u64, max: usize| match usize::try_from(declared) {
        Ok(bytes) if bytes <= max => Ok(bytes),
        _ => Err(ProtocolError::Payload { declared, max }),
    };
    let total = within(line.total_bytes, payload_bytes_max)?;
    let header = line.header_bytes.map(|declared| within(declared, HEADER_BLOCK_BYTES_MAX)).transpose()?;
    let end = start + total;
    let Some(after) = input.get(end..end + 2) else {
        return Ok(Parsed::Incomplete { wanted: end + 2 });
    };
    if after != b"\r\n" {
        return Err(ProtocolError::Unknown);
    }
    let (headers, payload) = input[start..end].split_at(header.unwrap_or(0));
    let operation = Operation::Publish(Publish {
        subject: line.subject,
        reply: line.reply,
        headers: header.map(|_| headers).filter(|block| !block.is_empty()),
        payload,
    });
    Ok(Parsed::Complete { operation, consumed: end + 2 })
}

fn subscribe(rest: &[u8]) -> Result<Subscribe<'_>, ProtocolError> {
    match arguments(rest) {
        Some(([filter, sid, ..], 2)) => Ok(Subscribe { filter, group: None, sid }),
        Some(([filter, group, sid, _], 3)) => Ok(Subscribe { filter, group: Some(group), sid }),
        _ => Err(ProtocolError::Unknown),
    }
}

fn unsubscribe(rest: &[u8]) -> Result<Unsubscribe<'_>, ProtocolError> {
    match arguments(rest) {
        Some(([sid, ..], 1)) => Ok(Unsubscribe { sid, max: 0 }),
        Some(([sid, max, ..], 2)) => {
            let max = number(max).ok_or(ProtocolError::Unknown)?;
            Ok(Unsubscribe { sid, max })
        }
        _ => Err(ProtocolError::Unknown),
    }
}
