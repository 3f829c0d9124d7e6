//! Sockets of the crate `omq-tokio`.

use bytes::Bytes;
use omq_tokio::{Message, Options, Socket, SocketType};

use super::{AGAIN, Attach, InteropArgs, delimited, frames, got, ready};

/// Plays one socket; the test ends the process.
pub(super) async fn play(args: &InteropArgs) -> Result<(), String> {
    let socket_type = match args.socket_type.as_str() {
        "REQ" => SocketType::Req,
        "DEALER" => SocketType::Dealer,
        "REP" => SocketType::Rep,
        "ROUTER" => SocketType::Router,
        "PUB" => SocketType::Pub,
        "XPUB" => SocketType::XPub,
        "SUB" => SocketType::Sub,
        "XSUB" => SocketType::XSub,
        "PUSH" => SocketType::Push,
        "PULL" => SocketType::Pull,
        other => return Err(format!("no socket type {other}")),
    };
    let socket = Socket::new(socket_type, Options::default());
    match args.attach {
        Attach::Bind => drop(socket.bind(args.endpoint.as_str()).await.map_err(text)?),
        Attach::Connect => socket.connect(args.endpoint.as_str()).await.map_err(text)?,
    }
    ready();
    match args.socket_type.as_str() {
        "REQ" | "PUSH" => socket.send(message(frames())).await.map_err(text)?,
        "DEALER" => socket.send(message(delimited())).await.map_err(text)?,
        "SUB" | "XSUB" => socket.subscribe("hello").await.map_err(text)?,
        _ => {}
    }
    match args.socket_type.as_str() {
        "REP" | "ROUTER" => loop {
            let request = socket.recv().await.map_err(text)?;
            socket.send(request).await.map_err(text)?;
        },
        "PUB" | "XPUB" => loop {
            socket.send(message(frames())).await.map_err(text)?;
            tokio::time::sleep(AGAIN).await;
        },
        "PUSH" => {}
        _ => {
            let received = socket.recv().await.map_err(text)?;
            let parts: Vec<Bytes> = (0..received.len()).filter_map(|part| received.part_bytes(part)).collect();
            got(&parts);
        }
    }
    std::future::pending().await
}

fn message(frames: Vec<Bytes>) -> Message {
    Message::multipart(frames)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
