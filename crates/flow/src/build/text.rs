//! The operators of a pipeline as EXPLAIN PIPELINE names them: what each does, to which columns, at which moment.

use super::recipe::{Maker, Recipe};
use crate::window::stamper::StamperSpec;
use hydron_plan::explain::{Names, emit_text, interval_text, plan_text, seek_text, window_text};
use hydron_plan::node::Aggregate;
use hydron_plan::{Node, Plan, Scan};
use hydron_types::Schema;

/// `Tail default.s (i, t), 2 shards, from the latest row`
pub fn source(scan: &Scan, schema: &Schema) -> String {
    let columns: Vec<&str> = schema.fields.iter().map(|f| &*f.name).collect();
    let shards = counted(scan.stream.shards.max(1) as usize, "shard");
    let from = seek_text(&scan.seek).unwrap_or_else(|| "the latest row".to_string());
    format!("Tail {}.{} ({}), {shards}, from {from}", scan.stream.database, scan.stream.name, columns.join(", "))
}

/// The lines of a part that ends by itself, as depth and text.
pub fn bounded(plan: &Plan) -> Vec<(usize, String)> {
    let text = plan_text(plan);
    let below = text.lines().map(|l| {
        let line = l.trim_start();
        (1 + (l.len() - line.len()) / 2, line.to_string())
    });
    std::iter::once((0, "History, read to its end".to_string())).chain(below).collect()
}

/// `Watermark of ts, 5000 ms behind, over 2 lanes; a tick every 1000 ms`
pub fn stamper(spec: &StamperSpec, recipe: &Recipe<'_>) -> String {
    let mut parts = Vec::new();
    if let Some(time) = spec.time {
        let mut text = match time.processing_time {
            true => "Watermark of the wall clock".to_string(),
            false => format!("Watermark of {}", Names(&recipe.input.schema).column(time.column)),
        };
        if let Some(delay) = &recipe.emit.delay {
            text += &format!(", {} behind", interval_text(delay));
        }
        if spec.lanes > 1 {
            text += &format!(", the least of {} lanes", spec.lanes);
        }
        parts.push(text);
    }
    if let Some(ms) = spec.period_ms {
        let tick = if parts.is_empty() { "Tick" } else { "a tick" };
        parts.push(format!("{tick} every {ms} ms"));
    }
    if let Some(ms) = spec.idle_ms.filter(|_| spec.lanes > 1) {
        parts.push(format!("a lane is idle after {ms} ms"));
    }
    if let Some(ms) = spec.timeout_ms {
        parts.push(format!("all windows close after {ms} ms without rows"));
    }
    parts.join("; ")
}

/// `WindowAggregate count() by k, window_start; tumble 5 second by ts in UTC; emit after watermark`
pub fn aggregate(recipe: &Recipe<'_>, aggregate: &Aggregate) -> String {
    let names = Names(&aggregate.input.schema);
    let kind = match &recipe.maker {
        Maker::Global(_) => "Aggregate",
        Maker::Window(_) => "WindowAggregate",
        Maker::Session(_) => "SessionAggregate",
        Maker::Closing(_) => "ClosingAggregate",
    };
    let mut text = kind.to_string();
    if !aggregate.aggs.is_empty() {
        text += &format!(" {}", names.aggregates(&aggregate.aggs));
    }
    if !aggregate.keys.is_empty() {
        text += &format!(" by {}", names.list(&aggregate.keys));
    }
    // The operator works out conditions and columns between the window and the groups itself.
    let mut below = aggregate.window.as_ref().map(|_| &*aggregate.input);
    while let Some(plan) = below {
        below = match &plan.node {
            Node::Filter { input, predicate } => {
                text += &format!("; where {}", Names(&input.schema).expr(predicate));
                Some(input)
            }
            Node::Project { input, .. } => Some(input),
            Node::AssignWindow { input, window } => {
                text += &format!("; {}", window_text(window, Names(&input.schema)));
                None
            }
            _ => None,
        };
    }
    text + &format!("; emit {}", emit_text(&recipe.emit))
}

pub fn counted(n: usize, of: &str) -> String {
    format!("{n} {of}{}", if n == 1 { "" } else { "s" })
}
