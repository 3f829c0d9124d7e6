//! The scripts. Each is sent by its hash; a server that does not know it yet gets the text.

use redis::{Cmd, Script as Hashed};
use std::fmt;
use std::sync::OnceLock;

/// A script that runs as one step on one slot.
pub(super) struct Script {
    parts: &'static [&'static str],
    loaded: OnceLock<Loaded>,
}

struct Loaded {
    text: Box<str>,
    hash: Box<str>,
}

/// A script with its keys and arguments.
#[derive(Debug)]
pub(super) struct Call {
    script: &'static Script,
    keys: Vec<String>,
    arguments: Vec<Vec<u8>>,
}

macro_rules! scripts {
    ($($name:ident = $($file:literal)+;)+) => {
        $(pub(super) static $name: Script = Script { parts: &[$(include_str!(concat!("lua/", $file, ".lua"))),+], loaded: OnceLock::new() };)+
    };
}

scripts! {
    READ = "read";
    WRITE = "head" "write";
    SWAP = "head" "swap";
    DELETE = "head" "delete";
    TOUCH = "head" "touch";
    WATCH = "head" "watch";
    CHANGES = "head" "changes";
    STATS = "head" "stats";
    SCAN = "scan";
    APPEND = "append";
    RECENT = "recent";
    CLEAR = "clear";
}

impl Script {
    pub(super) const fn call(&'static self) -> Call {
        Call { script: self, keys: Vec::new(), arguments: Vec::new() }
    }

    fn loaded(&self) -> &Loaded {
        self.loaded.get_or_init(|| {
            let text: Box<str> = self.parts.concat().into();
            Loaded { hash: Hashed::new(&text).get_hash().into(), text }
        })
    }
}

impl Call {
    pub(super) fn key(mut self, key: String) -> Self {
        self.keys.push(key);
        self
    }

    pub(super) fn keys(mut self, keys: impl IntoIterator<Item = String>) -> Self {
        self.keys.extend(keys);
        self
    }

    pub(super) fn argument(mut self, argument: impl Into<Vec<u8>>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(super) fn number(self, number: impl fmt::Display) -> Self {
        self.argument(number.to_string())
    }

    /// By the hash.
    pub(super) fn short(&self) -> Cmd {
        self.command("EVALSHA", &self.script.loaded().hash)
    }

    /// With the text, which the server remembers.
    pub(super) fn long(&self) -> Cmd {
        self.command("EVAL", &self.script.loaded().text)
    }

    /// Bytes of the arguments, which are all that may be large.
    pub(super) fn bytes(&self) -> usize {
        self.arguments.iter().map(Vec::len).sum()
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(self.keys.len()).arg(&self.keys);
        for argument in &self.arguments {
            command.arg(argument.as_slice());
        }
        command
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.loaded().hash)
    }
}
