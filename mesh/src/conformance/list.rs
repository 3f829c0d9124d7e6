//! Every case, once. A case that is not here does not run; a test of the suite's own sources finds it.

/// Hands the list to another macro, behind what that one wants for itself.
#[doc(hidden)]
#[macro_export]
macro_rules! __mesh_conformance_list {
    ([$($to:tt)*] $($own:tt)*) => {
        $($to)*! {
            $($own)*
            entries::what_is_set_is_got;
            entries::a_key_that_nobody_wrote_has_nothing;
            entries::every_write_has_a_revision_of_its_own;
            entries::any_bytes_are_kept_as_they_are;
            entries::several_are_read_in_the_order_in_which_they_are_asked_for;
            entries::several_are_written_at_once;
            entries::a_deleted_entry_is_gone;
            entries::namespaces_do_not_meet;
            entries::a_key_is_any_text;
            entries::an_entry_and_a_window_of_one_name_do_not_meet;
            entries::both_handles_have_one_memory;
            entries::a_rust_value_is_kept;
            entries::what_is_there_is_counted;
            compare::absent_is_what_was_never_there_or_was_deleted;
            compare::a_revision_matches_once;
            compare::a_conflict_changes_nothing_and_tells_what_is_there;
            compare::a_touch_is_no_other_revision;
            compare::a_delete_may_expect_too;
            compare::of_many_at_once_one_succeeds;
            compare::sixteen_writers_lose_no_update;
            expiry::an_entry_expires;
            expiry::the_time_that_is_left_is_told;
            expiry::a_space_has_a_time_for_who_names_none;
            expiry::a_write_begins_a_new_time;
            expiry::a_touch_begins_a_new_time;
            expiry::a_touch_may_shorten_a_life;
            expiry::what_expired_cannot_be_touched_or_deleted;
            expiry::what_expired_is_absent_for_a_compare;
            expiry::what_expired_is_not_listed;
            scans::keys_come_in_order;
            scans::every_key_is_in_one_page;
            scans::a_prefix_is_no_pattern;
            scans::windows_are_listed_apart;
            windows::entries_come_back_in_order;
            windows::a_window_that_nobody_wrote_is_empty;
            windows::the_newest_are_asked_for_by_count;
            windows::a_reader_goes_on_where_it_was;
            windows::a_reader_asks_from_a_time_on;
            windows::several_are_appended_in_order;
            windows::the_count_is_a_bound;
            windows::the_age_is_a_bound;
            windows::a_reader_may_ask_for_less_than_is_kept;
            windows::an_append_keeps_a_window_alive;
            windows::a_window_that_nobody_writes_is_gone;
            windows::appends_at_the_same_time_are_all_there;
            windows::a_cleared_window_begins_anew;
            windows::a_large_window_is_read_in_parts;
            watches::a_watch_begins_with_what_is_there;
            watches::writes_and_deletes_are_told_in_order;
            watches::an_expiry_is_told;
            watches::only_the_prefix_is_told;
            watches::a_watch_goes_on_from_a_position;
            watches::a_position_that_nobody_knows_is_a_resync;
            watches::a_copy_becomes_the_same;
            refused::a_value_that_is_too_large;
            refused::too_many_keys_in_a_call;
            refused::too_many_bytes_in_a_call;
            refused::too_many_bytes_in_an_answer;
            ends::a_closed_mesh_says_so;
            ends::a_watch_ends_with_its_mesh;
        }
    };
}

/// Makes one `#[tokio::test]` of each case of the behaviour suite, for one store.
///
/// The argument is the path of an `async fn() -> Fixture`. Used once per module; `tokio` has to be a dependency of the crate that uses it.
///
/// ```ignore
/// mod embedded {
///     myelin_mesh::conformance_tests!(super::embedded);
/// }
/// ```
#[macro_export]
macro_rules! conformance_tests {
    ($fixture:path) => {
        $crate::__mesh_conformance_list! { [$crate::__mesh_conformance_stamp] { $fixture } }
    };
}

/// Makes the tests.
#[doc(hidden)]
#[macro_export]
macro_rules! __mesh_conformance_stamp {
    ({ $fixture:path } $($module:ident::$case:ident;)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let fixture = $fixture().await;
                $crate::conformance::run(stringify!($case), $crate::conformance::$module::$case(&fixture)).await;
                fixture.close().await;
            }
        )+

        #[test]
        fn the_tests_are_the_cases_of_the_list() {
            $crate::conformance::check(&[$(stringify!($case)),+]);
        }
    };
}

macro_rules! table {
    ($($module:ident::$case:ident;)+) => {
        /// The name of every case, in order.
        pub const CASES: &[&str] = &[$(stringify!($case)),+];
    };
}

__mesh_conformance_list! { [table] }
