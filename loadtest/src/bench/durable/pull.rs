//! P7: messages pulled in batches, each acked by itself.

use super::server::SyncInterval;
use super::stage::{Act, Carrier, Stage, WORKERS};
use super::{Ack, PAYLOAD_BYTES, Pull};
use crate::bench::report::{Goal, Report};
use crate::bench::{BenchArgs, interleave};
use crate::failure::Outcome;
use crate::neighbours::Neighbours;

const MESSAGES: u64 = 200_000;
const BATCH: usize = 256;
const IN_FLIGHT: usize = 4 * BATCH;
const LOADS: [(Ack, &str); 2] = [(Ack::Sent, "ack"), (Ack::Confirmed, "confirmed ack")];
const RATIO_MIN: f64 = 1.5;

pub(in super::super) fn run(args: &BenchArgs, neighbours: &mut Neighbours) -> Outcome<Report> {
    let messages = if args.quick { MESSAGES / 10 } else { MESSAGES };
    let stage = Stage::set(args, SyncInterval::Default, true)?;
    let setup = format!(
        "pull + ack, {PAYLOAD_BYTES} B, {messages} messages per cell x {} rounds interleaved, batches of {BATCH}, {IN_FLIGHT} in flight, \
         client runtime of {WORKERS} workers",
        args.rounds
    );
    let mut report = Report::new("P7", setup);
    let cells = [
        (Carrier::Embedded, Ack::Confirmed),
        (Carrier::JetStream, Ack::Sent),
        (Carrier::JetStream, Ack::Confirmed),
        (Carrier::Attached, Ack::Confirmed),
    ];
    let cells: Vec<_> = cells.into_iter().filter(|(carrier, _)| stage.has(*carrier)).collect();
    interleave(args.rounds, neighbours, &cells, |&(carrier, ack)| {
        let pull = Pull { messages, batch: BATCH, in_flight: IN_FLIGHT, ack };
        let (done, cpu) = stage.cell(carrier, Act::Pull(pull))?;
        for (as_ack, load) in LOADS {
            // Ours are confirmed whoever asks: the same figure stands against both of theirs.
            if ack == as_ack || carrier != Carrier::JetStream {
                report.add(carrier.name(), load, "msgs/s", done.per_second());
                report.add(carrier.name(), load, "CPU µs/msg", cpu);
            }
        }
        Ok(())
    })?;
    for (_, load) in LOADS {
        report.ratio("P7", ("embedded", "jetstream"), load, "msgs/s", (Goal::AtLeast, RATIO_MIN));
        report.ratio("P7", ("embedded", "jetstream"), load, "CPU µs/msg", (Goal::None, 0.0));
        report.ratio("P7", ("sidecar", "jetstream"), load, "msgs/s", (Goal::None, 0.0));
    }
    report.note("ours: every ack is waited for and survives a power cut; the same figure stands against both acks of jetstream");
    report.note(format!(
        "jetstream: {}, files, R1, default sync_interval; explicit acks, async-nats' continuous pull",
        stage.server_version()
    ));
    report.note("jetstream's ack: sent and not waited for; its confirmed ack: a request over the client's one inbox, as many outstanding as in flight");
    report.note("every message came once, and the consumer had none left unacked afterwards");
    Ok(report)
}
