//! The way from SQL to answers: what the binder makes of a statement, run as a story.

use super::plans::time_type;
use super::script::check;
use hydron_base::Result;
use hydron_func::BindContext;
use hydron_plan::*;
use hydron_sql::ast::StatementKind;
use hydron_types::{Batch, LogicalType, Value};
use std::sync::Arc;

/// One stream `s (t, k, i)`, with `_tp_time` equal to `t`.
struct OneStream;

impl Catalog for OneStream {
    fn current_database(&self) -> &str {
        "default"
    }

    fn database_exists(&self, name: &str) -> bool {
        name == "default"
    }

    fn source(&self, _: &str, name: &str) -> Option<Source> {
        let types =
            [("t", time_type()), ("k", LogicalType::String), ("i", LogicalType::Int64), ("_tp_time", time_type())];
        let (mode, signed) = match name {
            "s" => (StreamMode::Append, false),
            "r" => (StreamMode::Append, false),
            "changes" | "others" => (StreamMode::Changelog, true),
            "kv" => (StreamMode::VersionedKv, false),
            _ => return None,
        };
        let mut columns: Vec<ColumnInfo> = types.into_iter().map(|(n, t)| ColumnInfo::new(n, t)).collect();
        if signed {
            columns.push(ColumnInfo::new("_tp_delta", LogicalType::Int8));
        }
        Some(Source::Stream(Arc::new(StreamInfo {
            database: "default".into(),
            name: name.into(),
            uuid: uuid::Uuid::nil(),
            kind: StreamKind::Stream,
            mode,
            columns,
            primary_key: if mode == StreamMode::VersionedKv { vec!["k".into()] } else { vec![] },
            order_by: String::new(),
            partition_by: String::new(),
            version_column: None,
            shards: 1,
            sharding_expr: String::new(),
            engine: "Stream".into(),
            engine_args: Vec::new(),
            sample_by: String::new(),
            settings: vec![],
            comment: String::new(),
        })))
    }

    fn source_names(&self, _: &str) -> Vec<String> {
        vec!["s".to_string(), "changes".to_string()]
    }

    fn table_function(&self, _: &str, _: &[Value]) -> Result<Option<Arc<StreamInfo>>> {
        Ok(None)
    }

    fn sql_function(&self, _: &str) -> Option<String> {
        None
    }

    fn user_functions(&self) -> Arc<hydron_func::Registry> {
        super::users::functions()
    }

    fn run_subquery(&self, _: &Plan, _: usize) -> Result<Vec<Batch>> {
        Ok(vec![])
    }
}

pub fn bound(sql: &str) -> Plan {
    let parsed = hydron_sql::parse_statement(sql).unwrap();
    let StatementKind::Query(query) = &parsed.statement.kind else { panic!("not a SELECT: {sql}") };
    let settings = hydron_plan::bind::query_settings(query, &hydron_base::Settings::default(), None).unwrap();
    let cx = BindContext { streaming: true, settings: Arc::new(settings), ..BindContext::default() };
    let bound = bind_select(query, &OneStream, &cx);
    bound.unwrap_or_else(|e| panic!("{sql}: {e}")).plan
}

pub fn told(sql: &str, story: &str) {
    check(bound(sql), story);
}

#[test]
fn tails_filter_and_compute() {
    told(
        "SELECT k, i + 1 FROM s WHERE i > 1",
        "
        rows 0s a 1, 0s b 2 | b 3
        rows 0s c 5         | c 6
        ",
    );
    told("SELECT k FROM s WHERE i > 0 LIMIT 2", "rows 0s a, 0s b, 0s c | a; b");
    told("SELECT DISTINCT k FROM s", "rows 0s a, 0s a, 0s b | a; b");
    told("SELECT k, i FROM s ORDER BY i DESC LIMIT 1 BY k", "rows 0s a 1, 0s a 2, 0s b 1 | a 2; b 1");
}

#[test]
fn a_sign_that_nobody_reads_withdraws_nothing() {
    let story = "rows 0s a 1, 0s b 5 | 1; 5\nrows 0s a 2 | 2";
    told("SELECT i FROM (SELECT i, k, _tp_delta FROM kv)", story);
    told("SELECT i FROM (SELECT * FROM (SELECT i, k, _tp_delta FROM kv))", story);
    told("WITH c AS (SELECT i, _tp_delta FROM kv) SELECT i FROM c WHERE i > 0", story);
    // Whoever names it, in a condition too, and whoever counts, follows the changes.
    let signed = "rows 0s a 1 | 1 1\nrows 0s a 2 | 1 -1; 2 1";
    told("SELECT i, _tp_delta FROM (SELECT i, k, _tp_delta FROM kv)", signed);
    told("SELECT * FROM (SELECT i, _tp_delta FROM kv)", signed);
    told("SELECT i FROM (SELECT i, _tp_delta FROM kv WHERE _tp_delta = -1)", "rows 0s a 1 | nothing\nrows 0s a 2 | 1");
    told("SELECT sum(i) FROM (SELECT i, _tp_delta FROM kv) EMIT ON UPDATE", "rows 0s a 1 | 1\nrows 0s a 5 | 5");
}

#[test]
fn global_aggregates_answer_as_emit_says() {
    told(
        "SELECT k, count(), sum(i) FROM s GROUP BY k",
        "
        rows 0s a 1, 0s b 2, 0s a 3 | nothing
        after 2s                    | a 2 4; b 1 2
        after 2s                    | nothing
        ",
    );
    told(
        "SELECT min(i), max(i), count() FROM s EMIT ON UPDATE",
        "
        rows 0s a 1 | 1 1 1
        rows 0s a 2 | 1 2 2
        ",
    );
    told(
        "SELECT count(), _tp_delta FROM s EMIT CHANGELOG PERIODIC 1s",
        "
        rows 0s a | nothing
        after 1s  | 1 1
        rows 0s a | nothing
        after 1s  | 1 -1; 2 1
        ",
    );
    told(
        "SELECT k, count() AS c FROM s GROUP BY k HAVING c > 1 EMIT ON UPDATE",
        "
        rows 0s a       | nothing
        rows 0s a, 0s b | a 2
        ",
    );
}

#[test]
fn aggregates_over_aggregates() {
    told(
        "SELECT count() FROM (SELECT k, count() FROM s GROUP BY k EMIT PERIODIC 1s) EMIT ON UPDATE",
        "
        rows 0s a, 0s b | nothing
        after 1s        | 2
        rows 0s a       | nothing
        after 1s        | 2
        ",
    );
}

#[test]
fn changelogs_withdraw() {
    told(
        "SELECT k, count(), sum(i), max(i) FROM changes GROUP BY k EMIT ON UPDATE",
        "
        rows 0s a 1, 0s a 2, 0s b 5 | a 2 3 2; b 1 5 5
        rows -0s a 2                | a 1 1 1
        ",
    );
}

#[test]
fn windows_close_as_time_comes() {
    told(
        "SELECT window_start, k, count() FROM tumble(s, t, 5s) WHERE i > 0 GROUP BY window_start, k",
        "
        rows 0s a 1, 3s b 1 | nothing
        rows 4s a 0         | nothing
        rows 10s c 1        | 0s a 1; 0s b 1
        ",
    );
    told(
        "SELECT emit_version(), window_start, window_end, count() FROM hop(s, 3s, 5s) GROUP BY window_start, window_end",
        "
        rows 60s a | nothing
        rows 63s a | 0 57s 62s 1
        rows 70s a | 1 60s 65s 2 / 2 63s 68s 1
        ",
    );
    told(
        "SELECT window_end, count() FROM tumble(s, t, 5s) GROUP BY window_end EMIT AFTER WATERMARK WITH DELAY 2s",
        "
        rows 30s a, 36s a | nothing
        rows 37s a        | 35s 1
        ",
    );
    told(
        "SELECT window_start, window_end, count() FROM tumble(s, t, 10s) GROUP BY window_start, window_end EMIT PERIODIC 1s",
        "
        rows 0s a  | nothing
        after 1s   | 0s 10s 1
        rows 10s a | 0s 10s 1
        after 1s   | 10s 20s 1
        ",
    );
}

#[test]
fn sessions_and_substreams() {
    told(
        "SELECT k, window_start, window_end, count() FROM session(s, t, 2s) PARTITION BY k GROUP BY window_start, window_end",
        "
        rows 0s a, 1s b | nothing
        rows 2s a       | a 0s 2s 1
        rows 15s a      | a 2s 12s 1
        ",
    );
    told(
        "SELECT k, max(i) OVER (PARTITION BY k), emit_version() FROM tumble(s, t, 2s) PARTITION BY k GROUP BY window_start, window_end",
        "
        rows 0s a 5, 100s b 7 | nothing
        rows 2s a 1           | a 5 0
        rows 102s b 1         | b 7 0
        ",
    );
}

#[test]
fn substreams_of_an_aggregation_answer_when_they_have_news() {
    told(
        "SELECT k, count() FROM s PARTITION BY k EMIT PERIODIC 1s",
        "
        rows 0s a, 0s b | nothing
        after 1s        | a 1; b 1
        rows 0s a       | nothing
        after 1s        | a 2
        ",
    );
}

#[test]
fn unions_and_windows_over_subqueries() {
    told(
        "SELECT k, i FROM s WHERE i = 1 UNION ALL SELECT k, i FROM s WHERE i = 2",
        "
        rows@0 0s a 1, 0s b 2 | a 1
        rows@1 0s a 1, 0s b 2 | b 2
        ",
    );
    told(
        "WITH big AS (SELECT t, k, i FROM s WHERE i > 1) SELECT window_start, sum(i) FROM tumble(big, t, 5s) GROUP BY window_start",
        "
        rows 0s a 2, 1s a 1 | nothing
        rows 9s a 1         | nothing
        rows 9s a 2         | 0s 2
        ",
    );
}

#[test]
fn lags_look_back_in_each_substream() {
    told(
        "SELECT k, lag(i), lag(i, 2, 7) FROM s WHERE i > 0",
        "
        rows 0s a 1, 0s b 2 | a 0 7; b 1 7
        rows 0s a 0         | nothing
        rows 0s a 3         | a 2 1
        ",
    );
    told(
        "SELECT k, row_number() FROM s PARTITION BY k",
        "
        rows 0s a, 0s b, 0s a | a 0; a 1; b 0
        rows 0s a, 0s b       | a 2; b 1
        ",
    );
    told(
        "SELECT k, i - lag(i) AS d FROM s PARTITION BY k",
        "
        rows 0s a 1, 0s b 2 | a 1; b 2
        rows 0s a 5, 0s b 9 | a 4; b 7
        ",
    );
    told(
        "SELECT k, max(lag(i)), latest(i - lag(i)) FROM s GROUP BY k EMIT ON UPDATE",
        "
        rows 0s a 4, 0s b 9 | a 0 4; b 4 5
        rows 0s a 1         | a 9 -8
        ",
    );
    told(
        "SELECT k, max(lag(i)) OVER (PARTITION BY k) FROM s EMIT ON UPDATE",
        "
        rows 0s a 4, 0s b 9 | a 0; b 0
        rows 0s a 1         | a 4
        ",
    );
    told(
        "SELECT to_string(lags(i, 1, 2)), neighbor(i, -1) FROM s",
        "
        rows 0s a 1, 0s b 2, 0s c 3 | [0,0] 0; [1,0] 1; [2,1] 2
        rows 0s c 4                 | [3,2] 3
        ",
    );
}

#[test]
fn lags_over_keys_look_back_in_each_of_them() {
    told(
        "SELECT k, i, lag(i) OVER (PARTITION BY k), row_number() OVER (PARTITION BY k) FROM s",
        "
        rows 0s a 1, 0s b 2, 0s a 3 | a 1 0 1; a 3 1 2; b 2 0 1
        rows 0s a 0                 | a 0 3 3
        ",
    );
    told(
        "SELECT i - lag(i, 1, 5) OVER w FROM s WHERE i > 0 WINDOW w AS (PARTITION BY k)",
        "rows 0s a 1, 0s b 2, 0s a 0, 0s a 3 | -4; -3; 2",
    );
}

#[test]
fn an_aggregate_over_a_changelog_does_not_answer_between_a_withdrawal_and_what_comes_for_it() {
    told(
        "SELECT max(c), count() FROM (SELECT k, count() AS c, _tp_delta FROM s GROUP BY k EMIT CHANGELOG ON UPDATE) EMIT ON UPDATE",
        "
        rows 0s a, 0s a, 0s b | 2 2
        rows 0s a, 0s b       | 3 2
        ",
    );
}

#[test]
fn windows_close_above_an_array_join() {
    told(
        "SELECT window_start, e, count() FROM tumble(s, t, 5s) ARRAY JOIN [i, i + 1] AS e WHERE i > 0 GROUP BY window_start, e",
        "
        rows 0s a 1, 1s a 2, 1s a 0 | nothing
        rows 9s a 7                 | 0s 1 1; 0s 2 2; 0s 3 1
        ",
    );
    told(
        "SELECT window_end, array_join([k, 'x']) AS e, sum(i) FROM hop(s, t, 5s, 5s) WHERE i > 0 GROUP BY window_end, e",
        "
        rows 0s a 1, 1s b 2 | nothing
        rows 9s a 7         | 5s a 1; 5s b 2; 5s x 3
        ",
    );
}

#[test]
fn rows_that_replace_each_other_are_followed_through_array_join_and_union() {
    told(
        "SELECT sum(e) FROM kv ARRAY JOIN [i, i * 10] AS e EMIT ON UPDATE",
        "
        rows 0s a 1, 0s b 2 | 33
        rows 0s a 3         | 55
        ",
    );
    told(
        "SELECT count(), sum(i) FROM (SELECT k, i FROM kv UNION ALL SELECT k, i FROM kv WHERE i > 1) EMIT ON UPDATE",
        "
        rows@0 0s a 1, 0s b 2 | 2 3
        rows@1 0s a 1, 0s b 2 | 3 5
        rows@0 0s a 4         | 3 8
        rows@1 0s a 4         | 4 12
        ",
    );
    told("SELECT DISTINCT i FROM kv", "rows 0s a 1, 0s b 1, 0s c 2 | 1; 2\nrows 0s a 2 | nothing\nrows 0s a 3 | 3");
}

#[test]
fn a_comma_between_streams_is_a_join_on_what_where_equates() {
    told(
        "SELECT s.i, b.i FROM s, r AS b WHERE s.k = b.k AND s.i > 1",
        "
        rows@0 0s a 1, 0s b 2 | nothing
        rows@1 0s a 5, 0s b 6 | 2 6
        ",
    );
}

#[test]
fn open_windows_answer_each_period_and_close_late() {
    told(
        "SELECT window_start, count() FROM tumble(s, t, 5s) GROUP BY window_start EMIT PERIODIC 1s WITH DELAY 2s",
        "
        rows 0s a  | nothing
        after 1s   | 0s 1
        rows 6s a  | nothing
        rows 4s a  | nothing
        after 1s   | 0s 2; 5s 1
        rows 7s a  | 0s 2
        ",
    );
}
