//! Column definitions of CREATE STREAM.

use crate::world::World;
use hydron_func::BindContext;
use hydron_plan::bind::{ColumnOptions, bind_columns};
use hydron_plan::{StreamMode, source_names};
use hydron_sql::ast::{StatementKind, TableElements};

fn elements(columns: &str) -> TableElements {
    let sql = format!("CREATE STREAM x ({columns})");
    match hydron_sql::parse_statement(&sql).unwrap().statement.kind {
        StatementKind::CreateStream(create) => create.elements.unwrap(),
        _ => unreachable!(),
    }
}

fn columns(text: &str, mode: StreamMode, event_time: &str) -> String {
    let options = ColumnOptions { mode, stream: true, event_time: event_time.into(), external: false, of_view: false };
    match bind_columns(&elements(text).columns, None, &options, &World, &BindContext::default()) {
        Ok(columns) => {
            let shown: Vec<String> = columns.iter().map(|c| format!("{} {} {:?}", c.name, c.ty, c.default)).collect();
            shown.join("; ")
        }
        Err(e) => e.code.number().to_string(),
    }
}

#[test]
fn every_stream_has_a_time() {
    let time = "_tp_time datetime64(3, 'UTC')";
    for (text, mode, event_time, expected) in [
        ("a int32", StreamMode::Append, "", format!("a int32 None; {time} Default(\"now64(3, 'UTC')\")")),
        (
            "a int32, e datetime",
            StreamMode::Append,
            "e",
            format!("a int32 None; e datetime None; {time} Default(\"e\")"),
        ),
        ("a int32, _tp_time datetime64(3)", StreamMode::Append, "", "a int32 None; _tp_time datetime64(3) None".into()),
        (
            "a int32",
            StreamMode::ChangelogKv,
            "",
            format!("a int32 None; {time} Default(\"now64(3, 'UTC')\"); _tp_delta int8 Default(\"1\")"),
        ),
    ] {
        assert_eq!(columns(text, mode, event_time), expected, "{text}");
    }
}

#[test]
fn defaults_give_types_and_are_checked() {
    let kept =
        |text: &str| columns(text, StreamMode::Append, "").split("; _tp_time").next().unwrap_or_default().to_string();
    for (text, expected) in [
        ("a int32, b DEFAULT a + 1", "a int32 None; b int64 Default(\"a + 1\")"),
        ("b DEFAULT c, c DEFAULT 1", "b uint8 Default(\"c\"); c uint8 Default(\"1\")"),
        ("a DEFAULT b, b DEFAULT a", "174"),
        ("i int64 DEFAULT i", "174"),
        ("a int32 DEFAULT x", "47"),
        ("a int32, a string", "15"),
        ("window_start int32", "44"),
        ("_tp_time string", "44"),
        ("_tp_other int32", "44"),
        ("a int32 NULL", "a nullable(int32) None"),
        ("a low_cardinality(int8)", "455"),
        ("n nested(x int8, y string)", "n.x array(int8) None; n.y array(string) None"),
        ("a int32 ALIAS 1", "90"),
    ] {
        assert_eq!(kept(text), expected, "{text}");
    }
}

#[test]
fn a_query_names_its_sources() {
    for (sql, expected) in [
        ("SELECT * FROM s", "s"),
        ("WITH c AS (SELECT * FROM s) SELECT * FROM c JOIN tumble(table(r), 5s) AS x ON c.i = x.i", "s r"),
        ("SELECT i IN kv, (SELECT count() FROM table(m)) FROM flat_view", "flat_view kv m"),
    ] {
        let StatementKind::Query(query) = hydron_sql::parse_statement(sql).unwrap().statement.kind else {
            panic!("{sql}")
        };
        let names: Vec<String> = source_names(&query, &World).into_iter().map(|(_, n)| n).collect();
        assert_eq!(names.join(" "), expected, "{sql}");
    }
}
