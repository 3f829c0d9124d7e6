//! Writing messages. There is one way to write each value, the shortest.

use std::io;

use bytes::Bytes;
use rmp::encode::{write_array_len, write_bin, write_str, write_uint};

use super::{Message, Said, TAG, Why, number};
use crate::health::key::Key;

/// The bytes of a message.
pub(in crate::health) fn encode(message: &Message) -> Bytes {
    let mut out = Vec::with_capacity(64);
    write(&mut out, message).expect("a vector takes every write");
    out.into()
}

fn write(out: &mut Vec<u8>, message: &Message) -> io::Result<()> {
    let (kind, elements) = match &message.said {
        Said::Ask { .. } => (number::ASK, 5),
        Said::Renew { .. } => (number::RENEW, 4),
        Said::Drop { .. } => (number::DROP, 4),
        Said::Lease { .. } => (number::LEASE, 6),
        Said::Document { .. } => (number::DOCUMENT, 8),
        Said::Withdraw { .. } => (number::WITHDRAW, 7),
    };
    write_array_len(out, elements)?;
    write_str(out, TAG)?;
    write_uint(out, kind.into())?;
    write_uint(out, message.from.0)?;
    match &message.said {
        Said::Ask { bound, keys } => {
            write_uint(out, millis(*bound))?;
            write_keys(out, keys)
        }
        Said::Renew { number } => write_uint(out, (*number).into()).map(drop).map_err(Into::into),
        Said::Drop { keys } => write_keys(out, keys),
        Said::Lease { number, told, oldest } => {
            write_uint(out, (*number).into())?;
            write_uint(out, (*told).into())?;
            write_uint(out, millis_up(*oldest)).map(drop).map_err(Into::into)
        }
        Said::Document { told, key, kind, content } => {
            write_uint(out, (*told).into())?;
            write_key(out, key)?;
            write_str(out, kind)?;
            write_bin(out, content.packed()).map_err(Into::into)
        }
        Said::Withdraw { told, key, why } => {
            write_uint(out, (*told).into())?;
            write_key(out, key)?;
            let why = match why {
                Why::Silent => number::SILENT,
                Why::Ended => number::ENDED,
                Why::Several => number::SEVERAL,
                Why::Unfit => number::UNFIT,
            };
            write_uint(out, why.into()).map(drop).map_err(Into::into)
        }
    }
}

fn write_keys(out: &mut Vec<u8>, keys: &[Key]) -> io::Result<()> {
    write_array_len(out, u32::try_from(keys.len() * 2).expect("few"))?;
    keys.iter().try_for_each(|key| write_key(out, key))
}

fn write_key(out: &mut Vec<u8>, key: &Key) -> io::Result<()> {
    write_str(out, key.service())?;
    write_bin(out, key.request()).map_err(Into::into)
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// An age is never told as less than it is.
fn millis_up(age: std::time::Duration) -> u64 {
    u64::try_from(age.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
}
