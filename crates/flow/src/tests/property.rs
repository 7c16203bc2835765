//! Streaming answers equal the answers of a batch computation over the same rows: at any batch size, on any number of
//! shards, with a restart anywhere.

use super::plans::*;
use super::script::is_changelog;
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
    let mut options = BuildOptions { parallelism: feeding.parallelism, emit_during_backfill: false };
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
        pipeline.push(&cx, 0, Msg::Rows(Rows::insert(batch(chunk))), &mut out).unwrap();
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
