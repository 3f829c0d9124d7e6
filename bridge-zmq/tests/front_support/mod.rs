//! What the tests of the front share: a recording handler, a raw TCP peer that speaks bytes, and python peers with the real libzmq.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use myelin_bridge_zmq::front::{
    DisconnectReason, Endpoint, Front, FrontConfig, Listener, Peer, PeerHandler, SocketType, SubscriptionChange,
};
use myelin_bridge_zmq::metrics::{DisconnectKind, Metrics};
use myelin_bus::Pressure;
use myelin_bus::wire::{Body, Frames};
use parking_lot::{Condvar, Mutex};

/// How long a test waits for a state.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// What happened on one socket, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    Connected { socket: SocketType, identity: Bytes },
    Message(Vec<Bytes>),
    Subscription(SubscriptionChange, Bytes),
    Pong(Bytes),
    Disconnected(DisconnectKind),
}

/// Records everything, echoes messages if asked to, and subscribes to what it is told to.
#[derive(Debug, Default)]
pub struct Recorder {
    seen: Mutex<Vec<Seen>>,
    changed: Condvar,
    peers: Mutex<Vec<Arc<Peer>>>,
    pub echo: bool,
    pub subscribe: Vec<&'static [u8]>,
    pub press: Mutex<Vec<Pressure>>,
}

impl Recorder {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn echo() -> Arc<Self> {
        Arc::new(Self { echo: true, ..Self::default() })
    }

    pub fn subscriber(prefixes: &[&'static [u8]]) -> Arc<Self> {
        Arc::new(Self { subscribe: prefixes.to_vec(), ..Self::default() })
    }

    pub fn push(&self, seen: Seen) {
        self.seen.lock().push(seen);
        self.changed.notify_all();
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    /// The connected peers, oldest first.
    pub fn peers(&self) -> Vec<Arc<Peer>> {
        self.peers.lock().clone()
    }

    /// Blocks the test's own thread, never a worker of the runtime, until `done` holds.
    pub async fn until(self: &Arc<Self>, what: &str, done: impl Fn(&[Seen]) -> bool + Send + 'static) -> Vec<Seen> {
        let this = Arc::clone(self);
        let waited = tokio::task::spawn_blocking(move || {
            let deadline = Instant::now() + PATIENCE;
            let mut seen = this.seen.lock();
            loop {
                if done(&seen) {
                    return (true, seen.clone());
                }
                if this.changed.wait_until(&mut seen, deadline).timed_out() {
                    return (false, seen.clone());
                }
            }
        })
        .await;
        let (done, seen) = waited.unwrap();
        assert!(done, "waited in vain for {what}, saw {seen:?}");
        seen
    }

    pub async fn messages(self: &Arc<Self>, count: usize) -> Vec<Vec<Bytes>> {
        let messages = |seen: &[Seen]| {
            seen.iter().filter_map(|seen| if let Seen::Message(frames) = seen { Some(frames.clone()) } else { None }).collect::<Vec<_>>()
        };
        messages(&self.until("messages", move |seen| messages(seen).len() >= count).await)
    }

    pub async fn disconnected(self: &Arc<Self>) -> DisconnectKind {
        let find = |seen: &[Seen]| seen.iter().find_map(|seen| if let Seen::Disconnected(kind) = seen { Some(*kind) } else { None });
        find(&self.until("a disconnect", move |seen| find(seen).is_some()).await).unwrap()
    }

    pub async fn connected(self: &Arc<Self>, count: usize) -> Vec<Arc<Peer>> {
        self.until("a connection", move |seen| seen.iter().filter(|seen| matches!(seen, Seen::Connected { .. })).count() >= count).await;
        self.peers()
    }
}

impl PeerHandler for Recorder {
    fn connected(&self, peer: &Arc<Peer>) {
        for prefix in &self.subscribe {
            assert_eq!(peer.subscribe(prefix).accepted, 1);
        }
        self.peers.lock().push(Arc::clone(peer));
        self.push(Seen::Connected { socket: peer.socket_type(), identity: peer.identity().clone() });
    }

    fn received(&self, peer: &Arc<Peer>, batch: &mut Vec<Body>) -> Option<Pressure> {
        for body in batch.drain(..) {
            let Body::Frames(frames) = body else { panic!("a ZMTP message is frames") };
            if self.echo {
                assert_eq!(peer.send(&frames).accepted, 1);
            }
            self.push(Seen::Message(frames.iter().collect()));
        }
        self.press.lock().pop()
    }

    fn subscription(&self, _peer: &Arc<Peer>, change: SubscriptionChange, prefix: Bytes) {
        self.push(Seen::Subscription(change, prefix));
    }

    fn pong(&self, _peer: &Arc<Peer>, context: &Bytes) {
        self.push(Seen::Pong(context.clone()));
    }

    fn disconnected(&self, _peer: &Arc<Peer>, reason: &DisconnectReason) {
        self.push(Seen::Disconnected(reason.kind()));
    }
}

pub fn front() -> Front {
    front_with(FrontConfig::default())
}

pub fn front_with(config: FrontConfig) -> Front {
    Front::new(config, Metrics::default())
}

pub fn any_port() -> Endpoint {
    "tcp://127.0.0.1:*".parse().unwrap()
}

pub async fn listen(front: &Front, socket: SocketType, handler: &Arc<Recorder>) -> Listener {
    front.listen(&any_port(), socket, Arc::clone(handler) as Arc<dyn PeerHandler>).await.unwrap()
}

pub fn frames(parts: &[&[u8]]) -> Frames {
    Frames::from_parts(parts).unwrap()
}

/// The greeting that libzmq 4.3.5 sends.
pub const GREETING: &str = "ff00000000000000017f03014e554c4c00000000000000000000000000000000\
                            0000000000000000000000000000000000000000000000000000000000000000";

pub fn greeting(minor: u8) -> Vec<u8> {
    let mut greeting = hex(GREETING);
    greeting[11] = minor;
    greeting
}

/// READY as libzmq sends it.
pub fn ready(socket: &str, identity: Option<&[u8]>) -> Vec<u8> {
    let mut body = b"\x05READY".to_vec();
    property(&mut body, b"Socket-Type", socket.as_bytes());
    if let Some(identity) = identity {
        property(&mut body, b"Identity", identity);
    }
    let mut frame = vec![0x04, u8::try_from(body.len()).unwrap()];
    frame.extend(body);
    frame
}

fn property(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.push(u8::try_from(name.len()).unwrap());
    out.extend(name);
    out.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
    out.extend(value);
}

pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// A peer made of bytes.
#[derive(Debug)]
pub struct Raw {
    pub stream: TcpStream,
}

impl Raw {
    pub fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).unwrap();
        Self::over(stream)
    }

    pub fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream }
    }

    /// Connects and finishes the handshake; returns what the other side calls itself.
    pub fn shake(to: SocketAddr, minor: u8, socket: &str, identity: Option<&[u8]>) -> (Self, Vec<u8>) {
        let mut raw = Self::connect(to);
        let theirs = raw.greet(minor, socket, identity);
        (raw, theirs)
    }

    pub fn greet(&mut self, minor: u8, socket: &str, identity: Option<&[u8]>) -> Vec<u8> {
        self.send(&greeting(minor));
        let theirs = self.receive(64);
        assert_eq!((theirs[0], theirs[9], theirs[10], theirs[11]), (0xff, 0x7f, 3, 1));
        assert_eq!(&theirs[12..17], b"NULL\0");
        self.send(&ready(socket, identity));
        let header = self.receive(2);
        assert_eq!(header[0], 0x04, "READY is a short command");
        self.receive(header[1].into())
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub fn receive(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes).unwrap_or_else(|error| panic!("expected {len} bytes: {error}"));
        bytes
    }

    /// What comes until the other side closes.
    pub fn rest(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("expected the end: {error}"),
        }
        bytes
    }
}

/// A python process, killed when the test ends.
#[derive(Debug)]
pub struct Python(Option<Child>);

impl Python {
    /// Runs a script with `zmq` imported, `ctx` made and `PORT` set.
    pub fn spawn(port: u16, script: &str) -> Self {
        let script =
            format!("import zmq, sys, json, time\nPORT = {port}\nADDR = f'tcp://127.0.0.1:{{PORT}}'\nctx = zmq.Context()\n{script}\n");
        let child = Command::new("python3").args(["-u", "-c", &script]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Self(Some(child.expect("python3 with pyzmq runs the peers of these tests")))
    }

    /// What it printed; a failure of the script is one of the test.
    pub async fn finish(mut self) -> String {
        let child = self.0.take().unwrap();
        let Output { status, stdout, stderr } = tokio::task::spawn_blocking(move || child.wait_with_output()).await.unwrap().unwrap();
        assert!(status.success(), "python failed: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}
