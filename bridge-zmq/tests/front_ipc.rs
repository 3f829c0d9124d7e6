//! Promise: `ipc://` works as `tcp://` does, with files and with abstract names, in both directions; a socket file is its owner's, and only one
//! that nobody answers at is replaced.

#![allow(clippy::unwrap_used, reason = "tests")]

mod front_support;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use bytes::Bytes;
use front_support::{Python, Recorder, frames, front};
use myelin_bridge_zmq::front::{BindError, Endpoint, Front, Listener, PeerHandler, SocketType};

async fn listen(front: &Front, at: &str, handler: &Arc<Recorder>) -> Result<Listener, BindError> {
    front.listen(&at.parse().unwrap(), SocketType::Router, Arc::clone(handler) as Arc<dyn PeerHandler>).await
}

fn python(address: &str, script: &str) -> Python {
    Python::spawn(0, &format!("ADDR = {address:?}\n{script}"))
}

const CLIENT: &str = r"
req = ctx.socket(zmq.REQ); req.linger = 0; req.rcvtimeo = 5000; req.connect(ADDR)
for body in (b'', b'x' * 300, b'\x00\xff' * 500000):
    req.send(body); assert req.recv() == body
print('done')
";

#[tokio::test(flavor = "multi_thread")]
async fn libzmq_connects_to_a_file_and_to_an_abstract_name() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("agent.sock");
    let file = format!("ipc://{}", path.display());
    let name = format!("ipc://@myelin-test-{}", std::process::id());
    let (front, handler) = (front(), Recorder::echo());
    for at in [&file, &name] {
        let listener = listen(&front, at, &handler).await.unwrap();
        if *at == file {
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(python(at, CLIENT).finish().await, "done\n");
        assert!(handler.peers().last().unwrap().remote().ip().is_loopback());
        listener.close().await;
    }
    assert!(!path.exists(), "a closed listener leaves no file");
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_dealer_connects_to_a_rep_on_either() {
    let scratch = tempfile::tempdir().unwrap();
    let front = front();
    let (file, name) = (format!("ipc://{}/rep", scratch.path().display()), format!("ipc://@myelin-rep-{}", std::process::id()));
    for at in [file, name] {
        let handler = Recorder::new();
        let endpoint: Endpoint = at.parse().unwrap();
        let connector = front.connect(&endpoint, SocketType::Dealer, Bytes::new(), Arc::clone(&handler) as Arc<dyn PeerHandler>);
        let script = "rep = ctx.socket(zmq.REP); rep.linger = 1000; rep.bind(ADDR); assert rep.recv() == b'question'; rep.send(b'answer')";
        let python = python(&at, script);
        let agent = handler.connected(1).await.remove(0);
        assert_eq!(agent.send(&frames(&[b"", b"question"])).accepted, 1);
        assert_eq!(handler.messages(1).await, [[Bytes::new(), Bytes::from_static(b"answer")]]);
        python.finish().await;
        connector.close().await;
    }
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_socket_file_that_nobody_answers_at_is_replaced() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("agent.sock");
    let at = format!("ipc://{}", path.display());
    let (front, handler) = (front(), Recorder::echo());

    std::fs::write(&path, "precious").unwrap();
    assert!(matches!(listen(&front, &at, &handler).await, Err(BindError::Bind { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    std::fs::remove_file(&path).unwrap();

    let other = UnixListener::bind(&path).unwrap();
    assert!(matches!(listen(&front, &at, &handler).await, Err(BindError::InUse { .. })));
    drop(other);
    assert!(path.exists(), "left over");
    let listener = listen(&front, &at, &handler).await.unwrap();
    assert_eq!(python(&at, CLIENT).finish().await, "done\n");
    assert!(matches!(listen(&front, &at, &handler).await, Err(BindError::InUse { .. })));

    // Whoever took the name meanwhile keeps it.
    std::fs::remove_file(&path).unwrap();
    let _next = UnixListener::bind(&path).unwrap();
    listener.close().await;
    assert!(path.exists());
    front.shutdown().await;
}
