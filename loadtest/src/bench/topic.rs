//! One publication from one publisher through a path to some subscribers: the cell of P2 and of P3.

use std::time::Duration;

use super::words;
use crate::child::Process;
use crate::failure::{Doing, Failure, Outcome};
use crate::latency::Summary;
use crate::peer::Wire;
use crate::sidecar::Sidecar;

pub(super) const LINK_TIMEOUT: Duration = Duration::from_secs(10);
const RESULT_SLACK: Duration = Duration::from_secs(30);

/// What carries a topic.
pub(super) enum Carrier {
    Proxy(Process, String, String),
    Sidecar(Box<Sidecar>),
}

impl Carrier {
    /// `zmq_proxy` between XSUB and XPUB.
    ///
    /// # Errors
    /// It does not start.
    pub(super) fn proxy(high_water: i32) -> Outcome<Self> {
        let process = Process::start("proxy-topic", None, &words(&["proxy-topic", "--hwm", &high_water.to_string()]))?;
        let ready = process.wait("ready", LINK_TIMEOUT)?;
        match (ready["endpoint"].as_str(), ready["out"].as_str()) {
            (Some(front), Some(back)) => Ok(Self::Proxy(process, front.to_owned(), back.to_owned())),
            _ => Err(Failure::new("the proxy bound no endpoints")),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Proxy(..) => "zmq_proxy",
            Self::Sidecar(_) => "sidecar",
        }
    }

    fn endpoints(&self) -> (&str, &str) {
        match self {
            Self::Proxy(_, front, back) => (front, back),
            Self::Sidecar(sidecar) => (sidecar.publishers(), sidecar.subscribers()),
        }
    }

    fn cpu(&self) -> Duration {
        match self {
            Self::Proxy(process, ..) => process.cpu(),
            Self::Sidecar(sidecar) => sidecar.cpu(),
        }
    }
}

/// The load of one cell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) publisher: Wire,
    pub(super) subscriber: Wire,
    pub(super) payload: usize,
    pub(super) subscribers: usize,
    pub(super) seconds: f64,
    /// `None`: as fast as the receivers take it, held back by end-to-end credit.
    pub(super) rate: Option<u64>,
    pub(super) high_water: i32,
}

/// How far a publisher may run ahead of its slowest subscriber, in messages.
///
/// libzmq learns what a peer has read only every half mark, so a pipe may look fuller than it is by that much: three
/// eighths keep every queue on every path below its mark, and nothing drops.
pub(super) fn credit(high_water: i32) -> i64 {
    i64::from(high_water) * 3 / 8
}

/// What the peers counted.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) sent: u64,
    /// Of the publisher, from first to last send.
    pub(super) seconds: f64,
    pub(super) receivers: Vec<Received>,
    /// CPU time of the carrier.
    pub(super) cpu: Duration,
}

/// What one subscriber counted.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) received: u64,
    pub(super) missing: u64,
    pub(super) late: u64,
    pub(super) per_second: f64,
    pub(super) latency: Summary,
}

/// Runs one cell.
///
/// # Errors
/// A peer does not link, or does not report in time.
pub(super) fn publish(carrier: &Carrier, load: &Load) -> Outcome<Published> {
    publish_with(carrier, load, &[])
}

/// The same with more arguments for each peer.
///
/// # Errors
/// As [`publish`].
pub(super) fn publish_with(carrier: &Carrier, load: &Load, more: &[String]) -> Outcome<Published> {
    let (front, back) = carrier.endpoints();
    let high_water = load.high_water.to_string();
    let mut arguments = words(&["peer", "pub", "--endpoint", front, "--hwm", &high_water]);
    let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    option("--wire", load.publisher.name().to_owned());
    option("--payload", load.payload.to_string());
    option("--seconds", load.seconds.to_string());
    match load.rate {
        Some(rate) => option("--rate", rate.to_string()),
        None => {
            option("--credit", credit(load.high_water).to_string());
            option("--subscribers", load.subscribers.to_string());
        }
    }
    arguments.extend_from_slice(more);
    let mut publisher = Process::start("pub", None, &arguments)?;
    let ready = publisher.wait("ready", LINK_TIMEOUT)?;
    let mut receivers = Vec::new();
    for _ in 0..load.subscribers {
        let mut arguments = words(&["peer", "sub", "--endpoint", back, "--hwm", &high_water]);
        arguments.extend(words(&["--wire", load.subscriber.name()]));
        if let Some(credit) = ready["endpoint"].as_str() {
            arguments.extend(words(&["--credit", credit]));
        }
        if load.rate.is_some() {
            arguments.push("--latency".to_owned());
        }
        arguments.extend_from_slice(more);
        receivers.push(Process::start("sub", None, &arguments)?);
    }
    for receiver in &receivers {
        receiver.wait("linked", LINK_TIMEOUT)?;
    }
    let before = carrier.cpu();
    publisher.order("go")?;
    let timeout = Duration::from_secs_f64(load.seconds) + RESULT_SLACK;
    let sent = publisher.wait("result", timeout)?;
    let results = receivers.iter().map(|receiver| {
        let result = receiver.wait("result", timeout)?;
        Ok(Received {
            received: result["received"].as_u64().unwrap_or(0),
            missing: result["missing"].as_u64().unwrap_or(0),
            late: result["late"].as_u64().unwrap_or(0),
            per_second: result["per_second"].as_f64().unwrap_or(0.0),
            latency: serde_json::from_value(result["latency"].clone()).doing(|| "reading a result".to_owned())?,
        })
    });
    let results = results.collect::<Outcome<Vec<_>>>()?;
    let cpu = carrier.cpu().saturating_sub(before);
    publisher.order("stop")?;
    Ok(Published { sent: sent["sent"].as_u64().unwrap_or(0), seconds: sent["seconds"].as_f64().unwrap_or(0.0), receivers: results, cpu })
}

impl Published {
    /// Mean rate of the subscribers.
    pub(super) fn per_second(&self) -> f64 {
        self.receivers.iter().map(|receiver| receiver.per_second).sum::<f64>() / self.receivers.len().max(1) as f64
    }

    /// Sent and not received, over all subscribers.
    pub(super) fn lost(&self) -> u64 {
        self.receivers.iter().map(|receiver| self.sent.saturating_sub(receiver.received)).sum()
    }
}
