//! The same client conversation, once with a libzmq program and once with the same program behind a sidecar.

use myelin_testkit::zmtp::{Options, Peer, Version, command, message};
use myelin_testkit::{Agent, PATIENCE, Sidecar, frames, free_ports, hex};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::json;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

type Frames = Vec<Vec<u8>>;

/// What one client does, on one connection.
#[derive(Debug, Clone)]
enum Client {
    /// A REQ: one question after the other.
    Req { questions: Vec<Frames> },
    /// A DEALER that asks all at once. Without a delimiter, a REP drops the request.
    Dealer { requests: Vec<Request> },
    /// A PUSH.
    Push { jobs: Vec<Frames> },
    /// A SUB that changes its mind, and what is published after that.
    Sub { version: Version, changes: Vec<Change>, published: Vec<Frames> },
}

#[derive(Debug, Clone)]
struct Request {
    envelope: Frames,
    delimited: bool,
    body: Frames,
}

#[derive(Debug, Clone)]
struct Change {
    subscribes: bool,
    prefix: Vec<u8>,
}

/// Clients one after the other, and the lengths of the pieces in which their bytes are written.
#[derive(Debug, Clone)]
struct Conversation {
    clients: Vec<Client>,
    pieces: Vec<usize>,
}

/// All frames that the clients got and that the program saw, in order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Transcript {
    client: Vec<Frames>,
    program: Vec<Frames>,
}

#[derive(Debug, Clone, Copy)]
struct Places {
    name: &'static str,
    rep: SocketAddr,
    pull: SocketAddr,
    publisher: SocketAddr,
}

/// A SUB whose changes have been sent.
struct Subscriber {
    peer: Peer,
    version: Version,
    /// Whether it is subscribed to everything in the end.
    takes_all: bool,
}

struct Stage {
    program: Agent,
    _sidecar: Sidecar,
    direct: Places,
    behind: Places,
    case: u64,
}

/// Runs this many conversations.
///
/// # Panics
/// When the two transcripts of one differ; proptest has made it small before.
pub(crate) fn run(cases: u32) {
    let stage = std::cell::RefCell::new(Stage::open());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 64, ..Config::default() };
    let outcome = TestRunner::new(config).run(&conversation(), |conversation| {
        let mut stage = stage.borrow_mut();
        let (direct, behind) = (stage.direct, stage.behind);
        let libzmq = stage.play(direct, &conversation);
        let ours = stage.play(behind, &conversation);
        if libzmq == ours { Ok(()) } else { Err(TestCaseError::fail(format!("libzmq: {libzmq:?}\n  ours: {ours:?}"))) }
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 0..6),
        2 => Just(Vec::new()),
        1 => (250_usize..260).prop_map(|length| vec![b'm'; length]),
        1 => (60_000_usize..70_000).prop_map(|length| vec![b'l'; length]),
    ]
}

fn body() -> impl Strategy<Value = Frames> {
    prop::collection::vec(frame(), 1..4)
}

/// From a small alphabet, so that prefixes match, repeat and contain each other.
fn topic() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0_u8, 1, b'a', b'b']), 0..4)
}

fn request() -> impl Strategy<Value = Request> {
    // An empty frame in the envelope would be the delimiter.
    let envelope = prop::collection::vec(prop::collection::vec(any::<u8>(), 1..4), 0..3);
    (envelope, prop::bool::weighted(0.8), body()).prop_map(|(envelope, delimited, mut body)| {
        if !delimited {
            body.iter_mut().filter(|frame| frame.is_empty()).for_each(|frame| frame.push(1));
        }
        Request { envelope, delimited, body }
    })
}

fn client() -> impl Strategy<Value = Client> {
    let version = prop_oneof![Just(Version::V30), Just(Version::V31)];
    let change = (any::<bool>(), topic()).prop_map(|(subscribes, prefix)| Change { subscribes, prefix });
    let published = (topic(), prop::collection::vec(frame(), 0..2)).prop_map(|(topic, rest)| [vec![topic], rest].concat());
    prop_oneof![
        prop::collection::vec(body(), 1..4).prop_map(|questions| Client::Req { questions }),
        prop::collection::vec(request(), 1..6).prop_map(|requests| Client::Dealer { requests }),
        prop::collection::vec(body(), 1..6).prop_map(|jobs| Client::Push { jobs }),
        (version, prop::collection::vec(change, 1..6), prop::collection::vec(published, 1..8))
            .prop_map(|(version, changes, published)| Client::Sub { version, changes: once_everything(changes), published }),
    ]
}

/// Without a second subscription of everything: nobody could tell from outside whether the cancellation between the two has been seen.
fn once_everything(mut changes: Vec<Change>) -> Vec<Change> {
    let mut subscribed = false;
    changes.retain(|change| !(change.subscribes && change.prefix.is_empty() && std::mem::replace(&mut subscribed, true)));
    changes
}

fn conversation() -> impl Strategy<Value = Conversation> {
    (prop::collection::vec(client(), 1..5), prop::collection::vec(prop_oneof![1_usize..20, Just(1 << 20)], 1..5))
        .prop_map(|(clients, pieces)| Conversation { clients, pieces })
}

impl Stage {
    fn open() -> Self {
        let [direct_rep, direct_pull, direct_pub, rep, pull, publisher, callers, producers, subscribers] = free_ports();
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let endpoint = |port: u16| format!("tcp://{}", at(port));
        let program = Agent::script("reference_agent")
            .arg("--direct-rep", endpoint(direct_rep))
            .arg("--direct-pull", endpoint(direct_pull))
            .arg("--direct-pub", endpoint(direct_pub))
            .arg("--behind-rep", endpoint(rep))
            .arg("--behind-pull", endpoint(pull))
            .arg("--behind-pub", endpoint(publisher))
            .start();
        let route = |name: &str, kind: &str, bound: (&str, u16), connected: (&str, u16)| {
            let (bound, at) = (bound.0, endpoint(bound.1));
            let (connected, to) = (connected.0, endpoint(connected.1));
            format!(
                "[[route]]\nname = \"{name}\"\nkind = \"{kind}\"\n{bound} = {{ bind = [\"{at}\"] }}\n{connected} = {{ connect = [\"{to}\"] }}\n"
            )
        };
        let sidecar = Sidecar::builder()
            .routes(&route("calls", "service", ("callers", callers), ("agents", rep)))
            .routes(&route("jobs", "pipeline", ("producers", producers), ("consumers", pull)))
            .routes(&route("status", "topic", ("subscribers", subscribers), ("publishers", publisher)))
            .start();
        Self {
            program,
            _sidecar: sidecar,
            direct: Places { name: "direct", rep: at(direct_rep), pull: at(direct_pull), publisher: at(direct_pub) },
            behind: Places { name: "behind", rep: at(callers), pull: at(producers), publisher: at(subscribers) },
            case: 0,
        }
    }

    fn play(&mut self, places: Places, conversation: &Conversation) -> Transcript {
        let mut transcript = Transcript::default();
        for client in &conversation.clients {
            self.case += 1;
            let pieces = &conversation.pieces;
            match client {
                Client::Req { questions } => {
                    let mut peer = Peer::connect(places.rep, "REQ");
                    for question in questions {
                        send(&mut peer, pieces, &message(&delimited(&[], question)));
                        transcript.client.push(peer.message());
                        transcript.program.push(self.seen(places, "rep"));
                    }
                }
                Client::Dealer { requests } => self.deal(places, pieces, requests, &mut transcript),
                Client::Push { jobs } => {
                    let mut peer = Peer::connect(places.pull, "PUSH");
                    for job in jobs {
                        send(&mut peer, pieces, &message(job));
                    }
                    transcript.program.extend(jobs.iter().map(|_| self.seen(places, "pull")));
                }
                Client::Sub { version, changes, published } => {
                    let mut peer = Peer::connect_with(places.publisher, "SUB", &Options { version: *version, ..Options::default() });
                    for change in changes {
                        send(&mut peer, pieces, &change.bytes(*version));
                    }
                    let takes_all = changes.iter().rev().find(|change| change.prefix.is_empty()).is_some_and(|change| change.subscribes);
                    transcript.client.extend(self.published(places, Subscriber { peer, version: *version, takes_all }, published));
                }
            }
        }
        transcript
    }

    fn deal(&mut self, places: Places, pieces: &[usize], requests: &[Request], transcript: &mut Transcript) {
        let mut peer = Peer::connect(places.rep, "DEALER");
        // The last one is answered in any case, behind all others.
        let last = Request { envelope: vec![b"last".to_vec()], delimited: true, body: vec![b"end".to_vec()] };
        let all: Vec<_> = requests.iter().chain([&last]).collect();
        let bytes: Vec<u8> = all.iter().flat_map(|request| message(&request.frames())).collect();
        send(&mut peer, pieces, &bytes);
        for _ in all.iter().filter(|request| request.delimited) {
            transcript.client.push(peer.message());
            transcript.program.push(self.seen(places, "rep"));
        }
    }

    /// Publishes once the subscriptions are in effect; what arrived, without what that took.
    ///
    /// A probe alone would not tell: it also arrives while everything is still subscribed to and the cancellation is on its way. So a stray, which
    /// nobody subscribes to by name, goes before each probe, and has to fare as it will in the end.
    fn published(&mut self, places: Places, subscriber: Subscriber, published: &[Frames]) -> Vec<Frames> {
        let Subscriber { mut peer, version, takes_all } = subscriber;
        let probe = format!("probe-{}-", self.case);
        let change = Change { subscribes: true, prefix: probe.clone().into_bytes() };
        peer.raw().send(&change.bytes(version));
        let begin = Instant::now();
        let is_probe = |got: &Frames| got[0].starts_with(probe.as_bytes()) || got[0].starts_with(b"stray-");
        let mut round = 0;
        // All earlier probes have arrived before the last one.
        'probes: loop {
            round += 1;
            let names = ["stray-", &probe].map(|name| format!("{name}{round}").into_bytes());
            self.publish(places, &names.clone().map(|name| vec![name]));
            let [stray, probe] = names;
            let mut strayed = false;
            while let Ok(got) = peer.try_message(Duration::from_millis(20)) {
                strayed |= got[0] == stray;
                if got[0] == probe && strayed == takes_all {
                    break 'probes;
                }
            }
            assert!(begin.elapsed() < PATIENCE, "{}: no probe arrives", places.name);
        }
        let end = vec![format!("{probe}end").into_bytes()];
        self.publish(places, &[published, std::slice::from_ref(&end)].concat());
        let mut got = Vec::new();
        loop {
            let frames = peer.message();
            if frames == end {
                return got;
            }
            if !is_probe(&frames) {
                got.push(frames);
            }
        }
    }

    fn publish(&mut self, places: Places, messages: &[Frames]) {
        let messages: Vec<Vec<String>> = messages.iter().map(|frames| frames.iter().map(|frame| hex::text(frame)).collect()).collect();
        self.program.command(&json!({"where": places.name, "publish": messages}));
    }

    fn seen(&self, places: Places, kind: &str) -> Frames {
        let event = self.program.event("seen");
        assert_eq!((event["where"].as_str(), event["kind"].as_str()), (Some(places.name), Some(kind)), "one client at a time");
        frames(&event)
    }
}

impl Request {
    fn frames(&self) -> Frames {
        if self.delimited { delimited(&self.envelope, &self.body) } else { [&self.envelope[..], &self.body].concat() }
    }
}

impl Change {
    fn bytes(&self, version: Version) -> Vec<u8> {
        match (version, self.subscribes) {
            (Version::V30, subscribes) => message(&[[&[u8::from(subscribes)], &self.prefix[..]].concat()]),
            (Version::V31, true) => command("SUBSCRIBE", &self.prefix),
            (Version::V31, false) => command("CANCEL", &self.prefix),
        }
    }
}

fn delimited(envelope: &[Vec<u8>], body: &[Vec<u8>]) -> Frames {
    [envelope, &[Vec::new()], body].concat()
}

fn send(peer: &mut Peer, pieces: &[usize], mut bytes: &[u8]) {
    // Beyond a few hundred writes another cut tells nothing new.
    for piece in pieces.iter().cycle().take(300) {
        let (now, later) = bytes.split_at((*piece).min(bytes.len()));
        peer.raw().send(now);
        bytes = later;
        if bytes.is_empty() {
            return;
        }
    }
    peer.raw().send(bytes);
}
