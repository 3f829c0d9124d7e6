//! Ids sort by time, identity rules hold, and text forms are the standard ones.

use std::{
    collections::HashSet,
    thread,
    time::{Duration, SystemTime},
};

use myelin_wire::{
    AgentId, CorrelationId, HeaderError, Headers, IdError, MessageId, Timestamp, TraceContext, TraceContextError,
    limits::{HEADERS_BYTES_MAX, HEADERS_MAX},
};

#[test]
fn message_ids_only_grow_even_if_the_clock_goes_back() {
    let now = SystemTime::now();
    let mut last = MessageId::at(now);
    for step in 0..10_000_u64 {
        let id = MessageId::at(now - Duration::from_millis(step));
        assert!(id > last, "{id} after {last}");
        last = id;
    }
}

#[test]
fn message_ids_of_several_threads_differ() {
    let now = SystemTime::now();
    let make = || (0..5_000).map(|_| MessageId::at(now)).collect::<Vec<_>>();
    let ids: HashSet<_> =
        thread::scope(|scope| [(); 4].map(|()| scope.spawn(make)).into_iter().flat_map(|made| made.join().unwrap()).collect());
    assert_eq!(ids.len(), 20_000);
}

#[test]
fn a_message_id_is_a_uuid_of_version_7() {
    let text = MessageId::at(SystemTime::now()).to_string();
    assert_eq!(text.len(), 36);
    assert_eq!(text.as_bytes()[14], b'7');
    assert!(matches!(text.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{text}");
    assert_eq!(text.parse::<MessageId>().unwrap().to_string(), text);

    let id: MessageId = "019003f1-a000-7abc-8def-0123456789ab".parse().unwrap();
    assert_eq!(id.as_bytes()[..3], [0x01, 0x90, 0x03]);
    for wrong in ["", "019003f1", "019003f1-a000-7abc-8def-0123456789ab0", "g19003f1-a000-7abc-8def-0123456789ab"] {
        assert_eq!(wrong.parse::<MessageId>(), Err(IdError::NotUuid), "{wrong}");
    }
}

#[test]
fn agent_and_correlation_ids_are_bounded() {
    assert!(AgentId::new("Agent Ü 7").is_ok());
    assert_eq!(AgentId::new(""), Err(IdError::Empty));
    assert_eq!(AgentId::new(&"a".repeat(256)), Err(IdError::TooLong { len: 256, max: 255 }));
    assert_eq!(AgentId::new("a\nb"), Err(IdError::Control { id: "a\nb".into(), offset: 1 }));
    assert_eq!(CorrelationId::new(""), Err(IdError::Empty));
    assert_eq!(CorrelationId::new(vec![0; 256]), Err(IdError::TooLong { len: 256, max: 255 }));
    let id = MessageId::from_bytes([7; 16]);
    assert_eq!(CorrelationId::from(id).as_bytes(), &[7_u8; 16][..]);
}

#[test]
fn timestamps_saturate_instead_of_failing() {
    assert_eq!(Timestamp::from(SystemTime::UNIX_EPOCH - Duration::from_secs(1)).unix_micros(), 0);
    let time = Timestamp::from_unix_micros(1_718_000_000_000_001);
    assert_eq!(time.to_system_time().map(Timestamp::from), Some(time));
    assert_eq!(time.unix_millis(), 1_718_000_000_000);
}

#[test]
fn trace_contexts_are_w3c_traceparents() {
    let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let trace: TraceContext = text.parse().unwrap();
    assert_eq!(trace.to_string(), text);
    assert_eq!((trace.trace_id()[0], trace.span_id()[0], trace.flags()), (0x0a, 0xb7, 1));
    assert_eq!(TraceContext::new([0; 16], [1; 8], 0), Err(TraceContextError::Zero));
    assert_eq!(TraceContext::new([1; 16], [0; 8], 0), Err(TraceContextError::Zero));
    for wrong in [
        "",
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
        "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ] {
        assert_eq!(wrong.parse::<TraceContext>(), Err(TraceContextError::Format), "{wrong}");
    }
}

#[test]
fn headers_keep_order_and_duplicates_within_their_bounds() {
    let mut headers = Headers::new();
    for (name, value) in [("b", "2"), ("a", "1"), ("b", "3")] {
        headers.append(name, value).unwrap();
    }
    assert_eq!(headers.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["b", "a", "b"]);
    assert_eq!(headers.get("b").unwrap(), "2");
    assert_eq!(headers.get_all("b").count(), 2);
    assert_eq!(headers.get("B"), None);
    assert_eq!(headers.remove("b"), 2);
    assert_eq!(headers.len(), 1);

    assert_eq!(headers.append("", "v"), Err(HeaderError::Name));
    assert_eq!(headers.append("a:b", "v"), Err(HeaderError::Name));
    assert_eq!(headers.append("a b", "v"), Err(HeaderError::Name));
    assert_eq!(headers.append("é", "v"), Err(HeaderError::Name));
    assert_eq!(headers.append("k", "v\r\nx: y"), Err(HeaderError::Value { name: "k".into(), offset: 1 }));
    let max = HEADERS_BYTES_MAX;
    assert_eq!(headers.append("k", vec![b'v'; max - 2]), Err(HeaderError::TooLarge { len: max + 1, max }));
    assert_eq!(headers.append("k", vec![b'v'; max - 3]), Ok(()));
    headers.remove("k");
    while headers.len() < HEADERS_MAX {
        headers.append("k", "v").unwrap();
    }
    assert_eq!(headers.append("k", "v"), Err(HeaderError::TooMany { max: HEADERS_MAX }));
}
