//! What an error of a server or a connection says about the command: whether it ran.

use super::address::Address;
use redis::{ErrorKind, RedisError, ServerErrorKind};

/// What became of a command that has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// It did not run: another node has the slot.
    Moved(Address),
    /// It did not run: this key is with another node already, which answers if it is told that we were sent.
    Asked(Address),
    /// It did not run, and may in a moment: slots move, a replica takes over, a file is being loaded.
    Later,
    /// It did not run: the server does not know the script.
    NoScript,
    /// It did not run: the server has no memory left for it.
    Full,
    /// It did not run, and will not: we are not allowed to.
    Forbidden,
    /// It may have run: the connection ended or was too slow.
    Lost,
    /// It ran, perhaps not to its end, and failed: what is there is not what we put there, or the server is not one that we know.
    Failed,
}

/// Judges an error. What is not known to prove anything proves nothing.
pub(super) fn fate_of(error: &RedisError, asked: &Address) -> Fate {
    match error.kind() {
        ErrorKind::Server(kind) => match kind {
            ServerErrorKind::Moved => redirect(error, asked).map_or(Fate::Later, Fate::Moved),
            ServerErrorKind::Ask => redirect(error, asked).map_or(Fate::Later, Fate::Asked),
            ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::BusyLoading
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly => Fate::Later,
            ServerErrorKind::NoScript => Fate::NoScript,
            ServerErrorKind::NoPerm => Fate::Forbidden,
            _ => Fate::Failed,
        },
        ErrorKind::Extension => match error.code() {
            Some("OOM") => Fate::Full,
            // Refused before anything ran: a file cannot be written, replicas are missing, a script of somebody else runs.
            Some("MISCONF" | "NOREPLICAS" | "BUSY" | "UNBLOCKED") => Fate::Later,
            Some("NOAUTH" | "WRONGPASS") => Fate::Forbidden,
            Some(_) | None => Fate::Failed,
        },
        ErrorKind::Io | ErrorKind::Parse => Fate::Lost,
        _ => Fate::Failed,
    }
}

/// Where to go. A node that does not know its own name leaves the host out and means the one that was asked.
fn redirect(error: &RedisError, asked: &Address) -> Option<Address> {
    let (text, _) = error.redirect_node()?;
    match text.strip_prefix(':') {
        Some(port) => Some(Address { host: asked.host.clone(), port: port.parse().ok()? }),
        None => Address::parse(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fate(line: &str) -> Fate {
        let error = redis::parse_redis_value(line.as_bytes()).unwrap().extract_error().unwrap_err();
        fate_of(&error, &Address::new("10.0.0.1", 7000))
    }

    #[test]
    fn an_answer_of_the_server_tells_whether_the_command_ran() {
        for (line, expected) in [
            ("-MOVED 3999 127.0.0.1:6381\r\n", Fate::Moved(Address::new("127.0.0.1", 6381))),
            ("-MOVED 3999 :6381\r\n", Fate::Moved(Address::new("10.0.0.1", 6381))),
            ("-ASK 3999 127.0.0.1:6381\r\n", Fate::Asked(Address::new("127.0.0.1", 6381))),
            ("-TRYAGAIN Multiple keys request during rehashing of slot\r\n", Fate::Later),
            ("-CLUSTERDOWN The cluster is down\r\n", Fate::Later),
            ("-LOADING Redis is loading the dataset in memory\r\n", Fate::Later),
            ("-READONLY You can't write against a read only replica.\r\n", Fate::Later),
            ("-NOSCRIPT No matching script.\r\n", Fate::NoScript),
            ("-OOM command not allowed when used memory > 'maxmemory'.\r\n", Fate::Full),
            ("-NOPERM this user has no permissions\r\n", Fate::Forbidden),
            ("-ERR something\r\n", Fate::Failed),
            ("-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", Fate::Failed),
        ] {
            assert_eq!(fate(line), expected, "{line}");
        }
    }

    #[test]
    fn a_connection_that_ends_proves_nothing() {
        for kind in [std::io::ErrorKind::BrokenPipe, std::io::ErrorKind::ConnectionReset, std::io::ErrorKind::TimedOut] {
            assert_eq!(fate_of(&std::io::Error::from(kind).into(), &Address::new("h", 1)), Fate::Lost);
        }
    }
}
