//! Publishers that wait for each of their messages share the syncs of a slow disk, instead of taking turns in two halves.

use std::time::Duration;

use myelin_wire::{Filter, Subject};
use tokio::task::JoinSet;

use crate::config::{Name, StreamConfig};
use crate::disk::Disk;
use crate::disk::faulty::Faulty;
use crate::handle::Publish;
use crate::store::Store;

const PUBLISHERS: u64 = 4;
const MESSAGES: u64 = 3;
/// Long enough for its eighth to be time enough on a busy machine.
const SLOWNESS: Duration = Duration::from_millis(600);

#[tokio::test]
async fn who_comes_back_at_once_is_in_the_next_sync() {
    let disk = Faulty::default();
    let store = Store::open_disk(Disk::Faulty(disk.clone()), None).unwrap().store;
    let subject = Subject::new("s").unwrap();
    let stream = store.create(StreamConfig::new(Name::new("s").unwrap(), vec![Filter::new("s").unwrap()])).unwrap();
    stream.publish(&Publish::new(subject.clone(), "first")).await.unwrap();
    let before = disk.segment_syncs();
    disk.slow_down(SLOWNESS);
    let mut publishers = JoinSet::new();
    for _ in 0..PUBLISHERS {
        let (stream, message) = (stream.clone(), Publish::new(subject.clone(), "more"));
        publishers.spawn(async move {
            for _ in 0..MESSAGES {
                stream.publish(&message).await.unwrap();
            }
        });
    }
    publishers.join_all().await;
    disk.slow_down(Duration::ZERO);
    let syncs = disk.segment_syncs() - before;
    // The first of them finds the disk idle and is synced alone; all others are together from then on. In two halves it would be twice as many.
    assert!(syncs <= MESSAGES + 1, "{syncs} syncs for {MESSAGES} messages of each publisher");
    assert_eq!(stream.info().messages, 1 + PUBLISHERS * MESSAGES);
    store.close();
}
