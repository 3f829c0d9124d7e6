//! `myelin health`.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use serde_json::json;

use super::config_args::ConfigArgs;
use super::{Failure, output, server};

/// Ask a running sidecar whether it is ready
///
/// Reads /readyz. Exit code 0 when it says ready, 1 when it says anything else or nothing, 64 when the URL is none. For health checks
/// of containers and scripts, which have no curl.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Where it serves HTTP [default: serve.http of the configuration, <http://127.0.0.1:7300>]
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// How long the whole question may take
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = server::duration)]
    timeout: Duration,

    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  myelin health
  myelin health --url http://127.0.0.1:7300 --timeout 500ms
  myelin health --json
  HEALTHCHECK CMD [\"myelin\", \"health\"]      in a Dockerfile";

const PAGE: &str = "/readyz";

/// The page is a line; who sends more is not the sidecar.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let place = match &args.url {
        Some(url) => authority(url)?.to_owned(),
        None => configured()?.to_string(),
    };
    let deadline = Instant::now() + args.timeout;
    let (ready, said) = match ask(&place, deadline) {
        Ok((200, text)) => (true, text),
        Ok((503, text)) => (false, text),
        Ok((status, _)) => (false, format!("http://{place}{PAGE} answers with status {status}: this is no sidecar")),
        Err(error) => (false, format!("cannot ask http://{place}{PAGE}: {}", crate::config::reason(&error))),
    };
    if args.json {
        output::json(&json!({ "ready": ready, "url": format!("http://{place}{PAGE}"), "answer": said }))?;
    } else if ready {
        output::line(&said)?;
    }
    match (ready, args.json) {
        (true, _) => Ok(()),
        (false, true) => Err(Failure::silent(super::failure::EXIT_RUNTIME)),
        (false, false) => Err(Failure::runtime(said)),
    }
}

/// Where a sidecar with this configuration would answer.
fn configured() -> Result<SocketAddr, Failure> {
    let http = ConfigArgs::default().sources()?.load()?.serve.http;
    let ip = if http.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { http.ip() };
    Ok(SocketAddr::new(ip, http.port()))
}

/// The host and the port of `http://host:port`, with or without the page behind it.
fn authority(url: &str) -> Result<&str, Failure> {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let place = rest.strip_suffix(PAGE).unwrap_or(rest).trim_end_matches('/');
    let has_port = place.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if has_port && !place.contains(['/', '@', ' ', '\r', '\n']) {
        Ok(place)
    } else {
        Err(Failure::usage(format!("--url {url}: expected http://host:port")))
    }
}

/// Status and text of the page, before the deadline however slowly the bytes trickle.
fn ask(place: &str, deadline: Instant) -> io::Result<(u16, String)> {
    let mut stream = connect(place, deadline)?;
    write!(stream, "GET {PAGE} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        stream.set_read_timeout(Some(left(deadline)?))?;
        let read = match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(io::ErrorKind::TimedOut.into()),
            Err(error) => return Err(error),
        };
        answer.extend_from_slice(&chunk[..read]);
        if answer.len() as u64 > ANSWER_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is too long"));
        }
    }
    parse(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "what answers there is no sidecar"))
}

/// To the first address of a name that accepts.
fn connect(place: &str, deadline: Instant) -> io::Result<TcpStream> {
    let mut refused = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in place.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left(deadline)?) {
            Ok(stream) => {
                stream.set_write_timeout(Some(left(deadline)?))?;
                return Ok(stream);
            }
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn parse(answer: &[u8]) -> Option<(u16, String)> {
    let answer = String::from_utf8_lossy(answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    Some((status, body.trim_end().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_host_and_a_port() {
        for url in ["http://127.0.0.1:7300", "http://127.0.0.1:7300/", "127.0.0.1:7300", "http://127.0.0.1:7300/readyz"] {
            assert_eq!(authority(url).ok(), Some("127.0.0.1:7300"));
        }
        assert_eq!(authority("http://[::1]:7300").ok(), Some("[::1]:7300"));
        for url in ["", "7300", "http://host", "https://host:1", "http://host:99999", "http://u@h:1", "http://h:1/livez", "h:1\r\nX: y:1"] {
            assert!(authority(url).is_err(), "{url:?}");
        }
    }

    #[test]
    fn damaged_answers_are_no_answers() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nready\n";
        assert_eq!(parse(whole), Some((200, "ready".to_owned())));
        for end in 0..whole.len() - 7 {
            assert_eq!(parse(&whole[..end]), None, "{end}");
        }
        assert_eq!(parse(b"HTTP/1.1 2\xff\xff\r\n\r\n"), None);
    }
}
