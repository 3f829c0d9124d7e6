//! A message is in one place at every moment of its move to the dead letters, over a real NATS server: whoever moves it is killed (`kill -9`)
//! between every pair of steps, and another one goes on after the server has forgotten the ids of what it was sent. Each message has one letter.
//!
//! The one who is killed is this test's own program, started again for [`the_mover`]. It says when it has come to the step, and waits there.
//! `MYELIN_DLQ_ROUNDS` says how often each step is tried, each time with another message; default 1.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]
#![allow(clippy::print_stdout, reason = "who is killed tells where it is, and a long run how far it is")]

use std::env;
use std::process::Command;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use myelin_bus::conformance::{Step, halt};
use myelin_bus::streams::{
    ConsumerConfig, DEAD_LETTER_SUBJECTS, DEAD_LETTERS, Letter, LetterFilter, Name, PublishOptions, Retention, StreamConfig, StreamServer,
    StreamServerMetrics,
};
use myelin_bus::wire::{Filter, Subject};
use myelin_bus::{Bus, Message};
use myelin_testkit::{NatsServer, Process};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

/// Kills at once: they wait for each other's waits.
const AT_ONCE: usize = 6;
const PATIENCE: Duration = Duration::from_secs(60);
/// The shortest window of ids that is worth waiting for.
const WINDOW: Duration = Duration::from_millis(500);
/// Of each stream.
const MESSAGES: u64 = 3;
/// What the mover is told.
const URL: &str = "MYELIN_MOVER_URL";
const WORK: &str = "MYELIN_MOVER_WORK";

/// How messages die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    MaxDeliver,
    Term,
    Expired,
}

impl Way {
    const ALL: [Self; 3] = [Self::MaxDeliver, Self::Term, Self::Expired];

    fn as_str(self) -> &'static str {
        match self {
            Self::MaxDeliver => "max_deliver",
            Self::Term => "term",
            Self::Expired => "expired",
        }
    }

    /// The steps on this way.
    fn steps(self) -> &'static [Step] {
        match self {
            Self::MaxDeliver => &[Step::Delivered, Step::AttemptsRead, Step::LetterSent, Step::LetterStored, Step::OriginalSettled],
            Self::Term => &[Step::AttemptNoted, Step::LetterSent, Step::LetterStored, Step::OriginalSettled],
            Self::Expired => &[Step::LetterSent, Step::LetterStored, Step::OriginalSettled],
        }
    }
}

/// One kill: of whom, where, and after how many others came by.
#[derive(Debug, Clone)]
struct Kill {
    way: Way,
    step: Step,
    passes: u32,
    retention: Retention,
    stream: Name,
}

fn filter(text: &str) -> Filter {
    Filter::new(text).unwrap()
}

fn workers() -> Name {
    Name::new("workers").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_any_two_steps_a_message_has_one_letter() {
    let server = NatsServer::start();
    let bus = Bus::connect(&server.url()).await.unwrap();
    // As it is made with the first letter, with a window that can be waited for.
    let mut letters = StreamConfig::new(Name::new(DEAD_LETTERS).unwrap(), vec![filter(DEAD_LETTER_SUBJECTS)]);
    letters.dedup_window = WINDOW;
    bus.ensure_stream(&letters).await.unwrap();

    let rounds: u32 = env::var("MYELIN_DLQ_ROUNDS").map_or(1, |rounds| rounds.parse().unwrap());
    let mut kills = Vec::new();
    for round in 0..rounds {
        for way in Way::ALL {
            for &step in way.steps() {
                // What limits keep is not gone when it is settled.
                let retention = if round % 2 == 0 { Retention::WorkQueue } else { Retention::Limits };
                let stream = Name::new(&format!("{}-{}-{round}", way.as_str(), step.as_str())).unwrap();
                // What expires together goes together.
                let is_one = (way, step) == (Way::Expired, Step::OriginalSettled);
                kills.push(Kill { way, step, passes: if is_one { 0 } else { round % MESSAGES as u32 }, retention, stream });
            }
        }
    }
    println!("{} kills", kills.len());
    stream::iter(kills).map(|kill| one_letter_each(&bus, server.url(), kill)).buffer_unordered(AT_ONCE).collect::<()>().await;
}

async fn one_letter_each(bus: &Bus, url: String, kill: Kill) {
    let stream = &kill.stream;
    let mut config = StreamConfig::new(stream.clone(), vec![filter(&format!("{stream}.>"))]);
    (config.retention, config.dedup_window, config.dead_letter_expired) = (kill.retention, WINDOW, true);
    bus.ensure_stream(&config).await.unwrap();
    let mut consumer = ConsumerConfig::new(workers());
    (consumer.ack_wait, consumer.deliveries_max) = (Duration::from_secs(1), 2);
    bus.ensure_consumer(stream, &consumer).await.unwrap();
    let ttl = (kill.way == Way::Expired).then_some(Duration::from_millis(200));
    let message = Message::new(Subject::new(&format!("{stream}.new")).unwrap(), "payload");
    for _ in 0..MESSAGES {
        bus.publish_durable(&message, &PublishOptions { ttl, ..PublishOptions::default() }).await.unwrap();
    }

    let killed = mover(&url, &format!("{} {stream} {} {}", kill.way.as_str(), kill.step.as_str(), kill.passes));
    let mut killed = spawn_blocking(move || {
        killed.wait_line("the step", PATIENCE, |line| line.contains("halted").then_some(()));
        killed
    })
    .await
    .unwrap();
    if kill.step == Step::LetterSent {
        until(&kill, "the letter that was sent is there", async || letters(bus, stream).await.len() > kill.passes as usize).await;
    }
    killed.kill9();
    killed.wait_end(PATIENCE);
    let sent_before = letters(bus, stream).await.len();
    // What was sent with an id at the time of the kill is new again: so late does the next one go on.
    forgotten(bus, &kill).await;

    let mut next = mover(&url, &format!("{} {stream} none 0", kill.way.as_str()));
    until(&kill, "every message is moved", async || is_moved(bus, &kill).await).await;
    next.kill9();
    next.wait_end(PATIENCE);
    let letters = letters(bus, stream).await;
    let mut origins: Vec<_> = letters.iter().map(|letter| letter.origin).collect();
    origins.sort_unstable();
    assert_eq!(origins, (1..=MESSAGES).collect::<Vec<_>>(), "{kill:?}");
    assert!(letters.iter().all(|letter| *letter.reason == *kill.way.as_str()), "{kill:?}: {letters:?}");
    if kill.way == Way::MaxDeliver {
        // However often it was delivered to those who were killed, what workers said is told.
        for letter in &letters {
            let said: Vec<_> = letter.attempts.iter().take(2).map(|attempt| &*attempt.error).collect();
            assert_eq!(said, ["delivery 1", "delivery 2"], "{kill:?}");
        }
    }
    println!("{sent_before} of {MESSAGES} letters before the kill: {kill:?}");
}

/// Waits until the ids of now are new again.
async fn forgotten(bus: &Bus, kill: &Kill) {
    let name = Name::new(&format!("{}-probe", kill.stream)).unwrap();
    let subject = Subject::new(&format!("probe.{name}")).unwrap();
    let mut config = StreamConfig::new(name.clone(), vec![filter(subject.as_str())]);
    config.dedup_window = WINDOW;
    bus.ensure_stream(&config).await.unwrap();
    let options = PublishOptions { id: Some("probe".into()), ..PublishOptions::default() };
    let probe = Message::new(subject, "probe");
    bus.publish_durable(&probe, &options).await.unwrap();
    until(kill, "the ids are forgotten", async || !bus.publish_durable(&probe, &options).await.unwrap().is_duplicate).await;
    bus.delete_stream(&name).await.unwrap();
}

/// Whether nobody has anything left to do.
async fn is_moved(bus: &Bus, kill: &Kill) -> bool {
    let info = bus.stream_info(&kill.stream).await.unwrap();
    let consumer = &info.consumers[0];
    let is_settled = match (kill.way, kill.retention) {
        (Way::Expired, _) | (_, Retention::WorkQueue) => info.messages == 0,
        _ => consumer.waiting == 0 && consumer.in_flight == 0,
    };
    is_settled && letters(bus, &kill.stream).await.len() >= MESSAGES as usize
}

async fn letters(bus: &Bus, stream: &Name) -> Vec<Letter> {
    let mut letters = bus.dead_letters().list(LetterFilter { stream: Some(stream.clone()), ..LetterFilter::default() });
    let mut found = Vec::new();
    while let Some(letter) = letters.next().await.unwrap() {
        found.push(letter);
    }
    found
}

async fn until(kill: &Kill, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let held = async {
        while !holds().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(PATIENCE, held).await.is_ok(), "{what}: not within {PATIENCE:?}; {kill:?}");
}

/// Starts this program as one who moves messages.
fn mover(url: &str, work: &str) -> Process {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "the_mover", "--ignored", "--nocapture"]).env(URL, url).env(WORK, work);
    Process::spawn("mover", &mut command)
}

/// Works on one stream until it is killed, in the way that it is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by the other test, as a process that can be killed"]
async fn the_mover() {
    let (Ok(url), Ok(work)) = (env::var(URL), env::var(WORK)) else {
        println!("nobody told what to work on");
        return;
    };
    let [way, stream, step, passes] = work.split(' ').collect::<Vec<_>>()[..] else { panic!("{work:?}") };
    let way = Way::ALL.into_iter().find(|found| found.as_str() == way).unwrap();
    if let Some(step) = Step::ALL.into_iter().find(|found| found.as_str() == step) {
        halt(step, passes.parse().unwrap(), move || println!("halted: {}", step.as_str()));
    }
    let bus = Bus::connect(&url).await.unwrap();
    let consumer = bus.consumer(&Name::new(stream).unwrap(), &workers()).await.unwrap();
    if way == Way::Expired {
        let _sweeper = StreamServer::start(&bus, StreamServerMetrics::default()).await.unwrap();
        return std::future::pending().await;
    }
    loop {
        let job = consumer.next().await.unwrap();
        match way {
            Way::Term => job.term("no").await.unwrap(),
            _ => {
                let error = format!("delivery {}", job.deliveries());
                job.nak(None, &error).await.unwrap();
            }
        }
    }
}
