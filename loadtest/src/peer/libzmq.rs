//! The same roles on libzmq, and libzmq's own proxies: what the sidecar is compared with.

use serde_json::json;
use zmq::{Context, DEALER, Message, PUB, REP, REQ, ROUTER, SUB, Socket, SocketType, XPUB, XSUB};

use super::HighWater;
use super::keys::Keys;
use super::publisher::{PubArgs, Sink};
use super::req::{Caller, REPLY_TIMEOUT};
use super::subscriber::{IDLE_TIMEOUT, Source, SubArgs};
use crate::failure::{Doing, Outcome};
use crate::leash::tell;
use crate::payload;

const ANY_PORT: &str = "tcp://127.0.0.1:*";

/// `peer rep` on libzmq.
pub(crate) fn rep() -> Outcome<()> {
    let socket = open(&Context::new(), REP, None)?;
    tell("ready", json!({ "endpoint": bind(&socket)? }))?;
    let mut message = Message::new();
    loop {
        socket.recv(&mut message, 0).doing(|| "receiving a request".to_owned())?;
        socket.send(&message[..], 0).doing(|| "answering".to_owned())?;
    }
}

/// `proxy-rpc`: `zmq_proxy` between a ROUTER that callers connect to and a DEALER that connects to one REP.
///
/// # Errors
/// A socket cannot be set up.
pub(crate) fn proxy_rpc(backend_endpoint: &str) -> Outcome<()> {
    let context = Context::new();
    let (front, back) = (open(&context, ROUTER, None)?, open(&context, DEALER, None)?);
    back.connect(backend_endpoint).doing(|| format!("connecting to {backend_endpoint}"))?;
    tell("ready", json!({ "endpoint": bind(&front)? }))?;
    zmq::proxy(&front, &back).doing(|| "running zmq_proxy".to_owned())
}

/// `proxy-topic`: `zmq_proxy` between an XSUB that publishers connect to and an XPUB that subscribers connect to.
///
/// # Errors
/// A socket cannot be set up.
pub(crate) fn proxy_topic(high_water: HighWater, keys: &Keys) -> Outcome<()> {
    let context = Context::new();
    let (front, back) = (open(&context, XSUB, Some(high_water))?, open(&context, XPUB, Some(high_water))?);
    keys.serve(&front)?;
    keys.serve(&back)?;
    tell("ready", json!({ "endpoint": bind(&front)?, "out": bind(&back)? }))?;
    zmq::proxy(&front, &back).doing(|| "running zmq_proxy".to_owned())
}

fn open(context: &Context, kind: SocketType, high_water: Option<HighWater>) -> Outcome<Socket> {
    let socket = context.socket(kind).doing(|| format!("opening a {kind:?} socket"))?;
    socket.set_linger(0).doing(|| "setting LINGER".to_owned())?;
    if let Some(HighWater { messages }) = high_water {
        socket.set_sndhwm(messages).doing(|| "setting SNDHWM".to_owned())?;
        socket.set_rcvhwm(messages).doing(|| "setting RCVHWM".to_owned())?;
    }
    Ok(socket)
}

fn bind(socket: &Socket) -> Outcome<String> {
    socket.bind(ANY_PORT).doing(|| format!("binding {ANY_PORT}"))?;
    let endpoint = socket.get_last_endpoint().doing(|| "reading the bound endpoint".to_owned())?;
    Ok(endpoint.unwrap_or_default())
}

fn connected(kind: SocketType, endpoint: &str, high_water: Option<HighWater>, keys: &Keys) -> Outcome<Socket> {
    let socket = open(&Context::new(), kind, high_water)?;
    keys.join(&socket)?;
    socket.connect(endpoint).doing(|| format!("connecting to {endpoint}"))?;
    Ok(socket)
}

/// `peer req` on libzmq.
pub(crate) struct LibCaller {
    socket: Socket,
    reply: Message,
}

impl LibCaller {
    pub(crate) fn connect(endpoint: &str) -> Outcome<Self> {
        let socket = connected(REQ, endpoint, None, &Keys::default())?;
        let timeout = i32::try_from(REPLY_TIMEOUT.as_millis()).expect("a few seconds fit");
        socket.set_rcvtimeo(timeout).doing(|| "setting RCVTIMEO".to_owned())?;
        Ok(Self { socket, reply: Message::new() })
    }
}

impl Caller for LibCaller {
    fn round_trip(&mut self, body: &[u8]) -> Outcome<bool> {
        self.socket.send(body, 0).doing(|| "asking".to_owned())?;
        self.socket.recv(&mut self.reply, 0).doing(|| "waiting for the answer".to_owned())?;
        Ok(&self.reply[..] == body)
    }
}

/// `peer pub` on libzmq.
pub(crate) struct LibSink(Socket);

impl LibSink {
    pub(crate) fn connect(args: &PubArgs) -> Outcome<Self> {
        connected(PUB, &args.endpoint, Some(args.high_water), &args.keys).map(Self)
    }
}

impl Sink for LibSink {
    fn send(&mut self, payload: &[u8]) -> Outcome<()> {
        self.0.send(payload, 0).doing(|| "publishing".to_owned())
    }

    /// libzmq's I/O thread keeps nothing back.
    fn flush(&mut self) -> Outcome<()> {
        Ok(())
    }
}

/// `peer sub` on libzmq.
pub(crate) struct LibSource {
    socket: Socket,
    message: Message,
}

impl LibSource {
    pub(crate) fn connect(args: &SubArgs) -> Outcome<Self> {
        let socket = connected(SUB, &args.endpoint, Some(args.high_water), &args.keys)?;
        socket.set_subscribe(b"").doing(|| "subscribing".to_owned())?;
        let timeout = i32::try_from(IDLE_TIMEOUT.as_millis()).expect("a few seconds fit");
        socket.set_rcvtimeo(timeout).doing(|| "setting RCVTIMEO".to_owned())?;
        Ok(Self { socket, message: Message::new() })
    }
}

impl Source for LibSource {
    fn next(&mut self) -> Outcome<Option<(u64, u64)>> {
        match self.socket.recv(&mut self.message, 0) {
            Ok(()) => Ok(payload::read(&self.message)),
            Err(zmq::Error::EAGAIN) => Ok(None),
            Err(error) => Err(error).doing(|| "receiving".to_owned()),
        }
    }
}
