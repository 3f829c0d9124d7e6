//! The core against a world that loses, repeats and reorders messages, cuts machines off from each other, kills and restarts them, and whose clocks
//! neither agree nor run at one speed.
//!
//! What must hold at every moment, in the view of every machine that lives:
//! - who lives is never reported dead, nor as having left;
//! - who has ended is not reported alive for longer than the documented bound;
//! - nobody is listed twice for one life.
//!
//! And once messages arrive again, after a while: all that list one life of an agent give it one state, and who lives on a living machine is listed
//! by all, exactly as its own machine tells of it.

mod world;

use std::time::Duration;

use self::world::{Plan, World};

/// Worlds that are tried; each is named by its number.
const WORLDS: u64 = 40;

#[test]
fn what_is_known_converges_and_nobody_who_lives_is_dead() {
    for seed in 0..WORLDS {
        let mut world = World::new(seed, Plan::rough());
        world.run(Duration::from_secs(20));
        world.calm();
        // Three intervals until silence is noticed, and three rounds of a beat, a wait of two seconds and an answer.
        world.run(Duration::from_secs(14));
        world.agrees();
    }
}

#[test]
fn without_loss_every_change_is_known_everywhere_within_moments() {
    for seed in 0..12 {
        let mut world = World::new(seed, Plan::calm());
        world.run(Duration::from_secs(5));
        for _ in 0..30 {
            world.change_one();
            world.run(Duration::from_millis(1_500));
            world.agrees();
        }
    }
}
