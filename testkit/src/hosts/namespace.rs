//! One network namespace, held by a file: the kernel removes it when the file is closed and nobody is inside.

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

/// The network namespace of the thread that opens it.
const OWN: &str = "/proc/thread-self/ns/net";

/// A network that nobody else is on, with nothing but a loopback.
#[derive(Debug)]
pub(super) struct Namespace {
    file: File,
}

/// This kernel, or this user, has no network namespaces.
#[derive(Debug)]
pub(super) struct Forbidden(pub(super) String);

impl Namespace {
    pub(super) fn new() -> Result<Self, Forbidden> {
        // A thread that is in a new namespace and ends there: this one must stay where it is.
        let made = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|error| Forbidden(format!("unshare(CLONE_NEWNET): {error}")))?;
            File::open(OWN).map_err(|error| Forbidden(format!("{OWN}: {error}")))
        });
        let namespace = Self { file: made.join().expect("making a namespace does not panic")? };
        namespace.ip("link set lo up\n")?;
        Ok(namespace)
    }

    /// Runs `work` on this thread, inside. Processes and threads that it starts, and sockets that it opens, stay inside.
    pub(super) fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        let outside = File::open(OWN).expect("a thread can open its own namespace");
        setns(&self.file, CloneFlags::CLONE_NEWNET).expect("who made a namespace can enter it");
        let _back = Back(outside);
        work()
    }

    /// Commands of `ip`, one per line, inside.
    pub(super) fn ip(&self, commands: &str) -> Result<(), Forbidden> {
        let mut ip = Command::new("ip");
        ip.args(["-batch", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
        let ended = self.enter(|| {
            let mut child = ip.spawn().unwrap_or_else(|error| panic!("hosts need iproute2: apt-get install iproute2 ({error})"));
            child.stdin.take().expect("it is piped").write_all(commands.as_bytes()).expect("ip reads all of it");
            child.wait_with_output().expect("a child can be waited for")
        });
        if ended.status.success() { Ok(()) } else { Err(Forbidden(format!("ip: {}", String::from_utf8_lossy(&ended.stderr).trim()))) }
    }

    /// Sets a value of `/proc/sys`, whose part `net` is that of the thread that writes.
    pub(super) fn set(&self, name: &str, value: &str) -> Result<(), Forbidden> {
        let path = format!("/proc/sys/{name}");
        self.enter(|| fs::write(&path, value)).map_err(|error| Forbidden(format!("{path}: {error}")))
    }

    /// A path by which a child of this process finds the namespace.
    pub(super) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    /// The processes whose network this is. This process is never among them: only threads of it are ever inside.
    pub(super) fn processes(&self) -> Vec<u32> {
        let Ok(own) = self.file.metadata() else { return Vec::new() };
        let inside = |pid: &u32| network_of(&pid.to_string()) == Some(own.ino());
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter(inside).collect()
    }

    /// Kills whoever is inside: also what a killed process of the test had started.
    pub(super) fn kill_all(&self) {
        for pid in self.processes() {
            let Ok(pid) = i32::try_from(pid) else { continue };
            // Who ends in this moment needs no signal.
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
    }
}

/// Which network a process is on, by the number of its namespace; `None` when it has ended.
pub(super) fn network_of(pid: &str) -> Option<u64> {
    fs::metadata(format!("/proc/{pid}/ns/net")).ok().map(|network| network.ino())
}

/// Takes the thread back out, also when `work` panics.
struct Back(File);

impl Drop for Back {
    fn drop(&mut self) {
        setns(&self.0, CloneFlags::CLONE_NEWNET).expect("who has entered a namespace can return");
    }
}
