//! One host: its address, and the processes and sockets inside it.

use super::cable::{Cable, HOST_PORT};
use super::namespace::{Forbidden, Namespace};
use crate::process::Process;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;

/// A machine with a network of its own. Clones are the same host; when the last one goes, whatever still runs on it is killed.
#[derive(Debug, Clone)]
pub struct Host {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    namespace: Arc<Namespace>,
    address: Ipv4Addr,
    cable: Cable,
}

impl Host {
    pub(super) fn plug_in(router: &Arc<Namespace>, number: u8) -> Result<Self, Forbidden> {
        let namespace = Arc::new(Namespace::new()?);
        // Routers and neighbours are looked for all the time in IPv6, which would be counted on the cable.
        namespace.set("net/ipv6/conf/default/disable_ipv6", "1").ok();
        let (address, gateway) = (Ipv4Addr::new(10, 77, number, 2), Ipv4Addr::new(10, 77, number, 1));
        let port = format!("host{number}");
        router.set("net/ipv6/conf/default/disable_ipv6", "1").ok();
        router.ip(&format!("link add {port} type veth peer name {HOST_PORT} netns {}\n", namespace.path()))?;
        // One segment is one packet, as on a wire: by default the kernel hands over up to 64 KiB at once, and counts one.
        namespace.ip(&format!(
            "addr add {address}/24 dev {HOST_PORT}\nlink set {HOST_PORT} up gso_max_segs 1\nroute add default via {gateway}\n"
        ))?;
        router.ip(&format!("addr add {gateway}/24 dev {port}\nlink set {port} up gso_max_segs 1\n"))?;
        let cable = Cable::new(Arc::clone(router), Arc::clone(&namespace), port, address);
        Ok(Self { inner: Arc::new(Inner { namespace, address, cable }) })
    }

    /// The address at which other hosts reach it.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.inner.address
    }

    /// A port of this host, for a connection from any host. [`crate::free_port`] is free on every host.
    #[must_use]
    pub fn at(&self, port: u16) -> SocketAddr {
        (self.address(), port).into()
    }

    /// [`Host::at`] as an endpoint of ZeroMQ.
    #[must_use]
    pub fn endpoint(&self, port: u16) -> String {
        format!("tcp://{}", self.at(port))
    }

    /// What connects it with the others.
    #[must_use]
    pub fn cable(&self) -> &Cable {
        &self.inner.cable
    }

    /// Runs `work` on this thread, on this host: the sockets that it opens and the processes and threads that it starts are there,
    /// for as long as they live. Other threads of the test stay where they are.
    pub fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        self.inner.namespace.enter(work)
    }

    /// Starts a program here, without another process between: signals reach it.
    ///
    /// # Panics
    /// As [`Process::spawn`].
    #[must_use]
    #[track_caller]
    pub fn spawn(&self, name: &str, command: &mut Command) -> Process {
        on(Some(self), || Process::spawn(name, command))
    }

    /// Connects from here.
    ///
    /// # Errors
    /// Those of [`TcpStream::connect`].
    pub fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        self.enter(|| TcpStream::connect(address))
    }

    /// Listens here, at the address that other hosts reach.
    ///
    /// # Errors
    /// Those of [`TcpListener::bind`].
    pub fn listen(&self, port: u16) -> io::Result<TcpListener> {
        self.enter(|| TcpListener::bind(self.at(port)))
    }

    /// The ids of the processes that run here.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        self.inner.namespace.processes()
    }

    /// Ends all of them as a power cut does: at once, and with the cable cut first, so that nobody is told.
    pub fn power_off(&self) {
        self.cable().cut();
        self.inner.namespace.kill_all();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.namespace.kill_all();
    }
}

/// Runs `work` on a host when there is one, else here.
#[track_caller]
pub(crate) fn on<T>(host: Option<&Host>, work: impl FnOnce() -> T) -> T {
    match host {
        Some(host) => host.enter(work),
        None => work(),
    }
}
