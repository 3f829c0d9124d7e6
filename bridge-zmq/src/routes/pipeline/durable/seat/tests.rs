//! A seat acks what a barrier or a socket says, and nothing else; it is given more time while it goes on.

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const PATIENCE: Patience =
    Patience { ack_wait: Duration::from_secs(8), silence: Some(Duration::from_secs(30)), answer: Duration::from_secs(90) };

fn lease(sequence: u64) -> Lease {
    Lease::new(sequence, 1)
}

/// A seat whose first barrier was answered.
fn fenced(now: Instant) -> Seat {
    let (mut seat, ask) = Seat::new(true, now, now + SECOND * 5);
    assert_eq!((ask, seat.room(now, &PATIENCE)), (Some(1), (0, 0)), "nothing before it is known");
    assert_eq!(seat.pong(1, now, &PATIENCE), Some((Part::default(), None)));
    seat
}

fn give(seat: &mut Seat, sequences: std::ops::Range<u64>, now: Instant) -> Option<u64> {
    sequences.for_each(|sequence| seat.give(lease(sequence), 10, now));
    seat.wrote(0)
}

fn sequences(part: &Part) -> Vec<u64> {
    part.leases.iter().map(Lease::sequence).collect()
}

#[test]
fn a_pong_acks_what_was_written_before_its_ping_and_nothing_else() {
    let now = Instant::now();
    let mut seat = fenced(now);
    assert_eq!(give(&mut seat, 1..3, now), Some(2));
    seat.give(lease(3), 10, now);
    let (part, next) = seat.pong(2, now, &PATIENCE).unwrap();
    assert_eq!((sequences(&part), next), (vec![1, 2], None), "what is being written has no barrier yet");
    assert_eq!(seat.wrote(0), Some(3));
    assert_eq!(seat.pong(9, now, &PATIENCE), None, "nobody sent that one");
    assert_eq!(sequences(&seat.pong(3, now, &PATIENCE).unwrap().0), [3]);
}

#[test]
fn two_barriers_are_under_way_and_the_next_covers_what_came_meanwhile() {
    let now = Instant::now();
    let mut seat = fenced(now);
    assert_eq!([give(&mut seat, 1..2, now), give(&mut seat, 2..3, now), give(&mut seat, 3..5, now)], [Some(2), Some(3), None]);
    let (part, next) = seat.pong(2, now, &PATIENCE).unwrap();
    assert_eq!((sequences(&part), next), (vec![1], Some(4)));
    let (part, next) = seat.pong(4, now, &PATIENCE).unwrap();
    assert_eq!((sequences(&part), next), (vec![2, 3, 4], None), "a later PONG speaks for the earlier barriers");
    assert_eq!(seat.held().0, 4, "until they are acked");
    seat.settled(&part);
    assert_eq!(seat.held(), (1, 10));
}

#[test]
fn room_is_bounded_by_messages_and_by_bytes_and_one_message_is_always_taken() {
    let now = Instant::now();
    let mut seat = fenced(now);
    assert_eq!(seat.room(now, &PATIENCE), (MESSAGES_MAX, BYTES_MAX));
    seat.give(lease(1), BYTES_MAX * 8, now);
    assert_eq!(seat.room(now, &PATIENCE), (0, 0));
    let mut seat = fenced(now);
    give(&mut seat, 0..MESSAGES_MAX as u64, now);
    assert_eq!(seat.room(now, &PATIENCE), (0, 0));
}

#[test]
fn progress_gives_more_time_and_silence_does_not() {
    let start = Instant::now();
    let mut seat = fenced(start);
    give(&mut seat, 1..2, start);
    give(&mut seat, 2..3, start);
    let at = |seconds| start + SECOND * seconds;
    assert!(seat.look(0, at(3), &PATIENCE).extend.is_empty(), "it has shown nothing");
    seat.pong(2, at(3), &PATIENCE).unwrap();
    assert_eq!(seat.extend(at(3), &PATIENCE), [lease(2)]);
    assert!(seat.extend(at(3), &PATIENCE).is_empty(), "once per sign");
    assert!(seat.room(at(6), &PATIENCE).0 > 0);
    let due = seat.look(0, at(7), &PATIENCE);
    assert_eq!((due.is_turned, due.extend), (true, vec![]), "half of its time is over");
    assert_eq!(seat.room(at(7), &PATIENCE), (0, 0));
    // Late, and still good; its turn comes again once all that it had is acked, which others would be given else, or itself once more.
    let (part, _) = seat.pong(3, at(60), &PATIENCE).unwrap();
    assert_eq!((sequences(&part), seat.room(at(60), &PATIENCE)), (vec![2], (0, 0)));
    seat.settled(&part);
    assert_eq!(seat.held().0, 1, "the one of the first PONG");
    seat.settled(&Part { leases: vec![lease(1)], bytes: 10 });
    assert!(seat.room(at(60), &PATIENCE).0 > 0);
}

#[test]
fn bytes_that_leave_for_the_socket_are_progress() {
    let start = Instant::now();
    let mut seat = fenced(start);
    seat.give(lease(1), 1000, start);
    seat.wrote(900);
    assert_eq!(seat.look(500, start + SECOND * 3, &PATIENCE).extend, [lease(1)]);
    assert!(seat.look(500, start + SECOND * 6, &PATIENCE).extend.is_empty());
}

#[test]
fn a_consumer_with_nothing_in_hand_is_asked_whether_it_lives() {
    let start = Instant::now();
    let mut seat = fenced(start);
    assert_eq!(seat.look(0, start + SECOND * 29, &PATIENCE).ask, None);
    assert_eq!(seat.look(0, start + SECOND * 30, &PATIENCE).ask, Some(2));
    assert!(!seat.look(0, start + SECOND * 119, &PATIENCE).is_dead);
    let mut silent = seat.look(0, start + SECOND * 120, &PATIENCE);
    assert!(std::mem::take(&mut silent.is_dead));
    seat.pong(2, start + SECOND * 120, &PATIENCE).unwrap();
    assert_eq!(seat.look(0, start + SECOND * 121, &PATIENCE), Due::default());
}

#[test]
fn who_never_answers_is_acked_by_its_socket_until_it_answers_after_all() {
    let start = Instant::now();
    let (mut seat, _) = Seat::new(true, start, start + SECOND * 5);
    assert!(!seat.look(0, start + SECOND * 4, &PATIENCE).is_unfenced);
    let due = seat.look(0, start + SECOND * 5, &PATIENCE);
    assert!(due.is_unfenced && due.is_turned);
    assert_eq!(give(&mut seat, 1..4, start), None, "no barrier");
    assert_eq!(sequences(&seat.flushed(2, start, &PATIENCE)), [1, 2]);
    assert_eq!(seat.pong(1, start, &PATIENCE), Some((Part::default(), Some(2))), "the rest is behind a barrier now");
    assert!(seat.flushed(1, start, &PATIENCE).is_empty(), "and only its PONG acks it");
    assert_eq!(sequences(&seat.pong(2, start, &PATIENCE).unwrap().0), [3]);
}

#[test]
fn an_answer_that_was_given_before_says_nothing_of_what_is_in_hand_now() {
    let start = Instant::now();
    let at = |seconds| start + SECOND * seconds;
    let mut seat = fenced(start);
    assert_eq!(give(&mut seat, 1..2, start), Some(2));
    for seconds in 1..4 {
        assert_eq!([seat.pong(0, at(seconds), &PATIENCE), seat.pong(1, at(seconds), &PATIENCE)], [None, None]);
    }
    assert!(seat.extend(at(3), &PATIENCE).is_empty(), "no progress");
    assert_eq!(seat.room(at(4), &PATIENCE), (0, 0), "half of its time is over");
    assert_eq!(sequences(&seat.pong(2, at(4), &PATIENCE).unwrap().0), [1]);
    assert_eq!(seat.pong(2, at(4), &PATIENCE), None);
}

#[test]
fn who_knows_no_ping_is_not_taken_for_one_that_answers_them() {
    let now = Instant::now();
    let (mut seat, ask) = Seat::new(false, now, now);
    assert_eq!((ask, seat.pong(0, now, &PATIENCE)), (None, None));
    assert!(seat.is_unfenced());
}
