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
