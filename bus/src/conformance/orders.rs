//! The stream and the consumer that most cases work with: `orders`, which stores `orders.>`, and its `workers`.

use std::time::Duration;

use tokio::time::timeout;

use super::QUIET;
use super::fixture::{Fixture, text, within};
use crate::streams::{
    Consumer, ConsumerConfig, ConsumerInfo, Job, Name, PublishDurableError, PublishOptions, Receipt, StreamConfig, StreamInfo,
};
use crate::wire::Body;
use crate::{Bus, Message};

impl Fixture {
    /// The name of a stream or a consumer of this case alone.
    pub fn name(&self, name: &str) -> Name {
        Name::new(&format!("{}-{name}", self.prefix())).unwrap()
    }

    pub(super) fn config(&self, name: &str, subjects: &[&str]) -> StreamConfig {
        let mut config = StreamConfig::new(self.name(name), subjects.iter().map(|subject| self.filter(subject)).collect());
        config.durability = self.streams_durability();
        config
    }

    /// Makes or changes the stream.
    pub(super) async fn orders(&self, change: impl FnOnce(&mut StreamConfig)) -> StreamInfo {
        let mut config = self.config("orders", &["orders.>"]);
        change(&mut config);
        self.bus().ensure_stream(&config).await.unwrap()
    }

    /// Makes or changes its consumer.
    pub(super) async fn workers(&self, change: impl FnOnce(&mut ConsumerConfig)) -> Consumer {
        self.workers_of("workers", change).await
    }

    pub(super) async fn workers_of(&self, name: &str, change: impl FnOnce(&mut ConsumerConfig)) -> Consumer {
        let mut config = ConsumerConfig::new(self.name(name));
        change(&mut config);
        self.bus().ensure_consumer(&self.name("orders"), &config).await.unwrap()
    }

    /// The same consumer as another process has it.
    pub(super) async fn workers_elsewhere(&self, bus: &Bus) -> Consumer {
        bus.consumer(&self.name("orders"), &self.name("workers")).await.unwrap()
    }

    /// Stores a message, and tells its sequence.
    pub(super) async fn store(&self, subject: &str, body: impl Into<Body>) -> u64 {
        self.store_with(subject, body, &PublishOptions::default()).await.unwrap().sequence
    }

    pub(super) async fn store_with(
        &self,
        subject: &str,
        body: impl Into<Body>,
        options: &PublishOptions,
    ) -> Result<Receipt, PublishDurableError> {
        self.bus().publish_durable(&Message::new(self.subject(subject), body), options).await
    }

    pub(super) async fn info(&self) -> StreamInfo {
        self.bus().stream_info(&self.name("orders")).await.unwrap()
    }

    pub(super) async fn workers_info(&self) -> ConsumerInfo {
        let info = self.info().await.consumers.into_iter().find(|consumer| consumer.config.name == self.name("workers"));
        info.expect("the consumer is there")
    }
}

pub(super) fn id(id: &str) -> PublishOptions {
    PublishOptions { id: Some(id.into()), ..PublishOptions::default() }
}

/// The next message of a worker.
pub(super) async fn job(worker: &Consumer) -> Job {
    within("a job", worker.next()).await.unwrap()
}

/// As many messages as are there, and no fewer than `count`.
pub(super) async fn jobs(worker: &Consumer, count: usize) -> Vec<Job> {
    let mut jobs = Vec::new();
    within("all jobs", async {
        while jobs.len() < count {
            jobs.extend(worker.fetch(count - jobs.len(), Duration::from_secs(5)).await.unwrap());
        }
    })
    .await;
    jobs
}

/// Takes the next message and acks it; its text.
pub(super) async fn work(worker: &Consumer) -> String {
    let job = job(worker).await;
    let body = text(job.body());
    job.ack().await.unwrap();
    body
}

/// Nothing comes for a while.
pub(super) async fn rests(worker: &Consumer) {
    let jobs = worker.fetch(1, QUIET).await.unwrap();
    assert!(jobs.is_empty(), "{jobs:?}");
}

/// Nothing comes for so long.
pub(super) async fn rests_for(worker: &Consumer, time: Duration) {
    if let Ok(job) = timeout(time, worker.next()).await {
        panic!("{job:?}");
    }
}

pub(super) fn sequences(jobs: &[Job]) -> Vec<u64> {
    jobs.iter().map(Job::sequence).collect()
}
