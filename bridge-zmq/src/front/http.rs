//! Health checks by HTTP that end up on a ZMTP port, as those of containers do: `GET /health` is answered if the route knows what to say, everything
//! else is closed without a word, as libzmq does it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::timeout;

use super::PeerHandler;
use super::stream::Stream;

/// Largest head of a request: curl sends some 100 bytes.
const HEAD_BYTES_MAX: usize = 4 * 1024;

/// What a request that is answered begins with.
const ASKED: &[u8] = b"GET /health";

/// What a route says of its agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthPage {
    /// Whether the agent says that it is well: 200, else 503.
    pub is_well: bool,
    /// The agent's document.
    pub body: Bytes,
}

/// Who spoke HTTP, and what it has said so far.
#[derive(Debug)]
pub(super) struct Visitor {
    pub(super) stream: Stream,
    pub(super) input: BytesMut,
}

impl Visitor {
    /// Answers within `limit` if there is something to say. Returns whether there was.
    pub(super) async fn answer(mut self, handler: &dyn PeerHandler, limit: Duration) -> bool {
        timeout(limit, self.answer_in_time(handler)).await.unwrap_or(false)
    }

    async fn answer_in_time(&mut self, handler: &dyn PeerHandler) -> bool {
        // The whole head is read before it is answered: a connection that closes with unread bytes is reset, and the answer with it.
        while !is_whole(&self.input) {
            // What asks for something else is not waited for.
            if !self.input.iter().zip(ASKED).all(|(is, asked)| is == asked) {
                return false;
            }
            let read = self.stream.read_buf(&mut self.input).await;
            if !matches!(read, Ok(bytes) if bytes > 0) || self.input.len() > HEAD_BYTES_MAX {
                return false;
            }
        }
        if !asks_for_health(&self.input) {
            return false;
        }
        let Some(page) = handler.health_page(self.input.len()) else { return false };
        self.stream.write_all(&response(&page)).await.is_ok()
    }
}

/// Bytes of the answer with this page.
pub(crate) fn response_len(page: &HealthPage) -> usize {
    response(page).len()
}

fn response(page: &HealthPage) -> Vec<u8> {
    let status = if page.is_well { "200 OK" } else { "503 Service Unavailable" };
    let len = page.body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n");
    [head.as_bytes(), &page.body].concat()
}

fn is_whole(input: &[u8]) -> bool {
    input.windows(4).any(|end| end == b"\r\n\r\n")
}

/// `GET /health`, with or without a query or a slash at its end.
fn asks_for_health(input: &[u8]) -> bool {
    let Some(target) = input.strip_prefix(b"GET ").and_then(|rest| rest.split(|byte| *byte == b' ').next()) else { return false };
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    matches!(path, b"/health" | b"/health/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_health_of_an_agent_is_asked_for() {
        for (head, is_asked) in [
            ("GET /health HTTP/1.1\r\nHost: x\r\n\r\n", true),
            ("GET /health/?x=1 HTTP/1.1\r\n\r\n", true),
            ("GET /healthz HTTP/1.1\r\n\r\n", false),
            ("GET / HTTP/1.1\r\n\r\n", false),
            ("POST /health HTTP/1.1\r\n\r\n", false),
            ("GET ", false),
        ] {
            assert_eq!(asks_for_health(head.as_bytes()), is_asked, "{head}");
        }
    }

    #[test]
    fn the_status_says_whether_the_agent_is_well() {
        let page = HealthPage { is_well: false, body: Bytes::from_static(b"{}") };
        let text = String::from_utf8(response(&page)).unwrap();
        assert!(text.starts_with("HTTP/1.1 503 ") && text.ends_with("Content-Length: 2\r\nConnection: close\r\n\r\n{}"), "{text}");
        assert_eq!(response_len(&page), text.len());
    }
}
