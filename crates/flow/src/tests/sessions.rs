//! Session windows.

use super::plans::*;
use super::script::check;
use hydron_plan::{Emit, Expr, Trigger, WindowKind};
use hydron_types::{LogicalType, Value};

fn after_watermark() -> Emit {
    emit(Trigger::AfterWatermark)
}

#[test]
fn a_gap_ends_a_session_and_its_largest_size_does() {
    let plan = Group::of(session(2, 10)).by_window().by(K).count().substreams(0).emit(after_watermark()).plan();
    check(
        plan,
        "
        rows 0s dev1  | nothing
        rows 2s dev1  | 0s 2s dev1 1
        rows 15s dev1 | 2s 12s dev1 1
        ",
    );
}

#[test]
fn the_end_is_the_timeout_after_the_last_row() {
    let plan = Group::of(session(2, 10)).by_window().count().emit(after_watermark()).plan();
    check(plan, "rows 0s a, 1s a, 6s a | 0s 3s 2");
}

#[test]
fn rows_that_keep_coming_reach_the_largest_size() {
    let plan = Group::of(session(1, 5)).by_window().count().emit(after_watermark()).plan();
    check(
        plan,
        "
        rows 0s a, 0.5s a, 1s a, 1.5s a, 2s a, 2.5s a, 3s a, 3.5s a, 4s a, 4.5s a | nothing
        rows 5s a                                                                | 0s 5s 10
        ",
    );
}

#[test]
fn each_substream_has_its_own_session() {
    let plan = Group::of(session(2, 10)).by(K).by_window().count().substreams(1).emit(after_watermark()).plan();
    check(
        plan,
        "
        rows 0s a, 1s b | nothing
        rows 3s b       | b 1s 3s 1
        rows 9s a, 9s b | a 0s 2s 1 / b 3s 5s 1
        ",
    );
}

#[test]
fn partial_answers_show_the_provisional_end() {
    let plan = Group::of(session(2, 10)).by_window().count().emit(emit(Trigger::OnUpdate)).plan();
    check(
        plan,
        "
        rows 0s a       | 0s 1ms 1
        rows 1s a       | 0s 1001ms 2
        rows 9s a       | 9s 9001ms 1
        ",
    );
    let plan = Group::of(session(2, 10)).by_window().count().emit(emit(Trigger::Periodic(1_000))).plan();
    check(
        plan,
        "
        rows 0s a       | nothing
        after 1s        | 0s 1ms 1
        after 1s        | nothing
        rows 9s a       | 0s 2s 1
        after 1s        | 9s 9001ms 1
        ",
    );
}

#[test]
fn a_delay_holds_closed_sessions_back() {
    let emit = Emit { delay: Some(seconds(3)), ..after_watermark() };
    let plan = Group::of(session(2, 10)).by_window().count().emit(emit).plan();
    check(
        plan,
        "
        rows 0s a | nothing
        rows 4s a | nothing
        rows 5s a | 0s 2s 1
        ",
    );
}

#[test]
fn silence_closes_the_session() {
    let emit = Emit { timeout_ms: Some(1_000), ..after_watermark() };
    let plan = Group::of(session(2, 10)).by_window().count().emit(emit).plan();
    check(
        plan,
        "
        rows 0s a, 1s a | nothing
        after 1s        | 0s 1001ms 2
        rows 2s a       | nothing
        end             | 2s 4s 1
        ",
    );
}

fn conditional(start_inclusive: bool, end_inclusive: bool) -> hydron_plan::Plan {
    let input = scan();
    let is = |name: &str| -> Option<Expr> {
        Some(call("equals", vec![column(&input, K), Expr::literal(Value::string(name), LogicalType::String)]))
    };
    let (start, end) = (is("in"), is("out"));
    let kind =
        WindowKind::Session { timeout: seconds(5), max_size: seconds(20), start, start_inclusive, end, end_inclusive };
    Group::of(window(input, kind)).by_window().count().emit(after_watermark()).plan()
}

#[test]
fn conditions_open_and_close_with_and_without_their_rows() {
    check(conditional(true, true), "rows 0s x, 1s in, 2s x, 3s out, 4s x | 1s 3001ms 3");
    check(conditional(true, false), "rows 0s x, 1s in, 2s x, 3s out, 4s x | 1s 3s 2");
    check(conditional(false, true), "rows 0s x, 1s in, 2s x, 3s out, 4s x | 2s 3001ms 2");
}

#[test]
fn older_rows_join_without_moving_bounds() {
    let plan = Group::of(session(2, 10)).by_window().count().emit(after_watermark()).plan();
    check(plan, "rows 5s a, 4s a, 9s a | 5s 7s 2");
}
