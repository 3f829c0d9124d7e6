//! What a stream does beside its log holds nobody up who looks at the stream, however slow the disk is.
//!
//! Streams share the threads of their process with everything else: whoever waits for a stream's lock there keeps a thread from its other work.

use std::time::{Duration, Instant};

use myelin_wire::{Filter, Subject};

use crate::config::{Name, StreamConfig};
use crate::disk::Disk;
use crate::disk::faulty::Faulty;
use crate::handle::{Publish, Stream};
use crate::store::Store;

/// Long enough for half of it to be no accident of a busy machine.
const SLOWNESS: Duration = Duration::from_secs(2);
const DEADLINE: Duration = Duration::from_secs(30);

fn stream_on(disk: &Faulty) -> (Store, Stream) {
    let store = Store::open_disk(Disk::Faulty(disk.clone()), None).unwrap().store;
    let stream = store.create(StreamConfig::new(Name::new("s").unwrap(), vec![Filter::new("s").unwrap()])).unwrap();
    (store, stream)
}

#[tokio::test]
async fn a_mark_that_takes_long_to_sync_is_waited_for_by_nobody() {
    let disk = Faulty::default();
    let (store, stream) = stream_on(&disk);
    disk.slow_marks_down(SLOWNESS);
    let before = disk.mark_syncs();
    let began = Instant::now();
    stream.publish(&Publish::new(Subject::new("s").unwrap(), "one")).await.unwrap();
    let mut longest = began.elapsed();
    while disk.mark_syncs() == before {
        assert!(began.elapsed() < DEADLINE, "the mark is never synced");
        let asked = Instant::now();
        assert_eq!(stream.info().messages, 1);
        longest = longest.max(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    disk.slow_marks_down(Duration::ZERO);
    assert!(longest < SLOWNESS / 2, "somebody waited {longest:?} for a mark");
    store.close();
}
