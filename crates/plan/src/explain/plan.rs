//! The bound plan as an indented tree, one node a line, its columns and types behind it.

use crate::expr::Expr;
use crate::node::{
    Aggregate, AsofOrder, Change, Emit, Grouping, Interval, Join, Node, Plan, Scan, ScanColumn, Seek, SortKey, Trigger,
    WindowCall, WindowFunction, WindowKind, WindowSpec,
};
use std::fmt::Write;

/// One line for each node, inputs two spaces deeper:
/// `Filter less(#0, 5) -> (number uint64)`. A node that never ends says `streaming`, and what its rows mean when that is
/// not plain facts.
pub fn plan_text(plan: &Plan) -> String {
    let mut out = String::new();
    let mut open = vec![(plan, 0)];
    while let Some((plan, depth)) = open.pop() {
        line(&mut out, plan, depth);
        open.extend(plan.inputs().into_iter().rev().map(|input| (input, depth + 1)));
    }
    out
}

fn line(out: &mut String, plan: &Plan, depth: usize) {
    for _ in 0..depth {
        out.push_str("  ");
    }
    out.push_str(&node(&plan.node));
    out.push_str(" -> (");
    for (i, field) in plan.schema.fields.iter().enumerate() {
        let comma = if i == 0 { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(out, "{comma}{} {}", hydron_types::logical::identifier(&field.name), field.ty);
    }
    out.push(')');
    if plan.streaming {
        out.push_str(" streaming");
    }
    if plan.change != Change::Append {
        let _ = write!(out, " {}", change(plan.change));
    }
    out.push('\n');
}

fn change(change: Change) -> &'static str {
    match change {
        Change::Append => "append",
        Change::Changelog => "changelog",
        Change::ChangelogKv => "changelog_kv",
        Change::VersionedKv => "versioned_kv",
    }
}

fn node(node: &Node) -> String {
    match node {
        Node::Values { batches } => {
            let rows: usize = batches.iter().map(|b| b.rows()).sum();
            format!("Values {rows} rows")
        }
        Node::Numbers { start, count: Some(count) } => format!("Numbers {count} from {start}"),
        Node::Numbers { start, count: None } => format!("Numbers from {start}"),
        Node::Scan(scan) => scan_text(scan),
        Node::Filter { predicate, .. } => format!("Filter {predicate:?}"),
        Node::Project { exprs, .. } => format!("Project {}", list(exprs)),
        Node::AssignWindow { window, .. } => window_text(window),
        Node::Aggregate(aggregate) => aggregate_text(aggregate),
        Node::Join(join) => join_text(join),
        Node::ArrayJoin { columns, left, .. } => {
            let columns: Vec<String> = columns.iter().map(|c| format!("#{c}")).collect();
            format!("{}ArrayJoin {}", if *left { "Left" } else { "" }, columns.join(", "))
        }
        Node::Sort { keys, limit, .. } => {
            format!("Sort {}{}", keys_text(keys), limit.map_or(String::new(), |l| format!(" first {l}")))
        }
        Node::Limit { offset, limit, ties, .. } => {
            let mut text = limit.map_or("Limit all".to_string(), |l| format!("Limit {l}"));
            if *offset > 0 {
                text += &format!(" after {offset}");
            }
            if !ties.is_empty() {
                text += &format!(" with ties on {}", keys_text(ties));
            }
            text
        }
        Node::LimitBy { keys, offset, limit, .. } => {
            let after = if *offset > 0 { format!(" after {offset}") } else { String::new() };
            format!("LimitBy {limit}{after} of {}", list(keys))
        }
        Node::Distinct { on, .. } if on.is_empty() => "Distinct".to_string(),
        Node::Distinct { on, .. } => format!("Distinct on {}", list(on)),
        Node::Union { .. } => "Union".to_string(),
        Node::SetOperation { except, distinct, .. } => {
            let kind = if *except { "Except" } else { "Intersect" };
            format!("{kind}{}", if *distinct { " distinct" } else { "" })
        }
        Node::WindowFunctions { calls, .. } => {
            let calls: Vec<String> = calls.iter().map(call_text).collect();
            format!("WindowFunctions {}", calls.join("; "))
        }
    }
}

fn list(exprs: &[Expr]) -> String {
    let all: Vec<String> = exprs.iter().map(|e| format!("{e:?}")).collect();
    all.join(", ")
}

fn keys_text(keys: &[SortKey]) -> String {
    let key = |k: &SortKey| {
        let direction = if k.descending { " desc" } else { "" };
        let nulls = if k.nulls_first { " nulls first" } else { "" };
        format!("{:?}{direction}{nulls}", k.expr)
    };
    keys.iter().map(key).collect::<Vec<_>>().join(", ")
}

fn scan_text(scan: &Scan) -> String {
    let column = |c: &ScanColumn| match c {
        ScanColumn::Stored(i) => scan.stream.columns.get(*i).map_or_else(|| format!("?{i}"), |c| c.name.to_string()),
        ScanColumn::AppendTime => "_tp_append_time".to_string(),
        ScanColumn::IngestTime => "_tp_ingest_time".to_string(),
        ScanColumn::ProcessTime => "_tp_process_time".to_string(),
        ScanColumn::Sequence => "_tp_sn".to_string(),
        ScanColumn::Shard => "_tp_shard".to_string(),
    };
    let columns: Vec<String> = scan.columns.iter().map(column).collect();
    let mut text = format!("Scan {}.{} [{}]", scan.stream.database, scan.stream.name, columns.join(", "));
    match &scan.seek {
        Seek::Latest => {}
        Seek::Earliest => text += " from earliest",
        Seek::EventTime(t) => text += &format!(" from time {t}"),
        Seek::Sequence(n) => text += &format!(" from sequence {n:?}"),
        Seek::Shards(n) => text += &format!(" from shard positions {n:?}"),
    }
    if let Some(pruning) = &scan.pruning {
        text += &format!(" pruning {pruning:?}");
    }
    if scan.limit_hint > 0 {
        text += &format!(" first {}", scan.limit_hint);
    }
    text
}

fn interval(interval: &Interval) -> String {
    format!("{} {}", interval.count, interval.unit.name())
}

fn window_text(window: &WindowSpec) -> String {
    let kind = match &window.kind {
        WindowKind::Tumble { size } => format!("tumble {}", interval(size)),
        WindowKind::Hop { slide, size } => format!("hop {} of {}", interval(slide), interval(size)),
        WindowKind::Session { timeout, max_size, start, start_inclusive, end, end_inclusive } => {
            let mut text = format!("session {} at most {}", interval(timeout), interval(max_size));
            if let (Some(start), Some(end)) = (start, end) {
                let (open, close) = (if *start_inclusive { '[' } else { '(' }, if *end_inclusive { ']' } else { ')' });
                text += &format!(" {open}{start:?}, {end:?}{close}");
            }
            text
        }
    };
    let processing = if window.processing_time { " processing time" } else { "" };
    format!("AssignWindow {kind} by #{} in {}{processing}", window.time, window.zone)
}

fn aggregate_text(aggregate: &Aggregate) -> String {
    let mut text = format!("Aggregate {:?}", aggregate.aggs);
    if !aggregate.keys.is_empty() {
        text += &format!(" by {}", list(&aggregate.keys));
    }
    match &aggregate.grouping {
        Grouping::Plain => {}
        Grouping::Totals => text += " with totals",
        Grouping::Rollup => text += " with rollup",
        Grouping::Cube => text += " with cube",
        Grouping::Sets(sets) => text += &format!(" sets {sets:?}"),
    }
    if aggregate.partition_keys > 0 {
        text += &format!(" substreams of {}", aggregate.partition_keys);
    }
    if let Some(window) = &aggregate.window {
        let key = |name: &str, k: Option<usize>| k.map(|k| format!("{name} key {k}"));
        let keys: Vec<String> =
            [key("start", window.start_key), key("end", window.end_key)].into_iter().flatten().collect();
        text += &format!(" window {}", keys.join(" "));
    }
    if let Some(emit) = &aggregate.emit {
        text += &emit_text(emit);
    }
    if aggregate.emit_version {
        text += " with version";
    }
    text
}

fn emit_text(emit: &Emit) -> String {
    let mut text = match emit.trigger {
        Trigger::AfterWatermark => " emit after watermark".to_string(),
        Trigger::Periodic(ms) => format!(" emit periodic {ms} ms"),
        Trigger::OnUpdate => " emit on update".to_string(),
        Trigger::PeriodicOnUpdate(ms) => format!(" emit periodic {ms} ms on update"),
    };
    if emit.changelog {
        text += " changelog";
    }
    if let Some(delay) = &emit.delay {
        text += &format!(" delay {}", interval(delay));
    }
    if let Some(timeout) = emit.timeout_ms {
        text += &format!(" timeout {timeout} ms");
    }
    text
}

fn join_text(join: &Join) -> String {
    let mut text = format!("Join {:?} {:?}", join.strictness, join.kind).to_lowercase().replacen("join", "Join", 1);
    let on: Vec<String> = join.on.iter().map(|(l, r)| format!("{l:?} = right {r:?}")).collect();
    if !on.is_empty() {
        text += &format!(" on {}", on.join(", "));
    }
    if let Some((left, right, order)) = &join.asof {
        let sign = match order {
            AsofOrder::Less => "<",
            AsofOrder::LessOrEqual => "<=",
            AsofOrder::Greater => ">",
            AsofOrder::GreaterOrEqual => ">=",
        };
        text += &format!(" asof {left:?} {sign} right {right:?}");
    }
    if let Some(filter) = &join.filter {
        text += &format!(" where {filter:?}");
    }
    if join.use_nulls {
        text += " nulls";
    }
    text
}

fn call_text(call: &WindowCall) -> String {
    let function = match &call.function {
        WindowFunction::RowNumber => "row_number()".to_string(),
        WindowFunction::Rank => "rank()".to_string(),
        WindowFunction::DenseRank => "dense_rank()".to_string(),
        WindowFunction::Aggregate(agg) => format!("{agg:?}"),
        WindowFunction::Offset { value, offset, .. } => format!("offset({value:?}, {offset})"),
        WindowFunction::FirstValue(e) => format!("first_value({e:?})"),
        WindowFunction::LastValue(e) => format!("last_value({e:?})"),
        WindowFunction::NthValue(e, n) => format!("nth_value({e:?}, {n})"),
    };
    let unit = if call.frame.rows { "rows" } else { "range" };
    let (start, end) = (&call.frame.start, &call.frame.end);
    let mut text = format!("{function} over (");
    if !call.partition_by.is_empty() {
        text += &format!("partition by {} ", list(&call.partition_by));
    }
    if !call.order_by.is_empty() {
        text += &format!("order by {} ", keys_text(&call.order_by));
    }
    text + &format!("{unit} {start:?} to {end:?})")
}
