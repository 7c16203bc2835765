//! A catalog of a few streams, and just enough of a runtime for subqueries.

use hydron_base::world::WallTime;
use hydron_base::{Result, Settings};
use hydron_func::{BindContext, EvalContext};
use hydron_plan::{
    Bound, Catalog, ColumnDefault, ColumnInfo, Node, Plan, Source, StreamInfo, StreamKind, StreamMode, ViewInfo,
    bind_select_in,
};
use hydron_sql::ast::StatementKind;
use hydron_types::{Batch, ColumnBuilder, LogicalType, Value, Zone, parse_type};
use std::sync::Arc;
use uuid::Uuid;

pub struct World;

/// 2024-01-01 00:00:00 UTC.
pub const NOW: WallTime = WallTime(1_704_067_200_000_000);

fn stream(name: &str, kind: StreamKind, mode: StreamMode, shards: u32, columns: &str) -> Source {
    let mut infos: Vec<ColumnInfo> = columns
        .split(',')
        .filter_map(|c| c.trim().split_once(' '))
        .map(|(n, t)| ColumnInfo::new(n, parse_type(t).unwrap()))
        .collect();
    if kind != StreamKind::Table {
        infos.push(ColumnInfo::new("_tp_time", LogicalType::DateTime64(3, Some(Zone::UTC))));
    }
    if matches!(mode, StreamMode::Changelog | StreamMode::ChangelogKv) {
        infos.push(ColumnInfo::new("_tp_delta", LogicalType::Int8));
    }
    if name == "computed" {
        let alias =
            ColumnInfo { default: ColumnDefault::Alias("i + 1".into()), ..ColumnInfo::new("j", LogicalType::Int64) };
        infos.push(alias);
    }
    Source::Stream(Arc::new(StreamInfo {
        database: "default".into(),
        name: name.into(),
        uuid: Uuid::nil(),
        kind,
        mode,
        columns: infos,
        primary_key: if mode == StreamMode::VersionedKv { vec!["i".into()] } else { Vec::new() },
        order_by: String::new(),
        partition_by: String::new(),
        version_column: None,
        shards,
        sharding_expr: String::new(),
        engine: "Stream".into(),
        engine_args: Vec::new(),
        sample_by: String::new(),
        settings: Vec::new(),
        comment: String::new(),
    }))
}

fn view(name: &str, select: &str) -> Source {
    Source::View(Arc::new(ViewInfo {
        database: "default".into(),
        name: name.into(),
        uuid: Uuid::nil(),
        select: select.into(),
        columns: Vec::new(),
        owner: None,
        comment: String::new(),
    }))
}

impl Catalog for World {
    fn current_database(&self) -> &str {
        "default"
    }

    fn database_exists(&self, name: &str) -> bool {
        name == "default"
    }

    fn source(&self, database: &str, name: &str) -> Option<Source> {
        use StreamKind::{Stream, System, Table};
        use StreamMode::{Append, Changelog, VersionedKv};
        if database != "default" {
            return None;
        }
        Some(match name {
            "s" => stream("s", Stream, Append, 1, "i int32, t string, v float64, a array(int32), ts datetime64(3)"),
            "r" => stream("r", Stream, Append, 1, "i int64, u string"),
            "shards" => stream("shards", Stream, Append, 2, "i int32"),
            "m" => stream("m", Table, Append, 1, "i int32, t string"),
            "computed" => stream("computed", Table, Append, 1, "i int32"),
            "log" => stream("log", Stream, Changelog, 1, "i int32, t string"),
            "kv" => stream("kv", Stream, VersionedKv, 1, "i int32, t string"),
            "typed" => stream("typed", Stream, Append, 1, "d date, dt datetime, t0 datetime64(0), t9 datetime64(9)"),
            "processes" => stream("processes", System, Append, 1, "query string"),
            "flat_view" => view(name, "SELECT i AS k, _tp_time FROM s WHERE v > 1"),
            "sum_view" => view(name, "SELECT i, sum(v) AS total FROM s GROUP BY i"),
            _ => return None,
        })
    }

    fn source_names(&self, _: &str) -> Vec<String> {
        ["s", "r", "m", "log", "kv", "processes", "flat_view"].map(String::from).to_vec()
    }

    fn table_function(&self, _: &str, _: &[Value]) -> Result<Option<Arc<StreamInfo>>> {
        Ok(None)
    }

    fn sql_function(&self, name: &str) -> Option<String> {
        (name == "add_twice").then(|| "(x, y) -> x + y + y".to_string())
    }

    fn run_subquery(&self, plan: &Plan, _: usize) -> Result<Vec<Batch>> {
        run(plan)
    }

    fn now(&self) -> WallTime {
        NOW
    }
}

/// Values, numbers, filters, projections and limits; everything else has no rows.
fn run(plan: &Plan) -> Result<Vec<Batch>> {
    let cx = EvalContext::at(NOW);
    Ok(match &plan.node {
        Node::Values { batches } => batches.clone(),
        Node::Numbers { start, count } => {
            let mut column = ColumnBuilder::new(&LogicalType::UInt64);
            let count = count.unwrap_or(100);
            (*start..start + count).try_for_each(|n| column.append(&Value::UInt(n)))?;
            vec![Batch::new(Arc::clone(&plan.schema), vec![column.finish()?], count as usize)]
        }
        Node::Filter { input, predicate } => {
            let mut kept = Vec::new();
            for batch in run(input)? {
                let mask = predicate.eval_filter(&cx, &batch)?;
                let columns = batch.columns.iter().map(|c| arrow::compute::filter(c, &mask).unwrap()).collect();
                kept.push(Batch::new(Arc::clone(&plan.schema), columns, mask.true_count()));
            }
            kept
        }
        Node::Project { input, exprs } => {
            let mut projected = Vec::new();
            for batch in run(input)? {
                let columns = hydron_plan::eval_all(exprs, &cx, &batch.columns, batch.rows())?;
                projected.push(Batch::new(Arc::clone(&plan.schema), columns, batch.rows()));
            }
            projected
        }
        Node::Limit { input, limit, .. } => {
            let mut left = limit.unwrap_or(u64::MAX) as usize;
            let mut cut = Vec::new();
            for batch in run(input)? {
                let rows = batch.rows().min(left);
                left -= rows;
                cut.push(batch.slice(0, rows));
            }
            cut
        }
        _ => Vec::new(),
    })
}

pub fn bind(sql: &str, settings: &[(&str, &str)]) -> Result<Bound> {
    let mut changed = Settings::default();
    settings.iter().try_for_each(|(n, v)| changed.set(n, v))?;
    let cx = BindContext { settings: Arc::new(changed), ..BindContext::default() };
    let parsed = hydron_sql::parse_statement(sql)?;
    let StatementKind::Query(query) = parsed.statement.kind else { panic!("not a query: {sql}") };
    bind_select_in(&query, Some(sql), &World, &cx)
}

/// The answer of a query over values and numbers, rows as SQL-like text.
pub fn rows(sql: &str) -> String {
    let bound = match bind(sql, &[]) {
        Ok(bound) => bound,
        Err(e) => return e.to_string(),
    };
    let mut out = String::new();
    for batch in run(&bound.plan).unwrap() {
        for row in 0..batch.rows() {
            let cells: Vec<String> = batch
                .columns
                .iter()
                .zip(&bound.schema.fields)
                .map(|(c, f)| hydron_types::sql_literal(&hydron_types::value_at(c, &f.ty, row), &f.ty))
                .collect();
            out.push_str(&cells.join("|"));
            out.push('\n');
        }
    }
    out
}
