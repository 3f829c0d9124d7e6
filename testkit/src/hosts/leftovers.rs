//! What runs on hosts of a test process that was killed: nobody could end it, so the next test does.

use super::namespace::network_of;
use crate::process::OWNER;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;

/// Kills programs on hosts whose test process is gone. A program says in its environment which process that was; one that is on the
/// network of this thread is left alone, whatever it says.
pub(super) fn end() {
    let Ok(entries) = fs::read_dir("/proc") else { return };
    let here = network_of("thread-self");
    for pid in entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok()) {
        // Who ends while we look is no leftover.
        let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { continue };
        let own = environment.split(|byte| *byte == 0).find_map(|pair| pair.strip_prefix(OWNER.as_bytes())?.strip_prefix(b"="));
        let owner = own.and_then(|owner| std::str::from_utf8(owner).ok()?.parse().ok());
        let is_orphan = owner.is_some_and(|owner| kill(Pid::from_raw(owner), None) == Err(nix::errno::Errno::ESRCH));
        if is_orphan && network_of(&pid.to_string()) != here {
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
    }
}
