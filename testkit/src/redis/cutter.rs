//! A proxy before a server that loses an answer: the server has executed, and the client never hears of it.

use crate::free_port;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const READ_BYTES: usize = 64 << 10;
/// How often the threads look whether the proxy still stands.
const LOOK: Duration = Duration::from_millis(50);

/// A listener on loopback that forwards to a server. When armed with a needle, the next connection whose client sends these bytes is closed as soon as
/// the server's answer to them has arrived at the proxy, and not a byte of it is passed on.
#[derive(Debug)]
pub struct Cutter {
    port: u16,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    needle: Mutex<Option<Vec<u8>>>,
    cuts: AtomicUsize,
    ended: AtomicBool,
}

impl Cutter {
    /// Stands before the server at `port`.
    ///
    /// # Panics
    /// When no port can be bound.
    #[must_use]
    pub fn before(port: u16) -> Self {
        let listener_port = free_port();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, listener_port)).expect("a leased port can be bound");
        listener.set_nonblocking(true).expect("a listener can be polled");
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            while !shared.ended.load(Ordering::Acquire) {
                match listener.accept() {
                    Ok((client, _)) => forward(client, port, &shared),
                    Err(_) => std::thread::sleep(LOOK),
                }
            }
        });
        Self { port: listener_port, state }
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Loses the next answer to a request that has these bytes in it.
    ///
    /// # Panics
    /// Never: no holder of the lock panics.
    pub fn cut_after(&self, needle: &[u8]) {
        *self.state.needle.lock().expect("no holder panics") = Some(needle.to_vec());
    }

    /// Answers lost so far.
    #[must_use]
    pub fn cuts(&self) -> usize {
        self.state.cuts.load(Ordering::Acquire)
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Release);
    }
}

fn forward(client: TcpStream, port: u16, state: &Arc<State>) {
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return };
    let doomed = Arc::new(AtomicBool::new(false));
    client.set_nonblocking(false).expect("a socket can block");
    let pairs = [(client.try_clone(), server.try_clone(), true), (server.try_clone(), client.try_clone(), false)];
    for (from, to, upwards) in pairs {
        let (Ok(from), Ok(to)) = (from, to) else { return };
        let (state, doomed) = (Arc::clone(state), Arc::clone(&doomed));
        std::thread::spawn(move || pump(from, to, &state, &doomed, upwards));
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, state: &State, doomed: &AtomicBool, upwards: bool) {
    from.set_read_timeout(Some(LOOK)).expect("a timeout above zero can be set");
    let mut buffer = vec![0; READ_BYTES];
    while !state.ended.load(Ordering::Acquire) {
        let bytes = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => &buffer[..count],
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => continue,
            Err(_) => break,
        };
        match upwards {
            true => mark(state, doomed, bytes),
            // The answer is here, so the server has executed; it goes no further.
            false if doomed.load(Ordering::Acquire) => {
                state.cuts.fetch_add(1, Ordering::AcqRel);
                break;
            }
            false => {}
        }
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    // One of the two directions has ended, and with it the connection.
    from.shutdown(Shutdown::Both).ok();
    to.shutdown(Shutdown::Both).ok();
}

/// Dooms the connection when the awaited bytes pass. They are short and written in one piece, so no search across reads is needed.
fn mark(state: &State, doomed: &AtomicBool, bytes: &[u8]) {
    let mut needle = state.needle.lock().expect("no holder panics");
    if needle.as_ref().is_some_and(|needle| bytes.windows(needle.len()).any(|window| window == needle.as_slice())) {
        *needle = None;
        doomed.store(true, Ordering::Release);
    }
}
