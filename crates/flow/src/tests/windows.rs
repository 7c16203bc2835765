//! Tumbling and hopping windows.

use super::plans::*;
use super::script::{Player, check};
use crate::build::BuildOptions;
use hydron_plan::{Emit, Trigger};

fn after_watermark() -> Emit {
    emit(Trigger::AfterWatermark)
}

#[test]
fn a_tumble_closes_when_a_row_passes_its_end() {
    let plan = Group::of(tumble(5)).by_window().by(K).count().emit(after_watermark()).plan();
    check(
        plan,
        "
        rows 0s dev1, 3s dev2 | nothing
        rows 4s dev6          | nothing
        rows 10s dev8         | 0s 5s dev1 1; 0s 5s dev2 1; 0s 5s dev6 1
        rows 14s x, 13s x     | nothing
        rows 12s x            | nothing
        rows 15s y            | 10s 15s dev8 1; 10s 15s x 3
        ",
    );
}

#[test]
fn one_batch_may_close_windows_it_fills() {
    let plan = Group::of(tumble(3)).by_window().count().emit(after_watermark()).plan();
    check(plan, "rows 20s a, 23s a, 27s a | 18s 21s 1 / 21s 24s 1");
}

#[test]
fn rows_behind_a_delayed_watermark_are_late() {
    let emit = Emit { delay: Some(seconds(2)), ..after_watermark() };
    let plan = Group::of(tumble(5)).by_window().count().emit(emit).plan();
    check(
        plan,
        "
        rows 30s a, 31s a, 32s a | nothing
        rows 50s a               | 30s 35s 3
        rows 34s a               | late 1
        rows 37s a, 45s a        | late 2
        rows 57s a               | 45s 50s 1 / 50s 55s 1
        ",
    );
    let emit = Emit { delay: Some(seconds(3)), ..after_watermark() };
    let plan = Group::of(tumble(5)).by_window().count().emit(emit).plan();
    check(
        plan,
        "
        rows 61s a, 67s a | nothing
        rows 68s a        | 60s 65s 1
        ",
    );
}

#[test]
fn hops_overlap_and_close_in_order() {
    let plan = Group::of(hop(3, 5)).by_window().by(K).count().emit(after_watermark()).plan();
    check(
        plan,
        "
        rows 60s a, 63s b  | 57s 62s a 1
        rows 70s c         | 60s 65s a 1; 60s 65s b 1 / 63s 68s b 1
        rows 76s c         | 66s 71s c 1 / 69s 74s c 1
        ",
    );
}

#[test]
fn a_hop_on_update_tells_the_touched_windows() {
    let plan = Group::of(hop(10, 30)).by_window().count().emit(emit(Trigger::OnUpdate)).plan();
    check(
        plan,
        "
        rows 100s a | 80s 110s 1; 90s 120s 1; 100s 130s 1
        rows 105s a | 80s 110s 2; 90s 120s 2; 100s 130s 2
        rows 110s a | 90s 120s 3; 100s 130s 3; 110s 140s 1
        rows 200s a | 180s 210s 1; 190s 220s 1; 200s 230s 1
        ",
    );
}

#[test]
fn periodic_windows_show_what_is_open_and_close_once_more() {
    let plan = Group::of(tumble(10)).by_window().count().emit(emit(Trigger::Periodic(1_000))).plan();
    check(
        plan,
        "
        rows 0s a   | nothing
        after 1s    | 0s 10s 1
        after 5s    | nothing
        rows 5s a   | nothing
        after 1s    | 0s 10s 2
        rows 10s a  | 0s 10s 2
        after 1s    | 10s 20s 1
        ",
    );
}

#[test]
fn periodic_on_update_tells_what_changed_and_what_closing_would_lose() {
    let plan = Group::of(tumble(10)).by_window().by(K).count().emit(emit(Trigger::PeriodicOnUpdate(1_000))).plan();
    check(
        plan,
        "
        rows 0s a, 0s b | nothing
        after 1s        | 0s 10s a 1; 0s 10s b 1
        rows 1s b       | nothing
        after 1s        | 0s 10s b 2
        rows 2s a       | nothing
        rows 10s c      | 0s 10s a 2
        after 1s        | 10s 20s c 1
        ",
    );
}

#[test]
fn silence_closes_windows_after_the_timeout() {
    let emit = Emit { timeout_ms: Some(1_000), ..after_watermark() };
    let plan = Group::of(tumble(5)).by_window().by(K).count().emit(emit).plan();
    check(
        plan,
        "
        rows 0s a, 6s b | 0s 5s a 1
        after 900ms     | nothing
        after 1100ms    | 5s 10s b 1
        after 10s       | nothing
        rows 7s c       | late 1
        rows 11s c      | nothing
        after 2s        | 10s 15s c 1
        ",
    );
}

#[test]
fn an_idle_shard_holds_no_window_open_when_it_is_told_so() {
    let tumble = window(scan_of(2, hydron_plan::Change::Append), hydron_plan::WindowKind::Tumble { size: seconds(5) });
    let plan = Group::of(tumble).by_window().count().emit(after_watermark()).plan();
    let options = BuildOptions { idle_ms: Some(5_000), ..BuildOptions::default() };
    Player::new(plan, options).play(
        "
        rows@0 1s a  | nothing
        rows@0 20s a | nothing
        after 4s     | nothing
        after 2s     | 0s 5s 1
        after 60s    | nothing
        rows@1 2s b  | late 1
        rows@0 31s a | nothing
        rows@1 22s b | nothing
        after 5s     | 20s 25s 2
        ",
        false,
    );
}

#[test]
fn the_slowest_shard_decides_unless_a_timeout_lets_it_go() {
    let tumble =
        || window(scan_of(2, hydron_plan::Change::Append), hydron_plan::WindowKind::Tumble { size: seconds(5) });
    let plan = Group::of(tumble()).by_window().count().emit(after_watermark()).plan();
    check(
        plan,
        "
        rows@0 1s a  | nothing
        rows@0 20s a | nothing
        after 60s    | nothing
        rows@1 11s a | 0s 5s 1
        rows@1 19s a | 10s 15s 1
        ",
    );
    let emit = Emit { timeout_ms: Some(5_000), ..after_watermark() };
    let plan = Group::of(tumble()).by_window().count().emit(emit).plan();
    check_without_restarts(
        plan,
        "
        rows@0 1s a  | nothing
        after 3s     | nothing
        rows@0 20s a | nothing
        after 3s     | 0s 5s 1
        rows@1 21s a | nothing
        rows@0 26s a | nothing
        rows@1 27s a | 20s 25s 2
        ",
    );
}

/// Wall-clock deadlines count anew after a restart, so this story would differ.
fn check_without_restarts(plan: hydron_plan::Plan, story: &str) {
    use super::script::Player;
    for parallelism in [1, 2] {
        let options = crate::BuildOptions { parallelism, ..crate::BuildOptions::default() };
        Player::new(plan.clone(), options).play(story, false);
    }
}

#[test]
fn expressions_may_read_the_window() {
    let input = hop(5, 10);
    let end = call("greater", vec![column(&input, 4), call("plus", vec![column(&input, 3), int(0)])]);
    let filtered = filter(input, end);
    let plan = Group::of(filtered).by_window().agg("max", &[4]).emit(after_watermark()).plan();
    check(plan, "rows 6s a, 30s a | 0s 10s 10s / 5s 15s 15s");
}

#[test]
fn a_filter_behind_the_window_still_lets_time_pass() {
    let input = tumble(5);
    let keep = call("less", vec![column(&input, I), int(10)]);
    let plan = Group::of(filter(input, keep)).by_window().count().emit(after_watermark()).plan();
    check(
        plan,
        "
        rows 1s a 1, 2s a 99 | nothing
        rows 9s a 99         | 0s 5s 1
        ",
    );
}

#[test]
fn columns_may_be_computed_behind_the_window() {
    let input = tumble(5);
    let mut exprs: Vec<_> = (0..3).map(|c| column(&input, c)).collect();
    exprs.push(call("plus", vec![column(&input, I), int(100)]));
    exprs.extend([column(&input, 3), column(&input, 4)]);
    let computed = project(input, exprs);
    let plan = Group::of(computed).by_window().agg("max", &[3]).emit(after_watermark()).plan();
    check(plan, "rows 1s a 1, 2s a 2, 9s b 1 | 0s 5s 102");
}

#[test]
fn versions_count_answers() {
    let plan = Group::of(tumble(3)).by_window().count().version().emit(after_watermark()).plan();
    check(
        plan,
        "
        rows 20s a, 23s a, 27s a | 18s 21s 1 0 / 21s 24s 1 1
        rows 30s a               | 27s 30s 1 2
        ",
    );
}

#[test]
fn substreams_close_their_windows_by_their_own_rows() {
    let plan =
        Group::of(tumble(2)).by(K).by_window().agg("max", &[I]).version().substreams(1).emit(after_watermark()).plan();
    check(
        plan,
        "
        rows 0s a 5, 100s b 7 | nothing
        rows 1s a 6           | nothing
        rows 2s a 1, 101s b 9 | a 0s 2s 6 0
        rows 102s b 1         | b 100s 102s 9 0
        rows 4s a 1           | a 2s 4s 1 1
        ",
    );
}

#[test]
fn the_end_closes_everything() {
    let plan = Group::of(hop(3, 5)).by_window().count().emit(after_watermark()).plan();
    check(
        plan,
        "
        rows 60s a | nothing
        end        | 57s 62s 1 / 60s 65s 1
        ",
    );
}
