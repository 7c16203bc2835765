use crate::call::{ArgInfo, BindContext, Datum, EvalContext};
use crate::registry::Registry;
use hydron_base::world::WallTime;
use hydron_types::{LogicalType, Style, TextOptions, Value, array_of, parse_type, read_text, write_text};
use std::sync::LazyLock;

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let mut registry = Registry::default();
    super::register(&mut registry);
    crate::scalar::datetime::register(&mut registry);
    registry
});

/// Calls a function with constants written `type:text` (`NULL` alone is NULL); answers `type:text` or the error's number.
pub fn call(name: &str, args: &[&str]) -> String {
    let text = TextOptions::default();
    let mut infos = Vec::new();
    let mut data = Vec::new();
    for arg in args {
        let (ty, value) = arg.split_once(':').unwrap();
        let ty = parse_type(ty).unwrap();
        let mut builder = hydron_types::ColumnBuilder::new(&ty);
        if value == "NULL" {
            builder.append(&Value::Null).unwrap();
        } else {
            read_text(value.as_bytes(), Style::Plain, &text, &mut builder).unwrap();
        }
        let array = builder.finish().unwrap();
        infos.push(ArgInfo::constant(ty.clone(), hydron_types::value_at(&array, &ty, 0)));
        data.push(Datum::Scalar(array));
    }
    let function = REGISTRY.scalar(name).unwrap_or_else(|| panic!("{name} is not registered"));
    let bound = match function.bind(&BindContext::default(), &infos) {
        Ok(bound) => bound,
        Err(e) => return e.code.number().to_string(),
    };
    let cx = EvalContext::at(WallTime(1_700_000_000_123_456));
    match bound.kernel.eval(&cx, &data, 1).and_then(|d| d.to_array(1)) {
        Err(e) => e.code.number().to_string(),
        Ok(array) => {
            assert_eq!(array.data_type(), &hydron_types::physical::arrow_type(&bound.ty), "{name}");
            let mut out = Vec::new();
            write_text(&array, &bound.ty, 0, Style::Escaped, &text, &mut out).unwrap();
            format!("{}:{}", bound.ty, String::from_utf8(out).unwrap())
        }
    }
}

pub fn check(cases: &[(&str, &[&str], &str)]) {
    for (name, args, expected) in cases {
        assert_eq!(call(name, args), *expected, "{name}({})", args.join(", "));
    }
}

#[test]
fn conversions() {
    check(&[
        ("to_int8", &["int32:300"], "int8:44"),
        ("to_uint8", &["nullable(string):"], "nullable(uint8):\\N"),
        ("to_uint8", &["nullable(string):256"], "nullable(uint8):\\N"),
        ("to_int64", &["nullable(string):256"], "nullable(int64):256"),
        ("to_int32", &["string:abc"], "6"),
        ("to_int32_or_null", &["string:abc"], "nullable(int32):\\N"),
        ("to_int32_or_zero", &["string:abc"], "int32:0"),
        ("to_int32_or_null", &["int32:5"], "43"),
        ("to_int32_or_default", &["string:abc", "int32:7"], "int32:7"),
        ("to_int32_or_default", &["string:12"], "int32:12"),
        ("to_uint8_or_default", &["int32:-5", "uint8:9"], "uint8:9"),
        ("to_date", &["string:2020-12-24"], "date32:2020-12-24"),
        ("to_date16", &["string:2020-12-24"], "date:2020-12-24"),
        ("to_date", &["nullable(string):0000-00-00"], "nullable(date32):1900-01-01"),
        ("to_date", &["nullable(string):9999-01-01"], "nullable(date32):2299-12-31"),
        ("to_date_or_null", &["string:x"], "nullable(date):\\N"),
        ("to_date", &["int64:1665519765", "string:Europe/Amsterdam"], "date32:2022-10-11"),
        (
            "to_datetime",
            &["nullable(string):0000-00-00 00:00:00", "string:Asia/Istanbul"],
            "nullable(datetime('Asia/Istanbul')):1970-01-01 02:00:00+02:00",
        ),
        (
            "to_datetime64",
            &["nullable(string):", "uint8:2", "string:Asia/Istanbul"],
            "nullable(datetime64(2, 'Asia/Istanbul')):1970-01-01 02:00:00.00+02:00",
        ),
        ("to_datetime", &["int8:-2", "uint8:2"], "datetime64(2):1969-12-31 23:59:58.00"),
        (
            "to_datetime64",
            &["datetime('Asia/Istanbul'):1970-01-01 02:00:01", "uint8:2"],
            "datetime64(2, 'Asia/Istanbul'):1970-01-01 02:00:01.00+02:00",
        ),
        ("to_datetime", &["uint8:0", "string:/abc"], "1000"),
        ("to_datetime", &["string:<Empty>"], "41"),
        ("to_decimal32", &["nullable(string):3.14159", "uint8:2"], "nullable(decimal(9, 2)):3.14"),
        ("to_decimal32", &["string:-1E9", "uint8:0"], "69"),
        ("to_decimal32", &["string:1E-9", "uint8:10"], "69"),
        ("to_fixed_string", &["nullable(string):42", "uint8:4"], "nullable(fixed_string(4)):42\\0\\0"),
        ("to_string", &["datetime('UTC'):2020-01-01 00:00:00"], "string:2020-01-01 00:00:00"),
        ("to_string", &["datetime:2020-01-01 00:00:00", "string:Asia/Shanghai"], "string:2020-01-01 08:00:00"),
        ("to_string", &["array(int8):[1,2]"], "string:[1,2]"),
        ("to_bool", &["string:enabled"], "bool:true"),
        ("to_ipv4", &["string:test"], "531"),
        ("to_ipv4_or_default", &["string:test"], "ipv4:0.0.0.0"),
        ("to_ipv6_or_null", &["string:test"], "nullable(ipv6):\\N"),
        ("to_uuid_or_default", &["string:x"], "uuid:00000000-0000-0000-0000-000000000000"),
        ("to_interval_day", &["int64:3"], "interval_day:3"),
        ("to_interval_second", &["datetime64(3):5"], "70"),
        ("to_int32", &["nullable(int8):NULL"], "nullable(int32):\\N"),
        ("to_int32", &[], "42"),
        ("to_int32", &["array(int8):[1]"], "43"),
        ("to_int", &["string:5"], "int32:5"),
        ("to_string_cut_to_zero", &["fixed_string(4):ab"], "string:ab"),
    ]);
}

#[test]
fn casts() {
    check(&[
        ("cast", &["string:12", "string:int16"], "int16:12"),
        ("CAST", &["string:12", "string:int16"], "int16:12"),
        ("cast", &["nullable(int8):NULL", "string:int16"], "349"),
        ("cast", &["int8:5", "string:Int16"], "50"),
        ("cast", &["string:[1,2]", "string:array(uint8)"], "array(uint8):[1,2]"),
        ("cast", &["datetime64(3):5", "string:interval_second"], "70"),
        ("accurate_cast", &["int8:-1", "string:uint8"], "70"),
        ("accurate_cast_or_null", &["int16:257", "string:uint8"], "nullable(uint8):\\N"),
        ("accurate_cast_or_default", &["int16:257", "string:uint8"], "uint8:0"),
        ("accurate_cast_or_default", &["int16:257", "string:uint8", "uint8:5"], "uint8:5"),
        (
            "accurate_cast_or_default",
            &["string:123", "string:fixed_string(2)", "fixed_string(2):12"],
            "fixed_string(2):12",
        ),
        ("to_type_name", &["nothing:"], "string:nullable(nothing)"),
        ("to_type_name", &["array(int8):[]"], "string:array(int8)"),
        ("to_nullable", &["int8:1"], "nullable(int8):1"),
        ("assume_not_null", &["nullable(int8):NULL"], "int8:0"),
        ("to_low_cardinality", &["string:a"], "low_cardinality(string):a"),
    ]);
}

#[test]
fn loose_times() {
    check(&[
        (
            "parse_datetime_best_effort",
            &["string:1596752940", "string:Asia/Istanbul"],
            "datetime('Asia/Istanbul'):2020-08-07 01:29:00+03:00",
        ),
        (
            "parse_datetime64_best_effort",
            &["string:2020-05-14T03:37:03.253184Z", "uint8:3", "string:Europe/Minsk"],
            "datetime64(3, 'Europe/Minsk'):2020-05-14 06:37:03.253+03:00",
        ),
        (
            "parse_datetime64_best_effort",
            &["string:1640649600123", "uint8:1", "string:UTC"],
            "datetime64(1, 'UTC'):2021-12-28 00:00:00.1Z",
        ),
        ("parse_datetime64_best_effort", &["string:foo"], "41"),
        ("parse_datetime64_best_effort", &["uint8:123"], "43"),
        ("parse_datetime64_best_effort", &["string:x", "string:bar"], "43"),
        ("parse_datetime64_best_effort", &["string:x", "uint8:3", "string:baz"], "1000"),
        ("parse_datetime_best_effort_or_null", &["string:x"], "nullable(datetime):\\N"),
        ("parse_datetime_best_effort_or_zero", &["string:x", "string:UTC"], "datetime('UTC'):1970-01-01 00:00:00Z"),
        ("to_time", &["string:nonsense"], "datetime64(3):1970-01-01 00:00:00.000"),
        ("to_time", &["string:2022-01-02 03:04:05", "string:UTC"], "datetime64(3, 'UTC'):2022-01-02 03:04:05.000Z"),
        ("to_time", &["uint8:1"], "43"),
    ]);
}

#[test]
fn bytes_as_another_type() {
    check(&[
        ("reinterpret_as_uint8", &["uint16:257"], "uint8:1"),
        ("reinterpret", &["uint8:49", "string:fixed_string(3)"], "fixed_string(3):1\\0\\0"),
        ("reinterpret_as_fixed_string", &["uint8:49"], "fixed_string(1):1"),
        ("reinterpret_as_uint32", &["float32:0.2"], "uint32:1045220557"),
        ("reinterpret_as_int256", &["uint16:257"], "int256:257"),
        ("reinterpret_as_string", &["uint16:12593"], "string:11"),
        (
            "reinterpret",
            &["string:", "string:DateTime64(3, 'Asia/Istanbul')"],
            "datetime64(3, 'Asia/Istanbul'):1970-01-01 02:00:00.000+02:00",
        ),
        ("reinterpret", &["string:1", "string:decimal256(2)"], "decimal(76, 2):0.49"),
        ("reinterpret", &["string:123", "string:fixed_string(1)"], "43"),
    ]);
    assert!(array_of(&Value::Null, &LogicalType::Int8, 1).is_err());
}
