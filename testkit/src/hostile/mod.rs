//! Peers that misbehave, and the agents beside them that must not notice.
//!
//! An [`Arena`] is a sidecar with sockets of every type. [`Arena::served_while`] runs an attack while other agents work, and tells in [`Served`]
//! how long they waited and what memory the sidecar took. The attacks take their size as an argument, so that the tests of every day and
//! the long proof run the same ones; each panics when the sidecar does not treat the attacker as it should.

mod arena;
mod bytes;
mod crowds;
mod floods;
mod greed;
mod jobs;
mod listeners;
mod machine;
mod neighbours;
mod production;
mod pulls;
mod pushes;
mod served;
mod stalls;

pub use arena::{Arena, Place, Places};
pub use bytes::{Noise, cut_frames, declared_lengths, endless_messages, foreign_protocols, noise, wrong_mechanisms};
pub use crowds::{half_open, odd_identities, pings, same_identity};
pub use floods::{publish_loop, subscriptions, unfinished_messages};
pub use greed::{GreedyCaller, greedy_caller};
pub use listeners::Listeners;
pub use pulls::{early_pongs, foreign_pongs, hung_consumer, mute_consumer, vanishing_consumers};
pub use pushes::{Kind, all_come, vanishing_producers};
pub use served::Served;
pub use stalls::{RouterRoute, StalledSubscriber, deaf_caller_of_rep, deaf_caller_of_router, large_messages, stalled_subscriber};
