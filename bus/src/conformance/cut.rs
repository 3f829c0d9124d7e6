//! A connection that can be cut: how a worker dies that has no time to say so.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Passes connections on to a server, until it is dropped: then all of them end, and none is taken any more.
#[derive(Debug)]
pub struct Cut {
    address: SocketAddr,
    passing: JoinHandle<()>,
}

impl Cut {
    /// In front of the server at `to`, `host:port`.
    pub async fn before(to: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let to = to.to_owned();
        let passing = tokio::spawn(async move {
            // Dropped with this task, and with it every connection.
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let mut far = TcpStream::connect(&to).await.unwrap();
                connections.spawn(async move { copy_bidirectional(&mut near, &mut far).await });
            }
        });
        Self { address, passing }
    }

    /// Where it takes connections.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        self.passing.abort();
    }
}
