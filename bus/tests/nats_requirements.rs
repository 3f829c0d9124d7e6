//! A server that keeps streams is asked at connect whether it can do all that streams of ours need: one that cannot is refused with a typed error
//! that names what it lacks and the version that has it. A server without streams is as good as any for messages.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use myelin_bus::{Bus, ConnectError, Storage};
use myelin_testkit::NatsServer;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// As much of a server of `version` as a client wants to see: it says who it is, answers PING, and hands requests for replies back to who asked.
async fn server(version: &str, has_streams: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let info =
        json!({ "server_id": "old", "version": version, "max_payload": 1 << 20, "jetstream": has_streams, "headers": true, "proto": 1 });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (reading, mut writing) = stream.into_split();
            writing.write_all(format!("INFO {info}\r\n").as_bytes()).await.unwrap();
            let mut lines = BufReader::new(reading).lines();
            let mut inbox = None;
            while let Ok(Some(line)) = lines.next_line().await {
                let words: Vec<_> = line.split(' ').collect();
                let answer = match words[..] {
                    ["PING"] => "PONG\r\n".to_owned(),
                    ["SUB", _, sid] => {
                        inbox.get_or_insert_with(|| sid.to_owned());
                        continue;
                    }
                    // The echo by which a client learns that the server has what it sent before.
                    ["PUB", subject, "0"] => format!("MSG {subject} {} 0\r\n\r\n", inbox.as_deref().unwrap_or("1")),
                    _ => continue,
                };
                if writing.write_all(answer.as_bytes()).await.is_err() {
                    break;
                }
            }
        }
    });
    url
}

#[tokio::test]
async fn a_server_that_is_too_old_for_streams_is_refused_by_name() {
    for (version, feature, since) in
        [("2.9.25", "delayed delivery", "2.14"), ("2.12.8", "delayed delivery", "2.14"), ("unknown", "delayed delivery", "2.14")]
    {
        let refused = Bus::connect(&server(version, true).await).await.unwrap_err();
        let expected = ConnectError::Unsupported { feature: feature.into(), since: since.into(), server: version.into() };
        assert_eq!(refused, expected);
        assert!(!refused.is_retryable(), "another try finds the same server");
        let text = refused.to_string();
        assert!(text.contains(feature) && text.contains(since) && text.contains(version), "{text}");
    }
}

#[tokio::test]
async fn a_server_without_streams_may_be_of_any_version() {
    let bus = Bus::connect(&server("2.9.25", false).await).await.unwrap();
    assert_eq!(bus.capabilities().storage, Storage::Sidecar, "if there is one behind it");
}

#[tokio::test]
async fn the_server_of_today_has_everything() {
    let server = NatsServer::start();
    assert_eq!(Bus::connect(&server.url()).await.unwrap().capabilities().storage, Storage::JetStream);
}
