//! Aggregates of statistics, events, maps and pictures against known answers; each whole against split and saved.

use super::tests::{bind, check, column, floats, ints, texts, ty, whole_and_halves};
use hydron_types::{LogicalType, Value, value_at};

fn uints(values: &[u64]) -> Vec<Value> {
    values.iter().map(|v| Value::UInt(*v)).collect()
}

fn tuple(values: &[f64]) -> Value {
    Value::Tuple(floats(values))
}

/// The answer for all rows; the helper compares it with the one of saved halves.
fn answer(name: &str, args: &[(&str, Vec<Value>)], params: &[Value]) -> Value {
    let types: Vec<LogicalType> = args.iter().map(|(t, _)| ty(t)).collect();
    let columns: Vec<_> = args.iter().zip(&types).map(|((_, v), t)| column(t, v)).collect();
    let bound = bind(name, &types, params).unwrap_or_else(|e| panic!("{name}: {e}"));
    let rows = columns.first().map_or(0, |c| c.len());
    let [found, _] = whole_and_halves(&bound, &columns, rows);
    found
}

fn near(found: &Value, wanted: &[f64]) {
    let Value::Tuple(found) = found else { panic!("{found:?} is no tuple") };
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(wanted) {
        let Value::Float64(found) = found else { panic!("{found:?} is no float") };
        assert!((found - wanted).abs() < 1e-6, "{found} instead of {wanted}");
    }
}

fn code(name: &str, types: &[&str], params: &[Value]) -> u16 {
    let types: Vec<LogicalType> = types.iter().map(|t| ty(t)).collect();
    bind(name, &types, params).err().unwrap_or_else(|| panic!("{name} was bound")).code.number()
}

#[test]
fn two_samples_are_compared() {
    // scipy.stats: ttest_ind, ttest_ind(equal_var=False), mannwhitneyu(method='asymptotic').
    let x = ("float64", floats(&[20.3, 21.1, 21.9, 21.7, 19.9, 21.8, 18.9, 19.0, 18.8, 20.3, 20.0]));
    let first = vec![0u64, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1];
    let second = ("uint8", uints(&first));
    let sides = |side: u64| {
        let Value::Float64(_) = x.1[0] else { unreachable!() };
        let picked = x.1.iter().zip(&first).filter(|(_, s)| **s == side);
        picked.map(|(v, _)| v.as_f64().unwrap()).collect::<Vec<_>>()
    };
    let (a, b) = (sides(0), sides(1));
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let spread = |v: &[f64]| v.iter().map(|x| (x - mean(v)).powi(2)).sum::<f64>();
    let pooled = (spread(&a) + spread(&b)) / 9.0;
    let t = (mean(&a) - mean(&b)) / (pooled * (1.0 / a.len() as f64 + 1.0 / b.len() as f64)).sqrt();
    let found = answer("student_ttest", &[x.clone(), second.clone()], &[]);
    let Value::Tuple(parts) = &found else { panic!("a tuple") };
    assert!((parts[0].as_f64().unwrap() - t).abs() < 1e-9);
    let p = parts[1].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&p));
    let Value::Tuple(wide) = answer("student_ttest", &[x.clone(), second.clone()], &[Value::Float64(0.95)]) else {
        panic!("a tuple")
    };
    let [low, high] = [&wide[2], &wide[3]].map(|v| v.as_f64().unwrap());
    assert!(low < mean(&a) - mean(&b) && mean(&a) - mean(&b) < high);
    // A difference of nothing lies inside exactly when the probability is more than what the level leaves.
    assert_eq!(low < 0.0 && 0.0 < high, p > 0.05);
    let Value::Tuple(welch) = answer("welch_ttest", &[x, second], &[]) else { panic!("a tuple") };
    assert!((welch[0].as_f64().unwrap() - t).abs() < 0.2);
    // mannwhitneyu([1,2,3,4,5], [3,4,5,6,7]): U of the first is 4.5; the textbook's ties.
    let values = ("int32", ints(&[1, 2, 3, 4, 5, 3, 4, 5, 6, 7]));
    let second = ("uint8", uints(&[0, 0, 0, 0, 0, 1, 1, 1, 1, 1]));
    near(&answer("mann_whitney_utest", &[values.clone(), second.clone()], &[]), &[4.5, 0.113_846_298]);
    let z = [Value::Float64(2.5), Value::Float64(2.5), Value::Float64(0.95)];
    // Means 3 and 5, standard error 1.
    near(&answer("mean_ztest", &[values, second], &z), &[-2.0, 0.045_500_264, -3.959_963_985, -0.040_036_015]);
    assert_eq!(code("student_ttest", &["string", "uint8"], &[]), 36);
    assert_eq!(code("student_ttest", &["int8"], &[]), 42);
    assert_eq!(code("mean_ztest", &["int8", "uint8"], &[]), 42);
    assert_eq!(code("mann_whitney_utest", &["int8", "uint8"], &[Value::string("best")]), 36);
}

#[test]
fn samples_without_values_are_errors() {
    let bound = bind("student_ttest", &[ty("int8"), ty("uint8")], &[]).unwrap();
    let mut groups = bound.aggregate.new_state();
    groups.resize(1);
    groups.update(&[0], &[column(&ty("int8"), &ints(&[1])), column(&ty("uint8"), &uints(&[0]))], None).unwrap();
    assert_eq!(groups.finish(&[0]).err().unwrap().code.number(), 36);
}

#[test]
fn ranks_and_variances() {
    let x = ("int64", ints(&[1, 2, 3, 4, 5]));
    check_split("rank_corr", &[x.clone(), ("int64", ints(&[10, 20, 30, 40, 50]))], Value::Float64(1.0));
    check_split("rank_corr", &[x, ("int64", ints(&[5, 4, 3, 2, 1]))], Value::Float64(-1.0));
    // f_oneway([1,2,3], [2,3,4]): F 1.5, p 0.287864.
    let values = ("float64", floats(&[1.0, 2.0, 3.0, 2.0, 3.0, 4.0]));
    let group = ("uint8", uints(&[0, 0, 0, 1, 1, 1]));
    near(&answer("anova", &[values, group], &[]), &[1.5, 0.287_864_135]);
    assert_eq!(code("analysis_of_variance", &["float64", "uint128"], &[]), 36);
    assert_eq!(code("analysis_of_variance", &["string", "uint8"], &[]), 36);
}

/// Groups of which one half may lack the rows an answer needs: only the whole is asked.
fn check_split(name: &str, args: &[(&str, Vec<Value>)], wanted: Value) {
    assert_eq!(answer_whole(name, args, &[]), wanted, "{name}");
}

fn answer_whole(name: &str, args: &[(&str, Vec<Value>)], params: &[Value]) -> Value {
    let types: Vec<LogicalType> = args.iter().map(|(t, _)| ty(t)).collect();
    let columns: Vec<_> = args.iter().zip(&types).map(|((_, v), t)| column(t, v)).collect();
    let bound = bind(name, &types, params).unwrap();
    let rows = columns[0].len();
    let mut state = bound.aggregate.new_state();
    state.resize(1);
    for (from, len) in [(0, rows / 2), (rows / 2, rows - rows / 2)] {
        let slices: Vec<_> = columns.iter().map(|c| c.slice(from, len)).collect();
        let mut half = bound.aggregate.new_state();
        half.resize(1);
        half.update(&vec![0; len], &slices, None).unwrap();
        state.merge(&[0], &half.save(&[0]).unwrap()).unwrap();
    }
    value_at(&state.finish(&[0]).unwrap(), &bound.ty, 0)
}

#[test]
fn categories_depend_on_each_other() {
    let a: Vec<u64> = (0..150).map(|n| n % 10).collect();
    let b: Vec<u64> = (0..150).map(|n| n % 5).collect();
    let args = [("uint64", uints(&a)), ("uint64", uints(&b))];
    let rounded = |name: &str| {
        let v = answer(name, &args, &[]).as_f64().unwrap();
        format!("{:.2}", v)
    };
    let found = ["cramers_v", "cramers_v_bias_corrected", "theils_u", "contingency"].map(rounded);
    assert_eq!(found, ["0.89", "0.87", "-0.70", "0.14"]);
    check("entropy", &[("string", texts(&["a", "b", "a", "b"]))], &[], "float64", Value::Float64(1.0));
    let category = ("uint8", uints(&[1, 0, 1, 0]));
    let target = ("uint8", uints(&[1, 1, 0, 0]));
    let same = Value::Array(floats(&[0.0]));
    check("categorical_information_value", &[category, target], &[], "array(float64)", same);
    assert_eq!(code("categorical_information_value", &["string", "uint8"], &[]), 36);
}

#[test]
fn intervals_and_slopes() {
    let start = ("int64", ints(&[1, 1, 2, 1, 5, 5]));
    let end = ("int64", ints(&[3, 3, 4, 1, 6, 7]));
    check("interval_length_sum", &[start.clone(), end.clone()], &[], "uint64", Value::UInt(5));
    check("max_intersections", &[start.clone(), end.clone()], &[], "uint64", Value::UInt(3));
    check("max_intersections_position", &[start, end], &[], "int64", Value::Int(2));
    let days = |v: &[i32]| v.iter().map(|d| Value::Date(*d)).collect::<Vec<_>>();
    let dates = [("date", days(&[0, 2])), ("date", days(&[3, 7]))];
    check("interval_length_sum", &dates, &[], "uint64", Value::UInt(7));
    assert_eq!(code("interval_length_sum", &["int64", "int32"], &[]), 43);
    let x = ("int32", ints(&[3, 1, 2]));
    let y = ("int32", ints(&[7, 3, 5]));
    check("bounding_ratio", &[x.clone(), y.clone()], &[], "float64", Value::Float64(2.0));
    let line = tuple(&[2.0, 1.0]);
    check("simple_linear_regression", &[x, y], &[], "tuple(k float64, b float64)", line);
    check("delta_sum", &[("int64", ints(&[1, 3, 0, 2, 0, 3]))], &[], "int64", Value::Int(7));
    check("delta_sum", &[("uint8", uints(&[2, 3]))], &[], "uint8", Value::UInt(1));
    let times = ("uint32", uints(&[1, 2, 3, 4, 5, 6]));
    check("delta_sum_timestamp", &[("int64", ints(&[1, 3, 0, 2, 0, 3])), times], &[], "int64", Value::Int(7));
    assert_eq!(code("delta_sum", &["string"], &[]), 43);
}

#[test]
fn later_parts_may_come_first() {
    let (value, time) = (ty("int64"), ty("uint32"));
    let bound = bind("delta_sum_timestamp", &[value.clone(), time.clone()], &[]).unwrap();
    let part = |values: &[i64], times: &[u64]| {
        let mut state = bound.aggregate.new_state();
        state.resize(1);
        let columns = [column(&value, &ints(values)), column(&time, &uints(times))];
        state.update(&vec![0; values.len()], &columns, None).unwrap();
        state.save(&[0]).unwrap()
    };
    let mut state = bound.aggregate.new_state();
    state.resize(1);
    state.merge(&[0], &part(&[2, 0, 3], &[4, 5, 6])).unwrap();
    state.merge(&[0], &part(&[1, 3, 0], &[1, 2, 3])).unwrap();
    assert_eq!(value_at(&state.finish(&[0]).unwrap(), &bound.ty, 0), Value::Int(7));
}

#[test]
fn money_has_a_rate() {
    let days = [("2020-01-01", 18262), ("2020-03-01", 18322), ("2020-10-30", 18565), ("2021-02-15", 18673)];
    let dates = ("date", days.iter().map(|(_, d)| Value::Date(*d)).collect());
    let money = ("float64", floats(&[-10_000.0, 5750.0, 4250.0, 3250.0]));
    let Value::Float64(rate) = answer("xirr", &[money, dates], &[]) else { panic!("a float") };
    assert!((rate - 0.634_297_288).abs() < 1e-6, "{rate}");
    let half = [Value::UInt(1)];
    let steady = [("float64", floats(&[4.0, 4.0])), ("uint32", uints(&[0, 1]))];
    check("exponential_moving_average", &steady, &half, "float64", Value::Float64(3.0));
    assert_eq!(code("exponential_moving_average", &["float64", "uint32"], &[]), 42);
}

#[test]
fn what_is_long_ago_counts_less() {
    // One decay apart: the first row counts 1/e.
    let e = (-1f64).exp();
    let (x, t) = (("float64", floats(&[4.0, 2.0])), ("uint32", uints(&[10, 15])));
    let decay = [Value::UInt(5)];
    let both = [x, t.clone()];
    check("exponential_time_decayed_sum", &both, &decay, "float64", Value::Float64(4.0 * e + 2.0));
    check("exponential_time_decayed_avg", &both, &decay, "float64", Value::Float64((4.0 * e + 2.0) / (e + 1.0)));
    check("exponential_time_decayed_max", &both, &decay, "float64", Value::Float64(2.0));
    check("exponential_time_decayed_count", &[t], &decay, "float64", Value::Float64(e + 1.0));
    assert_eq!(code("exponential_time_decayed_sum", &["float64", "uint32"], &[]), 42);
    assert_eq!(code("exponential_time_decayed_sum", &["float64", "uint32"], &[Value::Int(-1)]), 36);
}

#[test]
fn events_follow_one_another() {
    let time = ("uint32", uints(&[1, 2, 3, 10]));
    let flag = |v: &[u64]| ("uint8", uints(v));
    let (a, b, c) = (flag(&[1, 0, 0, 0]), flag(&[0, 1, 0, 0]), flag(&[0, 0, 0, 1]));
    let three = [time.clone(), a.clone(), b.clone(), c.clone()];
    check("retention", &three[1..], &[], "array(uint8)", Value::Array(uints(&[1, 1, 1])));
    check("retention", &[flag(&[0, 0]), flag(&[1, 0])], &[], "array(uint8)", Value::Array(uints(&[0, 0])));
    check("window_funnel", &three, &[Value::UInt(5)], "uint8", Value::UInt(2));
    check("window_funnel", &three, &[Value::UInt(9)], "uint8", Value::UInt(3));
    let strict = [Value::UInt(9), Value::string("strict_order")];
    check("window_funnel", &three, &strict, "uint8", Value::UInt(2));
    let match_all = [Value::string("(?1)(?2).*(?3)")];
    check("sequence_match", &three, &match_all, "bool", Value::Bool(true));
    check("sequence_match", &three, &[Value::string("(?2)(?1)")], "bool", Value::Bool(false));
    check("sequence_count", &three, &[Value::string("(?1)(?t<=1)(?2)")], "uint64", Value::UInt(1));
    let event = ("string", texts(&["a", "b", "c", "d"]));
    let base = flag(&[1, 0, 0, 0]);
    let next = [Value::string("forward"), Value::string("head")];
    check("sequence_next_node", &[time, event, base, a, b], &next, "nullable(string)", Value::string("c"));
    assert_eq!(code("window_funnel", &["uint32", "uint8"], &[Value::UInt(1), Value::string("lax")]), 36);
    assert_eq!(code("window_funnel", &["string", "uint8"], &[Value::UInt(1)]), 43);
    assert_eq!(code("sequence_match", &["uint32", "uint8"], &[Value::string("(?2)")]), 36);
}

#[test]
fn maps_are_added_up() {
    let array = |v: &[i64]| Value::Array(ints(v));
    let keys = ("array(int32)", vec![array(&[1, 2, 3]), array(&[3, 4])]);
    let values = ("array(int8)", vec![array(&[100, 10, 10]), array(&[100, -10])]);
    let sums = Value::Tuple(vec![array(&[1, 2, 3, 4]), array(&[100, 10, 110, -10])]);
    let both = [keys.clone(), values.clone()];
    check("sum_mapped_arrays", &both, &[], "tuple(array(int32), array(int64))", sums.clone());
    check("sum_map", &both, &[], "tuple(array(int32), array(int64))", sums);
    let least = Value::Tuple(vec![array(&[1, 2, 3, 4]), array(&[100, 10, 10, -10])]);
    check("min_map", &both, &[], "tuple(array(int32), array(int8))", least);
    let kept = Value::Tuple(vec![array(&[3]), array(&[110])]);
    let only = [Value::Array(uints(&[3, 9]))];
    check("sum_map_filtered", &both, &only, "tuple(array(int32), array(int64))", kept);
    let wrapped = [keys, ("array(int8)", vec![array(&[0, 0, 100]), array(&[100, 0])])];
    let small = Value::Tuple(vec![array(&[3]), array(&[-56])]);
    check("sum_map_with_overflow", &wrapped, &[], "tuple(array(int32), array(int8))", small);
    let pair = |k: &str, v: i64| (Value::string(k), Value::Int(v));
    let maps = vec![Value::Map(vec![pair("b", 1), pair("a", 2)]), Value::Map(vec![pair("b", 5)])];
    let sums = Value::Map(vec![pair("a", 2), pair("b", 6)]);
    check("sum_map", &[("map(string, int32)", maps)], &[], "map(string, int64)", sums);
    let counted = Value::Tuple(vec![Value::Int(6), Value::UInt(2)]);
    check("sum_count", &[("int8", ints(&[1, 5]))], &[], "tuple(int64, uint64)", counted);
    assert_eq!(code("sum_mapped_arrays", &["array(int8)", "array(string)"], &[]), 43);
    assert_eq!(code("avg_map", &["array(int8)", "array(int8)"], &[]), 43);
}

#[test]
fn each_place_of_an_array_is_its_own() {
    let array = |v: &[i64]| Value::Array(ints(v));
    let arrays = ("array(int32)", vec![array(&[1, 2]), array(&[]), array(&[3, 4, 5])]);
    check("sum_for_each", std::slice::from_ref(&arrays), &[], "array(int64)", array(&[4, 6, 5]));
    check("count_for_each", std::slice::from_ref(&arrays), &[], "array(uint64)", Value::Array(uints(&[2, 2, 1])));
    check("max_for_each", &[arrays], &[], "array(int32)", array(&[3, 4, 5]));
    assert_eq!(code("sum_for_each", &["int8"], &[]), 43);
    assert_eq!(code("sum_resample", &["int8"], &[]), 134);
}

#[test]
fn groups_have_a_picture() {
    let numbers = ("int32", ints(&[1, 2, 3, 4]));
    let bins = "array(tuple(float64, float64, float64))";
    let two = Value::Array(vec![tuple(&[1.0, 2.5, 2.0]), tuple(&[2.5, 4.0, 2.0])]);
    check("histogram", std::slice::from_ref(&numbers), &[Value::UInt(2)], bins, two);
    check("unique_up_to", std::slice::from_ref(&numbers), &[Value::UInt(2)], "uint64", Value::UInt(3));
    check("uniq_up_to", std::slice::from_ref(&numbers), &[Value::UInt(4)], "uint64", Value::UInt(4));
    let all = Value::Array(ints(&[1, 2, 3, 4]));
    check("group_array_sample", std::slice::from_ref(&numbers), &[Value::UInt(9)], "array(int32)", all);
    let x = ("uint8", uints(&[0, 1, 3]));
    let y = ("int32", ints(&[1, 8, 4]));
    check("sparkbar", &[x, y], &[Value::UInt(9)], "string", Value::string("▁█ ▄"));
    let places = ("uint32", uints(&[2, 0, 2, 1]));
    let placed = Value::Array(ints(&[2, 4, 1]));
    check("group_array_insert_at", &[numbers.clone(), places.clone()], &[], "array(int32)", placed);
    let wide = Value::Array(ints(&[2, 4, 1, -1]));
    let default = [Value::Int(-1), Value::UInt(4)];
    check("group_array_insert_at", &[numbers, places], &default, "array(int32)", wide);
    assert_eq!(code("histogram", &["int32"], &[Value::UInt(0)]), 12);
    assert_eq!(code("sparkbar", &["string", "int32"], &[Value::UInt(1)]), 43);
}

#[test]
fn weights_move_a_quantile() {
    let x = ("int32", ints(&[1, 2, 3]));
    let weights = ("uint8", uints(&[1, 1, 8]));
    let both = [x.clone(), weights];
    check("quantile_timing_weighted", &both, &[], "float32", Value::Float32(3.0));
    check("quantile_b_float16_weighted", &both, &[], "float64", Value::Float64(3.0));
    check("quantile_b_float16", &[x], &[], "float64", Value::Float64(2.0));
    check("quantile_t_digest_weighted", &both, &[], "float32", Value::Float32(2.75));
    assert!(bind("median_tdigest_weighted", &[ty("int8"), ty("uint8")], &[]).is_ok());
    assert!(bind("median_bfloat16", &[ty("int8")], &[]).is_ok());
}

#[test]
fn bitmaps_meet() {
    let set = |values: &[u64]| {
        let made = bind("group_bitmap_state", &[ty("uint32")], &[]).unwrap();
        let mut state = made.aggregate.new_state();
        state.resize(1);
        state.update(&vec![0; values.len()], &[column(&ty("uint32"), &uints(values))], None).unwrap();
        (value_at(&state.finish(&[0]).unwrap(), &made.ty, 0), made.ty)
    };
    let (a, state_type) = set(&[1, 2, 3]);
    let (b, _) = set(&[2, 3, 4, 5]);
    for (name, size) in [("group_bitmap_and", 2), ("group_bitmap_or", 5), ("group_bitmap_xor", 3)] {
        let bound = bind(name, std::slice::from_ref(&state_type), &[]).unwrap();
        let states = column(&state_type, &[a.clone(), b.clone()]);
        assert_eq!(whole_and_halves(&bound, &[states], 2)[0], Value::UInt(size), "{name}");
    }
    let other = bind("min_state", &[ty("uint32")], &[]).unwrap();
    assert_eq!(bind("group_bitmap_and", &[other.ty], &[]).err().unwrap().code.number(), 43);
}

#[test]
fn odd_ones() {
    let thrown = bind("agg_throw", &[ty("int8")], &[]).unwrap();
    let mut state = thrown.aggregate.new_state();
    state.resize(1);
    assert_eq!(state.finish(&[0]).err().unwrap().code.number(), 503);
    let (name, params) = super::name_and_params("f(0.5, 'x, y', -2, true)").unwrap();
    let wanted = vec![Value::Float64(0.5), Value::string("x, y"), Value::Int(-2), Value::Bool(true)];
    assert_eq!((name, params), ("f", wanted));
    assert!(super::name_and_params("f(x").is_err() && super::name_and_params("f(x)").is_err());
    assert_eq!(code("stochastic_linear_regression", &["float64", "float64"], &[]), 134);
}
