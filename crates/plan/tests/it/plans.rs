//! Golden plans: `plans.txt` holds queries, each followed by the plan it binds to.
//!
//! With the environment variable `BLESS` set the file is written anew from what the binder answers.

use crate::world::{bind, rows};
use hydron_plan::explain::plan_text;
use std::path::Path;

#[test]
fn plans_are_as_written_down() {
    let path = Path::new("tests/it/plans.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let mut actual = String::new();
    for block in text.split("\n\n").filter(|b| !b.trim().is_empty()) {
        let queries: Vec<&str> = block.lines().filter(|l| l.starts_with('>') || l.starts_with('#')).collect();
        if queries.iter().all(|l| l.starts_with('#')) {
            actual += &format!("{}\n\n", queries.join("\n"));
            continue;
        }
        let sql: Vec<&str> = queries.iter().filter_map(|l| l.strip_prefix("> ")).collect();
        let plan = match bind(&sql.join("\n"), &[]) {
            Ok(bound) => plan_text(&bound.plan),
            Err(e) => format!("{e}\n"),
        };
        actual += &format!("{}\n{plan}\n", queries.join("\n"));
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, actual.trim_end().to_string() + "\n").unwrap();
        return;
    }
    assert_eq!(text.trim_end(), actual.trim_end());
}

#[test]
fn answers_of_bound_plans() {
    for (sql, expected) in [
        ("SELECT number FROM numbers(3)", "0\n1\n2\n"),
        ("SELECT 1 AS a, a + 1 AS b, b * 2", "1|2|4\n"),
        ("SELECT number AS n FROM numbers(10) WHERE n > 7", "8\n9\n"),
        ("SELECT (SELECT 5) + 1", "6\n"),
        ("SELECT number IN (1, 3) FROM numbers(3)", "false\ntrue\nfalse\n"),
        ("SELECT number FROM numbers(5) WHERE number NOT IN (SELECT number FROM numbers(3))", "3\n4\n"),
        ("SELECT number FROM numbers(4) WHERE (number, number + 1) IN ((1, 2), (3, 3))", "1\n"),
        ("SELECT EXISTS (SELECT 1 WHERE 0), EXISTS (SELECT 1)", "false|true\n"),
        ("SELECT add_twice(number, 10) FROM numbers(2)", "20\n21\n"),
        ("SELECT if(number = 0, 0, 10 DIV number) FROM numbers(3)", "0\n10\n5\n"),
        ("WITH x AS (SELECT number + 1 AS k FROM numbers(2)) SELECT k FROM x WHERE k > 1", "2\n"),
        ("SELECT multi_if(number = 0, 'a', number = 1, 'b', 'c') FROM numbers(3)", "'a'\n'b'\n'c'\n"),
        ("SELECT CASE number WHEN 1 THEN 'one' ELSE 'other' END FROM numbers(2)", "'other'\n'one'\n"),
        ("SELECT * EXCEPT number FROM (SELECT number, number + 1 AS m FROM numbers(1))", "1\n"),
        ("SELECT * REPLACE (number + 5 AS number) FROM numbers(1)", "5\n"),
        ("SELECT COLUMNS('^n') FROM (SELECT number, 1 AS b FROM numbers(1))", "0\n"),
        ("SELECT number FROM numbers(10) LIMIT 2", "0\n1\n"),
        ("SELECT dummy", "0\n"),
        ("SELECT (1, 2) IN (1, 2), (1, (2, 3)) IN ((1, (2, 3))), [1] IN [1, 2], 1 IN [1, 2]", "true|true|false|true\n"),
        ("SELECT 1 ? to_date('2000-01-02') : to_datetime('2000-01-01 00:00:00')", "'2000-01-02'\n"),
        ("SELECT values_are.a FROM values('a uint8, b string', (1, 'x'), (2, 'y')) AS values_are WHERE b = 'y'", "2\n"),
    ] {
        assert_eq!(rows(sql), expected, "{sql}");
    }
}
