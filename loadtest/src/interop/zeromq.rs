//! Sockets of the crate `zeromq`, which has a type for each.

use std::collections::VecDeque;

use bytes::Bytes;
use zeromq::{
    DealerSocket, PubSocket, PullSocket, PushSocket, RepSocket, ReqSocket, RouterSocket, Socket, SocketRecv, SocketSend, SubSocket,
    XPubSocket, XSubSocket, ZmqMessage,
};

use super::security::Mechanism;
use super::{AGAIN, Attach, InteropArgs, Played, delimited, frames, got, ready};

/// Plays one socket; the test ends the process.
pub(super) async fn play(args: &InteropArgs) -> Result<Played, String> {
    // It knows the names of the other mechanisms and speaks none of them.
    if args.security.mechanism != Mechanism::Null || args.socket_type == "PAIR" {
        return Ok(Played::Lacks);
    }
    converse(args).await?;
    Ok(Played::All)
}

async fn converse(args: &InteropArgs) -> Result<(), String> {
    match args.socket_type.as_str() {
        "REQ" => ask(attached::<ReqSocket>(args).await?, frames()).await,
        "DEALER" => ask(attached::<DealerSocket>(args).await?, delimited()).await,
        "REP" => echo(attached::<RepSocket>(args).await?).await,
        "ROUTER" => echo(attached::<RouterSocket>(args).await?).await,
        "PUB" => publish(attached::<PubSocket>(args).await?).await,
        "XPUB" => {
            let mut socket = attached::<XPubSocket>(args).await?;
            // A subscription is in effect once the program has received it.
            let subscription = socket.recv().await.map_err(text)?;
            if subscription.get(0).is_none_or(|frame| frame.first() != Some(&1)) {
                return Err(format!("{subscription:?} instead of a subscription"));
            }
            publish(socket).await
        }
        "SUB" => {
            let mut socket = attached::<SubSocket>(args).await?;
            socket.subscribe("hello").await.map_err(text)?;
            receive(socket).await
        }
        "XSUB" => {
            let mut socket = attached::<XSubSocket>(args).await?;
            socket.subscribe("hello").await.map_err(text)?;
            receive(socket).await
        }
        "PUSH" => {
            let mut socket = attached::<PushSocket>(args).await?;
            send(&mut socket, frames()).await;
            std::future::pending().await
        }
        "PULL" => receive(attached::<PullSocket>(args).await?).await,
        other => Err(format!("no socket type {other}")),
    }
}

async fn attached<S: Socket>(args: &InteropArgs) -> Result<S, String> {
    let mut socket = S::new();
    match args.attach {
        Attach::Bind => drop(socket.bind(&args.endpoint).await.map_err(text)?),
        Attach::Connect => socket.connect(&args.endpoint).await.map_err(text)?,
    }
    ready("zeromq 0.7");
    Ok(socket)
}

async fn ask<S: SocketSend + SocketRecv>(mut socket: S, question: Vec<Bytes>) -> Result<(), String> {
    send(&mut socket, question).await;
    receive(socket).await
}

/// Sends once somebody is connected; before that, this implementation gives the message back.
async fn send<S: SocketSend>(socket: &mut S, frames: Vec<Bytes>) {
    while socket.send(message(frames.clone())).await.is_err() {
        tokio::time::sleep(AGAIN).await;
    }
}

async fn receive<S: SocketRecv>(mut socket: S) -> Result<(), String> {
    let message = socket.recv().await.map_err(text)?;
    got(&message.into_vec());
    // Dropped, it would close before its last bytes are read.
    let _open = socket;
    std::future::pending().await
}

async fn echo<S: SocketSend + SocketRecv>(mut socket: S) -> Result<(), String> {
    loop {
        let message = socket.recv().await.map_err(text)?;
        socket.send(message).await.map_err(text)?;
    }
}

async fn publish<S: SocketSend>(mut socket: S) -> Result<(), String> {
    loop {
        socket.send(message(frames())).await.map_err(text)?;
        tokio::time::sleep(AGAIN).await;
    }
}

fn message(frames: Vec<Bytes>) -> ZmqMessage {
    ZmqMessage::try_from(VecDeque::from(frames)).expect("two frames are not none")
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
