//! Whole conversations, from the greeting to the data phase, without a mechanism or with PLAIN: cut anywhere, they come to the same end, with the
//! same answers of ours; the handshake takes no byte of what follows it; a peer that does everything right is always let in, and no other.
//!
//! Run with `-malloc_limit_mb=16`: an allocation that a declared length asks for ends the run.

#![no_main]

#[path = "../src/data.rs"]
mod data;
#[path = "../src/zmtp.rs"]
#[allow(dead_code, reason = "the target curve uses the rest")]
mod zmtp;

use std::sync::{Arc, LazyLock};

use data::Settings;
use libfuzzer_sys::arbitrary::{self, Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use myelin_bridge_zmq::codec::{ClientSecurity, Handshake, Login, Role, ServerSecurity, Users};
use zmtp::{Data, Greeting, Hello, Mechanism, Outcome, Type, class, command, identity, shake};

/// With whom we talk.
#[derive(Debug, Arbitrary)]
enum Peer {
    Null(Conversation<()>),
    Plain(Conversation<Proof>),
}

/// What a peer does, and to whom.
#[derive(Debug, Arbitrary)]
struct Conversation<P> {
    settings: Settings,
    cuts: [u8; 8],
    we_accepted: bool,
    ours: Type,
    identity: [u8; 4],
    greeting: Greeting,
    proof: P,
    hello: Hello,
    data: Vec<Data>,
}

/// The step of PLAIN before a peer says what it is: HELLO of a client, WELCOME of a server.
#[derive(Debug, Arbitrary)]
enum Proof {
    Right,
    Login { user: Vec<u8>, password: Vec<u8> },
    Command { name: Vec<u8>, body: Vec<u8>, is_long: bool },
    Bytes(Vec<u8>),
}

static SERVER: LazyLock<ServerSecurity> =
    LazyLock::new(|| ServerSecurity::Plain(Arc::new(Users::parse("agent:secret\nother:guess").expect("valid"))));
static CLIENT: LazyLock<ClientSecurity> = LazyLock::new(|| ClientSecurity::Plain(Arc::new(Login::read("agent:secret").expect("valid"))));

fuzz_target!(|input: &[u8]| {
    match Peer::arbitrary_take_rest(Unstructured::new(input)) {
        Ok(Peer::Null(conversation)) => conversation.null(),
        Ok(Peer::Plain(conversation)) => conversation.plain(),
        Err(_) => {}
    }
});

impl Conversation<()> {
    fn null(&self) {
        let role = if self.we_accepted { Role::Accepted } else { Role::Connected };
        let outcome = self.check(
            || Handshake::new(role, self.ours.ours(), identity(&self.identity)),
            &[self.greeting.bytes(Mechanism::Null), self.hello.bytes(b"READY")].concat(),
        );
        self.expect(outcome, true, None);
    }
}

impl Conversation<Proof> {
    fn plain(&self) {
        let proof = self.proof(if self.we_accepted { b"\x05agent\x06secret" } else { b"" });
        let hello = self.hello.bytes(if self.we_accepted { b"INITIATE" } else { b"READY" });
        let outcome = self.check(
            || match self.we_accepted {
                true => Handshake::accepted(self.ours.ours(), &SERVER, &"route".into()),
                false => Handshake::connected(self.ours.ours(), identity(&self.identity), &CLIENT),
            },
            &[self.greeting.bytes(Mechanism::Plain), proof.clone(), hello].concat(),
        );
        if let Ok(Some(session)) = &outcome.end
            && self.we_accepted
        {
            let user = session.user.as_deref().expect("a peer of PLAIN has a name");
            let said: &[u8] = match user {
                "agent" => b"\x05agent\x06secret",
                "other" => b"\x05other\x05guess",
                _ => panic!("{user} is not listed"),
            };
            assert!(proof.windows(said.len()).any(|window| window == said), "{user} without a password");
        }
        self.expect(outcome, matches!(self.proof, Proof::Right), self.we_accepted.then_some("agent"));
    }

    fn proof(&self, right: &[u8]) -> Vec<u8> {
        let name = if self.we_accepted { &b"HELLO"[..] } else { b"WELCOME" };
        match &self.proof {
            Proof::Right => command(name, right, false),
            Proof::Login { user, password } => {
                let body = [&[user.len() as u8][..], user, &[password.len() as u8], password].concat();
                command(name, &body, body.len() > 200)
            }
            Proof::Command { name, body, is_long } => command(name, body, *is_long),
            Proof::Bytes(bytes) => bytes.clone(),
        }
    }
}

impl<P> Conversation<P> {
    /// Talks twice, cut and uncut, and has the data phase that follows.
    fn check(&self, begin: impl Fn() -> Handshake, before: &[u8]) -> Outcome {
        let data: Vec<u8> = self.data.iter().flat_map(Data::bytes).collect();
        let input = [before, &data].concat();
        let whole = shake(begin(), &[], &input);
        let cut = shake(begin(), &self.cuts, &input);
        assert_eq!(class(&whole.end), class(&cut.end), "depends on where the input was cut");
        if let Ok(Some(session)) = &whole.end {
            assert_eq!(whole, cut, "depends on where the input was cut");
            assert!(input.ends_with(&whole.rest), "the handshake changed what follows it");
            assert!(session.identity.len() <= 255 && session.minor <= 1);
            data::check(self.settings, &self.cuts, &whole.rest);
        }
        whole
    }

    /// A peer that does everything right is let in, as what it is.
    fn expect(&self, outcome: Outcome, proved: bool, user: Option<&str>) {
        let (Greeting::Right { minor }, Some((is, identity)), true) = (&self.greeting, self.hello.right(self.ours), proved) else { return };
        let Ok(Some(session)) = outcome.end else { panic!("a peer that does everything right: {:?}", outcome.end) };
        assert_eq!((session.peer_type, session.minor, &session.identity[..]), (is, (*minor).min(1), identity));
        assert_eq!(session.user.as_deref(), user);
        assert_eq!(outcome.rest, self.data.iter().flat_map(Data::bytes).collect::<Vec<u8>>(), "not one byte more");
    }
}
