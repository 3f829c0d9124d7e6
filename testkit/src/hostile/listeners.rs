//! Agents that bind, and misbehave towards whoever connects: the sidecar does.

use super::arena::Arena;
use crate::free_ports;
use crate::hex;
use crate::wait::PATIENCE;
use crate::zmtp::{COMMAND, GREETING, LONG, Listener, MORE, Options, frame};

/// A listening socket for each role that a route can connect to.
#[derive(Debug)]
pub struct Listeners {
    callers: u16,
    roles: [(&'static str, Listener); 5],
}

impl Listeners {
    /// On ports of their own.
    #[must_use]
    pub fn bind() -> Self {
        let [callers, ports @ ..] = free_ports::<6>();
        let types = ["REP", "PUB", "SUB", "PUSH", "PULL"];
        Self { callers, roles: std::array::from_fn(|role| (types[role], Listener::bind(ports[role]))) }
    }

    /// What the sidecar's configuration has to contain.
    #[must_use]
    pub fn toml(&self) -> String {
        let [rep, publisher, subscriber, push, pull] =
            self.roles.each_ref().map(|(_, listener)| format!("[\"tcp://{}\"]", listener.address()));
        format!(
            "[[route]]\nname = \"far-calls\"\nkind = \"service\"\ncallers = {{ bind = [\"tcp://127.0.0.1:{}\"] }}\nagents = {{ connect = {rep} }}\n\
             [[route]]\nname = \"far-status\"\nkind = \"topic\"\npublishers = {{ connect = {publisher} }}\nsubscribers = {{ connect = {subscriber} }}\n\
             [[route]]\nname = \"far-jobs\"\nkind = \"pipeline\"\nproducers = {{ connect = {push} }}\nconsumers = {{ connect = {pull} }}\n",
            self.callers
        )
    }

    /// Each of them answers the sidecar's connections with something wrong, one after the other, and with a correct handshake in the end. Each
    /// has `tries` of the ten ways to be wrong, and begins at another: the sidecar waits longer after each.
    ///
    /// # Panics
    /// When the sidecar keeps a wrong connection, or does not come back for the correct one.
    pub fn misbehave(&self, arena: &Arena, tries: usize) {
        let length = |flags: u8, length: u64| [&[flags][..], &length.to_be_bytes(), b"and some of it"].concat();
        let greeting = hex::bytes(GREETING);
        let wrong: [(bool, Vec<u8>); 10] = [
            (false, b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
            (true, length(LONG, 1 << 31)),
            (false, [&greeting[..], &length(LONG | COMMAND, 1 << 40)].concat()),
            (true, length(LONG | MORE, u64::MAX)),
            (true, frame(MORE, b"").repeat(2000)),
            (false, [&greeting[..], &frame(0, b"a message")].concat()),
            (true, length(LONG | COMMAND, 1 << 63)),
            (false, [&greeting[..12], b"PLAIN\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", &[0; 32]].concat()),
            (true, vec![0xf8]),
            (true, [&length(LONG, 1 << 20)[..9], &vec![0; 1 << 20], &[0xff]].concat()),
        ];
        std::thread::scope(|scope| {
            for (role, (socket_type, listener)) in self.roles.iter().enumerate() {
                let wrong = wrong.iter().cycle().skip(2 * role).take(tries);
                scope.spawn(move || {
                    for (after_ready, bytes) in wrong {
                        let mut raw =
                            if *after_ready { listener.accept(socket_type, &Options::default()).into_raw() } else { listener.accept_raw() };
                        raw.try_send(bytes).ok();
                        raw.expect_closed(PATIENCE);
                    }
                    // Cut off in the middle of a frame, and gone.
                    let mut peer = listener.accept(socket_type, &Options::default());
                    peer.raw().try_send(&frame(MORE, b"cut off")).ok();
                    peer.into_raw().reset();
                    drop(listener.accept(socket_type, &Options::default()));
                });
            }
        });
        assert!(arena.sidecar.is_ready());
    }
}
