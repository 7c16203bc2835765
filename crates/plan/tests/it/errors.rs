//! Which error a query gets: the code is part of the answer.

use crate::world::bind;

fn code(sql: &str) -> u16 {
    bind(sql, &[]).map_or_else(|e| e.code.number(), |_| 0)
}

#[test]
fn names_and_aliases() {
    for (sql, expected) in [
        ("SELECT x FROM m", 47),
        ("SELECT i FROM nowhere", 60),
        ("SELECT i FROM other.m", 81),
        ("SELECT no_such_function(i) FROM m", 46),
        ("SELECT a AS b, b AS a FROM (SELECT 1 AS c)", 174),
        ("SELECT 1 AS a, 2 AS a", 179),
        ("SELECT i + 1 AS i FROM m", 0),
        ("SELECT i FROM m AS a JOIN m AS b ON i = b.i", 352),
        ("SELECT * FROM system.one CROSS JOIN system.one", 352),
        ("SELECT _tp_sn FROM table(s)", 47),
        ("SELECT i FROM (SELECT t FROM s) WHERE _tp_time > now()", 47),
        ("SELECT {p:int32}", 456),
    ] {
        assert_eq!(code(sql), expected, "{sql}");
    }
}

#[test]
fn aggregates() {
    for (sql, expected) in [
        ("SELECT t, count() FROM m", 215),
        ("SELECT t, count() FROM m GROUP BY i", 215),
        ("SELECT i FROM m WHERE count() > 1", 184),
        ("SELECT sum(count()) FROM m", 184),
        ("SELECT sum(i) AS i, max(i) FROM m", 184),
        ("SELECT i FROM m GROUP BY i, t HAVING t = 'x'", 0),
        ("SELECT i, count() FROM m GROUP BY i WITH ROLLUP WITH TOTALS", 0),
        ("SELECT i, count() FROM m GROUP BY i WITH ROLLUP WITH TOTALS HAVING i > 1", 48),
        ("SELECT i FROM m LIMIT 1.5", 440),
        ("SELECT i FROM m LIMIT -1", 440),
        ("SELECT i FROM m LIMIT 1 WITH TIES", 476),
        ("SELECT i FROM m WHERE t", 59),
        ("SELECT array_map(x -> array_join([x, 1]), [1, 2])", 36),
        ("SELECT array_join(a) AS x FROM table(s) PREWHERE x > 1", 182),
    ] {
        assert_eq!(code(sql), expected, "{sql}");
    }
}

#[test]
fn subqueries_and_sets() {
    for (sql, expected) in [
        ("SELECT (SELECT number FROM numbers(2))", 125),
        ("SELECT (SELECT i FROM s)", 48),
        ("SELECT 1 IN range(number) FROM numbers(2)", 47),
        ("SELECT 1 IN range(rand())", 36),
        ("SELECT (1, 2) IN ((1, 2, 3))", 20),
        ("SELECT [1] IN [-1]", 0),
        ("SELECT number = '1' FROM numbers(1)", 0),
        ("SELECT number = 'x' FROM numbers(1)", 53),
        ("SELECT number IN (1, 2) AS x, count() FROM numbers(3) GROUP BY x", 0),
        ("SELECT i FROM m UNION ALL SELECT i, t FROM m", 258),
        ("SELECT i FROM m UNION ALL SELECT [1]", 386),
    ] {
        assert_eq!(code(sql), expected, "{sql}");
    }
}

#[test]
fn joins() {
    for (sql, expected) in [
        ("SELECT 1 FROM m AS a JOIN m AS b ON a.i = b.i AND a.i > b.i", 403),
        ("SELECT 1 FROM m AS a ANY JOIN table(r) AS b ON a.i = b.i OR a.t = b.u", 0),
        ("SELECT 1 FROM m AS a SEMI JOIN table(r) AS b ON a.i = b.i OR a.t = b.u", 48),
        ("SELECT 1 FROM m AS a JOIN table(r) AS b ON a.i = b.i OR a.i > 1", 403),
        ("SELECT 1 FROM m AS a JOIN table(r) AS b ON a.i = b.i AND (a.i > 0 OR b.i > 0)", 403),
        ("SELECT 1 FROM m AS a JOIN m AS b ON 1 = b.i", 403),
        ("SELECT 1 FROM m AS a JOIN m AS b ON equals(a.i)", 62),
        ("SELECT 1 FROM m AS a ANY FULL JOIN m AS b ON a.i = b.i", 48),
        ("SELECT 1 FROM (SELECT 1 AS i) JOIN m ON i = m.i", 206),
        ("SELECT s.i FROM s JOIN r ON s.i = r.i", 0),
        ("SELECT s.i FROM s RIGHT JOIN r ON s.i = r.i", 48),
        ("SELECT s.i FROM s CROSS JOIN r", 48),
        ("SELECT log.i FROM log JOIN s ON s.i = log.i", 48),
        ("SELECT s.i FROM s LATEST JOIN log ON s.i = log.i", 48),
        ("SELECT s.i FROM s ASOF JOIN kv ON s.t = kv.t AND s.i < kv.i", 0),
        ("SELECT s.i, _tp_delta FROM s JOIN log ON s.i = log.i", 47),
        ("SELECT kv.i, _tp_delta FROM kv JOIN log ON kv.i = log.i", 0),
        ("SELECT m.i FROM m JOIN s ON m.i = s.i", 48),
        ("SELECT s.i FROM s RIGHT JOIN m ON m.i = s.i", 48),
    ] {
        assert_eq!(code(sql), expected, "{sql}");
    }
}

#[test]
fn streams() {
    for (sql, expected) in [
        ("SELECT t, max(v) FROM tumble(s, ts, 5s) GROUP BY window_start", 215),
        ("SELECT t, max(v) FROM tumble(s, ts, 5s) GROUP BY t EMIT AFTER WATERMARK", 2002),
        ("SELECT max(v) FROM hop(s, ts, 5s, 3s) GROUP BY window_start", 36),
        ("SELECT * FROM hop(table(s), 1m, 2m)", 48),
        ("SELECT * FROM session(table(s), 1m)", 48),
        ("SELECT * FROM table(tumble(s, 1m))", 48),
        ("SELECT * FROM table(sum_view)", 36),
        ("SELECT * FROM table(processes)", 36),
        ("SELECT * FROM table(s, 1)", 42),
        ("SELECT * FROM tumble(s)", 35),
        ("SELECT * FROM tumble(s, ts, 5s, 'UTC', 1)", 34),
        ("SELECT count() FROM tumble(typed, d, 1s) GROUP BY window_start", 43),
        ("SELECT count() FROM tumble(typed, dt, 1ns) GROUP BY window_start", 36),
        ("SELECT count() FROM tumble(typed, t9, 1ns) GROUP BY window_start", 0),
        ("SELECT max(v) FROM session(s, 1m, i > 50) GROUP BY window_start", 2524),
        ("SELECT max(v) FROM session(s, 1m, i > 50, i > 60, i < 50) GROUP BY window_start", 36),
        ("SELECT i FROM s EMIT PERIODIC 1s", 80),
        ("SELECT count() FROM s EMIT AFTER WATERMARK", 80),
        ("SELECT count() FROM s EMIT PERIODIC 1w", 43),
        ("SELECT emit_version() FROM s", 997),
        ("SELECT emit_version() FROM table(s)", 997),
        ("SELECT count() FROM s EMIT CHANGELOG", 80),
        ("SELECT count(), _tp_delta AS d FROM s EMIT CHANGELOG", 80),
        ("SELECT i, _tp_delta FROM s", 47),
        ("SELECT i FROM s EMIT CHANGELOG", 48),
        ("SELECT group_array(i) FROM log", 48),
        ("SELECT i FROM s WHERE _tp_time = earliest_ts()", 183),
        ("SELECT i FROM s WHERE _tp_time > ts", 183),
        ("SELECT i FROM s SETTINGS seek_to = '10s'", 36),
        ("SELECT i FROM shards SETTINGS seek_to = '1,2,3'", 36),
        ("SELECT i FROM shards SETTINGS seek_to = '1,2020-01-01'", 997),
        (
            "SELECT i, count(), max(v) OVER (PARTITION BY i) FROM tumble(s, 2s) PARTITION BY i GROUP BY i, window_start",
            48,
        ),
        ("SELECT i FROM s SHUFFLE BY i", 62),
        ("SELECT i, count() FROM s SHUFFLE BY i GROUP BY i", 0),
        ("SELECT i, count() FROM s SHUFFLE BY t GROUP BY i", 62),
        ("SELECT * FROM changelog(s, i)", 0),
        ("SELECT * FROM changelog(s)", 36),
        ("SELECT * FROM changelog(s, i, true)", 36),
        ("SELECT * FROM changelog(s, i + 1)", 36),
        ("SELECT * FROM changelog(kv)", 0),
        ("SELECT * FROM changelog(kv, i)", 36),
        ("SELECT * FROM changelog(log)", 997),
        ("SELECT count() FROM s EMIT PER EVENT", 0),
        ("SELECT i FROM s EMIT PER EVENT", 80),
        ("SELECT count() FROM tumble(s, 2s) GROUP BY window_start EMIT PER EVENT", 80),
        ("SELECT i FROM s SETTINGS replay_speed = 1, replay_time_column = 't'", 36),
        ("SELECT i FROM kv SETTINGS replay_speed = 1", 997),
        ("SELECT * FROM changelog(table(s), i)", 997),
    ] {
        assert_eq!(code(sql), expected, "{sql}");
    }
}

#[test]
fn messages_name_the_place_and_what_is_near() {
    let e = bind("SELECT\n  tt FROM m", &[]).unwrap_err();
    assert_eq!(
        e.to_string(),
        "Code: 47. DB::Exception: column \"tt\" is unknown (line 2, column 3). Try: t. (UNKNOWN_IDENTIFIER)"
    );
}

#[test]
fn long_flat_conditions_bind() {
    let terms: Vec<String> = (0..50_000).map(|n| format!("i = {n}")).collect();
    assert_eq!(code(&format!("SELECT i FROM m WHERE {}", terms.join(" OR "))), 0);
    let sum = vec!["1"; 50_000].join(" + ");
    assert_eq!(code(&format!("SELECT {sum}")), 0);
    assert_eq!(code(&format!("SELECT {} FROM m", vec!["i"; 50_000].join(" + "))), 306);
}

#[test]
fn deep_queries_end_in_an_answer_or_an_error() {
    for depth in [10, 60, 99, 120] {
        let nested = format!("{}SELECT 1 AS x{}", "SELECT x FROM (".repeat(depth), ")".repeat(depth));
        let expected = [0, 162, 306];
        assert!(expected.contains(&code(&nested)), "{depth} queries: {}", code(&nested));
        let calls = format!("SELECT {}i{} FROM m", "abs(".repeat(depth), ")".repeat(depth));
        assert!([0, 306].contains(&code(&calls)), "{depth} calls");
        let scalar = format!("SELECT {}1{}", "(SELECT ".repeat(depth), ")".repeat(depth));
        assert!(expected.contains(&code(&scalar)), "{depth} scalar subqueries");
    }
}

#[test]
fn having_on_rows_is_where() {
    assert_eq!(code("SELECT max(i) FROM m HAVING i > 3"), 0);
    assert_eq!(code("SELECT max(i) FROM s HAVING i > 3"), 215);
}

#[test]
fn aliases_that_explode_are_refused() {
    let mut aliases = String::from("SELECT i AS a0");
    for n in 1..40 {
        aliases += &format!(", a{0} + a{0} AS a{n}", n - 1);
    }
    assert_eq!(code(&format!("{aliases} FROM m")), 168);
}
