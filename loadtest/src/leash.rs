//! The child's side of the harness: one JSON line per event on stdout, one word per order on stdin.
//!
//! The end of stdin means that the parent is gone, however it went (Ctrl-C and `kill -9` included), and ends the
//! process: no peer outlives its benchmark and no signal handler is needed.

use std::io::{BufRead, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::failure::{Doing, Failure, Outcome};

/// Orders the parent may have sent ahead of the child's reading them.
const ORDERS_MAX: usize = 16;
/// No peer waits longer than this for its next order.
const ORDER_TIMEOUT: Duration = Duration::from_secs(600);

/// Orders from the parent, in sequence.
#[derive(Debug)]
pub(crate) struct Leash {
    orders: Receiver<String>,
}

impl Leash {
    /// Starts watching stdin. Call once per process.
    pub(crate) fn watch() -> Self {
        let (sender, orders) = sync_channel(ORDERS_MAX);
        thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                // A peer that takes no more orders still has to end with its parent.
                sender.try_send(line).ok();
            }
            std::process::exit(0);
        });
        Self { orders }
    }

    /// Blocks until the parent sends `order`.
    ///
    /// # Errors
    /// Another order came first, or none within ten minutes.
    pub(crate) fn wait_for(&self, order: &str) -> Outcome<()> {
        match self.orders.recv_timeout(ORDER_TIMEOUT) {
            Ok(line) if line.trim() == order => Ok(()),
            Ok(line) => Err(Failure::new(format!("expected the order {order:?}, got {line:?}"))),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                Err(Failure::new(format!("no order {order:?} within {ORDER_TIMEOUT:?}")))
            }
        }
    }

    /// Whether `order` has arrived, without waiting.
    pub(crate) fn came(&self, order: &str) -> bool {
        self.orders.try_recv().is_ok_and(|line| line.trim() == order)
    }
}

/// Tells the parent something; `body` must be a JSON object.
///
/// # Errors
/// Stdout is closed.
pub(crate) fn tell(event: &str, mut body: Value) -> Outcome<()> {
    body["event"] = json!(event);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{body}").and_then(|()| out.flush()).doing(|| format!("reporting {event}"))
}

/// Runs a program that knows nothing of leashes, and kills it with the parent.
///
/// # Errors
/// The program cannot be started.
pub(crate) fn hold(program: &str, arguments: &[String]) -> Outcome<()> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        // Its greeting is not a result; what goes wrong is said on stderr.
        .stdout(Stdio::null())
        .spawn()
        .doing(|| format!("starting {program:?}"))?;
    tell("spawned", json!({ "pid": child.id() }))?;
    let (parent_gone, gone) = sync_channel::<()>(1);
    thread::spawn(move || {
        let mut line = String::new();
        while std::io::stdin().lock().read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            line.clear();
        }
        parent_gone.try_send(()).ok();
    });
    loop {
        match gone.recv_timeout(Duration::from_millis(50)) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return end(&mut child),
        }
        if let Some(status) = child.try_wait().doing(|| format!("watching {program:?}"))? {
            return tell("exited", json!({ "code": status.code() }));
        }
    }
}

fn end(child: &mut Child) -> Outcome<()> {
    child.kill().doing(|| "killing the child".to_owned())?;
    child.wait().map(drop).doing(|| "reaping the child".to_owned())
}
