//! Which process listens where, from the tables of `/proc/net` and the open files of the processes we may look into.

use std::fmt;
use std::fs;
use std::net::SocketAddr;

/// A process that listens where we wanted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) name: String,
    pub(crate) pid: u32,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// The process that listens on the port of `address`; `None` when nobody does or when `/proc` hides it from us.
pub(crate) fn holder_of(address: SocketAddr) -> Option<Holder> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].iter().filter_map(|table| fs::read_to_string(table).ok());
    whoever_holds(tables.flat_map(|table| listeners(&table, address.port())).collect())
}

/// The process that listens on a Unix domain socket, by the path under which it bound it or by its abstract name; as [`holder_of`].
pub(crate) fn holder_of_local(name: &str) -> Option<Holder> {
    let table = fs::read_to_string("/proc/net/unix").ok()?;
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    // Ours are bound under another name first, and the kernel remembers that one.
    let is_named = |row: &Vec<&str>| row.len() == 8 && (row[7] == name || row[7].strip_suffix('~') == Some(name));
    whoever_holds(rows.filter(is_named).map(|row| row[6].to_owned()).collect())
}

fn whoever_holds(inodes: Vec<String>) -> Option<Holder> {
    if inodes.is_empty() {
        return None;
    }
    let sockets: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .find(|pid| holds(*pid, &sockets))
        .map(|pid| Holder { name: name_of(pid).unwrap_or_else(|| "a process".to_owned()), pid })
}

/// Inodes of the listening sockets on `port`, from one of the kernel's tables.
fn listeners(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let suffix = format!(":{port:04X}");
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.len() > 9 && row[3] == LISTEN && row[1].ends_with(&suffix)).map(|row| row[9].to_owned()).collect()
}

fn holds(pid: u32, inodes: &[String]) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    files
        .flatten()
        .filter_map(|file| fs::read_link(file.path()).ok())
        .any(|target| inodes.iter().any(|inode| target.as_os_str() == inode.as_str()))
}

fn name_of(pid: u32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn our_own_listener_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let holder = holder_of(listener.local_addr().expect("bound")).expect("found");
        assert_eq!(holder.pid, std::process::id());
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let path = scratch.path().join("a.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&path).expect("bound");
        let holder = holder_of_local(path.to_str().expect("a plain path")).expect("found");
        assert_eq!(holder.pid, std::process::id());
    }
}
