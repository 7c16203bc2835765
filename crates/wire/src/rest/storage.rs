//! Bytes on disk.

use super::call::Call;
use super::reply::{Failure, raw};
use crate::http::route::Body;
use ::http::Response;
use hydron_engine::stream::storage::{self, StreamStorage};
use serde_json::{Value, json};
use std::path::PathBuf;

/// `/storageinfo`, `/storageinfo/{database}`, `/storageinfo/{database}/{stream}`; `simple`: the sum alone; `sort`: the
/// largest first.
pub(super) fn storage(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let engine = call.app.engine.inner();
    let (database, stream) = (call.name("database"), call.name("stream"));
    let state = engine.catalog.snapshot();
    match (database, stream) {
        (Some(database), Some(stream)) => drop(state.existing(database, stream)?.clone()),
        (Some(database), None) => drop(state.database(database)?.name.clone()),
        _ => {}
    }
    let mut streams = storage::all(engine);
    streams.retain(|s| database.is_none_or(|d| *d == *s.database) && stream.is_none_or(|n| *n == *s.name));
    streams.retain(|s| call.sees(&s.database, &s.name));
    if call.is_set("sort") {
        streams.sort_by_key(|s| std::cmp::Reverse(s.bytes()));
    }
    let bytes: u64 = streams.iter().map(StreamStorage::bytes).sum();
    if call.is_set("simple") {
        return call.success(json!({ "data": { "bytes_on_disk": bytes } }));
    }
    // The order of the streams is part of the answer, which an object in memory would not keep.
    let streams: Vec<String> = streams
        .iter()
        .map(|s| format!("{}:{}", Value::from(format!("{}.{}", s.database, s.name)), describe(s)))
        .collect();
    let text = format!(
        r#"{{"request_id":{},"data":{{"total_bytes_on_disk":{bytes},"streams":{{{}}}}}}}"#,
        Value::from(&*call.request_id),
        streams.join(",")
    );
    Ok(raw(&text, &call.request_id))
}

fn describe(stream: &StreamStorage) -> Value {
    let paths = |dirs: &[PathBuf]| -> Vec<String> { dirs.iter().map(|d| d.display().to_string()).collect() };
    json!({
        "streaming_data_bytes": stream.log_bytes,
        "streaming_data_paths": paths(&stream.log_dirs),
        "historical_data_bytes": stream.history_bytes,
        "historical_data_paths": paths(&stream.history_dirs),
    })
}
