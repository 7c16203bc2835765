//! Streaming answers equal the answers of a batch computation over the same rows: at any batch size, on any number of
//! shards, with a restart anywhere.

use super::plans::*;
use super::script::is_changelog;
use super::sql::bound;
use crate::build::{BuildOptions, build};
use crate::operator::{Msg, Rows};
use hydron_base::world::WallTime;
use hydron_func::EvalContext;
use hydron_plan::{Emit, Plan, Trigger};
use hydron_types::{Delta, Value, value_at};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// How rows are fed.
#[derive(Clone, Copy, Debug)]
struct Feeding {
    batch: usize,
    parallelism: usize,
    /// Restart after so many batches, with other parallelism.
    restart_after: Option<usize>,
}

const FEEDINGS: [Feeding; 6] = [
    Feeding { batch: 1, parallelism: 1, restart_after: None },
    Feeding { batch: 64, parallelism: 1, restart_after: Some(2) },
    Feeding { batch: 65_536, parallelism: 1, restart_after: None },
    Feeding { batch: 64, parallelism: 2, restart_after: None },
    Feeding { batch: 7, parallelism: 4, restart_after: Some(5) },
    Feeding { batch: 65_536, parallelism: 4, restart_after: None },
];

/// A row of an answer without its sign.
type Cells = Vec<String>;

/// All answers of a query over `rows`, which then end.
fn answers(plan: &Plan, rows: &[Row], feeding: Feeding) -> Vec<(Cells, i8)> {
    let mut options = BuildOptions { parallelism: feeding.parallelism, ..BuildOptions::default() };
    let mut pipeline = build(plan, options).unwrap();
    let cx = EvalContext::at(WallTime(0));
    pipeline.start(cx.now);
    let mut out: Vec<Msg> = Vec::new();
    for (n, chunk) in rows.chunks(feeding.batch).enumerate() {
        if feeding.restart_after == Some(n) {
            let state = pipeline.snapshot().unwrap();
            options.parallelism = 5 - options.parallelism;
            pipeline = build(plan, options).unwrap();
            pipeline.restore(&state).unwrap();
            pipeline.start(cx.now);
        }
        // A bound plan reads the columns it needs.
        let all = batch(chunk);
        let schema = std::sync::Arc::clone(&pipeline.sources[0].schema);
        let read: Vec<usize> = schema.fields.iter().map(|f| all.schema.index_of(&f.name).unwrap()).collect();
        pipeline.push(&cx, 0, Msg::Rows(Rows::insert(all.project(schema, &read))), &mut out).unwrap();
    }
    pipeline.push(&cx, 0, Msg::End, &mut out).unwrap();
    let deltas = out.iter().filter_map(|m| if let Msg::Rows(rows) = m { Some(&rows.delta) } else { None });
    deltas.flat_map(|d| (0..d.rows.rows()).map(|r| cells(d, r, is_changelog(plan)))).collect()
}

fn cells(delta: &Delta, row: usize, has_sign: bool) -> (Cells, i8) {
    let batch = &delta.rows;
    let width = batch.columns.len() - usize::from(has_sign);
    let text = |v: Value| match v {
        Value::Bytes(b) => String::from_utf8_lossy(&b).into_owned(),
        Value::Time(v) | Value::Int(v) => v.to_string(),
        Value::UInt(v) => v.to_string(),
        other => format!("{other:?}"),
    };
    let cells = (0..width).map(|c| text(value_at(&batch.columns[c], &batch.schema.fields[c].ty, row))).collect();
    (cells, crate::operator::expr::sign_at(delta, row))
}

fn sorted(answers: Vec<(Cells, i8)>) -> Vec<Cells> {
    let mut rows: Vec<Cells> = answers.into_iter().map(|(c, _)| c).collect();
    rows.sort();
    rows
}

/// Count and sum of each window and key, by definition.
fn by_definition(rows: &[Row], slide: i64, size: i64) -> Vec<Cells> {
    let mut groups: BTreeMap<(i64, String), (u64, i64)> = BTreeMap::new();
    for (t, k, i) in rows {
        let mut start = t.div_euclid(slide) * slide;
        while start + size > *t {
            let group = groups.entry((start, k.clone())).or_default();
            *group = (group.0 + 1, group.1 + i);
            start -= slide;
        }
    }
    let row = |((start, k), (n, sum)): ((i64, String), (u64, i64))| {
        vec![start.to_string(), (start + size).to_string(), k, n.to_string(), sum.to_string()]
    };
    let mut rows: Vec<Cells> = groups.into_iter().map(row).collect();
    rows.sort();
    rows
}

/// The rows of each key's sessions, by definition: start, end and count, in milliseconds.
fn sessions(rows: &[Row], timeout: i64, longest: i64) -> Vec<Cells> {
    struct Open {
        start: i64,
        end: i64,
        timeout_at: i64,
        count: u64,
    }
    let mut open: BTreeMap<&str, Open> = BTreeMap::new();
    let mut closed: Vec<Cells> = Vec::new();
    let mut close = |k: &str, session: &Open, end: i64| {
        closed.push([k.to_string(), session.start.to_string(), end.to_string(), session.count.to_string()].to_vec());
    };
    for (t, k, _) in rows {
        if let Some(session) = open.get_mut(k.as_str()) {
            if *t >= session.start + longest {
                close(k, session, session.start + longest);
            } else if *t >= session.timeout_at {
                close(k, session, session.timeout_at);
            } else {
                session.count += 1;
                if *t >= session.end {
                    (session.end, session.timeout_at) = (*t + 1, *t + timeout);
                }
                continue;
            }
        }
        open.insert(k, Open { start: *t, end: *t + 1, timeout_at: *t + timeout, count: 1 });
    }
    // The end closes what is open as if a row had come just then.
    open.iter().for_each(|(k, s)| close(k, s, s.timeout_at.min(s.start + longest)));
    closed.sort();
    closed
}

/// All answers of a query of one stream, or of a join over the rows of both sides: the right ones come first, whole.
fn joined(plan: &Plan, left: &[Row], right: &[Row], feeding: Feeding) -> Vec<(Cells, i8)> {
    let mut options = BuildOptions { parallelism: feeding.parallelism, ..BuildOptions::default() };
    let mut pipeline = build(plan, options).unwrap();
    let cx = EvalContext::at(WallTime(0));
    let mut out: Vec<Msg> = Vec::new();
    pipeline.start(cx.now);
    let mut steps: Vec<(usize, &[Row])> = right.chunks(feeding.batch).map(|c| (1, c)).collect();
    let ended = steps.len();
    steps.extend(left.chunks(feeding.batch).map(|c| (0, c)));
    for (n, (source, chunk)) in steps.into_iter().enumerate() {
        if n == ended && pipeline.sources.len() > 1 {
            pipeline.push(&cx, 1, Msg::End, &mut out).unwrap();
        }
        if feeding.restart_after == Some(n) {
            let state = pipeline.snapshot().unwrap();
            options.parallelism = 5 - options.parallelism;
            pipeline = build(plan, options).unwrap();
            pipeline.restore(&state).unwrap();
            pipeline.start(cx.now);
        }
        let all = batch(chunk);
        let schema = std::sync::Arc::clone(&pipeline.sources[source].schema);
        let read: Vec<usize> = schema.fields.iter().map(|f| all.schema.index_of(&f.name).unwrap()).collect();
        let rows = Rows::insert(all.project(schema, &read));
        pipeline.push(&cx, source, Msg::Rows(rows), &mut out).unwrap();
    }
    pipeline.push(&cx, 0, Msg::End, &mut out).unwrap();
    let deltas = out.iter().filter_map(|m| if let Msg::Rows(rows) = m { Some(&rows.delta) } else { None });
    deltas.flat_map(|d| (0..d.rows.rows()).map(|r| cells(d, r, false))).collect()
}

/// Rows whose time rises by up to 2 s a row and is up to 3 s out of order.
fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (0i64..2_000, 0i64..3_000, 0u8..6, -50i64..50);
    proptest::collection::vec(row, 1..400).prop_map(|rows| {
        let mut now = 100_000;
        let timed = rows.into_iter().map(|(step, jitter, key, value)| {
            now += step;
            (now - jitter, format!("k{key}"), value)
        });
        timed.collect()
    })
}

fn delayed() -> Emit {
    Emit { delay: Some(seconds(3)), ..emit(Trigger::AfterWatermark) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_tumble_counts_each_row_once(rows in rows()) {
        let plan = Group::of(tumble(5)).by_window().by(K).count().agg("sum", &[I]).emit(delayed()).plan();
        let expected = by_definition(&rows, 5_000, 5_000);
        for feeding in FEEDINGS {
            prop_assert_eq!(sorted(answers(&plan, &rows, feeding)), expected.clone(), "{:?}", feeding);
        }
    }

    #[test]
    fn a_hop_counts_each_row_in_each_of_its_windows(rows in rows()) {
        for (slide, size) in [(2, 10), (3, 5)] {
            let plan = Group::of(hop(slide, size)).by_window().by(K).count().agg("sum", &[I]).emit(Emit { delay: Some(seconds(13)), ..delayed() }).plan();
            let expected = by_definition(&rows, slide * 1_000, size * 1_000);
            for feeding in FEEDINGS {
                prop_assert_eq!(sorted(answers(&plan, &rows, feeding)), expected.clone(), "{:?}", feeding);
            }
        }
    }

    #[test]
    fn each_substream_has_its_own_windows(rows in rows()) {
        let plan = Group::of(tumble(5)).by(K).by_window().count().agg("sum", &[I]).substreams(1).emit(delayed()).plan();
        let by_window = by_definition(&rows, 5_000, 5_000).into_iter();
        let mut expected: Vec<Cells> =
            by_window.map(|c| vec![c[2].clone(), c[0].clone(), c[1].clone(), c[3].clone(), c[4].clone()]).collect();
        expected.sort();
        for feeding in FEEDINGS {
            prop_assert_eq!(sorted(answers(&plan, &rows, feeding)), expected.clone(), "{:?}", feeding);
        }
    }

    #[test]
    fn each_substream_has_its_own_sessions(rows in rows()) {
        let plan = Group::of(session(2, 7)).by(K).by_window().count().substreams(1).plan();
        let expected = sessions(&rows, 2_000, 7_000);
        for feeding in FEEDINGS {
            prop_assert_eq!(sorted(answers(&plan, &rows, feeding)), expected.clone(), "{:?}", feeding);
        }
    }

    #[test]
    fn a_session_of_all_rows_is_that_of_one_key(rows in rows()) {
        let plan = Group::of(session(2, 7)).by_window().count().plan();
        let of_one_key: Vec<Row> = rows.iter().map(|(t, _, i)| (*t, "k".to_string(), *i)).collect();
        let mut expected: Vec<Cells> = sessions(&of_one_key, 2_000, 7_000).into_iter().map(|c| c[1..].to_vec()).collect();
        expected.sort();
        for feeding in FEEDINGS {
            prop_assert_eq!(sorted(answers(&plan, &rows, feeding)), expected.clone(), "{:?}", feeding);
        }
    }

    #[test]
    fn a_join_finds_every_pair_once(left in rows(), right in rows()) {
        let pair = |l: &Row, r: &Row| vec![l.1.clone(), l.2.to_string(), r.2.to_string()];
        let matches = |l: &Row, r: &Row| l.1 == r.1;
        let right: Vec<Row> = right.into_iter().take(40).collect();
        let mut inner: Vec<Cells> = Vec::new();
        let mut outer: Vec<Cells> = Vec::new();
        for l in &left {
            let of_row: Vec<Cells> = right.iter().filter(|r| matches(l, r)).map(|r| pair(l, r)).collect();
            if of_row.is_empty() {
                outer.push(vec![l.1.clone(), l.2.to_string(), "0".to_string()]);
            }
            outer.extend(of_row.iter().cloned());
            inner.extend(of_row);
        }
        inner.sort();
        outer.sort();
        for (sql, expected) in [
            ("SELECT s.k, s.i, b.i FROM s JOIN table(r) AS b ON s.k = b.k", &inner),
            ("SELECT s.k, s.i, b.i FROM s LEFT JOIN table(r) AS b ON s.k = b.k", &outer),
            ("SELECT s.k, s.i, b.i FROM s JOIN r AS b ON s.k = b.k", &inner),
        ] {
            let plan = bound(sql);
            for feeding in FEEDINGS {
                prop_assert_eq!(&sorted(joined(&plan, &left, &right, feeding)), expected, "{}, {:?}", sql, feeding);
            }
        }
    }

    #[test]
    fn a_range_join_finds_every_pair_and_every_row_alone_once(left in rows(), right in rows()) {
        let right: Vec<Row> = right.into_iter().take(120).collect();
        let mut expected: Vec<Cells> = Vec::new();
        for l in &left {
            let near = right.iter().filter(|r| l.1 == r.1 && (l.0 - r.0).abs() <= 10_000);
            let of_row: Vec<Cells> = near.map(|r| vec![l.1.clone(), l.2.to_string(), r.2.to_string()]).collect();
            if of_row.is_empty() {
                expected.push(vec![l.1.clone(), l.2.to_string(), "0".to_string()]);
            }
            expected.extend(of_row);
        }
        expected.sort();
        let plan = bound("SELECT s.k, s.i, b.i FROM s LEFT JOIN r AS b ON s.k = b.k AND date_diff_within(10s, s.t, b.t)");
        for feeding in FEEDINGS {
            prop_assert_eq!(&sorted(joined(&plan, &left, &right, feeding)), &expected, "{:?}", feeding);
        }
    }

    #[test]
    fn lags_and_numbers_are_those_of_each_key(rows in rows()) {
        let plan = bound("SELECT k, i, lag(i, 2, 7), row_number() FROM s PARTITION BY k");
        let mut seen: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        let mut expected: Vec<Cells> = Vec::new();
        for (_, k, i) in &rows {
            let of_key = seen.entry(k).or_default();
            let before = of_key.len().checked_sub(2).map_or(7, |at| of_key[at]);
            expected.push(vec![k.clone(), i.to_string(), before.to_string(), of_key.len().to_string()]);
            of_key.push(*i);
        }
        expected.sort();
        for feeding in FEEDINGS {
            prop_assert_eq!(&sorted(joined(&plan, &rows, &[], feeding)), &expected, "{:?}", feeding);
        }
    }

    #[test]
    fn dedup_lets_a_key_pass_again_when_enough_others_have_come(rows in rows()) {
        let plan = bound("SELECT k, i FROM dedup(s, k, 0s, 3)");
        let mut seen: Vec<&str> = Vec::new();
        let mut expected: Vec<Cells> = Vec::new();
        for (_, k, i) in &rows {
            if !seen.contains(&k.as_str()) {
                expected.push(vec![k.clone(), i.to_string()]);
                seen.push(k);
                if seen.len() > 3 {
                    seen.remove(0);
                }
            }
        }
        expected.sort();
        for feeding in FEEDINGS {
            prop_assert_eq!(&sorted(joined(&plan, &rows, &[], feeding)), &expected, "{:?}", feeding);
        }
    }

    #[test]
    fn the_last_answer_of_a_global_aggregate_is_that_of_a_batch(rows in rows()) {
        let plan = Group::of(scan()).by(K).count().agg("sum", &[I]).emit(emit(Trigger::Periodic(1_000))).plan();
        let mut groups: BTreeMap<&str, (u64, i64)> = BTreeMap::new();
        for (_, k, i) in &rows {
            let group = groups.entry(k).or_default();
            *group = (group.0 + 1, group.1 + i);
        }
        let expected: Vec<Cells> = groups.into_iter().map(|(k, (n, s))| vec![k.to_string(), n.to_string(), s.to_string()]).collect();
        for feeding in FEEDINGS {
            prop_assert_eq!(sorted(answers(&plan, &rows, feeding)), expected.clone(), "{:?}", feeding);
        }
    }

    #[test]
    fn every_kind_of_state_survives_batches_and_restarts(rows in rows()) {
        // One for each shape of state: rows kept, sums, hashes, points, sets, states by place and by key.
        for call in [
            "interval_length_sum(i, i + 3), max_intersections(i, i + 3), max_intersections_position(i, i + 3)",
            "simple_linear_regression(i, i * i), exponential_moving_average(i, i, 5), bounding_ratio(i, i + 1)",
            "entropy(i), cramers_v(i % 3, i % 5), theils_u(i % 3, i % 5)",
            "delta_sum(i), sum_count(i), unique_up_to(i, 5), histogram(i, 5)",
            "retention(i > 0, i > 10, i > 40), group_array_sample(i, 3), group_array_insert_at(i, to_uint32(abs(i)))",
            "window_funnel(t, i > 0, i > 10, i > 20, 5), sequence_count(t, i > 0, i <= 0, '(?1)(?2)')",
            "sum_mapped_arrays([i, 1], [i, 2]), sum_map(map_cast('a', i)), sum_for_each([i, 1])",
            "quantile_b_float16(i), quantile_t_digest_weighted(i, 2), quantile_timing_weighted(i, 2)",
        ] {
            let plan = bound(&format!("SELECT k, {call} FROM s GROUP BY k EMIT PERIODIC 1s"));
            let expected = sorted(answers(&plan, &rows, FEEDINGS[2]));
            for feeding in FEEDINGS {
                prop_assert_eq!(sorted(answers(&plan, &rows, feeding)), expected.clone(), "{}, {:?}", call, feeding);
            }
        }
    }

    #[test]
    fn a_changelog_adds_up_to_the_last_answer(rows in rows()) {
        let trigger = Trigger::OnUpdate;
        let plan = Group::of(scan()).by(K).count().agg("min", &[I]).emit(changelog(trigger)).plan();
        let mut groups: BTreeMap<&str, (u64, i64)> = BTreeMap::new();
        for (_, k, i) in &rows {
            let group = groups.entry(k).or_insert((0, i64::MAX));
            *group = (group.0 + 1, group.1.min(*i));
        }
        let expected: BTreeMap<Cells, i64> =
            groups.into_iter().map(|(k, (n, s))| (vec![k.to_string(), n.to_string(), s.to_string()], 1)).collect();
        for feeding in FEEDINGS {
            let mut sum: BTreeMap<Cells, i64> = BTreeMap::new();
            for (row, sign) in answers(&plan, &rows, feeding) {
                let n = sum.entry(row).or_default();
                *n += i64::from(sign);
                // A withdrawal never comes before what it withdraws.
                prop_assert!(*n >= 0);
            }
            sum.retain(|_, n| *n != 0);
            prop_assert_eq!(&sum, &expected, "{:?}", feeding);
        }
    }
}
