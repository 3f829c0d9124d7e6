//! Reading messages, from whoever sent them: a cursor that checks every length against what is there.

use std::time::Duration;

use bytes::Bytes;
use myelin_bus::wire::Frames;
use rmp::decode::{read_array_len, read_bin_len, read_int, read_str_len};

use super::{KEYS_MAX, KIND_BYTES_MAX, MESSAGE_BYTES_MAX, Malformed, Message, NodeId, SERVICE_BYTES_MAX, Said, TAG, Why, number};
use crate::health::config::{DOCUMENT_BYTES_MAX, POLL_BYTES_MAX};
use crate::health::key::Key;

/// No age and no bound is longer than this; a longer one would only overflow.
const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads a message.
///
/// # Errors
/// [`Malformed`], whatever is wrong with it.
pub(in crate::health) fn decode(bytes: &Bytes) -> Result<Message, Malformed> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(Malformed);
    }
    let mut reader = Reader { rest: bytes };
    let elements = reader.array()?;
    if reader.text(TAG.len())? != TAG {
        return Err(Malformed);
    }
    let kind: u8 = reader.int()?;
    let from = NodeId(reader.int()?);
    let needed = match kind {
        number::RENEW | number::DROP => 4,
        number::ASK => 5,
        number::LEASE => 6,
        number::WITHDRAW => 7,
        number::DOCUMENT => 8,
        _ => return Err(Malformed),
    };
    if elements < needed {
        return Err(Malformed);
    }
    // What follows is of a later release.
    let said = match kind {
        number::ASK => Said::Ask { bound: reader.duration()?, keys: reader.keys()? },
        number::RENEW => Said::Renew { number: reader.int()? },
        number::DROP => Said::Drop { keys: reader.keys()? },
        number::LEASE => Said::Lease { number: reader.int()?, told: reader.int()?, oldest: reader.duration()? },
        number::DOCUMENT => {
            Said::Document { told: reader.int()?, key: reader.key()?, kind: reader.text(KIND_BYTES_MAX)?.into(), content: reader.frames()? }
        }
        _ => Said::Withdraw { told: reader.int()?, key: reader.key()?, why: reader.why()? },
    };
    Ok(Message { from, said })
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn array(&mut self) -> Result<u32, Malformed> {
        read_array_len(&mut self.rest).map_err(|_| Malformed)
    }

    fn int<T: TryFrom<u64>>(&mut self) -> Result<T, Malformed> {
        let number: u64 = read_int(&mut self.rest).map_err(|_| Malformed)?;
        T::try_from(number).map_err(|_| Malformed)
    }

    fn duration(&mut self) -> Result<Duration, Malformed> {
        Ok(Duration::from_millis(self.int()?).min(DURATION_MAX))
    }

    fn text(&mut self, bytes_max: usize) -> Result<&'a str, Malformed> {
        let len = read_str_len(&mut self.rest).map_err(|_| Malformed)?;
        str::from_utf8(self.take(len, bytes_max)?).map_err(|_| Malformed)
    }

    fn bin(&mut self, bytes_max: usize) -> Result<&'a [u8], Malformed> {
        let len = read_bin_len(&mut self.rest).map_err(|_| Malformed)?;
        self.take(len, bytes_max)
    }

    fn take(&mut self, len: u32, bytes_max: usize) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(len).ok().filter(|len| *len <= bytes_max).ok_or(Malformed)?;
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn key(&mut self) -> Result<Key, Malformed> {
        let service = self.text(SERVICE_BYTES_MAX)?;
        let request = self.bin(POLL_BYTES_MAX)?;
        Ok(Key::new(service, request))
    }

    /// Services and requests by turns.
    fn keys(&mut self) -> Result<Vec<Key>, Malformed> {
        let count = self.array()? as usize;
        if !count.is_multiple_of(2) || count / 2 > KEYS_MAX {
            return Err(Malformed);
        }
        (0..count / 2).map(|_| self.key()).collect()
    }

    fn frames(&mut self) -> Result<Frames, Malformed> {
        // A document lives long, and must not keep the message alive that brought it.
        let packed = Bytes::copy_from_slice(self.bin(DOCUMENT_BYTES_MAX)?);
        Frames::from_packed(packed).map_err(|_| Malformed)
    }

    fn why(&mut self) -> Result<Why, Malformed> {
        match self.int()? {
            number::SILENT => Ok(Why::Silent),
            number::ENDED => Ok(Why::Ended),
            number::SEVERAL => Ok(Why::Several),
            number::UNFIT => Ok(Why::Unfit),
            _ => Err(Malformed),
        }
    }
}
