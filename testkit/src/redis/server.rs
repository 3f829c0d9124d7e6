//! One `redis-server`.

use super::resp::{RedisError, RedisReply, Resp};
use crate::free_port;
use crate::process::Process;
use crate::servers::installed;
use crate::wait::{PATIENCE, eventually};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// How a server is started.
#[derive(Debug, Clone, Default)]
pub struct RedisOptions {
    /// Appends each write to a file, so that a restart keeps what was acknowledged. Default: nothing is kept.
    pub durable: bool,
    /// The default user gets no access, and this user with this password gets all of it.
    pub user: Option<(String, String)>,
    /// Serves TLS, and only TLS, with a certificate for `localhost` that its own authority has signed.
    pub tls: bool,
    /// More arguments, as in `--maxmemory 10mb`.
    pub arguments: Vec<String>,
}

/// A `redis-server` in a directory of its own, on a loopback port. Killed on drop.
#[derive(Debug)]
pub struct RedisServer {
    // Before the directory: the process has to end before its files go.
    process: Process,
    port: u16,
    options: RedisOptions,
    home: TempDir,
}

impl RedisServer {
    /// Starts one without persistence and waits until it serves.
    ///
    /// # Panics
    /// When it is not installed; the text is the command that installs it.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(RedisOptions::default())
    }

    /// Starts one as `options` say.
    ///
    /// # Panics
    /// As [`RedisServer::start`], and when TLS is asked for and there is no `openssl`.
    #[must_use]
    #[track_caller]
    pub fn start_with(options: RedisOptions) -> Self {
        installed("redis-server", "apt-get install redis-server");
        let home = TempDir::new().expect("a temporary directory can be created");
        if options.tls {
            certificates(home.path());
        }
        let port = free_port();
        let process = spawn(port, &options, home.path());
        Self { process, port, options, home }
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Where clients connect; without user and password.
    #[must_use]
    pub fn url(&self) -> String {
        match self.options.tls {
            false => format!("redis://127.0.0.1:{}", self.port),
            true => format!("rediss://localhost:{}", self.port),
        }
    }

    /// The certificate of the authority that signed the server's, in PEM.
    ///
    /// # Panics
    /// When the server does not serve TLS.
    #[must_use]
    pub fn authority(&self) -> Vec<u8> {
        std::fs::read(self.home.path().join("ca.crt")).expect("a server with TLS has an authority")
    }

    /// Sends one command on a connection of its own, without TLS, as the user of the options.
    ///
    /// # Panics
    /// When the server refuses it or is gone.
    #[track_caller]
    pub fn command(&self, arguments: &[&str]) -> RedisReply {
        match self.try_command(arguments) {
            Ok(reply) => reply,
            Err(error) => panic!("{arguments:?}: {error}; last output:\n{}", self.process.tail()),
        }
    }

    /// As [`RedisServer::command`].
    ///
    /// # Errors
    /// When the server refuses it or is gone.
    pub fn try_command(&self, arguments: &[&str]) -> Result<RedisReply, RedisError> {
        let mut connection = Resp::connect(self.port)?;
        if let Some((user, password)) = &self.options.user {
            connection.command(&[b"AUTH", user.as_bytes(), password.as_bytes()])?;
        }
        connection.command(&arguments.iter().map(|argument| argument.as_bytes()).collect::<Vec<_>>())
    }

    /// Kills it as `kill -9` does. Its port stays its own.
    pub fn kill(&mut self) {
        self.process.kill9();
    }

    /// Starts it again on the same port and directory, killed before if it still runs.
    #[track_caller]
    pub fn restart(&mut self) {
        self.process.kill9();
        self.process = spawn(self.port, &self.options, self.home.path());
    }

    /// The process, to freeze and to thaw.
    pub const fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

#[track_caller]
fn spawn(port: u16, options: &RedisOptions, home: &Path) -> Process {
    let mut command = Command::new("redis-server");
    command.current_dir(home).args(["--bind", "127.0.0.1", "--save", "", "--dir", "."]);
    // Synced before each answer: with less, a server that is killed may have postponed what it acknowledged a moment ago.
    command.args(["--appendonly", if options.durable { "yes" } else { "no" }, "--appendfsync", "always"]);
    match options.tls {
        false => command.args(["--port", &port.to_string()]),
        true => command.args(["--port", "0", "--tls-port", &port.to_string(), "--tls-auth-clients", "no"]).args([
            "--tls-cert-file",
            "server.crt",
            "--tls-key-file",
            "server.key",
            "--tls-ca-cert-file",
            "ca.crt",
        ]),
    };
    command.args(&options.arguments);
    if let Some((user, password)) = &options.user {
        command.args(["--user", user, "on", &format!(">{password}"), "~*", "&*", "+@all", "--user", "default", "off"]);
    }
    let process = Process::spawn("redis-server", &mut command);
    process.wait_line("readiness", PATIENCE, |line| line.contains("Ready to accept connections").then_some(()));
    // A node that loads its file listens before it serves.
    eventually("redis-server answers", PATIENCE, || match Resp::connect(port).and_then(|mut link| link.command(&[b"PING"])) {
        Ok(_) => Some(()),
        Err(RedisError::Refused(text)) => (!text.starts_with("LOADING")).then_some(()),
        Err(_) => options.tls.then_some(()),
    });
    process
}

/// An authority and a certificate for `localhost` and 127.0.0.1, by the `openssl` of the machine.
#[track_caller]
pub(super) fn certificates(home: &Path) {
    installed_openssl();
    std::fs::write(home.join("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").expect("the directory is ours");
    let run = |line: &str| {
        let output = Command::new("openssl").current_dir(home).args(line.split(' ')).output().expect("openssl runs");
        assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=testkit -keyout ca.key -out ca.crt");
    run("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout server.key -out server.csr");
    run("x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile names -out server.crt");
}

#[track_caller]
fn installed_openssl() {
    let found = Command::new("openssl").arg("version").output();
    assert!(found.is_ok(), "this test needs openssl, which is not installed: apt-get install openssl");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_durable_server_keeps_its_keys_across_a_kill() {
        let mut server = RedisServer::start_with(RedisOptions { durable: true, ..RedisOptions::default() });
        server.command(&["SET", "key", "value"]);
        server.restart();
        assert_eq!(server.command(&["GET", "key"]), RedisReply::Bytes(b"value".to_vec()));
    }

    #[test]
    fn a_server_with_a_user_refuses_the_default_one() {
        let server = RedisServer::start_with(RedisOptions { user: Some(("agent".into(), "secret".into())), ..RedisOptions::default() });
        assert_eq!(server.command(&["ACL", "WHOAMI"]).text(), "agent");
        let mut stranger = Resp::connect(server.port()).unwrap();
        assert!(matches!(stranger.command(&[b"PING"]), Err(RedisError::Refused(text)) if text.starts_with("NOAUTH")));
    }
}
