//! What is written is read back; nothing else that arrives is taken for it, whatever its bytes are.

use proptest::prelude::*;

use super::*;

fn name(text: &str) -> AgentName {
    AgentName::new(text).unwrap()
}

fn some_head() -> Head {
    Head {
        node: NodeId(0x00ab),
        incarnation: 1_763_740_800_000,
        host: "main-pc".into(),
        beat: Duration::from_secs(20),
        version: 7,
        digest: u64::MAX - 1,
    }
}

/// The bytes stand in docs/fleet.md. A sidecar of the next release reads them too.
#[test]
fn golden_bytes() {
    let head = r#"{"v": 1, "node": "00000000000000ab", "incarnation": 1763740800000, "host": "main-pc", "beat_ms": 20000, "version": 7, "digest": "fffffffffffffffe", "#;
    let names = vec![(name("TTS"), Some(Sockets::ServiceAndHealth)), (name("caf\u{e9}"), Some(Sockets::Service)), (name("old"), None)];
    for (news, rest) in [
        (News::Hello, r#""kind": "hello"}"#),
        (News::Beat, r#""kind": "beat"}"#),
        (News::Bye, r#""kind": "bye"}"#),
        (
            News::Change { from: 6, names },
            r#""kind": "change", "from": 6, "names": [{"name": "TTS", "health": true}, {"name": "caf\u00e9", "health": false}, {"name": "old", "gone": true}]}"#,
        ),
    ] {
        assert_eq!(encode_news(&some_head(), &news), format!("{head}{rest}"));
        assert_eq!(decode_news(format!("{head}{rest}").as_bytes()), Ok((some_head(), news)));
    }
    let page = Page { head: some_head(), names: vec![(name("TTS"), Sockets::Service)], is_last: true };
    assert_eq!(encode_page(&page), format!(r#"{head}"last": true, "names": [{{"name": "TTS", "health": false}}]}}"#));
    assert_eq!(encode_name(Some(&name("TTS"))), r#"{"v": 1, "name": "TTS"}"#);
    assert_eq!(encode_name(None), r#"{"v": 1}"#);
    assert_eq!(encode_found(&Found::Unknown), r#"{"v": 1, "state": "unknown"}"#);
    assert_eq!(encode_found(&Found::Unreachable), r#"{"v": 1, "state": "unreachable"}"#);
    let card = Card::collect(|key| (key == "agent_type").then_some(Json::Text(json::Text::new("tts"))).as_ref().map(|_| &Json::Null));
    let here = Found::Here { sockets: Sockets::Service, card, last_registered: SystemTime::UNIX_EPOCH + Duration::from_micros(5) };
    assert_eq!(
        encode_found(&here),
        r#"{"v": 1, "state": "here", "health": false, "last_registered_us": 5, "agent_type": null, "capabilities": [], "dependencies": [], "metadata": {}}"#
    );
    assert_eq!(decode_found(encode_found(&here).as_bytes()), Ok(here));
}

#[test]
fn what_is_wrong_in_any_part_is_refused_and_what_is_new_is_passed_over() {
    let good = encode_news(&some_head(), &News::Change { from: 6, names: vec![(name("A"), Some(Sockets::Service))] });
    let with = |from: &str, to: &str| decode_news(good.replacen(from, to, 1).as_bytes());
    assert!(with("{", r#"{"later": [1, {"x": null}], "#).is_ok());
    for (from, to) in [
        (r#""v": 1"#, r#""v": 2"#),
        ("00000000000000ab", "ab"),
        ("00000000000000ab", "00000000000000AB"),
        ("00000000000000ab", "+0000000000000ab"),
        (r#""version": 7"#, r#""version": -7"#),
        (r#""version": 7"#, r#""version": 18446744073709551616"#),
        ("change", "chance"),
        (r#""name": "A""#, r#""name": """#),
        (r#""name": "A""#, r#""name": "\ud800""#),
        (r#"[{"#, r#"[1, {"#),
        ("main-pc", "\\ud800"),
    ] {
        assert_eq!(with(from, to), Err(Malformed), "{to}");
    }
    assert_eq!(with("main-pc", &"x".repeat(256)), Err(Malformed));
    assert_eq!(decode_news(&[b' '; MESSAGE_BYTES_MAX + 1]), Err(Malformed));
    // A sidecar that claims to beat every hour is forgotten after minutes all the same.
    assert_eq!(with("20000", "3600000").unwrap().0.beat, BEAT_MAX);
    assert_eq!(with("20000", "0").unwrap().0.beat, BEAT_MIN);
}

#[test]
fn as_many_names_as_fit_are_one_message() {
    let names: Vec<_> = (0..1000).map(|number| name(&format!("{number:04}{}", "\u{1}".repeat(251)))).collect();
    let mut left: &[AgentName] = &names;
    let mut pages = 0;
    while !left.is_empty() {
        let (fit, is_last) = fitting(left.iter().map(|name| (name, Sockets::ServiceAndHealth)));
        assert!(!fit.is_empty());
        left = &left[fit.len()..];
        assert_eq!(is_last, left.is_empty());
        let page = Page { head: some_head(), names: fit, is_last };
        let encoded = encode_page(&page);
        assert!(encoded.len() <= MESSAGE_BYTES_MAX, "{}", encoded.len());
        assert_eq!(decode_page(encoded.as_bytes()), Ok(page));
        pages += 1;
    }
    assert!(pages < 50, "{pages}");
}

#[test]
fn a_long_host_name_is_cut_between_characters() {
    assert_eq!(&*host("pc"), "pc");
    assert_eq!(host(&"\u{e9}".repeat(200)).len(), 254);
}

fn read_as_anything(bytes: &[u8]) {
    // Whatever it is read as, it is read again as the same.
    if let Ok((head, news)) = decode_news(bytes) {
        assert_eq!(decode_news(encode_news(&head, &news).as_bytes()), Ok((head, news)));
    }
    if let Ok(page) = decode_page(bytes) {
        assert_eq!(decode_page(encode_page(&page).as_bytes()), Ok(page));
    }
    if let Ok(name) = decode_name(bytes) {
        assert_eq!(decode_name(encode_name(name.as_ref()).as_bytes()), Ok(name));
    }
    if let Ok(found) = decode_found(bytes) {
        assert_eq!(decode_found(encode_found(&found).as_bytes()), Ok(found));
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read_as_anything(&bytes);
    }

    /// Near what is right is where a reader goes wrong.
    #[test]
    fn no_change_of_good_bytes_panics(
        at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        kind in 0..4,
    ) {
        let names = vec![(name("A"), Some(Sockets::Service)), (name("\u{10348}"), None)];
        let mut bytes = match kind {
            0 => encode_news(&some_head(), &News::Change { from: 6, names }),
            1 => encode_page(&Page { head: some_head(), names: vec![(name("A"), Sockets::Service)], is_last: false }),
            2 => encode_name(Some(&name("A"))),
            _ => encode_found(&Found::Here {
                sockets: Sockets::Service,
                card: Card::collect(|_| None),
                last_registered: SystemTime::UNIX_EPOCH,
            }),
        }
        .into_bytes();
        for (index, byte) in at {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        read_as_anything(&bytes);
        bytes.truncate(cut.index(bytes.len() + 1));
        read_as_anything(&bytes);
    }
}
