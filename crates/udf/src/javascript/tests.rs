//! Functions as a query calls them.

use super::aggregate::JsAggregate;
use super::scalar::JsScalar;
use super::*;
use crate::signature::Signature;
use arrow::array::{ArrayRef, Int8Array};
use hydron_base::Settings;
use hydron_base::world::WallTime;
use hydron_func::{ArgInfo, BoundAgg, Datum, EvalContext, GroupState, Registry};
use hydron_types::{ColumnBuilder, Value, parse_type, value_at};
use std::sync::Arc;
use std::time::Instant;

fn signature(name: &str, args: &[&str], returns: &str) -> Arc<Signature> {
    let args = args.iter().enumerate().map(|(i, t)| (Arc::from(format!("a{i}")), parse_type(t).unwrap()));
    Arc::new(Signature { name: Arc::from(name), args: args.collect(), returns: parse_type(returns).unwrap() })
}

fn column(ty: &str, values: &[Value]) -> ArrayRef {
    let mut builder = ColumnBuilder::new(&parse_type(ty).unwrap());
    values.iter().for_each(|v| builder.append(v).unwrap());
    builder.finish().unwrap()
}

fn floats(values: &[f32]) -> ArrayRef {
    column("float32", &values.iter().map(|v| Value::Float32(*v)).collect::<Vec<_>>())
}

fn settings(changes: &[(&str, &str)]) -> BindContext {
    let mut settings = Settings::default();
    changes.iter().for_each(|(name, value)| settings.set(name, value).unwrap());
    BindContext { settings: Arc::new(settings), ..BindContext::default() }
}

/// The answers of `f` over one column.
fn scalar_in(cx: &BindContext, ty: &str, returns: &str, source: &str, values: &[Value]) -> Result<Vec<Value>> {
    let function = JsScalar::new(signature("f", &[ty], returns), Arc::from(source))?;
    function.check()?;
    let mut registry = Registry::default();
    registry.add_scalar("f", function);
    let bound = registry.bind_scalar("f", cx, &[ArgInfo::column(parse_type(ty)?)])?;
    let args = [Datum::Array(column(ty, values))];
    let rows = values.len();
    let result = bound.kernel.eval(&EvalContext::at(WallTime(0)), &args, rows)?.to_array(rows)?;
    Ok((0..rows).map(|row| value_at(&result, &bound.ty, row)).collect())
}

fn scalar(ty: &str, returns: &str, source: &str, values: &[Value]) -> Result<Vec<Value>> {
    scalar_in(&BindContext::default(), ty, returns, source, values)
}

const SAME: &str = "function f(values) { return values; }";

#[test]
fn values_of_every_type_come_back_as_they_went_in() {
    let tuple = Value::Tuple(vec![Value::string("x"), Value::Array(vec![Value::UInt(1), Value::UInt(2)])]);
    let cases = [
        ("bool", Value::Bool(true)),
        ("int8", Value::Int(-7)),
        ("uint8", Value::UInt(255)),
        ("int16", Value::Int(-30_000)),
        ("uint16", Value::UInt(65_535)),
        ("int32", Value::Int(i64::from(i32::MIN))),
        ("uint32", Value::UInt(u64::from(u32::MAX))),
        ("int64", Value::Int(-(1 << 53))),
        ("uint64", Value::UInt(1 << 60)),
        ("float32", Value::Float32(-0.5)),
        ("float64", Value::Float64(1e300)),
        ("string", Value::string("Grüße\0")),
        ("fixed_string(3)", Value::string("abc")),
        ("date", Value::Date(19_000)),
        ("date32", Value::Date(-1)),
        ("datetime", Value::Time(1_600_000_000)),
        ("datetime64(3)", Value::Time(-1)),
        ("datetime64(6)", Value::Time(1_580_673_600_123_000)),
        ("array(nullable(float64))", Value::Array(vec![Value::Float64(1.5), Value::Null])),
        ("tuple(name string, list array(uint8))", tuple),
        ("nullable(int32)", Value::Null),
        ("low_cardinality(string)", Value::string("lc")),
    ];
    for (ty, value) in cases {
        let back = scalar(ty, ty, SAME, &[value.clone(), value.clone()]).unwrap_or_else(|e| panic!("{ty}: {e}"));
        assert_eq!(back, vec![value.clone(), value], "{ty}");
    }
    for ty in ["decimal(9, 2)", "uuid", "map(string, int8)", "array(ipv4)", "json"] {
        let refused = JsScalar::new(signature("f", &[ty], "int8"), Arc::from(SAME)).err().unwrap();
        assert_eq!(refused.code, Code::NOT_IMPLEMENTED, "{ty}");
    }
}

#[test]
fn numbers_become_integers_as_javascript_makes_them() {
    let of = |ty, source: &str| scalar("float64", ty, source, &[Value::Float64(0.0)]).unwrap().remove(0);
    let given = |value: &str| format!("const f = v => [{value}];");
    assert_eq!(of("int8", &given("-1.9")), Value::Int(-1));
    assert_eq!(of("uint8", &given("257")), Value::UInt(1));
    assert_eq!(of("int32", &given("NaN")), Value::Int(0));
    assert_eq!(of("int32", &given("2**31")), Value::Int(i64::from(i32::MIN)));
    assert_eq!(of("int64", &given("9007199254740993n")), Value::Int(9_007_199_254_740_993));
    assert_eq!(of("string", &given("12.5")), Value::string("12.5"));
    assert_eq!(of("float64", &given("-0")), Value::Float64(0.0));
}

#[test]
fn null_stays_null_unless_the_function_asks_for_it() {
    let double = "function f(values) { return values.map(v => v === null ? -1 : 2 * v); }";
    let of = |ty: &str, returns: &str| {
        let mut registry = Registry::default();
        registry.add_scalar("f", JsScalar::new(signature("f", &[ty], returns), Arc::from(double)).unwrap());
        let nullable = parse_type("nullable(int32)").unwrap();
        let bound = registry.bind_scalar("f", &BindContext::default(), &[ArgInfo::column(nullable)]).unwrap();
        let args = [Datum::Array(column("nullable(int32)", &[Value::Null, Value::Int(4)]))];
        let result = bound.kernel.eval(&EvalContext::at(WallTime(0)), &args, 2).unwrap().to_array(2).unwrap();
        vec![value_at(&result, &bound.ty, 0), value_at(&result, &bound.ty, 1)]
    };
    assert_eq!(of("int32", "int32"), [Value::Null, Value::Int(8)]);
    assert_eq!(of("nullable(int32)", "int32"), [Value::Int(-1), Value::Int(8)]);
}

#[test]
fn errors_say_what_the_code_did() {
    let code = |source: &str| scalar("float32", "float32", source, &[Value::Float32(1.0)]).unwrap_err();
    let thrown = code("function f(v) {\n  let x = v.length;\n  throw new RangeError('too far');\n}");
    assert_eq!(thrown.code, hydron_base::Code::UDF_INTERNAL_ERROR);
    for part in ["RangeError: too far", "(line 3)", "at f (f:3"] {
        assert!(thrown.message.contains(part), "{thrown}");
    }
    assert!(code("function f(v) { throw 'plain' }").message.contains("plain"));
    assert!(code("function f(v) { throw {toString() { throw 1 }} }").message.contains("object"));
    assert_eq!(code("function f(v) {}").code, Code::ILLEGAL_TYPE_OF_ARGUMENT);
    assert_eq!(code("function f(v) { return []; }").code, Code::UDF_INTERNAL_ERROR);
    assert_eq!(code("function f(v) { return ['x']; }").code, Code::TYPE_MISMATCH);
    assert_eq!(code("function f(v) { return [undefined]; }").code, Code::TYPE_MISMATCH);
    assert_eq!(code("function f(v) { f(v); return v; }").code, Code::UDF_INTERNAL_ERROR);
    for source in ["function g(v) { return v; }", "function f(v) { return v ", "var f = 1;", "throw 1", "const x = f;"]
    {
        let error = code(source);
        assert_eq!(error.code, Code::UDF_COMPILE_ERROR, "{source}: {error}");
    }
}

#[test]
fn a_loop_without_end_ends_with_its_query_and_at_its_limit() {
    let endless = "function f(v) { while (true) { try { for (;;) {} } catch (e) {} } }";
    let started = Instant::now();
    let until = started + Duration::from_millis(100);
    let cx = BindContext { stop: Stop::when(move || Instant::now() > until), ..settings(&[]) };
    let error = scalar_in(&cx, "int8", "int8", endless, &[Value::Int(1)]).unwrap_err();
    assert_eq!(error.code, Code::QUERY_WAS_CANCELLED, "{error}");
    let late = settings(&[("javascript_max_execution_ms", "100")]);
    let error = scalar_in(&late, "int8", "int8", endless, &[Value::Int(1)]).unwrap_err();
    assert_eq!(error.code, Code::TIMEOUT_EXCEEDED, "{error}");
    let compiled = scalar("int8", "int8", "for (;;) {}", &[Value::Int(1)]).unwrap_err();
    assert_eq!(compiled.code, Code::TIMEOUT_EXCEEDED, "{compiled}");
    let regex = "function f(v) { return [/^(a+)+$/.test('a'.repeat(40) + 'b') ? 1 : 0]; }";
    let error = scalar_in(&late, "int8", "int8", regex, &[Value::Int(1)]).unwrap_err();
    assert_eq!(error.code, Code::TIMEOUT_EXCEEDED, "{error}");
    assert!(started.elapsed() < Duration::from_secs(8));
}

#[test]
fn memory_past_the_limit_is_an_error_even_where_it_was_caught() {
    let small = settings(&[("javascript_max_memory_bytes", "4000000")]);
    for body in
        ["let a = []; while (true) a.push('x'.repeat(1000) + a.length);", "new Uint8Array(1e9);", "'x'.repeat(5e8);"]
    {
        let source = format!("function f(v) {{ try {{ {body} }} catch (e) {{}} return v; }}");
        let error = scalar_in(&small, "int8", "int8", &source, &[Value::Int(1)]).unwrap_err();
        assert_eq!(error.code, Code::UDF_MEMORY_THRESHOLD_EXCEEDED, "{body}: {error}");
    }
    let none = settings(&[("javascript_max_memory_bytes", "1000")]);
    let error = scalar_in(&none, "int8", "int8", SAME, &[Value::Int(1)]).unwrap_err();
    assert_eq!(error.code, Code::UDF_MEMORY_THRESHOLD_EXCEEDED, "{error}");
    // What goes around in circles is found and freed.
    let circles = "function f(v) { for (let i = 0; i < 200000; i++) { const a = {}; a.a = a; } return v; }";
    assert!(scalar_in(&small, "int8", "int8", circles, &[Value::Int(1)]).is_ok());
}

#[test]
fn what_an_engine_takes_counts_for_its_query() {
    let budget = Budget::alone(8 << 20);
    let cx = BindContext { memory: Arc::clone(&budget), ..settings(&[]) };
    let greedy = "function f(v) { let a = []; try { while (true) a.push('x'.repeat(1000) + a.length); } catch (e) {} return v; }";
    let error = scalar_in(&cx, "int8", "int8", greedy, &[Value::Int(1)]).unwrap_err();
    assert_eq!(error.code, Code::MEMORY_LIMIT_EXCEEDED, "{error}");
    assert!(error.message.contains("max_memory_usage"), "{error}");
    assert!(budget.peak() > 4 << 20, "{budget:?}");
    assert_eq!(budget.used(), 0, "an engine that is no more has given all back");
    // One with little left works; what a batch has used and left behind does not count for long.
    let waste = "function f(v) { for (let i = 0; i < 50; i++) 'x'.repeat(200000 + i); return v; }";
    assert!(scalar_in(&cx, "int8", "int8", waste, &[Value::Int(1)]).is_ok());
    let none = BindContext { memory: Budget::alone(10_000), ..settings(&[]) };
    let error = scalar_in(&none, "int8", "int8", SAME, &[Value::Int(1)]).unwrap_err();
    assert_eq!(error.code, Code::MEMORY_LIMIT_EXCEEDED, "{error}");
}

#[test]
fn one_function_serves_several_threads() {
    let function = JsScalar::new(signature("f", &["int32"], "int32"), Arc::from(SAME)).unwrap();
    let mut registry = Registry::default();
    registry.add_scalar("f", function);
    let int = parse_type("int32").unwrap();
    let bound = registry.bind_scalar("f", &BindContext::default(), &[ArgInfo::column(int)]).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4_i64 {
            let kernel = Arc::clone(&bound.kernel);
            scope.spawn(move || {
                for i in 0..50 {
                    let args = [Datum::Array(column("int32", &[Value::Int(thread * 1_000 + i)]))];
                    let result = kernel.eval(&EvalContext::at(WallTime(0)), &args, 1).unwrap().to_array(1).unwrap();
                    let int = parse_type("int32").unwrap();
                    assert_eq!(value_at(&result, &int, 0), Value::Int(thread * 1_000 + i));
                }
            });
        }
    });
}

const SECOND: &str = "{
    initialize: function() { this.max = -1; this.sec = -1; },
    process: function(values, deltas) {
        this.deltas = deltas;
        for (let v of values) {
            if (v > this.max) { this.sec = this.max; this.max = v; }
            else if (v < this.max && v > this.sec) this.sec = v;
        }
    },
    finalize: function() { return this.sec; },
    serialize: function() { return JSON.stringify([this.max, this.sec]); },
    deserialize: function(s) { [this.max, this.sec] = JSON.parse(s); },
    merge: function(s) { this.process(JSON.parse(s).reverse()); }
}";

fn bind_in(cx: &BindContext, ty: &str, returns: &str, source: &str) -> Result<BoundAgg> {
    let function = JsAggregate::new(signature("u", &[ty], returns), Arc::from(source))?;
    function.check()?;
    let mut registry = Registry::default();
    registry.add_aggregate("u", function);
    registry.bind_aggregate("u", cx, &[ArgInfo::column(parse_type(ty)?)], false)
}

fn bind(ty: &str, returns: &str, source: &str) -> Result<BoundAgg> {
    bind_in(&BindContext::default(), ty, returns, source)
}

fn answers(bound: &BoundAgg, state: &mut dyn GroupState, groups: &[u32]) -> Vec<Value> {
    let column = state.finish(groups).unwrap();
    (0..groups.len()).map(|row| value_at(&column, &bound.ty, row)).collect()
}

#[test]
fn groups_are_objects_of_their_own_and_states_can_be_moved() {
    let bound = bind("float32", "float32", SECOND).unwrap();
    let mut state = bound.aggregate.new_state();
    state.resize(3);
    state.update(&[0, 1, 0, 1, 0], &[floats(&[1.0, 10.0, 3.0, 20.0, 2.0])], None).unwrap();
    let f = Value::Float32;
    assert_eq!(answers(&bound, state.as_mut(), &[1, 0, 2]), [f(10.0), f(2.0), f(-1.0)]);
    let saved = state.save(&[0, 1, 2]).unwrap();
    let mut other = bound.aggregate.new_state();
    other.resize(4);
    other.update(&[0], &[floats(&[2.5])], None).unwrap();
    // Into a group with rows, into one without, and one that had none.
    other.merge(&[0, 1, 3], &saved).unwrap();
    assert_eq!(answers(&bound, other.as_mut(), &[0, 1, 2, 3]), [f(2.5), f(10.0), f(-1.0), f(-1.0)]);
    state.clear(&[0]);
    assert_eq!(answers(&bound, state.as_mut(), &[0, 1]), [f(-1.0), f(10.0)]);
    assert!(state.bytes() > 0);
    drop(state);
    assert_eq!(answers(&bound, other.as_mut(), &[1]), [f(10.0)]);
}

#[test]
fn a_changelog_comes_in_order_with_its_signs() {
    let source = "{ initialize: function() { this.log = ''; },
        process: function(v, d) { for (let i in v) this.log += (d === undefined ? '?' : d[i] > 0 ? '+' : '-') + v[i]; },
        finalize: function() { return this.log; } }";
    let bound = bind("int32", "string", source).unwrap();
    assert!(bound.aggregate.needs().no_save && bound.aggregate.needs().order);
    let values = column("int32", &[Value::Int(1), Value::Int(1), Value::Int(2)]);
    let mut plain = bound.aggregate.new_state();
    plain.resize(1);
    plain.update(&[0; 3], &[Arc::clone(&values)], None).unwrap();
    assert_eq!(answers(&bound, plain.as_mut(), &[0]), [Value::string("?1?1?2")]);
    assert_eq!(plain.save(&[0]).unwrap_err().code, Code::NOT_IMPLEMENTED);
    let mut log = bound.aggregate.retracting().unwrap().new_state();
    log.resize(1);
    log.apply(&[0; 3], &[Arc::clone(&values)], &Int8Array::from(vec![1, -1, 1]), None).unwrap();
    log.update(&[0; 3], &[values], None).unwrap();
    assert_eq!(answers(&bound, log.as_mut(), &[0]), [Value::string("+1-1+2+1+1+2")]);
}

#[test]
fn an_aggregate_may_answer_when_it_likes() {
    let source = "{ has_customized_emit: true,
        initialize: function() { this.run = []; this.done = []; },
        process: function(values) {
            for (let v of values) if (v === 0) { this.done.push(this.run.length); this.run = []; } else this.run.push(v);
            return this.done.length;
        },
        finalize: function() { const d = this.done; this.done = []; return d; } }";
    let bound = bind("int32", "uint32", source).unwrap();
    assert!(bound.aggregate.needs().own_emit);
    let mut state = bound.aggregate.new_state();
    state.resize(2);
    let ints = |v: &[i64]| column("int32", &v.iter().map(|v| Value::Int(*v)).collect::<Vec<_>>());
    state.update(&[0, 1, 0], &[ints(&[5, 5, 5])], None).unwrap();
    assert!(state.take_answers().unwrap().is_none());
    state.update(&[0, 0, 0, 1], &[ints(&[0, 7, 0, 0])], None).unwrap();
    let (groups, values) = state.take_answers().unwrap().unwrap();
    assert_eq!(groups, [0, 0, 1]);
    let counts: Vec<Value> = (0..3).map(|row| value_at(&values, &bound.ty, row)).collect();
    assert_eq!(counts, [Value::UInt(2), Value::UInt(1), Value::UInt(1)]);
    let wrong = |returns: &str, result: &str| {
        let source = format!(
            "{{ has_customized_emit: true, initialize: function() {{}}, process: function(v) {{ return {returns}; }},
                finalize: function() {{ return {result}; }} }}"
        );
        let bound = bind("int32", "uint32", &source).unwrap();
        let mut state = bound.aggregate.new_state();
        state.resize(1);
        state.update(&[0], &[ints(&[1])], None).unwrap_err().code
    };
    assert_eq!(wrong("true", "[1]"), Code::TYPE_MISMATCH);
    assert_eq!(wrong("2", "[1]"), Code::UDF_INTERNAL_ERROR);
    assert_eq!(wrong("1", "1"), Code::UDF_INTERNAL_ERROR);
    assert_eq!(wrong("1", "['x']"), Code::TYPE_MISMATCH);
}

#[test]
fn what_goes_wrong_in_an_aggregate_has_its_code() {
    let body = |process: &str, finalize: &str| {
        format!(
            "{{ initialize: function() {{}}, process: function(v) {{ {process} }}, finalize: function() {{ {finalize} }} }}"
        )
    };
    let run = |source: &str, cx: &BindContext| {
        let bound = bind_in(cx, "int8", "int8", source)?;
        let mut state = bound.aggregate.new_state();
        state.resize(1);
        state.update(&[0], &[column("int8", &[Value::Int(1)])], None)?;
        state.finish(&[0]).map(drop)
    };
    let code = |source: &str| run(source, &BindContext::default()).unwrap_err().code;
    assert_eq!(code(&body("throw new Error('x')", "return 1")), Code::AGGREGATE_FUNCTION_THROW);
    assert_eq!(code(&body("", "throw new Error('x')")), Code::UDF_INTERNAL_ERROR);
    assert_eq!(code(&body("", "")), Code::UDF_INTERNAL_ERROR);
    assert_eq!(code(&body("", "return 'x'")), Code::TYPE_MISMATCH);
    let start = "{ initialize: function() { this.a.b = 1; }, process: function(v) {}, finalize: function() {} }";
    let started = run(start, &BindContext::default()).unwrap_err();
    assert_eq!(started.code, Code::UDF_INTERNAL_ERROR);
    assert!(started.message.starts_with("initialize of JavaScript function \"u\""), "{started}");
    let late = settings(&[("javascript_max_execution_ms", "50")]);
    assert_eq!(run(&body("for (;;) {}", ""), &late).unwrap_err().code, Code::TIMEOUT_EXCEEDED);
    let small = settings(&[("javascript_max_memory_bytes", "2000000")]);
    let greedy = body("this.a = []; for (;;) this.a.push({});", "");
    assert_eq!(run(&greedy, &small).unwrap_err().code, Code::UDF_MEMORY_THRESHOLD_EXCEEDED);
    let shapes = [
        "function u(v) {}",
        "[1]",
        "1",
        "{ initialize: function() {}, process: function(v) {} }",
        "{ process: function(v) {}, finalize: function() {} }",
        "{ initialize: 1, process: function(v) {}, finalize: function() {} }",
        "{ initialize: function() {}, process: function(v) {}, finalize: function() {}, other: 5 }",
        "{ initialize: function() {}, process: function(v) {}, finalize: function() {}, has_customized_emit: 1 }",
        "{ initialize: function() {",
    ];
    for shape in shapes {
        assert_eq!(bind("int8", "int8", shape).err().unwrap().code, Code::UDF_COMPILE_ERROR, "{shape}");
    }
    let mut registry = Registry::default();
    registry.add_aggregate("u", JsAggregate::new(signature("u", &["float32"], "float32"), Arc::from(SECOND)).unwrap());
    let cx = BindContext::default();
    let given = |types: &[&str]| {
        let args: Vec<ArgInfo> = types.iter().map(|t| ArgInfo::column(parse_type(t).unwrap())).collect();
        registry.bind_aggregate("u", &cx, &args, false).map(drop)
    };
    assert_eq!(given(&["float64"]).unwrap_err().code, Code::ILLEGAL_TYPE_OF_ARGUMENT);
    assert_eq!(given(&["float32", "float32"]).unwrap_err().code, Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH);
    assert!(given(&["nullable(float32)"]).is_ok() && given(&["low_cardinality(float32)"]).is_ok());
}
