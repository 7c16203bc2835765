//! A story as text: on the left what happens, on the right what comes out.
//!
//! ```text
//! rows 9s a, 10s b 5   | nothing            rows of (time, key, number = 1); `rows@1` in another shard, `rows -…` withdrawn,
//!                                           `old` of the past, in a shard that nobody knows
//! after 2s             | 0s 10s a 1; …      wall time passes; rows of one batch are joined by `;`, batches by `/`
//! past / new / end     | late 1             backfill starts, ends, the source ends (`end@1`: source 1); late rows so far
//! ```
//! Rows of a batch may come in any order.

use super::plans::{Row, signed_batch};
use crate::build::{BuildOptions, build};
use crate::operator::{Msg, PAST_LANE, Rows};
use crate::pipeline::Pipeline;
use hydron_base::world::WallTime;
use hydron_func::EvalContext;
use hydron_plan::{Change, Plan};
use hydron_types::{Batch, Delta, Value, value_at};

/// A pipeline with a clock that the story moves.
pub struct Player {
    plan: Plan,
    options: BuildOptions,
    pub pipeline: Pipeline,
    now: WallTime,
}

/// Runs the story on one, two and four shards, and again with a restart after every step, onto another number of shards.
pub fn check(plan: Plan, story: &str) {
    for (parallelism, restarts) in [(1, false), (2, false), (4, false), (1, true), (3, true)] {
        let options = BuildOptions { parallelism, ..BuildOptions::default() };
        Player::new(plan.clone(), options).play(story, restarts);
    }
}

impl Player {
    pub fn new(plan: Plan, options: BuildOptions) -> Player {
        let mut pipeline = build(&plan, options).unwrap();
        let now = WallTime(1_000_000_000_000);
        pipeline.start(now);
        Player { plan, options, pipeline, now }
    }

    pub fn play(&mut self, story: &str, restarts: bool) {
        for line in story.lines().map(str::trim).filter(|l| !l.is_empty()) {
            let (input, expected) = line.split_once('|').unwrap_or_else(|| panic!("no `|` in: {line}"));
            let out = self.step(input.trim());
            let (told, late) = (tell(&out), self.pipeline.stats().rows_late);
            match expected.trim().strip_prefix("late ") {
                Some(n) => assert_eq!((told.as_str(), late.to_string().as_str()), ("nothing", n.trim()), "at: {line}"),
                None => assert_eq!(
                    told,
                    normal(expected.trim()),
                    "at: {line} (shards {}, restarts {restarts})",
                    self.options.parallelism
                ),
            }
            if restarts {
                self.restart();
            }
        }
    }

    /// Saves the state and goes on with a fresh pipeline on another number of shards; wall-clock periods count anew.
    pub fn restart(&mut self) {
        let state = self.pipeline.snapshot().unwrap();
        self.options.parallelism = self.options.parallelism % 3 + 1;
        self.pipeline = build(&self.plan, self.options).unwrap();
        self.pipeline.restore(&state).unwrap();
        self.pipeline.start(self.now);
    }

    fn cx(&self) -> EvalContext {
        EvalContext::at(self.now)
    }

    pub fn step(&mut self, input: &str) -> Vec<Delta> {
        let (verb, rest) = input.split_once(' ').unwrap_or((input, ""));
        let mut out: Vec<Msg> = Vec::new();
        let source = verb.split_once('@').map_or(0, |(_, n)| n.parse().unwrap());
        let mut control = |msg: Msg| {
            let cx = EvalContext::at(self.now);
            self.pipeline.push(&cx, source, msg, &mut out).unwrap();
        };
        match verb.split_once('@').map_or(verb, |(verb, _)| verb) {
            "after" => {
                let until = self.now.plus_millis(millis(rest));
                while let Some(timer) = self.pipeline.next_timer().filter(|t| *t <= until) {
                    self.now = self.now.max(timer);
                    self.pipeline.on_timer(&EvalContext::at(self.now), &mut out).unwrap();
                }
                self.now = until;
            }
            "past" => control(Msg::BackfillStart),
            "new" => control(Msg::BackfillEnd),
            "end" => control(Msg::End),
            "rows" | "old" => {
                let lane = if verb == "old" { PAST_LANE } else { source as u32 };
                let sources = self.pipeline.sources.len();
                let source = if sources > 1 { source % sources } else { 0 };
                let lane = if sources > 1 && lane != PAST_LANE { 0 } else { lane };
                let delta = Delta::insert(self.rows(source, rest));
                self.pipeline.push(&self.cx(), source, Msg::Rows(Rows { delta, lane }), &mut out).unwrap();
            }
            other => panic!("unknown step: {other}"),
        }
        out.into_iter().filter_map(|m| if let Msg::Rows(rows) = m { Some(rows.delta) } else { None }).collect()
    }

    /// The rows as the scan of `source` delivers them: only the columns it reads.
    fn rows(&self, source: usize, text: &str) -> Batch {
        let mut rows: Vec<Row> = Vec::new();
        let mut signs = Vec::new();
        for row in text.split(',').map(str::trim) {
            signs.push(if row.starts_with('-') { -1 } else { 1 });
            let mut words = row.trim_start_matches(['-', '+']).split_whitespace();
            let time = millis(words.next().unwrap());
            let key = words.next().unwrap_or("").to_string();
            rows.push((time, key, words.next().map_or(1, |n| n.parse().unwrap())));
        }
        let all = signed_batch(&rows, &signs);
        let schema = &self.pipeline.sources[source].schema;
        let at = |name: &str| all.schema.index_of(if name == "_tp_time" { "t" } else { name }).unwrap();
        let read: Vec<usize> = schema.fields.iter().map(|f| at(&f.name)).collect();
        all.project(std::sync::Arc::clone(schema), &read)
    }
}

/// `1.5s`, `200ms`, `2m` in milliseconds.
fn millis(text: &str) -> i64 {
    let text = text.trim();
    let scaled = |n: &str, by: f64| (n.parse::<f64>().unwrap_or_else(|_| panic!("a time: {text}")) * by).round() as i64;
    match text {
        t if t.ends_with("ms") => scaled(&t[..t.len() - 2], 1.0),
        t if t.ends_with('m') => scaled(&t[..t.len() - 1], 60_000.0),
        t => scaled(t.trim_end_matches('s'), 1_000.0),
    }
}

/// Batches as the right side of a story.
pub fn tell(batches: &[Delta]) -> String {
    let told: Vec<String> = batches.iter().filter(|d| d.rows.rows() > 0).map(tell_batch).collect();
    if told.is_empty() { "nothing".to_string() } else { told.join(" / ") }
}

fn tell_batch(delta: &Delta) -> String {
    let batch = &delta.rows;
    let mut rows: Vec<String> = (0..batch.rows())
        .map(|row| {
            let cells =
                batch.schema.fields.iter().zip(&batch.columns).map(|(f, c)| tell_value(value_at(c, &f.ty, row)));
            cells.collect::<Vec<_>>().join(" ")
        })
        .collect();
    rows.sort();
    rows.join("; ")
}

fn tell_value(value: Value) -> String {
    match value {
        Value::Time(t) if t % 1_000 == 0 => format!("{}s", t / 1_000),
        Value::Time(t) => format!("{t}ms"),
        Value::Bytes(b) => String::from_utf8_lossy(&b).into_owned(),
        Value::Int(v) => v.to_string(),
        Value::UInt(v) => v.to_string(),
        Value::Float64(v) => v.to_string(),
        Value::Null => "NULL".to_string(),
        other => format!("{other:?}"),
    }
}

/// The expected text with the rows of each batch in the order `tell` uses.
fn normal(expected: &str) -> String {
    let batches = expected.split('/').map(|b| {
        let mut rows: Vec<String> = b.split(';').map(|r| r.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        rows.sort();
        rows.join("; ")
    });
    batches.collect::<Vec<_>>().join(" / ")
}

/// Whether the answers of a plan are changes.
pub fn is_changelog(plan: &Plan) -> bool {
    plan.change != Change::Append
}
