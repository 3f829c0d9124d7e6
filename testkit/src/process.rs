//! A child process whose output can be waited for, and which never outlives its handle.

use crate::output::Output;
use crate::wait::eventually;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::Write;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Tells what is started which test process it belongs to, so that it can be found when that one was killed.
pub(crate) const OWNER: &str = "TESTKIT_OWNER";

/// A running program. Its standard output and standard error are read into one bounded ring.
///
/// Dropping it kills the program and waits for its end.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    output: Arc<Output>,
}

impl Process {
    /// Starts `command` under a `name` that failures use.
    ///
    /// # Panics
    /// When the program cannot be started.
    #[track_caller]
    pub fn spawn(name: &str, command: &mut Command) -> Self {
        let child =
            command.env(OWNER, std::process::id().to_string()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{name}: cannot start {command:?}: {error}"));
        let output = Arc::new(Output::default());
        output.follow(name, child.stdout.take().expect("stdout is piped"));
        output.follow(name, child.stderr.take().expect("stderr is piped"));
        let stdin = child.stdin.take();
        Self { name: name.to_owned(), child, stdin, output }
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the next line for which `pick` answers. That line and all before it are consumed.
    ///
    /// # Panics
    /// When `deadline` passes or the output ends first; the text names `what` and shows the last lines.
    #[track_caller]
    pub fn wait_line<T>(&self, what: &str, deadline: Duration, pick: impl FnMut(&str) -> Option<T>) -> T {
        match self.output.wait(deadline, pick) {
            Some(found) => found,
            None => panic!("{}: no {what} within {deadline:?}; last output:\n{}", self.name, self.output.tail()),
        }
    }

    /// As [`Process::wait_line`], but `None` when the line did not come.
    pub fn try_wait_line<T>(&self, deadline: Duration, pick: impl FnMut(&str) -> Option<T>) -> Option<T> {
        self.output.wait(deadline, pick)
    }

    /// The lines that are still kept, of both streams.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.output.lines()
    }

    /// The last lines as one text, for a failure message.
    #[must_use]
    pub fn tail(&self) -> String {
        self.output.tail()
    }

    /// Writes one line to the program's standard input.
    ///
    /// # Panics
    /// When the program has closed it.
    #[track_caller]
    pub fn write_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("standard input is piped and open");
        let written = stdin.write_all(format!("{line}\n").as_bytes()).and_then(|()| stdin.flush());
        if let Err(error) = written {
            panic!("{}: cannot write to it: {error}; last output:\n{}", self.name, self.output.tail());
        }
    }

    /// The exit status, when the program has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits for the end of the program.
    ///
    /// # Panics
    /// When it still runs at the deadline.
    #[track_caller]
    pub fn wait_end(&mut self, deadline: Duration) -> ExitStatus {
        let what = format!("{}: end of the process", self.name);
        eventually(&what, deadline, || self.ended())
    }

    /// Asks the program to end (SIGTERM) and returns its status.
    ///
    /// # Panics
    /// When it still runs at the deadline.
    #[track_caller]
    pub fn terminate(&mut self, deadline: Duration) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait_end(deadline)
    }

    /// Ends the program as `kill -9` does, and waits until the kernel has closed its sockets.
    pub fn kill9(&mut self) {
        self.signal(Signal::SIGKILL);
        // The status only says that the signal worked.
        drop(self.child.wait());
    }

    /// Stops the program without ending it, as a machine that hangs does.
    pub fn freeze(&mut self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets a frozen program go on.
    pub fn thaw(&mut self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&mut self, signal: Signal) {
        // A child that has not been waited for keeps its id, so the signal cannot reach a stranger.
        if self.ended().is_none() {
            let pid = i32::try_from(self.child.id()).expect("process ids fit");
            // It may end in this very moment, which is what the signal wants.
            kill(Pid::from_raw(pid), signal).ok();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
        if std::thread::panicking() {
            // The harness shows this only for a test that failed, and there it is what one needs.
            let mut stderr = std::io::stderr().lock();
            drop(write!(stderr, "{} (pid {}) printed last:\n{}", self.name, self.child.id(), self.output.tail()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_awaited_and_the_exit_code_is_kept() {
        let mut process = Process::spawn("sh", Command::new("sh").args(["-c", "echo ready; read line; exit $line"]));
        process.wait_line("ready", Duration::from_secs(5), |line| (line == "ready").then_some(()));
        process.write_line("7");
        assert_eq!(process.wait_end(Duration::from_secs(5)).code(), Some(7));
    }

    #[test]
    fn nothing_outlives_its_handle() {
        let process = Process::spawn("sleep", Command::new("sleep").arg("1000"));
        let pid = Pid::from_raw(i32::try_from(process.pid()).unwrap());
        assert!(kill(pid, None).is_ok(), "it runs");
        drop(process);
        assert!(kill(pid, None).is_err(), "it is gone");
    }
}
