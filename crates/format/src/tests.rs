//! Formats as stories: rows in, bytes out and back.

use crate::{Evaluator, FormatOptions, InputBatch, ResultStats, input, output};
use hydron_base::{Code, Error, Settings};
use hydron_types::{Batch, Field, Schema, Value, Zone, parse_type, value_at};
use std::sync::Arc;

mod framed;

/// `"a uint8, s string"` as a schema.
fn schema(columns: &[(&str, &str)]) -> Arc<Schema> {
    let field = |(name, ty): &(&str, &str)| Field::new(*name, parse_type(ty).unwrap());
    Arc::new(Schema::new(columns.iter().map(field).collect()))
}

fn options(settings: &[(&str, &str)]) -> FormatOptions {
    let mut all = Settings::default();
    settings.iter().for_each(|(name, value)| all.set(name, value).unwrap());
    FormatOptions::from_settings(&all, Zone::UTC)
}

/// Rows given as TSV.
fn batch(columns: &[(&str, &str)], tsv: &str) -> Batch {
    let mut reader = input("TSV", schema(columns), &FormatOptions::default(), None).unwrap();
    reader.feed(tsv.as_bytes(), true).unwrap().remove(0).batch
}

fn print(format: &str, batches: &[Batch], settings: &[(&str, &str)]) -> String {
    let mut out = Vec::new();
    let mut writer = output(format, Arc::clone(&batches[0].schema), &options(settings)).unwrap();
    writer.prefix(&mut out).unwrap();
    batches.iter().for_each(|b| writer.batch(b, &mut out).unwrap());
    writer.suffix(&ResultStats { rows_before_limit: Some(7), ..ResultStats::default() }, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// What a reader makes of `text`, as TSV, with `text` whole and cut after each of its bytes; a row's column with a default
/// is marked by `*`.
fn read(format: &str, columns: &[(&str, &str)], text: &str, settings: &[(&str, &str)]) -> Result<String, Error> {
    let read_in = |step: usize| -> Result<String, Error> {
        let mut reader = input(format, schema(columns), &options(settings), None)?;
        let mut batches = Vec::new();
        for piece in text.as_bytes().chunks(step) {
            batches.extend(reader.feed(piece, false)?);
        }
        batches.extend(reader.feed(b"", true)?);
        Ok(batches.iter().map(shown).collect())
    };
    let whole = read_in(text.len().max(1));
    let cut = read_in(1);
    match (&whole, &cut) {
        (Ok(a), Ok(b)) => assert_eq!(a, b, "cut input reads differently"),
        (Err(a), Err(b)) => assert_eq!(a.code, b.code),
        _ => panic!("whole: {whole:?}, cut: {cut:?}"),
    }
    whole
}

fn shown(rows: &InputBatch) -> String {
    let text = print("TSV", std::slice::from_ref(&rows.batch), &[]);
    let mut lines = String::new();
    for (row, line) in text.lines().enumerate() {
        let fields = line.split('\t').enumerate().map(|(column, field)| {
            let is_default = rows.defaults[column].as_ref().is_some_and(|d| d.value(row));
            if is_default { format!("{field}*") } else { field.to_string() }
        });
        lines.push_str(&fields.collect::<Vec<_>>().join("|"));
        lines.push('\n');
    }
    lines
}

const TWO: &[(&str, &str)] = &[("x", "uint64"), ("s", "string")];

#[test]
fn tables_for_people_look_as_in_clickhouse() {
    let rows = batch(TWO, "1\tприв\n1000\tb\n");
    let color = [("output_format_pretty_color", "0")];
    assert_eq!(
        print("Pretty", std::slice::from_ref(&rows), &color),
        "┏━━━━━━┳━━━━━━┓\n┃    x ┃ s    ┃\n┡━━━━━━╇━━━━━━┩\n│    1 │ прив │\n├──────┼──────┤\n│ 1000 │ b    │\n└──────┴──────┘\n"
    );
    assert_eq!(
        print("PrettyCompact", std::slice::from_ref(&rows), &[]),
        "┌────\x1b[1mx\x1b[0m─┬─\x1b[1ms\x1b[0m────┐\n│    1 │ прив │\n│ 1000 │ b    │\n└──────┴──────┘\n"
    );
    assert_eq!(
        print("PrettySpaceNoEscapes", std::slice::from_ref(&rows), &[]),
        "    x   s   \n\n    1   прив \n 1000   b    \n"
    );
    let cut = [("output_format_pretty_max_value_width", "3"), ("output_format_pretty_color", "0")];
    assert_eq!(
        print("PrettyCompact", std::slice::from_ref(&rows), &cut),
        "┌───x─┬─s───┐\n│   1 │ при⋯│\n│ 100⋯│ b   │\n└─────┴─────┘\n"
    );
    let ascii = [("output_format_pretty_grid_charset", "ASCII"), ("output_format_pretty_row_numbers", "1")];
    assert_eq!(
        print("PrettyCompactNoEscapes", &[batch(&[("a", "nullable(uint8)")], "\\N\n")], &ascii),
        "   +----a-+\n1. | NULL |\n   +------+\n"
    );
}

#[test]
fn mono_block_is_one_table_and_rows_are_limited() {
    let rows = [batch(TWO, "1\ta\n"), batch(TWO, "2\tb\n")];
    assert_eq!(print("PrettyCompactNoEscapesMonoBlock", &rows, &[]), "┌─x─┬─s─┐\n│ 1 │ a │\n│ 2 │ b │\n└───┴───┘\n");
    let one = [("output_format_pretty_max_rows", "1")];
    assert_eq!(print("PrettyCompactNoEscapes", &rows, &one), "┌─x─┬─s─┐\n│ 1 │ a │\n└───┴───┘\n  Showed first 1.\n");
}

#[test]
fn vertical_and_its_totals() {
    let rows = batch(&[("x", "uint8"), ("name", "nullable(string)")], "1\t\\N\n");
    assert_eq!(print("Vertical", std::slice::from_ref(&rows), &[]), "Row 1:\n──────\nx:    1\nname: ᴺᵁᴸᴸ\n");
    let mut out = Vec::new();
    let mut writer = output("Vertical", Arc::clone(&rows.schema), &FormatOptions::default()).unwrap();
    writer.totals(&rows, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "\n\nTotals:\n───────\nx:    1\nname: ᴺᵁᴸᴸ\n");
}

#[test]
fn json_documents() {
    let rows = batch(&[("n", "uint64"), ("\"", "string")], "10\ta/b\n");
    let quiet = [("output_format_write_statistics", "0")];
    assert_eq!(
        print("JSON", std::slice::from_ref(&rows), &quiet),
        "{\n\t\"meta\":\n\t[\n\t\t{\n\t\t\t\"name\": \"n\",\n\t\t\t\"type\": \"uint64\"\n\t\t},\n\t\t{\n\t\t\t\"name\": \"\\\\\\\"\",\n\
         \t\t\t\"type\": \"string\"\n\t\t}\n\t],\n\n\t\"data\":\n\t[\n\t\t{\n\t\t\t\"n\": \"10\",\n\t\t\t\"\\\"\": \"a\\/b\"\n\t\t}\n\t],\n\n\
         \t\"rows\": 1,\n\n\t\"rows_before_limit_at_least\": 7\n}\n"
    );
    let empty = Batch::empty(schema(&[("s", "string")]));
    let text = print("JSONCompact", &[empty], &quiet);
    assert!(text.contains("\"data\":\n\t[\n\n\t],\n"), "{text}");
    let text = print("JSONCompact", &[batch(TWO, "1\ta\n2\tb\n")], &quiet);
    assert!(text.contains("\t[\n\t\t[\"1\", \"a\"],\n\t\t[\"2\", \"b\"]\n\t],"), "{text}");
}

#[test]
fn bytes_that_are_no_utf8_become_one_replacement_character() {
    let mut out = b"a\xED \xA8\x80\xFFz".to_vec();
    crate::output::replace_invalid_utf8(&mut out, 0);
    assert_eq!(String::from_utf8(out).unwrap(), "a\u{FFFD} \u{FFFD}z");
}

#[test]
fn lines_of_json() {
    let rows = batch(&[("x", "uint8"), ("a/b", "array(string)")], "1\t['q\"']\n");
    assert_eq!(print("JSONEachRow", std::slice::from_ref(&rows), &[]), "{\"x\":1,\"a\\/b\":[\"q\\\"\"]}\n");
    assert_eq!(
        print("JSONCompactEachRowWithNamesAndTypes", &[batch(TWO, "1\ta\n")], &[]),
        "[\"x\", \"s\"]\n[\"uint64\", \"string\"]\n[\"1\", \"a\"]\n"
    );
    assert_eq!(
        print("JSONStringsEachRow", &[batch(&[("x", "nullable(uint8)")], "1\n\\N\n")], &[]),
        "{\"x\":\"1\"}\n{\"x\":\"ᴺᵁᴸᴸ\"}\n"
    );
    let array = [("output_format_json_array_of_rows", "1")];
    assert_eq!(print("JSONEachRow", &[batch(&[("x", "uint8")], "1\n2\n")], &array), "[\n{\"x\":1},\n{\"x\":2}\n]\n");
}

#[test]
fn separated_text() {
    let columns = [("n", "uint64"), ("d", "date"), ("s", "string"), ("t", "tuple(uint64, date)")];
    let rows = batch(&columns, "10\t2000-01-11\ta\\tb\"'\t(10,'2000-01-11')\n");
    let all = std::slice::from_ref(&rows);
    assert_eq!(
        print("TabSeparatedWithNamesAndTypes", all, &[]),
        "n\td\ts\tt\nuint64\tdate\tstring\ttuple(uint64, date)\n10\t2000-01-11\ta\\tb\"\\'\t(10,'2000-01-11')\n"
    );
    assert_eq!(print("TSVRaw", all, &[]), "10\t2000-01-11\ta\tb\"'\t(10,'2000-01-11')\n");
    assert_eq!(
        print("CSVWithNames", all, &[]),
        "\"n\",\"d\",\"s\",\"t\"\n10,\"2000-01-11\",\"a\tb\"\"'\",10,\"2000-01-11\"\n"
    );
    assert_eq!(print("TSKV", &[batch(TWO, "1\ta\n")], &[]), "x=1\ts=a\n");
    assert_eq!(print("Values", &[batch(TWO, "1\ta\n2\tb\n")], &[]), "(1,'a'),(2,'b')");
    assert_eq!(print("Markdown", &[batch(TWO, "1\ta\n")], &[]), "| x | s |\n|-:|:-|\n| 1 | a |\n");
    assert_eq!(print("LineAsString", &[batch(&[("s", "string")], "a\\\\ b\n")], &[]), "a\\ b\n");
    assert_eq!(print("CSV", &[batch(TWO, "1\ta\n")], &[("output_format_csv_crlf_end_of_line", "1")]), "1,\"a\"\r\n");
}

#[test]
fn xml_nests_arrays_and_tuples() {
    let rows =
        batch(&[("n", "uint8"), ("a b", "array(uint8)"), ("t", "tuple(uint8, string)")], "1\t[1,2]\t(3,'<&>')\n");
    let text = print("XML", &[rows], &[("output_format_write_statistics", "0")]);
    assert!(
        text.contains("\t\t<row>\n\t\t\t<n>1</n>\n\t\t\t<field><array><elem>1</elem><elem>2</elem></array></field>\n"),
        "{text}"
    );
    assert!(text.contains("<t><tuple><elem>3</elem><elem>&lt;&amp;></elem></tuple></t>"), "{text}");
    assert!(
        text.ends_with(
            "\t</data>\n\t<rows>1</rows>\n\t<rows_before_limit_at_least>7</rows_before_limit_at_least>\n</result>\n"
        ),
        "{text}"
    );
}

#[test]
fn tsv_reads_escapes_and_defaults() {
    let null = [("a", "uint8"), ("n", "nullable(uint8)"), ("s", "string")];
    assert_eq!(read("TSV", &null, "1\t\\N\ta\\tb\\nc\\\\\n\\N\t2\t\n", &[]).unwrap(), "1|\\N|a\\tb\\nc\\\\\n0*|2|\n");
    assert_eq!(read("TSV", TWO, "1\ta\\\nb\n", &[]).unwrap(), "1|a\\nb\n");
    assert_eq!(read("TSVRaw", &[("s", "string")], "a\\tb\"", &[]).unwrap(), "a\\\\tb\"\n");
    assert_eq!(read("TSV", TWO, "x\ta\n", &[]).unwrap_err().code, Code::CANNOT_PARSE_INPUT_ASSERTION_FAILED);
    assert_eq!(read("TSV", TWO, "1\n", &[]).unwrap_err().code, Code::CANNOT_PARSE_INPUT_ASSERTION_FAILED);
    assert_eq!(read("TSV", TWO, "1\ta\r\n", &[]).unwrap_err().code, Code::INCORRECT_DATA);
    assert_eq!(read("TSKV", TWO, "tskv\ts=a=b\tx=1\ny=2\n", &[]).unwrap(), "1|a=b\n0*|*\n");
}

#[test]
fn a_header_names_the_columns() {
    assert_eq!(read("TSVWithNames", TWO, "s\tz\tx\na\t?\t1\n", &[]).unwrap(), "1|a\n");
    assert_eq!(read("CSVWithNames", TWO, "\"s\"\n\"a\"\n", &[]).unwrap(), "0*|a\n");
    assert_eq!(read("CSVWithNamesAndTypes", TWO, "\"x\",\"s\"\n\"uint64\",\"string\"\n1,a\n", &[]).unwrap(), "1|a\n");
    assert_eq!(read("CSVWithNamesAndTypes", TWO, "x\nstring\n1\n", &[]).unwrap_err().code, Code::INCORRECT_DATA);
    assert_eq!(
        read("CSVWithNames", TWO, "x,y\n1,2\n", &[("input_format_skip_unknown_fields", "0")]).unwrap_err().code,
        Code::INCORRECT_DATA
    );
    assert_eq!(read("JSONCompactEachRowWithNames", TWO, "[\"s\",\"x\"]\n[\"a\",1]\n", &[]).unwrap(), "1|a\n");
}

#[test]
fn csv_reads_quotes_spaces_and_tuples() {
    assert_eq!(read("CSV", TWO, " 1 , \"a\"\"b,\nc\" \r\n2,plain\n", &[]).unwrap(), "1|a\"b,\\nc\n2|plain\n");
    assert_eq!(read("CSV", TWO, ",\"\"\n", &[]).unwrap(), "0*|\n");
    assert_eq!(read("CSV", TWO, "1,it\"s\n2,b\n", &[]).unwrap(), "1|it\"s\n2|b\n");
    let tuple = [("t", "tuple(uint8, string)"), ("y", "uint8")];
    assert_eq!(read("CSV", &tuple, "1,\"a'\",2\n\"(3,'b')\",4\n", &[]).unwrap(), "(1,'a\\'')|2\n(3,'b')|4\n");
    assert_eq!(read("CSV", TWO, "1;a\n", &[("format_csv_delimiter", ";")]).unwrap(), "1|a\n");
    assert_eq!(read("CSV", TWO, "1,a,b\n", &[]).unwrap_err().code, Code::INCORRECT_DATA);
    assert_eq!(read("CSV", TWO, "1\n", &[]).unwrap_err().code, Code::CANNOT_PARSE_INPUT_ASSERTION_FAILED);
    let e = read("CSV", TWO, "1,a\nz,b\n", &[]).unwrap_err();
    assert!(e.message.contains("row 2") && e.message.contains("'z'") && e.message.contains("'x'"), "{e}");
}

#[test]
fn json_rows_come_in_any_dress() {
    assert_eq!(
        read("JSONEachRow", TWO, "{\"x\": true, \"s\": \"é\\n\\u0041\"}, {\"s\":\"}{\",\"x\":2}\n{ }", &[]).unwrap(),
        "1|é\\nA\n2|}{\n0*|*\n"
    );
    assert_eq!(
        read(
            "JSONEachRow",
            TWO,
            "[{\"x\":\"1\",\"s\":\"a\"},\n{\"x\":2,\"skip\":{\"a\":[1,\"]\"]},\"s\":\"b\"}];",
            &[]
        )
        .unwrap(),
        "1|a\n2|b\n"
    );
    assert_eq!(read("JSONEachRow", TWO, "{\"x\":null,\"s\":\"a\"}", &[]).unwrap(), "0*|a\n");
    assert_eq!(
        read("JSONEachRow", TWO, "{\"y\":1}", &[("input_format_skip_unknown_fields", "0")]).unwrap_err().code,
        Code::INCORRECT_DATA
    );
    assert_eq!(
        read("JSONEachRow", TWO, "{\"x\":\"z\"}", &[]).unwrap_err().code,
        Code::CANNOT_PARSE_INPUT_ASSERTION_FAILED
    );
    assert!(read("JSONEachRow", TWO, "{\"x\":1", &[]).is_err());
    assert!(read("JSONEachRow", TWO, "x\n", &[]).is_err());
    assert_eq!(read("JSONCompactEachRow", TWO, "[1, \"a\"]\n[2,\"b\"],[3,\"]\"]", &[]).unwrap(), "1|a\n2|b\n3|]\n");
    assert_eq!(read("JSONStringsEachRow", TWO, "{\"x\":\"1\",\"s\":\"a\\\"\"}", &[]).unwrap(), "1|a\"\n");
    assert_eq!(
        read("JSONAsString", &[("s", "string")], "{\"a\":{}}\n{\"b\":1}", &[]).unwrap(),
        "{\"a\":{}}\n{\"b\":1}\n"
    );
}

#[test]
fn bad_rows_are_skipped_within_the_allowance() {
    let text = "1,a\nz,b\n3,c\nq,d\n";
    assert_eq!(read("CSV", TWO, text, &[("input_format_allow_errors_num", "2")]).unwrap(), "1|a\n3|c\n");
    assert_eq!(
        read("CSV", TWO, text, &[("input_format_allow_errors_num", "1")]).unwrap_err().code,
        Code::CANNOT_PARSE_INPUT_ASSERTION_FAILED
    );
    assert_eq!(read("CSV", TWO, text, &[("input_format_allow_errors_ratio", "0.5")]).unwrap(), "1|a\n3|c\n");
}

#[test]
fn batches_are_full_or_last() {
    let mut reader = input("TSV", schema(TWO), &options(&[("max_insert_block_size", "2")]), None).unwrap();
    assert_eq!(reader.feed(b"1\ta\n2\tb\n3\tc", false).unwrap()[0].batch.rows(), 2);
    assert!(reader.flush().unwrap().is_none());
    assert_eq!(reader.feed(b"\n", false).unwrap().len(), 0);
    assert_eq!(reader.flush().unwrap().unwrap().batch.rows(), 1);
    assert!(reader.feed(b"", true).unwrap().is_empty());
}

#[test]
fn values_take_literals_and_hand_expressions_over() {
    assert_eq!(
        read("Values", TWO, " (1, 'a,)\\'') (2,'b''c'),\n(DEFAULT, 'd'); ", &[]).unwrap(),
        "1|a,)\\'\n2|b\\'c\n0*|d\n"
    );
    assert_eq!(read("Values", TWO, "(1, -- one )\n'a'), /* ( */ (2, 'b')", &[]).unwrap(), "1|a\n2|b\n");
    assert_eq!(
        read("Values", &[("a", "array(uint8)"), ("n", "nullable(uint8)")], "([1,2], NULL)", &[]).unwrap(),
        "[1,2]|\\N\n"
    );
    assert!(read("Values", TWO, "(1, 'a'", &[]).is_err());
    assert!(read("Values", TWO, "(1)", &[]).is_err());
    assert!(read("Values", TWO, "(1, 'a', 2)", &[]).is_err());
    assert!(read("Values", TWO, "1, 'a'", &[]).is_err());

    // A small evaluator: everything up to the comma or bracket that ends the field is worth 42.
    let evaluator: Evaluator = Box::new(|field, text| {
        assert_eq!(&*field.name, "x");
        let depth = |c: char, d: &mut i32| {
            *d += i32::from(c == '(') - i32::from(c == ')');
            *d < 0 || (*d == 0 && c == ',')
        };
        let mut level = 0;
        let end = text.find(|c| depth(c, &mut level)).unwrap_or(text.len());
        Ok((Value::UInt(42), end))
    });
    let mut reader = input("Values", schema(TWO), &FormatOptions::default(), Some(evaluator)).unwrap();
    let rows = reader.feed(b"(plus(1, 2) , 'a'), (1 + 1, 'b'), (7, 'c')", true).unwrap();
    assert_eq!(shown(&rows[0]), "42|a\n42|b\n7|c\n");
}

#[test]
fn columnar_files_come_back_as_they_went() {
    let columns = [("x", "uint32"), ("s", "nullable(string)"), ("t", "datetime64(3)"), ("a", "array(int16)")];
    let rows = batch(&columns, "1\ta\t2024-01-02 03:04:05.678\t[1,2]\n2\t\\N\t1970-01-01 00:00:00.000\t[]\n");
    for format in ["Arrow", "ArrowStream", "Parquet"] {
        let mut file = Vec::new();
        let mut writer = output(format, Arc::clone(&rows.schema), &FormatOptions::default()).unwrap();
        writer.prefix(&mut file).unwrap();
        writer.batch(&rows, &mut file).unwrap();
        writer.suffix(&ResultStats::default(), &mut file).unwrap();
        let mut more = columns.to_vec();
        more.push(("missing", "uint8"));
        let mut reader = input(format, schema(&more), &FormatOptions::default(), None).unwrap();
        let mut batches = Vec::new();
        for piece in file.chunks(7) {
            batches.extend(reader.feed(piece, false).unwrap());
        }
        batches.extend(reader.feed(b"", true).unwrap());
        let text = batches.iter().map(shown).collect::<String>();
        assert_eq!(text, "1|a|2024-01-02 03:04:05.678|[1,2]|0*\n2|\\N|1970-01-01 00:00:00.000|[]|0*\n", "{format}");
    }
    // NULL where the column has none, and another width.
    let other = [("x", "int64"), ("s", "string")];
    let mut file = Vec::new();
    let mut writer = output("Parquet", Arc::clone(&rows.schema), &FormatOptions::default()).unwrap();
    writer.batch(&rows, &mut file).unwrap();
    writer.suffix(&ResultStats::default(), &mut file).unwrap();
    let mut reader = input("Parquet", schema(&other), &FormatOptions::default(), None).unwrap();
    assert_eq!(shown(&reader.feed(&file, true).unwrap()[0]), "1|a\n2|*\n");
    assert_eq!(value_at(rows.column(0), &rows.schema.fields[0].ty, 1), Value::UInt(2));
}

#[test]
fn row_binary_is_exact_and_comes_back_at_any_cut() {
    let small = batch(&[("n", "uint64"), ("s", "nullable(string)"), ("a", "array(uint8)")], "10\ta\t[1,2]\n");
    let mut out = Vec::new();
    let mut writer =
        output("RowBinaryWithNamesAndTypes", Arc::clone(&small.schema), &FormatOptions::default()).unwrap();
    writer.prefix(&mut out).unwrap();
    writer.batch(&small, &mut out).unwrap();
    assert_eq!(
        out,
        b"\x03\x01n\x01s\x01a\x06uint64\x10nullable(string)\x0carray(uint8)\x0a\0\0\0\0\0\0\0\0\x01a\x02\x01\x02"
    );

    let columns = [
        ("b", "bool"),
        ("i", "int16"),
        ("w", "uint128"),
        ("d", "decimal(20, 3)"),
        ("f", "float32"),
        ("day", "date"),
        ("t", "datetime64(4)"),
        ("u", "uuid"),
        ("p", "ipv4"),
        ("e", "enum8('a' = 1, 'b' = -2)"),
        ("m", "map(string, nullable(int32))"),
        ("tu", "tuple(fixed_string(2), int256)"),
    ];
    let text = "true\t-300\t340282366920938463463374607431768211455\t-1.5\t0.25\t2020-01-02\t2021-01-01 00:00:00.1234\t\
                61f0c404-5cb3-11e7-907b-a6006ad3dba0\t1.2.3.4\tb\t{'k':NULL,'l':-7}\t('xy',-12)\n";
    let rows = batch(&columns, text);
    let mut out = Vec::new();
    let mut writer = output("RowBinaryWithNamesAndTypes", Arc::clone(&rows.schema), &FormatOptions::default()).unwrap();
    writer.prefix(&mut out).unwrap();
    writer.batch(&rows, &mut out).unwrap();
    writer.batch(&rows, &mut out).unwrap();
    // A column that the file has and the stream has not is passed over.
    for (step, columns) in [(1, &columns[..]), (7, &columns[2..]), (out.len(), &columns[..3])] {
        let mut reader = input("RowBinaryWithNamesAndTypes", schema(columns), &FormatOptions::default(), None).unwrap();
        let mut batches = Vec::new();
        out.chunks(step).for_each(|piece| batches.extend(reader.feed(piece, false).unwrap()));
        batches.extend(reader.feed(b"", true).unwrap());
        let line = print("TSV", &[batches.remove(0).batch], &[]);
        let whole = text.trim_end().split('\t').collect::<Vec<_>>();
        let from = rows.schema.index_of(columns[0].0).unwrap();
        let one = whole[from..from + columns.len()].join("\t");
        assert_eq!(line, format!("{one}\n{one}\n"));
    }
    let mut reader = input("RowBinary", schema(&[("s", "string")]), &FormatOptions::default(), None).unwrap();
    assert_eq!(reader.feed(b"\x05abc", true).unwrap_err().code, Code::CANNOT_READ_ALL_DATA);
    let mut reader = input("RowBinary", schema(&[("s", "string")]), &FormatOptions::default(), None).unwrap();
    assert_eq!(reader.feed(b"\xff\xff\xff\xff\x7f", false).unwrap_err().code, Code::INCORRECT_DATA);
}

#[test]
fn a_file_tells_its_columns_and_gives_those_that_are_asked_for() {
    let columns = [("x", "uint32"), ("s", "nullable(string)"), ("t", "datetime64(3)"), ("a", "array(int16)")];
    let rows = batch(&columns, "1\ta\t2024-01-02 03:04:05.678\t[1,2]\n2\t\\N\t1970-01-01 00:00:00.000\t[]\n");
    for format in ["Parquet", "Arrow", "ArrowStream"] {
        let mut bytes = Vec::new();
        let mut writer = output(format, Arc::clone(&rows.schema), &FormatOptions::default()).unwrap();
        writer.prefix(&mut bytes).unwrap();
        writer.batch(&rows, &mut bytes).unwrap();
        writer.suffix(&ResultStats::default(), &mut bytes).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let found = crate::file_schema(format, file.path()).unwrap().unwrap();
        assert_eq!(&found, &*rows.schema, "{format}");
        let some = schema(&[("s", "string"), ("x", "uint64")]);
        let batches = crate::file_batches(format, file.path(), &some, &FormatOptions::default()).unwrap().unwrap();
        assert_eq!(batches.map(|b| shown(&b.unwrap())).collect::<String>(), "a|1\n*|2\n", "{format}");
    }
    assert!(crate::file_schema("CSV", std::path::Path::new("none")).unwrap().is_none());
    assert_eq!(crate::file_schema("Parquet", std::path::Path::new("none")).unwrap_err().code, Code::CANNOT_OPEN_FILE);
}

#[test]
fn names_are_exact() {
    let code = |name: &str| output(name, schema(TWO), &FormatOptions::default()).err().map(|e| e.code);
    assert_eq!(code("CSV"), None);
    assert_eq!(code("csv"), Some(Code::UNKNOWN_FORMAT));
    assert_eq!(code("CapnProto"), Some(Code::NOT_IMPLEMENTED));
    assert_eq!(code("Template"), Some(Code::INVALID_TEMPLATE_FORMAT));
    assert_eq!(code("JSONAsString"), Some(Code::UNKNOWN_FORMAT));
    // These need a schema, a text or an expression, and a column of json.
    let needy = |name: &str| {
        ["Protobuf", "Template", "Regexp", "AvroConfluent", "JSONAsObject"].iter().any(|n| name.starts_with(n))
    };
    for format in crate::registry::FORMATS.iter().filter(|f| !needy(f.name)) {
        let one = [("s", "string")];
        assert!(
            !format.is_output || output(format.name, schema(&one), &FormatOptions::default()).is_ok(),
            "{}",
            format.name
        );
        assert!(
            !format.is_input || input(format.name, schema(&one), &FormatOptions::default(), None).is_ok(),
            "{}",
            format.name
        );
    }
}

#[test]
fn no_text_brings_a_reader_down() {
    // Numbers that look random and are the same in every run.
    let mut state = 42_u64;
    let mut next = move |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    const PIECES: &[&[u8]] = &[
        b"\"", b"'", b"\\", b"\n", b"\r", b"\t", b",", b";", b":", b"=", b"(", b")", b"[", b"]", b"{", b"}", b"--",
        b"/*", b"*/", b"1", b"-2.5e3", b"null", b"NULL", b"\\N", b"DEFAULT", b"x", b"s", b"\"x\"", b"{\"x\":",
        b"(1,'a')", b"\xff", b"\xd0", b"\0", b" ",
    ];
    const SETTINGS: &[(&str, &str)] = &[
        ("input_format_allow_errors_num", "3"),
        ("format_template_row_format", "${x:CSV};${s:JSON}x${a:Quoted}${m:Escaped}"),
        ("format_regexp", "(.*),(.*);(.*):(.*)"),
        ("format_custom_row_between_delimiter", ";"),
        ("format_custom_row_after_delimiter", ""),
    ];
    let columns =
        [("x", "nullable(int32)"), ("s", "string"), ("a", "array(tuple(uint8, string))"), ("m", "map(string, date)")];
    for format in
        crate::registry::FORMATS.iter().filter(|f| f.is_input && !f.name.contains("Arrow") && f.name != "Parquet")
    {
        for _ in 0..200 {
            let Ok(mut reader) = input(format.name, schema(&columns), &options(SETTINGS), None) else {
                break;
            };
            for _ in 0..next(8) {
                let text = (0..next(12)).flat_map(|_| PIECES[next(PIECES.len())].to_vec()).collect::<Vec<_>>();
                if reader.feed(&text, false).is_err() {
                    break;
                }
            }
            // Whether it reads or fails is the text's matter.
            let _ = reader.feed(b"", true);
        }
    }
}

#[test]
fn documents_are_read_one_after_the_other_and_a_broken_one_leaves_no_row() {
    let columns = [("a", "int32"), ("s", "string")];
    let rows_of = |format: &str, documents: &[&str]| {
        let mut reader = input(format, schema(&columns), &options(&[]), None).unwrap();
        let counts: Vec<_> = documents.iter().map(|d| reader.feed_document(d.as_bytes()).ok().flatten()).collect();
        (counts, reader.flush().unwrap().as_ref().map(shown).unwrap_or_default())
    };
    let json =
        ["{\"a\": 1, \"s\": \"x\"}", "{\"a\": 2}\n{\"a\": \"no\"}", "{\"a\": 3", "[{\"s\": \"y\"}, {\"a\": 4}]", ""];
    let (counts, rows) = rows_of("JSONEachRow", &json);
    assert_eq!(counts, [Some(1), None, None, Some(2), Some(0)]);
    assert_eq!(rows.lines().count(), 3, "{rows}");
    let (counts, rows) = rows_of("CSV", &["1,\"a,b\"\n2,c", "x,y", "3,\"open", "4,d\n"]);
    assert_eq!((counts[0], counts[1], counts[3]), (Some(2), None, Some(1)));
    assert!(rows.starts_with("1|a,b\n2|c\n") && rows.ends_with("4|d\n"), "{rows}");
    let (counts, rows) = rows_of("TSV", &["1\ta", "1", "2\tb\n3\tc\n"]);
    assert_eq!((counts.as_slice(), rows.as_str()), (&[Some(1), None, Some(2)][..], "1|a\n2|b\n3|c\n"));
    // A header is of its own document.
    assert_eq!(rows_of("CSVWithNames", &["a,s\n1,x"]).0, [None]);
    assert_eq!(rows_of("TSVWithNames", &["a\ts\n1\tx"]).0, [None]);
}
