//! The flags that set configuration keys, shared by `serve`, `doctor` and `config`.

use std::path::PathBuf;

use crate::config::{Config, Flag, Origin, Sources};

use super::Failure;

/// Flags win over the environment, the environment over the file.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Configuration (flag > environment > file > default)")]
pub(super) struct ConfigArgs {
    /// Configuration file [default: myelin.toml if it exists] [env: MYELIN_CONFIG]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Address for NATS clients and for the other commands [default: 127.0.0.1:4222]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,

    /// Address of /livez, /readyz and /metrics [default: 127.0.0.1:7300]
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,

    /// Directory for what survives a restart [default: ./myelin-data]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<String>,

    /// How long a graceful stop may take [default: 10s]
    #[arg(long, value_name = "DURATION")]
    drain_timeout: Option<String>,

    /// Worker threads for agents and the bus [default: 0, one per core]
    #[arg(long, value_name = "COUNT")]
    threads: Option<String>,

    /// Endpoint where agents register [default: tcp://127.0.0.1:7120]
    #[arg(long, value_name = "ENDPOINT")]
    discovery_listen: Option<String>,

    /// Host to name in answers to agents [default: the address they reached us on]
    #[arg(long, value_name = "HOST")]
    advertise: Option<String>,

    /// Do not answer registrations
    #[arg(long)]
    no_discovery: bool,

    /// Endpoint that PUB agents connect to [default: tcp://127.0.0.1:5559]
    #[arg(long, value_name = "ENDPOINT")]
    hub_publishers: Option<String>,

    /// Endpoint that SUB agents connect to [default: tcp://127.0.0.1:5560]
    #[arg(long, value_name = "ENDPOINT")]
    hub_subscribers: Option<String>,

    /// Do not open the hub
    #[arg(long)]
    no_hub: bool,

    /// Set any key, such as --set limits.connections=2000
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// What the file was named by, when that was not `--config`.
    #[arg(skip)]
    named_by: Option<&'static str>,
}

impl ConfigArgs {
    /// Reads all sources. Variables that look like ours and are not are warned about.
    pub(super) fn load(&self) -> Result<Config, Failure> {
        let sources = self.sources()?;
        for (name, meant) in sources.unknown_env() {
            match meant {
                Some(meant) => tracing::warn!("{name} sets nothing, did you mean {meant}?"),
                None => tracing::warn!("{name} sets nothing"),
            }
        }
        Ok(sources.load()?)
    }

    /// The same flags over another file, if `file` is one; `argument` is how the user named it.
    pub(super) fn with_file(mut self, file: Option<PathBuf>, argument: &'static str) -> Self {
        if file.is_some() {
            (self.config, self.named_by) = (file, Some(argument));
        }
        self
    }

    /// Where the configuration will be read from.
    pub(super) fn sources(&self) -> Result<Sources, Failure> {
        let from_flag = self.config.clone().map(|path| (path, Origin::Flag(self.named_by.unwrap_or("--config").to_owned())));
        let from_env = || {
            let path = std::env::var_os("MYELIN_CONFIG").filter(|path| !path.is_empty())?;
            Some((PathBuf::from(path), Origin::Env("MYELIN_CONFIG".to_owned())))
        };
        Ok(Sources { file: from_flag.or_else(from_env), env: Sources::process_env(), flags: self.flags()? })
    }

    fn flags(&self) -> Result<Vec<Flag>, Failure> {
        let mut flags = Vec::new();
        let mut add = |name: &str, key: &str, value: &str| {
            flags.push(Flag { name: name.to_owned(), key: key.to_owned(), value: value.to_owned() });
        };
        for pair in &self.set {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(Failure::usage(format!("--set {pair}: expected KEY=VALUE, such as limits.connections=2000")));
            };
            add(&format!("--set {key}"), key.trim(), value);
        }
        let texts = [
            ("--listen", "serve.listen", &self.listen),
            ("--http", "serve.http", &self.http),
            ("--state-dir", "serve.state_dir", &self.state_dir),
            ("--drain-timeout", "serve.drain_timeout", &self.drain_timeout),
            ("--threads", "serve.threads", &self.threads),
            ("--discovery-listen", "discovery.listen", &self.discovery_listen),
            ("--advertise", "discovery.advertise", &self.advertise),
            ("--hub-publishers", "hub.publishers", &self.hub_publishers),
            ("--hub-subscribers", "hub.subscribers", &self.hub_subscribers),
        ];
        for (name, key, value) in texts {
            if let Some(value) = value {
                add(name, key, value);
            }
        }
        if self.no_discovery {
            add("--no-discovery", "discovery.enabled", "false");
        }
        if self.no_hub {
            add("--no-hub", "hub.enabled", "false");
        }
        Ok(flags)
    }
}
