//! The listener answers byte for byte as the NATS protocol says, however the bytes are cut.
//!
//! Each transcript is what a client sends and what it reads back. The same ones run against nats-server, except where we differ on purpose; and
//! against our listener once per place where a packet can end.

mod nats_support;

use std::net::SocketAddr;

use nats_support::{Server, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n";
const PLAIN: &str = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n";

struct Transcript {
    name: &'static str,
    sent: String,
    answered: &'static str,
    /// The server closes the connection after its answer.
    closes: bool,
    /// nats-server answers the same.
    is_common: bool,
}

fn transcript(name: &'static str, connect: &str, sent: &str, answered: &'static str) -> Transcript {
    Transcript { name, sent: format!("{connect}{sent}"), answered, closes: false, is_common: true }
}

fn closing(name: &'static str, connect: &str, sent: &str, answered: &'static str) -> Transcript {
    Transcript { closes: true, ..transcript(name, connect, sent, answered) }
}

fn ours(transcript: Transcript) -> Transcript {
    Transcript { is_common: false, ..transcript }
}

fn transcripts() -> Vec<Transcript> {
    vec![
        transcript("ping before connect", "", "PING\r\n", "PONG\r\n"),
        transcript("verbose by default", "", "CONNECT {}\r\nSUB a 1\r\nUNSUB 1\r\nPING\r\n", "+OK\r\n+OK\r\n+OK\r\nPONG\r\n"),
        transcript("verbose publish", "", "PUB a 1\r\nx\r\nPING\r\n", "+OK\r\nPONG\r\n"),
        transcript("publish and subscribe", PLAIN, "SUB a.* 7\r\nPUB a.b 5\r\nhello\r\nPING\r\n", "MSG a.b 7 5\r\nhello\r\nPONG\r\n"),
        transcript("lower case", PLAIN, "sub a 1\r\npub a 1\r\nx\r\nping\r\n", "MSG a 1 1\r\nx\r\nPONG\r\n"),
        transcript("line feeds alone, tabs, blanks", PLAIN, "SUB\ta  1 \nPUB \t a  1 \nx\r\nPING\n", "MSG a 1 1\r\nx\r\nPONG\r\n"),
        transcript("a reply subject", PLAIN, "SUB a 1\r\nPUB a r.1 2\r\nhi\r\nPING\r\n", "MSG a 1 r.1 2\r\nhi\r\nPONG\r\n"),
        transcript("an empty payload", PLAIN, "SUB a 1\r\nPUB a 0\r\n\r\nPING\r\n", "MSG a 1 0\r\n\r\nPONG\r\n"),
        transcript(
            "a payload of protocol text",
            PLAIN,
            "SUB a 1\r\nPUB a 12\r\nPING\r\nPING\r\n\r\nPING\r\n",
            "MSG a 1 12\r\nPING\r\nPING\r\n\r\nPONG\r\n",
        ),
        transcript(
            "two subjects in turn",
            PLAIN,
            "SUB > 1\r\nPUB a 1\r\n1\r\nPUB a 1\r\n2\r\nPUB b 1\r\n3\r\nPUB a 1\r\n4\r\nPING\r\n",
            "MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\nMSG b 1 1\r\n3\r\nMSG a 1 1\r\n4\r\nPONG\r\n",
        ),
        transcript(
            "headers",
            CONNECT,
            "SUB a 1\r\nHPUB a 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\nPING\r\n",
            "HMSG a 1 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\nPONG\r\n",
        ),
        transcript("no responders without a subscription to tell", CONNECT, "PUB q r 1\r\nx\r\nPING\r\n", "PONG\r\n"),
        ours(transcript(
            "no responders",
            CONNECT,
            "SUB r.* 7\r\nPUB q r.1 1\r\nx\r\nPING\r\n",
            "HMSG r.1 7 16 16\r\nNATS/1.0 503\r\n\r\n\r\nPONG\r\n",
        )),
        transcript("unsubscribe", PLAIN, "SUB a 1\r\nUNSUB 1\r\nPUB a 1\r\nx\r\nUNSUB 9\r\nPING\r\n", "PONG\r\n"),
        transcript(
            "unsubscribe after two",
            PLAIN,
            "SUB a 1\r\nUNSUB 1 2\r\nPUB a 1\r\n1\r\nPUB a 1\r\n2\r\nPUB a 1\r\n3\r\nPING\r\n",
            "MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\nPONG\r\n",
        ),
        transcript(
            "unsubscribe after what has been",
            PLAIN,
            "SUB a 1\r\nPUB a 1\r\n1\r\nPUB a 1\r\n2\r\nUNSUB 1 2\r\nPUB a 1\r\n3\r\nPING\r\n",
            "MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\nPONG\r\n",
        ),
        transcript(
            "a name taken twice",
            PLAIN,
            "SUB a 1\r\nSUB b 1\r\nPUB a 1\r\n1\r\nPUB b 1\r\n2\r\nPING\r\n",
            "MSG a 1 1\r\n1\r\nPONG\r\n",
        ),
        transcript("echo off", "CONNECT {\"verbose\":false,\"echo\":false}\r\n", "SUB a 1\r\nPUB a 1\r\nx\r\nPING\r\n", "PONG\r\n"),
        transcript(
            "invalid filters",
            PLAIN,
            "SUB a..b 1\r\nSUB a.>.b 2\r\nSUB foo. 3\r\nPING\r\n",
            "-ERR 'Invalid Subject'\r\n-ERR 'Invalid Subject'\r\n-ERR 'Invalid Subject'\r\nPONG\r\n",
        ),
        transcript(
            "invalid subject, pedantic",
            "CONNECT {\"verbose\":false,\"pedantic\":true}\r\n",
            "SUB > 1\r\nPUB a..b 1\r\nx\r\nPING\r\n",
            "-ERR 'Invalid Publish Subject'\r\nPONG\r\n",
        ),
        transcript("invalid subject", PLAIN, "SUB > 1\r\nPUB a..b 1\r\nx\r\nPING\r\n", "PONG\r\n"),
        transcript("info and pong from a client", PLAIN, "INFO {}\r\nPONG\r\nPING\r\n", "PONG\r\n"),
        transcript("connect twice", PLAIN, "CONNECT {\"verbose\":true}\r\nPING\r\n", "+OK\r\nPONG\r\n"),
        closing("an unknown operation", PLAIN, "FOO\r\nPING\r\n", "-ERR 'Unknown Protocol Operation'\r\n"),
        closing("http", "", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "-ERR 'Unknown Protocol Operation'\r\n"),
        closing("a message from a client", PLAIN, "MSG a 1 1\r\nx\r\n", "-ERR 'Unknown Protocol Operation'\r\n"),
        closing("a payload longer than declared", PLAIN, "PUB a 1\r\nxyz\r\n", "-ERR 'Unknown Protocol Operation'\r\n"),
        closing("too large", PLAIN, "PUB a 99999999\r\n", "-ERR 'Maximum Payload Violation'\r\n"),
        closing("an unknown protocol number", "", "CONNECT {\"protocol\":9}\r\n", "-ERR 'invalid client protocol'\r\n"),
        closing(
            "no responders without headers",
            "",
            "CONNECT {\"no_responders\":true}\r\n",
            "-ERR 'no responders requires headers support'\r\n",
        ),
        ours(closing("headers without leave", PLAIN, "HPUB a 12 13\r\nNATS/1.0\r\n\r\nx\r\n", "-ERR 'message headers not supported'\r\n")),
        ours(closing("no size", PLAIN, "PUB a\r\n", "-ERR 'Unknown Protocol Operation'\r\n")),
        ours(closing(
            "what came before an error is done",
            PLAIN,
            "SUB a 1\r\nPUB a 1\r\nx\r\nNO\r\n",
            "MSG a 1 1\r\nx\r\n-ERR 'Unknown Protocol Operation'\r\n",
        )),
    ]
}

/// Plays a transcript in these pieces and returns what was answered after `INFO`.
async fn play(address: SocketAddr, pieces: &[&[u8]], closes: bool, expected: usize) -> String {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    stream.set_nodelay(true).expect("a TCP socket");
    read_info(&mut stream).await;
    for piece in pieces {
        // A server that has closed already tells why in what it sent before.
        if stream.write_all(piece).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let mut answered = vec![0; expected];
    if closes {
        answered.clear();
        stream.read_to_end(&mut answered).await.expect("closed in order");
    } else {
        stream.read_exact(&mut answered).await.expect("an answer");
    }
    String::from_utf8(answered).expect("text")
}

async fn read_info(stream: &mut TcpStream) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await.expect("INFO"));
    }
    String::from_utf8(line).expect("text")
}

#[tokio::test]
async fn transcripts_on_our_listener() {
    let server = Server::ours().await;
    for Transcript { name, sent, answered, closes, .. } in transcripts() {
        let played = within(name, play(server.address(), &[sent.as_bytes()], closes, answered.len())).await;
        assert_eq!(played, answered, "{name}");
    }
}

#[tokio::test]
async fn transcripts_on_nats_server() {
    let server = Server::real().await;
    for Transcript { name, sent, answered, closes, .. } in transcripts().into_iter().filter(|transcript| transcript.is_common) {
        let played = within(name, play(server.address(), &[sent.as_bytes()], closes, answered.len())).await;
        assert_eq!(played, answered, "{name}");
    }
}

#[tokio::test]
async fn transcripts_cut_at_each_byte() {
    let server = Server::ours().await;
    for Transcript { name, sent, answered, closes, .. } in transcripts() {
        for cut in 1..sent.len() {
            let (first, second) = sent.as_bytes().split_at(cut);
            let played = within(name, play(server.address(), &[first, second], closes, answered.len())).await;
            assert_eq!(played, answered, "{name}, cut at {cut}");
        }
        let bytes: Vec<&[u8]> = sent.as_bytes().chunks(1).collect();
        let played = within(name, play(server.address(), &bytes, closes, answered.len())).await;
        assert_eq!(played, answered, "{name}, byte by byte");
    }
}

#[tokio::test]
async fn info_says_what_clients_need_to_know() {
    let server = Server::ours().await;
    let mut stream = TcpStream::connect(server.address()).await.expect("the server listens");
    let line = within("INFO", read_info(&mut stream)).await;
    let info: serde_json::Value = serde_json::from_str(line.strip_prefix("INFO ").expect("INFO")).expect("JSON");
    assert_eq!(info["port"], server.address().port());
    assert_eq!(info["proto"], 1);
    assert_eq!(info["headers"], true);
    assert_eq!(info["max_payload"], 8 * 1024 * 1024);
    assert_eq!(info["client_ip"], "127.0.0.1");
    assert_eq!(info["client_id"], 1);
    assert_eq!(info["server_name"], "myelin");
    assert_eq!(info["server_id"].as_str().map(str::len), Some(56));
    assert!(info["version"].is_string());
    assert!(info.get("nonce").is_none() && info.get("auth_required").is_none() && info.get("tls_required").is_none());
}
