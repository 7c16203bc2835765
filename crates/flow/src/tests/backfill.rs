//! Rows of the past before rows as they come.

use super::plans::*;
use super::script::{Player, check};
use crate::build::BuildOptions;
use hydron_plan::{Emit, Trigger};

#[test]
fn windows_wait_for_the_whole_past_in_any_order() {
    let plan = Group::of(tumble(5)).by_window().count().emit(emit(Trigger::AfterWatermark)).plan();
    check(
        plan,
        "
        past              | nothing
        rows 20s a, 22s a | nothing
        rows 1s a, 6s a   | nothing
        new               | 0s 5s 1 / 5s 10s 1
        rows 26s a        | 20s 25s 2
        rows 6s a         | late 1
        ",
    );
}

#[test]
fn periods_and_updates_answer_once_when_the_past_is_read() {
    for trigger in [Trigger::Periodic(1_000), Trigger::OnUpdate] {
        let plan = Group::of(scan()).by(K).count().emit(emit(trigger)).plan();
        check(
            plan,
            "
            past           | nothing
            rows 0s a      | nothing
            after 5s       | nothing
            rows 0s a, 0s b | nothing
            new            | a 2; b 1
            ",
        );
    }
}

#[test]
fn silence_is_counted_from_the_end_of_the_past() {
    let emit = Emit { timeout_ms: Some(1_000), ..emit(Trigger::AfterWatermark) };
    let plan = Group::of(tumble(5)).by_window().count().emit(emit).plan();
    check(
        plan,
        "
        past            | nothing
        rows 1s a, 7s a | nothing
        after 10s       | nothing
        new             | 0s 5s 1
        after 1s        | 5s 10s 1
        ",
    );
}

#[test]
fn emit_during_backfill_answers_as_the_past_is_read() {
    let plan = Group::of(tumble(5)).by_window().count().emit(emit(Trigger::AfterWatermark)).plan();
    let options = BuildOptions { parallelism: 1, emit_during_backfill: true, ..BuildOptions::default() };
    Player::new(plan, options).play(
        "
        past      | nothing
        rows 1s a | nothing
        rows 7s a | 0s 5s 1
        new       | nothing
        ",
        false,
    );
}

/// Parts hold the rows of all shards: a shard that has nothing new must not keep the windows of the past open.
#[test]
fn the_past_says_how_far_every_shard_has_come() {
    let scan = scan_of(2, hydron_plan::Change::Append);
    let windows = window(scan, hydron_plan::WindowKind::Tumble { size: seconds(5) });
    let plan = Group::of(windows).by_window().count().emit(emit(Trigger::AfterWatermark)).plan();
    check(
        plan,
        "
        past            | nothing
        old 1s a, 12s a | nothing
        rows@1 11s a    | nothing
        new             | 0s 5s 1
        rows@1 20s a    | nothing
        rows@0 16s a    | 10s 15s 2
        ",
    );
}
