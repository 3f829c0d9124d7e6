//! What is served: `/livez`, `/readyz`, `/metrics` and a page that lists them.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use myelin_bus::Bus;
use myelin_bus::wire::{Body, Subject};
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::app::{Listens, PING, Phase};

/// How long a request through the bus may take before we count as not ready; it takes microseconds when all is well.
const READY_TIMEOUT: Duration = Duration::from_secs(1);

/// The text format that prometheus-client writes.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// What the pages are made of.
#[derive(Debug)]
pub(crate) struct Pages {
    pub(crate) bus: Bus,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) registry: Registry,
    pub(crate) listens: Listens,
}

type Page = (StatusCode, [(HeaderName, &'static str); 1], String);

impl Pages {
    /// Routes for all pages.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/", get(index))
            .route("/livez", get(|| async { page(StatusCode::OK, "alive\n".to_owned()) }))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(Arc::new(self))
    }

    fn index(&self) -> String {
        let mut text = format!("myelin {} is {}\n\n", env!("CARGO_PKG_VERSION"), *self.phase.borrow());
        text.push_str("  /livez    200 while the process lives\n");
        text.push_str(
            "  /readyz   200 while a request through the bus comes back within a second, and NATS can be reached if it is the engine\n",
        );
        text.push_str("  /metrics  counters and gauges for Prometheus\n\n");
        for listen in &self.listens.0 {
            writeln!(text, "  {:<10} {:<32} {}", listen.what, listen.url, listen.who).expect("a String takes everything");
        }
        text
    }

    /// Asks our own API through the bus: the phase alone would only say what we believe.
    async fn ready(&self) -> Result<(), String> {
        let phase = *self.phase.borrow();
        if phase != Phase::Ready {
            return Err(phase.to_string());
        }
        if !self.bus.is_connected() {
            return Err("no NATS server can be reached; agents of this machine are served".to_owned());
        }
        let subject = Subject::new(PING).expect("a valid constant");
        let answer = self.bus.request(&subject, Body::default(), READY_TIMEOUT).await;
        answer.map(drop).map_err(|error| format!("a request through the bus failed: {error}"))
    }
}

async fn index(State(pages): State<Arc<Pages>>) -> impl IntoResponse {
    page(StatusCode::OK, pages.index())
}

async fn ready(State(pages): State<Arc<Pages>>) -> impl IntoResponse {
    match pages.ready().await {
        Ok(()) => page(StatusCode::OK, "ready\n".to_owned()),
        Err(reason) => page(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")),
    }
}

async fn metrics(State(pages): State<Arc<Pages>>) -> impl IntoResponse {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &pages.registry) {
        Ok(()) => (StatusCode::OK, [(header::CONTENT_TYPE, OPENMETRICS)], text),
        Err(error) => page(StatusCode::INTERNAL_SERVER_ERROR, format!("cannot encode the metrics: {error}\n")),
    }
}

fn page(status: StatusCode, text: String) -> Page {
    (status, [(header::CONTENT_TYPE, TEXT)], text)
}
