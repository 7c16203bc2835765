//! Formats whose frame the user gives, and those that write columns.

use super::{TWO, batch, print, read};
use hydron_base::Code;

const CUSTOM: &[(&str, &str)] = &[
    ("format_custom_escaping_rule", "CSV"),
    ("format_custom_field_delimiter", "|"),
    ("format_custom_row_before_delimiter", "<"),
    ("format_custom_row_after_delimiter", ">"),
    ("format_custom_row_between_delimiter", "\n--\n"),
    ("format_custom_result_before_delimiter", "begin\n"),
    ("format_custom_result_after_delimiter", "\nend"),
];

#[test]
fn custom_separated_has_the_delimiters_of_the_user() {
    let rows = [batch(TWO, "1\ta\"b\n"), batch(TWO, "2\t|x\n")];
    let text = print("CustomSeparated", &rows, CUSTOM);
    assert_eq!(text, "begin\n<1|\"a\"\"b\">\n--\n<2|\"|x\">\nend");
    assert_eq!(read("CustomSeparated", TWO, &text, CUSTOM).unwrap(), "1|a\"b\n2||x\n");
    let text = print("CustomSeparatedWithNamesAndTypes", &rows[..1], CUSTOM);
    assert_eq!(text, "begin\n<\"x\"|\"s\">\n--\n<\"uint64\"|\"string\">\n--\n<1|\"a\"\"b\">\nend");
    assert_eq!(read("CustomSeparatedWithNamesAndTypes", TWO, &text, CUSTOM).unwrap(), "1|a\"b\n");
    // As set, it is TSV.
    assert_eq!(print("CustomSeparated", &rows, &[]), "1\ta\"b\n2\t|x\n");
    assert_eq!(read("CustomSeparated", TWO, "1\ta\\tb\n2\tc", &[]).unwrap(), "1|a\\tb\n2|c\n");
    let short = read("CustomSeparated", TWO, "1\n2\tx\n", &[]).unwrap_err();
    assert_eq!(short.code, Code::CANNOT_PARSE_INPUT_ASSERTION_FAILED);
}

#[test]
fn custom_separated_reads_over_spaces_and_every_rule() {
    let spaces = "begin  <  1 | \"a\" > \n--\n <2|\"b\" >\nend";
    assert_eq!(read("CustomSeparatedIgnoreSpaces", TWO, spaces, CUSTOM).unwrap(), "1|a\n2|b\n");
    for rule in ["Escaped", "Quoted", "CSV", "JSON", "Raw"] {
        let settings = [("format_custom_escaping_rule", rule), ("format_custom_field_delimiter", ";")];
        let columns = &[("s", "string"), ("a", "array(string)"), ("x", "float64")];
        let rows = batch(columns, "it's\t['a','b']\t1.5\n\t[]\t-2\n");
        let text = print("CustomSeparated", std::slice::from_ref(&rows), &settings);
        assert_eq!(
            read("CustomSeparated", columns, &text, &settings).unwrap(),
            "it\\'s|['a','b']|1.5\n|[]|-2\n",
            "{rule}: {text}"
        );
    }
}

#[test]
fn a_template_puts_values_into_a_text() {
    let settings = &[
        ("format_template_row_format", "x is ${x:Raw}, s is ${s:JSON} ($$)"),
        ("format_template_resultset_format", "[\n${data}\n]${rows:Raw} of ${rows_before_limit:Raw}\n"),
        ("format_template_rows_between_delimiter", ";\n"),
    ];
    let text = print("Template", &[batch(TWO, "1\ta\"\n"), batch(TWO, "2\t\n")], settings);
    assert_eq!(text, "[\nx is 1, s is \"a\\\"\" ($);\nx is 2, s is \"\" ($)\n]2 of 7\n");
    let settings = &[settings[0], ("format_template_resultset_format", "[\n${data}\n]${:Skip}\n"), settings[2]];
    assert_eq!(
        read("Template", TWO, "[\nx is 1, s is \"a\" ($);\nx is 2, s is \"b\" ($)\n]\n", settings).unwrap(),
        "1|a\n2|b\n"
    );
    let loose = " [ x is  1 , s is  \"a\"  ($) ;  x is 2, s is \"b\" ($) ] ";
    assert_eq!(read("TemplateIgnoreSpaces", TWO, loose, settings).unwrap(), "1|a\n2|b\n");
    // Without a text around them the rows end with lines.
    let plain = &[("format_template_row_format", "${s:CSV};${x:CSV}")];
    assert_eq!(read("Template", TWO, "\"a\";1\nb;2\n", plain).unwrap(), "1|a\n2|b\n");
    assert_eq!(print("Template", &[batch(TWO, "1\ta\n2\tb\n")], plain), "\"a\";1\n\"b\";2\n");
    let wrong = read("Template", TWO, "", &[("format_template_row_format", "${y:CSV}")]).unwrap_err();
    assert_eq!(wrong.code, Code::INVALID_TEMPLATE_FORMAT);
}

#[test]
fn groups_of_an_expression_are_columns() {
    let settings = &[("format_regexp", r"id: (\d+) name: '(.*)'.*")];
    assert_eq!(read("Regexp", TWO, "id: 1 name: 'a' x\r\nid: 22 name: ''\n", settings).unwrap(), "1|a\n22|\n");
    assert_eq!(read("Regexp", TWO, "other\n", settings).unwrap_err().code, Code::INCORRECT_DATA);
    let skip = &[settings[0], ("format_regexp_skip_unmatched", "1")];
    assert_eq!(read("Regexp", TWO, "other\nid: 1 name: 'a'\n", skip).unwrap(), "1|a\n");
    assert_eq!(read("Regexp", TWO, "", &[("format_regexp", "(a")]).unwrap_err().code, Code::CANNOT_COMPILE_REGEXP);
    assert_eq!(read("Regexp", TWO, "", &[("format_regexp", "(a)")]).unwrap_err().code, Code::INCORRECT_DATA);
}

#[test]
fn columns_of_json_are_arrays() {
    let rows = [batch(TWO, "1\ta\n"), batch(TWO, "2\tb\n")];
    let text = print("JSONColumns", &rows, &[]);
    assert_eq!(text, "{\n\t\"x\": [\"1\", \"2\"],\n\t\"s\": [\"a\", \"b\"]\n}\n");
    assert_eq!(read("JSONColumns", TWO, &text, &[]).unwrap(), "1|a\n2|b\n");
    let text = print("JSONCompactColumns", &rows, &[]);
    assert_eq!(text, "[\n\t[\"1\", \"2\"],\n\t[\"a\", \"b\"]\n]\n");
    assert_eq!(read("JSONCompactColumns", TWO, &text, &[]).unwrap(), "1|a\n2|b\n");
    let text = print("JSONColumnsWithMetadata", &rows, &[("output_format_write_statistics", "0")]);
    assert!(text.ends_with("\t},\n\n\t\"rows\": 2,\n\n\t\"rows_before_limit_at_least\": 7\n}\n"), "{text}");
    assert_eq!(read("JSONColumnsWithMetadata", TWO, &text, &[]).unwrap(), "1|a\n2|b\n");
    assert_eq!(read("JSONColumns", TWO, "{\"s\": [\"a\"]}", &[]).unwrap(), "0*|a\n");
    assert_eq!(read("JSONColumns", TWO, "{\"s\": [\"a\"], \"x\": []}", &[]).unwrap_err().code, Code::INCORRECT_DATA);
}

#[test]
fn a_document_comes_back() {
    let columns = &[("x", "uint64"), ("a\"b", "string")];
    let rows = [batch(columns, "1\ta\n"), batch(columns, "2\tb]\n")];
    for format in ["JSON", "JSONCompact"] {
        let text = print(format, &rows, &[]);
        assert_eq!(read(format, columns, &text, &[]).unwrap(), "1|a\n2|b]\n", "{format}");
    }
    assert_eq!(read("JSONCompact", TWO, "{\"data\": [[1, \"a\"], [2, \"b\"]]}", &[]).unwrap(), "1|a\n2|b\n");
    assert_eq!(read("JSON", TWO, "{\"data\": {}}", &[]).unwrap_err().code, Code::CANNOT_PARSE_INPUT_ASSERTION_FAILED);
    assert!(read("JSON", TWO, "{\"rows\": 1}", &[]).is_err());
}

#[test]
fn rows_are_members_of_one_object() {
    let text = print("JSONObjectEachRow", &[batch(TWO, "1\ta\n"), batch(TWO, "2\tb\n")], &[]);
    assert_eq!(text, "{\n\t\"row_1\": {\"x\":\"1\",\"s\":\"a\"},\n\t\"row_2\": {\"x\":\"2\",\"s\":\"b\"}\n}\n");
    assert_eq!(read("JSONObjectEachRow", TWO, &text, &[]).unwrap(), "1|a\n2|b\n");
    assert_eq!(
        read("JSONAsObject", &[("j", "json")], "{\"a\": 1} {\"b\": [2]}", &[]).unwrap(),
        "{\"a\": 1}\n{\"b\": [2]}\n"
    );
    assert_eq!(read("JSONAsObject", &[("j", "string")], "{}", &[]).unwrap_err().code, Code::BAD_ARGUMENTS);
}

#[test]
fn statements_have_so_many_rows() {
    let rows = [batch(TWO, "1\ta'\n2\tb\n3\tc\n")];
    let settings = &[("output_format_sql_insert_max_batch_size", "2"), ("output_format_sql_insert_table_name", "t")];
    assert_eq!(
        print("SQLInsert", &rows, settings),
        "INSERT INTO t (`x`, `s`) VALUES (1, 'a\\''), (2, 'b');\nINSERT INTO t (`x`, `s`) VALUES (3, 'c');\n"
    );
}

#[test]
fn message_pack_is_exact_and_comes_back_at_any_cut() {
    use crate::{FormatOptions, ResultStats, input, output};
    use std::sync::Arc;
    let columns = &[
        ("i", "int64"),
        ("u", "uint64"),
        ("s", "string"),
        ("f", "float64"),
        ("n", "nullable(int8)"),
        ("a", "array(uint16)"),
        ("m", "map(string, int8)"),
        ("t", "tuple(a int8, b string)"),
        ("d", "date"),
        ("id", "uuid"),
        ("b", "bool"),
    ];
    let rows = batch(
        columns,
        "-5\t18446744073709551615\tx\t1.5\t\\N\t[1,300]\t{'k':-1}\t(1,'q')\t2020-01-02\t61f0c404-5cb3-11e7-907b-a6006ad3dba0\ttrue\n\
         -70000\t0\t\t-2\t7\t[]\t{}\t(0,'')\t1970-01-01\t00000000-0000-0000-0000-000000000000\tfalse\n",
    );
    let mut bytes = Vec::new();
    let mut writer = output("MsgPack", Arc::clone(&rows.schema), &FormatOptions::default()).unwrap();
    writer.batch(&rows, &mut bytes).unwrap();
    writer.suffix(&ResultStats::default(), &mut bytes).unwrap();
    assert_eq!(bytes[..12], [0xFB, 0xCF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xC4, 1]);
    for step in [1, bytes.len()] {
        let mut reader = input("MsgPack", Arc::clone(&rows.schema), &FormatOptions::default(), None).unwrap();
        let mut back = Vec::new();
        for piece in bytes.chunks(step) {
            back.extend(reader.feed(piece, false).unwrap());
        }
        back.extend(reader.feed(b"", true).unwrap());
        let tsv = |batch: &hydron_types::Batch| print("TSV", std::slice::from_ref(batch), &[]);
        assert_eq!(back.iter().map(|b| tsv(&b.batch)).collect::<String>(), tsv(&rows));
    }
    let mut reader = input("MsgPack", Arc::clone(&rows.schema), &FormatOptions::default(), None).unwrap();
    reader.feed(&bytes[..3], false).unwrap();
    assert_eq!(reader.feed(b"", true).unwrap_err().code, Code::CANNOT_READ_ALL_DATA);
}
