//! Sockets of libzmq itself, as the crate `zmq` builds it.

use bytes::Bytes;
use zmq::{Context, Socket, SocketType};

use super::security::Mechanism;
use super::{AGAIN, Attach, InteropArgs, Played, delimited, frames, got, ready};

/// Where libzmq asks whether a client may come in.
const ZAP: &str = "inproc://zeromq.zap.01";

/// Plays one socket; the test ends the process.
pub(super) fn play(args: &InteropArgs) -> Result<Played, String> {
    let socket_type = match args.socket_type.as_str() {
        "REQ" => zmq::REQ,
        "DEALER" => zmq::DEALER,
        "REP" => zmq::REP,
        "ROUTER" => zmq::ROUTER,
        "PUB" => zmq::PUB,
        "XPUB" => zmq::XPUB,
        "SUB" => zmq::SUB,
        "XSUB" => zmq::XSUB,
        "PUSH" => zmq::PUSH,
        "PULL" => zmq::PULL,
        "PAIR" => zmq::PAIR,
        other => return Err(format!("no socket type {other}")),
    };
    let context = Context::new();
    let socket = match args.security.mechanism {
        Mechanism::Null => open(&context, socket_type)?,
        Mechanism::Plain => plain(&context, socket_type, args)?,
        Mechanism::Curve if zmq::has("curve") == Some(true) => {
            return Err("this build has CURVE, and nobody taught this peer to use it".into());
        }
        Mechanism::Curve => return Ok(Played::Lacks),
    };
    if socket_type == zmq::SUB {
        socket.set_subscribe(b"hello").map_err(text)?;
    }
    match args.attach {
        Attach::Bind => socket.bind(&args.endpoint),
        Attach::Connect => socket.connect(&args.endpoint),
    }
    .map_err(text)?;
    let (major, minor, patch) = zmq::version();
    ready(&format!("libzmq {major}.{minor}.{patch} (crate zmq 0.10)"));
    converse(&socket, socket_type)?;
    Ok(Played::All)
}

fn converse(socket: &Socket, socket_type: SocketType) -> Result<(), String> {
    match socket_type {
        zmq::XSUB => socket.send(&b"\x01hello"[..], 0).map_err(text)?,
        zmq::REQ | zmq::PUSH | zmq::PAIR => socket.send_multipart(message(frames()), 0).map_err(text)?,
        zmq::DEALER => socket.send_multipart(message(delimited()), 0).map_err(text)?,
        _ => {}
    }
    match socket_type {
        zmq::REP | zmq::ROUTER => loop {
            let request = socket.recv_multipart(0).map_err(text)?;
            socket.send_multipart(request, 0).map_err(text)?;
        },
        zmq::PUB | zmq::XPUB => loop {
            socket.send_multipart(message(frames()), 0).map_err(text)?;
            std::thread::sleep(AGAIN);
        },
        zmq::PUSH => {}
        _ => got(&socket.recv_multipart(0).map_err(text)?.into_iter().map(Bytes::from).collect::<Vec<_>>()),
    }
    loop {
        // It stays open until the test has seen what it waits for.
        std::thread::park();
    }
}

fn open(context: &Context, socket_type: SocketType) -> Result<Socket, String> {
    let socket = context.socket(socket_type).map_err(text)?;
    socket.set_linger(0).map_err(text)?;
    Ok(socket)
}

fn plain(context: &Context, socket_type: SocketType, args: &InteropArgs) -> Result<Socket, String> {
    let socket = open(context, socket_type)?;
    let (user, password) = (args.security.user.clone(), args.security.password.clone());
    if !args.attach.is_server() {
        socket.set_plain_username(Some(&user)).map_err(text)?;
        socket.set_plain_password(Some(&password)).map_err(text)?;
        return Ok(socket);
    }
    socket.set_plain_server(true).map_err(text)?;
    let zap = open(context, zmq::REP)?;
    zap.bind(ZAP).map_err(text)?;
    // A REQ of libzmq takes the name of its client for a malformed reply and closes, so nobody is named to it.
    let name = if socket_type == zmq::REQ { String::new() } else { user.clone() };
    std::thread::spawn(move || {
        // It ends with the process.
        while let Ok(request) = zap.recv_multipart(0) {
            let Some(answer) = judge(&request, [&user, &password], &name) else { continue };
            if zap.send_multipart(answer, 0).is_err() {
                return;
            }
        }
    });
    Ok(socket)
}

/// The answer to a request of ZAP (RFC 27): version, request id, domain, address, identity, mechanism, user, password.
fn judge(request: &[Vec<u8>], login: [&str; 2], name: &str) -> Option<Vec<Vec<u8>>> {
    let [version, id, _domain, _address, _identity, mechanism, credentials @ ..] = request else { return None };
    let admitted = mechanism == b"PLAIN" && credentials == login.map(str::as_bytes);
    let status = if admitted { "200" } else { "400" };
    Some(vec![version.clone(), id.clone(), status.into(), Vec::new(), name.into(), Vec::new()])
}

fn message(frames: Vec<Bytes>) -> impl Iterator<Item = Vec<u8>> {
    frames.into_iter().map(Vec::from)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
