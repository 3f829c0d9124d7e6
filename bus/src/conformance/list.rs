//! Every case, once. A case that is not here does not run; a test of the suite's own sources finds it.

use super::{Case, Need};

/// Hands the list to another macro, behind what that one wants for itself.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_list {
    ([$($to:tt)*] $($own:tt)*) => {
        $($to)*! {
            $($own)*
            publish::every_matching_subscriber_gets_every_message_in_order;
            publish::wildcards_stand_for_one_token_or_for_the_rest;
            publish::a_body_arrives_in_the_form_in_which_it_was_sent;
            publish::headers_reply_and_envelope_travel_with_their_message;
            publish::what_was_published_before_is_not_kept;
            publish::each_group_gets_one_copy_and_every_plain_subscriber_its_own;
            publish::a_member_that_leaves_is_replaced;
            publish::what_is_too_large_is_refused_before_anybody_gets_it;
            overflow::drop_newest_keeps_what_came_first_and_counts_the_rest;
            overflow::drop_oldest_keeps_what_came_last_and_counts_the_rest;
            overflow::disconnect_ends_the_subscription_and_says_so;
            overflow::block_loses_nothing;
            overflow::block_makes_the_publisher_wait needs block_holds_publisher;
            overflow::bytes_are_bounded_too_and_one_message_is_always_admitted;
            overflow::one_slow_subscriber_slows_no_other;
            requests::a_request_gets_its_reply;
            requests::a_responder_sees_headers_and_frames;
            requests::without_responders_a_request_fails_at_once;
            requests::without_an_answer_a_request_times_out;
            requests::a_late_reply_is_nobodys;
            requests::the_first_reply_counts;
            requests::concurrent_requests_get_their_own_replies;
            requests::responders_in_a_group_share_the_requests;
            requests::who_left_is_no_responder;
            requests::a_request_that_is_too_large_is_not_sent;
            presence::an_announced_agent_is_known_with_its_card;
            presence::who_comes_later_knows_who_is_there;
            presence::a_change_is_told_with_its_reason;
            presence::the_axes_are_told_apart;
            presence::a_goodbye_is_known_at_once;
            presence::a_lost_connection_is_known_within_a_second;
            presence::a_connection_that_is_back_is_no_death;
            presence::another_life_has_a_higher_number;
            presence::a_watcher_begins_with_everybody;
            presence::a_slow_watcher_begins_anew;
            presence::what_cannot_be_announced_is_refused;
            presence::a_capability_is_served_by_one_that_has_it;
            presence::the_least_busy_is_asked;
            presence::a_request_spills_over_to_who_takes_it;
            presence::when_nobody_fits_it_is_said_why;
            presence::what_may_have_run_is_not_given_to_another;
            streams::a_stream_is_made_once;
            streams::a_stream_is_changed_and_keeps_what_it_has;
            streams::what_was_promised_is_not_changed;
            streams::a_stream_without_subjects_is_refused;
            streams::streams_that_share_subjects_are_refused;
            streams::info_tells_what_is_in_a_stream;
            streams::a_message_is_kept_as_it_was_published;
            streams::a_deleted_message_is_gone_and_its_sequence_is_not_used_again;
            streams::purge_takes_what_its_filter_names;
            streams::sequences_are_listed_from_a_place_on;
            streams::a_deleted_stream_is_gone_and_may_begin_anew;
            streams::what_left_is_counted needs departures_counted;
            limits::a_full_stream_refuses_until_there_is_room;
            limits::bytes_are_a_limit;
            limits::drop_oldest_keeps_the_newest;
            limits::drop_oldest_makes_room_for_a_large_one;
            limits::age_is_a_limit;
            limits::a_message_goes_when_its_own_time_is_over;
            limits::with_limits_what_is_acked_stays;
            limits::a_work_queue_lets_go_of_what_is_acked;
            limits::interest_keeps_a_message_until_everybody_is_done;
            limits::without_interest_nothing_is_kept;
            limits::a_deleted_consumer_has_no_interest;
            receipts::sequences_are_dense;
            receipts::an_id_is_stored_once;
            receipts::an_id_is_stored_once_by_whoever_is_first;
            receipts::after_the_window_an_id_is_new;
            receipts::an_id_outlives_its_message;
            receipts::another_stream_has_ids_of_its_own;
            receipts::a_message_may_expect_the_last_on_its_subject;
            receipts::of_many_that_expect_the_same_one_is_stored;
            receipts::a_delayed_message_comes_when_it_is_due;
            receipts::what_no_stream_stores_is_refused;
            receipts::a_stream_may_refuse_what_the_bus_carries;
            receipts::what_is_too_large_to_store_is_refused;
            capture::a_plain_publish_is_stored_and_heard;
            capture::a_request_on_a_streams_subject_gets_the_receipt;
            capture::the_receipt_names_the_stream needs receipts_name_the_stream;
            capture::what_several_filters_match_is_stored_once;
            capture::plain_publishes_keep_their_order;
            capture::an_id_in_a_header_counts;
            capture::captures_follow_their_stream;
            capture::what_no_stream_can_take_is_a_letter needs plain_publishes_checked;
            consumers::a_consumer_goes_on_where_it_was;
            consumers::consumers_of_one_stream_do_not_meet;
            consumers::no_more_are_in_flight_than_allowed;
            consumers::a_filter_chooses;
            consumers::order_per_subject_is_kept;
            consumers::each_message_goes_to_one_worker;
            consumers::a_worker_waits_for_the_next_message;
            consumers::a_fetch_takes_what_is_there;
            consumers::lag_and_age_are_told;
            consumers::a_work_queue_has_one_consumer_per_subject;
            consumers::a_consumer_is_changed_and_stays_where_it_is;
            consumers::settings_that_make_no_sense_are_refused;
            consumers::a_missing_consumer_is_named;
            consumers::a_deleted_consumer_is_gone;
            consumers::a_waiting_worker_is_told_that_its_consumer_is_gone;
            consumers::a_waiting_worker_is_told_that_its_stream_is_gone;
            consumers::a_worker_that_stops_waiting_loses_nothing;
            settling::what_is_acked_never_comes_again;
            settling::silence_past_ack_wait_brings_a_message_again;
            settling::a_nak_brings_a_message_again_with_its_reason;
            settling::a_nak_with_a_delay_holds_back_its_message_only;
            settling::a_worker_that_says_it_is_at_it_keeps_its_message;
            settling::backoff_is_the_wait_after_a_nak;
            settling::backoff_never_shortens_ack_wait;
            settling::a_late_ack_counts;
            settling::who_is_too_late_is_told needs stale_acks_told;
            settling::a_late_nak_ends_nobody_elses_delivery needs stale_acks_told;
            settling::what_comes_again_is_not_behind_what_is_new;
            workers::a_dropped_job_comes_again_at_once;
            workers::a_worker_that_is_aborted_gives_everything_back;
            workers::a_worker_whose_connection_ends_is_noticed needs worker_death_noticed_by_connection;
            workers::a_waiting_worker_that_goes_takes_no_message_along needs worker_death_noticed_by_connection;
            letters::after_deliveries_max_a_message_is_a_letter;
            letters::a_terminated_message_is_a_letter_at_once;
            letters::silence_is_an_attempt;
            letters::what_expires_unread_is_a_letter_where_that_is_wanted;
            letters::what_expires_elsewhere_is_no_letter;
            letters::what_is_evicted_unread_is_a_letter_where_that_is_wanted needs evicted_dead_letters;
            letters::a_letter_has_the_whole_message;
            letters::the_latest_32_attempts_are_kept;
            letters::each_consumer_has_a_letter_of_its_own;
            letters::a_message_is_one_letter_whoever_gives_it_up;
            letters::two_that_give_up_one_message_make_one_letter;
            letters::what_was_in_no_stream_may_be_a_letter;
            letters::a_letter_stands_in_nobodys_way;
            replays::a_replay_carries_its_origin_and_count;
            replays::a_letter_may_go_elsewhere;
            replays::a_letter_may_go_to_who_serves_its_subject;
            replays::letters_are_found_by_what_is_known_of_them;
            replays::letters_are_listed_page_by_page;
            replays::letters_that_match_are_replayed_at_a_rate;
            replays::a_dry_run_does_nothing;
            replays::purged_letters_are_gone;
            replays::exported_letters_stay;
        }
    };
}

/// Makes one `#[tokio::test]` of each case of the behaviour suite, for one engine.
///
/// The argument is the path of an `async fn() -> Fixture`; behind `skips:` stand the cases, in the order of the list, that the engine cannot
/// run because of its [`Capabilities`](crate::Capabilities). A test of its own compares both with the list. Used once per module; `tokio` has
/// to be a dependency of the crate that uses it.
///
/// ```ignore
/// mod embedded {
///     myelin_bus::conformance_tests!(super::embedded);
/// }
/// ```
#[macro_export]
macro_rules! conformance_tests {
    ($fixture:path) => {
        $crate::conformance_tests!($fixture, skips: []);
    };
    ($fixture:path, skips: [$($skipped:ident),* $(,)?]) => {
        $crate::__conformance_list! { [$crate::__conformance_stamp] { $fixture } [$($skipped)*] }
    };
}

/// Makes the tests.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_stamp {
    ({ $fixture:path } [$($skipped:ident)*] $($module:ident::$case:ident $(needs $need:ident)?;)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let fixture = $fixture().await;
                $crate::conformance::run(stringify!($case), &fixture, $crate::conformance::$module::$case(&fixture)).await;
                fixture.close().await;
            }
        )+

        #[tokio::test]
        async fn the_tests_are_the_cases_of_the_list() {
            let fixture = $fixture().await;
            $crate::conformance::check(&[$(stringify!($case)),+], &[$(stringify!($skipped)),*], &fixture);
            fixture.close().await;
        }
    };
}

/// Runs every case in one future, as many at once as `at_once` says, for an engine that is dear to start: its fixtures share a server.
///
/// The first argument is the path of an `async fn() -> Fixture`, `skips` as for [`conformance_tests!`](crate::conformance_tests). A case that fails
/// panics with its name on the screen.
#[macro_export]
macro_rules! conformance_in_one {
    ($fixture:path, at_once: $at_once:expr, skips: [$($skipped:ident),* $(,)?]) => {
        $crate::__conformance_list! { [$crate::__conformance_gather] { $fixture } { $at_once } [$($skipped)*] }
    };
}

/// Gathers the cases.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_gather {
    ({ $fixture:path } { $at_once:expr } [$($skipped:ident)*] $($module:ident::$case:ident $(needs $need:ident)?;)+) => {
        // Made one by one: all of them together would not fit on a stack.
        $crate::conformance::run_all($at_once, vec![("the_tests_are_the_cases_of_the_list", {
            fn list() -> $crate::conformance::Running {
                Box::pin(async {
                    let fixture = $fixture().await;
                    $crate::conformance::check(&[$(stringify!($case)),+], &[$(stringify!($skipped)),*], &fixture);
                    fixture.close().await;
                })
            }
            list as fn() -> $crate::conformance::Running
        }), $((stringify!($case), {
            fn case() -> $crate::conformance::Running {
                Box::pin(async {
                    let fixture = $fixture().await;
                    $crate::conformance::run(stringify!($case), &fixture, $crate::conformance::$module::$case(&fixture)).await;
                    fixture.close().await;
                })
            }
            case
        })),+])
    };
}

macro_rules! table {
    ($($module:ident::$case:ident $(needs $need:ident)?;)+) => {
        /// Every case, in order.
        pub const CASES: &[Case] = &[$(Case { name: stringify!($case), need: need!($($need)?) }),+];
    };
}

macro_rules! need {
    () => {
        None
    };
    ($need:ident) => {
        Some(Need { name: stringify!($need), is_met: |capabilities| capabilities.$need })
    };
}

__conformance_list! { [table] }
