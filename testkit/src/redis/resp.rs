//! One command, one reply, blocking: what tests need to look at a server from outside.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// A server that answers nothing for this long is treated as gone.
const PATIENCE: Duration = Duration::from_secs(5);
/// No reply a test asks for is longer; a length above it is a protocol error.
const REPLY_BYTES_MAX: usize = 64 << 20;
/// Nesting of arrays: `CLUSTER SLOTS` has four.
const DEPTH_MAX: u32 = 8;

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisReply {
    /// Nothing: a missing key.
    Nil,
    /// `+OK` and its like.
    Status(String),
    /// A number.
    Integer(i64),
    /// A value.
    Bytes(Vec<u8>),
    /// Several.
    Array(Vec<Self>),
}

impl RedisReply {
    /// A value or a status as text; empty for all else.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Status(text) => text.clone(),
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Integer(number) => number.to_string(),
            Self::Nil | Self::Array(_) => String::new(),
        }
    }

    /// The number; `None` for all else.
    #[must_use]
    pub const fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Nil | Self::Status(_) | Self::Bytes(_) | Self::Array(_) => None,
        }
    }
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// The server refused; its own words.
    #[error("refused: {0}")]
    Refused(String),
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Lost(#[from] std::io::Error),
    /// Not a reply.
    #[error("not a reply: {0:?}")]
    Malformed(String),
}

/// A connection for tests.
#[derive(Debug)]
pub(crate) struct Resp {
    stream: BufReader<TcpStream>,
}

impl Resp {
    pub(crate) fn connect(port: u16) -> Result<Self, RedisError> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    pub(crate) fn command(&mut self, arguments: &[&[u8]]) -> Result<RedisReply, RedisError> {
        let mut request = format!("*{}\r\n", arguments.len()).into_bytes();
        for argument in arguments {
            request.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            request.extend_from_slice(argument);
            request.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&request)?;
        self.reply(0)
    }

    fn reply(&mut self, depth: u32) -> Result<RedisReply, RedisError> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let malformed = || RedisError::Malformed(line.clone());
        let (kind, rest) = line.trim_end().split_at_checked(1).ok_or_else(malformed)?;
        let number = || rest.parse::<i64>().map_err(|_| malformed());
        match kind {
            "+" => Ok(RedisReply::Status(rest.to_owned())),
            "-" => Err(RedisError::Refused(rest.to_owned())),
            ":" => Ok(RedisReply::Integer(number()?)),
            "$" => match usize::try_from(number()?) {
                Err(_) => Ok(RedisReply::Nil),
                Ok(length) if length <= REPLY_BYTES_MAX => {
                    let mut bytes = vec![0; length + 2];
                    self.stream.read_exact(&mut bytes)?;
                    bytes.truncate(length);
                    Ok(RedisReply::Bytes(bytes))
                }
                Ok(_) => Err(malformed()),
            },
            "*" if depth < DEPTH_MAX => match usize::try_from(number()?) {
                Err(_) => Ok(RedisReply::Nil),
                Ok(count) => (0..count).map(|_| self.reply(depth + 1)).collect::<Result<_, _>>().map(RedisReply::Array),
            },
            _ => Err(malformed()),
        }
    }
}
