//! Every node but the joins.

use crate::kit::*;
use hydron_plan::node::{Frame, FrameBound, FrameUnit, Grouping, NullValues, WindowCall, WindowFunction};
use hydron_plan::{Expr, Node, Plan, SortKey};
use hydron_types::{Field, Schema, Value};
use std::sync::Arc;

fn people() -> Plan {
    let row = |id, name: &str, score: Value| vec![int(id), text(name), score];
    table(
        &[("id", "int32"), ("name", "string"), ("score", "nullable(int64)")],
        &[
            row(3, "c", int(30)),
            row(1, "a", Value::Null),
            row(2, "b", int(20)),
            row(5, "a", int(50)),
            row(4, "c", int(10)),
        ],
    )
}

fn key(expr: Expr, descending: bool) -> SortKey {
    SortKey { expr, descending, nulls_first: false }
}

#[test]
fn one_row_of_constants() {
    let plan = Plan::one_row()
        .project(vec![("x".into(), lit("uint8", Value::UInt(1))), ("x".into(), lit("string", text("a")))]);
    assert_eq!(rows(&plan), ["1, 'a'"]);
    assert_eq!(rows(&Plan::one_row()), [""]);
}

#[test]
fn filters_and_projections_keep_order_and_repeat_names() {
    let people = people();
    let big = call("greater", vec![col(&people, "id"), lit("uint8", Value::UInt(1))]);
    let named = call("not_equals", vec![col(&people, "name"), lit("string", text("b"))]);
    let plan = people.filter(call("and", vec![big, named]));
    let (id, name) = (col(&plan, "id"), col(&plan, "name"));
    let plus = call("plus", vec![id.clone(), lit("int8", int(100))]);
    let plan = plan.project(vec![("x".into(), id), ("x".into(), name), ("x".into(), plus)]);
    assert_eq!(rows(&plan), ["3, 'c', 103", "5, 'a', 105", "4, 'c', 104"]);
}

#[test]
fn a_null_condition_keeps_no_row() {
    let people = people();
    let above = call("greater", vec![col(&people, "score"), lit("int64", int(15))]);
    let plan = people.filter(above);
    let plan = plan.clone().project(vec![("id".into(), col(&plan, "id"))]);
    assert_eq!(rows(&plan), ["3", "2", "5"]);
    let people = self::people();
    let missing = call("is_null", vec![col(&people, "score")]);
    let plan = people.filter(missing);
    assert_eq!(rows(&plan), ["1, 'a', NULL"]);
}

#[test]
fn groups_and_their_answers() {
    let people = people();
    let mut big = agg("count", vec![]);
    big.filter = Some(call("greater", vec![col(&people, "id"), lit("int32", int(3))]));
    let aggs = vec![
        agg("count", vec![]),
        agg("sum", vec![col(&people, "score")]),
        agg("avg", vec![col(&people, "id")]),
        agg("group_array", vec![col(&people, "id")]),
        big,
    ];
    let plan = group(people.clone(), vec![col(&people, "name")], aggs, Grouping::Plain);
    assert_eq!(sorted(rows(&plan)), ["'a', 2, 50, 3, [1 5], 1", "'b', 1, 20, 2, [2], 0", "'c', 2, 40, 3.5, [3 4], 1"]);
}

#[test]
fn no_rows_are_one_group_without_keys_and_none_with() {
    let people = people();
    let never = people.clone().filter(lit("bool", Value::Bool(false)));
    let aggs =
        || vec![agg("count", vec![]), agg("sum", vec![col(&people, "id")]), agg("max", vec![col(&people, "score")])];
    assert_eq!(rows(&group(never.clone(), vec![], aggs(), Grouping::Plain)), ["0, 0, NULL"]);
    assert!(rows(&group(never, vec![col(&people, "name")], aggs(), Grouping::Plain)).is_empty());
}

#[test]
fn rollup_cube_and_totals() {
    let input = table(
        &[("a", "string"), ("b", "int32"), ("n", "int32")],
        &[vec![text("x"), int(1), int(1)], vec![text("x"), int(2), int(2)], vec![text("y"), int(1), int(4)]],
    );
    let keys = vec![col(&input, "a"), col(&input, "b")];
    let sum = || vec![agg("sum", vec![col(&input, "n")])];
    let rollup = group(input.clone(), keys.clone(), sum(), Grouping::Rollup);
    assert_eq!(sorted(rows(&rollup)), ["'', 0, 7", "'x', 0, 3", "'x', 1, 1", "'x', 2, 2", "'y', 0, 4", "'y', 1, 4"]);
    let cube = group(input.clone(), keys.clone(), sum(), Grouping::Cube);
    assert_eq!(rows(&cube).len(), 8);
    let totals = group(input.clone(), keys, sum(), Grouping::Totals);
    assert_eq!(rows(&totals).len(), 3);
    let apart = hydron_history::totals_of(&totals).expect("a plan of the totals");
    assert_eq!(rows(&apart), ["'', 0, 7"]);
    let rt = runtime();
    let run = start(&totals, &Tables::default(), &options(), &rt).unwrap();
    assert!(run.totals.is_some());
}

#[test]
fn totals_are_over_the_groups_that_pass_having() {
    let input = table(
        &[("a", "nullable(string)"), ("n", "int32")],
        &[vec![text("x"), int(1)], vec![Value::Null, int(2)], vec![text("y"), int(4)], vec![Value::Null, int(8)]],
    );
    let having = |grouping: Grouping| {
        let sum = vec![agg("sum", vec![col(&input, "n")])];
        let plan = group(input.clone(), vec![col(&input, "a")], sum, grouping);
        let sum = Expr::column(1, plan.schema.fields[1].ty.clone());
        plan.filter(call("greater", vec![sum, lit("int64", int(3))]))
    };
    let totals = |plan: &Plan| rows(&hydron_history::totals_of(plan).expect("a plan of the totals"));
    assert_eq!(totals(&having(Grouping::TotalsOfHaving)), ["NULL, 14"]);
    assert_eq!(totals(&having(Grouping::Totals)), ["NULL, 15"]);
}

#[test]
fn sorting_is_stable_and_nan_goes_with_null() {
    let people = people();
    let by_name = people.clone().sort(vec![key(col(&people, "name"), false)], None);
    let ids = by_name.clone().project(vec![("id".into(), col(&by_name, "id"))]);
    assert_eq!(rows(&ids), ["1", "5", "2", "3", "4"]);
    let best = people.clone().sort(vec![key(col(&people, "score"), true)], Some(2));
    assert_eq!(rows(&best.clone().project(vec![("id".into(), col(&best, "id"))])), ["5", "3"]);
    let floats = table(
        &[("f", "nullable(float64)")],
        &[vec![Value::Float64(1.0)], vec![Value::Float64(f64::NAN)], vec![Value::Null], vec![Value::Float64(2.0)]],
    );
    let up = floats.clone().sort(vec![key(col(&floats, "f"), false)], None);
    assert_eq!(rows(&up), ["1", "2", "NaN", "NULL"]);
    let down = floats.clone().sort(vec![key(col(&floats, "f"), true)], None);
    assert_eq!(rows(&down)[..2], ["2", "1"]);
    let first = SortKey { expr: col(&floats, "f"), descending: false, nulls_first: true };
    assert_eq!(rows(&floats.sort(vec![first], None))[2..], ["1", "2"]);
}

#[test]
fn limits() {
    let people = people();
    let ids = people.clone().project(vec![("id".into(), col(&people, "id"))]);
    assert_eq!(rows(&ids.clone().limit(1, Some(2), vec![])), ["1", "2"]);
    assert_eq!(rows(&ids.limit(3, None, vec![])), ["5", "4"]);
    let key = || vec![key(col(&people, "name"), false)];
    let ties = people.clone().sort(key(), None).limit(0, Some(1), key());
    assert_eq!(rows(&ties.clone().project(vec![("id".into(), col(&ties, "id"))])), ["1", "5"]);
    let by = Node::LimitBy { input: Box::new(people.clone()), keys: vec![col(&people, "name")], offset: 0, limit: 1 };
    let by = Plan::over(&people, Arc::clone(&people.schema), by);
    assert_eq!(rows(&by), ["3, 'c', 30", "1, 'a', NULL", "2, 'b', 20"]);
}

#[test]
fn distinct_keeps_the_first_of_equal_rows() {
    let people = people();
    let names = people.clone().project(vec![("name".into(), col(&people, "name"))]);
    assert_eq!(rows(&names.distinct(vec![])), ["'c'", "'a'", "'b'"]);
}

#[test]
fn unions_follow_each_other_and_sets_meet() {
    let of = |values: &[i64]| table(&[("x", "int32")], &values.iter().map(|v| vec![int(*v)]).collect::<Vec<_>>());
    let union = Plan {
        node: Node::Union { inputs: vec![of(&[3, 1]), of(&[2, 3])] },
        schema: schema(&[("x", "int32")]),
        ..Plan::one_row()
    };
    assert_eq!(rows(&union), ["3", "1", "2", "3"]);
    let set = |except| Plan {
        node: Node::SetOperation { left: Box::new(of(&[3, 1, 3])), right: Box::new(of(&[3])), except, distinct: true },
        schema: schema(&[("x", "int32")]),
        ..Plan::one_row()
    };
    assert_eq!(rows(&set(true)), ["1"]);
    assert_eq!(rows(&set(false)), ["3"]);
}

#[test]
fn array_join_makes_a_row_of_each_element() {
    let array = |v: &[i64]| Value::Array(v.iter().map(|v| int(*v)).collect());
    let input = table(
        &[("id", "int32"), ("a", "array(int8)")],
        &[vec![int(1), array(&[7, 8])], vec![int(2), array(&[])], vec![int(3), array(&[9])]],
    );
    let joined = |left| Plan {
        node: Node::ArrayJoin { input: Box::new(input.clone()), columns: vec![1], left },
        schema: schema(&[("id", "int32"), ("a", "int8")]),
        ..Plan::one_row()
    };
    assert_eq!(rows(&joined(false)), ["1, 7", "1, 8", "3, 9"]);
    assert_eq!(rows(&joined(true)), ["1, 7", "1, 8", "2, 0", "3, 9"]);
}

#[test]
fn numbers_end_with_a_limit_or_their_count() {
    assert_eq!(rows(&numbers(5, Some(3))), ["5", "6", "7"]);
    assert_eq!(rows(&numbers(0, None).limit(100_000, Some(2), vec![])), ["100000", "100001"]);
    let many = numbers(0, Some(1_000_000));
    let even = call("modulo", vec![col(&many, "number"), lit("uint8", Value::UInt(2))]);
    let aggs = vec![
        agg("count", vec![]),
        agg("sum", vec![col(&many, "number")]),
        agg("uniq_exact", vec![col(&many, "number")]),
    ];
    let plan = group(many, vec![even], aggs, Grouping::Plain);
    assert_eq!(sorted(rows(&plan)), ["0, 500000, 249999500000, 500000", "1, 500000, 250000000000, 500000"]);
}

#[test]
fn hopping_windows_hold_a_row_more_than_once() {
    use hydron_plan::node::{Interval, WindowKind, WindowSpec};
    use hydron_types::{IntervalUnit, Zone};
    let input = table(&[("t", "datetime")], &[vec![Value::Time(12)], vec![Value::Time(5)]]);
    let seconds = |count| Interval { count, unit: IntervalUnit::Second };
    let assigned = |kind| Plan {
        node: Node::AssignWindow {
            input: Box::new(input.clone()),
            window: WindowSpec { kind, time: 0, zone: Zone::UTC, processing_time: false },
        },
        schema: schema(&[("t", "datetime"), ("window_start", "datetime"), ("window_end", "datetime")]),
        ..Plan::one_row()
    };
    let tumble = assigned(WindowKind::Tumble { size: seconds(10) });
    assert_eq!(rows(&tumble), ["Time(12), Time(10), Time(20)", "Time(5), Time(0), Time(10)"]);
    let hop = assigned(WindowKind::Hop { slide: seconds(5), size: seconds(10) });
    assert_eq!(rows(&hop)[..2], ["Time(12), Time(5), Time(15)", "Time(12), Time(10), Time(20)"]);
    assert_eq!(rows(&hop).len(), 4);
}

#[test]
fn window_functions() {
    let people = people();
    let frame = |end| Frame { unit: FrameUnit::Range, start: FrameBound::UnboundedPreceding, end };
    let over = |function, ty: &str, frame| WindowCall {
        function,
        partition_by: vec![col(&people, "name")],
        order_by: vec![key(col(&people, "id"), false)],
        frame,
        ty: crate::kit::ty(ty),
    };
    let running = frame(FrameBound::CurrentRow);
    let distance = Expr::literal(Value::Int(1), crate::kit::ty("int64"));
    let value = col(&people, "id");
    let offset = WindowFunction::Offset { value, distance, back: true, default: None, in_frame: true };
    let calls = vec![
        over(WindowFunction::RowNumber, "uint64", running.clone()),
        over(WindowFunction::Aggregate(agg("sum", vec![col(&people, "id")])), "int64", running.clone()),
        over(offset, "int32", running),
        over(
            WindowFunction::LastValue(col(&people, "id"), NullValues::Skipped),
            "int32",
            frame(FrameBound::UnboundedFollowing),
        ),
    ];
    let mut fields = people.schema.fields.clone();
    fields.extend(calls.iter().map(|c| Field::new("w", c.ty.clone())));
    let node = Node::WindowFunctions { input: Box::new(people.clone()), calls };
    let plan = Plan { node, schema: Arc::new(Schema::new(fields)), ..people.clone() };
    assert_eq!(
        sorted(rows(&plan)),
        [
            "1, 'a', NULL, 1, 1, 0, 5",
            "2, 'b', 20, 1, 2, 0, 2",
            "3, 'c', 30, 1, 3, 0, 4",
            "4, 'c', 10, 2, 7, 3, 4",
            "5, 'a', 50, 2, 6, 1, 5",
        ]
    );
}
