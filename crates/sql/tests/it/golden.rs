//! Names and texts that clients see.

use hydron_base::Code;
use hydron_sql::ast::*;
use hydron_sql::{parse_expression, parse_many, parse_statement, parse_type};

fn name(text: &str) -> String {
    parse_expression(text).unwrap_or_else(|e| panic!("{text}: {e}")).column_name()
}

fn pretty(text: &str) -> String {
    parse_statement(text).unwrap_or_else(|e| panic!("{text}: {e}")).statement.pretty()
}

fn fails(text: &str) -> hydron_base::Error {
    let error = parse_statement(text).expect_err(text);
    assert_eq!(error.code, Code::SYNTAX_ERROR, "{text}: {error}");
    error
}

#[test]
fn column_names_are_calls_and_constants() {
    for (text, expected) in [
        ("1 + 2", "plus(1, 2)"),
        ("a + b - c", "minus(plus(a, b), c)"),
        ("(a + b) * 2", "multiply(plus(a, b), 2)"),
        ("a AND b AND c", "and(a, b, c)"),
        ("a || 'x' || b", "concat(a, 'x', b)"),
        ("NOT a", "not(a)"),
        ("-a", "negate(a)"),
        ("-1", "-1"),
        ("1.0", "1."),
        ("0.01", "0.01"),
        ("'it\\'s'", "'it\\'s'"),
        ("[1, 2]", "[1, 2]"),
        ("[a, 2]", "array(a, 2)"),
        ("(1, 'a')", "(1, 'a')"),
        ("(1, a)", "tuple(1, a)"),
        ("array(1, 2)", "array(1, 2)"),
        ("t.1", "tuple_element(t, 1)"),
        ("a[1]", "array_element(a, 1)"),
        ("DIV MOD 1", "modulo(DIV, 1)"),
        ("CAST('true', 'bool')", "cast('true', 'bool')"),
        ("CAST(a AS nullable(int8))", "cast(a, 'nullable(int8)')"),
        ("1::uint8", "cast('1', 'uint8')"),
        ("x BETWEEN 1 AND 2", "and(greater_or_equals(x, 1), less_or_equals(x, 2))"),
        ("a ? 1 : 2", "if(a, 1, 2)"),
        ("CASE WHEN a THEN 1 END", "multi_if(a, 1, NULL)"),
        ("array_map(x -> x + 1, [1])", "array_map(lambda(tuple(x), plus(x, 1)), [1])"),
        ("INTERVAL 1 DAY", "to_interval_day(1)"),
        ("5s", "to_interval_second(5)"),
        ("-5s", "to_interval_second(-5)"),
        ("x IN (1, 2)", "in(x, (1, 2))"),
        ("raw:a.b[0]", "json_value(raw, '$.a.b[0]')"),
        ("count()", "count()"),
        ("count(*)", "count(*)"),
        ("t.a", "t.a"),
        ("f(x AS y)", "f(x)"),
        ("f(x) AS z", "z"),
        ("count() OVER (PARTITION BY i)", "count() OVER (PARTITION BY i)"),
        ("date_add(DAY, 1, d)", "plus(d, to_interval_day(1))"),
        ("date_diff(day, a, b)", "date_diff('day', a, b)"),
        ("extract(year FROM d)", "to_year(d)"),
        ("position('a' IN b)", "position(b, 'a')"),
        ("a IS NOT NULL", "is_not_null(a)"),
    ] {
        assert_eq!(name(text), expected, "{text}");
    }
}

#[test]
fn pretty_text_is_what_show_create_and_explain_syntax_print() {
    let query = "WITH it AS (SELECT * FROM numbers(1)) SELECT it.number, count(*) AS c FROM it AS i ALL INNER JOIN r ON i.k = r.k \
                 WHERE (0 + 1 + 2 > 1) AND NOT NOT (NOT (NOT NULL)) GROUP BY it.number ORDER BY c DESC LIMIT 1 BY a, b LIMIT 10 EMIT PERIODIC 5s";
    let expected = "\
WITH it AS
  (
    SELECT
      *
    FROM
      numbers(1)
  )
SELECT
  it.number, count(*) AS c
FROM
  it AS i
ALL INNER JOIN r ON i.k = r.k
WHERE
  (((0 + 1) + 2) > 1) AND (NOT (NOT (NOT NOT NULL)))
GROUP BY
  it.number
ORDER BY
  c DESC
LIMIT 1 BY
  a, b
LIMIT 10
EMIT PERIODIC 5s";
    assert_eq!(pretty(query), expected);
    let create = "CREATE STREAM default.99_s (u64 uint64, INDEX i (u64 * 2) TYPE minmax GRANULARITY 10) ENGINE=MergeTree() \
                  ORDER BY u64 TTL d + interval 1 day SETTINGS index_granularity=8192";
    let expected = "\
CREATE STREAM default.`99_s`
(
  `u64` uint64,
  INDEX i u64 * 2 TYPE minmax GRANULARITY 10
)
ENGINE = MergeTree
ORDER BY u64
TTL d + INTERVAL 1 DAY
SETTINGS index_granularity = 8192";
    assert_eq!(pretty(create), expected);
    let view = "CREATE MATERIALIZED VIEW v (`start` datetime64(3, 'UTC')) AS SELECT window_start AS start FROM session(s, 1m, [a > 50, a < 50))";
    let expected = "\
CREATE MATERIALIZED VIEW v
(
  `start` datetime64(3, 'UTC')
) AS
SELECT
  window_start AS start
FROM
  session(s, 1m, [a > 50, a < 50))";
    assert_eq!(pretty(view), expected);
    assert_eq!(pretty("SELECT -(-to_uint64(-(1)))"), "SELECT\n  -(-to_uint64(-(1)))");
    assert_eq!(pretty("CREATE DATABASE d ENGINE = Atomic"), "CREATE DATABASE d\nENGINE = Atomic");
}

#[test]
fn aliases_need_as() {
    let error = fails("SELECT a b FROM t");
    assert!(error.hint.as_deref().is_some_and(|h| h.starts_with("AS b")), "{error}");
    fails("SELECT * FROM t x");
    fails("SELECT * FROM f(1) x");
    fails("SELECT * FROM (SELECT 1) x");
    fails("SELECT e'a'");
    fails("CREATE TABLE t (a int8)");
    fails("SELECT quantile(0.9)(x)");
    fails("SELECT a FROM t PARTITION BY a SHUFFLE BY b");
    fails("SELECT a FROM t SHUFFLE BY f(b)");
    fails("SELECT a FROM t EMIT PERIODIC 1s PERIODIC 2s");
}

#[test]
fn errors_name_place_token_and_near_keyword() {
    let error = fails("SELECT a\nFORM t");
    let place = error.position.expect("a position");
    assert_eq!((place.line, place.column, place.offset), (2, 1, 9));
    assert!(
        error
            .message
            .starts_with("Syntax error: failed at position 10 ('FORM') (line 2, col 1): FORM t. Expected one of: ")
    );
    assert_eq!(error.hint.as_deref(), Some("FROM"));
    let error = fails("SELECT 'abc");
    assert!(error.message.contains("single quoted string is not closed"), "{error}");
    assert!(fails("SELECT (1").message.contains("(end of query)"));
}

#[test]
fn rows_of_insert_are_left_to_the_engine() {
    let sql = "INSERT INTO s (a, b) VALUES (1, 'x'), ({bad";
    let parsed = parse_statement(sql).expect("the rows are not read");
    assert_eq!(parsed.insert_data, Some(27));
    let sql = "INSERT INTO s FORMAT JSONEachRow {\"a\": 1}";
    assert_eq!(parse_statement(sql).expect("rows").insert_data, sql.find('{'));
    let sql = "INSERT INTO s FORMAT CSV\n1,2\n";
    assert_eq!(parse_statement(sql).expect("rows").insert_data, sql.find('1'));
    assert_eq!(parse_statement("INSERT INTO s SELECT 1; x").expect("a select").insert_data, None);
}

#[test]
fn scripts_are_cut_like_the_client_does() {
    let script = "SELECT ';' -- ;\n; INSERT INTO t VALUES (1, ';'), (2) ; INSERT INTO t FORMAT CSV\n1;2\nSELECT 2;;\nSELEC 1; SELECT 3";
    let pieces: Vec<_> = parse_many(script).map(|p| (p.text, p.parsed.is_ok(), p.rows)).collect();
    assert_eq!(
        pieces,
        [
            ("SELECT ';' -- ;\n", true, None),
            ("INSERT INTO t VALUES (1, ';'), (2)", true, Some(" (1, ';'), (2)")),
            ("INSERT INTO t FORMAT CSV\n1;2", true, Some("1;2")),
            ("SELECT 2", true, None),
            ("SELEC 1", false, None),
            ("SELECT 3", true, None),
        ]
    );
}

#[test]
fn streaming_clauses_have_their_place_in_the_tree() {
    let sql = "SELECT window_start, max(v) FROM tumble(table(s), ts, 5s, 'UTC') WHERE a PARTITION BY k GROUP BY window_start \
               EMIT STREAM AFTER WATERMARK WITH DELAY 2s AND TIMEOUT 10s AND LAST 1h ON PROCTIME SETTINGS seek_to = 'earliest'";
    let StatementKind::Query(query) = parse_statement(sql).expect("parses").statement.kind else { panic!("a query") };
    let QueryBody::Select(select) = query.body else { panic!("a select") };
    let emit = select.emit.expect("an emit");
    assert_eq!((emit.mode, emit.after), (Some(EmitMode::Stream), Some(EmitAfter::Watermark)));
    assert!(emit.delay.is_some() && emit.timeout.is_some() && emit.last.is_some() && emit.last_on_proctime);
    assert_eq!(select.partition_by.len(), 1);
    assert_eq!(select.settings[0].name, "seek_to");
    for emit in [
        "EMIT CHANGELOG PERIODIC INTERVAL 1 SECOND",
        "EMIT ON UPDATE",
        "EMIT PERIODIC 1s ON UPDATE",
        "EMIT LAST 5m",
        "EMIT PERIODIC 1s REPEAT",
        "EMIT AFTER WINDOW CLOSE WITH DELAY 1s AND TIMEOUT 2s",
        "EMIT PER EVENT",
        "EMIT ON UPDATE WITH BATCH 1s",
        "EMIT TIMEOUT 3s",
        "EMIT STREAM",
        "EMIT AFTER SESSION CLOSE IDENTIFIED BY (ts, a, b) WITH ONLY MAXSPAN 1s AND TIMEOUT 2s",
        "EMIT AFTER KEY EXPIRE IDENTIFIED BY ts WITH MAXSPAN 1s",
    ] {
        let parsed = parse_statement(&format!("SELECT a FROM s {emit}")).unwrap_or_else(|e| panic!("{emit}: {e}"));
        let again = parse_statement(&parsed.statement.to_string()).expect("printed text parses");
        assert_eq!(again.statement, parsed.statement, "{emit}");
    }
}

#[test]
fn rare_statements_read_back() {
    for sql in [
        "CREATE OR REPLACE FUNCTION f AS (x, y) -> x + y",
        "CREATE AGGREGATE FUNCTION f(a float32, b array(int8)) RETURNS string LANGUAGE JAVASCRIPT AS $$ { x: '$', } $$",
        "CREATE EXECUTABLE FUNCTION f(a string, n int) RETURNS string COMMAND 'f.py --fast' FORMAT TabSeparated EXECUTION_TIMEOUT 100",
        "CREATE REMOTE FUNCTION f(a string) RETURNS string URL 'http://h' AUTH_METHOD 'auth_header' AUTH_HEADER 'h' AUTH_KEY 'v' EXECUTION_TIMEOUT 100",
        "CREATE FORMAT SCHEMA IF NOT EXISTS x AS 'syntax' TYPE Protobuf",
        "CREATE RANDOM STREAM r (a int8 DEFAULT rand() % 3) SETTINGS eps = 0.5",
        "CREATE EXTERNAL TABLE e SETTINGS type = 'clickhouse', address = 'h:9000'",
        "CREATE MATERIALIZED VIEW mv INTO db.t AS SELECT a FROM s COMMENT 'c'",
        "CREATE DICTIONARY d (k uint64 DEFAULT 0 HIERARCHICAL) PRIMARY KEY k SOURCE(CLICKHOUSE(HOST 'h' PORT 9000 NESTED(a 1))) LIFETIME(300) LAYOUT(HASHED())",
        "CREATE USER IF NOT EXISTS u@'%' IDENTIFIED WITH sha256_password BY 'x' HOST IP '::1', LOCAL DEFAULT ROLE ALL EXCEPT r SETTINGS max_threads = 1 MIN 1 MAX 2 READONLY",
        "CREATE ROW POLICY p ON db.* AS RESTRICTIVE FOR SELECT USING a = 1 TO ALL EXCEPT u",
        "CREATE QUOTA q KEYED BY user_name FOR INTERVAL 1 hour MAX queries = 10, errors = 2, FOR RANDOMIZED INTERVAL 2 day TRACKING ONLY TO u",
        "CREATE SETTINGS PROFILE p SETTINGS PROFILE 'default', a = 1 TO u",
        "GRANT SELECT(a, b), ALTER UPDATE ON db.*, INSERT ON *.* TO u, r WITH GRANT OPTION",
        "REVOKE ADMIN OPTION FOR r FROM u",
        "GRANT r1, r2 TO CURRENT_USER",
        "ALTER STREAM s ADD COLUMN IF NOT EXISTS a int8 DEFAULT 1 AFTER b, MODIFY TTL d + INTERVAL 1 DAY TO DISK 'x', DELETE WHERE a = 1",
        "ALTER STREAM s MOVE PARTITION ID 'x' TO VOLUME 'v', FREEZE WITH NAME 'n', UPDATE a = 1, b = 2 IN PARTITION 3 WHERE c",
        "ALTER VIEW v MODIFY QUERY SETTING a = 1",
        "DROP STREAM IF EXISTS a, db.b SYNC",
        "DROP FORMAT SCHEMA IF EXISTS x TYPE Protobuf",
        "EXCHANGE STREAMS a AND b",
        "SHOW STREAMS FROM db NOT ILIKE '%x' LIMIT 3",
        "SHOW CREATE FORMAT SCHEMA x TYPE Protobuf",
        "SYSTEM STOP TTL MERGES db.s",
        "SYSTEM LIFT QUARANTINE 'a1'",
        "SYSTEM LIFT QUARANTINE ALL",
        "SYSTEM LEAVE SAFE MODE",
        "SYSTEM PAUSE MATERIALIZED VIEW v",
        "KILL QUERY WHERE query_id = 'x' SYNC",
        "EXPLAIN PLAN header = 1 SELECT 1",
        "RECOVER FROM 'id'",
        "UNSUBSCRIBE TO 'id'",
        "SUBSCRIBE TO SELECT 1 FROM s",
        "BACKUP STREAM a TO Disk('x', 'y')",
        "DESCRIBE (SELECT 1) FORMAT JSON",
        "INSERT INTO s (* EXCEPT(a)) SETTINGS x = 1 SELECT 1",
        "INSERT INTO FUNCTION file('x') VALUES",
        "SELECT a FROM s | SELECT b",
        "FROM s SELECT a",
        "SELECT DISTINCT ON (a, b) c FROM s",
        "SELECT * EXCEPT(a) REPLACE(b + 1 AS b) APPLY(sum), t.COLUMNS('x') APPLY(x -> x + 1) FROM s AS t",
        "SELECT a FROM s ORDER BY a DESC NULLS LAST COLLATE 'en' WITH FILL FROM 1 TO 10 STEP 2 INTERPOLATE (b AS b + 1)",
        "SELECT a FROM s GROUP BY GROUPING SETS((a, b), (), (c)) WITH TOTALS",
        "SELECT a FROM s OFFSET 5 ROWS FETCH FIRST 3 ROWS WITH TIES",
        "SELECT a FROM s INTO OUTFILE 'x' COMPRESSION 'gz' FORMAT CSV SETTINGS a = 1",
        "SELECT 1 UNION ALL SELECT 2 INTERSECT SELECT 3 EXCEPT DISTINCT (SELECT 4)",
        "SELECT * FROM a ASOF LEFT JOIN b USING (k), c GLOBAL ANY JOIN d ON x = y LEFT ARRAY JOIN e AS f",
        "SELECT * FROM s FINAL SAMPLE 1/10 OFFSET 1/2",
        "SELECT * FROM session(s, ts, 5s, 10s, (a = 1, b = 2])",
        "SELECT lag(x, 1) OVER w FROM s WINDOW w AS (PARTITION BY a ORDER BY b ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
    ] {
        let parsed = parse_statement(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        for text in [parsed.statement.to_string(), parsed.statement.pretty()] {
            let again = parse_statement(&text).unwrap_or_else(|e| panic!("{sql}\n{text}: {e}"));
            assert_eq!(again.statement, parsed.statement, "{sql}\n{text}");
        }
    }
}

#[test]
fn types_have_a_canonical_text() {
    for (text, expected) in [
        ("decimal( 9,2 )", "decimal(9, 2)"),
        ("tuple(a uint8,b array( string ))", "tuple(a uint8, b array(string))"),
        ("enum8('a'=1,'b'=-2)", "enum8('a' = 1, 'b' = -2)"),
        ("DateTime64(3,'UTC')", "DateTime64(3, 'UTC')"),
        ("aggregate_function(quantiles(0.5, 0.9), uint64)", "aggregate_function(quantiles(0.5, 0.9), uint64)"),
    ] {
        assert_eq!(parse_type(text).expect(text).to_string(), expected);
    }
}
