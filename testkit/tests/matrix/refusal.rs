//! Two ends that disagree: nothing may pass, and the sidecar has to count why.

use super::secrets::{Mistake, Terms};
use super::{Attach, Cell, PASSES_WITHIN, Setting};
use std::process::Command;
use std::time::{Duration, Instant};

/// Nothing is on its way any more once a handshake has failed; this is for what should never have been sent.
const SILENCE: Duration = Duration::from_millis(50);

/// Starts a foreign REQ that binds or connects with this mistake.
pub(crate) fn refusal(program: Command, attach: Attach, mistake: Mistake) -> Cell {
    let setting = Setting::new("REQ", attach, &Terms::mistaken(mistake, attach));
    let mut agent = match setting.near.peer("REP") {
        Ok(agent) => agent,
        Err(why) => return Cell::Fails(why),
    };
    let process = setting.start(program);
    if process.lacks {
        return Cell::Lacks;
    }
    let metric = |name| setting.sidecar.metric(name).unwrap_or_default();
    let begin = Instant::now();
    while metric("myelin_zmq_handshake_failures_total") == 0.0 {
        if begin.elapsed() > PASSES_WITHIN {
            return Cell::Fails("no handshake failed".to_owned());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    if let Ok(request) = agent.try_message(SILENCE) {
        return Cell::Fails(format!("a request passed: {request:?}"));
    }
    match metric("myelin_zmq_connections_opened_total") {
        // Our own agent's.
        1.0 => Cell::Refused,
        opened => Cell::Fails(format!("{opened} connections opened instead of our own")),
    }
}
