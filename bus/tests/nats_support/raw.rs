//! A client made of bytes.

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{Server, within};

/// A connection that says what it is told to, and reads lines and bytes.
pub(crate) struct Raw(BufReader<TcpStream>);

impl Raw {
    /// Connects and reads `INFO`.
    pub(crate) async fn connect(server: &Server) -> Self {
        let (raw, info) = Self::connect_with_info(server).await;
        assert!(info.starts_with("INFO {"), "{info}");
        raw
    }

    pub(crate) async fn connect_with_info(server: &Server) -> (Self, String) {
        let stream = TcpStream::connect(server.address()).await.expect("the server listens");
        stream.set_nodelay(true).expect("a TCP socket");
        let mut raw = Self(BufReader::new(stream));
        let info = raw.line().await;
        (raw, info)
    }

    /// Connects, says `CONNECT` without `verbose`, and subscribes.
    pub(crate) async fn subscribed(server: &Server, filter: &str) -> Self {
        let mut raw = Self::connect(server).await;
        raw.say("CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n").await;
        raw.say(&format!("SUB {filter} 1\r\n")).await;
        raw.synced().await;
        raw
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.say_bytes(text.as_bytes()).await;
    }

    pub(crate) async fn say_bytes(&mut self, bytes: &[u8]) {
        within("room in the socket", self.0.get_mut().write_all(bytes)).await.expect("connected");
    }

    /// As `say_bytes`, to a server that may close meanwhile.
    pub(crate) async fn try_say_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.get_mut().write_all(bytes).await
    }

    /// Waits until the server has handled everything said before.
    pub(crate) async fn synced(&mut self) {
        self.say("PING\r\n").await;
        assert_eq!(self.line().await, "PONG");
    }

    /// One line without its end; empty at the end of the connection.
    pub(crate) async fn line(&mut self) -> String {
        let mut line = String::new();
        within("a line", tokio::io::AsyncBufReadExt::read_line(&mut self.0, &mut line)).await.expect("connected");
        line.trim_end_matches("\r\n").to_owned()
    }

    /// One message: its control line and payload. `None` for any other line, which is returned as it is.
    pub(crate) async fn message(&mut self) -> Result<(String, Vec<u8>), String> {
        let line = self.line().await;
        if !line.starts_with("MSG ") && !line.starts_with("HMSG ") {
            return Err(line);
        }
        let len: usize = line.rsplit(' ').next().expect("a length").parse().expect("a number");
        let mut payload = vec![0; len + 2];
        within("a payload", self.0.read_exact(&mut payload)).await.expect("connected");
        assert_eq!(payload.split_off(len), b"\r\n");
        Ok((line, payload))
    }

    /// Everything up to the end of the connection.
    pub(crate) async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        within("the end", self.0.read_to_end(&mut rest)).await.expect("closed in order");
        String::from_utf8(rest).expect("text")
    }
}
