//! Every aggregate through the registry: whole against split and saved, filtered, with NULLs, withdrawn.

use crate::agg::{Aggregate, BoundAgg, GroupState};
use crate::call::{ArgInfo, BindContext};
use crate::registry::Registry;
use arrow::array::{ArrayRef, BooleanArray};
use hydron_base::Result;
use hydron_types::{ColumnBuilder, LogicalType, Value, parse_type, value_at};

pub(super) fn ty(text: &str) -> LogicalType {
    parse_type(text).unwrap()
}

pub(super) fn column(ty: &LogicalType, values: &[Value]) -> ArrayRef {
    let mut builder = ColumnBuilder::new(ty);
    values.iter().for_each(|v| builder.append(v).unwrap());
    builder.finish().unwrap()
}

pub(super) fn ints(values: &[i64]) -> Vec<Value> {
    values.iter().map(|v| Value::Int(*v)).collect()
}

pub(super) fn texts(values: &[&str]) -> Vec<Value> {
    values.iter().map(Value::string).collect()
}

pub(super) fn floats(values: &[f64]) -> Vec<Value> {
    values.iter().map(|v| Value::Float64(*v)).collect()
}

/// Binds `name`; columns come with their type, parameters are constants of the type they need.
pub(super) fn bind(name: &str, types: &[LogicalType], params: &[Value]) -> Result<BoundAgg> {
    let mut args: Vec<ArgInfo> = types.iter().cloned().map(ArgInfo::column).collect();
    args.extend(params.iter().map(|v| ArgInfo::constant(LogicalType::UInt8, v.clone())));
    Registry::builtin().bind_aggregate(name, &BindContext::default(), &args, false)
}

fn state(aggregate: &dyn Aggregate) -> Box<dyn GroupState> {
    let mut state = aggregate.new_state();
    state.resize(2);
    state
}

fn answers(state: &mut dyn GroupState, ty: &LogicalType) -> [Value; 2] {
    let column = state.finish(&[0, 1]).unwrap();
    assert_eq!(column.data_type(), &hydron_types::physical::arrow_type(ty));
    [value_at(&column, ty, 0), value_at(&column, ty, 1)]
}

/// Values as text, in which a NaN is itself.
fn text(values: &[Value]) -> String {
    format!("{values:?}")
}

/// The answer for all rows in group 0, reached in one batch and by merging saved halves; group 1 stays without rows.
pub(super) fn whole_and_halves(bound: &BoundAgg, columns: &[ArrayRef], rows: usize) -> [Value; 2] {
    let aggregate = bound.aggregate.as_ref();
    let mut whole = state(aggregate);
    whole.update(&vec![0; rows], columns, None).unwrap();
    let answer = answers(whole.as_mut(), &bound.ty);
    let mut merged = state(aggregate);
    for (from, len) in [(0, rows / 2), (rows / 2, rows - rows / 2)] {
        let slices: Vec<ArrayRef> = columns.iter().map(|c| c.slice(from, len)).collect();
        let mut half = state(aggregate);
        half.update(&vec![0; len], &slices, None).unwrap();
        let saved = half.save(&[0, 1]).unwrap();
        let types: Vec<_> = saved.iter().map(|c| c.data_type().clone()).collect();
        assert_eq!(types, aggregate.state_types());
        merged.merge(&[0, 1], &saved).unwrap();
    }
    assert_eq!(text(&answers(merged.as_mut(), &bound.ty)), text(&answer));
    merged.clear(&[0]);
    let [cleared, unused] = answers(merged.as_mut(), &bound.ty);
    assert_eq!(text(&[cleared]), text(&[unused]), "a cleared group is an empty one");
    answer
}

pub(super) fn check(name: &str, args: &[(&str, Vec<Value>)], params: &[Value], result: &str, answer: Value) {
    let types: Vec<LogicalType> = args.iter().map(|(t, _)| ty(t)).collect();
    let columns: Vec<ArrayRef> = args.iter().zip(&types).map(|((_, v), t)| column(t, v)).collect();
    let bound = bind(name, &types, params).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(bound.ty.to_string(), result, "type of {name}");
    let rows = columns.first().map_or(0, |c| c.len());
    let [found, _] = whole_and_halves(&bound, &columns, rows);
    assert_eq!(found, answer, "answer of {name}");
}

#[test]
fn sums_and_averages_have_the_types_of_the_semantics() {
    check("sum", &[("int8", ints(&[100, 100, -1]))], &[], "int64", Value::Int(199));
    check("sum", &[("uint8", vec![Value::UInt(255); 3])], &[], "uint64", Value::UInt(765));
    check("sum", &[("float32", vec![Value::Float32(0.5); 3])], &[], "float64", Value::Float64(1.5));
    check("sum_with_overflow", &[("uint8", vec![Value::UInt(255); 3])], &[], "uint8", Value::UInt(253));
    check("avg", &[("uint32", vec![Value::UInt(1), Value::UInt(2)])], &[], "float64", Value::Float64(1.5));
    check("sum_kahan", &[("float64", floats(&[0.1; 10]))], &[], "float64", Value::Float64(1.0));
    let tenths = |v: i128| Value::Decimal(arrow::datatypes::i256::from_i128(v));
    check("sum", &[("decimal(9, 1)", vec![tenths(15), tenths(16)])], &[], "decimal(38, 1)", tenths(31));
    check("avg", &[("decimal(9, 1)", vec![tenths(10), tenths(20)])], &[], "float64", Value::Float64(1.5));
    let weights = ("uint8", vec![Value::UInt(3), Value::UInt(1)]);
    check("avg_weighted", &[("float64", floats(&[1.0, 5.0])), weights], &[], "float64", Value::Float64(2.0));
    assert_eq!(bind("sum", &[ty("string")], &[]).err().unwrap().code.number(), 43);
    assert_eq!(bind("sum", &[], &[]).err().unwrap().code.number(), 42);
    assert_eq!(bind("summ", &[ty("int8")], &[]).err().unwrap().code.number(), 46);
}

#[test]
fn picks_take_any_type() {
    check("min", &[("string", texts(&["b", "a", "c"]))], &[], "string", Value::string("a"));
    check("max", &[("date", vec![Value::Date(3), Value::Date(9)])], &[], "date", Value::Date(9));
    check("max", &[("float64", floats(&[1.0, f64::NAN, 2.0]))], &[], "float64", Value::Float64(2.0));
    check("min", &[("float64", floats(&[f64::NAN, 3.0, -2.0]))], &[], "float64", Value::Float64(-2.0));
    check("any", &[("int32", ints(&[7, 8]))], &[], "int32", Value::Int(7));
    check("latest", &[("int32", ints(&[7, 8]))], &[], "int32", Value::Int(8));
    let pair = |a, b: &str| Value::Tuple(vec![Value::Int(a), Value::string(b)]);
    check(
        "max",
        &[("tuple(int8, string)", vec![pair(1, "z"), pair(2, "a")])],
        &[],
        "tuple(int8, string)",
        pair(2, "a"),
    );
    let by = ("int64", ints(&[3, 1, 2]));
    check("arg_min", &[("string", texts(&["x", "y", "z"])), by.clone()], &[], "string", Value::string("y"));
    check("arg_max", &[("string", texts(&["x", "y", "z"])), by], &[], "string", Value::string("x"));
    check("any_heavy", &[("int64", ints(&[1, 2, 2, 2]))], &[], "int64", Value::Int(2));
}

#[test]
fn counting_different_values() {
    for name in ["unique", "uniq_exact", "count_distinct", "uniq_combined"] {
        check(name, &[("string", texts(&["a", "b", "a", "c"]))], &[], "uint64", Value::UInt(3));
        check(name, &[("int32", ints(&[1, 2, 1]))], &[], "uint64", Value::UInt(2));
    }
    let pairs = [("int8", ints(&[1, 1, 2])), ("string", texts(&["a", "b", "a"]))];
    check("unique_exact", &pairs, &[], "uint64", Value::UInt(3));
    check("sum_distinct", &[("int32", ints(&[5, 5, 1]))], &[], "int64", Value::Int(6));
}

#[test]
fn gathering() {
    let array = |v: &[i64]| Value::Array(ints(v));
    check("group_array", &[("int16", ints(&[3, 1, 3]))], &[], "array(int16)", array(&[3, 1, 3]));
    check("group_array", &[("int16", ints(&[3, 1, 3]))], &[Value::UInt(2)], "array(int16)", array(&[3, 1]));
    check("group_uniq_array", &[("int64", ints(&[3, 1, 3]))], &[], "array(int64)", array(&[3, 1]));
    check("moving_sum", &[("int8", ints(&[1, 2, 3]))], &[], "array(int64)", array(&[1, 3, 6]));
    check("min_k", &[("int64", ints(&[4, 2, 9, 1]))], &[Value::UInt(2)], "array(int64)", array(&[1, 2]));
    let counted = |v, n| Value::Tuple(vec![Value::string(v), Value::UInt(n)]);
    let top = Value::Array(vec![counted("b", 2), counted("a", 1)]);
    check("top_k", &[("string", texts(&["a", "b", "b"]))], &[Value::UInt(3)], "array(tuple(string, uint64))", top);
    let plain = Value::Array(texts(&["b"]));
    let params = [Value::UInt(1), Value::Bool(false)];
    check("top_k_exact", &[("string", texts(&["a", "b", "b"]))], &params, "array(string)", plain);
}

/// The counts that filtered space-saving with four counters leaves, worked out by hand from the published algorithm.
#[test]
fn few_counters_count_the_most_frequent_values_too_high_rather_than_lose_them() {
    let numbers: Vec<i64> = (0..20).chain(11..20).collect();
    let params = [Value::UInt(2), Value::Bool(true), Value::UInt(2)];
    let bound = bind("top_k", &[ty("int32")], &params).unwrap();
    let counted = |v, n| Value::Tuple(vec![Value::Int(v), Value::UInt(n)]);
    let after = |rows: &[i64]| {
        let mut one = state(bound.aggregate.as_ref());
        one.update(&vec![0; rows.len()], &[column(&ty("int32"), &ints(rows))], None).unwrap();
        answers(one.as_mut(), &bound.ty)[0].clone()
    };
    assert_eq!(after(&numbers[..20]), Value::Array(vec![counted(16, 2), counted(17, 2)]));
    assert_eq!(after(&numbers), Value::Array(vec![counted(16, 3), counted(17, 3)]));
}

#[test]
fn a_value_that_comes_often_is_found_among_many_that_do_not() {
    let rows: Vec<i64> = (0..6_000).map(|i| if i % 3 == 0 { -1 - (i / 3) % 2 } else { i }).collect();
    let params = [Value::UInt(2), Value::Bool(false), Value::UInt(5)];
    let bound = bind("top_k", &[ty("int64")], &params).unwrap();
    let mut merged = state(bound.aggregate.as_ref());
    for rows in rows.chunks(2_500) {
        let mut part = state(bound.aggregate.as_ref());
        part.update(&vec![0; rows.len()], &[column(&ty("int64"), &ints(rows))], None).unwrap();
        merged.merge(&[0, 1], &part.save(&[0, 1]).unwrap()).unwrap();
    }
    let [Value::Array(mut found), _] = answers(merged.as_mut(), &bound.ty) else { panic!("no array") };
    found.sort_by_key(|v| v.as_i64());
    assert_eq!(found, [Value::Int(-2), Value::Int(-1)]);
}

#[test]
fn a_tuple_among_the_k_best_stands_in_a_tuple_of_its_own() {
    let bound = bind("max_k", &[ty("tuple(int64, string)")], &[Value::UInt(1)]).unwrap();
    assert_eq!(bound.ty.to_string(), "array(tuple(tuple(int64, string)))");
}

#[test]
fn the_k_best_bring_their_rows() {
    // max_k(x, 2, name): the parameter stands between two arguments.
    let args =
        [ArgInfo::column(ty("int64")), ArgInfo::constant(ty("uint8"), Value::UInt(2)), ArgInfo::column(ty("string"))];
    let bound = Registry::builtin().bind_aggregate("max_k", &BindContext::default(), &args, false).unwrap();
    assert_eq!(bound.ty.to_string(), "array(tuple(int64, string))");
    let columns = [column(&ty("int64"), &ints(&[5, 7, 7])), column(&ty("string"), &texts(&["a", "b", "c"]))];
    let row = |v, n: &str| Value::Tuple(vec![Value::Int(v), Value::string(n)]);
    assert_eq!(whole_and_halves(&bound, &columns, 3)[0], Value::Array(vec![row(7, "b"), row(7, "c")]));
}

#[test]
fn quantiles() {
    let hundreds = ("int32", ints(&[100, 200, 300, 400, 500]));
    check("quantile", std::slice::from_ref(&hundreds), &[Value::Float64(0.9)], "float64", Value::Float64(460.0));
    check("median", std::slice::from_ref(&hundreds), &[], "float64", Value::Float64(300.0));
    check("p90", std::slice::from_ref(&hundreds), &[], "float64", Value::Float64(460.0));
    check("quantile_exact", std::slice::from_ref(&hundreds), &[Value::Float64(0.9)], "int32", Value::Int(500));
    let both = [Value::Float64(0.0), Value::Float64(1.0)];
    let ends = Value::Array(floats(&[100.0, 500.0]));
    check("quantiles", std::slice::from_ref(&hundreds), &both, "array(float64)", ends);
    let weights = ("uint8", vec![Value::UInt(1), Value::UInt(1), Value::UInt(9), Value::UInt(1), Value::UInt(1)]);
    check("quantile_exact_weighted", &[hundreds, weights], &[], "int32", Value::Int(300));
    let code = bind("quantile", &[ty("int8")], &[Value::Float64(2.0)]).err().unwrap().code.number();
    assert_eq!(code, 12);
    // Half of a million values in order: the reservoir is close, and the same in every run.
    let bound = bind("quantile", &[ty("int64")], &[]).unwrap();
    let values = column(&ty("int64"), &ints(&(0..100_000).collect::<Vec<_>>()));
    let mut groups = state(bound.aggregate.as_ref());
    groups.update(&vec![0; 100_000], &[values], None).unwrap();
    let [Value::Float64(half), _] = answers(groups.as_mut(), &bound.ty) else { panic!("a float") };
    assert!((half - 50_000.0).abs() < 2_500.0, "{half}");
}

#[test]
fn moments() {
    let x = ("float64", floats(&[1.0, 2.0, 3.0, 4.0]));
    let y = ("float64", floats(&[2.0, 4.0, 6.0, 8.0]));
    check("var_pop", std::slice::from_ref(&x), &[], "float64", Value::Float64(1.25));
    check("stddev_samp", std::slice::from_ref(&x), &[], "float64", Value::Float64((5.0f64 / 3.0).sqrt()));
    check("var_pop_stable", std::slice::from_ref(&x), &[], "float64", Value::Float64(1.25));
    check("covar_pop", &[x.clone(), y.clone()], &[], "float64", Value::Float64(2.5));
    check("corr", &[x, y], &[], "float64", Value::Float64(1.0));
    check("group_bit_or", &[("uint8", vec![Value::UInt(1), Value::UInt(4)])], &[], "uint8", Value::UInt(5));
}

#[test]
fn combinators_chain() {
    let x = ("int64", ints(&[1, 2, 4]));
    let when = ("bool", vec![Value::Bool(true), Value::Bool(false), Value::Bool(true)]);
    check("sum_if", &[x.clone(), when.clone()], &[], "int64", Value::Int(5));
    check("count_if", std::slice::from_ref(&when), &[], "uint64", Value::UInt(2));
    check("sum_or_null_if", &[x, when], &[], "nullable(int64)", Value::Int(5));
    let arrays = ("array(int8)", vec![Value::Array(ints(&[1, 2])), Value::Array(vec![]), Value::Array(ints(&[5]))]);
    check("sum_array", std::slice::from_ref(&arrays), &[], "int64", Value::Int(8));
    check("count_array", &[arrays], &[], "uint64", Value::UInt(3));
}

#[test]
fn a_state_travels_as_a_value() {
    for (name, argument, answer) in [
        ("avg", ("int32", ints(&[1, 2, 6])), Value::Float64(3.0)),
        ("uniq", ("string", texts(&["a", "b", "a"])), Value::UInt(2)),
        ("max", ("nullable(int32)", vec![Value::Null, Value::Int(4), Value::Int(2)]), Value::Int(4)),
    ] {
        let arg = ty(argument.0);
        let made = bind(&format!("{name}_state"), std::slice::from_ref(&arg), &[]).unwrap();
        let mut groups = state(made.aggregate.as_ref());
        groups.update(&[0, 0, 1], &[column(&arg, &argument.1)], None).unwrap();
        let states = groups.finish(&[0, 1]).unwrap();
        let merged = bind(&format!("{name}_merge"), std::slice::from_ref(&made.ty), &[]).unwrap();
        let mut groups = state(merged.aggregate.as_ref());
        groups.update(&[0, 0], &[states], None).unwrap();
        assert_eq!(answers(groups.as_mut(), &merged.ty)[0], answer, "{name}");
    }
    let wrong = LogicalType::AggregateFunction { name: "max".into(), args: vec![ty("int8")].into() };
    assert_eq!(bind("min_merge", &[wrong], &[]).err().unwrap().code.number(), 43);
}

#[test]
fn nulls_are_skipped_and_no_row_is_null() {
    let some = |v: &[Option<i64>]| v.iter().map(|v| v.map_or(Value::Null, Value::Int)).collect::<Vec<_>>();
    let mixed = ("nullable(int32)", some(&[Some(1), None, Some(5)]));
    check("sum", std::slice::from_ref(&mixed), &[], "nullable(int64)", Value::Int(6));
    check("count", std::slice::from_ref(&mixed), &[], "uint64", Value::UInt(2));
    check("max", std::slice::from_ref(&mixed), &[], "nullable(int32)", Value::Int(5));
    check("any", &[("nullable(int32)", some(&[None, Some(5)]))], &[], "nullable(int32)", Value::Int(5));
    check("sum", &[("nullable(int32)", some(&[None, None]))], &[], "nullable(int64)", Value::Null);
    check("group_array", &[mixed], &[], "array(int32)", Value::Array(ints(&[1, 5])));
    check("count", &[("nullable(nothing)", vec![Value::Null; 2])], &[], "uint64", Value::UInt(0));
    let sum = bind("sum", &[ty("int32")], &[]).unwrap();
    assert_eq!(whole_and_halves(&sum, &[column(&ty("int32"), &[])], 0)[0], Value::Int(0));
    let avg = bind("avg", &[ty("int32")], &[]).unwrap();
    assert!(matches!(whole_and_halves(&avg, &[column(&ty("int32"), &[])], 0)[0], Value::Float64(v) if v.is_nan()));
    let or_null = bind("sum_or_null", &[ty("int32")], &[]).unwrap();
    assert_eq!(whole_and_halves(&or_null, &[column(&ty("int32"), &[])], 0)[0], Value::Null);
    let or_default = bind("avg_or_default", &[ty("int32")], &[]).unwrap();
    assert_eq!(whole_and_halves(&or_default, &[column(&ty("int32"), &[])], 0)[0], Value::Float64(0.0));
}

#[test]
fn a_filter_decides_per_row_and_groups_stay_apart() {
    let bound = bind("sum", &[ty("nullable(int32)")], &[]).unwrap();
    let values = column(&ty("nullable(int32)"), &[Value::Int(1), Value::Int(2), Value::Null, Value::Int(8)]);
    let filter = BooleanArray::from(vec![Some(true), None, Some(true), Some(true)]);
    let mut groups = state(bound.aggregate.as_ref());
    groups.update(&[0, 0, 1, 0], &[values], Some(&filter)).unwrap();
    assert_eq!(answers(groups.as_mut(), &bound.ty), [Value::Int(9), Value::Null]);
}

#[test]
fn withdrawn_rows_were_never_there() {
    let x = ("int64", ints(&[5, 1, 9, 1]));
    let by = ("int64", ints(&[2, 7, 1, 8]));
    let when = ("bool", vec![Value::Bool(true), Value::Bool(true), Value::Bool(true), Value::Bool(false)]);
    let cases = [
        ("count", vec![x.clone()]),
        ("sum", vec![x.clone()]),
        ("avg", vec![x.clone()]),
        ("min", vec![x.clone()]),
        ("max", vec![x.clone()]),
        ("arg_min", vec![x.clone(), by.clone()]),
        ("arg_max", vec![x.clone(), by]),
        ("group_uniq_array", vec![x.clone()]),
        ("sum_distinct", vec![x.clone()]),
        ("sum_if", vec![x.clone(), when]),
        ("sum", vec![("nullable(int64)", vec![Value::Int(5), Value::Null, Value::Int(9), Value::Null])]),
    ];
    for (name, args) in cases {
        let types: Vec<LogicalType> = args.iter().map(|(t, _)| ty(t)).collect();
        let columns: Vec<ArrayRef> = args.iter().zip(&types).map(|((_, v), t)| column(t, v)).collect();
        let bound = bind(name, &types, &[]).unwrap();
        let aggregate = bound.aggregate.retracting().unwrap_or_else(|| panic!("{name} takes withdrawals"));
        let rows = |from: usize, len: usize| columns.iter().map(|c| c.slice(from, len)).collect::<Vec<_>>();
        // All four rows come, the first and third go.
        let mut changed = state(aggregate.as_ref());
        changed.update(&[0; 4], &rows(0, 4), None).unwrap();
        changed.retract(&[0], &rows(0, 1), None).unwrap();
        changed.retract(&[0], &rows(2, 1), None).unwrap();
        let mut kept = state(aggregate.as_ref());
        kept.update(&[0], &rows(1, 1), None).unwrap();
        kept.update(&[0], &rows(3, 1), None).unwrap();
        let expected = answers(kept.as_mut(), &bound.ty);
        assert_eq!(text(&answers(changed.as_mut(), &bound.ty)), text(&expected), "{name}");
        // The state is complete: what was saved answers withdrawals too.
        let mut again = state(aggregate.as_ref());
        again.merge(&[0, 1], &changed.save(&[0, 1]).unwrap()).unwrap();
        assert_eq!(text(&answers(again.as_mut(), &bound.ty)), text(&expected), "{name} saved");
    }
    for name in ["any", "unique", "quantile", "top_k", "stddev_pop", "latest"] {
        let params = if name == "top_k" { vec![Value::UInt(1)] } else { vec![] };
        assert!(!bind(name, &[ty("int64")], &params).unwrap().aggregate.can_retract(), "{name}");
    }
}

#[test]
fn parameters_must_be_constant_and_internal_names_are_refused() {
    let cx = BindContext::default();
    let args = [ArgInfo::column(ty("int8")), ArgInfo::column(ty("int8"))];
    let code = |name: &str| Registry::builtin().bind_aggregate(name, &cx, &args, false).err().unwrap().code.number();
    assert_eq!(code("quantile"), 134);
    assert_eq!(code("sum_distinct_retract"), 446);
    let one = [ArgInfo::column(ty("int8"))];
    let distinct = Registry::builtin().bind_aggregate("count", &cx, &one, true).unwrap();
    assert_eq!(distinct.ty, LogicalType::UInt64);
    assert_eq!(Registry::builtin().bind_aggregate("top_k", &cx, &one, false).err().unwrap().code.number(), 42);
}

#[test]
fn damaged_states_are_errors() {
    let made = bind("uniq_exact_state", &[ty("string")], &[]).unwrap();
    let merged = bind("uniq_exact_merge", std::slice::from_ref(&made.ty), &[]).unwrap();
    let damaged = column(&ty("string"), &[Value::Bytes(vec![200, 1, 3, 65])]);
    let result = state(merged.aggregate.as_ref()).update(&[0], &[damaged], None);
    assert_eq!(result.err().unwrap().code.number(), 117);
}
