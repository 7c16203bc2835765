//! The server itself: build, machine, running queries, telemetry.

use super::call::Call;
use super::fields::Fields;
use super::reply::Failure;
use super::route;
use crate::http::route::Body;
use ::http::request::Parts;
use ::http::{Method, Response, StatusCode};
use hydron_base::{Code, Error};
use hydron_engine::Progress;
use hyper::body::Incoming;
use serde_json::{Value, json};

// Proton's interval; nothing is collected in it.
const TELEMETRY_INTERVAL_MS: u64 = 300_000;

const COMMIT_CHARACTERS: usize = 8;

pub(super) fn info(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let commit = option_env!("HYDRON_COMMIT").unwrap_or_default();
    call.success(json!({
        "build": {
            // The protocol's name, which its clients look for.
            "name": "proton",
            "version": env!("CARGO_PKG_VERSION"),
            "time": option_env!("HYDRON_BUILD_TIME").unwrap_or_default(),
            "commit_sha": commit.get(..COMMIT_CHARACTERS).unwrap_or(commit),
            "edition": "hydron",
        },
        "server": {
            "uuid": call.app.engine.server_uuid().to_string(),
            "num_of_physical_cpu_cores": std::thread::available_parallelism().map_or(1, |n| n.get()),
            "memory_amount": memory_bytes(),
        },
    }))
}

/// Bytes of the machine's memory; 0 where that cannot be read.
fn memory_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}

pub(super) fn apis(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    call.success(route::description())
}

/// `{"query_id"}`: the counters of a running query, as a graph from its sources to its client.
pub(super) async fn pipeline_metrics(call: &Call<'_>, body: Incoming) -> Result<Response<Body>, Failure> {
    let fields = Fields::read(call, body).await?;
    let id = fields.name("query_id")?;
    let Some(query) = call.app.engine.queries().get(id) else {
        let error = Error::new(Code::RESOURCE_NOT_FOUND, format!("Query Not Found: no query '{id}' is running"));
        return Err(Failure::with(StatusCode::NOT_FOUND, error));
    };
    let get = Progress::get;
    let progress = &query.progress;
    let flow = query.flow.lock().clone();
    let inside = match &flow {
        Some(flow) => json!({
            "rows_in": flow.rows_in(),
            "bytes_in": flow.bytes_in(),
            "rows_late": flow.rows_late(),
            "state_bytes": flow.state_bytes(),
        }),
        None => json!({}),
    };
    let node = |id: u64, name: &str, metric: Value| json!({"id": id, "name": name, "metric": metric});
    call.success(json!({
        "query_id": id,
        "elapsed_ms": query.started_at.elapsed().as_millis() as u64,
        "nodes": [
            node(0, "Source", json!({
                "processed_rows": get(&progress.read_rows).max(flow.as_ref().map_or(0, |f| f.rows_in())),
                "processed_bytes": get(&progress.read_bytes).max(flow.as_ref().map_or(0, |f| f.bytes_in())),
            })),
            node(1, *query.kind.lock(), inside),
            node(2, "Output", json!({
                "processed_rows": get(&progress.result_rows),
                "written_rows": get(&progress.written_rows),
                "written_bytes": get(&progress.written_bytes),
            })),
        ],
        "edges": [{"from": 0, "to": 1}, {"from": 1, "to": 2}],
    }))
}

/// This server sends nothing about itself to anyone: that can be asked and confirmed, not changed.
pub(super) async fn telemetry(call: &Call<'_>, parts: &Parts, body: Incoming) -> Result<Response<Body>, Failure> {
    if parts.method == Method::POST {
        let fields = Fields::read(call, body).await?;
        if fields.opt_bool("collect")?.unwrap_or(false) {
            return Err(Error::not_implemented("telemetry").into());
        }
    }
    call.success(json!({"collect": false, "collect_interval_ms": TELEMETRY_INTERVAL_MS}))
}
