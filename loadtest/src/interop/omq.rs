//! Sockets of the crate `omq-tokio`.

use bytes::Bytes;
use omq_tokio::proto::mechanism::MechanismPeerInfo;
use omq_tokio::{CurveKeypair, CurvePublicKey, CurveSecretKey, CurveServerOptions, Message, Options, Socket, SocketType};

use super::security::Mechanism;
use super::{AGAIN, Attach, InteropArgs, Played, delimited, frames, got, ready};

/// Plays one socket; the test ends the process.
pub(super) async fn play(args: &InteropArgs) -> Result<Played, String> {
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
        "PAIR" => SocketType::Pair,
        other => return Err(format!("no socket type {other}")),
    };
    let socket = Socket::new(socket_type, options(args)?);
    match args.attach {
        Attach::Bind => drop(socket.bind(args.endpoint.as_str()).await.map_err(text)?),
        Attach::Connect => socket.connect(args.endpoint.as_str()).await.map_err(text)?,
    }
    ready("omq-tokio 0.33");
    match args.socket_type.as_str() {
        "REQ" | "PUSH" | "PAIR" => socket.send(message(frames())).await.map_err(text)?,
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

fn options(args: &InteropArgs) -> Result<Options, String> {
    let (options, security) = (Options::default(), &args.security);
    let (user, password) = (security.user.as_str(), security.password.as_str());
    Ok(match (security.mechanism, args.attach.is_server()) {
        (Mechanism::Null, _) => options,
        (Mechanism::Plain, true) => options.plain_server_credentials([(user, password)]),
        (Mechanism::Plain, false) => options.plain_client(user, password),
        (Mechanism::Curve, is_server) => {
            let public = CurvePublicKey::from_z85(&security.public_key).map_err(text)?;
            let secret = CurveSecretKey::from_z85(&security.secret_key).map_err(text)?;
            let (ours, other) = (CurveKeypair { public, secret }, CurvePublicKey::from_z85(&security.peer_key).map_err(text)?);
            if is_server {
                let admits = move |client: &MechanismPeerInfo| client.public_key == *other.as_bytes();
                options.curve_server_with_options(ours, CurveServerOptions::new().authenticator(admits))
            } else {
                options.curve_client(ours, other)
            }
        }
    })
}

fn message(frames: Vec<Bytes>) -> Message {
    Message::multipart(frames)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
