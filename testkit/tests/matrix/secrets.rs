//! Who knows which secret: the sidecar's half goes into files, the foreign program's half into its arguments.

use super::Attach;
use myelin_testkit::python;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

const USER: &str = "agent";

/// How the two ends of a connection prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mechanism {
    Null,
    Plain,
    Curve,
}

impl Mechanism {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Plain => "plain",
            Self::Curve => "curve",
        }
    }
}

/// One mistake in what two ends would otherwise agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// The client's password is another one.
    Password,
    /// The client's keys are not those that the server knows.
    ClientKey,
    /// The client believes in another server.
    ServerKey,
    /// The foreign socket proves and asks nothing, the sidecar does.
    ForeignHasNone(Mechanism),
    /// The other way round.
    SidecarHasNone(Mechanism),
}

impl Mistake {
    pub(crate) const ALL: [Self; 7] = [
        Self::Password,
        Self::ForeignHasNone(Mechanism::Plain),
        Self::SidecarHasNone(Mechanism::Plain),
        Self::ClientKey,
        Self::ServerKey,
        Self::ForeignHasNone(Mechanism::Curve),
        Self::SidecarHasNone(Mechanism::Curve),
    ];

    const fn mechanism(self) -> Mechanism {
        match self {
            Self::Password => Mechanism::Plain,
            Self::ClientKey | Self::ServerKey => Mechanism::Curve,
            Self::ForeignHasNone(mechanism) | Self::SidecarHasNone(mechanism) => mechanism,
        }
    }
}

/// What both ends know.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    sidecar: End,
    foreign: End,
}

#[derive(Debug, Clone)]
struct End {
    mechanism: Mechanism,
    password: String,
    keys: Keys,
    /// The public key of the other end.
    other: String,
}

/// Public and secret, in Z85.
#[derive(Debug, Clone)]
struct Keys {
    public: String,
    secret: String,
}

impl Terms {
    /// Both ends agree.
    pub(crate) fn agreed(mechanism: Mechanism) -> Self {
        let [sidecar, foreign, _] = keys();
        let end =
            |keys: &Keys, other: &Keys| End { mechanism, password: "s3cret".to_owned(), keys: keys.clone(), other: other.public.clone() };
        Self { sidecar: end(sidecar, foreign), foreign: end(foreign, sidecar) }
    }

    /// They agree but for this.
    pub(crate) fn mistaken(mistake: Mistake, attach: Attach) -> Self {
        let mut terms = Self::agreed(mistake.mechanism());
        let [_, _, stranger] = keys();
        let client = if attach == Attach::Connect { &mut terms.foreign } else { &mut terms.sidecar };
        match mistake {
            Mistake::Password => "guess".clone_into(&mut client.password),
            Mistake::ClientKey => client.keys = stranger.clone(),
            Mistake::ServerKey => client.other.clone_from(&stranger.public),
            Mistake::ForeignHasNone(_) => terms.foreign.mechanism = Mechanism::Null,
            Mistake::SidecarHasNone(_) => terms.sidecar.mechanism = Mechanism::Null,
        }
        terms
    }

    /// What the sidecar asks or proves.
    pub(crate) const fn sidecar_mechanism(&self) -> Mechanism {
        self.sidecar.mechanism
    }

    /// The lines of `[security]`, whose files go into `directory`. The end that binds is the server.
    pub(crate) fn section(&self, attach: Attach, directory: &Path) -> String {
        let End { mechanism, password, keys, other } = &self.sidecar;
        let file = |key: &str, content: String| {
            let path = directory.join(key);
            std::fs::write(&path, content).expect("a temporary directory can be written");
            format!("{key} = {path:?}\n")
        };
        match (mechanism, attach) {
            (Mechanism::Null, _) => String::new(),
            (Mechanism::Plain, Attach::Connect) => format!("mechanism = \"plain\"\n{}", file("users", format!("{USER}:{password}\n"))),
            (Mechanism::Plain, Attach::Bind) => {
                format!("connect_mechanism = \"plain\"\n{}", file("connect_login", format!("{USER}:{password}\n")))
            }
            (Mechanism::Curve, Attach::Connect) => {
                let files = [file("key", keys.secret.clone()), file("clients", format!("{other} {USER} *\n"))];
                format!("mechanism = \"curve\"\n{}", files.concat())
            }
            (Mechanism::Curve, Attach::Bind) => {
                let files = [file("connect_key", keys.secret.clone()), file("connect_server_key", other.clone())];
                format!("connect_mechanism = \"curve\"\n{}", files.concat())
            }
        }
    }

    /// Tells the foreign program its half. A key may start with a hyphen, so each stands in one argument with its name.
    pub(crate) fn tell(&self, program: &mut Command) {
        let End { mechanism, password, keys, other } = &self.foreign;
        program.args(["--mechanism", mechanism.as_str(), "--user", USER, "--password", password]);
        for (name, key) in [("public", &keys.public), ("secret", &keys.secret), ("peer", other)] {
            program.arg(format!("--{name}-key={key}"));
        }
    }
}

/// The sidecar's, the foreign program's and a stranger's, made by libzmq once for each process.
fn keys() -> &'static [Keys; 3] {
    static MADE: OnceLock<[Keys; 3]> = OnceLock::new();
    MADE.get_or_init(|| {
        let script = "import zmq\nfor _ in range(3): print(*(key.decode() for key in zmq.curve_keypair()))";
        let output = Command::new(python()).args(["-c", script]).output().expect("python3 runs");
        let text = String::from_utf8(output.stdout).expect("Z85 is text");
        let pairs = text.lines().map(|line| {
            let (public, secret) = line.split_once(' ').expect("two keys in a line");
            Keys { public: public.to_owned(), secret: secret.to_owned() }
        });
        pairs.collect::<Vec<_>>().try_into().expect("three pairs of keys")
    })
}
