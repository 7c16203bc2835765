use super::*;
use crate::column::ColumnBuilder;
use crate::parse::parse_type;

fn written(ty: &str, input: &str, style: Style, options: &TextOptions) -> String {
    let ty = parse_type(ty).unwrap();
    let mut builder = ColumnBuilder::new(&ty);
    if let Err(e) = read_text(input.as_bytes(), Style::Quoted, options, &mut builder) {
        return e.code.number().to_string();
    }
    let array = builder.finish().unwrap();
    let mut out = Vec::new();
    write_text(&array, &ty, 0, style, options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn one_value_in_every_style() {
    let options = TextOptions::default();
    // type, SQL literal, plain, TSV, SQL, CSV, JSON
    for row in [
        ["int64", "-5", "-5", "-5", "-5", "-5", "\"-5\""],
        ["uint32", "5", "5", "5", "5", "5", "5"],
        ["int256", "-5", "-5", "-5", "-5", "-5", "\"-5\""],
        ["float64", "nan", "nan", "nan", "nan", "nan", "null"],
        ["decimal(9,3)", "1.10", "1.1", "1.1", "1.1", "1.1", "1.1"],
        ["bool", "true", "true", "true", "true", "true", "true"],
        ["string", "'a\\tb\\'/\"'", "a\tb'/\"", "a\\tb\\'/\"", "'a\\tb\\'/\"'", "\"a\tb'/\"\"\"", "\"a\\tb'\\/\\\"\""],
        ["date", "'2023-01-02'", "2023-01-02", "2023-01-02", "'2023-01-02'", "\"2023-01-02\"", "\"2023-01-02\""],
        ["nullable(int8)", "NULL", "NULL", "\\N", "NULL", "\\N", "null"],
        ["enum8('a' = 1)", "'a'", "a", "a", "'a'", "\"a\"", "\"a\""],
        ["ipv4", "'1.2.3.4'", "1.2.3.4", "1.2.3.4", "'1.2.3.4'", "\"1.2.3.4\"", "\"1.2.3.4\""],
        ["array(string)", "['x','y']", "['x','y']", "['x','y']", "['x','y']", "\"['x','y']\"", "[\"x\",\"y\"]"],
        ["array(nullable(int8))", "[1,NULL]", "[1,NULL]", "[1,NULL]", "[1,NULL]", "\"[1,NULL]\"", "[1,null]"],
        ["tuple(int8, string)", "(1,'a')", "(1,'a')", "(1,'a')", "(1,'a')", "1,\"a\"", "[1,\"a\"]"],
        ["tuple(a int8, b string)", "(1,'a')", "(1,'a')", "(1,'a')", "(1,'a')", "1,\"a\"", "{\"a\":1,\"b\":\"a\"}"],
        ["map(string, int64)", "{'a':1}", "{'a':1}", "{'a':1}", "{'a':1}", "\"{'a':1}\"", "{\"a\":\"1\"}"],
        ["map(int8, int8)", "{1:2}", "{1:2}", "{1:2}", "{1:2}", "\"{1:2}\"", "{\"1\":2}"],
    ] {
        let styles = [Style::Plain, Style::Escaped, Style::Quoted, Style::Csv, Style::Json];
        for (style, expected) in styles.into_iter().zip(&row[2..]) {
            assert_eq!(&written(row[0], row[1], style, &options), expected, "{} as {style:?}", row[0]);
        }
    }
}

#[test]
fn times_name_their_offset_only_when_the_type_names_a_zone() {
    let mut options = TextOptions::default();
    for (ty, input, style, expected) in [
        ("datetime", "'2023-01-01 00:00:00'", Style::Escaped, "2023-01-01 00:00:00"),
        ("datetime('UTC')", "'2023-01-01 00:00:00'", Style::Escaped, "2023-01-01 00:00:00Z"),
        ("datetime('UTC')", "'2023-01-01 00:00:00'", Style::Plain, "2023-01-01 00:00:00"),
        ("datetime64(3, 'UTC')", "'2023-01-01 00:00:00.5'", Style::Json, "\"2023-01-01 00:00:00.500Z\""),
        ("datetime64(2, 'Asia/Istanbul')", "'2020-12-24 01:02:03'", Style::Escaped, "2020-12-24 01:02:03.00+03:00"),
        ("array(datetime('UTC'))", "['2023-01-01 00:00:00']", Style::Escaped, "['2023-01-01 00:00:00Z']"),
    ] {
        assert_eq!(written(ty, input, style, &options), expected, "{ty} {style:?}");
    }
    options.time_output = TimeOutput::Iso;
    assert_eq!(written("datetime('UTC')", "'2023-01-01 00:00:00'", Style::Escaped, &options), "2023-01-01T00:00:00Z");
    options.time_output = TimeOutput::UnixTimestamp;
    assert_eq!(written("datetime64(3)", "'2023-01-01 00:00:00.5'", Style::Escaped, &options), "1672531200.500");
}

#[test]
fn a_time_may_name_its_offset_behind_its_fraction_too() {
    for (input, expected) in [
        ("2020-02-02 19:59:55.262+00:00", "2020-02-02 19:59:55.262"),
        ("2020-02-02T22:59:55.262+03:00", "2020-02-02 19:59:55.262"),
        ("2020-02-02 19:59:55.5Z", "2020-02-02 19:59:55.500"),
        ("2020-02-02 19:59:55Z", "2020-02-02 19:59:55.000"),
    ] {
        assert_eq!(read("datetime64(3)", input, Style::Escaped), expected, "{input}");
    }
}

fn read(ty: &str, input: &str, style: Style) -> String {
    let ty = parse_type(ty).unwrap();
    let options = TextOptions::default();
    let mut builder = ColumnBuilder::new(&ty);
    match read_text(input.as_bytes(), style, &options, &mut builder) {
        Err(e) => {
            assert!(builder.is_empty(), "an error leaves nothing behind");
            e.code.number().to_string()
        }
        Ok(()) => {
            let array = builder.finish().unwrap();
            let mut out = Vec::new();
            write_text(&array, &ty, 0, Style::Escaped, &options, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        }
    }
}

#[test]
fn fields_are_read_and_refused() {
    for (ty, input, style, expected) in [
        ("int32", "abc", Style::Plain, "6"),
        ("int32", "", Style::Plain, "32"),
        ("int32", "12x", Style::Plain, "6"),
        ("uint8", "256", Style::Plain, "0"),
        ("uint8", "-1", Style::Plain, "72"),
        ("float64", "abc", Style::Plain, "72"),
        ("bool", "maybe", Style::Plain, "467"),
        ("bool", "Yes", Style::Plain, "true"),
        ("date", "x", Style::Plain, "38"),
        ("datetime", "x", Style::Plain, "41"),
        ("datetime", "2023-01-01 00:00:00.5", Style::Plain, "6"),
        ("uuid", "x", Style::Plain, "376"),
        ("enum8('a' = 1)", "b", Style::Plain, "36"),
        ("decimal(4, 2)", "123.4", Style::Plain, "69"),
        ("fixed_string(2)", "abc", Style::Plain, "131"),
        ("string", "a\\tb", Style::Escaped, "a\\tb"),
        ("nullable(string)", "\\N", Style::Escaped, "\\N"),
        ("string", "\\N", Style::Escaped, ""),
        ("string", "\"a\"\"b\"", Style::Csv, "a\"b"),
        ("string", " a ", Style::Csv, "a"),
        ("int32", "", Style::Csv, "0"),
        ("array(int8)", "\"[1,2]\"", Style::Csv, "[1,2]"),
        ("array(int8)", "[1,2", Style::Plain, "130"),
        ("array(int8)", "[1 , 2]", Style::Plain, "[1,2]"),
        ("map(string,int8)", "{'a':1", Style::Plain, "573"),
        ("tuple(int8,string)", "(1,'x')", Style::Plain, "(1,\\'x\\')"),
        ("int64", "\"12\"", Style::Json, "12"),
        ("int64", "12", Style::Json, "12"),
        ("string", "\"\\u0416\\ud83d\\ude00\"", Style::Json, "Ж😀"),
        ("string", "12.5", Style::Json, "12.5"),
        ("tuple(a int8, b int8)", "{\"b\":2,\"z\":[1]}", Style::Json, "(0,2)"),
        ("map(string,array(int8))", "{\"a\":[1],\"b\":[]}", Style::Json, "{\\'a\\':[1],\\'b\\':[]}"),
        ("json", "{\"a\": [1]}", Style::Json, "{\"a\": [1]}"),
        ("json", "\"{\\\"a\\\": 1}\"", Style::Json, "{\"a\": 1}"),
        ("json", "\"{a\"", Style::Json, "\"{a\""),
        ("int8", "null", Style::Json, "0"),
        ("datetime64(3)", "1640649600123", Style::Json, "2021-12-28 00:00:00.123"),
    ] {
        let expected = if expected.starts_with('(') || expected.starts_with('{') {
            expected.replace("\\'", "'")
        } else {
            expected.to_string()
        };
        assert_eq!(read(ty, input, style), expected, "{ty} from {input} as {style:?}");
    }
}

#[test]
fn a_prefix_tells_where_it_ended() {
    let options = TextOptions::default();
    let mut builder = ColumnBuilder::new(&parse_type("array(string)").unwrap());
    let used = read_text_prefix(b" ['a', 'it''s'] , 5)", Style::Quoted, &options, &mut builder).unwrap();
    assert_eq!(used, 15);
    let deep = "[".repeat(100_000);
    assert_eq!(read_text_prefix(deep.as_bytes(), Style::Quoted, &options, &mut builder).unwrap_err().code.number(), 26);
}

#[test]
fn an_object_that_ends_early_is_an_error() {
    for (ty, text) in [("tuple(a int8, b string)", "{"), ("tuple(a int8)", "{\"a\":1,"), ("map(string, int8)", "{")] {
        let mut builder = ColumnBuilder::new(&parse_type(ty).unwrap());
        assert!(read_text_prefix(text.as_bytes(), Style::Json, &TextOptions::default(), &mut builder).is_err(), "{ty}");
    }
}

#[test]
fn literals() {
    use crate::value::Value;
    let ty = parse_type("array(nullable(string))").unwrap();
    let value = Value::Array(vec![Value::string("it's"), Value::Null]);
    assert_eq!(sql_literal(&value, &ty), "['it\\'s',NULL]");
}
