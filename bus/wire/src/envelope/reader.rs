//! A cursor over MessagePack that checks every length against what is there.

use bytes::Bytes;
use rmp::{
    Marker,
    decode::{self, NumValueReadError, ValueReadError},
};

use super::{DecodeError, Field};

const NIL: u8 = 0xc0;

/// What was read so far is `input` without `rest`.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    input: &'a Bytes,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts behind the first `skip` bytes, which the caller has looked at.
    pub(super) fn new(input: &'a Bytes, skip: usize) -> Self {
        let rest = &input[skip..];
        Self { input, rest }
    }

    /// Bytes not read yet.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// Reads a nil, if that is what comes next.
    pub(super) fn nil(&mut self) -> bool {
        match self.rest.split_first() {
            Some((&NIL, rest)) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Reads an unsigned integer, however it is written.
    pub(super) fn uint(&mut self, field: Field) -> Result<u64, DecodeError> {
        let offset = self.offset();
        decode::read_int(&mut self.rest).map_err(|error| match error {
            NumValueReadError::TypeMismatch(marker) => wrong_type(field, marker),
            NumValueReadError::OutOfRange => DecodeError::Invalid { field },
            NumValueReadError::InvalidMarkerRead(_) | NumValueReadError::InvalidDataRead(_) => DecodeError::Truncated { offset },
        })
    }

    /// Reads text.
    pub(super) fn text(&mut self, field: Field) -> Result<&'a str, DecodeError> {
        let len = self.head(field, decode::read_str_len)?;
        str::from_utf8(self.take(len)?).map_err(|_| DecodeError::Invalid { field })
    }

    /// Reads bytes, borrowed.
    pub(super) fn bin(&mut self, field: Field) -> Result<&'a [u8], DecodeError> {
        let len = self.head(field, decode::read_bin_len)?;
        self.take(len)
    }

    /// Reads bytes as a slice of the input that shares its ownership.
    pub(super) fn bin_shared(&mut self, field: Field) -> Result<Bytes, DecodeError> {
        let bytes = self.bin(field)?;
        Ok(self.share(bytes.len()))
    }

    /// Reads text or bytes as a slice of the input that shares its ownership.
    pub(super) fn text_or_bin_shared(&mut self, field: Field) -> Result<Bytes, DecodeError> {
        match self.peek()? {
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => self.bin_shared(field),
            _ => {
                let text = self.text(field)?;
                Ok(self.share(text.len()))
            }
        }
    }

    /// Reads the head of an array of at most `max` elements.
    pub(super) fn array(&mut self, field: Field, max: u32) -> Result<u32, DecodeError> {
        let count = self.head(field, decode::read_array_len)?;
        if count > max {
            return Err(DecodeError::OverLimit { field, count, max });
        }
        Ok(count)
    }

    /// What kind of value comes next.
    pub(super) fn peek(&self) -> Result<Marker, DecodeError> {
        let first = self.rest.first().ok_or_else(|| DecodeError::Truncated { offset: self.offset() })?;
        Ok(Marker::from_u8(*first))
    }

    /// Reads over one value of any kind and depth, without recursion.
    pub(super) fn skip(&mut self, field: Field) -> Result<(), DecodeError> {
        // Each value takes at least one byte, so the input bounds the loop whatever counts it declares.
        let mut values = 1_u64;
        while values > 0 {
            values -= 1;
            let (len, nested) = self.extent(field)?;
            self.take(len)?;
            values += nested;
        }
        Ok(())
    }

    /// Reads the head of any value: how many bytes of its own follow, and how many values are nested in it.
    fn extent(&mut self, field: Field) -> Result<(u32, u64), DecodeError> {
        let marker = self.peek()?;
        let bytes = |len| Ok((len, 0));
        match marker {
            Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::True | Marker::False => bytes(1),
            Marker::U8 | Marker::I8 => bytes(2),
            Marker::U16 | Marker::I16 | Marker::FixExt1 => bytes(3),
            Marker::FixExt2 => bytes(4),
            Marker::U32 | Marker::I32 | Marker::F32 => bytes(5),
            Marker::FixExt4 => bytes(6),
            Marker::U64 | Marker::I64 | Marker::F64 => bytes(9),
            Marker::FixExt8 => bytes(10),
            Marker::FixExt16 => bytes(18),
            Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => bytes(self.head(field, decode::read_str_len)?),
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => bytes(self.head(field, decode::read_bin_len)?),
            Marker::Ext8 | Marker::Ext16 | Marker::Ext32 => {
                bytes(self.head(field, |rest| decode::read_ext_meta(rest).map(|meta| meta.size))?)
            }
            Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => {
                let count = self.head(field, decode::read_array_len)?;
                Ok((0, count.into()))
            }
            Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => {
                let count = self.head(field, decode::read_map_len)?;
                Ok((0, u64::from(count) * 2))
            }
            Marker::Reserved => Err(wrong_type(field, marker)),
        }
    }

    fn head(&mut self, field: Field, read: impl FnOnce(&mut &'a [u8]) -> Result<u32, ValueReadError>) -> Result<u32, DecodeError> {
        let offset = self.offset();
        read(&mut self.rest).map_err(|error| match error {
            ValueReadError::TypeMismatch(marker) => wrong_type(field, marker),
            ValueReadError::InvalidMarkerRead(_) | ValueReadError::InvalidDataRead(_) => DecodeError::Truncated { offset },
        })
    }

    fn take(&mut self, len: u32) -> Result<&'a [u8], DecodeError> {
        let offset = self.offset();
        let (taken, rest) =
            usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len)).ok_or(DecodeError::Truncated { offset })?;
        self.rest = rest;
        Ok(taken)
    }

    /// The last `len` bytes read.
    fn share(&self, len: usize) -> Bytes {
        let end = self.offset();
        self.input.slice(end - len..end)
    }

    fn offset(&self) -> usize {
        self.input.len() - self.rest.len()
    }
}

fn wrong_type(field: Field, marker: Marker) -> DecodeError {
    let found = marker.to_u8();
    DecodeError::WrongType { field, found }
}
