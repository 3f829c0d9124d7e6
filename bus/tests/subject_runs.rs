//! Promise: every message comes with the subject that it was published to, whatever was dropped, read or published in between. Random steps
//! against a queue of a few places; each body says what its subject must be.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use myelin_bus::wire::{Body, Filter, Subject};
use myelin_bus::{Bus, EmbeddedConfig, Message, Overflow, SubscribeOptions, Subscription};
use proptest::prelude::*;
use tokio::runtime::Builder;

#[derive(Debug, Clone)]
enum Step {
    /// With the subject at this index, of which two are equal and not the same.
    Publish(usize),
    /// The same, a batch of three in one call.
    PublishBatch(usize),
    Read,
    ReadAll,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_usize).prop_map(Step::Publish),
        2 => (0..3_usize).prop_map(Step::PublishBatch),
        3 => Just(Step::Read),
        1 => Just(Step::ReadAll),
    ]
}

fn check(message: &Message) -> Result<(), TestCaseError> {
    prop_assert_eq!(&message.body, &body(&message.subject));
    Ok(())
}

fn body(subject: &Subject) -> Body {
    subject.as_str().to_owned().into()
}

async fn run(steps: Vec<Step>, overflow: Overflow) -> Result<(), TestCaseError> {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let publishers = ["a.x", "a.x", "a.y"].map(|name| bus.publisher(Subject::new(name).unwrap()));
    let options = SubscribeOptions::default().overflow(overflow).messages_max(3);
    let mut subscription: Subscription = bus.subscribe(&Filter::new("a.*").unwrap(), options).await.unwrap();
    for step in steps {
        match step {
            Step::Publish(at) => {
                let publisher = &publishers[at];
                publisher.publish(body(publisher.subject())).await.unwrap();
            }
            Step::PublishBatch(at) => {
                let publisher = &publishers[at];
                let bodies = std::array::from_fn::<_, 3, _>(|_| body(publisher.subject()));
                publisher.publish_batch(&bodies).settled().await;
            }
            Step::Read | Step::ReadAll if subscription.is_empty() => {}
            Step::Read => check(&subscription.next().await.unwrap())?,
            Step::ReadAll => {
                let mut batch = Vec::new();
                subscription.next_batch(&mut batch).await;
                batch.iter().try_for_each(check)?;
            }
        }
    }
    subscription.drain();
    while let Some(message) = subscription.next().await {
        check(&message)?;
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_message_has_its_own_subject(
        steps in prop::collection::vec(step(), 1..40),
        overflow in prop::sample::select(vec![Overflow::DropOldest, Overflow::DropNewest, Overflow::Disconnect]),
    ) {
        Builder::new_current_thread().build().unwrap().block_on(run(steps, overflow))?;
    }
}
