//! The bound plan as an indented tree, one node a line, its columns and types behind it.

use super::names::{Names, emit_text, forget_text, interval_text, lags_text};
use crate::node::{
    Aggregate, AsofOrder, Change, Frame, FrameBound, FrameUnit, Grouping, Join, Node, Plan, Scan, ScanColumn, Seek,
    WindowCall, WindowFunction, WindowKind, WindowSpec,
};
use hydron_types::{Schema, Value};
use std::fmt::Write;

/// One line for each node, inputs two spaces deeper:
/// `Filter less(number, 5) -> (number uint64)`. A node that never ends says `streaming`, and what its rows mean when that is
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
    out.push_str(&node(plan));
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

fn node(plan: &Plan) -> String {
    let inputs = plan.inputs();
    // Sources read nothing; a join names both of its inputs itself.
    let names = Names(inputs.first().map_or(&*plan.schema, |input| &*input.schema));
    match &plan.node {
        Node::Values { batches } => {
            let rows: usize = batches.iter().map(|b| b.rows()).sum();
            format!("Values {rows} rows")
        }
        Node::Numbers { start, count: Some(count) } => format!("Numbers {count} from {start}"),
        Node::Numbers { start, count: None } => format!("Numbers from {start}"),
        Node::Scan(scan) => scan_text(scan, &plan.schema),
        Node::Filter { predicate, .. } => format!("Filter {}", names.expr(predicate)),
        Node::Project { exprs, .. } => format!("Project {}", names.list(exprs)),
        Node::AssignWindow { window, .. } => format!("AssignWindow {}", window_text(window, names)),
        Node::Aggregate(aggregate) => aggregate_text(aggregate, names),
        Node::Join(join) => join_text(join),
        Node::ArrayJoin { columns, left, .. } => {
            let columns: Vec<String> = columns.iter().map(|c| names.column(*c)).collect();
            format!("{}ArrayJoin {}", if *left { "Left" } else { "" }, columns.join(", "))
        }
        Node::Sort { keys, limit, .. } => {
            format!("Sort {}{}", names.sort_keys(keys), limit.map_or(String::new(), |l| format!(" first {l}")))
        }
        Node::Fill { columns, .. } => {
            let columns: Vec<String> = columns.iter().map(|c| names.column(c.column)).collect();
            format!("Fill {}", columns.join(", "))
        }
        Node::Limit { offset, limit, ties, .. } => {
            let mut text = limit.map_or("Limit all".to_string(), |l| format!("Limit {l}"));
            if *offset > 0 {
                text += &format!(" after {offset}");
            }
            if !ties.is_empty() {
                text += &format!(" with ties on {}", names.sort_keys(ties));
            }
            text
        }
        Node::LimitBy { keys, offset, limit, .. } => {
            let after = if *offset > 0 { format!(" after {offset}") } else { String::new() };
            format!("LimitBy {limit}{after} of {}", names.list(keys))
        }
        Node::Distinct { on, .. } if on.is_empty() => "Distinct".to_string(),
        Node::Distinct { on, forget, .. } => format!("Distinct on {}{}", names.list(on), forget_text(*forget)),
        Node::Union { .. } => "Union".to_string(),
        Node::Changelog { keys, version, .. } => {
            let version = version.as_ref().map_or(String::new(), |v| format!(" version {}", names.expr(v)));
            format!("Changelog by {}{version}", names.list(keys))
        }
        Node::Signs { .. } => "Signs".to_string(),
        Node::Lags { keys, calls, input } => lags_text(calls, keys, &input.schema),
        Node::SetOperation { except, distinct, .. } => {
            let kind = if *except { "Except" } else { "Intersect" };
            format!("{kind}{}", if *distinct { " distinct" } else { "" })
        }
        Node::WindowFunctions { calls, .. } => {
            let calls: Vec<String> = calls.iter().map(|c| call_text(c, names)).collect();
            format!("WindowFunctions {}", calls.join("; "))
        }
    }
}

fn scan_text(scan: &Scan, schema: &Schema) -> String {
    let column = |c: &ScanColumn| match c {
        ScanColumn::Stored(i) => scan.stream.columns.get(*i).map_or_else(|| format!("?{i}"), |c| c.name.to_string()),
        ScanColumn::AppendTime => "_tp_append_time".to_string(),
        ScanColumn::IngestTime => "_tp_ingest_time".to_string(),
        ScanColumn::ProcessTime => "_tp_process_time".to_string(),
        ScanColumn::Sequence => "_tp_sn".to_string(),
        ScanColumn::Shard => "_tp_shard".to_string(),
        ScanColumn::MessageKey => "_tp_message_key".to_string(),
        ScanColumn::MessageHeaders => "_tp_message_headers".to_string(),
        ScanColumn::Part => "_part".to_string(),
        ScanColumn::PartitionId => "_partition_id".to_string(),
    };
    let columns: Vec<String> = scan.columns.iter().map(column).collect();
    let mut text = format!("Scan {}.{} [{}]", scan.stream.database, scan.stream.name, columns.join(", "));
    if let Some(seek) = seek_text(&scan.seek) {
        text += &format!(" from {seek}");
    }
    if let Some(pruning) = &scan.pruning {
        text += &format!(" pruning {}", Names(schema).expr(pruning));
    }
    if let Some(replay) = &scan.replay {
        text += &format!(" replayed {} times as fast", replay.speed);
    }
    if scan.limit_hint > 0 {
        text += &format!(" first {}", scan.limit_hint);
    }
    text
}

/// Where a read starts; `None` for the latest row, where streams start by themselves.
pub fn seek_text(seek: &Seek) -> Option<String> {
    let positions = |all: &[i64]| {
        let position = |n: &i64| match *n {
            i64::MIN => "earliest".to_string(),
            i64::MAX => "latest".to_string(),
            n => n.to_string(),
        };
        all.iter().map(position).collect::<Vec<_>>().join(", ")
    };
    Some(match seek {
        Seek::Latest => return None,
        Seek::Earliest => "earliest".to_string(),
        Seek::EventTime(us) => {
            let time = hydron_types::Value::Time(*us);
            let ty = hydron_types::LogicalType::DateTime64(6, Some(hydron_types::Zone::UTC));
            format!("time {}", hydron_types::sql_literal(&time, &ty))
        }
        Seek::Sequence(all) => format!("sequence {}", positions(all)),
        Seek::Shards(all) => format!("shard positions {}", positions(all)),
    })
}

/// `tumble 5 second by ts in UTC`
pub fn window_text(window: &WindowSpec, names: Names<'_>) -> String {
    let kind = match &window.kind {
        WindowKind::Tumble { size } => format!("tumble {}", interval_text(size)),
        WindowKind::Hop { slide, size } => format!("hop {} of {}", interval_text(slide), interval_text(size)),
        WindowKind::Session { timeout, max_size, start, start_inclusive, end, end_inclusive } => {
            let mut text = format!("session {} at most {}", interval_text(timeout), interval_text(max_size));
            if let (Some(start), Some(end)) = (start, end) {
                let (open, close) = (if *start_inclusive { '[' } else { '(' }, if *end_inclusive { ']' } else { ')' });
                text += &format!(" {open}{}, {}{close}", names.expr(start), names.expr(end));
            }
            text
        }
    };
    if window.processing_time {
        return format!("{kind} by processing time in {}", window.zone);
    }
    format!("{kind} by {} in {}", names.column(window.time), window.zone)
}

fn aggregate_text(aggregate: &Aggregate, names: Names<'_>) -> String {
    let mut text = "Aggregate".to_string();
    if !aggregate.aggs.is_empty() {
        text += &format!(" {}", names.aggregates(&aggregate.aggs));
    }
    if !aggregate.keys.is_empty() {
        text += &format!(" by {}", names.list(&aggregate.keys));
    }
    if aggregate.grouping.has_totals() {
        text += " with totals";
    }
    let grouping = match &aggregate.grouping {
        Grouping::WithTotals(inner) => inner,
        grouping => grouping,
    };
    match grouping {
        Grouping::Plain | Grouping::WithTotals(_) => {}
        Grouping::Totals | Grouping::TotalsOfHaving => {}
        Grouping::Rollup => text += " with rollup",
        Grouping::Cube => text += " with cube",
        Grouping::Sets(sets) => {
            let set = |set: &Vec<usize>| format!("({})", names.list(set.iter().filter_map(|k| aggregate.keys.get(*k))));
            text += &format!(" sets {}", sets.iter().map(set).collect::<Vec<_>>().join(", "));
        }
    }
    if aggregate.partition_keys > 0 {
        let keys = &aggregate.keys[..aggregate.partition_keys.min(aggregate.keys.len())];
        text += &format!(", a substream for each {}", names.list(keys));
    }
    if let Some(window) = &aggregate.window {
        let keys = [window.start_key, window.end_key].into_iter().flatten();
        text += &format!(" window {}", names.list(keys.filter_map(|k| aggregate.keys.get(k))));
    }
    if let Some(emit) = &aggregate.emit {
        text += &format!(" emit {}", emit_text(emit));
    }
    if aggregate.emit_version {
        text += " with version";
    }
    text
}

fn join_text(join: &Join) -> String {
    let (left, right) = (Names(&join.left.schema), Names(&join.right.schema));
    let mut text = format!("Join {:?} {:?}", join.strictness, join.kind).to_lowercase().replacen("join", "Join", 1);
    let on: Vec<String> = join.on.iter().map(|(l, r)| format!("{} = right {}", left.expr(l), right.expr(r))).collect();
    if !on.is_empty() {
        text += &format!(" on {}", on.join(", "));
    }
    if let Some((l, r, order)) = &join.asof {
        let sign = match order {
            AsofOrder::Less => "<",
            AsofOrder::LessOrEqual => "<=",
            AsofOrder::Greater => ">",
            AsofOrder::GreaterOrEqual => ">=",
        };
        text += &format!(" asof {} {sign} right {}", left.expr(l), right.expr(r));
    }
    if let Some(range) = &join.range {
        text += &format!(
            " range {} <= {} - right {} <= {}",
            range.low,
            left.expr(&range.left),
            right.expr(&range.right),
            range.high
        );
    }
    if let Some(align) = &join.align {
        text += &format!(
            " when right {} >= {} - {}, or after {} ms without right rows",
            right.expr(&align.right),
            left.expr(&align.left),
            align.lag,
            align.quiesce_ms
        );
    }
    if let Some(filter) = &join.filter {
        let fields = join.left.schema.fields.iter().chain(&join.right.schema.fields).cloned().collect();
        text += &format!(" where {}", Names(&Schema::new(fields)).expr(filter));
    }
    if join.use_nulls {
        text += " nulls";
    }
    text
}

fn call_text(call: &WindowCall, names: Names<'_>) -> String {
    let function = match &call.function {
        WindowFunction::RowNumber => "row_number()".to_string(),
        WindowFunction::Rank => "rank()".to_string(),
        WindowFunction::DenseRank => "dense_rank()".to_string(),
        WindowFunction::Aggregate(agg) => names.aggregate(agg),
        WindowFunction::PercentRank => "percent_rank()".to_string(),
        WindowFunction::CumeDist => "cume_dist()".to_string(),
        WindowFunction::Ntile(parts) => format!("ntile({parts})"),
        WindowFunction::Offset { value, distance, back, in_frame, .. } => {
            let name = if *back { "lag" } else { "lead" };
            let frame = if *in_frame { "_in_frame" } else { "" };
            format!("{name}{frame}({}, {})", names.expr(value), names.expr(distance))
        }
        WindowFunction::FirstValue(e, _) => format!("first_value({})", names.expr(e)),
        WindowFunction::LastValue(e, _) => format!("last_value({})", names.expr(e)),
        WindowFunction::NthValue(e, n) => format!("nth_value({}, {})", names.expr(e), names.expr(n)),
        WindowFunction::Derivative { metric, seconds, .. } => {
            format!("non_negative_derivative({}, {})", names.expr(metric), names.expr(seconds))
        }
    };
    let mut over = Vec::new();
    if !call.partition_by.is_empty() {
        over.push(format!("partition by {}", names.list(&call.partition_by)));
    }
    if !call.order_by.is_empty() {
        over.push(format!("order by {}", names.sort_keys(&call.order_by)));
    }
    over.push(frame_text(&call.frame));
    format!("{function} over ({})", over.join(" "))
}

fn frame_text(frame: &Frame) -> String {
    let count = |value: &Value| match value {
        Value::UInt(n) => n.to_string(),
        Value::Int(n) => n.to_string(),
        Value::Float64(n) => n.to_string(),
        other => format!("{other:?}"),
    };
    let bound = |bound: &FrameBound| match bound {
        FrameBound::UnboundedPreceding => "unbounded preceding".to_string(),
        FrameBound::Preceding(n) => format!("{} preceding", count(n)),
        FrameBound::CurrentRow => "current row".to_string(),
        FrameBound::Following(n) => format!("{} following", count(n)),
        FrameBound::UnboundedFollowing => "unbounded following".to_string(),
    };
    let unit = match frame.unit {
        FrameUnit::Rows => "rows",
        FrameUnit::Range => "range",
        FrameUnit::Groups => "groups",
    };
    format!("{unit} {} to {}", bound(&frame.start), bound(&frame.end))
}
