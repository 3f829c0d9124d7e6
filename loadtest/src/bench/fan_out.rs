//! P2: how much one publisher gets through a path to one and to four subscribers.

use super::report::{Goal, Report};
use super::topic::{Carrier, Load, credit, publish};
use super::{BenchArgs, interleave};
use crate::failure::Outcome;
use crate::neighbours::Neighbours;
use crate::peer::Wire;
use crate::sidecar::{Settings, Sidecar};

const PAYLOADS: [usize; 3] = [64, 256, 1_024];
const SUBSCRIBERS: [usize; 2] = [1, 4];

pub(super) fn run(args: &BenchArgs, neighbours: &mut Neighbours) -> Outcome<Report> {
    let wire = args.peers.unwrap_or(Wire::Libzmq);
    let seconds = args.seconds(2.0);
    let setup = format!(
        "1 PUB -> path -> SUBs, {} peers, unpinned, {seconds} s x {} rounds interleaved, high-water marks {}, \
         publisher held back by end-to-end credit of {} messages",
        wire.name(),
        args.rounds,
        args.high_water,
        credit(args.high_water),
    );
    let mut report = Report::new("P2", setup);
    let mut carriers = vec![Carrier::proxy(args.high_water)?];
    if !args.without_sidecar {
        let settings = Settings { overflow: "block", high_water: args.high_water };
        carriers.push(Carrier::Sidecar(Box::new(Sidecar::start(&args.binary(), None, settings)?)));
    }
    let mut lost = 0;
    for payload in PAYLOADS {
        for subscribers in SUBSCRIBERS {
            let load = Load { publisher: wire, subscriber: wire, payload, subscribers, seconds, rate: None, high_water: args.high_water };
            let label = format!("{payload} B, {subscribers} sub");
            interleave(args.rounds, neighbours, &carriers, |carrier| {
                let done = publish(carrier, &load)?;
                lost += done.lost();
                report.add(carrier.name(), &label, "msgs/s per sub", done.per_second());
                let per_message = done.cpu.as_secs_f64() * 1e6 / done.sent.max(1) as f64;
                report.add(carrier.name(), &label, "CPU µs/msg in", per_message);
                Ok(())
            })?;
            let paths = ("sidecar", "zmq_proxy");
            report.ratio("P2", paths, &label, "msgs/s per sub", (Goal::AtLeast, 1.4));
            report.ratio("P2", paths, &label, "CPU µs/msg in", (Goal::None, 0.0));
        }
    }
    report.note(format!("messages lost in all cells together: {lost}"));
    Ok(report)
}
