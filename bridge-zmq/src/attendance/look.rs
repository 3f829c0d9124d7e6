//! Whether somebody is alive behind an address, without asking him anything.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How a ZMTP peer begins. Most send it at once, some wait for ours.
const SIGNATURE: [u8; 10] = [0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f];

/// What was seen, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Seen {
    /// Nobody listens there.
    Refused,
    /// The system takes connections for it; the process does not greet.
    Nothing,
    /// It greets.
    Greeted,
}

/// Connects, and waits for the first byte of a greeting. A process that is stopped has its connections taken by the system, and says nothing.
pub(super) async fn look(endpoint: SocketAddr, patience: Duration) -> Seen {
    let looking = async {
        let mut stream = match TcpStream::connect(endpoint).await {
            // A connect to a free local port may be given that very port as its source, and then connects to itself.
            Ok(stream) if stream.local_addr().is_ok_and(|local| local == endpoint) => return Seen::Refused,
            Ok(stream) => stream,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => return Seen::Refused,
            // No word about the process: out of sockets here, or a host that is away.
            Err(_) => return Seen::Nothing,
        };
        let mut first = [0];
        let greeted = async {
            stream.write_all(&SIGNATURE).await?;
            stream.read_exact(&mut first).await
        };
        // Whoever closes at once is alive to do so.
        match greeted.await {
            Ok(_) | Err(_) => Seen::Greeted,
        }
    };
    timeout(patience, looking).await.unwrap_or(Seen::Nothing)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::TcpListener;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn who_greets_who_does_not_and_nobody_are_told_apart() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let endpoint = listener.local_addr().expect("an address");
        assert_eq!(look(endpoint, PATIENCE).await, Seen::Nothing, "nobody accepts");
        let greeting = async {
            // The one that was not accepted waits first.
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().await.expect("accepted");
                stream.write_all(&SIGNATURE).await.ok();
            }
        };
        let ((), seen) = tokio::join!(greeting, look(endpoint, PATIENCE));
        assert_eq!(seen, Seen::Greeted);
        drop(listener);
        assert_eq!(look(endpoint, PATIENCE).await, Seen::Refused);
    }
}
