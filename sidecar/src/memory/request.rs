//! Bytes to a verb with its arguments, and what it may cost to answer it.

use myelin_mesh::limits;
use serde::de::DeserializeOwned;

use super::refusal::Refusal;
use super::wire;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    Get(wire::Get),
    GetMany(wire::GetMany),
    Set(wire::Set),
    SetMany(wire::SetMany),
    Delete(wire::Delete),
    Touch(wire::Touch),
    Cas(wire::Cas),
    Scan(wire::Scan),
    Append(wire::Append),
    Recent(wire::Recent),
    Clear(wire::Clear),
    Watch(wire::Watch),
    Stats(wire::Stats),
}

impl Request {
    /// Reads the body of a verb. Lengths in it are believed only as far as its bytes go.
    pub(super) fn read(verb: &str, body: &[u8]) -> Result<Self, Refusal> {
        Ok(match verb {
            "GET" => Self::Get(fields(body)?),
            "GET_MANY" => Self::GetMany(fields(body)?),
            "SET" => Self::Set(fields(body)?),
            "SET_MANY" => Self::SetMany(fields(body)?),
            "DELETE" => Self::Delete(fields(body)?),
            "TOUCH" => Self::Touch(fields(body)?),
            "CAS" => Self::Cas(fields(body)?),
            "SCAN" => Self::Scan(fields(body)?),
            "APPEND" => Self::Append(fields(body)?),
            "RECENT" => Self::Recent(fields(body)?),
            "CLEAR" => Self::Clear(fields(body)?),
            "WATCH" => Self::Watch(fields(body)?),
            // The one that has a meaning without fields.
            "STATS" if body.is_empty() => Self::Stats(wire::Stats::default()),
            "STATS" => Self::Stats(fields(body)?),
            unknown => return Err(Refusal::new("unknown_request", format!("there is no request MEM.{unknown}"))),
        })
    }

    /// Bytes that are in memory for it at worst, body and answer.
    pub(super) fn bytes_max(&self, value_bytes_max: usize) -> usize {
        match self {
            Self::Get(_) => value_bytes_max,
            Self::GetMany(asked) => {
                asked.keys.len().min(limits::KEYS_PER_CALL_MAX).saturating_mul(value_bytes_max).min(limits::READ_BYTES_MAX)
            }
            Self::Set(asked) => asked.value.len(),
            Self::Cas(asked) => asked.value.len(),
            Self::SetMany(asked) => asked.entries.iter().map(|entry| entry.value.len()).sum(),
            Self::Append(asked) => asked.values.iter().map(|value| value.value.len()).sum(),
            Self::Recent(_) => limits::RECENT_DECODED_BYTES_MAX,
            Self::Scan(_) => limits::SCAN_PAGE_MAX * limits::KEY_BYTES_MAX,
            Self::Delete(_) | Self::Touch(_) | Self::Clear(_) | Self::Watch(_) | Self::Stats(_) => 0,
        }
    }
}

fn fields<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    // An array would be read as the fields in their order, which nobody promises.
    if !matches!(body.first(), Some(0x80..=0x8f | 0xde | 0xdf)) {
        return Err(Refusal::invalid("request", "is not a map in MessagePack"));
    }
    rmp_serde::from_slice(body).map_err(|error| Refusal::invalid("request", error))
}

#[cfg(test)]
mod tests {
    use super::super::pack;
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let asked =
            wire::Set { space: "s".to_owned(), key: "k".to_owned(), value: vec![0, 255].into(), ttl_ms: Some(5), ..wire::Set::default() };
        assert_eq!(Request::read("SET", &pack(&asked)), Ok(Request::Set(asked)));
    }

    #[test]
    fn mistakes_are_refused_and_nothing_is_guessed() {
        // {"space": "s", "kee": "k"}; an array; a list of 2^32-1 keys that are not there; a map that ends; nothing.
        let bodies: [&[u8]; 5] = [
            b"\x82\xa5space\xa1s\xa3kee\xa1k",
            b"\x92\xa1s\xa1k",
            b"\x82\xa5space\xa1s\xa4keys\xdd\xff\xff\xff\xff",
            b"\x82\xa5space",
            b"",
        ];
        for (verb, body) in ["GET", "GET", "GET_MANY", "GET", "GET"].into_iter().zip(bodies) {
            let refused = Request::read(verb, body).expect_err("refused");
            assert_eq!((refused.code.as_str(), refused.retryable), ("invalid", false), "{body:?}");
        }
        assert_eq!(Request::read("FORGET", b"\x80").expect_err("refused").code, "unknown_request");
    }

    #[test]
    fn a_value_may_be_a_text_as_well_as_bytes() {
        let Ok(Request::Set(set)) = Request::read("SET", b"\x83\xa5space\xa1s\xa3key\xa1k\xa5value\xa2hi") else { panic!("read") };
        assert_eq!(&set.value[..], b"hi");
    }
}
