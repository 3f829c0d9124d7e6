//! What the hosts of the testkit promise the tests that use them: hosts reach each other over counted cables, a cut cable is
//! silence, signals reach the real processes, and nothing stays behind.

use myelin_testkit::{Agent, Host, Hosts, PATIENCE, eventually, free_port, hex, holds_for, text};
use serde_json::json;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::{Duration, Instant};

/// Long enough to see that nothing comes: a round trip over cables takes less than a millisecond.
const SILENCE: Duration = Duration::from_millis(500);

/// A process that only waits for its parent to take note has ended.
fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('Z')))
}

/// A connection from `from` to a port of `to`, both ends in hand.
fn connection(from: &Host, to: &Host) -> (TcpStream, TcpStream) {
    let listener = to.listen(0).expect("a new host has free ports");
    let near = from.connect(listener.local_addr().expect("it is bound")).expect("the other host listens");
    let (far, peer) = listener.accept().expect("somebody has connected");
    assert_eq!(peer.ip(), from.address(), "nobody translates addresses");
    (near, far)
}

#[test]
fn a_req_of_one_host_reaches_a_rep_of_another_and_the_cables_count_it() {
    let Some(hosts) = Hosts::two() else { return };
    let port = free_port();
    let _rep = Agent::script("rep_agent").arg("--port", port).arg("--bind-host", hosts[0].address()).flag("--echo").on(&hosts[0]).start();
    let mut client = Agent::script("client").on(&hosts[1]).start();
    let before = [hosts[0].cable().traffic(), hosts[1].cable().traffic()];
    let payload = vec![b'x'; 100_000];
    let request = json!({"endpoint": hosts[0].endpoint(port), "send": [hex::text(&payload)]});
    assert_eq!(text(&client.ask(&request, "reply")).into_bytes(), payload);

    let there = hosts[0].cable().traffic() - before[0];
    let here = hosts[1].cable().traffic() - before[1];
    // Once there and once back, in segments of 1,448 bytes whose headers are 66, and acknowledgements.
    for bytes in [here.bytes_out, here.bytes_in, there.bytes_out, there.bytes_in] {
        assert!((104_000..125_000).contains(&bytes), "{here:?} {there:?}");
    }
    for packets in [here.packets_out, here.packets_in] {
        assert!((70..400).contains(&packets), "{here:?}");
    }
    // What a host sends with its last packets may not have arrived yet, so only what has a reply is compared exactly.
    assert!(here.bytes_out.abs_diff(there.bytes_in) < 1_000 && here.bytes_in.abs_diff(there.bytes_out) < 1_000, "{here:?} {there:?}");
}

#[test]
fn a_quiet_cable_counts_nothing() {
    let Some(hosts) = Hosts::two() else { return };
    let before = hosts[0].cable().traffic();
    holds_for("nobody talks on an idle cable", SILENCE, || hosts[0].cable().traffic() == before);
}

#[test]
fn a_cut_cable_is_silence_and_a_mended_one_delivers_what_was_sent() {
    let Some(hosts) = Hosts::start(3) else { return };
    let (mut near, mut far) = connection(&hosts[0], &hosts[1]);
    let (mut other, mut other_far) = connection(&hosts[2], &hosts[1]);
    far.set_read_timeout(Some(SILENCE)).expect("a socket has a timeout");
    let mut byte = [0];

    hosts[0].cable().cut();
    hosts[0].cable().cut();
    near.write_all(b"a").expect("the sender is told nothing");
    assert_eq!(far.read(&mut byte).expect_err("nothing arrives").kind(), ErrorKind::WouldBlock);
    far.write_all(b"b").expect("the other side is told nothing");
    near.set_read_timeout(Some(SILENCE)).expect("a socket has a timeout");
    assert_eq!(near.read(&mut byte).expect_err("nothing arrives").kind(), ErrorKind::WouldBlock);
    // A new connection waits, too: neither side's kernel knows that there is no way.
    for (from, to) in [(0, 1), (1, 0)] {
        let listener = hosts[to].listen(0).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let refused = hosts[from].enter(|| TcpStream::connect_timeout(&address, SILENCE)).expect_err("nobody answers");
        assert_eq!(refused.kind(), ErrorKind::TimedOut, "{refused}");
    }
    // The other host's cable is whole.
    other.write_all(b"c").expect("connected");
    other_far.read_exact(&mut byte).expect("it arrives");

    hosts[0].cable().mend();
    hosts[0].cable().mend();
    for socket in [&far, &near] {
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket has a timeout");
    }
    far.read_exact(&mut byte).expect("it was sent again");
    assert_eq!(&byte, b"a");
    near.read_exact(&mut byte).expect("it was sent again");
    assert_eq!(&byte, b"b");
    connection(&hosts[0], &hosts[1]);
}

#[test]
fn signals_reach_the_program_itself() {
    let Some(hosts) = Hosts::start(1) else { return };
    let mut process = hosts[0].spawn("sleep", Command::new("sleep").arg("1000"));
    let name = || std::fs::read_to_string(format!("/proc/{}/comm", process.pid()));
    eventually("the program runs", PATIENCE, || name().ok().filter(|name| name == "sleep\n"));
    assert_eq!(hosts[0].processes(), [process.pid()]);
    process.kill9();
    assert!(hosts[0].processes().is_empty());
}

#[test]
fn nothing_that_ran_on_a_host_outlives_it() {
    let Some(hosts) = Hosts::start(1) else { return };
    let started = AssertUnwindSafe(|| {
        // The shell ends at once: what it has started is a child of nobody in this test.
        let shell = hosts[0].spawn("sh", Command::new("sh").args(["-c", "sleep 1000 >/dev/null 2>&1 & echo $!"]));
        shell.wait_line("a process id", PATIENCE, |line| line.parse().ok())
    });
    let pid: u32 = started();
    eventually("it runs on the host", PATIENCE, || (hosts[0].processes() == [pid]).then_some(()));
    let panicked = catch_unwind(AssertUnwindSafe(move || {
        let _hosts = hosts;
        std::panic::resume_unwind(Box::new("a test fails"));
    }));
    assert!(panicked.is_err());
    eventually("it is gone", PATIENCE, || (!runs(pid)).then_some(()));
}

/// A test that is killed runs no destructor.
#[test]
fn what_a_killed_test_left_on_its_hosts_is_ended_by_the_next_one() {
    let Some(hosts) = Hosts::start(1) else { return };
    let mut dead = Command::new("true").spawn().expect("it starts");
    let owner = dead.id().to_string();
    dead.wait().expect("it ends");
    let sleep = |owner: &str| Command::new("sleep").arg("1000").env("TESTKIT_OWNER", owner).spawn().expect("it starts");
    let (mut left, mut outside) = (hosts[0].enter(|| sleep(&owner)), sleep(&owner));
    let mut ours = hosts[0].spawn("sleep", Command::new("sleep").arg("1000"));
    let _next = Hosts::start(1);
    eventually("it is ended", PATIENCE, || left.try_wait().expect("a child can be waited for"));
    assert!(ours.ended().is_none(), "our own goes on");
    assert!(outside.try_wait().expect("a child can be waited for").is_none(), "what is on no host is not ours to end");
    outside.kill().expect("it runs");
    outside.wait().expect("it ends");
}

#[test]
fn a_host_without_power_says_goodbye_to_nobody() {
    let Some(hosts) = Hosts::two() else { return };
    let port = free_port();
    let _rep = Agent::script("rep_agent").arg("--port", port).arg("--bind-host", hosts[0].address()).on(&hosts[0]).start();
    let mut peer = hosts[1].connect(hosts[0].at(port)).expect("it is bound");
    peer.set_read_timeout(Some(PATIENCE)).expect("a socket has a timeout");
    peer.read_exact(&mut [0]).expect("ZeroMQ greets");
    hosts[0].power_off();
    eventually("nothing runs there", PATIENCE, || hosts[0].processes().is_empty().then_some(()));
    peer.set_read_timeout(Some(SILENCE)).expect("a socket has a timeout");
    let mut rest = Vec::new();
    let ended = peer.read_to_end(&mut rest).expect_err("neither FIN nor RST");
    assert_eq!(ended.kind(), ErrorKind::WouldBlock, "{ended}");
}

#[test]
fn two_networks_do_not_see_each_other() {
    let (Some(one), Some(two)) = (Hosts::two(), Hosts::two()) else { return };
    assert_eq!(one[0].address(), two[0].address());
    let listener = one[0].listen(0).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    assert_eq!(two[1].connect(address).expect_err("nobody listens there").kind(), ErrorKind::ConnectionRefused);
    one[1].connect(address).expect("here it does");
}

#[test]
fn a_thread_that_was_on_a_host_is_back_where_it_was() {
    let Some(hosts) = Hosts::two() else { return };
    let network = || std::fs::read_link("/proc/thread-self/ns/net").expect("a thread is in a network");
    let (outside, [one, two]) = (network(), [&hosts[0], &hosts[1]]);
    let (first, second) = one.enter(|| (network(), two.enter(network)));
    assert!(first != outside && second != outside && first != second, "{first:?} {second:?}");
    assert_eq!(one.enter(|| two.enter(|| one.enter(network))), first);
    catch_unwind(AssertUnwindSafe(|| one.enter(|| std::panic::resume_unwind(Box::new("a test fails"))))).expect_err("it panics");
    assert_eq!(network(), outside, "where connections would go to strangers");
}

/// Where the kernel has no netem, that is what is said.
#[test]
fn an_impaired_cable_is_slow_or_says_that_the_kernel_cannot() {
    let Some(hosts) = Hosts::two() else { return };
    let (mut near, mut far) = connection(&hosts[0], &hosts[1]);
    let delay = Duration::from_millis(50);
    match hosts[0].cable().impair(delay, 0) {
        Ok(()) => {
            let begin = Instant::now();
            near.write_all(b"x").expect("connected");
            far.read_exact(&mut [0]).expect("it arrives");
            assert!(begin.elapsed() >= delay, "{:?}", begin.elapsed());
        }
        Err(no) => assert!(no.to_string().contains("netem"), "{no}"),
    }
}
