//! Z13 to Z17: subscriptions and published frames, byte for byte, through the hub.

use myelin_testkit::zmtp::{GREETING, MORE, Options, Peer, RawPeer, Version, frame, message, ready};
use myelin_testkit::{PATIENCE, Sidecar, flow, hex};
use std::time::Duration;

/// The span in which nothing may come. The promise is about what was filtered before a probe arrived, so it is short.
const QUIET: Duration = Duration::from_millis(100);

const SUBSCRIBE_ALL: &str = "040a 09 535542534352494245";

/// A publisher and a subscriber at the hub of a fresh sidecar.
struct Hub {
    sidecar: Sidecar,
    publisher: Peer,
}

impl Hub {
    #[track_caller]
    fn open() -> Self {
        let sidecar = Sidecar::start();
        let publisher = Peer::connect(sidecar.publishers(), "PUB");
        Self { sidecar, publisher }
    }

    #[track_caller]
    fn subscriber(&self, socket_type: &str, version: Version) -> Peer {
        let options = Options { version, ..Options::default() };
        Peer::connect_with(self.sidecar.subscribers(), socket_type, &options)
    }

    /// Publishes some messages and, behind them, one that ends the listening; returns what arrived before it.
    #[track_caller]
    fn deliver(&mut self, subscriber: &mut Peer, end: &str, messages: &[&[&[u8]]]) -> Vec<Vec<Vec<u8>>> {
        for frames in messages {
            self.publisher.send(frames);
        }
        self.publisher.send(&[end]);
        let mut got = Vec::new();
        loop {
            let frames = subscriber.message();
            if frames == [end.as_bytes()] {
                return got;
            }
            got.push(frames);
        }
    }
}

#[test]
fn z13_subscribe_command_of_3_1() {
    let mut hub = Hub::open();
    // By hand, so that not one byte depends on the peer of the kit.
    let mut raw = RawPeer::connect(hub.sidecar.subscribers());
    raw.send_hex(GREETING);
    raw.recv(64, PATIENCE).unwrap();
    raw.send(&ready("SUB", b""));
    let head = raw.recv(2, PATIENCE).unwrap();
    raw.recv(usize::from(head[1]), PATIENCE).unwrap();
    raw.send_hex("0410 09 535542534352494245 4552524f523a");
    // The subscription takes effect at some moment; until then the messages are lost, as they are with libzmq.
    let published = hex::bytes("000d 4552524f523a7b2261223a317d");
    let got = myelin_testkit::eventually("a first message", PATIENCE, || {
        hub.publisher.raw().send(&published);
        raw.recv(published.len(), Duration::from_millis(20)).ok()
    });
    assert_eq!(got, published);
}

#[test]
fn z13_subscriptions_of_each_version_and_their_cancellation() {
    for (socket_type, version) in [("SUB", Version::V31), ("SUB", Version::V30), ("XSUB", Version::V31), ("XSUB", Version::V30)] {
        let mut hub = Hub::open();
        let mut subscriber = hub.subscriber(socket_type, version);
        // An XSUB program writes 01 and 00 itself, and its library sends them as messages, in a 3.1 session too.
        let as_messages = version == Version::V30 || socket_type == "XSUB";
        let change = |prefix: &str, on: bool| match (as_messages, on) {
            (true, on) => frame(0, &[&[u8::from(on)], prefix.as_bytes()].concat()),
            (false, true) => myelin_testkit::zmtp::command("SUBSCRIBE", prefix.as_bytes()),
            (false, false) => myelin_testkit::zmtp::command("CANCEL", prefix.as_bytes()),
        };
        if as_messages {
            assert_eq!(change("ERROR:", true), hex::bytes("0007 01 4552524f523a"));
            assert_eq!(change("", true), hex::bytes("0001 01"));
        } else {
            assert_eq!(change("", false), hex::bytes("0407 06 43414e43454c"));
        }
        let messages: [&[&[u8]]; 3] = [&[b"ERROR:{\"a\":1}"], &[b"OTHER"], &[b"ERROR"]];

        subscriber.raw().send(&change("ERROR:", true));
        subscriber.raw().send(&change("probe-one", true));
        flow::open(&mut hub.publisher, &mut subscriber, "probe-one");
        let got = hub.deliver(&mut subscriber, "probe-one-end", &messages);
        assert_eq!(got, [[b"ERROR:{\"a\":1}"]], "{socket_type} {version:?}: only the prefix");

        // One cancellation ends two equal subscriptions, as at a publisher of libzmq: its SUB and XSUB send every subscription, but count them
        // themselves and send only the last cancellation. A publisher that counted too would never be rid of them.
        subscriber.raw().send(&[change("ERROR:", true), change("ERROR:", false), change("probe-two", true)].concat());
        flow::open(&mut hub.publisher, &mut subscriber, "probe-two");
        let got = hub.deliver(&mut subscriber, "probe-two-end", &messages);
        assert!(got.is_empty(), "{socket_type} {version:?}: cancelled once, {got:?}");

        subscriber.raw().send(&[change("ERROR:", false), change("probe-three", true)].concat());
        flow::open(&mut hub.publisher, &mut subscriber, "probe-three");
        let got = hub.deliver(&mut subscriber, "probe-three-end", &messages);
        assert!(got.is_empty(), "{socket_type} {version:?}: cancelled, {got:?}");

        subscriber.raw().send(&change("", true));
        flow::open(&mut hub.publisher, &mut subscriber, "everything");
        let got = hub.deliver(&mut subscriber, "everything-end", &messages);
        assert_eq!(got.len(), 3, "{socket_type} {version:?}: the empty prefix");
        subscriber.raw().send(&[change("", false), change("probe-four", true)].concat());
        flow::open(&mut hub.publisher, &mut subscriber, "probe-four");
        assert!(hub.deliver(&mut subscriber, "probe-four-end", &messages).is_empty(), "{socket_type} {version:?}");
    }
}

#[test]
fn z14_one_and_two_frames_keep_their_number() {
    let mut hub = Hub::open();
    let mut subscriber = hub.subscriber("SUB", Version::V31);
    subscriber.raw().send_hex(SUBSCRIBE_ALL);
    flow::open(&mut hub.publisher, &mut subscriber, "probe");
    for bytes in ["000d 4552524f523a7b2261223a317d", "0106 4552524f523a 0007 7b2261223a317d", "0000", "0100 0100 0000"] {
        hub.publisher.raw().send_hex(bytes);
        subscriber.raw().expect_hex(bytes);
    }
    // Split at every place.
    hub.publisher.raw().send_bytewise(&hex::bytes("0106 4552524f523a 0007 7b2261223a317d"));
    subscriber.raw().expect_hex("0106 4552524f523a 0007 7b2261223a317d");
}

#[test]
fn z15_every_form_of_topic_reaches_the_empty_prefix_unchanged() {
    let mut hub = Hub::open();
    let mut subscriber = hub.subscriber("SUB", Version::V31);
    subscriber.subscribe(b"");
    flow::open(&mut hub.publisher, &mut subscriber, "probe");
    for text in [
        r#"LEARNING_SESSION_START {"session": 1}"#,
        r#"WAKE_WORD_EVENT: {"word": "hey"}"#,
        r#"health LanguageAnalyzer {"status": "ok"}"#,
        r#"{"a": 1.0, "b": NaN, "u": "caf\u00e9", "a": 2}"#,
        "status \u{e9}\u{1f600} a.b.> * ",
    ] {
        let bytes = message(&[text]);
        hub.publisher.raw().send(&bytes);
        subscriber.raw().expect(&bytes);
    }
}

#[test]
fn z16_pickles_are_never_decoded() {
    let mut hub = Hub::open();
    let mut subscriber = hub.subscriber("SUB", Version::V31);
    subscriber.subscribe(b"");
    flow::open(&mut hub.publisher, &mut subscriber, "probe");
    let pickle = "0038 8004952d000000000000007d94288c0474797065948c09696e74657272757074948c0974696d657374616d70944741da24814007df3b752e";
    hub.publisher.raw().send_hex(pickle);
    subscriber.raw().expect_hex(pickle);
    // And what is neither text nor a pickle: every byte, and a large frame.
    for payload in [(0..=255).collect::<Vec<u8>>(), vec![0xff; 38_701], vec![0; 1 << 20]] {
        hub.publisher.raw().send(&frame(0, &payload));
        subscriber.raw().expect(&frame(0, &payload));
    }
}

#[test]
fn z17_the_prefix_is_that_of_the_first_frame() {
    let mut hub = Hub::open();
    let body: &[u8] = b"{\"a\":1}";
    let dialects: [&[&[u8]]; 3] = [&[b"ERROR:{\"a\":1}"], &[b"ERROR", body], &[b"ERROR:", body]];
    for (prefix, expected) in [("ERROR", vec![0, 1, 2]), ("ERROR:", vec![0, 2]), ("ERROR:{", vec![0]), ("{", vec![])] {
        let mut subscriber = hub.subscriber("SUB", Version::V31);
        subscriber.subscribe(prefix.as_bytes());
        subscriber.subscribe(b"probe");
        flow::open(&mut hub.publisher, &mut subscriber, "probe");
        let got = hub.deliver(&mut subscriber, "probe-end", &dialects);
        let wanted: Vec<&[&[u8]]> = expected.into_iter().map(|index| dialects[index]).collect();
        assert_eq!(got, wanted, "{prefix}");
        subscriber.expect_silence(QUIET);
    }
}

#[test]
fn a_message_cut_off_in_the_middle_never_arrives() {
    let mut hub = Hub::open();
    let mut subscriber = hub.subscriber("SUB", Version::V31);
    subscriber.subscribe(b"");
    flow::open(&mut hub.publisher, &mut subscriber, "probe");
    let mut dying = Peer::connect(hub.sidecar.publishers(), "PUB");
    dying.raw().send(&frame(MORE, b"first half"));
    dying.raw().send_hex("00ff 616263");
    drop(dying);
    hub.publisher.send(&["after"]);
    assert_eq!(subscriber.message(), [b"after"]);
}
