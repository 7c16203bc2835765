use super::*;
use crate::parse::parse_type;
use crate::text::{read_text, write_text};

fn run(input: &str, from: &str, to: &str, mode: CastMode) -> String {
    let (from, to) = (parse_type(from).unwrap(), parse_type(to).unwrap());
    let text = TextOptions::default();
    let mut builder = ColumnBuilder::new(&from);
    if input != "NULL" {
        read_text(input.as_bytes(), Style::Plain, &text, &mut builder).unwrap();
    }
    let array = builder.finish().unwrap();
    let array = if input == "NULL" { new_null_array(array.data_type(), 1) } else { array };
    match cast(&array, &from, &to, &CastOptions::new(Zone::UTC, mode)) {
        Err(e) => e.code.number().to_string(),
        Ok(array) => {
            assert_eq!(array.data_type(), &arrow_type(&to), "{from} to {to}");
            let mut out = Vec::new();
            write_text(&array, &to, 0, Style::Escaped, &text, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        }
    }
}

#[test]
fn plain_casts() {
    for (input, from, to, expected) in [
        ("300", "int32", "uint8", "44"),
        ("-1", "int8", "uint64", "18446744073709551615"),
        ("1.9", "float64", "int32", "1"),
        ("-1.9", "float64", "uint8", "255"),
        ("nan", "float64", "int32", "70"),
        ("-5", "int64", "int256", "-5"),
        ("-1", "int64", "uint128", "340282366920938463463374607431768211455"),
        ("340282366920938463463374607431768211455", "uint128", "float64", "3.402823669209385e38"),
        ("42", "string", "int64", "42"),
        ("abc", "string", "int64", "6"),
        ("256", "string", "uint8", "0"),
        ("1.5", "string", "decimal(9,2)", "1.5"),
        ("10", "int32", "decimal(9,9)", "407"),
        ("1.1", "float64", "decimal(9,2)", "1.1"),
        ("1.25", "decimal(9,2)", "decimal(18,1)", "1.2"),
        ("1.25", "decimal(9,2)", "int32", "1"),
        ("300.5", "decimal(9,2)", "uint8", "407"),
        ("1.25", "decimal(9,2)", "float64", "1.25"),
        ("1.25", "decimal(9,2)", "string", "1.25"),
        ("true", "bool", "int32", "1"),
        ("7", "int32", "bool", "true"),
        ("a", "enum8('a' = 3)", "int32", "3"),
        ("a", "enum8('a' = 3)", "string", "a"),
        ("3", "int32", "enum8('a' = 3)", "a"),
        ("4", "int32", "enum8('a' = 3)", "36"),
        ("a", "enum8('a' = 3)", "enum16('a' = 5)", "a"),
        ("[1,2]", "string", "array(uint8)", "[1,2]"),
        ("[1,2]", "array(uint8)", "array(string)", "['1','2']"),
        ("[1,2]", "array(uint8)", "string", "[1,2]"),
        ("(1,'2')", "tuple(int8,string)", "tuple(string,int64)", "('1',2)"),
        ("([1,2],['a','b'])", "tuple(array(int8),array(string))", "map(string,string)", "{'1':'a','2':'b'}"),
        ("{'a':1}", "map(string,int8)", "map(string,string)", "{'a':'1'}"),
        ("{'a':1}", "map(string,int8)", "array(tuple(string,int8))", "[('a',1)]"),
        ("(1,2)", "tuple(int8,int8)", "tuple(int8)", "53"),
        ("[1]", "array(int8)", "int8", "43"),
        ("ab", "string", "fixed_string(3)", "ab\\0"),
        ("abcd", "string", "fixed_string(3)", "131"),
        ("1.2.3.4", "ipv4", "uint32", "16909060"),
        ("1.2.3.4", "ipv4", "ipv6", "::ffff:1.2.3.4"),
        ("5", "int8", "nullable(int64)", "5"),
        ("NULL", "nullable(int8)", "int64", "349"),
        ("NULL", "nullable(int8)", "nullable(int64)", "\\N"),
        ("5", "nullable(int8)", "int64", "5"),
        ("x", "string", "nullable(int8)", "\\N"),
        ("", "string", "nullable(date)", "\\N"),
        ("", "string", "nullable(datetime64(3))", "1970-01-01 00:00:00.000"),
        ("x", "string", "low_cardinality(string)", "x"),
        ("5", "int64", "interval_day", "5"),
        ("5", "datetime64(3)", "interval_second", "70"),
        ("5", "uint8", "uuid", "48"),
    ] {
        assert_eq!(run(input, from, to, CastMode::Wrap), expected, "{input}: {from} to {to}");
    }
}

#[test]
fn times() {
    for (input, from, to, expected) in [
        ("2023-01-02 03:04:05", "datetime", "date", "2023-01-02"),
        ("2023-01-02", "date", "datetime('Asia/Shanghai')", "2023-01-02 00:00:00+08:00"),
        ("2023-01-02 23:00:00.123", "datetime64(3)", "date32", "2023-01-02"),
        ("2023-01-02 23:00:00.126", "datetime64(3)", "datetime64(2)", "2023-01-02 23:00:00.12"),
        ("2023-01-02 23:00:00.12", "datetime64(2)", "datetime64(9)", "2023-01-02 23:00:00.120000000"),
        ("2023-01-02 23:00:00.9", "datetime64(3)", "datetime", "2023-01-02 23:00:00"),
        ("1965-12-12 12:12:12.123", "datetime64(3)", "decimal(18,3)", "-127914467.877"),
        ("1969-12-31 23:59:59.123", "datetime64(3)", "int64", "-1"),
        ("10", "int32", "date", "1970-01-11"),
        ("1665519765", "int64", "date", "2022-10-11"),
        ("1665519765", "float64", "date32", "2022-10-11"),
        ("-5", "int32", "date", "1970-01-01"),
        ("-1", "int32", "datetime", "1970-01-01 00:00:00"),
        ("-2", "int32", "datetime64(2,'Asia/Istanbul')", "1970-01-01 01:59:58.00+02:00"),
        ("-34359738368", "int64", "datetime64(3)", "1900-01-01 00:00:00.000"),
        ("34359738368", "int64", "datetime64(3)", "2299-12-31 23:59:59.000"),
        ("1640649600123", "int64", "datetime64(3)", "2021-12-28 00:00:00.123"),
        ("1.5", "float64", "datetime64(3)", "1970-01-01 00:00:01.500"),
        ("1.5", "decimal(9,1)", "datetime64(3)", "1970-01-01 00:00:01.500"),
        ("2023-01-02", "date", "uint16", "19359"),
        ("2023-01-02 00:00:00", "string", "datetime('UTC')", "2023-01-02 00:00:00Z"),
        ("2023-01-02 00:00:00.3", "string", "datetime64(0)", "2023-01-02 00:00:00"),
    ] {
        assert_eq!(run(input, from, to, CastMode::Wrap), expected, "{input}: {from} to {to}");
    }
}

#[test]
fn what_does_not_fit_in_other_modes() {
    use CastMode::*;
    for (input, from, to, mode, expected) in [
        ("x", "string", "int8", OrNull, "\\N"),
        ("256", "string", "uint8", OrNull, "\\N"),
        ("x", "string", "int8", OrDefault, "0"),
        ("NULL", "nullable(string)", "int8", OrDefault, "0"),
        ("-1", "int8", "uint8", Accurate, "70"),
        ("5", "int8", "uint8", Accurate, "5"),
        ("5", "int8", "uint256", Accurate, "5"),
        ("-1", "int8", "uint256", Accurate, "70"),
        ("1.5", "float64", "int8", Accurate, "70"),
        ("257", "int32", "uint8", AccurateOrNull, "\\N"),
        ("inf", "float64", "int64", AccurateOrNull, "\\N"),
        ("10", "int8", "decimal(9,9)", Accurate, "407"),
        ("123", "string", "fixed_string(2)", Accurate, "131"),
        ("123", "string", "fixed_string(2)", AccurateOrNull, "\\N"),
    ] {
        assert_eq!(run(input, from, to, mode), expected, "{input}: {from} to {to} {mode:?}");
    }
}

#[test]
fn null_rows_and_slices() {
    let from = parse_type("nullable(string)").unwrap();
    let array: ArrayRef = Arc::new(BinaryArray::from_opt_vec(vec![Some(b"1"), None, Some(b"3"), Some(b"x")]));
    let to = parse_type("nullable(int32)").unwrap();
    let sliced = array.slice(0, 3);
    let result = cast(&sliced, &from, &to, &CastOptions::wrap(Zone::UTC)).unwrap();
    assert_eq!(result.as_primitive::<Int32Type>(), &Int32Array::from(vec![Some(1), None, Some(3)]));

    let list =
        ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1)]), Some(vec![Some(300), Some(3)])]);
    let (from, to) = (parse_type("array(int32)").unwrap(), parse_type("array(uint8)").unwrap());
    let list: ArrayRef = Arc::new(list);
    let result = cast(&list.slice(1, 1), &from, &to, &CastOptions::wrap(Zone::UTC)).unwrap();
    assert_eq!(crate::value_at(&result, &to, 0), Value::Array(vec![Value::UInt(44), Value::UInt(3)]));
    assert!(can_cast(&from, &to));
    assert!(!can_cast(&from, &LogicalType::Int8));
}
