//! `system.materialized_views`: what each view is at, how far it is, what went wrong.

use crate::engine::Inner;
use crate::view::{Status, query_id};
use hydron_base::world::WallTime;
use hydron_flow::QueryProgress;
use hydron_store::checkpoint::SourcePosition;
use hydron_store::log::Sequence;
use hydron_types::Value;
use std::ops::ControlFlow;

pub fn rows(engine: &Inner) -> Vec<Vec<Value>> {
    let state = engine.catalog.snapshot();
    let row = |view: &std::sync::Arc<crate::catalog::MaterializedView>| {
        let status = engine.views.get(view.info.uuid).map_or_else(Status::default, |v| v.status());
        let seconds = |t: Option<WallTime>| t.map_or(Value::Null, |t| Value::Time(t.0.div_euclid(1_000_000)));
        let (code, error) = status.error.as_ref().map_or((0, String::new()), |(e, _)| (e.code.number(), e.to_string()));
        let kept = &status.kept;
        let sources: Vec<(usize, &SourcePosition)> = kept
            .manifest
            .iter()
            .flat_map(|m| m.sources.iter().enumerate())
            .filter(|(_, s)| !s.name.is_empty())
            .collect();
        let positions = |(_, s): &(usize, &SourcePosition)| {
            Value::Array(s.positions.iter().map(|(_, sn)| Value::Int(*sn)).collect())
        };
        let flow = engine.queries.get(&query_id(view.info.uuid)).and_then(|q| q.flow.lock().clone());
        let behind: Vec<Behind> = sources.iter().map(|(at, s)| Behind::of(engine, *at, s, flow.as_deref())).collect();
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
            Value::Array(sources.iter().map(|(_, s)| Value::string(&s.name)).collect()),
            Value::Array(sources.iter().map(positions).collect()),
            Value::UInt(behind.iter().map(|b| b.records).sum()),
            Value::UInt(behind.iter().map(|b| b.ms).max().unwrap_or(0)),
            Value::UInt(flow.as_ref().map_or(0, |f| f.state_bytes())),
            Value::UInt(flow.as_ref().map_or(0, |f| f.rows_late())),
            Value::UInt(status.records_skipped),
            Value::string(query_id(view.info.uuid)),
        ]
    };
    state.views().map(row).collect()
}

/// How far a view is behind one of its sources.
#[derive(Default)]
struct Behind {
    /// Records that it has not taken.
    records: u64,
    /// How long the oldest of them has been there, in milliseconds.
    ms: u64,
}

impl Behind {
    /// `flow`: of the run that is on; without one the last checkpoint says where the view is.
    fn of(engine: &Inner, at: usize, source: &SourcePosition, flow: Option<&QueryProgress>) -> Behind {
        let Some(store) = engine.streams.get(source.stream) else { return Behind::default() };
        let now_ms = engine.options.clock.now().millis();
        let mut behind = Behind::default();
        for (shard, kept) in &source.positions {
            let Some(log) = store.logs.get(*shard as usize) else { continue };
            let taken = flow.and_then(|f| f.position(at, *shard)).map_or(*kept, |live| live.max(*kept));
            let next = Sequence(taken.saturating_add(1).max(0) as u64).max(log.first_sequence());
            let records = log.next_sequence().0.saturating_sub(next.0);
            behind.records += records;
            let mut since = None;
            // What cannot be read now is not known; whoever reads the rows is told.
            if records > 0 {
                let _ = log.visit_heads(next, |head| {
                    since = Some(head.append_time_ms);
                    ControlFlow::Break(())
                });
            }
            behind.ms = behind.ms.max(since.map_or(0, |since| u64::try_from(now_ms - since).unwrap_or(0)));
        }
        behind
    }
}
