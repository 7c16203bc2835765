//! `system.materialized_views`: what each view is at, how far it is, what went wrong.

use crate::engine::Inner;
use crate::view::{Status, query_id};
use hydron_base::world::WallTime;
use hydron_store::checkpoint::SourcePosition;
use hydron_types::Value;

pub fn rows(engine: &Inner) -> Vec<Vec<Value>> {
    let state = engine.catalog.snapshot();
    let row = |view: &std::sync::Arc<crate::catalog::MaterializedView>| {
        let status = engine.views.get(view.info.uuid).map_or_else(Status::default, |v| v.status());
        let seconds = |t: Option<WallTime>| t.map_or(Value::Null, |t| Value::Time(t.0.div_euclid(1_000_000)));
        let (code, error) = status.error.as_ref().map_or((0, String::new()), |(e, _)| (e.code.number(), e.to_string()));
        let kept = &status.kept;
        let sources: Vec<&SourcePosition> =
            kept.manifest.iter().flat_map(|m| &m.sources).filter(|s| !s.name.is_empty()).collect();
        let positions = |s: &&SourcePosition| Value::Array(s.positions.iter().map(|(_, sn)| Value::Int(*sn)).collect());
        let (database, table) = &view.target;
        vec![
            Value::string(&*view.info.database),
            Value::string(&*view.info.name),
            Value::Uuid(*view.info.uuid.as_bytes()),
            Value::string(status.state.name()),
            Value::Int(i64::from(code)),
            Value::string(error),
            seconds(status.error.as_ref().map(|(_, at)| *at)),
            Value::UInt(status.failures_total),
            seconds(status.retry_at),
            Value::string(&**database),
            Value::string(&**table),
            Value::UInt(status.units),
            Value::UInt(status.rows_written),
            Value::UInt(kept.epoch),
            seconds(kept.committed),
            Value::string(kept.error.as_ref().map(ToString::to_string).unwrap_or_default()),
            Value::Array(sources.iter().map(|s| Value::string(&s.name)).collect()),
            Value::Array(sources.iter().map(positions).collect()),
            Value::UInt(sources.iter().map(|s| lag(engine, s)).sum()),
            Value::string(query_id(view.info.uuid)),
        ]
    };
    state.views().map(row).collect()
}

/// Records of a source that are not in the last checkpoint.
fn lag(engine: &Inner, source: &SourcePosition) -> u64 {
    let Some(store) = engine.streams.get(source.stream) else { return 0 };
    let behind = source.positions.iter().filter_map(|(shard, sn)| {
        let log = store.logs.get(*shard as usize)?;
        Some(log.next_sequence().0.saturating_sub((sn + 1).max(0) as u64))
    });
    behind.sum()
}
