//! What this machine and its disk make everybody wait, past any sidecar.

use super::neighbours::Shared;
use std::io::{Read, Seek, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Instant;

/// The disk is asked once in so many periods: it is measured and not kept busy.
const PERIODS_OF_A_SYNC: u64 = 5;

/// A byte to a thread that sends it back, over the same kernel.
pub(super) fn trips(shared: &Shared) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let mut here = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
    let (mut there, _) = listener.accept().expect("it was connected to");
    here.set_nodelay(true).and_then(|()| there.set_nodelay(true)).expect("a TCP socket takes the option");
    std::thread::scope(|scope| {
        scope.spawn(move || std::io::copy(&mut there.try_clone().expect("a descriptor"), &mut there));
        shared.paced(|_, due| {
            here.write_all(b"x").and_then(|()| here.read_exact(&mut [0])).expect("the other thread sends it back");
            shared.log().machine.push(due.elapsed());
        });
        drop(here);
    });
}

/// A few bytes into a file beside the sidecars' own.
pub(super) fn syncs(shared: &Shared) {
    let mut file = tempfile::tempfile().expect("a temporary file can be created");
    shared.paced(|number, _| {
        if number.is_multiple_of(PERIODS_OF_A_SYNC) {
            let begin = Instant::now();
            file.rewind().and_then(|()| file.write_all(&number.to_be_bytes())).and_then(|()| file.sync_data()).expect("the disk works");
            shared.log().disk.push(begin.elapsed());
        }
    });
}
