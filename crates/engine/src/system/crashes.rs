//! `system.crash_log` and `system.quarantine`: what a server that has crashed knows of it.

use crate::crash_report::{CrashReport, DIRECTORY, reports};
use crate::engine::Inner;
use hydron_board::Board;
use hydron_types::Value;
use std::sync::atomic::Ordering;

pub fn crash_log(engine: &Inner) -> Vec<Vec<Value>> {
    let data_dir = &engine.options.data_dir;
    let row = |r: CrashReport| {
        let minidump = match r.minidump.as_str() {
            "" => String::new(),
            name => data_dir.join(DIRECTORY).join(name).display().to_string(),
        };
        let strings = |all: &[String]| Value::Array(all.iter().map(Value::string).collect());
        vec![
            Value::Date(r.wall_us.div_euclid(86_400_000_000) as i32),
            Value::Time(r.wall_us.div_euclid(1_000_000)),
            Value::UInt(r.wall_us.max(0) as u64 * 1_000),
            Value::Int(i64::from(r.signal)),
            Value::UInt(u64::from(r.tid)),
            Value::string(&r.query_id),
            Value::Array(r.trace.iter().map(|a| Value::UInt(*a)).collect()),
            strings(&r.trace_full),
            Value::string(&r.version),
            Value::UInt(u64::from(r.revision)),
            Value::string(&r.build_id),
            Value::string(&r.incident_id),
            Value::string(&r.cause),
            Value::string(&r.reason),
            Value::string(&r.signal_name),
            Value::Int(i64::from(r.si_code)),
            Value::UInt(r.fault_address),
            Value::string(&r.thread_name),
            Value::string(&r.query),
            hash(r.query_hash),
            Value::string(&r.query_kind),
            Value::string(&r.user),
            Value::string(&r.database),
            Value::string(&r.interface),
            Value::string(&r.client_address),
            Value::string(&r.settings),
            Value::string(&r.phase),
            hash(r.fingerprint),
            Value::string(&r.action),
            Value::UInt(u64::from(r.restarts_60s)),
            Value::string(&r.handler_stage),
            Value::string(&r.dump_state),
            Value::string(minidump),
            Value::UInt(r.rss_bytes),
            Value::UInt(r.memory_tracked),
            Value::UInt(r.uptime_ms),
            strings(&r.log_lines),
        ]
    };
    reports(data_dir).into_iter().map(row).collect()
}

pub fn quarantine(board: Option<&Board>) -> Vec<Vec<Value>> {
    let places = board.map_or(&[][..], Board::quarantine);
    let refused = places.iter().filter_map(|q| Some((q, q.hash()?)));
    let row = |(q, text_hash): (&hydron_board::quarantine::Quarantined, u64)| {
        vec![
            hash(text_hash),
            Value::string(q.incident.get()),
            Value::UInt(u64::from(q.crashes.load(Ordering::Relaxed))),
            Value::Time(q.since_us.load(Ordering::Relaxed).div_euclid(1_000_000)),
            Value::string(q.user.get()),
            Value::string(q.text.get()),
            Value::string(q.reason.get()),
            hash(q.fingerprint.load(Ordering::Relaxed)),
        ]
    };
    refused.map(row).collect()
}

/// As SYSTEM LIFT QUARANTINE takes it; empty where nothing is known.
fn hash(hash: u64) -> Value {
    Value::string(if hash == 0 { String::new() } else { format!("{hash:016x}") })
}
