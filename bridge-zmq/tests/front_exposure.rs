//! Promise: what other machines can reach is not bound without a mechanism, unless the operator says so by name.

#![allow(clippy::unwrap_used, reason = "tests")]

mod front_support;

use std::sync::Arc;

use front_support::{Recorder, front_with};
use myelin_bridge_zmq::front::{BindError, FrontConfig, PeerHandler, Security, ServerSecurity, SocketType, Users};

async fn bind(at: &str, security: Security) -> Result<(), BindError> {
    let front = front_with(FrontConfig { security, ..FrontConfig::default() });
    let bound = front.listen(&at.parse().unwrap(), SocketType::Router, Recorder::new() as Arc<dyn PeerHandler>).await.map(drop);
    front.shutdown().await;
    bound
}

#[tokio::test]
async fn only_loopback_is_bound_without_a_mechanism() {
    for at in ["tcp://*:*", "tcp://0.0.0.0:*", "tcp://[::]:*"] {
        let error = bind(at, Security::default()).await.expect_err(at);
        assert!(matches!(&error, BindError::Insecure { endpoint } if endpoint.to_string() == at));
        assert!(error.to_string().contains("security.insecure"), "{error}");
        let insecure = Security { insecure: true, ..Security::default() };
        bind(at, insecure).await.expect(at);
        let listen = ServerSecurity::Plain(Arc::new(Users::parse("a:b").unwrap()));
        bind(at, Security { listen, ..Security::default() }).await.expect(at);
    }
    for at in ["tcp://127.0.0.1:*", "tcp://127.0.0.2:*", "tcp://[::1]:*", "tcp://localhost:*"] {
        bind(at, Security::default()).await.expect(at);
    }
}
