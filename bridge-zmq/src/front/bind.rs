//! Sockets that listen: a TCP port, a socket file, an abstract name.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixStream, lookup_host};
use tracing::debug;

use super::endpoint::{Endpoint, Host};
use super::stream::{HERE, Stream};
use super::{BindError, Security};
use crate::codec::Mechanism;

/// Connections the kernel queues for us: the usual `somaxconn`, so that a fleet that starts at once is not refused.
const BACKLOG: u32 = 4096;

/// Who may use a socket file: its owner. Others are let in by the operator, who changes the mode or the directory.
const SOCKET_MODE: u32 = 0o600;

/// A socket that listens. Dropping it closes it and removes its file.
#[derive(Debug)]
pub(super) enum Bound {
    Tcp(TcpListener),
    Unix { listener: UnixListener, _file: Option<SocketFile> },
}

/// A socket file, as long as it is ours.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Bound {
    pub(super) async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, remote)| (Stream::Tcp(stream), remote)),
            Self::Unix { listener, .. } => listener.accept().await.map(|(stream, _)| (Stream::Unix(stream), HERE)),
        }
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr(),
            Self::Unix { .. } => Ok(HERE),
        }
    }
}

/// Binds `endpoint`.
pub(super) async fn bind(endpoint: &Endpoint, security: &Security) -> Result<Bound, BindError> {
    let refuse = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { endpoint: endpoint.clone(), source },
        _ => BindError::Bind { endpoint: endpoint.clone(), source },
    };
    if let Host::Local(name) = endpoint.host() {
        return if name.starts_with('@') {
            UnixListener::bind(Endpoint::socket_name(name)).map(|listener| Bound::Unix { listener, _file: None }).map_err(refuse)
        } else {
            bind_file(Path::new(&**name)).await.map_err(refuse)
        };
    }
    let resolve = |source| BindError::Resolve { endpoint: endpoint.clone(), source };
    let addresses: Vec<SocketAddr> = lookup_host(endpoint.target()).await.map_err(resolve)?.collect();
    // Agents reach a name over IPv4 unless told otherwise, as libzmq does.
    let address = *addresses
        .iter()
        .find(|address| address.is_ipv4())
        .or_else(|| addresses.first())
        .ok_or_else(|| resolve(io::ErrorKind::NotFound.into()))?;
    if !address.ip().is_loopback() && security.listen.mechanism() == Mechanism::Null && !security.insecure {
        return Err(BindError::Insecure { endpoint: endpoint.clone() });
    }
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A restart binds the same port while connections of the last run are still in TIME_WAIT.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map(Bound::Tcp).map_err(refuse)
}

/// Binds a socket file. One that nobody answers at is left over from a process that is gone, and is replaced.
async fn bind_file(path: &Path) -> io::Result<Bound> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(io::ErrorKind::AlreadyExists.into()),
        Ok(_) => match UnixStream::connect(path).await {
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
            // Whoever answers has it, and so has whoever is too busy to.
            _ => return Err(io::ErrorKind::AddrInUse.into()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // Under another name until its mode is right: nobody connects in between.
    let mut hidden = path.as_os_str().to_owned();
    hidden.push("~");
    let hidden = PathBuf::from(hidden);
    match fs::remove_file(&hidden) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&hidden)?;
    fs::set_permissions(&hidden, fs::Permissions::from_mode(SOCKET_MODE))?;
    fs::rename(&hidden, path)?;
    let inode = fs::symlink_metadata(path)?.ino();
    Ok(Bound::Unix { listener, _file: Some(SocketFile { path: path.into(), inode }) })
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another process may have the name by now.
        if fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode)
            && let Err(error) = fs::remove_file(&self.path)
        {
            debug!(path = %self.path.display(), %error, "socket file not removed");
        }
    }
}
