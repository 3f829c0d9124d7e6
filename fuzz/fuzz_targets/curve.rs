//! Whole conversations that CURVE seals, with us at either end and a peer that has its own idea of RFC 26: a peer that does everything right is
//! always let in, and no other; what was sealed for us is read as a slow reading has it, wherever it is cut, up to the first thing that was not;
//! and what we seal opens at the peer.
//!
//! Run with `-malloc_limit_mb=16`: an allocation that a declared length asks for ends the run.

#![no_main]

#[path = "../src/boxes.rs"]
mod boxes;
#[path = "../src/data.rs"]
#[allow(dead_code, reason = "the targets codec and session use the rest")]
mod data;
#[path = "../src/sealed.rs"]
mod sealed;
#[path = "../src/steps.rs"]
mod steps;
#[path = "../src/zmtp.rs"]
#[allow(dead_code, reason = "the target session uses the rest")]
mod zmtp;

use std::sync::{Arc, LazyLock};

use boxes::{Keys, nonce, open};
use bytes::BytesMut;
use data::Settings;
use libfuzzer_sys::arbitrary::{self, Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use myelin_bridge_zmq::codec::curve::{Clients, CurveClient, CurveServer, KeyPair, PublicKey};
use myelin_bridge_zmq::codec::{ClientSecurity, Handshake, HandshakeError, Mechanism as Spoken, ServerSecurity, Session};
use sealed::{Sealed, Sent, Way};
use steps::{Known, Step, Taken};
use zmtp::{Greeting, Hello, Mechanism, Type, feed, identity};

/// What a peer does, and to whom.
#[derive(Debug, Arbitrary)]
struct Conversation {
    settings: Settings,
    cuts: [u8; 8],
    we_accepted: bool,
    ours: Type,
    identity: [u8; 4],
    who: Who,
    greeting: Greeting,
    /// HELLO of a client, WELCOME of a server.
    first: Step,
    /// INITIATE of a client, READY of a server.
    second: Step,
    metadata: Hello,
    data: Vec<Sealed>,
}

/// Whose key the peer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
enum Who {
    /// One that we serve, or the server that we want.
    Known,
    Unlisted,
    ListedElsewhere,
    /// It is a client that wants another server.
    Astray,
}

const GREETING_BYTES: usize = 64;

static OURS: LazyLock<Keys> = LazyLock::new(|| Keys::new([1; 32]));
static SHORT: LazyLock<Keys> = LazyLock::new(|| Keys::new([2; 32]));
static LONG: LazyLock<[Keys; 3]> = LazyLock::new(|| [Keys::new([3; 32]), Keys::new([4; 32]), Keys::new([5; 32])]);

static SERVER: LazyLock<ServerSecurity> = LazyLock::new(|| {
    let list = format!("{} agent hub\n{} elsewhere other\n", LONG[0].listed(), LONG[1].listed());
    let keys = KeyPair::read(&OURS.written()).expect("valid");
    ServerSecurity::Curve(Arc::new(CurveServer { keys, clients: Clients::parse(&list).expect("valid") }))
});
static CLIENT: LazyLock<ClientSecurity> = LazyLock::new(|| {
    let keys = KeyPair::read(&OURS.written()).expect("valid");
    ClientSecurity::Curve(Arc::new(CurveClient { keys, server: PublicKey::read(&LONG[0].listed()).expect("valid") }))
});

fuzz_target!(|input: &[u8]| {
    if let Ok(conversation) = Conversation::arbitrary_take_rest(Unstructured::new(input)) {
        Talk::begin(&conversation).have(&conversation);
    }
});

/// Our end of a conversation, and what it has said.
struct Talk {
    handshake: Handshake,
    buffer: BytesMut,
    end: Result<Option<Session>, HandshakeError>,
    said: Vec<u8>,
}

/// What we have shown of ourselves: our key for this connection, and a cookie where we are the server.
struct Shown {
    short: [u8; 32],
    cookie: Vec<u8>,
}

impl Talk {
    fn begin(conversation: &Conversation) -> Self {
        let ours = conversation.ours.ours();
        let mut handshake = match conversation.we_accepted {
            true => Handshake::accepted(ours, &SERVER, &"hub".into()),
            false => Handshake::connected(ours, identity(&conversation.identity), &CLIENT),
        };
        let mut buffer = BytesMut::new();
        let end = handshake.advance(&mut buffer);
        let said = handshake.output().to_vec();
        assert_eq!(said.len(), GREETING_BYTES, "a greeting");
        Self { handshake, buffer, end, said }
    }

    /// What our end leaves, and from where on its answer is.
    fn hear(&mut self, cuts: &[u8], bytes: &[u8]) -> (Vec<u8>, usize) {
        let from = self.said.len();
        (feed(&mut self.handshake, &mut self.buffer, &mut self.end, &mut self.said, cuts, bytes), from)
    }

    fn have(mut self, conversation: &Conversation) {
        let Conversation { settings, cuts, we_accepted, ours, who, .. } = conversation;
        self.hear(cuts, &conversation.greeting.bytes(Mechanism::Curve));
        let metadata = conversation.metadata.properties();
        let mut known = Known {
            long: &LONG[match who {
                Who::Known | Who::Astray => 0,
                Who::ListedElsewhere => 1,
                Who::Unlisted => 2,
            }],
            short: &SHORT,
            ours: if *who == Who::Astray { LONG[2].public } else { OURS.public },
            ours_short: [9; 32],
            cookie: &[0; 96],
            metadata: &metadata,
        };
        let shown = if *we_accepted { None } else { self.hello() };
        if let Some(shown) = &shown {
            known.ours_short = shown.short;
        }
        let first = if *we_accepted { known.hello(&conversation.first) } else { known.welcome(&conversation.first) };
        let (_, from) = self.hear(cuts, &first.bytes);
        let shown = match (we_accepted, &self.end) {
            (true, Ok(None)) => self.welcome(from),
            _ => shown,
        };
        if let Some(shown) = &shown {
            known.ours_short = shown.short;
            known.cookie = if *we_accepted { &shown.cookie } else { &[] };
        }
        let second = if *we_accepted { known.initiate(&conversation.second, first.count) } else { known.ready(&conversation.second) };

        let key = || SHORT.with(&known.ours_short);
        let (from_client, from_server) = (b"CurveZMQMESSAGEC", b"CurveZMQMESSAGES");
        let (to_us, to_peer) = if *we_accepted {
            (Way { key: key(), prefix: from_client, count: second.count }, Way { key: key(), prefix: from_server, count: 1 })
        } else {
            (Way { key: key(), prefix: from_server, count: second.count }, Way { key: key(), prefix: from_client, count: 2 })
        };
        let sent = to_us.send(&conversation.data);
        let (rest, _) = self.hear(cuts, &[&second.bytes[..], &sent.bytes].concat());

        self.judge(conversation, &first, &second);
        let Some(mut transform) = self.handshake.transform() else { return };
        assert!([&second.bytes[..], &sent.bytes].concat().ends_with(&rest), "the handshake changed what follows it");
        to_peer.check(&mut transform.sealer, &sent);
        if matches!(conversation.second, Step::Twice) {
            // What came twice stands where sealed frames belong.
            Sent::check_refused(*settings, transform.opener, cuts, &rest);
        } else {
            assert_eq!(rest, sent.bytes, "not one byte more");
            sent.check(*settings, transform.opener, cuts, &rest);
        }
        let Ok(Some(session)) = &self.end else { unreachable!("a transform without a session") };
        assert!(session.identity.len() <= 255 && session.minor <= 1);
        if let Some((is, identity)) = conversation.metadata.right(*ours) {
            assert_eq!((session.peer_type, &session.identity[..]), (is, identity));
        }
    }

    /// Who must be let in is, and who must not be is not.
    fn judge(&mut self, conversation: &Conversation, first: &Taken, second: &Taken) {
        let known = matches!((conversation.who, conversation.we_accepted), (Who::Known, _) | (Who::Astray, false));
        let proved = first.right && second.right && known;
        let right = matches!(conversation.greeting, Greeting::Right { .. }) && conversation.metadata.right(conversation.ours).is_some();
        match &self.end {
            Ok(Some(session)) => {
                assert!(proved, "let in: {session:?}");
                assert_eq!(session.mechanism, Spoken::Curve);
                assert_eq!(session.user.as_deref(), conversation.we_accepted.then_some("agent"));
            }
            end => {
                assert!(!(proved && right), "a peer that does everything right: {end:?}");
                assert!(self.handshake.transform().is_none(), "keys of a session that is none");
            }
        }
    }

    /// Reads our HELLO, which stands behind our greeting once the peer has sent its own.
    fn hello(&self) -> Option<Shown> {
        let body = self.said.get(GREETING_BYTES..)?.strip_prefix(b"\x04\xc8\x05HELLO")?;
        let short: [u8; 32] = body[74..106].try_into().expect("32 bytes");
        let server = if body.len() == 194 { &LONG[0] } else { panic!("HELLO of {} bytes", body.len()) };
        assert_eq!(open(&server.with(&short), &nonce(b"CurveZMQHELLO---", &body[106..114]), &body[114..]), [0; 64]);
        Some(Shown { short, cookie: Vec::new() })
    }

    /// Reads our WELCOME.
    fn welcome(&self, from: usize) -> Option<Shown> {
        let body = self.said[from..].strip_prefix(b"\x04\xa8\x07WELCOME")?;
        let plain = open(&SHORT.with(&OURS.public), &nonce(b"WELCOME-", &body[..16]), &body[16..]);
        let (short, cookie) = plain.split_first_chunk::<32>().expect("a key and a cookie");
        Some(Shown { short: *short, cookie: cookie.to_vec() })
    }
}
