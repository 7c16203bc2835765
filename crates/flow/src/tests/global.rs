//! Aggregation without windows.

use super::plans::*;
use super::script::{Player, check};
use crate::build::BuildOptions;
use hydron_plan::{Change, Plan, Trigger};

#[test]
fn a_period_tells_all_groups_once_if_there_was_a_row() {
    let plan = Group::of(scan()).by(K).count().emit(emit(Trigger::Periodic(2_000))).plan();
    check(
        plan,
        "
        after 5s         | nothing
        rows 0s a, 0s b  | nothing
        after 2s         | a 1; b 1
        after 10s        | nothing
        rows 0s b        | nothing
        after 2s         | a 1; b 2
        ",
    );
}

#[test]
fn without_keys_there_is_one_row_and_before_rows_none() {
    let plan = Group::of(scan()).agg("min", &[I]).agg("max", &[I]).count().emit(emit(Trigger::OnUpdate)).plan();
    check(
        plan,
        "
        rows 0s a 1 | 1 1 1
        rows 0s a 2 | 1 2 2
        rows 0s a 3 | 1 3 3
        ",
    );
}

#[test]
fn an_update_tells_only_its_groups() {
    let plan = Group::of(scan()).by(I).count().emit(emit(Trigger::OnUpdate)).plan();
    check(
        plan,
        "
        rows 0s a 1, 0s a 2 | 1 1; 2 1
        rows 0s a 2         | 2 2
        rows 0s a 1         | 1 2
        ",
    );
}

#[test]
fn a_period_on_update_tells_what_changed_since() {
    let plan = Group::of(scan()).by(K).count().emit(emit(Trigger::PeriodicOnUpdate(1_000))).plan();
    check(
        plan,
        "
        rows 0s a, 0s b | nothing
        after 1s        | a 1; b 1
        rows 0s b       | nothing
        rows 0s b       | nothing
        after 1s        | b 3
        ",
    );
}

#[test]
fn a_changelog_withdraws_before_it_adds() {
    let plan = Group::of(scan()).count().emit(changelog(Trigger::Periodic(1_000))).plan();
    check(
        plan,
        "
        rows 0s a  | nothing
        after 1s   | 1 1
        rows 0s a  | nothing
        after 1s   | 1 -1; 2 1
        ",
    );
    let plan = Group::of(scan()).by(K).count().emit(changelog(Trigger::OnUpdate)).plan();
    check(
        plan,
        "
        rows 0s a, 0s b | a 1 1; b 1 1
        rows 0s b, 0s c | b 1 -1; b 2 1; c 1 1
        ",
    );
}

#[test]
fn withdrawn_rows_leave_their_groups() {
    let input = || scan_of(1, Change::Changelog);
    let plan = Group::of(input()).by(K).count().agg("sum", &[I]).emit(changelog(Trigger::OnUpdate)).plan();
    check(
        plan,
        "
        rows 0s a 1, 0s a 2    | a 2 3 1
        rows -0s a 1, +0s b 1  | a 2 3 -1; a 1 2 1; b 1 1 1
        rows -0s b 1           | b 1 1 -1
        rows +0s b 5           | b 1 5 1
        ",
    );
    let plan = Group::of(input()).count().agg("max", &[I]).emit(emit(Trigger::Periodic(1_000))).plan();
    check(
        plan,
        "
        rows 0s a 1, 0s a 9 | nothing
        after 1s            | 2 9
        rows -0s a 9        | nothing
        after 1s            | 1 1
        ",
    );
}

#[test]
fn a_row_may_come_and_go_in_one_batch() {
    let plan = Group::of(scan_of(1, Change::Changelog)).by(K).count().emit(emit(Trigger::OnUpdate)).plan();
    check(plan, "rows 0s a 1, -0s a 1, 0s b 2 | b 1");
}

#[test]
fn the_outer_aggregate_restarts_with_each_answer_of_the_inner() {
    let inner = || Group::of(scan()).by(K).count().emit(emit(Trigger::Periodic(1_000))).plan();
    let outer = Group::of(inner()).count().agg("sum", &[1]).emit(emit(Trigger::OnUpdate)).plan();
    check(
        outer,
        "
        rows 0s a, 0s a | nothing
        after 1s        | 1 2
        rows 0s b       | nothing
        after 1s        | 2 3
        ",
    );
    let changes = Group::of(inner()).count().emit(changelog(Trigger::OnUpdate)).plan();
    check(
        changes,
        "
        rows 0s a | nothing
        after 1s  | 1 1
        rows 0s b | nothing
        after 1s  | 1 -1; 2 1
        ",
    );
}

#[test]
fn an_answer_of_which_nothing_is_left_empties_the_outer() {
    let inner = Group::of(scan()).by(K).agg("sum", &[I]).emit(emit(Trigger::OnUpdate)).plan();
    let positive = call("greater", vec![column(&inner, 1), int(0)]);
    let outer = Group::of(filter(inner, positive)).by(0).count().emit(changelog(Trigger::OnUpdate)).plan();
    check(
        outer,
        "
        rows 0s a 5  | a 1 1
        rows 0s a -5 | a 1 -1
        rows 0s b 1  | b 1 1
        ",
    );
}

#[test]
fn a_changelog_below_keeps_the_outer_going() {
    let inner = Group::of(scan()).by(K).count().emit(changelog(Trigger::OnUpdate)).plan();
    let outer = Group::of(inner).count().agg("max", &[1]).emit(emit(Trigger::OnUpdate)).plan();
    check(
        outer,
        "
        rows 0s a        | 1 1
        rows 0s a, 0s b  | 2 2
        ",
    );
}

#[test]
fn what_cannot_be_withdrawn_is_refused() {
    let plan = Group::of(scan_of(1, Change::Changelog)).agg("quantile", &[I]).emit(emit(Trigger::OnUpdate)).plan();
    let error = crate::build(&plan, crate::BuildOptions::default()).err().unwrap();
    assert_eq!(error.code, hydron_base::Code::NOT_IMPLEMENTED);
    assert!(error.message.contains("quantile"), "{error}");
}

#[test]
fn versions_count_periods_and_start_anew_in_each_substream() {
    let plan = Group::of(scan()).by(K).count().version().substreams(1).emit(emit(Trigger::OnUpdate)).plan();
    check(
        plan,
        "
        rows 0s a        | a 1 0
        rows 0s a, 0s b  | a 2 1 / b 1 0
        ",
    );
}

/// Runs a story with groups that are forgotten after ten seconds.
fn forgetting(plan: Plan, story: &str) {
    let options = BuildOptions { ttl_ms: Some(10_000), ..BuildOptions::default() };
    Player::new(plan, options).play(story, false);
}

#[test]
fn a_group_without_rows_for_long_is_forgotten() {
    forgetting(
        Group::of(scan()).by(K).count().emit(emit(Trigger::Periodic(1_000))).plan(),
        "
        rows 0s a, 0s b | nothing
        after 6s        | a 1; b 1
        rows 0s a       | nothing
        after 6s        | a 2; b 1
        rows 0s c       | nothing
        after 1s        | a 2; c 1
        rows 0s b       | nothing
        after 1s        | a 2; b 1; c 1
        ",
    );
    forgetting(
        Group::of(scan()).by(K).count().emit(changelog(Trigger::OnUpdate)).plan(),
        "
        rows 0s a, 0s b | a 1 1; b 1 1
        after 6s        | nothing
        rows 0s a       | a 1 -1; a 2 1
        after 6s        | nothing
        rows 0s a       | b 1 -1 / a 2 -1; a 3 1
        ",
    );
}
