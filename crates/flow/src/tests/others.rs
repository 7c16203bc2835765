//! Tail queries: filter, project, sort, limit, distinct, union, array join; and what is refused.

use super::plans::*;
use super::script::{Player, check};
use super::sql::told;
use crate::build::{BuildOptions, build};
use hydron_base::Code;
use hydron_plan::node::{Join, JoinKind, JoinStrictness};
use hydron_plan::{Change, Node, SortKey, Trigger};

#[test]
fn each_batch_passes_at_once() {
    let big = call("greater", vec![column(&scan(), I), int(1)]);
    let plan = filter(scan(), big);
    let twice = call("plus", vec![column(&plan, I), column(&plan, I)]);
    let plan = project(plan.clone(), vec![column(&plan, K), twice]);
    check(
        plan,
        "
        rows 0s a 1        | nothing
        rows 0s b 2, 0s c 1 | b 4
        ",
    );
}

#[test]
fn limit_counts_over_the_whole_life() {
    check(
        limit(scan(), 1, 2),
        "
        rows 0s a       | nothing
        rows 0s b       | 0s b 1
        rows 0s c, 0s d | 0s c 1
        rows 0s e       | nothing
        ",
    );
}

fn descending(plan: hydron_plan::Plan, limit: Option<u64>) -> hydron_plan::Plan {
    let keys = vec![SortKey { expr: column(&plan, I), descending: true, nulls_first: false }];
    same_columns(plan, |input| Node::Sort { input, keys, limit })
}

#[test]
fn order_and_limit_by_work_on_each_batch() {
    let first = |plan: &hydron_plan::Plan| vec![column(plan, K)];
    let sorted = descending(scan(), None);
    let keys = first(&sorted);
    let plan = same_columns(sorted, |input| Node::LimitBy { input, keys, offset: 0, limit: 1 });
    check(
        plan,
        "
        rows 0s a 1, 0s a 3, 0s b 2 | 0s a 3; 0s b 2
        rows 0s a 1                 | 0s a 1
        ",
    );
    check(descending(scan(), Some(1)), "rows 0s a 1, 0s a 3, 0s b 2 | 0s a 3");
}

#[test]
fn distinct_remembers_all_that_was_seen() {
    let on = vec![column(&scan(), K)];
    let plan = same_columns(scan(), |input| Node::Distinct { input, on, forget: hydron_plan::node::Forget::default() });
    check(
        plan,
        "
        rows 0s a 1, 0s b 1, 0s a 2 | 0s a 1; 0s b 1
        rows 0s b 3                 | nothing
        rows 0s c 3                 | 0s c 3
        ",
    );
}

#[test]
fn a_union_takes_rows_as_they_come_and_the_slowest_input_decides_on_time() {
    let plan = union(vec![scan(), scan()]);
    check(
        plan.clone(),
        "
        rows@0 0s a | 0s a 1
        rows@1 0s b | 0s b 1
        ",
    );
    let windows = window(plan, hydron_plan::WindowKind::Tumble { size: seconds(5) });
    let plan = Group::of(windows).by_window().count().emit(emit(Trigger::AfterWatermark)).plan();
    check(
        plan,
        "
        rows@0 1s a  | nothing
        rows@0 11s a | nothing
        rows@1 6s b  | 0s 5s 1
        ",
    );
}

#[test]
fn a_window_without_aggregation_puts_its_bounds_on_rows() {
    check(hop(5, 10), "rows 6s a | 6s a 1 0s 10s; 6s a 1 5s 15s");
}

#[test]
fn explain_shows_the_way_of_a_row_backwards() {
    let plan = Group::of(tumble(5)).by_window().by(K).count().emit(emit(Trigger::AfterWatermark)).plan();
    let text = build(&plan, BuildOptions { parallelism: 2, ..BuildOptions::default() }).unwrap().text;
    let expected = "\
        WindowAggregate count() by window_start, window_end, k; tumble 5 second by t in UTC; emit after watermark; 2 tasks\n  \
        Watermark of t\n    \
        Tail default.s (t, k, i), 1 shard, from the latest row\n";
    assert_eq!(text, expected);
}

#[test]
fn what_streams_cannot_run_is_named() {
    let refused = |plan: hydron_plan::Plan, what: &str| {
        let error = build(&plan, BuildOptions::default()).err().unwrap();
        assert_eq!(error.code, Code::NOT_IMPLEMENTED);
        assert!(error.message.contains(what), "{error}");
    };
    let join = Join {
        left: Box::new(scan()),
        right: Box::new(scan()),
        kind: JoinKind::Inner,
        strictness: JoinStrictness::All,
        on: vec![],
        filter: None,
        asof: None,
        range: None,
        align: None,
        use_nulls: false,
    };
    refused(same_columns(scan(), |_| Node::Join(join)), "a join of two streams without an equality");
    let over_changelog = window(scan_of(1, Change::Changelog), hydron_plan::WindowKind::Tumble { size: seconds(5) });
    refused(Group::of(over_changelog).by_window().count().plan(), "a window over a changelog");
    refused(Group::of(scan_of(1, Change::VersionedKv)).count().plan(), "versioned_kv");
}

#[test]
fn a_bounded_part_is_a_source_of_its_own() {
    let mut table = scan();
    table.streaming = false;
    let pipeline = build(&union(vec![scan(), table]), BuildOptions::default()).unwrap();
    let kinds: Vec<bool> = pipeline.sources.iter().map(|s| matches!(s.kind, crate::SourceKind::Bounded(_))).collect();
    assert_eq!(kinds, [false, true]);
}

#[test]
fn rows_of_a_bounded_part_do_not_hold_time_back() {
    let mut table = scan();
    table.streaming = false;
    let windows = window(union(vec![scan(), table]), hydron_plan::WindowKind::Tumble { size: seconds(5) });
    let plan = Group::of(windows).by_window().count().emit(emit(Trigger::AfterWatermark)).plan();
    check(
        plan,
        "
        rows@1 1s a, 99s a | nothing
        rows@0 2s a        | nothing
        rows@0 6s a        | 0s 5s 2
        ",
    );
}

#[test]
fn a_set_that_grows_too_large_is_an_error() {
    use crate::operator::distinct::Distinct;
    use crate::operator::{Msg, Operator, Rows};
    let mut op = Distinct::new(vec![], &schema(), 2).unwrap();
    let cx = hydron_func::EvalContext::at(hydron_base::world::WallTime(0));
    let rows = |names: &[&str]| {
        Msg::Rows(Rows::insert(batch(&names.iter().map(|n| (0, n.to_string(), 1)).collect::<Vec<_>>())))
    };
    op.on_msg(&cx, 0, rows(&["a", "b", "a"]), &mut Vec::new()).unwrap();
    let error = op.on_msg(&cx, 0, rows(&["c"]), &mut Vec::new()).unwrap_err();
    assert_eq!(error.code, Code::SET_SIZE_LIMIT_EXCEEDED);
}

#[test]
fn a_state_of_another_query_is_refused() {
    let state = build(&scan(), BuildOptions::default()).unwrap().snapshot().unwrap();
    let mut other = build(&limit(scan(), 0, 1), BuildOptions::default()).unwrap();
    assert!(other.restore(&state).is_err());
    let plan = Group::of(scan()).by(K).count().emit(emit(Trigger::OnUpdate)).plan();
    let mut player = Player::new(plan.clone(), BuildOptions::default());
    player.step("rows 0s a");
    let state = player.pipeline.snapshot().unwrap();
    assert!(build(&plan, BuildOptions::default()).unwrap().restore(&state[..state.len() - 9]).is_err());
}

mod array_join {
    use crate::operator::array_join::ArrayJoin;
    use crate::operator::{Msg, Operator, Rows};
    use hydron_types::{Batch, ColumnBuilder, Field, LogicalType, Schema, Value, value_at};
    use std::sync::Arc;

    fn joined(left: bool) -> Vec<Vec<Value>> {
        let list = LogicalType::array(LogicalType::Int64);
        let schema =
            |ty: LogicalType| Arc::new(Schema::new(vec![Field::new("a", ty), Field::new("n", LogicalType::Int64)]));
        let mut lists = ColumnBuilder::new(&list);
        let mut names = ColumnBuilder::new(&LogicalType::Int64);
        for (values, name) in [(vec![1, 2], 10), (vec![], 20), (vec![3], 30)] {
            lists.append(&Value::Array(values.into_iter().map(Value::Int).collect())).unwrap();
            names.append(&Value::Int(name)).unwrap();
        }
        let batch = Batch::new(schema(list), vec![lists.finish().unwrap(), names.finish().unwrap()], 3);
        let mut op = ArrayJoin::new(vec![0], left, schema(LogicalType::Int64));
        let mut out: Vec<Msg> = Vec::new();
        let cx = hydron_func::EvalContext::at(hydron_base::world::WallTime(0));
        op.on_msg(&cx, 0, Msg::Rows(Rows::insert(batch)), &mut out).unwrap();
        let Some(Msg::Rows(rows)) = out.pop() else { panic!("no rows") };
        let cell = |c: usize, r: usize| value_at(rows.batch().column(c), &LogicalType::Int64, r);
        (0..rows.len()).map(|r| vec![cell(0, r), cell(1, r)]).collect()
    }

    #[test]
    fn an_element_is_a_row_and_left_keeps_empty_arrays() {
        let row = |a: i64, n: i64| vec![Value::Int(a), Value::Int(n)];
        assert_eq!(joined(false), [row(1, 10), row(2, 10), row(3, 30)]);
        assert_eq!(joined(true), [row(1, 10), row(2, 10), row(0, 20), row(3, 30)]);
    }
}

#[test]
fn keys_of_dedup_are_forgotten_with_time_and_with_numbers() {
    told(
        "SELECT k, i FROM dedup(s, k, 1s)",
        "
        rows 0s a 1, 0s a 2 | a 1
        after 900ms         | nothing
        rows 0s a 3, 0s b 4 | b 4
        after 100ms         | nothing
        rows 0s a 5, 0s b 6 | a 5
        ",
    );
    told(
        "SELECT k FROM dedup(s, k, i, 0s, 2)",
        "
        rows 0s a, 0s b, 0s a, 0s c | a; b; c
        rows 0s c, 0s a             | a
        ",
    );
    told("SELECT k FROM dedup(s, k)", "rows 0s a, 0s b, 0s a | a; b");
}

#[test]
fn more_groups_than_allowed_end_a_query() {
    let plan = Group::of(scan()).by(K).count().emit(emit(Trigger::OnUpdate)).plan();
    let options = BuildOptions { parallelism: 2, groups_max: Some(2), ..BuildOptions::default() };
    let mut pipeline = build(&plan, options).unwrap();
    let cx = hydron_func::EvalContext::at(hydron_base::world::WallTime(0));
    pipeline.start(cx.now);
    let mut feed = |keys: &[&str]| {
        let rows: Vec<Row> = keys.iter().map(|k| (0, (*k).to_string(), 1)).collect();
        let rows = crate::operator::Rows::insert(batch(&rows));
        pipeline.push(&cx, 0, crate::operator::Msg::Rows(rows), &mut Vec::new())
    };
    feed(&["a", "b", "a"]).unwrap();
    assert_eq!(feed(&["b", "c"]).unwrap_err().code, Code::TOO_MANY_ROWS);
}
