//! Streaming answers are the historical ones, through the whole server: whatever the batches in which rows came, the shards
//! they went to, and the threads that read them.

use crate::server::Server;
use std::collections::BTreeMap;

/// Milliseconds, key, number.
type Row = (i64, String, i64);

const BASE_MS: i64 = 1_704_067_200_000;

/// A row far ahead of all others: it closes their windows and is in none of the answers that are compared.
const AHEAD_MS: i64 = BASE_MS + 1_000_000_000;

/// Rows in the order of their times, `step_ms` or less apart. A linear congruence is random enough here and the same on each run.
fn rows(seed: u64, count: usize, step_ms: u64) -> Vec<Row> {
    let mut state = seed;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut now = BASE_MS;
    let row = |_| {
        now += next(step_ms) as i64;
        (now, format!("k{}", next(7)), next(201) as i64 - 100)
    };
    (0..count).map(row).collect()
}

fn insert(server: &Server, stream: &str, rows: &[Row]) {
    let lines: String = rows.iter().map(|(t, k, i)| format!("{t}\t{k}\t{i}\n")).collect();
    server.ask(&format!("INSERT INTO {stream} (t, k, i) FORMAT TSV\n{lines}"));
}

/// The rows of an answer, in order of their text.
fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
    lines.sort();
    lines
}

fn lines(rows: impl IntoIterator<Item = Vec<String>>) -> Vec<String> {
    let mut lines: Vec<String> = rows.into_iter().map(|r| r.join("\t")).collect();
    lines.sort();
    lines
}

/// Count and sum of each window and key, by definition.
fn windows(rows: &[Row], slide: i64, size: i64) -> Vec<String> {
    let mut groups: BTreeMap<(i64, &str), (u64, i64)> = BTreeMap::new();
    for (t, k, i) in rows {
        let mut start = t.div_euclid(slide) * slide;
        while start + size > *t {
            let group = groups.entry((start, k)).or_default();
            *group = (group.0 + 1, group.1 + i);
            start -= slide;
        }
    }
    lines(
        groups
            .into_iter()
            .map(|((start, k), (n, sum))| vec![start.to_string(), k.to_string(), n.to_string(), sum.to_string()]),
    )
}

/// Start, end and count of each key's sessions, by definition, for rows in order of time and then one far ahead.
fn sessions(rows: &[Row], timeout: i64, longest: i64) -> Vec<String> {
    let mut open: BTreeMap<&str, (i64, i64, u64)> = BTreeMap::new();
    let mut closed = Vec::new();
    // The longest size is looked at first: a row beyond both ends the session there.
    let mut close = |k: &str, (start, last, n): (i64, i64, u64), by: i64| {
        let end = if by >= start + longest { start + longest } else { last + timeout };
        closed.push(vec![start.to_string(), end.to_string(), k.to_string(), n.to_string()]);
    };
    for (t, k, _) in rows {
        match open.get_mut(k.as_str()) {
            Some((start, last, n)) if *t < *start + longest && *t < *last + timeout => {
                (*last, *n) = (*t, *n + 1);
            }
            found => {
                if let Some(session) = found {
                    close(k, *session, *t);
                }
                open.insert(k, (*t, *t, 1));
            }
        }
    }
    open.into_iter().for_each(|(k, session)| close(k, session, AHEAD_MS));
    lines(closed)
}

/// A streaming query from the beginning that ends after as many rows as are expected.
fn check(server: &Server, what: &str, query: &str, threads: usize, expected: &[String]) {
    let limited = format!("{query} LIMIT {}", expected.len());
    let threads_max = threads.to_string();
    let settings = [
        ("query_mode", "streaming"),
        ("seek_to", "earliest"),
        ("max_threads", &*threads_max),
        ("max_execution_time", "40"),
    ];
    let answer = server.try_ask(&limited, &settings);
    let (status, answer) = answer.unwrap_or_else(|e| panic!("{what}, {threads} threads: {query}: {e}"));
    assert_eq!(status, 200, "{what}: {query}: {answer}");
    assert_eq!(sorted(&answer), expected, "{what}, {threads} threads: {query}");
}

#[test]
fn streaming_answers_are_the_historical_ones() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"));
    server.ask("CREATE STREAM names (k string, name string)");
    server.ask("INSERT INTO names (k, name) VALUES ('k0', 'zero'), ('k1', 'one'), ('k1', 'eins'), ('k5', 'five')");
    for (batch, count, step_ms) in [(1, 150, 900), (64, 1_000, 900), (65_536, 66_000, 20)] {
        let rows = rows(batch as u64, count, step_ms);
        for shards in [1usize, 2, 4] {
            let s = format!("s_{batch}_{shards}");
            // Rows of one key keep their order: sessions are of the order in which rows come.
            let by_key = "sharding_expr = 'to_int64(substring(k, 2))'";
            server.ask(&format!(
                "CREATE STREAM {s} (t datetime64(3, 'UTC'), k string, i int64) SETTINGS shards = {shards}, {by_key}"
            ));
            rows.chunks(batch).for_each(|chunk| insert(&server, &s, chunk));
            // One for each key, and with them for each shard.
            let ahead: Vec<Row> = (0..7).map(|k| (AHEAD_MS, format!("k{k}"), 0)).collect();
            insert(&server, &s, &ahead);
            let what = format!("batches of {batch}, {shards} shards");
            let history = |query: &str| sorted(&server.ask(query));
            let millis = "to_unix_timestamp64_milli";
            let by_window = |source: &str, partition: &str| {
                format!(
                    "SELECT {millis}(window_start), k, count(), sum(i) FROM {source} {partition} GROUP BY window_start, k"
                )
            };
            let tumbled = history(&format!(
                "SELECT {millis}(window_start), k, count(), sum(i) FROM tumble(table({s}), t, 5s) WHERE t < '2024-01-10' GROUP BY window_start, k"
            ));
            assert_eq!(tumbled, windows(&rows, 5_000, 5_000), "{what}");
            let hopped = windows(&rows, 2_000, 6_000);
            let session = sessions(&rows, 2_000, 7_000);
            for threads in [1, 2, 4] {
                let same = |query: &str| {
                    let query = format!("{query} ");
                    let table = query.replace("FROM s ", &format!("FROM table({s}) "));
                    check(&server, &what, &query.replace("FROM s ", &format!("FROM {s} ")), threads, &history(&table));
                };
                same("SELECT k, i * 2 FROM s WHERE i > 40");
                same("SELECT count(), sum(i), min(i), max(i) FROM s");
                same("SELECT k, count(), sum(i), min(t), max(t) FROM s WHERE i < 50 GROUP BY k");
                same("SELECT i, name FROM s AS s JOIN table(names) AS n ON s.k = n.k WHERE i > 80");
                same("SELECT i, name FROM s AS s LEFT JOIN table(names) AS n ON s.k = n.k WHERE i > 80");
                same("SELECT name, count(), sum(i) FROM s AS s JOIN table(names) AS n ON s.k = n.k GROUP BY name");
                check(&server, &what, &by_window(&format!("tumble({s}, t, 5s)"), ""), threads, &tumbled);
                check(&server, &what, &by_window(&format!("tumble({s}, t, 5s)"), "PARTITION BY k"), threads, &tumbled);
                check(&server, &what, &by_window(&format!("hop({s}, t, 2s, 6s)"), ""), threads, &hopped);
                let sessions = format!(
                    "SELECT {millis}(window_start), {millis}(window_end), k, count() FROM session({s}, t, 2s, 7s) PARTITION BY k GROUP BY window_start, window_end"
                );
                check(&server, &what, &sessions, threads, &session);
            }
        }
    }
}
