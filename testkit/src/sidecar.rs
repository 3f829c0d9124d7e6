//! The sidecar under test: the real binary, with a state directory and ports of its own.

use crate::binary::{myelin_binary, older_binary};
use crate::hosts::{Host, on};
use crate::ports::PortBlock;
use crate::process::Process;
use crate::wait::{PATIENCE, eventually};
use crate::{free_ports, http};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// A running `myelin serve`. Its ports and its state directory stay the same across [`Sidecar::restart`].
#[derive(Debug)]
pub struct Sidecar {
    process: Process,
    home: TempDir,
    ports: Ports,
    host: Option<Host>,
    /// The ports that it may give to agents.
    _block: PortBlock,
    env: Vec<(String, String)>,
    binary: PathBuf,
}

/// What to change in a sidecar before it starts.
#[derive(Debug, Default)]
#[must_use]
pub struct SidecarBuilder {
    routes: String,
    sections: Vec<(String, String)>,
    env: Vec<(String, String)>,
    host: Option<Host>,
    reachable: bool,
    older: bool,
    state: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    /// Of the sockets that are for agents: loopback, unless other hosts shall reach them.
    agents: Ipv4Addr,
    nats: u16,
    http: u16,
    discovery: u16,
    publishers: u16,
    subscribers: u16,
}

impl Sidecar {
    /// A sidecar with the built-in defaults, except for its places.
    ///
    /// # Panics
    /// When it is not ready in time; the text shows what it printed.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// A sidecar with more configuration.
    pub fn builder() -> SidecarBuilder {
        SidecarBuilder::default()
    }

    /// Where NATS clients connect, `nats://…`.
    #[must_use]
    pub fn nats_url(&self) -> String {
        format!("nats://{}", loopback(self.ports.nats))
    }

    /// `/livez`, `/readyz`, `/metrics`.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        loopback(self.ports.http)
    }

    /// Where agents register and ask.
    #[must_use]
    pub fn discovery(&self) -> SocketAddr {
        (self.ports.agents, self.ports.discovery).into()
    }

    /// [`Sidecar::discovery`] as an endpoint of ZeroMQ.
    #[must_use]
    pub fn discovery_endpoint(&self) -> String {
        format!("tcp://{}", self.discovery())
    }

    /// Where PUB agents connect.
    #[must_use]
    pub fn publishers(&self) -> SocketAddr {
        (self.ports.agents, self.ports.publishers).into()
    }

    /// [`Sidecar::publishers`] as an endpoint of ZeroMQ.
    #[must_use]
    pub fn publishers_endpoint(&self) -> String {
        format!("tcp://{}", self.publishers())
    }

    /// Where SUB agents connect.
    #[must_use]
    pub fn subscribers(&self) -> SocketAddr {
        (self.ports.agents, self.ports.subscribers).into()
    }

    /// [`Sidecar::subscribers`] as an endpoint of ZeroMQ.
    #[must_use]
    pub fn subscribers_endpoint(&self) -> String {
        format!("tcp://{}", self.subscribers())
    }

    /// The directory that survives restarts.
    #[must_use]
    pub fn state_dir(&self) -> std::path::PathBuf {
        self.home.path().join("state")
    }

    /// The process, for its output.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The value of a metric, summed over its labels; `None` when there is none of this name.
    ///
    /// # Panics
    /// When `/metrics` does not answer.
    #[must_use]
    #[track_caller]
    pub fn metric(&self, name: &str) -> Option<f64> {
        let answer = on(self.host.as_ref(), || http::get(self.http(), "/metrics", PATIENCE));
        let Some(answer) = answer else { panic!("/metrics does not answer") };
        let values = answer.body.lines().filter_map(|line| {
            let (key, value) = line.rsplit_once(' ')?;
            let key = key.split_once('{').map_or(key, |(key, _)| key);
            (key == name).then(|| value.parse::<f64>().ok())?
        });
        values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
    }

    /// Whether it still runs and says that it is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        on(self.host.as_ref(), || http::get(self.http(), "/readyz", PATIENCE)).is_some_and(|answer| answer.status == 200)
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.process.ended().is_none()
    }

    /// Another command of the binary, pointed at this sidecar by its configuration file. Beside a sidecar on a host it has to be
    /// started there, by [`Host::enter`] or [`Host::spawn`].
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = myelin(&self.binary, self.home.path(), &self.env);
        command.args(arguments);
        command
    }

    /// Ends it as `kill -9` does.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Stops it without ending it, until it is thawed.
    pub fn freeze(&mut self) {
        self.process.freeze();
    }

    /// Lets it go on.
    pub fn thaw(&mut self) {
        self.process.thaw();
    }

    /// Starts it again on the same ports and the same state, and waits until it is ready.
    ///
    /// # Panics
    /// When it is not ready in time.
    #[track_caller]
    pub fn restart(&mut self) {
        self.restart_within(PATIENCE);
    }

    /// As [`Sidecar::restart`], for what may take longer than [`PATIENCE`].
    ///
    /// # Panics
    /// When it is not ready in time.
    #[track_caller]
    pub fn restart_within(&mut self, deadline: Duration) {
        self.process.kill9();
        self.process = on(self.host.as_ref(), || serve(&self.binary, self.home.path(), &self.env));
        self.wait_ready(deadline);
    }

    /// Ends it politely and starts the version under test on the same ports and the same state, for one that was an older version.
    ///
    /// # Panics
    /// When it does not end cleanly, or is not ready in time.
    #[track_caller]
    pub fn upgrade(&mut self) {
        assert_eq!(self.terminate(), 0, "the older sidecar ends cleanly:\n{}", self.process.tail());
        self.binary.clone_from(myelin_binary());
        self.process = on(self.host.as_ref(), || serve(&self.binary, self.home.path(), &self.env));
        self.wait_ready(PATIENCE);
    }

    /// Asks it to end and returns its exit code.
    ///
    /// # Panics
    /// When it still runs after [`PATIENCE`], or a signal ended it.
    #[track_caller]
    pub fn terminate(&mut self) -> i32 {
        let status = self.process.terminate(PATIENCE);
        let Some(code) = status.code() else { panic!("ended by a signal: {status}") };
        code
    }

    #[track_caller]
    fn wait_ready(&mut self, deadline: Duration) {
        self.wait_page("/readyz", deadline);
    }

    #[track_caller]
    fn wait_page(&mut self, page: &str, deadline: Duration) {
        let address = self.http();
        let Self { process, host, .. } = self;
        eventually("the sidecar is ready", deadline, || {
            if let Some(status) = process.ended() {
                // Its last words may still be on their way to the ring.
                process.try_wait_line(PATIENCE, |_| None::<()>);
                panic!("the sidecar ended with {status}:\n{}", process.tail());
            }
            on(host.as_ref(), || http::get(address, page, Duration::from_secs(1))).filter(|answer| answer.status == 200)
        });
    }
}

impl SidecarBuilder {
    /// Adds whole `[[route]]` tables.
    pub fn routes(mut self, toml: &str) -> Self {
        self.routes.push_str(toml);
        self.routes.push('\n');
        self
    }

    /// Adds lines to a section, such as `limits`.
    pub fn section(mut self, name: &str, lines: &str) -> Self {
        self.sections.push((name.to_owned(), lines.to_owned()));
        self
    }

    /// Sets an environment variable of the sidecar.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs it on this host. Its own host's agents reach it as ever, over loopback.
    pub fn on(mut self, host: &Host) -> Self {
        self.host = Some(host.clone());
        self
    }

    /// Lets agents of other hosts reach discovery and hub too, at the address of its host and with `security.insecure`.
    pub const fn reachable(mut self) -> Self {
        self.reachable = true;
        self
    }

    /// Runs the older version, `MYELIN_OLDER_BIN`.
    pub const fn older(mut self) -> Self {
        self.older = true;
        self
    }

    /// Begins with a copy of this state directory, which another sidecar left.
    pub fn state(mut self, directory: &Path) -> Self {
        self.state = Some(directory.to_owned());
        self
    }

    /// Starts it and waits until `/readyz` says so.
    ///
    /// # Panics
    /// When it ends or is not ready in time; the text shows what it printed.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Sidecar {
        let mut sidecar = self.spawn();
        sidecar.wait_ready(PATIENCE);
        sidecar
    }

    /// Starts it and waits until it lives, for one that cannot be ready yet.
    ///
    /// # Panics
    /// As [`SidecarBuilder::start`].
    #[must_use]
    #[track_caller]
    pub fn start_alive(self) -> Sidecar {
        let mut sidecar = self.spawn();
        sidecar.wait_page("/livez", PATIENCE);
        sidecar
    }

    #[track_caller]
    fn spawn(self) -> Sidecar {
        let home = TempDir::new().expect("a temporary directory can be created");
        let [nats, http, discovery, publishers, subscribers] = free_ports();
        let agents = self.host.as_ref().filter(|_| self.reachable).map_or(Ipv4Addr::LOCALHOST, Host::address);
        let ports = Ports { agents, nats, http, discovery, publishers, subscribers };
        let file = home.path().join(CONFIG_FILE);
        let block = PortBlock::lease();
        std::fs::write(&file, self.config(ports, &block)).expect("the temporary directory can be written");
        if let Some(state) = &self.state {
            copy(state, &home.path().join("state")).expect("the state directory can be copied");
        }
        let binary = if self.older { older_binary() } else { myelin_binary() }.clone();
        let process = on(self.host.as_ref(), || serve(&binary, home.path(), &self.env));
        Sidecar { process, home, ports, host: self.host, _block: block, env: self.env, binary }
    }

    fn config(&self, ports: Ports, block: &PortBlock) -> String {
        let range = block.range();
        let (first, last) = (range.start(), range.end());
        let Ports { agents, nats, http, discovery, publishers, subscribers } = ports;
        let mut sections = BTreeMap::from([
            ("serve", format!("listen = \"127.0.0.1:{nats}\"\nhttp = \"127.0.0.1:{http}\"\nstate_dir = \"state\"\n")),
            ("discovery", format!("listen = \"tcp://{agents}:{discovery}\"\nport_range = \"{first}-{last}\"\n")),
            ("hub", format!("publishers = \"tcp://{agents}:{publishers}\"\nsubscribers = \"tcp://{agents}:{subscribers}\"\n")),
        ]);
        if !agents.is_loopback() {
            sections.insert("security", "insecure = true\n".to_owned());
        }
        for (name, lines) in &self.sections {
            sections.entry(name).or_default().extend([lines, "\n"]);
        }
        let mut toml = String::new();
        for (name, lines) in sections {
            toml.extend(["[", name, "]\n", &lines]);
        }
        toml + &self.routes
    }
}

/// Read from the working directory by every command, and also named, so that a failure shows it.
const CONFIG_FILE: &str = "myelin.toml";

#[track_caller]
fn serve(binary: &Path, home: &Path, env: &[(String, String)]) -> Process {
    Process::spawn("myelin", myelin(binary, home, env).args(["serve", "--config", CONFIG_FILE]))
}

/// The binary, in its home, with nothing of the surrounding environment that steers it.
#[track_caller]
fn myelin(binary: &Path, home: &Path, env: &[(String, String)]) -> Command {
    let mut command = Command::new(binary);
    command.current_dir(home);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MYELIN_") {
            command.env_remove(name);
        }
    }
    command.envs(env.iter().map(|(name, value)| (name, value)));
    command
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
